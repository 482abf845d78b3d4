//! The door through which every merged row goes.

use std::ops::Bound;

use subrosa_model::merge::logs::NumberLogs;
use subrosa_model::merge::{LogNo, Op, RecordState, Row, RowBuf};
use subrosa_store::error::StoreError;
use subrosa_store::keys::{RecordKey, VaultNo};
use subrosa_store::records::{KeyRange, RecordsTable};

use crate::error::Error;

/// The merged rows in a write transaction. Its table is private: there is no other way to write a row.
pub(crate) struct Records<'t> {
    table: RecordsTable<'t>,
    changes: RowChanges,
}

/// What was in the place of a row before, as far as its writer knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before<'r> {
    /// No row.
    Nothing,
    /// This row.
    Row(Row<'r>),
    /// The row that the store has: it is looked at only if somebody is interested.
    Stored,
}

/// What the rows that a transaction replaced tell.
#[derive(Debug)]
pub(crate) enum RowChanges {
    /// What happened to records, in the order of the writes.
    Heard(Vec<RowChange>),
    /// Vaults in which records changed, and which ones was not kept, since nobody watched.
    Unheard(Vec<VaultNo>),
}

/// What bounds a slice of rows that are looked at in one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceLimits {
    pub(crate) records: usize,
    /// Of rows, but for the last one.
    pub(crate) bytes: usize,
}

/// What a row that was replaced tells of its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowChange {
    pub(crate) key: RecordKey,
    /// Whether a reader saw the record.
    pub(crate) before: bool,
    /// Whether a reader sees it now; one of both is so.
    pub(crate) after: bool,
}

impl<'t> Records<'t> {
    /// The door of a transaction; `changes` is what is kept of its changes.
    pub(crate) const fn new(table: RecordsTable<'t>, changes: RowChanges) -> Self {
        Self { table, changes }
    }

    /// The row of a record.
    pub(crate) fn row(&self, key: &RecordKey) -> Result<Option<RowBuf>, StoreError> {
        Ok(self.table.get(key)?.map(|stored| stored.row().to_buf()))
    }

    /// Puts a row in the place of another, and notes what that means to whom it may concern. The only writer of rows.
    ///
    /// # Errors
    /// What the store refuses.
    pub(crate) fn replace(
        &mut self,
        key: &RecordKey,
        before: Before<'_>,
        after: Row<'_>,
    ) -> Result<(), StoreError> {
        if matches!(before, Before::Row(before) if before == after) {
            return Ok(());
        }
        let table = &self.table;
        self.changes.note(key, || {
            let before = match before {
                Before::Nothing => false,
                Before::Row(row) => is_visible(row)?,
                Before::Stored => match table.get(key)? {
                    Some(stored) => is_visible(stored.row())?,
                    None => false,
                },
            };
            Ok((before, is_visible(after)?))
        })?;
        self.table.put(key, after)
    }

    /// Looks at the rows of a range, which stay as they are, until there were so many: where `reads_otherwise`, the record is
    /// told of as one that was written. The first row that was not looked at, if there is one.
    pub(crate) fn pass(
        &mut self,
        range: &KeyRange,
        limits: SliceLimits,
        mut reads_otherwise: impl FnMut(&RecordKey, Row<'_>) -> Result<bool, StoreError>,
    ) -> Result<Option<RecordKey>, StoreError> {
        let (mut records, mut bytes) = (0, 0);
        for stored in self.table.range(range)? {
            let (key, stored) = stored?;
            if records >= limits.records || bytes >= limits.bytes {
                return Ok(Some(key));
            }
            records += 1;
            bytes += stored.row().as_bytes().len();
            if reads_otherwise(&key, stored.row())? {
                self.changes.note(&key, || Ok((true, true)))?;
            }
        }
        Ok(None)
    }

    /// Merges ops that are sorted by key, those of one record and log in their order.
    pub(crate) fn merge_sorted(
        &mut self,
        logs: &impl NumberLogs,
        ops: &[(RecordKey, LogNo, &Op<'_>)],
    ) -> Result<(), Error> {
        let (Some((first, ..)), Some((last, ..))) = (ops.first(), ops.last()) else { return Ok(()) };
        let range: KeyRange = (Bound::Included(*first), Bound::Included(*last));
        // New records in new ranges are the common case of a bulk load: then no record is looked up.
        let fresh = !self.table.holds_any(&range)?;
        let (mut held, mut merged) = (RowBuf::default(), RowBuf::default());
        for group in ops.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            let stored = if fresh { None } else { self.table.get(&key)? };
            let before = stored.map(|stored| {
                held.copy_from(stored.row());
                held.borrow()
            });
            let mut state = decode_state(before)?;
            let mut changed = false;
            for (_, log, op) in group {
                changed |= state.apply(*log, op, logs);
            }
            if changed {
                merged.set(&state);
                self.replace(&key, before.into(), merged.borrow())?;
            }
        }
        Ok(())
    }

    /// What the replaced rows tell.
    pub(crate) fn into_changes(self) -> RowChanges {
        self.changes
    }
}

impl RowChanges {
    /// Notes that a row was replaced, or reads otherwise; `seen` says whether a reader saw its record before, and sees it now.
    fn note(
        &mut self,
        key: &RecordKey,
        seen: impl FnOnce() -> Result<(bool, bool), StoreError>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Heard(changes) => {
                let (before, after) = seen()?;
                if before || after {
                    changes.push(RowChange { key: *key, before, after });
                }
            }
            Self::Unheard(vaults) => {
                let vault = key.vault();
                if vaults.last() != Some(&vault) {
                    vaults.push(vault);
                }
            }
        }
        Ok(())
    }
}

impl<'r> From<Option<Row<'r>>> for Before<'r> {
    fn from(row: Option<Row<'r>>) -> Self {
        row.map_or(Self::Nothing, Self::Row)
    }
}

/// The state of a row; where there is none, one that has taken in nothing.
pub(crate) fn decode_state(row: Option<Row<'_>>) -> Result<RecordState<'_>, StoreError> {
    row.map_or_else(|| Ok(RecordState::default()), |row| row.state().map_err(|_| StoreError::Inconsistent))
}

/// Whether a reader sees the record of a row.
pub(crate) fn is_visible(row: Row<'_>) -> Result<bool, StoreError> {
    row.is_visible().map_err(|_| StoreError::Inconsistent)
}

#[cfg(test)]
mod tests {
    use subrosa_model::merge::{LogTable, OpKind, Put, RecordId, Stamp, Tombstone};
    use subrosa_protocol::ids::LogId;
    use subrosa_protocol::segment::Class;
    use subrosa_store::doors::{Doors, DoorsView, in_memory};
    use subrosa_store::keys::CollectionNo;

    use super::*;

    /// The row of a record that a reader sees, or of one that was deleted.
    fn row(seen: bool) -> RowBuf {
        let (mut logs, mut state) = (LogTable::default(), RecordState::default());
        let log = LogId::from_bytes([1; 16]);
        let number = logs.intern(VaultNo(1), log, Class::Data);
        let names = Tombstone::from_iter([(log, Stamp(1))]);
        let put = OpKind::Put(Put::new(Tombstone::default(), Vec::new()).unwrap());
        let kinds = [Some(put), (!seen).then_some(OpKind::Delete(names))];
        for (stamp, kind) in kinds.into_iter().flatten().enumerate() {
            let (record, stamp) = (RecordId::from_bytes([1; 16]), Stamp(1 + stamp as u64));
            state.apply(number, &Op { record, collection: "c", stamp, kind }, &logs.of(VaultNo(1)));
        }
        RowBuf::of(&state, &mut Vec::new())
    }

    fn key(vault: u32, n: u8) -> RecordKey {
        RecordKey::new(VaultNo(vault), CollectionNo(0), &RecordId::from_bytes([n; 16]))
    }

    /// What replacing rows tells of each: seen before, seen now.
    fn told(changes: RowChanges) -> Vec<(bool, bool)> {
        let RowChanges::Heard(changes) = changes else { panic!("somebody listened") };
        changes.iter().map(|change| (change.before, change.after)).collect()
    }

    #[test]
    fn a_replaced_row_tells_the_same_whether_its_writer_knows_what_was_there_or_not() {
        let (database, seen, gone) = (in_memory(), row(true), row(false));
        let rows = [None, Some(&seen), Some(&gone)];
        for (n, (before, after)) in
            rows.iter().flat_map(|before| [&seen, &gone].map(|after| (*before, after))).enumerate()
        {
            let (known, stored) = (key(1, n as u8), key(2, n as u8));
            let txn = database.begin_write().unwrap();
            let mut records =
                Records::new(Doors::open(&txn).unwrap().records, RowChanges::Unheard(Vec::new()));
            for (key, before) in [known, stored].iter().filter_map(|key| Some((key, before?))) {
                records.replace(key, Before::Nothing, before.borrow()).unwrap();
            }
            drop(records);
            let mut records = Records::new(Doors::open(&txn).unwrap().records, RowChanges::Heard(Vec::new()));
            records.replace(&known, before.map(RowBuf::borrow).into(), after.borrow()).unwrap();
            let of_known = told(std::mem::replace(&mut records.changes, RowChanges::Heard(Vec::new())));
            records.replace(&stored, Before::Stored, after.borrow()).unwrap();
            let of_stored = told(records.into_changes());
            let is_seen = |row: Row<'_>| row.is_visible().unwrap();
            let change = (before.is_some_and(|row| is_seen(row.borrow())), is_seen(after.borrow()));
            let expected: Vec<_> = (change != (false, false)).then_some(change).into_iter().collect();
            assert_eq!(of_stored, expected, "{n}");
            // A row in its own place is no change, if its writer knows.
            let same = before.is_some_and(|before| before.borrow() == after.borrow());
            assert_eq!(of_known, if same { Vec::new() } else { expected }, "{n}");
            txn.commit().unwrap();
            let view = DoorsView::begin(&database).unwrap().records().unwrap();
            for key in [known, stored] {
                assert_eq!(view.get(&key).unwrap().unwrap().row(), after.borrow(), "{n}");
            }
        }
    }

    #[test]
    fn while_nobody_listens_only_the_vaults_of_changes_are_kept() {
        let (database, row) = (in_memory(), row(true));
        let txn = database.begin_write().unwrap();
        let mut records = Records::new(Doors::open(&txn).unwrap().records, RowChanges::Unheard(Vec::new()));
        for (vault, n) in [(1, 1), (1, 2), (2, 1), (2, 3)] {
            records.replace(&key(vault, n), Before::Nothing, row.borrow()).unwrap();
        }
        assert!(
            matches!(records.into_changes(), RowChanges::Unheard(vaults) if vaults == [1, 2].map(VaultNo))
        );
    }
}
