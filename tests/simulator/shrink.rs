//! Cuts a failing plan down: whatever can be left out without another promise being broken is left out.

use super::failure::Failure;
use super::plan::Plan;

/// A plan that fails, and how.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// What a checker found.
    pub failure: Failure,
    /// How many plans were run on the way.
    pub runs: usize,
}

/// Runs that cutting down takes at most.
const RUNS_MAX: usize = 400;

/// See the module.
#[must_use]
pub fn shrink(plan: &Plan, failure: &Failure) -> Shrunk {
    shrink_by(plan, failure, Plan::run)
}

/// The same, where something else says what a plan comes to.
#[must_use]
pub fn shrink_by(plan: &Plan, failure: &Failure, run: impl Fn(&Plan) -> Result<(), Failure>) -> Shrunk {
    let mut shrunk = Shrunk { plan: plan.clone(), failure: failure.clone(), runs: 0 };
    let mut part = (plan.steps.len() / 2).max(1);
    loop {
        let mut changed = false;
        let mut at = 0;
        while at < shrunk.plan.steps.len() {
            let mut less = shrunk.plan.clone();
            less.steps.drain(at..(at + part).min(less.steps.len()));
            if shrunk.takes(less, &run) {
                changed = true;
            } else {
                at += part;
            }
        }
        if part > 1 {
            part /= 2;
        } else if !changed {
            break;
        }
    }
    while shrunk.plan.devices > 1
        && shrunk.takes(Plan { devices: shrunk.plan.devices - 1, ..shrunk.plan.clone() }, &run)
    {}
    while shrunk.plan.relays > 1
        && shrunk.takes(Plan { relays: shrunk.plan.relays - 1, ..shrunk.plan.clone() }, &run)
    {}
    shrunk
}

impl Shrunk {
    /// Takes a plan in the place of the one before, if it fails likewise.
    fn takes(&mut self, less: Plan, run: impl Fn(&Plan) -> Result<(), Failure>) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        match run(&less) {
            Err(failure) if failure.kind == self.failure.kind => {
                (self.plan, self.failure) = (less, failure);
                true
            }
            _ => false,
        }
    }
}
