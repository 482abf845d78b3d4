//! How fast a vault may push, over all its links: two token buckets each.

use std::collections::HashMap;
use std::time::Duration;

use subrosa_protocol::ids::VaultId;

use super::verify::Ground;
use crate::config::Class;

/// Buckets kept; all are forgotten, and so full, when there are more.
const BUCKETS_MAX: usize = 1 << 14;

/// The buckets of the vaults that pushed lately.
#[derive(Default)]
pub(super) struct Rates(HashMap<VaultId, Buckets>);

/// What one push takes out of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) bytes: usize,
    pub(super) segments: usize,
}

struct Buckets {
    class: Class,
    bytes: f64,
    segments: f64,
    filled: Duration,
}

impl Rates {
    /// Seconds to wait, or `None` when the push may go on. A push is admitted while there is anything left,
    /// and may overdraw, so that one larger than a bucket gets through too.
    pub(super) fn admit(
        &mut self,
        ground: Ground<'_>,
        now: Duration,
        vault: &VaultId,
        cost: Cost,
    ) -> Option<u32> {
        if self.0.len() > BUCKETS_MAX {
            self.0.clear();
        }
        let buckets = self.0.entry(*vault).or_insert_with(|| {
            let class = ground.store.vault(vault).ok().flatten().map_or(0, |row| row.class);
            Buckets::full(ground.quotas.of(class), now)
        });
        buckets.take(now, cost.bytes as f64, cost.segments as f64)
    }
}

impl Buckets {
    fn full(class: Class, now: Duration) -> Self {
        let mut buckets = Self { class, bytes: 0.0, segments: 0.0, filled: now };
        buckets.fill(Duration::from_secs(class.burst_secs.max(1)));
        buckets
    }

    fn fill(&mut self, passed: Duration) {
        let fill = |level: f64, per_sec: u64| {
            let max = per_sec as f64 * self.class.burst_secs.max(1) as f64;
            (level + per_sec as f64 * passed.as_secs_f64()).min(max)
        };
        self.bytes = fill(self.bytes, self.class.bytes_per_sec);
        self.segments = fill(self.segments, self.class.segments_per_sec);
    }

    fn take(&mut self, now: Duration, bytes: f64, segments: f64) -> Option<u32> {
        self.fill(now.saturating_sub(self.filled));
        self.filled = now;
        if self.bytes > 0.0 && self.segments > 0.0 {
            self.bytes -= bytes;
            self.segments -= segments;
            return None;
        }
        let wait = |level: f64, per_sec: u64| (-level / per_sec.max(1) as f64).max(0.0);
        let secs =
            wait(self.bytes, self.class.bytes_per_sec).max(wait(self.segments, self.class.segments_per_sec));
        Some(secs.ceil().clamp(1.0, 3600.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_overdraws_once_then_says_how_long_to_wait() {
        let class = Class { bytes_per_sec: 10, segments_per_sec: 100, burst_secs: 2, ..Class::default() };
        let at = Duration::from_secs;
        let mut buckets = Buckets::full(class, at(0));
        assert_eq!(buckets.take(at(0), 50.0, 1.0), None, "20 there, 30 overdrawn");
        assert_eq!(buckets.take(at(0), 1.0, 1.0), Some(3));
        assert_eq!(buckets.take(at(2), 1.0, 1.0), Some(1));
        assert_eq!(buckets.take(at(4), 1.0, 1.0), None);
        assert_eq!(buckets.take(at(1000), 20.0, 1.0), None, "never more than the burst");
        assert_eq!(buckets.take(at(1000), 1.0, 1.0), Some(1));
    }
}
