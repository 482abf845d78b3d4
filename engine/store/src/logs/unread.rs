//! Groups that a version of the program has opened and cannot merge.

use redb::ReadableTable as _;
use subrosa_protocol::ids::Seq;

use super::{BranchNo, Logs, LogsView};
use crate::error::StoreError;

/// A group that its log waits in front of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadRow {
    /// Its first segment.
    pub first: Seq,
    /// Why, as whoever puts the row counts reasons.
    pub reason: u8,
    /// The version of the program that found so.
    pub version: String,
}

impl Logs<'_> {
    /// Keeps that a log waits, in the place of what was kept before.
    pub fn put_unread(&mut self, log: BranchNo, row: &UnreadRow) -> Result<(), StoreError> {
        self.unread.insert(log.0, &row.encode()[..])?;
        Ok(())
    }

    /// Forgets that a log waits.
    pub fn forget_unread(&mut self, log: BranchNo) -> Result<(), StoreError> {
        self.unread.remove(log.0)?;
        Ok(())
    }
}

impl LogsView {
    /// The groups that logs wait in front of, or once did.
    pub fn unread(
        &self,
    ) -> Result<impl Iterator<Item = Result<(BranchNo, UnreadRow), StoreError>>, StoreError> {
        Ok(self.unread.iter()?.map(|row| {
            let (log, row) = row?;
            Ok((BranchNo(log.value()), UnreadRow::decode(row.value())?))
        }))
    }
}

impl UnreadRow {
    /// `first | reason | version`.
    pub(super) fn encode(&self) -> Vec<u8> {
        [&self.first.0.to_be_bytes()[..], &[self.reason], self.version.as_bytes()].concat()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let (first, rest) = row.split_first_chunk().ok_or(StoreError::Inconsistent)?;
        let (reason, version) = rest.split_first().ok_or(StoreError::Inconsistent)?;
        let version = String::from_utf8(version.to_vec()).map_err(|_| StoreError::Inconsistent)?;
        Ok(Self { first: Seq(u64::from_be_bytes(*first)), reason: *reason, version })
    }
}
