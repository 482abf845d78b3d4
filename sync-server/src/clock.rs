//! The one place that reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
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
        let wall = since_1970(SystemTime::now());
        Now { mono: self.0.elapsed(), wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The moment of a monotonic time, for timers.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.0 + mono
    }
}

/// Nothing where the clock stands before that, as one without a battery may: a wrong clock like any other.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Wall time as TLS asks for it. The one that rustls brings panics before 1970.
#[derive(Debug)]
pub(crate) struct WallTime;

impl TimeProvider for WallTime {
    #[expect(clippy::disallowed_methods, reason = "TLS is driven by the relay, and asks for the time itself")]
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(since_1970(SystemTime::now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_says_its_beginning() {
        assert_eq!(since_1970(UNIX_EPOCH + Duration::from_millis(7)), Duration::from_millis(7));
        assert_eq!(since_1970(UNIX_EPOCH - Duration::from_secs(86_400)), Duration::ZERO);
    }
}
