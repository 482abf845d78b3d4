//! Segments of certified logs that are not merged, each with a reason.

use redb::ReadableTable as _;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::{Chain, Seq};
use subrosa_protocol::limits::{EVIDENCE_VAULT_BYTES_MAX, QUARANTINE_LOG_BYTES_MAX};
use subrosa_store::tables::segment_key;

use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::checked::CheckedSegment;

/// Why a segment is in quarantine. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// It does not open with the keys that are here.
    StaysShut = 2,
    /// It opens but does not decode; perhaps a newer version reads it.
    Undecodable = 3,
    /// Another segment of the same log and seq is held too; this is the second. The segment is held in the entry.
    Equivocation = 4,
    /// A kind of a newer version.
    UnknownKind = 5,
}

impl Reason {
    /// Reasons that may pass: what is in quarantine for them is tried again.
    pub(crate) const RETRIED: &[u8] =
        &[Self::StaysShut as u8, Self::Undecodable as u8, Self::UnknownKind as u8];

    /// Whether the segment lies in the entry, because its log does not hold it.
    #[cfg_attr(not(test), expect(dead_code, reason = "the specification says so, and is compared"))]
    pub(crate) const fn holds_segment(self) -> bool {
        matches!(self, Self::Equivocation)
    }
}

impl Tx<'_> {
    /// Notes why a stored segment is not merged.
    pub(crate) fn set_aside(
        &mut self,
        log: LogNo,
        seq: Seq,
        chain: &Chain,
        reason: Reason,
    ) -> Result<(), Error> {
        let mut row = [0; 33];
        row[0] = reason as u8;
        row[1..].copy_from_slice(chain.as_bytes());
        self.tables.quarantine.insert(&segment_key(log, seq), &row[..])?;
        Ok(())
    }

    /// Whether a stored segment is not merged for a reason that may pass.
    pub(crate) fn is_set_aside(&self, log: LogNo, seq: Seq) -> Result<bool, Error> {
        let row = self.tables.quarantine.get(&segment_key(log, seq))?;
        Ok(row.is_some_and(|row| row.value().first().is_some_and(|reason| Reason::RETRIED.contains(reason))))
    }

    /// Whether a second future of a log is kept at this place.
    pub(crate) fn is_evidence(&self, log: LogNo, seq: Seq) -> Result<bool, Error> {
        let row = self.tables.quarantine.get(&segment_key(log, seq))?;
        Ok(row.is_some_and(|row| row.value().first() == Some(&(Reason::Equivocation as u8))))
    }

    /// Keeps a segment as evidence that its log has a second future; says whether it is kept now.
    pub(crate) fn keep_evidence(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        checked: &CheckedSegment,
    ) -> Result<bool, Error> {
        let key = segment_key(log, checked.segment().header().seq);
        if self.tables.quarantine.get(&key)?.is_some() {
            return Ok(true);
        }
        let mut row = vec![Reason::Equivocation as u8];
        row.extend_from_slice(checked.chain().as_bytes());
        row.extend_from_slice(checked.segment().bytes());
        let evidence = &mut self.vault_mut(vault)?.evidence;
        let of_vault: usize = evidence.values().sum();
        let of_log = evidence.entry(log).or_default();
        if *of_log + row.len() > QUARANTINE_LOG_BYTES_MAX || of_vault + row.len() > EVIDENCE_VAULT_BYTES_MAX {
            return Ok(false);
        }
        *of_log += row.len();
        self.tables.quarantine.insert(&key, &row[..])?;
        Ok(true)
    }
}
