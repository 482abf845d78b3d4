use std::sync::Arc;

use subrosa::{Device, Options, OsEntropy, SoftwareKey, Value};

use super::*;
use crate::api::device::DeviceObject;
use crate::api::payload::{FieldsPayload, JsonPayload};
use crate::api::record::{RecordObject, record_of_json};
use crate::api::rows::{SUBROSA_ROW_RECORD, SUBROSA_ROW_REPLACE};
use crate::api::tx::{SUBROSA_TX_READ, SUBROSA_TX_WRITE};
use crate::api::vault::VaultObject;
use crate::status::*;

/// A device with a vault, in a folder of its own.
struct Store {
    _dir: tempfile::TempDir,
    device: Arc<DeviceObject>,
    vault: Arc<VaultObject>,
    notes: Arc<CollectionObject>,
}

fn store() -> Store {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let device = DeviceObject::new(Device::create(dir.path(), key, Options::default()).unwrap());
    let vault = VaultObject::create(device.clone(), "personal").unwrap();
    let notes = vault.clone().collection("notes").unwrap();
    Store { _dir: dir, device, vault, notes }
}

impl Store {
    fn begin(&self, mode: i32) -> Arc<TxObject> {
        TxObject::begin(self.vault.clone(), mode, 0).unwrap()
    }

    fn target(&self, tx: Option<&Arc<TxObject>>) -> Target {
        Target::new(self.notes.clone(), tx.cloned()).unwrap()
    }
}

fn code<T>(result: Result<T, Failure>) -> i32 {
    result.map_or_else(|failure| failure.code, |_| SUBROSA_OK)
}

fn make(json: &str) -> impl FnOnce() -> Result<Box<Record>, Failure> + '_ {
    move || record_of_json(json).map(Box::new)
}

fn id(n: u8) -> RecordId {
    RecordId::from_bytes([n; 16])
}

fn row(op: i32, id: u8, json: &str) -> Vec<u8> {
    let format = u8::from(!json.is_empty());
    let mut row = u32::try_from(20 + json.len()).unwrap().to_le_bytes().to_vec();
    row.extend([u8::try_from(op).unwrap(), format, 0, 0]);
    row.extend([id; 16]);
    row.extend(json.as_bytes());
    row
}

#[test]
fn a_transaction_is_of_one_vault_and_a_snapshot_is_not_written_to() {
    let (here, elsewhere) = (store(), store());
    let other_vault = VaultObject::create(here.device.clone(), "other").unwrap();
    for mode in [SUBROSA_TX_READ, SUBROSA_TX_WRITE] {
        let foreign = elsewhere.begin(mode);
        assert_eq!(code(Target::new(here.notes.clone(), Some(foreign))), SUBROSA_WRONG_DEVICE);
        let other = TxObject::begin(other_vault.clone(), mode, 0).unwrap();
        assert_eq!(code(Target::new(here.notes.clone(), Some(other))), SUBROSA_WRONG_DEVICE);
    }
    let tx = here.begin(SUBROSA_TX_READ);
    let target = here.target(Some(&tx));
    assert_eq!(code(target.put(id(1), make("{}"))), SUBROSA_READ_ONLY);
    assert_eq!(code(target.delete(id(1))), SUBROSA_READ_ONLY);
    assert_eq!(code(target.write_many(&row(SUBROSA_ROW_PUT, 1, "{}"))), SUBROSA_READ_ONLY);
    assert_eq!(target.count().unwrap(), 0);
    assert_eq!(code(TxObject::begin(here.vault.clone(), 3, 0)), SUBROSA_INVALID_ARGUMENT);
}

#[test]
fn a_failed_call_leaves_a_transaction_usable() {
    let store = store();
    let tx = store.begin(SUBROSA_TX_WRITE);
    let (now, within) = (store.target(None), store.target(Some(&tx)));
    within.put(id(1), make("{\"a\":1}")).unwrap();
    assert_eq!(code(within.put(id(1), make("{\"a\":"))), SUBROSA_NOT_JSON);
    assert_eq!(code(within.put(id(1), make("[]"))), SUBROSA_NOT_A_RECORD);
    assert_eq!((now.count().unwrap(), within.count().unwrap()), (0, 1));
    // This very thread would wait for itself.
    assert_eq!(code(now.put(id(2), make("{}"))), SUBROSA_BUSY);
    let again = TxObject::begin(store.vault.clone(), SUBROSA_TX_WRITE, -1).map(|_| ());
    assert!(again.is_err_and(|failure| failure.code == SUBROSA_BUSY && !failure.retryable));
    tx.commit(|| ()).unwrap();
    assert_eq!(now.count().unwrap(), 1);
    assert_eq!(code(tx.commit(|| ())), SUBROSA_TX_OVER);
    assert_eq!(code(within.count()), SUBROSA_TX_OVER);
}

#[test]
fn what_ends_a_device_ends_its_transactions() {
    let store = store();
    for mode in [SUBROSA_TX_READ, SUBROSA_TX_WRITE] {
        let tx = store.begin(mode);
        let within = store.target(Some(&tx));
        store.device.suspend(0).unwrap();
        assert_eq!(code(within.count()), SUBROSA_SUSPENDED);
        assert_eq!(code(store.target(None).count()), SUBROSA_SUSPENDED);
        store.device.device.resume().unwrap();
        assert_eq!(code(within.count()), SUBROSA_TX_OVER);
        let committed = code(tx.commit(|| ()));
        assert_eq!(committed, if mode == SUBROSA_TX_READ { SUBROSA_OK } else { SUBROSA_TX_OVER });
    }
    let tx = store.begin(SUBROSA_TX_WRITE);
    store.device.close().unwrap();
    assert_eq!(code(store.target(Some(&tx)).count()), SUBROSA_CLOSED);
    assert_eq!(code(tx.commit(|| ())), SUBROSA_CLOSED);
    assert_eq!(code(store.target(None).count()), SUBROSA_CLOSED);
}

#[test]
fn one_thread_at_a_time_and_an_abort_comes_when_the_call_is_over() {
    let store = store();
    let tx = store.begin(SUBROSA_TX_WRITE);
    let within = store.target(Some(&tx));
    within
        .put(id(1), || {
            let other = std::thread::scope(|scope| {
                scope.spawn(|| (code(within.count()), code(tx.commit(|| ())))).join()
            });
            assert_eq!(other.unwrap(), (SUBROSA_BUSY, SUBROSA_BUSY));
            std::thread::scope(|scope| scope.spawn(|| tx.abort()).join()).unwrap();
            make("{}")()
        })
        .unwrap();
    assert_eq!(code(within.count()), SUBROSA_TX_OVER);
    // The turn is free.
    store.target(None).put(id(2), make("{}")).unwrap();
    assert_eq!(store.target(None).count().unwrap(), 1);
    let record = RecordObject::new(Record::default());
    let used = record.set("a", || {
        std::thread::scope(|scope| {
            assert_eq!(scope.spawn(|| code(record.lock())).join().unwrap(), SUBROSA_BUSY)
        });
        Ok(Value::Null)
    });
    used.unwrap();
}

#[test]
fn many_rows_are_written_together_or_not_at_all() {
    let store = store();
    let now = store.target(None);
    now.put(id(1), make("{\"a\":1}")).unwrap();
    let good = [
        row(SUBROSA_ROW_INSERT, 0, "{\"n\":1}"),
        row(SUBROSA_ROW_PUT, 1, "{\"b\":2}"),
        row(SUBROSA_ROW_REPLACE, 2, "{\"c\":3}"),
        row(SUBROSA_ROW_DELETE, 9, ""),
    ]
    .concat();
    let bad = [
        (row(SUBROSA_ROW_PUT, 1, "[]"), SUBROSA_NOT_A_RECORD),
        (row(SUBROSA_ROW_PUT, 1, &format!("{{\"{}\":1}}", "x".repeat(129))), SUBROSA_FIELD_NAME),
        (row(SUBROSA_ROW_PUT, 1, "{\"a\":1}x"), SUBROSA_NOT_JSON),
        (row(SUBROSA_ROW_RECORD, 1, "{}"), SUBROSA_BAD_ROWS),
    ];
    let tx = store.begin(SUBROSA_TX_WRITE);
    let within = store.target(Some(&tx));
    within.put(id(3), make("{}")).unwrap();
    for (row, status) in bad {
        let rows = [good.clone(), row].concat();
        let failure = within.write_many(&rows).unwrap_err();
        assert_eq!(failure.code, status);
        assert!(failure.number >= good.len() as i64, "{status}: {}", failure.number);
        assert_eq!(within.count().unwrap(), 2);
    }
    let ids = within.write_many(&good).unwrap();
    assert_eq!((ids.len(), &ids[16..32]), (64, &[1; 16][..]));
    tx.commit(|| ()).unwrap();
    assert_eq!(now.count().unwrap(), 4);
    assert_eq!(now.get(id(1)).unwrap(), Some(*make("{\"a\":1,\"b\":2}")().unwrap()));
    assert!(now.write_many(&[]).unwrap().is_empty());
}

#[test]
fn a_record_that_fields_cannot_hold_comes_as_json_and_hides_no_other() {
    let store = store();
    let now = store.target(None);
    let long = format!("{{\"f\":{{\"{}\":1}}}}", "k".repeat(65_536));
    // The longest key that fits.
    let fits = format!("{{\"f\":{{\"{}\":1}}}}", "k".repeat(65_535));
    let records = [(1, "{\"a\":1}"), (2, &long), (3, &fits), (4, "{\"b\":2}")];
    for (n, json) in records {
        now.put(id(n), make(json)).unwrap();
    }
    let snapshot = store.begin(SUBROSA_TX_READ);
    let tx = store.begin(SUBROSA_TX_WRITE);
    for tx in [None, Some(&snapshot), Some(&tx)] {
        let target = store.target(tx);
        let ids = records.map(|(n, _)| id(n));
        let (page, more) = target.page::<FieldsPayload>(None, 9).unwrap();
        let many = target.read_many::<FieldsPayload>(&ids).unwrap();
        assert!(!more);
        for rows in [page, many] {
            let formats: Vec<_> = each_row(&rows).map(|row| row.format).collect();
            assert_eq!(formats, [2, 1, 2, 2].map(i32::from));
            let found: Vec<_> = each_row(&rows).map(|row| row.record().unwrap()).collect();
            assert_eq!(found, records.map(|(_, json)| *make(json)().unwrap()));
        }
        let (rows, more) = target.page::<FieldsPayload>(Some(id(1)), 1).unwrap();
        assert_eq!((each_row(&rows).map(|row| row.id).collect::<Vec<_>>(), more), (vec![id(2)], true));
    }
}

#[test]
fn pages_go_through_all_records_now_in_a_transaction_and_in_a_snapshot() {
    let store = store();
    for n in [2, 4, 6, 8] {
        store.target(None).put(id(n), make("{}")).unwrap();
    }
    let snapshot = store.begin(SUBROSA_TX_READ);
    let tx = store.begin(SUBROSA_TX_WRITE);
    store.target(Some(&tx)).put(id(5), make("{}")).unwrap();
    store.target(Some(&tx)).delete(id(8)).unwrap();
    for (tx, expected) in
        [(None, &[2, 4, 6, 8][..]), (Some(&tx), &[2, 4, 5, 6]), (Some(&snapshot), &[2, 4, 6, 8])]
    {
        let target = store.target(tx);
        for limit in 1..6 {
            let (mut after, mut found) = (None, Vec::new());
            loop {
                let (rows, more) = target.page::<FieldsPayload>(after, limit).unwrap();
                let ids: Vec<_> = each_row(&rows).map(|row| row.id).collect();
                assert!(ids.len() == limit || !more);
                after = ids.last().copied();
                found.extend(ids.iter().map(|id| id.as_bytes()[0]));
                if !more {
                    break;
                }
            }
            assert_eq!(found, expected, "by {limit}");
        }
        let rows = target.read_many::<JsonPayload>(&[id(6), id(7), id(6)]).unwrap();
        let found: Vec<_> = each_row(&rows).map(|row| (row.op, row.id.as_bytes()[0])).collect();
        assert_eq!(found, [(1, 6), (0, 7), (1, 6)]);
    }
}
