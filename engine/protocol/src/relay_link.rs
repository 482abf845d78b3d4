//! The relay's half of a link, without I/O: what one connection may do, and what the relay answers.
//!
//! A driver feeds [`RelayLink::handle`] with what happened, drains [`RelayLink::poll`], and does what it asks:
//! send, look up, append, open a feed. The driver decides nothing. Frames of a link are taken one at a time:
//! while [`RelayLink::accepts_frame`] is false the driver leaves the peer's bytes in the transport, whose flow
//! control then holds the peer back, so no queue in here can grow with what a peer sends.
//!
//! It must never store, decrypt or verify a segment: appending is asked for, and answered by
//! [`Input::Appended`]. Specified in `docs/PROTOCOL.md`, "The relay's link".

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

pub use self::admission::{Access, Admission, CheckedCreation, Creation};
pub use self::buckets::{Buckets, Rate, Rates};
pub use self::feed::{Feed, FeedStep, Stored, View, Want};
pub use self::io::{
    Append, Appended, ClassedHead, Created, HeadMatch, Input, Introduced, KnownVault, LinkConfig, LinkError,
    Now, Output, Refused,
};
pub use self::origin::{Origin, Prefix, Tally};
pub use self::rendezvous::{Asker, LinkNo, PeerFrame, Rendezvous, RendezvousRequest};
use self::statements::{Gathered, Showing};
use self::vaults::LinkVaults;
use crate::codec::Extensions;
use crate::digest::digest;
use crate::error::{ErrorCode, Refusal};
use crate::frame::{ClientFrame, FrameLimit, LogKey, RelayFrame, Role, VERSION, may_be_ignored};
use crate::ids::{Digest, LogId, PublicKeyBytes, Rseq, Seq, Signature, VaultId};
use crate::segment::SealedSegment;
use crate::verify::verify;
use crate::vouch::Vouch;
use crate::{labels, limits};

mod admission;
mod buckets;
mod feed;
mod io;
mod origin;
mod rendezvous;
mod statements;
mod subscription;
#[cfg(test)]
mod tests;
mod vaults;

/// A request whose answer the link waits for; no frame is taken meanwhile.
enum Waiting {
    Vault { vault: VaultId, role: Role, public: PublicKeyBytes },
    Create { vault: VaultId },
    Statement { vault: VaultId },
    Tail { vault: VaultId },
    Statements(Showing),
    Digest { vault: VaultId, cursor: Rseq, digest: Digest },
    Heads { vault: VaultId },
    Match { vault: VaultId, last: bool },
}

impl Waiting {
    const fn vault(&self) -> VaultId {
        match self {
            Self::Statements(showing) => showing.vault(),
            Self::Vault { vault, .. }
            | Self::Create { vault }
            | Self::Statement { vault }
            | Self::Tail { vault }
            | Self::Digest { vault, .. }
            | Self::Heads { vault }
            | Self::Match { vault, .. } => *vault,
        }
    }
}

/// What this link knows about one vault.
enum Vault {
    /// Proved a key for a vault that the relay does not have: CREATE is permitted.
    Pending { role: Role, public: PublicKeyBytes },
    /// Proved a key that no statement here lists: it may bring the tail of a chain that does.
    Unlisted { role: Role, public: PublicKeyBytes },
    /// Proved a key that the vault's statements list.
    Member(Member),
}

struct Member {
    role: Role,
    public: PublicKeyBytes,
    access: Access,
    subscription: Subscription,
    /// What LOG said of logs that have nothing acknowledged on this link since.
    introduced: BTreeMap<LogId, Introduced>,
}

enum Subscription {
    None,
    /// The relay's HEADS are sent; the client's are awaited, part by part.
    AwaitingHeads(Box<Comparison>),
    Live,
}

impl Subscription {
    const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// What the client's HEADS have said so far. Of its heads only that is kept which concerns logs that the relay has.
struct Comparison {
    /// What is left out of it is known part by part.
    feed: Feed,
    /// The last log named.
    after: Option<LogId>,
    /// How many were named.
    named: usize,
}

enum Phase {
    /// HELLO has not come.
    Fresh,
    Open,
    /// No frame is taken any more; closes once the appends under way are acknowledged.
    Draining,
    Closed,
}

/// One connection, seen from the relay. See the module's documentation.
pub struct RelayLink {
    config: LinkConfig,
    phase: Phase,
    vaults: LinkVaults<Vault>,
    waiting: Option<Waiting>,
    appends: usize,
    append_bytes: usize,
    auth_failures: usize,
    joins: usize,
    /// What has come of a chain.
    gathered: Option<Gathered>,
    /// A chain that the peer asked for, and has not all of.
    showing: Option<Showing>,
    /// Bytes of the chain that the driver works on.
    chain_bytes: usize,
    /// Tails after which the key was still not listed.
    tails: usize,
    deadline: Option<Duration>,
    outputs: VecDeque<Output>,
}

impl RelayLink {
    /// A link whose connection has just been made.
    #[must_use]
    pub fn new(now: Now, config: LinkConfig) -> Self {
        Self {
            config,
            phase: Phase::Fresh,
            vaults: LinkVaults::new(),
            waiting: None,
            appends: 0,
            append_bytes: 0,
            auth_failures: 0,
            joins: 0,
            gathered: None,
            showing: None,
            chain_bytes: 0,
            tails: 0,
            deadline: Some(now.mono + limits::AUTH_DEADLINE),
            outputs: VecDeque::new(),
        }
    }

    /// Whether the next frame may be handed in.
    #[must_use]
    pub fn accepts_frame(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::Open)
            && self.waiting.is_none()
            && self.appends < limits::APPENDS_PER_LINK_MAX
            && self.append_bytes < limits::PUSH_WINDOW_BYTES
    }

    /// How large the next frame may be: strangers get little.
    #[must_use]
    pub fn frame_limit(&self) -> FrameLimit {
        if self.is_member() { FrameLimit::FULL } else { FrameLimit::UNAUTHENTICATED }
    }

    /// Whether the peer has proved membership of any vault.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.vaults.values().any(|vault| matches!(vault, Vault::Member(_)))
    }

    /// When to feed [`Input::Timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let gathered = self.gathered.as_ref().map(|gathered| gathered.until);
        self.deadline.into_iter().chain(gathered).min()
    }

    /// The next thing to do. Drain to `None` before the next [`RelayLink::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front().or_else(|| self.next_shown());
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new(); // an idle link keeps no buffers
        }
        output
    }

    /// Takes in exactly one thing that happened. An error ends the link; what is left to [`RelayLink::poll`]
    /// tells the peer why.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), LinkError> {
        if matches!(self.phase, Phase::Closed) {
            return Ok(());
        }
        let result = match input {
            Input::Frame(frame) if self.accepts_frame() => self.on_frame(now, &frame),
            Input::Frame(_) => Err(LinkError::Driver),
            Input::Appended(appended) => self.on_appended(appended),
            Input::StatementsChanged(vault, state) => {
                self.on_statements_changed(&vault, &state);
                Ok(())
            }
            Input::Deliver(frame) => {
                if matches!(frame, RelayFrame::RendezvousReady { .. }) && !self.is_member() {
                    self.deadline = Some(now.mono + Duration::from_secs(limits::RENDEZVOUS_SECONDS));
                }
                self.send(frame);
                Ok(())
            }
            Input::Drain => {
                self.send(RelayFrame::Error(
                    Refusal::link(ErrorCode::Draining).retry_after(limits::DRAIN_RETRY_SECS),
                ));
                self.phase = Phase::Draining;
                self.close_if_drained();
                Ok(())
            }
            Input::Timeout => {
                self.on_timeout(now);
                Ok(())
            }
            Input::TooSlow => {
                self.refuse(Refusal::link(ErrorCode::RateLimited).retry_after(limits::RETRY_SECS));
                self.close(ErrorCode::RateLimited);
                Ok(())
            }
            Input::NoRoom => {
                self.on_no_room();
                Ok(())
            }
            Input::FeedFailed(vault) => {
                self.on_feed_failed(vault);
                Ok(())
            }
            answer => self.on_answer(now, answer),
        };
        if let Err(error) = &result {
            let code = match error {
                LinkError::Version => ErrorCode::Version,
                LinkError::Driver => ErrorCode::Internal,
                LinkError::Decode(_) | LinkError::OutOfPlace { .. } => ErrorCode::BadFrame,
            };
            self.refuse(Refusal::link(code));
            self.close(code);
        }
        result
    }

    fn on_frame(&mut self, now: Now, frame: &Bytes) -> Result<(), LinkError> {
        if may_be_ignored(frame) && !matches!(self.phase, Phase::Fresh) {
            return Ok(()); // of a newer version, which can do without an answer
        }
        let frame = ClientFrame::decode(frame)?;
        match (&self.phase, frame) {
            (Phase::Fresh, ClientFrame::Hello { versions, .. }) => self.on_hello(now, &versions),
            (Phase::Fresh, _) => Err(LinkError::OutOfPlace { what: "no HELLO" }),
            (_, ClientFrame::Hello { .. }) => Err(LinkError::OutOfPlace { what: "second HELLO" }),
            (_, ClientFrame::Auth { vault, role, public, signature }) => {
                self.on_auth(vault, role, public, &signature);
                Ok(())
            }
            (_, ClientFrame::Create { vault, credential }) => {
                self.on_create(now, vault, &credential);
                Ok(())
            }
            (_, ClientFrame::StatementsWant { vault, from }) => {
                self.on_statements_want(vault, from);
                Ok(())
            }
            (_, ClientFrame::Statements(part)) => {
                self.on_statements(now, part);
                Ok(())
            }
            (_, ClientFrame::Statement { vault, statement }) => {
                self.on_statement(vault, &statement);
                Ok(())
            }
            (_, ClientFrame::Subscribe { vault, incarnation, cursor, digest }) => {
                self.on_subscribe(vault, incarnation, cursor, digest);
                Ok(())
            }
            (_, ClientFrame::Heads { vault, last, heads }) => self.on_heads(vault, last, heads),
            (_, ClientFrame::Log { vault, public, base, vouch }) => {
                self.on_log(vault, LogKey { public, base }, vouch);
                Ok(())
            }
            (_, ClientFrame::Push { vault, segments }) => {
                self.on_push(vault, segments);
                Ok(())
            }
            (_, ClientFrame::Want { vault, log, from, to }) => {
                self.on_want(vault, log, from, to);
                Ok(())
            }
            (_, ClientFrame::Ask { vault, number }) => {
                self.on_ask(vault, number);
                Ok(())
            }
            (_, ClientFrame::RendezvousOpen { id }) => {
                self.on_rendezvous(RendezvousRequest::Open(id));
                Ok(())
            }
            (_, ClientFrame::RendezvousJoin { id }) => {
                self.on_rendezvous(RendezvousRequest::Join(id));
                Ok(())
            }
            (_, ClientFrame::RendezvousData { id, message }) => {
                self.on_rendezvous(RendezvousRequest::Data(id, message));
                Ok(())
            }
        }
    }

    fn on_hello(&mut self, now: Now, versions: &[u16]) -> Result<(), LinkError> {
        if !versions.contains(&VERSION) {
            return Err(LinkError::Version);
        }
        self.phase = Phase::Open;
        self.send(RelayFrame::Hello {
            version: VERSION,
            incarnation: self.config.incarnation,
            limits: self.config.limits,
            now_ms: now.wall_ms,
            caps: 0,
            extensions: Extensions::new(),
        });
        Ok(())
    }

    fn on_auth(&mut self, vault: VaultId, role: Role, public: PublicKeyBytes, signature: &Signature) {
        let known = self.vaults.contains_key(&vault);
        if !known && self.vaults.len() >= usize::from(self.config.limits.vaults_max) {
            return self.refuse(Refusal::vault(ErrorCode::TooManyVaults, vault));
        }
        let mut payload = [0; 65];
        payload[..32].copy_from_slice(&self.config.exporter);
        payload[32..64].copy_from_slice(vault.as_bytes());
        payload[64] = role as u8;
        if verify(&public, labels::AUTH, &payload, signature).is_err() {
            return self.auth_failed(vault);
        }
        self.waiting = Some(Waiting::Vault { vault, role, public });
        self.outputs.push_back(Output::LoadVault(vault));
    }

    /// Says so; a peer that keeps guessing is cut off, since every guess costs a signature check.
    fn auth_failed(&mut self, vault: VaultId) {
        self.refuse(Refusal::vault(ErrorCode::AuthFailed, vault));
        self.guessed();
    }

    fn guessed(&mut self) {
        self.auth_failures += 1;
        if self.auth_failures >= limits::AUTH_FAILURES_MAX {
            self.close(ErrorCode::AuthFailed);
        }
    }

    /// A vouch that does not hold counts as a guess: it costs as much to check as one.
    fn on_log(&mut self, vault: VaultId, key: LogKey, vouch: Option<Vouch>) {
        let log = LogId::of(&key.public);
        let Some(member) = self.writer(vault) else { return };
        if member.introduced.len() >= limits::LOGS_INTRODUCED_MAX && !member.introduced.contains_key(&log) {
            return self.refuse(Refusal::segment(ErrorCode::TooManyLogs, vault, log, key.base.seq));
        }
        match vouch.map(|vouch| vouch.check(&vault, &key.public)).transpose() {
            Ok(vouch) => {
                member.introduced.insert(log, Introduced { key, vouch });
            }
            Err(_) => {
                self.refuse(Refusal::segment(ErrorCode::BadSignature, vault, log, key.base.seq));
                self.guessed();
            }
        }
    }

    fn on_push(&mut self, vault: VaultId, segments: Vec<SealedSegment>) {
        let bytes_max = self.config.limits.segment_bytes_max as usize;
        let Some(member) = self.writer(vault) else { return };
        let mut stopped: Vec<LogId> = Vec::new();
        let mut refusals = Vec::new();
        let mut introduced = BTreeMap::new();
        let mut taken = Vec::with_capacity(segments.len());
        for segment in segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if stopped.contains(&log) {
                continue;
            }
            if segment.bytes().len() > bytes_max {
                stopped.push(log);
                refusals.push(Refusal::segment(ErrorCode::SegmentTooLarge, vault, log, seq));
                continue;
            }
            if let Some(known) = member.introduced.get(&log) {
                introduced.insert(log, *known);
            }
            taken.push(segment);
        }
        if !taken.is_empty() {
            let bytes = taken.iter().map(|segment| segment.bytes().len()).sum();
            self.appends += 1;
            self.append_bytes += bytes;
            let introduced = introduced.into_values().collect();
            self.outputs.push_back(Output::Append(Append { vault, introduced, segments: taken, bytes }));
        }
        for refusal in refusals {
            self.refuse(refusal);
        }
    }

    fn on_appended(&mut self, appended: Appended) -> Result<(), LinkError> {
        let Appended { vault, bytes, entries, rseq, refused } = appended;
        self.appends = self.appends.checked_sub(1).ok_or(LinkError::Driver)?;
        self.append_bytes = self.append_bytes.checked_sub(bytes).ok_or(LinkError::Driver)?;
        if let Some(Vault::Member(member)) = self.vaults.get_mut(&vault) {
            for entry in &entries {
                member.introduced.remove(&entry.log); // the relay has the key now
            }
        }
        for entries in entries.chunks(limits::ACK_ENTRIES_MAX) {
            self.send(RelayFrame::Ack { vault, rseq, entries: entries.to_vec() });
        }
        for Refused { code, retry_after_secs, log, seq } in refused {
            self.refuse(Refusal::segment(code, vault, log, seq).retry_after(retry_after_secs));
        }
        self.close_if_drained();
        Ok(())
    }

    fn on_want(&mut self, vault: VaultId, log: LogId, from: Seq, to: Seq) {
        let Some(member) = self.member(vault) else { return };
        if member.subscription.is_live() && from <= to {
            self.outputs.push_back(Output::Want(vault, Want { log, from, to }));
        } else {
            self.refuse(Refusal::segment(ErrorCode::Gap, vault, log, from));
        }
    }

    fn on_rendezvous(&mut self, request: RendezvousRequest) {
        let refused = match request {
            RendezvousRequest::Open(_) => {
                let current = self.vaults.values().any(
                    |vault| matches!(vault, Vault::Member(member) if matches!(member.access, Access::Current(_))),
                );
                (!current).then_some(ErrorCode::AuthFailed)
            }
            RendezvousRequest::Join(_) => {
                self.joins += 1;
                (self.joins > limits::JOINS_PER_LINK_MAX).then_some(ErrorCode::RateLimited)
            }
            RendezvousRequest::Data(..) => None,
        };
        match refused {
            Some(ErrorCode::RateLimited) => {
                self.refuse(Refusal::link(ErrorCode::RateLimited).retry_after(60));
                self.close(ErrorCode::RateLimited);
            }
            Some(code) => self.refuse(Refusal::link(code)),
            None => self.outputs.push_back(Output::Rendezvous(request)),
        }
    }

    fn on_timeout(&mut self, now: Now) {
        self.gathered.take_if(|gathered| gathered.until <= now.mono);
        if self.deadline.is_none_or(|deadline| now.mono < deadline) {
            return;
        }
        self.deadline = None;
        if !self.is_member() {
            self.refuse(Refusal::link(ErrorCode::AuthFailed));
            self.close(ErrorCode::AuthFailed);
        }
    }

    /// The member of `vault`, or an error to the peer.
    fn member(&mut self, vault: VaultId) -> Option<&mut Member> {
        let code = match self.vaults.get(&vault) {
            Some(Vault::Member(_)) => None,
            Some(Vault::Pending { .. }) => Some(ErrorCode::UnknownVault),
            Some(Vault::Unlisted { .. }) | None => Some(ErrorCode::AuthFailed),
        };
        if let Some(code) = code {
            self.refuse(Refusal::vault(code, vault));
        }
        match self.vaults.get_mut(&vault) {
            Some(Vault::Member(member)) => Some(member),
            Some(Vault::Pending { .. } | Vault::Unlisted { .. }) | None => None,
        }
    }

    /// The member of `vault` if it may write, or an error to the peer.
    fn writer(&mut self, vault: VaultId) -> Option<&mut Member> {
        let access = self.member(vault)?.access;
        if access != Access::Current(Role::Writer) {
            self.refuse(Refusal::vault(ErrorCode::NotWriter, vault));
            return None;
        }
        match self.vaults.get_mut(&vault) {
            Some(Vault::Member(member)) => Some(member),
            Some(Vault::Pending { .. } | Vault::Unlisted { .. }) | None => None,
        }
    }

    fn send(&mut self, frame: RelayFrame) {
        self.outputs.push_back(Output::Send(frame));
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.send(RelayFrame::Error(refusal));
    }

    /// Nothing is waited for, and nothing gathers, any more.
    fn close(&mut self, code: ErrorCode) {
        self.phase = Phase::Closed;
        self.deadline = None;
        self.gathered = None;
        self.showing = None;
        self.outputs.push_back(Output::Close(code));
    }

    fn close_if_drained(&mut self) {
        if matches!(self.phase, Phase::Draining) && self.appends == 0 {
            self.close(ErrorCode::Draining);
        }
    }
}

/// The digest that a client at cursor 0 names.
#[must_use]
pub fn digest_of_nothing() -> Digest {
    digest(&[])
}
