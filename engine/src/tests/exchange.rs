use std::sync::Arc;
use std::time::Duration;

use subrosa_model::entropy::Entropy;
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::merge::Stamp;
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::ids::{Chain, Epoch, LogId, Seq, Signature};
use subrosa_protocol::limits::CLOCK_AHEAD_MAX_MS;
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment};

use super::{ListRelay, TestDevice, everything, id, join, record};

pub(super) fn pair() -> (TestDevice, TestDevice, ListRelay, subrosa_protocol::ids::VaultId) {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    relay.sync(a.core(), &vault);
    (a, b, relay, vault)
}

#[test]
fn two_devices_converge_after_editing_offline() {
    let (a, b, relay, vault) = pair();
    let (on_a, on_b) = (a.vault().records("notes"), b.vault().records("notes"));
    on_a.put(id(1), &record(&[("x", 1), ("y", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(on_b.get(id(1)).unwrap(), Some(record(&[("x", 1), ("y", 1)])));
    on_a.put(id(1), &record(&[("x", 2)])).unwrap();
    on_b.put(id(1), &record(&[("y", 3), ("z", 4)])).unwrap();
    on_b.put(id(2), &record(&[("only b", 1)])).unwrap();
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    assert_eq!(on_a.get(id(1)).unwrap(), Some(record(&[("x", 2), ("y", 3), ("z", 4)])));
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!(everything(&a.vault()).len(), 2);
    assert_eq!((a.vault().devices().unwrap().len(), b.vault().devices().unwrap().len()), (2, 2));
}

#[test]
fn an_edit_that_a_delete_did_not_know_brings_the_record_back() {
    let (a, b, relay, vault) = pair();
    let (on_a, on_b) = (a.vault().records("notes"), b.vault().records("notes"));
    on_a.put(id(1), &record(&[("x", 1), ("y", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    on_a.delete(id(1)).unwrap();
    on_b.put(id(1), &record(&[("y", 2)])).unwrap();
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    assert_eq!(on_a.get(id(1)).unwrap(), Some(record(&[("x", 1), ("y", 2)])));
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
}

#[test]
fn a_bulk_write_travels_as_full_segments_and_arrives_whole() {
    let (a, b, relay, vault) = pair();
    let notes = a.vault().records("notes");
    a.vault()
        .write(|tx| {
            for n in 0..3000 {
                notes.in_tx(tx).insert(&record(&[("some number", n), ("another", n * 3)]))?;
            }
            Ok(())
        })
        .unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!(b.vault().records("notes").len().unwrap(), 3000);
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn segments_of_a_log_without_a_certificate_wait_in_quarantine() {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = a.vault().id();
    // B writes and pushes before A has said that it belongs to the vault.
    let told = join(&a, &b);
    assert_eq!(told, vault);
    b.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    b.core().seal(&vault).unwrap();
    relay.take(b.core(), &vault).unwrap();
    let c = TestDevice::new();
    let third = join(&b, &c);
    assert_eq!(third, vault);
    relay.feed(c.core(), &vault);
    assert!(everything(&c.vault()).is_empty());
    assert!(c.device.as_ref().unwrap().verify().unwrap().quarantined > 0);
    relay.sync(a.core(), &vault);
    relay.feed(c.core(), &vault);
    assert_eq!(everything(&c.vault()).len(), 1);
    assert_eq!(c.device.as_ref().unwrap().verify().unwrap().quarantined, 0);
}

#[test]
fn a_group_from_the_future_is_held_whole_until_its_time() {
    let (a, b, relay, vault) = pair();
    a.clock.set(1_000_000 + 3_600_000);
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert!(everything(&b.vault()).is_empty());
    assert!(b.core().lock_state().unwrap().clock.max() < Stamp::from_ms(1_000_000 + 60_000));
    let due = 1_000_000 + 3_600_000 - CLOCK_AHEAD_MAX_MS;
    assert_eq!(b.core().held_wait(), Some(Duration::from_millis(due - 1_000_000)));
    b.clock.set(due - 1);
    b.core().merge_held().unwrap();
    assert!(everything(&b.vault()).is_empty());
    b.clock.set(due);
    assert_eq!(b.core().held_wait(), Some(Duration::ZERO));
    b.core().merge_held().unwrap();
    assert_eq!(everything(&b.vault()).len(), 1);
    assert_eq!(b.core().held_wait(), None);
}

#[test]
fn a_clock_that_was_far_ahead_is_given_up_once_the_relay_agrees() {
    let (a, b, relay, vault) = pair();
    a.clock.set(1_000_000 + 3_600_000);
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    a.clock.set(1_000_100);
    a.core().relay_now(1_000_000 + 3_600_000).unwrap();
    assert!(a.core().lock_state().unwrap().clock.is_ahead(1_000_100), "the wall clock alone does not decide");
    a.core().relay_now(1_000_100).unwrap();
    assert!(!a.core().lock_state().unwrap().clock.is_ahead(1_000_100));
    relay.sync(a.core(), &vault);
    assert_eq!(everything(&a.vault()).len(), 1);
    b.clock.set(1_000_000 + 3_600_000);
    relay.sync(b.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
}

#[test]
fn what_stays_shut_waits_in_quarantine_and_opens_once_the_key_is_there() {
    let (a, mut b, relay, vault) = pair();
    let key = b
        .core()
        .write(|tx| {
            // B loses the epoch key, as a device has it that was away during a rotation.
            let number = tx.state.vault_no(&vault)?;
            let epochs = &mut tx.vault_mut(number)?.keyring.epochs;
            let key = epochs[0].key.take().expect("the live key is here");
            tx.put_keyring(number)?;
            Ok(key)
        })
        .unwrap();
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    assert!(everything(&b.vault()).is_empty());
    a.vault().records("notes").put(id(2), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    b.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            tx.vault_mut(number)?.keyring.epochs[0].key = Some(key);
            tx.put_keyring(number)
        })
        .unwrap();
    b.reopen();
    assert_eq!(everything(&b.vault()), everything(&a.vault()));
    assert_eq!(b.device.as_ref().unwrap().verify().unwrap().quarantined, 0);
}

#[test]
fn a_relay_cannot_make_a_device_open_logs_without_end() {
    let (a, _b, _relay, vault) = pair();
    let mut rotated = 0;
    while a.core().rotate_at_once(&vault).is_ok() {
        rotated += 1;
    }
    assert_eq!(rotated, 16);
}

#[test]
fn what_comes_out_of_quarantine_obeys_the_clock() {
    let (a, mut b, relay, vault) = pair();
    let swap_key = |b: &TestDevice, key: Option<Arc<EpochKey>>| {
        b.core()
            .write(|tx| {
                let number = tx.state.vault_no(&vault)?;
                let before = std::mem::replace(&mut tx.vault_mut(number)?.keyring.epochs[0].key, key);
                tx.put_keyring(number)?;
                Ok(before)
            })
            .unwrap()
    };
    let key = swap_key(&b, None);
    a.clock.set(1_000_000 + 3_600_000);
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    swap_key(&b, key);
    b.reopen();
    assert!(everything(&b.vault()).is_empty(), "it opens, but its time has not come");
    b.clock.set(1_000_000 + 3_590_000);
    b.reopen();
    assert_eq!(everything(&b.vault()).len(), 1);
    b.vault().records("notes").put(id(1), &record(&[("x", 2)])).unwrap();
    assert_eq!(
        b.vault().records("notes").get(id(1)).unwrap(),
        Some(record(&[("x", 2)])),
        "a later edit wins"
    );
}

#[test]
fn a_log_that_overflows_quarantine_is_asked_for_once_it_is_certified() {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    for n in 0..4 {
        let entropy: &dyn Entropy = &subrosa_model::entropy::OsEntropy;
        let noise = subrosa_model::merge::Value::Bytes(entropy.array::<{ 600 << 10 }>().to_vec());
        b.vault()
            .records("notes")
            .put(id(n), &crate::collection::Record([("x".to_owned(), noise)].into()))
            .unwrap();
        b.core().seal(&vault).unwrap();
    }
    relay.take(b.core(), &vault).unwrap();
    let c = TestDevice::new();
    join(&b, &c);
    let taken = relay.feed(c.core(), &vault);
    assert_eq!(
        (taken.segments, &taken.received.wants[..]),
        (2, &[][..]),
        "a certificate and one segment wait, the others were looked at, none is asked for"
    );
    relay.sync(a.core(), &vault);
    let taken = relay.feed(c.core(), &vault);
    let log = b.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
    assert_eq!(taken.received.wants, [(log, Seq(1), Seq(3))]);
    assert_eq!(everything(&c.vault()).len(), 1);
}

#[test]
fn nothing_about_a_log_is_kept_before_a_signature_holds() {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    // Before a lying relay shows A the first segment of B's data log, it claims that the log is a control log.
    let public = b.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].public)).unwrap();
    let header = Header {
        kind: Kind::CONTROL,
        place: GroupPlace::Whole,
        log: LogId::of(&public),
        seq: Seq(5),
        epoch: Epoch(0),
        prev: Chain::ZERO,
        salt: [0; 16],
        commit: [0; 32],
        body_len: 16,
    };
    let segment = SealedSegment::assemble(header, &[0; 16], &Signature::ZERO);
    let items = vec![FeedItem { rseq: None, segment }];
    let batch =
        FeedBatch { incarnation: relay.incarnation, logs: vec![public.into()], items, caught_up: None };
    relay.give(a.core(), &vault, batch).unwrap();
    b.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    relay.sync(a.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    assert_eq!(everything(&a.vault()).len(), 1);
}

#[test]
fn a_tail_that_the_relay_hides_is_asked_for_once_somebody_names_it() {
    let (a, b, relay, vault) = pair();
    b.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    relay.sync(a.core(), &vault);
    let c = TestDevice::new();
    join(&a, &c);
    relay.sync(a.core(), &vault);
    // To C the relay does not show what B wrote; but A has seen it, and says so with its next edit.
    let hidden = relay.state.lock().unwrap().segments.iter().position(|segment| {
        let own = b.core().lock_state().unwrap();
        let (number, state) = own.vaults.iter().next().expect("B has a vault");
        own.logs.number(*number, &segment.header().log) == Some(state.own.data)
    });
    let hidden = relay.state.lock().unwrap().segments.remove(hidden.expect("B has pushed"));
    a.vault().records("notes").put(id(2), &record(&[("x", 2)])).unwrap();
    relay.sync(a.core(), &vault);
    let taken = relay.feed(c.core(), &vault);
    let header = hidden.header();
    assert!(
        taken.received.wants.contains(&(header.log, header.seq, header.seq)),
        "{:?}",
        taken.received.wants
    );
    assert!(relay.feed(c.core(), &vault).received.wants.is_empty(), "once");
}
