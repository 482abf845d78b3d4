//! The life of an open store: opening and closing, the turn of writers, transactions, what a host holds.
//!
//! [`Core`] is one open store. Its methods lie in the rooms that they belong to; here are those that every room needs. Everything
//! is synchronous and blocking: there is one writer at a time, and readers work on snapshots and wait for nobody. It must never
//! wait for the network, leave a thread waiting for a turn that does not come, or remove what it did not make
//! (`docs/ARCHITECTURE.md`, "Threads").

pub(crate) mod commit;
pub(crate) mod gate;
pub(crate) mod host;
pub(crate) mod opening;
mod site;
pub(crate) mod snapshots;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::Database;
use subrosa_model::keys::{KeyProvider, PublicKey};
use subrosa_model::merge::NewIds;
use subrosa_protocol::ids::VaultId;
use subrosa_store::doors::DoorsView;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::process::Process;
use subrosa_store::sealed::{SealedHandle, Space, Verified};

use crate::error::{Error, LifeError};
use crate::life::snapshots::Registry;
use crate::memory::ahead::Ahead;
use crate::memory::state::{Shared, State, VaultState};
use crate::options::Options;
use crate::records::watch::Watchers;

/// Name of the sealed file in a store directory.
pub(crate) const STORE_FILE: &str = "store.subrosa";

/// Format of the tables; a store of any other is refused.
pub(crate) const TABLES_FORMAT: u32 = 7;

/// Called after a write that leaves something to seal; must not block. Each sync has one.
pub(crate) type PendingHook = Arc<dyn Fn() + Send + Sync>;

/// One open store.
pub(crate) struct Core {
    dir: PathBuf,
    key: Arc<dyn KeyProvider>,
    public: PublicKey,
    pub(crate) options: Options,
    pub(crate) process: Process,
    /// Held while the file is opened or closed.
    life: Mutex<()>,
    slot: RwLock<Slot>,
    pub(crate) gate: Arc<gate::Gate>,
    state: Mutex<State>,
    shared: RwLock<Arc<Shared>>,
    pub(crate) snapshots: Registry,
    pub(crate) watchers: Watchers,
    hooks: Mutex<Arc<[PendingHook]>>,
    /// What is done at each opening.
    settle: opening::Settle,
    /// How many futures logs have beyond one each, so that a link need not lock to find out that there is another one.
    pub(crate) futures: AtomicU64,
    /// How often new logs were opened in each vault, in this open.
    pub(crate) rotations: Mutex<BTreeMap<VaultNo, u32>>,
    /// The same because a clock was put right, and when that was done last, in milliseconds.
    pub(crate) put_right: Mutex<BTreeMap<VaultNo, (u32, u64)>>,
    /// The ids that new records got.
    pub(crate) new_ids: Arc<Mutex<NewIds>>,
    /// Wall time at which the first of the groups held for the clock may be merged; `u64::MAX` if none is.
    pub(crate) held_until_ms: AtomicU64,
    /// The same, whatever else is under way.
    pub(crate) first_held_ms: AtomicU64,
    /// By how much the wall clock is ahead of the relay's that was heard last.
    pub(crate) clock_ahead_ms: AtomicI64,
    /// What is found out of segments before the store comes to them.
    pub(crate) ahead: Ahead,
}

/// Where the database sits.
enum Slot {
    Open(Box<OpenStore>),
    Suspended,
    /// For good.
    Closed,
}

/// The database and the sealed file beneath it. Nobody else has the database: what it holds is reached through doors, and
/// changed in a [`commit::Tx`].
pub(crate) struct OpenStore {
    db: Database,
    file: SealedHandle,
}

impl OpenStore {
    /// The doors to what the store holds now.
    pub(crate) fn doors(&self) -> Result<DoorsView, Error> {
        DoorsView::begin(&self.db).map_err(|error| self.explain(error))
    }

    /// What is kept in memory of the store, as it is now.
    pub(crate) fn load_state(&self) -> Result<State, Error> {
        State::load(&self.doors()?).map_err(|error| self.explain_error(error))
    }

    /// Reads and checks every page that the trees reach.
    pub(crate) fn verify_pages(&mut self) -> Result<Verified, StoreError> {
        self.file.verify(&mut self.db)
    }

    /// Gives free pages back to the file system.
    pub(crate) fn compact(&mut self) -> Result<(), StoreError> {
        self.file.compact(&mut self.db).map(drop)
    }

    /// How the file is used.
    pub(crate) fn space(&self) -> Result<Space, StoreError> {
        self.file.space(&self.db)
    }

    /// The error of a redb call in our terms.
    pub(crate) fn explain(&self, error: impl Into<StoreError>) -> Error {
        self.file.explain(error).into()
    }

    /// Puts the sealed file's cause into a store error that redb only latched.
    pub(crate) fn explain_error(&self, error: Error) -> Error {
        match error {
            Error::Store(error) => self.explain(error),
            other => other,
        }
    }
}

impl Core {
    /// The device's public key.
    pub(crate) const fn public(&self) -> PublicKey {
        self.public
    }

    /// The device's key.
    pub(crate) fn key(&self) -> &dyn KeyProvider {
        &*self.key
    }

    /// The process that opened the store.
    pub(crate) const fn process(&self) -> &Process {
        &self.process
    }

    /// Refuses to work in a forked child, whose writes would fight with its parent's. Asked before any lock is taken.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.process.is_this() { Ok(()) } else { Err(Error::Life(LifeError::Forked)) }
    }

    /// What the core keeps in memory; there is none of it in a closed device.
    pub(crate) fn lock_state(&self) -> Result<MutexGuard<'_, State>, Error> {
        self.check_process()?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(Error::Life(LifeError::Closed)) } else { Ok(state) }
    }

    /// Runs `f` on a vault's members and keyring.
    pub(crate) fn with_vault<R>(
        &self,
        vault: &VaultId,
        f: impl FnOnce(&VaultState) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        f(state.vaults.get(&number).ok_or(Error::NoVault)?)
    }

    /// What readers need to know of the interned names.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, shared: Arc<Shared>) -> Arc<Shared> {
        std::mem::replace(&mut *self.shared.write().unwrap_or_else(PoisonError::into_inner), shared)
    }

    /// Runs `f` on the open store.
    pub(crate) fn with_open<R>(&self, f: impl FnOnce(&OpenStore) -> Result<R, Error>) -> Result<R, Error> {
        self.check_process()?;
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => f(open),
            Slot::Suspended => Err(Error::Life(LifeError::Suspended)),
            Slot::Closed => Err(Error::Life(LifeError::Closed)),
        }
    }

    /// Runs `f` on the open store with nobody else in it.
    ///
    /// # Errors
    /// [`LifeError::Busy`] while a transaction of the host is open.
    pub(crate) fn with_open_alone<R>(
        &self,
        f: impl FnOnce(&mut OpenStore) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let _turn = self.gate.enter(gate::WriterKind::Call, gate::Wait::ForCalls)?;
        match &mut *self.slot.write().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => f(open),
            Slot::Suspended => Err(Error::Life(LifeError::Suspended)),
            Slot::Closed => Err(Error::Life(LifeError::Closed)),
        }
    }

    /// The error of something read without the slot, with the cause that the file knows. Call it without a lock.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if !matches!(error, Error::Store(_)) || !self.process.is_this() {
            return error;
        }
        match &*self.slot.read().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => open.explain_error(error),
            Slot::Suspended | Slot::Closed => error,
        }
    }

    /// Runs `f` on a snapshot.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&DoorsView) -> Result<R, StoreError>) -> Result<R, Error> {
        self.with_open(|open| f(&open.doors()?).map_err(|error| open.explain(error)))
    }

    /// Has `hook` called after writes that leave something to seal.
    pub(crate) fn on_pending(&self, hook: &PendingHook) {
        self.change_hooks(|hooks| hooks.push(hook.clone()));
    }

    /// Takes `hook` back.
    pub(crate) fn no_more_pending(&self, hook: &PendingHook) {
        self.change_hooks(|hooks| hooks.retain(|one| !Arc::ptr_eq(one, hook)));
    }

    fn change_hooks(&self, change: impl FnOnce(&mut Vec<PendingHook>)) {
        if !self.process.is_this() {
            return;
        }
        let mut held = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hooks = held.to_vec();
        change(&mut hooks);
        *held = hooks.into();
    }

    /// Whether this device syncs with more than one relay just now.
    pub(crate) fn has_several_relays(&self) -> bool {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).len() > 1
    }

    /// Has every sync of this device look at what is to be sealed and sent.
    pub(crate) fn notify_pending(&self) {
        if !self.process.is_this() {
            return;
        }
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hooks.iter().for_each(|hook| hook());
    }

    /// All locks of it but the watchers', held: what a child may find after a fork.
    #[cfg(test)]
    pub(crate) fn all_locks(&self) -> impl Sized + '_ {
        (
            self.state.lock().unwrap_or_else(PoisonError::into_inner),
            self.slot.write().unwrap_or_else(PoisonError::into_inner),
            self.life.lock().unwrap_or_else(PoisonError::into_inner),
            self.hooks.lock().unwrap_or_else(PoisonError::into_inner),
            self.shared.write().unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Has threads that wait for their turn look whether they still should.
    pub(crate) fn look_again(&self) {
        self.gate.look_again();
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }

    /// Ids and names of the vaults.
    pub(crate) fn vaults(&self) -> Result<Vec<(VaultId, String)>, Error> {
        Ok(self.lock_state()?.vaults.values().map(|vault| (vault.id, vault.name.clone())).collect())
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A forked child must not touch the parent's file on its way out: leak the database.
        if !self.process.is_this() {
            let slot = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::replace(slot, Slot::Closed));
        }
    }
}
