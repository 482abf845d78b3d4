//! A forked child: whatever locks other threads held when it began stay locked in it for ever.

use std::fmt::Debug;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;

use super::{FORKED, device_with_vault, id, record};
use crate::device::Device;
use crate::error::{Error, LifeError, SyncError, SyncState};
use crate::records::watch::Changes;
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// Longer than the child may need, if it waits for nothing.
const PATIENCE: Duration = Duration::from_secs(60);

fn refused<T: Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Life(LifeError::Forked))), "{result:?}");
}

/// What the child inherits.
struct Inherited {
    device: Device,
    open: Transaction,
    /// It was taken away.
    over: Transaction,
    snapshot: Snapshot,
    changes: Changes,
}

fn call_everything(inherited: Inherited) {
    let Inherited { device, mut open, over, snapshot, mut changes } = inherited;
    let vault = open.vault().clone();
    let notes = vault.records("notes");
    refused(notes.insert(&record(&[("a", 1)])));
    refused(notes.insert_many(&[record(&[("a", 1)])]));
    refused(notes.get(id(1)));
    refused(notes.get_many(&[id(1)]));
    refused(notes.page(None, 1));
    refused(notes.scan().next().unwrap());
    refused(notes.len());
    refused(notes.is_empty());
    refused(vault.write(|_| Ok(())));
    refused(vault.begin(PATIENCE));
    refused(vault.snapshot());
    refused(vault.collections());
    refused(vault.devices());
    refused(vault.pending());
    refused(open.in_collection(&notes).put(id(1), &record(&[("a", 1)])));
    refused(open.in_collection(&notes).get(id(1)));
    drop(open);
    refused(over.commit());
    refused(snapshot.in_collection(&notes).get(id(1)));
    refused(snapshot.collections());
    drop(snapshot);
    changes.on_arrival(Arc::new(|| ()));
    assert!(changes.is_over() && changes.try_next().is_none() && changes.next(PATIENCE).is_none());
    assert!(notes.watch().is_over() && vault.watch().is_over());
    drop(changes);
    let _ = device.public();
    refused(device.name());
    refused(device.vaults());
    refused(device.vault("personal"));
    refused(device.vault_by_id(&vault.id()));
    refused(device.create_vault("another"));
    refused(device.set_relay(None));
    refused(device.relay());
    refused(device.in_progress());
    refused(device.verify());
    refused(device.compact());
    refused(device.space());
    refused(device.suspend(Duration::ZERO));
    refused(device.resume());
    refused(device.close());
    device.network_changed();
    // What the sync driver calls.
    refused(device.core.seal(&vault.id()));
    refused(device.core.heads(&vault.id()));
    device.core.stop_sealing();
    let hook: crate::life::PendingHook = Arc::new(|| ());
    device.core.on_pending(&hook);
    device.core.no_more_pending(&hook);
    device.core.notify_pending();
}

#[test]
fn a_forked_child_is_refused_before_it_takes_any_lock() {
    let device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let vault = device.vault();
    let over = vault.begin(Duration::ZERO).unwrap();
    handle.suspend(Duration::ZERO).unwrap();
    handle.resume().unwrap();
    let inherited = Inherited {
        open: vault.begin(Duration::ZERO).unwrap(),
        over,
        snapshot: vault.snapshot().unwrap(),
        changes: vault.watch(),
        device: handle,
    };
    let (done, is_done) = mpsc::channel();
    let core = device.core();
    let links = &device.device.as_ref().unwrap().core;
    let queue = inherited.changes.queue();
    std::thread::scope(|scope| {
        let _locks = (
            links.links.turn(),
            core.all_locks(),
            core.gate.locked(),
            core.watchers.locked(),
            core.snapshots.locked(),
            queue.locked(),
        );
        scope.spawn(move || {
            FORKED.set(true);
            call_everything(inherited);
            done.send(()).unwrap();
        });
        assert_eq!(is_done.recv_timeout(PATIENCE), Ok(()), "it waits, or a call was let in");
    });
    assert!(vault.records("notes").is_empty().unwrap());
}

#[test]
fn sync_and_its_events_are_over_in_a_forked_child_and_go_on_in_the_parent() {
    let device = device_with_vault();
    let handle = device.device.clone().unwrap();
    let nobody = "subrosa://127.0.0.1:9/#gmcdq4y6k77guoqh7qcuz6caucmneonnngzc3wsufdmnxjiyu7qq";
    let sync = handle.sync(&RelayAddr::parse(nobody).unwrap()).unwrap();
    let events = sync.events();
    let seen = sync.events();
    let child = std::thread::spawn(move || {
        FORKED.set(true);
        assert_eq!(sync.status().state, SyncState::Offline);
        let waited = sync.wait_caught_up(PATIENCE);
        assert!(matches!(waited, Err(SyncError::Forked)), "{waited:?}");
        assert!(sync.events().is_over() && events.is_over());
        assert!(events.next(PATIENCE).is_none() && events.try_next().is_none());
        // Neither stops the parent's threads nor waits for them.
        drop(sync);
    });
    child.join().unwrap();
    assert!(!seen.is_over());
    handle.close().unwrap();
    while seen.next(PATIENCE).is_some() {}
    assert!(seen.is_over());
}
