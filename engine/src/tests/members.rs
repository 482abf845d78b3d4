//! Members that write whatever they like. Whatever was merged of theirs, in whatever order and batches: what honest devices write
//! next is read by all the others, shows what it says, and all of them end with the same rows.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use subrosa_model::control::members_testing;
use subrosa_model::merge::{
    BodyWriter, Cell, FieldCell, GroupHead, Op, OpKind, Put, RecordId, RecordState, Slotted, Stamp,
    Tombstone, Value, ValueBuf,
};
use subrosa_model::seal::Packed;
use subrosa_protocol::client_link::FeedBatch;
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::limits::SEGMENT_PLAIN_MAX;
use subrosa_protocol::segment::{GroupPlace, Kind, SealedSegment};

use super::strangers::another_relay;
use super::{ListRelay, TestDevice, everything, id, join, record};
use crate::logs::notes::{NameLimits, testing};
use crate::memory::extents::WaitReason;
use crate::memory::state::VaultState;

const NOW: u64 = 1_000_000;
const RECORDS: u8 = 3;
const FIELDS: [&str; 4] = ["a", "b", "c", "d"];
const COLLECTION: &str = "tasks";

/// When a hostile op was made, or what it says was seen: often what somebody else may have.
fn time() -> impl Strategy<Value = Stamp> {
    prop_oneof![
        4 => (0u64..20).prop_map(|ms| Stamp::from_ms(NOW + ms)),
        2 => (0u64..300_000).prop_map(|ms| Stamp::from_ms(NOW + ms)),
        1 => (0u64..3).prop_map(Stamp),
        1 => Just(Stamp::from_ms(NOW + 299_999)),
    ]
}

/// Who is named: a device's data log by number, its control log, or a log of nobody.
fn names() -> impl Strategy<Value = Vec<(usize, Stamp)>> {
    vec((0usize..12, prop_oneof![6 => time(), 1 => any::<u64>().prop_map(Stamp)]), 0..5)
}

#[derive(Clone, Debug)]
enum HostileKind {
    Put(Vec<(usize, Stamp)>, Vec<(usize, HostileCell)>),
    Delete(Vec<(usize, Stamp)>),
    Newer(u32, Vec<u8>),
}

#[derive(Clone, Debug)]
enum HostileCell {
    Register(u8),
    Unset,
    Newer(u32, Vec<u8>),
}

#[derive(Clone, Debug)]
struct HostileOp {
    record: u8,
    stamp: Stamp,
    kind: HostileKind,
}

fn slotted() -> impl Strategy<Value = Vec<u8>> {
    let slot = prop_oneof![
        Just(vec![0]),
        (0u8..3).prop_map(|n| vec![1, n]),
        Just([vec![255], vec![1; 255]].concat())
    ];
    (slot, vec(any::<u8>(), 0..3)).prop_map(|(slot, rest)| [slot, rest].concat())
}

fn hostile_op() -> impl Strategy<Value = HostileOp> {
    let cell = prop_oneof![
        3 => any::<u8>().prop_map(HostileCell::Register),
        1 => Just(HostileCell::Unset),
        2 => (3u32..6, slotted()).prop_map(|(tag, bytes)| HostileCell::Newer(tag, bytes)),
    ];
    let kind = prop_oneof![
        4 => (names(), vec((0..FIELDS.len(), cell), 0..4)).prop_map(|(names, cells)| HostileKind::Put(names, cells)),
        2 => names().prop_map(HostileKind::Delete),
        1 => (4u32..1000, slotted()).prop_map(|(tag, bytes)| HostileKind::Newer(tag, bytes)),
    ];
    (0..RECORDS, time(), kind).prop_map(|(record, stamp, kind)| HostileOp { record, stamp, kind })
}

#[derive(Clone, Debug)]
enum Step {
    /// A member seals a group of so many bodies; the first one may name a later stamp than it has.
    Group {
        by: usize,
        bodies: Vec<Vec<HostileOp>>,
        early: u64,
    },
    /// A member seals something else that holds up its log, or does not.
    Odd {
        by: usize,
        odd: u8,
    },
    Write {
        by: usize,
        record: u8,
        what: u8,
    },
    /// A member gives the relay what it has: so the second one gets its certificate.
    Publish {
        by: usize,
    },
    Sync {
        by: usize,
    },
    Reopen {
        by: usize,
    },
    Later {
        ms: u64,
    },
}

fn step(odd: bool) -> impl Strategy<Value = Step> {
    let group =
        (0usize..2, vec(vec(hostile_op(), 0..4), 1..4), prop_oneof![3 => Just(0u64), 1 => 0u64..90_000]);
    prop_oneof![
        8 => group.prop_map(|(by, bodies, early)| Step::Group { by, bodies, early }),
        u32::from(odd) => (0usize..2, any::<u8>()).prop_map(|(by, odd)| Step::Odd { by, odd }),
        6 => (2usize..4, 0..RECORDS, 0u8..5).prop_map(|(by, record, what)| Step::Write { by, record, what }),
        3 => (0usize..2).prop_map(|by| Step::Publish { by }),
        4 => (2usize..4).prop_map(|by| Step::Sync { by }),
        1 => (2usize..4).prop_map(|by| Step::Reopen { by }),
        1 => (0u64..5_000).prop_map(|ms| Step::Later { ms }),
    ]
}

/// Two hostile members, 0 and 1, and two honest devices, 2 and 3. Of 1 nobody holds a certificate at first.
struct World {
    devices: Vec<TestDevice>,
    relay: ListRelay,
    vault: VaultId,
    now: u64,
    written: i64,
}

impl World {
    fn new() -> Self {
        let devices: Vec<_> = (0..4).map(|_| TestDevice::new()).collect();
        devices[0].device.as_ref().unwrap().create_vault("personal").unwrap();
        let (relay, mut vault) = (ListRelay::new(), None);
        for new in [2, 3, 1] {
            vault = Some(join(&devices[0], &devices[new]));
        }
        let vault = vault.unwrap();
        for n in [0, 2, 3, 2] {
            relay.sync(devices[n].core(), &vault);
        }
        Self { devices, relay, vault, now: NOW, written: 0 }
    }

    fn named(&self, who: usize) -> LogId {
        let of = |device: &TestDevice, control: bool| {
            let log = device.core().with_vault(&self.vault, |state| {
                Ok(state.logs[if control { &state.own.control } else { &state.own.data }].id)
            });
            log.unwrap()
        };
        match who {
            0..8 => of(&self.devices[who % 4], false),
            8..10 => of(&self.devices[who % 4], true),
            _ => LogId::from_bytes([who as u8; 16]),
        }
    }

    fn tombstone(&self, names: &[(usize, Stamp)]) -> Tombstone {
        names.iter().map(|(who, stamp)| (self.named(*who), *stamp)).collect()
    }

    fn body(&self, mut writer: BodyWriter, ops: &[HostileOp]) -> Packed {
        for op in ops {
            let (mut values, mut cells) = (Vec::new(), std::collections::BTreeMap::new());
            if let HostileKind::Put(_, put) = &op.kind {
                values.extend(put.iter().map(|(_, cell)| match cell {
                    HostileCell::Register(value) => {
                        ValueBuf::encode(&Value::from(i64::from(*value))).unwrap()
                    }
                    _ => ValueBuf::encode(&Value::Null).unwrap(),
                }));
                for ((field, cell), value) in put.iter().zip(&values) {
                    let cell = match cell {
                        HostileCell::Register(_) => Cell::Register(value.borrow()),
                        HostileCell::Unset => Cell::Unset,
                        HostileCell::Newer(tag, bytes) => {
                            Cell::Unknown { tag: *tag, bytes: Slotted::check(bytes).unwrap() }
                        }
                    };
                    cells.insert(FIELDS[*field], cell);
                }
            }
            let kind = match &op.kind {
                HostileKind::Put(names, _) => {
                    let cells = cells.into_iter().map(|(name, cell)| FieldCell { name, cell }).collect();
                    OpKind::Put(Put::new(self.tombstone(names), cells).unwrap())
                }
                HostileKind::Delete(names) => OpKind::Delete(self.tombstone(names)),
                HostileKind::Newer(tag, bytes) => {
                    OpKind::Unknown { tag: *tag, bytes: Slotted::check(bytes).unwrap() }
                }
            };
            let op = Op { record: id(op.record), collection: COLLECTION, stamp: op.stamp, kind };
            writer.push(&op, SEGMENT_PLAIN_MAX).unwrap();
        }
        Packed::of(&writer.encode())
    }

    fn seal(&self, by: usize, kind: Kind, place: GroupPlace, data: &Packed) {
        super::merging::seal(&self.devices[by], &self.vault, kind, place, data);
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Group { by, bodies, early } => {
                let latest = bodies.iter().flatten().map(|op| op.stamp).max().unwrap_or_default();
                let head = GroupHead::of(Stamp(latest.0.saturating_add(*early)));
                for (n, ops) in bodies.iter().enumerate() {
                    let base = Stamp::from_ms(NOW);
                    let writer =
                        if n == 0 { BodyWriter::first(base, &head) } else { BodyWriter::behind(base) };
                    self.seal(*by, Kind::DATA, GroupPlace::of(n, bodies.len()), &self.body(writer, ops));
                }
            }
            Step::Odd { by, odd } => {
                let data = Packed::of(b"of a newer version");
                match odd % 5 {
                    0 => self.seal(*by, Kind::from_wire(0x21).unwrap(), GroupPlace::Whole, &data),
                    1 => self.seal(*by, Kind::from_wire(0x04).unwrap(), GroupPlace::Whole, &data),
                    2 => self.seal(*by, Kind::DATA, GroupPlace::Whole, &data),
                    3 => self.seal(*by, Kind::DATA, GroupPlace::Middle, &data),
                    _ => self.seal(*by, Kind::CARRIED, GroupPlace::Whole, &data),
                }
            }
            Step::Write { by, record, what } => self.write(*by, *record, *what),
            Step::Publish { by } => drop(self.relay.take(self.devices[*by].core(), &self.vault).unwrap()),
            Step::Sync { by } => self.relay.sync(self.devices[*by].core(), &self.vault),
            Step::Reopen { by } => self.devices[*by].reopen(),
            Step::Later { ms } => {
                self.now += ms;
                self.devices.iter().for_each(|device| device.clock.set(self.now));
            }
        }
    }

    /// A local write shows what it says, whatever was merged before.
    fn write(&mut self, by: usize, n: u8, what: u8) {
        self.written += 1;
        let vault = self.devices[by].vault();
        let (tasks, id) = (vault.records(COLLECTION), id(n));
        let before = tasks.get(id).unwrap();
        let field = FIELDS[self.written as usize % FIELDS.len()];
        let fields = record(&[(field, self.written)]);
        let expected = match what {
            0 | 1 => {
                tasks.put(id, &fields).unwrap();
                let mut all = before.unwrap_or_default();
                all.0.extend(fields.0);
                Some(all)
            }
            2 => {
                tasks.replace(id, &fields).unwrap();
                Some(fields)
            }
            3 => {
                assert_eq!(tasks.delete(id).unwrap(), before.is_some());
                None
            }
            _ => {
                let had = before.as_ref().is_some_and(|record| record.0.contains_key(field));
                assert_eq!(tasks.delete_field(id, field).unwrap(), had);
                before.map(|mut record| {
                    record.0.remove(field);
                    record
                })
            }
        };
        assert_eq!(tasks.get(id).unwrap(), expected, "write {what} of device {by} on record {n}");
    }

    /// What each of the honest devices says next is read by the other one, and both hold the same then.
    fn finish(&mut self) {
        for by in [0, 1] {
            self.run(&Step::Publish { by });
        }
        for by in [2, 3, 2, 3] {
            self.run(&Step::Sync { by });
        }
        for what in [0, 2, 3, 0, 4, 3] {
            for by in [2, 3] {
                (0..RECORDS).for_each(|record| self.write(by, record, what));
                self.run(&Step::Sync { by });
            }
            self.run(&Step::Sync { by: 2 });
            self.assert_agreement("after writing");
        }
        for by in [2, 3] {
            self.devices[by].reopen();
            assert!(self.devices[by].device.as_ref().unwrap().verify().unwrap().is_good());
        }
        self.assert_agreement("after opening again");
    }

    fn assert_agreement(&self, when: &str) {
        let [one, other] = [2, 3].map(|n| &self.devices[n]);
        [one, other].into_iter().for_each(quiet);
        assert_eq!(everything(&one.vault()), everything(&other.vault()), "{when}");
        assert_eq!(self.rows(one), self.rows(other), "{when}");
        assert_eq!(self.waits(one), self.waits(other), "{when}");
        let honest = [2, 3].map(|n| self.named(n));
        assert!(self.waits(one).iter().all(|(log, _)| !honest.contains(log)), "{when}: an honest log waits");
    }

    /// Why a device waits with which logs.
    fn waits(&self, device: &TestDevice) -> Vec<(LogId, WaitReason)> {
        let state = device.core().lock_state().unwrap();
        let number = state.vault_no(&self.vault).unwrap();
        let ids = &state.vaults[&number].logs;
        let mut waits: Vec<_> =
            state.waits.iter().map(|(log, reason)| (ids[&log.log().unwrap()].id, *reason)).collect();
        waits.sort_by_key(|wait| wait.0);
        waits
    }

    /// The rows, in words that do not depend on what number a log has.
    fn rows(&self, device: &TestDevice) -> Vec<(RecordId, String)> {
        let shared = device.core().lock_state().unwrap().shared();
        let rows = device.core().read(|doors| {
            let records = doors.records()?;
            let mut rows = Vec::new();
            for row in records.range(&(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded))? {
                let (key, row) = row?;
                let bytes = row.row().as_bytes().to_vec();
                let state = RecordState::decode(&bytes).expect("a row decodes");
                let mut again = Vec::new();
                state.encode(&mut again);
                assert_eq!(again, bytes, "a row has one form");
                let last: Vec<_> = (0..12)
                    .map(|who| {
                        let number = shared.logs.number(key.vault(), &self.named(who));
                        number.and_then(|number| state.last_of(number))
                    })
                    .collect();
                let said = (state.tombstone_for_delete(&shared.logs), state.names_for_put(&shared.logs));
                let shown: Vec<_> = state
                    .visible_fields(&shared.logs)
                    .map(|(name, value)| (name, value.decode().unwrap()))
                    .collect();
                rows.push((key.record(), format!("{} {last:?} {said:?} {shown:?}", bytes.len())));
            }
            Ok(rows)
        });
        rows.unwrap()
    }

    /// Gives a device that has nothing yet what the relay holds, a log at a time or all together, in parts.
    fn show_in_another_order(&self, to: &mut TestDevice, order: &[u8], part: usize) {
        let (logs, held) = {
            let state = self.relay.state.lock().unwrap();
            (state.logs.clone(), state.segments.clone())
        };
        let mut queues =
            std::collections::BTreeMap::<LogId, std::collections::VecDeque<SealedSegment>>::new();
        for segment in held {
            queues.entry(segment.header().log).or_default().push_back(segment);
        }
        let mut queues: Vec<_> = queues.into_values().collect();
        let mut batches = 0;
        for turn in order.iter().cycle() {
            if queues.is_empty() {
                break;
            }
            let at = usize::from(*turn) % queues.len();
            let segments: Vec<_> = (0..part).map_while(|_| queues[at].pop_front()).collect();
            if queues[at].is_empty() {
                queues.swap_remove(at);
            }
            let items = segments
                .into_iter()
                .map(|segment| subrosa_protocol::client_link::FeedItem { rseq: None, segment });
            let batch = FeedBatch {
                incarnation: self.relay.incarnation,
                logs: logs.clone(),
                items: items.collect(),
                caught_up: None,
            };
            another_relay(9).give(to.core(), &self.vault, batch).unwrap();
            batches += 1;
            if batches % 7 == 3 {
                to.reopen();
            }
        }
    }
}

/// Ends the rounds that are under way.
fn quiet(device: &TestDevice) {
    while device.core().held_wait() == Some(Duration::ZERO) {
        device.core().merge_held().unwrap();
    }
}

fn stories(cases: u32, odd: bool) {
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let story = (vec(step(odd), 0..40), vec(any::<u8>(), 1..30), 1usize..6);
    let told = TestRunner::new(config).run(&story, |(steps, order, part)| {
        let mut world = World::new();
        // One more honest device, that sees all of it later and in another order.
        let mut late = TestDevice::new();
        join(&world.devices[0], &late);
        steps.iter().for_each(|step| world.run(step));
        world.finish();
        world.run(&Step::Publish { by: 0 });
        late.clock.set(world.now);
        world.show_in_another_order(&mut late, &order, part);
        world.relay.sync(late.core(), &world.vault);
        world.relay.sync(world.devices[2].core(), &world.vault);
        [&world.devices[2], &late].into_iter().for_each(quiet);
        assert_eq!(world.rows(&world.devices[2]), world.rows(&late), "whatever the order");
        assert_eq!(world.waits(&world.devices[2]), world.waits(&late));
        Ok(())
    });
    told.unwrap();
}

#[test]
fn what_is_written_after_anything_that_members_make_up_is_read_by_all() {
    stories(12, false);
}

#[test]
fn names_that_are_not_noted_one_by_one_come_to_the_same() {
    let limits = NameLimits { notes: 1, slice_bytes: 1 << 20, slice_segments: 1, slices_at_opening: 1 };
    testing::LIMITS.set(Some(limits));
    stories(8, false);
    testing::LIMITS.set(None);
}

/// A founder and a member, both hostile, add more devices than a vault lists, each of which writes and deletes; whoever
/// hears of those of the member first lists them, until those of the founder come.
#[test]
fn devices_that_are_added_beyond_the_list_count_the_same_in_any_order() {
    members_testing::DEVICES_MAX.set(Some(6));
    let config = Config { cases: 6, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let cases = (vec(any::<u8>(), 4..30), vec(any::<u8>(), 4..30), 1usize..4);
    let done = TestRunner::new(config).run(&cases, |(order, other_order, part)| {
        let world = World::new();
        let mut late = [TestDevice::new(), TestDevice::new()];
        for late in &late {
            join(&world.devices[0], late);
        }
        world.relay.take(world.devices[0].core(), &world.vault).unwrap();
        for (n, by) in (0..).zip([2, 2, 2, 0, 0, 2, 0]) {
            let added = TestDevice::new();
            join(&world.devices[by], &added);
            world.relay.sync(world.devices[by].core(), &world.vault);
            world.relay.sync(added.core(), &world.vault);
            added.clock.set(NOW + 10 * n);
            let tasks = added.vault().records(COLLECTION);
            let field = FIELDS[n as usize % FIELDS.len()];
            for record in 0..RECORDS {
                tasks.put(id(record), &super::record(&[(field, 1)])).unwrap();
            }
            if n % 2 == 1 {
                tasks.delete(id(n as u8 % RECORDS)).unwrap();
            }
            world.relay.sync(added.core(), &world.vault);
        }
        for (late, order) in late.iter_mut().zip([order, other_order]) {
            late.clock.set(NOW + 100);
            world.show_in_another_order(late, &order, part);
        }
        let all = [&late[0], &late[1], &world.devices[2], &world.devices[3]];
        for device in all.iter().chain(&all) {
            device.clock.set(NOW + 100);
            world.relay.sync(device.core(), &world.vault);
        }
        let shown = all.map(|device| {
            assert_eq!(device.vault().devices().unwrap().len(), 6, "no more are listed");
            let logs = |vault: &VaultState| Ok(vault.members.control_log_publics().len());
            (everything(&device.vault()), device.core().with_vault(&world.vault, logs).unwrap())
        });
        assert!(!shown[0].0.is_empty() && shown.iter().all(|each| *each == shown[0]), "{shown:?}");
        Ok(())
    });
    members_testing::DEVICES_MAX.set(None);
    done.unwrap();
}

#[test]
fn what_holds_up_a_members_log_holds_up_nobody_else() {
    stories(6, true);
}

#[test]
#[ignore = "minutes in the release profile; see docs/ARCHITECTURE.md, long runs"]
fn many_stories_of_members_that_make_things_up() {
    stories(600, false);
    stories(200, true);
}
