//! The author's repair: what a delete hides that did not know it shows again, and what it knew does not.

use subrosa_model::merge::Value;
use subrosa_protocol::ids::{Incarnation, Pin, VaultId};
use subrosa_protocol::limits::CARRY_AFTER_MS;

use super::exchange::pair;
use super::restored::copy_dir;
use super::{ListRelay, TestDevice, everything, id, record};
use crate::collection::Record;
use crate::device::Device;
use crate::memory::cost::{logs_looked_at, rows_looked_at};

/// A device whose store is used twice, and another device.
struct Copies {
    a: TestDevice,
    copy: Device,
    b: TestDevice,
    relay: ListRelay,
    vault: VaultId,
}

fn put_on(device: &Device, n: u8, fields: &[(&str, i64)]) {
    device.vault("personal").unwrap().records("notes").put(id(n), &record(fields)).unwrap();
}

fn put(device: &TestDevice, n: u8, fields: &[(&str, i64)]) {
    put_on(device.device.as_ref().unwrap(), n, fields);
}

fn delete_on(device: &Device, n: u8) {
    assert!(device.vault("personal").unwrap().records("notes").delete(id(n)).unwrap());
}

fn shown_on(device: &Device) -> Option<Record> {
    device.vault("personal").unwrap().records("notes").get(id(1)).unwrap()
}

pub(super) fn copy_of(a: &mut TestDevice, name: &str) -> Device {
    a.device = None;
    let path = a.dir.path().join(name);
    copy_dir(&a.path(), &path);
    a.device = Some(a.open_at(&a.path()));
    a.open_at(&path)
}

impl Copies {
    /// Both copies, and everybody else, have seen a record.
    fn new() -> Self {
        let (mut a, b, relay, vault) = pair();
        put(&a, 1, &[("x", 1)]);
        relay.sync(a.core(), &vault);
        relay.sync(b.core(), &vault);
        let copy = copy_of(&mut a, "copy");
        Self { a, copy, b, relay, vault }
    }

    /// Time goes on, for everybody.
    fn later(&self, ms: u64) {
        let now = self.a.core().now_ms() + ms;
        self.a.clock.set(now);
        self.b.clock.set(now);
    }

    /// The copy writes the record later than the store, and deletes it: the delete names a stamp behind the store's edit.
    fn copy_deletes(&self) {
        self.later(100);
        put_on(&self.copy, 1, &[("z", 3)]);
        delete_on(&self.copy, 1);
    }

    fn sync_all(&self) {
        for _ in 0..3 {
            for core in [&self.copy.core, self.a.core(), self.b.core()] {
                self.relay.sync(core, &self.vault);
            }
        }
    }

    /// All show the same; what they show of the record.
    fn shown(&self) -> Option<Record> {
        let shown = everything(&self.a.vault());
        assert_eq!(everything(&self.copy.vault("personal").unwrap()), shown);
        assert_eq!(everything(&self.b.vault()), shown);
        shown_on(&self.copy)
    }

    fn edit_hidden_by_the_copy() -> Self {
        let copies = Self::new();
        put(&copies.a, 1, &[("y", 2)]);
        copies.copy_deletes();
        copies.sync_all();
        copies
    }
}

#[test]
fn an_edit_shows_again_that_another_copy_deleted_without_knowing_it() {
    let copies = Copies::edit_hidden_by_the_copy();
    // As with any edit that a delete did not know, the record is there with all its fields.
    assert_eq!(copies.shown(), Some(record(&[("x", 1), ("y", 2), ("z", 3)])));
}

#[test]
fn what_was_shown_again_and_is_deleted_then_stays_away() {
    let mut copies = Copies::edit_hidden_by_the_copy();
    delete_on(copies.b.device.as_ref().unwrap(), 1);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.sync_all();
    assert_eq!(copies.shown(), None);
    copies.a.reopen();
    copies.later(3 * CARRY_AFTER_MS);
    copies.sync_all();
    assert_eq!(copies.shown(), None);
}

#[test]
fn a_delete_that_knew_both_futures_is_not_undone() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.later(100);
    put_on(&copies.copy, 1, &[("z", 3)]);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("x", 1), ("y", 2), ("z", 3)])));
    for deleter in [copies.b.device.as_ref().unwrap(), &copies.copy] {
        put_on(deleter, 1, &[("w", 4)]);
        delete_on(deleter, 1);
        copies.relay.sync(&deleter.core, &copies.vault);
        copies.sync_all();
        assert_eq!(copies.shown(), None);
        copies.later(3 * CARRY_AFTER_MS);
        copies.sync_all();
        assert_eq!(copies.shown(), None);
    }
}

#[test]
fn an_edit_shows_again_that_another_device_deleted_which_knew_the_other_copy_alone() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.later(100);
    put_on(&copies.copy, 1, &[("z", 3)]);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.b.core(), &copies.vault);
    delete_on(copies.b.device.as_ref().unwrap(), 1);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("x", 1), ("y", 2), ("z", 3)])));
}

#[test]
fn a_local_delete_counts_as_much_as_one_that_comes() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.later(100);
    put_on(&copies.copy, 1, &[("z", 3)]);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.b.core(), &copies.vault);
    // B deletes without knowing A's edit, and A deletes all of it.
    delete_on(copies.b.device.as_ref().unwrap(), 1);
    copies.relay.sync(copies.a.core(), &copies.vault);
    delete_on(copies.a.device.as_ref().unwrap(), 1);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.sync_all();
    assert_eq!(copies.shown(), None);
}

#[test]
fn a_field_shows_again_that_was_cleared_without_knowing_it() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2), ("w", 1)]);
    copies.copy_deletes();
    put_on(&copies.copy, 1, &[("w", 5)]);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("w", 5), ("y", 2)])));
}

#[test]
fn what_shows_again_is_as_old_as_it_was() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.later(10);
    put(&copies.b, 1, &[("y", 7)]);
    copies.copy_deletes();
    put_on(&copies.copy, 1, &[("w", 5)]);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.later(1_000);
    copies.relay.sync(copies.a.core(), &copies.vault);
    assert_eq!(shown_on(copies.a.device.as_ref().unwrap()), Some(record(&[("w", 5), ("y", 2)])));
    copies.sync_all();
    assert_eq!(
        copies.shown(),
        Some(record(&[("w", 5), ("y", 7)])),
        "it was written by one who knew the other"
    );
}

#[test]
fn what_waited_when_a_copy_was_taken_was_known_to_it() {
    let (mut a, b, relay, vault) = pair();
    put(&a, 1, &[("y", 2)]);
    let copy = copy_of(&mut a, "copy");
    let copies = Copies { a, copy, b, relay, vault };
    // In the copy it is coalesced away: only the run says that it was there.
    delete_on(&copies.copy, 1);
    put_on(&copies.copy, 3, &[("x", 1)]);
    put(&copies.a, 2, &[("x", 1)]);
    copies.sync_all();
    assert_eq!((copies.shown(), everything(&copies.a.vault()).len()), (None, 2));
    copies.later(3 * CARRY_AFTER_MS);
    copies.sync_all();
    assert_eq!(copies.shown(), None);
}

#[test]
fn what_a_store_that_was_put_back_does_not_know_shows_again_after_a_day() {
    let (mut a, b, relay, vault) = pair();
    put(&a, 1, &[("x", 1)]);
    relay.sync(a.core(), &vault);
    drop(copy_of(&mut a, "backup"));
    put(&a, 1, &[("y", 2)]);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    a.device = None;
    std::fs::remove_dir_all(a.path()).unwrap();
    copy_dir(&a.dir.path().join("backup"), &a.path());
    a.device = Some(a.open_at(&a.path()));
    a.clock.set(1_000_100);
    put(&a, 1, &[("z", 3)]);
    delete_on(a.device.as_ref().unwrap(), 1);
    let sync = |a: &TestDevice| {
        for core in [a.core(), b.core(), a.core()] {
            relay.sync(core, &vault);
        }
        assert_eq!(everything(&a.vault()), everything(&b.vault()));
        shown_on(a.device.as_ref().unwrap())
    };
    assert_eq!(sync(&a), None, "another copy that knows it may be alive");
    for device in [&a, &b] {
        device.clock.set(1_000_000 + 3 * CARRY_AFTER_MS);
    }
    // What is to be looked at is kept.
    a.reopen();
    assert_eq!(sync(&a), Some(record(&[("x", 1), ("y", 2), ("z", 3)])));
}

#[test]
fn once_everything_shows_nothing_is_looked_at_again() {
    let copies = Copies::edit_hidden_by_the_copy();
    copies.later(3 * CARRY_AFTER_MS);
    copies.sync_all();
    let looked_at = || (logs_looked_at(), rows_looked_at());
    for n in 10..12 {
        let before = looked_at();
        put(&copies.a, n, &[("x", 1)]);
        copies.a.core().seal_for(&copies.vault, &copies.relay.pin).unwrap();
        assert_eq!(looked_at(), before);
    }
}

#[test]
fn many_records_that_were_hidden_show_again() {
    let copies = Copies::new();
    let (on_a, on_copy) = (copies.a.vault(), copies.copy.vault("personal").unwrap());
    let ids: Vec<_> =
        (0..1_100).map(|_| on_a.records("many").insert(&record(&[("x", 1)])).unwrap()).collect();
    copies.relay.sync(copies.a.core(), &copies.vault);
    drop((on_a, on_copy));
    // From here on there are two of it.
    let Copies { mut a, b, relay, vault, copy } = copies;
    drop(copy);
    let copy = copy_of(&mut a, "second");
    let copies = Copies { a, copy, b, relay, vault };
    let on_a = copies.a.vault();
    on_a.write(|tx| {
        ids.iter().try_for_each(|id| on_a.records("many").in_tx(tx).put(*id, &record(&[("y", 2)])))
    })
    .unwrap();
    copies.later(100);
    let on_copy = copies.copy.vault("personal").unwrap();
    on_copy
        .write(|tx| {
            ids.iter().try_for_each(|id| {
                on_copy.records("many").in_tx(tx).put(*id, &record(&[("z", 3)]))?;
                on_copy.records("many").in_tx(tx).delete(*id).map(drop)
            })
        })
        .unwrap();
    copies.sync_all();
    copies.shown();
    assert_eq!(on_copy.records("many").scan().count(), 1_100);
}

#[test]
fn a_delete_that_knew_all_and_comes_late_hides_what_was_shown_again() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.copy_deletes();
    delete_on(copies.b.device.as_ref().unwrap(), 1);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.a.core(), &copies.vault);
    assert!(shown_on(copies.a.device.as_ref().unwrap()).is_some(), "nobody who is here knew it");
    copies.sync_all();
    assert_eq!(copies.shown(), None);
    // Put anew it is a record like any.
    put(&copies.b, 1, &[("w", 1)]);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("w", 1)])));
}

#[test]
fn an_edit_of_what_was_shown_again_stays() {
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.copy_deletes();
    delete_on(copies.b.device.as_ref().unwrap(), 1);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.a.core(), &copies.vault);
    put(&copies.a, 1, &[("w", 4)]);
    copies.sync_all();
    let shown = copies.shown().unwrap();
    assert_eq!(shown.0.get("w"), record(&[("w", 4)]).0.get("w"), "B did not know that edit");
}

#[test]
fn of_what_was_written_together_each_put_counts_by_itself() {
    // The first of two puts in a segment was there when the copy was taken, and was deleted with knowledge.
    let (mut a, b, relay, vault) = pair();
    put(&a, 1, &[("x", 1)]);
    let copy = copy_of(&mut a, "copy");
    let copies = Copies { a, copy, b, relay, vault };
    put(&copies.a, 1, &[("y", 2)]);
    copies.copy_deletes();
    put_on(&copies.copy, 1, &[("z", 4)]);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("y", 2), ("z", 4)])));
    // The second is later than what the delete names.
    let copies = Copies::new();
    put(&copies.a, 1, &[("y", 2)]);
    copies.later(100);
    put_on(&copies.copy, 1, &[("z", 3)]);
    copies.later(100);
    put(&copies.a, 1, &[("w", 5)]);
    delete_on(&copies.copy, 1);
    put_on(&copies.copy, 1, &[("z", 4)]);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("w", 5), ("y", 2), ("z", 4)])));
}

#[test]
fn a_field_that_was_removed_stays_so_whoever_clears_that_unknowing() {
    let copies = Copies::new();
    put(&copies.b, 1, &[("y", 2)]);
    copies.relay.sync(copies.b.core(), &copies.vault);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.later(10);
    assert!(copies.a.vault().records("notes").delete_field(id(1), "y").unwrap());
    copies.copy_deletes();
    put_on(&copies.copy, 1, &[("z", 4)]);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.sync_all();
    assert_eq!(copies.shown(), Some(record(&[("z", 4)])));
}

#[test]
fn what_was_shown_again_does_not_hide_what_was_known_before() {
    let mut copies = Copies::new();
    let second = copy_of(&mut copies.a, "second");
    put(&copies.a, 1, &[("y", 2)]);
    copies.later(10);
    put(&copies.a, 2, &[("x", 1)]);
    copies.later(10);
    put_on(&copies.copy, 3, &[("x", 1)]);
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.a.core(), &copies.vault);
    copies.later(10);
    put_on(&second, 1, &[("z", 3)]);
    delete_on(&second, 1);
    delete_on(copies.a.device.as_ref().unwrap(), 2);
    for _ in 0..3 {
        copies.relay.sync(&second.core, &copies.vault);
        copies.sync_all();
    }
    assert_eq!(copies.shown(), Some(record(&[("x", 1), ("y", 2), ("z", 3)])));
    assert_eq!(copies.a.vault().records("notes").get(id(2)).unwrap(), None);
}

#[test]
fn more_than_is_written_at_a_time_shows_again_too() {
    let copies = Copies::new();
    let text = |n: u8| Record([("y".to_owned(), Value::from("v".repeat(1_000_000 + usize::from(n))))].into());
    let on_a = copies.a.vault();
    let ids = 10..30;
    on_a.write(|tx| {
        ids.clone().try_for_each(|n| on_a.records("notes").in_tx(tx).put(id(n), &record(&[("x", 1)])))
    })
    .unwrap();
    copies.relay.sync(copies.a.core(), &copies.vault);
    drop(on_a);
    let Copies { mut a, b, relay, vault, copy } = copies;
    drop(copy);
    let copy = copy_of(&mut a, "second");
    let copies = Copies { a, copy, b, relay, vault };
    for n in ids.clone() {
        copies.a.vault().records("notes").put(id(n), &text(n)).unwrap();
    }
    copies.later(100);
    for n in ids.clone() {
        put_on(&copies.copy, n, &[("z", 3)]);
        delete_on(&copies.copy, n);
        put_on(&copies.copy, n, &[("z", 4)]);
    }
    copies.relay.sync(&copies.copy.core, &copies.vault);
    copies.relay.sync(copies.a.core(), &copies.vault);
    for n in ids {
        let shown = copies.a.vault().records("notes").get(id(n)).unwrap().unwrap();
        assert_eq!(shown.0.get("y"), text(n).0.get("y"), "{n}");
    }
}

/// B has seen a future of the store's log that this one does not get from its relay, and deletes so many records.
#[test]
fn what_cannot_be_told_yet_ends_no_sync() {
    const RECORDS: usize = subrosa_protocol::limits::REPAIR_RECORDS_MAX + 76;
    let (mut a, b, relay, vault) = pair();
    let other = ListRelay {
        pin: Pin::from_bytes([8; 32]),
        incarnation: Incarnation::from_bytes([10; 16]),
        ..ListRelay::new()
    };
    let all: Vec<_> =
        (0..RECORDS).map(|_| a.vault().records("many").insert(&record(&[("x", 1)])).unwrap()).collect();
    for _ in 0..2 {
        for core in [a.core(), b.core()] {
            relay.sync(core, &vault);
            other.compare(core, &vault);
            other.sync(core, &vault);
        }
    }
    let (copy, second) = (copy_of(&mut a, "copy"), copy_of(&mut a, "second"));
    let put_all = |device: &Device, fields: &[(&str, i64)]| {
        let vault = device.vault("personal").unwrap();
        let many = vault.records("many");
        vault.write(|tx| all.iter().try_for_each(|id| many.in_tx(tx).put(*id, &record(fields)))).unwrap();
    };
    put_all(a.device.as_ref().unwrap(), &[("y", 2)]);
    for device in [&a, &b] {
        device.clock.set(1_000_100);
    }
    put_all(&copy, &[("z", 3)]);
    relay.sync(&copy.core, &vault);
    relay.sync(b.core(), &vault);
    let on_b = b.vault();
    on_b.write(|tx| all.iter().try_for_each(|id| on_b.records("many").in_tx(tx).delete(*id).map(drop)))
        .unwrap();
    // At the other relay another copy was first.
    put_on(&second, 8, &[("x", 1)]);
    other.sync(&second.core, &vault);
    other.compare(b.core(), &vault);
    other.sync(b.core(), &vault);
    other.feed(a.core(), &vault);
    a.core().rotate_logs(&vault).unwrap();
    other.compare(a.core(), &vault);
    for _ in 0..3 {
        other.feed(a.core(), &vault);
        let seals = (0..20).take_while(|_| a.core().seal_for(&vault, &other.pin).unwrap().more).count();
        assert!(seals < 20, "sealing ends");
        let _ = other.take(a.core(), &vault);
        other.compare(a.core(), &vault);
    }
}
