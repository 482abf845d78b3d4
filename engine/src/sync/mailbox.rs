//! A channel whose receiver can be woken by a [`Cancel`] as well.
//!
//! It has no bound of its own: what is put in is bounded by what a meeting carries.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;

/// Puts in; dropping it closes the mailbox.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// Takes out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Why nothing was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Nothing came in time.
    InTime,
    /// The caller cancelled.
    Cancelled,
    /// The sender is gone, and everything was taken.
    AnyMore,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
    let shared = Arc::new(Shared { state, changed: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, item: T) {
        self.0.lock().waiting.push_back(item);
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// The next item; waits for `timeout` at most.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    pub(crate) fn recv(&self, timeout: Duration, cancel: &Cancel) -> Result<T, Nothing> {
        let shared = self.0.clone();
        let _hook = cancel.on_cancel(Arc::new(move || {
            // Whoever is between its look at the token and its sleep holds the lock.
            drop(shared.lock());
            shared.changed.notify_all();
        }));
        let begun = Instant::now();
        let mut state = self.0.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(Nothing::Cancelled);
            }
            if let Some(item) = state.waiting.pop_front() {
                return Ok(item);
            }
            if state.closed {
                return Err(Nothing::AnyMore);
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Nothing::InTime);
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let (sender, receiver) = mailbox();
        let cancel = Cancel::new();
        assert_eq!(receiver.recv(Duration::ZERO, &cancel), Err(Nothing::InTime));
        sender.send(1);
        sender.send(2);
        drop(sender);
        assert_eq!(receiver.recv(Duration::ZERO, &cancel), Ok(1));
        assert_eq!(receiver.recv(LONG, &cancel), Ok(2));
        assert_eq!(receiver.recv(LONG, &cancel), Err(Nothing::AnyMore));
    }

    #[test]
    fn a_cancelled_receiver_wakes_and_loses_nothing() {
        let (sender, receiver) = mailbox();
        let cancel = Cancel::new();
        let waits = cancel.clone();
        let waiting = std::thread::spawn(move || (receiver.recv(LONG, &waits), receiver));
        cancel.cancel();
        let (woken, receiver) = waiting.join().unwrap();
        assert_eq!(woken, Err(Nothing::Cancelled));
        sender.send(3);
        assert_eq!(receiver.recv(LONG, &cancel), Err(Nothing::Cancelled));
        assert_eq!(receiver.recv(LONG, &Cancel::new()), Ok(3));
    }
}
