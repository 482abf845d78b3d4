//! Whose turn it is to write: one writer at a time, and none while the store is shut.
//!
//! A writer is either a call, which ends by itself, or a transaction that the host holds for as long as it likes.
//! Only the second can be taken away. The gate must never be asked in a forked child: its lock may be held by a
//! thread that does not exist there.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use super::transaction::HostSlot;
use crate::store::StoreError;

/// Who wants to write.
pub(crate) enum Writer {
    /// A call; it is done when it returns.
    Call,
    /// A transaction in the host's hands.
    Host(Weak<HostSlot>),
}

/// How long a writer waits for its turns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Until the one before is done.
    ForTurn,
    /// As `ForTurn`, but not for a host's transaction.
    ForCalls,
    /// At most so long.
    AtMost(Duration),
}

/// Where writers take turns.
#[derive(Default)]
pub(crate) struct Gate {
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    holder: Option<Holder>,
    /// What writers are told while the store is shut.
    shut: Option<StoreError>,
    waiting: usize,
}

struct Holder {
    /// The thread that took the turn.
    thread: ThreadId,
    writer: Writer,
}

/// The right to write; dropping it gives it up.
pub(crate) struct Turn(Arc<Gate>);

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = {
            let mut turns = self.0.lock();
            turns.holder = None;
            turns.waiting
        };
        if waiting > 0 {
            self.0.changed.notify_all();
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it does not come in time, and at once when this thread has it already and would
    /// wait for itself; what [`Gate::shut`] was told.
    pub(crate) fn enter(self: &Arc<Self>, writer: Writer, wait: Wait) -> Result<Turn, StoreError> {
        let mut turns = self.lock();
        if turns.is_held_here() {
            return Err(turns.shut.clone().unwrap_or(StoreError::Busy));
        }
        let patient = !matches!(wait, Wait::ForCalls);
        let blocked = |turns: &mut Turns| {
            turns.shut.is_none() && turns.holder.is_some() && (patient || turns.host().is_none())
        };
        turns.waiting += 1;
        turns = match wait {
            Wait::ForTurn | Wait::ForCalls => {
                self.changed.wait_while(turns, blocked).unwrap_or_else(PoisonError::into_inner)
            }
            Wait::AtMost(limit) => {
                let waited = self.changed.wait_timeout_while(turns, limit, blocked);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        turns.waiting -= 1;
        if let Some(shut) = &turns.shut {
            return Err(shut.clone());
        }
        if turns.holder.is_some() {
            return Err(StoreError::Busy);
        }
        turns.hold(writer);
        Ok(Turn(self.clone()))
    }

    /// Refuses new writers from now on with `reason`, gives a host's transaction `grace` to end and takes it away
    /// otherwise, and waits for a call under way. The gate stays shut when the turn is over.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when a call of this very thread is the writer; nothing has changed then.
    pub(crate) fn shut(self: &Arc<Self>, reason: StoreError, grace: Duration) -> Result<Turn, StoreError> {
        self.refuse_own_call()?;
        let mut turns = self.lock();
        turns.shut = Some(reason.clone());
        self.changed.notify_all();
        turns.waiting += 1;
        let waited = self.changed.wait_timeout_while(turns, grace, |turns| turns.host().is_some());
        let turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        let host = turns.host();
        drop(turns);
        if let Some(slot) = host.and_then(|slot| slot.upgrade()) {
            slot.take_away(&reason);
        }
        // A commit that has begun, or a call, ends by itself.
        let turns = self.changed.wait_while(self.lock(), |turns| turns.holder.is_some());
        let mut turns = turns.unwrap_or_else(PoisonError::into_inner);
        turns.waiting -= 1;
        turns.hold(Writer::Call);
        Ok(Turn(self.clone()))
    }

    /// Refuses what waits for writers when this thread is one.
    ///
    /// # Errors
    /// [`StoreError::Busy`].
    pub(crate) fn refuse_own_call(&self) -> Result<(), StoreError> {
        let turns = self.lock();
        if turns.is_held_here() && turns.host().is_none() { Err(StoreError::Busy) } else { Ok(()) }
    }

    /// Lets writers in again.
    pub(crate) fn open(&self) {
        self.lock().shut = None;
    }

    #[cfg(test)]
    pub(super) fn locked(&self) -> impl Sized + '_ {
        self.lock()
    }

    /// How many threads wait for something.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// The host's transaction, if one is open.
    pub(crate) fn host(&self) -> Option<Arc<HostSlot>> {
        self.lock().host().and_then(|slot| slot.upgrade())
    }
}

impl Turns {
    fn is_held_here(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.thread == std::thread::current().id())
    }

    fn host(&self) -> Option<Weak<HostSlot>> {
        match &self.holder.as_ref()?.writer {
            Writer::Host(slot) => Some(slot.clone()),
            Writer::Call => None,
        }
    }

    fn hold(&mut self, writer: Writer) {
        self.holder = Some(Holder { thread: std::thread::current().id(), writer });
    }
}
