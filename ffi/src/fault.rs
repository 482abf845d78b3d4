//! A clock that is wrong on demand, or makes the engine panic in the middle of whatever reads the time.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use subrosa::{Clock, SystemClock};

static PANIC_NEXT: AtomicBool = AtomicBool::new(false);
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// The system's clock, until it is told otherwise.
pub(crate) struct FaultyClock;

impl Clock for FaultyClock {
    fn now_ms(&self) -> u64 {
        assert!(!PANIC_NEXT.swap(false, Ordering::SeqCst), "injected by a test");
        SystemClock.now_ms().saturating_add_signed(AHEAD_MS.load(Ordering::SeqCst))
    }
}

/// The next time that the engine reads its clock, it panics. Only in libraries built with the feature
/// `fault-injection`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn subrosa_fault_panic_next() {
    PANIC_NEXT.store(true, Ordering::SeqCst);
}

/// From now on the engine's clock is ahead of the system's by so many milliseconds, or behind it if negative. Only in libraries built with
/// the feature `fault-injection`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn subrosa_fault_clock_ahead(ms: i64) {
    AHEAD_MS.store(ms, Ordering::SeqCst);
}
