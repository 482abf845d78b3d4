//! The queue between a board and one receiver of its events.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subrosa_store::process::Process;

use super::SyncEvent;

/// Events kept for a receiver that does not take them.
pub(super) const EVENTS_MAX: usize = 256;

/// Tells a receiver that there is something to take. It must not block, and must not panic.
pub(super) type ArrivalCall = Arc<dyn Fn() + Send + Sync>;

/// Takes the events of one [`super::Sync`], in order. In a forked child nothing comes any more.
#[derive(Debug)]
pub struct SyncEvents {
    queue: Arc<EventQueue>,
    process: Process,
}

#[derive(Debug, Default)]
pub(super) struct EventQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<SyncEvent>,
    closed: bool,
    call: Option<ArrivalCall>,
}

impl SyncEvents {
    pub(super) fn new(queue: Arc<EventQueue>, process: &Process) -> Self {
        Self { queue, process: process.clone() }
    }

    /// Those of a sync that is over.
    pub(super) fn over(process: &Process) -> Self {
        let queue = EventQueue::default();
        queue.lock().closed = true;
        Self::new(Arc::new(queue), process)
    }

    /// The next event; `None` after `timeout`, or when sync has stopped and everything was taken.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<SyncEvent> {
        if !self.process.is_this() {
            return None;
        }
        let waiting = self.queue.lock();
        let mut waiting = self
            .queue
            .changed
            .wait_timeout_while(waiting, timeout, |waiting| waiting.events.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        waiting.events.pop_front()
    }

    /// The next event, if there is one.
    #[must_use]
    pub fn try_next(&self) -> Option<SyncEvent> {
        if !self.process.is_this() {
            return None;
        }
        self.queue.lock().events.pop_front()
    }

    /// Whether sync has stopped and everything was taken: nothing comes any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if !self.process.is_this() {
            return true;
        }
        let waiting = self.queue.lock();
        waiting.closed && waiting.events.is_empty()
    }

    /// Has `call` called whenever an event has arrived, and when sync has stopped; at once if there is something to
    /// take, or nothing will come any more. It replaces an earlier one.
    ///
    /// It is called on a thread of the engine, mostly, and without a lock held, so that it may use this handle. It
    /// must not block or panic: sync stands still meanwhile. One call may stand for several events.
    pub fn on_arrival(&self, call: Arc<dyn Fn() + Send + Sync>) {
        if !self.process.is_this() {
            return;
        }
        let (earlier, due) = {
            let mut waiting = self.queue.lock();
            (waiting.call.replace(call.clone()), waiting.closed || !waiting.events.is_empty())
        };
        // What it captured goes without the lock.
        drop(earlier);
        if due {
            call();
        }
    }
}

impl EventQueue {
    /// Puts an event in; the call is to be made once no lock is held.
    #[must_use]
    pub(super) fn push(&self, event: SyncEvent) -> Option<ArrivalCall> {
        let mut waiting = self.lock();
        if waiting.events.len() >= EVENTS_MAX {
            waiting.events.truncate(EVENTS_MAX - 2);
            waiting.events.push_back(SyncEvent::Lagged);
        }
        waiting.events.push_back(event);
        self.changed.notify_all();
        waiting.call.clone()
    }

    /// Nothing comes any more; the call is to be made once no lock is held.
    #[must_use]
    pub(super) fn close(&self) -> Option<ArrivalCall> {
        let mut waiting = self.lock();
        waiting.closed = true;
        self.changed.notify_all();
        waiting.call.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("events", &self.events.len()).field("closed", &self.closed).finish()
    }
}
