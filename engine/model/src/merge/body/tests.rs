use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::merge::op::{Cell, FieldCell, OpKind, Put, Tombstone};
use crate::merge::testing::{buf, damage, log, op};

fn head(n: u8, seq: u64) -> Head {
    Head { log: log(n), seq: Seq(seq), chain: Chain::from_bytes([n; 32]) }
}

fn encode(body: &Body<'_>) -> Vec<u8> {
    let mut writer = BodyWriter::new(body.base, body.seen.clone());
    for op in &body.ops {
        writer.push(op, usize::MAX).unwrap();
    }
    assert_eq!(writer.ops(), body.ops.len());
    let len = writer.len();
    let bytes = writer.encode();
    assert_eq!(bytes.len(), len);
    bytes
}

fn put<'a>(stamp: u64, collection: &'a str, cells: Vec<FieldCell<'a>>) -> Op<'a> {
    let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
    Op { record: RecordId::from_bytes([9; 16]), collection, stamp: Stamp(stamp), kind }
}

/// The logs that tombstones of ops name, each once.
fn named(ops: &[Op<'_>]) -> Vec<LogId> {
    let mut named = Vec::new();
    for op in ops {
        let names = match &op.kind {
            OpKind::Put(put) => put.names(),
            OpKind::Delete(names) => names,
            OpKind::Unknown { .. } => continue,
        };
        for (log, _) in names.iter() {
            if !named.contains(&log) {
                named.push(log);
            }
        }
    }
    named
}

#[test]
fn bytes_are_fixed() {
    let value = buf("v");
    let cells = vec![FieldCell { name: "f", cell: Cell::Register(value.borrow()) }];
    let delete = OpKind::Delete(Tombstone::from_iter([(log(1), Stamp(256))]));
    let ops = vec![put(257, "c", cells), Op { kind: delete, ..put(258, "c", Vec::new()) }];
    let body = Body { base: Stamp(256), seen: vec![head(2, 300)], named: vec![log(1)], ops };
    let expected = [
        &[0, 0, 0, 0, 0, 0, 1, 0][..], // base
        &[1],
        &[2; 16],
        &[0xac, 2],
        &[2; 32],               // seen
        &[2, 1, b'c', 1, b'f'], // strings
        &[1],
        &[1; 16], // logs
        &[1, 24, 2],
        &[9; 16],
        &[0, 1, 1, 3, 5, 1, b'v'], // put: tag, length, stamp, record, collection, cell
        &[3, 21, 2],
        &[9; 16],
        &[0, 1, 0, 3], // delete: .., names, log, stamp
    ]
    .concat();
    assert_eq!(encode(&body), expected);
    assert_eq!(Body::decode(&expected), Ok(body));
}

#[test]
fn other_encodings_are_refused() {
    let base = [0u8; 8];
    let body = |rest: &[&[u8]]| [&base[..], &rest.concat()].concat();
    let record = [7u8; 16];
    let rows = [
        ("cut base", vec![0; 7], DecodeError::Truncated { needed: 8, left: 7 }),
        (
            "unused name",
            body(&[&[0, 1, 1, b'c', 0]]),
            DecodeError::NotCanonical { what: "unused table entry" },
        ),
        (
            "name twice",
            body(&[&[0, 2, 1, b'c', 1, b'c', 0]]),
            DecodeError::NotCanonical { what: "table entry that occurs twice" },
        ),
        (
            "names out of order of use",
            body(&[&[0, 2, 1, b'c', 1, b'd', 0, 1, 18, 0], &record, &[1]]),
            DecodeError::NotCanonical { what: "order of a table" },
        ),
        (
            "name index past the table",
            body(&[&[0, 0, 0, 1, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "name index" },
        ),
        (
            "collection with a control character",
            body(&[&[0, 1, 1, b'\n', 0, 1, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "collection name" },
        ),
        (
            "op tag 0",
            body(&[&[0, 1, 1, b'c', 0, 0, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "op tag" },
        ),
        (
            "op past the end",
            body(&[&[0, 1, 1, b'c', 0, 1, 19, 0], &record, &[0]]),
            DecodeError::Truncated { needed: 19, left: 18 },
        ),
        (
            "put that names nothing under the naming tag",
            body(&[&[0, 1, 1, b'c', 0, 2, 19, 0], &record, &[0, 0]]),
            DecodeError::NotCanonical { what: "put naming nothing" },
        ),
        (
            "delete with more",
            body(&[&[0, 1, 1, b'c', 0, 3, 20, 0], &record, &[0, 0, 1]]),
            DecodeError::Trailing { left: 1 },
        ),
        (
            "field twice",
            body(&[&[0, 2, 1, b'c', 1, b'f', 0, 1, 24, 0], &record, &[0, 1, 2, 0, 1, 2, 0]]),
            DecodeError::NotCanonical { what: "order of fields" },
        ),
        (
            "unset with bytes",
            body(&[&[0, 2, 1, b'c', 1, b'f', 0, 1, 22, 0], &record, &[0, 1, 2, 1, 0]]),
            DecodeError::Trailing { left: 1 },
        ),
        (
            "register without a value",
            body(&[&[0, 2, 1, b'c', 1, b'f', 0, 1, 21, 0], &record, &[0, 1, 1, 0]]),
            DecodeError::Truncated { needed: 1, left: 0 },
        ),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(Body::decode(&bytes), Err(error), "{name}");
    }
}

#[test]
fn a_full_body_is_left_as_it_was() {
    let value = buf(vec![0u8; 100]);
    let cell = |name| FieldCell { name, cell: Cell::Register(value.borrow()) };
    let mut writer = BodyWriter::new(Stamp(1), Vec::new());
    writer.push(&put(1, "a", vec![cell("f")]), 0).unwrap();
    let len = writer.len();
    assert_eq!(writer.push(&put(2, "other", vec![cell("g")]), len + 100), Err(Full));
    assert_eq!((writer.len(), writer.ops()), (len, 1));
    let second = put(3, "a", vec![cell("h")]);
    assert_eq!(writer.push(&second, len + 200), Ok(()));
    let bytes = writer.encode();
    let body = Body::decode(&bytes).unwrap();
    assert_eq!((body.ops.len(), body.stamp_max()), (2, Stamp(3)));
    assert_eq!(body.ops[1], second);
}

#[test]
fn a_record_costs_a_few_bytes_beyond_its_id_and_values() {
    let value = buf("x".repeat(250));
    let mut writer = BodyWriter::new(Stamp(1 << 40), Vec::new());
    let mut before = 0;
    for n in 0..100 {
        before = writer.len();
        let cells = vec![FieldCell { name: "body", cell: Cell::Register(value.borrow()) }];
        writer.push(&put((1 << 40) + n, "notes", cells), usize::MAX).unwrap();
    }
    assert_eq!(writer.len() - before - 16 - value.borrow().as_bytes().len(), 9);
}

proptest! {
    #[test]
    fn bodies_come_back(
        base: u64,
        seen in prop::collection::btree_map(any::<u8>(), any::<u64>(), 0..4),
        ops in vec(op(), 0..12),
    ) {
        let seen = seen.into_iter().map(|(n, seq)| head(n, seq)).collect();
        let ops: Vec<_> = ops.iter().map(|op| op.op()).collect();
        let body = Body { base: Stamp(base), seen, named: named(&ops), ops };
        let bytes = encode(&body);
        prop_assert_eq!(Body::decode(&bytes), Ok(body));
    }

    #[test]
    fn accepted_bytes_are_the_one_encoding(
        ops in vec(op(), 0..6),
        damages in vec(damage(), 1..3),
    ) {
        let ops: Vec<_> = ops.iter().map(|op| op.op()).collect();
        let named = named(&ops);
        let mut bytes = encode(&Body { base: Stamp(5), seen: vec![head(1, 2), head(3, 4)], named, ops });
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        if let Ok(body) = Body::decode(&bytes) {
            prop_assert_eq!(encode(&body), bytes);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        if let Ok(body) = Body::decode(&bytes) {
            prop_assert_eq!(encode(&body), bytes);
        }
    }
}
