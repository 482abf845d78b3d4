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

    /// What is noted of one log, from a segment of a branch on.
    pub fn notes_of(
        &self,
        vault: VaultNo,
        named: &LogId,
        (by, seq): (BranchNo, Seq),
    ) -> Result<NoteRows<'_>, StoreError> {
        let first = NoteRow { named: *named, by, seq }.key(vault);
        let last = NoteRow { named: *named, by: BranchNo(u32::MAX), seq: Seq(u64::MAX) }.key(vault);
        Ok(NoteRows(self.notes.range::<&[u8; 32]>(&first..=&last)?))
    }

    /// What has named a log is to be merged once more, from a note on.
    pub fn put_named_again(
        &mut self,
        vault: VaultNo,
        named: &LogId,
        (by, seq): (BranchNo, Seq),
    ) -> Result<(), StoreError> {
        let from: [u8; 12] = joined(&[&by.0.to_be_bytes(), &seq.0.to_be_bytes()]);
        self.named_again.insert(&named_key(vault, named), &from)?;
        Ok(())
    }

    /// All that has named a log is merged once more.
    pub fn end_named_again(&mut self, vault: VaultNo, named: &LogId) -> Result<(), StoreError> {
        self.named_again.remove(&named_key(vault, named))?;
        Ok(())
    }
}

impl BranchNo {
    /// Before all others.
    pub const FIRST: Self = Self(0);
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

impl LogsView {
    /// The logs of a vault of which not all is merged once more that has named them: of each the note from which on it is not.
    pub fn named_again(
        &self,
        vault: VaultNo,
    ) -> Result<impl Iterator<Item = Result<NoteRow, StoreError>>, StoreError> {
        let [first, last] = [[0; 16], [0xff; 16]].map(|log| named_key(vault, &LogId::from_bytes(log)));
        Ok(self.named_again.range::<&[u8; 20]>(&first..=&last)?.map(|row| {
            let (key, from) = row?;
            let by = BranchNo(u32::from_be_bytes(part(from.value(), 0)));
            let seq = Seq(u64::from_be_bytes(part(from.value(), 4)));
            Ok(NoteRow { named: LogId::from_bytes(part(key.value(), 4)), by, seq })
        }))
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

fn named_key(vault: VaultNo, named: &LogId) -> [u8; 20] {
    joined(&[&vault.0.to_be_bytes(), named.as_bytes()])
}

impl NoteRow {
    fn key(&self, vault: VaultNo) -> [u8; 32] {
        let (vault, by) = (vault.0.to_be_bytes(), self.by.0.to_be_bytes());
        joined(&[&vault, self.named.as_bytes(), &by, &self.seq.0.to_be_bytes()])
    }
}
