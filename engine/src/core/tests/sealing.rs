use super::{ListRelay, TestDevice, everything, id, record};
use crate::merge::Body;
use subrosa_protocol::ids::Seq;

#[test]
fn offline_edits_of_one_field_are_one_op_in_one_segment() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let vault = device.vault();
    for n in 0..50 {
        vault.records("notes").put(id(1), &record(&[("x", n)])).unwrap();
    }
    assert_eq!(vault.pending().unwrap(), 1);
    let sealed = device.core().seal(&vault.id()).unwrap();
    assert_eq!((sealed.segments, sealed.more), (1, false));
    assert_eq!(vault.pending().unwrap(), 0);
    let ops = device
        .core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault.id())?;
            let log = tx.vault(number)?.own.data;
            let body = tx.open_stored(number, log, Seq(0))?.expect("our own segment opens");
            Ok(Body::decode(&body.data).expect("and decodes").ops.len())
        })
        .unwrap();
    assert_eq!(ops, 1);
}

#[test]
fn nothing_is_sealed_without_being_asked_and_only_the_table_is_sent() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let (vault, relay) = (device.vault(), ListRelay::new());
    vault.records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    assert_eq!(relay.take(device.core(), &vault.id()), Ok(1), "the control segment alone");
    device.core().seal(&vault.id()).unwrap();
    assert_eq!(device.core().held_and_acknowledged(&vault.id(), &relay.pin).unwrap(), (2, 1));
    assert_eq!(relay.take(device.core(), &vault.id()), Ok(1));
    assert_eq!(relay.take(device.core(), &vault.id()), Ok(0));
    assert_eq!(everything(&vault).len(), 1);
}

#[test]
fn once_compared_with_the_relay_bulk_writes_are_sealed_as_they_commit() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let vault = device.vault();
    let notes = vault.records("notes");
    let bulk = || {
        vault
            .write(|tx| {
                for n in 0..300 {
                    notes.in_tx(tx).insert(&record(&[("x", n)]))?;
                }
                Ok(())
            })
            .unwrap();
    };
    bulk();
    assert_eq!(vault.pending().unwrap(), 1, "one body waits");
    while device.core().seal(&vault.id()).unwrap().more {}
    bulk();
    assert_eq!(vault.pending().unwrap(), 0);
    device.core().stop_sealing();
    bulk();
    assert_eq!(vault.pending().unwrap(), 1);
}

#[test]
fn a_body_names_what_its_log_has_not_named_as_seen() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let vault = device.vault();
    let seen_by_next_segment = |n: u8| {
        vault.records("notes").put(id(n), &record(&[("x", 1)])).unwrap();
        device.core().seal(&vault.id()).unwrap();
        device
            .core()
            .write(|tx| {
                let number = tx.state.vault_no(&vault.id())?;
                let log = tx.vault(number)?.own.data;
                let last = tx.head(log)?.expect("something was sealed").seq;
                let body = tx.open_stored(number, log, last)?.expect("our own segment opens");
                Ok(Body::decode(&body.data).expect("and decodes").seen.len())
            })
            .unwrap()
    };
    assert_eq!(seen_by_next_segment(1), 1, "the control log");
    assert_eq!(seen_by_next_segment(2), 0);
    device.core().rotate_logs(&vault.id()).unwrap();
    assert_eq!(seen_by_next_segment(3), 2, "both control logs, though the old data log named one of them");
}
