//! Change notification: who wants to know gets told after each commit, and never slows a writer down.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use subrosa_model::merge::RecordId;
use subrosa_protocol::ids::VaultId;
use subrosa_store::process::Process;

use super::{RowChange, RowChanges};
use crate::memory::state::State;

/// Changes kept for one slow watcher; beyond that it is told to look again.
const QUEUE_MAX: usize = 65_536;

/// What happened to a record. These three are all that can: whoever mirrors records handles each.
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

/// A change on its way to the watchers of its vault. [`Change::Lagged`] where records changed, and which was not kept, since
/// nobody watched: whoever began to watch before the commit, and may have read what was there before it, must look again.
#[derive(Clone, Debug)]
pub(crate) struct VaultChange {
    pub(crate) vault: VaultId,
    pub(crate) change: Change,
}

/// What a transaction's changes are to watchers, who know vaults and collections by their names.
pub(crate) fn told(changes: RowChanges, state: &State) -> Vec<VaultChange> {
    let id_of = |number| state.vaults.get(&number).map(|vault| vault.id);
    match changes {
        RowChanges::Heard(changes) => {
            let told = changes.into_iter().filter_map(|RowChange { key, before, after }| {
                let kind = match (before, after) {
                    (false, true) => ChangeKind::Inserted,
                    (true, true) => ChangeKind::Updated,
                    (true, false) => ChangeKind::Removed,
                    (false, false) => return None,
                };
                let collection = state.collections.name(key.collection())?.clone();
                let change = Change::Record { collection, id: key.record(), kind };
                Some(VaultChange { vault: id_of(key.vault())?, change })
            });
            told.collect()
        }
        RowChanges::Unheard(vaults) => {
            let told = vaults.into_iter().filter_map(id_of);
            told.map(|vault| VaultChange { vault, change: Change::Lagged }).collect()
        }
    }
}

/// What a watcher wants called when there is something to take.
type Hook = Arc<dyn Fn() + Send + Sync>;

/// Everyone who watches one store.
pub(crate) struct Watchers {
    process: Process,
    watching: Mutex<Watching>,
}

#[derive(Default)]
struct Watching {
    queues: Vec<Weak<ChangeQueue>>,
    closed: bool,
    /// Hooks that could not be called where their changes were made.
    late: Vec<Hook>,
}

/// Hooks to call once no lock is held.
#[must_use]
pub(crate) struct Told(Vec<Hook>);

impl Told {
    pub(crate) fn call_hooks(self) {
        for hook in self.0 {
            // What has happened has happened, and the others want to hear of it.
            if catch_unwind(AssertUnwindSafe(|| hook())).is_err() {
                tracing::error!("a hook for arrived changes panicked");
            }
        }
    }
}

pub(crate) struct ChangeQueue {
    process: Process,
    vault: VaultId,
    collection: Option<Arc<str>>,
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    changes: VecDeque<Change>,
    closed: bool,
    hook: Option<Hook>,
}

impl Watchers {
    pub(crate) fn new(process: Process) -> Self {
        Self { process, watching: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn locked(&self) -> impl Sized + '_ {
        self.lock()
    }

    /// Starts to watch a vault, or one collection of it. In a forked child, and on a closed device, it is over at once.
    pub(crate) fn watch(&self, vault: VaultId, collection: Option<&str>) -> Changes {
        let queue = Arc::new(ChangeQueue {
            process: self.process.clone(),
            vault,
            collection: collection.map(Arc::from),
            state: Mutex::default(),
            arrived: Condvar::new(),
        });
        if self.process.is_this() {
            let mut watching = self.lock();
            watching.queues.retain(|watcher| watcher.strong_count() > 0);
            watching.queues.push(Arc::downgrade(&queue));
            queue.lock().closed = watching.closed;
        }
        Changes(queue)
    }

    /// Where a transaction keeps its changes. If nobody watches, they are not collected.
    pub(crate) fn row_changes(&self) -> RowChanges {
        if self.lock().queues.iter().any(|watcher| watcher.strong_count() > 0) {
            RowChanges::Heard(Vec::new())
        } else {
            RowChanges::Unheard(Vec::new())
        }
    }

    /// Tells everyone of changes.
    pub(crate) fn notify(&self, changes: &[VaultChange]) -> Told {
        if changes.is_empty() {
            return Told(Vec::new());
        }
        let queues: Vec<Arc<ChangeQueue>> = self.lock().queues.iter().filter_map(Weak::upgrade).collect();
        Told(queues.iter().filter_map(|queue| queue.push(changes)).collect())
    }

    /// Keeps hooks for [`Watchers::take_late`].
    pub(crate) fn tell_late(&self, told: Told) {
        self.lock().late.extend(told.0);
    }

    /// The hooks that were kept.
    pub(crate) fn take_late(&self) -> Told {
        Told(std::mem::take(&mut self.lock().late))
    }

    /// Ends all watches, and those that begin later.
    pub(crate) fn close(&self) -> Told {
        let queues = {
            let mut watching = self.lock();
            watching.closed = true;
            std::mem::take(&mut watching.queues)
        };
        Told(queues.iter().filter_map(Weak::upgrade).filter_map(|queue| queue.close()).collect())
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        if self.process.is_this() {
            self.close().call_hooks();
        }
    }
}

impl ChangeQueue {
    #[cfg(test)]
    pub(crate) fn locked(&self) -> impl Sized + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) -> Option<Hook> {
        let mut state = self.lock();
        state.closed = true;
        let hook = state.hook.clone();
        drop(state);
        self.arrived.notify_all();
        hook
    }

    /// Whether a change concerns this watcher.
    fn is_concerned(&self, VaultChange { vault, change }: &VaultChange) -> bool {
        let watched = match change {
            Change::Record { collection, .. } => {
                self.collection.as_ref().is_none_or(|watched| watched == collection)
            }
            Change::Lagged => true,
        };
        *vault == self.vault && watched
    }

    /// Takes in what concerns this watcher; gives its hook if anything did.
    fn push(&self, changes: &[VaultChange]) -> Option<Hook> {
        let mut state = self.lock();
        let mut any = false;
        for change in changes.iter().filter(|change| self.is_concerned(change)) {
            any = true;
            if state.changes.len() >= QUEUE_MAX {
                state.changes.clear();
                state.changes.push_back(Change::Lagged);
            }
            state.changes.push_back(change.change.clone());
        }
        if !any {
            return None;
        }
        let hook = state.hook.clone();
        drop(state);
        self.arrived.notify_all();
        hook
    }
}

/// The changes of a vault or collection since the watch began, in commit order. Dropping it ends the watch.
pub struct Changes(Arc<ChangeQueue>);

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("vault", &self.0.vault).finish_non_exhaustive()
    }
}

impl Changes {
    #[cfg(test)]
    pub(crate) fn queue(&self) -> Arc<ChangeQueue> {
        self.0.clone()
    }

    /// The next change, if it is here already.
    pub fn try_next(&mut self) -> Option<Change> {
        if !self.0.process.is_this() {
            return None;
        }
        self.0.lock().changes.pop_front()
    }

    /// The next change; waits up to `timeout` for it. `None` when the time is over, or at once when the device has
    /// been closed and everything was taken.
    pub fn next(&mut self, timeout: Duration) -> Option<Change> {
        if !self.0.process.is_this() {
            return None;
        }
        let (mut state, _) = self
            .0
            .arrived
            .wait_timeout_while(self.0.lock(), timeout, |state| state.changes.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.changes.pop_front()
    }

    /// Whether the device was closed and no change is left. Always so in a forked child, which hears of nothing.
    #[must_use]
    pub fn is_over(&self) -> bool {
        if !self.0.process.is_this() {
            return true;
        }
        let state = self.0.lock();
        state.closed && state.changes.is_empty()
    }

    /// Has `hook` called whenever changes have arrived or the device was closed, and now if either has happened
    /// already; it replaces an earlier one. It runs on the thread that made the change, with no lock held, so it may
    /// make any call, but should be quick: wake up whoever takes the changes. What arrives while it runs may call it
    /// again on another thread. It may be called once more while this is dropped. Its panics are caught.
    pub fn on_arrival(&mut self, hook: Arc<dyn Fn() + Send + Sync>) {
        if !self.0.process.is_this() {
            return;
        }
        let mut state = self.0.lock();
        let before = state.hook.replace(hook.clone());
        let now = state.closed || !state.changes.is_empty();
        drop(state);
        drop(before);
        if now {
            hook();
        }
    }
}
