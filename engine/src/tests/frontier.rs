//! What a new device was told that the relay holds.

use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Head, VaultId};

use super::exchange::pair;
use super::{ListRelay, TestDevice, id, join, record};

fn expect(device: &TestDevice, vault: &VaultId, heads: &[Head]) {
    let expect = |tx: &mut crate::life::commit::Tx<'_>| {
        let number = tx.state.vault_no(vault)?;
        tx.expect_frontier(number, heads)
    };
    device.core().write(expect).unwrap();
}

fn left(device: &TestDevice, vault: &VaultId) -> usize {
    device.core().with_vault(vault, |state| Ok(state.frontier.len())).unwrap()
}

#[test]
fn a_relay_that_shows_a_new_device_less_than_it_held_is_named() {
    let (a, b, relay, vault) = pair();
    let mut c = TestDevice::new();
    join(&a, &c);
    for device in [&a, &b] {
        relay.sync(device.core(), &vault);
    }
    let earlier = relay.state.lock().unwrap().segments.len();
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    // What is not acknowledged is not expected of the relay.
    a.vault().records("notes").put(id(2), &record(&[("x", 2)])).unwrap();
    a.core().seal(&vault).unwrap();
    let frontier = a.core().relay_frontier(&vault, &relay.pin).unwrap();
    assert_eq!(frontier.len(), relay.state.lock().unwrap().heads.len());
    assert!(a.core().relay_frontier(&vault, &super::strangers::another_relay(9).pin).unwrap().is_empty());
    expect(&c, &vault, &frontier);
    // An older state of the relay, which agrees with itself.
    let rolled_back = ListRelay::new();
    {
        let (mut older, newer) = (rolled_back.state.lock().unwrap(), relay.state.lock().unwrap());
        older.logs.clone_from(&newer.logs);
        for segment in newer.segments[..earlier].iter().cloned() {
            super::append(&mut older, &vault, segment).unwrap();
        }
    }
    for _ in 0..2 {
        let taken = rolled_back.feed(c.core(), &vault);
        assert_eq!(taken.received.digest_ok, Some(false), "its digest is right, and it shows less");
        let heads: Vec<_> = rolled_back.state.lock().unwrap().heads.values().copied().collect();
        let shown = c.core().with_vault(&vault, |state| Ok(state.relays[&relay.pin].digest())).unwrap();
        assert_eq!(shown, digest(&heads));
        assert_eq!(left(&c, &vault), 1, "the log that goes on");
        c.reopen();
    }
    let taken = relay.feed(c.core(), &vault);
    assert_eq!((taken.received.digest_ok, left(&c, &vault)), (Some(true), 0));
    c.reopen();
    assert_eq!(left(&c, &vault), 0);
    assert_eq!(relay.feed(c.core(), &vault).received.digest_ok, Some(true));
}
