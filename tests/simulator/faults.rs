//! Whether the simulator finds a fault that its code was built with: `faults/run` does that for each that there is.
//!
//! A simulator that finds nothing known proves nothing. So each fault that was mended can be had back by a switch of the compiler, a
//! smaller one of its kind, and must be seen by the plans of [`all`] that name it, and by plans by seed.

use std::collections::BTreeSet;
use std::fmt;

use super::failure::Kind;
use super::hunt::Hunt;
use super::known::{Known, all};
use super::plan::Theme;

/// What came of looking for one.
#[derive(Debug)]
pub struct Sought {
    /// Its name.
    pub fault: String,
    /// Plans that are to show it, and the promise that each broke.
    pub shown: Vec<(&'static Known, Option<Kind>)>,
    /// Plans by seed that keep every promise without it.
    pub plans: u64,
    /// The seeds of those that broke a promise.
    pub seeds: BTreeSet<u64>,
}

/// Runs the plans that are to show a fault, and those of a hunt that are of their themes; what fails without the fault, `passed_over`,
/// proves nothing. `None` if no plan names the fault.
#[must_use]
pub fn seek(fault: &str, hunt: &Hunt, passed_over: &BTreeSet<u64>) -> Option<Sought> {
    let known: Vec<&'static Known> = all().filter(|known| known.faults.contains(&fault)).collect();
    let themes: BTreeSet<Theme> = known.iter().map(|known| known.theme()).collect();
    let shown: Vec<_> = known
        .into_iter()
        .map(|known| (known, known.plan().run().err().map(|failure| failure.kind)))
        .collect();
    if shown.is_empty() {
        return None;
    }
    let mut sought = Sought { fault: fault.to_owned(), shown, plans: 0, seeds: BTreeSet::new() };
    for theme in themes {
        let found = Hunt { shrink_max: 0, theme: Some(theme), ..*hunt }.run(&|_| {}, &|_| true);
        let seeds = hunt.from..hunt.from + hunt.seeds;
        let left_out = passed_over.iter().filter(|seed| seeds.contains(seed) && Theme::of(**seed) == theme);
        sought.plans += found.plans - left_out.count() as u64;
        sought.seeds.extend(found.seeds.difference(passed_over));
    }
    Some(sought)
}

impl Sought {
    /// Whether each plan that is to show it did. Plans by seed may need many seeds.
    #[must_use]
    pub fn is_found(&self) -> bool {
        let is_shown = |(known, kind): &(&Known, Option<Kind>)| kind.is_some_and(|kind| known.breaks(kind));
        self.shown.iter().all(is_shown)
    }
}

/// A line of a table.
impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.shown.iter().map(|(known, kind)| {
            let kind = kind.map_or_else(|| "not seen".to_owned(), |kind| format!("{kind:?}"));
            format!("{}: {kind}", known.name)
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let first = self.seeds.first().map_or_else(|| "-".to_owned(), u64::to_string);
        let (fault, found, plans) = (&self.fault, self.seeds.len(), self.plans);
        write!(f, "{fault:<24} {found:>4} of {plans:<4} {first:>6}  {shown}")
    }
}
