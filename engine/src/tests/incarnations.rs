//! A device whose logs were replaced again and again.

use subrosa_model::control::BirthError;
use subrosa_protocol::ids::{Head, Pin};
use subrosa_protocol::limits::INCARNATIONS_MAX;
use subrosa_protocol::segment::{Class, Kind};

use super::strangers::{Stranger, give, pair};
use super::{TestDevice, copy_pair, id, record};
use crate::error::{Error, PeerFault};

/// Bytes of the certificates that `count` further pairs of logs cost.
fn bytes_of_certificates(device: &mut TestDevice, count: usize) -> usize {
    let vault = device.vault().id();
    let certificates = |device: &TestDevice| -> usize {
        let nowhere = Pin::from_bytes([5; 32]);
        let outbox = device.core().outbox(&vault, &nowhere, &Default::default(), usize::MAX).unwrap();
        let control =
            outbox.segments.iter().filter(|segment| segment.header().kind.class() == Class::Control);
        control.map(|segment| segment.bytes().len()).sum()
    };
    let before = certificates(device);
    for made in 0..count {
        if made % 15 == 14 {
            device.reopen();
        }
        device.core().rotate_at_once(&vault).unwrap();
    }
    certificates(device) - before
}

#[test]
fn certificates_of_many_incarnations_grow_with_their_number_and_not_with_its_square() {
    let (mut a, b, relay, vault) = pair();
    let few = bytes_of_certificates(&mut a, 30);
    let many = bytes_of_certificates(&mut a, 270);
    assert_eq!(many, 9 * few, "each costs the same");
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    b.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    assert_eq!(relay.feed(a.core(), &vault).segments, 1);
    let certified = |device: &TestDevice| {
        device.core().with_vault(&vault, |state| Ok(state.members.control_log_publics().len())).unwrap()
    };
    assert_eq!((certified(&a), certified(&b)), (302, 302));
    let admin = |device: &TestDevice| {
        let public = a.core().public();
        device.core().with_vault(&vault, |state| Ok(state.members.admin_key(&public))).unwrap()
    };
    let own = a.core().with_vault(&vault, |state| Ok(state.keyring.admin.public().into())).unwrap();
    assert_eq!((admin(&a), admin(&b)), (Some(own), Some(own)), "it stays");
    a.reopen();
    assert_eq!(certified(&a), 302);
}

#[test]
fn a_device_that_has_had_all_its_logs_changes_nothing_reads_and_receives() {
    let (mut a, b, relay, vault) = pair();
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            tx.vault_mut(number)?.keyring.logs.incarnation = INCARNATIONS_MAX - 1;
            tx.put_keyring(number)
        })
        .unwrap();
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    let held = |device: &TestDevice| {
        let number = device.core().lock_state().unwrap().vault_no(&vault).unwrap();
        let keyring = device.core().with_vault(&vault, |state| Ok(state.keyring.encode().to_vec())).unwrap();
        let logs = device.core().lock_state().unwrap().vaults[&number].logs.len();
        (keyring, logs, device.vault().pending().unwrap(), device.core().heads(&vault).unwrap())
    };
    let before = held(&a);
    let refused = a.core().rotate_at_once(&vault);
    assert!(matches!(refused, Err(Error::Birth(BirthError::LogsUsedUp))), "{refused:?}");
    assert!(refused.unwrap_err().to_string().ends_with("pair a new store"), "it says what to do");
    assert_eq!(held(&a), before);
    // The store still opens: what it holds can be read.
    a.reopen();
    assert_eq!(held(&a), before);
    assert!(a.vault().records("notes").get(id(1)).unwrap().is_some());
    b.vault().records("notes").put(id(2), &record(&[("x", 2)])).unwrap();
    relay.sync(b.core(), &vault);
    relay.feed(a.core(), &vault);
    assert!(a.vault().records("notes").get(id(2)).unwrap().is_some());
}

#[test]
fn what_a_relay_only_says_never_uses_up_a_devices_logs() {
    let (a, _b, relay, vault) = pair();
    let half = |a: &TestDevice| {
        a.core()
            .write(|tx| {
                let number = tx.state.vault_no(&vault)?;
                tx.vault_mut(number)?.keyring.logs.incarnation = INCARNATIONS_MAX / 2;
                tx.put_keyring(number)
            })
            .unwrap();
    };
    half(&a);
    let refused = a.core().rotate_logs(&vault);
    assert!(matches!(refused, Err(Error::Peer(PeerFault::DisputedLogs))), "{refused:?}");
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    // What a copy of the store has written is another matter.
    let own = a.core().with_vault(&vault, |state| {
        let log = state.own.data;
        Ok((log, copy_pair(&state.keyring.logs.data)))
    });
    let (log, pair) = own.unwrap();
    let head = a.core().read(|doors| doors.logs()?.head(log.into())).unwrap().unwrap();
    let mut copy = Stranger::with_log(pair, &vault);
    copy.go_on_from(Head { log: copy.log(), seq: head.seq, chain: head.chain });
    let segment = copy.next(Kind::DATA, b"");
    assert!(give(&relay, &a, &copy, vec![segment]).received.own_log_foreign);
    a.core().rotate_logs(&vault).unwrap();
    let refused = a.core().rotate_logs(&vault);
    assert!(matches!(refused, Err(Error::Peer(PeerFault::DisputedLogs))), "once: {refused:?}");
}
