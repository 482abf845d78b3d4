//! The engine's core: one open store, its vaults, and every operation on them.
//!
//! Everything here is synchronous and blocking. There is one writer at a time; readers work on snapshots and wait
//! for nobody. The handles that an application holds ([`crate::Device`] and its kin) and the sync driver are thin
//! layers above this module. It must never wait for the network, and never send a segment that is not in the table.

mod commit;
mod control;
mod held;
mod outbox;
mod read;
mod receive;
mod rotate;
mod sealing;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod verify;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase as _};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::labels;
use zeroize::Zeroizing;

use crate::keys::{KeyProvider, PublicKey};
use crate::store::StoreError;
use crate::store::sealed::{FileDisk, Kek, Missing, OpenOptions, SealedHandle, Stop, Walk, open_database};
use crate::store::tables::{META, Tables};
use crate::{Error, Options};

pub(crate) use control::NewVault;
pub(crate) use read::VisibleRecord;
pub(crate) use receive::{FeedBatch, FeedItem};
pub(crate) use state::{Shared, State, VaultState};
pub use verify::VerifyReport;
pub use watch::{Change, ChangeKind, Changes};
pub(crate) use write::WriteOps;

/// Name of the sealed file in a store directory.
pub(crate) const STORE_FILE: &str = "store.subrosa";

/// Format of the tables; a store of a newer one is refused.
pub(crate) const TABLES_FORMAT: u32 = 1;

/// Called after a write that leaves something to seal; must not block.
pub(crate) type PendingHook = Arc<dyn Fn() + Send + Sync>;

/// One open store.
pub(crate) struct Core {
    dir: PathBuf,
    key: Arc<dyn KeyProvider>,
    public: PublicKey,
    pub(crate) options: Options,
    process: u32,
    slot: RwLock<Slot>,
    state: Mutex<State>,
    shared: RwLock<Arc<Shared>>,
    pub(crate) watchers: watch::Watchers,
    hook: Mutex<Option<PendingHook>>,
    /// How often logs were rotated because of what a relay said, in this open.
    rotations: AtomicU32,
}

/// Where the database sits; emptied by suspend.
enum Slot {
    Open(Box<OpenStore>),
    Suspended,
}

/// The database and the sealed file beneath it.
pub(crate) struct OpenStore {
    pub(crate) db: Database,
    pub(crate) file: SealedHandle,
}

impl OpenStore {
    /// The error of a redb call in our terms.
    pub(crate) fn explain(&self, error: impl Into<StoreError>) -> Error {
        Error::Store(self.file.explain(error))
    }
}

impl Core {
    /// Creates a store in `dir`, which is made if it is not there.
    pub(crate) fn create(dir: &Path, key: Arc<dyn KeyProvider>, options: Options) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(StoreError::from)?;
        if dir.join(STORE_FILE).exists() && !Self::is_unfinished(dir, &key, &options) {
            return Err(Error::AlreadyExists);
        }
        Self::start(dir, key, options, Missing::Create)
    }

    /// Opens the store in `dir`.
    pub(crate) fn open(dir: &Path, key: Arc<dyn KeyProvider>, options: Options) -> Result<Self, Error> {
        if !dir.join(STORE_FILE).exists() {
            return Err(Error::Store(StoreError::Missing));
        }
        Self::start(dir, key, options, Missing::Refuse)
    }

    /// Whether the file is the remains of a creation that never finished: nobody was told of such a store.
    fn is_unfinished(dir: &Path, key: &Arc<dyn KeyProvider>, options: &Options) -> bool {
        let opened = Self::start(dir, key.clone(), options.clone(), Missing::Refuse);
        matches!(opened, Err(Error::Store(StoreError::Missing)))
    }

    fn start(
        dir: &Path,
        key: Arc<dyn KeyProvider>,
        options: Options,
        missing: Missing,
    ) -> Result<Self, Error> {
        let public = key.public();
        let core = Self {
            dir: dir.to_owned(),
            key,
            public,
            options,
            process: std::process::id(),
            slot: RwLock::new(Slot::Suspended),
            state: Mutex::new(State::default()),
            shared: RwLock::new(Arc::default()),
            watchers: watch::Watchers::default(),
            hook: Mutex::new(None),
            rotations: AtomicU32::new(0),
        };
        core.open_slot(missing)?;
        Ok(core)
    }

    fn open_slot(&self, missing: Missing) -> Result<(), Error> {
        let kek = self.kek()?;
        let mode = match missing {
            Missing::Create => crate::store::sealed::Missing::Create,
            Missing::Refuse => crate::store::sealed::Missing::Refuse,
        };
        let disk = FileDisk::open(&self.dir.join(STORE_FILE), mode)?;
        let options = OpenOptions { cache_bytes: self.options.cache_bytes, missing, walk: Walk::Now };
        let (db, file) = open_database(Box::new(disk), &kek, self.options.entropy.clone(), &options)?;
        let created = file.stop() == Stop::Created;
        let open = OpenStore { db, file };
        Self::make_tables(&open)?;
        let state = State::load(&open, &self.options)?;
        *self.shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state.shared());
        *self.lock_state() = state;
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Slot::Open(Box::new(open));
        if created {
            self.write(|tx| tx.put_meta("name", tx.core.options.device_name.as_bytes()))?;
        }
        self.rotations.store(0, Ordering::Relaxed);
        self.check_token(created)?;
        self.retry_held()
    }

    /// Checks the format of what is stored, and makes tables that are not there: all of them in a new store, and
    /// after a creation that was cut short.
    fn make_tables(open: &OpenStore) -> Result<(), Error> {
        let found = {
            let txn = open.db.begin_read().map_err(|error| open.explain(error))?;
            match txn.open_table(META) {
                Ok(meta) => meta.get("format")?.map(|row| row.value().to_vec()),
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(open.explain(error)),
            }
        };
        if let Some(found) = found {
            let found = found.try_into().map(u32::from_be_bytes).map_err(|_| StoreError::Inconsistent)?;
            if found > TABLES_FORMAT {
                return Err(Error::Store(StoreError::NewerFormat { found, supported: TABLES_FORMAT }));
            }
            return Ok(());
        }
        let txn = open.db.begin_write().map_err(|error| open.explain(error))?;
        {
            let mut tables = Tables::open(&txn).map_err(|error| open.explain(error))?;
            tables.meta.insert("format", &TABLES_FORMAT.to_be_bytes()[..])?;
        }
        txn.commit().map_err(|error| open.explain(error))
    }

    /// The key that wraps the store's root: the self session of the device, in the form of `subrosa/1`.
    fn kek(&self) -> Result<Kek, Error> {
        let shared = self.key.agree(&self.public)?;
        let salt = labels::hash(labels::STORE_KEK, &[]);
        let public = self.public.as_bytes();
        let key: Zeroizing<[u8; 32]> =
            crate::keys::kdf::derive(shared.dangerous_bytes(), &salt, &[labels::SESSION, public, public]);
        Ok(Kek::new(&key))
    }

    /// Closes the file and gives up its lock; calls answer `Suspended` until [`Core::resume`].
    pub(crate) fn suspend(&self) -> Result<(), Error> {
        self.check_process()?;
        let _state = self.lock_state();
        let slot = std::mem::replace(
            &mut *self.slot.write().unwrap_or_else(PoisonError::into_inner),
            Slot::Suspended,
        );
        match slot {
            Slot::Open(open) => {
                let OpenStore { db, file } = *open;
                db.close().map_err(|error| Error::Store(file.explain(error)))
            }
            Slot::Suspended => Ok(()),
        }
    }

    /// Takes the file again. Does nothing when it is open.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        self.check_process()?;
        if matches!(*self.slot.read().unwrap_or_else(PoisonError::into_inner), Slot::Open(_)) {
            return Ok(());
        }
        self.open_slot(Missing::Refuse)
    }

    /// The device's public key.
    pub(crate) const fn public(&self) -> PublicKey {
        self.public
    }

    /// The device's key.
    pub(crate) fn key(&self) -> &dyn KeyProvider {
        &*self.key
    }

    /// The store directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Refuses to work in a forked child, whose writes would fight with its parent's.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.process { Ok(()) } else { Err(Error::Store(StoreError::Forked)) }
    }

    pub(crate) fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What readers need to know of the interned names.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `f` on the open store.
    pub(crate) fn with_open<R>(&self, f: impl FnOnce(&OpenStore) -> Result<R, Error>) -> Result<R, Error> {
        self.check_process()?;
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => f(open),
            Slot::Suspended => Err(Error::Store(StoreError::Suspended)),
        }
    }

    /// Runs `f` on the open store with nobody else in it.
    pub(crate) fn with_open_alone<R>(
        &self,
        f: impl FnOnce(&mut OpenStore) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let _state = self.lock_state();
        match &mut *self.slot.write().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => f(open),
            Slot::Suspended => Err(Error::Store(StoreError::Suspended)),
        }
    }

    /// Runs `f` on a snapshot.
    pub(crate) fn read<R>(
        &self,
        f: impl FnOnce(&ReadTransaction) -> Result<R, StoreError>,
    ) -> Result<R, Error> {
        self.with_open(|open| {
            let txn = open.db.begin_read().map_err(|error| open.explain(error))?;
            f(&txn).map_err(|error| open.explain(error))
        })
    }

    /// Sets what is called after writes that leave something to seal.
    pub(crate) fn on_pending(&self, hook: Option<PendingHook>) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    pub(crate) fn notify_pending(&self) {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook();
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }

    /// Ids and names of the vaults.
    pub(crate) fn vaults(&self) -> Result<Vec<(VaultId, String)>, Error> {
        self.check_process()?;
        Ok(self.lock_state().vaults.values().map(|vault| (vault.id, vault.name.clone())).collect())
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A forked child must not touch the parent's file on its way out: leak the database.
        if self.check_process().is_err() {
            let slot = std::mem::replace(
                &mut *self.slot.write().unwrap_or_else(PoisonError::into_inner),
                Slot::Suspended,
            );
            std::mem::forget(slot);
        }
    }
}
