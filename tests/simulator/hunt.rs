//! Runs plans by seed, cuts failing ones down, and counts what they showed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::failure::{Failure, Kind};
use super::known::{all, words};
use super::plan::{Plan, Theme};
use super::shrink::{Shrunk, shrink};
use super::sights::Sights;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Threads.
    pub jobs: usize,
    /// Failing plans that are cut down, of each kind of failure and theme.
    pub shrink_max: usize,
    /// Only plans of this theme.
    pub theme: Option<Theme>,
    /// Only plans with so many relays.
    pub relays: Option<u8>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Found {
    /// Plans that were run.
    pub plans: u64,
    /// How many broke which promise, by theme.
    pub failures: BTreeMap<(Theme, Kind), u64>,
    /// The seeds of those that broke one.
    pub seeds: BTreeSet<u64>,
    /// How many plans there were of each theme.
    pub themes: BTreeMap<Theme, u64>,
    /// Those that were cut down, by the seed of the plan.
    pub shrunk: BTreeMap<u64, Shrunk>,
    /// What the plans met.
    pub sights: Sights,
}

/// Hears of a failing plan.
pub type Tell<'a> = dyn Fn(&Shrunk) + Sync + 'a;
/// Whether a hunt goes on after so many plans.
pub type GoesOn<'a> = dyn Fn(u64) -> bool + Sync + 'a;

impl Hunt {
    /// Runs all of them. `tell` hears of each failing plan when it was cut down; `goes_on` is told how many were run, and says
    /// whether there is time for another one.
    pub fn run(&self, tell: &Tell<'_>, goes_on: &GoesOn<'_>) -> Found {
        let (next, found) = (AtomicU64::new(self.from), Mutex::new(Found::default()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let plans = found.lock().map_or(0, |found| found.plans);
                        if seed >= self.from.saturating_add(self.seeds) || !goes_on(plans) {
                            return;
                        }
                        self.run_one(seed, &found, tell);
                    }
                });
            }
        });
        found.into_inner().unwrap_or_default()
    }

    fn run_one(&self, seed: u64, found: &Mutex<Found>, tell: &Tell<'_>) {
        let theme = Theme::of(seed);
        if self.theme.is_some_and(|wanted| wanted != theme) {
            return;
        }
        let plan = Plan::of_seed(seed);
        if self.relays.is_some_and(|wanted| wanted != plan.relays) {
            return;
        }
        let ran = plan.run_counted();
        let worth_it = {
            let Ok(mut found) = found.lock() else { return };
            found.plans += 1;
            found.sights.take_plan(&ran.sights);
            *found.themes.entry(theme).or_default() += 1;
            let Err(Failure { kind, .. }) = &ran.result else { return };
            found.seeds.insert(seed);
            let times = found.failures.entry((theme, *kind)).or_default();
            *times += 1;
            *times <= self.shrink_max as u64
        };
        let Err(failure) = ran.result else { return };
        if worth_it {
            let shrunk = shrink(&plan, &failure);
            tell(&shrunk);
            if let Ok(mut found) = found.lock() {
                found.shrunk.insert(seed, shrunk);
            }
        }
    }
}

impl Found {
    /// Which promise was broken with which actions, the most frequent first: first seed, times, kind, actions.
    #[must_use]
    pub fn shapes(&self) -> Vec<(u64, usize, Kind, String)> {
        let mut shapes: BTreeMap<(Kind, String), (u64, usize)> = BTreeMap::new();
        for (seed, shrunk) in &self.shrunk {
            let shape = (shrunk.failure.kind, words(&shrunk.plan).join(" "));
            shapes.entry(shape).or_insert((*seed, 0)).1 += 1;
        }
        let mut shapes: Vec<_> =
            shapes.into_iter().map(|((kind, words), (seed, times))| (seed, times, kind, words)).collect();
        shapes.sort_by_key(|(seed, times, ..)| (std::cmp::Reverse(*times), *seed));
        shapes
    }

    /// How many plans broke a promise, but for those that were cut down and show a fault that is known and not mended yet.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        let is_known = |shrunk: &&Shrunk| all().any(|known| !known.is_mended && known.is_shown_by(shrunk));
        self.failures.values().sum::<u64>() - self.shrunk.values().filter(is_known).count() as u64
    }

    /// For each known fault, the first seed whose plan, cut down, shows it, and how many did.
    #[must_use]
    pub fn known(&self) -> Vec<(&'static str, Option<u64>, usize)> {
        let of = |known: &'static super::known::Known| {
            let seeds: Vec<u64> = self
                .shrunk
                .iter()
                .filter(|(_, shrunk)| known.is_shown_by(shrunk))
                .map(|(seed, _)| *seed)
                .collect();
            (known.name, seeds.first().copied(), seeds.len())
        };
        all().map(of).collect()
    }
}
