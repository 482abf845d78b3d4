//! Two devices of one user.

use std::time::Duration;

use subrosa::testing::set_push_wait;
use subrosa::{AbortReason, Confirmation, Error, PairError};
use subrosa_tests::liar::{Lie, LyingRelay};

use crate::support::{NewDevice, PATIENCE, TestDevice, TestRelay, caught_up, clock, eventually, notes};

#[test]
fn paired_devices_exchange_live_edits_quickly() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("before", "pairing");
    let b = a.pair(&relay.url());
    let (left, right) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&left);
    caught_up(&right);
    eventually(&b.vault(), "the note from before", |vault| notes(vault).len() == 1);
    let mut times: Vec<Duration> = (0..21)
        .map(|n| {
            let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let (vault, name) = (to.vault(), format!("live {n}"));
            let before = notes(&vault).len();
            let begun = clock();
            from.put(&name, "live");
            eventually(&vault, &name, |vault| notes(vault).len() > before);
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("one edit, device to device: median {:?}, slowest {:?}", times[10], times[20]);
    // The goal is 10 ms beyond the relay's fsync; other tests and slow disks share this machine.
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
    caught_up(&left);
    caught_up(&right);
    assert_eq!(a.notes(), b.notes());
}

#[test]
fn a_third_device_gets_everything_from_an_emptied_relay() {
    let mut relay = TestRelay::with(TestRelay::config());
    let a = TestDevice::new();
    a.put("a", "from a");
    let b = a.pair(&relay.invite_url(1));
    a.sync_once(&relay.url());
    b.sync_once(&relay.url());
    b.put("b", "from b");
    b.sync_once(&relay.url());
    a.sync_once(&relay.url());
    relay.stop();
    std::fs::remove_file(relay.data().join(subrosa_relay::DATABASE)).unwrap();
    relay.start();
    // The second device alone brings the vault back, with the grant that it was handed.
    b.sync_once(&relay.url());
    let c = b.pair(&relay.url());
    b.sync_once(&relay.url());
    c.sync_once(&relay.url());
    assert_eq!(c.notes(), a.notes());
    c.put("c", "from c");
    c.sync_once(&relay.url());
    a.sync_once(&relay.url());
    assert_eq!(c.notes(), a.notes());
}

#[test]
fn a_new_device_whose_relay_never_acknowledges_it_gets_no_keys_is_told_and_comes_again() {
    let relay = LyingRelay::start(Lie::Honest).unwrap();
    let a = TestDevice::new();
    a.put("before", "pairing");
    let sync = a.sync(relay.url());
    caught_up(&sync);
    let new = NewDevice::new();
    relay.tell_all(Lie::NeverAcknowledge);

    // The relay takes the word of it, and says nothing.
    let mut offer = a.device().pair_offer(relay.url()).unwrap();
    let joining = new.answer(&offer);
    offer.wait_for_code(PATIENCE).unwrap().expect("the new device answers");
    set_push_wait(&mut offer, PUSH_WAIT);
    let begun = clock();
    let confirmed = offer.confirm(Confirmation::CodesEqual);
    assert!(matches!(confirmed, Err(Error::Pair(PairError::Unconfirmed))), "{confirmed:?}");
    let told = joining.join().unwrap();
    assert!(matches!(told, Err(Error::Pair(PairError::Aborted(AbortReason::Failed)))), "{told:?}");
    assert!(begun.elapsed() < PATIENCE, "both are told in bounded time: {:?}", begun.elapsed());
    assert!(relay.unheard() > 0, "the relay took it");
    assert_eq!(relay.take_said(), [COMMIT, REVEAL, OPEN, ABORT], "no piece of the bundle was sent");
    assert!(!new.has_store());
    // What the relay has taken cannot be taken back.
    assert_eq!(a.vault().devices().unwrap().len(), 2, "it is listed");

    relay.tell(Lie::Honest);
    relay.cut();
    let mut offer = a.device().pair_offer(relay.url()).unwrap();
    let joining = new.answer(&offer);
    offer.wait_for_code(PATIENCE).unwrap().expect("the new device answers again");
    offer.confirm(Confirmation::CodesEqual).unwrap();
    let b = new.with(joining.join().unwrap().unwrap());
    assert!(relay.take_said().contains(&PIECE));
    caught_up(&sync);
    b.sync_once(relay.url());
    b.put("b", "after");
    b.sync_once(relay.url());
    caught_up(&sync);
    assert_eq!((a.notes().len(), a.notes()), (2, b.notes()));
    for device in [&a, &b] {
        assert_eq!((device.vault().devices().unwrap().len(), device.vault().pending().unwrap()), (2, 0));
    }
}

/// Instead of half a minute.
const PUSH_WAIT: Duration = Duration::from_secs(3);
/// Kinds of messages of a pairing (`docs/PROTOCOL.md`, "Pairing").
const COMMIT: u8 = 1;
const REVEAL: u8 = 2;
const OPEN: u8 = 3;
const PIECE: u8 = 4;
const ABORT: u8 = 6;
