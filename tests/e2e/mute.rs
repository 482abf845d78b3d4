//! Relays that do not behave: they keep nobody, whatever they feed, and what is wrong with one vault is that vault's
//! matter.

use std::sync::atomic::Ordering;

use subrosa::{PeerFault, SyncError, SyncEvent, SyncFault, SyncState};

use crate::fake::{Fake, Manner};
use crate::support::{MOMENT, PATIENCE, TestDevice, TestRelay, caught_up, clock, put, reason_becomes};

#[test]
fn a_relay_that_grants_no_stream_keeps_nobody() {
    let relay = Fake::start(Manner::Mute);
    let a = TestDevice::new();
    let begun = clock();
    let sync = a.sync(&relay.addr);
    relay.connected.recv_timeout(PATIENCE).unwrap();
    assert_eq!(sync.status().state, SyncState::Connecting);
    sync.stop();
    let offer = a.device().pair_offer(&relay.addr).unwrap();
    relay.connected.recv_timeout(PATIENCE).unwrap();
    drop(offer);
    let sync = a.sync(&relay.addr);
    relay.connected.recv_timeout(PATIENCE).unwrap();
    a.device().suspend(PATIENCE).unwrap();
    assert_eq!(sync.status().state, SyncState::Suspended);
    drop(sync);
    assert!(begun.elapsed() < PATIENCE + MOMENT, "nothing waited for the relay");
}

#[test]
fn a_relay_that_feeds_for_ever_keeps_nobody_past_the_time() {
    let relay = Fake::start(Manner::FeedsForEver);
    let a = TestDevice::new();
    a.put("note", "kept");
    let sync = a.sync(&relay.addr);
    let begun = clock();
    while relay.fed.load(Ordering::SeqCst) < 100 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", sync.status());
        assert!(matches!(sync.wait_caught_up_within(PATIENCE, MOMENT), Err(SyncError::Unfinished(_))));
    }
    let waited = sync.wait_caught_up_within(PATIENCE, MOMENT);
    assert!(matches!(waited, Err(SyncError::Unfinished(_))), "{waited:?}");
    assert!(sync.status().progress.segments_done > 0, "things moved all the time");
    assert_eq!(a.notes().len(), 1);
}

#[test]
fn a_vault_for_which_a_relay_forges_rests_and_the_others_are_synced() {
    let a = TestDevice::new();
    let second = a.device().create_vault("second").unwrap();
    put(&second, "note", "kept");
    a.put("note", "goes");
    let relay = Fake::start(Manner::Forges(second.id()));
    let sync = a.sync(&relay.addr);
    let events = sync.events();
    let personal = a.vault().id();
    let (mut rests, mut synced) = (false, false);
    while !(rests && synced) {
        match events.next(PATIENCE).expect("both come") {
            SyncEvent::Rests { vault, fault: SyncFault::Peer(PeerFault::BadSignature), .. } => {
                rests |= vault == second.id();
            }
            SyncEvent::Synced(vault) => synced |= vault == personal,
            SyncEvent::State(SyncState::Offline) => panic!("the link is kept: {:?}", sync.status()),
            _ => {}
        }
    }
    let status = sync.status();
    assert_eq!(status.resting.keys().collect::<Vec<_>>(), [&second.id()]);
    assert_eq!((a.vault().pending().unwrap(), second.pending().unwrap()), (0, 1));
    a.put("another", "goes too");
    while !matches!(events.next(PATIENCE).expect("it goes on"), SyncEvent::Synced(vault) if vault == personal)
    {
    }
    assert_eq!(a.vault().pending().unwrap(), 0);
}

#[test]
fn a_relay_that_hides_something_is_named_and_the_wait_ends_all_the_same() {
    let relay = Fake::start(Manner::Hides);
    let a = TestDevice::new();
    a.put("note", "goes");
    let personal = a.vault().id();
    let sync = a.sync(&relay.addr);
    let events = sync.events();
    let mut said = 0;
    while said == 0 {
        let event = events.next(PATIENCE).expect("the relay is found out");
        said += usize::from(matches!(event, SyncEvent::Disagrees(vault) if vault == personal));
    }
    caught_up(&sync);
    assert!(sync.status().disagrees.contains(&personal));
    reason_becomes(&sync, "live"); // what can be exchanged is
}

#[test]
fn a_relay_that_claims_another_future_and_shows_none_gets_nothing_more_and_is_named() {
    let relay = Fake::start(Manner::Claims);
    let a = TestDevice::new();
    a.put("note", "kept");
    let personal = a.vault().id();
    let sync = a.sync(&relay.addr);
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Disputed)), "{waited:?}");
    assert_eq!(sync.status().disputed.iter().collect::<Vec<_>>(), [&personal]);
    assert_eq!((sync.status().state, sync.status().reason().as_str()), (SyncState::Refused, "disputed"));
    // Nothing is sealed for it, and no logs are opened: what is written waits.
    let sent = relay.fed.load(Ordering::SeqCst);
    a.put("another", "waits");
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Disputed)), "{waited:?}");
    assert_eq!((a.vault().pending().unwrap(), relay.fed.load(Ordering::SeqCst)), (1, sent));
    drop(sync);
    // An honest relay gets all of it, in the logs as they were.
    let honest = TestRelay::open();
    a.sync_once(&honest.url());
    assert_eq!(a.vault().pending().unwrap(), 0);
    let b = a.pair(&honest.url());
    b.sync_once(&honest.url());
    assert_eq!(b.notes(), a.notes());
}
