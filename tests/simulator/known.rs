//! Faults that are known: for each a plan that shows it, and by what a plan that was cut down is recognised.
//!
//! As long as the code has a fault, its plan fails (`each_known_fault_is_seen_or_mended`). Whoever mends one says so here, and
//! from then on the plan must pass; and leaves a switch with which it fails again (`faults/run`), for a simulator that finds
//! nothing known proves nothing.

mod clocks;
mod forks;
mod liars;

use super::failure::Kind;
use super::plan::{Plan, Theme};
use super::shrink::Shrunk;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub what: &'static str,
    /// A plan that shows it.
    pub plan: &'static str,
    /// Whether the code does not have it any more.
    pub is_mended: bool,
    /// Switches of the compiler by each of which a fault of its kind comes back (`faults/run`); none of those that the code has, and of
    /// those that have no switch yet.
    pub faults: &'static [&'static str],
    /// Promises of which it breaks one.
    kinds: &'static [Kind],
    /// Groups of actions: one of each is in it.
    has: &'static [&'static [&'static str]],
    /// Actions that are not in it.
    without: &'static [&'static str],
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Known> {
    forks::FORKS.iter().chain(clocks::CLOCKS).chain(liars::LIARS)
}

impl Known {
    /// The plan that shows it.
    ///
    /// # Panics
    /// When the text of it is none, which a test rules out.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan.parse().expect("plans of known faults are plans")
    }

    /// What plans are about that have what this one needs.
    #[must_use]
    pub fn theme(&self) -> Theme {
        let words = words(&self.plan());
        let has = |some: &[&str]| words.iter().any(|word| some.iter().any(|one| word.starts_with(one)));
        let (copies, clocks) = (has(&["copy", "restore", "move"]), has(&["clock"]));
        let (joins, relays) = (has(&["join"]), has(&["sync 1", "wipe", "relay-restore"]));
        if has(&["lie"]) {
            return Theme::Lies;
        }
        if has(&["forge"]) {
            return Theme::Forgeries;
        }
        let disks = has(&["ail", "fill", "relay-ail", "relay-fill", "quota"]);
        match (copies, clocks, joins, relays, disks) {
            (false, false, false, false, false) => Theme::Calm,
            (true, false, false, false, false) => Theme::Copies,
            (false, true, false, false, false) => Theme::Clocks,
            (false, false, false, false, true) => Theme::Disks,
            // Plans about relays and joins have copies, too.
            (_, false, false, true, false) => Theme::Relays,
            (_, false, true, false, false) => Theme::Joins,
            _ => Theme::All,
        }
    }

    /// Whether a failure is one of those that it comes to.
    #[must_use]
    pub fn breaks(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether a plan that was cut down shows this fault.
    #[must_use]
    pub fn is_shown_by(&self, shrunk: &Shrunk) -> bool {
        let words = words(&shrunk.plan);
        let has = |word: &&str| words.iter().any(|one| one.starts_with(word));
        self.kinds.contains(&shrunk.failure.kind)
            && self.has.iter().all(|group| group.iter().any(has))
            && !self.without.iter().any(has)
    }
}

/// The kinds of actions of a plan, those of restores with how, those of a second relay by themselves; each once.
#[must_use]
pub fn words(plan: &Plan) -> Vec<String> {
    let mut words: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let text = step.action.to_string();
            match step.action.word() {
                "restore" => format!("restore {}", text.rsplit(' ').next().unwrap_or_default()),
                word => word.to_owned(),
            }
        })
        .collect();
    if plan.relays > 1 {
        words.push("sync 1".to_owned());
    }
    words.sort();
    words.dedup();
    words
}
