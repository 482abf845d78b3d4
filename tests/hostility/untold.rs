//! Lies that no device can find out by itself, or that change nothing: nothing of them stays either.

use subrosa::SyncError;
use subrosa_tests::liar::Lie;

use crate::stage::{Stage, suspects_nothing};
use crate::support::{MOMENT, eventually, notes};

#[test]
fn what_was_acknowledged_and_forgotten_is_given_again_when_the_relay_shows_that_it_has_not_got_it() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::Forget);
    stage.write_a("forgotten");
    let sync = stage.a.sync(stage.relay.url());
    suspects_nothing(&sync);
    assert_eq!(stage.a.vault().pending().unwrap(), 0, "the relay's word counts");
    drop(sync);
    stage.b.sync_once(stage.relay.url());
    assert_eq!(stage.b.notes().len(), 1);
    stage.is_healed_by_honesty("forgotten");
    stage.nothing_is_lost("forgotten");
}

#[test]
fn the_end_of_a_log_that_is_hidden_from_one_consistently_is_not_noticed_and_comes_with_honesty() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::WithholdInAll);
    stage.write_a("hidden");
    let author = stage.a.sync(stage.relay.url());
    suspects_nothing(&author);
    stage.write_b("shown");
    let sync = stage.b.sync(stage.relay.url());
    suspects_nothing(&sync);
    eventually(&stage.a.vault(), "what is shown", |vault| notes(vault).len() == 3);
    assert_eq!(stage.b.notes().len(), 2);
    drop((author, sync));
    stage.is_healed_by_honesty("hidden");
    stage.nothing_is_lost("hidden");
}

#[test]
fn a_frozen_relay_is_not_noticed_and_what_it_took_is_given_again() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::Freeze);
    stage.write_a("from a");
    stage.write_b("from b");
    for device in [&stage.a, &stage.b, &stage.a] {
        let sync = device.sync(stage.relay.url());
        suspects_nothing(&sync);
    }
    assert_eq!((stage.a.notes().len(), stage.b.notes().len()), (2, 2));
    stage.is_healed_by_honesty("frozen");
    stage.nothing_is_lost("frozen");
}

#[test]
fn two_worlds_are_not_noticed_and_become_one_with_honesty() {
    let mut stage = Stage::honest();
    stage.write_a("in one world");
    stage.write_b("in the other");
    let one = stage.a.sync(stage.relay.url());
    suspects_nothing(&one);
    stage.relay.tell(Lie::OtherWorld);
    let other = stage.b.sync(stage.relay.url());
    suspects_nothing(&other);
    assert_eq!((stage.a.notes().len(), stage.b.notes().len()), (2, 2));
    drop((one, other));
    stage.is_healed_by_honesty("two worlds");
    stage.nothing_is_lost("two worlds");
}

#[test]
fn a_relay_that_is_put_back_while_devices_are_connected_is_filled_again() {
    let mut stage = Stage::honest();
    let (one, other) = (stage.a.sync(stage.relay.url()), stage.b.sync(stage.relay.url()));
    stage.write_a("behind the copy");
    suspects_nothing(&one);
    stage.write_b("too");
    suspects_nothing(&other);
    stage.relay.roll_back();
    stage.write_a("after it");
    eventually(&stage.b.vault(), "all of it", |vault| notes(vault).len() == 4);
    drop((one, other));
    stage.is_healed_by_honesty("put back");
    stage.nothing_is_lost("put back");
}

#[test]
fn without_acknowledgements_a_wait_ends_and_nothing_counts_as_there() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::NeverAcknowledge);
    stage.write_a("unheard");
    let sync = stage.a.sync(stage.relay.url());
    let waited = sync.wait_caught_up(MOMENT);
    assert!(matches!(waited, Err(SyncError::NoProgress(_))), "{waited:?}");
    assert!(stage.relay.unheard() > 0);
    let delivery = stage.a.vault().delivery(stage.relay.url()).unwrap();
    assert_eq!(delivery.held - delivery.acknowledged, 1);
    drop(sync);
    stage.is_healed_by_honesty("unheard");
    stage.nothing_is_lost("unheard");
}

/// Everything goes through all the same.
fn changes_nothing(lie: Lie) {
    let mut stage = Stage::honest();
    stage.relay.tell(lie);
    stage.write_a("from a");
    stage.write_b("from b");
    let (one, other) = (stage.a.sync(stage.relay.url()), stage.b.sync(stage.relay.url()));
    for device in [&stage.a, &stage.b] {
        eventually(&device.vault(), "all of it", |vault| notes(vault).len() == 3);
    }
    drop((one, other));
    stage.is_healed_by_honesty("all of it");
    stage.nothing_is_lost("all of it");
}

#[test]
fn another_incarnation_on_each_link_changes_nothing() {
    changes_nothing(Lie::AnotherIncarnation);
}

#[test]
fn cursors_that_a_relay_makes_up_change_nothing() {
    changes_nothing(Lie::InventCursor);
    changes_nothing(Lie::Reverse);
}

#[test]
fn sizes_that_a_relay_makes_up_change_nothing() {
    changes_nothing(Lie::InventQuota);
}

#[test]
fn what_is_fed_again_changes_nothing() {
    changes_nothing(Lie::Replay);
}
