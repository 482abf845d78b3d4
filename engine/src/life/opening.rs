//! The life of an open store: made, opened, suspended, resumed, closed.
//!
//! Closing and suspending wait for calls under way, which end by themselves, and take transactions and snapshots of
//! the host away, which may never end. They must never leave a thread waiting for a turn that does not come.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use subrosa_model::control::DeviceName;
use subrosa_model::keys::{KeyProvider, check_agreement};
use subrosa_protocol::labels;
use subrosa_store::doors::Doors;
use subrosa_store::error::StoreError;
use subrosa_store::process::Process;
use subrosa_store::sealed::{Kek, Missing, OpenOptions, Walk, open_database};
use zeroize::Zeroizing;

use crate::error::{Error, LifeError};
use crate::life::gate::{Gate, Turn, Wait, WriterKind};
use crate::life::site::Site;
use crate::life::snapshots::Registry;
use crate::life::{Core, OpenStore, Slot, TABLES_FORMAT};
use crate::memory::ahead::Ahead;
use crate::memory::state::State;
use crate::options::Options;
use crate::records::watch::Watchers;

/// What the rooms above have to do with a store that was just opened, or made, before anybody else writes.
pub(crate) type Settle = fn(&Core, &Turn) -> Result<(), Error>;

/// What becomes of a new store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeFor {
    /// A device that founds vaults: it is finished when it is made.
    Founding,
    /// A device that is let into a vault: it is finished with [`Core::join_vault`].
    Joining,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Open,
    Make(MadeFor),
}

impl Purpose {
    const fn missing(self) -> Missing {
        match self {
            Self::Open => Missing::Refuse,
            Self::Make(_) => Missing::Create,
        }
    }

    /// Why the file could not be opened.
    fn explain(self, error: Error) -> Error {
        match self {
            Self::Open => error,
            Self::Make(_) => as_in_the_way(error),
        }
    }
}

/// Whoever wants to make a store has to know that something is there, not what is wrong with it.
fn as_in_the_way(error: Error) -> Error {
    match error {
        Error::Store(
            StoreError::Locked { .. }
            | StoreError::NotAStore
            | StoreError::WrongKey
            | StoreError::NewerFormat { .. }
            | StoreError::Damaged { .. }
            | StoreError::Hole { .. }
            | StoreError::Truncated
            | StoreError::Inconsistent,
        ) => Error::AlreadyExists,
        other => other,
    }
}

/// The key that wraps the store's root: the self session of the device, in the form of `subrosa/1`.
fn kek(key: &dyn KeyProvider) -> Result<Kek, Error> {
    let public = key.public();
    let shared = key.agree(&public)?;
    let salt = labels::hash(labels::STORE_KEK, &[]);
    let public = public.as_bytes();
    let key: Zeroizing<[u8; 32]> =
        subrosa_model::keys::kdf::derive(shared.dangerous_bytes(), &salt, &[labels::SESSION, public, public]);
    Ok(Kek::new(&key))
}

impl Core {
    /// Creates a store in `dir`, which is made if it is not there, or finishes one whose making was cut short.
    ///
    /// What is there is judged when it is open and locked, and never removed: of two calls at once, one makes the store.
    pub(crate) fn create(
        dir: &Path,
        key: Arc<dyn KeyProvider>,
        options: Options,
        made_for: MadeFor,
        settle: Settle,
    ) -> Result<Self, Error> {
        DeviceName::new(&options.device_name)?;
        Site::of(dir, &options).make()?;
        check_agreement(&*key, &*options.entropy)?;
        Self::start(dir, key, options, Purpose::Make(made_for), settle)
    }

    /// Refuses a folder that has a store. One that was never finished is none.
    pub(crate) fn check_free(dir: &Path, key: &Arc<dyn KeyProvider>, options: &Options) -> Result<(), Error> {
        let process = Process::this(&options.fork_sign);
        let open = match Self::open_file(dir, &**key, options, (&process, Missing::Refuse)) {
            Ok(open) => open,
            Err(Error::Store(StoreError::Missing)) => return Ok(()),
            Err(error) => return Err(as_in_the_way(error)),
        };
        let finished = Self::name_of(&open)?.is_some();
        open.db.close().map_err(|error| Error::from(open.file.explain(error)))?;
        if finished { Err(Error::AlreadyExists) } else { Ok(()) }
    }

    /// Opens the store in `dir`.
    pub(crate) fn open(
        dir: &Path,
        key: Arc<dyn KeyProvider>,
        options: Options,
        settle: Settle,
    ) -> Result<Self, Error> {
        Self::start(dir, key, options, Purpose::Open, settle)
    }

    fn start(
        dir: &Path,
        key: Arc<dyn KeyProvider>,
        options: Options,
        purpose: Purpose,
        settle: Settle,
    ) -> Result<Self, Error> {
        let public = key.public();
        let process = Process::this(&options.fork_sign);
        let core = Self {
            dir: dir.to_owned(),
            key,
            public,
            options,
            process: process.clone(),
            life: Mutex::new(()),
            slot: RwLock::new(Slot::Suspended),
            gate: Arc::new(Gate::default()),
            state: Mutex::new(State::default()),
            shared: RwLock::new(Arc::default()),
            snapshots: Registry::default(),
            watchers: Watchers::new(process),
            hooks: Mutex::new(Arc::default()),
            settle,
            futures: AtomicU64::new(0),
            rotations: Mutex::default(),
            put_right: Mutex::default(),
            new_ids: Arc::default(),
            held_until_ms: AtomicU64::new(u64::MAX),
            first_held_ms: AtomicU64::new(u64::MAX),
            clock_ahead_ms: AtomicI64::new(0),
            ahead: Ahead::default(),
        };
        let turn = core.gate.enter(WriterKind::Call, Wait::ForTurn)?;
        core.open_slot(purpose, &turn)?;
        drop(turn);
        Ok(core)
    }

    fn open_slot(&self, purpose: Purpose, turn: &Turn) -> Result<(), Error> {
        let missing = purpose.missing();
        let open = Self::open_file(&self.dir, self.key(), &self.options, (&self.process, missing));
        let open = open.map_err(|error| purpose.explain(error))?;
        // Asked under the lock: whoever has finished a store here has done so before.
        let finished = Self::name_of(&open)?.is_some();
        let created = match purpose {
            Purpose::Open if !finished => return Err(Error::Store(StoreError::Missing)),
            Purpose::Open => None,
            Purpose::Make(_) if finished => return Err(Error::AlreadyExists),
            Purpose::Make(made_for) => Some(made_for),
        };
        Self::make_tables(&open)?;
        let state = open.load_state()?;
        self.publish(Arc::new(state.shared()));
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.replace_slot(Slot::Open(Box::new(open)));
        // Neither a failure nor a panic of the host's clock or randomness leaves a store that is half open.
        let settled = catch_unwind(AssertUnwindSafe(|| self.settle(created, turn)));
        if !matches!(settled, Ok(Ok(()))) {
            // What is at hand says more than an error about closing would.
            let _ = self.empty_slot(Slot::Suspended, LifeError::Suspended);
        }
        settled.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What an open store needs before anybody else writes.
    fn settle(&self, created: Option<MadeFor>, turn: &Turn) -> Result<(), Error> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.put_right.lock().unwrap_or_else(PoisonError::into_inner).clear();
        (self.settle)(self, turn)?;
        if created.is_some() {
            // Of a making that was cut short.
            self.write_in_turn(turn, |tx| Ok(tx.vaults.put_relay("")?))?;
        }
        if created == Some(MadeFor::Founding) {
            let name = &self.options.device_name;
            self.write_in_turn(turn, |tx| Ok(tx.vaults.put_name(name)?))?;
        }
        Ok(())
    }

    /// Opens or creates the file, and the database in it.
    fn open_file(
        dir: &Path,
        key: &dyn KeyProvider,
        options: &Options,
        (process, missing): (&Process, Missing),
    ) -> Result<OpenStore, Error> {
        let kek = kek(key)?;
        let disk = Site::of(dir, options).disk(missing)?;
        let (cache_bytes, process) = (options.cache_bytes, process.clone());
        let how = OpenOptions { cache_bytes, missing, walk: Walk::Now, process };
        let (db, file) = open_database(disk, &kek, options.entropy.clone(), &how)?;
        Ok(OpenStore { db, file })
    }

    /// The device's name, by which a store is known to be finished; one whose making was cut short may have no tables.
    fn name_of(open: &OpenStore) -> Result<Option<String>, Error> {
        let vaults = open.doors()?.vaults_if_made().map_err(|error| open.explain(error))?;
        let name = vaults.map(|vaults| vaults.name()).transpose();
        Ok(name.map_err(|error| open.explain(error))?.flatten())
    }

    /// The name that the store was made with.
    pub(crate) fn device_name(&self) -> Result<Option<String>, Error> {
        self.read(|doors| doors.vaults()?.name())
    }

    /// The address of the relay as it is kept; an empty one is none.
    pub(crate) fn relay_address(&self) -> Result<Option<String>, Error> {
        self.read(|doors| doors.vaults()?.relay())
    }

    /// Checks the format of what is stored, and makes tables that are not there: all of them in a new store, and
    /// after a creation that was cut short.
    fn make_tables(open: &OpenStore) -> Result<(), Error> {
        let vaults = open.doors()?.vaults_if_made().map_err(|error| open.explain(error))?;
        let found = vaults.map(|vaults| vaults.format()).transpose();
        let found = found.map_err(|error| open.explain(error))?.flatten();
        if let Some(found) = found {
            if found < TABLES_FORMAT {
                return Err(Error::Store(StoreError::OlderFormat { found, supported: TABLES_FORMAT }));
            }
            if found > TABLES_FORMAT {
                return Err(Error::Store(StoreError::NewerFormat { found, supported: TABLES_FORMAT }));
            }
            return Ok(());
        }
        let txn = open.db.begin_write().map_err(|error| open.explain(error))?;
        // All of them: a reader expects every table of a store that has a format.
        let made = Doors::open(&txn).and_then(|mut doors| doors.vaults.put_format(TABLES_FORMAT));
        made.map_err(|error| open.explain(error))?;
        txn.commit().map_err(|error| open.explain(error))
    }

    /// Closes the file and gives up its lock; calls answer `Suspended` until [`Core::resume`]. A transaction of the
    /// host has `grace` to end, then it is taken away; so are snapshots, at once when the file is closed.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`] from within a write of this thread, [`LifeError::Closed`]; what closing the file says,
    /// which is closed all the same.
    pub(crate) fn suspend(&self, grace: Duration) -> Result<(), Error> {
        let _life = self.lock_life()?;
        if self.is_closed() {
            return Err(Error::Life(LifeError::Closed));
        }
        let _turn = self.gate.shut(LifeError::Suspended, grace)?;
        self.ahead.forget();
        self.empty_slot(Slot::Suspended, LifeError::Suspended)
    }

    /// Takes the file again. Does nothing when it is open. Hooks of changes that it found are late.
    pub(crate) fn resume(&self) -> Result<(), Error> {
        let _life = self.lock_life()?;
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(_) => return Ok(()),
            Slot::Closed => return Err(Error::Life(LifeError::Closed)),
            Slot::Suspended => {}
        }
        let turn = self.gate.shut(LifeError::Suspended, Duration::ZERO)?;
        self.open_slot(Purpose::Open, &turn)?;
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
        let turn = self.gate.shut(LifeError::Closed, Duration::ZERO)?;
        let closed = self.empty_slot(Slot::Closed, LifeError::Closed);
        self.ahead.forget();
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
        self.check_not_writing()?;
        Ok(self.life.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Refuses a call from within a write of this thread, and one in a forked child.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`], [`LifeError::Forked`].
    pub(crate) fn check_not_writing(&self) -> Result<(), Error> {
        self.check_process()?;
        Ok(self.gate.refuse_own_call()?)
    }

    fn replace_slot(&self, slot: Slot) -> Slot {
        std::mem::replace(&mut *self.slot.write().unwrap_or_else(PoisonError::into_inner), slot)
    }

    /// Waits for reads under way, takes snapshots away, and closes the file.
    fn empty_slot(&self, slot: Slot, reason: LifeError) -> Result<(), Error> {
        let slot = self.replace_slot(slot);
        self.snapshots.take_all(reason);
        match slot {
            Slot::Open(open) => {
                let OpenStore { db, file } = *open;
                db.close().map_err(|error| file.explain(error).into())
            }
            Slot::Suspended | Slot::Closed => Ok(()),
        }
    }
}
