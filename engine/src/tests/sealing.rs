use subrosa_model::merge::{BodyPlace, CheckedBody, Value};
use subrosa_protocol::ids::Seq;

use super::{ListRelay, Record, TestDevice, everything, id, record};

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
            let body = tx.open_stored(number, log.into(), Seq(0))?.expect("our own segment opens");
            let body = CheckedBody::decode(&body.data, BodyPlace::First);
            Ok(body.expect("and decodes").ops().len())
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
                let last = tx.logs.head(log.into())?.expect("something was sealed").seq;
                let body = tx.open_stored(number, log.into(), last)?.expect("our own segment opens");
                let body = CheckedBody::decode(&body.data, BodyPlace::First).expect("and decodes");
                Ok(body.head().expect("the first has one").seen.heads().len())
            })
            .unwrap()
    };
    assert_eq!(seen_by_next_segment(1), 1, "the control log");
    assert_eq!(seen_by_next_segment(2), 0);
    device.core().rotate_at_once(&vault.id()).unwrap();
    assert_eq!(seen_by_next_segment(3), 3, "the old logs too, though the old data log named one of them");
}

#[test]
fn a_store_gives_sealed_segments_no_more_pages_than_they_fill() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let vault = device.vault();
    let notes = vault.records("notes");
    // Words of a few letters, which compress to about half.
    let mut state = 0x5eed_u64;
    let mut text = || {
        let mut text = String::new();
        while text.len() < 250 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{:x} rose ", state >> 52));
        }
        text
    };
    let write = |text: &mut dyn FnMut() -> String| {
        vault
            .write(|tx| {
                for _ in 0..3_000 {
                    let text = Value::Text(text());
                    notes.in_tx(tx).insert(&Record([("text".to_owned(), text)].into_iter().collect()))?;
                }
                Ok(())
            })
            .unwrap();
    };
    write(&mut text);
    assert!(vault.pending().unwrap() > 3, "a bulk write waits");
    while device.core().seal(&vault.id()).unwrap().more {}
    write(&mut text);
    let log = device.core().with_vault(&vault.id(), |state| Ok(state.own.data)).unwrap();
    device
        .core()
        .read(|doors| {
            let mut full = 0;
            for segment in doors.logs()?.segments(log.into(), Seq(0)..=Seq(u64::MAX))? {
                full += usize::from(segment?.segment().bytes().len() > 52 << 10);
            }
            assert!(full > 6, "{full} full segments");
            let space = doors.space_of("segments")?;
            assert!(space.stored * 100 >= space.given * 80, "{} of {} bytes", space.stored, space.given);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_bulk_write_that_waits_is_sealed_whole_when_new_logs_are_opened() {
    let device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let vault = device.vault();
    let notes = vault.records("notes");
    vault
        .write(|tx| {
            for n in 0..300 {
                notes.in_tx(tx).insert(&record(&[("x", n)]))?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(vault.pending().unwrap(), 1, "one body waits");
    device.core().rotate_at_once(&vault.id()).unwrap();
    assert_eq!(vault.pending().unwrap(), 0, "it is the end of the old log");
    assert_eq!(everything(&vault).len(), 300);
}
