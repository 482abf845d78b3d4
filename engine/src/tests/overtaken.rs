//! Two clocks ran ahead, and who wrote over the other's is put right first.

use subrosa_protocol::ids::VaultId;
use subrosa_protocol::limits::OVERTAKEN_MAX;

use super::caps::{HOUR, NOW, get, put, sync};
use super::exchange::pair;
use super::{ListRelay, TestDevice, everything};

/// A's clock is an hour ahead, B's a day. B has seen what A wrote into records 1 and 2, writes over the former, and is put right; nobody
/// has heard of that yet.
fn overtaken() -> (TestDevice, TestDevice, ListRelay, VaultId) {
    let (a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    put(&a, 2, 1);
    sync(&relay, &[&a], &vault);
    b.clock.set(NOW + 24 * HOUR);
    sync(&relay, &[&b], &vault);
    put(&b, 1, 2);
    put_right(&b, NOW + 10);
    assert_eq!((get(&b, 1), get(&b, 2)), (Some(2), None), "what A wrote is still to come");
    (a, b, relay, vault)
}

fn put_right(device: &TestDevice, now_ms: u64) {
    device.clock.set(now_ms);
    device.core().relay_now(now_ms).unwrap();
}

/// How many pairs of logs a device has opened since its first one.
fn openings(device: &TestDevice) -> u32 {
    device.core().lock_state().unwrap().vaults.values().next().unwrap().keyring.logs.incarnation
}

fn is_overtaken(device: &TestDevice) -> bool {
    device.core().lock_state().unwrap().vaults.values().any(|vault| vault.is_overtaken)
}

fn settle(relay: &ListRelay, devices: &[&TestDevice], vault: &VaultId) {
    for _ in 0..3 {
        sync(relay, devices, vault);
    }
    for device in devices {
        assert_eq!(everything(&device.vault()), everything(&devices[0].vault()));
        assert_eq!(device.core().held_wait(), None);
        assert!(!is_overtaken(device));
    }
}

#[test]
fn who_wrote_over_it_and_was_put_right_first_is_still_the_later_one() {
    // Whether A hears of it before its own clock is put right, or when that has been done.
    for hears_first in [true, false] {
        let (a, b, relay, vault) = overtaken();
        if hears_first {
            sync(&relay, &[&b, &a], &vault);
        }
        put_right(&a, NOW + 100);
        settle(&relay, &[&b, &a], &vault);
        assert_eq!((get(&a, 1), get(&a, 2)), (Some(2), Some(1)), "{hears_first}");
        for (device, x) in [(&a, 3), (&b, 4)] {
            device.clock.set(NOW + 200);
            put(device, 1, x);
            settle(&relay, &[device, &a, &b], &vault);
            assert_eq!(get(&a, 1), Some(x));
        }
    }
}

/// What the author wrote behind that may be written over something later, and counts as of its own cap.
#[test]
fn what_was_written_behind_what_the_other_one_had_seen_keeps_its_own_cap() {
    let (a, b, relay, vault) = overtaken();
    sync(&relay, &[&b], &vault);
    b.clock.set(NOW + 60);
    put(&b, 3, 3);
    sync(&relay, &[&b], &vault);
    // A merges everything, for its clock is still ahead, and writes over what B wrote when it was right.
    relay.feed(a.core(), &vault);
    put(&a, 3, 4);
    put_right(&a, NOW + 100);
    settle(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), get(&b, 2), get(&b, 3)), (Some(2), Some(1), Some(4)));
}

#[test]
fn what_is_to_be_capped_is_not_forgotten_when_the_store_is_opened_again() {
    let (mut a, b, relay, vault) = overtaken();
    put_right(&a, NOW + 100);
    sync(&relay, &[&b], &vault);
    relay.feed(a.core(), &vault);
    assert!(is_overtaken(&a));
    assert_eq!(get(&a, 1), Some(1), "until that is certified");
    a.reopen();
    assert!(is_overtaken(&a));
    settle(&relay, &[&a, &b], &vault);
    assert_eq!((get(&a, 1), openings(&a)), (Some(2), 2));
    a.reopen();
    assert!(!is_overtaken(&a));
}

#[test]
fn one_opening_is_enough_for_all_that_is_known_then() {
    let (a, b, relay, vault) = overtaken();
    sync(&relay, &[&b], &vault);
    relay.feed(a.core(), &vault);
    put_right(&a, NOW + 100);
    settle(&relay, &[&a, &b], &vault);
    assert_eq!((get(&a, 1), openings(&a), openings(&b)), (Some(2), 1, 1));
}

/// A member that has its clock wrong again and again costs the others only so many logs.
#[test]
fn a_member_whose_clock_is_put_right_all_the_time_does_not_use_up_the_logs_of_others() {
    let (a, b, relay, vault) = pair();
    let rounds = 2 * OVERTAKEN_MAX as u64;
    for round in 0..rounds {
        // A's clock is a little ahead each time, and right again without a relay having been heard.
        a.clock.set(NOW + 1_000 * round + 200_000);
        put(&a, 1, 1);
        sync(&relay, &[&a], &vault);
        b.clock.set(NOW + 1_000 * round + HOUR);
        sync(&relay, &[&b], &vault);
        put(&b, 1, 2);
        put_right(&b, NOW + 1_000 * round);
        sync(&relay, &[&b, &a, &b], &vault);
    }
    assert!(openings(&b) >= rounds as u32);
    assert!(openings(&a) <= OVERTAKEN_MAX as u32, "{}", openings(&a));
    for device in [&a, &b] {
        device.clock.set(NOW + 24 * HOUR);
    }
    settle(&relay, &[&a, &b], &vault);
}
