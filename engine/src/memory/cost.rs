//! How much work was done, for tests of what it must not grow with.

#[cfg(test)]
thread_local! {
    static LOGS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    static ROWS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    static HELD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static DECODED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes that a log was looked at.
#[inline]
pub(crate) fn look_at_log() {
    #[cfg(test)]
    LOGS.set(LOGS.get() + 1);
}

/// Notes that a segment, or the row of one, was looked at that is not new.
#[inline]
pub(crate) fn look_at_row() {
    #[cfg(test)]
    ROWS.set(ROWS.get() + 1);
}

/// Notes that so many bytes of the bodies of one group are in memory.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(crate) fn hold_bytes(bytes: usize) {
    #[cfg(test)]
    HELD.set(HELD.get().max(bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// Notes that decoded bodies take so many bytes in memory.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(crate) fn hold_decoded(bytes: usize) {
    #[cfg(test)]
    DECODED.set(DECODED.get().max(bytes));
    #[cfg(not(test))]
    let _ = bytes;
}

/// How many bytes of decoded bodies this thread has held at most.
#[cfg(test)]
pub(crate) fn decoded_held_max() -> usize {
    DECODED.get()
}

/// How many bytes of one group this thread has held at most.
#[cfg(test)]
pub(crate) fn bytes_held_max() -> usize {
    HELD.get()
}

/// How many logs this thread has looked at.
#[cfg(test)]
pub(crate) fn logs_looked_at() -> u64 {
    LOGS.get()
}

/// How many segments and rows this thread has looked at.
#[cfg(test)]
pub(crate) fn rows_looked_at() -> u64 {
    ROWS.get()
}
