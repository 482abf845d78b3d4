mod asking;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::ids::LogId;
use subrosa_protocol::segment::Class;

use super::*;
use crate::merge::id::RecordId;
use crate::merge::logs::VaultNo;
use crate::merge::testing::{OwnedCell, OwnedKind, OwnedOp, buf, cap, damage, intern, log, op};

/// Logs whose numbers run against the order of their ids.
fn logs() -> LogTable {
    let mut logs = LogTable::default();
    for n in (0..4).rev() {
        intern(&mut logs, n);
    }
    logs
}

fn no(n: u8) -> LogNo {
    logs().number_of(&log(n)).unwrap()
}

fn record_op(stamp: u64, kind: OwnedKind) -> OwnedOp {
    let (record, collection) = (RecordId::from_bytes([0; 16]), "c".to_owned());
    OwnedOp { record, collection, stamp: Stamp(stamp), kind }
}

fn names<const N: usize>(names: [(u8, u64); N]) -> Tombstone {
    names.into_iter().map(|(n, stamp)| (log(n), Stamp(stamp))).collect()
}

fn put<const N: usize>(stamp: u64, clears: Tombstone, cells: [(&str, OwnedCell); N]) -> OwnedOp {
    let cells = cells.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect();
    record_op(stamp, OwnedKind::Put { names: clears, cells })
}

fn set<const N: usize>(stamp: u64, cells: [(&str, i64); N]) -> OwnedOp {
    put(stamp, Tombstone::default(), cells.map(|(name, value)| (name, register(value))))
}

fn register(value: i64) -> OwnedCell {
    OwnedCell::Register(buf(value))
}

fn delete(stamp: u64, seen: Tombstone) -> OwnedOp {
    record_op(stamp, OwnedKind::Delete(seen))
}

fn state(ops: &[(u8, OwnedOp)]) -> RecordState<'_> {
    let (logs, mut state) = (logs(), RecordState::default());
    for (n, op) in ops {
        state.apply(no(*n), &op.op(), &logs);
    }
    state
}

fn row(state: &RecordState<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    state.encode(&mut out);
    out
}

fn visible(state: &RecordState<'_>) -> Vec<(String, i64)> {
    let logs = logs();
    let fields = state.visible_fields(&logs);
    fields.map(|(name, value)| (name.to_owned(), value.decode().unwrap().as_i64().unwrap())).collect()
}

/// The ops in every order that keeps each log's own, and what each comes to.
#[track_caller]
fn assert_visible(ops: &[(u8, OwnedOp)], expected: &[(&str, i64)]) {
    let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let first = state(ops);
    assert_eq!(visible(&first), expected);
    let mut reversed = ops.to_vec();
    reversed.reverse();
    assert_eq!(row(&state(&reversed)), row(&first));
}

#[test]
fn the_last_writer_wins_each_field_by_stamp_then_log() {
    assert_visible(
        &[(1, set(5, [("a", 1), ("b", 1)])), (2, set(6, [("a", 2)])), (3, set(4, [("b", 3)]))],
        &[("a", 2), ("b", 1)],
    );
    assert_visible(&[(3, set(5, [("a", 3)])), (1, set(5, [("a", 1)])), (2, set(5, [("a", 2)]))], &[("a", 3)]);
}

#[test]
fn a_removed_field_stays_removed_until_a_later_write() {
    let unset = put(5, Tombstone::default(), [("a", OwnedCell::Unset)]);
    assert_visible(&[(1, set(4, [("a", 1), ("b", 1)])), (2, unset.clone())], &[("b", 1)]);
    assert_visible(&[(1, set(6, [("a", 1)])), (2, unset)], &[("a", 1)]);
}

#[test]
fn a_delete_hides_what_it_saw() {
    assert_visible(&[(1, set(4, [("a", 1)])), (2, delete(5, names([(1, 4)])))], &[]);
}

#[test]
fn an_edit_unknown_to_the_delete_brings_the_record_back_whole() {
    let ops = [(1, set(4, [("a", 1), ("b", 1)])), (2, delete(9, names([(1, 4)]))), (3, set(5, [("a", 3)]))];
    assert_visible(&ops, &[("a", 3), ("b", 1)]);
    let logs = logs();
    assert!(state(&ops).names_for_put(&logs).is_empty());
}

#[test]
fn a_put_on_a_deleted_record_starts_from_empty() {
    let deleted = [(1, set(4, [("a", 1), ("b", 1)])), (2, delete(5, names([(1, 4)])))];
    let clears = state(&deleted).names_for_put(&logs());
    assert_eq!(clears, names([(1, 4)]));
    let [first, second] = deleted;
    let ops = [first, second, (2, put(6, clears.clone(), [("c", register(2))]))];
    assert_visible(&ops, &[("c", 2)]);
    // Later puts name it too, so whoever misses the first put does not show the old fields.
    assert_eq!(state(&ops).names_for_put(&logs()), clears);
}

#[test]
fn a_loser_shows_when_the_winner_of_another_log_is_cleared() {
    let clears = names([(2, 6)]);
    let ops = [
        (1, set(5, [("a", 1)])),
        (2, set(6, [("a", 2)])),
        (3, delete(7, clears.clone())),
        (3, put(8, clears, [("b", 3)].map(|(name, value)| (name, register(value))))),
    ];
    assert_visible(&ops, &[("a", 1), ("b", 3)]);
}

#[test]
fn two_values_of_one_log_and_stamp_are_told_apart_by_hash() {
    let hash = |value: i64| buf(value).borrow().value_hash();
    let winner = if hash(1) > hash(2) { 1 } else { 2 };
    assert_visible(&[(1, set(5, [("a", 1)])), (1, set(5, [("a", 2)]))], &[("a", winner)]);
}

#[test]
fn what_newer_versions_wrote_is_kept_and_counts_as_an_edit() {
    let add = |stamp, slot| put(stamp, Tombstone::default(), [("a", OwnedCell::Unknown(9, vec![1, slot]))]);
    let newer_op = record_op(7, OwnedKind::Unknown(77, vec![0, 2]));
    let ops = [(1, add(4, 1)), (1, add(5, 2)), (1, set(6, [("a", 1)])), (2, delete(8, names([(1, 6)])))];
    assert_eq!(state(&ops).entries.len(), 3);
    assert_visible(&ops, &[]);
    let revived = [&ops[..], &[(3, newer_op)]].concat();
    assert_visible(&revived, &[("a", 1)]);
    let state = state(&revived);
    assert_eq!(state.unknown.len(), 1);
    assert_eq!(state.tombstone_for_delete(&logs()), names([(1, 6), (3, 7)]));
}

#[test]
fn of_each_slot_the_latest_of_a_log_stays() {
    let cell = |stamp, tag, bytes: &[u8]| {
        put(stamp, Tombstone::default(), [("a", OwnedCell::Unknown(tag, bytes.to_vec()))])
    };
    let newer = |stamp, tag, bytes: &[u8]| record_op(stamp, OwnedKind::Unknown(tag, bytes.to_vec()));
    let ops = [
        (1, cell(4, 9, &[1, 7, 1])),
        (1, cell(6, 9, &[1, 7, 2])),
        (1, cell(5, 9, &[1, 7, 3])),
        (1, cell(3, 9, &[1, 8, 4])),
        (1, cell(2, 8, &[1, 7, 5])),
        (2, cell(1, 9, &[1, 7, 6])),
        (1, newer(4, 9, &[1, 7, 1])),
        (1, newer(6, 9, &[1, 7, 2])),
        (1, newer(5, 9, &[0, 3])),
        (2, newer(1, 9, &[1, 7, 4])),
    ];
    let state = state(&ops);
    let mut cells: Vec<_> = state.entries.iter().map(|entry| (entry.log, cell_parts(&entry.cell))).collect();
    cells.sort_unstable();
    let expected: [(_, (u32, &[u8])); 4] = [
        (no(2), (9, &[1, 7, 6])),
        (no(1), (8, &[1, 7, 5])),
        (no(1), (9, &[1, 7, 2])),
        (no(1), (9, &[1, 8, 4])),
    ];
    assert_eq!(cells, expected);
    let ops: Vec<_> = state.unknown.iter().map(|op| (op.log, op.tag, op.bytes.as_bytes())).collect();
    let expected: [(_, _, &[u8]); 3] = [(no(2), 9, &[1, 7, 4]), (no(1), 9, &[0, 3]), (no(1), 9, &[1, 7, 2])];
    assert_eq!(ops, expected);
}

#[test]
fn two_of_one_log_slot_and_stamp_are_told_apart_by_hash() {
    let bytes = [[1, 7, 1], [1, 7, 2]];
    let winner = if Sha256::digest(bytes[0]) > Sha256::digest(bytes[1]) { bytes[0] } else { bytes[1] };
    let cell = |n: usize| put(5, Tombstone::default(), [("a", OwnedCell::Unknown(9, bytes[n].to_vec()))]);
    let newer = |n: usize| record_op(5, OwnedKind::Unknown(9, bytes[n].to_vec()));
    for [one, other] in [[0, 1], [1, 0]] {
        let ops = [(1, cell(one)), (1, cell(other)), (1, newer(one)), (1, newer(other))];
        let state = state(&ops);
        assert_eq!((state.entries.len(), cell_parts(&state.entries[0].cell).1), (1, &winner[..]));
        assert_eq!((state.unknown.len(), state.unknown[0].bytes.as_bytes()), (1, &winner[..]));
    }
}

#[test]
fn what_a_newer_version_wrote_is_cleared_like_anything_else() {
    let cell = put(4, Tombstone::default(), [("a", OwnedCell::Unknown(9, vec![0, 1]))]);
    let newer = record_op(5, OwnedKind::Unknown(9, vec![0]));
    let clears = put(9, names([(1, 5)]), [("b", register(1))]);
    let ops = [(1, cell), (1, newer), (2, clears)];
    let state = state(&ops);
    assert_eq!((state.entries.len(), state.unknown.len()), (1, 0));
    assert_visible(&ops, &[("b", 1)]);
}

#[test]
fn a_name_that_is_later_than_its_op_has_no_effect_and_is_not_repeated() {
    let ops = [
        (1, set(4, [("a", 1)])),
        (2, delete(5, names([(1, 6), (3, 5)]))),
        (2, put(6, names([(1, 7)]), [("b", register(2))])),
    ];
    assert_visible(&ops, &[("a", 1), ("b", 2)]);
    let state = state(&ops);
    assert_eq!(state.tombstone_for_delete(&logs()), names([(1, 4), (2, 6), (3, 5)]));
    assert!(state.names_for_put(&logs()).is_empty());
    // At the same time, it has.
    assert_visible(&[(1, set(5, [("a", 1)])), (2, delete(5, names([(1, 5)])))], &[]);
}

/// What a reader sees under caps, with the ops taken in when those were known.
fn visible_capped(ops: &[(u8, OwnedOp)], caps: &[(u8, u64)]) -> Vec<(String, i64)> {
    let (mut logs, mut state) = (logs(), RecordState::default());
    caps.iter().for_each(|(n, stamp)| cap(&mut logs, *n, Stamp(*stamp)));
    for (n, op) in ops {
        state.apply(no(*n), &op.op(), &logs);
    }
    let fields = state.visible_fields(&logs);
    fields.map(|(name, value)| (name.to_owned(), value.decode().unwrap().as_i64().unwrap())).collect()
}

#[test]
fn a_capped_log_loses_what_its_clock_won() {
    let ops = [(1, set(90, [("a", 1)])), (1, set(91, [("b", 1)])), (2, set(50, [("a", 2), ("b", 2)]))];
    let fields = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(visible_capped(&ops, &[]), fields(1, 1));
    assert_eq!(visible_capped(&ops, &[(1, 49)]), fields(2, 2));
    assert_eq!(visible_capped(&ops, &[(1, 60), (1, 49), (1, 70)]), fields(2, 2), "the least counts");
    assert_eq!(visible_capped(&ops, &[(1, 90)]), fields(1, 1));
    assert_eq!(visible_capped(&ops, &[(1, 50)]), fields(1, 1), "at one time, the stamp as it is");
    // Within its log the later op stays the later one.
    let twice = [(1, set(90, [("a", 1)])), (1, set(91, [("a", 2)]))];
    assert_eq!(visible_capped(&twice, &[(1, 5)]), [("a".to_owned(), 2)]);
}

#[test]
fn what_a_tombstone_names_of_a_capped_log_is_what_its_author_saw() {
    // The author's own stamps are right again, and it saw what it had written with others.
    let seen = [(1, set(90, [("a", 1)])), (2, delete(50, names([(1, 90)])))];
    assert_eq!(visible_capped(&seen, &[]), [("a".to_owned(), 1)], "nobody has seen the future");
    assert_eq!(visible_capped(&seen, &[(1, 50)]), []);
    assert_eq!(visible_capped(&seen, &[(1, 51)]), [("a".to_owned(), 1)]);
    // It names what it saw and nothing beyond, however both are capped.
    let beyond = [seen[0].clone(), seen[1].clone(), (1, set(91, [("a", 3)]))];
    assert_eq!(visible_capped(&beyond, &[(1, 50)]), [("a".to_owned(), 3)]);
}

#[test]
fn many_names_are_joined_like_few() {
    let mut logs = LogTable::default();
    let id = |n: u32| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b1).to_be_bytes());
        LogId::from_bytes(bytes)
    };
    for n in 0..700 {
        logs.intern(VaultNo(0), id(n), Class::Data);
    }
    let own = logs.number_of(&id(0)).unwrap();
    let mut expected = BTreeMap::new();
    let mut ops = Vec::new();
    for round in 0..40u64 {
        let all = (0..(round as u32 * 16)).map(|n| (id(n), Stamp((u64::from(n) * round) % 97)));
        let names: Tombstone = all.collect();
        for (log, stamp) in names.iter() {
            let last = expected.entry(log).or_insert(stamp);
            *last = stamp.max(*last);
        }
        ops.push(delete(1_000, names));
    }
    let mut state = RecordState::default();
    for op in &ops {
        let before = row(&state);
        let changed = state.apply(own, &op.op(), &logs);
        assert_eq!(changed, row(&state) != before);
    }
    assert!(state.tombstone_for_delete(&logs) == expected.into_iter().collect());
}

#[test]
fn taking_an_op_in_again_changes_nothing() {
    let logs = logs();
    let (first, second) = (set(5, [("a", 1)]), delete(6, names([(1, 5)])));
    let mut state = RecordState::default();
    let applied = [&first, &second, &first, &second]
        .map(|op| (state.apply(no(1), &op.op(), &logs), state.is_visible()));
    assert_eq!(applied, [(true, true), (true, false), (false, false), (false, false)]);
}

#[test]
fn rows_are_fixed() {
    let stamp = [0, 0, 0, 0, 0, 0, 0, 5];
    let plain = [&[1, 2][..], &stamp, &[1, b'a', 2, 3, 2]].concat();
    assert_eq!(row(&state(&[(1, set(5, [("a", 1)]))])), plain);
    let full = [
        &[2][..],
        &[1, 2],
        &stamp, // last
        &[1, 2],
        &stamp,                             // tomb
        &[0],                               // cleared
        &[1, 1, b'a', 1, 0, 0, 1, 2, 3, 2], // fields: name, one entry: log 0 of last, age 0, register
        &[0],                               // ops of newer versions
    ]
    .concat();
    assert_eq!(row(&state(&[(1, set(5, [("a", 1)])), (2, delete(6, names([(1, 5)])))])), full);
    for row in [plain, full] {
        assert_eq!(self::row(&RecordState::decode(&row).unwrap()), row);
    }
}

#[test]
fn other_rows_are_refused() {
    let stamp = [0, 0, 0, 0, 0, 0, 0, 5];
    let full = |parts: &[&[u8]]| [&[2][..], &parts.concat()].concat();
    let last: &[u8] = &[&[1, 2][..], &stamp].concat();
    let rows = [
        ("empty", vec![], DecodeError::Truncated { needed: 1, left: 0 }),
        ("shape", vec![3], DecodeError::Unknown { what: "row shape", value: 3 }),
        (
            "names out of order",
            [&[1, 2][..], &stamp, &[1, b'b', 1, 0, 1, b'a', 1, 0]].concat(),
            DecodeError::NotCanonical { what: "order of fields" },
        ),
        (
            "plain in the full shape",
            full(&[last, &[0, 0, 0, 0]]),
            DecodeError::NotCanonical { what: "row shape" },
        ),
        (
            "cleared beyond the tombstone",
            full(&[last, &[0], last, &[0, 0]]),
            DecodeError::Invalid { what: "cleared stamps" },
        ),
        (
            "a cleared entry",
            full(&[last, last, last, &[1, 0, 1, 0, 0, 2, 0, 0]]),
            DecodeError::NotCanonical { what: "cleared entry" },
        ),
        (
            "entry of no log",
            full(&[last, last, &[0], &[1, 0, 1, 1, 0, 2, 0, 0]]),
            DecodeError::Invalid { what: "log index" },
        ),
        (
            "older than time",
            full(&[last, last, &[0], &[1, 0, 1, 0, 6, 2, 0, 0]]),
            DecodeError::Invalid { what: "age of a stamp" },
        ),
        (
            "logs out of order",
            full(&[&[2, 2], &stamp, &[2], &stamp, &[0, 0, 0, 0]]),
            DecodeError::NotCanonical { what: "order of logs" },
        ),
        ("trailing", full(&[last, last, &[0, 0, 0, 0]]), DecodeError::Trailing { left: 1 }),
    ];
    for (name, row, error) in rows {
        assert_eq!(RecordState::decode(&row).map(drop), Err(error), "{name}");
    }
}

#[test]
fn rows_with_two_of_one_place_or_without_a_whole_slot_are_refused() {
    let stamp = [0, 0, 0, 0, 0, 0, 0, 5];
    let full = |parts: &[&[u8]]| [&[2][..], &parts.concat()].concat();
    let last: &[u8] = &[&[1, 2][..], &stamp].concat();
    let rows = [
        (
            "two registers of one log",
            full(&[last, last, &[0], &[1, 0, 2, 0, 0, 2, 0, 0, 1, 2, 0, 0]]),
            DecodeError::NotCanonical { what: "order of entries" },
        ),
        (
            "two cells of one slot",
            full(&[last, last, &[0], &[1, 0, 2, 0, 0, 9, 2, 1, 7, 0, 1, 9, 3, 1, 7, 1, 0]]),
            DecodeError::NotCanonical { what: "order of entries" },
        ),
        (
            "a cell without a whole slot",
            full(&[last, last, &[0], &[1, 0, 1, 0, 0, 9, 2, 2, 7, 0]]),
            DecodeError::Truncated { needed: 2, left: 1 },
        ),
        (
            "two ops of one slot",
            full(&[last, last, &[0, 0], &[2, 0, 0, 9, 2, 1, 7, 0, 1, 9, 3, 1, 7, 1]]),
            DecodeError::NotCanonical { what: "order of ops" },
        ),
        (
            "an op without a whole slot",
            full(&[last, last, &[0, 0], &[1, 0, 0, 9, 2, 2, 7]]),
            DecodeError::Truncated { needed: 2, left: 1 },
        ),
    ];
    for (name, row, error) in rows {
        assert_eq!(RecordState::decode(&row).map(drop), Err(error), "{name}");
    }
}

/// The rules once more, without any of the state's bookkeeping: looks at all ops at once.
fn model(ops: &[(u8, OwnedOp)], caps: &[(u8, u64)]) -> (bool, BTreeMap<String, Vec<u8>>) {
    let (mut tomb, mut cleared) = (Tombstone::default(), Tombstone::default());
    let capped = |of: LogId, stamp: Stamp| {
        let caps = caps.iter().filter(|(n, _)| log(*n) == of);
        caps.fold(stamp, |stamp, (_, cap)| stamp.min(Stamp(*cap)))
    };
    for (_, op) in ops {
        // Names from the future have no effect.
        let past = |names: &Tombstone| {
            names.iter().filter(|name| capped(name.0, name.1) <= op.stamp).collect::<Tombstone>()
        };
        match &op.kind {
            OwnedKind::Put { names, .. } => {
                tomb.join(&past(names));
                cleared.join(&past(names));
            }
            OwnedKind::Delete(names) => tomb.join(&past(names)),
            OwnedKind::Unknown(..) => {}
        }
    }
    let is_in =
        |names: &Tombstone, n: u8, stamp| names.iter().any(|name| name.0 == log(n) && name.1 >= stamp);
    let edits = || ops.iter().filter(|(_, op)| !matches!(op.kind, OwnedKind::Delete(_)));
    let visible = edits().any(|(n, op)| !is_in(&tomb, *n, op.stamp));
    let mut fields: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (n, op) in edits().filter(|(n, op)| !is_in(&cleared, *n, op.stamp)) {
        if let OwnedKind::Put { cells, .. } = &op.kind {
            for (name, cell) in cells {
                let bytes = match cell {
                    OwnedCell::Register(value) => value.borrow().as_bytes().to_vec(),
                    OwnedCell::Unset => Vec::new(),
                    OwnedCell::Unknown(..) => continue,
                };
                let hash = Sha256::digest(&bytes);
                let order = (capped(log(*n), op.stamp), op.stamp, log(*n), hash);
                fields.entry(name.clone()).or_default().push((order, bytes));
            }
        }
    }
    let winners = fields.into_iter().filter_map(|(name, cells)| Some((name, cells.into_iter().max()?.1)));
    (visible, winners.filter(|(_, bytes)| visible && !bytes.is_empty()).collect())
}

/// What arrives: an op of a log, or a cap of one.
#[derive(Clone, Debug)]
enum Arrival {
    Op(u8, OwnedOp),
    Cap(u8, u64),
}

/// Takes in ops and caps as they arrive; where a cap brings names into the past, the ops that carry them once more.
fn arrived(arrivals: &[Arrival]) -> (RecordState<'_>, LogTable) {
    let (mut logs, mut state) = (logs(), RecordState::default());
    for (at, arrival) in arrivals.iter().enumerate() {
        let (n, stamp) = match arrival {
            Arrival::Op(n, op) => {
                state.apply(no(*n), &op.op(), &logs);
                continue;
            }
            Arrival::Cap(n, stamp) => (*n, *stamp),
        };
        cap(&mut logs, n, Stamp(stamp));
        let named_ahead = |op: &OwnedOp| {
            op.op()
                .names()
                .is_some_and(|names| names.iter().any(|name| name.0 == log(n) && name.1 > op.stamp))
        };
        for arrival in &arrivals[..at] {
            if let Arrival::Op(by, op) = arrival
                && named_ahead(op)
            {
                state.apply(no(*by), &op.op(), &logs);
            }
        }
    }
    (state, logs)
}

fn history() -> impl Strategy<Value = Vec<(u8, OwnedOp)>> {
    vec((0u8..4, op()), 0..14)
}

proptest! {
    #[test]
    fn states_come_to_the_model(ops in history()) {
        let (visible, fields) = model(&ops, &[]);
        let state = state(&ops);
        prop_assert_eq!(state.is_visible(), visible);
        let logs = logs();
        let seen = state.visible_fields(&logs).map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        prop_assert_eq!(seen.collect::<BTreeMap<_, _>>(), fields);
    }

    #[test]
    fn ops_and_caps_come_to_the_same_in_any_order(
        (ops, caps, shuffled) in (history(), vec((0u8..4, 0u64..12), 0..5)).prop_flat_map(|(ops, caps)| {
            let of_ops = ops.iter().map(|(n, op)| Arrival::Op(*n, op.clone()));
            let of_caps = caps.iter().map(|(n, cap)| Arrival::Cap(*n, *cap));
            let all: Vec<_> = of_ops.chain(of_caps).collect();
            (Just(ops), Just(caps), Just(all).prop_shuffle())
        }),
    ) {
        let (visible, fields) = model(&ops, &caps);
        let (state, logs) = arrived(&shuffled);
        prop_assert_eq!(state.is_visible(), visible);
        let seen = state.visible_fields(&logs).map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        prop_assert_eq!(seen.collect::<BTreeMap<_, _>>(), fields);
        let first: Vec<_> = caps.iter().map(|(n, cap)| Arrival::Cap(*n, *cap))
            .chain(ops.iter().map(|(n, op)| Arrival::Op(*n, op.clone())))
            .collect();
        prop_assert_eq!(row(&state), row(&arrived(&first).0));
    }

    #[test]
    fn order_and_repetition_do_not_matter(
        (ops, shuffled) in history().prop_flat_map(|ops| {
            let twice = [ops.clone(), ops.clone()].concat();
            (Just(ops), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(row(&state(&ops)), row(&state(&shuffled)));
    }

    #[test]
    fn merging_commutes_associates_and_repeats(a in history(), b in history(), c in history()) {
        let merged = |states: &[&RecordState<'_>]| {
            let mut out = states[0].clone();
            states[1..].iter().for_each(|state| out.merge(state));
            row(&out)
        };
        let (sa, sb, sc) = (state(&a), state(&b), state(&c));
        let mut bc = sb.clone();
        bc.merge(&sc);
        let all = merged(&[&sa, &sb, &sc]);
        prop_assert_eq!(&all, &merged(&[&sa, &bc]));
        prop_assert_eq!(&all, &merged(&[&sc, &sa, &sb, &sa, &sc]));
        prop_assert_eq!(&all, &row(&state(&[a.clone(), b.clone(), c.clone()].concat())));
        prop_assert_eq!(row(&sa), merged(&[&sa, &sa, &RecordState::default()]));
    }

    #[test]
    fn changed_says_whether_the_row_changes(ops in history()) {
        let (logs, mut state) = (logs(), RecordState::default());
        let mut before = row(&state);
        for (n, op) in &ops {
            let changed = state.apply(no(*n), &op.op(), &logs);
            let after = row(&state);
            prop_assert_eq!(changed, after != before);
            before = after;
        }
    }

    #[test]
    fn rows_come_back(ops in history()) {
        let state = state(&ops);
        if !ops.is_empty() {
            let row = row(&state);
            prop_assert_eq!(RecordState::row_is_visible(&row), Ok(state.is_visible()));
            prop_assert_eq!(RecordState::decode(&row), Ok(state));
        }
    }

    #[test]
    fn accepted_rows_are_the_one_encoding(ops in history(), damages in vec(damage(), 1..3), bytes: Vec<u8>) {
        let mut damaged = row(&state(&ops));
        damages.iter().for_each(|damage| damage.apply(&mut damaged));
        for bytes in [damaged, bytes] {
            if let Ok(state) = RecordState::decode(&bytes) {
                prop_assert_eq!(row(&state), bytes);
            }
        }
    }
}
