//! Whose turn it is to write: one writer at a time, in the order in which they came, and none while the store is shut.
//!
//! A writer is either a call, which ends by itself, or a transaction that the host holds for as long as it likes.
//! Only the second can be taken away. The gate must never be asked in a forked child: its lock may be held by a
//! thread that does not exist there.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::error::LifeError;
use crate::life::host::HostSlot;

/// Who wants to write.
pub(crate) enum WriterKind {
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
    /// As `ForTurn`, but for a host's transaction at most so long.
    ForHost(Duration),
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
    shut: Option<LifeError>,
    /// Writers that wait, by number, the first that came first.
    queue: VecDeque<u64>,
    next_number: u64,
    /// Threads that wait for something, in the queue or to shut the store.
    waiting: usize,
}

thread_local! {
    /// On a thread of the engine's own: set when it is to end, and with it its waits.
    static TOLD_TO_END: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Ends what this thread waits for at any gate once `told` is set and [`Gate::look_again`] is called; the wait answers
/// [`LifeError::Busy`].
pub(crate) fn end_waits_when(told: Arc<AtomicBool>) {
    TOLD_TO_END.set(Some(told));
}

fn is_told_to_end() -> bool {
    let is_set = |told: &RefCell<Option<Arc<AtomicBool>>>| {
        told.borrow().as_ref().is_some_and(|told| told.load(Ordering::SeqCst))
    };
    // A host's thread that ends has none of its variables left.
    TOLD_TO_END.try_with(is_set).unwrap_or(false)
}

/// By what threads are told apart here. Not the number of the standard library, which a thread no longer has when its
/// variables are gone: destructors of these, and handlers at a process's exit, write, too.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ThreadNumber(u64);

impl ThreadNumber {
    fn this() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static NUMBER: Cell<u64> = const { Cell::new(0) };
        }
        let number = NUMBER.try_with(|number| {
            if number.get() == 0 {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        });
        // It has no destructor, and so is there to the end; where a platform takes it away all the same, threads at
        // their end count as one, and wait for nothing that they hold.
        Self(number.unwrap_or(0))
    }
}

struct Holder {
    /// The thread that took the turn.
    thread: ThreadNumber,
    writer: WriterKind,
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
    /// [`LifeError::Busy`] when it does not come in time; [`LifeError::BusyHere`], at once, when this thread has it
    /// already and would wait for itself; what [`Gate::shut`] was told.
    pub(crate) fn enter(self: &Arc<Self>, writer: WriterKind, wait: Wait) -> Result<Turn, LifeError> {
        let mut turns = self.lock();
        if turns.is_held_here() {
            return Err(turns.shut.unwrap_or(LifeError::BusyHere));
        }
        let number = turns.queue_up();
        let patience = match wait {
            Wait::ForTurn => None,
            Wait::ForCalls => Some(Duration::ZERO),
            Wait::ForHost(limit) | Wait::AtMost(limit) => Some(limit),
        };
        turns = self.wait(turns, patience, |turns| turns.is_behind(number));
        if let Wait::ForCalls | Wait::ForHost(_) = wait {
            // No more patience with a host, but calls end by themselves.
            turns = self.wait(turns, None, |turns| turns.is_behind(number) && turns.host().is_none());
        }
        let first = turns.leave_queue(number);
        let entered = match turns.shut {
            Some(shut) => Err(shut),
            None if first && turns.holder.is_none() => {
                turns.hold(writer);
                Ok(Turn(self.clone()))
            }
            None => Err(LifeError::Busy),
        };
        if entered.is_err() && turns.waiting > 0 {
            // Whoever was behind may be the first now.
            self.changed.notify_all();
        }
        entered
    }

    /// Waits while `blocked`, for `limit` at most.
    fn wait<'g>(
        &self,
        turns: MutexGuard<'g, Turns>,
        limit: Option<Duration>,
        blocked: impl Fn(&Turns) -> bool,
    ) -> MutexGuard<'g, Turns> {
        match limit {
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(turns, limit, |turns| blocked(turns));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                self.changed.wait_while(turns, |turns| blocked(turns)).unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    /// Has every thread that waits look whether it still should.
    pub(crate) fn look_again(&self) {
        // Whoever is between its look and its sleep holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Refuses new writers from now on with `reason`, gives a host's transaction `grace` to end and takes it away
    /// otherwise, and waits for a call under way. The gate stays shut when the turn is over.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`] when a call of this very thread is the writer; nothing has changed then.
    pub(crate) fn shut(self: &Arc<Self>, reason: LifeError, grace: Duration) -> Result<Turn, LifeError> {
        self.refuse_own_call()?;
        let mut turns = self.lock();
        turns.shut = Some(reason);
        self.changed.notify_all();
        turns.waiting += 1;
        let waited = self.changed.wait_timeout_while(turns, grace, |turns| turns.host().is_some());
        let turns = waited.unwrap_or_else(PoisonError::into_inner).0;
        let host = turns.host();
        drop(turns);
        if let Some(slot) = host.and_then(|slot| slot.upgrade()) {
            slot.take_away(reason);
        }
        // A commit that has begun, or a call, ends by itself.
        let turns = self.changed.wait_while(self.lock(), |turns| turns.holder.is_some());
        let mut turns = turns.unwrap_or_else(PoisonError::into_inner);
        turns.waiting -= 1;
        turns.hold(WriterKind::Call);
        Ok(Turn(self.clone()))
    }

    /// Refuses what waits for writers when this thread is one.
    ///
    /// # Errors
    /// [`LifeError::BusyHere`].
    pub(crate) fn refuse_own_call(&self) -> Result<(), LifeError> {
        let turns = self.lock();
        if turns.is_held_here() && turns.host().is_none() { Err(LifeError::BusyHere) } else { Ok(()) }
    }

    /// Lets writers in again.
    pub(crate) fn open(&self) {
        self.lock().shut = None;
    }

    #[cfg(test)]
    pub(crate) fn locked(&self) -> impl Sized + '_ {
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
    fn queue_up(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.queue.push_back(number);
        self.waiting += 1;
        number
    }

    /// Says whether it was the first.
    fn leave_queue(&mut self, number: u64) -> bool {
        let first = self.queue.front() == Some(&number);
        self.queue.retain(|waiting| *waiting != number);
        self.waiting -= 1;
        first
    }

    /// Whether a writer in the queue has to go on waiting.
    fn is_behind(&self, number: u64) -> bool {
        let is_next = self.holder.is_none() && self.queue.front() == Some(&number);
        self.shut.is_none() && !is_next && !is_told_to_end()
    }

    fn is_held_here(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.thread == ThreadNumber::this())
    }

    fn host(&self) -> Option<Weak<HostSlot>> {
        match &self.holder.as_ref()?.writer {
            WriterKind::Host(slot) => Some(slot.clone()),
            WriterKind::Call => None,
        }
    }

    fn hold(&mut self, writer: WriterKind) {
        self.holder = Some(Holder { thread: ThreadNumber::this(), writer });
    }
}
