//! What a device had merged of others when its clock was put right: it caps that, too.

use subrosa_model::control::{CertifiedCaps, PrefixCap};
use subrosa_model::merge::{CapStep, Stamp};
use subrosa_protocol::ids::{Chain, LogId, Seq, VaultId};
use subrosa_protocol::limits::PREFIX_CAPS_PER_LOG_MAX;

use super::caps::{HOUR, NOW, get, put, sync};
use super::exchange::pair;
use super::repair::copy_of;
use super::{ListRelay, TestDevice, everything, id, join, record};
use crate::logs::caps::testing;
use crate::memory::state::VaultState;
use crate::records::SliceLimits;

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
    for own_caps_of_a_member in [0, 20] {
        capped_by_wrong_relays_first(own_caps_of_a_member);
    }
}

/// A member has that many caps on its own log, each lower than those of the others.
fn capped_by_wrong_relays_first(own_caps_of_a_member: u64) {
    let (a, b, relay, vault) = pair();
    let [c, m] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &m);
    sync(&relay, &[&a, &b, &c, &m], &vault);
    let of_m = log_of(&m, &vault);
    for n in 0..own_caps_of_a_member {
        let step = CapStep {
            cap: Stamp::from_ms(NOW + HOUR / 6 + n * 1000),
            to: Stamp::from_ms(NOW + 9 * HOUR + n * 1000),
        };
        let caps = CertifiedCaps { own: [(of_m, step)].into(), ..CertifiedCaps::default() };
        certify_caps(&m, &vault, &caps);
    }
    sync(&relay, &[&m, &a, &b, &c], &vault);
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
    let is_here = || {
        let of_a = |state: &VaultState| *state.logs.iter().find(|(_, info)| info.id == of_a).unwrap().0;
        let found = d.core().with_vault(&vault, |state| Ok(state.prefixes.found.get(&of_a(state)).cloned()));
        found.unwrap().is_some_and(|found| found.to.is_some())
    };
    assert!(!is_here());
    put(&d, 1, 3);
    sync(&relay, &[&d, &b, &d, &c], &vault);
    assert_eq!((is_here(), d.core().held_wait()), (true, None));
    assert_eq!((get(&d, 1), get(&c, 1), everything(&d.vault())), (Some(3), Some(3), everything(&c.vault())));
}

/// Somebody was merged who had seen what is not here: that is capped with it, or what was written over it would lose.
#[test]
fn what_was_seen_by_whom_is_capped_and_is_not_here_is_capped_with_it() {
    let (a, b, relay, vault) = pair();
    let [c, d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &d);
    sync(&relay, &[&a, &b, &c, &d], &vault);
    for device in [&a, &b, &d] {
        device.clock.set(NOW + HOUR);
    }
    put(&a, 1, 1);
    sync(&relay, &[&a, &b], &vault);
    put(&b, 1, 2);
    sync(&relay, &[&b], &vault);
    relay.without(&log_of(&a, &vault)).feed(d.core(), &vault);
    let all = [&a, &b, &c, &d];
    put_right_in_turn([&d, &a, &b], all, &relay, &vault);
    for device in all {
        assert_eq!((get(device, 1), device.core().held_wait()), (Some(2), None));
    }
}

/// The clocks of these are put right, one after the other; then that of everybody is.
pub(super) fn put_right_in_turn(
    ahead: [&TestDevice; 3],
    all: [&TestDevice; 4],
    relay: &ListRelay,
    vault: &VaultId,
) {
    for (device, after) in ahead.into_iter().zip([10, 20, 30]) {
        device.clock.set(NOW + after);
        device.core().relay_now(NOW + after).unwrap();
        sync(relay, &[device], vault);
    }
    for _ in 0..2 {
        all.iter().for_each(|device| device.clock.set(NOW + 50));
        sync(relay, &all, vault);
    }
}

pub(super) fn log_of(device: &TestDevice, vault: &VaultId) -> LogId {
    device.core().with_vault(vault, |state| Ok(state.logs[&state.own.data].id)).unwrap()
}

/// Certifies caps that nobody made honestly.
pub(super) fn certify(
    device: &TestDevice,
    vault: &VaultId,
    prefixes: impl Iterator<Item = (LogId, PrefixCap)>,
) {
    let caps = CertifiedCaps { prefixes: prefixes.collect(), ..CertifiedCaps::default() };
    certify_caps(device, vault, &caps);
}

fn certify_caps(device: &TestDevice, vault: &VaultId, caps: &CertifiedCaps) {
    let number = device.core().lock_state().unwrap().vault_no(vault).unwrap();
    let new = device.core().new_logs_with_caps(number, caps).unwrap();
    device.core().write(|tx| tx.rotate_logs(number, new)).unwrap();
}

/// A writer sets any number of caps on another one's log, of segments that he makes up, and of such that are there: no cap counts less
/// for that, who hears of them first ends like all others, and what is written later counts.
#[test]
fn any_number_of_caps_take_no_effect_from_others_and_reach_nothing_that_is_written_later() {
    let (a, b, relay, vault) = pair();
    let [c, d, m] = [TestDevice::new(), TestDevice::new(), TestDevice::new()];
    for device in [&c, &d, &m] {
        join(&a, device);
    }
    sync(&relay, &[&a, &b, &c, &d, &m, &a, &b, &c, &d, &m], &vault);
    a.clock.set(NOW + HOUR);
    b.clock.set(NOW + 2 * HOUR);
    put(&a, 1, 1);
    put(&a, 2, 1);
    sync(&relay, &[&a, &b], &vault);
    put(&b, 1, 2);
    b.clock.set(NOW + 10);
    b.core().relay_now(NOW + 10).unwrap();
    assert!(b.vault().records("notes").delete(id(2)).unwrap(), "by a name that counts by the cap alone");
    sync(&relay, &[&b, &c], &vault);
    c.clock.set(NOW + 20);
    put(&c, 1, 3);
    sync(&relay, &[&c, &b], &vault);
    let of_a = log_of(&a, &vault);
    let made_up =
        |n: u64, cap| (of_a, PrefixCap { seq: Seq(1000 + n), chain: Chain::from_bytes([9; 32]), cap });
    certify(&m, &vault, (0..64).map(|n| made_up(n, Stamp(0))));
    // D hears of all of them at once; B and C had the honest ones before.
    sync(&relay, &[&m, &d, &b, &c, &d], &vault);
    let check = |devices: &[&TestDevice], x: i64| {
        for device in devices {
            let shown = (get(device, 1), get(device, 2), device.core().held_wait());
            assert_eq!(shown, (Some(x), None, None));
        }
    };
    check(&[&b, &c, &d], 3);
    put(&c, 1, 60);
    sync(&relay, &[&c, &d, &b], &vault);
    check(&[&b, &c, &d], 60);
    // So many that they are not told apart any more.
    certify(&m, &vault, (0..PREFIX_CAPS_PER_LOG_MAX as u64).map(|n| made_up(n, Stamp(1))));
    certify(&m, &vault, (0..PREFIX_CAPS_PER_LOG_MAX as u64).map(|n| made_up(n + 300, Stamp(1))));
    sync(&relay, &[&m, &d, &b, &c, &d], &vault);
    check(&[&b, &c, &d], 60);
    a.clock.set(NOW + 40);
    sync(&relay, &[&a], &vault);
    a.core().relay_now(NOW + 40).unwrap();
    a.clock.set(NOW + 50);
    put(&a, 1, 61);
    [&b, &c, &d].iter().for_each(|device| device.clock.set(NOW + 60));
    sync(&relay, &[&a, &b, &c, &d, &a], &vault);
    check(&[&a, &b, &c, &d], 61);
}

/// Caps count one after the other: while records pass to one, the next does not. A clock is put right when they have passed.
#[test]
fn a_clock_that_is_put_right_while_records_pass_keeps_the_order_too() {
    let (a, b, relay, vault) = pair();
    for device in [&a, &b] {
        device.clock.set(NOW + 5 * HOUR);
    }
    for (device, x) in [(&a, 1), (&b, 2), (&a, 3)] {
        (0..30).for_each(|n| put(device, n, x));
        sync(&relay, &[device, &a, &b], &vault);
    }
    testing::LIMITS.set(Some(SliceLimits { records: 1, bytes: usize::MAX }));
    a.clock.set(NOW);
    for ahead in [2 * HOUR, HOUR] {
        a.core().relay_now(NOW + ahead).unwrap();
        assert!(!a.core().lock_state().unwrap().passing.is_empty());
        assert_eq!((get(&a, 20), get(&a, 29)), (Some(3), Some(3)));
    }
    a.vault().records("notes").put(id(20), &record(&[("x", 50)])).unwrap();
    a.core().relay_now(NOW + 10).unwrap();
    let shown = || (get(&a, 20), get(&a, 29));
    assert_eq!(shown(), (Some(50), Some(3)));
    for _ in 0..100 {
        a.core().merge_held().unwrap();
        assert_eq!(shown(), (Some(50), Some(3)));
    }
    testing::LIMITS.set(None);
    assert!(a.core().lock_state().unwrap().passing.is_empty());
}

/// What a cap is on is here in part, and a relay was an hour ahead.
#[test]
fn levels_are_told_apart_where_the_end_of_what_a_cap_is_on_is_not_here() {
    let (a, b, relay, vault) = pair();
    let [c, d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &d);
    sync(&relay, &[&a, &b, &c, &d, &a, &b], &vault);
    [&a, &b, &d].iter().for_each(|device| device.clock.set(NOW + 5 * HOUR));
    put(&a, 1, 1);
    sync(&relay, &[&a, &b, &d], &vault);
    // Of that D hears late.
    put(&a, 2, 2);
    sync(&relay, &[&a, &b], &vault);
    b.clock.set(NOW);
    b.core().relay_now(NOW + HOUR).unwrap();
    put(&b, 1, 7);
    sync(&relay, &[&b], &vault);
    ListRelay::without(&relay, &log_of(&a, &vault)).feed(d.core(), &vault);
    d.clock.set(NOW + 10);
    d.core().relay_now(NOW + 10).unwrap();
    sync(&relay, &[&d, &c, &b, &d], &vault);
    for device in [&b, &c, &d] {
        assert_eq!(get(device, 1), Some(7));
    }
}
