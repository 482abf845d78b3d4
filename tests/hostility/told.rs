//! Lies that a device finds out: what it says, and that nothing of them stays.

use subrosa_tests::liar::Lie;

use crate::stage::{Stage, says};
use crate::support::put;

/// Both devices write, and one of them finds a lie out.
fn is_told(lie: Lie, sign: &str) {
    let mut stage = Stage::honest();
    if lie == Lie::SwapVaults {
        put(&stage.a.device().create_vault("second").unwrap(), "note", "of the second vault");
    }
    stage.write_a("from a");
    stage.write_b("from b");
    // In an honest link's wake there is something to be fed to the other one.
    stage.b.sync_once(stage.relay.url());
    stage.relay.tell(lie);
    let sync = stage.a.sync(stage.relay.url());
    says(&sync, sign);
    stage.write_a("while it lies");
    drop(sync);
    stage.is_healed_by_honesty(sign);
    stage.nothing_is_lost(sign);
}

#[test]
fn a_feed_that_leaves_out_a_log_is_told_as_a_disagreement() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::Withhold);
    stage.write_a("hidden");
    let author = stage.a.sync(stage.relay.url());
    crate::stage::suspects_nothing(&author);
    let sync = stage.b.sync(stage.relay.url());
    says(&sync, "disagrees");
    assert_eq!(stage.b.notes().len(), 1);
    drop((author, sync));
    stage.is_healed_by_honesty("withheld");
    stage.nothing_is_lost("withheld");
}

#[test]
fn feeds_of_two_vaults_whose_names_are_exchanged_rest() {
    is_told(Lie::SwapVaults, "rests: ");
}

#[test]
fn logs_that_a_relay_makes_up_are_told_as_a_disagreement() {
    is_told(Lie::InventLogs, "disagrees");
}

#[test]
fn heads_that_a_relay_makes_up_are_told_as_a_dispute() {
    is_told(Lie::InventHeads, "disputed");
}

#[test]
fn a_relay_that_refuses_for_another_future_that_it_does_not_show_is_told_as_a_dispute() {
    is_told(Lie::Conflict, "disputed");
}

#[test]
fn a_feed_of_another_incarnation_than_its_relay_ends_the_link() {
    is_told(Lie::InventIncarnation, "failed: feed of another incarnation");
}

#[test]
fn a_relay_with_another_clock_is_told() {
    is_told(Lie::InventTime, "clock");
}

#[test]
fn a_digest_that_nobody_has_is_told_as_a_disagreement() {
    is_told(Lie::InventDigest, "disagrees");
}

#[test]
fn segments_at_other_places_of_their_log_rest_the_vault() {
    is_told(Lie::Renumber, "rests: the relay sent a segment whose signature does not hold");
}
