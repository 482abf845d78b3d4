//! How much work was done, for tests of what it must not grow with.

#[cfg(test)]
thread_local! {
    static LOGS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Notes that a log was looked at.
#[inline]
pub(super) fn look_at_log() {
    #[cfg(test)]
    LOGS.set(LOGS.get() + 1);
}

/// How many logs this thread has looked at.
#[cfg(test)]
pub(super) fn logs_looked_at() -> u64 {
    LOGS.get()
}
