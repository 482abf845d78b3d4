//! Groups: whole or not at all, within limits, and what waits behind one that cannot be merged.

use subrosa_model::control::EpochSecrets;
use subrosa_model::entropy::OsEntropy;
use subrosa_model::merge::{
    BodyPlace, BodyWriter, Cell, CheckedBody, FieldCell, GroupHead, Op, OpKind, Put, RecordId, Stamp,
    Tombstone, Value, ValueBuf,
};
use subrosa_model::seal::Packed;
use subrosa_protocol::ids::{Epoch, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::{CLOCK_AHEAD_MAX_MS, GROUP_SEGMENTS_MAX, SEGMENT_PLAIN_MAX};
use subrosa_protocol::segment::{GroupPlace, Kind};
use subrosa_store::logs::UnreadRow;

use super::strangers::{Stranger, batch, noise, pair};
use super::{ListRelay, TestDevice, copy_pair, copy_secret, everything, id, record};
use crate::collection::Record;
use crate::error::{Error, PeerFault};
use crate::logs::groups::{GroupLimits, testing};
use crate::memory::cost::{bytes_held_max, decoded_held_max, rows_looked_at};
use crate::memory::extents::WaitReason;

pub(super) const NOW: u64 = 1_000_000;
/// The largest bytes that a value may be, about.
const MIB: usize = (1 << 20) - 16;

/// One body: a put of a value on each of these records.
pub(super) fn body(index: usize, latest: u64, records: impl Iterator<Item = u32>, value: &Value) -> Packed {
    let stamp = Stamp::from_ms(NOW);
    let writer = match index {
        0 => BodyWriter::first(stamp, &GroupHead::of(Stamp::from_ms(latest))),
        _ => BodyWriter::behind(stamp),
    };
    body_of(writer, records, value)
}

/// A body that was begun: a put of a value on each of these records.
pub(super) fn body_of(mut writer: BodyWriter, records: impl Iterator<Item = u32>, value: &Value) -> Packed {
    let stamp = Stamp::from_ms(NOW);
    let value = ValueBuf::encode(value).unwrap();
    for record in records {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&record.to_be_bytes());
        let cells = vec![FieldCell { name: "x", cell: Cell::Register(value.borrow()) }];
        let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
        let op = Op { record: RecordId::from_bytes(bytes), collection: "tasks", stamp, kind };
        writer.push(&op, SEGMENT_PLAIN_MAX).unwrap();
    }
    Packed::of(&writer.encode())
}

/// Seals one segment of a device's data log, as its author may who writes his own client.
pub(super) fn seal(device: &TestDevice, vault: &VaultId, kind: Kind, place: GroupPlace, body: &Packed) {
    let sealed = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        let log = tx.vault(number)?.own.data;
        tx.seal_next(number, log, kind, place, body)
    });
    sealed.unwrap();
}

/// Seals a group of `count` segments with one record each, from `first` on.
pub(super) fn seal_group(device: &TestDevice, vault: &VaultId, first: u32, count: usize, value: &Value) {
    for (index, record) in (0..count).zip(first..) {
        let body = body(index, NOW, std::iter::once(record), value);
        seal(device, vault, Kind::DATA, GroupPlace::of(index, count), &body);
    }
}

pub(super) fn smaller_groups(segments: u64, plain_bytes: usize, pass_bytes: usize) {
    let decoded_bytes = 20 << 20;
    testing::LIMITS.set(Some(GroupLimits { segments, plain_bytes, pass_bytes, decoded_bytes }));
}

/// Why a device waits with the data log of another.
pub(super) fn reason(at: &TestDevice, vault: &VaultId, by: &TestDevice) -> Option<WaitReason> {
    let log = by.core().with_vault(vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    let state = at.core().lock_state().unwrap();
    let number = state.vault_no(vault).unwrap();
    state.waits.get(&state.logs.number(number, &log).unwrap().into()).copied()
}

pub(super) fn waiting(device: &TestDevice) -> u64 {
    device.device.as_ref().unwrap().verify().unwrap().quarantined
}

pub(super) fn show(from: &TestDevice, to: &TestDevice, relay: &ListRelay, vault: &VaultId) {
    relay.take(from.core(), vault).unwrap();
    relay.feed(to.core(), vault);
}

/// Runs `f` while a device has one epoch more.
fn with_epoch(device: &TestDevice, vault: &VaultId, epoch: &EpochSecrets, f: impl FnOnce()) {
    let change = |keyring_has: bool| {
        let changed = device.core().write(|tx| {
            let number = tx.state.vault_no(vault)?;
            let epochs = &mut tx.vault_mut(number)?.keyring.epochs;
            if keyring_has {
                epochs.push(copy_of(epoch))
            } else {
                drop(epochs.pop())
            }
            tx.put_keyring(number)
        });
        changed.unwrap();
    };
    change(true);
    f();
    change(false);
}

fn copy_of(epoch: &EpochSecrets) -> EpochSecrets {
    EpochSecrets::live(epoch.epoch, copy_secret(epoch.key.as_ref().unwrap()), None)
}

fn give_epoch(device: &TestDevice, vault: &VaultId, epoch: &EpochSecrets) {
    let given = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        tx.vault_mut(number)?.keyring.epochs.push(copy_of(epoch));
        tx.put_keyring(number)
    });
    given.unwrap();
}

#[test]
fn a_group_that_opens_in_part_waits_whole_and_all_behind_it_too() {
    let (a, mut b, relay, vault) = pair();
    let later = EpochSecrets::generate(Epoch(1), &OsEntropy);
    let one = Value::from(1);
    seal(&a, &vault, Kind::DATA, GroupPlace::First, &body(0, NOW, 1..2, &one));
    with_epoch(&a, &vault, &later, || {
        seal(&a, &vault, Kind::DATA, GroupPlace::Middle, &body(1, NOW, 2..3, &one));
    });
    seal(&a, &vault, Kind::DATA, GroupPlace::Last, &body(2, NOW, 3..4, &one));
    seal_group(&a, &vault, 4, 2, &one);
    show(&a, &b, &relay, &vault);
    for _ in 0..2 {
        assert_eq!((everything(&b.vault()), waiting(&b)), (vec![], 5));
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::StaysShut));
        b.reopen();
    }
    // What B writes meanwhile says nothing of what it has not read.
    b.vault().records("tasks").put(id(9), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    let log = a.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    let said = b.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let own = tx.vault(number)?.own.data;
        let body = tx.open_stored(number, own.into(), tx.logs.head(own.into())?.unwrap().seq)?.unwrap();
        let body = CheckedBody::decode(&body.data, BodyPlace::First).unwrap();
        Ok(body.head().unwrap().seen.heads().iter().any(|head| head.log == log))
    });
    assert!(!said.unwrap(), "a log that waits from its first group on is not seen");

    give_epoch(&b, &vault, &later);
    b.core().merge_held().unwrap();
    assert_eq!(
        (everything(&b.vault()).len(), waiting(&b)),
        (6, 0),
        "when the key has come, without opening again"
    );
    let before = everything(&b.vault());
    b.reopen();
    assert_eq!(everything(&b.vault()), before);
}

#[test]
fn a_delete_does_not_take_an_edit_that_waits() {
    let (a, b, relay, vault) = pair();
    let later = EpochSecrets::generate(Epoch(1), &OsEntropy);
    let put = |ms: u64, field: &'static str| {
        let stamp = Stamp::from_ms(ms);
        let value = ValueBuf::encode(&Value::from(1)).unwrap();
        let cells = vec![FieldCell { name: field, cell: Cell::Register(value.borrow()) }];
        let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
        let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
        writer.push(&Op { record: id(1), collection: "tasks", stamp, kind }, 1 << 16).unwrap();
        seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &Packed::of(&writer.encode()));
    };
    put(NOW, "w");
    with_epoch(&a, &vault, &later, || put(NOW + 1, "y"));
    put(NOW + 2, "x");
    show(&a, &b, &relay, &vault);
    let notes = b.vault().records("tasks");
    assert_eq!(
        notes.get(id(1)).unwrap(),
        Some(record(&[("w", 1)])),
        "neither y nor x, which stands behind it"
    );
    b.clock.set(NOW + 500);
    notes.delete(id(1)).unwrap();
    relay.sync(b.core(), &vault);
    give_epoch(&b, &vault, &later);
    b.core().merge_held().unwrap();
    assert_eq!(
        notes.get(id(1)).unwrap(),
        Some(record(&[("w", 1), ("x", 1), ("y", 1)])),
        "a delete takes no edit that it has not read"
    );
}

#[test]
fn a_large_group_is_merged_whole_with_memory_for_one_body() {
    let (a, mut b, relay, vault) = pair();
    smaller_groups(64, 1 << 30, 1 << 20);
    let far = NOW + CLOCK_AHEAD_MAX_MS + 1000;
    let value = Value::Bytes(vec![0; 1 << 19]);
    // 60 MiB of plaintext; the first body says that the last op is from the future.
    for n in 0..40 {
        let body = body(n as usize, far, 3 * n..3 * n + 3, &value);
        seal(&a, &vault, Kind::DATA, GroupPlace::of(n as usize, 40), &body);
    }
    seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &body(0, far, 200..201, &Value::from(1)));
    show(&a, &b, &relay, &vault);
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (0, 41), "held whole, with what is behind it");
    b.clock.set(far);
    let before = rows_looked_at();
    b.reopen();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (121, 0));
    // Each header once, each body once.
    assert!(rows_looked_at() - before <= 2 * 41 + 4, "{}", rows_looked_at() - before);
    assert!(bytes_held_max() <= SEGMENT_PLAIN_MAX, "{}", bytes_held_max());
}

#[test]
fn a_large_group_that_turns_out_wrong_leaves_nothing_and_is_tried_once_by_a_version() {
    let (a, mut b, relay, vault) = pair();
    smaller_groups(64, 1 << 20, 1 << 10);
    let value = Value::Bytes(noise(2000));
    let count = 8;
    for n in 0..count {
        let data = match n {
            7 => Packed::of(b"of a newer version"),
            _ => body(n, NOW, n as u32..n as u32 + 1, &value),
        };
        seal(&a, &vault, Kind::DATA, GroupPlace::of(n, count), &data);
    }
    seal_group(&a, &vault, 100, 1, &value);
    show(&a, &b, &relay, &vault);
    let reopened = |b: &mut TestDevice| {
        let before = rows_looked_at();
        b.reopen();
        assert_eq!((everything(&b.vault()), waiting(b)), (vec![], 9));
        assert_eq!(reason(b, &vault, &a), Some(WaitReason::Undecodable));
        rows_looked_at() - before
    };
    assert_eq!(reason(&b, &vault, &a), Some(WaitReason::Undecodable));
    for _ in 0..2 {
        let rows = reopened(&mut b);
        assert!(rows <= 1, "{rows} rows: it is known");
    }
    // Another version of the program tries again, once.
    let of_another_version = b.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let log = tx.state.logs.number(number, &a.core().with_vault(&vault, |v| Ok(v.logs[&v.own.data].id))?);
        let row = UnreadRow { first: Seq(0), reason: 2, version: "0.0.0".to_owned() };
        Ok(tx.logs.put_unread(log.unwrap().into(), &row)?)
    });
    of_another_version.unwrap();
    let rows = reopened(&mut b);
    assert!(rows >= 8, "{rows} rows");
    let rows = reopened(&mut b);
    assert!(rows <= 1, "{rows} rows");
    let clock = b.core().lock_state().unwrap().clock.max();
    assert!(clock <= Stamp::from_ms(NOW + 1), "a group that was given up moves no clock");
    // The log goes on, and is not tried again for it.
    seal_group(&a, &vault, 101, 1, &value);
    let before = rows_looked_at();
    show(&a, &b, &relay, &vault);
    assert!(rows_looked_at() - before <= 1, "{}", rows_looked_at() - before);
    assert_eq!(waiting(&b), 10);
    b.vault().records("tasks").put(id(1), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    assert_eq!(everything(&b.vault()).len(), 1, "nothing else is held up");
}

#[test]
fn a_large_group_that_stays_shut_is_opened_again_when_a_key_comes_and_not_before() {
    let (a, mut b, relay, vault) = pair();
    smaller_groups(64, 1 << 20, 1 << 10);
    let later = EpochSecrets::generate(Epoch(1), &OsEntropy);
    let value = Value::Bytes(noise(2000));
    let sealed = |n: usize| {
        let data = body(n, NOW, n as u32..n as u32 + 1, &value);
        seal(&a, &vault, Kind::DATA, GroupPlace::of(n, 8), &data);
    };
    (0..7).for_each(sealed);
    with_epoch(&a, &vault, &later, || sealed(7));
    show(&a, &b, &relay, &vault);
    for _ in 0..2 {
        let before = rows_looked_at();
        b.reopen();
        assert!(rows_looked_at() - before <= 1, "{}", rows_looked_at() - before);
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::StaysShut));
    }
    give_epoch(&b, &vault, &later);
    // Also when the store was closed before it could be tried.
    b.reopen();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (8, 0));
    b.reopen();
    assert_eq!(reason(&b, &vault, &a), None);
}

#[test]
fn a_group_beyond_its_limits_is_refused_by_name_and_before_it_is_inflated() {
    for (segments, plain_bytes, name) in [(3, 1 << 30, "segments"), (64, 3 << 20, "bytes")] {
        let (a, b, relay, vault) = pair();
        smaller_groups(segments, plain_bytes, 1 << 20);
        let held_before = bytes_held_max();
        seal_group(&a, &vault, 0, 4, &Value::Bytes(vec![0; MIB]));
        show(&a, &b, &relay, &vault);
        assert_eq!(everything(&b.vault()), [], "{name}");
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::TooLarge), "{name}");
        let held = bytes_held_max().max(held_before);
        assert!(held <= SEGMENT_PLAIN_MAX, "{name}: {held}");
    }
    // One that is exactly as large as it may be.
    let (a, b, relay, vault) = pair();
    smaller_groups(4, 5 << 20, 1 << 20);
    seal_group(&a, &vault, 0, 4, &Value::Bytes(vec![0; MIB]));
    show(&a, &b, &relay, &vault);
    assert_eq!(everything(&b.vault()).len(), 4);
}

#[test]
fn many_small_segments_that_inflate_are_never_in_memory_together() {
    let (a, b, relay, vault) = pair();
    let zeros = Value::Bytes(vec![0; MIB]);
    // As one group, and as a group each: 96 MiB of plaintext in both cases.
    seal_group(&a, &vault, 0, 96, &zeros);
    (0..96).for_each(|n| seal_group(&a, &vault, 1000 + n, 1, &zeros));
    let outbox = a.core().outbox(&vault, &relay.pin, &std::collections::BTreeMap::default(), usize::MAX);
    let wire: usize = outbox.unwrap().segments.iter().map(|segment| segment.bytes().len()).sum();
    assert!(wire < 192 * 1024, "{wire}");
    show(&a, &b, &relay, &vault);
    assert_eq!(waiting(&b), 0);
    assert!(bytes_held_max() <= 16 << 20, "{}", bytes_held_max());
}

#[test]
fn ops_of_a_few_bytes_that_take_far_more_in_memory_are_never_decoded_together() {
    let (a, b, relay, vault) = pair();
    // 1,024 cells of three bytes each in an op: in memory they take twenty times as much.
    let fields: Vec<_> = (0..1024).map(|n| n.to_string()).collect();
    let unset = |name| FieldCell { name, cell: Cell::Unset };
    let many = |index, first: u8| {
        let stamp = Stamp::from_ms(NOW);
        let mut writer = match index {
            0 => BodyWriter::first(stamp, &GroupHead::of(stamp)),
            _ => BodyWriter::behind(stamp),
        };
        for n in 0..=u8::MAX {
            let put =
                Put::new(Tombstone::default(), fields.iter().map(|name| unset(name)).collect()).unwrap();
            let record = RecordId::from_bytes([first, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            let op = Op { record, collection: "tasks", stamp, kind: OpKind::Put(put) };
            writer.push(&op, SEGMENT_PLAIN_MAX).unwrap();
        }
        Packed::of(&writer.encode())
    };
    // Two groups that are decoded in turn, and one that is too much for a pass by itself, with another behind it.
    seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &many(0, 1));
    seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &many(0, 2));
    for (index, first) in (0..3).zip(3..) {
        seal(&a, &vault, Kind::DATA, GroupPlace::of(index, 3), &many(index, first));
    }
    seal_group(&a, &vault, 9, 1, &Value::from(1));
    show(&a, &b, &relay, &vault);
    assert_eq!(waiting(&b), 0);
    assert_eq!(everything(&b.vault()).len(), 5 * 256 + 1);
    assert!(decoded_held_max() > 8 << 20, "{}", decoded_held_max());
    assert!(decoded_held_max() <= 40 << 20, "{}", decoded_held_max());
}

#[test]
fn kinds_without_ops_are_passed_over_and_others_of_newer_versions_hold_up_their_log() {
    let (a, mut b, relay, vault) = pair();
    let kind = |value| Kind::from_wire(value).unwrap();
    let one = Value::from(1);
    let something = Packed::of(b"of a newer version");
    seal_group(&a, &vault, 1, 1, &one);
    for passed in [kind(0x21), Kind::CARRIED, kind(0x3f)] {
        seal(&a, &vault, passed, GroupPlace::Whole, &something);
    }
    seal_group(&a, &vault, 2, 2, &one);
    show(&a, &b, &relay, &vault);
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (3, 0));
    seal(&a, &vault, Kind::DATA, GroupPlace::First, &body(0, NOW, 8..9, &one));
    seal(&a, &vault, kind(0x04), GroupPlace::Last, &something);
    seal_group(&a, &vault, 5, 1, &one);
    show(&a, &b, &relay, &vault);
    for _ in 0..2 {
        assert_eq!((everything(&b.vault()).len(), waiting(&b)), (3, 3));
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::UnknownKind));
        b.reopen();
    }
    let other = super::strangers::another_relay(3);
    assert_eq!(other.take(b.core(), &vault), other.take(a.core(), &vault).map(|_| 12), "and it is passed on");
}

#[test]
fn a_kind_of_a_newer_version_holds_up_its_log_wherever_in_a_group_it_stands() {
    let one = Value::from(1);
    for (at, count) in [(0, 1), (0, 3), (1, 3), (2, 3)] {
        let (a, b, relay, vault) = pair();
        seal_group(&a, &vault, 1, 1, &one);
        for index in 0..count {
            let kind = if index == at { Kind::from_wire(0x04).unwrap() } else { Kind::DATA };
            let body = body(index, NOW, 10..11, &one);
            // One by one: what was looked at of a group without its end is not looked at again.
            seal(&a, &vault, kind, GroupPlace::of(index, count), &body);
            show(&a, &b, &relay, &vault);
        }
        seal_group(&a, &vault, 20, 1, &one);
        show(&a, &b, &relay, &vault);
        assert_eq!((everything(&b.vault()).len(), waiting(&b)), (1, count as u64 + 1), "{at} of {count}");
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::UnknownKind), "{at} of {count}");
    }
}

#[test]
fn what_stands_in_a_group_without_an_end_does_not_matter_once_its_log_is_closed() {
    let one = Value::from(1);
    let (a, b, relay, vault) = pair();
    let later = EpochSecrets::generate(Epoch(1), &OsEntropy);
    seal_group(&a, &vault, 1, 2, &one);
    seal(&a, &vault, Kind::DATA, GroupPlace::First, &Packed::of(b"of a newer version"));
    seal(&a, &vault, Kind::from_wire(0x04).unwrap(), GroupPlace::Middle, &Packed::of(b""));
    with_epoch(&a, &vault, &later, || {
        seal(&a, &vault, Kind::DATA, GroupPlace::Middle, &body(1, NOW, 7..8, &one));
    });
    show(&a, &b, &relay, &vault);
    assert_eq!((everything(&b.vault()).len(), reason(&b, &vault, &a)), (2, None));
    seal(&a, &vault, Kind::CLOSING, GroupPlace::Whole, &Packed::of(b""));
    show(&a, &b, &relay, &vault);
    assert_eq!((everything(&b.vault()).len(), waiting(&b), reason(&b, &vault, &a)), (2, 0, None));
}

#[test]
fn of_logs_that_wait_each_goes_on_when_what_it_waits_for_is_there() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    super::join(&a, &c);
    for device in [&a, &c, &a, &b] {
        relay.sync(device.core(), &vault);
    }
    let one = Value::from(1);
    let epochs = [1, 2].map(|epoch| EpochSecrets::generate(Epoch(epoch), &OsEntropy));
    let far = NOW + CLOCK_AHEAD_MAX_MS + 1000;
    for (device, epoch, first) in [(&a, &epochs[0], 10), (&c, &epochs[1], 20)] {
        with_epoch(device, &vault, epoch, || seal_group(device, &vault, first, 2, &one));
        seal(device, &vault, Kind::DATA, GroupPlace::Whole, &body(0, far, first + 5..first + 6, &one));
        show(device, &b, &relay, &vault);
    }
    let held = || (everything(&b.vault()).len(), waiting(&b));
    assert_eq!(held(), (0, 6));
    for (key, (merged, waits)) in epochs.iter().zip([(2, 4), (4, 2)]) {
        give_epoch(&b, &vault, key);
        b.core().merge_held().unwrap();
        assert_eq!(held(), (merged, waits));
    }
    assert_eq!([&a, &c].map(|device| reason(&b, &vault, device)), [None, None]);
    b.clock.set(far);
    b.core().merge_held().unwrap();
    assert_eq!(held(), (6, 0));
}

#[test]
fn a_segment_that_begins_or_ends_where_no_group_may_holds_up_its_log() {
    use GroupPlace::{First, Last, Middle, Whole};
    for places in [&[Whole, Last][..], &[Whole, Middle], &[First, First], &[First, Middle, Whole]] {
        let (a, b, relay, vault) = pair();
        seal_group(&a, &vault, 1, 1, &Value::from(1));
        for (index, place) in places.iter().enumerate() {
            let index = usize::from(!place.is_first() && index > 0);
            seal(&a, &vault, Kind::DATA, *place, &body(index, NOW, 10..11, &Value::from(1)));
        }
        seal_group(&a, &vault, 3, 1, &Value::from(1));
        show(&a, &b, &relay, &vault);
        let merged = if places[0] == Whole { 2 } else { 1 };
        assert_eq!(everything(&b.vault()).len(), merged, "{places:?}");
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::Misplaced), "{places:?}");
    }
}

#[test]
fn a_closed_log_ends_and_a_group_without_an_end_in_front_of_that_is_empty() {
    let (a, b, relay, vault) = pair();
    let key = a.core().with_vault(&vault, |state| Ok(copy_pair(&state.keyring.logs.data))).unwrap();
    seal_group(&a, &vault, 1, 2, &Value::from(1));
    seal(&a, &vault, Kind::DATA, GroupPlace::First, &body(0, NOW, 7..8, &Value::from(1)));
    seal(&a, &vault, Kind::CLOSING, GroupPlace::Whole, &Packed::of(b""));
    show(&a, &b, &relay, &vault);
    assert_eq!(
        (everything(&b.vault()).len(), waiting(&b)),
        (2, 0),
        "the ops of the third segment never count"
    );
    // Its author writes on, and a relay that does not look shows it.
    let head = a.core().heads(&vault).unwrap().into_iter().find(|head| head.seq == Seq(3)).unwrap();
    let mut stranger = Stranger::with_log(key, &vault);
    stranger.go_on_from(head);
    let behind = stranger.next(Kind::DATA, b"");
    let before = b.core().heads(&vault).unwrap();
    relay.give(b.core(), &vault, batch(&relay, Vec::<PublicKeyBytes>::new(), vec![behind])).unwrap();
    assert_eq!(b.core().heads(&vault).unwrap(), before);
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn a_bad_signature_and_another_future_of_a_log_are_told_apart_without_what_stands_before() {
    let (a, b, relay, vault) = pair();
    let key = a.core().with_vault(&vault, |state| Ok(copy_pair(&state.keyring.logs.data))).unwrap();
    seal_group(&a, &vault, 1, 3, &Value::from(1));
    show(&a, &b, &relay, &vault);
    let branches = || b.core().read(|doors| Ok(doors.logs()?.branches()?.count())).unwrap();
    let mut other = Stranger::with_log(key, &vault);
    let other: Vec<_> = (0..6).map(|n| other.next(Kind::DATA, &[n])).collect();
    // The first that is seen of the other future stands right behind what is held.
    let next = other[3].clone();
    relay
        .give(
            b.core(),
            &vault,
            batch(&relay, Vec::<PublicKeyBytes>::new(), vec![next.clone(), other[1].clone()]),
        )
        .unwrap();
    assert_eq!(branches(), 0, "what they follow is not here");
    let mut bytes = next.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = subrosa_protocol::segment::SealedSegment::parse(bytes.into()).unwrap();
    let refused = relay.give(b.core(), &vault, batch(&relay, Vec::<PublicKeyBytes>::new(), vec![forged]));
    assert!(matches!(refused, Err(Error::Peer(PeerFault::BadSignature))), "{refused:?}");
    let all = batch(&relay, Vec::<PublicKeyBytes>::new(), other);
    relay.give(b.core(), &vault, all).unwrap();
    assert_eq!((everything(&b.vault()).len(), branches(), waiting(&b)), (3, 1, 6));
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn a_group_of_which_a_relay_has_the_beginning_goes_on_under_the_old_log() {
    let (a, b, relay, vault) = pair();
    for (group, records) in [(0, 1..3), (1, 3..6)] {
        let large = |n| (id(n), Record([("x".to_owned(), Value::Bytes(noise(100_000)))].into()));
        for (id, record) in records.map(large) {
            a.vault().records("tasks").put(id, &record).unwrap();
        }
        assert_eq!(a.core().seal(&vault).unwrap().segments, 2 + group, "a group of as many segments");
    }
    // Of the second group the relay has taken one segment.
    let sent =
        a.core().outbox(&vault, &relay.pin, &std::collections::BTreeMap::default(), usize::MAX).unwrap();
    let segments = sent.segments.into_iter().take(3);
    {
        let mut state = relay.state.lock().unwrap();
        state.logs.extend(sent.logs.iter().map(|log| log.key));
        let acks: Vec<_> =
            segments.map(|segment| super::append(&mut state, &vault, segment).unwrap()).collect();
        drop(state);
        a.core().acked(&vault, &relay.pin, &acks).unwrap();
    }
    a.core().rotate_at_once(&vault).unwrap();
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    assert_eq!(everything(&b.vault()).len(), 5);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!(waiting(&b), 0);
}

#[test]
#[ignore = "a quarter of a minute and 300 MiB, most of them to read the records at the end; see docs/ARCHITECTURE.md, long runs"]
fn a_group_of_as_many_segments_as_there_may_be_is_merged_with_memory_for_one_body() {
    let (a, mut b, relay, vault) = pair();
    let value = Value::Bytes(vec![0; 30 << 10]);
    let sealed = a.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let log = tx.vault(number)?.own.data;
        for n in 0..GROUP_SEGMENTS_MAX {
            let body = body(n, NOW, n as u32..n as u32 + 1, &value);
            tx.seal_next(number, log, Kind::DATA, GroupPlace::of(n, GROUP_SEGMENTS_MAX), &body)?;
        }
        Ok(())
    });
    sealed.unwrap();
    show(&a, &b, &relay, &vault);
    b.reopen();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (GROUP_SEGMENTS_MAX, 0));
    assert!(bytes_held_max() <= SEGMENT_PLAIN_MAX, "{}", bytes_held_max());
    let resident = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = resident.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("unknown here").to_owned();
    eprintln!("peak of resident memory, with the writer's part of the test: {peak}");
}
