//! Write transactions that the host holds: a write set, the turn, and a place from which both can be taken away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subrosa_model::merge::HybridClock;
use subrosa_store::keys::VaultNo;

use crate::error::{Error, LifeError};
use crate::life::Core;
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::records::WriteSet;
use crate::records::write::Beginning;

/// Where a host's transaction sits.
pub(crate) struct HostSlot {
    pub(crate) since_ms: u64,
    work: Mutex<Work>,
}

enum Work {
    /// Its turn has come, what it sees is not there yet.
    Beginning,
    Open(Box<OpenWork>),
    /// It was taken away, or has ended.
    Over(LifeError),
}

/// In this order: the set lets go of its snapshot before the turn is over.
struct OpenWork {
    set: WriteSet,
    turn: Turn,
}

impl HostSlot {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the transaction for the host; later calls are told `reason`.
    pub(crate) fn take_away(&self, reason: LifeError) {
        let taken = std::mem::replace(&mut *self.lock(), Work::Over(reason));
        drop(taken);
    }

    /// Takes the transaction out, to commit it: what wants to take it away from now on waits for the turn instead.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn take(&self) -> Result<(WriteSet, Turn), LifeError> {
        match std::mem::replace(&mut *self.lock(), Work::Over(LifeError::Closed)) {
            Work::Open(work) => {
                let OpenWork { set, turn } = *work;
                Ok((set, turn))
            }
            Work::Beginning => Err(LifeError::Busy),
            Work::Over(reason) => Err(reason),
        }
    }

    /// Runs `f` on the open transaction.
    ///
    /// # Errors
    /// Why it is over; what `f` returns.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut WriteSet) -> Result<R, Error>) -> Result<R, Error> {
        match &mut *self.lock() {
            Work::Open(work) => f(&mut work.set),
            Work::Beginning => Err(Error::Life(LifeError::Busy)),
            Work::Over(reason) => Err(Error::Life(*reason)),
        }
    }
}

impl Core {
    /// Begins a local write, for who has the turn.
    pub(crate) fn begin_set(&self, _turn: &Turn, vault: VaultNo) -> Result<WriteSet, Error> {
        let now_ms = self.now_ms();
        let (log, clock) = {
            let state = self.lock_state()?;
            let vault = state.vaults.get(&vault).ok_or(Error::NoVault)?;
            if vault.keyring.live_epoch().write.is_none() {
                return Err(Error::NotPermitted);
            }
            let ahead = vault.own_clock.filter(|latest| *latest > state.clock.max());
            (vault.own.data, ahead.map_or(state.clock, HybridClock::new))
        };
        let view = self.with_open(|open| open.view(self))?;
        let (entropy, ids) = (self.options.entropy.clone(), self.new_ids.clone());
        Ok(WriteSet::begin(Beginning { log, view, vault, clock, now_ms, entropy, ids }))
    }

    /// Begins a transaction for the host once its turn comes, which it waits for at most `wait`.
    pub(crate) fn begin(&self, vault: VaultNo, wait: Duration) -> Result<Arc<HostSlot>, Error> {
        self.check_process()?;
        let slot = Arc::new(HostSlot { since_ms: self.now_ms(), work: Mutex::new(Work::Beginning) });
        let turn = self.gate.enter(WriterKind::Host(Arc::downgrade(&slot)), Wait::AtMost(wait))?;
        let set = self.begin_set(&turn, vault)?;
        let mut work = slot.lock();
        if let Work::Over(reason) = &*work {
            return Err(Error::Life(*reason));
        }
        *work = Work::Open(Box::new(OpenWork { set, turn }));
        drop(work);
        Ok(slot)
    }

    /// Drops a host's transaction; in a forked child it is left where it is.
    pub(crate) fn abandon(&self, slot: Arc<HostSlot>) {
        if self.process.is_this() {
            slot.take_away(LifeError::Closed);
        } else {
            std::mem::forget(slot);
        }
    }
}
