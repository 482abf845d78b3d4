//! Segments and what is known of their logs: the door to the tables *logs*, *branches*, *segments*, *heads*, *carried*,
//! *loose*, *waiting*, *notes*, *named again*, *rounds*, *round names*, *unread*, *said*, *at risk*, *covered*, *shown again* and *searched* (`docs/FORMAT.md`,
//! "Tables").
//!
//! Nobody else names these tables. Rows are types, of which only what is stored, or was checked, makes one. It knows no
//! rule: which log gets a number, what is merged, what makes room for what, is up to the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use redb::{
    Range, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition,
    WriteTransaction,
};
use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::{Base, Chain, PublicKeyBytes, Seq};
use subrosa_protocol::limits::ROUND_NAMES_BYTES;
use subrosa_protocol::segment::{Class, Header};

use crate::error::StoreError;
use crate::keys::{VaultNo, joined, part};

mod at_risk;
mod branches;
mod carried;
mod checked;
mod notes;
mod rounds;
mod said;
#[cfg(test)]
mod tests;
mod unread;
mod waiting;

pub use at_risk::{AtRisk, Covered};
pub use branches::{BranchNo, BranchRow, BranchRows};
pub use carried::{CarriedIn, LooseRow};
pub use checked::CheckedSegment;
pub use notes::{NoteRow, NoteRows};
pub use rounds::{RoundNames, RoundRow};
pub use unread::UnreadRow;
pub use waiting::{Rank, WaitingRow, WaitingRows};

/// Log number to vault, public key and class. Only logs with a certificate have one, and this device's own.
const LOGS: TableDefinition<u32, &[u8; 70]> = TableDefinition::new("logs");
/// Branch to log, the branch that it leaves, and when others than its author carry it. A log's first branch has no row.
const BRANCHES: TableDefinition<u32, &[u8; 16]> = TableDefinition::new("branches");
/// Branch and seq to chain and sealed segment.
const SEGMENTS: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("segments");
/// Branch to head and to what of it is merged.
const HEADS: TableDefinition<u32, &[u8; 89]> = TableDefinition::new("heads");
/// Branch and seq of a segment to those of the segment that carries it.
const CARRIED: TableDefinition<&[u8; 12], &[u8; 12]> = TableDefinition::new("carried");
/// Vault, log, beginning of the previous chain, branch and seq: a carried segment that has no place yet.
const LOOSE: TableDefinition<&[u8; 40], ()> = TableDefinition::new("loose");
/// Vault, log and seq to chain and segment, of logs without a certificate.
const WAITING: TableDefinition<&[u8; 28], &[u8]> = TableDefinition::new("waiting");
/// Vault, log that has no certificate, branch and seq of a segment whose tombstones name it.
const NOTES: TableDefinition<&[u8; 32], ()> = TableDefinition::new("notes");
/// Vault and log that is certified or capped now, to the first of its notes whose segment is not merged once more.
const NAMED_AGAIN: TableDefinition<&[u8; 20], &[u8; 12]> = TableDefinition::new("named again");
/// Log to where its names are not noted one by one, and how far it is merged once more.
const ROUNDS: TableDefinition<u32, &[u8; 17]> = TableDefinition::new("rounds");
/// Log to a set of its names that are not noted.
const ROUND_NAMES: TableDefinition<u32, &[u8; ROUND_NAMES_BYTES]> = TableDefinition::new("round names");
/// Log to the group that it waits in front of.
const UNREAD: TableDefinition<u32, &[u8]> = TableDefinition::new("unread");
/// Log to the last segment of it that this device's data log has named as seen.
const SAID: TableDefinition<u32, u64> = TableDefinition::new("said");
/// Key of a record, branch of an old log of this device, seq and stamp of a put of it.
const AT_RISK: TableDefinition<&[u8; 44], ()> = TableDefinition::new("at risk");
/// Key of a record of which a put is at risk, and branch in which a delete of it stands.
const COVERED: TableDefinition<&[u8; 28], ()> = TableDefinition::new("covered");
/// Key of a record, log of this device and stamp of an op by which the record is shown again.
const SHOWN_AGAIN: TableDefinition<&[u8; 36], ()> = TableDefinition::new("shown again");
/// Branch of an old log of this device to the range of it that was searched for puts at risk.
const SEARCHED: TableDefinition<u32, &[u8; 16]> = TableDefinition::new("searched");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![
        shape(LOGS),
        shape(BRANCHES),
        shape(SEGMENTS),
        shape(HEADS),
        shape(CARRIED),
        shape(LOOSE),
        shape(WAITING),
        shape(NOTES),
        shape(NAMED_AGAIN),
        shape(ROUNDS),
        shape(ROUND_NAMES),
        shape(UNREAD),
        shape(SAID),
        shape(AT_RISK),
        shape(COVERED),
        shape(SHOWN_AGAIN),
        shape(SEARCHED),
    ]
}

/// The logs, open for writing.
pub struct Logs<'t> {
    logs: Table<'t, u32, &'static [u8; 70]>,
    segments: Table<'t, &'static [u8; 12], &'static [u8]>,
    heads: Table<'t, u32, &'static [u8; 89]>,
    branches: Table<'t, u32, &'static [u8; 16]>,
    carried: Table<'t, &'static [u8; 12], &'static [u8; 12]>,
    loose: Table<'t, &'static [u8; 40], ()>,
    waiting: Table<'t, &'static [u8; 28], &'static [u8]>,
    notes: Table<'t, &'static [u8; 32], ()>,
    named_again: Table<'t, &'static [u8; 20], &'static [u8; 12]>,
    rounds: Table<'t, u32, &'static [u8; 17]>,
    round_names: Table<'t, u32, &'static [u8; ROUND_NAMES_BYTES]>,
    unread: Table<'t, u32, &'static [u8]>,
    said: Table<'t, u32, u64>,
    at_risk: Table<'t, &'static [u8; 44], ()>,
    covered: Table<'t, &'static [u8; 28], ()>,
    shown_again: Table<'t, &'static [u8; 36], ()>,
    searched: Table<'t, u32, &'static [u8; 16]>,
    /// Branches whose head was put in this transaction.
    moved: BTreeSet<BranchNo>,
    /// Header and chain of segments that were stored in this transaction, as far as they are kept: their rows may be on the disk
    /// by the time that somebody asks.
    stored: BTreeMap<(BranchNo, Seq), (Header, Chain)>,
}

/// Headers that are kept of what one transaction stores. A batch of full segments has fewer; the rows of small ones are read again
/// at little cost.
const STORED_HEADERS_MAX: usize = 1024;

/// The logs as of one moment.
pub struct LogsView {
    logs: ReadOnlyTable<u32, &'static [u8; 70]>,
    segments: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    heads: ReadOnlyTable<u32, &'static [u8; 89]>,
    branches: ReadOnlyTable<u32, &'static [u8; 16]>,
    carried: ReadOnlyTable<&'static [u8; 12], &'static [u8; 12]>,
    loose: ReadOnlyTable<&'static [u8; 40], ()>,
    waiting: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    notes: ReadOnlyTable<&'static [u8; 32], ()>,
    named_again: ReadOnlyTable<&'static [u8; 20], &'static [u8; 12]>,
    rounds: ReadOnlyTable<u32, &'static [u8; 17]>,
    unread: ReadOnlyTable<u32, &'static [u8]>,
    said: ReadOnlyTable<u32, u64>,
    at_risk: ReadOnlyTable<&'static [u8; 44], ()>,
    covered: ReadOnlyTable<&'static [u8; 28], ()>,
}

/// A log that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The vault that it is of.
    pub vault: VaultNo,
    /// The key that signs it.
    pub public: PublicKeyBytes,
    /// As its certificate says.
    pub class: Class,
}

/// Last segment of a branch of a log, and how far it is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTip {
    /// The last segment.
    pub seq: Seq,
    /// Its chain.
    pub chain: Chain,
    /// The first segment that is not merged, which may be of the branch that this one leaves; in a control log, the first one
    /// of which not all signatures were found to hold.
    pub merged: Seq,
    /// Whether the last segment closes the log: nothing is stored behind it.
    pub closed: bool,
    /// Where the branch begins here: a log's first one behind what is not held of the log, another one where it leaves the
    /// branch before it.
    pub base: Base,
}

/// Segments of one branch, in their order.
pub struct Segments<'t>(Range<'t, &'static [u8; 12], &'static [u8]>);

/// All logs that have a number, in the order of their numbers.
pub struct LogRows<'t>(Range<'t, u32, &'static [u8; 70]>);

/// The heads of all branches that have one, in the order of their numbers.
pub struct LogTips<'t>(Range<'t, u32, &'static [u8; 89]>);

impl<'t> Logs<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            heads: txn.open_table(HEADS)?,
            branches: txn.open_table(BRANCHES)?,
            carried: txn.open_table(CARRIED)?,
            loose: txn.open_table(LOOSE)?,
            waiting: txn.open_table(WAITING)?,
            notes: txn.open_table(NOTES)?,
            named_again: txn.open_table(NAMED_AGAIN)?,
            rounds: txn.open_table(ROUNDS)?,
            round_names: txn.open_table(ROUND_NAMES)?,
            unread: txn.open_table(UNREAD)?,
            said: txn.open_table(SAID)?,
            at_risk: txn.open_table(AT_RISK)?,
            covered: txn.open_table(COVERED)?,
            shown_again: txn.open_table(SHOWN_AGAIN)?,
            searched: txn.open_table(SEARCHED)?,
            moved: BTreeSet::new(),
            stored: BTreeMap::new(),
        })
    }

    /// Gives a log a number.
    pub fn put_log(&mut self, log: LogNo, row: &LogRow) -> Result<(), StoreError> {
        self.logs.insert(log.0, &row.encode())?;
        Ok(())
    }

    /// The head of a branch; `None` if it has no segment.
    pub fn head(&self, branch: BranchNo) -> Result<Option<LogTip>, StoreError> {
        head_in(&self.heads, branch)
    }

    /// The branches whose head was put since this was asked.
    pub fn take_moved(&mut self) -> BTreeSet<BranchNo> {
        std::mem::take(&mut self.moved)
    }

    /// Puts a head in the place of the one before.
    pub fn put_head(&mut self, branch: BranchNo, head: &LogTip) -> Result<(), StoreError> {
        self.moved.insert(branch);
        self.heads.insert(branch.0, &head.encode())?;
        Ok(())
    }

    /// Stores a segment as its branch's new head; `merged` says from where on it is not merged. The first one of a branch says
    /// where the branch begins here.
    pub fn store_segment(
        &mut self,
        branch: BranchNo,
        segment: &CheckedSegment,
        merged: Seq,
    ) -> Result<(), StoreError> {
        let header = segment.segment().header();
        let (seq, closed) = (header.seq, header.kind.closes());
        segment.write(self.segments.insert_reserve(&segment_key(branch, seq), segment.row_len())?.as_mut());
        if self.stored.len() < STORED_HEADERS_MAX || self.stored.contains_key(&(branch, seq)) {
            self.stored.insert((branch, seq), (*header, *segment.chain()));
        }
        let head = self.head(branch)?;
        let base = head.map_or(Base { seq, chain: header.prev }, |head| head.base);
        let merged = if branch.is_first() { merged.max(base.seq) } else { merged };
        self.put_head(branch, &LogTip { seq, chain: *segment.chain(), merged, closed, base })
    }

    /// A stored segment of a branch, or of those before it up to where it leaves them.
    pub fn segment(&self, branch: BranchNo, seq: Seq) -> Result<Option<CheckedSegment>, StoreError> {
        self.read(branch, seq, CheckedSegment::stored)
    }

    /// The header of a stored segment, which is not copied for it.
    pub fn header(&self, branch: BranchNo, seq: Seq) -> Result<Option<Header>, StoreError> {
        match self.stored.get(&(branch, seq)) {
            Some((header, _)) => Ok(Some(*header)),
            None => self.read(branch, seq, checked::header_of),
        }
    }

    /// The chain of a stored segment.
    pub fn chain(&self, branch: BranchNo, seq: Seq) -> Result<Option<Chain>, StoreError> {
        match self.stored.get(&(branch, seq)) {
            Some((_, chain)) => Ok(Some(*chain)),
            None => self.read(branch, seq, checked::chain_of),
        }
    }

    fn read<R>(
        &self,
        branch: BranchNo,
        seq: Seq,
        read: impl FnOnce(&[u8]) -> Result<R, StoreError>,
    ) -> Result<Option<R>, StoreError> {
        let holder = if branch.is_first() { Some(branch) } else { self.holder(branch, seq)? };
        let Some(holder) = holder else { return Ok(None) };
        let row = self.segments.get(&segment_key(holder, seq))?;
        row.map(|row| read(row.value())).transpose()
    }
}

impl LogsView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            heads: txn.open_table(HEADS)?,
            branches: txn.open_table(BRANCHES)?,
            carried: txn.open_table(CARRIED)?,
            loose: txn.open_table(LOOSE)?,
            waiting: txn.open_table(WAITING)?,
            notes: txn.open_table(NOTES)?,
            named_again: txn.open_table(NAMED_AGAIN)?,
            rounds: txn.open_table(ROUNDS)?,
            unread: txn.open_table(UNREAD)?,
            said: txn.open_table(SAID)?,
            at_risk: txn.open_table(AT_RISK)?,
            covered: txn.open_table(COVERED)?,
        })
    }

    /// All logs that have a number, in the order of their numbers.
    pub fn logs(&self) -> Result<LogRows<'_>, StoreError> {
        Ok(LogRows(self.logs.iter()?))
    }

    /// The head of a branch; `None` if it has no segment.
    pub fn head(&self, branch: BranchNo) -> Result<Option<LogTip>, StoreError> {
        head_in(&self.heads, branch)
    }

    /// The heads of all branches.
    pub fn heads(&self) -> Result<LogTips<'_>, StoreError> {
        Ok(LogTips(self.heads.iter()?))
    }

    /// Segments that are stored of one branch itself, one after the other.
    pub fn segments(&self, branch: BranchNo, range: RangeInclusive<Seq>) -> Result<Segments<'_>, StoreError> {
        let (first, last) = (segment_key(branch, *range.start()), segment_key(branch, *range.end()));
        Ok(Segments(self.segments.range::<&[u8; 12]>(&first..=&last)?))
    }

    /// The chain of a stored segment of a branch, or of those before it up to where it leaves them.
    pub fn chain(&self, branch: BranchNo, seq: Seq) -> Result<Option<Chain>, StoreError> {
        let holder = if branch.is_first() { Some(branch) } else { self.holder(branch, seq)? };
        let Some(holder) = holder else { return Ok(None) };
        let row = self.segments.get(&segment_key(holder, seq))?;
        row.map(|row| checked::chain_of(row.value())).transpose()
    }

    /// Number of segments that are held and not merged: what waits in its log, and what waits for a certificate.
    pub fn not_merged(&self) -> Result<u64, StoreError> {
        let mut count = self.waiting.len()?;
        for row in self.heads()? {
            let (_, head) = row?;
            count += head.seq.next().0.saturating_sub(head.merged.max(head.base.seq).0);
        }
        Ok(count)
    }
}

impl Iterator for LogRows<'_> {
    type Item = Result<(LogNo, LogRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).and_then(|(log, row)| {
            Ok((LogNo(log.value()), LogRow::decode(row.value()).ok_or(StoreError::Inconsistent)?))
        }))
    }
}

impl Iterator for LogTips<'_> {
    type Item = Result<(BranchNo, LogTip), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.map(|(log, row)| (BranchNo(log.value()), LogTip::decode(row.value()))))
    }
}

impl Iterator for Segments<'_> {
    type Item = Result<CheckedSegment, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.and_then(|(_, row)| CheckedSegment::stored(row.value())))
    }
}

impl LogRow {
    /// `vault | public | class`.
    fn encode(&self) -> [u8; 70] {
        let class = match self.class {
            Class::Data => 1,
            Class::Control => 2,
        };
        joined(&[&self.vault.0.to_be_bytes(), self.public.as_bytes(), &[class]])
    }

    fn decode(row: &[u8; 70]) -> Option<Self> {
        let class = match row[69] {
            1 => Class::Data,
            2 => Class::Control,
            _ => return None,
        };
        let vault = VaultNo(u32::from_be_bytes(part(row, 0)));
        Some(Self { vault, public: PublicKeyBytes::from_bytes(part(row, 4)), class })
    }
}

impl LogTip {
    /// `seq | chain | merged | closed | base seq | base chain`.
    fn encode(&self) -> [u8; 89] {
        let (seq, merged) = (self.seq.0.to_be_bytes(), self.merged.0.to_be_bytes());
        let base = self.base.seq.0.to_be_bytes();
        let closed = [self.closed.into()];
        joined(&[&seq, self.chain.as_bytes(), &merged, &closed, &base, self.base.chain.as_bytes()])
    }

    fn decode(row: &[u8; 89]) -> Self {
        Self {
            closed: row[48] != 0,
            base: Base {
                seq: Seq(u64::from_be_bytes(part(row, 49))),
                chain: Chain::from_bytes(part(row, 57)),
            },
            seq: Seq(u64::from_be_bytes(part(row, 0))),
            chain: Chain::from_bytes(part(row, 8)),
            merged: Seq(u64::from_be_bytes(part(row, 40))),
        }
    }
}

/// Reads a row of each kind, for fuzzing: what it says is written again so that it says the same.
#[cfg(feature = "testing")]
pub(crate) fn read_rows(row: &[u8]) {
    let checked = |segment: &CheckedSegment| {
        let mut again = vec![0; segment.row_len()];
        segment.write(&mut again);
        again
    };
    if let Ok(segment) = CheckedSegment::stored(row) {
        assert_eq!(checked(&segment), row);
        assert_eq!(checked::chain_of(row).as_ref(), Ok(segment.chain()));
        assert_eq!(checked::header_of(row).as_ref(), Ok(segment.segment().header()));
    }
    if let Ok(waiting) = waiting::decode(row) {
        assert_eq!(checked(&waiting.segment), row[1..]);
    }
    if let Ok(unread) = UnreadRow::decode(row) {
        assert_eq!(unread.encode(), row);
    }
    if let Ok(Some(log)) = row.try_into().map(LogRow::decode) {
        assert_eq!(log.encode()[..], *row);
    }
    if let Ok(tip) = row.try_into().map(LogTip::decode) {
        assert_eq!(LogTip::decode(&tip.encode()), tip);
    }
    if let Ok(Ok(round)) = row.try_into().map(RoundRow::decode) {
        assert_eq!(RoundRow::decode(&round.encode()), Ok(round));
    }
    if let Ok(branch) = row.try_into().map(BranchRow::decode) {
        assert_eq!(branch.encode()[..], *row);
    }
    if let Ok(covered) = row.try_into().map(Covered::decode) {
        assert_eq!(covered.encode()[..], *row);
    }
}

fn head_in(
    heads: &impl ReadableTable<u32, &'static [u8; 89]>,
    branch: BranchNo,
) -> Result<Option<LogTip>, StoreError> {
    Ok(heads.get(branch.0)?.map(|row| LogTip::decode(row.value())))
}

/// Key of a segment.
fn segment_key(branch: BranchNo, seq: Seq) -> [u8; 12] {
    joined(&[&branch.0.to_be_bytes(), &seq.0.to_be_bytes()])
}
