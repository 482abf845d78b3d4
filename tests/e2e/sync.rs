//! A device and a relay that does its work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use subrosa::{Clock, Options, RecordId, RelayAddr, SyncFailure, SyncState, SystemClock};

use crate::support::{
    MOMENT, PATIENCE, TestDevice, TestRelay, caught_up, clock, eventually, no_progress, note, notes, put,
    reason_becomes,
};

#[test]
fn what_one_copy_writes_the_other_reads() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    a.put("before", "written offline");
    let b = a.copy();
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    a.put("live", "written online");
    caught_up(&up);
    assert_eq!(a.vault().pending().unwrap(), 0);
    eventually(&b.vault(), "both notes", |vault| notes(vault).len() == 2);
    caught_up(&down);
    assert_eq!(a.notes(), b.notes());
    reason_becomes(&up, "live");
    caught_up(&up);
    let progress = up.status().progress;
    assert!(progress.segments_done >= 2 && progress.segments_done == progress.segments_known, "{progress:?}");
}

#[test]
fn what_one_relay_brings_goes_on_to_the_other_at_once() {
    let (first, second) = (TestRelay::open(), TestRelay::open());
    let a = TestDevice::new();
    let (b, c) = (a.pair(&first.url()), a.pair(&first.url()));
    a.sync_once(&second.url());
    let syncs = [a.sync(&first.url()), a.sync(&second.url()), c.sync(&second.url())];
    syncs.iter().for_each(caught_up);
    b.put("note", "which only the first relay gets");
    b.sync_once(&first.url());
    eventually(&c.vault(), "the note", |vault| notes(vault).len() == 1);
}

/// Wall time, and more than five minutes on top.
struct Ahead;

impl Clock for Ahead {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + 5 * 60_000 + 1_500
    }
}

#[test]
fn what_comes_from_the_future_shows_when_its_time_has_come_and_nothing_else_happens() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    let b = a.pair(&relay.url());
    let down = b.sync(&relay.url());
    caught_up(&down);
    a.close();
    a.open_with(Options::default().clock(Arc::new(Ahead)));
    let begun = clock();
    a.put("note", "from tomorrow");
    a.sync_once(&relay.url());
    a.close();
    eventually(&b.vault(), "the note", |vault| notes(vault).len() == 1);
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "it was held");
}

#[test]
fn a_hook_that_runs_on_the_engines_thread_may_stop_its_sync() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let sync = b.sync(&relay.url());
    caught_up(&sync);
    let events = sync.events();
    let held = Mutex::new(Some(sync));
    let mut changes = b.vault().watch();
    changes.on_arrival(Arc::new(move || drop(held.lock().unwrap().take())));
    a.put("note", "whose arrival ends it");
    a.sync_once(&relay.url());
    while events.next(PATIENCE).is_some() {}
    assert!(events.is_over());
    assert_eq!(notes(&b.vault()).len(), 1);
}

#[test]
fn several_vaults_share_one_link() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    let names: Vec<String> = (0..5).map(|n| format!("vault {n}")).collect();
    for name in &names {
        a.device().create_vault(name).unwrap();
    }
    let b = a.copy();
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    for name in &names {
        put(&a.device().vault(name).unwrap(), "note", name);
    }
    caught_up(&up);
    for name in &names {
        eventually(&b.device().vault(name).unwrap(), name, |vault| notes(vault).len() == 1);
    }
    caught_up(&down);
    // A vault that is founded while the link is up joins it.
    let late = a.device().create_vault("late").unwrap();
    put(&late, "note", "late");
    caught_up(&up);
    assert_eq!(late.pending().unwrap(), 0);
}

#[test]
fn nobody_there_is_offline_and_then_live() {
    let mut relay = TestRelay::open();
    let url = relay.url();
    relay.stop();
    let a = TestDevice::new();
    a.put("note", "kept");
    let sync = a.sync(&url);
    let status = no_progress(&sync);
    assert!(matches!(status.state, SyncState::Connecting | SyncState::Offline), "{status:?}");
    relay.start();
    caught_up(&sync);
    assert_eq!(a.vault().pending().unwrap(), 0);
}

#[test]
fn another_host_of_the_address_is_tried() {
    let relay = TestRelay::open();
    let good = relay.url();
    let hosts = vec!["no-such-host.invalid:1".to_owned(), good.hosts()[0].clone()];
    let a = TestDevice::new();
    a.sync_once(&RelayAddr::new(hosts, *good.pin(), None).unwrap());
}

#[test]
fn another_key_is_not_the_relay() {
    let (relay, other) = (TestRelay::open(), TestRelay::open());
    let mixed = RelayAddr::new(relay.url().hosts().to_vec(), *other.url().pin(), None).unwrap();
    let a = TestDevice::new();
    a.put("note", "kept");
    let sync = a.sync(&mixed);
    let events = sync.events();
    while !matches!(sync.status().failure, Some(SyncFailure::WrongKey)) {
        assert!(events.next(PATIENCE).is_some(), "{:?}", sync.status());
    }
    assert_eq!(a.vault().pending().unwrap(), 1);
}

#[test]
fn edits_made_apart_converge() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    a.sync_once(&relay.url());
    let b = a.copy();
    for n in 0..50 {
        a.put(&format!("a{n}"), "from a");
        b.put(&format!("b{n}"), "from b");
        a.put("both", "from a");
        b.put("both", "from b");
    }
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    for device in [&a, &b] {
        eventually(&device.vault(), "all notes", |vault| notes(vault).len() == 101);
    }
    caught_up(&up);
    caught_up(&down);
    eventually(&b.vault(), "the same", |vault| notes(vault) == a.notes());
}

#[test]
fn stopping_in_the_middle_of_catching_up_is_quick_and_loses_nothing() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let records = 20_000;
    let (vault, collection) = (a.vault(), a.vault().records("notes"));
    vault
        .write(|tx| {
            let mut notes = collection.in_tx(tx);
            for n in 0..records {
                notes.put(RecordId::from_name(&n.to_string()), &note(&format!("{n:0>256}")))?;
            }
            Ok(())
        })
        .unwrap();
    a.sync_once(&relay.url());
    let b = a.pair(&relay.url());
    a.sync_once(&relay.url());
    let mut rounds = 0;
    loop {
        let sync = b.sync(&relay.url());
        let events = sync.events();
        // Until the first segments of this link are stored; more are with the store by then.
        while sync.status().progress.segments_done == 0 && sync.status().state != SyncState::Live {
            let _ = events.next(MOMENT / 10);
        }
        let begun = clock();
        let live = sync.status().state == SyncState::Live;
        sync.stop();
        assert!(begun.elapsed() < PATIENCE / 3, "{:?}", begun.elapsed());
        rounds += 1;
        if live {
            break;
        }
        assert!(rounds < 1_000, "every link gets further");
    }
    assert_eq!(b.vault().records("notes").len().unwrap(), records);
}
