use proptest::prelude::*;
use subrosa::Finite;

use super::*;
use crate::api::payload::{FieldsPayload, JsonPayload};
use crate::status::{SUBROSA_NOT_A_RECORD, SUBROSA_NOT_FINITE};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_filter_map("finite", |float| Finite::new(float).ok()).prop_map(Value::F64),
        "[\\\\\"\n\t\u{1}a-zß🌹]{0,8}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::btree_map("\\$?\\$bytes|\\$.{0,2}|.{0,4}", inner, 0..4)
                .prop_map(Value::Map),
        ]
    })
}

fn record() -> impl Strategy<Value = Record> {
    proptest::collection::btree_map(".{1,6}", value(), 0..5).prop_map(Record)
}

fn row(op: i32, format: i32, id: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut row = u32::try_from(HEAD_BYTES + payload.len()).unwrap().to_le_bytes().to_vec();
    row.extend([u8::try_from(op).unwrap(), u8::try_from(format).unwrap(), 0, 0]);
    row.extend(id);
    row.extend(payload);
    row
}

/// The record of one row with this payload, or the status.
fn parsed(format: i32, payload: &[u8]) -> Result<Record, i32> {
    let rows = row(SUBROSA_ROW_INSERT, format, [0; 16], payload);
    check_writes(&rows).map_err(|failure| failure.code)?;
    let row = each_row(&rows).next().unwrap();
    row.record().map_err(|failure| failure.code)
}

/// A record as the engine hands it to a payload.
fn payload<P: Payload>(record: &Record) -> P {
    Value::Map(record.0.clone()).into_serde().unwrap()
}

/// Rows of records, read again.
fn through<P: Payload>(records: &[Option<Record>]) -> Vec<Option<Record>> {
    let mut writer = RowsWriter::default();
    for (n, record) in records.iter().enumerate() {
        let payload = record.as_ref().map(payload::<P>);
        assert!(writer.push(RecordId::from_bytes([n as u8; 16]), payload.as_ref()).unwrap());
    }
    let rows = writer.finish();
    let read = each_row(&rows).enumerate().map(|(n, row)| {
        assert_eq!(row.id.as_bytes(), &[n as u8; 16]);
        if row.op == SUBROSA_ROW_RECORD {
            return Some(row.record().unwrap());
        }
        assert_eq!((row.op, row.format, row.payload), (SUBROSA_ROW_ABSENT, 0, &[][..]));
        None
    });
    read.collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in proptest::collection::vec(proptest::option::of(record()), 0..6)) {
        prop_assert_eq!(&through::<JsonPayload>(&records), &records);
        prop_assert_eq!(&through::<FieldsPayload>(&records), &records);
    }

    #[test]
    fn json_is_that_of_the_engine(record in record()) {
        let json = Value::Map(record.0.clone()).to_json_string();
        let payload = payload::<JsonPayload>(&record);
        prop_assert_eq!(payload.bytes().unwrap(), json.as_bytes());
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = check_writes(&bytes);
        for row in each_row(&bytes) {
            let _ = row.record();
        }
        let _ = parsed(SUBROSA_FORMAT_FIELDS, &bytes);
    }

    #[test]
    fn a_flipped_bit_is_another_record_or_an_error(
        record in record(), byte in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let mut fields = payload::<FieldsPayload>(&record).bytes().unwrap().to_vec();
        let at = byte.index(fields.len());
        fields[at] ^= 1 << bit;
        if let Ok(other) = parsed(SUBROSA_FORMAT_FIELDS, &fields) {
            prop_assert_ne!(other, record);
        }
    }
}

#[test]
fn rows_have_the_documented_bytes() {
    let fields = [("a".to_owned(), Value::I64(-2)), ("b".to_owned(), Value::List(vec![Value::Bool(true)]))];
    let mut writer = RowsWriter::default();
    let record = payload::<FieldsPayload>(&Record(fields.into()));
    assert!(writer.push(RecordId::from_bytes([9; 16]), Some(&record)).unwrap());
    assert!(writer.push(RecordId::from_bytes([8; 16]), None::<&FieldsPayload>).unwrap());
    let mut expected = vec![20 + 4 + 12 + 10, 0, 0, 0, 1, 2, 0, 0];
    expected.extend([9; 16]);
    expected.extend([2, 0, 0, 0]);
    expected.extend([1, 0, b'a', 3, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    expected.extend([1, 0, b'b', 7, 1, 0, 0, 0, 2, 1]);
    expected.extend([20, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([8; 16]);
    assert_eq!(writer.finish(), expected);
}

#[test]
fn rows_that_cannot_be_written_are_refused_where_they_start() {
    let good = row(SUBROSA_ROW_PUT, SUBROSA_FORMAT_JSON, [1; 16], b"{}");
    let cases = [
        ("an op of results", row(SUBROSA_ROW_RECORD, SUBROSA_FORMAT_JSON, [1; 16], b"{}")),
        ("an op that is none", row(6, SUBROSA_FORMAT_JSON, [1; 16], b"{}")),
        ("no format", row(SUBROSA_ROW_PUT, 0, [1; 16], b"{}")),
        ("a format that is none", row(SUBROSA_ROW_PUT, 3, [1; 16], b"{}")),
        ("an insert with an id", row(SUBROSA_ROW_INSERT, SUBROSA_FORMAT_JSON, [1; 16], b"{}")),
        ("a delete with a payload", row(SUBROSA_ROW_DELETE, 0, [1; 16], b"{}")),
        ("a delete with a format", row(SUBROSA_ROW_DELETE, SUBROSA_FORMAT_JSON, [1; 16], b"")),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("cut off in the length", vec![1, 0, 0]),
        ("a length that is too small", [&[19, 0, 0, 0][..], &good[4..]].concat()),
        ("a length that is too large", [&[0xff; 4][..], &good[4..]].concat()),
    ];
    for (name, bad) in cases {
        let failure = check_writes(&[good.clone(), bad].concat()).unwrap_err();
        assert_eq!((failure.code, failure.number), (SUBROSA_BAD_ROWS, good.len() as i64), "{name}");
    }
    let mut reserved = good.clone();
    reserved[6] = 1;
    assert_eq!(check_writes(&reserved).unwrap_err().code, SUBROSA_BAD_ROWS);
    assert_eq!(check_writes(&good.repeat(SUBROSA_ROWS_MAX)).unwrap(), SUBROSA_ROWS_MAX);
    assert_eq!(check_writes(&good.repeat(SUBROSA_ROWS_MAX + 1)).unwrap_err().code, SUBROSA_TOO_LARGE);
    assert_eq!(check_writes(&[]).unwrap(), 0);
}

#[test]
fn content_that_is_no_record_is_refused() {
    let field = |value: &[u8]| [&[1, 0, 0, 0, 1, 0, b'f'][..], value].concat();
    let null = [1, 0, b'f', 1];
    let cases = [
        ("nothing", vec![], SUBROSA_BAD_ROWS),
        ("a count beyond the bytes", vec![0xff; 4], SUBROSA_BAD_ROWS),
        ("a byte too many", vec![0, 0, 0, 0, 0], SUBROSA_BAD_ROWS),
        ("a field twice", [&[2, 0, 0, 0][..], &null, &null].concat(), SUBROSA_BAD_ROWS),
        ("kind 0", field(&[0]), SUBROSA_BAD_ROWS),
        ("kind 9", field(&[9]), SUBROSA_BAD_ROWS),
        ("a bool of 2", field(&[2, 2]), SUBROSA_BAD_ROWS),
        ("text beyond the bytes", field(&[5, 9, 0, 0, 0, b'x']), SUBROSA_BAD_ROWS),
        ("text that is not UTF-8", field(&[5, 1, 0, 0, 0, 0xff]), SUBROSA_INVALID_UTF8),
        ("a name that is not UTF-8", vec![1, 0, 0, 0, 1, 0, 0xff, 1], SUBROSA_INVALID_UTF8),
        ("infinity", field(&[&[4][..], &f64::INFINITY.to_le_bytes()].concat()), SUBROSA_NOT_FINITE),
        ("lists in lists", field(&[7, 1, 0, 0, 0].repeat(100_000)), SUBROSA_TOO_DEEP),
        ("maps in maps", [1, 0, 0, 0, 1, 0, b'f', 8].repeat(100_000), SUBROSA_TOO_DEEP),
    ];
    for (name, payload, code) in cases {
        assert_eq!(parsed(SUBROSA_FORMAT_FIELDS, &payload), Err(code), "{name}");
    }
    let json = |text: &str| parsed(SUBROSA_FORMAT_JSON, text.as_bytes());
    assert_eq!(json("[]"), Err(SUBROSA_NOT_A_RECORD));
    assert_eq!(json(&"[".repeat(1000)), Err(SUBROSA_TOO_DEEP));
    assert_eq!(parsed(SUBROSA_FORMAT_JSON, &[0xff]), Err(SUBROSA_INVALID_UTF8));
    // As deep as JSON may be, and the store takes.
    let lists = |depth: usize| [[7, 1, 0, 0, 0].repeat(depth), vec![1]].concat();
    assert!(parsed(SUBROSA_FORMAT_FIELDS, &field(&lists(VALUE_DEPTH_MAX - 1))).is_ok());
    assert_eq!(parsed(SUBROSA_FORMAT_FIELDS, &field(&lists(VALUE_DEPTH_MAX))), Err(SUBROSA_TOO_DEEP));
}

#[test]
fn a_problem_in_json_is_told_by_its_place_in_the_rows() {
    let good = row(SUBROSA_ROW_PUT, SUBROSA_FORMAT_JSON, [1; 16], b"{}");
    let bad = row(SUBROSA_ROW_PUT, SUBROSA_FORMAT_JSON, [1; 16], b"{\"a\":1,}");
    let rows = [good, bad].concat();
    let last = each_row(&rows).last().unwrap();
    let failure = last.blame(last.record().unwrap_err());
    assert_eq!(failure.code, SUBROSA_NOT_JSON);
    assert_eq!(rows[usize::try_from(failure.number).unwrap()], b'}');
}

#[test]
fn what_would_be_taken_for_a_form_is_escaped_as_the_engine_does() {
    for json in [
        r#"{"$$bytes":1}"#,
        r#"{"$$$bytes":{"$$text":null}}"#,
        r#"{"$$":{"$":1,"a":{"$bytes":""}}}"#,
        r#"{"$bytes":1,"a":2}"#,
        "{}",
    ] {
        let record = Record(fields_of_json(json).unwrap());
        assert_eq!(payload::<JsonPayload>(&record).bytes().unwrap(), json.as_bytes());
    }
}

#[test]
fn rows_stop_before_they_are_too_large_but_for_the_first() {
    let large = Record([("a".to_owned(), Value::Bytes(vec![0; SUBROSA_ROWS_BYTES_MAX]))].into());
    let id = RecordId::from_bytes([0; 16]);
    let mut writer = RowsWriter::default();
    assert!(writer.push(id, Some(&payload::<FieldsPayload>(&large))).unwrap());
    assert!(!writer.push(id, None::<&FieldsPayload>).unwrap());
    assert_eq!(each_row(&writer.finish()).count(), 1);
    let long_key = Value::Map([("k".repeat(65_536), Value::Null)].into());
    let record = Record([("a".to_owned(), long_key)].into());
    let refused = RowsWriter::default().push(id, Some(&payload::<FieldsPayload>(&record)));
    assert_eq!(refused.unwrap_err().code, SUBROSA_TOO_LARGE);
    assert!(RowsWriter::default().push(id, Some(&payload::<JsonPayload>(&record))).unwrap());
}
