//! What is on its way on one stream in one direction: it arrives in order, each at its time. Streams overtake each other.

use std::collections::VecDeque;

/// See the module.
pub(super) struct Lane<T>(VecDeque<(u64, T)>);

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Lane<T> {
    /// Sends something that arrives at that time, and not before what was sent before it.
    pub(super) fn put(&mut self, arrives_ms: u64, what: T) {
        let before_ms = self.0.back().map_or(0, |(ms, _)| *ms);
        self.0.push_back((arrives_ms.max(before_ms), what));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What arrives next.
    pub(super) fn first(&self) -> Option<&T> {
        self.0.front().map(|(_, what)| what)
    }

    /// When it arrives.
    pub(super) fn arrives_ms(&self) -> Option<u64> {
        self.0.front().map(|(ms, _)| *ms)
    }

    /// The next one, if it has arrived.
    pub(super) fn arrived(&self, now_ms: u64) -> Option<&T> {
        self.0.front().filter(|(ms, _)| *ms <= now_ms).map(|(_, what)| what)
    }

    /// Takes the next one, if it has arrived.
    pub(super) fn take(&mut self, now_ms: u64) -> Option<T> {
        self.arrived(now_ms)?;
        self.0.pop_front().map(|(_, what)| what)
    }
}
