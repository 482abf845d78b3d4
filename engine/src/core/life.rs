//! The life of an open store: made, opened, suspended, resumed, closed.
//!
//! Closing and suspending wait for calls under way, which end by themselves, and take transactions and snapshots of
//! the host away, which may never end. They must never leave a thread waiting for a turn that does not come.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redb::ReadableDatabase as _;
use subrosa_protocol::labels;
use zeroize::Zeroizing;

use super::gate::{Gate, Turn, Wait, Writer};
use super::{Core, OpenStore, Process, STORE_FILE, Slot, State, TABLES_FORMAT, snapshot, watch};
use crate::keys::KeyProvider;
use crate::store::StoreError;
use crate::store::sealed::{FileDisk, Kek, Missing, OpenOptions, Stop, Walk, open_database};
use crate::store::tables::{META, Tables};
use crate::{Error, Options};

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
        let process = Process::this();
        let core = Self {
            dir: dir.to_owned(),
            key,
            public,
            options,
            process,
            life: Mutex::new(()),
            slot: RwLock::new(Slot::Suspended),
            gate: Arc::new(Gate::default()),
            state: Mutex::new(State::default()),
            shared: RwLock::new(Arc::default()),
            snapshots: snapshot::Registry::default(),
            watchers: watch::Watchers::new(process),
            hook: Mutex::new(None),
            links: crate::sync::control::Links::default(),
            rotations: AtomicU32::new(0),
        };
        let turn = core.gate.enter(Writer::Call, Wait::ForTurn)?;
        core.open_slot(missing, &turn)?;
        drop(turn);
        Ok(core)
    }

    fn open_slot(&self, missing: Missing, turn: &Turn) -> Result<(), Error> {
        let kek = self.kek()?;
        let disk = FileDisk::open(&self.dir.join(STORE_FILE), missing)?;
        let options = OpenOptions { cache_bytes: self.options.cache_bytes, missing, walk: Walk::Now };
        let (db, file) = open_database(Box::new(disk), &kek, self.options.entropy.clone(), &options)?;
        let created = file.stop() == Stop::Created;
        let open = OpenStore { db, file };
        Self::make_tables(&open)?;
        let state = State::load(&open, &self.options)?;
        self.publish(Arc::new(state.shared()));
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.replace_slot(Slot::Open(Box::new(open)));
        let settled = self.settle(created, turn);
        if settled.is_err() {
            // The error at hand says more than one about closing would.
            let _ = self.empty_slot(Slot::Suspended, &StoreError::Suspended);
        }
        settled
    }

    /// What an open store needs before anybody else writes.
    fn settle(&self, created: bool, turn: &Turn) -> Result<(), Error> {
        if created {
            let name = self.options.device_name.as_bytes();
            self.write_in_turn(turn, |tx| tx.put_meta("name", name))?;
        }
        self.rotations.store(0, Ordering::Relaxed);
        self.check_token(created, turn)?;
        self.retry_held(turn)
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

    /// Closes the file and gives up its lock; calls answer `Suspended` until [`Core::resume`]. A transaction of the
    /// host has `grace` to end, then it is taken away; so are snapshots, at once when the file is closed.
    ///
    /// # Errors
    /// [`StoreError::Busy`] from within a write of this thread, [`StoreError::Closed`]; what closing the file says,
    /// which is closed all the same.
    pub(crate) fn suspend(&self, grace: Duration) -> Result<(), Error> {
        let _life = self.lock_life()?;
        if self.is_closed() {
            return Err(Error::Store(StoreError::Closed));
        }
        let _turn = self.gate.shut(StoreError::Suspended, grace)?;
        self.empty_slot(Slot::Suspended, &StoreError::Suspended)
    }

    /// Takes the file again. Does nothing when it is open.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        let resumed = self.reopen();
        if self.process.is_this() {
            self.watchers.take_late().call_hooks();
        }
        resumed
    }

    fn reopen(&self) -> Result<(), Error> {
        let _life = self.lock_life()?;
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(_) => return Ok(()),
            Slot::Closed => return Err(Error::Store(StoreError::Closed)),
            Slot::Suspended => {}
        }
        let turn = self.gate.shut(StoreError::Suspended, Duration::ZERO)?;
        self.open_slot(Missing::Refuse, &turn)?;
        self.gate.open();
        Ok(())
    }

    /// Closes the file for good, for all handles. Does nothing when it is closed.
    ///
    /// # Errors
    /// As [`Core::suspend`].
    pub(crate) fn close(&self) -> Result<(), Error> {
        let life = self.lock_life()?;
        if self.is_closed() {
            return Ok(());
        }
        let turn = self.gate.shut(StoreError::Closed, Duration::ZERO)?;
        let closed = self.empty_slot(Slot::Closed, &StoreError::Closed);
        // With it go the keyrings.
        let state = State { closed: true, ..State::default() };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        drop(turn);
        drop(life);
        self.watchers.close().call_hooks();
        closed
    }

    fn is_closed(&self) -> bool {
        matches!(*self.slot.read().unwrap_or_else(PoisonError::into_inner), Slot::Closed)
    }

    /// The right to open and close. Not for a call from within a write of the same thread, which would wait for
    /// itself.
    fn lock_life(&self) -> Result<MutexGuard<'_, ()>, Error> {
        self.check_process()?;
        self.gate.refuse_own_call()?;
        Ok(self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_slot(&self, slot: Slot) -> Slot {
        std::mem::replace(&mut *self.slot.write().unwrap_or_else(PoisonError::into_inner), slot)
    }

    /// Waits for reads under way, takes snapshots away, and closes the file.
    fn empty_slot(&self, slot: Slot, reason: &StoreError) -> Result<(), Error> {
        let slot = self.replace_slot(slot);
        self.snapshots.take_all(reason);
        match slot {
            Slot::Open(open) => {
                let OpenStore { db, file } = *open;
                db.close().map_err(|error| Error::Store(file.explain(error)))
            }
            Slot::Suspended | Slot::Closed => Ok(()),
        }
    }
}
