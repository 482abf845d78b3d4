//! How far a vault's data log has named the others as seen.

use redb::ReadableTable as _;
use subrosa_protocol::ids::Seq;

use super::{BranchNo, Logs, LogsView};
use crate::error::StoreError;

impl Logs<'_> {
    /// The last segment of a log that this device's data log has named as seen.
    pub fn said(&self, log: BranchNo) -> Result<Option<Seq>, StoreError> {
        Ok(self.said.get(log.0)?.map(|seq| Seq(seq.value())))
    }

    /// Keeps that a log was named as seen up to a segment.
    pub fn put_said(&mut self, log: BranchNo, seq: Seq) -> Result<(), StoreError> {
        self.said.insert(log.0, seq.0)?;
        Ok(())
    }

    /// A log was never named: this device's data log is another one now.
    pub fn forget_said(&mut self, log: BranchNo) -> Result<(), StoreError> {
        self.said.remove(log.0)?;
        Ok(())
    }
}

impl LogsView {
    /// The last segment of a log that this device's data log has named as seen.
    pub fn said(&self, log: BranchNo) -> Result<Option<Seq>, StoreError> {
        Ok(self.said.get(log.0)?.map(|seq| Seq(seq.value())))
    }
}
