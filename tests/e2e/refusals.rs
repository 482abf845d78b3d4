//! What a relay refuses: the reason is kept and shown, and so is the data.

use subrosa::{ErrorCode, SyncError, SyncEvent, SyncState};
use subrosa_relay::{Class, Config, Quotas};

use crate::support::{PATIENCE, TestDevice, TestRelay, caught_up, notes, put, reason_becomes};

#[test]
fn a_closed_relay_wants_an_invite() {
    let relay = TestRelay::with(TestRelay::config());
    let a = TestDevice::new();
    a.put("note", "kept");
    let sync = a.sync(&relay.url());
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Refused(ErrorCode::NeedsInvite))), "{waited:?}");
    assert_eq!(sync.status().reason(), "refused: invite needed");
    assert_eq!(a.vault().pending().unwrap(), 1);
    drop(sync);
    a.sync_once(&relay.invite_url(1));
    assert_eq!(a.vault().pending().unwrap(), 0);
    // The grant opens the door from now on, on any later link.
    a.sync_once(&relay.url());
}

#[test]
fn one_refused_vault_does_not_hold_up_the_others() {
    let relay = TestRelay::with(TestRelay::config());
    let a = TestDevice::new();
    a.sync_once(&relay.invite_url(1));
    let second = a.device().create_vault("second").unwrap();
    put(&second, "note", "kept");
    let sync = a.sync(&relay.url());
    let events = sync.events();
    reason_becomes(&sync, "refused: invite needed");
    a.put("note", "goes");
    let personal = a.vault().id();
    loop {
        let event = events.next(PATIENCE).expect("the other vault is synced");
        if matches!(event, SyncEvent::Synced(vault) if vault == personal) && a.vault().pending().unwrap() == 0
        {
            break;
        }
    }
    assert_eq!(second.pending().unwrap(), 1);
}

#[test]
fn a_full_vault_keeps_its_data_and_its_reason() {
    let class = Class { vault_bytes: 300_000, ..Class::default() };
    let quotas = Quotas { class: vec![class], ..Quotas::default() };
    let mut relay = TestRelay::with(Config { open: true, quotas, ..TestRelay::config() });
    let mut a = TestDevice::new();
    let b = a.copy();
    let sync = a.sync(&relay.url());
    caught_up(&sync);
    for n in 0..60 {
        a.put(&format!("{n}"), &noise(n));
    }
    let waited = sync.wait_caught_up(PATIENCE);
    assert!(matches!(waited, Err(SyncError::Refused(ErrorCode::QuotaBytes))), "{waited:?}");
    assert_eq!(sync.status().state, SyncState::Refused);
    assert_eq!(sync.status().reason(), "refused: quota");
    assert_eq!(a.notes().len(), 60);
    relay.restart(|config| config.quotas.class[0].vault_bytes = 100 << 20);
    caught_up(&sync);
    reason_becomes(&sync, "live");
    b.sync_once(&relay.url());
    assert_eq!(notes(&b.vault()).len(), 60);
}

/// Text that does not compress.
fn noise(seed: u64) -> String {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 40) % 90).unwrap())
    };
    (0..10_000).map(|_| next()).collect()
}
