//! Names of logs in tombstones of which no certificate is here: made up, or early.

use std::ops::Bound;

use subrosa_model::merge::{
    BodyWriter, Cell, FieldCell, GroupHead, Op, OpKind, Put, RecordId, Stamp, Tombstone, Value, ValueBuf,
};
use subrosa_model::seal::Packed;
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::ids::{LogId, Seq, VaultId};
use subrosa_protocol::limits::{LOGS_PER_VAULT_MAX, NOTES_PER_LOG_MAX};
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment};
use subrosa_store::keys::RecordKey;

use super::strangers::pair;
use super::{ListRelay, TestDevice, everything, id, join, record};

/// A log of which there is no certificate anywhere.
pub(super) fn made_up(n: u32) -> LogId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    LogId::from_bytes(bytes)
}

/// Seals a delete that names these logs, as somebody may who writes his own client.
pub(super) fn delete_naming(device: &TestDevice, vault: &VaultId, record: u8, ms: u64, names: Tombstone) {
    let stamp = Stamp::from_ms(ms);
    let record = RecordId::from_bytes([record; 16]);
    let op = Op { record, collection: "tasks", stamp, kind: OpKind::Delete(names) };
    let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
    writer.push(&op, 2 << 20).unwrap();
    let body = Packed::of(&writer.encode());
    device
        .core()
        .write(|tx| {
            let number = tx.state.vault_no(vault)?;
            let log = tx.vault(number)?.own.data;
            tx.seal_next(number, log, Kind::DATA, GroupPlace::Whole, &body)
        })
        .unwrap();
}

pub(super) fn row_of(device: &TestDevice, record: u8) -> usize {
    let found = device.core().read(|doors| {
        let records = doors.records()?;
        let mut found = 0;
        for row in records.range(&(Bound::Unbounded, Bound::Unbounded))? {
            let (key, row) = row?;
            if key.record() == RecordId::from_bytes([record; 16]) {
                found = row.row().as_bytes().len();
            }
        }
        Ok(found)
    });
    found.unwrap()
}

/// How many notes there are of the data log of `by`, at `at`, and from where on everything is noted.
pub(super) fn notes(at: &TestDevice, vault: &VaultId, by: &TestDevice) -> (usize, Option<Seq>) {
    let log = by.core().with_vault(vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    let state = at.core().lock_state().unwrap();
    let number = state.vault_no(vault).unwrap();
    state.vaults[&number].notes.of(state.logs.number(number, &log).unwrap().into())
}

#[test]
fn names_that_a_member_makes_up_are_not_kept_and_not_repeated() {
    let (a, mut b, relay, vault) = pair();
    b.vault().records("tasks").put(id(4), &record(&[("done", 0)])).unwrap();
    for device in [&b, &a, &b] {
        relay.sync(device.core(), &vault);
    }
    let (logs, row) = (b.core().lock_state().unwrap().logs.len(), row_of(&b, 4));
    for round in 0..12 {
        let names = (0..3000).map(|n| (made_up(round * 3000 + n), Stamp::from_ms(1))).collect();
        delete_naming(&a, &vault, 4, 1_000_100 + u64::from(round), names);
    }
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    b.reopen();
    assert_eq!((b.core().lock_state().unwrap().logs.len(), row_of(&b, 4)), (logs, row));
    assert_eq!(notes(&b, &vault, &a), (NOTES_PER_LOG_MAX, Some(Seq(0))));
    // What B does with the record is read by the others.
    b.clock.set(1_000_200);
    assert!(b.vault().records("tasks").delete(id(4)).unwrap());
    relay.sync(b.core(), &vault);
    b.vault().records("tasks").put(id(4), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    relay.feed(a.core(), &vault);
    assert_eq!(a.device.as_ref().unwrap().verify().unwrap().quarantined, 0);
    assert_eq!(a.vault().records("tasks").get(id(4)).unwrap(), Some(record(&[("done", 1)])));
}

/// A third device, whose record the first one has seen and deleted before the second one heard of it.
struct Late {
    a: TestDevice,
    b: TestDevice,
    c: TestDevice,
    relay: ListRelay,
    vault: VaultId,
}

impl Late {
    fn new(made_up_before: u32) -> Self {
        let (a, b, relay, vault) = pair();
        let c = TestDevice::new();
        join(&a, &c);
        relay.sync(a.core(), &vault);
        c.vault().records("tasks").put(id(5), &record(&[("done", 0), ("of c", 1)])).unwrap();
        relay.sync(c.core(), &vault);
        relay.sync(a.core(), &vault);
        if made_up_before > 0 {
            let names = (0..made_up_before).map(|n| (made_up(n), Stamp::from_ms(1))).collect();
            delete_naming(&a, &vault, 9, 1_000_001, names);
        }
        a.clock.set(1_000_500);
        assert!(a.vault().records("tasks").delete(id(5)).unwrap());
        relay.sync(a.core(), &vault);
        let late = Self { a, b, c, relay, vault };
        late.show(|late, segment| segment.header().kind == Kind::DATA && late.is_of(&late.a, segment));
        late
    }

    fn is_of(&self, device: &TestDevice, segment: &SealedSegment) -> bool {
        let own = |state: &crate::memory::state::VaultState| {
            Ok([state.own.data, state.own.control].map(|log| state.logs[&log].id))
        };
        device.core().with_vault(&self.vault, own).unwrap().contains(&segment.header().log)
    }

    /// Shows B some of what the relay holds.
    fn show(&self, which: impl Fn(&Self, &SealedSegment) -> bool) {
        let (logs, held) = {
            let state = self.relay.state.lock().unwrap();
            (state.logs.clone(), state.segments.clone())
        };
        let shown = held.into_iter().filter(|segment| which(self, segment));
        let items = shown.map(|segment| FeedItem { rseq: None, segment }).collect();
        let batch = FeedBatch { incarnation: self.relay.incarnation, logs, items, caught_up: None };
        self.relay.give(self.b.core(), &self.vault, batch).unwrap();
    }

    fn assert_agreement(&self) {
        assert_eq!(self.b.vault().records("tasks").get(id(5)).unwrap(), None, "it was deleted");
        for device in [&self.b, &self.a, &self.c, &self.b] {
            self.relay.sync(device.core(), &self.vault);
        }
        assert_eq!(everything(&self.a.vault()), everything(&self.b.vault()));
        assert_eq!(everything(&self.a.vault()), everything(&self.c.vault()));
        let rows = [&self.a, &self.b, &self.c].map(|device| row_of(device, 5));
        assert_eq!(rows, [rows[0]; 3]);
    }
}

#[test]
fn a_name_counts_as_soon_as_its_log_is_certified() {
    let late = Late::new(0);
    assert_eq!(notes(&late.b, &late.vault, &late.a), (1, None));
    // First the record and then the certificate, of a device of which B has not heard.
    late.show(|late, segment| late.is_of(&late.c, segment));
    assert_eq!(everything(&late.b.vault()), []);
    late.show(|_, _| true);
    assert_eq!(notes(&late.b, &late.vault, &late.a), (0, None));
    late.assert_agreement();
}

#[test]
fn a_name_that_waits_outlives_a_restart() {
    let mut late = Late::new(0);
    late.b.reopen();
    assert_eq!(notes(&late.b, &late.vault, &late.a), (1, None));
    late.show(|_, _| true);
    late.assert_agreement();
}

#[test]
fn a_log_that_names_too_many_is_merged_once_more_from_there() {
    let mut late = Late::new(NOTES_PER_LOG_MAX as u32);
    assert_eq!(notes(&late.b, &late.vault, &late.a), (NOTES_PER_LOG_MAX, Some(Seq(1))));
    late.b.reopen();
    late.show(|_, _| true);
    late.assert_agreement();
}

#[test]
fn a_group_without_an_end_in_a_closed_log_stays_empty_when_the_log_is_merged_once_more() {
    let late = Late::new(NOTES_PER_LOG_MAX as u32);
    let one = Value::from(1);
    let data = |index, record| super::merging::body(index, 1_000_500, record..record + 1, &one);
    let seal = |kind, place, data: &Packed| super::merging::seal(&late.a, &late.vault, kind, place, data);
    seal(Kind::DATA, GroupPlace::Whole, &data(0, 700));
    seal(Kind::DATA, GroupPlace::First, &data(0, 800));
    seal(Kind::DATA, GroupPlace::Middle, &data(1, 801));
    seal(Kind::CLOSING, GroupPlace::Whole, &Packed::of(b""));
    late.relay.take(late.a.core(), &late.vault).unwrap();
    late.show(|late, segment| late.is_of(&late.a, segment));
    let before = everything(&late.b.vault());
    assert_eq!(before.len(), 1);
    // With the certificate of C, all of the log is merged once more.
    late.show(|_, _| true);
    assert_eq!(late.b.vault().records("tasks").get(id(5)).unwrap(), None, "it was deleted");
    assert_eq!(everything(&late.b.vault()), before);
}

#[test]
fn what_is_written_before_a_name_counts_is_kept() {
    let late = Late::new(0);
    late.b.clock.set(1_000_600);
    late.b.vault().records("tasks").put(id(5), &record(&[("of b", 1)])).unwrap();
    late.show(|_, _| true);
    let shown = late.b.vault().records("tasks").get(id(5)).unwrap().expect("B's edit knew of no delete");
    for device in [&late.b, &late.a, &late.c, &late.b] {
        late.relay.sync(device.core(), &late.vault);
    }
    for device in [&late.a, &late.b, &late.c] {
        assert_eq!(device.vault().records("tasks").get(id(5)).unwrap().as_ref(), Some(&shown));
    }
}

/// One op on a record by each of so many logs, of fields of their own, as if all were merged.
fn touched_by_many_logs(device: &TestDevice, vault: &VaultId, logs: usize, n: u8) {
    let stamp = Stamp::from_ms(1_000_000);
    let value = ValueBuf::encode(&Value::from(1)).unwrap();
    let merged = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        let collection = tx.intern_collection(number, "tasks")?;
        let key = RecordKey::new(number, collection, &id(n));
        let fields: Vec<_> = (0..logs).map(|field| format!("field {field}")).collect();
        let mut ops = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let log = tx.register_log(number, &super::strangers::made_up(index as u32), Class::Data)?;
            let cells = vec![FieldCell { name: field, cell: Cell::Register(value.borrow()) }];
            let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
            ops.push((log, Op { record: id(n), collection: "tasks", stamp, kind }));
        }
        let ops: Vec<_> = ops.iter().map(|(log, op)| (key, *log, op)).collect();
        tx.records.merge_sorted(&tx.state.logs.of(number), &ops)
    });
    merged.unwrap();
}

#[test]
fn what_is_written_of_a_record_that_all_logs_of_a_full_vault_touched_is_read_by_the_others() {
    let (a, b, relay, vault) = pair();
    let logs = LOGS_PER_VAULT_MAX - b.core().lock_state().unwrap().logs.len();
    touched_by_many_logs(&b, &vault, logs, 4);
    let tasks = b.vault().records("tasks");
    b.clock.set(1_000_100);
    let (one, two) = (record(&[("x", 1)]), record(&[("y", 2)]));
    tasks.replace(id(4), &one).unwrap();
    relay.sync(b.core(), &vault);
    assert!(tasks.delete(id(4)).unwrap());
    relay.sync(b.core(), &vault);
    tasks.put(id(4), &one).unwrap();
    tasks.replace(id(4), &two).unwrap();
    relay.sync(b.core(), &vault);
    assert_eq!(tasks.get(id(4)).unwrap(), Some(two.clone()));
    relay.feed(a.core(), &vault);
    assert_eq!(a.device.as_ref().unwrap().verify().unwrap().quarantined, 0);
    assert_eq!(a.vault().records("tasks").get(id(4)).unwrap(), Some(two));
}
