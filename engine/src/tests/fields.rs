//! Records with many fields, and records that are too large to be read whole: merging may make them, and they can be edited,
//! read in parts, thinned out, deleted and written again.

use std::ops::ControlFlow;

use subrosa_model::merge::op::OpError;
use subrosa_model::merge::{BodyPlace, CheckedBody, Op, RecordId, Value};
use subrosa_protocol::limits::{FIELDS_MAX, RECORD_READ_BYTES_MAX};

use super::exchange::pair;
use super::{TestDevice, device_with_vault, everything, id, record};
use crate::collection::{Collection, Record, RecordChange};
use crate::error::Error;
use crate::records::RecordRef;

/// Fields `a0`, `a1`, ...
fn many(prefix: &str, count: usize) -> Record {
    Record((0..count).map(|n| (format!("{prefix}{n}"), Value::from(n as i64))).collect())
}

fn too_many<T: std::fmt::Debug>(result: &Result<T, Error>, fields: usize) {
    assert!(
        matches!(result, Err(Error::Op(OpError::TooManyFields { fields: found })) if *found == fields),
        "{result:?}"
    );
}

#[test]
fn only_a_write_that_adds_a_field_beyond_the_limit_is_refused() {
    let device = device_with_vault();
    let notes = device.vault().records("notes");
    too_many(&notes.insert(&many("a", FIELDS_MAX + 1)), FIELDS_MAX + 1);
    notes.put(id(1), &many("a", FIELDS_MAX)).unwrap();
    too_many(&notes.put(id(1), &record(&[("b", 1)])), FIELDS_MAX + 1);
    // Two writes of one transaction are no way around it, and the refused one leaves nothing.
    let refused = device.vault().write(|tx| {
        notes.in_tx(tx).put(id(2), &many("a", FIELDS_MAX))?;
        too_many(&notes.in_tx(tx).put(id(2), &many("b", 2)), FIELDS_MAX + 2);
        notes.in_tx(tx).put(id(2), &many("a", 1))
    });
    refused.unwrap();
    assert_eq!(notes.get(id(2)).unwrap(), Some(many("a", FIELDS_MAX)));
    // One in the place of another is no more than before.
    notes.put(id(1), &record(&[("a7", -1)])).unwrap();
    assert!(notes.delete_field(id(1), "a7").unwrap());
    notes.put(id(1), &record(&[("b", 1)])).unwrap();
    too_many(&notes.put(id(1), &record(&[("a7", 1)])), FIELDS_MAX + 1);
    notes.replace(id(1), &many("c", FIELDS_MAX)).unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(many("c", FIELDS_MAX)));
    too_many(&notes.replace(id(1), &many("d", FIELDS_MAX + 1)), FIELDS_MAX + 1);
}

#[test]
fn a_record_that_merging_made_larger_than_a_write_may_is_edited_exported_and_deleted_like_any() {
    let (a, b, relay, vault) = pair();
    let (on_a, on_b) = (a.vault().records("notes"), b.vault().records("notes"));
    on_a.put(id(1), &many("a", 700)).unwrap();
    on_b.put(id(1), &many("b", 700)).unwrap();
    let exchange =
        |devices: &[&TestDevice]| devices.iter().for_each(|device| relay.sync(device.core(), &vault));
    exchange(&[&a, &b, &a]);
    let fields = |notes: &Collection<Record>| notes.get(id(1)).unwrap().map_or(0, |record| record.0.len());
    assert_eq!((fields(&on_a), fields(&on_b)), (1400, 1400));
    on_a.put(id(1), &record(&[("a1", -1)])).unwrap();
    on_a.update(id(1), |record| drop(record.0.insert("b1".to_owned(), Value::from(-1)))).unwrap();
    assert!(on_a.delete_field(id(1), "a2").unwrap() && !on_a.delete_field(id(1), "a2").unwrap());
    too_many(&on_a.put(id(1), &record(&[("c", 1), ("d", 1)])), 1401);
    exchange(&[&a, &b]);
    let merged = on_b.get(id(1)).unwrap().unwrap();
    assert_eq!(
        (merged.0.len(), &merged.0["a1"], &merged.0["b1"]),
        (1399, &Value::from(-1), &Value::from(-1))
    );

    // What was read can be written where it never was, in one transaction of several puts, but not by a plain write.
    let new = device_with_vault();
    let elsewhere = new.vault().records("notes");
    too_many(&elsewhere.put(id(1), &merged), 1399);
    elsewhere.import(id(1), &merged).unwrap();
    new.vault()
        .write(|tx| elsewhere.in_tx(tx).change_many([Ok(RecordChange::Import(id(2), merged.clone()))]))
        .unwrap();
    assert_eq!(
        everything(&new.vault()).into_iter().map(|(.., record)| record).collect::<Vec<_>>(),
        [merged.clone(), merged]
    );

    on_b.replace(id(1), &many("c", 1399)).unwrap();
    exchange(&[&b, &a]);
    assert_eq!(on_a.get(id(1)).unwrap(), Some(many("c", 1399)));
    assert!(on_a.delete(id(1)).unwrap());
    exchange(&[&a, &b]);
    assert_eq!(everything(&b.vault()), []);
    assert!(b.device.as_ref().unwrap().verify().unwrap().is_good());
}

/// A record of 17 fields of nearly 1 MiB.
fn large() -> Record {
    let value = || Value::Bytes(vec![7; (1 << 20) - 64]);
    Record((0..17).map(|n| (format!("f{n:02}"), value())).collect())
}

fn is_too_large<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::RecordTooLarge { bytes, limit: RECORD_READ_BYTES_MAX })
        if (17 << 20) - 17 * 64 < *bytes && *bytes < 17 << 20)
}

#[test]
fn a_record_too_large_to_be_read_whole_is_read_and_thinned_out_field_by_field_and_hides_no_other() {
    let device = device_with_vault();
    let (vault, notes) = (device.vault(), device.vault().records("notes"));
    for n in [1, 3] {
        notes.put(id(n), &record(&[("n", n.into())])).unwrap();
    }
    notes.put(id(2), &large()).unwrap();
    notes.put(id(2), &record(&[("a", 1)])).unwrap();
    let snapshot = vault.snapshot().unwrap();
    let then = snapshot.in_collection(&notes);
    assert!(is_too_large(&notes.get(id(2))) && is_too_large(&then.get(id(2))));
    assert!(is_too_large(&notes.get_many(&[id(1), id(2)])) && is_too_large(&notes.page(None, 9)));
    assert!(is_too_large(&notes.update(id(2), |_| ())));
    assert_eq!((notes.len().unwrap(), notes.contains(id(2)).unwrap()), (3, true));
    let scanned: Vec<_> = notes.scan().map(|record| is_too_large(&record)).collect();
    assert_eq!(scanned, [false, true, false]);
    let mut shown = Vec::new();
    let show = |record: RecordRef<'_>| {
        shown.push((
            record.bytes().unwrap() > RECORD_READ_BYTES_MAX,
            is_too_large(&record.decode::<Record>()),
        ));
        ControlFlow::Continue(())
    };
    notes.show_from(None, show).unwrap();
    assert_eq!(shown, [(false, false), (true, true), (false, false)]);

    let names = |after: Option<&str>, most: usize| {
        let mut names = Vec::new();
        let found = notes.see_fields(id(2), after, |field| {
            names.push(field.name().to_owned());
            if names.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (found.unwrap(), names.join(","))
    };
    assert_eq!(names(None, 3), (true, "a,f00,f01".to_owned()));
    assert_eq!(names(Some("f14"), 9), (true, "f15,f16".to_owned()));
    assert_eq!(names(Some("f16"), 9), (true, String::new()));
    let absent = |id: RecordId| notes.see_fields(id, None, |_| ControlFlow::Continue(())).unwrap();
    assert!(!absent(id(9)));
    assert_eq!(notes.get_field::<i64>(id(2), "a").unwrap(), Some(1));
    assert_eq!(notes.get_field::<Value>(id(2), "f16").unwrap(), large().0.remove("f16"));
    assert_eq!(notes.get_field::<Value>(id(2), "f17").unwrap(), None);
    assert_eq!(notes.get_field::<Value>(id(9), "a").unwrap(), None);
    assert!(matches!(notes.get_field::<String>(id(2), "a"), Err(Error::Value(_))));

    let thinned = vault.write(|tx| {
        let mut notes = notes.in_tx(tx);
        assert!(notes.delete_field(id(2), "f00")? && !notes.delete_field(id(2), "f00")?);
        assert!(notes.delete_field(id(2), "f16")? && !notes.delete_field(id(9), "a")?);
        notes.get(id(2))
    });
    assert_eq!(thinned.unwrap().unwrap().0.len(), 16);
    assert_eq!(notes.get(id(2)).unwrap().unwrap().0.len(), 16);
    assert!(is_too_large(&then.get(id(2))) && then.get_field::<i64>(id(2), "a").unwrap() == Some(1));
    notes.replace(id(2), &large()).unwrap();
    assert!(is_too_large(&notes.get(id(2))) && notes.get_field::<i64>(id(2), "a").unwrap().is_none());
    notes.replace(id(2), &record(&[("n", 2)])).unwrap();
    assert_eq!(notes.get(id(2)).unwrap(), Some(record(&[("n", 2)])));
    notes.import(id(2), &large()).unwrap();
    assert!(notes.delete(id(2)).unwrap());
    assert_eq!(notes.get(id(2)).unwrap(), None);
}

#[test]
fn a_record_that_is_written_in_parts_names_what_it_clears_once_and_shows_nothing_of_it_anywhere() {
    let (a, b, relay, vault) = pair();
    let (on_a, on_b) = (a.vault().records("notes"), b.vault().records("notes"));
    on_b.put(id(1), &many("old", 3)).unwrap();
    [&b, &a].iter().for_each(|device| relay.sync(device.core(), &vault));
    assert!(on_a.delete(id(1)).unwrap());
    on_b.put(id(1), &record(&[("old1", -1)])).unwrap();
    a.core().seal(&vault).unwrap();
    on_a.import(id(1), &many("new", FIELDS_MAX + 9)).unwrap();
    a.core().seal(&vault).unwrap();
    let named = a.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let log = tx.vault(number)?.own.data;
        let last = tx.logs.head(log.into())?.expect("it was sealed").seq;
        let sealed = tx.open_stored(number, log.into(), last)?.expect("our own segment opens");
        let body = CheckedBody::decode(&sealed.data, BodyPlace::First).expect("and decodes");
        let names = |op: &Op<'_>| op.kind.names().map_or(0, |names| names.iter().count());
        Ok(body.ops().iter().map(names).collect::<Vec<_>>())
    });
    assert_eq!(named.unwrap(), [1, 0], "the delete that was seen, in the first part");
    [&a, &b, &a].iter().for_each(|device| relay.sync(device.core(), &vault));
    let shown = on_b.get(id(1)).unwrap().unwrap();
    assert_eq!(shown.0.len(), FIELDS_MAX + 9 + 1, "the edit that A did not know of stays");
    assert_eq!((shown.0.get("old0"), shown.0.get("old1")), (None, Some(&Value::from(-1))));
    assert_eq!(on_a.get(id(1)).unwrap(), Some(shown));
}
