//! Names that wait: tombstones may name logs of which no certificate is here.
//!
//! Such a name has no effect yet, gets no number and is never repeated: else a member could fill every store with names
//! that it made up. Which segments have named a log is noted, within bounds, and they are merged once more in the
//! transaction in which the log is certified. Merging is idempotent, so that comes to the same as if the certificate
//! had been here first; nobody waits for a name.

use std::collections::BTreeSet;

use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::NOTES_PER_LOG_MAX;
use subrosa_store::logs::NoteRow;

use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::pass::{GroupSource, Pass};
use crate::memory::extents::GroupExtent;
use crate::memory::uncertified::EVERY_NAME;

impl Tx<'_> {
    /// Notes that a segment, merged now, names a log without a certificate.
    pub(crate) fn note_name(
        &mut self,
        vault: VaultNo,
        named: &LogId,
        by: LogNo,
        seq: Seq,
    ) -> Result<(), Error> {
        let notes = &self.vault(vault)?.notes;
        let every = notes.every.get(&by).copied();
        if *named == EVERY_NAME || every.is_some_and(|from| from <= seq) {
            return Ok(());
        }
        let full = notes.counts.get(&by).is_some_and(|count| *count >= NOTES_PER_LOG_MAX);
        let note = NoteRow { named: *named, by, seq };
        if self.logs.has_note(vault, &note)? {
            return Ok(());
        }
        if !full {
            self.logs.put_note(vault, &note)?;
            *self.vault_mut(vault)?.notes.counts.entry(by).or_default() += 1;
            return Ok(());
        }
        if let Some(later) = every {
            self.logs.remove_note(vault, &NoteRow { named: EVERY_NAME, by, seq: later })?;
        }
        self.logs.put_note(vault, &NoteRow { named: EVERY_NAME, by, seq })?;
        self.vault_mut(vault)?.notes.every.insert(by, seq);
        Ok(())
    }

    /// Merges once more what has named these logs, which are certified now.
    pub(crate) fn merge_named(&mut self, vault: VaultNo, certified: &[LogId]) -> Result<(), Error> {
        let mut segments = BTreeSet::new();
        for named in certified {
            let notes = self.logs.notes_of(vault, named)?.collect::<Result<Vec<_>, _>>()?;
            for note in notes {
                self.logs.remove_note(vault, &note)?;
                let NoteRow { by, seq, .. } = note;
                segments.insert((by, seq));
                if let Some(count) = self.vault_mut(vault)?.notes.counts.get_mut(&by) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        let every: Vec<_> = match certified {
            [] => Vec::new(),
            _ => self.vault(vault)?.notes.every.iter().map(|(by, from)| (*by, *from)).collect(),
        };
        let mut pass = Pass::default();
        for (by, seq) in segments {
            self.merge_once_more(vault, by, seq, &mut pass)?;
        }
        for (by, from) in every {
            let end = self.end_of_ops(by)?;
            for seq in from.0..end.0 {
                self.merge_once_more(vault, by, Seq(seq), &mut pass)?;
            }
        }
        self.run_pass(vault, &mut pass)
    }

    fn merge_once_more(&mut self, vault: VaultNo, by: LogNo, seq: Seq, pass: &mut Pass) -> Result<(), Error> {
        let Ok(body) = self.open_stored(vault, by, seq)? else { return Ok(()) };
        if !pass.has_room(body.data.len()) {
            self.run_pass(vault, pass)?;
        }
        let source = GroupSource::Again(self.place_of(by, seq)?);
        pass.add(GroupExtent::of_one(by, seq), vec![body], source);
        Ok(())
    }
}
