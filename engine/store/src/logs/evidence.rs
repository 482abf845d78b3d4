//! Evidence that a log has a second future.

use redb::{Range, ReadableTable};
use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::Seq;

use super::{CheckedSegment, Logs, LogsView, segment_key};
use crate::error::StoreError;
use crate::keys::part;

/// A segment of another future than the one that is stored of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Its log.
    pub log: LogNo,
    /// Its place there.
    pub seq: Seq,
    /// Bytes of the row.
    pub bytes: usize,
}

/// All evidence, log by log.
pub struct EvidenceRows<'t>(Range<'t, &'static [u8; 12], &'static [u8]>);

impl EvidenceRow {
    /// Bytes of the row that [`Logs::put_evidence`] makes of a segment.
    pub fn bytes_of(segment: &CheckedSegment) -> usize {
        segment.row_len()
    }
}

impl Logs<'_> {
    /// Whether a second segment is kept at a place of a log.
    pub fn has_evidence(&self, log: LogNo, seq: Seq) -> Result<bool, StoreError> {
        Ok(self.evidence.get(&segment_key(log, seq))?.is_some())
    }

    /// Keeps a second segment of a place of a log.
    pub fn put_evidence(&mut self, log: LogNo, segment: &CheckedSegment) -> Result<(), StoreError> {
        let key = segment_key(log, segment.segment().header().seq);
        segment.write(self.evidence.insert_reserve(&key, segment.row_len())?.as_mut());
        Ok(())
    }
}

impl LogsView {
    /// All evidence.
    pub fn evidence(&self) -> Result<EvidenceRows<'_>, StoreError> {
        Ok(EvidenceRows(self.evidence.iter()?))
    }
}

impl Iterator for EvidenceRows<'_> {
    type Item = Result<EvidenceRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).map(|(key, row)| EvidenceRow {
            log: LogNo(u32::from_be_bytes(part(key.value(), 0))),
            seq: Seq(u64::from_be_bytes(part(key.value(), 4))),
            bytes: row.value().len(),
        }))
    }
}
