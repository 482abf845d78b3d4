//! Clocks that ran ahead and were put right: the old log is capped, and nothing gets another name.

use std::time::Duration;

use subrosa_model::control::HeldStatements;
use subrosa_model::merge::{Caps, Stamp};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::limits::{CLOCK_AHEAD_MAX_MS, INCARNATIONS_MAX};

use super::exchange::pair;
use super::repair::copy_of;
use super::{ListRelay, TestDevice, everything, id, join, record};
use crate::logs::caps::testing;
use crate::people::held::HeldGroups;
use crate::records::SliceLimits;
use crate::records::watch::Change;

pub(super) const NOW: u64 = 1_000_000;
pub(super) const HOUR: u64 = 3_600_000;

pub(super) fn put(device: &TestDevice, n: u8, x: i64) {
    device.vault().records("notes").put(id(n), &record(&[("x", x)])).unwrap();
    assert_eq!(get(device, n), Some(x), "a write shows at once");
}

pub(super) fn get(device: &TestDevice, n: u8) -> Option<i64> {
    device.vault().records("notes").get_field(id(n), "x").unwrap()
}

pub(super) fn sync(relay: &ListRelay, devices: &[&TestDevice], vault: &VaultId) {
    devices.iter().for_each(|device| relay.sync(device.core(), vault));
}

fn capped_logs(device: &TestDevice) -> usize {
    device.core().lock_state().unwrap().logs.caps().len()
}

#[test]
fn what_is_written_after_a_clock_was_put_right_counts_and_what_was_held_comes_free() {
    let (a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    put(&a, 2, 1);
    sync(&relay, &[&a, &b], &vault);
    assert!(everything(&b.vault()).is_empty() && b.core().held_wait().is_some());
    a.clock.set(NOW + 100);
    put(&a, 1, 2);
    a.core().relay_now(NOW + 90).unwrap();
    assert_eq!((get(&a, 1), capped_logs(&a)), (Some(2), 1));
    sync(&relay, &[&a], &vault);
    put(&a, 1, 3);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), get(&b, 2)), (Some(3), Some(1)), "at once");
    assert_eq!(b.core().held_wait(), None);
    b.clock.set(NOW + 200);
    put(&b, 1, 4);
    put(&b, 2, 4);
    sync(&relay, &[&b, &a], &vault);
    assert_eq!((get(&a, 1), get(&a, 2)), (Some(4), Some(4)));
    // Who joins later sees the same.
    let c = TestDevice::new();
    c.clock.set(NOW + 300);
    join(&a, &c);
    sync(&relay, &[&a, &c, &a, &b], &vault);
    for device in [&a, &b, &c] {
        assert_eq!(everything(&device.vault()), everything(&a.vault()));
        assert!(!device.core().lock_state().unwrap().clock.is_ahead(NOW + 300));
    }
    assert_eq!(everything(&c.vault()).len(), 2);
}

#[test]
fn what_waited_keeps_its_stamps_as_the_end_of_the_old_log() {
    let (a, b, relay, vault) = pair();
    let old = a.core().lock_state().unwrap().vaults.values().next().unwrap().own.data;
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    let stamp = a.core().lock_state().unwrap().clock.max();
    a.clock.set(NOW);
    a.core().relay_now(NOW).unwrap();
    assert_eq!(a.vault().pending().unwrap(), 0, "it is sealed");
    {
        let state = a.core().lock_state().unwrap();
        let own = state.vaults.values().next().unwrap().own.data;
        assert_ne!(own, old);
        let cap = Stamp::from_ms(NOW);
        let Caps { before, now } = &state.logs.caps()[&old];
        assert_eq!(before, now, "all records have passed");
        assert_eq!((state.logs.capped(old, stamp), state.logs.capped(own, stamp)), (cap, stamp));
        assert_eq!(state.clock.max(), cap);
    }
    // What the user deletes names what it is, and has its effect everywhere.
    sync(&relay, &[&a, &b], &vault);
    assert_eq!(get(&b, 1), Some(1));
    a.clock.set(NOW + 5);
    assert!(a.vault().records("notes").delete(id(1)).unwrap());
    assert!(!a.core().lock_state().unwrap().clock.is_ahead(NOW + 5));
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&a, 1), get(&b, 1)), (None, None));
    assert_eq!(b.core().held_wait(), None);
}

#[test]
fn a_delete_of_what_a_wrong_clock_wrote_has_its_effect_whichever_comes_first() {
    for certificate_first in [true, false] {
        let (a, b, relay, vault) = pair();
        a.clock.set(NOW + HOUR);
        put(&a, 1, 1);
        sync(&relay, &[&a], &vault);
        if !certificate_first {
            // Its clock is there already: it merges what was written ahead.
            b.clock.set(NOW + HOUR);
            sync(&relay, &[&b], &vault);
            assert_eq!(get(&b, 1), Some(1));
        }
        a.clock.set(NOW + 1);
        a.core().relay_now(NOW + 1).unwrap();
        a.clock.set(NOW + 2);
        a.vault().records("notes").delete(id(1)).unwrap();
        put(&a, 2, 2);
        sync(&relay, &[&a, &b], &vault);
        assert_eq!((get(&b, 1), get(&b, 2)), (None, Some(2)), "{certificate_first}");
        assert_eq!(everything(&a.vault()), everything(&b.vault()));
    }
}

/// A's clock was ahead when it wrote `x = 1` into so many records, and B, whose clock has come there, wrote `x = 2` before
/// it knew of that. Then A learns, and caps; B has not heard of it.
fn capped_and_untold(records: u8) -> (TestDevice, TestDevice, ListRelay, VaultId) {
    let (a, b, relay, vault) = pair();
    for n in 0..records {
        put(&b, n, 2);
    }
    a.clock.set(NOW + HOUR);
    for n in 0..records {
        put(&a, n, 1);
    }
    sync(&relay, &[&a], &vault);
    b.clock.set(NOW + HOUR);
    sync(&relay, &[&b], &vault);
    for n in 0..records {
        assert_eq!((get(&a, n), get(&b, n)), (Some(1), Some(1)));
    }
    // A cap is later than what its author had merged. This had come to A only later.
    a.clock.set(NOW - 1000);
    a.core().relay_now(NOW - 1000).unwrap();
    relay.take(a.core(), &vault).unwrap();
    relay.feed(a.core(), &vault);
    (a, b, relay, vault)
}

#[test]
fn records_read_otherwise_when_a_cap_is_learned_and_watchers_are_told_of_each_once() {
    let (a, b, relay, vault) = capped_and_untold(3);
    put(&b, 9, 9);
    let mut changes = b.vault().watch();
    relay.feed(b.core(), &vault);
    for n in 0..3 {
        assert_eq!((get(&a, n), get(&b, n)), (Some(2), Some(2)), "what was later by a right clock");
    }
    let mut told: Vec<_> = std::iter::from_fn(|| changes.try_next())
        .map(|change| match change {
            Change::Record { id, .. } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    told.sort();
    assert_eq!(told, [0, 1, 2].map(id));
    assert_eq!(b.core().held_wait(), None);
}

#[test]
fn records_pass_in_slices_and_what_is_written_meanwhile_counts() {
    let limits = SliceLimits { records: 2, bytes: usize::MAX };
    let (_a, mut b, relay, vault) = capped_and_untold(10);
    let mut changes = b.vault().watch();
    testing::LIMITS.set(Some(limits));
    relay.feed(b.core(), &vault);
    let passed = |b: &TestDevice| (0..10).map(|n| get(b, n) == Some(2)).collect::<Vec<_>>();
    // One slice when it is learned, one behind the batch.
    assert_eq!(passed(&b), (0..10).map(|n| n < 4).collect::<Vec<_>>());
    assert_eq!(b.core().held_wait(), Some(Duration::ZERO), "there is more to do");
    // What is written here is read by the caps of now, and its writer sees what it writes over.
    b.clock.set(NOW + HOUR + 1);
    put(&b, 8, 3);
    let seen = b.vault().write(|tx| b.vault().records("notes").in_tx(tx).get(id(9))).unwrap();
    assert_eq!(seen, Some(record(&[("x", 2)])));
    while changes.try_next().is_some() {}
    let mut changes = b.vault().watch();
    b.core().merge_held().unwrap();
    assert_eq!(passed(&b), (0..10).map(|n| n < 6).collect::<Vec<_>>());
    let told = std::iter::from_fn(|| changes.try_next()).count();
    assert_eq!(told, 2);
    // It goes on where it was.
    drop(changes);
    b.device = None;
    b.device = Some(b.open_at(&b.path()));
    assert_eq!(b.core().held_wait(), None, "an opening has room for the rest");
    for n in 0..10 {
        assert_eq!(get(&b, n), Some(if n == 8 { 3 } else { 2 }), "{n}");
    }
    testing::LIMITS.set(None);
}

#[test]
fn a_restart_amid_a_pass_forgets_neither_the_place_nor_what_passed_early() {
    let (_a, mut b, relay, vault) = capped_and_untold(40);
    testing::LIMITS.set(Some(SliceLimits { records: 1, bytes: usize::MAX }));
    relay.feed(b.core(), &vault);
    b.clock.set(NOW + HOUR + 1);
    put(&b, 39, 3);
    b.reopen();
    let read: Vec<_> = (0..40).map(|n| get(&b, n)).collect();
    let passed = read.iter().take_while(|x| **x == Some(2)).count();
    assert!((3..39).contains(&passed), "{passed}");
    assert!(read[passed..39].iter().all(|x| *x == Some(1)), "{read:?}");
    assert_eq!(read[39], Some(3));
    while b.core().held_wait() == Some(Duration::ZERO) {
        b.core().merge_held().unwrap();
    }
    assert!((0..39).all(|n| get(&b, n) == Some(2)) && get(&b, 39) == Some(3));
    let state = b.core().lock_state().unwrap();
    assert!(state.passing.is_empty() && state.logs.caps().values().all(|caps| caps.before == caps.now));
    testing::LIMITS.set(None);
}

#[test]
fn a_cap_that_comes_amid_a_pass_counts_when_it_is_over() {
    let (a, b, relay, vault) = capped_and_untold(6);
    testing::LIMITS.set(Some(SliceLimits { records: 1, bytes: usize::MAX }));
    relay.feed(b.core(), &vault);
    a.clock.set(NOW + 2 * HOUR);
    put(&a, 0, 7);
    a.clock.set(NOW - 500);
    a.core().relay_now(NOW - 500).unwrap();
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    while b.core().held_wait() == Some(Duration::ZERO) {
        b.core().merge_held().unwrap();
    }
    assert_eq!(b.core().held_wait(), None, "nothing is held in a log that is capped");
    testing::LIMITS.set(None);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!(
        (get(&b, 0), get(&b, 1)),
        (Some(7), Some(2)),
        "each log has its cap, and A had seen what it wrote over"
    );
}

#[test]
fn what_is_held_is_told_with_whose_it_is_and_until_when() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&a, &c);
    put(&c, 5, 5);
    sync(&relay, &[&a, &c, &a, &b], &vault);
    assert_eq!(b.vault().held().unwrap(), HeldGroups::default());
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    relay.sync(a.core(), &vault);
    put(&a, 1, 2);
    sync(&relay, &[&a, &b], &vault);
    let until_ms = NOW + HOUR - CLOCK_AHEAD_MAX_MS;
    let held = b.vault().held().unwrap();
    let of = |held: &HeldGroups| -> Vec<_> {
        held.devices.iter().map(|of| (of.device, of.groups, of.until_ms, of.name.is_some())).collect()
    };
    assert_eq!(of(&held), [(a.core().public(), 2, until_ms, true)]);
    assert!(!held.clock_is_late, "the third one is not ahead");
    assert_eq!(b.core().held_until(), Some(until_ms));
    c.clock.set(NOW + HOUR);
    put(&c, 2, 2);
    sync(&relay, &[&c, &b], &vault);
    let held = b.vault().held().unwrap();
    assert!(held.clock_is_late && held.devices.len() == 2, "{held:?}");
    b.clock.set(NOW + HOUR);
    b.core().merge_held().unwrap();
    assert_eq!((b.vault().held().unwrap(), b.core().held_until()), (HeldGroups::default(), None));
}

#[test]
fn of_one_other_device_the_relay_says_whose_clock_is_wrong() {
    let (a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a, &b], &vault);
    assert!(!b.vault().held().unwrap().clock_is_late, "either may be");
    for (relay_now, ahead, late) in [
        (NOW, None, false),
        (NOW + HOUR, Some(-(HOUR as i64)), true),
        (NOW - 400_000, Some(400_000), false),
        (NOW + CLOCK_AHEAD_MAX_MS, None, false),
    ] {
        b.core().relay_now(relay_now).unwrap();
        let told = (b.core().clock_ahead_ms(), b.vault().held().unwrap().clock_is_late);
        assert_eq!(told, (ahead, late), "{relay_now}");
    }
}

/// Has the device hold only the last of a vault's statements, so that it may not seal; gives what it held.
pub(super) fn silence(device: &TestDevice, vault: &VaultId) -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    let silenced = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        let keyring = &mut tx.vault_mut(number)?.keyring;
        held = keyring.statements.list().to_vec();
        keyring.statements = HeldStatements::Last(keyring.statements.last().to_vec());
        tx.put_keyring(number)
    });
    silenced.unwrap();
    held
}

pub(super) fn give_statements(device: &TestDevice, vault: &VaultId, statements: Vec<Vec<u8>>) {
    let given = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        tx.vault_mut(number)?.keyring.statements = HeldStatements::Whole(statements);
        tx.put_keyring(number)
    });
    given.unwrap();
}

fn own_clock(device: &TestDevice) -> Option<Stamp> {
    device.core().lock_state().unwrap().vaults.values().next().unwrap().own_clock
}

fn is_ahead(device: &TestDevice, now_ms: u64) -> bool {
    device.core().lock_state().unwrap().clock.is_ahead(now_ms)
}

#[test]
fn a_device_that_may_not_seal_leaves_its_logs_as_they_are_and_puts_them_right_when_it_may() {
    let (mut a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    a.clock.set(NOW);
    let statements = silence(&a, &vault);
    let heads = a.core().heads(&vault).unwrap();
    a.core().relay_now(NOW).unwrap();
    assert_eq!(a.core().heads(&vault).unwrap(), heads);
    assert_eq!(get(&a, 1), Some(1));
    // What is written meanwhile shows and is later; no other vault is dragged along.
    let ahead = own_clock(&a);
    assert!(ahead >= Some(Stamp::from_ms(NOW + HOUR)), "{ahead:?}");
    put(&a, 1, 2);
    put(&a, 2, 2);
    a.reopen();
    put(&a, 2, 3);
    assert!(own_clock(&a) > ahead && !is_ahead(&a, NOW), "{ahead:?}");
    sync(&relay, &[&a, &b], &vault);
    assert!(everything(&b.vault()).is_empty() && b.core().held_wait().is_none(), "nothing is sealed");
    give_statements(&a, &vault, statements);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((own_clock(&a), capped_logs(&a), b.core().held_wait()), (None, 1, None));
    assert_eq!((get(&b, 1), get(&b, 2)), (Some(2), Some(3)), "at once");
    b.clock.set(NOW + 5);
    put(&b, 2, 4);
    sync(&relay, &[&b, &a], &vault);
    assert_eq!(get(&a, 2), Some(4));
    assert!(!is_ahead(&a, NOW));
}

#[test]
fn what_could_not_be_put_right_and_is_not_ahead_any_more_is_left_as_it_is() {
    let (a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    a.clock.set(NOW);
    let statements = silence(&a, &vault);
    a.core().relay_now(NOW).unwrap();
    let ahead = own_clock(&a).unwrap();
    for clock in [&a.clock, &b.clock] {
        clock.set(NOW + HOUR);
    }
    give_statements(&a, &vault, statements);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((own_clock(&a), capped_logs(&a), get(&b, 1)), (None, 0, Some(1)));
    assert!(a.core().lock_state().unwrap().clock.max() >= ahead, "what is written next is later");
}

#[test]
fn a_device_that_has_had_all_its_logs_goes_on_and_others_get_what_it_writes_when_its_time_comes() {
    let (a, b, relay, vault) = pair();
    let used_up = a.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        tx.vault_mut(number)?.keyring.logs.incarnation = INCARNATIONS_MAX - 1;
        Ok(())
    });
    used_up.unwrap();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    a.clock.set(NOW);
    a.core().relay_now(NOW).unwrap();
    put(&a, 1, 2);
    assert!(!is_ahead(&a, NOW), "other vaults are not dragged along");
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((own_clock(&a).is_some(), get(&a, 1), get(&b, 1)), (true, Some(2), None));
    assert!(b.core().held_wait().is_some());
    b.clock.set(NOW + HOUR);
    b.core().merge_held().unwrap();
    assert_eq!(get(&b, 1), Some(2));
}

#[test]
fn logs_that_are_capped_at_once_count_one_after_the_other() {
    let (a, b, relay, vault) = pair();
    a.clock.set(NOW + 24 * HOUR);
    put(&a, 1, 1);
    // Put right in part: the second log begins more than five minutes ahead, too.
    a.clock.set(NOW + 400_000);
    a.core().relay_now(NOW).unwrap();
    put(&a, 1, 2);
    a.clock.set(NOW);
    a.core().relay_now(NOW).unwrap();
    assert_eq!(get(&a, 1), Some(2));
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), b.core().held_wait()), (Some(2), None));
    let state = a.core().lock_state().unwrap();
    let mut caps: Vec<_> = state.logs.caps().values().map(|caps| caps.now.steps()[0].cap).collect();
    caps.sort_unstable();
    assert_eq!(caps, [Stamp(Stamp::from_ms(NOW).0 - 1), Stamp::from_ms(NOW)]);
}

#[test]
fn what_a_wrong_clock_wrote_over_something_counts_as_later_than_that() {
    let (a, b, relay, vault) = pair();
    // A clock that is a little ahead is not held.
    b.clock.set(NOW + 20_000);
    put(&b, 1, 1);
    sync(&relay, &[&b, &a], &vault);
    a.clock.set(NOW + HOUR);
    put(&a, 1, 2);
    a.clock.set(NOW + 1);
    a.core().relay_now(NOW + 1).unwrap();
    assert_eq!(get(&a, 1), Some(2));
    put(&a, 2, 2);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), get(&b, 2), b.core().held_wait()), (Some(2), Some(2), None));
    put(&b, 1, 3);
    sync(&relay, &[&b, &a], &vault);
    assert_eq!(get(&a, 1), Some(3));
}

#[test]
fn a_wall_clock_that_is_put_behind_takes_nothing_back_that_is_in_time_for_the_relay() {
    let (a, b, relay, vault) = pair();
    put(&b, 2, 2);
    sync(&relay, &[&b, &a], &vault);
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    a.clock.set(NOW - 2 * CLOCK_AHEAD_MAX_MS);
    a.core().relay_now(NOW).unwrap();
    assert_eq!((get(&a, 1), get(&a, 2)), (Some(1), Some(2)));
    assert_eq!(a.core().held_wait(), None);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!(get(&b, 1), Some(1));
}

#[test]
fn a_copy_whose_log_another_copy_has_capped_opens_new_logs() {
    let (mut a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a], &vault);
    let copy = copy_of(&mut a, "copy");
    a.clock.set(NOW);
    // Nothing but the certificate says that there is another copy.
    copy.core.relay_now(NOW).unwrap();
    relay.take(&copy.core, &vault).unwrap();
    assert!(relay.feed(a.core(), &vault).received.own_log_foreign);
    a.core().relay_now(NOW).unwrap();
    sync(&relay, &[&a], &vault);
    assert!(!relay.feed(a.core(), &vault).received.own_log_foreign, "the new one has no cap");
    a.clock.set(NOW + 10);
    put(&a, 1, 2);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!(get(&b, 1), Some(2));
}
