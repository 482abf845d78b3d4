//! The client's side of one link to one relay, with several vaults on it: a state machine without I/O
//! (`docs/PROTOCOL.md`, "The client's states").
//!
//! It decides everything that can be decided without a clock, a socket or a store: what to send, what a frame
//! means in the state at hand, when to seal and push, what to give up. A driver hands in one [`Input`] at a
//! time, then drains [`ClientLink::poll`] and does what each [`Output`] says. The relay is a stranger: a frame
//! out of place, an acknowledgement of what was never sent or a feed nobody asked for ends the link with a
//! typed error, and nothing that a relay sends grows memory past the limits named here.
//!
//! A refusal of one vault, or of one log, rests that vault or log until its time; the others go on. So does whatever
//! else is wrong with one vault: a frame about it out of place, a feed of it that does not parse, what the store finds in
//! it. Only what breaks the transport, or the frames themselves, ends a link.

mod chain;
mod count;
mod feed;
mod interface;
mod meeting;
mod uplink;
mod vault;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use feed::{Feeds, Wrong};
pub use interface::{
    Birth, Event, FeedBatch, FeedItem, HeldChain, Input, LinkError, OutboxBatch, OutboxLog, Output, Prepared,
    Progress, Purpose, Received, StatementsKept, VaultFault,
};
use meeting::MeetingState;
use vault::VaultLink;

use crate::codec::Extensions;
use crate::error::{ErrorCode, Refusal};
use crate::frame::{ClientFrame, Credential, RelayFrame, VERSION, may_be_ignored};
use crate::ids::{Incarnation, LogId, VaultId};
use crate::limits;
use crate::token::Grant;

/// How long a relay may take to answer HELLO.
pub const HELLO_WAIT: Duration = Duration::from_secs(10);
/// How long a relay may take to answer anything else, a group commit under load included.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Feed bytes gathered while the store is busy; beyond them the feeds are not read. Two to three times as much is changed in the
/// store by them, which still fits into the half of its usual cache that may wait for a commit: what does not fit is written, and
/// read again to be summed up at the commit.
pub const GATHER_BYTES_MAX: usize = 3 << 20;
/// Wait before a refused vault or log is tried again, where the relay names none.
pub const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// Wait before a vault that rests for a fault is tried again; doubled for each fault since it was last synced.
pub const FAULT_WAIT: Duration = Duration::from_secs(10);
/// Longest such wait: what is wrong once an hour costs nobody anything.
pub const FAULT_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Longest wait that a relay can impose.
pub const REFUSED_WAIT_MAX: Duration = Duration::from_secs(3600);

/// One link. See the module.
#[derive(Debug)]
pub struct ClientLink {
    invite: Option<Vec<u8>>,
    greeting: Greeting,
    vaults: BTreeMap<VaultId, VaultLink>,
    /// The last question.
    asked: u64,
    /// When the relay last said something.
    heard: Instant,
    feeds: Feeds,
    meeting: MeetingState,
    out: VecDeque<Output>,
    failed: Option<LinkError>,
}

#[derive(Debug)]
enum Greeting {
    Sent { at: Instant },
    Done { incarnation: Incarnation },
}

impl ClientLink {
    /// A link whose transport is up and whose relay proved the pinned key. HELLO is the first output.
    /// `invite` ([`crate::token::Invite`] bytes) is used to create vaults for which no grant is at hand.
    #[must_use]
    pub fn new(now: Instant, invite: Option<Vec<u8>>) -> Self {
        let hello = ClientFrame::Hello { versions: vec![VERSION], caps: 0, extensions: Extensions::new() };
        Self {
            invite,
            greeting: Greeting::Sent { at: now },
            vaults: BTreeMap::new(),
            asked: 0,
            heard: now,
            feeds: Feeds::default(),
            meeting: MeetingState::None,
            out: VecDeque::from([Output::Send(hello.encode())]),
            failed: None,
        }
    }

    /// Takes in exactly one thing that happened. An answer that nobody waits for is ignored.
    ///
    /// # Errors
    /// [`LinkError`]; the link is over and says the same from then on.
    pub fn handle(&mut self, now: Instant, input: Input) -> Result<(), LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take(now, input);
        self.failed = result.err();
        result
    }

    /// The next thing to do. Drain to `None` before the next [`ClientLink::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to feed [`Input::Timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let greeting = match self.greeting {
            Greeting::Sent { at } => Some(at + HELLO_WAIT),
            Greeting::Done { .. } => None,
        };
        self.vaults.values().filter_map(VaultLink::deadline).chain(greeting).min()
    }

    /// Whether feed frames may be handed in: false while more than [`GATHER_BYTES_MAX`] wait to be stored.
    #[must_use]
    pub const fn reads_feeds(&self) -> bool {
        self.feeds.has_room()
    }

    /// Whether the store has a batch: feed frames that arrive now wait for it.
    #[must_use]
    pub const fn is_delivering(&self) -> bool {
        self.feeds.is_delivering()
    }

    /// Whether every vault of this link is caught up both ways.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        matches!(self.greeting, Greeting::Done { .. }) && self.vaults.values().all(VaultLink::is_synced)
    }

    /// Whether every vault is caught up, or rests.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.greeting, Greeting::Done { .. }) && self.vaults.values().all(VaultLink::is_settled)
    }

    /// Whether the relay owes an answer: then a path that stays silent is dead.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.greeting, Greeting::Sent { .. }) || self.vaults.values().any(VaultLink::is_waiting)
    }

    /// The last question ([`Input::Ask`]) for which it is sure, of every vault, that everything is stored, and was compared,
    /// that the relay had acknowledged to anybody when it took that question, which was later than it was asked.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.vaults.values().map(VaultLink::answered).min().unwrap_or(self.asked)
    }

    /// What was done and is known to be left.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.vaults.values().fold(Progress::default(), |sum, vault| vault.add_progress(sum))
    }

    fn take(&mut self, now: Instant, input: Input) -> Result<(), LinkError> {
        if let Input::Frame(_) | Input::Feed { .. } = input {
            self.heard = now;
        }
        match input {
            Input::Frame(frame) if may_be_ignored(&frame) && self.is_greeted() => Ok(()),
            Input::Frame(frame) => self.control_frame(now, RelayFrame::decode(&frame)?),
            Input::Feed { stream, frame } => self.feed_frame(now, stream, &frame),
            Input::FeedClosed { stream } => {
                if let Some(vault) = self.feeds.close(stream) {
                    self.fault(now, &vault, VaultFault::FeedEnded);
                }
                Ok(())
            }
            Input::Open { id } => {
                let known = self.vaults.values().any(VaultLink::is_known);
                self.meeting.open(id, known, &mut self.out)
            }
            Input::Join { id } => self.meeting.join(id, &mut self.out),
            Input::Say { message } => self.meeting.say(message, &mut self.out),
            Input::Ask { number } => {
                self.asked = self.asked.max(number);
                for vault in self.vaults.values_mut() {
                    vault.ask(self.asked, &mut self.out);
                }
                Ok(())
            }
            Input::Timeout => self.timeout(now),
            Input::Add { vault, purpose } => {
                self.add(vault, purpose);
                Ok(())
            }
            answer => {
                self.answer(now, answer);
                Ok(())
            }
        }
    }

    fn add(&mut self, vault: VaultId, purpose: Purpose) {
        if self.vaults.contains_key(&vault) {
            return;
        }
        if self.vaults.len() >= limits::VAULTS_PER_LINK_MAX {
            let refusal = Refusal::vault(ErrorCode::TooManyVaults, vault);
            self.out.push_back(Output::Event(Event::Refused { refusal, retry: REFUSED_WAIT_MAX }));
            return;
        }
        let mut link = VaultLink::new(vault, purpose);
        link.ask(self.asked, &mut self.out);
        self.vaults.insert(vault, link);
        self.out.push_back(Output::Prepare { vault });
    }

    /// The store's answers: always for a vault that is there, or for none.
    fn answer(&mut self, now: Instant, answer: Input) {
        let Some(id) = answer.vault() else { return };
        // A load takes its part of the window in advance, and most give some of it back.
        let loaded = matches!(answer, Input::Outbox { .. });
        let Some(vault) = self.vaults.get_mut(&id) else { return };
        let out = &mut self.out;
        match answer {
            Input::Written { .. } => vault.up.written(now),
            Input::Prepared { prepared, .. } => vault.prepared(now, prepared, out),
            Input::Unable { .. } => vault.unable(now, &mut self.feeds, out),
            Input::Faulty { .. } => vault.fault(now, VaultFault::Store, &mut self.feeds, out),
            Input::Birth { birth, .. } => {
                vault.birth(now, birth, self.invite.as_ref(), &mut self.feeds, out);
            }
            Input::StatementsStored { kept, .. } => {
                if let Err(fault) = vault.chain.stored(now, id, kept, out) {
                    vault.fault(now, fault, &mut self.feeds, out);
                }
            }
            Input::HeadsStored { diverged, own, heads, .. } => {
                vault.heads_stored(now, (diverged, &own), heads, out);
            }
            Input::Delivered { received, .. } => {
                if let Some(batch) = self.feeds.delivered(&id) {
                    vault.delivered(now, &batch, received, &mut self.feeds, out);
                }
            }
            Input::Rotated { .. } => vault.rotated(now, &mut self.feeds, out),
            Input::Sealed { more, .. } => vault.up.sealed(more),
            Input::Outbox { batch, .. } => vault.up.outbox(now, id, batch, out),
            Input::AckStored { more, .. } => vault.up.ack_stored(more),
            _ => {}
        }
        self.pump(now, &id);
        if loaded {
            self.pump_waiting(now);
        }
    }

    fn control_frame(&mut self, now: Instant, frame: RelayFrame) -> Result<(), LinkError> {
        if let RelayFrame::Hello { version, incarnation, now_ms, .. } = frame {
            return self.greeted(version, incarnation, now_ms);
        }
        if let RelayFrame::Error(refusal) = frame {
            return self.refused(now, refusal);
        }
        let Greeting::Done { incarnation } = self.greeting else {
            return Err(LinkError::OutOfPlace { frame: "frame before HELLO" });
        };
        match frame {
            RelayFrame::Vault { vault: id, used_bytes, .. } => {
                let known = find(&mut self.vaults, &id, "VAULT")?.known(now, used_bytes, &mut self.out);
                if self.went_well(now, &id, known) == Some(true) {
                    self.out.push_back(Output::Event(Event::Known { vault: id }));
                    self.meeting.vault_known(&mut self.out);
                }
                self.pump(now, &id);
            }
            RelayFrame::Grant { grant } => {
                let id = Grant::decode(&grant)?.vault;
                let granted = find(&mut self.vaults, &id, "GRANT")?.granted();
                if self.went_well(now, &id, granted).is_some() {
                    self.out.push_back(Output::StoreGrant { vault: id, grant });
                }
            }
            RelayFrame::Ack { vault: id, rseq, entries } => {
                let acked = find(&mut self.vaults, &id, "ACK")?.up.ack(now, rseq, &entries);
                if self.went_well(now, &id, acked) == Some(true) {
                    self.feeds.acknowledged(&id, rseq);
                    self.out.push_back(Output::StoreAck { vault: id, rseq, entries });
                }
                self.pump(now, &id);
                self.pump_waiting(now);
            }
            RelayFrame::Heads { vault: id, last, heads } => {
                let shown = find(&mut self.vaults, &id, "HEADS")?.relay_heads(now, last, heads);
                if let Some(Some(heads)) = self.went_well(now, &id, shown) {
                    self.out.push_back(Output::StoreHeads { vault: id, incarnation, heads });
                }
            }
            RelayFrame::Statements(part) => {
                let id = part.vault;
                let shown = find(&mut self.vaults, &id, "STATEMENTS")?.chain.part(now, part, &mut self.out);
                self.went_well(now, &id, shown);
            }
            RelayFrame::RendezvousReady { id } => self.meeting.ready(&id, &mut self.out)?,
            RelayFrame::RendezvousData { id, message } => self.meeting.heard(&id, message, &mut self.out)?,
            RelayFrame::Hello { .. } | RelayFrame::Error(_) => {}
        }
        Ok(())
    }

    const fn is_greeted(&self) -> bool {
        matches!(self.greeting, Greeting::Done { .. })
    }

    fn greeted(&mut self, version: u16, incarnation: Incarnation, now_ms: u64) -> Result<(), LinkError> {
        if matches!(self.greeting, Greeting::Done { .. }) {
            return Err(LinkError::OutOfPlace { frame: "HELLO" });
        }
        if version != VERSION {
            return Err(LinkError::Version { version });
        }
        if !self.feeds.are_of(&incarnation) {
            return Err(LinkError::Incarnation);
        }
        self.greeting = Greeting::Done { incarnation };
        self.out.push_back(Output::RelayNow { now_ms });
        self.out.push_back(Output::Event(Event::Greeted));
        Ok(())
    }

    fn refused(&mut self, now: Instant, refusal: Refusal) -> Result<(), LinkError> {
        if refusal.code.ends_link() {
            return Err(refusal.into());
        }
        if refusal.vault == VaultId::ZERO {
            return match refusal.code {
                ErrorCode::NoRendezvous => self.meeting.parted(&mut self.out),
                _ => Err(refusal.into()),
            };
        }
        let vault = self.vaults.get_mut(&refusal.vault).ok_or(LinkError::OutOfPlace { frame: "ERROR" })?;
        if refusal.log == LogId::ZERO {
            vault.refused(now, refusal, self.invite.as_ref(), &mut self.out);
        } else {
            let taken = vault.segment_refused(now, refusal, &mut self.feeds, &mut self.out);
            self.went_well(now, &refusal.vault, taken);
        }
        self.pump(now, &refusal.vault);
        self.pump_waiting(now);
        Ok(())
    }

    fn feed_frame(&mut self, now: Instant, stream: u64, frame: &Bytes) -> Result<(), LinkError> {
        let incarnation = match self.greeting {
            Greeting::Done { incarnation } => Some(incarnation),
            Greeting::Sent { .. } => None,
        };
        match self.feeds.frame(stream, frame, incarnation, &mut self.vaults) {
            Ok(Some(id)) => self.pump(now, &id),
            Ok(None) => {}
            Err(Wrong::Link(error)) => return Err(error),
            Err(Wrong::Late) => self.out.push_back(Output::StopFeed { stream }),
            Err(Wrong::Vault(id, fault)) => self.fault(now, &id, fault),
        }
        Ok(())
    }

    /// Lets a vault rest, and the others go on.
    fn fault(&mut self, now: Instant, id: &VaultId, fault: VaultFault) {
        if let Some(vault) = self.vaults.get_mut(id) {
            vault.fault(now, fault, &mut self.feeds, &mut self.out);
        }
        self.pump(now, id);
        self.pump_waiting(now);
    }

    /// What came of a frame about one vault, unless it was wrong, which rests the vault.
    fn went_well<T>(&mut self, now: Instant, id: &VaultId, taken: Result<T, VaultFault>) -> Option<T> {
        taken.map_err(|fault| self.fault(now, id, fault)).ok()
    }

    fn timeout(&mut self, now: Instant) -> Result<(), LinkError> {
        if let Greeting::Sent { at } = self.greeting
            && now >= at + HELLO_WAIT
        {
            return Err(LinkError::Silent);
        }
        for id in self.vaults.keys().copied().collect::<Vec<_>>() {
            let Some(vault) = self.vaults.get_mut(&id) else { continue };
            match vault.timeout(now, &mut self.out) {
                // It says nothing to anybody.
                Err(_) if now >= self.heard + ANSWER_WAIT => return Err(LinkError::Silent),
                taken => self.went_well(now, &id, taken),
            };
            self.pump(now, &id);
        }
        Ok(())
    }

    /// Lets vaults push that found the window full.
    fn pump_waiting(&mut self, now: Instant) {
        let waiting = self.vaults.iter().filter(|(_, vault)| vault.up.has_outbox()).map(|(id, _)| *id);
        for id in waiting.collect::<Vec<_>>() {
            self.pump(now, &id);
        }
    }

    /// Starts what can be started for one vault, and the next delivery of any.
    fn pump(&mut self, now: Instant, id: &VaultId) {
        let in_flight: usize = self.vaults.values().map(|vault| vault.up.in_flight_bytes()).sum();
        if let Some(vault) = self.vaults.get_mut(id) {
            let window = limits::PUSH_WINDOW_BYTES.saturating_sub(in_flight);
            vault.pump(now, window, &mut self.feeds, &mut self.out);
        }
        self.feeds.pump(&mut self.out);
        if let Some(vault) = self.vaults.get_mut(id) {
            vault.report_synced(&self.feeds, &mut self.out);
        }
    }
}

fn find<'a>(
    vaults: &'a mut BTreeMap<VaultId, VaultLink>,
    id: &VaultId,
    frame: &'static str,
) -> Result<&'a mut VaultLink, LinkError> {
    vaults.get_mut(id).ok_or(LinkError::OutOfPlace { frame })
}

/// How long to rest after a refusal.
fn rest(refusal: &Refusal) -> Duration {
    match refusal.retry_after_secs {
        0 => REFUSED_WAIT,
        secs => Duration::from_secs(u64::from(secs)).min(REFUSED_WAIT_MAX),
    }
}

/// What permits CREATE: the relay's own word first, so that an invite is spent only where it must be.
fn credential(grant: Option<Vec<u8>>, invite: Option<&Vec<u8>>) -> Credential {
    match (grant, invite) {
        (Some(grant), _) => Credential::Grant(grant),
        (None, Some(invite)) => Credential::Invite(invite.clone()),
        (None, None) => Credential::None,
    }
}

#[cfg(test)]
mod tests;
