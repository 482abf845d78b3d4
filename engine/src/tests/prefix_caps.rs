//! What a device had merged of others when its clock was put right: it caps that, too.

use super::caps::{HOUR, NOW, get, put, sync};
use super::exchange::pair;
use super::repair::copy_of;
use super::{TestDevice, everything, id, join};

#[test]
fn what_a_device_had_merged_ahead_counts_as_of_now_and_stays_in_its_order() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&a, &c);
    put(&a, 1, 1);
    put(&a, 2, 2);
    put(&b, 7, 7);
    sync(&relay, &[&a, &b, &a, &c], &vault);
    // Two are ahead, and take in what the other writes.
    for device in [&a, &b] {
        device.clock.set(NOW + HOUR);
    }
    put(&b, 1, 10);
    put(&b, 3, 30);
    b.vault().records("notes").delete(id(2)).unwrap();
    sync(&relay, &[&b, &a], &vault);
    put(&a, 1, 11);
    sync(&relay, &[&a, &b], &vault);
    put(&b, 3, 31);
    sync(&relay, &[&b, &a, &c], &vault);
    assert!(c.core().held_wait().is_some());
    let ahead = everything(&a.vault());
    assert_eq!((get(&a, 1), get(&a, 2), get(&a, 3)), (Some(11), None, Some(31)));
    let mut changes = a.vault().watch();
    a.clock.set(NOW + 10);
    a.core().relay_now(NOW + 10).unwrap();
    assert_eq!(everything(&a.vault()), ahead);
    assert!(changes.try_next().is_none(), "nobody is told of what is as it was");
    assert_eq!(a.core().held_wait(), None);
    assert!(!a.core().lock_state().unwrap().clock.is_ahead(NOW + 10));
    // Whose clock was right has all of it now, and writes over it.
    sync(&relay, &[&a, &c], &vault);
    assert_eq!((everything(&c.vault()), c.core().held_wait()), (ahead.clone(), None));
    c.clock.set(NOW + 15);
    put(&c, 3, 32);
    sync(&relay, &[&c, &a], &vault);
    put(&a, 3, 33);
    // When the other one is put right, that changes nothing of it.
    b.clock.set(NOW + 20);
    b.core().relay_now(NOW + 20).unwrap();
    sync(&relay, &[&a, &b, &a, &c], &vault);
    for device in [&a, &b, &c] {
        assert_eq!((get(device, 1), get(device, 2), get(device, 3)), (Some(11), None, Some(33)));
        assert_eq!(device.core().held_wait(), None);
    }
}

/// What one device wrote over the other's is later than that, in whatever order clocks are put right, whatever is written
/// since, and also at who comes from an older copy of the store that knows nothing of it.
#[test]
fn of_two_that_were_ahead_who_wrote_over_the_others_stays_the_later_one() {
    for (first, is_put_back, writes_more) in (0..8).map(|n| (n & 1, n & 2 != 0, n & 4 != 0)) {
        let (mut a, mut b, relay, vault) = pair();
        let c = TestDevice::new();
        join(&a, &c);
        sync(&relay, &[&a, &b, &c, &a, &b], &vault);
        let copies = [copy_of(&mut a, "a"), copy_of(&mut b, "b")];
        a.clock.set(NOW + HOUR);
        b.clock.set(NOW + 9 * HOUR);
        put(&a, 1, 1);
        put(&a, 2, 1);
        sync(&relay, &[&a, &b], &vault);
        // B was put right by its own wall clock: what it writes is ahead because what it has seen is.
        b.clock.set(NOW + 10);
        put(&b, 1, 2);
        if first == 0 {
            a.clock.set(NOW + 10);
        }
        let order = if first == 0 { [&a, &b] } else { [&b, &a] };
        let mut expected = 2;
        for (at, device) in order.into_iter().enumerate() {
            device.clock.set(NOW + 10 + at as u64);
            relay.sync(device.core(), &vault);
            device.core().relay_now(NOW + 10 + at as u64).unwrap();
            sync(&relay, &[device, &c], &vault);
            c.clock.set(NOW + 20 + at as u64);
            if writes_more && get(&c, 1) == Some(expected) {
                expected += 1;
                put(&c, 1, expected);
                sync(&relay, &[&c], &vault);
            }
        }
        if is_put_back {
            for copy in &copies {
                for _ in 0..3 {
                    copy.core.relay_now(NOW + 30).unwrap();
                    relay.sync(&copy.core, &vault);
                }
            }
        }
        sync(&relay, &[&a, &b, &c, &a, &b], &vault);
        let case = (first, is_put_back, writes_more);
        for device in [&a, &b, &c] {
            assert_eq!((get(device, 1), get(device, 2)), (Some(expected), Some(1)), "{case:?}");
        }
        for copy in copies.iter().filter(|_| is_put_back) {
            relay.sync(&copy.core, &vault);
            let notes = copy.vault("personal").unwrap().records("notes");
            assert_eq!(notes.get_field::<i64>(id(1), "x").unwrap(), Some(expected), "{case:?}");
        }
    }
}

/// The relay that a clock is put right by is wrong itself, first by two hours, then by one, then not at all: what is capped three times
/// stays in its order, of whomever it is.
#[test]
fn what_is_capped_by_wrong_relays_first_stays_in_its_order() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&a, &c);
    sync(&relay, &[&a, &b, &c], &vault);
    let write_both = |from: i64, ahead: u64| {
        for device in [&a, &b] {
            device.clock.set(NOW + ahead);
        }
        for (n, (device, record)) in (from..).zip([(&a, 1), (&b, 2), (&b, 1), (&a, 2), (&a, 1), (&b, 2)]) {
            put(device, record, n);
            sync(&relay, &[device, &a, &b], &vault);
        }
    };
    write_both(1, 3 * HOUR);
    for (n, ahead) in [(6, 2 * HOUR), (12, HOUR), (18, 10)] {
        // A is put right first; B goes on for a while, and sees what A does.
        a.clock.set(NOW);
        a.core().relay_now(NOW + ahead).unwrap();
        sync(&relay, &[&a, &b], &vault);
        assert_eq!((get(&a, 1), get(&a, 2)), (Some(n - 1), Some(n)), "{ahead}");
        put(&b, 1, 100);
        put(&a, 1, 101);
        sync(&relay, &[&a, &b], &vault);
        b.clock.set(NOW);
        b.core().relay_now(NOW + ahead + 1).unwrap();
        sync(&relay, &[&b, &a], &vault);
        assert_eq!((get(&a, 2), get(&b, 2)), (Some(n), Some(n)), "{ahead}");
        write_both(n + 1, ahead);
        assert_eq!((get(&a, 1), get(&b, 2)), (Some(n + 5), Some(n + 6)), "{ahead}");
    }
    for device in [&a, &b] {
        device.clock.set(NOW + 20);
        device.core().relay_now(NOW + 20).unwrap();
        sync(&relay, &[device, &c], &vault);
        c.clock.set(NOW + 30);
        sync(&relay, &[&c], &vault);
    }
    sync(&relay, &[&a, &b, &c], &vault);
    for device in [&a, &b, &c] {
        assert_eq!((get(device, 1), get(device, 2)), (Some(23), Some(24)));
        assert_eq!(device.core().held_wait(), None);
    }
}

/// The certificate comes before what it caps.
#[test]
fn a_cap_counts_when_the_group_that_it_names_has_come() {
    let (a, b, relay, vault) = pair();
    let [c, d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &d);
    sync(&relay, &[&a, &b, &c, &d], &vault);
    a.clock.set(NOW + HOUR);
    b.clock.set(NOW + 2 * HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a, &b], &vault);
    put(&b, 1, 2);
    b.clock.set(NOW + 10);
    b.core().relay_now(NOW + 10).unwrap();
    sync(&relay, &[&b], &vault);
    let of_a = a.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    relay.without(&of_a).feed(d.core(), &vault);
    assert_eq!(get(&d, 1), Some(2));
    let waits = || d.core().with_vault(&vault, |state| Ok(state.prefixes_wait.len())).unwrap();
    assert_eq!(waits(), 1);
    put(&d, 1, 3);
    sync(&relay, &[&d, &b, &d, &c], &vault);
    assert_eq!((waits(), d.core().held_wait()), (0, None));
    assert_eq!((get(&d, 1), get(&c, 1), everything(&d.vault())), (Some(3), Some(3), everything(&c.vault())));
}
