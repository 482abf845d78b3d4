//! Lies about what a vault is made of at a relay: grants and statements.

use subrosa_tests::liar::{Lie, LyingRelay};

use crate::stage::{Stage, says};
use crate::support::TestDevice;

#[test]
fn a_grant_that_a_relay_did_not_sign_rests_the_vault_and_is_not_kept() {
    let relay = LyingRelay::start(Lie::FalseGrant).unwrap();
    let a = TestDevice::new();
    a.put("note", "kept");
    let sync = a.sync(relay.url());
    says(&sync, "rests: the relay sent a grant that is not for this vault");
    drop(sync);
    relay.tell(Lie::Honest);
    a.sync_once(relay.url());
    let b = a.pair(relay.url());
    b.sync_once(relay.url());
    assert_eq!(b.notes(), a.notes());
}

/// A new device is shown a chain of statements that does not hold; the old one holds the right one and goes on.
fn a_new_device_rests(lie: Lie, sign: &str) {
    let mut stage = Stage::honest();
    stage.relay.tell_all(lie);
    let c = stage.a.pair(stage.relay.url());
    stage.write_a("from a");
    let sync = c.sync(stage.relay.url());
    says(&sync, sign);
    // It seals nothing for a vault of which it knows no chain.
    c.put("from c", "waits");
    assert_eq!(c.vault().pending().unwrap(), 1);
    drop(sync);
    stage.relay.tell(Lie::Honest);
    for device in [&c, &stage.a, &stage.b, &c] {
        device.sync_once(stage.relay.url());
    }
    assert_eq!(c.notes().len(), 3);
    assert_eq!(stage.a.notes(), c.notes());
    assert_eq!(stage.b.notes(), c.notes());
}

#[test]
fn a_new_device_that_is_shown_altered_statements_rests_and_seals_nothing() {
    a_new_device_rests(
        Lie::AlterStatements,
        "rests: the relay sent statements that do not lead to this device's",
    );
}

#[test]
fn a_new_device_that_is_shown_a_chain_without_its_beginning_rests_and_seals_nothing() {
    a_new_device_rests(Lie::ShortenStatements, "rests: ");
}
