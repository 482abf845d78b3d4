//! What a member makes up who has all keys: the others stay equal, and it uses up its own share.

use std::ops::ControlFlow;
use std::time::Duration;

use subrosa_model::control::{EpochSecrets, PrefixCap};
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::merge::{
    BodyWriter, Cell, FieldCell, GroupHead, Op, OpKind, Put, Stamp, Tombstone, Value, ValueBuf, ValueRef,
};
use subrosa_model::seal::Packed;
use subrosa_protocol::codec::Reader;
use subrosa_protocol::ids::{Chain, Epoch, Head, Seq, VaultId};
use subrosa_protocol::limits::{RECORD_READ_MEMORY_MAX, SEGMENT_PLAIN_MAX};
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::caps::{HOUR, NOW, get, put, sync};
use super::exchange::pair;
use super::merging::{reason, seal};
use super::names::notes;
use super::prefix_caps::{certify, log_of};
use super::strangers::{Stranger, batch};
use super::{TestDevice, copy_pair, everything, id, join};
use crate::error::Error;
use crate::logs::notes::NameLimits;
use crate::logs::notes::testing::LIMITS as NAME_LIMITS;
use crate::logs::placing::BranchLimits;
use crate::logs::placing::testing::LIMITS as BRANCH_LIMITS;
use crate::memory::cost::{logs_looked_at, rows_looked_at};
use crate::memory::extents::WaitReason;

/// The body of a group by itself: a put of a number on a record, at a time.
pub(super) fn group_at(ms: u64, n: u8, x: i64) -> Vec<u8> {
    let stamp = Stamp::from_ms(ms);
    let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
    let value = ValueBuf::encode(&Value::from(x)).unwrap();
    let cells = vec![FieldCell { name: "x", cell: Cell::Register(value.borrow()) }];
    let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
    writer.push(&Op { record: id(n), collection: "notes", stamp, kind }, SEGMENT_PLAIN_MAX).unwrap();
    writer.encode()
}

fn seal_at(device: &TestDevice, vault: &VaultId, ms: u64, n: u8, x: i64) {
    seal(device, vault, Kind::DATA, GroupPlace::Whole, &Packed::of(&group_at(ms, n, x)));
}

fn is_ahead(device: &TestDevice, now_ms: u64) -> bool {
    device.core().lock_state().unwrap().clock.is_ahead(now_ms)
}

fn incarnation(device: &TestDevice, vault: &VaultId) -> u32 {
    device.core().with_vault(vault, |state| Ok(state.keyring.logs.incarnation)).unwrap()
}

/// A device whose clock runs ahead too merges what others hold. When it is put right, nothing that is left of it is ahead.
#[test]
fn a_log_that_goes_back_in_time_waits_there_and_leaves_nothing_ahead_uncapped() {
    for reopens in [false, true] {
        let (a, m, relay, vault) = pair();
        let [c, mut d] = [TestDevice::new(), TestDevice::new()];
        join(&a, &c);
        join(&a, &d);
        sync(&relay, &[&a, &m, &c, &d, &a, &m], &vault);
        d.clock.set(NOW + 12 * HOUR);
        seal_at(&m, &vault, NOW + 10 * HOUR, 1, 10);
        // The same time once more is no step back.
        seal_at(&m, &vault, NOW + 10 * HOUR, 2, 20);
        sync(&relay, &[&m, &d], &vault);
        if reopens {
            d.reopen();
        }
        seal_at(&m, &vault, NOW + HOUR, 3, 30);
        sync(&relay, &[&m, &d], &vault);
        assert_eq!((get(&d, 1), get(&d, 2), get(&d, 3)), (Some(10), Some(20), None), "{reopens}");
        assert_eq!(reason(&d, &vault, &m), Some(WaitReason::Undecodable));
        d.clock.set(NOW + 10);
        d.core().relay_now(NOW + 10).unwrap();
        put(&d, 1, 11);
        assert!(!is_ahead(&d, NOW + 10), "what it writes over has a cap");
        sync(&relay, &[&d, &c], &vault);
        assert_eq!((get(&c, 1), get(&c, 2), c.core().held_wait()), (Some(11), Some(20), None));
        c.clock.set(NOW + 11 * HOUR);
        put(&c, 2, 21);
        sync(&relay, &[&c, &a, &d, &a], &vault);
        [&a, &d].iter().for_each(|device| device.clock.set(NOW + 11 * HOUR));
        sync(&relay, &[&a, &d], &vault);
        for device in [&a, &d] {
            assert_eq!(everything(&device.vault()), everything(&c.vault()));
        }
        if reopens {
            d.reopen();
            assert_eq!(reason(&d, &vault, &m), Some(WaitReason::Undecodable), "it is kept");
        }
    }
}

#[test]
fn a_clock_that_is_put_right_without_end_does_not_use_up_a_devices_logs() {
    let (mut a, b, relay, vault) = pair();
    let goes_wrong_and_right = |a: &TestDevice, n: u64| {
        a.clock.set(NOW + n * 10 + HOUR);
        put(a, 1, n as i64);
        a.clock.set(NOW + n * 10);
        a.core().relay_now(NOW + n * 10).unwrap();
        assert!(!is_ahead(a, NOW + n * 10));
    };
    for n in 1..=20 {
        goes_wrong_and_right(&a, n);
    }
    assert_eq!(incarnation(&a, &vault), 16);
    put(&a, 2, 2);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((incarnation(&a, &vault), get(&b, 1)), (16, Some(16)), "others hold what is not capped");
    // An opening begins anew.
    a.reopen();
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((incarnation(&a, &vault), get(&b, 1), get(&b, 2)), (17, Some(20), Some(2)));
    for n in 21..=40 {
        goes_wrong_and_right(&a, n);
    }
    assert_eq!(incarnation(&a, &vault), 16 + 16);
    let tomorrow = NOW + 25 * HOUR;
    a.clock.set(tomorrow + HOUR);
    put(&a, 1, 41);
    a.clock.set(tomorrow);
    sync(&relay, &[&a, &b], &vault);
    a.core().relay_now(tomorrow).unwrap();
    assert_eq!(incarnation(&a, &vault), 16 + 17, "once a day");
    b.clock.set(tomorrow);
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), b.core().held_wait()), (Some(41), None));
}

/// What caps a certificate names, or a segment is named by, is all that is looked at for it, however many name the log.
#[test]
fn a_cap_costs_what_it_names_however_many_there_are_on_a_log() {
    let cost = |others: u64| {
        let (a, m, relay, vault) = pair();
        let d = TestDevice::new();
        join(&a, &d);
        put(&a, 1, 1);
        sync(&relay, &[&a, &m, &d, &a, &m, &d], &vault);
        let of_a = log_of(&a, &vault);
        let made_up = |n: u64| {
            let chain = Chain::from_bytes([n as u8; 32]);
            // Of segments that are here, or that are to come, and of such that never will.
            (of_a, PrefixCap { seq: Seq(n % 600), chain, cap: Stamp::from_ms(NOW + n) })
        };
        for n in 0..others {
            certify(&m, &vault, (n * 500..n * 500 + 500).map(made_up));
        }
        sync(&relay, &[&m, &d], &vault);
        let looked_at = |f: &dyn Fn()| {
            let before = rows_looked_at();
            f();
            rows_looked_at() - before
        };
        certify(&m, &vault, std::iter::once(made_up(20_000)));
        relay.sync(m.core(), &vault);
        let of_certificate = looked_at(&|| relay.sync(d.core(), &vault));
        put(&a, 1, 2);
        relay.sync(a.core(), &vault);
        let of_segment = looked_at(&|| relay.sync(d.core(), &vault));
        assert_eq!(get(&d, 1), Some(2));
        (of_certificate, of_segment)
    };
    let (few, many) = (cost(1), cost(8));
    assert!(many.0 <= few.0 + 10 && many.1 <= few.1 + 10, "rows looked at: {few:?}, then {many:?}");
}

/// The encoding of a list of 5,000 times 60 maps in each other, each of one item: 0.9 MiB.
fn bomb() -> Vec<u8> {
    let nested = [[8, 1, 0].repeat(60), vec![0]].concat();
    [vec![7, 0x88, 0x27], nested.repeat(5000)].concat()
}

#[test]
fn a_record_that_takes_far_more_memory_than_bytes_is_no_more_than_too_large() {
    let (a, m, relay, vault) = pair();
    let fields: Vec<_> = (0..2).map(|n| format!("bomb {n}")).collect();
    for (n, field) in fields.iter().enumerate() {
        let stamp = Stamp::from_ms(NOW + n as u64);
        let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
        let value = bomb();
        let cell = Cell::Register(ValueRef::check(&value).unwrap());
        let cells = vec![FieldCell { name: field, cell }];
        let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
        writer.push(&Op { record: id(1), collection: "notes", stamp, kind }, SEGMENT_PLAIN_MAX).unwrap();
        seal(&m, &vault, Kind::DATA, GroupPlace::Whole, &Packed::of(&writer.encode()));
    }
    put(&a, 2, 2);
    sync(&relay, &[&m, &a], &vault);
    put(&a, 1, 1);
    let notes = a.vault().records("notes");
    let is_too_large = |result: Result<(), Error>| matches!(result, Err(Error::RecordTooLarge { bytes, limit: RECORD_READ_MEMORY_MAX }) if bytes > 300 << 20);
    assert!(is_too_large(notes.get(id(1)).map(drop)) && is_too_large(notes.page(None, 9).map(drop)));
    assert_eq!(notes.scan().map(|record| record.is_ok()).collect::<Vec<_>>(), [false, true]);
    let mut names = Vec::new();
    notes
        .see_fields(id(1), None, |field| {
            names.push(field.name().to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((names.len(), get(&a, 1)), (3, Some(1)));
    for field in &fields {
        assert!(a.vault().write(|tx| notes.in_tx(tx).delete_field(id(1), field)).unwrap());
    }
    assert_eq!(notes.get(id(1)).unwrap().map(|record| record.0.len()), Some(1));
    sync(&relay, &[&a, &m], &vault);
    assert_eq!(everything(&a.vault()), everything(&m.vault()));
}

/// What has named a log is merged once more a slice at a time, however much that is, and goes on after an opening.
#[test]
fn what_named_a_log_is_merged_once_more_in_slices() {
    let (a, c, relay, vault) = pair();
    let mut d = TestDevice::new();
    join(&a, &d);
    sync(&relay, &[&a, &d], &vault);
    c.core().rotate_at_once(&vault).unwrap();
    (0..9).for_each(|n| put(&c, n, 1));
    sync(&relay, &[&c, &a], &vault);
    let control = c.core().with_vault(&vault, |state| Ok(state.logs[&state.own.control].id)).unwrap();
    a.clock.set(NOW + 10);
    for n in 0..9 {
        assert!(a.vault().records("notes").delete(id(n)).unwrap());
        sync(&relay, &[&a], &vault);
    }
    relay.without(&control).feed(d.core(), &vault);
    assert_eq!(notes(&d, &vault, &a), (9, None), "nothing is known of that log");
    let limits = NameLimits { notes: 99, slice_bytes: 1 << 20, slice_segments: 2, slices_at_opening: 1 };
    NAME_LIMITS.set(Some(limits));
    let shown = |d: &TestDevice| (everything(&d.vault()).len(), d.core().held_wait());
    relay.feed(d.core(), &vault);
    assert_eq!(shown(&d), (5, Some(Duration::ZERO)), "two in its transaction, and the first slice");
    d.reopen();
    assert_eq!(shown(&d), (3, Some(Duration::ZERO)));
    put(&d, 20, 20);
    d.core().merge_held().unwrap();
    assert_eq!(shown(&d), (2, Some(Duration::ZERO)));
    d.core().merge_held().unwrap();
    assert_eq!((shown(&d), notes(&d, &vault, &a)), ((1, None), (0, None)));
    NAME_LIMITS.set(None);
    d.reopen();
    sync(&relay, &[&d, &a, &c, &d], &vault);
    assert_eq!(shown(&d), (1, None));
    for device in [&a, &c] {
        assert_eq!(everything(&device.vault()), everything(&d.vault()));
    }
}

/// Each future of a log leaves the one before.
#[test]
fn futures_that_leave_each_other_are_each_looked_at_once_to_find_what_a_relay_refuses() {
    let cost = |count: u8| {
        let (a, m, relay, vault) = pair();
        put(&m, 1, 1);
        sync(&relay, &[&m, &a], &vault);
        let mut author = author_of(&m, &vault);
        let mut head =
            a.core().heads(&vault).unwrap().into_iter().find(|head| head.log == author.log()).unwrap();
        let mut segments = Vec::new();
        for n in 0..count {
            author.go_on_from(head);
            segments.push(author.next(Kind::DATA, &group_at(NOW + 1000 + u64::from(n), n, 1)));
            author.go_on_from(head);
            let other = author.next(Kind::DATA, &group_at(NOW + 1000 + u64::from(n), n, 2));
            head = Head { seq: head.seq.next(), chain: other.preimage(&vault).chain(), ..head };
            segments.push(other);
        }
        relay.give(a.core(), &vault, batch(&relay, vec![author.public()], segments)).unwrap();
        assert_eq!(futures(&a), usize::from(count));
        let refused = a.core().write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let log = tx.state.logs.number(number, &author.log()).unwrap();
            let before = rows_looked_at();
            let refused = tx.refused(number, log, &relay.pin)?.len();
            Ok((refused, rows_looked_at() - before))
        });
        refused.unwrap()
    };
    let (few, many) = (cost(10), cost(40));
    assert!(many.1 < few.1 * 6, "refused, and rows looked at: {few:?}, then {many:?}");
}

/// Whether a group goes back in time is a question of the one before, however far that is, and however many futures ask it.
#[test]
fn what_has_no_ops_between_groups_is_passed_once_for_all_futures_behind_it() {
    let (a, m, relay, vault) = pair();
    put(&m, 1, 1);
    sync(&relay, &[&m, &a], &vault);
    let mut author = author_of(&m, &vault);
    let head = a.core().heads(&vault).unwrap().into_iter().find(|head| head.log == author.log()).unwrap();
    author.go_on_from(head);
    let segments: Vec<_> = (0..2600).map(|_| author.next(Kind::CARRIED, b"garbage")).collect();
    let last = segments.last().unwrap();
    let tip = Head { seq: last.header().seq, chain: last.preimage(&vault).chain(), ..head };
    relay.give(a.core(), &vault, batch(&relay, vec![author.public()], segments)).unwrap();
    let mut fork = |ms: u64, n: u8| {
        author.go_on_from(tip);
        let segment = author.next(Kind::DATA, &group_at(ms, n, 1));
        let before = rows_looked_at();
        relay.give(a.core(), &vault, batch(&relay, vec![author.public()], vec![segment])).unwrap();
        (get(&a, n), rows_looked_at() - before)
    };
    let [behind, first] = [9, 10].map(|n| fork(NOW + 1000, n));
    assert_eq!((behind.0, first.0), (Some(1), Some(1)));
    assert!(behind.1 < 100 && first.1 > 2600, "{behind:?}, then {first:?}");
    for n in 11..15 {
        let next = fork(NOW + 1000, n);
        assert!(next.0 == Some(1) && next.1 < 1200, "{next:?}");
    }
    assert_eq!(fork(NOW - 1000, 15).0, None);
}

/// What opens under no key that is here is tried once for each that comes.
#[test]
fn what_a_member_carries_that_nobody_opens_costs_an_opening_nothing() {
    let (a, m, relay, vault) = pair();
    let mut d = TestDevice::new();
    join(&m, &d);
    put(&m, 1, 1);
    sync(&relay, &[&m, &d, &a, &m, &d], &vault);
    // What it takes to open a store, and to take in something then.
    let cost = |d: &mut TestDevice, n: i64| {
        put(&a, 1, n);
        relay.sync(a.core(), &vault);
        let before = logs_looked_at();
        d.reopen();
        relay.feed(d.core(), &vault);
        assert_eq!(get(d, 1), Some(n));
        logs_looked_at() - before
    };
    let before = cost(&mut d, 2);
    let mut author = author_of(&m, &vault);
    let head = d.core().heads(&vault).unwrap().into_iter().find(|head| head.log == author.log()).unwrap();
    author.go_on_from(head);
    let key = author.key;
    let garbage: Vec<_> = (0..40)
        .map(|n| {
            // Every second one opens, and is nothing.
            author.key = if n % 2 == 0 { [9; 32] } else { key };
            author.next(Kind::CARRIED, b"garbage")
        })
        .collect();
    relay.give(d.core(), &vault, batch(&relay, vec![author.public()], garbage)).unwrap();
    let loose = |d: &TestDevice| {
        let number = d.vault().number;
        d.core().read(|doors| Ok(doors.logs()?.loose(number)?.count())).unwrap()
    };
    assert_eq!((cost(&mut d, 3), loose(&d)), (before, 20));
    // A key comes, and opens none of them.
    d.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let key = EpochKey::read(&mut Reader::new(&[5; 32])).unwrap();
            tx.vault_mut(number)?.keyring.epochs.push(EpochSecrets::live(Epoch(7), key, None));
            tx.put_keyring(number)
        })
        .unwrap();
    assert_eq!((cost(&mut d, 4), loose(&d)), (before + 20, 20));
    assert_eq!((cost(&mut d, 5), loose(&d)), (before, 20), "once");
}

/// A member as it writes who has his own client: its data log, from its last segment on.
fn author_of(device: &TestDevice, vault: &VaultId) -> Stranger {
    let (pair, key) = device
        .core()
        .with_vault(vault, |state| {
            let key = state.keyring.data_key(Epoch(0)).expect("it is here").dangerous_bytes().to_vec();
            Ok((copy_pair(&state.keyring.logs.data), key))
        })
        .unwrap();
    let mut author = Stranger::with_log(pair, vault);
    author.key = key.try_into().unwrap();
    author
}

fn futures(device: &TestDevice) -> usize {
    device.core().read(|doors| Ok(doors.logs()?.branches()?.count())).unwrap()
}

#[test]
fn a_member_uses_up_the_futures_of_its_own_logs_and_of_no_others() {
    let limits = BranchLimits { of_log: 6, of_author: 8, of_vault: 8, of_each_author: 2 };
    let (a, m, relay, vault) = pair();
    let [b, mut d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &b);
    join(&a, &d);
    put(&m, 9, 9);
    put(&b, 8, 8);
    sync(&relay, &[&a, &m, &b, &d, &a, &m, &b, &d], &vault);
    let logs: Vec<_> = [&m, &b].map(|device| author_of(device, &vault)).into_iter().collect();
    let heads: Vec<Head> = logs
        .iter()
        .map(|author| d.core().heads(&vault).unwrap().into_iter().find(|head| head.log == author.log()))
        .collect::<Option<_>>()
        .unwrap();
    BRANCH_LIMITS.set(Some(limits));
    let [mut of_m, mut of_b] = <[Stranger; 2]>::try_from(logs).ok().unwrap();
    let fork = |to: &TestDevice, author: &mut Stranger, head: Head, n: u8| {
        author.go_on_from(head);
        let body = group_at(NOW + 1000 + u64::from(n), n, i64::from(n));
        let segment = author.next(Kind::DATA, &body);
        let batch = batch(&relay, vec![author.public()], vec![segment]);
        relay.give(to.core(), &vault, batch).unwrap();
    };
    // The first one goes on behind the head; each further one is another future.
    for n in 20..60 {
        fork(&d, &mut of_m, heads[0], n);
    }
    assert_eq!(futures(&d), 6, "of a log");
    // Another log of the member's.
    m.core().rotate_at_once(&vault).unwrap();
    put(&m, 9, 10);
    sync(&relay, &[&m], &vault);
    let mut second = author_of(&m, &vault);
    let control = |log| d.core().heads(&vault).unwrap().into_iter().find(|head: &Head| head.log == log);
    relay.feed(d.core(), &vault);
    let head = control(second.log()).unwrap();
    for n in 60..80 {
        fork(&d, &mut second, head, n);
    }
    assert_eq!(futures(&d), 8, "of an author");
    for n in 80..90 {
        fork(&d, &mut of_b, heads[1], n);
    }
    assert_eq!(futures(&d), 10, "each has some, whatever others have");
    assert_eq!((get(&d, 80), get(&d, 81), get(&d, 82), get(&d, 83)), (Some(80), Some(81), Some(82), None));
    d.reopen();
    for n in 90..93 {
        fork(&d, &mut of_b, heads[1], n);
        fork(&d, &mut second, head, n + 10);
    }
    assert_eq!(futures(&d), 10, "after an opening, too");
    BRANCH_LIMITS.set(None);
}
