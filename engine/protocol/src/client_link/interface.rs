//! What goes into a [`ClientLink`](super::ClientLink) and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::error::Refusal;
use crate::frame::{LogKey, Role, ShortHead};
use crate::ids::{
    Digest, Generation, Head, Incarnation, LogId, PublicKeyBytes, RendezvousId, Rseq, Seq, Signature, VaultId,
};
use crate::segment::SealedSegment;
use crate::vouch::Vouch;

/// What a vault is on this link for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Subscribe and push.
    Sync,
    /// Prove membership and no more, so that a rendezvous can be opened.
    Member,
}

/// Where a vault stands at this relay, and the proof of membership for this link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// As what the device proves itself; a reader never pushes.
    pub role: Role,
    /// The key that proves it.
    pub public: PublicKeyBytes,
    /// Over `exporter | vault | role` under [`crate::labels::AUTH`].
    pub signature: Signature,
    /// The relay's incarnation that the cursor belongs to; zero for a relay never met.
    pub incarnation: Incarnation,
    /// Last rseq stored.
    pub cursor: Rseq,
    /// Digest of the heads known at the cursor.
    pub digest: Digest,
    /// What the store holds of the vault's statements.
    pub chain: HeldChain,
}

/// What a store holds of a vault's statement chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldChain {
    /// All of it; there is nothing to ask the relay.
    #[default]
    Unasked,
    /// All of it.
    Whole {
        /// Its last statement.
        last: Generation,
    },
    /// The last statement only: until the relay has shown a chain that leads there, nothing is sealed, pushed or created.
    Last,
}

/// What a vault's creation needs, and what brings a relay up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The statements held, encoded.
    pub statements: Vec<Vec<u8>>,
    /// What they are of the chain.
    pub chain: HeldChain,
    /// This relay's grant, if one was ever given.
    pub grant: Option<Vec<u8>>,
}

/// What comparing the relay's statements with ours showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatementsKept {
    /// They part, or meet nowhere: the relay's whole chain is needed.
    Ask,
    /// The store holds the whole chain.
    Compared {
        /// Its last statement.
        last: Generation,
        /// What the relay would take of ours, encoded.
        tail: Vec<Vec<u8>>,
    },
}

/// One segment off a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    /// Its place in the scan; `None` for one sent ahead or wanted.
    pub rseq: Option<Rseq>,
    /// The segment, its signature not yet checked.
    pub segment: SealedSegment,
}

/// What a feed brought since the last batch, to be stored in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedBatch {
    /// The relay's incarnation that the places belong to.
    pub incarnation: Incarnation,
    /// Logs introduced.
    pub logs: Vec<LogKey>,
    /// Segments, in the order of the feed.
    pub items: Vec<FeedItem>,
    /// Cursor and digest, when the feed had been drained after the last item.
    pub caught_up: Option<(Rseq, Digest)>,
}

/// What storing a batch showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Segments that are missing and known to exist: log, first, last.
    pub wants: Vec<(LogId, Seq, Seq)>,
    /// The batch held segments of this device's own logs that this store did not write.
    pub own_log_foreign: bool,
    /// Whether the batch's digest is ours too; `None` where it had none or it could not be told.
    pub digest_ok: Option<bool>,
    /// Statements are to be compared once more: this device has one to add.
    pub statements: bool,
}

/// What a relay is told of a log before its first segment on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLog {
    /// Its key, and where it begins.
    pub key: LogKey,
    /// This device's vouch, if it is an admin's and the log its own.
    pub vouch: Option<Vouch>,
}

/// A whole log without a vouch.
impl From<PublicKeyBytes> for OutboxLog {
    fn from(public: PublicKeyBytes) -> Self {
        Self { key: public.into(), vouch: None }
    }
}

/// Segments to push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxBatch {
    /// The logs among the segments.
    pub logs: Vec<OutboxLog>,
    /// Each log's in order.
    pub segments: Vec<SealedSegment>,
    /// There is more beyond these.
    pub more: bool,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frame on the control stream, length prefix removed.
    Frame(Bytes),
    /// A frame on a unidirectional stream of the relay. Not to be handed in while [`super::ClientLink::reads_feeds`]
    /// says no.
    Feed {
        /// The stream, any number that the driver keeps to.
        stream: u64,
        /// The frame, length prefix removed.
        frame: Bytes,
    },
    /// The relay finished or reset such a stream.
    FeedClosed {
        /// Which.
        stream: u64,
    },
    /// A vault to bring onto the link; one that is there already is left alone.
    Add {
        /// Which.
        vault: VaultId,
        /// What for.
        purpose: Purpose,
    },
    /// A vault may have ops that are not sealed.
    Written {
        /// Which.
        vault: VaultId,
    },
    /// Answers [`Output::Prepare`].
    Prepared {
        /// Which vault.
        vault: VaultId,
        /// The answer.
        prepared: Prepared,
    },
    /// Answers [`Output::Prepare`] or [`Output::LoadBirth`]: this vault cannot be proved now. It rests.
    Unable {
        /// Which vault.
        vault: VaultId,
    },
    /// The store found something about a vault that no honest relay sends, and took in nothing of it: the vault rests.
    /// What was asked of the store is answered all the same.
    Faulty {
        /// Which vault.
        vault: VaultId,
    },
    /// Answers [`Output::LoadBirth`].
    Birth {
        /// Which vault.
        vault: VaultId,
        /// The answer.
        birth: Birth,
    },
    /// Answers [`Output::StoreStatements`].
    StatementsStored {
        /// Which vault.
        vault: VaultId,
        /// The answer.
        kept: StatementsKept,
    },
    /// Answers [`Output::StoreHeads`].
    HeadsStored {
        /// Which vault.
        vault: VaultId,
        /// The relay says that it holds another chain than ours in a log of ours, which proves nothing.
        diverged: bool,
        /// The logs that this device writes.
        own: Vec<LogId>,
        /// All heads that this device holds; of those in `own` that the relay is behind with, on another chain, what is held
        /// where the relay's ends, so that it shows its own.
        heads: Vec<ShortHead>,
    },
    /// Answers [`Output::Deliver`].
    Delivered {
        /// Which vault.
        vault: VaultId,
        /// What storing showed.
        received: Received,
    },
    /// Answers [`Output::Rotate`].
    Rotated {
        /// Which vault.
        vault: VaultId,
    },
    /// Answers [`Output::Seal`].
    Sealed {
        /// Which vault.
        vault: VaultId,
        /// Ops are left to seal.
        more: bool,
    },
    /// Answers [`Output::LoadOutbox`].
    Outbox {
        /// Which vault.
        vault: VaultId,
        /// The segments.
        batch: OutboxBatch,
    },
    /// Answers [`Output::StoreAck`].
    AckStored {
        /// Which vault.
        vault: VaultId,
        /// Now that the relay has it, there may be more to seal.
        more: bool,
    },
    /// Somebody wants to know whether everything is here that the relay has acknowledged to anybody by now;
    /// [`super::ClientLink::answered`] says so. Numbers go up.
    Ask {
        /// The number of the question.
        number: u64,
    },
    /// Opens a rendezvous once a vault of this link is known to the relay.
    Open {
        /// Chosen at random.
        id: RendezvousId,
    },
    /// Joins a rendezvous.
    Join {
        /// From the pairing link.
        id: RendezvousId,
    },
    /// A message to the other side of the rendezvous; only after [`Event::Met`].
    Say {
        /// At most [`crate::limits::RENDEZVOUS_MESSAGE_BYTES_MAX`] bytes.
        message: Vec<u8>,
    },
    /// [`super::ClientLink::deadline`] has come.
    Timeout,
}

/// One thing to do. Store work is done in the order given; each request has one answer, an [`Input`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Put these bytes on the control stream.
    Send(Bytes),
    /// Load where a vault stands and sign the proof.
    Prepare {
        /// Which vault.
        vault: VaultId,
    },
    /// Load the statements, and what CREATE needs beside them.
    LoadBirth {
        /// Which vault.
        vault: VaultId,
    },
    /// Compare the relay's statements, from our last one on or from the beginning, with ours; keep what extends ours.
    StoreStatements {
        /// Which vault.
        vault: VaultId,
        /// The statements, encoded.
        statements: Vec<Vec<u8>>,
    },
    /// Keep a grant, if the relay signed it for this vault. No answer.
    StoreGrant {
        /// Which vault.
        vault: VaultId,
        /// [`crate::token::Grant`] bytes, not yet checked.
        grant: Vec<u8>,
    },
    /// The relay's clock as of HELLO. No answer.
    RelayNow {
        /// Unix milliseconds.
        now_ms: u64,
    },
    /// Forget what the relay was believed to hold: it holds this; then give all own heads.
    StoreHeads {
        /// Which vault.
        vault: VaultId,
        /// This life of the relay's database.
        incarnation: Incarnation,
        /// What it holds.
        heads: Vec<ShortHead>,
    },
    /// Store a batch durably.
    Deliver {
        /// Which vault.
        vault: VaultId,
        /// The batch.
        batch: FeedBatch,
    },
    /// Open new logs: another copy of this store was seen to have written to ours. All heads are compared afterwards.
    Rotate {
        /// Which vault.
        vault: VaultId,
    },
    /// Seal pending ops, durably.
    Seal {
        /// Which vault.
        vault: VaultId,
    },
    /// Load segments that the relay lacks.
    LoadOutbox {
        /// Which vault.
        vault: VaultId,
        /// Last segment of each log that needs no loading. Shared with the link, which copies it when it sends more while
        /// somebody still holds this.
        sent: Arc<BTreeMap<LogId, Seq>>,
        /// At most so many, but at least one segment.
        bytes_max: usize,
    },
    /// The relay holds these durably.
    StoreAck {
        /// Which vault.
        vault: VaultId,
        /// The last rseq given out to them.
        rseq: Rseq,
        /// What it lists.
        entries: Vec<Head>,
    },
    /// Read no more of a feed; its end is handed in all the same.
    StopFeed {
        /// The stream.
        stream: u64,
    },
    /// Something that those who watch may want to know.
    Event(Event),
}

/// What a link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// HELLO was answered.
    Greeted,
    /// The relay knows the vault and took the proof.
    Known {
        /// Which.
        vault: VaultId,
    },
    /// Everything the relay had when asked is stored.
    CaughtUp {
        /// Which vault.
        vault: VaultId,
    },
    /// Caught up both ways: nothing left to store, seal, push or have acknowledged.
    Synced {
        /// Which vault.
        vault: VaultId,
    },
    /// The relay refused a vault, a log or a segment; what it concerns rests for `retry`.
    Refused {
        /// The refusal, with the vault concerned.
        refusal: Refusal,
        /// Until it is tried again on this link.
        retry: Duration,
    },
    /// Something is wrong with a vault at this relay: it rests, and the others go on.
    Rests {
        /// Which vault.
        vault: VaultId,
        /// Why.
        fault: VaultFault,
        /// Until it is tried again on this link.
        retry: Duration,
    },
    /// After all heads were compared, the relay's digest still is not ours: it hides something or lost it. Said once, and
    /// again only after the digest was ours.
    Disagrees {
        /// Which vault.
        vault: VaultId,
    },
    /// The relay says that it holds another future of this device's log, and did not show it when asked once more: nothing is
    /// sealed or pushed for the vault on this link.
    Disputed {
        /// Which vault.
        vault: VaultId,
    },
    /// The relay's digest is ours; said as [`Event::Disagrees`] is.
    Agrees {
        /// Which vault.
        vault: VaultId,
    },
    /// The other side of the rendezvous is there.
    Met,
    /// It says.
    Heard {
        /// The message.
        message: Vec<u8>,
    },
    /// The rendezvous is over, or never was.
    Parted,
}

/// Why a vault rests: what a relay did wrong about it alone, or what keeps this device from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultFault {
    /// A frame of its feed does not parse.
    #[error("unreadable frame in a feed: {0}")]
    Decode(#[from] DecodeError),
    /// A frame that has no meaning where the vault stands.
    #[error("{frame} out of place")]
    OutOfPlace {
        /// Its name.
        frame: &'static str,
    },
    /// An acknowledgement of a segment that was never sent.
    #[error("segment {log}/{seq} acknowledged but never sent")]
    NotSent {
        /// Which log.
        log: LogId,
        /// Which segment.
        seq: Seq,
    },
    /// More logs than a vault may have.
    #[error("too many logs in one vault")]
    TooManyLogs,
    /// HEADS whose logs do not ascend over all parts, or a part without any that is not the last.
    #[error("heads out of order")]
    HeadsOrder,
    /// The relay ended a feed that was in use.
    #[error("its feed ended")]
    FeedEnded,
    /// The relay owes an answer about it for too long, and answers others.
    #[error("relay does not answer")]
    Silent,
    /// This device cannot prove that it is a member now.
    #[error("this device cannot prove that it is a member")]
    Unable,
    /// The store found what no honest relay sends; the driver knows what.
    #[error("what the relay sent was refused")]
    Store,
}

/// Why a link ended. What is wrong with one vault alone is a [`VaultFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// A frame that does not parse. Reconnect later; the relay is broken or hostile.
    #[error("unreadable frame: {0}")]
    Decode(#[from] DecodeError),
    /// A frame that has no meaning in this state. As above.
    #[error("{frame} out of place")]
    OutOfPlace {
        /// Its name.
        frame: &'static str,
    },
    /// The relay chose a version that was not offered.
    #[error("relay speaks version {version}")]
    Version {
        /// Which.
        version: u16,
    },
    /// A feed of a vault that was not asked for.
    #[error("feed of vault {vault}, which was not asked for")]
    NotSubscribed {
        /// Which.
        vault: VaultId,
    },
    /// HELLO and a feed name different incarnations.
    #[error("feed of another incarnation than the relay's")]
    Incarnation,
    /// More messages in the rendezvous than agreed.
    #[error("too many messages in a rendezvous")]
    TooManyMessages,
    /// More of frames that are not whole, over all feeds, than any honest relay begins at a time.
    #[error("too many large frames begun and not ended")]
    TooMuchBegun,
    /// The relay owes an answer for too long.
    #[error("relay does not answer")]
    Silent,
    /// The relay ended the link: draining, no common version, or what it says.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The driver handed in feed frames past [`super::GATHER_BYTES_MAX`], or a message before the other side was there.
    #[error("driver broke the contract of the link")]
    Misuse,
}

/// Counters of one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Segments stored, or acknowledged.
    pub segments_done: u64,
    /// As far as known, how many there are to do in all.
    pub segments_known: u64,
    /// Their bytes.
    pub bytes_done: u64,
    /// As far as known, how many bytes in all.
    pub bytes_known: u64,
}

impl Progress {
    /// Of two links together. What is known to be left is a relay's word, whatever that is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            segments_done: self.segments_done.saturating_add(other.segments_done),
            segments_known: self.segments_known.saturating_add(other.segments_known),
            bytes_done: self.bytes_done.saturating_add(other.bytes_done),
            bytes_known: self.bytes_known.saturating_add(other.bytes_known),
        }
    }

    /// What counts of a link that is over: what it left undone is known to be left no more, the next one finds it anew.
    #[must_use]
    pub const fn at_its_end(self) -> Self {
        Self { segments_known: self.segments_done, bytes_known: self.bytes_done, ..self }
    }
}

impl Input {
    /// The vault that an answer is for.
    pub(super) const fn vault(&self) -> Option<VaultId> {
        match self {
            Self::Written { vault }
            | Self::Prepared { vault, .. }
            | Self::Unable { vault }
            | Self::Faulty { vault }
            | Self::Birth { vault, .. }
            | Self::StatementsStored { vault, .. }
            | Self::HeadsStored { vault, .. }
            | Self::Delivered { vault, .. }
            | Self::Rotated { vault }
            | Self::Sealed { vault, .. }
            | Self::Outbox { vault, .. }
            | Self::AckStored { vault, .. } => Some(*vault),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_makes_up_about_the_size_of_vaults_adds_up_all_the_same() {
        let told = Progress { bytes_known: u64::MAX, segments_known: u64::MAX, ..Progress::default() };
        let done = Progress { bytes_known: 5, bytes_done: 5, segments_known: 1, segments_done: 1 };
        let sum = done.plus(told);
        assert_eq!((sum.bytes_known, sum.bytes_done), (u64::MAX, 5));
        assert_eq!((sum.segments_known, sum.segments_done), (u64::MAX, 1));
    }
}
