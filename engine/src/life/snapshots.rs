//! Snapshots that the host holds, and the account of what it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use subrosa_store::keys::VaultNo;

use crate::error::{Error, LifeError};
use crate::life::{Core, OpenStore};
use crate::records::read::{StoreView, VaultView};

/// Where a host's snapshot sits.
pub(crate) struct SnapshotSlot {
    number: u64,
    view: RwLock<Result<StoreView, LifeError>>,
}

/// The snapshots that are open.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    slots: BTreeMap<u64, (u64, Weak<SnapshotSlot>)>,
}

/// What a host has open of a device: transactions and snapshots that were begun and have not ended. For finding leaks:
/// an open transaction keeps all others from writing, and a snapshot keeps the file from giving up old pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InProgress {
    /// Write transactions: none or one.
    pub transactions: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// How long ago the oldest of them began, by the clock of the [`Options`](crate::Options).
    pub oldest: Option<Duration>,
}

impl Registry {
    fn with<R>(&self, f: impl FnOnce(&mut Open) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(crate) fn locked(&self) -> impl Sized + '_ {
        self.0.lock().unwrap()
    }

    fn add(&self, since_ms: u64, view: StoreView) -> Arc<SnapshotSlot> {
        self.with(|open| {
            let number = open.next;
            open.next += 1;
            let slot = Arc::new(SnapshotSlot { number, view: RwLock::new(Ok(view)) });
            open.slots.insert(number, (since_ms, Arc::downgrade(&slot)));
            slot
        })
    }

    /// Takes all snapshots away; later calls on them are told `reason`.
    pub(crate) fn take_all(&self, reason: LifeError) {
        let slots = self.with(|open| std::mem::take(&mut open.slots));
        for slot in slots.values().filter_map(|(_, slot)| slot.upgrade()) {
            *slot.view.write().unwrap_or_else(PoisonError::into_inner) = Err(reason);
        }
    }
}

impl OpenStore {
    /// The records as of now.
    pub(crate) fn view(&self, core: &Core) -> Result<StoreView, Error> {
        let records = self.doors()?.records().map_err(|error| self.explain(error))?;
        // In this order: names are published before the commit that brings them.
        Ok(StoreView::new(records, core.shared()))
    }
}

impl Core {
    /// Runs `f` on the records of a vault as of now.
    pub(crate) fn with_view<R>(
        &self,
        vault: VaultNo,
        f: impl FnOnce(&VaultView<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.with_open(|open| f(&open.view(self)?.of(vault)).map_err(|error| open.explain_error(error)))
    }

    /// Keeps the records as they are now for the host.
    pub(crate) fn open_snapshot(&self) -> Result<Arc<SnapshotSlot>, Error> {
        self.check_process()?;
        let since_ms = self.now_ms();
        // Registered before the slot of the store is given back: what empties that finds it here.
        self.with_open(|open| Ok(self.snapshots.add(since_ms, open.view(self)?)))
    }

    /// Runs `f` on a vault's records in a snapshot.
    ///
    /// # Errors
    /// Why it was taken away; what `f` returns.
    pub(crate) fn with_snapshot<R>(
        &self,
        slot: &SnapshotSlot,
        vault: VaultNo,
        f: impl FnOnce(&VaultView<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let result = match &*slot.view.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(view) => f(&view.of(vault)),
            Err(reason) => return Err(Error::Life(*reason)),
        };
        result.map_err(|error| self.explained(error))
    }

    /// Drops a snapshot; in a forked child it is left where it is.
    pub(crate) fn drop_snapshot(&self, slot: Arc<SnapshotSlot>) {
        if !self.process.is_this() {
            std::mem::forget(slot);
            return;
        }
        self.snapshots.with(|open| open.slots.remove(&slot.number));
    }

    /// What the host has open.
    pub(crate) fn in_progress(&self) -> Result<InProgress, Error> {
        self.check_process()?;
        let now_ms = self.now_ms();
        let transaction = self.gate.host().map(|slot| slot.since_ms);
        let (snapshots, snapshot) = self.snapshots.with(|open| {
            let oldest = open.slots.values().map(|(since, _)| *since).min();
            (open.slots.len(), oldest)
        });
        let oldest = transaction.into_iter().chain(snapshot).min();
        Ok(InProgress {
            transactions: usize::from(transaction.is_some()),
            snapshots,
            oldest: oldest.map(|since| Duration::from_millis(now_ms.saturating_sub(since))),
        })
    }
}
