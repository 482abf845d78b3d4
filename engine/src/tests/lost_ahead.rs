//! What a device wrote ahead and lost, for an older copy of its store was put back.

use std::time::Duration;

use subrosa_protocol::limits::INCARNATIONS_MAX;

use super::caps::{HOUR, NOW, get, put, sync};
use super::exchange::pair;
use super::id;
use super::repair::copy_of;
use crate::logs::caps::testing;
use crate::records::SliceLimits;

#[test]
fn what_was_written_ahead_comes_free_where_an_older_copy_of_the_store_is_put_back() {
    let (mut a, b, relay, vault) = pair();
    let copy = copy_of(&mut a, "copy");
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a], &vault);
    // From here on there is only the older one, whose clock is right.
    a.clock.set(NOW + 10);
    for _ in 0..3 {
        copy.core.relay_now(NOW + 10).unwrap();
        relay.sync(&copy.core, &vault);
    }
    sync(&relay, &[&b], &vault);
    let shown = copy.vault("personal").unwrap().records("notes").get_field::<i64>(id(1), "x").unwrap();
    assert_eq!((shown, get(&b, 1)), (Some(1), Some(1)));
    assert_eq!((copy.core.held_wait(), b.core().held_wait()), (None, None));
}

/// A copy that goes on with a wrong clock has the other one cap what it writes, as long as that leaves half of the logs.
#[test]
fn a_copy_whose_clock_stays_wrong_does_not_use_up_all_logs_of_the_other() {
    let (mut a, _b, relay, vault) = pair();
    let copy = copy_of(&mut a, "copy");
    let half = INCARNATIONS_MAX / 2;
    let most = copy.core.write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        tx.vault_mut(number)?.keyring.logs.incarnation = half;
        Ok(())
    });
    most.unwrap();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a], &vault);
    a.clock.set(NOW + 10);
    copy.core.relay_now(NOW + 10).unwrap();
    relay.sync(&copy.core, &vault);
    let incarnation = || copy.core.with_vault(&vault, |state| Ok(state.keyring.logs.incarnation)).unwrap();
    let before = incarnation();
    for _ in 0..3 {
        relay.sync(&copy.core, &vault);
    }
    assert_eq!(incarnation(), before);
    assert!(copy.core.held_wait().is_some(), "until its time has come");
}

#[test]
fn while_records_pass_nothing_is_put_right_as_caps_that_wait_may_say_it_already() {
    let (mut a, b, relay, vault) = pair();
    for n in 0..250 {
        put(&b, n, 1);
        put(&a, n, 2);
    }
    sync(&relay, &[&a, &b, &a], &vault);
    let copy = copy_of(&mut a, "copy");
    // Records pass at the copy, as B has its clock put right.
    b.clock.set(NOW + HOUR);
    put(&b, 1, 1);
    b.clock.set(NOW + 5);
    b.core().relay_now(NOW + 5).unwrap();
    relay.take(b.core(), &vault).unwrap();
    a.clock.set(NOW + 10);
    testing::LIMITS.set(Some(SliceLimits { records: 1, bytes: usize::MAX }));
    copy.core.relay_now(NOW + 10).unwrap();
    relay.feed(&copy.core, &vault);
    let is_passing = || !copy.core.lock_state().unwrap().passing.is_empty();
    assert!(is_passing());
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a], &vault);
    a.clock.set(NOW + 10);
    for _ in 0..4 {
        relay.sync(&copy.core, &vault);
    }
    assert!(is_passing() && copy.core.held_wait().is_some(), "all along");
    let incarnation = || copy.core.with_vault(&vault, |state| Ok(state.keyring.logs.incarnation)).unwrap();
    assert_eq!(incarnation(), 1, "as another copy has shown itself");
    while copy.core.held_wait() == Some(Duration::ZERO) {
        copy.core.merge_held().unwrap();
    }
    testing::LIMITS.set(None);
    for _ in 0..3 {
        relay.sync(&copy.core, &vault);
        assert_eq!((incarnation(), copy.core.held_wait()), (2, None));
    }
}
