//! The door to the table *records*: merged rows by key (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names this table, and rows go in and out as [`Row`]. It knows no rule: what a change is, and who hears of
//! it, is up to who holds the [`RecordsTable`].

use std::ops::Bound;

use redb::{
    AccessGuard, Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition,
    WriteTransaction,
};
use subrosa_model::merge::{RecordState, Row};

use crate::error::StoreError;
use crate::keys::RecordKey;

#[cfg(test)]
mod tests;

/// Vault, collection, record id to merged state.
const RECORDS: TableDefinition<&[u8; 24], &[u8]> = TableDefinition::new("records");

/// The shape of the table, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    vec![crate::doors::shape(RECORDS)]
}

/// A range of keys.
pub type KeyRange = (Bound<RecordKey>, Bound<RecordKey>);

/// The rows, open for writing. There can be one in a transaction.
pub struct RecordsTable<'t>(Table<'t, &'static [u8; 24], &'static [u8]>);

/// The rows as of one moment.
pub struct RecordsView(ReadOnlyTable<&'static [u8; 24], &'static [u8]>);

/// Rows of records that have none, in the order of their keys.
#[derive(Default)]
pub struct NewRows {
    /// Each with where its row ends.
    keys: Vec<(RecordKey, usize)>,
    rows: Vec<u8>,
}

/// A row where it lies in the store.
pub struct StoredRow<'t>(AccessGuard<'t, &'static [u8]>);

/// The rows of a range, in the order of their keys.
pub struct StoredRows<'t>(Range<'t, &'static [u8; 24], &'static [u8]>);

impl<'t> RecordsTable<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self(txn.open_table(RECORDS)?))
    }

    /// One row.
    ///
    /// # Errors
    /// What redb reports.
    pub fn get(&self, key: &RecordKey) -> Result<Option<StoredRow<'_>>, StoreError> {
        Ok(self.0.get(&key.0)?.map(StoredRow))
    }

    /// The rows of a range, in the order of their keys.
    ///
    /// # Errors
    /// What redb reports.
    pub fn range(&self, range: &KeyRange) -> Result<StoredRows<'_>, StoreError> {
        Ok(StoredRows(self.0.range::<&[u8; 24]>(bounds(range))?))
    }

    /// The first key of a range that has a row.
    ///
    /// # Errors
    /// What redb reports.
    pub fn first_of(&self, range: &KeyRange) -> Result<Option<RecordKey>, StoreError> {
        let first = self.0.range::<&[u8; 24]>(bounds(range))?.next().transpose()?;
        Ok(first.map(|(key, _)| RecordKey(*key.value())))
    }

    /// Puts rows in their places, where there is no row from the first to the last of them: each page is written once, and full.
    ///
    /// # Errors
    /// What redb reports; [`StoreError::Inconsistent`] if a row is there, and then nothing of the transaction may stay.
    pub fn put_new(&mut self, rows: &NewRows) -> Result<(), StoreError> {
        let Some((first, _)) = rows.keys.first() else { return Ok(()) };
        let mut cursor = self.0.lower_bound_mut(Bound::Included(&first.0))?;
        let mut start = 0;
        for (key, end) in &rows.keys {
            cursor.insert_before(&key.0, &rows.rows[start..*end])?;
            start = *end;
        }
        Ok(cursor.close()?)
    }

    /// Puts a row in its place.
    ///
    /// # Errors
    /// What redb reports.
    pub fn put(&mut self, key: &RecordKey, row: Row<'_>) -> Result<(), StoreError> {
        self.0.insert(&key.0, row.as_bytes())?;
        Ok(())
    }
}

impl RecordsView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self(txn.open_table(RECORDS)?))
    }

    /// One row.
    ///
    /// # Errors
    /// What redb reports.
    pub fn get(&self, key: &RecordKey) -> Result<Option<StoredRow<'static>>, StoreError> {
        Ok(self.0.get(&key.0)?.map(StoredRow))
    }

    /// Whether a range has a row.
    pub fn holds_any(&self, range: &KeyRange) -> Result<bool, StoreError> {
        Ok(self.0.range::<&[u8; 24]>(bounds(range))?.next().transpose()?.is_some())
    }

    /// The rows of a range, in the order of their keys.
    ///
    /// # Errors
    /// What redb reports.
    pub fn range(&self, range: &KeyRange) -> Result<StoredRows<'static>, StoreError> {
        Ok(StoredRows(self.0.range::<&[u8; 24]>(bounds(range))?))
    }
}

impl NewRows {
    /// Adds the row of a state behind the others, and gives it.
    pub fn push(&mut self, key: &RecordKey, state: &RecordState<'_>) -> Row<'_> {
        let start = self.rows.len();
        state.encode(&mut self.rows);
        self.keys.push((*key, self.rows.len()));
        Row::stored(&self.rows[start..])
    }

    /// Adds a row behind the others.
    pub fn push_row(&mut self, key: &RecordKey, row: Row<'_>) {
        self.rows.extend_from_slice(row.as_bytes());
        self.keys.push((*key, self.rows.len()));
    }

    /// Bytes of all rows.
    pub const fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// Forgets all rows, and keeps their room.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
    }
}

impl StoredRow<'_> {
    /// The row.
    pub fn row(&self) -> Row<'_> {
        Row::stored(self.0.value())
    }
}

impl<'t> Iterator for StoredRows<'t> {
    type Item = Result<(RecordKey, StoredRow<'t>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?;
        Some(row.map(|(key, row)| (RecordKey(*key.value()), StoredRow(row))).map_err(StoreError::from))
    }
}

fn bounds(range: &KeyRange) -> (Bound<&[u8; 24]>, Bound<&[u8; 24]>) {
    (range.0.as_ref().map(|key| &key.0), range.1.as_ref().map(|key| &key.0))
}
