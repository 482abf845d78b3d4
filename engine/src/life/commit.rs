//! One write transaction: everything that changes the store goes through [`Core::write`].

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use redb::Durability;
use subrosa_model::merge::{CapsOfLogs, LogNo, Stamp};
use subrosa_protocol::ids::{LogId, PublicKeyBytes};
use subrosa_protocol::segment::Class;
use subrosa_store::caps::Passes;
use subrosa_store::doors::Doors;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{CollectionNo, VaultNo};
use subrosa_store::logs::{BranchNo, LogRow, Logs};
use subrosa_store::relays::Relays;
use subrosa_store::unsealed::Unsealed;
use subrosa_store::vaults::Vaults;

use crate::error::Error;
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::life::{Core, OpenStore};
use crate::memory::extents::WaitReason;
use crate::memory::open_batch::Batches;
use crate::memory::passing::PassingVaults;
use crate::memory::state::{LogInfo, State, VaultState};
use crate::records::watch::VaultChange;
use crate::records::{Records, watch};

/// How a commit reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before the call returns.
    Now,
    /// With the next durable commit; for what costs nothing to lose.
    Later,
}

/// A write transaction. Dropping it without [`Core::write`] committing it changes nothing. It has the doors to the tables and
/// not the transaction beneath them: there is no other way to a row.
pub(crate) struct Tx<'t> {
    pub(crate) core: &'t Core,
    pub(crate) state: &'t mut State,
    /// Segments and their logs, behind their door.
    pub(crate) logs: Logs<'t>,
    /// What relays are known to hold, behind its door.
    pub(crate) relays: Relays<'t>,
    /// Vaults and facts about the store, behind their door.
    pub(crate) vaults: Vaults<'t>,
    /// Merged rows, behind their door.
    pub(crate) records: Records<'t>,
    /// What waits for sealing, behind its door.
    pub(crate) unsealed: Unsealed<'t>,
    /// Caps of logs, behind their door.
    pub(crate) passes: Passes<'t>,
    /// Wall time of this transaction.
    pub(crate) now_ms: u64,
    clock_before: Stamp,
    /// Vaults whose memory must be read again should this not commit.
    touched: BTreeSet<VaultNo>,
    /// What this has changed of batches, as it was before.
    batches_before: BTreeMap<VaultNo, Batches>,
}

/// Names and clock before a transaction.
struct Before {
    logs: usize,
    collections: usize,
    clock: Stamp,
    waits: Arc<BTreeMap<BranchNo, WaitReason>>,
    caps: CapsOfLogs,
    passing: PassingVaults,
    batches: BTreeMap<VaultNo, Batches>,
}

impl Core {
    /// Runs `f` in a durable write transaction: all of it happens, or nothing.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>) -> Result<R, Error> {
        self.write_with(Durable::Now, f)
    }

    /// As [`Core::write`], with a choice.
    pub(crate) fn write_with<R>(
        &self,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let turn = self.gate.enter(WriterKind::Call, Wait::ForTurn)?;
        self.write_and_leave(turn, durable, f)
    }

    /// Reads again what is kept in memory of the store.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let _turn = self.gate.enter(WriterKind::Call, Wait::ForTurn)?;
        let mut state = self.lock_state()?;
        self.with_open(|open| {
            *state = open.load_state()?;
            Ok(())
        })
    }

    /// As [`Core::write`], for who has the turn and keeps it.
    pub(crate) fn write_in_turn<R>(
        &self,
        _turn: &Turn,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (result, changes) = self.transact(Durable::Now, f)?;
        let told = self.watchers.notify(&changes);
        self.watchers.tell_late(told);
        Ok(result)
    }

    /// As [`Core::write_with`], for who has the turn, which ends with it.
    pub(crate) fn write_and_leave<R>(
        &self,
        turn: Turn,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (result, changes) = self.transact(durable, f)?;
        // In turn, so that watchers hear of commits in their order; their hooks only when the turn is over.
        let told = self.watchers.notify(&changes);
        drop(turn);
        told.call_hooks();
        Ok(result)
    }

    /// Runs `f` in a transaction. Also when it panics, the transaction ends and memory is what the store holds
    /// before a lock is given back: whoever embeds this library may catch the panic and go on.
    fn transact<R>(
        &self,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<(R, Vec<VaultChange>), Error> {
        let now_ms = self.now_ms();
        let mut state = self.lock_state()?;
        self.with_open(|open| {
            if state.stale {
                *state = open.load_state()?;
            }
            let done = self.attempt(open, &mut state, durable, now_ms, f);
            done.map_err(|error| open.explain_error(error))
        })
    }

    fn attempt<R>(
        &self,
        open: &OpenStore,
        state: &mut State,
        durable: Durable,
        now_ms: u64,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<(R, Vec<VaultChange>), Error> {
        let mut txn = open.db.begin_write().map_err(StoreError::from)?;
        match durable {
            Durable::Now => txn.set_quick_repair(true),
            Durable::Later => txn.set_durability(Durability::None).map_err(StoreError::from)?,
        }
        let mut before = Before {
            logs: state.logs.len(),
            collections: state.collections.len(),
            clock: state.clock.max(),
            batches: BTreeMap::new(),
            waits: state.waits.clone(),
            caps: state.logs.caps().clone(),
            passing: state.passing.clone(),
        };
        // Nothing of redb may be dropped by unwinding: it would leave the transaction's pages lost until a repair.
        let (done, changes, touched) = {
            let doors = Doors::open(&txn)?;
            let mut tx = Tx {
                core: self,
                now_ms,
                clock_before: before.clock,
                touched: BTreeSet::new(),
                batches_before: BTreeMap::new(),
                state: &mut *state,
                logs: doors.logs,
                relays: doors.relays,
                vaults: doors.vaults,
                records: Records::new(doors.records, self.watchers.row_changes()),
                unsealed: doors.unsealed,
                passes: doors.passes,
            };
            let work = || f(&mut tx).and_then(|result| tx.finish().map(|()| result));
            let done = catch_unwind(AssertUnwindSafe(work));
            before.batches = std::mem::take(&mut tx.batches_before);
            (done, tx.records.into_changes(), !tx.touched.is_empty())
        };
        match done {
            Ok(Ok(result)) => {
                let changes = watch::told(changes, state);
                self.commit(open, state, txn, &before, touched)?;
                Ok((result, changes))
            }
            Ok(Err(error)) => {
                // The error at hand says more than one about giving up would.
                let _ = txn.abort();
                self.undo(open, state, &before, touched);
                Err(error)
            }
            Err(panic) => {
                let _ = txn.abort();
                self.undo(open, state, &before, true);
                resume_unwind(panic)
            }
        }
    }

    /// Commits, with new names in the readers' hands before there can be a row that needs them.
    fn commit(
        &self,
        open: &OpenStore,
        state: &mut State,
        txn: redb::WriteTransaction,
        before: &Before,
        touched: bool,
    ) -> Result<(), Error> {
        let capped =
            !Arc::ptr_eq(state.logs.caps(), &before.caps) || !Arc::ptr_eq(&state.passing, &before.passing);
        let grown =
            capped || state.logs.len() != before.logs || state.collections.len() != before.collections;
        let names_before = grown.then(|| self.publish(Arc::new(state.shared())));
        let committed = catch_unwind(AssertUnwindSafe(|| txn.commit()));
        if matches!(committed, Ok(Ok(()))) {
            return Ok(());
        }
        // Numbers are not given again while somebody may read by them: after a failed commit redb takes no more.
        if let Some(names) = names_before {
            self.publish(names);
        }
        match committed {
            Ok(result) => {
                self.undo(open, state, before, touched);
                Ok(result.map_err(StoreError::from)?)
            }
            Err(panic) => {
                self.undo(open, state, before, true);
                resume_unwind(panic)
            }
        }
    }

    /// Makes memory what it was before a transaction that did not commit.
    fn undo(&self, open: &OpenStore, state: &mut State, before: &Before, touched: bool) {
        state.logs.truncate(before.logs);
        state.collections.truncate(before.collections);
        for (number, batches) in &before.batches {
            if let Some(vault) = state.vaults.get_mut(number) {
                vault.batches = batches.clone();
            }
        }
        if touched {
            match open.load_state() {
                Ok(reloaded) => *state = reloaded,
                Err(_) => state.stale = true,
            }
        }
        state.waits = before.waits.clone();
        state.logs.set_caps(before.caps.clone());
        state.passing = before.passing.clone();
    }
}

impl Tx<'_> {
    /// Persists how far this transaction moved the clock.
    fn finish(&mut self) -> Result<(), Error> {
        self.note_moved();
        let clock = self.state.clock.max();
        if clock != self.clock_before {
            self.vaults.put_clock(clock)?;
        }
        Ok(())
    }

    pub(crate) fn vault(&self, number: VaultNo) -> Result<&VaultState, Error> {
        self.state.vaults.get(&number).ok_or(Error::NoVault)
    }

    /// The vault for changing its memory; it is read again should the transaction fail.
    pub(crate) fn vault_mut(&mut self, number: VaultNo) -> Result<&mut VaultState, Error> {
        self.touched.insert(number);
        self.state.vaults.get_mut(&number).ok_or(Error::NoVault)
    }

    /// The batches of a vault for changing what is in memory of them; should the transaction fail, it is put back.
    pub(crate) fn batches_mut(&mut self, number: VaultNo) -> Result<&mut Batches, Error> {
        let vault = self.state.vaults.get_mut(&number).ok_or(Error::NoVault)?;
        self.batches_before.entry(number).or_insert_with(|| vault.batches.clone());
        Ok(&mut vault.batches)
    }

    /// Notes the logs whose heads this transaction has put: others may not have heard of them, and relays may lack something.
    pub(crate) fn note_moved(&mut self) {
        for branch in self.logs.take_moved() {
            let vault = self.state.vault_of(branch);
            let Some(state) = vault.and_then(|vault| self.state.vaults.get_mut(&vault)) else { continue };
            let Some(log) = state.branches.log_of(branch) else { continue };
            state.unsent.values_mut().for_each(|unsent| {
                unsent.insert(log);
            });
            if log != state.own.data {
                state.unsaid.insert(branch);
            }
        }
    }

    /// Says that the memory of a new vault must go should the transaction fail.
    pub(crate) fn touch(&mut self, number: VaultNo) {
        self.touched.insert(number);
    }

    /// Writes a vault's keyring to its row.
    pub(crate) fn put_keyring(&mut self, vault: VaultNo) -> Result<(), Error> {
        for branch in self.state.retry_shut(vault) {
            self.logs.forget_unread(branch)?;
        }
        let row = self.vault(vault)?.keyring.encode();
        Ok(self.vaults.put_keyring(vault, &row)?)
    }

    /// The number of a collection, a new one if it has none.
    pub(crate) fn intern_collection(&mut self, vault: VaultNo, name: &str) -> Result<CollectionNo, Error> {
        if let Some(number) = self.state.collections.number(vault, name) {
            return Ok(number);
        }
        let number = self.state.collections.add(vault, name);
        self.vaults.put_collection(vault, name, number)?;
        Ok(number)
    }

    /// Gives a log its number: one of ours, or one with a certificate. Nothing else may have one.
    pub(crate) fn register_log(
        &mut self,
        vault: VaultNo,
        public: &PublicKeyBytes,
        class: Class,
    ) -> Result<LogNo, Error> {
        let id = LogId::of(public);
        if let Some(number) = self.state.logs.number(vault, &id) {
            return Ok(number);
        }
        let number = self.state.logs.intern(vault, id, class);
        self.logs.put_log(number, &LogRow { vault, public: *public, class })?;
        let state = self.vault_mut(vault)?;
        state.logs.insert(number, LogInfo { id, public: *public, class });
        // It may have a cap.
        state.caps_due.logs.insert(id);
        Ok(number)
    }

    /// A log of which nothing is here turns out to be of another class.
    pub(crate) fn reclassify_log(&mut self, vault: VaultNo, log: LogNo, class: Class) -> Result<(), Error> {
        let info = self.vault_mut(vault)?.logs.get_mut(&log).ok_or(StoreError::Inconsistent)?;
        info.class = class;
        let public = info.public;
        self.state.logs.reclassify(log, class);
        Ok(self.logs.put_log(log, &LogRow { vault, public, class })?)
    }
}
