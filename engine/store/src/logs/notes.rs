//! Which segments name a log that has no certificate.

use redb::{Range, ReadableTable};
use subrosa_protocol::ids::{LogId, Seq};

use super::{BranchNo, Logs, LogsView};
use crate::error::StoreError;
use crate::keys::{VaultNo, joined, part};

/// Segment `seq` of log `by` names `named`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// The log that has no certificate.
    pub named: LogId,
    /// The log that names it.
    pub by: BranchNo,
    /// The segment that does.
    pub seq: Seq,
}

/// Notes, by the log that is named, then by the one that names it.
pub struct NoteRows<'t>(Range<'t, &'static [u8; 32], ()>);

impl Logs<'_> {
    /// Whether something is noted.
    pub fn has_note(&self, vault: VaultNo, note: &NoteRow) -> Result<bool, StoreError> {
        Ok(self.notes.get(&note.key(vault))?.is_some())
    }

    /// Notes something.
    pub fn put_note(&mut self, vault: VaultNo, note: &NoteRow) -> Result<(), StoreError> {
        self.notes.insert(&note.key(vault), ())?;
        Ok(())
    }

    /// Forgets what was noted.
    pub fn remove_note(&mut self, vault: VaultNo, note: &NoteRow) -> Result<(), StoreError> {
        self.notes.remove(&note.key(vault))?;
        Ok(())
    }

    /// What is noted of one log.
    pub fn notes_of(&self, vault: VaultNo, named: &LogId) -> Result<NoteRows<'_>, StoreError> {
        let first = NoteRow { named: *named, by: BranchNo(0), seq: Seq(0) }.key(vault);
        let last = NoteRow { named: *named, by: BranchNo(u32::MAX), seq: Seq(u64::MAX) }.key(vault);
        Ok(NoteRows(self.notes.range::<&[u8; 32]>(&first..=&last)?))
    }
}

impl LogsView {
    /// What is noted in a vault.
    pub fn notes(&self, vault: VaultNo) -> Result<NoteRows<'_>, StoreError> {
        let first = NoteRow { named: LogId::from_bytes([0; 16]), by: BranchNo(0), seq: Seq(0) };
        let last =
            NoteRow { named: LogId::from_bytes([0xff; 16]), by: BranchNo(u32::MAX), seq: Seq(u64::MAX) };
        Ok(NoteRows(self.notes.range::<&[u8; 32]>(&first.key(vault)..=&last.key(vault))?))
    }
}

impl Iterator for NoteRows<'_> {
    type Item = Result<NoteRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.map(|(key, _)| NoteRow {
            named: LogId::from_bytes(part(key.value(), 4)),
            by: BranchNo(u32::from_be_bytes(part(key.value(), 20))),
            seq: Seq(u64::from_be_bytes(part(key.value(), 24))),
        }))
    }
}

impl NoteRow {
    fn key(&self, vault: VaultNo) -> [u8; 32] {
        let (vault, by) = (vault.0.to_be_bytes(), self.by.0.to_be_bytes());
        joined(&[&vault, self.named.as_bytes(), &by, &self.seq.0.to_be_bytes()])
    }
}
