use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use subrosa_protocol::ids::{Chain, Head, Seq};
use subrosa_protocol::limits::{HEADS_PART_MAX, RUNS_MAX};

use super::*;
use crate::merge::op::{Cell, FieldCell, OpKind, Put, Tombstone};
use crate::merge::testing::{OwnedOp, buf, damage, log, op};

fn head(n: u8, seq: u64) -> Head {
    Head { log: log(n), seq: Seq(seq), chain: Chain::from_bytes([n; 32]) }
}

/// The place in which a body decodes as it was.
fn place_of(body: &CheckedBody<'_>) -> BodyPlace {
    body.head().map_or(BEHIND, |_| BodyPlace::First)
}

/// Behind a first body that leaves every stamp open.
const BEHIND: BodyPlace = BodyPlace::Behind { latest: Stamp(u64::MAX) };

fn encode(body: &CheckedBody<'_>) -> Vec<u8> {
    let mut writer = match body.head() {
        Some(head) => BodyWriter::first(body.base(), head),
        None => BodyWriter::behind(body.base()),
    };
    for op in body.ops() {
        writer.push(op, usize::MAX).unwrap();
    }
    assert_eq!(writer.ops(), body.ops().len());
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
    let mut runs = Runs::default();
    runs.raise(Run::from_bytes([8; 8]), Stamp(258));
    let group = GroupHead { latest: Stamp(258), runs, seen: Seen::new(vec![head(2, 300)]) };
    let behind = [
        &[0, 0, 0, 0, 0, 0, 1, 0][..], // base
        &[2, 1, b'c', 1, b'f'],        // strings
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
    let first = [
        &[0, 0, 0, 0, 0, 0, 1, 2][..], // latest
        &[1],
        &[8; 8],
        &[0, 0, 0, 0, 0, 0, 1, 2], // runs
        &[1, 1],
        &[2; 16],
        &[0xac, 2],
        &[2; 32], // seen: complete, one head
        &behind,
    ]
    .concat();
    for (head, expected) in [(Some(group), first), (None, behind)] {
        let (named, ahead, ops) = (vec![log(1)], Vec::new(), ops.clone());
        let body = CheckedBody { head, base: Stamp(256), named, ahead, ops };
        assert_eq!(encode(&body), expected);
        assert_eq!(CheckedBody::decode(&expected, place_of(&body)), Ok(body));
    }
}

#[test]
fn other_heads_are_refused() {
    let latest = 9u64.to_be_bytes();
    let run = |n: u8, stamp: u64| [&[n; 8][..], &stamp.to_be_bytes()].concat();
    let bad = |parts: &[&[u8]]| [&latest[..], &parts.concat(), &[0; 10]].concat();
    let many = |count: usize, each: usize| {
        let mut bytes = Vec::new();
        varint::put_len(&mut bytes, count);
        bytes.resize(bytes.len() + count * each, 0);
        bytes
    };
    let rows = [
        ("cut", vec![0; 7], DecodeError::Truncated { needed: 8, left: 7 }),
        (
            "runs out of order",
            bad(&[&[2], &run(2, 1), &run(1, 1), &[1, 0]]),
            DecodeError::NotCanonical { what: "order of runs" },
        ),
        (
            "a run twice",
            bad(&[&[2], &run(2, 1), &run(2, 2), &[1, 0]]),
            DecodeError::NotCanonical { what: "order of runs" },
        ),
        (
            "a run that is later than the group",
            bad(&[&[1], &run(2, 10), &[1, 0]]),
            DecodeError::Invalid { what: "stamp of a run" },
        ),
        (
            "too many runs",
            bad(&[&many(RUNS_MAX + 1, 16)]),
            DecodeError::TooLarge { what: "runs", announced: RUNS_MAX as u64 + 1, limit: RUNS_MAX as u64 },
        ),
        (
            "a flag of a newer version",
            bad(&[&[0, 2, 0]]),
            DecodeError::Unknown { what: "flag of seen heads", value: 2 },
        ),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(CheckedBody::decode(&bytes, BodyPlace::First), Err(error), "{name}");
    }
}

#[test]
fn other_lists_of_what_was_seen_are_refused() {
    let latest = 9u64.to_be_bytes();
    let seen = |n: u8, seq: u8, chain: u8| [&[n; 16][..], &[seq], &[chain; 32]].concat();
    let bad = |parts: &[&[u8]]| [&latest[..], &parts.concat(), &[0; 10]].concat();
    let mut many = vec![0x81, 0x20];
    many.resize(2 + (HEADS_PART_MAX + 1) * 49, 0);
    let rows = [
        (
            "heads out of order of logs",
            bad(&[&[0, 1, 2], &seen(2, 1, 1), &seen(1, 1, 1)]),
            DecodeError::NotCanonical { what: "order of seen heads" },
        ),
        (
            "heads out of order of seqs",
            bad(&[&[0, 1, 2], &seen(2, 2, 1), &seen(2, 1, 1)]),
            DecodeError::NotCanonical { what: "order of seen heads" },
        ),
        (
            "heads out of order of chains",
            bad(&[&[0, 1, 2], &seen(2, 1, 2), &seen(2, 1, 1)]),
            DecodeError::NotCanonical { what: "order of seen heads" },
        ),
        (
            "a head twice",
            bad(&[&[0, 1, 2], &seen(2, 1, 1), &seen(2, 1, 1)]),
            DecodeError::NotCanonical { what: "order of seen heads" },
        ),
        (
            "too many heads",
            bad(&[&[0, 1], &many]),
            DecodeError::TooLarge {
                what: "seen heads",
                announced: HEADS_PART_MAX as u64 + 1,
                limit: HEADS_PART_MAX as u64,
            },
        ),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(CheckedBody::decode(&bytes, BodyPlace::First), Err(error), "{name}");
    }
    let several = bad(&[&[0, 0, 3], &seen(1, 9, 9), &seen(2, 1, 1), &seen(2, 1, 2)]);
    let body = CheckedBody::decode(&several, BodyPlace::First).unwrap();
    let seen = &body.head().unwrap().seen;
    assert_eq!((seen.is_complete(), seen.heads().len()), (false, 3), "two tips of one log are two heads");
}

#[test]
fn no_op_of_a_group_is_later_than_its_head_says() {
    let ops = [put(5, "c", Vec::new()), put(7, "c", Vec::new())];
    for latest in [6, 7, 8] {
        let mut first = BodyWriter::first(Stamp(5), &GroupHead::of(Stamp(latest)));
        let mut later = BodyWriter::behind(Stamp(5));
        for writer in [&mut first, &mut later] {
            ops.iter().for_each(|op| writer.push(op, usize::MAX).unwrap());
        }
        let places = [BodyPlace::First, BodyPlace::Behind { latest: Stamp(latest) }];
        for (writer, place) in [first, later].iter().zip(places) {
            let bytes = writer.encode();
            let decoded = CheckedBody::decode(&bytes, place).map(drop);
            let late = DecodeError::Invalid { what: "op that is later than its group" };
            assert_eq!(decoded, if latest < 7 { Err(late) } else { Ok(()) }, "{latest} {place:?}");
        }
    }
}

#[test]
fn a_body_tells_which_names_are_later_than_their_ops() {
    let names = |names: &[(u8, u64)]| names.iter().map(|(n, stamp)| (log(*n), Stamp(*stamp))).collect();
    let delete =
        |stamp, of: &[(u8, u64)]| Op { kind: OpKind::Delete(names(of)), ..put(stamp, "c", Vec::new()) };
    let naming = OpKind::Put(Put::new(names(&[(3, 9), (4, 8)]), Vec::new()).unwrap());
    let mut writer = BodyWriter::behind(Stamp(5));
    let ops = [
        delete(5, &[(1, 5), (2, 6)]),
        delete(6, &[(2, 7), (1, 4)]),
        Op { kind: naming, ..put(8, "c", Vec::new()) },
    ];
    ops.iter().for_each(|op| writer.push(op, usize::MAX).unwrap());
    let bytes = writer.encode();
    let body = CheckedBody::decode(&bytes, BEHIND).unwrap();
    assert_eq!(body.named(), [1, 2, 3, 4].map(log));
    let ahead = |n, by, named| NamedAhead { log: log(n), by: Stamp(by), named: Stamp(named) };
    assert_eq!(body.named_ahead(), [ahead(2, 5, 7), ahead(3, 8, 9)]);
}

#[test]
fn a_group_names_no_more_runs_and_heads_than_it_may() {
    let run = |n: usize| Run::from_bytes((n as u64).to_be_bytes());
    let mut runs = Runs::default();
    for n in 0..RUNS_MAX {
        assert!(runs.has_room_for(run(n)));
        runs.raise(run(n), Stamp(1));
    }
    assert!(runs.has_room_for(run(3)) && !runs.has_room_for(run(RUNS_MAX)));
    runs.raise(run(3), Stamp(5));
    runs.raise(run(3), Stamp(4));
    assert_eq!(runs.iter().filter(|run| run.1 == Stamp(5)).count(), 1);
    let heads = |count: u64| (0..count).rev().map(|seq| head(1, seq)).collect::<Vec<_>>();
    let most = HEADS_PART_MAX as u64;
    let seen = [Seen::new(heads(most)), Seen::new(heads(most + 1)), Seen::part(heads(2))];
    let told = seen.each_ref().map(|seen| (seen.is_complete(), seen.heads().len()));
    assert_eq!(told, [(true, HEADS_PART_MAX), (false, HEADS_PART_MAX), (false, 2)]);
    let group = GroupHead { latest: Stamp(9), runs, seen: seen[1].clone() };
    let bytes = BodyWriter::first(Stamp(0), &group).encode();
    assert_eq!(CheckedBody::decode(&bytes, BodyPlace::First).unwrap().head(), Some(&group));
}

#[test]
fn other_encodings_are_refused() {
    let base = [0u8; 8];
    let body = |rest: &[&[u8]]| [&base[..], &rest.concat()].concat();
    let record = [7u8; 16];
    let rows = [
        ("cut base", vec![0; 7], DecodeError::Truncated { needed: 8, left: 7 }),
        ("unused name", body(&[&[1, 1, b'c', 0]]), DecodeError::NotCanonical { what: "unused table entry" }),
        (
            "name twice",
            body(&[&[2, 1, b'c', 1, b'c', 0]]),
            DecodeError::NotCanonical { what: "table entry that occurs twice" },
        ),
        (
            "more logs than a vault has",
            body(&[&[0, 0x81, 0x80, 1], &vec![0; 16 * (LOGS_PER_VAULT_MAX + 1)]]),
            DecodeError::TooLarge {
                what: "logs",
                announced: LOGS_PER_VAULT_MAX as u64 + 1,
                limit: LOGS_PER_VAULT_MAX as u64,
            },
        ),
        (
            "names out of order of use",
            body(&[&[2, 1, b'c', 1, b'd', 0, 1, 18, 0], &record, &[1]]),
            DecodeError::NotCanonical { what: "order of a table" },
        ),
        (
            "name index past the table",
            body(&[&[0, 0, 1, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "name index" },
        ),
        (
            "collection with a control character",
            body(&[&[1, 1, b'\n', 0, 1, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "collection name" },
        ),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(CheckedBody::decode(&bytes, BEHIND), Err(error), "{name}");
    }
}

#[test]
fn other_ops_are_refused() {
    let base = [0u8; 8];
    let body = |rest: &[&[u8]]| [&base[..], &rest.concat()].concat();
    let record = [7u8; 16];
    let rows = [
        (
            "op tag 0",
            body(&[&[1, 1, b'c', 0, 0, 18, 0], &record, &[0]]),
            DecodeError::Invalid { what: "op tag" },
        ),
        (
            "op past the end",
            body(&[&[1, 1, b'c', 0, 1, 19, 0], &record, &[0]]),
            DecodeError::Truncated { needed: 19, left: 18 },
        ),
        (
            "put that names nothing under the naming tag",
            body(&[&[1, 1, b'c', 0, 2, 19, 0], &record, &[0, 0]]),
            DecodeError::NotCanonical { what: "put naming nothing" },
        ),
        (
            "delete with more",
            body(&[&[1, 1, b'c', 0, 3, 20, 0], &record, &[0, 0, 1]]),
            DecodeError::Trailing { left: 1 },
        ),
        (
            "field twice",
            body(&[&[2, 1, b'c', 1, b'f', 0, 1, 24, 0], &record, &[0, 1, 2, 0, 1, 2, 0]]),
            DecodeError::NotCanonical { what: "order of fields" },
        ),
        (
            "unset with bytes",
            body(&[&[2, 1, b'c', 1, b'f', 0, 1, 22, 0], &record, &[0, 1, 2, 1, 0]]),
            DecodeError::Trailing { left: 1 },
        ),
        (
            "cell without a whole slot",
            body(&[&[2, 1, b'c', 1, b'f', 0, 1, 23, 0], &record, &[0, 1, 9, 2, 2, 7]]),
            DecodeError::Truncated { needed: 2, left: 1 },
        ),
        (
            "op without a whole slot",
            body(&[&[1, 1, b'c', 0, 9, 20, 0], &record, &[0, 2, 7]]),
            DecodeError::Truncated { needed: 2, left: 1 },
        ),
        (
            "op without a slot",
            body(&[&[1, 1, b'c', 0, 9, 18, 0], &record, &[0]]),
            DecodeError::Truncated { needed: 1, left: 0 },
        ),
        (
            "register without a value",
            body(&[&[2, 1, b'c', 1, b'f', 0, 1, 21, 0], &record, &[0, 1, 1, 0]]),
            DecodeError::Truncated { needed: 1, left: 0 },
        ),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(CheckedBody::decode(&bytes, BEHIND), Err(error), "{name}");
    }
}

#[test]
fn a_full_body_is_left_as_it_was() {
    let value = buf(vec![0u8; 100]);
    let cell = |name| FieldCell { name, cell: Cell::Register(value.borrow()) };
    let mut writer = BodyWriter::behind(Stamp(1));
    writer.push(&put(1, "a", vec![cell("f")]), 0).unwrap();
    let len = writer.len();
    assert_eq!(writer.push(&put(2, "other", vec![cell("g")]), len + 100), Err(Full));
    assert_eq!((writer.len(), writer.ops()), (len, 1));
    let second = put(3, "a", vec![cell("h")]);
    assert_eq!(writer.push(&second, len + 200), Ok(()));
    let bytes = writer.encode();
    let body = CheckedBody::decode(&bytes, BEHIND).unwrap();
    assert_eq!(body.ops().len(), 2);
    assert_eq!(body.ops()[1], second);
}

#[test]
fn a_record_costs_a_few_bytes_beyond_its_id_and_values() {
    let value = buf("x".repeat(250));
    let mut writer = BodyWriter::behind(Stamp(1 << 40));
    let mut before = 0;
    for n in 0..100 {
        before = writer.len();
        let cells = vec![FieldCell { name: "body", cell: Cell::Register(value.borrow()) }];
        writer.push(&put((1 << 40) + n, "notes", cells), usize::MAX).unwrap();
    }
    assert_eq!(writer.len() - before - 16 - value.borrow().as_bytes().len(), 9);
}

/// The head of a group of these ops.
fn group_of(ops: &[Op<'_>], runs: &[(u8, u64)], seen: Vec<Head>) -> GroupHead {
    let latest = ops.iter().map(|op| op.stamp).max().unwrap_or_default();
    let mut group = GroupHead { latest, runs: Runs::default(), seen: Seen::new(seen) };
    runs.iter().for_each(|(n, stamp)| group.runs.raise(Run::from_bytes([*n; 8]), Stamp(*stamp).min(latest)));
    group
}

fn body<'a>(head: Option<GroupHead>, base: u64, ops: &'a [OwnedOp]) -> CheckedBody<'a> {
    let ops: Vec<_> = ops.iter().map(OwnedOp::op).collect();
    let names = ops
        .iter()
        .flat_map(|op| op.names().into_iter().flat_map(|names| names.iter().map(|name| (op.stamp, name))));
    let mut ahead: BTreeMap<LogId, NamedAhead> = BTreeMap::new();
    for (by, (log, named)) in names.filter(|(by, name)| name.1 > *by) {
        let of_log = ahead.entry(log).or_insert(NamedAhead { log, by, named });
        (of_log.by, of_log.named) = (of_log.by.min(by), of_log.named.max(named));
    }
    let ahead = ahead.into_values().collect();
    CheckedBody { head, base: Stamp(base), named: named(&ops), ahead, ops }
}

proptest! {
    #[test]
    fn bodies_come_back(
        base: u64,
        runs in vec((any::<u8>(), any::<u64>()), 0..4),
        seen in vec((0u8..3, 0u64..3), 0..6),
        ops in vec(op(), 0..12),
    ) {
        let seen = seen.into_iter().map(|(n, seq)| head(n, seq)).collect();
        let group = group_of(&ops.iter().map(OwnedOp::op).collect::<Vec<_>>(), &runs, seen);
        let latest = group.latest;
        for (head, place) in [(Some(group), BodyPlace::First), (None, BodyPlace::Behind { latest })] {
            let body = body(head, base, &ops);
            let bytes = encode(&body);
            prop_assert_eq!(CheckedBody::decode(&bytes, place), Ok(body));
        }
    }

    #[test]
    fn accepted_bytes_are_the_one_encoding(
        ops in vec(op(), 0..6),
        damages in vec(damage(), 1..3),
    ) {
        let group = group_of(&ops.iter().map(OwnedOp::op).collect::<Vec<_>>(), &[(1, 2), (2, 3)], vec![head(1, 2), head(3, 4)]);
        for head in [Some(group), None] {
            let body = body(head, 5, &ops);
            let mut bytes = encode(&body);
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            if let Ok(body) = CheckedBody::decode(&bytes, place_of(&body)) {
                prop_assert_eq!(encode(&body), bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        for place in [BodyPlace::First, BEHIND] {
            if let Ok(body) = CheckedBody::decode(&bytes, place) {
                prop_assert_eq!(&encode(&body), &bytes);
            }
        }
    }
}
