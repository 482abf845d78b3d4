//! A short share of the simulator's plans, and what it must find.

use subrosa_tests::simulator::known::KNOWN;
use subrosa_tests::simulator::plan::{Plan, THEMES, Theme};
use subrosa_tests::simulator::shrink::{Shrunk, shrink};

/// Seeds of each theme that are run here; a whole hunt is a command of its own.
const SEEDS: u64 = 40;

fn plans(theme: Theme) -> impl Iterator<Item = Plan> {
    let themes = THEMES.len() as u64;
    (0..SEEDS * themes).filter(move |seed| Theme::of(*seed) == theme).map(Plan::of_seed)
}

#[test]
fn each_known_fault_is_seen_or_mended() {
    for known in KNOWN {
        let plan = known.plan();
        if known.is_mended {
            assert_eq!(plan.run(), Ok(()), "{}", known.name);
            continue;
        }
        let failure = plan.run().expect_err(known.name);
        let shrunk = Shrunk { plan, failure, runs: 0 };
        assert!(known.is_shown_by(&shrunk), "{}: {}", known.name, shrunk.failure);
    }
}

#[test]
fn two_runs_of_a_plan_decide_the_same() {
    for theme in THEMES {
        for plan in plans(theme).take(3) {
            assert_eq!(plan.run_traced(), plan.run_traced(), "{plan}");
        }
    }
}

#[test]
fn a_failing_plan_is_cut_down_to_one_that_fails_alike() {
    let known = KNOWN.iter().find(|known| !known.is_mended).expect("there is a fault to look at");
    let mut plan = known.plan();
    let last = plan.steps.len() as u16;
    let noise = Plan::of_seed(0).steps;
    plan.steps.splice(
        3..3,
        noise.iter().take(3).map(|step| subrosa_tests::simulator::plan::Step { no: step.no + last, ..*step }),
    );
    let failure = plan.run().expect_err("it fails with noise, too");
    let shrunk = shrink(&plan, &failure);
    assert_eq!(shrunk.failure.kind, failure.kind);
    assert!(shrunk.plan.steps.len() <= usize::from(last), "{}", shrunk.plan);
}

/// Links that are lost, disks that stop, processes that end: with these alone no promise is broken.
#[test]
fn calm_plans_keep_every_promise() {
    for plan in plans(Theme::Calm) {
        assert_eq!(plan.run(), Ok(()), "{plan}");
    }
}
