//! What can be read, now, in a transaction and in a snapshot; and what is told of rows that are written.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use subrosa_model::merge::{RecordId, RecordState, RowBuf};
use subrosa_store::keys::RecordKey;

use super::{device_with_vault, id, record};
use crate::collection::Record;
use crate::error::Error;
use crate::reading::Reading;
use crate::records::watch::{Change, ChangeKind};
use crate::records::{Before, RecordRef};

/// A type that a record with other fields does not have.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Numbered {
    n: i64,
}

fn numbered(reading: Reading<'_, Numbered>) -> Vec<(RecordId, Result<i64, Error>)> {
    let mut found = Vec::new();
    let show = |record: RecordRef<'_>| {
        found.push((record.id(), record.decode::<Numbered>().map(|record| record.n)));
        ControlFlow::Continue(())
    };
    reading.show_from(None, show).unwrap();
    found
}

#[test]
fn a_record_of_another_type_hides_no_other_of_its_page() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, typed) = (vault.records("notes"), vault.collection::<Numbered>("notes"));
    for n in [1, 3, 4] {
        notes.put(id(n), &record(&[("n", n.into())])).unwrap();
    }
    notes.put(id(2), &record(&[("m", 2)])).unwrap();
    let snapshot = vault.snapshot().unwrap();
    let mut tx = vault.begin(Duration::ZERO).unwrap();
    let mut changed = tx.in_collection(&typed);
    changed.delete(id(1)).unwrap();
    changed.put(id(5), &Numbered { n: 5 }).unwrap();
    let readings = [
        (typed.reading(), [1, 3, 4]),
        (snapshot.in_collection(&typed).reading(), [1, 3, 4]),
        (changed.reading(), [3, 4, 5]),
    ];
    for (reading, expected) in readings {
        let found = numbered(reading);
        let good: Vec<_> = found.iter().filter_map(|(_, n)| n.as_ref().ok().copied()).collect();
        assert_eq!(good, expected);
        let bad: Vec<_> = found.iter().filter(|(_, n)| matches!(n, Err(Error::Value(_)))).collect();
        assert!(matches!(bad[..], [(bad, _)] if *bad == id(2)));
        assert!(matches!(reading.page(None, 9), Err(Error::Value(_))), "a typed page has no place for it");
        let mut decoded = Vec::new();
        let show = |asked: RecordId, found: Option<RecordRef<'_>>| {
            decoded.push((asked, found.map(|found| found.decode::<Record>().unwrap())));
            ControlFlow::Continue(())
        };
        reading.show_many(&[id(2), id(9)], show).unwrap();
        assert_eq!(decoded, [(id(2), Some(record(&[("m", 2)]))), (id(9), None)]);
    }
}

#[test]
fn whether_a_record_is_there_is_asked_now_in_a_transaction_and_in_a_snapshot() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let other = device.device.as_ref().unwrap().create_vault("other").unwrap().records("notes");
    notes.put(id(1), &record(&[("n", 1)])).unwrap();
    notes.put(id(2), &record(&[("n", 2)])).unwrap();
    notes.delete(id(2)).unwrap();
    let snapshot = vault.snapshot().unwrap();
    let mut tx = vault.begin(Duration::ZERO).unwrap();
    let mut within = tx.in_collection(&notes);
    within.delete(id(1)).unwrap();
    within.put(id(2), &record(&[("n", 3)])).unwrap();
    let there = |reading: Reading<'_, Record>| [1, 2, 3].map(|n| reading.contains(id(n)).unwrap());
    assert_eq!(there(notes.reading()), [true, false, false]);
    assert_eq!(there(snapshot.in_collection(&notes).reading()), [true, false, false]);
    assert_eq!(there(within.reading()), [false, true, false]);
    assert!(matches!(snapshot.in_collection(&other).contains(id(1)), Err(Error::OtherVault)));
    assert!(matches!(tx.in_collection(&other).reading().contains(id(1)), Err(Error::OtherVault)));
}

#[test]
fn a_write_that_nobody_watched_tells_whoever_came_meanwhile_to_look_again() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let mut late = None;
    device
        .core()
        .write(|tx| {
            late = Some(notes.watch());
            let collection = tx.intern_collection(vault.number, "notes")?;
            let key = RecordKey::new(vault.number, collection, &id(7));
            let row = RowBuf::of(&RecordState::default(), &mut Vec::new());
            Ok(tx.records.replace(&key, Before::Nothing, row.borrow())?)
        })
        .unwrap();
    let mut late = late.unwrap();
    assert_eq!(late.try_next(), Some(Change::Lagged));
    notes.put(id(1), &record(&[("n", 1)])).unwrap();
    assert!(matches!(late.try_next(), Some(Change::Record { kind: ChangeKind::Inserted, .. })));
    assert_eq!(late.try_next(), None);
}
