//! Waiting for something that may change at any time, wherever whoever changes it is.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wakes those who wait, from anywhere: its lock is held for no other call, so that ringing it is fine under any lock.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    heard: Condvar,
}

impl Bell {
    /// Has everybody who waits look again.
    pub(crate) fn ring(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        *rung = rung.wrapping_add(1);
        drop(rung);
        self.heard.notify_all();
    }

    /// Looks until it is `done`, now and whenever the bell was rung since the look before began; at the latest until
    /// `timeout` is over.
    #[expect(clippy::disallowed_methods, reason = "waits in real time, as condition variables do")]
    pub(crate) fn wait_until(&self, timeout: Duration, mut done: impl FnMut() -> bool) {
        let lock = || self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        loop {
            let seen = *lock();
            if done() {
                return;
            }
            let left = timeout.saturating_sub(start.elapsed());
            // However often it rings.
            if left.is_zero() {
                return;
            }
            let waited = self.heard.wait_timeout_while(lock(), left, |rung| *rung == seen);
            let (rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if *rung == seen {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_ring_is_heard_though_it_comes_while_somebody_looks() {
        const RINGS: u32 = 10_000;
        let (bell, count) = (Bell::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..RINGS {
                    count.fetch_add(1, Ordering::SeqCst);
                    bell.ring();
                }
            });
            bell.wait_until(Duration::from_secs(60), || count.load(Ordering::SeqCst) == RINGS);
        });
        // One more between a look and the wait for the next.
        let mut looks = 0;
        bell.wait_until(Duration::from_secs(60), || {
            bell.ring();
            looks += 1;
            looks == 5
        });
        assert_eq!(looks, 5);
    }

    #[test]
    fn nothing_is_waited_for_longer_than_it_may() {
        let mut looks = 0;
        let (silent, loud) = (Bell::default(), Bell::default());
        silent.wait_until(Duration::ZERO, || {
            looks += 1;
            false
        });
        assert_eq!(looks, 1);
        silent.wait_until(Duration::from_millis(1), || false);
        loud.wait_until(Duration::from_millis(1), || {
            loud.ring();
            false
        });
    }
}
