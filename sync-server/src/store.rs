//! What a relay keeps: vaults, their statement chains, logs and segments, behind [`LogStore`].
//!
//! An implementation stores bytes that strangers chose. It must never acknowledge what is not durable, never
//! show an rseq before its commit, and never leave a gap in a log or a vault's rseq. Every call blocks: it
//! belongs on a blocking thread. All implementations pass the suite in `store/conformance.rs`.

use std::ops::ControlFlow;

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::ShortHead;
use subrosa_protocol::ids::{
    Chain, Digest, Generation, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId,
};
use subrosa_protocol::relay_link::{CheckedCreation, ClassedHead, HeadMatch, Refused, Stored, Want};
use subrosa_protocol::segment::{Class, SealedSegment, VerifiedSegment};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Invite;
use subrosa_protocol::vouch::CheckedVouch;

pub use self::redb_store::RedbStore;
#[cfg(test)]
pub(crate) use self::redb_store::test_disk::on_a_disk;
#[cfg(feature = "testing")]
pub(crate) use self::rows::read_rows;

mod redb_store;
mod rows;
mod verify_all;

/// Why the store could not do its work. Nothing of the call was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full. The store has reopened itself; reads work.
    #[error("the disk is full")]
    Full,
    /// Another process has the database open.
    #[error("another relay has this database open")]
    InUse,
    /// Written by a version that this one does not know. Nothing was changed.
    #[error("the database is of format {found}, this version reads format {known}: {}", remedy_of_format(*found, *known))]
    Format {
        /// What the file says.
        found: u64,
        /// The one format that this version reads.
        known: u64,
    },
    /// What the database holds contradicts itself. Devices hold the data: deleting the database and letting
    /// them send it again is safe.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// Which rule does not hold.
        what: &'static str,
    },
    /// Rows of one vault are not what was written. [`LogStore::take_back`] mends it; all other vaults go on.
    #[error("vault {} is damaged: {}", .0.vault, .0.what)]
    Vault(Damage),
    /// The database could not be opened again after a failure.
    #[error("the database is closed after an earlier failure")]
    Closed,
    /// The database or its file failed.
    #[error("database: {0}")]
    Database(#[source] Box<redb::Error>),
}

/// What the owner of a relay does about a database of another format.
const fn remedy_of_format(found: u64, known: u64) -> &'static str {
    if found < known {
        "move relay.redb away and start again; devices will send their data again"
    } else {
        "update subrosa-relay"
    }
}

/// Found while a vault was read: a row that cannot be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Whose row.
    pub vault: VaultId,
    /// The vault's last rseq in the snapshot that was read.
    pub seen: Rseq,
    /// Which rule does not hold.
    pub what: &'static str,
}

/// What [`LogStore::take_back`] did to one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// Which log.
    pub log: LogId,
    /// The first segment that is no longer held; what was before it is.
    pub from: Seq,
}

/// A vault as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRow {
    /// The statement chain, from generation 0.
    pub statements: Vec<Statement>,
    /// Quota class.
    pub class: u8,
    /// Bytes of segments held.
    pub used_bytes: u64,
}

/// A vault to which a tail of statements was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedRow {
    /// The vault now.
    pub row: VaultRow,
    /// Whether something of the tail was news.
    pub changed: bool,
}

/// Where the next segment of a log is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTip {
    /// The log's key.
    pub public: PublicKeyBytes,
    /// What kinds it holds.
    pub class: Class,
    /// Its last segment.
    pub seq: Seq,
    /// That segment's chain.
    pub chain: Chain,
    /// Whether it closes the log: nothing goes behind it.
    pub closed: bool,
}

/// A segment handed to [`LogStore::append`].
#[derive(Clone, Debug)]
pub enum Offered {
    /// Its signature holds, and it stands where its log begins here, as LOG said: the verifier knew nothing of it.
    First(VerifiedSegment),
    /// Its signature holds, and it continues the tip that the verifier knew.
    Next(VerifiedSegment),
    /// At or below that tip: a repetition, or a conflict.
    Repeated(SealedSegment),
}

impl Offered {
    /// The segment.
    #[must_use]
    pub const fn segment(&self) -> &SealedSegment {
        match self {
            Self::First(verified) | Self::Next(verified) => verified.segment(),
            Self::Repeated(segment) => segment,
        }
    }
}

/// One vault's share of a group commit.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which vault.
    pub vault: VaultId,
    /// Each log's segments in order.
    pub offered: Vec<Offered>,
    /// For logs among them.
    pub vouches: Vec<CheckedVouch>,
}

/// What became of a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Durable now: appended, or held before.
    pub entries: Vec<Head>,
    /// The highest rseq among `entries`.
    pub rseq: Rseq,
    /// First refused segment of each log.
    pub refused: Vec<Refused>,
    /// First and last rseq given out; they are contiguous.
    pub appended: Option<(Rseq, Rseq)>,
    /// The vault's rows are damaged: all of the batch was refused, and nothing of it kept.
    pub damaged: Option<Damage>,
}

/// Sums over all vaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Vaults.
    pub vaults: u64,
    /// Logs.
    pub logs: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of segments.
    pub bytes: u64,
}

/// An invite that this database remembers, and how many vaults it has created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InviteRow {
    /// As issued.
    pub invite: Invite,
    /// Vaults created with it.
    pub uses: u64,
}

/// What [`LogStore::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// What was checked.
    pub checked: Usage,
    /// What is wrong: ids and numbers only. Empty when all is well; stops at 100.
    pub problems: Vec<String>,
}

/// A position to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Last rseq seen.
    pub after: Rseq,
    /// Only segments of this class.
    pub class: Option<Class>,
}

/// Takes one stored segment; breaks to stop reading.
pub type Visit<'a> = &'a mut dyn FnMut(Stored<'_>) -> ControlFlow<()>;

/// The relay's database.
pub trait LogStore: Send + Sync + 'static {
    /// Random name of this life of the database.
    fn incarnation(&self) -> Incarnation;

    /// Looks a vault up.
    ///
    /// # Errors
    /// [`StoreError`].
    fn vault(&self, vault: &VaultId) -> Result<Option<VaultRow>, StoreError>;

    /// Creates a vault and counts the invite, durably. A vault that is there already is returned as it is, and
    /// no use is counted.
    ///
    /// # Errors
    /// [`StoreError`]; the inner error is the client's: its invite is used up, or the relay is full.
    fn create(&self, creation: &CheckedCreation) -> Result<Result<VaultRow, ErrorCode>, StoreError>;

    /// Statements of a vault's chain from one on, as many as more than fill one part of a chain, or all there are.
    ///
    /// # Errors
    /// [`StoreError`].
    fn statements(&self, vault: &VaultId, from: Generation) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Takes what joins a vault's statement chain of a tail, which may be one statement, durably. The chain grows by at most
    /// [`STATEMENTS_PER_DAY`](subrosa_protocol::limits::STATEMENTS_PER_DAY) statements in one day, those of recovery,
    /// those that decide between rivals, and what leads to them, not counted. `day` counts from 1970.
    ///
    /// # Errors
    /// [`StoreError`]; the inner error is the client's: [`ErrorCode::RateLimited`] when nothing more joins today.
    fn join_statements(
        &self,
        vault: &VaultId,
        tail: &[Statement],
        day: u32,
    ) -> Result<Result<JoinedRow, ErrorCode>, StoreError>;

    /// The head of each log of a vault.
    ///
    /// # Errors
    /// [`StoreError`].
    fn heads(&self, vault: &VaultId) -> Result<Vec<ClassedHead>, StoreError>;

    /// A vault's last rseq and the digest of all heads then: kept, whatever the number of logs.
    ///
    /// # Errors
    /// [`StoreError`].
    fn digest(&self, vault: &VaultId) -> Result<(Rseq, Digest), StoreError>;

    /// Compares heads that a client names with what is held.
    ///
    /// # Errors
    /// [`StoreError`].
    fn match_heads(&self, vault: &VaultId, heads: &[ShortHead]) -> Result<Vec<HeadMatch>, StoreError>;

    /// Where a log stands.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tip(&self, vault: &VaultId, log: &LogId) -> Result<Option<LogTip>, StoreError>;

    /// Appends what continues its log and is within quota, in one durable commit for all batches. One outcome
    /// for each batch. A batch whose vault is damaged is refused in its outcome, and fails no other.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of any batch is kept.
    fn append(&self, batches: &[Batch]) -> Result<Vec<Outcome>, StoreError>;

    /// Checks every row of a vault in which damage was found, and takes each log that has some back to before it, as
    /// if its later segments had never come: they are removed in one durable transaction, counts and heads follow,
    /// and the vault's last rseq grows by one, which no segment ever has. So whoever knew a later head sees by the
    /// digest that it is gone, and gives the segments again. When somebody else has done so since the damage was
    /// seen, nothing is left to do. Reads all of the vault.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what is wrong lies outside of the logs, or cannot be found again.
    fn take_back(&self, damage: &Damage) -> Result<Vec<TakenBack>, StoreError>;

    /// Visits a vault's segments in rseq order, from one snapshot, each checked against the chain and the mark of its
    /// place first. Returns the vault's last rseq and, when all
    /// classes were asked for, the digest of all heads; `None` when the visitor stopped early.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Vault`] before the first segment that is not what was appended.
    fn scan(
        &self,
        vault: &VaultId,
        scan: Scan,
        visit: Visit<'_>,
    ) -> Result<Option<(Rseq, Digest)>, StoreError>;

    /// Visits segments of one log in order, checked likewise. `true` when the visitor took them all.
    ///
    /// # Errors
    /// [`StoreError`].
    fn range(&self, vault: &VaultId, want: Want, visit: Visit<'_>) -> Result<bool, StoreError>;

    /// Remembers an issued invite, for [`LogStore::invites`] only: an invite proves itself.
    ///
    /// # Errors
    /// [`StoreError`].
    fn record_invite(&self, invite: &Invite) -> Result<(), StoreError>;

    /// The invites issued in this life of the database.
    ///
    /// # Errors
    /// [`StoreError`].
    fn invites(&self) -> Result<Vec<InviteRow>, StoreError>;

    /// Sums over all vaults.
    ///
    /// # Errors
    /// [`StoreError`].
    fn usage(&self) -> Result<Usage, StoreError>;

    /// Checks every chain, signature and count.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read; what it says wrong is in the report.
    fn verify(&self) -> Result<VerifyReport, StoreError>;
}
