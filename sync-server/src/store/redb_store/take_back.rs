//! Taking damaged logs back to before their damage (`docs/RELAY.md`, "Damage").
//!
//! A survey reads the whole vault from a snapshot, while commits go on; the removal is one short transaction.

use std::collections::{BTreeMap, HashMap};

use redb::{ReadableTable as _, WriteTransaction};
use subrosa_protocol::digest::HeadsDigest;
use subrosa_protocol::ids::{Chain, Head, LogId, Rseq, Seq, VaultId};
use subrosa_protocol::segment::{Class, Header};

use super::super::rows::{CONTROL, INDEX, LOGS, LogRow, SEGMENTS, VAULTS, VaultMeta};
use super::super::{StoreError, TakenBack};
use super::check::{Checked, HeadCheck};
use super::shares::LogShares;
use super::snapshot::Snapshot;

/// What is wrong with a vault.
#[derive(Default)]
pub(super) struct Survey {
    /// The vault's last rseq in the snapshot.
    last: Rseq,
    /// Bytes of the segments that stay.
    kept_bytes: u64,
    /// Segments that go, by rseq.
    removed: Vec<u64>,
    /// Logs with damage.
    cuts: BTreeMap<LogId, Cut>,
    /// Entries of the control table that are missing.
    unlisted: Vec<u64>,
    /// Entries of the control table that name no control segment.
    false_entries: Vec<u64>,
}

/// The last segment of a log that holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kept {
    seq: Seq,
    chain: Chain,
    /// Whether it closes the log.
    closed: bool,
}

struct Cut {
    /// The log's row, unless it is what is damaged.
    row: Option<LogRow>,
    /// The last segment that stays.
    kept: Option<Kept>,
}

impl Survey {
    /// Reads and checks all of the vault.
    pub(super) fn of(snapshot: &Snapshot, meta: &VaultMeta) -> Result<Self, StoreError> {
        let mut survey = Self { last: meta.last, ..Self::default() };
        let mut seen: HashMap<LogId, Kept> = HashMap::new();
        let mut checked = Checked::new(snapshot, meta.no, HeadCheck::Leave)?;
        let control = snapshot.0.open_table(CONTROL)?;
        for entry in snapshot.0.open_table(SEGMENTS)?.range((meta.no, 0)..=(meta.no, u64::MAX))? {
            let (key, value) = entry?;
            let rseq = key.value().1;
            let found = match checked.segment(Rseq(rseq), value.value()) {
                Ok(found) => found,
                Err(StoreError::Damaged { .. }) => {
                    survey.removed.push(rseq);
                    continue;
                }
                Err(other) => return Err(other),
            };
            let log = found.header.log;
            let next = seen.get(&log).map_or(found.base.seq, |kept| kept.seq.next());
            if found.header.seq != next {
                survey.removed.push(rseq); // one before it is damaged or gone
                continue;
            }
            let (seq, closed) = (found.header.seq, found.header.kind.closes());
            seen.insert(log, Kept { seq, chain: found.chain, closed });
            survey.kept_bytes += value.value().len() as u64;
            if found.header.kind.class() == Class::Control && control.get((meta.no, rseq))?.is_none() {
                survey.unlisted.push(rseq);
            }
        }
        survey.logs(snapshot, meta, &seen)?;
        survey.control(snapshot, meta)?;
        Ok(survey)
    }

    /// Finds the logs whose last segment that held is not their head.
    fn logs(
        &mut self,
        snapshot: &Snapshot,
        meta: &VaultMeta,
        seen: &HashMap<LogId, Kept>,
    ) -> Result<(), StoreError> {
        for entry in snapshot.0.open_table(LOGS)?.range((meta.no, [0; 16])..=(meta.no, [0xff; 16]))? {
            let (key, row) = entry?;
            let log = LogId::from_bytes(key.value().1);
            let row = LogRow::decode(row.value()).ok();
            let kept = seen.get(&log).copied();
            let says = |row: LogRow| Kept { seq: row.seq, chain: row.chain, closed: row.closed };
            if row.is_none_or(|row| kept != Some(says(row))) {
                self.cuts.insert(log, Cut { row, kept });
            }
        }
        Ok(())
    }

    fn control(&mut self, snapshot: &Snapshot, meta: &VaultMeta) -> Result<(), StoreError> {
        let segments = snapshot.0.open_table(SEGMENTS)?;
        for entry in snapshot.0.open_table(CONTROL)?.range((meta.no, 0)..=(meta.no, u64::MAX))? {
            let rseq = entry?.0.value().1;
            let segment = segments.get((meta.no, rseq))?;
            let kind = segment.and_then(|value| Header::decode(value.value()).ok()).map(|header| header.kind);
            if kind.is_none_or(|kind| kind.class() != Class::Control) {
                self.false_entries.push(rseq);
            }
        }
        Ok(())
    }

    pub(super) fn is_clean(&self) -> bool {
        self.removed.is_empty()
            && self.cuts.is_empty()
            && self.unlisted.is_empty()
            && self.false_entries.is_empty()
    }

    /// Removes what is damaged and all behind it in its log. Returns what was taken back, the vault's last rseq now,
    /// and by how many bytes it holds less.
    pub(super) fn remove(
        mut self,
        txn: &WriteTransaction,
        vault: &VaultId,
    ) -> Result<(Vec<TakenBack>, Rseq, u64), StoreError> {
        let mut vaults = txn.open_table(VAULTS)?;
        let Some(mut meta) =
            vaults.get(vault.as_bytes())?.map(|row| VaultMeta::decode(row.value())).transpose()?
        else {
            return Err(StoreError::Damaged { what: "a vault's row" });
        };
        let no = meta.no;
        self.look_at_what_came_since(txn, no)?;
        let mut segments = txn.open_table(SEGMENTS)?;
        let mut control = txn.open_table(CONTROL)?;
        for rseq in &self.removed {
            segments.remove((no, *rseq))?;
            control.remove((no, *rseq))?;
        }
        for rseq in &self.false_entries {
            control.remove((no, *rseq))?;
        }
        for rseq in &self.unlisted {
            control.insert((no, *rseq), ())?;
        }
        let mut logs = txn.open_table(LOGS)?;
        let mut index = txn.open_table(INDEX)?;
        let mut shares = LogShares::new(txn);
        let mut taken = Vec::with_capacity(self.cuts.len());
        for (log, Cut { row, kept }) in &self.cuts {
            let base = row.map_or(Seq(0), |row| row.base.seq);
            let from = kept.map_or(base, |kept| kept.seq.next());
            if let Some(row) = row {
                index.retain_in((no, row.no, from.0)..=(no, row.no, u64::MAX), |_, _| false)?;
            }
            match (row, kept) {
                (Some(row), Some(Kept { seq, chain, closed })) => {
                    let row = LogRow { seq: *seq, chain: *chain, closed: *closed, ..*row };
                    logs.insert((no, *log.as_bytes()), &row.encode()[..])?;
                }
                _ => {
                    if let Some(vouch) = row.and_then(|row| row.vouch) {
                        shares.remove(no, &vouch.admin)?;
                    }
                    logs.remove((no, *log.as_bytes()))?;
                }
            }
            taken.push(TakenBack { log: *log, from });
        }
        shares.finish()?;
        let less = meta.used_bytes.saturating_sub(self.kept_bytes);
        meta.used_bytes = self.kept_bytes;
        meta.last = meta.last.next();
        meta.digest = HeadsDigest::new();
        for entry in logs.range((no, [0; 16])..=(no, [0xff; 16]))? {
            let (key, row) = entry?;
            let LogRow { seq, chain, .. } = LogRow::decode(row.value())?;
            meta.digest.add(&Head { log: LogId::from_bytes(key.value().1), seq, chain });
        }
        vaults.insert(vault.as_bytes(), &meta.encode()[..])?;
        Ok((taken, meta.last, less))
    }

    /// What was appended while the survey read: it goes too if it is of a log with damage.
    fn look_at_what_came_since(&mut self, txn: &WriteTransaction, no: u64) -> Result<(), StoreError> {
        for entry in txn.open_table(SEGMENTS)?.range((no, self.last.next().0)..=(no, u64::MAX))? {
            let (key, value) = entry?;
            let log = Header::decode(value.value()).ok().map(|header| header.log);
            if log.is_none_or(|log| self.cuts.contains_key(&log)) {
                self.removed.push(key.value().1);
            } else {
                self.kept_bytes += value.value().len() as u64;
            }
        }
        Ok(())
    }
}
