//! Segments of certified logs that are not merged, each with a reason.

use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::{EVIDENCE_VAULT_BYTES_MAX, QUARANTINE_LOG_BYTES_MAX};
use subrosa_store::logs::{CheckedSegment, QuarantineRow, Reason};

use crate::error::Error;
use crate::life::commit::Tx;

impl Tx<'_> {
    /// Whether a stored segment is not merged for a reason that may pass.
    pub(crate) fn is_set_aside(&self, log: LogNo, seq: Seq) -> Result<bool, Error> {
        Ok(self.logs.reason(log, seq)?.is_some_and(Reason::may_pass))
    }

    /// Keeps a segment as evidence that its log has a second future; says whether it is kept now.
    pub(crate) fn keep_evidence(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        checked: &CheckedSegment,
    ) -> Result<bool, Error> {
        if self.logs.reason(log, checked.segment().header().seq)?.is_some() {
            return Ok(true);
        }
        let bytes = QuarantineRow::bytes_of_evidence(checked);
        let evidence = &mut self.vault_mut(vault)?.evidence;
        let of_vault: usize = evidence.values().sum();
        let of_log = evidence.entry(log).or_default();
        if *of_log + bytes > QUARANTINE_LOG_BYTES_MAX || of_vault + bytes > EVIDENCE_VAULT_BYTES_MAX {
            return Ok(false);
        }
        *of_log += bytes;
        self.logs.put_evidence(log, checked)?;
        Ok(true)
    }
}
