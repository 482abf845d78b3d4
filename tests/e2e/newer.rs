//! What a newer version will have written: statements after the first, and entries that must not be ignored.

use subrosa::testing::{replace_last_statement, sign_next_statement, statements_held, write_unknown_entry};
use subrosa::{SyncError, SyncEvent, SyncState};

use crate::support::{MOMENT, PATIENCE, TestDevice, TestRelay, caught_up, clock, eventually, notes};

#[test]
fn a_device_that_was_paired_without_the_chain_gets_it_from_the_relay_and_then_seals_and_pushes() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("a", "before the pairing");
    a.sync_once(&relay.url());
    for _ in 0..2 {
        sign_next_statement(&a.vault()).unwrap();
    }
    assert_eq!(statements_held(&a.vault()).unwrap(), (3, true));
    a.sync_once(&relay.url());
    let b = a.pair(&relay.url());
    a.sync_once(&relay.url());
    assert_eq!(statements_held(&b.vault()).unwrap(), (1, false), "a bundle brings the last one");
    b.put("b", "before it has the chain");
    assert!(b.vault().pending().unwrap() > 0);
    b.sync_once(&relay.url());
    assert_eq!(statements_held(&b.vault()).unwrap(), (3, true));
    assert_eq!(b.vault().pending().unwrap(), 0);
    a.sync_once(&relay.url());
    assert_eq!((a.notes().len(), a.notes()), (2, b.notes()));
    // As good a member as the first: it lets in another one, and works alone.
    let c = b.pair(&relay.url());
    b.sync_once(&relay.url());
    c.put("c", "from c");
    c.sync_once(&relay.url());
    b.sync_once(&relay.url());
    assert_eq!((b.notes().len(), b.notes()), (3, c.notes()));
}

#[test]
fn a_device_whose_last_statement_was_replaced_before_it_came_to_the_relay_goes_on_with_the_relays_chain() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("a", "before the pairing");
    a.sync_once(&relay.url());
    for _ in 0..2 {
        sign_next_statement(&a.vault()).unwrap();
    }
    a.sync_once(&relay.url());
    let b = a.pair(&relay.url());
    replace_last_statement(&a.vault()).unwrap();
    a.sync_once(&relay.url());
    assert_eq!(statements_held(&b.vault()).unwrap(), (1, false), "of a chain that is no more");
    b.put("b", "before it has one");
    b.sync_once(&relay.url());
    assert_eq!(statements_held(&b.vault()).unwrap(), (3, true));
    assert_eq!(b.vault().pending().unwrap(), 0);
    a.sync_once(&relay.url());
    assert_eq!((a.notes().len(), a.notes()), (2, b.notes()));
}

#[test]
fn a_critical_entry_stops_what_another_device_sends_and_nothing_that_it_receives() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("first", "from a");
    let mut b = a.pair(&relay.url());
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&up);
    caught_up(&down);
    let events = down.events();
    write_unknown_entry(&a.vault(), 0xff).unwrap();
    a.put("wake", "the link of a");
    let id = b.vault().id();
    let deadline = clock() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(clock());
        assert!(!left.is_zero(), "waited in vain for the event: {:?}", down.status());
        if let Some(SyncEvent::UpdateNeeded(vault)) = events.next(left) {
            assert_eq!(vault, id);
            break;
        }
    }
    assert!(b.vault().is_update_needed().unwrap());

    // It goes on receiving, and seals nothing.
    b.put("b", "kept here until the update");
    a.put("later", "from a");
    eventually(&b.vault(), "what a writes", |vault| notes(vault).len() == 4);
    let told = down.wait_caught_up(PATIENCE);
    assert!(matches!(told, Err(SyncError::UpdateNeeded)), "{told:?}");
    let status = down.status();
    assert!(status.update_needed.contains(&id), "{status:?}");
    assert_eq!((status.state, status.reason().as_str()), (SyncState::Refused, "update needed"));
    assert!(b.vault().pending().unwrap() > 0);
    caught_up(&up);
    assert_eq!(a.notes().len(), 3);

    // Nor after it was opened again.
    drop(down);
    b.close();
    b.open();
    let down = b.sync(&relay.url());
    let told = down.wait_caught_up(PATIENCE);
    assert!(matches!(told, Err(SyncError::UpdateNeeded)), "{told:?}");
    assert!(b.vault().pending().unwrap() > 0);
    let mut changes = a.vault().watch();
    changes.next(MOMENT);
    assert_eq!((a.notes().len(), b.notes().len()), (3, 4), "nothing of it is sent, nothing of it is lost");
}
