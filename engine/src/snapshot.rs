//! A vault's records as they were at one moment.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::collection::{Collection, Pages, from_page, from_rows};
use crate::core::{Core, SnapshotSlot};
use crate::merge::RecordId;
use crate::store::tables::VaultNo;
use crate::vault::Vault;

/// A vault's records as they were at one moment, from [`Vault::snapshot`]: whatever is written later does not show.
///
/// It holds up no writer, but the file keeps the old pages that it sees, so drop it soon. While it is open,
/// [`Device::verify`](crate::Device::verify) and [`Device::compact`](crate::Device::compact) answer
/// [`StoreError::Busy`](crate::StoreError::Busy). Closing or suspending the device takes it away: every call then
/// answers [`StoreError::Closed`](crate::StoreError::Closed) or
/// [`StoreError::Suspended`](crate::StoreError::Suspended). It may be shared between threads.
pub struct Snapshot {
    core: Arc<Core>,
    vault: Vault,
    /// `None` only while it is dropped.
    slot: Option<Arc<SnapshotSlot>>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("vault", &self.vault.id()).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn new(vault: Vault, slot: Arc<SnapshotSlot>) -> Self {
        Self { core: vault.core.clone(), vault, slot: Some(slot) }
    }

    /// A collection of the same vault as it was. With one of another vault every call answers
    /// [`Error::OtherVault`].
    #[must_use]
    pub fn in_collection<'s, T: Serialize + DeserializeOwned>(
        &'s self,
        collection: &'s Collection<T>,
    ) -> SnapshotCollection<'s, T> {
        SnapshotCollection { snapshot: self, collection, records: PhantomData }
    }

    /// Whether it was taken away: nothing can be read from it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.with(|_, _| Ok(())).is_err()
    }

    /// The vault that it shows.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Names of the collections that held a record, sorted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn collections(&self) -> Result<Vec<String>, Error> {
        let names = self.with(|view, vault| view.collections(vault))?;
        Ok(names.iter().map(|name| name.to_string()).collect())
    }

    fn with<R>(&self, f: impl FnOnce(&crate::core::View, VaultNo) -> Result<R, Error>) -> Result<R, Error> {
        match &self.slot {
            Some(slot) => self.core.with_snapshot(slot, |view| f(view, self.vault.number)),
            None => Err(Error::Store(crate::StoreError::Closed)),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.core.drop_snapshot(slot);
        }
    }
}

/// A collection in a [`Snapshot`].
pub struct SnapshotCollection<'s, T> {
    snapshot: &'s Snapshot,
    collection: &'s Collection<T>,
    records: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for SnapshotCollection<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotCollection").finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> SnapshotCollection<'_, T> {
    /// As [`Collection::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, id: RecordId) -> Result<Option<T>, Error> {
        let row = self.with(|view, vault, name| view.get(vault, name, &id))?;
        row.map(|row| row.decode()).transpose()
    }

    /// As [`Collection::get_many`].
    ///
    /// # Errors
    /// As there.
    pub fn get_many(&self, ids: &[RecordId]) -> Result<Vec<Option<T>>, Error> {
        let found = self.with(|view, vault, name| view.get_many(vault, name, ids))?;
        from_rows(&found)
    }

    /// As [`Collection::page`].
    ///
    /// # Errors
    /// As there.
    pub fn page(&self, after: Option<RecordId>, limit: usize) -> Result<Vec<(RecordId, T)>, Error> {
        from_page(&self.with(|view, vault, name| view.page(vault, name, after, limit))?)
    }

    /// All records in the order of their ids. A record that does not have type `T` is an error in its place, and the
    /// scan goes on after it.
    pub fn scan(&self) -> impl Iterator<Item = Result<(RecordId, T), Error>> + '_ {
        let mut pages = Pages::default();
        std::iter::from_fn(move || {
            let record = pages.next_record(|after, limit| {
                self.with(|view, vault, name| view.page(vault, name, after, limit))
            })?;
            Some(record.and_then(|record| Ok((record.id, record.row.decode()?))))
        })
    }

    /// As [`Collection::len`].
    ///
    /// # Errors
    /// As there.
    pub fn len(&self) -> Result<u64, Error> {
        self.with(|view, vault, name| view.count(vault, name))
    }

    /// As [`Collection::is_empty`].
    ///
    /// # Errors
    /// As there.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.with(|view, vault, name| view.page(vault, name, None, 1))?.records.is_empty())
    }

    pub(crate) fn with<R>(
        &self,
        f: impl FnOnce(&crate::core::View, VaultNo, &str) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if !self.collection.is_of(&self.snapshot.vault) {
            return Err(Error::OtherVault);
        }
        self.snapshot.with(|view, vault| f(view, vault, self.collection.name()))
    }
}
