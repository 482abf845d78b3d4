//! What is dear, counted by tests: an opening with many vaults must do none of it for each.

#[cfg(any(test, feature = "testing"))]
thread_local! {
    static MULTIPLIED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A point was multiplied: about a hundred microseconds.
#[cfg_attr(not(any(test, feature = "testing")), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(super) fn multiplied() {
    #[cfg(any(test, feature = "testing"))]
    MULTIPLIED.set(MULTIPLIED.get() + 1);
}

/// How often this thread has multiplied.
#[cfg(any(test, feature = "testing"))]
pub fn multiplications() -> u64 {
    MULTIPLIED.get()
}
