//! Change notification: who wants to know gets told after each commit, and never slows a writer down.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use subrosa_protocol::ids::VaultId;

use crate::merge::RecordId;

/// Changes kept for one slow watcher; beyond that it is told to look again.
const QUEUE_MAX: usize = 65_536;

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It exists now.
    Inserted,
    /// A field of it was set, or may have been.
    Updated,
    /// It is gone.
    Removed,
}

/// One thing that a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A record changed, here or on another device.
    Record {
        /// Its collection.
        collection: Arc<str>,
        /// The record.
        id: RecordId,
        /// What happened.
        kind: ChangeKind,
    },
    /// More changed than the queue holds: read everything again. Changes after this follow as usual.
    Lagged,
}

/// A change on its way to the watchers.
#[derive(Clone, Debug)]
pub(crate) struct RawChange {
    pub(crate) vault: VaultId,
    pub(crate) collection: Arc<str>,
    pub(crate) id: RecordId,
    pub(crate) kind: ChangeKind,
}

/// Everyone who watches one store.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Queue>>>);

struct Queue {
    vault: VaultId,
    collection: Option<Arc<str>>,
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    changes: VecDeque<Change>,
    closed: bool,
}

impl Watchers {
    /// Starts to watch a vault, or one collection of it.
    pub(crate) fn watch(&self, vault: VaultId, collection: Option<&str>) -> Changes {
        let queue = Arc::new(Queue {
            vault,
            collection: collection.map(Arc::from),
            state: Mutex::default(),
            arrived: Condvar::new(),
        });
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(&queue));
        Changes(queue)
    }

    /// Whether anybody watches; if not, changes need not be collected.
    pub(crate) fn any(&self) -> bool {
        let watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.iter().any(|watcher| watcher.strong_count() > 0)
    }

    pub(crate) fn notify(&self, changes: Vec<RawChange>) {
        if changes.is_empty() {
            return;
        }
        let watchers: Vec<Arc<Queue>> = {
            let watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            watchers.iter().filter_map(Weak::upgrade).collect()
        };
        for queue in watchers {
            queue.push(&changes);
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        let watchers = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for queue in watchers.iter().filter_map(Weak::upgrade) {
            queue.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
            queue.arrived.notify_all();
        }
    }
}

impl Queue {
    fn push(&self, changes: &[RawChange]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if change.vault != self.vault
                || self.collection.as_ref().is_some_and(|collection| **collection != *change.collection)
            {
                continue;
            }
            if state.changes.len() >= QUEUE_MAX {
                state.changes.clear();
                state.changes.push_back(Change::Lagged);
            }
            state.changes.push_back(Change::Record {
                collection: change.collection.clone(),
                id: change.id,
                kind: change.kind,
            });
        }
        drop(state);
        self.arrived.notify_all();
    }
}

/// The changes of a vault or collection since the watch began, in commit order. Dropping it ends the watch.
pub struct Changes(Arc<Queue>);

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("vault", &self.0.vault).finish_non_exhaustive()
    }
}

impl Changes {
    /// The next change, if it is here already.
    pub fn try_next(&mut self) -> Option<Change> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).changes.pop_front()
    }

    /// The next change; waits up to `timeout` for it. `None` when the time is over, or at once when the device has
    /// been closed and everything was taken.
    pub fn next(&mut self, timeout: Duration) -> Option<Change> {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .0
            .arrived
            .wait_timeout_while(state, timeout, |state| state.changes.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.changes.pop_front()
    }

    /// Whether the device was closed and no change is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed && state.changes.is_empty()
    }
}
