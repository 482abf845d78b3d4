//! A short share of the simulator's plans, and what it must find.

use subrosa_tests::simulator::failure::{Failure, Kind};
use subrosa_tests::simulator::known::{Known, all};
use subrosa_tests::simulator::plan::{Plan, THEMES, Theme};
use subrosa_tests::simulator::shrink::{Shrunk, shrink_by};

/// Seeds of each theme that are run here; a whole hunt is a command of its own.
const SEEDS: u64 = 40;

fn plans(theme: Theme) -> impl Iterator<Item = Plan> {
    let themes = THEMES.len() as u64;
    (0..SEEDS * themes).filter(move |seed| Theme::of(*seed) == theme).map(Plan::of_seed)
}

#[test]
fn each_known_fault_is_seen_or_mended() {
    for known in all() {
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
            assert_eq!(plan.run_counted(), plan.run_counted(), "{plan}");
        }
    }
}

/// The code has none of the faults that are known, so one is made up: a record that was deleted after it was put is there again.
#[test]
fn a_failing_plan_is_cut_down_to_one_that_fails_alike() {
    let word_at = |plan: &Plan, word| plan.steps.iter().position(|step| step.action.word() == word);
    let run = |plan: &Plan| match (word_at(plan, "put"), word_at(plan, "delete")) {
        (Some(put), Some(delete)) if put < delete => Err(Failure::new(Kind::ComesBack, "made up")),
        (None, Some(_)) => Err(Failure::new(Kind::Hidden, "another one")),
        _ => Ok(()),
    };
    let plan = all().map(Known::plan).find(|plan| run(plan).is_err_and(|one| one.kind == Kind::ComesBack));
    let plan = plan.expect("a plan puts and deletes");
    let failure = run(&plan).expect_err("it was chosen for that");
    let shrunk = shrink_by(&plan, &failure, run);
    let words: Vec<_> = shrunk.plan.steps.iter().map(|step| step.action.word()).collect();
    assert_eq!((shrunk.failure.kind, &words[..]), (Kind::ComesBack, &["put", "delete"][..]));
    assert_eq!((shrunk.plan.devices, shrunk.plan.relays), (1, 1));
}

/// Links that are lost, disks that stop, processes that end: with these alone no promise is broken.
#[test]
fn calm_plans_keep_every_promise() {
    for plan in plans(Theme::Calm) {
        assert_eq!(plan.run(), Ok(()), "{plan}");
    }
}

/// Disks that fail at a read, a write or a sync, and disks that are full: a call fails and says so, and nothing else is lost.
#[test]
fn plans_of_disks_that_fail_keep_every_promise() {
    for plan in plans(Theme::Disks) {
        assert_eq!(plan.run(), Ok(()), "{plan}");
    }
}

/// Relays that lie: nothing of what they make up is taken in or left, and nothing that was written is lost, once they are honest.
#[test]
fn plans_of_relays_that_lie_keep_every_promise() {
    for plan in plans(Theme::Lies) {
        assert_eq!(plan.run(), Ok(()), "{plan}");
    }
}

/// Members that lie: the others are equal, go on, and lose nothing.
#[test]
fn plans_of_members_that_lie_keep_every_promise() {
    for plan in plans(Theme::Forgeries) {
        assert_eq!(plan.run(), Ok(()), "{plan}");
    }
}
