//! Giving up on a call that waits.
//!
//! A [`Cancel`] is made by the caller, before the call that it may end, so that no moment is too early to cancel. It
//! wakes whoever waits, and never touches what was done already.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What to call when cancelled. It must not block, and must not panic.
pub type CancelCall = Arc<dyn Fn() + Send + Sync>;

/// Ends calls that wait, from any thread. Clones are the same token; once cancelled, it stays so.
///
/// ```
/// let cancel = subrosa::Cancel::new();
/// let other = cancel.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<Token>);

#[derive(Default)]
struct Token {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    next: u64,
    calls: BTreeMap<u64, CancelCall>,
}

/// Keeps a call registered, from [`Cancel::on_cancel`]; dropping it takes the call back. One that runs at that moment
/// is not waited for.
#[must_use = "dropping it takes the call back"]
pub struct CancelHook {
    token: Arc<Token>,
    number: u64,
}

impl Cancel {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every call that waits with this token, now and later. Does nothing the second time.
    pub fn cancel(&self) {
        let calls = {
            let mut state = self.0.lock();
            state.cancelled = true;
            std::mem::take(&mut state.calls)
        };
        self.0.changed.notify_all();
        for call in calls.into_values() {
            call();
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Has `call` called once when this is cancelled; at once, on this thread, if it was cancelled before. No lock is
    /// held then.
    pub fn on_cancel(&self, call: CancelCall) -> CancelHook {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            call();
        } else {
            state.calls.insert(number, call);
        }
        CancelHook { token: self.0.clone(), number }
    }

    /// Waits for it to be cancelled, for `timeout` at most; says whether it was.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), timeout, |state| !state.cancelled);
        waited.unwrap_or_else(PoisonError::into_inner).0.cancelled
    }
}

impl Token {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CancelHook {
    fn drop(&mut self) {
        let call = self.token.lock().calls.remove(&self.number);
        // What it captured may do anything on its way out: not under the lock.
        drop(call);
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish()
    }
}

impl std::fmt::Debug for CancelHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelHook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, CancelCall) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let call: CancelCall = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        (count, call)
    }

    #[test]
    fn every_call_comes_once_however_often_it_is_cancelled() {
        let cancel = Cancel::new();
        let (count, call) = counter();
        let hooks = [cancel.on_cancel(call.clone()), cancel.clone().on_cancel(call.clone())];
        assert!(!cancel.is_cancelled());
        cancel.cancel();
        cancel.clone().cancel();
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(cancel.on_cancel(call));
        assert_eq!(count.load(Ordering::SeqCst), 3, "too late is at once");
        drop(hooks);
    }

    #[test]
    fn a_call_taken_back_does_not_come() {
        let cancel = Cancel::new();
        let (count, call) = counter();
        drop(cancel.on_cancel(call));
        cancel.cancel();
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_call_may_use_the_token() {
        let cancel = Cancel::new();
        let inner = cancel.clone();
        let hook = cancel.on_cancel(Arc::new(move || {
            inner.cancel();
            drop(inner.on_cancel(Arc::new(|| {})));
            assert!(inner.is_cancelled());
        }));
        cancel.cancel();
        drop(hook);
    }

    #[test]
    fn waiting_ends_with_the_cancellation() {
        let cancel = Cancel::new();
        assert!(!cancel.wait(Duration::ZERO));
        let waits = cancel.clone();
        let waiting = std::thread::spawn(move || waits.wait(Duration::from_secs(60)));
        cancel.cancel();
        assert!(waiting.join().unwrap());
        assert!(cancel.wait(Duration::ZERO));
    }
}
