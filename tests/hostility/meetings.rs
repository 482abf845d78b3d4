//! A relay that abuses the meeting of two devices: nobody is let in, and nothing is left of it.

use std::time::Duration;

use subrosa::Confirmation;
use subrosa_tests::liar::{Lie, LyingRelay};

use crate::support::{MOMENT, NewDevice, TestDevice};

/// Two devices try to meet; neither gets anywhere, and both can meet when the relay is honest.
fn nobody_is_let_in(lie: Lie) {
    let relay = LyingRelay::start(Lie::Honest).unwrap();
    let a = TestDevice::new();
    a.put("note", "of a");
    a.sync_once(relay.url());
    relay.tell(lie);
    let new = NewDevice::new();
    let mut offer = a.device().pair_offer(relay.url()).unwrap();
    let joined = new.answer(&offer);
    let code = offer.wait_for_code(Duration::from_secs(5));
    if let Ok(Some(_)) = code {
        // Whoever compares sees another code, or none.
        let _ = offer.confirm(Confirmation::Typed("000 000"));
    } else {
        drop(offer);
    }
    assert!(joined.join().unwrap().is_err(), "{lie:?}");
    assert!(!new.has_store(), "{lie:?}");
    assert_eq!(a.vault().devices().unwrap().len(), 1, "{lie:?}");
    relay.tell(Lie::Honest);
    let b = a.pair(relay.url());
    b.sync_once(relay.url());
    assert_eq!(b.notes(), a.notes());
}

#[test]
fn messages_of_a_meeting_that_a_relay_alters_let_nobody_in() {
    nobody_is_let_in(Lie::AlterMessages);
}

#[test]
fn messages_of_a_meeting_that_a_relay_gives_back_let_nobody_in() {
    nobody_is_let_in(Lie::EchoMessages);
}

#[test]
fn more_messages_of_a_meeting_than_agreed_end_it() {
    nobody_is_let_in(Lie::RepeatMessages);
}

#[test]
fn a_relay_that_says_that_nobody_is_there_makes_no_code() {
    let relay = LyingRelay::start(Lie::Honest).unwrap();
    let a = TestDevice::new();
    a.sync_once(relay.url());
    relay.tell(Lie::ReadyForNobody);
    let mut offer = a.device().pair_offer(relay.url()).unwrap();
    assert!(!matches!(offer.wait_for_code(MOMENT), Ok(Some(_))));
    drop(offer);
    relay.tell(Lie::Honest);
    a.put("note", "of a");
    a.sync_once(relay.url());
    let b = a.pair(relay.url());
    b.sync_once(relay.url());
    assert_eq!(b.notes(), a.notes());
}
