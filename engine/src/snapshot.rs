//! A vault's records as they were at one moment.

use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use subrosa_model::merge::RecordId;

use crate::collection::Collection;
use crate::error::{Error, LifeError};
use crate::life::snapshots::SnapshotSlot;
use crate::reading::{Reading, Source, reading_verbs};
use crate::records::{FieldRef, RecordRef, VaultView};
use crate::sync::engine::Engine;
use crate::vault::Vault;

/// A vault's records as they were at one moment, from [`Vault::snapshot`]: whatever is written later does not show.
///
/// It holds up no writer, but the file keeps the old pages that it sees, so drop it soon. While it is open,
/// [`Device::verify`](crate::Device::verify) and [`Device::compact`](crate::Device::compact) answer
/// [`LifeError::Busy`]. Closing or suspending the device takes it away: every call then
/// answers [`LifeError::Closed`] or
/// [`LifeError::Suspended`]. It may be shared between threads.
pub struct Snapshot {
    core: Arc<Engine>,
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
        self.with(|_| Ok(())).is_err()
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
        self.with(|view| view.collections())
    }

    /// Runs `f` on the vault's records.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&VaultView<'_>) -> Result<R, Error>) -> Result<R, Error> {
        match &self.slot {
            Some(slot) => self.core.with_snapshot(slot, self.vault.number, f),
            None => Err(Error::Life(LifeError::Closed)),
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

impl<'s, T: Serialize + DeserializeOwned> SnapshotCollection<'s, T> {
    /// What can be read of it, as it was.
    #[must_use]
    pub fn reading(&self) -> Reading<'s, T> {
        let same = self.collection.is_of(&self.snapshot.vault);
        let source = if same { Source::Then(self.snapshot) } else { Source::Elsewhere };
        Reading::new(source, self.collection.name())
    }

    reading_verbs!();

    /// As [`Reading::scan`]: all of it is from the same moment.
    pub fn scan(&self) -> impl Iterator<Item = Result<(RecordId, T), Error>> + use<'s, T> {
        self.reading().scan()
    }
}
