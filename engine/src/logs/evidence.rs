//! Evidence that logs have second futures, within bounds.

use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::limits::{EVIDENCE_VAULT_BYTES_MAX, QUARANTINE_LOG_BYTES_MAX};
use subrosa_store::logs::{CheckedSegment, EvidenceRow};

use crate::error::Error;
use crate::life::commit::Tx;

impl Tx<'_> {
    /// Keeps a segment as evidence that its log has a second future; says whether it is kept now.
    pub(crate) fn keep_evidence(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        checked: &CheckedSegment,
    ) -> Result<bool, Error> {
        if self.logs.has_evidence(log, checked.segment().header().seq)? {
            return Ok(true);
        }
        let bytes = EvidenceRow::bytes_of(checked);
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
