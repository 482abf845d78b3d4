//! Branches: the futures of a log that has several.
//!
//! A log's first branch has the number of the log. Another one has a row: which log it is of, and which branch it leaves; where
//! it does so stands with its head. What lies before that is not stored twice: it is read of the branch before.

use std::ops::RangeInclusive;

use redb::{Range, ReadableTable};
use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::Seq;

use super::{LogTip, Logs, LogsView, head_in};
use crate::error::StoreError;
use crate::keys::{joined, part};

/// Numbers from here on are of branches that are not the first of their log.
const OTHERS: u32 = 1 << 31;
/// In a row: the branch leaves no other one, it begins where the log does.
const NONE: u32 = u32::MAX;

/// A branch of a log in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchNo(pub(super) u32);

/// A branch that is not the first of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchRow {
    /// The log that it is of.
    pub log: LogNo,
    /// The branch that it leaves; `None` of one that begins where the log does.
    pub leaves: Option<BranchNo>,
    /// Wall time in milliseconds from which on others than its author carry it.
    pub carry_at_ms: u64,
}

/// All branches that are not the first of their log, in the order of their numbers.
pub struct BranchRows<'t>(Range<'t, u32, &'static [u8; 16]>);

impl BranchNo {
    /// The first branch of a log.
    pub const fn first_of(log: LogNo) -> Self {
        Self(log.0)
    }

    /// Whether it is the first one of its log.
    pub const fn is_first(self) -> bool {
        self.0 < OTHERS
    }

    /// Its number, for whoever writes it down.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The log of which it is the first branch.
    pub const fn log(self) -> Option<LogNo> {
        if self.is_first() { Some(LogNo(self.0)) } else { None }
    }
}

impl From<LogNo> for BranchNo {
    fn from(log: LogNo) -> Self {
        Self::first_of(log)
    }
}

impl BranchRow {
    /// `log | branch that it leaves | when others carry it`.
    pub(super) fn encode(&self) -> [u8; 16] {
        let leaves = self.leaves.map_or(NONE, |branch| branch.0);
        joined(&[&self.log.0.to_be_bytes(), &leaves.to_be_bytes(), &self.carry_at_ms.to_be_bytes()])
    }

    pub(super) fn decode(row: &[u8; 16]) -> Self {
        let leaves = u32::from_be_bytes(part(row, 4));
        Self {
            log: LogNo(u32::from_be_bytes(part(row, 0))),
            leaves: (leaves != NONE).then_some(BranchNo(leaves)),
            carry_at_ms: u64::from_be_bytes(part(row, 8)),
        }
    }
}

impl Logs<'_> {
    /// A branch that is not the first of its log.
    pub fn branch(&self, branch: BranchNo) -> Result<Option<BranchRow>, StoreError> {
        Ok(self.branches.get(branch.0)?.map(|row| BranchRow::decode(row.value())))
    }

    /// Gives a branch its number. Its first segment is to be stored.
    pub fn begin_branch(&mut self, row: &BranchRow) -> Result<BranchNo, StoreError> {
        let last = self.branches.last()?.map(|(branch, _)| branch.value());
        let branch = BranchNo(last.map_or(OTHERS, |last| last + 1));
        self.put_branch(branch, row)?;
        Ok(branch)
    }

    /// Puts a row in the place of the one before.
    pub fn put_branch(&mut self, branch: BranchNo, row: &BranchRow) -> Result<(), StoreError> {
        self.branches.insert(branch.0, &row.encode())?;
        Ok(())
    }

    /// The branch of which a segment is stored that lies on the way to the tip of this one.
    pub fn holder(&self, branch: BranchNo, seq: Seq) -> Result<Option<BranchNo>, StoreError> {
        holder_in(&self.heads, &self.branches, branch, seq)
    }
}

impl LogsView {
    /// All branches that are not the first of their log.
    pub fn branches(&self) -> Result<BranchRows<'_>, StoreError> {
        Ok(BranchRows(self.branches.iter()?))
    }

    /// The branch of which a segment is stored that lies on the way to the tip of this one.
    pub fn holder(&self, branch: BranchNo, seq: Seq) -> Result<Option<BranchNo>, StoreError> {
        holder_in(&self.heads, &self.branches, branch, seq)
    }

    /// Which segments of which branches lie in a range on the way to the tip of one, in their order.
    pub fn way(
        &self,
        branch: BranchNo,
        range: RangeInclusive<Seq>,
    ) -> Result<Vec<(BranchNo, RangeInclusive<Seq>)>, StoreError> {
        let (first, mut last, mut at) = (*range.start(), *range.end(), branch);
        let mut way = Vec::new();
        while let Some(head) = head_in(&self.heads, at)? {
            if head.base.seq <= last {
                way.push((at, first.max(head.base.seq)..=last));
            }
            if head.base.seq <= first {
                break;
            }
            let Some(row) = self.branches.get(at.0)? else { break };
            let Some(leaves) = BranchRow::decode(row.value()).leaves else { break };
            last = last.min(Seq(head.base.seq.0 - 1));
            at = leaves;
        }
        way.reverse();
        Ok(way)
    }
}

impl Iterator for BranchRows<'_> {
    type Item = Result<(BranchNo, BranchRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.map(|(branch, row)| (BranchNo(branch.value()), BranchRow::decode(row.value()))))
    }
}

fn holder_in(
    heads: &impl ReadableTable<u32, &'static [u8; 89]>,
    branches: &impl ReadableTable<u32, &'static [u8; 16]>,
    branch: BranchNo,
    seq: Seq,
) -> Result<Option<BranchNo>, StoreError> {
    let mut at = branch;
    loop {
        let Some(LogTip { base, seq: last, .. }) = head_in(heads, at)? else { return Ok(None) };
        if seq >= base.seq {
            // Only of the branch that was asked for may there be less than that.
            return Ok((seq <= last).then_some(at));
        }
        let Some(row) = branches.get(at.0)? else { return Ok(None) };
        let Some(leaves) = BranchRow::decode(row.value()).leaves else { return Ok(None) };
        at = leaves;
    }
}
