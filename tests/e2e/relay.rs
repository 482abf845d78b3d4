//! A relay that stops, comes back, or comes back empty.

use crate::support::{TestDevice, TestRelay, caught_up, eventually, notes, reason_becomes};

#[test]
fn a_restart_in_the_middle_loses_nothing() {
    let mut relay = TestRelay::open();
    let mut a = TestDevice::new();
    let b = a.copy();
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    for round in 0..3 {
        for n in 0..20 {
            a.put(&format!("{round}/{n}"), &"x".repeat(10_000));
        }
        relay.restart(|_| {});
    }
    caught_up(&up);
    caught_up(&down);
    eventually(&b.vault(), "all notes", |vault| notes(vault).len() == 60);
    assert_eq!(a.notes(), b.notes());
}

#[test]
fn an_emptied_relay_is_filled_again_by_either_device_alone() {
    let mut relay = TestRelay::with(TestRelay::config());
    let mut a = TestDevice::new();
    a.put("a", "from a");
    a.sync_once(&relay.invite_url(1));
    let mut b = a.copy();
    b.put("b", "from b");
    b.sync_once(&relay.url());
    a.sync_once(&relay.url());
    a.close();
    // Without an invite: the grant that the relay gave is enough.
    let empty = |relay: &mut TestRelay| {
        relay.stop();
        std::fs::remove_file(relay.data().join(subrosa_relay::DATABASE)).unwrap();
        relay.start();
    };
    empty(&mut relay);
    let sync = b.sync(&relay.url());
    caught_up(&sync);
    drop(sync);
    a.open();
    a.put("late", "after");
    a.sync_once(&relay.url());
    b.sync_once(&relay.url());
    assert_eq!(a.notes().len(), 3);
    assert_eq!(a.notes(), b.notes());
    b.close();
    empty(&mut relay);
    a.sync_once(&relay.url());
    b.open();
    b.put("later", "after");
    let sync = b.sync(&relay.url());
    caught_up(&sync);
    reason_becomes(&sync, "live");
}
