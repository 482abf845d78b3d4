//! A device that an operating system sends to sleep while it syncs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use subrosa::{
    Cancel, Clock, Device, Error, LifeError, Options, OsEntropy, PairLink, RendezvousError, SoftwareKey,
    SyncError, SyncFailure, SyncState, SystemClock,
};

use crate::support::{
    MOMENT, PATIENCE, TestDevice, TestRelay, caught_up, clock, eventually, notes, reason_becomes,
};

#[test]
fn a_suspended_device_rests_and_syncs_again_when_it_resumes() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("note", "before");
    let b = a.pair(&relay.url());
    let (left, right) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&left);
    caught_up(&right);
    for round in 0..3 {
        let begun = clock();
        b.device().suspend(PATIENCE).unwrap();
        assert!(begun.elapsed() < PATIENCE, "it rested before the deadline");
        assert_eq!(right.status().state, SyncState::Suspended);
        let waited = right.wait_caught_up(PATIENCE);
        assert!(matches!(waited, Err(SyncError::Suspended)), "{waited:?}");
        let refused = b.device().sync(&relay.url());
        assert!(matches!(refused, Err(Error::Life(LifeError::Suspended))), "{refused:?}");
        a.put(&format!("note {round}"), "while it slept");
        caught_up(&left);
        b.device().resume().unwrap();
        eventually(&b.vault(), "what was written meanwhile", |vault| notes(vault).len() == round + 2);
        caught_up(&right);
    }
    b.put("woken", "writes again");
    caught_up(&right);
    eventually(&a.vault(), "what it wrote", |vault| notes(vault).len() == 5);
}

#[test]
fn nothing_needs_to_run_to_suspend_and_a_resting_sync_can_be_stopped() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.device().suspend(PATIENCE).unwrap();
    a.device().suspend(PATIENCE).unwrap();
    a.device().network_changed();
    a.device().resume().unwrap();
    a.device().resume().unwrap();
    let sync = a.sync(&relay.url());
    caught_up(&sync);
    a.device().suspend(PATIENCE).unwrap();
    let events = sync.events();
    sync.stop();
    assert!(events.next(PATIENCE).is_some_and(|event| format!("{event:?}").contains("Offline")));
    assert!(events.next(PATIENCE).is_none() && events.is_over());
    a.device().resume().unwrap();
    a.put("note", "a new start");
    a.sync_once(&relay.url());
}

#[test]
fn sync_and_an_offer_stop_although_a_transaction_is_open_on_the_same_thread() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let (sync, other) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&sync);
    caught_up(&other);
    let offer = a.device().pair_offer(&relay.url()).unwrap();
    let open = a.vault().begin(PATIENCE).unwrap();
    // What arrives now waits for its turn, and so for this thread.
    b.put("note", "from the other device");
    caught_up(&other);
    drop(offer);
    sync.stop();
    drop(open);
    a.sync_once(&relay.url());
    assert_eq!(notes(&a.vault()).len(), 1);
}

#[test]
fn a_transaction_left_open_does_not_keep_a_syncing_device_awake() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let (sync, other) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&sync);
    caught_up(&other);
    let begun = clock();
    let open = a.vault().begin(PATIENCE).unwrap();
    // What arrives now waits for its turn.
    b.put("note", "from the other device");
    caught_up(&other);
    let events = sync.events();
    a.device().suspend(MOMENT).unwrap();
    assert!(begun.elapsed() < PATIENCE);
    let refused = open.commit();
    assert!(matches!(refused, Err(Error::Life(LifeError::Suspended))), "{refused:?}");
    while sync.status().state != SyncState::Suspended {
        assert!(events.next(PATIENCE).is_some(), "{:?}", sync.status());
    }
    a.device().resume().unwrap();
    a.put("note", "after all");
    caught_up(&sync);
}

#[test]
fn closing_a_device_ends_its_sync() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let sync = a.sync(&relay.url());
    caught_up(&sync);
    let events = sync.events();
    a.device().close().unwrap();
    while events.next(PATIENCE).is_some() {}
    assert!(events.is_over());
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Stopped)), "{waited:?}");
    let refused = a.device().sync(&relay.url());
    assert!(matches!(refused, Err(Error::Life(LifeError::Closed))), "{refused:?}");
}

#[test]
fn a_suspended_offer_is_over_and_says_why() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let mut offer = a.device().pair_offer(&relay.url()).unwrap();
    assert!(PairLink::parse(&offer.link().to_text()).is_ok());
    a.device().suspend(PATIENCE).unwrap();
    let over = offer.wait_for_code(PATIENCE);
    assert!(
        matches!(over, Err(Error::Rendezvous(RendezvousError::Failed(SyncFailure::Suspended)))),
        "{over:?}"
    );
    let refused = a.device().pair_offer(&relay.url());
    assert!(
        matches!(refused, Err(Error::Rendezvous(RendezvousError::Failed(SyncFailure::Suspended)))),
        "{refused:?}"
    );
    a.device().resume().unwrap();
    assert!(a.device().pair_offer(&relay.url()).is_ok());
}

#[test]
fn a_changed_network_does_not_cost_the_connection() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let (left, right) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&left);
    caught_up(&right);
    let events = right.events();
    for round in 0..3 {
        b.device().network_changed();
        a.put(&format!("note {round}"), "to a new socket");
        eventually(&b.vault(), "the note", |vault| notes(vault).len() == 2 * round + 1);
        b.put(&format!("answer {round}"), "from a new socket");
        eventually(&a.vault(), "the answer", |vault| notes(vault).len() == 2 * round + 2);
    }
    caught_up(&right);
    while let Some(event) = events.try_next() {
        let event = format!("{event:?}");
        assert!(!event.contains("Offline") && !event.contains("Connecting"), "{event}");
    }
}

#[test]
fn a_changed_network_ends_the_wait_before_the_next_try() {
    let mut relay = TestRelay::open();
    let url = relay.url();
    relay.stop();
    let a = TestDevice::new();
    let sync = a.sync(&url);
    // Some failures, so that the pause is a long one.
    let events = sync.events();
    let mut offline = 0;
    while offline < 3 {
        let event = events.next(PATIENCE).expect("it goes on trying");
        offline += usize::from(matches!(event, subrosa::SyncEvent::State(SyncState::Offline)));
    }
    relay.start();
    a.device().network_changed();
    reason_becomes(&sync, "live");
}

#[test]
fn a_wait_for_sync_can_be_cancelled() {
    let mut relay = TestRelay::open();
    let url = relay.url();
    relay.stop();
    let a = TestDevice::new();
    let sync = a.sync(&url);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| sync.wait_caught_up_or(PATIENCE * 10, &cancel));
        cancel.cancel();
        let woken = waiting.join().unwrap();
        assert!(matches!(woken, Err(Error::Cancelled)), "{woken:?}");
    });
    relay.start();
    caught_up(&sync);
}

/// A clock of the host's that panics on the thread that syncs, once told to.
struct Broken(Arc<AtomicBool>);

impl Clock for Broken {
    fn now_ms(&self) -> u64 {
        let here = std::thread::current().name() == Some("subrosa-store");
        assert!(!(here && self.0.load(Ordering::SeqCst)), "broken on purpose");
        SystemClock.now_ms()
    }
}

#[test]
fn a_panic_of_the_stores_thread_ends_sync_and_says_so() {
    let relay = TestRelay::open();
    let home = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let options = Options::default().clock(Arc::new(Broken(broken.clone())));
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let device = Device::create(home.path().join("store"), key, options).unwrap();
    let vault = device.create_vault("personal").unwrap();
    let sync = device.sync(&relay.url()).unwrap();
    caught_up(&sync);
    let events = sync.events();
    broken.store(true, Ordering::SeqCst);
    crate::support::put(&vault, "note", "never sealed");
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Panicked)), "{waited:?}");
    let status = sync.status();
    assert!(matches!(status.failure, Some(SyncFailure::Panicked)), "{status:?}");
    while events.next(PATIENCE).is_some() {}
    assert!(events.is_over());
    // It is over, and holds nothing up.
    device.suspend(MOMENT).unwrap();
    sync.stop();
}
