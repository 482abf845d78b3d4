//! Segments and what is known of their logs: the door to the tables *logs*, *segments*, *heads*, *evidence*, *waiting*,
//! *notes*, *rounds*, *round names*, *unread* and *said* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. Rows are types, of which only what is stored, or was checked, makes one. It knows no
//! rule: which log gets a number, what is merged, what makes room for what, is up to the caller.

use std::collections::BTreeSet;
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

mod checked;
mod evidence;
mod notes;
mod rounds;
mod said;
#[cfg(test)]
mod tests;
mod unread;
mod waiting;

pub use checked::CheckedSegment;
pub use evidence::{EvidenceRow, EvidenceRows};
pub use notes::{NoteRow, NoteRows};
pub use rounds::{RoundNames, RoundRow};
pub use unread::UnreadRow;
pub use waiting::{Rank, WaitingRow, WaitingRows};

/// Log number to vault, public key and class. Only logs with a certificate have one, and this device's own.
const LOGS: TableDefinition<u32, &[u8; 70]> = TableDefinition::new("logs");
/// Log and seq to chain and sealed segment.
const SEGMENTS: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("segments");
/// Log to head and to what of it is merged.
const HEADS: TableDefinition<u32, &[u8; 89]> = TableDefinition::new("heads");
/// Log and seq to chain and segment, of another future of the log than the one in *segments*.
const EVIDENCE: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("evidence");
/// Vault, log and seq to chain and segment, of logs without a certificate.
const WAITING: TableDefinition<&[u8; 28], &[u8]> = TableDefinition::new("waiting");
/// Vault, log that has no certificate, log and seq of a segment whose tombstones name it.
const NOTES: TableDefinition<&[u8; 32], ()> = TableDefinition::new("notes");
/// Log to where its names are not noted one by one, and how far it is merged once more.
const ROUNDS: TableDefinition<u32, &[u8; 17]> = TableDefinition::new("rounds");
/// Log to a set of its names that are not noted.
const ROUND_NAMES: TableDefinition<u32, &[u8; ROUND_NAMES_BYTES]> = TableDefinition::new("round names");
/// Log to the group that it waits in front of.
const UNREAD: TableDefinition<u32, &[u8]> = TableDefinition::new("unread");
/// Log to the last segment of it that this device's data log has named as seen.
const SAID: TableDefinition<u32, u64> = TableDefinition::new("said");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![
        shape(LOGS),
        shape(SEGMENTS),
        shape(HEADS),
        shape(EVIDENCE),
        shape(WAITING),
        shape(NOTES),
        shape(ROUNDS),
        shape(ROUND_NAMES),
        shape(UNREAD),
        shape(SAID),
    ]
}

/// The logs, open for writing.
pub struct Logs<'t> {
    logs: Table<'t, u32, &'static [u8; 70]>,
    segments: Table<'t, &'static [u8; 12], &'static [u8]>,
    heads: Table<'t, u32, &'static [u8; 89]>,
    evidence: Table<'t, &'static [u8; 12], &'static [u8]>,
    waiting: Table<'t, &'static [u8; 28], &'static [u8]>,
    notes: Table<'t, &'static [u8; 32], ()>,
    rounds: Table<'t, u32, &'static [u8; 17]>,
    round_names: Table<'t, u32, &'static [u8; ROUND_NAMES_BYTES]>,
    unread: Table<'t, u32, &'static [u8]>,
    said: Table<'t, u32, u64>,
    /// Logs whose head was put in this transaction.
    moved: BTreeSet<LogNo>,
}

/// The logs as of one moment.
pub struct LogsView {
    logs: ReadOnlyTable<u32, &'static [u8; 70]>,
    segments: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    heads: ReadOnlyTable<u32, &'static [u8; 89]>,
    evidence: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    waiting: ReadOnlyTable<&'static [u8; 28], &'static [u8]>,
    notes: ReadOnlyTable<&'static [u8; 32], ()>,
    rounds: ReadOnlyTable<u32, &'static [u8; 17]>,
    unread: ReadOnlyTable<u32, &'static [u8]>,
    said: ReadOnlyTable<u32, u64>,
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

/// Last segment of a log, and how far it is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTip {
    /// The last segment.
    pub seq: Seq,
    /// Its chain.
    pub chain: Chain,
    /// The first segment that is not merged; in a control log, the first one of which not all signatures were found to
    /// hold.
    pub merged: Seq,
    /// Whether the last segment closes the log: nothing is stored behind it.
    pub closed: bool,
    /// Where the log begins here.
    pub base: Base,
}

/// Segments of one log, in their order.
pub struct Segments<'t>(Range<'t, &'static [u8; 12], &'static [u8]>);

/// All logs that have a number, in the order of their numbers.
pub struct LogRows<'t>(Range<'t, u32, &'static [u8; 70]>);

/// The heads of all logs that have one, in the order of the logs' numbers.
pub struct LogTips<'t>(Range<'t, u32, &'static [u8; 89]>);

impl<'t> Logs<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            heads: txn.open_table(HEADS)?,
            evidence: txn.open_table(EVIDENCE)?,
            waiting: txn.open_table(WAITING)?,
            notes: txn.open_table(NOTES)?,
            rounds: txn.open_table(ROUNDS)?,
            round_names: txn.open_table(ROUND_NAMES)?,
            unread: txn.open_table(UNREAD)?,
            said: txn.open_table(SAID)?,
            moved: BTreeSet::new(),
        })
    }

    /// Gives a log a number.
    pub fn put_log(&mut self, log: LogNo, row: &LogRow) -> Result<(), StoreError> {
        self.logs.insert(log.0, &row.encode())?;
        Ok(())
    }

    /// The head of a log; `None` if it has no segment.
    pub fn head(&self, log: LogNo) -> Result<Option<LogTip>, StoreError> {
        head_in(&self.heads, log)
    }

    /// The logs whose head was put since this was asked.
    pub fn take_moved(&mut self) -> BTreeSet<LogNo> {
        std::mem::take(&mut self.moved)
    }

    /// Puts a head in the place of the one before.
    pub fn put_head(&mut self, log: LogNo, head: &LogTip) -> Result<(), StoreError> {
        self.moved.insert(log);
        self.heads.insert(log.0, &head.encode())?;
        Ok(())
    }

    /// Stores a segment as its log's new head; `merged` says from where on it is not merged. The first one of a log says where
    /// the log begins here.
    pub fn store_segment(
        &mut self,
        log: LogNo,
        segment: &CheckedSegment,
        merged: Seq,
    ) -> Result<(), StoreError> {
        let header = segment.segment().header();
        let (seq, closed) = (header.seq, header.kind.closes());
        segment.write(self.segments.insert_reserve(&segment_key(log, seq), segment.row_len())?.as_mut());
        let base = self.head(log)?.map_or(Base { seq, chain: header.prev }, |head| head.base);
        let (chain, merged) = (*segment.chain(), merged.max(base.seq));
        self.put_head(log, &LogTip { seq, chain, merged, closed, base })
    }

    /// A stored segment.
    pub fn segment(&self, log: LogNo, seq: Seq) -> Result<Option<CheckedSegment>, StoreError> {
        let row = self.segments.get(&segment_key(log, seq))?;
        row.map(|row| CheckedSegment::stored(row.value())).transpose()
    }

    /// The header of a stored segment, which is not copied for it.
    pub fn header(&self, log: LogNo, seq: Seq) -> Result<Option<Header>, StoreError> {
        let row = self.segments.get(&segment_key(log, seq))?;
        row.map(|row| checked::header_of(row.value())).transpose()
    }

    /// The chain of a stored segment.
    pub fn chain(&self, log: LogNo, seq: Seq) -> Result<Option<Chain>, StoreError> {
        let row = self.segments.get(&segment_key(log, seq))?;
        row.map(|row| checked::chain_of(row.value())).transpose()
    }

    /// Takes the last segments of a log out: those behind `last`, or all. Its head is `last` then, and no more of it is
    /// merged.
    pub fn cut_log(&mut self, log: LogNo, last: Option<Seq>) -> Result<(), StoreError> {
        let Some(head) = self.head(log)? else { return Ok(()) };
        self.moved.insert(log);
        let first = last.map_or(head.base.seq, Seq::next);
        for seq in first.0..=head.seq.0 {
            self.segments.remove(&segment_key(log, Seq(seq)))?;
        }
        match last {
            Some(seq) if seq < head.seq => {
                let chain = self.chain(log, seq)?.ok_or(StoreError::Inconsistent)?;
                let merged = head.merged.min(first);
                self.put_head(log, &LogTip { seq, chain, merged, closed: false, base: head.base })?;
            }
            Some(_) => {}
            None => drop(self.heads.remove(log.0)?),
        }
        Ok(())
    }
}

impl LogsView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            heads: txn.open_table(HEADS)?,
            evidence: txn.open_table(EVIDENCE)?,
            waiting: txn.open_table(WAITING)?,
            notes: txn.open_table(NOTES)?,
            rounds: txn.open_table(ROUNDS)?,
            unread: txn.open_table(UNREAD)?,
            said: txn.open_table(SAID)?,
        })
    }

    /// All logs that have a number, in the order of their numbers.
    pub fn logs(&self) -> Result<LogRows<'_>, StoreError> {
        Ok(LogRows(self.logs.iter()?))
    }

    /// The head of a log; `None` if it has no segment.
    pub fn head(&self, log: LogNo) -> Result<Option<LogTip>, StoreError> {
        head_in(&self.heads, log)
    }

    /// The heads of all logs.
    pub fn heads(&self) -> Result<LogTips<'_>, StoreError> {
        Ok(LogTips(self.heads.iter()?))
    }

    /// Stored segments of a log, one after the other.
    pub fn segments(&self, log: LogNo, range: RangeInclusive<Seq>) -> Result<Segments<'_>, StoreError> {
        let (first, last) = (segment_key(log, *range.start()), segment_key(log, *range.end()));
        Ok(Segments(self.segments.range::<&[u8; 12]>(&first..=&last)?))
    }

    /// Number of segments that are held and not merged: what waits in its log, what waits for a certificate, and evidence.
    pub fn not_merged(&self) -> Result<u64, StoreError> {
        let mut count = self.evidence.len()? + self.waiting.len()?;
        for row in self.heads()? {
            let (_, head) = row?;
            count += head.seq.next().0.saturating_sub(head.merged.0);
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
    type Item = Result<(LogNo, LogTip), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.map(|(log, row)| (LogNo(log.value()), LogTip::decode(row.value()))))
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

fn head_in(
    heads: &impl ReadableTable<u32, &'static [u8; 89]>,
    log: LogNo,
) -> Result<Option<LogTip>, StoreError> {
    Ok(heads.get(log.0)?.map(|row| LogTip::decode(row.value())))
}

/// Key of a segment, and of its quarantine entry.
fn segment_key(log: LogNo, seq: Seq) -> [u8; 12] {
    joined(&[&log.0.to_be_bytes(), &seq.0.to_be_bytes()])
}
