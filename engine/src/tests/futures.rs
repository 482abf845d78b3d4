//! Logs with several futures: what is carried, by whom, what is made up, and how old logs end.

use subrosa_model::carried::Carried;
use subrosa_model::control::DeviceRole;
use subrosa_protocol::ids::{Epoch, Head, Incarnation, LogId, Pin, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::CARRY_AFTER_MS;
use subrosa_protocol::segment::{Kind, VerifiedSegment};
use subrosa_store::logs::BranchNo;

use super::exchange::pair;
use super::folding::{Guest, adds, writes};
use super::restored::copy_dir;
use super::strangers::{Stranger, batch};
use super::{ListRelay, TestDevice, copy_pair, everything, id, record};
use crate::device::Device;
use crate::life::Core;
use crate::memory::cost::{logs_looked_at, rows_looked_at};

fn put(device: &TestDevice, n: u8, value: i64) {
    device.vault().records("notes").put(id(n), &record(&[("x", value)])).unwrap();
}

fn branches(device: &TestDevice) -> usize {
    device.core().read(|doors| Ok(doors.logs()?.branches()?.count())).unwrap()
}

/// Every kind of segment that a relay has, with how many of it there are.
fn kinds(relay: &ListRelay) -> impl Fn(Kind) -> usize {
    let state = relay.state.lock().unwrap();
    let kinds: Vec<_> = state.segments.iter().map(|segment| segment.header().kind).collect();
    move |kind| kinds.iter().filter(|one| **one == kind).count()
}

/// A store and a copy of it, both of which have written under the same logs.
fn two_copies() -> (TestDevice, Device, TestDevice, ListRelay, VaultId) {
    let (mut a, b, relay, vault) = pair();
    put(&a, 1, 1);
    relay.sync(a.core(), &vault);
    a.device = None;
    let second = a.dir.path().join("second");
    copy_dir(&a.path(), &second);
    a.device = Some(a.open_at(&a.path()));
    let copy = a.open_at(&second);
    put(&a, 2, 1);
    copy.vault("personal").unwrap().records("notes").put(id(3), &record(&[("x", 1)])).unwrap();
    (a, copy, b, relay, vault)
}

#[test]
fn old_logs_are_closed_at_their_relay_and_their_keys_go() {
    let (a, copy, b, relay, vault) = two_copies();
    let old =
        |core: &crate::life::Core| core.with_vault(&vault, |state| Ok(state.keyring.old_logs.len())).unwrap();
    relay.sync(&copy.core, &vault);
    relay.sync(a.core(), &vault);
    assert_eq!(old(a.core()), 0, "the relay has acknowledged the closing segments");
    assert_eq!((kinds(&relay)(Kind::CLOSING), kinds(&relay)(Kind::CONTROL_CLOSING)), (1, 1));
    // The other copy finds out by the closing segment that it is one.
    relay.sync(&copy.core, &vault);
    for _ in 0..3 {
        relay.sync(a.core(), &vault);
        relay.sync(&copy.core, &vault);
        relay.sync(b.core(), &vault);
    }
    assert_eq!((old(a.core()), old(&copy.core)), (0, 0));
    assert_eq!((kinds(&relay)(Kind::CLOSING), kinds(&relay)(Kind::CONTROL_CLOSING)), (1, 1), "once");
    let shown = everything(&a.vault());
    assert_eq!(shown.len(), 3);
    assert_eq!(
        (everything(&b.vault()), everything(&copy.vault("personal").unwrap())),
        (shown.clone(), shown)
    );
    let before = relay.state.lock().unwrap().segments.len();
    for core in [a.core(), &copy.core, b.core(), a.core()] {
        relay.sync(core, &vault);
    }
    assert_eq!(relay.state.lock().unwrap().segments.len(), before, "nothing goes on and on");
    assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn what_a_relay_refuses_of_an_own_log_is_carried_at_once_and_by_nobody_else() {
    let (a, copy, b, relay, vault) = two_copies();
    relay.sync(&copy.core, &vault);
    relay.sync(a.core(), &vault);
    assert_eq!(kinds(&relay)(Kind::CARRIED), 1);
    for _ in 0..2 {
        for core in [b.core(), &copy.core, a.core()] {
            relay.sync(core, &vault);
        }
    }
    a.clock.set(1_000_000 + 3 * CARRY_AFTER_MS);
    b.clock.set(1_000_000 + 3 * CARRY_AFTER_MS);
    for core in [b.core(), &copy.core, a.core()] {
        relay.sync(core, &vault);
    }
    assert_eq!(kinds(&relay)(Kind::CARRIED), 1, "it is carried already");
    assert_eq!(everything(&b.vault()).len(), 3);
    assert_eq!(everything(&b.vault()), everything(&a.vault()));
}

#[test]
fn what_a_relay_refuses_of_a_control_log_is_repeated_to_its_end() {
    let (a, copy, b, relay, vault) = two_copies();
    let lets_in = |core: &Core, numbers: std::ops::Range<u64>| {
        let entry = |number| adds(core, &vault, number, Guest::new().added("guest", DeviceRole::Writer));
        writes(core, &vault, &numbers.map(entry).collect::<Vec<_>>());
    };
    // Each in a segment of its own, under the same control log.
    lets_in(&copy.core, 20..21);
    lets_in(a.core(), 30..34);
    relay.sync(&copy.core, &vault);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(b.vault().devices().unwrap().len(), 2 + 1 + 4);
}

#[test]
fn a_relay_that_lost_everything_has_all_futures_again_when_a_sync_with_it_ends() {
    let (a, copy, b, relay, vault) = two_copies();
    relay.sync(&copy.core, &vault);
    relay.sync(a.core(), &vault);
    assert_eq!(
        kinds(&relay)(Kind::CARRIED),
        1,
        "the relay took what the copy wrote, and it is in no other log"
    );
    let wiped = ListRelay { incarnation: Incarnation::from_bytes([10; 16]), ..ListRelay::new() };
    wiped.compare(a.core(), &vault);
    wiped.sync(a.core(), &vault);
    assert_eq!(kinds(&wiped)(Kind::CARRIED), 2, "it took what A wrote, and refuses what the copy wrote");
    wiped.compare(b.core(), &vault);
    wiped.sync(b.core(), &vault);
    assert_eq!((everything(&a.vault()).len(), everything(&b.vault()).len()), (3, 3));
    let before = wiped.state.lock().unwrap().segments.len();
    wiped.sync(a.core(), &vault);
    assert_eq!(wiped.state.lock().unwrap().segments.len(), before, "once");
}

#[test]
fn a_relay_that_lost_the_end_of_a_log_has_all_futures_again_when_a_sync_with_it_ends() {
    let (a, copy, b, relay, vault) = two_copies();
    // It keeps what both copies share, and nothing of what they wrote since.
    let put_back = ListRelay { pin: relay.pin, ..relay.without(&LogId::from_bytes([0; 16])) };
    relay.sync(&copy.core, &vault);
    relay.sync(a.core(), &vault);
    for device in [&a, &b] {
        put_back.compare(device.core(), &vault);
        put_back.sync(device.core(), &vault);
    }
    assert_eq!(kinds(&put_back)(Kind::CARRIED), 2);
    assert_eq!((everything(&a.vault()).len(), everything(&b.vault()).len()), (3, 3));
}

#[test]
fn what_an_author_does_not_know_of_is_carried_by_others_after_a_day() {
    let (mut a, b, relay, vault) = pair();
    a.device = None;
    let backup = a.dir.path().join("backup");
    copy_dir(&a.path(), &backup);
    a.device = Some(a.open_at(&a.path()));
    put(&a, 1, 1);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    // The store is put back as it was, and the relay is another one, that knows nothing.
    a.device = None;
    std::fs::remove_dir_all(a.path()).unwrap();
    copy_dir(&backup, &a.path());
    a.device = Some(a.open_at(&a.path()));
    let wiped = ListRelay { incarnation: Incarnation::from_bytes([10; 16]), ..ListRelay::new() };
    put(&a, 2, 1);
    for device in [&a, &b] {
        wiped.compare(device.core(), &vault);
    }
    wiped.sync(a.core(), &vault);
    wiped.sync(b.core(), &vault);
    wiped.sync(a.core(), &vault);
    assert_eq!((everything(&a.vault()).len(), everything(&b.vault()).len()), (1, 2));
    assert_eq!(kinds(&wiped)(Kind::CARRIED), 0, "not before its author had its time");
    b.clock.set(1_000_000 + CARRY_AFTER_MS - 1);
    wiped.sync(b.core(), &vault);
    assert_eq!(kinds(&wiped)(Kind::CARRIED), 0);
    b.clock.set(1_000_000 + 2 * CARRY_AFTER_MS);
    assert!(
        b.core().held_wait().is_some_and(|wait| wait.is_zero()),
        "a link is told that there is something to do"
    );
    wiped.sync(b.core(), &vault);
    assert_eq!(kinds(&wiped)(Kind::CARRIED), 1);
    a.clock.set(1_000_000 + 2 * CARRY_AFTER_MS);
    for core in [a.core(), b.core(), a.core()] {
        wiped.sync(core, &vault);
    }
    assert_eq!(everything(&a.vault()).len(), 2);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
}

#[test]
fn what_two_relays_refuse_from_different_places_on_is_carried_for_both() {
    let (mut a, b, first, vault) = pair();
    let second = ListRelay { pin: Pin::from_bytes([8; 32]), ..ListRelay::new() };
    for device in [&a, &b] {
        second.sync(device.core(), &vault);
    }
    let copy = |a: &mut TestDevice, name: &str| {
        a.device = None;
        let path = a.dir.path().join(name);
        copy_dir(&a.path(), &path);
        a.device = Some(a.open_at(&a.path()));
        a.open_at(&path)
    };
    let early = copy(&mut a, "early");
    put(&a, 1, 1);
    a.core().seal(&vault).unwrap();
    let late = copy(&mut a, "late");
    put(&a, 2, 1);
    a.core().seal(&vault).unwrap();
    for (copy, relay, n) in [(&early, &second, 3), (&late, &first, 4)] {
        copy.vault("personal").unwrap().records("notes").put(id(n), &record(&[("x", 1)])).unwrap();
        relay.sync(&copy.core, &vault);
    }
    first.sync(a.core(), &vault);
    second.sync(a.core(), &vault);
    // B has only the second relay, which refused more than the first.
    second.sync(b.core(), &vault);
    assert_eq!(everything(&b.vault()).len(), 4);
    assert_eq!(everything(&b.vault()), everything(&a.vault()));
    // Once all is carried, an edit costs no look at what was, however long it is.
    second.sync(a.core(), &vault);
    let before = logs_looked_at();
    put(&a, 5, 1);
    a.core().seal_for(&vault, &second.pin).unwrap();
    assert_eq!(logs_looked_at(), before);
}

#[test]
fn carried_segments_that_a_member_makes_up_change_nothing() {
    let (a, mut b, relay, vault) = pair();
    put(&a, 1, 1);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    let (pair, key) = a
        .core()
        .with_vault(&vault, |state| {
            let key = state.keyring.data_key(Epoch(0)).expect("it is here").dangerous_bytes().to_vec();
            Ok((copy_pair(&state.keyring.logs.data), key))
        })
        .unwrap();
    let head = |device: &TestDevice, log| -> Head {
        device.core().heads(&vault).unwrap().into_iter().find(|head| head.log == log).unwrap()
    };
    let mut author = Stranger::with_log(pair, &vault);
    author.key = key.try_into().unwrap();
    author.go_on_from(head(&b, author.log()));
    // Of the log that B writes now, under another key than B's; of a log that nobody certified; of a control log; noise.
    let own = b
        .core()
        .with_vault(&vault, |state| Ok(PublicKeyBytes::from(state.keyring.logs.data.public())))
        .unwrap();
    let mut unknown = Stranger::new(&vault);
    let (first, second) = (unknown.next(Kind::DATA, b""), unknown.next(Kind::DATA, b""));
    let carried = |stranger: &Stranger, segment| {
        Carried::of(&VerifiedSegment::check(&vault, stranger.public(), segment).unwrap()).unwrap().encode()
    };
    let forged = {
        let mut bytes = carried(&unknown, first.clone());
        bytes[..65].copy_from_slice(own.as_bytes());
        bytes
    };
    let mut broken = carried(&unknown, first.clone());
    *broken.last_mut().unwrap() ^= 1;
    let control = [&unknown.public().as_bytes()[..], unknown.next(Kind::CONTROL, b"").bytes()].concat();
    let made_up = [
        forged,
        broken,
        control,
        b"noise".to_vec(),
        Vec::new(),
        carried(&unknown, second),
        carried(&unknown, first),
    ];
    let segments: Vec<_> = made_up.iter().map(|data| author.next(Kind::CARRIED, data)).collect();
    let count = segments.len() as u64;
    let taken = relay.give(b.core(), &vault, batch(&relay, Vec::<PublicKeyBytes>::new(), segments)).unwrap();
    assert!(!taken.received.own_log_foreign, "nothing of them proves another copy");
    let (shown, logs) = (everything(&b.vault()), b.core().heads(&vault).unwrap().len());
    for _ in 0..2 {
        let tip = head(&b, author.log());
        let of = b.vault().number;
        let number = b.core().lock_state().unwrap().logs.number(of, &tip.log).unwrap();
        let merged =
            b.core().read(|doors| Ok(doors.logs()?.head(BranchNo::first_of(number))?.unwrap().merged));
        assert_eq!(merged.unwrap(), tip.seq.next(), "the log that carries them waits for nothing");
        assert!(tip.seq >= Seq(count));
        assert_eq!(
            (everything(&b.vault()), branches(&b), b.core().heads(&vault).unwrap().len()),
            (shown.clone(), 0, logs)
        );
        assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
        b.reopen();
    }
}

#[test]
fn a_folder_that_moves_every_day_for_a_year_opens_no_new_logs_and_opens_as_fast() {
    let (mut a, b, relay, vault) = pair();
    put(&a, 0, 0);
    relay.sync(a.core(), &vault);
    let logs = relay.state.lock().unwrap().logs.len();
    let homes = [a.dir.path().join("one"), a.dir.path().join("two")];
    let mut looked_at = Vec::new();
    a.device = None;
    std::fs::rename(a.path(), &homes[0]).unwrap();
    for day in 1..=365 {
        a.clock.set(1_000_000 + day * 86_400_000);
        let (from, to) = (&homes[(day as usize + 1) % 2], &homes[day as usize % 2]);
        copy_dir(from, to);
        std::fs::remove_dir_all(from).unwrap();
        looked_at.push({
            let before = rows_looked_at();
            a.device = Some(a.open_at(to));
            rows_looked_at() - before
        });
        put(&a, (day % 100) as u8, day as i64);
        relay.sync(a.core(), &vault);
        a.device = None;
    }
    assert_eq!(relay.state.lock().unwrap().logs.len(), logs, "no new logs");
    let (first, last) = (looked_at[1], *looked_at.last().unwrap());
    assert!(last <= first + 1, "rows looked at when it is opened: {first} at first, {last} in the end");
    a.device = Some(a.open_at(&homes[1]));
    b.clock.set(1_000_000 + 366 * 86_400_000);
    relay.sync(b.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!((branches(&a), branches(&b)), (0, 0));
}
