//! Frozen bodies of data segments, each shape and each single failure: `tests/vectors/bodies.json`, which
//! `tests/vectors/read_bodies.py` checks without this code. `SUBROSA_WRITE_VECTORS=1` writes it anew.

use std::sync::OnceLock;

use serde_json::{Value, json};
use subrosa_model::merge::{
    BodyPlace, BodyWriter, Cell, CheckedBody, FieldCell, GroupHead, Op, OpKind, Put, RecordId, Run, Seen,
    Slotted, Stamp, Tombstone, ValueBuf, varint,
};
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::limits::RUNS_MAX;

use super::describe::{data_content, hex, unhex};
use super::frozen_once;

const LATEST: u64 = 0x0123_4567_89ab_cdef;

/// A later body of that group.
const BEHIND: BodyPlace = BodyPlace::Behind { latest: Stamp(LATEST) };

fn log(n: u8) -> LogId {
    LogId::from_bytes([n; 16])
}

fn op(stamp: u64, kind: OpKind<'_>) -> Op<'_> {
    Op { record: RecordId::from_bytes([9; 16]), collection: "c", stamp: Stamp(stamp), kind }
}

fn put<'a>(names: &[(u8, u64)], cells: &[(&'a str, Cell<'a>)]) -> OpKind<'a> {
    let cells = cells.iter().map(|(name, cell)| FieldCell { name, cell: *cell }).collect();
    OpKind::Put(Put::new(tombstone(names), cells).unwrap())
}

fn tombstone(names: &[(u8, u64)]) -> Tombstone {
    names.iter().map(|(n, stamp)| (log(*n), Stamp(*stamp))).collect()
}

fn newer(bytes: &[u8]) -> Slotted<'_> {
    Slotted::check(bytes).unwrap()
}

fn seen(heads: &[(u8, u64, u8)]) -> Vec<Head> {
    let head = |(n, seq, chain): &(u8, u64, u8)| Head {
        log: log(*n),
        seq: Seq(*seq),
        chain: Chain::from_bytes([*chain; 32]),
    };
    heads.iter().map(head).collect()
}

fn head(runs: &[(u8, u64)], seen: Seen) -> GroupHead {
    let mut head = GroupHead { seen, ..GroupHead::of(Stamp(LATEST)) };
    runs.iter().for_each(|(n, stamp)| head.runs.raise(Run::from_bytes([*n; 8]), Stamp(*stamp)));
    head
}

fn entry(name: &str, place: BodyPlace, bytes: &[u8]) -> Value {
    let (is_first, latest) = match place {
        BodyPlace::First => (true, Value::Null),
        BodyPlace::Behind { latest } => (false, latest.0.into()),
    };
    json!({ "name": name, "first": is_first, "latest": latest, "bytes": hex(bytes) })
}

/// Shapes that the vectors of segments do not have.
fn good() -> Vec<Value> {
    let (one, text) = (ValueBuf::encode(&1i64.into()).unwrap(), ValueBuf::encode(&"x".into()).unwrap());
    let (one, text) = (Cell::Register(one.borrow()), Cell::Register(text.borrow()));
    let cell = |bytes| Cell::Unknown { tag: 3, bytes: newer(bytes) };
    let first = |head: &GroupHead, ops: &[Op<'_>]| super::filled(BodyWriter::first(Stamp(5), head), ops);
    let behind = |ops: &[Op<'_>]| super::filled(BodyWriter::behind(Stamp(5)), ops);
    let (nothing, branches) = (GroupHead::default(), seen(&[(2, 7, 1), (1, 300, 3), (2, 7, 2), (2, 6, 9)]));
    let knowing = head(&[(7, 1), (3, LATEST), (0xff, 0)], Seen::new(branches.clone()));
    let partly = head(&[], Seen::part(branches));
    let ops = [op(5, put(&[], &[("a", one), ("b", text), ("d", Cell::Unset)]))];
    let slots = [
        op(6, put(&[], &[("a", cell(b"\0")), ("b", cell(b"\x01s")), ("c", cell(b"\x01srest"))])),
        op(7, OpKind::Unknown { tag: 4, bytes: newer(b"\0") }),
        op(LATEST, OpKind::Unknown { tag: 70_000, bytes: newer(b"\x03s\0\xffand more") }),
    ];
    let names = [
        op(20, OpKind::Delete(tombstone(&[(1, 19), (2, 20)]))),
        op(21, OpKind::Delete(Tombstone::default())),
        op(10, OpKind::Delete(tombstone(&[(1, 11), (2, u64::MAX)]))),
        op(11, put(&[(3, 12)], &[("a", one)])),
    ];
    let made = [
        ("nothing at all", BodyPlace::First, first(&nothing, &[])),
        ("a head and no op", BodyPlace::First, first(&knowing, &[])),
        ("runs, and two tips of one log", BodyPlace::First, first(&knowing, &ops)),
        ("not all that was seen", BodyPlace::First, first(&partly, &ops)),
        ("a later body", BEHIND, behind(&ops)),
        ("a later body without an op", BEHIND, behind(&[])),
        ("slots, up to the latest stamp", BEHIND, behind(&slots)),
        ("names of the same time, and from the future", BodyPlace::First, first(&knowing, &names)),
    ];
    let described = |(name, place, bytes): (&str, BodyPlace, Vec<u8>)| {
        let mut entry = entry(name, place, &bytes);
        entry["content"] = data_content(&bytes, place);
        entry
    };
    made.into_iter().map(described).collect()
}

/// One failure each.
fn bad() -> Vec<Value> {
    let mut cases = bad_heads();
    cases.extend(bad_ops());
    cases
}

fn bad_heads() -> Vec<Value> {
    let latest = 9u64.to_be_bytes();
    let run = |n: u8, stamp: u64| [&[n; 8][..], &stamp.to_be_bytes()].concat();
    let seen = |n: u8, seq: &[u8], chain: u8| [&[n; 16][..], seq, &[chain; 32]].concat();
    let with = |parts: &[&[u8]]| [&latest[..], &parts.concat(), &[0; 10]].concat();
    let many = |count: usize, each: usize| {
        let mut bytes = Vec::new();
        varint::put_len(&mut bytes, count);
        bytes.resize(bytes.len() + count * each, 0);
        bytes
    };
    let heads = |first: Vec<u8>, second: Vec<u8>| with(&[&[0, 1, 2], &first, &second]);
    let rows = [
        ("cut within the latest stamp", latest[..7].to_vec()),
        ("cut behind the latest stamp", latest.to_vec()),
        ("a later body in the place of the first", [&latest[..], &[0, 0]].concat()),
        ("runs out of order", with(&[&[2], &run(2, 1), &run(1, 1), &[1, 0]])),
        ("a run twice", with(&[&[2], &run(2, 1), &run(2, 2), &[1, 0]])),
        ("a run later than the group", with(&[&[1], &run(2, 10), &[1, 0]])),
        ("too many runs", with(&[&many(RUNS_MAX + 1, 16), &[1, 0]])),
        ("a flag that is not known", with(&[&[0, 2, 0]])),
        ("heads out of order of logs", heads(seen(2, &[1], 1), seen(1, &[1], 1))),
        ("heads out of order of seqs", heads(seen(2, &[2], 1), seen(2, &[1], 1))),
        ("heads out of order of chains", heads(seen(2, &[1], 2), seen(2, &[1], 1))),
        ("a head twice", heads(seen(2, &[1], 1), seen(2, &[1], 1))),
        ("a seq with an overlong number", with(&[&[0, 1, 1], &seen(2, &[0x81, 0], 1)])),
    ];
    rows.iter().map(|(name, bytes)| entry(name, BodyPlace::First, bytes)).collect()
}

fn bad_ops() -> Vec<Value> {
    let record = [7u8; 16];
    let base = [0u8; 8];
    let with = |parts: &[&[u8]]| [&base[..], &parts.concat()].concat();
    // length | stamp difference | record | collection | content, of an op of the collection "c"
    let op = |tag: u8, content: &[u8]| {
        let length = u8::try_from(18 + content.len()).unwrap();
        [&[tag, length, 0][..], &record, &[0], content].concat()
    };
    let rows = [
        ("cut within the base", base[..7].to_vec(), BEHIND),
        ("a first body in the place of a later one", with(&[&[0, 1, 0], &base, &[0, 0]]), BEHIND),
        ("a string that no op uses", with(&[&[1, 1, b'c', 0]]), BEHIND),
        ("a string that stands twice", with(&[&[2, 1, b'c', 1, b'c', 0], &op(1, &[])]), BEHIND),
        (
            "strings out of the order of use",
            with(&[&[2, 1, b'd', 1, b'c', 0, 1, 18, 0], &record, &[1]]),
            BEHIND,
        ),
        ("an index beyond the strings", with(&[&[0, 0, 1, 18, 0], &record, &[0]]), BEHIND),
        ("a log that no op names", with(&[&[1, 1, b'c', 1], &[1; 16], &op(1, &[])]), BEHIND),
        ("a collection of a control character", with(&[&[1, 1, b'\n', 0], &op(1, &[])]), BEHIND),
        ("an op of tag 0", with(&[&[1, 1, b'c', 0], &op(0, &[])]), BEHIND),
        ("an op that goes past the end", with(&[&[1, 1, b'c', 0, 1, 19, 0], &record, &[0]]), BEHIND),
        ("a put naming that names nothing", with(&[&[1, 1, b'c', 0], &op(2, &[0])]), BEHIND),
        ("a delete with more", with(&[&[1, 1, b'c', 0], &op(3, &[0, 1])]), BEHIND),
        (
            "names out of order",
            with(&[&[1, 1, b'c', 2], &[2; 16], &[1; 16], &op(3, &[2, 0, 0, 1, 0])]),
            BEHIND,
        ),
        ("a field twice", with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 2, 0, 1, 2, 0])]), BEHIND),
        ("a cell of tag 0", with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 0, 0])]), BEHIND),
        ("an unset with bytes", with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 2, 1, 0])]), BEHIND),
        ("a register without a value", with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 1, 0])]), BEHIND),
        ("a cell without a slot", with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 9, 0])]), BEHIND),
        (
            "a cell that ends in its slot",
            with(&[&[2, 1, b'c', 1, b'f', 0], &op(1, &[1, 9, 2, 2, 7])]),
            BEHIND,
        ),
        ("an op without a slot", with(&[&[1, 1, b'c', 0], &op(9, &[])]), BEHIND),
        ("an op that ends in its slot", with(&[&[1, 1, b'c', 0], &op(9, &[2, 7])]), BEHIND),
        (
            "an op later than its group",
            with(&[&[1, 1, b'c', 0, 1, 18, 20], &record, &[0]]),
            BodyPlace::Behind { latest: Stamp(9) },
        ),
        (
            "an op later than the head says",
            [&9u64.to_be_bytes()[..], &[0, 1, 0], &with(&[&[1, 1, b'c', 0, 1, 18, 20], &record, &[0]])]
                .concat(),
            BodyPlace::First,
        ),
    ];
    rows.iter().map(|(name, bytes, place)| entry(name, *place, bytes)).collect()
}

fn frozen() -> &'static Value {
    static FROZEN: OnceLock<Value> = OnceLock::new();
    frozen_once(
        &FROZEN,
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/bodies.json"),
        || json!({ "note": "Bodies of data segments. Layout: docs/FORMAT.md.", "bodies": good(), "must_fail": bad() }),
    )
}

/// Place and bytes of a vector.
fn read(entry: &Value) -> (BodyPlace, Vec<u8>) {
    let latest = entry["latest"].as_u64().map(|latest| BodyPlace::Behind { latest: Stamp(latest) });
    (latest.unwrap_or(BodyPlace::First), unhex(&entry["bytes"]))
}

#[test]
fn body_bytes_are_frozen() {
    let frozen = frozen();
    for (made, frozen) in [(good(), &frozen["bodies"]), (bad(), &frozen["must_fail"])] {
        let frozen = frozen.as_array().unwrap();
        assert_eq!(made.len(), frozen.len());
        for (made, frozen) in made.iter().zip(frozen) {
            assert!(made == frozen, "{} differs from {}", made["name"], frozen["name"]);
        }
    }
}

#[test]
fn frozen_bodies_decode_and_encode_to_the_same_bytes_and_bad_ones_do_not() {
    let frozen = frozen();
    for entry in frozen["bodies"].as_array().unwrap() {
        let (place, bytes) = read(entry);
        let body = CheckedBody::decode(&bytes, place).unwrap();
        let writer = match body.head() {
            Some(head) => BodyWriter::first(body.base(), head),
            None => BodyWriter::behind(body.base()),
        };
        assert_eq!(super::filled(writer, body.ops()), bytes, "{}", entry["name"]);
    }
    for entry in frozen["must_fail"].as_array().unwrap() {
        let (place, bytes) = read(entry);
        assert!(CheckedBody::decode(&bytes, place).is_err(), "{}", entry["name"]);
    }
}
