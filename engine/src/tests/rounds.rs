//! Logs that name more logs without a certificate than are noted: merged once more in rounds, a slice at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use subrosa_model::merge::{Stamp, Tombstone};
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::limits::NOTES_PER_LOG_MAX;
use subrosa_protocol::segment::SealedSegment;

use super::names::{delete_naming, made_up, notes, row_of};
use super::strangers::pair;
use super::{ListRelay, TestDevice, everything, id, join, record};
use crate::logs::notes::{NameLimits, testing};
use crate::memory::cost::rows_looked_at;

/// Few notes, and slices of one segment.
fn small(notes: usize) {
    let limits = NameLimits { notes, slice_bytes: 1 << 20, slice_segments: 1, slices_at_opening: 1 };
    testing::LIMITS.set(Some(limits));
}

fn is_under_way(device: &TestDevice) -> bool {
    device.core().held_wait() == Some(Duration::ZERO)
}

/// Does slices until no round is under way; how many.
fn quiet(device: &TestDevice) -> usize {
    let mut slices = 0;
    while is_under_way(device) {
        device.core().merge_held().unwrap();
        slices += 1;
        assert!(slices < 1000, "rounds end");
    }
    slices
}

/// A first device that has seen records of further ones, and deleted them, before a second one heard of those. Between the
/// deletes it names logs that it made up.
struct Crowded {
    a: TestDevice,
    b: TestDevice,
    others: Vec<TestDevice>,
    relay: ListRelay,
    vault: VaultId,
}

impl Crowded {
    fn new(others: u8, made_up_before_each: u32) -> Self {
        let (a, b, relay, vault) = pair();
        let others: Vec<_> = (0..others).map(|_| TestDevice::new()).collect();
        for (n, other) in (0..).zip(&others) {
            join(&a, other);
            relay.sync(a.core(), &vault);
            let fields = record(&[("done", 0), ("of", i64::from(n))]);
            other.vault().records("tasks").put(id(n), &fields).unwrap();
            relay.sync(other.core(), &vault);
        }
        relay.sync(a.core(), &vault);
        for n in 0..others.len() as u8 {
            a.clock.set(1_000_500 + u64::from(n));
            for each in 0..made_up_before_each {
                let name = made_up(u32::from(n) * 1000 + each);
                let names: Tombstone = std::iter::once((name, Stamp::from_ms(1))).collect();
                delete_naming(&a, &vault, 99, 1_000_500 + u64::from(n), names);
            }
            assert!(a.vault().records("tasks").delete(id(n)).unwrap());
            a.core().seal(&vault).unwrap();
        }
        relay.take(a.core(), &vault).unwrap();
        Self { a, b, others, relay, vault }
    }

    /// What the relay holds, log by log.
    fn queues(&self) -> BTreeMap<LogId, VecDeque<SealedSegment>> {
        let mut queues = BTreeMap::<LogId, VecDeque<SealedSegment>>::new();
        for segment in self.relay.state.lock().unwrap().segments.iter().cloned() {
            queues.entry(segment.header().log).or_default().push_back(segment);
        }
        queues
    }

    fn show(&self, segments: Vec<SealedSegment>) {
        let logs = self.relay.state.lock().unwrap().logs.clone();
        let items = segments.into_iter().map(|segment| FeedItem { rseq: None, segment }).collect();
        let batch = FeedBatch { incarnation: self.relay.incarnation, logs, items, caught_up: None };
        self.relay.give(self.b.core(), &self.vault, batch).unwrap();
    }

    fn data_log(&self, device: &TestDevice) -> LogId {
        device.core().with_vault(&self.vault, |state| Ok(state.logs[&state.own.data].id)).unwrap()
    }

    fn control_log(&self, device: &TestDevice) -> LogId {
        device.core().with_vault(&self.vault, |state| Ok(state.logs[&state.own.control].id)).unwrap()
    }

    /// B holds what A holds, and so does everybody when they have heard of each other.
    fn assert_agreement(&self) {
        for device in [&self.b, &self.a, &self.b] {
            self.relay.sync(device.core(), &self.vault);
            quiet(device);
        }
        assert_eq!(everything(&self.a.vault()), everything(&self.b.vault()));
        for n in 0..self.others.len() as u8 {
            assert_eq!(row_of(&self.a, n), row_of(&self.b, n), "record {n}");
        }
        assert!(self.b.device.as_ref().unwrap().verify().unwrap().is_good());
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The next segments of a log are shown.
    Show {
        log: prop::sample::Index,
        count: usize,
    },
    Slice,
    Reopen,
    /// The second device writes on a record that may have been deleted.
    Write {
        record: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), 1usize..6).prop_map(|(log, count)| Step::Show { log, count }),
        2 => Just(Step::Slice),
        2 => Just(Step::Reopen),
        1 => (0u8..3).prop_map(|record| Step::Write { record }),
    ]
}

#[test]
fn rounds_come_to_the_same_in_any_order_and_however_often_they_are_interrupted() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(16) });
    let cases = (0usize..5, 1u32..4, prop::collection::vec(step(), 10..50));
    let done = runner.run(&cases, |(notes, before, steps)| {
        small(notes);
        let mut world = Crowded::new(3, before);
        let mut queues = world.queues();
        let mut written = 0;
        for step in &steps {
            match step {
                Step::Show { log, count } => {
                    let mut left: Vec<_> = queues.values_mut().filter(|queue| !queue.is_empty()).collect();
                    if left.is_empty() {
                        continue;
                    }
                    let at = log.index(left.len());
                    let segments = (0..*count).map_while(|_| left[at].pop_front()).collect();
                    world.show(segments);
                }
                Step::Slice => world.b.core().merge_held().unwrap(),
                Step::Reopen => world.b.reopen(),
                Step::Write { record: n } => {
                    written += 1;
                    let fields = record(&[("of b", written)]);
                    world.b.vault().records("tasks").put(id(*n), &fields).unwrap();
                    let shown = world.b.vault().records("tasks").get(id(*n)).unwrap().unwrap();
                    assert_eq!(shown.0["of b"], subrosa_model::merge::Value::from(written));
                }
            }
        }
        world.assert_agreement();
        Ok(())
    });
    testing::LIMITS.set(None);
    done.unwrap();
}

#[test]
fn certificates_that_come_while_a_round_is_under_way_cost_one_more_at_most() {
    small(2);
    let world = Crowded::new(6, 4);
    let mut queues = world.queues();
    let mut take = |log| Vec::from(queues.remove(&log).unwrap());
    let named = take(world.data_log(&world.a));
    let length = named.len() as u64;
    world.show(named);
    // Whom A lets in, and then their certificates one by one.
    world.show(take(world.control_log(&world.a)));
    assert!(!is_under_way(&world.b));
    let before = rows_looked_at();
    for other in &world.others {
        world.show(take(world.control_log(other)));
        assert!(is_under_way(&world.b), "a slice with each");
    }
    quiet(&world.b);
    let rows = rows_looked_at() - before;
    assert!(rows <= 2 * length + 40, "{rows} rows of a log of {length}, {} certificates", world.others.len());
    world.assert_agreement();
    testing::LIMITS.set(None);
}

#[test]
fn a_log_is_noted_one_by_one_again_when_its_names_fit() {
    small(2);
    let world = Crowded::new(3, 0);
    let mut queues = world.queues();
    let mut take = |log| Vec::from(queues.remove(&log).unwrap());
    world.show(take(world.data_log(&world.a)));
    assert!(matches!(notes(&world.b, &world.vault, &world.a), (2, Some(_))));
    world.show(take(world.control_log(&world.a)));
    world.show(take(world.control_log(&world.others[2])));
    quiet(&world.b);
    assert_eq!(notes(&world.b, &world.vault, &world.a), (2, None), "the third one is certified");
    world.show(take(world.control_log(&world.others[0])));
    assert_eq!(quiet(&world.b), 0, "no round for what is noted");
    assert_eq!(notes(&world.b, &world.vault, &world.a), (1, None));
    world.assert_agreement();
    assert_eq!(notes(&world.b, &world.vault, &world.a), (0, None));
    testing::LIMITS.set(None);
}

#[test]
fn what_a_round_has_left_goes_on_at_the_next_opening_and_a_store_can_be_used_meanwhile() {
    small(1);
    let mut world = Crowded::new(2, 20);
    let mut queues = world.queues();
    let mut take = |log| Vec::from(queues.remove(&log).unwrap());
    for log in [world.data_log(&world.a), world.control_log(&world.a), world.control_log(&world.others[1])] {
        world.show(take(log));
    }
    let next = |world: &Crowded| {
        let state = world.b.core().lock_state().unwrap();
        state.vaults.values().flat_map(|vault| vault.notes.rounds.values()).find_map(|round| round.next)
    };
    let first = next(&world).expect("a round is under way");
    let before = rows_looked_at();
    world.b.reopen();
    assert!(next(&world) > Some(first), "one slice further");
    assert!(rows_looked_at() - before <= 8, "and no more");
    world.b.vault().records("tasks").put(id(50), &record(&[("of b", 1)])).unwrap();
    assert!(world.b.vault().records("tasks").get(id(50)).unwrap().is_some());
    let slices = quiet(&world.b);
    assert!(slices > 30, "{slices}");
    world.assert_agreement();
    testing::LIMITS.set(None);
}

#[test]
fn certificates_that_a_log_with_thousands_of_names_does_not_name_cost_nothing_of_it() {
    const CERTIFICATES: u64 = 60;
    let (a, b, relay, vault) = pair();
    let mut c = TestDevice::new();
    join(&a, &c);
    relay.sync(a.core(), &vault);
    for n in 0..250 {
        let names = (0..20).map(|each| (made_up(n * 20 + each), Stamp::from_ms(1))).collect();
        delete_naming(&a, &vault, 9, 1_000_001, names);
    }
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    let (count, from) = notes(&b, &vault, &a);
    assert!(count == NOTES_PER_LOG_MAX && from.is_some());
    let mut rows = Vec::new();
    for n in 0..CERTIFICATES {
        if n % 15 == 14 {
            c.reopen();
        }
        c.core().rotate_at_once(&vault).unwrap();
        relay.take(c.core(), &vault).unwrap();
        let before = rows_looked_at();
        relay.feed(b.core(), &vault);
        assert_eq!(relay.feed(b.core(), &vault).received.digest_ok, Some(true));
        rows.push(rows_looked_at() - before);
    }
    // Once in some thousand certificates the set is wrong, and a round is made in vain.
    let (log, all) = (300, rows.iter().sum::<u64>());
    assert!(all <= 2 * log + 8 * CERTIFICATES, "{all}: {rows:?}");
    let few = rows.iter().filter(|rows| **rows <= 8).count();
    assert!(few as u64 >= CERTIFICATES - 2, "{rows:?}");
}

#[test]
fn a_round_that_cannot_read_a_segment_loses_none_of_its_names() {
    small(1);
    let world = Crowded::new(3, 0);
    let mut queues = world.queues();
    let mut take = |log| Vec::from(queues.remove(&log).unwrap());
    for log in [world.data_log(&world.a), world.control_log(&world.a)] {
        world.show(take(log));
    }
    // An older program reads fewer segments; here it is the key that is missing.
    let swap_key = |key| {
        let swap = |tx: &mut crate::life::commit::Tx<'_>| {
            let number = tx.state.vault_no(&world.vault)?;
            Ok(std::mem::replace(&mut tx.vault_mut(number)?.keyring.epochs[0].key, key))
        };
        world.b.core().write(swap).unwrap()
    };
    let key = swap_key(None);
    world.show(take(world.control_log(&world.others[2])));
    quiet(&world.b);
    swap_key(key);
    assert!(notes(&world.b, &world.vault, &world.a).1.is_some(), "the round is not over for good");
    world.show(take(world.control_log(&world.others[0])));
    quiet(&world.b);
    world.assert_agreement();
    testing::LIMITS.set(None);
}
