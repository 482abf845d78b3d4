//! The door to the table *records*: merged rows by key (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names this table, and rows go in and out as [`Row`]. It knows no rule: what a change is, and who hears of
//! it, is up to who holds the [`RecordsTable`].

use std::ops::Bound;

use redb::{
    AccessGuard, Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition,
    WriteTransaction,
};
use subrosa_model::merge::Row;

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

    /// Whether a range has a row.
    pub fn holds_any(&self, range: &KeyRange) -> Result<bool, StoreError> {
        Ok(self.0.range::<&[u8; 24]>(bounds(range))?.next().transpose()?.is_some())
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
