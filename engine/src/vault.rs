//! A vault: collections of records that are synced and shared as a whole.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::VaultId;
use subrosa_store::keys::VaultNo;

use crate::collection::{Collection, Record};
use crate::error::Error;
use crate::people::forks::ForksOfDevice;
use crate::people::held::HeldGroups;
use crate::people::vaults::DeviceInfo;
use crate::records::WriteSet;
use crate::records::watch::Changes;
use crate::snapshot::Snapshot;
use crate::sync::engine::Engine;
use crate::transaction::Transaction;

/// A vault of an open device. A cheap handle.
#[derive(Clone)]
pub struct Vault {
    pub(crate) core: Arc<Engine>,
    pub(crate) number: VaultNo,
    id: VaultId,
    name: String,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How far a vault's segments have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Segments held on this device, its own and others'.
    pub held: u64,
    /// Those among them that the relay is known to hold durably.
    pub acknowledged: u64,
}

/// A write transaction: what happens in it happens at once, here and on every other device, or not at all.
pub struct WriteTx {
    pub(crate) core: Arc<Engine>,
    pub(crate) vault: VaultNo,
    pub(crate) set: WriteSet,
}

impl std::fmt::Debug for WriteTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteTx").finish_non_exhaustive()
    }
}

impl Vault {
    pub(crate) const fn new(core: Arc<Engine>, number: VaultNo, id: VaultId, name: String) -> Self {
        Self { core, number, id, name }
    }

    /// Its id, the same on every device.
    #[must_use]
    pub const fn id(&self) -> VaultId {
        self.id
    }

    /// Its name on this device.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the collections that hold a record, sorted.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn collections(&self) -> Result<Vec<String>, Error> {
        self.core.with_view(self.number, |view| view.collections())
    }

    /// A collection of records of type `T`. It need not exist.
    #[must_use]
    pub fn collection<T: Serialize + DeserializeOwned>(&self, name: &str) -> Collection<T> {
        Collection::new(self.clone(), name)
    }

    /// A collection of records as they are, for callers without a type.
    #[must_use]
    pub fn records(&self, name: &str) -> Collection<Record> {
        self.collection(name)
    }

    /// Runs `f` in a write transaction. When it returns an error, nothing has happened. Durable when this returns.
    ///
    /// One transaction writes at a time. Waits for one that another thread has open, for as long as that takes: where
    /// [`Vault::begin`] is in use, a bound may be wanted, which its `wait` gives.
    ///
    /// # Errors
    /// What `f` returns, [`Error::NotPermitted`] for a reader, and what the store refuses. [`LifeError::BusyHere`]
    /// from within `f` of another write on the same thread, and on the thread that began a [`Transaction`] which is
    /// open: it would wait for itself.
    ///
    /// [`LifeError::BusyHere`]: crate::LifeError::BusyHere
    pub fn write<R>(&self, f: impl FnOnce(&mut WriteTx) -> Result<R, Error>) -> Result<R, Error> {
        self.core.write_set(self.number, |set| {
            let mut tx = WriteTx { core: self.core.clone(), vault: self.number, set };
            let result = f(&mut tx)?;
            Ok((result, tx.set))
        })
    }

    /// Begins a write transaction that the caller holds. Waits up to `wait` for another writer to end.
    ///
    /// # Errors
    /// [`LifeError::Busy`] when the other writer is not done in time, [`LifeError::BusyHere`], at once, when it is of
    /// this thread; [`Error::NotPermitted`] for a reader; what the store refuses.
    ///
    /// [`LifeError::BusyHere`]: crate::LifeError::BusyHere
    /// [`LifeError::Busy`]: crate::LifeError::Busy
    pub fn begin(&self, wait: Duration) -> Result<Transaction, Error> {
        Ok(Transaction::new(self.clone(), self.core.begin(self.number, wait)?))
    }

    /// The vault's records as they are now, for as long as the caller holds on to them. Waits for nobody.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot::new(self.clone(), self.core.open_snapshot()?))
    }

    /// Everything that changes in the vault from now on, by this device or another.
    #[must_use]
    pub fn watch(&self) -> Changes {
        self.core.watchers.watch(self.id, None)
    }

    /// The devices that belong to the vault, most senior first.
    ///
    /// # Errors
    /// [`Error::NoVault`].
    pub fn devices(&self) -> Result<Vec<DeviceInfo>, Error> {
        let this = self.core.public();
        self.core.with_vault(&self.id, |vault| {
            let devices = vault.members.devices().iter().map(|device| DeviceInfo {
                public: device.public,
                name: device.name.as_str().to_owned(),
                role: device.role,
                added_by: device.added_by,
                is_this: device.public == this,
            });
            Ok(devices.collect())
        })
    }

    /// Whether an admin of the vault uses a newer version and has written what this one must not ignore. What is here can
    /// be read, and goes on arriving; what is written here waits, and is sent after an update.
    ///
    /// # Errors
    /// [`Error::NoVault`].
    pub fn is_update_needed(&self) -> Result<bool, Error> {
        self.core.is_update_needed(&self.id)
    }

    /// What is held of the vault for this device's clock: whose, how much, and until when. It costs nothing while nothing is held.
    ///
    /// # Errors
    /// [`Error::NoVault`], [`Error::Store`].
    pub fn held(&self) -> Result<HeldGroups, Error> {
        self.core.held(&self.id)
    }

    /// The devices whose logs have several futures, because their stores were copied or put back from a backup. Nothing is lost by it, and
    /// nothing need be done.
    ///
    /// # Errors
    /// [`Error::NoVault`].
    pub fn forks(&self) -> Result<Vec<ForksOfDevice>, Error> {
        self.core.forks(&self.id)
    }

    /// How much waits for sealing: records with pending edits, parts of bulk writes, and entries about members.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn pending(&self) -> Result<u64, Error> {
        self.core.pending(&self.id)
    }

    /// How many sealed segments are held here, and how many of them `relay` is known to hold durably.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn delivery(&self, relay: &RelayAddr) -> Result<Delivery, Error> {
        let (held, acknowledged) = self.core.held_and_acknowledged(&self.id, relay.pin())?;
        Ok(Delivery { held, acknowledged })
    }
}
