//! Names that wait: tombstones may name logs of which no certificate is here.
//!
//! Such a name has no effect yet, gets no number and is never repeated: else a member could fill every store with names
//! that it made up. Which segments have named a log is noted, within bounds, and they are merged once more in the
//! transaction in which the log is certified. Merging is idempotent, so that comes to the same as if the certificate
//! had been here first; nobody waits for a name.

use std::collections::{BTreeSet, HashMap};

use redb::ReadableTable as _;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::NOTES_PER_LOG_MAX;
use subrosa_store::error::StoreError;
use subrosa_store::tables::{NOTES, note_key};

use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::pass::{GroupSource, Pass};

/// The log id of the note that stands for all names from a segment on. No log has it.
const EVERY_NAME: LogId = LogId::from_bytes([0; 16]);

/// What is noted of the logs of one vault.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// How many notes there are of each naming log.
    counts: HashMap<LogNo, usize>,
    /// Of naming logs that have too many: from where on nothing is noted, and everything is merged once more.
    every: HashMap<LogNo, Seq>,
}

impl Notes {
    pub(crate) fn load(txn: &redb::ReadTransaction, vault: VaultNo) -> Result<Self, StoreError> {
        let mut notes = Self::default();
        let first = note_key(vault, &EVERY_NAME, LogNo(0), Seq(0));
        let last = note_key(vault, &LogId::from_bytes([0xff; 16]), LogNo(u32::MAX), Seq(u64::MAX));
        for row in txn.open_table(NOTES)?.range::<&[u8; 32]>(&first..=&last)? {
            let (named, by, seq) = split_note_key(row?.0.value());
            if named == EVERY_NAME {
                notes.every.insert(by, seq);
            } else {
                *notes.counts.entry(by).or_default() += 1;
            }
        }
        Ok(notes)
    }

    #[cfg(test)]
    pub(crate) fn of(&self, by: LogNo) -> (usize, Option<Seq>) {
        (self.counts.get(&by).copied().unwrap_or_default(), self.every.get(&by).copied())
    }
}

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
        let key = note_key(vault, named, by, seq);
        if self.tables.notes.get(&key)?.is_some() {
            return Ok(());
        }
        if !full {
            self.tables.notes.insert(&key, ())?;
            *self.vault_mut(vault)?.notes.counts.entry(by).or_default() += 1;
            return Ok(());
        }
        if let Some(later) = every {
            self.tables.notes.remove(&note_key(vault, &EVERY_NAME, by, later))?;
        }
        self.tables.notes.insert(&note_key(vault, &EVERY_NAME, by, seq), ())?;
        self.vault_mut(vault)?.notes.every.insert(by, seq);
        Ok(())
    }

    /// Merges once more what has named these logs, which are certified now.
    pub(crate) fn merge_named(&mut self, vault: VaultNo, certified: &[LogId]) -> Result<(), Error> {
        let mut segments = BTreeSet::new();
        for named in certified {
            let first = note_key(vault, named, LogNo(0), Seq(0));
            let last = note_key(vault, named, LogNo(u32::MAX), Seq(u64::MAX));
            let mut keys = Vec::new();
            for row in self.tables.notes.range::<&[u8; 32]>(&first..=&last)? {
                keys.push(*row?.0.value());
            }
            for key in keys {
                self.tables.notes.remove(&key)?;
                let (_, by, seq) = split_note_key(&key);
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
            let merged = self.head(by)?.map_or(Seq(0), |head| head.merged);
            for seq in from.0..merged.0 {
                self.merge_once_more(vault, by, Seq(seq), &mut pass)?;
            }
        }
        self.run_pass(vault, &mut pass)
    }

    fn merge_once_more(&mut self, vault: VaultNo, by: LogNo, seq: Seq, pass: &mut Pass) -> Result<(), Error> {
        // What lies in quarantine was never merged.
        if !self.is_set_aside(by, seq)?
            && let Ok(body) = self.open_stored(vault, by, seq)?
        {
            pass.add(by, seq..=seq, vec![body], GroupSource::Again);
        }
        if pass.is_full() { self.run_pass(vault, pass) } else { Ok(()) }
    }
}

fn split_note_key(key: &[u8; 32]) -> (LogId, LogNo, Seq) {
    let (mut named, mut by, mut seq) = ([0; 16], [0; 4], [0; 8]);
    named.copy_from_slice(&key[4..20]);
    by.copy_from_slice(&key[20..24]);
    seq.copy_from_slice(&key[24..]);
    (LogId::from_bytes(named), LogNo(u32::from_be_bytes(by)), Seq(u64::from_be_bytes(seq)))
}
