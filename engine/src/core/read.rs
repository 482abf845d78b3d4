//! Reading records from snapshots.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::ReadableDatabase as _;
use serde::de::DeserializeOwned;

use super::{Core, OpenStore, Shared};
use crate::Error;
use crate::merge::{FieldsDeserializer, RecordId, RecordState};
use crate::store::StoreError;
use crate::store::tables::{CollectionNo, RecordKey, RecordsView, VaultNo, records_view};

/// The row of a record that a reader sees, and the names that it refers to. It is decoded with no lock held: the types
/// of the caller have code of their own.
pub(crate) struct VisibleRow {
    row: Vec<u8>,
    shared: Arc<Shared>,
}

/// A record that a reader sees.
pub(crate) struct VisibleRecord {
    pub(crate) id: RecordId,
    pub(crate) row: VisibleRow,
}

impl VisibleRow {
    /// The row if a reader sees it.
    pub(crate) fn of(row: &[u8], shared: &Arc<Shared>) -> Result<Option<Self>, Error> {
        let is_visible = RecordState::row_is_visible(row).map_err(|_| StoreError::Inconsistent)?;
        Ok(is_visible.then(|| Self { row: row.to_vec(), shared: shared.clone() }))
    }

    /// The record as the caller wants it.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let state = self.state()?;
        Ok(T::deserialize(FieldsDeserializer::new(state.visible_fields(&self.shared.logs)))?)
    }

    /// Names of the fields.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let state = self.state()?;
        Ok(state.visible_fields(&self.shared.logs).map(|(name, _)| name.to_owned()).collect())
    }

    fn state(&self) -> Result<RecordState<'_>, Error> {
        RecordState::decode(&self.row).map_err(|_| Error::Store(StoreError::Inconsistent))
    }
}

/// The record of a row as the caller wants it, if a reader sees it, without a copy of the row.
fn decode_visible<T: DeserializeOwned>(row: &[u8], shared: &Shared) -> Result<Option<T>, Error> {
    let state = RecordState::decode(row).map_err(|_| Error::Store(StoreError::Inconsistent))?;
    if !state.is_visible() {
        return Ok(None);
    }
    Ok(Some(T::deserialize(FieldsDeserializer::new(state.visible_fields(&shared.logs)))?))
}

/// Shows a row if a reader sees it.
pub(crate) fn see_row<T: DeserializeOwned>(
    key: RecordKey,
    row: &[u8],
    shared: &Shared,
    see: &mut impl FnMut(RecordId, T) -> ControlFlow<()>,
) -> Result<Next, Error> {
    let seen = decode_visible(row, shared)?.map(|record| see(key.record(), record));
    Ok(if matches!(seen, Some(ControlFlow::Break(()))) { Next::Stop } else { Next::GoOn })
}

/// Part of a scan.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<VisibleRecord>,
    /// Where the next page goes on; `None` at the end.
    pub(crate) next: Option<RecordId>,
}

/// The records as they were at one moment, and the names that they refer to.
pub(crate) struct View {
    pub(crate) records: RecordsView,
    pub(crate) shared: Arc<Shared>,
}

impl OpenStore {
    /// The records as of now.
    pub(crate) fn view(&self, core: &Core) -> Result<View, Error> {
        let txn = self.db.begin_read().map_err(|error| self.explain(error))?;
        let records = records_view(&txn).map_err(|error| self.explain(error))?;
        // In this order: names are published before the commit that brings them.
        Ok(View { records, shared: core.shared() })
    }
}

impl Core {
    /// Runs `f` on the records as of now.
    pub(crate) fn with_view<R>(&self, f: impl FnOnce(&View) -> Result<R, Error>) -> Result<R, Error> {
        self.with_open(|open| f(&open.view(self)?).map_err(|error| open.explain_error(error)))
    }
}

impl View {
    /// One record.
    pub(crate) fn get(
        &self,
        vault: VaultNo,
        collection: &str,
        id: &RecordId,
    ) -> Result<Option<VisibleRow>, Error> {
        let Some(number) = self.shared.collections.number(vault, collection) else { return Ok(None) };
        self.get_by_key(&RecordKey::new(vault, number, id))
    }

    /// The records of some ids, in their order.
    pub(crate) fn get_many(
        &self,
        vault: VaultNo,
        collection: &str,
        ids: &[RecordId],
    ) -> Result<Vec<Option<VisibleRow>>, Error> {
        let Some(number) = self.shared.collections.number(vault, collection) else {
            return Ok(ids.iter().map(|_| None).collect());
        };
        ids.iter().map(|id| self.get_by_key(&RecordKey::new(vault, number, id))).collect()
    }

    pub(crate) fn get_by_key(&self, key: &RecordKey) -> Result<Option<VisibleRow>, Error> {
        let row = self.records.get(&key.0)?;
        row.map_or(Ok(None), |row| VisibleRow::of(row.value(), &self.shared))
    }

    /// Shows the records of some ids, in their order, until `see` has seen enough.
    pub(crate) fn see_many<T: DeserializeOwned>(
        &self,
        vault: VaultNo,
        collection: &str,
        ids: &[RecordId],
        mut see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let number = self.shared.collections.number(vault, collection);
        for id in ids {
            let key = number.map(|number| RecordKey::new(vault, number, id));
            let record = key.map_or(Ok(None), |key| self.decode_by_key(&key))?;
            if see(record).is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn decode_by_key<T: DeserializeOwned>(&self, key: &RecordKey) -> Result<Option<T>, Error> {
        let row = self.records.get(&key.0)?;
        row.map_or(Ok(None), |row| decode_visible(row.value(), &self.shared))
    }

    /// Shows the records after `after`, in the order of their ids, until `see` has seen enough.
    pub(crate) fn see_from<T: DeserializeOwned>(
        &self,
        vault: VaultNo,
        collection: &str,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Some(number) = self.shared.collections.number(vault, collection) else { return Ok(()) };
        self.each(vault, number, after, |key, row| see_row(key, row, &self.shared, &mut see))
    }

    /// Up to `limit` records after `after`, in the order of their ids.
    pub(crate) fn page(
        &self,
        vault: VaultNo,
        collection: &str,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut page = Page::default();
        let Some(number) = self.shared.collections.number(vault, collection) else { return Ok(page) };
        let mut seen = None;
        self.each(vault, number, after, |key, row| {
            if page.records.len() >= limit {
                page.next = seen;
                return Ok(Next::Stop);
            }
            let id = key.record();
            seen = Some(id);
            if let Some(row) = VisibleRow::of(row, &self.shared)? {
                page.records.push(VisibleRecord { id, row });
            }
            Ok(Next::GoOn)
        })?;
        Ok(page)
    }

    /// How many records a reader sees in a collection. Reads them all.
    pub(crate) fn count(&self, vault: VaultNo, collection: &str) -> Result<u64, Error> {
        let mut count = 0;
        let Some(number) = self.shared.collections.number(vault, collection) else { return Ok(count) };
        self.each(vault, number, None, |_, row| {
            let is_visible = RecordState::row_is_visible(row).map_err(|_| StoreError::Inconsistent)?;
            count += u64::from(is_visible);
            Ok(Next::GoOn)
        })?;
        Ok(count)
    }

    /// Names of the collections that hold a visible record, sorted.
    pub(crate) fn collections(&self, vault: VaultNo) -> Result<Vec<Arc<str>>, Error> {
        let mut names = Vec::new();
        for (_, name) in self.shared.collections.of(vault) {
            if !self.page(vault, name, None, 1)?.records.is_empty() {
                names.push(name.clone());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Shows the rows of a collection after `after`, visible or not, until `see` has seen enough.
    pub(crate) fn each(
        &self,
        vault: VaultNo,
        collection: CollectionNo,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordKey, &[u8]) -> Result<Next, Error>,
    ) -> Result<(), Error> {
        let (first, last) = collection_bounds(vault, collection, after);
        for row in self.records.range::<&[u8; 24]>((first.as_ref(), Bound::Included(&last.0)))? {
            let (key, row) = row?;
            if matches!(see(RecordKey(*key.value()), row.value())?, Next::Stop) {
                break;
            }
        }
        Ok(())
    }
}

/// Whether to look at more rows.
pub(crate) enum Next {
    GoOn,
    Stop,
}

pub(crate) fn collection_bounds(
    vault: VaultNo,
    collection: CollectionNo,
    after: Option<RecordId>,
) -> (Bound<[u8; 24]>, RecordKey) {
    let last = RecordKey::new(vault, collection, &RecordId::from_bytes([0xff; 16]));
    let first = match after {
        Some(after) => Bound::Excluded(RecordKey::new(vault, collection, &after).0),
        None => Bound::Included(RecordKey::new(vault, collection, &RecordId::from_bytes([0; 16])).0),
    };
    (first, last)
}
