//! What an embedding application does: it starts sync and offers a pairing at once.

use std::path::Path;
use std::sync::Arc;

use subrosa::{Confirmation, Device, Options, OsEntropy, PairJoin, PairLink, RelayAddr, SoftwareKey};

use crate::support::{PATIENCE, TestDevice, TestRelay, caught_up, notes};

/// Pairs a new device with `old`, which has never been online, and says what its first sync brought.
fn first_sync(old: &TestDevice, relay: &RelayAddr, home: &Path) -> (Device, usize) {
    let live = old.sync(relay);
    let mut offer = old.device().pair_offer(relay).unwrap();
    let link = PairLink::parse(&offer.link().to_text()).unwrap();
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let mut join = PairJoin::start(home.join("store"), key, Options::default(), link).unwrap();
    let syncing = relay.without_invite();
    let joined = std::thread::spawn(move || {
        let new = loop {
            if let Some(device) = join.wait(PATIENCE).unwrap() {
                break device;
            }
        };
        let sync = new.sync(&syncing).unwrap();
        caught_up(&sync);
        let found = notes(&new.vault("personal").unwrap()).len();
        (new, found)
    });
    offer.wait_for_code(PATIENCE).unwrap().expect("the new device answers");
    offer.confirm(Confirmation::CodesEqual).unwrap();
    let found = joined.join().unwrap();
    caught_up(&live);
    found
}

#[test]
fn a_pairing_begun_with_sync_brings_everything_at_the_first_sync() {
    for round in 0..10 {
        let relay = TestRelay::with(TestRelay::config());
        let old = TestDevice::new();
        old.put("before", "pairing");
        let home = tempfile::tempdir().unwrap();
        let (new, found) = first_sync(&old, &relay.invite_url(1), home.path());
        assert_eq!(found, 1, "round {round}");
        assert_eq!(new.vault("personal").unwrap().devices().unwrap().len(), 2, "round {round}");
    }
}

#[test]
fn a_pairing_without_sync_brings_everything_at_the_first_sync() {
    let relay = TestRelay::with(TestRelay::config());
    let old = TestDevice::new();
    old.put("before", "pairing");
    let new = old.pair(&relay.invite_url(1));
    new.sync_once(&relay.url());
    assert_eq!(new.notes(), old.notes());
    assert_eq!(new.vault().devices().unwrap().len(), 2);
}
