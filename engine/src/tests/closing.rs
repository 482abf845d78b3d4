//! What suspending and closing do to who is in the middle of something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{device_with_vault, everything, id, is_life, record};
use crate::error::LifeError;
use crate::records::watch::Change;

/// Longer than any of these tests may take.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn close_ends_everything_for_all_handles_and_gives_the_directory_up() {
    let mut device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let vault = device.vault();
    let notes = vault.records("notes");
    let kept = notes.insert(&record(&[("a", 1)])).unwrap();
    let (mut watch, snapshot) = (notes.watch(), vault.snapshot().unwrap());
    let mut tx = vault.begin(LONG).unwrap();
    tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
    let another = handle.clone();
    another.close().unwrap();
    another.close().unwrap();
    let closed = LifeError::Closed;
    is_life(tx.in_collection(&notes).get(id(1)), closed);
    is_life(tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])), closed);
    is_life(tx.commit(), closed);
    is_life(snapshot.in_collection(&notes).get(kept), closed);
    is_life(snapshot.collections(), closed);
    assert!(watch.is_over() && watch.next(LONG).is_none() && notes.watch().is_over());
    is_life(notes.get(kept), closed);
    is_life(notes.insert(&record(&[("a", 1)])), closed);
    is_life(notes.scan().next().unwrap(), closed);
    is_life(vault.begin(LONG), closed);
    is_life(vault.snapshot(), closed);
    is_life(vault.devices(), closed);
    is_life(vault.pending(), closed);
    is_life(handle.vaults(), closed);
    is_life(handle.vault("personal"), closed);
    is_life(handle.create_vault("another"), closed);
    is_life(handle.name(), closed);
    is_life(handle.space(), closed);
    is_life(handle.verify(), closed);
    is_life(handle.compact(), closed);
    is_life(handle.suspend(Duration::ZERO), closed);
    is_life(handle.resume(), closed);
    assert_eq!(handle.in_progress().unwrap(), crate::life::snapshots::InProgress::default());
    // Old handles still live, and stay out of the way of the new one.
    device.device = Some(device.open_at(&device.path()));
    let again = device.vault().records("notes");
    is_life(notes.get(kept), closed);
    drop((handle, another, notes, vault, snapshot, watch));
    assert_eq!(again.get(kept).unwrap(), Some(record(&[("a", 1)])));
    assert_eq!(again.len().unwrap(), 1);
    again.insert(&record(&[("a", 1)])).unwrap();
    assert!(device.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn close_waits_for_a_write_under_way_and_turns_later_ones_away() {
    let mut device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let notes = device.vault().records("notes");
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let vault = device.vault();
    std::thread::scope(|scope| {
        let writing = scope.spawn({
            let notes = &notes;
            move || {
                vault.write(|tx| {
                    notes.in_tx(tx).put(id(1), &record(&[("a", 1)]))?;
                    began.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    notes.in_tx(tx).put(id(2), &record(&[("a", 1)]))
                })
            }
        });
        has_begun.recv().unwrap();
        let waiting = scope.spawn(|| notes.put(id(3), &record(&[("a", 1)])));
        while device.core().gate.waiting() < 1 {
            std::thread::yield_now();
        }
        let closing = scope.spawn(|| handle.close());
        is_life(waiting.join().unwrap(), LifeError::Closed);
        is_life(notes.put(id(4), &record(&[("a", 1)])), LifeError::Closed);
        go_on.send(()).unwrap();
        writing.join().unwrap().unwrap();
        closing.join().unwrap().unwrap();
    });
    drop((handle, notes));
    device.reopen();
    let ids: Vec<_> = everything(&device.vault()).into_iter().map(|(_, id, _)| id).collect();
    assert_eq!(ids, [id(1), id(2)]);
}

#[test]
fn suspend_gives_a_transaction_time_to_end() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let snapshot = vault.snapshot().unwrap();
    let mut tx = vault.begin(LONG).unwrap();
    std::thread::scope(|scope| {
        let suspending = scope.spawn(|| device.core().suspend(LONG));
        while device.core().gate.waiting() < 1 {
            std::thread::yield_now();
        }
        let other = scope.spawn(|| notes.put(id(2), &record(&[("a", 1)])));
        is_life(other.join().unwrap(), LifeError::Suspended);
        tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
        tx.commit().unwrap();
        suspending.join().unwrap().unwrap();
    });
    is_life(snapshot.in_collection(&notes).len(), LifeError::Suspended);
    is_life(vault.begin(LONG), LifeError::Suspended);
    is_life(vault.snapshot(), LifeError::Suspended);
    is_life(device.device.as_ref().unwrap().compact(), LifeError::Suspended);
    device.core().resume().unwrap();
    device.core().resume().unwrap();
    assert_eq!(everything(&vault).len(), 1);
    assert!(snapshot.is_over() && !vault.snapshot().unwrap().is_over());
    is_life(snapshot.in_collection(&notes).len(), LifeError::Suspended);
}

#[test]
fn suspend_takes_a_transaction_away_when_its_time_is_over() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let mut tx = vault.begin(LONG).unwrap();
    tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
    device.core().suspend(Duration::from_millis(1)).unwrap();
    device.core().suspend(Duration::ZERO).unwrap();
    is_life(tx.in_collection(&notes).get(id(1)), LifeError::Suspended);
    assert!(tx.is_over());
    device.core().resume().unwrap();
    is_life(tx.in_collection(&notes).put(id(2), &record(&[("a", 1)])), LifeError::Suspended);
    // The turn went with it.
    notes.put(id(3), &record(&[("a", 1)])).unwrap();
    is_life(tx.commit(), LifeError::Suspended);
    let ids: Vec<_> = everything(&vault).into_iter().map(|(_, id, _)| id).collect();
    assert_eq!(ids, [id(3)]);
    device.core().suspend(Duration::ZERO).unwrap();
    device.device.as_ref().unwrap().close().unwrap();
    is_life(device.core().resume(), LifeError::Closed);
}

#[test]
fn a_hook_is_called_when_changes_arrive_and_when_the_watch_ends_and_may_make_any_call() {
    let device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let (notes, others) = (device.vault().records("notes"), device.vault().records("others"));
    let called = Arc::new(AtomicUsize::new(0));
    let mut watch = notes.watch();
    let hook = {
        let (called, vault) = (called.clone(), device.vault());
        Arc::new(move || {
            called.fetch_add(1, Ordering::SeqCst);
            // Whatever the call says: it must come back.
            let _ = vault.records("from the hook").put(id(9), &record(&[("a", 1)]));
            let _ = (vault.devices(), vault.collections());
        })
    };
    watch.on_arrival(hook.clone());
    assert_eq!(called.load(Ordering::SeqCst), 0);
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    others.put(id(1), &record(&[("a", 1)])).unwrap();
    let mut tx = device.vault().begin(LONG).unwrap();
    tx.in_collection(&notes).put(id(2), &record(&[("a", 1)])).unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 1);
    tx.commit().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 2);
    assert!(matches!(watch.try_next(), Some(Change::Record { .. })));
    watch.on_arrival(hook.clone());
    assert_eq!(called.load(Ordering::SeqCst), 3, "something was there already");
    handle.close().unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 4);
    watch.on_arrival(hook);
    assert_eq!(called.load(Ordering::SeqCst), 5);
    assert!(watch.try_next().is_some() && watch.is_over());
}
