//! The handle of an open store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use subrosa_model::keys::{KeyProvider, PublicKey};
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::VaultId;
#[cfg(doc)]
use subrosa_store::error::StoreError;

use crate::error::Error;
use crate::life::Core;
use crate::life::opening::MadeFor;
use crate::life::snapshots::InProgress;
use crate::logs::settling;
use crate::logs::verify::VerifyReport;
use crate::options::Options;
use crate::sync::Sync;
use crate::sync::engine::Engine;
use crate::vault::Vault;

/// Id and name of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VaultInfo {
    /// Its id, the same on every device.
    pub id: VaultId,
    /// Its name on this device.
    pub name: String,
}

/// How a store uses its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceReport {
    /// Length of the file.
    pub file_bytes: u64,
    /// Keys, values, and what finds them.
    pub live_bytes: u64,
    /// The rest: free pages, unused ends of pages, seals. Compacting wins back the first.
    pub dead_bytes: u64,
}

/// An open store: one installation of an application on one machine.
///
/// A cheap handle: clones share the store, and the last one closes it. All calls are synchronous, may be made from
/// any thread, and never wait for the network. One process opens a store at a time; a handle inherited through
/// `fork` answers [`LifeError::Forked`](crate::LifeError::Forked).
#[derive(Clone)]
pub struct Device {
    pub(crate) core: Arc<Engine>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("public", &self.core.public()).finish_non_exhaustive()
    }
}

impl Device {
    /// Creates a store in the directory `dir`, which is made if it is not there, or finishes one of this key whose
    /// making was cut short. Only `key` opens it again. Of several such calls at once, in threads or processes, one
    /// succeeds.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], also while somebody has it open or makes it; what the disk or the key
    /// refuse. Nothing that was there is changed or removed.
    pub fn create(dir: impl AsRef<Path>, key: Arc<dyn KeyProvider>, options: Options) -> Result<Self, Error> {
        Ok(Self::of(Core::create(dir.as_ref(), key, options, MadeFor::Founding, settling::settle)?))
    }

    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::WrongKey`], [`StoreError::Locked`], [`StoreError::NewerFormat`],
    /// [`StoreError::Damaged`] and its kin; what the disk or the key refuse.
    pub fn open(dir: impl AsRef<Path>, key: Arc<dyn KeyProvider>, options: Options) -> Result<Self, Error> {
        Ok(Self::of(Core::open(dir.as_ref(), key, options, settling::settle)?))
    }

    pub(crate) fn of(core: Core) -> Self {
        Self { core: Arc::new(Engine::new(core)) }
    }

    /// This device's public key, which names it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.core.public()
    }

    /// The name that the store was created with.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn name(&self) -> Result<String, Error> {
        Ok(self.core.device_name()?.unwrap_or_default())
    }

    /// The vaults, the home vault first.
    ///
    /// # Errors
    /// [`LifeError::Forked`](crate::LifeError::Forked).
    pub fn vaults(&self) -> Result<Vec<VaultInfo>, Error> {
        Ok(self.core.vaults()?.into_iter().map(|(id, name)| VaultInfo { id, name }).collect())
    }

    /// Founds a vault. Works offline; a relay learns of it at the first sync.
    ///
    /// # Errors
    /// [`Error::VaultExists`], [`Error::VaultName`]; what the store or the key refuse.
    pub fn create_vault(&self, name: &str) -> Result<Vault, Error> {
        let id = self.core.create_vault(name)?;
        self.core.notify_pending();
        self.vault_by_id(&id)
    }

    /// A vault by its name on this device.
    ///
    /// # Errors
    /// [`Error::NoVault`].
    pub fn vault(&self, name: &str) -> Result<Vault, Error> {
        let found = self.core.vaults()?.into_iter().find(|(_, vault)| vault == name);
        found.map(|(id, _)| id).ok_or(Error::NoVault).and_then(|id| self.vault_by_id(&id))
    }

    /// A vault by its id.
    ///
    /// # Errors
    /// [`Error::NoVault`].
    pub fn vault_by_id(&self, id: &VaultId) -> Result<Vault, Error> {
        let state = self.core.lock_state()?;
        let number = state.vault_no(id)?;
        let name = state.vaults.get(&number).map(|vault| vault.name.clone()).ok_or(Error::NoVault)?;
        drop(state);
        Ok(Vault::new(self.core.clone(), number, *id, name))
    }

    /// Keeps a relay's address in the store for [`Device::relay`]; `None` forgets it. The address may carry an invite.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn set_relay(&self, relay: Option<&RelayAddr>) -> Result<(), Error> {
        self.core.set_relay(relay)
    }

    /// The relay's address, if one is kept.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::RelayAddr`].
    pub fn relay(&self) -> Result<Option<RelayAddr>, Error> {
        let text = self.core.relay_address()?.filter(|text| !text.is_empty());
        Ok(text.map(|text| RelayAddr::parse(&text)).transpose()?)
    }

    /// Starts to sync all vaults with the relay at `relay`, in the background, until the handle is dropped. One at a
    /// time for each relay.
    ///
    /// # Errors
    /// [`LifeError::Suspended`](crate::LifeError::Suspended); [`SyncError::Start`](crate::SyncError::Start). Everything
    /// else shows in [`Sync::status`]: being offline is no error.
    pub fn sync(&self, relay: &RelayAddr) -> Result<Sync, Error> {
        drop(self.core.lock_state()?);
        Sync::start(self.core.clone(), relay)
    }

    /// Closes the device for good, for all handles: waits for calls under way, takes transactions and snapshots away,
    /// ends watches, closes the file, stops sync. Every call then answers
    /// [`LifeError::Closed`](crate::LifeError::Closed), and the directory can be opened again at once. Does nothing
    /// when it is closed already.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`](crate::LifeError::BusyHere) from within [`Vault::write`] on this thread, and nothing has
    /// happened then. Otherwise [`Error::Store`] if the file could not be closed cleanly; it is closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        let closed = self.core.close();
        // Neither in a forked child, nor when it was refused.
        if self.core.check_process().is_ok() && self.core.with_open(|_| Ok(())).is_err() {
            self.core.links.stop(now() + CLOSE_WAIT);
        }
        closed
    }

    /// What the caller has open of this device, for finding leaks.
    ///
    /// # Errors
    /// [`LifeError::Forked`](crate::LifeError::Forked).
    pub fn in_progress(&self) -> Result<InProgress, Error> {
        self.core.in_progress()
    }

    /// Lets go of the file, its lock and every socket within `deadline`, as mobile systems demand before an
    /// application sleeps. A [`Sync`] rests and goes on by itself after [`Device::resume`]; a pairing offer under way
    /// is over; a transaction of the host that does not end in time is taken away, and snapshots are. Every call then
    /// answers [`LifeError::Suspended`](crate::LifeError::Suspended).
    ///
    /// Sync that is not at rest in time is not waited for: the file is closed all the same. A
    /// [`PairJoin`](crate::PairJoin) belongs to no device yet; drop it.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`](crate::LifeError::BusyHere) from within [`Vault::write`] on this thread, and nothing has
    /// happened then. Otherwise [`Error::Store`] if the file could not be closed cleanly; it is closed all the same.
    pub fn suspend(&self, deadline: Duration) -> Result<(), Error> {
        self.core.check_not_writing()?;
        let links = &self.core.links;
        let _turn = links.turn();
        let deadline = deadline.min(DEADLINE_MAX);
        let begun = now();
        // Sync may wait for a transaction that only closing the store takes away: so not for the whole time at first.
        links.rest(begun + deadline / 2);
        let suspended = self.core.suspend(deadline.saturating_sub(begun.elapsed()));
        if suspended.is_err() && self.core.with_open(|_| Ok(())).is_ok() {
            links.run();
        } else if !links.rest(begun + deadline) {
            tracing::debug!("sync is not at rest in time");
        }
        suspended
    }

    /// Takes the file again after [`Device::suspend`], and lets sync go on, from a new socket. Does nothing when the
    /// device is not suspended.
    ///
    /// # Errors
    /// As [`Device::open`]; the device then stays suspended.
    pub fn resume(&self) -> Result<(), Error> {
        self.core.check_not_writing()?;
        let turn = self.core.links.turn();
        let resumed = self.core.resume();
        if resumed.is_ok() {
            self.core.links.run();
        }
        drop(turn);
        // They may suspend the device again.
        self.core.watchers.take_late().call_hooks();
        resumed
    }

    /// Says that this machine's way to the network has changed, from Wi-Fi to mobile for instance. Whatever is
    /// connected goes on from a new socket and is probed at once; what is not, is tried at once. Being told too often
    /// costs a packet or two.
    pub fn network_changed(&self) {
        if self.core.check_process().is_ok() {
            self.core.links.path_changed();
        }
    }

    /// Reads and checks every page that the trees reach, every chain, every signature and every certificate. Other
    /// calls wait.
    ///
    /// # Errors
    /// [`Error::Store`] for the first page that is not what was written; [`LifeError::Busy`](crate::LifeError::Busy)
    /// while a [`Transaction`](crate::Transaction) or a [`Snapshot`](crate::Snapshot) is open.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        self.core.verify()
    }

    /// Gives free pages back to the file system. Other calls wait. Costs a rewrite of what moves.
    ///
    /// # Errors
    /// [`Error::Store`]; [`LifeError::Busy`](crate::LifeError::Busy) while a [`Transaction`](crate::Transaction) or a
    /// [`Snapshot`](crate::Snapshot) is open.
    pub fn compact(&self) -> Result<(), Error> {
        self.core.with_open_alone(|open| Ok(open.compact()?))
    }

    /// How the file is used. Reads every page that the trees reach.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn space(&self) -> Result<SpaceReport, Error> {
        self.core.with_open(|open| {
            let space = open.space()?;
            Ok(SpaceReport {
                file_bytes: space.file_bytes,
                live_bytes: space.live_bytes,
                dead_bytes: space.dead_bytes,
            })
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of callers are in this clock")]
fn now() -> Instant {
    Instant::now()
}

/// How long closing waits for sync to end.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// A longer deadline is none.
const DEADLINE_MAX: Duration = Duration::from_secs(3600);
