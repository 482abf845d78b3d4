//! Segments of certified logs that are not merged, each with a reason.

use redb::{Range, ReadableTable, ReadableTableMetadata as _};
use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::{Chain, Seq};

use super::{CheckedSegment, Logs, LogsView, segment_key};
use crate::error::StoreError;
use crate::keys::{joined, part};

/// Why a segment is in quarantine. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It does not open with the keys that are here.
    StaysShut = 2,
    /// It opens but does not decode; perhaps a newer version reads it.
    Undecodable = 3,
    /// Another segment of the same log and seq is held too; this is the second. The segment is held in the entry.
    Equivocation = 4,
    /// A kind of a newer version.
    UnknownKind = 5,
}

/// Where a segment is, and why it is not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Its log.
    pub log: LogNo,
    /// Its place there.
    pub seq: Seq,
    /// Why it is not merged.
    pub reason: Reason,
    /// Bytes of the row, with the segment where that is held in it.
    pub bytes: usize,
}

/// Everything in quarantine, log by log.
pub struct QuarantineRows<'t>(Range<'t, &'static [u8; 12], &'static [u8]>);

impl Reason {
    /// Whether it may pass: what is in quarantine for it is tried again.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::StaysShut | Self::Undecodable | Self::UnknownKind)
    }

    /// Whether the segment lies in the row, because its log does not hold it.
    pub const fn holds_segment(self) -> bool {
        matches!(self, Self::Equivocation)
    }

    fn of_row(row: &[u8]) -> Result<Self, StoreError> {
        match row.first() {
            Some(2) => Ok(Self::StaysShut),
            Some(3) => Ok(Self::Undecodable),
            Some(4) => Ok(Self::Equivocation),
            Some(5) => Ok(Self::UnknownKind),
            _ => Err(StoreError::Inconsistent),
        }
    }
}

impl QuarantineRow {
    /// Bytes of the row that [`Logs::put_evidence`] makes of a segment.
    pub fn bytes_of_evidence(segment: &CheckedSegment) -> usize {
        1 + segment.row_len()
    }
}

impl Logs<'_> {
    /// Everything in quarantine.
    pub fn quarantine(&self) -> Result<QuarantineRows<'_>, StoreError> {
        Ok(QuarantineRows(self.quarantine.iter()?))
    }

    /// Why a segment is in quarantine; `None` if it is not.
    pub fn reason(&self, log: LogNo, seq: Seq) -> Result<Option<Reason>, StoreError> {
        let row = self.quarantine.get(&segment_key(log, seq))?;
        row.map(|row| Reason::of_row(row.value())).transpose()
    }

    /// Notes why a stored segment is not merged.
    pub fn set_aside(
        &mut self,
        log: LogNo,
        seq: Seq,
        chain: &Chain,
        reason: Reason,
    ) -> Result<(), StoreError> {
        let row: [u8; 33] = joined(&[&[reason as u8], chain.as_bytes()]);
        self.quarantine.insert(&segment_key(log, seq), &row[..])?;
        Ok(())
    }

    /// Keeps a second segment of a place of a log as evidence.
    pub fn put_evidence(&mut self, log: LogNo, segment: &CheckedSegment) -> Result<(), StoreError> {
        let key = segment_key(log, segment.segment().header().seq);
        let mut row = self.quarantine.insert_reserve(&key, QuarantineRow::bytes_of_evidence(segment))?;
        let (reason, rest) = row.as_mut().split_at_mut(1);
        reason[0] = Reason::Equivocation as u8;
        segment.write(rest);
        Ok(())
    }

    /// Takes a segment out of quarantine.
    pub fn take_back(&mut self, log: LogNo, seq: Seq) -> Result<(), StoreError> {
        self.quarantine.remove(&segment_key(log, seq))?;
        Ok(())
    }
}

impl LogsView {
    /// Everything in quarantine.
    pub fn quarantine(&self) -> Result<QuarantineRows<'_>, StoreError> {
        Ok(QuarantineRows(self.quarantine.iter()?))
    }

    /// Whether anything is in quarantine.
    pub fn any_in_quarantine(&self) -> Result<bool, StoreError> {
        Ok(!self.quarantine.is_empty()?)
    }
}

impl Iterator for QuarantineRows<'_> {
    type Item = Result<QuarantineRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).and_then(|(key, row)| {
            Ok(QuarantineRow {
                log: LogNo(u32::from_be_bytes(part(key.value(), 0))),
                seq: Seq(u64::from_be_bytes(part(key.value(), 4))),
                reason: Reason::of_row(row.value())?,
                bytes: row.value().len(),
            })
        }))
    }
}
