//! What is dear, counted by tests: an opening with many vaults must do none of it for each.

#[cfg(test)]
thread_local! {
    static MULTIPLIED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A point was multiplied: about a hundred microseconds.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(super) fn multiplied() {
    #[cfg(test)]
    MULTIPLIED.set(MULTIPLIED.get() + 1);
}

/// How often this thread has multiplied.
#[cfg(test)]
pub(crate) fn multiplications() -> u64 {
    MULTIPLIED.get()
}
