//! What work must not grow with, counted.

use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::{Chain, Pin, Seq};
use subrosa_protocol::segment::Kind;
use subrosa_store::relays::RelayHead;

use super::strangers::{Stranger, give, pair};
use super::{id, record};
use crate::memory::cost::{logs_looked_at, rows_looked_at};

#[test]
fn what_waits_costs_the_same_for_each_segment() {
    let (a, _b, relay, vault) = pair();
    let mut stranger = Stranger::new(&vault);
    let work: Vec<_> = (0..4)
        .map(|_| {
            let segments = (0..400).map(|_| stranger.next(Kind::DATA, b"")).collect();
            let before = (rows_looked_at(), logs_looked_at());
            assert_eq!(give(&relay, &a, &stranger, segments).segments, 400);
            (rows_looked_at() - before.0, logs_looked_at() - before.1)
        })
        .collect();
    assert!(work[1..].iter().all(|each| *each == work[1]), "{work:?}");
    assert!(work[3].0 <= 400, "{work:?}");
}

#[test]
fn sending_one_edit_looks_at_the_logs_that_moved() {
    let (mut a, b, relay, vault) = pair();
    for n in 0..60 {
        if n % 15 == 14 {
            a.reopen();
        }
        a.core().rotate_at_once(&vault).unwrap();
    }
    for device in [&a, &b, &a, &b] {
        relay.sync(device.core(), &vault);
    }
    let looked = |device: &super::TestDevice| {
        let before = logs_looked_at();
        let sent = relay.take(device.core(), &vault).unwrap();
        (sent, logs_looked_at() - before)
    };
    looked(&a);
    assert_eq!(looked(&a), (0, 0), "nothing moved");
    let logs = a.core().with_vault(&vault, |state| Ok(state.logs.len())).unwrap();
    assert!(logs > 120);
    a.vault().records("tasks").put(id(1), &record(&[("done", 1)])).unwrap();
    a.core().seal(&vault).unwrap();
    let (sent, cost) = looked(&a);
    assert_eq!(sent, 1);
    assert!(cost <= 2, "{cost} of {logs}");
    // What somebody else wrote is looked at once, and is nothing to send.
    b.vault().records("tasks").put(id(2), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    relay.feed(a.core(), &vault);
    let (sent, cost) = looked(&a);
    assert_eq!(sent, 0);
    assert!(cost <= 4, "{cost} of {logs}");
    // After heads were compared, and after opening, all are looked at once.
    let heads: Vec<_> = {
        let state = relay.state.lock().unwrap();
        state.heads.values().map(|head| subrosa_protocol::frame::ShortHead::from(*head)).collect()
    };
    a.core().relay_heads(&vault, &relay.pin, relay.incarnation, &heads).unwrap();
    assert_eq!(looked(&a), (0, logs as u64));
    assert_eq!(looked(&a), (0, 0));
    a.reopen();
    assert_eq!(looked(&a), (0, logs as u64));
}

#[test]
fn taking_in_one_edit_looks_at_the_logs_that_it_touches() {
    let (mut a, b, relay, vault) = pair();
    for n in 0..60 {
        if n % 15 == 14 {
            a.reopen();
        }
        a.core().rotate_at_once(&vault).unwrap();
    }
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    b.vault().records("tasks").put(id(1), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    let before = logs_looked_at();
    let taken = relay.feed(a.core(), &vault);
    assert_eq!((taken.segments, taken.received.digest_ok), (1, Some(true)));
    assert!(
        logs_looked_at() - before <= 2,
        "of {}",
        a.core().with_vault(&vault, |state| Ok(state.logs.len())).unwrap()
    );
}

#[test]
fn trying_again_a_log_that_waits_looks_at_its_first_group_only() {
    let (a, mut b, relay, vault) = pair();
    b.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            tx.vault_mut(number)?.keyring.epochs[0].key = None;
            tx.put_keyring(number)
        })
        .unwrap();
    for n in 0..100 {
        a.vault().records("tasks").put(id(n), &record(&[("done", 1)])).unwrap();
        a.core().seal(&vault).unwrap();
    }
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    assert_eq!(b.device.as_ref().unwrap().verify().unwrap().quarantined, 100);
    let before = rows_looked_at();
    b.reopen();
    assert!(rows_looked_at() - before <= 2, "{}", rows_looked_at() - before);
}

#[test]
fn new_logs_look_at_their_own_heads_at_relays_and_at_no_others() {
    let (a, _b, _relay, vault) = pair();
    let head = RelayHead { seq: Seq(0), chain: Chain::ZERO };
    let noted = a.core().write(|tx| {
        for (relay, log) in (1..4).flat_map(|relay| (100..200).map(move |log| (relay, log))) {
            tx.relays.put_head(&Pin::from_bytes([relay; 32]), LogNo(log), &head)?;
        }
        Ok(())
    });
    noted.unwrap();
    let before = rows_looked_at();
    a.core().rotate_at_once(&vault).unwrap();
    assert!(rows_looked_at() - before <= 8, "{}", rows_looked_at() - before);
}
