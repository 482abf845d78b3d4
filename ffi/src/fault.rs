//! A clock that makes the engine panic on demand, in the middle of whatever reads the time.

use std::sync::atomic::{AtomicBool, Ordering};

use subrosa::{Clock, SystemClock};

static PANIC_NEXT: AtomicBool = AtomicBool::new(false);

/// The system's clock, until it is told to panic.
pub(crate) struct FaultyClock;

impl Clock for FaultyClock {
    fn now_ms(&self) -> u64 {
        assert!(!PANIC_NEXT.swap(false, Ordering::SeqCst), "injected by a test");
        SystemClock.now_ms()
    }
}

/// The next time that the engine reads its clock, it panics. Only in libraries built with the feature
/// `fault-injection`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn subrosa_fault_panic_next() {
    PANIC_NEXT.store(true, Ordering::SeqCst);
}
