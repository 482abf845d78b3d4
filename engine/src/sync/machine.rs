//! Decides what one link does, without I/O, a clock or a runtime: which vaults it carries, when the path is probed and
//! given up, when writes are noted and groups held for the clock are merged, what is handed to the store and in which
//! order, and how a meeting ends.
//!
//! A driver hands in one [`MachineInput`] at a time, drains [`Machine::poll`], hands over [`Machine::next_work`] one by one, and
//! comes back at [`Machine::deadline`]. What a frame means is decided further inside, by
//! [`ClientLink`](subrosa_protocol::client_link::ClientLink).
//!
//! A link carries [`VAULTS_PER_LINK_MAX`] vaults. A device with more has several links, each with its share of the list
//! of vaults, which only grows at its end; the machine says how many links that takes.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use subrosa_protocol::client_link::{self, ClientLink, Event, LinkError, Purpose, VaultFault};
use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::ids::{RendezvousId, VaultId};
use subrosa_protocol::limits::VAULTS_PER_LINK_MAX;

use super::board::Standing;
use super::pulse::{Beat, Pulse};
use super::work::{Answer, Work};
use crate::error::{SyncFailure, SyncFault};

/// How often the wall clock is looked at while groups are held for it.
const CLOCK_LOOK: Duration = Duration::from_secs(10);

/// How often datagrams are counted while somebody asks.
const ANSWER_LOOK: Duration = Duration::from_millis(5);

/// What a link is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// A share of the vaults of the device, from 0; `writes` and `asks` are how many there were before.
    Sync { share: usize, writes: u64, asks: u64 },
    /// A rendezvous, and the vault that proves a member if it is to be opened.
    Meet { id: RendezvousId, member: Option<VaultId> },
}

/// One thing that happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, taken in at once")]
pub(super) enum MachineInput {
    /// A frame on the control stream.
    Frame(Bytes),
    /// Something on a feed. Not while [`Machine::reads_feeds`] says no.
    Feed { stream: u64, event: FeedEvent },
    /// The store has answered.
    Answer(Answer),
    /// Something was written on this device, perhaps a new vault; so many writes by now.
    Written { writes: u64 },
    /// Somebody wants to know whether everything is here that the relay has: so many have asked by now, and so many
    /// datagrams have arrived.
    Asked { asks: u64, datagrams: u64 },
    /// What is said in the meeting.
    Say(Vec<u8>),
    /// This machine's way to the network is another one; so many datagrams have arrived.
    PathChanged { datagrams: u64 },
    /// How long until groups that are held for the clock can be merged, as the wall clock has it now. To be handed in
    /// before every wait.
    Held { wait: Option<Duration> },
    /// [`Machine::deadline`] has come; so many datagrams have arrived.
    Timeout { datagrams: u64 },
}

/// Something on a feed.
#[derive(Debug)]
pub(super) enum FeedEvent {
    Frame(Bytes),
    Closed,
    /// A length that no frame has.
    Unreadable(DecodeError),
    /// More at a time of frames that are not whole than any honest relay begins.
    TooMuchBegun,
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum MachineOutput {
    /// Put these bytes on the control stream.
    Send(Bytes),
    /// Read no more of a feed, and hand in its end.
    StopFeed { stream: u64 },
    /// Make the peer's transport answer.
    Probe,
    /// So many links carry the vaults of this device.
    Links(usize),
    /// Something that those who watch may want to know.
    News(News),
    /// Something for the owner of the meeting.
    Heard(Heard),
}

/// What those who watch are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Event(Event),
    /// A vault rests, and why, as far as link and store know together.
    Rests {
        vault: VaultId,
        fault: SyncFault,
        retry: Duration,
    },
    /// Nothing is sealed in a vault before an update.
    UpdateNeeded {
        vault: VaultId,
    },
    /// By how much the wall clock is ahead of the relay's, if that is worth telling.
    Clock {
        ahead_ms: Option<i64>,
    },
}

/// What happens in a rendezvous.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message(Vec<u8>),
    Parted,
}

/// A question that waits for a sign of life.
#[derive(Clone, Copy, Debug)]
struct Asked {
    asks: u64,
    /// When it came, in all.
    datagrams: u64,
    /// When to look for more of them.
    look: Instant,
}

/// One link. See the module.
#[derive(Debug)]
pub(super) struct Machine {
    link: ClientLink,
    /// `None` for a meeting.
    share: Option<usize>,
    pulse: Pulse,
    work: VecDeque<Work>,
    out: VecDeque<MachineOutput>,
    greeted: bool,
    /// Lists of vaults asked for and not here.
    listing: usize,
    /// Links that the vaults listed last take.
    links: usize,
    /// The vaults on this link.
    vaults: BTreeSet<VaultId>,
    /// Local writes that the link knows of.
    noted: u64,
    /// Groups held for the clock are being merged.
    merging: bool,
    held_due: Option<Instant>,
    /// Who asks, while the relay has not shown itself since.
    asked: Option<Asked>,
    /// Since how many had asked the relay has shown itself.
    answered: u64,
    /// The other side of the meeting is there.
    met: bool,
    /// What the store found about the vault whose fault is handed in.
    found: Option<SyncFault>,
    /// What ends a meeting before it began.
    unwelcome: Option<SyncFailure>,
}

impl Machine {
    /// A link whose transport is up and whose relay proved the pinned key.
    pub(super) fn new(now: Instant, invite: Option<Vec<u8>>, errand: &Errand) -> Result<Self, SyncFailure> {
        let share = if let Errand::Sync { share, .. } = errand { Some(*share) } else { None };
        let mut machine = Self {
            link: ClientLink::new(now, invite),
            share,
            pulse: Pulse::new(now),
            work: VecDeque::new(),
            out: VecDeque::new(),
            greeted: false,
            listing: 0,
            links: 1,
            vaults: BTreeSet::new(),
            noted: 0,
            merging: false,
            held_due: None,
            asked: None,
            answered: 0,
            met: false,
            found: None,
            unwelcome: None,
        };
        match *errand {
            Errand::Sync { writes, asks, .. } => {
                // The answer to HELLO comes after them.
                machine.answered = asks;
                machine.give(now, client_link::Input::Ask { number: asks })?;
                machine.list(writes);
                machine.drain();
            }
            Errand::Meet { id, member: None } => machine.give(now, client_link::Input::Join { id })?,
            Errand::Meet { id, member: Some(vault) } => {
                machine.give(now, client_link::Input::Add { vault, purpose: Purpose::Member })?;
                machine.give(now, client_link::Input::Open { id })?;
            }
        }
        Ok(machine)
    }

    /// Takes in exactly one thing that happened. An error ends the link.
    pub(super) fn handle(&mut self, now: Instant, input: MachineInput) -> Result<(), SyncFailure> {
        match input {
            MachineInput::Frame(frame) => {
                self.pulse.heard(now);
                self.sign_of_life();
                self.give(now, client_link::Input::Frame(frame))?;
            }
            MachineInput::Feed { stream, event } => {
                self.pulse.heard(now);
                self.give(
                    now,
                    match event {
                        FeedEvent::Frame(frame) => client_link::Input::Feed { stream, frame },
                        FeedEvent::Closed => client_link::Input::FeedClosed { stream },
                        FeedEvent::Unreadable(error) => return Err(LinkError::Decode(error).into()),
                        FeedEvent::TooMuchBegun => return Err(LinkError::TooMuchBegun.into()),
                    },
                )?;
            }
            MachineInput::Answer(answer) => self.answer(now, answer)?,
            MachineInput::Written { writes } => self.written(now, writes)?,
            MachineInput::Asked { asks, datagrams } => self.asked(now, asks, datagrams)?,
            MachineInput::Say(message) => self.give(now, client_link::Input::Say { message })?,
            MachineInput::PathChanged { datagrams } => {
                self.out.push_back(MachineOutput::Probe);
                self.pulse.suspect(now, datagrams);
            }
            MachineInput::Held { wait } => self.held(now, wait),
            MachineInput::Timeout { datagrams } => self.timeout(now, datagrams)?,
        }
        self.unwelcome.take().map_or(Ok(()), Err)
    }

    /// The next thing to do. Drain to `None` before the next [`Machine::handle`].
    pub(super) fn poll(&mut self) -> Option<MachineOutput> {
        self.out.pop_front()
    }

    /// The next thing for the store, in the order in which it is to be done. A driver that cannot hand it over now
    /// leaves it here: what is asked for twice before it has begun is done once.
    pub(super) fn next_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// When to hand in [`MachineInput::Timeout`].
    pub(super) fn deadline(&self) -> Instant {
        let others = [self.link.deadline(), self.held_due, self.asked.map(|asked| asked.look)];
        others.into_iter().flatten().fold(self.pulse.due(), Instant::min)
    }

    /// Whether feed frames may be handed in.
    pub(super) const fn reads_feeds(&self) -> bool {
        self.link.reads_feeds()
    }

    /// Whether the store has a batch: what arrives now waits for it.
    pub(super) const fn is_delivering(&self) -> bool {
        self.link.is_delivering()
    }

    /// Whether the other side of the meeting is there: then what is said may be handed in.
    pub(super) const fn is_met(&self) -> bool {
        self.met
    }

    /// How the link stands.
    pub(super) fn standing(&self) -> Standing {
        let noted = |done: bool| (self.listing == 0 && done).then_some(self.noted);
        Standing {
            greeted: self.greeted,
            synced: noted(self.link.is_synced()),
            settled: noted(self.link.is_settled()),
            answered: self.answered.min(self.link.answered()),
            progress: self.link.progress(),
        }
    }

    fn give(&mut self, now: Instant, input: client_link::Input) -> Result<(), SyncFailure> {
        let result = self.link.handle(now, input);
        self.drain();
        Ok(result?)
    }

    /// Sorts what the link asks for.
    fn drain(&mut self) {
        while let Some(output) = self.link.poll() {
            match output {
                client_link::Output::Send(bytes) => self.out.push_back(MachineOutput::Send(bytes)),
                client_link::Output::StopFeed { stream } => {
                    self.out.push_back(MachineOutput::StopFeed { stream })
                }
                client_link::Output::Event(event) => self.report(event),
                output => self.work.push_back(Work::Link(output)),
            }
        }
    }

    fn report(&mut self, event: Event) {
        self.greeted |= event == Event::Greeted;
        if self.share.is_none() {
            return self.report_meeting(event);
        }
        self.out.push_back(MachineOutput::News(match event {
            Event::Rests { vault, fault, retry } => News::Rests { vault, fault: self.explain(fault), retry },
            event => News::Event(event),
        }));
    }

    fn report_meeting(&mut self, event: Event) {
        match event {
            Event::Met => self.met = true,
            Event::Heard { message } => self.out.push_back(MachineOutput::Heard(Heard::Message(message))),
            Event::Parted => self.out.push_back(MachineOutput::Heard(Heard::Parted)),
            Event::Refused { refusal, .. } => self.unwelcome = Some(LinkError::Refused(refusal).into()),
            // It may still become able to prove itself; the owner gives up in his time.
            Event::Rests { fault: VaultFault::Unable, .. } => {}
            Event::Rests { fault, .. } => self.unwelcome = Some(self.explain(fault).into()),
            _ => {}
        }
    }

    /// The store has told us, and not the link, what it found.
    fn explain(&self, fault: VaultFault) -> SyncFault {
        match (fault, self.found) {
            (VaultFault::Store, Some(found)) => found,
            (fault, _) => fault.into(),
        }
    }

    fn answer(&mut self, now: Instant, answer: Answer) -> Result<(), SyncFailure> {
        match answer {
            Answer::Done => {}
            Answer::Clock { ahead_ms } => self.out.push_back(MachineOutput::News(News::Clock { ahead_ms })),
            Answer::Merged => {
                self.merging = false;
                // What waited for its time may be to be carried.
                for vault in self.vaults.clone() {
                    self.give(now, client_link::Input::Written { vault })?;
                }
            }
            Answer::Input(input) => self.give(now, input)?,
            Answer::UpdateNeeded { vault, input } => {
                self.out.push_back(MachineOutput::News(News::UpdateNeeded { vault }));
                self.give(now, input)?;
            }
            Answer::Faulty { vault, fault, answered } => {
                self.found = Some(fault);
                self.give(now, client_link::Input::Faulty { vault })?;
                self.found = None;
                answered.map_or(Ok(()), |answered| self.give(now, answered))?;
            }
            Answer::Failed(error) => return Err(SyncFailure::Store(error.into())),
            Answer::Vaults(vaults) => self.listed(now, &vaults)?,
        }
        Ok(())
    }

    /// Takes this link's share of the vaults.
    fn listed(&mut self, now: Instant, vaults: &[VaultId]) -> Result<(), SyncFailure> {
        self.listing = self.listing.saturating_sub(1);
        let links = vaults.len().div_ceil(VAULTS_PER_LINK_MAX);
        if links > self.links {
            self.links = links;
            self.out.push_back(MachineOutput::Links(links));
        }
        let Some(share) = self.share else { return Ok(()) };
        for vault in vaults.chunks(VAULTS_PER_LINK_MAX).nth(share).unwrap_or_default() {
            if self.vaults.insert(*vault) {
                self.give(now, client_link::Input::Add { vault: *vault, purpose: Purpose::Sync })?;
            }
        }
        Ok(())
    }

    fn written(&mut self, now: Instant, writes: u64) -> Result<(), SyncFailure> {
        self.list(writes);
        for vault in self.vaults.clone() {
            self.give(now, client_link::Input::Written { vault })?;
        }
        Ok(())
    }

    fn list(&mut self, writes: u64) {
        self.noted = writes;
        // One that has not begun will see what was written by now.
        if !self.work.iter().any(|work| matches!(work, Work::List)) {
            self.listing += 1;
            self.work.push_back(Work::List);
        }
    }

    /// One link does it for all: groups are held for the clock, not for a relay.
    fn held(&mut self, now: Instant, wait: Option<Duration>) {
        self.held_due = None;
        if self.share != Some(0) || self.merging {
            return;
        }
        match wait {
            Some(Duration::ZERO) => {
                self.merging = true;
                self.work.push_back(Work::MergeHeld);
            }
            // The wall clock may jump meanwhile.
            Some(wait) => self.held_due = Some(now + wait.min(CLOCK_LOOK)),
            None => {}
        }
    }

    /// Asks the relay whether everything is here, and makes its transport answer, unless it has shown itself since: a path
    /// that is dead is to be noticed soon.
    fn asked(&mut self, now: Instant, asks: u64, datagrams: u64) -> Result<(), SyncFailure> {
        self.look(now, datagrams);
        self.give(now, client_link::Input::Ask { number: asks })?;
        if asks > self.answered {
            self.asked = Some(Asked { asks, datagrams, look: now + ANSWER_LOOK });
            self.pulse.ask(now, datagrams);
            self.out.push_back(MachineOutput::Probe);
        }
        Ok(())
    }

    fn look(&mut self, now: Instant, datagrams: u64) {
        match &mut self.asked {
            Some(asked) if datagrams > asked.datagrams => self.sign_of_life(),
            Some(asked) => asked.look = now + ANSWER_LOOK,
            None => {}
        }
    }

    fn sign_of_life(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.answered = asked.asks;
        }
    }

    fn timeout(&mut self, now: Instant, datagrams: u64) -> Result<(), SyncFailure> {
        self.look(now, datagrams);
        match self.pulse.beat(now, self.link.is_waiting(), datagrams) {
            Beat::Nothing => {}
            Beat::Dead => return Err(SyncFailure::Lost),
            Beat::Probe => self.out.push_back(MachineOutput::Probe),
        }
        if self.link.deadline().is_some_and(|deadline| deadline <= now) {
            self.give(now, client_link::Input::Timeout)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
