//! Transactions and snapshots in the host's hands.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use proptest::prelude::*;
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::SoftwareKey;
use subrosa_model::merge::RecordId;

use super::{ListRelay, TestDevice, device_with_vault, everything, id, is_life, join, record};
use crate::collection::{Record, RecordChange, TxCollection};
use crate::device::Device;
use crate::error::{Error, LifeError};
use crate::life::gate::{Wait, WriterKind, end_waits_when};
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::vault::Vault;

const NO_WAIT: Duration = Duration::ZERO;
/// Longer than any of these tests may take.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn handles_can_be_held_and_handed_to_other_threads() {
    fn sent<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    sent::<Transaction>();
    shared::<Snapshot>();
}

#[test]
fn a_transaction_sees_itself_and_nobody_else_sees_it_before_the_commit() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, others) = (vault.records("notes"), vault.records("others"));
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    let mut watch = vault.watch();
    let mut tx = vault.begin(NO_WAIT).unwrap();
    let mut in_notes = tx.in_collection(&notes);
    in_notes.put(id(1), &record(&[("b", 2)])).unwrap();
    let new = in_notes.insert(&record(&[("c", 3)])).unwrap();
    assert!(in_notes.update(id(1), |note| drop(note.0.remove("a"))).unwrap());
    assert!(!in_notes.update(id(9), |_| ()).unwrap());
    assert_eq!(in_notes.get(id(1)).unwrap(), Some(record(&[("b", 2)])));
    assert_eq!(in_notes.get_many(&[new, id(9)]).unwrap(), [Some(record(&[("c", 3)])), None]);
    tx.in_collection(&others).replace(id(2), &record(&[("d", 4)])).unwrap();
    assert!(tx.in_collection(&others).delete(id(2)).unwrap());
    assert!(!tx.in_collection(&others).delete(id(2)).unwrap());
    // Names, members and records can be asked for meanwhile, on the same thread too.
    assert_eq!(device.vault().devices().unwrap().len(), 1);
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("a", 1)])));
    assert_eq!((notes.len().unwrap(), watch.try_next()), (1, None));
    tx.commit().unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("b", 2)])));
    assert_eq!((notes.len().unwrap(), others.len().unwrap()), (2, 0));
    assert!(watch.try_next().is_some());
}

#[test]
fn an_aborted_or_dropped_transaction_leaves_nothing() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, new) = (vault.records("notes"), vault.records("brand new"));
    for end in [drop as fn(Transaction), Transaction::abort] {
        let mut tx = vault.begin(NO_WAIT).unwrap();
        tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
        tx.in_collection(&new).put(id(1), &record(&[("a", 1)])).unwrap();
        end(tx);
        assert!(everything(&vault).is_empty());
    }
    let mut tx = vault.begin(NO_WAIT).unwrap();
    tx.in_collection(&vault.records("third")).put(id(1), &record(&[("a", 1)])).unwrap();
    tx.commit().unwrap();
    assert_eq!(vault.collections().unwrap(), ["third"]);
    vault.begin(NO_WAIT).unwrap().commit().unwrap();
    assert_eq!(vault.pending().unwrap(), 1);
}

#[test]
fn a_failed_call_has_no_effect_and_the_transaction_goes_on() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    let long = subrosa_model::merge::Value::from("x".repeat(2 << 20).as_str());
    let big = Record([("a".to_owned(), 2.into()), ("t".to_owned(), long)].into());
    let mut tx = vault.begin(NO_WAIT).unwrap();
    tx.in_collection(&notes).put(id(2), &record(&[("b", 1)])).unwrap();
    for target in [1, 2, 3] {
        assert!(tx.in_collection(&notes).put(id(target), &big).is_err());
        assert!(tx.in_collection(&notes).replace(id(target), &big).is_err());
    }
    assert!(matches!(tx.in_collection(&vault.records("")).put(id(1), &record(&[])), Err(Error::Op(_))));
    tx.in_collection(&notes).put(id(4), &record(&[("c", 1)])).unwrap();
    tx.commit().unwrap();
    let ids: Vec<_> = everything(&vault).into_iter().map(|(_, id, fields)| (id, fields)).collect();
    let expected = [(id(1), record(&[("a", 1)])), (id(2), record(&[("b", 1)])), (id(4), record(&[("c", 1)]))];
    assert_eq!(ids, expected);
}

#[test]
fn writers_take_turns_and_one_that_would_wait_for_itself_is_told() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let mut tx = vault.begin(NO_WAIT).unwrap();
    is_life(notes.put(id(1), &record(&[("a", 1)])), LifeError::BusyHere);
    is_life(vault.begin(LONG), LifeError::BusyHere);
    is_life(device.device.as_ref().unwrap().verify(), LifeError::BusyHere);
    is_life(device.device.as_ref().unwrap().compact(), LifeError::BusyHere);
    tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
    std::thread::scope(|scope| {
        is_life(scope.spawn(|| vault.begin(NO_WAIT)).join().unwrap(), LifeError::Busy);
        let waiting = scope.spawn(|| notes.put(id(2), &record(&[("b", 1)])));
        let waiting_too = scope.spawn(|| vault.begin(LONG).map(drop));
        while device.core().gate.waiting() < 2 {
            std::thread::yield_now();
        }
        tx.commit().unwrap();
        waiting.join().unwrap().unwrap();
        waiting_too.join().unwrap().unwrap();
    });
    assert_eq!(everything(&vault).len(), 2);
    let handle = device.device.clone().unwrap();
    let within = vault.write(|_| {
        is_life(notes.put(id(3), &record(&[("a", 1)])), LifeError::BusyHere);
        is_life(vault.begin(LONG), LifeError::BusyHere);
        is_life(handle.close(), LifeError::BusyHere);
        is_life(handle.suspend(Duration::ZERO), LifeError::BusyHere);
        Ok(())
    });
    within.unwrap();
    assert!(device.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn writers_come_in_the_order_in_which_they_asked() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let tx = vault.begin(NO_WAIT).unwrap();
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for n in 1..=6 {
            let notes = &notes;
            waiting.push(scope.spawn(move || notes.insert(&record(&[("n", n)])).unwrap()));
            while device.core().gate.waiting() < n as usize {
                std::thread::yield_now();
            }
        }
        drop(tx);
        for writer in waiting {
            writer.join().unwrap();
        }
    });
    // Ids are given in turn.
    let order: Vec<_> = notes.scan().map(|row| row.unwrap().1).collect();
    assert_eq!(order, (1..=6).map(|n| record(&[("n", n)])).collect::<Vec<_>>());
}

#[test]
fn a_write_waits_for_a_transaction_for_as_long_as_the_options_say() {
    let device = device_with_vault();
    let key = SoftwareKey::generate(&OsEntropy);
    let options = Options::default().write_wait(Duration::from_millis(1));
    let path = device.dir.path().join("bounded");
    let bounded = Device::create(path, Arc::new(key), options).unwrap();
    let vault = bounded.create_vault("personal").unwrap();
    let notes = vault.records("notes");
    let tx = vault.begin(NO_WAIT).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| notes.put(id(1), &record(&[("a", 1)])));
        is_life(other.join().unwrap(), LifeError::Busy);
    });
    drop(tx);
    // A call ends by itself, and is waited for.
    let within = bounded.core.gate.enter(WriterKind::Call, Wait::ForTurn).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| notes.put(id(1), &record(&[("a", 1)])));
        while bounded.core.gate.waiting() < 1 {
            std::thread::yield_now();
        }
        assert_eq!(other.is_finished(), bounded.core.gate.waiting() == 0);
        drop(within);
        other.join().unwrap().unwrap();
    });
}

#[test]
fn a_thread_that_is_told_to_end_waits_for_no_turn() {
    let device = device_with_vault();
    let vault = device.vault();
    let told = Arc::new(AtomicBool::new(false));
    let tx = vault.begin(NO_WAIT).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            end_waits_when(told.clone());
            vault.records("notes").put(id(1), &record(&[("a", 1)]))
        });
        while device.core().gate.waiting() < 1 {
            std::thread::yield_now();
        }
        told.store(true, Ordering::SeqCst);
        device.core().look_again();
        is_life(waiting.join().unwrap(), LifeError::Busy);
    });
    drop(tx);
}

#[test]
fn suspending_from_within_a_write_is_refused_also_while_another_thread_suspends() {
    let device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let suspending = std::thread::scope(|scope| {
        let within = device.vault().write(|_| {
            let other = scope.spawn(|| handle.suspend(LONG));
            while device.core().gate.waiting() < 1 {
                std::thread::yield_now();
            }
            is_life(handle.suspend(Duration::ZERO), LifeError::BusyHere);
            is_life(handle.resume(), LifeError::BusyHere);
            Ok(other)
        });
        within.unwrap().join().unwrap()
    });
    suspending.unwrap();
}

#[test]
fn a_collection_of_another_vault_is_refused() {
    let device = device_with_vault();
    let vault = device.vault();
    let other = device.device.as_ref().unwrap().create_vault("other").unwrap();
    let stray = other.records("notes");
    let mut tx = vault.begin(NO_WAIT).unwrap();
    let put = tx.in_collection(&stray).put(id(1), &record(&[("a", 1)]));
    assert!(matches!(put, Err(Error::OtherVault)));
    tx.commit().unwrap();
    let put = vault.write(|tx| stray.in_tx(tx).put(id(1), &record(&[("a", 1)])));
    assert!(matches!(put, Err(Error::OtherVault)));
    assert!(matches!(vault.snapshot().unwrap().in_collection(&stray).len(), Err(Error::OtherVault)));
    assert!(everything(&other).is_empty() && everything(&vault).is_empty());
}

#[test]
fn a_transaction_arrives_as_one_group_small_or_bulk() {
    let (a, b) = (device_with_vault(), TestDevice::new());
    let vault = join(&a, &b);
    let relay = ListRelay::new();
    for records in [3, 600] {
        let mut tx = a.vault().begin(NO_WAIT).unwrap();
        let notes = a.vault().records("notes");
        for n in 0..records {
            tx.in_collection(&notes).insert(&record(&[("n", n)])).unwrap();
        }
        tx.commit().unwrap();
        relay.sync(a.core(), &vault);
        relay.sync(b.core(), &vault);
        relay.sync(a.core(), &vault);
        relay.sync(b.core(), &vault);
        assert_eq!(everything(&a.vault()), everything(&b.vault()));
    }
    assert_eq!(b.vault().records("notes").len().unwrap(), 603);
    assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn a_snapshot_stays_as_it_was_and_is_accounted_for() {
    let device = device_with_vault();
    let vault = device.vault();
    let handle = device.device.clone().unwrap();
    let notes = vault.records("notes");
    for n in 1..=3 {
        notes.put(id(n), &record(&[("n", n.into())])).unwrap();
    }
    let before = everything(&vault);
    let snapshot = vault.snapshot().unwrap();
    device.clock.set(1_000_000 + 5_000);
    notes.delete(id(2)).unwrap();
    notes.put(id(4), &record(&[("n", 4)])).unwrap();
    vault.records("later").put(id(1), &record(&[("n", 1)])).unwrap();
    let seen = snapshot.in_collection(&notes);
    assert_eq!(seen.get(id(2)).unwrap(), Some(record(&[("n", 2)])));
    assert_eq!(seen.get_many(&[id(4), id(3), id(1), id(3)]).unwrap().iter().flatten().count(), 3);
    assert_eq!((seen.len().unwrap(), seen.is_empty().unwrap()), (3, false));
    assert_eq!(seen.page(Some(id(1)), 1).unwrap(), [(id(2), record(&[("n", 2)]))]);
    let scanned: Vec<_> = seen.scan().map(|row| row.unwrap()).collect();
    assert_eq!(scanned, before.into_iter().map(|(_, id, fields)| (id, fields)).collect::<Vec<_>>());
    assert_eq!(snapshot.collections().unwrap(), ["notes"]);
    assert!(snapshot.in_collection(&vault.records("later")).is_empty().unwrap());
    let tx = vault.begin(NO_WAIT).unwrap();
    let open = handle.in_progress().unwrap();
    assert_eq!((open.snapshots, open.transactions), (1, 1));
    assert_eq!(open.oldest, Some(Duration::from_millis(5_000)));
    drop(tx);
    is_life(handle.verify(), LifeError::Busy);
    is_life(handle.compact(), LifeError::Busy);
    drop(snapshot);
    assert_eq!(handle.in_progress().unwrap(), crate::life::snapshots::InProgress::default());
    assert!(handle.verify().unwrap().is_good());
}

#[test]
fn a_page_in_a_transaction_merges_what_is_lifed_with_what_is_written() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, new) = (vault.records("notes"), vault.records("new"));
    for n in [2, 4, 6, 8] {
        notes.put(id(n), &record(&[("n", n.into())])).unwrap();
    }
    let mut tx = vault.begin(NO_WAIT).unwrap();
    let mut seen = tx.in_collection(&notes);
    seen.delete(id(2)).unwrap();
    seen.delete(id(8)).unwrap();
    seen.put(id(6), &record(&[("m", 1)])).unwrap();
    for n in [1, 5, 9] {
        seen.put(id(n), &record(&[("n", n.into())])).unwrap();
    }
    let all = |page: Vec<(RecordId, Record)>| page.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(all(seen.page(None, 100).unwrap()), [1, 4, 5, 6, 9].map(id));
    for limit in 1..=6 {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = seen.page(after, limit).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            found.extend(all(page));
        }
        assert_eq!(found, [1, 4, 5, 6, 9].map(id), "by {limit}");
    }
    let both = record(&[("m", 1), ("n", 6)]);
    assert_eq!(seen.page(Some(id(5)), 1).unwrap(), [(id(6), both)]);
    tx.in_collection(&new).put(id(3), &record(&[("n", 1)])).unwrap();
    assert_eq!(all(tx.in_collection(&new).page(None, 9).unwrap()), [id(3)]);
    assert!(tx.in_collection(&vault.records("none")).page(None, 9).unwrap().is_empty());
}

#[test]
fn many_records_are_read_from_one_snapshot_and_inserted_in_one_transaction() {
    let device = device_with_vault();
    let notes = device.vault().records("notes");
    let records: Vec<_> = (0..40).map(|n| record(&[("n", n)])).collect();
    let ids = notes.insert_many(&records).unwrap();
    assert_eq!(notes.get_many(&ids).unwrap(), records.iter().cloned().map(Some).collect::<Vec<_>>());
    assert_eq!(
        notes.get_many(&[id(1), ids[7], ids[7]]).unwrap()[1..],
        [7, 7].map(|n| Some(records[n].clone()))
    );
    assert!(device.vault().records("none").get_many(&[id(1)]).unwrap() == [None]);
    assert!(notes.insert_many(&[]).unwrap().is_empty());
    let numbers = device.vault().collection::<i64>("notes");
    assert!(matches!(numbers.insert_many(&[1]), Err(Error::NotARecord)));
    assert_eq!(notes.len().unwrap(), 40);
}

#[test]
fn many_changes_happen_together_or_not_at_all() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, fresh) = (vault.records("notes"), vault.records("fresh"));
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    notes.put(id(2), &record(&[("a", 2)])).unwrap();
    let mut tx = vault.begin(NO_WAIT).unwrap();
    tx.in_collection(&notes).put(id(2), &record(&[("b", 2)])).unwrap();
    tx.in_collection(&notes).put(id(3), &record(&[("a", 3)])).unwrap();
    let shown = |tx: &mut Transaction| json(&tx.in_collection(&notes).page(None, 9).unwrap());
    let before = shown(&mut tx);
    let changes = |last: Result<RecordChange, Error>| {
        vec![
            Ok(RecordChange::Insert(record(&[("c", 1)]))),
            Ok(RecordChange::Put(id(1), record(&[("c", 2)]))),
            Ok(RecordChange::Replace(id(2), record(&[("c", 3)]))),
            Ok(RecordChange::Delete(id(3))),
            Ok(RecordChange::Put(id(3), record(&[("c", 4)]))),
            Ok(RecordChange::Put(id(1), record(&[("c", 5)]))),
            last,
        ]
    };
    let long = "x".repeat(1 << 12);
    for last in [Err(Error::NoRecord), Ok(RecordChange::Put(id(4), record(&[(&long, 1)])))] {
        assert!(tx.in_collection(&notes).change_many(changes(last)).is_err());
        assert_eq!(shown(&mut tx), before);
    }
    assert!(tx.in_collection(&fresh).change_many(changes(Err(Error::NoRecord))).is_err());
    assert!(tx.in_collection(&fresh).page(None, 9).unwrap().is_empty());
    let good = changes(Ok(RecordChange::Delete(id(1))));
    let ids = tx.in_collection(&notes).change_many(good).unwrap();
    assert_eq!(ids[1..], [1, 2, 3, 3, 1, 1].map(id));
    let mut seen = Vec::new();
    let see = |found: Option<Record>| {
        seen.push(found);
        if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    tx.in_collection(&notes).see_many(&[ids[0], id(1), id(2), id(3)], see).unwrap();
    assert_eq!(seen, [Some(record(&[("c", 1)])), None, Some(record(&[("c", 3)]))]);
    tx.commit().unwrap();
    assert_eq!(notes.len().unwrap(), 3);
    assert!(vault.collections().unwrap() == ["notes"]);
    let snapshot = vault.snapshot().unwrap();
    for until in 1..=3 {
        let (mut now, mut then) = (Vec::new(), Vec::new());
        let stop = |len: usize| if len < until { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        notes.see_from(None, |id, _| (now.push(id), stop(now.len())).1).unwrap();
        let kept = snapshot.in_collection(&notes);
        kept.see_from(None, |id, _| (then.push(id), stop(then.len())).1).unwrap();
        assert_eq!((now.len(), &now), (until, &then));
    }
}

#[test]
fn a_clock_that_moves_back_during_a_transaction_changes_no_order() {
    let device = device_with_vault();
    let notes = device.vault().records("notes");
    notes.put(id(1), &record(&[("n", 1)])).unwrap();
    let mut tx = device.vault().begin(NO_WAIT).unwrap();
    device.clock.set(10);
    tx.in_collection(&notes).put(id(1), &record(&[("n", 2)])).unwrap();
    tx.commit().unwrap();
    notes.put(id(1), &record(&[("n", 3)])).unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("n", 3)])));
}

/// One call in a transaction.
#[derive(Clone, Debug)]
enum Call {
    Put(u8, u8, i64),
    Replace(u8, u8, i64),
    Update(u8, u8, i64),
    Delete(u8),
    Get(u8),
    Page(Option<u8>, usize),
    Len,
    /// Put that the limits refuse.
    Bad(u8),
}

/// Calls, and whether the transaction they make commits.
type Calls = (Vec<(bool, Call)>, bool);

fn calls() -> impl Strategy<Value = Vec<Calls>> {
    let target = 1..6u8;
    let call = prop_oneof![
        4 => (target.clone(), 0..4u8, 0..9i64).prop_map(|(id, field, n)| Call::Put(id, field, n)),
        2 => (target.clone(), 0..4u8, 0..9i64).prop_map(|(id, field, n)| Call::Replace(id, field, n)),
        2 => (target.clone(), 0..4u8, 0..9i64).prop_map(|(id, field, n)| Call::Update(id, field, n)),
        2 => target.clone().prop_map(Call::Delete),
        1 => target.clone().prop_map(Call::Get),
        1 => (proptest::option::of(target.clone()), 1..5usize).prop_map(|(after, n)| Call::Page(after, n)),
        1 => Just(Call::Len),
        1 => target.prop_map(Call::Bad),
    ];
    let transaction = (proptest::collection::vec((any::<bool>(), call), 0..12), any::<bool>());
    proptest::collection::vec(transaction, 1..6)
}

/// Makes a call; says what it answered.
fn make(call: &Call, seen: &mut TxCollection<'_, Record>) -> String {
    let fields = |field: &u8, n: &i64| record(&[(["a", "b", "c", "d"][usize::from(*field)], *n)]);
    match call {
        Call::Put(target, field, n) => format!("{:?}", seen.put(id(*target), &fields(field, n))),
        Call::Replace(target, field, n) => format!("{:?}", seen.replace(id(*target), &fields(field, n))),
        Call::Update(target, field, n) => {
            format!("{:?}", seen.update(id(*target), |record| record.0.extend(fields(field, n).0)))
        }
        Call::Delete(target) => format!("{:?}", seen.delete(id(*target))),
        Call::Get(target) => json(&seen.get(id(*target)).unwrap()),
        Call::Page(after, limit) => json(&seen.page(after.map(id), *limit).unwrap()),
        Call::Len => {
            let (len, page) = (seen.len().unwrap(), seen.page(None, 100).unwrap());
            assert_eq!((len, len == 0), (page.len() as u64, seen.is_empty().unwrap()));
            len.to_string()
        }
        Call::Bad(target) => {
            let name = "x".repeat(1 << 12);
            format!("{:?}", seen.put(id(*target), &record(&[("a", 8), (&name, 1)])).is_err())
        }
    }
}

/// `Debug` shows no content.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn through_closure(vault: &Vault, (calls, commits): &Calls) -> Vec<String> {
    let collections = [vault.records("notes"), vault.records("others")];
    let mut answers = Vec::new();
    let written = vault.write(|tx| {
        for (which, call) in calls {
            answers.push(make(call, &mut collections[usize::from(*which)].in_tx(tx)));
        }
        if *commits { Ok(()) } else { Err(Error::NoRecord) }
    });
    assert_eq!(written.is_ok(), *commits);
    answers
}

fn through_transaction(vault: &Vault, (calls, commits): &Calls) -> Vec<String> {
    let collections = [vault.records("notes"), vault.records("others")];
    let mut tx = vault.begin(NO_WAIT).unwrap();
    let made = calls.iter().map(|(which, call)| {
        let mut seen = tx.in_collection(&collections[usize::from(*which)]);
        make(call, &mut seen)
    });
    let answers = made.collect();
    if *commits {
        tx.commit().unwrap()
    } else {
        tx.abort()
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn calls_through_a_transaction_do_what_they_do_through_a_closure(transactions in calls()) {
        let devices = [device_with_vault(), device_with_vault()];
        let vaults = [devices[0].vault(), devices[1].vault()];
        for transaction in &transactions {
            let answers = through_closure(&vaults[0], transaction);
            prop_assert_eq!(&answers, &through_transaction(&vaults[1], transaction));
            prop_assert_eq!(everything(&vaults[0]), everything(&vaults[1]));
        }
        let pending = vaults.each_ref().map(|vault| vault.pending().unwrap());
        prop_assert_eq!(pending[0], pending[1]);
        for (device, vault) in devices.iter().zip(&vaults) {
            device.core().seal(&vault.id()).unwrap();
            prop_assert!(device.device.as_ref().unwrap().verify().unwrap().is_good());
        }
    }
}

#[test]
fn a_transaction_may_end_on_another_thread() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let (send, receive) = mpsc::channel::<Transaction>();
    let other = std::thread::spawn({
        let notes = notes.clone();
        move || {
            let mut tx = receive.recv().unwrap();
            tx.in_collection(&notes).put(id(2), &record(&[("b", 2)])).unwrap();
            tx.commit().unwrap();
        }
    });
    let mut tx = vault.begin(NO_WAIT).unwrap();
    tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
    send.send(tx).unwrap();
    other.join().unwrap();
    assert_eq!(notes.len().unwrap(), 2);
    notes.put(id(3), &record(&[("a", 1)])).unwrap();
}
