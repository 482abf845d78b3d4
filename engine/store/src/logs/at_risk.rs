//! Puts in futures of this device's old logs, which a delete may hide that did not know them.

use std::ops::{Bound, Range, RangeInclusive};

use redb::ReadableTable;
use subrosa_model::merge::{LogNo, Stamp};
use subrosa_protocol::ids::Seq;

use super::{BranchNo, Logs, LogsView};
use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo, joined, part};

/// In a key: a delete that stands in any log.
const ANYWHERE: u32 = u32::MAX;

/// A put that a delete may hide without having known it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AtRisk {
    /// The future of a log that it is of.
    pub branch: BranchNo,
    /// Its segment there.
    pub seq: Seq,
    /// Its stamp.
    pub stamp: Stamp,
}

/// A record of which a put is at risk, and where a delete of it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Covered {
    /// The record.
    pub key: RecordKey,
    /// The branch in which a delete stands; `None` where that is not known.
    pub by: Option<BranchNo>,
}

impl AtRisk {
    /// `key of the record | branch | seq | stamp`.
    fn key(&self, record: &RecordKey) -> [u8; 44] {
        let (branch, seq) = (self.branch.0.to_be_bytes(), self.seq.0.to_be_bytes());
        joined(&[&record.0, &branch, &seq, &self.stamp.0.to_be_bytes()])
    }
}

impl Covered {
    /// `key of the record | branch`.
    pub(super) fn encode(&self) -> [u8; 28] {
        let by = self.by.map_or(ANYWHERE, |branch| branch.0);
        joined(&[&self.key.0, &by.to_be_bytes()])
    }

    pub(super) fn decode(row: &[u8; 28]) -> Self {
        let by = u32::from_be_bytes(part(row, 24));
        Self { key: RecordKey(part(row, 0)), by: (by != ANYWHERE).then_some(BranchNo(by)) }
    }
}

impl Logs<'_> {
    /// Keeps that a put may be hidden.
    pub fn put_at_risk(&mut self, record: &RecordKey, put: &AtRisk) -> Result<(), StoreError> {
        self.at_risk.insert(&put.key(record), ())?;
        Ok(())
    }

    /// The puts of a record that may be hidden.
    pub fn at_risk(&self, record: &RecordKey) -> Result<Vec<AtRisk>, StoreError> {
        let (first, last): ([u8; 44], [u8; 44]) =
            (joined(&[&record.0, &[0; 20]]), joined(&[&record.0, &[0xff; 20]]));
        let rows = self.at_risk.range::<&[u8; 44]>(&first..=&last)?;
        rows.map(|row| {
            let (key, _) = row?;
            Ok(AtRisk {
                branch: BranchNo(u32::from_be_bytes(part(key.value(), 24))),
                seq: Seq(u64::from_be_bytes(part(key.value(), 28))),
                stamp: Stamp(u64::from_be_bytes(part(key.value(), 36))),
            })
        })
        .collect()
    }

    /// Whether a put of a record may be hidden.
    pub fn is_at_risk(&self, record: &RecordKey) -> Result<bool, StoreError> {
        let (first, last): ([u8; 44], [u8; 44]) =
            (joined(&[&record.0, &[0; 20]]), joined(&[&record.0, &[0xff; 20]]));
        Ok(self.at_risk.range::<&[u8; 44]>(&first..=&last)?.next().transpose()?.is_some())
    }

    /// A put is hidden for good, or was written once more.
    pub fn forget_at_risk(&mut self, record: &RecordKey, put: &AtRisk) -> Result<(), StoreError> {
        self.at_risk.remove(&put.key(record))?;
        Ok(())
    }

    /// Keeps that a record of which puts are at risk was deleted.
    pub fn put_covered(&mut self, covered: &Covered) -> Result<(), StoreError> {
        self.covered.insert(&covered.encode(), ())?;
        Ok(())
    }

    /// So many of a vault's records that were deleted while puts of them were at risk, behind one if that is given.
    pub fn covered(
        &self,
        vault: VaultNo,
        after: Option<&Covered>,
        rows_max: usize,
    ) -> Result<Vec<Covered>, StoreError> {
        let bound = |fill| joined(&[&vault.0.to_be_bytes(), &[fill; 24]]);
        let (first, last): ([u8; 28], [u8; 28]) = (bound(0), bound(0xff));
        let after = after.map(Covered::encode);
        let from = after.as_ref().map_or(Bound::Included(&first), Bound::Excluded);
        let rows = self.covered.range::<&[u8; 28]>((from, Bound::Included(&last)))?.take(rows_max);
        rows.map(|row| Ok(Covered::decode(row?.0.value()))).collect()
    }

    /// It was looked at.
    pub fn forget_covered(&mut self, covered: &Covered) -> Result<(), StoreError> {
        self.covered.remove(&covered.encode())?;
        Ok(())
    }

    /// Which segments of a branch were searched for puts that are at risk.
    pub fn searched(&self, branch: BranchNo) -> Result<Option<Range<Seq>>, StoreError> {
        Ok(self.searched.get(branch.0)?.map(|row| {
            let row = row.value();
            Seq(u64::from_be_bytes(part(row, 0)))..Seq(u64::from_be_bytes(part(row, 8)))
        }))
    }

    /// Keeps which segments of a branch were searched.
    pub fn put_searched(&mut self, branch: BranchNo, range: &Range<Seq>) -> Result<(), StoreError> {
        let row = joined(&[&range.start.0.to_be_bytes(), &range.end.0.to_be_bytes()]);
        self.searched.insert(branch.0, &row)?;
        Ok(())
    }
}

impl Logs<'_> {
    /// Keeps that a record is shown again by an op of a log.
    pub fn put_shown_again(
        &mut self,
        record: &RecordKey,
        (log, stamp): (LogNo, Stamp),
    ) -> Result<(), StoreError> {
        self.shown_again.insert(&shown_again_key(record, log.0, stamp.0), ())?;
        Ok(())
    }

    /// The ops by which a record is shown again.
    pub fn shown_again(&self, record: &RecordKey) -> Result<Vec<(LogNo, Stamp)>, StoreError> {
        let (first, last) = (shown_again_key(record, 0, 0), shown_again_key(record, u32::MAX, u64::MAX));
        let rows = self.shown_again.range::<&[u8; 36]>(&first..=&last)?;
        rows.map(|row| {
            let (key, _) = row?;
            let log = LogNo(u32::from_be_bytes(part(key.value(), 24)));
            Ok((log, Stamp(u64::from_be_bytes(part(key.value(), 28)))))
        })
        .collect()
    }

    /// It is not shown by that any more.
    pub fn forget_shown_again(
        &mut self,
        record: &RecordKey,
        (log, stamp): (LogNo, Stamp),
    ) -> Result<(), StoreError> {
        self.shown_again.remove(&shown_again_key(record, log.0, stamp.0))?;
        Ok(())
    }
}

/// `key of the record | log | stamp`.
fn shown_again_key(record: &RecordKey, log: u32, stamp: u64) -> [u8; 36] {
    joined(&[&record.0, &log.to_be_bytes(), &stamp.to_be_bytes()])
}

impl LogsView {
    /// Whether puts of a vault are at risk; whether one of their records was deleted since that was looked at.
    pub fn risks(&self, vault: VaultNo) -> Result<(bool, bool), StoreError> {
        let bounds: RangeInclusive<[u8; 44]> =
            joined(&[&vault.0.to_be_bytes(), &[0; 40]])..=joined(&[&vault.0.to_be_bytes(), &[0xff; 40]]);
        let at_risk = self.at_risk.range::<&[u8; 44]>(bounds.start()..=bounds.end())?.next().transpose()?;
        let bounds: RangeInclusive<[u8; 28]> =
            joined(&[&vault.0.to_be_bytes(), &[0; 24]])..=joined(&[&vault.0.to_be_bytes(), &[0xff; 24]]);
        let covered = self.covered.range::<&[u8; 28]>(bounds.start()..=bounds.end())?.next().transpose()?;
        Ok((at_risk.is_some(), covered.is_some()))
    }
}
