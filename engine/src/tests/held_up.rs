//! What waits holds up its own log from there on, and nothing else: several reasons in one log, and several logs at once.

use subrosa_model::merge::{BodyWriter, GroupHead, Seen, Stamp, Value};
use subrosa_model::seal::Packed;
use subrosa_protocol::ids::{Chain, Head, Seq, VaultId};
use subrosa_protocol::limits::CLOCK_AHEAD_MAX_MS;
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::merging::{NOW, body, body_of, reason, seal, seal_group, show, smaller_groups, waiting};
use super::strangers::{noise, pair};
use super::{TestDevice, everything, join};
use crate::memory::cost::rows_looked_at;
use crate::memory::extents::WaitReason;

const FAR: u64 = NOW + CLOCK_AHEAD_MAX_MS + 1000;

#[test]
fn what_stands_behind_an_undecodable_group_waits_also_when_both_are_too_large_for_one_pass() {
    let (a, mut b, relay, vault) = pair();
    smaller_groups(64, 1 << 30, 1 << 20);
    let value = Value::Bytes(noise(700_000));
    seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &Packed::of(&noise(700_000)));
    for n in 0..3 {
        seal_group(&a, &vault, n, 1, &value);
    }
    show(&a, &b, &relay, &vault);
    for _ in 0..2 {
        assert_eq!((everything(&b.vault()), waiting(&b)), (vec![], 4));
        assert_eq!(reason(&b, &vault, &a), Some(WaitReason::Undecodable));
        b.reopen();
    }
}

#[test]
fn a_group_from_the_future_is_merged_in_its_time_whatever_stands_behind_it() {
    let one = Value::from(1);
    for newer in [false, true] {
        let (a, b, relay, vault) = pair();
        seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &body(0, FAR, 1..2, &one));
        let kind = if newer { Kind::from_wire(4).unwrap() } else { Kind::DATA };
        seal(&a, &vault, kind, GroupPlace::Whole, &Packed::of(b"of a newer version"));
        show(&a, &b, &relay, &vault);
        assert_eq!((everything(&b.vault()).len(), waiting(&b)), (0, 2));
        assert!(b.core().held_wait().is_some());
        b.clock.set(FAR);
        b.core().merge_held().unwrap();
        assert_eq!((everything(&b.vault()).len(), waiting(&b)), (1, 1), "{newer}");
    }
}

#[test]
fn what_arrives_behind_a_group_that_is_held_opens_nothing_again() {
    let (a, b, relay, vault) = pair();
    let one = Value::from(1);
    for n in 0..40 {
        seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &body(0, FAR, n..n + 1, &one));
    }
    show(&a, &b, &relay, &vault);
    for n in 40..50 {
        seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &body(0, FAR, n..n + 1, &one));
        relay.take(a.core(), &vault).unwrap();
        let before = rows_looked_at();
        relay.feed(b.core(), &vault);
        assert!(rows_looked_at() - before <= 4, "{}", rows_looked_at() - before);
    }
    b.clock.set(FAR);
    b.core().merge_held().unwrap();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (50, 0));
}

#[test]
fn a_group_whose_end_comes_while_one_before_it_is_held_stays_a_group_of_its_own() {
    let (a, b, relay, vault) = pair();
    let one = Value::from(1);
    seal(&a, &vault, Kind::DATA, GroupPlace::Whole, &body(0, FAR, 1..2, &one));
    seal(&a, &vault, Kind::DATA, GroupPlace::First, &body(0, FAR, 2..3, &one));
    show(&a, &b, &relay, &vault);
    seal(&a, &vault, Kind::DATA, GroupPlace::Last, &body(1, FAR, 3..4, &one));
    show(&a, &b, &relay, &vault);
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (0, 3));
    assert_eq!(reason(&b, &vault, &a), None);
    b.clock.set(FAR);
    b.core().merge_held().unwrap();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (3, 0));
}

/// A first body whose author has seen the data log of a device.
fn seen_body(vault: &VaultId, of: &TestDevice, record: u32, value: &Value) -> Packed {
    let log = of.core().with_vault(vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    let seen = Seen::new(vec![Head { log, seq: Seq(0), chain: Chain::ZERO }]);
    let head = GroupHead { seen, ..GroupHead::of(Stamp::from_ms(NOW)) };
    body_of(BodyWriter::first(Stamp::from_ms(NOW), &head), record..record + 1, value)
}

#[test]
fn a_large_group_that_turns_out_wrong_holds_up_no_other_log_of_the_same_batch() {
    for wrong in [0, 1] {
        let (a, b, relay, vault) = pair();
        let (c, d) = (TestDevice::new(), TestDevice::new());
        for new in [&c, &d] {
            join(&a, new);
            for device in [&a, new, &a, &b] {
                relay.sync(device.core(), &vault);
            }
        }
        smaller_groups(64, 1 << 30, 1 << 10);
        // So that some of it is merged when the last one turns out wrong.
        let value = Value::Bytes(vec![0; 700_000]);
        let count = 8;
        for (index, device) in [&a, &c].into_iter().enumerate() {
            for n in 0..count {
                let first = (100 * index + n) as u32;
                let data = match n {
                    0 => seen_body(&vault, &b, first, &value),
                    7 if index == wrong => Packed::of(b"of a newer version"),
                    _ => body(n, NOW, first..first + 1, &value),
                };
                seal(device, &vault, Kind::DATA, GroupPlace::of(n, count), &data);
            }
            relay.take(device.core(), &vault).unwrap();
        }
        seal(&d, &vault, Kind::DATA, GroupPlace::Whole, &body(0, FAR, 900..901, &Value::from(1)));
        relay.take(d.core(), &vault).unwrap();
        relay.feed(b.core(), &vault);
        assert_eq!(everything(&b.vault()).len(), count, "of the log that is right, {wrong}");
        assert!(b.core().held_wait().is_some(), "and the third one is held, {wrong}");
        b.clock.set(FAR);
        b.core().merge_held().unwrap();
        assert_eq!((everything(&b.vault()).len(), waiting(&b)), (count + 1, count as u64), "{wrong}");
    }
}

#[test]
fn a_large_group_from_the_future_holds_up_no_other_log_and_is_merged_in_its_time() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&a, &c);
    for device in [&a, &c, &a, &b] {
        relay.sync(device.core(), &vault);
    }
    smaller_groups(64, 1 << 20, 1 << 10);
    let value = Value::Bytes(noise(2000));
    for (device, first, latest) in [(&a, 0, FAR), (&c, 100, NOW)] {
        for n in 0..4 {
            let record = first + n as u32;
            seal(
                device,
                &vault,
                Kind::DATA,
                GroupPlace::of(n, 4),
                &body(n, latest, record..record + 1, &value),
            );
        }
        relay.take(device.core(), &vault).unwrap();
    }
    relay.feed(b.core(), &vault);
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (4, 4));
    b.clock.set(FAR);
    b.core().merge_held().unwrap();
    assert_eq!((everything(&b.vault()).len(), waiting(&b)), (8, 0));
}
