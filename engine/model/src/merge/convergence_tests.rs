//! Three devices write, delete, replace, seal and exchange in any order, through the real bytes of rows, pending
//! rows and segment bodies, with wall clocks that disagree; then they must agree, and no edit may be lost to a
//! delete that did not know it.

use std::collections::{BTreeMap, HashMap};

use proptest::collection::vec;
use proptest::prelude::*;
use subrosa_protocol::ids::LogId;

use super::body::{BodyPlace, BodyWriter, CheckedBody, GroupHead};
use super::hlc::{HybridClock, Observed, Stamp};
use super::id::RecordId;
use super::logs::{LogNo, LogTable, NumberLogs as _};
use super::op::{Cell, FieldCell, Op, OpKind, Put, Tombstone};
use super::pending::PendingOps;
use super::state::RecordState;
use super::testing::{buf, intern, log};
use super::value::ValueBuf;

const DEVICES: usize = 3;
const FIELDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    Put { device: usize, record: u8, fields: Vec<usize> },
    Replace { device: usize, record: u8, fields: Vec<usize> },
    Delete { device: usize, record: u8 },
    Seal { device: usize, bytes_max: usize },
    Deliver { from: usize, to: usize },
    Certify { log: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let target = || (0..DEVICES, 0u8..2);
    let fields = || vec(0..FIELDS.len(), 0..3);
    prop_oneof![
        4 => (target(), fields()).prop_map(|((device, record), fields)| Step::Put { device, record, fields }),
        2 => (target(), fields()).prop_map(|((device, record), fields)| Step::Replace { device, record, fields }),
        2 => target().prop_map(|(device, record)| Step::Delete { device, record }),
        3 => (0..DEVICES, 0usize..200).prop_map(|(device, bytes_max)| Step::Seal { device, bytes_max }),
        6 => (0..DEVICES, 0..DEVICES).prop_map(|(from, to)| Step::Deliver { from, to }),
        1 => (0..DEVICES, 0..DEVICES).prop_map(|(log, to)| Step::Certify { log, to }),
    ]
}

/// One device's store, as rows.
struct Device {
    clock: HybridClock,
    /// How far its wall clock is off.
    skew_ms: u64,
    logs: LogTable,
    own: LogNo,
    rows: BTreeMap<RecordId, Vec<u8>>,
    pending: BTreeMap<RecordId, Vec<u8>>,
    segments: Vec<Vec<u8>>,
    received: [usize; DEVICES],
    /// Which segments, by device and place, name a log that is not certified here.
    notes: BTreeMap<LogId, Vec<(usize, usize)>>,
}

/// A write as the test saw it being made: in which log, of which field, and what.
#[derive(Clone)]
struct Write {
    record: RecordId,
    log: usize,
    stamp: Stamp,
    cells: Vec<(&'static str, Option<i64>)>,
}

#[derive(Default)]
struct World {
    devices: Vec<Device>,
    writes: Vec<Write>,
    deletes: Vec<(RecordId, Tombstone)>,
    now_ms: u64,
}

impl Device {
    fn new(index: usize) -> Self {
        let mut logs = LogTable::default();
        let own = intern(&mut logs, index as u8);
        Self {
            clock: HybridClock::new(Stamp::default()),
            skew_ms: [0, 3, 1_000][index],
            logs,
            own,
            rows: BTreeMap::new(),
            pending: BTreeMap::new(),
            segments: Vec::new(),
            received: [0; DEVICES],
            notes: BTreeMap::new(),
        }
    }

    fn state(&self, record: RecordId) -> RecordState<'_> {
        self.rows.get(&record).map_or_else(RecordState::default, |row| RecordState::decode(row).unwrap())
    }

    /// What a read shows.
    fn read(&self, record: RecordId) -> Option<BTreeMap<String, i64>> {
        let state = self.state(record);
        let fields = state.visible_fields(&self.logs);
        let fields = fields.map(|(name, value)| (name.to_owned(), value.decode().unwrap().as_i64().unwrap()));
        let fields = fields.collect();
        state.is_visible().then_some(fields)
    }

    fn merge(&mut self, log: LogNo, op: &Op<'_>) {
        let row = self.rows.remove(&op.record).unwrap_or_default();
        let mut state =
            if row.is_empty() { RecordState::default() } else { RecordState::decode(&row).unwrap() };
        state.apply(log, op, &self.logs);
        let mut out = Vec::new();
        state.encode(&mut out);
        self.rows.insert(op.record, out);
    }

    /// Merges an op of our own and keeps it for sealing.
    fn write(&mut self, op: Op<'_>) {
        let row = self.pending.remove(&op.record).unwrap_or_default();
        let mut pending = PendingOps::decode(op.record, op.collection, &row).unwrap();
        pending.push(op.clone());
        let mut out = Vec::new();
        pending.encode(&mut out);
        self.pending.insert(op.record, out);
        self.merge(self.own, &op);
    }

    fn seal(&mut self, bytes_max: usize) {
        let rows = std::mem::take(&mut self.pending);
        let group = GroupHead::of(self.clock.max());
        let mut writer = BodyWriter::first(self.clock.max(), &group);
        for (record, row) in &rows {
            for op in PendingOps::decode(*record, "c", row).unwrap().into_ops() {
                if writer.push(&op, bytes_max).is_err() {
                    let next = BodyWriter::first(op.stamp, &group);
                    self.segments.push(std::mem::replace(&mut writer, next).encode());
                    writer.push(&op, bytes_max).unwrap();
                }
            }
        }
        self.segments.push(writer.encode());
    }

    fn receive(&mut self, from: usize, segment: &[u8], now_ms: u64) {
        let body = CheckedBody::decode(segment, BodyPlace::First).unwrap();
        let latest = body.head().expect("each body is a group").latest;
        assert_eq!(self.clock.observe(latest, now_ms + self.skew_ms), Observed::Merge);
        assert!(body.named_ahead().is_empty(), "honest devices name nothing later than what they write");
        for named in body.named() {
            if self.logs.number_of(named).is_none() {
                self.notes.entry(*named).or_default().push((from, self.received[from]));
            }
        }
        self.merge_all(from, segment);
        self.received[from] += 1;
    }

    fn merge_all(&mut self, from: usize, segment: &[u8]) {
        let number = self.logs.number_of(&log(from as u8)).expect("only certified logs are merged");
        let body = CheckedBody::decode(segment, BodyPlace::First).unwrap();
        body.ops().iter().for_each(|op| self.merge(number, op));
    }
}

impl World {
    fn new() -> Self {
        Self { devices: (0..DEVICES).map(Device::new).collect(), now_ms: 1_000_000, ..Self::default() }
    }

    fn run(&mut self, step: &Step) {
        self.now_ms += 1;
        match step {
            Step::Put { device, record, fields } => self.put(*device, *record, fields, &[]),
            Step::Replace { device, record, fields } => {
                let held =
                    self.devices[*device].read(RecordId::from_bytes([*record; 16])).unwrap_or_default();
                let gone = FIELDS.into_iter().filter(|name| held.contains_key(*name)).collect::<Vec<_>>();
                self.put(*device, *record, fields, &gone);
            }
            Step::Delete { device, record } => self.delete(*device, *record),
            Step::Seal { device, bytes_max } => self.devices[*device].seal(*bytes_max),
            Step::Deliver { from, to } if from != to => self.deliver(*from, *to),
            Step::Certify { log, to } => self.certify(*log, *to),
            Step::Deliver { .. } => {}
        }
    }

    fn put(&mut self, index: usize, record: u8, fields: &[usize], gone: &[&'static str]) {
        let record = RecordId::from_bytes([record; 16]);
        let device = &mut self.devices[index];
        let before = device.read(record).unwrap_or_default();
        let stamp = device.clock.tick(self.now_ms + device.skew_ms);
        let value = self.writes.len() as i64;
        let mut cells: BTreeMap<&'static str, Option<i64>> = gone.iter().map(|name| (*name, None)).collect();
        cells.extend(fields.iter().map(|field| (FIELDS[*field], Some(value))));
        let encoded: Vec<(&str, Option<ValueBuf>)> =
            cells.iter().map(|(name, value)| (*name, value.map(buf))).collect();
        let field_cells = encoded.iter().map(|(name, value)| {
            let cell = value.as_ref().map_or(Cell::Unset, |value| Cell::Register(value.borrow()));
            FieldCell { name, cell }
        });
        let names = device.state(record).names_for_put(&device.logs);
        let put = Put::new(names, field_cells.collect()).unwrap();
        device.write(Op { record, collection: "c", stamp, kind: OpKind::Put(put) });
        // Whatever happened before: a local put shows what it set, and leaves what was visible.
        let mut expected = before;
        for (name, value) in &cells {
            match value {
                Some(value) => drop(expected.insert((*name).to_owned(), *value)),
                None => drop(expected.remove(*name)),
            }
        }
        assert_eq!(device.read(record), Some(expected));
        self.writes.push(Write { record, log: index, stamp, cells: cells.into_iter().collect() });
    }

    fn delete(&mut self, index: usize, record: u8) {
        let record = RecordId::from_bytes([record; 16]);
        let device = &mut self.devices[index];
        let tombstone = device.state(record).tombstone_for_delete(&device.logs);
        let stamp = device.clock.tick(self.now_ms + device.skew_ms);
        device.write(Op { record, collection: "c", stamp, kind: OpKind::Delete(tombstone.clone()) });
        assert_eq!(device.read(record), None);
        self.deletes.push((record, tombstone));
    }

    /// The certificate of a device's log arrives: what named the log before is taken in once more.
    fn certify(&mut self, from: usize, to: usize) {
        intern(&mut self.devices[to].logs, from as u8);
        let noted = self.devices[to].notes.remove(&log(from as u8)).unwrap_or_default();
        for (by, at) in noted {
            let segment = self.devices[by].segments[at].clone();
            self.devices[to].merge_all(by, &segment);
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        if self.devices[to].logs.number_of(&log(from as u8)).is_none() {
            return; // in quarantine
        }
        let next = self.devices[to].received[from];
        let Some(segment) = self.devices[from].segments.get(next).cloned() else { return };
        self.devices[to].receive(from, &segment, self.now_ms);
    }

    fn certify_everything(&mut self) {
        (0..DEVICES * DEVICES).for_each(|both| self.certify(both / DEVICES, both % DEVICES));
    }

    fn exchange_everything(&mut self) {
        for from in 0..DEVICES {
            self.devices[from].seal(64);
            for to in (0..DEVICES).filter(|to| *to != from) {
                for _ in self.devices[to].received[from]..self.devices[from].segments.len() {
                    self.deliver(from, to);
                }
            }
        }
    }

    fn assert_agreement(&self) {
        for record in (0..2).map(|n| RecordId::from_bytes([n; 16])) {
            let view = |device: &Device| {
                let state = device.state(record);
                let names = (state.tombstone_for_delete(&device.logs), state.names_for_put(&device.logs));
                (device.read(record), names)
            };
            let all: Vec<_> = self.devices.iter().map(view).collect();
            assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        }
    }

    /// The promise of the design, checked against what was written, not against any state.
    fn assert_edits_survive(&self) {
        let seen_by_a_delete = |write: &Write| {
            self.deletes.iter().any(|(record, names)| {
                let covers = |name: (_, Stamp)| name.0 == log(write.log as u8) && name.1 >= write.stamp;
                *record == write.record && names.iter().any(covers)
            })
        };
        let mut latest: HashMap<(RecordId, &str), (&Write, Option<i64>)> = HashMap::new();
        for write in &self.writes {
            for (name, value) in &write.cells {
                let entry = latest.entry((write.record, name)).or_insert((write, *value));
                if (entry.0.stamp, entry.0.log) < (write.stamp, write.log) {
                    *entry = (write, *value);
                }
            }
            if !seen_by_a_delete(write) {
                assert!(self.devices[0].read(write.record).is_some(), "an edit was lost to a delete");
            }
        }
        for ((record, name), (write, value)) in latest {
            if !seen_by_a_delete(write) {
                let shown = self.devices[0].read(record).unwrap_or_default().get(name).copied();
                assert_eq!(shown, value, "the last write of a field was lost");
            }
        }
    }
}

proptest! {
    #[test]
    fn devices_converge_and_no_edit_is_lost(steps in vec(step(), 0..60)) {
        let mut world = World::new();
        world.certify_everything();
        steps.iter().for_each(|step| world.run(step));
        world.exchange_everything();
        world.assert_agreement();
        world.assert_edits_survive();
    }

    #[test]
    fn devices_converge_however_late_certificates_arrive(steps in vec(step(), 0..60)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.run(step));
        world.exchange_everything();
        world.certify_everything();
        world.exchange_everything();
        world.assert_agreement();
    }
}
