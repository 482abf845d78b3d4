//! Wall time, as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall time. It orders values only through the hybrid logical clock, which tolerates a wrong one.
pub trait Clock: Send + Sync {
    /// Unix time in milliseconds; 0 where the clock stands before 1970, as one without a battery may.
    fn now_ms(&self) -> u64;
}

/// The operating system's clock. What every application uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the driver that reads the clock")]
    fn now_ms(&self) -> u64 {
        unix_ms(SystemTime::now())
    }
}

/// A clock before 1970 is a wrong clock like any other, and none that anybody has to end for.
fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_says_its_beginning() {
        let day = Duration::from_secs(86_400);
        assert_eq!(unix_ms(UNIX_EPOCH + Duration::from_millis(7)), 7);
        for before in [UNIX_EPOCH, UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - day * 400] {
            assert_eq!(unix_ms(before), 0);
        }
    }
}
