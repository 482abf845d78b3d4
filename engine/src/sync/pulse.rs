//! Tells a dead path from a quiet one.
//!
//! A quiet link is probed: 5 seconds after the last frame first, since what breaks a link breaks it mostly while it
//! works; then after twice the time, up to 50 seconds, which keeps the mappings of usual routers alive at little
//! cost to a battery. A link on which something is owed to us is probed as well, again and again: the relay may need
//! its time for an answer, but its transport answers at once. A link that was probed is dead when not one datagram
//! arrives for [`STALL_WAIT`]; waiting for the transport's idle timeout would take minutes.

use std::time::{Duration, Instant};

/// First silence that is probed.
const FIRST: Duration = Duration::from_secs(5);
/// Longest silence that is not probed; below the relay's idle timeout.
const LONGEST: Duration = Duration::from_secs(50);
/// Silence on a path that should speak.
pub(super) const STALL_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Pulse {
    heard: Instant,
    interval: Duration,
    /// Since when, and at which count of datagrams, a sign of life is awaited.
    awaiting: Option<(Instant, u64)>,
    probed: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    /// Make the peer's transport answer.
    Probe,
    /// Give the connection up.
    Dead,
}

impl Pulse {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, interval: FIRST, awaiting: None, probed: false }
    }

    /// A frame has arrived.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.interval = FIRST;
    }

    /// The path may be another one and has to show that it works; the peer is being probed.
    pub(super) const fn suspect(&mut self, now: Instant, datagrams: u64) {
        self.awaiting = Some((now, datagrams));
        self.probed = true;
    }

    /// Somebody wants to know whether the path works; the peer is being probed. However often that is asked, a path that
    /// stays silent has the same time.
    pub(super) fn ask(&mut self, now: Instant, datagrams: u64) {
        if self.awaiting.is_none_or(|(_, then)| datagrams != then) {
            self.awaiting = Some((now, datagrams));
        }
    }

    /// When to call [`Pulse::beat`] at the latest.
    pub(super) fn due(&self) -> Instant {
        self.awaiting.map_or(self.heard + self.interval, |(since, _)| since + STALL_WAIT)
    }

    /// `owed`: the relay owes an answer. `datagrams`: how many have arrived in all.
    pub(super) fn beat(&mut self, now: Instant, owed: bool, datagrams: u64) -> Beat {
        if let Some((since, then)) = self.awaiting {
            if now < since + STALL_WAIT {
                return Beat::Nothing;
            }
            if datagrams == then {
                return Beat::Dead;
            }
            if std::mem::take(&mut self.probed) {
                self.interval = (self.interval * 2).min(LONGEST);
            }
            self.heard = self.heard.max(since);
            self.awaiting = owed.then_some((now, datagrams));
            return if owed { Beat::Probe } else { Beat::Nothing };
        }
        if owed {
            self.awaiting = Some((now, datagrams));
            return Beat::Probe;
        }
        if now >= self.heard + self.interval {
            self.awaiting = Some((now, datagrams));
            self.probed = true;
            return Beat::Probe;
        }
        Beat::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base for times that the test then moves itself")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_quiet_path_is_probed_less_and_less() {
        let mut now = base();
        let mut pulse = Pulse::new(now);
        let mut silences = Vec::new();
        for datagrams in 0..6 {
            let quiet_since = now;
            now = pulse.due();
            assert_eq!(pulse.beat(now, false, datagrams), Beat::Probe);
            silences.push((now - quiet_since).as_secs());
            // The answer is there when it is looked for.
            assert_eq!(pulse.beat(pulse.due(), false, datagrams + 1), Beat::Nothing);
        }
        assert_eq!(silences, [5, 10, 20, 40, 50, 50]);
        pulse.heard(now);
        assert_eq!(pulse.due() - now, FIRST);
    }

    #[test]
    fn a_path_that_owes_something_and_stays_silent_is_dead() {
        let start = base();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.beat(start, true, 7), Beat::Probe);
        assert_eq!(pulse.due(), start + STALL_WAIT);
        assert_eq!(pulse.beat(start + STALL_WAIT / 2, true, 7), Beat::Nothing);
        assert_eq!(pulse.beat(start + STALL_WAIT, true, 8), Beat::Probe, "slow, but alive");
        assert_eq!(pulse.beat(start + STALL_WAIT * 2, true, 8), Beat::Dead);
    }

    #[test]
    fn a_new_path_that_stays_silent_is_dead() {
        let start = base();
        let mut pulse = Pulse::new(start);
        pulse.suspect(start, 7);
        assert_eq!(pulse.due(), start + STALL_WAIT);
        assert_eq!(pulse.beat(start + STALL_WAIT, false, 8), Beat::Nothing);
        pulse.suspect(start + STALL_WAIT, 8);
        assert_eq!(pulse.beat(start + STALL_WAIT * 2, false, 8), Beat::Dead);
    }

    #[test]
    fn a_path_that_is_asked_for_again_and_again_and_stays_silent_is_dead_in_time() {
        let start = base();
        let mut pulse = Pulse::new(start);
        for step in 0..10 {
            pulse.ask(start + STALL_WAIT * step / 10, 7);
        }
        assert_eq!(pulse.due(), start + STALL_WAIT);
        assert_eq!(pulse.beat(start + STALL_WAIT, false, 7), Beat::Dead);
        let mut pulse = Pulse::new(start);
        pulse.ask(start, 7);
        pulse.ask(start + FIRST / 2, 8);
        assert_eq!(pulse.beat(start + FIRST / 2 + STALL_WAIT, false, 9), Beat::Nothing);
        assert_eq!(pulse.beat(start + FIRST * 2, false, 9), Beat::Probe, "as quiet as before");
    }

    #[test]
    fn an_unanswered_probe_is_death() {
        let start = base();
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.beat(start + FIRST, false, 7), Beat::Probe);
        assert_eq!(pulse.beat(start + FIRST + STALL_WAIT, false, 7), Beat::Dead);
    }
}
