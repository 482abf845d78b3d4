//! The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use subrosa_protocol::relay_link::Now;

/// Monotonic time since the relay's start, and wall time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

#[expect(clippy::disallowed_methods, reason = "the relay's driver reads the clocks for its state machines")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono: self.0.elapsed(), wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The moment of a monotonic time, for timers.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.0 + mono
    }
}
