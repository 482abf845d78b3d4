//! The hybrid logical clock: orders values between devices whose wall clocks disagree.
//!
//! It never orders membership, epochs, cut-offs or pruning: chains and signed entries do that.

use std::fmt;

use subrosa_protocol::limits::CLOCK_AHEAD_MAX_MS;

/// Bits of the counter below the milliseconds.
const COUNTER_BITS: u32 = 16;

/// A time at which an op was made: 48 bits of Unix milliseconds, then a 16-bit counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Latest millisecond that a stamp can hold (the year 10889).
    pub const MS_MAX: u64 = (1 << 48) - 1;

    /// The first stamp of a millisecond; later ones than [`Stamp::MS_MAX`] count as that.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        let ms = if ms > Self::MS_MAX { Self::MS_MAX } else { ms };
        Self(ms << COUNTER_BITS)
    }

    /// Unix milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Number within its millisecond.
    #[must_use]
    pub const fn counter(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.counter())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What became of a foreign stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Merge its group; the clock is now at least there.
    Merge,
    /// More than five minutes ahead: hold the whole group until this wall time; the clock has not moved.
    HeldUntil {
        /// Unix milliseconds.
        ms: u64,
    },
}

/// The clock of one store. Its maximum is persisted in the transaction that uses it, before anyone sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HybridClock {
    max: Stamp,
}

impl HybridClock {
    /// Goes on from a persisted maximum; a new store starts from the default stamp.
    pub const fn new(max: Stamp) -> Self {
        Self { max }
    }

    /// The largest stamp made or merged; persist it.
    pub const fn max(&self) -> Stamp {
        self.max
    }

    /// A stamp later than all before. A wall clock that fell back does not matter: the clock goes on from its
    /// maximum; a counter that overflows borrows the next millisecond.
    pub fn tick(&mut self, now_ms: u64) -> Stamp {
        self.max = Stamp::from_ms(now_ms).max(Stamp(self.max.0.saturating_add(1)));
        self.max
    }

    /// As [`Self::tick`], and later than `before` too.
    pub fn tick_after(&mut self, before: Stamp, now_ms: u64) -> Stamp {
        self.max = self.max.max(before);
        self.tick(now_ms)
    }

    /// Takes in a foreign stamp, as what it counts as. Decide for a whole group first (by its largest stamp), then merge.
    pub fn observe(&mut self, stamp: Stamp, now_ms: u64) -> Observed {
        match held_until_ms(stamp, now_ms) {
            Some(ms) => Observed::HeldUntil { ms },
            None => {
                self.max = self.max.max(stamp);
                Observed::Merge
            }
        }
    }

    /// Whether our own maximum is further ahead of `now_ms` than others would merge. Act on it only when a
    /// relay's `now` says the same: the wall clock may be what is wrong.
    pub fn is_ahead(&self, now_ms: u64) -> bool {
        held_until_ms(self.max, now_ms).is_some()
    }
}

/// When a stamp that is too far ahead may be merged; `None` if now.
pub fn held_until_ms(stamp: Stamp, now_ms: u64) -> Option<u64> {
    let ms = stamp.ms().saturating_sub(CLOCK_AHEAD_MAX_MS);
    (ms > now_ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_rise_whatever_the_wall_clock_does() {
        let mut clock = HybridClock::new(Stamp::default());
        let mut last = clock.tick(1_000);
        assert_eq!(last, Stamp::from_ms(1_000));
        for now in [1_000, 999, 0, 1_001, 5] {
            let next = clock.tick(now);
            assert!(next > last);
            last = next;
        }
        assert_eq!(clock.tick(2_000), Stamp::from_ms(2_000));
    }

    #[test]
    fn counter_overflow_borrows_a_millisecond() {
        let mut clock = HybridClock::new(Stamp(Stamp::from_ms(7).0 | 0xffff));
        let stamp = clock.tick(7);
        assert_eq!((stamp.ms(), stamp.counter()), (8, 0));
        let stamp = clock.tick(7);
        assert_eq!((stamp.ms(), stamp.counter()), (8, 1));
    }

    #[test]
    fn wall_times_out_of_range_are_clamped() {
        let mut clock = HybridClock::new(Stamp::default());
        assert_eq!(clock.tick(u64::MAX).ms(), Stamp::MS_MAX);
    }

    #[test]
    fn stamps_far_ahead_are_held_and_do_not_move_the_clock() {
        let now = 1_000_000;
        let mut clock = HybridClock::new(Stamp::from_ms(now));
        let edge = Stamp(Stamp::from_ms(now + CLOCK_AHEAD_MAX_MS).0 | 0xffff);
        let beyond = Stamp(edge.0 + 1);
        assert_eq!(clock.observe(beyond, now), Observed::HeldUntil { ms: now + 1 });
        assert_eq!(clock.max(), Stamp::from_ms(now));
        assert_eq!(clock.observe(edge, now), Observed::Merge);
        assert_eq!(clock.max(), edge);
        assert_eq!(clock.observe(beyond, now + 1), Observed::Merge);
        assert!(clock.is_ahead(now) && !clock.is_ahead(now + 1));
    }

    #[test]
    fn a_tick_is_later_than_what_it_is_told() {
        let mut clock = HybridClock::new(Stamp::from_ms(50));
        let before = Stamp::from_ms(90);
        let stamp = clock.tick_after(before, 60);
        assert!(stamp > before && clock.max() == stamp, "and what comes next is later still");
        assert_eq!(clock.tick_after(Stamp::from_ms(10), 100), Stamp::from_ms(100));
    }

    #[test]
    fn older_stamps_do_not_move_the_clock_back() {
        let mut clock = HybridClock::new(Stamp::from_ms(50));
        assert_eq!(clock.observe(Stamp::from_ms(40), 45), Observed::Merge);
        assert_eq!(clock.max(), Stamp::from_ms(50));
    }
}
