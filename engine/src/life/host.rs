//! Write transactions that the host holds: a write set, the turn, and a place from which both can be taken away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subrosa_store::tables::VaultNo;

use crate::error::{Error, LifeError};
use crate::life::Core;
use crate::life::commit::Durable;
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::records::WriteSet;

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
    /// Runs `f` as one local write.
    pub(crate) fn write_set<R>(
        &self,
        vault: VaultNo,
        f: impl FnOnce(WriteSet) -> Result<(R, WriteSet), Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let wait = self.options.write_wait.map_or(Wait::ForTurn, Wait::ForHost);
        let turn = self.gate.enter(WriterKind::Call, wait)?;
        let (result, set) = f(self.begin_set(&turn, vault)?).map_err(|error| self.explained(error))?;
        self.commit_set(turn, set)?;
        Ok(result)
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

    /// Commits a host's transaction.
    pub(crate) fn commit_host(&self, slot: &HostSlot) -> Result<(), Error> {
        self.check_process()?;
        // Before it is committed it is out of reach: what wants to take it away waits for the turn instead.
        let work = std::mem::replace(&mut *slot.lock(), Work::Over(LifeError::Closed));
        match work {
            Work::Open(work) => {
                let OpenWork { set, turn } = *work;
                self.commit_set(turn, set)
            }
            Work::Beginning => Err(Error::Life(LifeError::Busy)),
            Work::Over(reason) => Err(Error::Life(reason)),
        }
    }

    fn commit_set(&self, turn: Turn, set: WriteSet) -> Result<(), Error> {
        if set.is_empty() {
            return Ok(());
        }
        let finished = set.into_finished();
        self.write_and_leave(turn, Durable::Now, |tx| finished.put(tx))?;
        self.notify_pending();
        Ok(())
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
