//! What goes into and comes out of a [`RelayLink`](super::RelayLink).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Admission, Creation, Feed, RendezvousRequest, Want};
use crate::codec::DecodeError;
use crate::error::ErrorCode;
use crate::frame::{LogKey, RelayFrame, RelayLimits, SHORT_CHAIN_LEN, ShortHead};
use crate::ids::{Base, Digest, Generation, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use crate::segment::{Class, SealedSegment};
use crate::statement::Statement;
use crate::vouch::CheckedVouch;

/// The driver's clocks at the moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic time since any fixed point that all calls on one relay share.
    pub mono: Duration,
    /// Unix milliseconds.
    pub wall_ms: u64,
}

/// What a link is born with.
#[derive(Clone, Copy, Debug)]
pub struct LinkConfig {
    /// TLS exporter value of the connection, under [`crate::labels::EXPORTER`].
    pub exporter: [u8; 32],
    /// This life of the relay's database.
    pub incarnation: Incarnation,
    /// What HELLO announces and PUSH is held to.
    pub limits: RelayLimits,
    /// The relay's own key: checks invites and grants.
    pub relay: PublicKeyBytes,
    /// Whether strangers may create vaults.
    pub admission: Admission,
}

/// A vault as the relay knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownVault {
    /// The whole chain, from generation 0; never empty. One for all links that are told of it.
    pub statements: Arc<[Statement]>,
    /// Bytes it may hold.
    pub quota_bytes: u64,
    /// Bytes it holds.
    pub used_bytes: u64,
}

/// Answer to [`Output::Create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The vault as it stands now; of another link's making, if that was faster.
    pub state: KnownVault,
    /// [`crate::token::Grant`] bytes.
    pub grant: Vec<u8>,
}

/// One log's head with where the log begins, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassedHead {
    /// Its last segment.
    pub head: Head,
    /// Its first segment that is held.
    pub base: Base,
    /// What kinds it holds.
    pub class: Class,
}

/// What the relay holds of a log whose head a client named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadMatch {
    /// The client's word.
    pub client: ShortHead,
    /// The relay's last segment of that log; `None` when it holds nothing of it.
    pub last: Option<Seq>,
    /// First bytes of the relay's chain at the client's seq; `None` beyond the relay's last segment, and before its first.
    pub chain_there: Option<[u8; SHORT_CHAIN_LEN]>,
}

/// What LOG said of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduced {
    /// Its key, and where it begins.
    pub key: LogKey,
    /// Who vouches for it.
    pub vouch: Option<CheckedVouch>,
}

/// Segments to verify and append, in one durable step with whatever else is waiting.
#[derive(Clone, Debug)]
pub struct Append {
    /// Which vault.
    pub vault: VaultId,
    /// What LOG frames of this link said of logs among `segments`.
    pub introduced: Vec<Introduced>,
    /// Each log's in the order given.
    pub segments: Vec<SealedSegment>,
    /// Bytes of `segments`, to be handed back in [`Appended`].
    pub bytes: usize,
}

/// One log's first segment that was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub code: ErrorCode,
    /// Seconds after which another try may help; 0 when waiting does not help.
    pub retry_after_secs: u32,
    /// Which log.
    pub log: LogId,
    /// Which segment; those of the same log after it were dropped too.
    pub seq: Seq,
}

/// Outcome of an [`Append`]: what it lists is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Which vault.
    pub vault: VaultId,
    /// As in the [`Append`].
    pub bytes: usize,
    /// Appended now or held before.
    pub entries: Vec<Head>,
    /// The highest rseq among `entries`.
    pub rseq: Rseq,
    /// The first refused segment of each log that has one.
    pub refused: Vec<Refused>,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// A whole frame from the control stream, length prefix removed.
    Frame(Bytes),
    /// Answers [`Output::LoadVault`].
    Vault(Option<KnownVault>),
    /// Answers [`Output::Create`].
    Created(Result<Created, ErrorCode>),
    /// Answers [`Output::JoinStatements`].
    StatementStored(Result<KnownVault, ErrorCode>),
    /// Answers [`Output::LoadStatements`].
    Statements(Vec<Vec<u8>>),
    /// Answers [`Output::LoadDigest`].
    Digest {
        /// The vault's last rseq.
        last: Rseq,
        /// Of all heads then.
        digest: Digest,
    },
    /// Answers [`Output::LoadHeads`].
    Heads(Vec<ClassedHead>),
    /// Answers [`Output::MatchHeads`].
    Matched(Vec<HeadMatch>),
    /// Answers one [`Output::Append`].
    Appended(Appended),
    /// The relay's own fault kept it from answering the lookup that is waited for.
    Failed,
    /// Another link changed the statements of a vault that this link is a member of.
    StatementsChanged(VaultId, KnownVault),
    /// The rendezvous table has something for this link's peer.
    Deliver(RelayFrame),
    /// The relay shuts down.
    Drain,
    /// A frame of the peer came, or the peer took a feed, so slowly that its place in memory goes to another link.
    TooSlow,
    /// All links together have gathered as much of chains as they may: this one's part in it is dropped.
    NoRoom,
    /// The relay's own fault ended the vault's feed.
    FeedFailed(VaultId),
    /// [`super::RelayLink::deadline`] has passed.
    Timeout,
}

/// One thing to do, in this order.
#[derive(Debug)]
pub enum Output {
    /// Write to the control stream.
    Send(RelayFrame),
    /// Look the vault up; answer with [`Input::Vault`].
    LoadVault(VaultId),
    /// Check and create the vault; answer with [`Input::Created`].
    Create(Box<Creation>),
    /// Take what joins the vault's chain by [`crate::statement::join_within`], and tell the vault's other links if something
    /// did; answer with [`Input::StatementStored`], refused when nothing did that was not held.
    JoinStatements {
        /// Which vault.
        vault: VaultId,
        /// The tail.
        tail: Vec<Statement>,
    },
    /// Read statements of the vault's chain, as many as more than fill a part of a chain, or all there are; answer with
    /// [`Input::Statements`]. So a link that is shown a chain holds a part of it, and not the whole.
    LoadStatements {
        /// Which vault.
        vault: VaultId,
        /// From this one on.
        from: Generation,
    },
    /// Look up the vault's last rseq and the digest of its heads; answer with [`Input::Digest`].
    LoadDigest(VaultId),
    /// Read all heads; answer with [`Input::Heads`].
    LoadHeads(VaultId),
    /// Compare a client's heads with the relay's; answer with [`Input::Matched`].
    MatchHeads {
        /// Which vault.
        vault: VaultId,
        /// What the client holds.
        heads: Vec<ShortHead>,
    },
    /// Verify and append; answer with [`Input::Appended`], in any order among appends.
    Append(Append),
    /// The peer has proved membership: it may have a member's windows, and hears of statement changes.
    Joined(VaultId),
    /// The peer is no longer a member; its feed, if any, was closed before.
    Left(VaultId),
    /// Open a unidirectional stream and run this feed on it.
    OpenFeed(Box<Feed>),
    /// Reset the vault's feed stream.
    CloseFeed(VaultId),
    /// Hand to the vault's feed.
    Want(VaultId, Want),
    /// Hand to the vault's feed, behind every WANT before it: [`Feed::ask`].
    Ask(VaultId, u64),
    /// Hand to the relay's [`super::Rendezvous`] table, with this link's number and where it comes from.
    Rendezvous(RendezvousRequest),
    /// Finish the control stream and close the connection. Nothing follows.
    Close(ErrorCode),
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer sent bytes that do not parse. It has been told.
    #[error("bad frame: {0}")]
    Decode(#[from] DecodeError),
    /// The peer sent a frame out of its place, or too many of a kind. It has been told.
    #[error("frame out of place: {what}")]
    OutOfPlace {
        /// What came.
        what: &'static str,
    },
    /// The peers have no version in common. The peer has been told.
    #[error("no common version")]
    Version,
    /// The driver gave an answer that was not asked for, or a frame that was not accepted: a bug of ours.
    #[error("the driver broke the order of calls")]
    Driver,
}
