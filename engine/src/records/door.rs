//! The door through which every merged row goes.

use std::ops::Bound;

use subrosa_model::merge::logs::NumberLogs;
use subrosa_model::merge::{LogNo, Op, RecordState, Row, RowBuf};
use subrosa_store::error::StoreError;
use subrosa_store::keys::{RecordKey, VaultNo};
use subrosa_store::records::{KeyRange, NewRows, RecordsTable};

use crate::error::Error;

/// So many new records, with no row between the first and the last, are put into the table together; what of a page is copied for
/// that costs more for fewer.
const RUN_RECORDS_MIN: usize = 16;
/// Bytes of rows that are gathered for that, but for the last one.
const RUN_BYTES: usize = 1 << 20;

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

/// The records of a range before the first one that has a row.
#[derive(Clone, Copy)]
struct Gap(Option<RecordKey>);

impl Gap {
    fn has(&self, key: &RecordKey) -> bool {
        self.0.is_none_or(|first| *key < first)
    }
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

    /// As [`Self::replace`], for rows in the order of their keys; what has no row before is [`Before::Nothing`].
    ///
    /// # Errors
    /// What the store refuses.
    pub(crate) fn replace_sorted(
        &mut self,
        rows: &[(RecordKey, Before<'_>, Row<'_>)],
    ) -> Result<(), StoreError> {
        let (mut left, mut new) = (rows, NewRows::default());
        while let (Some((first, ..)), Some((last, ..))) = (left.first(), left.last()) {
            let gap = self.gap(first, last)?;
            let fresh = left.partition_point(|(key, ..)| gap.has(key));
            let is_run = fresh >= RUN_RECORDS_MIN;
            let (these, rest) = left.split_at(if is_run { fresh } else { RUN_RECORDS_MIN.min(left.len()) });
            for (key, before, after) in these {
                if is_run {
                    self.changes.note(key, || Ok((false, is_visible(*after)?)))?;
                    new.push_row(key, *after);
                    self.put_gathered(&mut new, RUN_BYTES)?;
                } else {
                    self.replace(key, *before, *after)?;
                }
            }
            self.put_gathered(&mut new, 0)?;
            left = rest;
        }
        Ok(())
    }

    /// Merges ops that are sorted by key, those of one record and log in their order.
    pub(crate) fn merge_sorted(
        &mut self,
        logs: &impl NumberLogs,
        ops: &[(RecordKey, LogNo, &Op<'_>)],
    ) -> Result<(), Error> {
        let mut left = ops;
        while let (Some((first, ..)), Some((last, ..))) = (left.first(), left.last()) {
            // New records in new ranges are the common case of a bulk load: then no record is looked up.
            let gap = self.gap(first, last)?;
            let fresh = left.partition_point(|(key, ..)| gap.has(key));
            if fresh >= RUN_RECORDS_MIN {
                let (these, rest) = left.split_at(fresh);
                self.merge_new(logs, these)?;
                left = rest;
            } else {
                let last = left[RUN_RECORDS_MIN.min(left.len()) - 1].0;
                let (these, rest) = left.split_at(left.partition_point(|(key, ..)| *key <= last));
                self.merge_each(logs, these, gap)?;
                left = rest;
            }
        }
        Ok(())
    }

    /// Merges ops of records of which none has a row, nor has one between them.
    fn merge_new(
        &mut self,
        logs: &impl NumberLogs,
        ops: &[(RecordKey, LogNo, &Op<'_>)],
    ) -> Result<(), Error> {
        let (mut new, mut state) = (NewRows::default(), RecordState::default());
        for group in ops.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            state.clear();
            let mut changed = false;
            for (_, log, op) in group {
                changed |= state.apply(*log, op, logs);
            }
            if changed {
                let after = new.push(&key, &state);
                self.changes.note(&key, || Ok((false, is_visible(after)?)))?;
                self.put_gathered(&mut new, RUN_BYTES)?;
            }
        }
        Ok(self.put_gathered(&mut new, 0)?)
    }

    /// Puts gathered rows into the table once they are more than so many bytes.
    fn put_gathered(&mut self, new: &mut NewRows, bytes: usize) -> Result<(), StoreError> {
        if new.bytes() > bytes {
            self.table.put_new(new)?;
            new.clear();
        }
        Ok(())
    }

    /// What has no row, of a range.
    fn gap(&self, first: &RecordKey, last: &RecordKey) -> Result<Gap, StoreError> {
        Ok(Gap(self.table.first_of(&(Bound::Included(*first), Bound::Included(*last)))?))
    }

    /// Merges ops record by record.
    fn merge_each(
        &mut self,
        logs: &impl NumberLogs,
        ops: &[(RecordKey, LogNo, &Op<'_>)],
        gap: Gap,
    ) -> Result<(), Error> {
        let (mut held, mut merged) = (RowBuf::default(), RowBuf::default());
        for group in ops.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            let stored = if gap.has(&key) { None } else { self.table.get(&key)? };
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

    /// Rows, and of each change which record it is of and whether that was there before and is there after.
    type Merged = (Vec<(RecordKey, Vec<u8>)>, Vec<(RecordKey, bool, bool)>);

    /// All rows that there are, and what was told of them, after `merge` on top of the records `there`.
    fn merged(there: &[u8], merge: impl FnOnce(&mut Records<'_>, &LogTable)) -> Merged {
        let (mut logs, database, gone) = (LogTable::default(), in_memory(), row(false));
        logs.intern(VaultNo(1), LogId::from_bytes([1; 16]), Class::Data);
        let txn = database.begin_write().unwrap();
        let mut records = Records::new(Doors::open(&txn).unwrap().records, RowChanges::Heard(Vec::new()));
        there.iter().for_each(|n| records.replace(&key(1, *n), Before::Nothing, gone.borrow()).unwrap());
        merge(&mut records, &logs);
        let all = (Bound::Included(key(0, 0)), Bound::Included(key(9, 0)));
        let rows = records.table.range(&all).unwrap().map(|row| row.unwrap());
        let rows = rows.map(|(key, row)| (key, row.row().as_bytes().to_vec())).collect();
        let RowChanges::Heard(changes) = records.into_changes() else { panic!("somebody listened") };
        (rows, changes.iter().map(|change| (change.key, change.before, change.after)).collect())
    }

    /// Where records stand that have rows, as numbers of those that are merged: runs of new ones between them, long and short.
    const THERE: [&[u8]; 7] = [&[], &[0], &[15], &[16], &[60], &[3, 25, 26, 45, 200], &[1, 3, 5, 7, 9, 30]];

    #[test]
    fn many_records_are_merged_to_what_each_of_them_alone_is_merged_to() {
        let put = |n: u8, stamp| {
            let kind = OpKind::Put(Put::new(Tombstone::default(), Vec::new()).unwrap());
            Op { record: RecordId::from_bytes([n; 16]), collection: "c", stamp: Stamp(stamp), kind }
        };
        let deleted = |n: u8| Op {
            kind: OpKind::Delete(Tombstone::from_iter([(LogId::from_bytes([1; 16]), Stamp(5))])),
            ..put(n, 9)
        };
        let ops: Vec<_> = (0..60).flat_map(|n| [Some(put(n, 3)), (n % 7 == 0).then(|| deleted(n))]).collect();
        let ops: Vec<_> = ops.iter().flatten().collect();
        let ops: Vec<_> = ops.iter().map(|op| (key(1, op.record.as_bytes()[0]), LogNo(0), *op)).collect();
        for there in THERE {
            let together = merged(there, |records, logs| {
                records.merge_sorted(&logs.of(VaultNo(1)), &ops).unwrap();
            });
            let alone = merged(there, |records, logs| {
                let each = ops.chunk_by(|a, b| a.0 == b.0);
                each.for_each(|ops| records.merge_sorted(&logs.of(VaultNo(1)), ops).unwrap());
            });
            assert_eq!(together, alone, "{there:?}");
            let numbers = 0..60_u8;
            let new = there.iter().filter(|n| !numbers.contains(n)).count();
            assert_eq!(together.0.len(), 60 + new, "{there:?}");
        }
    }

    #[test]
    fn many_rows_are_put_as_each_of_them_alone_is_put() {
        let rows = [row(true), row(false)];
        for there in THERE {
            let before = |n: u8| if there.contains(&n) { Before::Stored } else { Before::Nothing };
            let new: Vec<_> =
                (0..60).map(|n| (key(1, n), before(n), rows[usize::from(n % 3 == 0)].borrow())).collect();
            let together = merged(there, |records, _| records.replace_sorted(&new).unwrap());
            let alone = merged(there, |records, _| {
                new.iter().for_each(|(key, before, row)| records.replace(key, *before, *row).unwrap());
            });
            assert_eq!(together, alone, "{there:?}");
        }
    }
}
