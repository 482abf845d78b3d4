//! How long to wait before the next try: doubling, bounded, jittered, so that a relay that comes back is not met
//! by all of its clients at once.

use std::time::Duration;

use subrosa_model::entropy::Entropy;

/// First wait.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Half to all of `FIRST`, doubled for each failure since the last good link, and at least `floor`.
    pub(super) fn next(&mut self, entropy: &dyn Entropy, floor: Duration) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jitter = f64::from(u32::from_be_bytes(entropy.array())) / f64::from(u32::MAX);
        floor.min(LONGEST) + whole.mul_f64(0.5 + jitter / 2.0)
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use subrosa_model::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn waits_double_within_their_bounds_and_jitter() {
        let entropy = SeededEntropy::dangerous_from_seed(1);
        let mut backoff = Backoff::default();
        for n in 0..40 {
            let whole = FIRST.saturating_mul(1 << n.min(16)).min(LONGEST);
            let wait = backoff.next(&entropy, Duration::ZERO);
            assert!(wait >= whole / 2 && wait <= whole, "{n}: {wait:?}");
        }
        assert!(backoff.next(&entropy, Duration::ZERO) != backoff.next(&entropy, Duration::ZERO));
        backoff.reset();
        assert!(backoff.next(&entropy, Duration::ZERO) <= FIRST);
    }

    #[test]
    fn a_relay_can_ask_for_a_longer_wait_but_not_for_any() {
        let entropy = SeededEntropy::dangerous_from_seed(1);
        let mut backoff = Backoff::default();
        let asked = Duration::from_secs(5);
        assert!(backoff.next(&entropy, asked) >= asked);
        assert!(backoff.next(&entropy, Duration::MAX) <= LONGEST * 2);
    }
}
