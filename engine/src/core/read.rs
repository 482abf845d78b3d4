//! Reading records from snapshots.

use std::sync::Arc;

use super::{Core, Shared};
use crate::Error;
use crate::merge::{LogTable, RecordId, RecordState, Value};
use crate::store::StoreError;
use crate::store::tables::{CollectionNo, RecordKey, VaultNo, records_view};

/// Fields of a record that a reader sees, sorted by name.
pub(crate) type Fields = std::collections::BTreeMap<String, Value>;

/// A record that a reader sees.
#[derive(Debug)]
pub(crate) struct VisibleRecord {
    pub(crate) id: RecordId,
    pub(crate) fields: Fields,
}

/// Part of a scan.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<VisibleRecord>,
    /// Where the next page goes on; `None` at the end.
    pub(crate) next: Option<RecordId>,
}

impl Core {
    /// One record.
    pub(crate) fn get(
        &self,
        vault: VaultNo,
        collection: &str,
        id: &RecordId,
    ) -> Result<Option<Fields>, Error> {
        let shared = self.shared();
        let Some(collection) = shared.collections.number(vault, collection) else {
            return self.with_open(|_| Ok(None));
        };
        let key = RecordKey::new(vault, collection, id);
        let row = self.read(|txn| {
            let row = records_view(txn)?.get(&key.0)?;
            Ok(row.map(|row| visible(row.value(), &shared.logs)))
        })?;
        row.transpose().map(Option::flatten)
    }

    /// Up to `limit` records after `after`, in the order of their ids. `count` alone matters to `len`.
    pub(crate) fn page(
        &self,
        vault: VaultNo,
        collection: &str,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let shared = self.shared();
        let Some(number) = shared.collections.number(vault, collection) else {
            return self.with_open(|_| Ok(Page::default()));
        };
        self.read(|txn| {
            let table = records_view(txn)?;
            let (first, last) = collection_bounds(vault, number, after);
            let mut page = Page::default();
            let mut seen = None;
            for row in table.range::<&[u8; 24]>((first.as_ref(), std::ops::Bound::Included(&last.0)))? {
                let (key, row) = row?;
                let id = RecordKey(*key.value()).record();
                if page.records.len() >= limit {
                    page.next = seen;
                    break;
                }
                seen = Some(id);
                match visible(row.value(), &shared.logs) {
                    Ok(Some(fields)) => page.records.push(VisibleRecord { id, fields }),
                    Ok(None) => {}
                    Err(_) => return Err(StoreError::Inconsistent),
                }
            }
            Ok(page)
        })
    }

    /// How many records a reader sees in a collection. Reads them all.
    pub(crate) fn count(&self, vault: VaultNo, collection: &str) -> Result<u64, Error> {
        let shared = self.shared();
        let Some(number) = shared.collections.number(vault, collection) else {
            return self.with_open(|_| Ok(0));
        };
        self.read(|txn| {
            let (first, last) = collection_bounds(vault, number, None);
            let mut count = 0;
            for row in
                records_view(txn)?.range::<&[u8; 24]>((first.as_ref(), std::ops::Bound::Included(&last.0)))?
            {
                let row = row?.1;
                let state = RecordState::decode(row.value()).map_err(|_| StoreError::Inconsistent)?;
                count += u64::from(state.is_visible());
            }
            Ok(count)
        })
    }

    /// Names of the collections that hold a visible record, sorted.
    pub(crate) fn collections(&self, vault: VaultNo) -> Result<Vec<Arc<str>>, Error> {
        let shared: Arc<Shared> = self.shared();
        self.with_open(|_| Ok(()))?;
        let mut names = Vec::new();
        for (_, name) in shared.collections.of(vault) {
            if !self.page(vault, name, None, 1)?.records.is_empty() {
                names.push(name.clone());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// What a reader sees of a row.
pub(crate) fn visible(row: &[u8], logs: &LogTable) -> Result<Option<Fields>, Error> {
    let state = RecordState::decode(row).map_err(|_| Error::Store(StoreError::Inconsistent))?;
    visible_fields(&state, logs)
}

/// What a reader sees of a state.
pub(crate) fn visible_fields(state: &RecordState<'_>, logs: &LogTable) -> Result<Option<Fields>, Error> {
    if !state.is_visible() {
        return Ok(None);
    }
    let mut fields = Fields::new();
    for (name, value) in state.visible_fields(logs) {
        fields.insert(name.to_owned(), value.decode()?);
    }
    Ok(Some(fields))
}

fn collection_bounds(
    vault: VaultNo,
    collection: CollectionNo,
    after: Option<RecordId>,
) -> (std::ops::Bound<[u8; 24]>, RecordKey) {
    let last = RecordKey::new(vault, collection, &RecordId::from_bytes([0xff; 16]));
    let first = match after {
        Some(after) => std::ops::Bound::Excluded(RecordKey::new(vault, collection, &after).0),
        None => {
            std::ops::Bound::Included(RecordKey::new(vault, collection, &RecordId::from_bytes([0; 16])).0)
        }
    };
    (first, last)
}
