use redb::Database;
use subrosa_model::merge::{RecordId, Run, Seen, Stamp};
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};

use super::*;
use crate::doors::{Doors, DoorsView, in_memory};
use crate::keys::CollectionNo;

const VAULT: VaultNo = VaultNo(1);

fn key(vault: VaultNo, n: u8) -> RecordKey {
    RecordKey::new(vault, CollectionNo(u32::from(n)), &RecordId::from_bytes([n; 16]))
}

fn change<R>(database: &Database, f: impl FnOnce(&mut Unsealed<'_>) -> R) -> R {
    let txn = database.begin_write().unwrap();
    let result = f(&mut Doors::open(&txn).unwrap().unsealed);
    txn.commit().unwrap();
    result
}

fn view(database: &Database) -> UnsealedView {
    DoorsView::begin(database).unwrap().unsealed().unwrap()
}

fn body(n: u8, len: usize) -> Wiped {
    Wiped::new(vec![n; len])
}

fn head() -> GroupHead {
    let seen = vec![Head { log: LogId::from_bytes([1; 16]), seq: Seq(300), chain: Chain::ZERO }];
    let mut head = GroupHead { seen: Seen::part(seen), ..GroupHead::of(Stamp(9)) };
    head.runs.raise(Run::from_bytes([5; 8]), Stamp(8));
    head
}

fn row(kind: BatchKind) -> BatchRow {
    BatchRow { kind, ops: 7, bytes: 1 << 40 }
}

#[test]
fn the_ops_of_one_batch_are_taken_in_the_order_of_their_records_and_others_stay() {
    let database = in_memory();
    change(&database, |unsealed| {
        for (vault, batch, n) in
            [(VAULT, 2, 3), (VAULT, 2, 1), (VAULT, 3, 1), (VaultNo(0), 2, 1), (VaultNo(2), 2, 1)]
        {
            unsealed.put_ops(BatchNo(batch), &key(vault, n), b"before").unwrap();
            unsealed.put_ops(BatchNo(batch), &key(vault, n), &[n]).unwrap();
            unsealed.put_batch(vault, BatchNo(batch), &row(BatchKind::Closed(head()))).unwrap();
        }
        assert_eq!(unsealed.ops(BatchNo(2), &key(VAULT, 3)).unwrap().unwrap()[..], [3]);
        assert!(unsealed.ops(BatchNo(3), &key(VAULT, 3)).unwrap().is_none());
    });
    assert_eq!([0, 1, 2].map(|vault| view(&database).count(VaultNo(vault)).unwrap()), [1, 3, 1]);
    change(&database, |unsealed| {
        let taken = unsealed.take_ops(VAULT, BatchNo(2)).unwrap();
        let taken: Vec<_> = taken.iter().map(|(key, ops)| (*key, ops.to_vec())).collect();
        assert_eq!(taken, [1, 3].map(|n| (key(VAULT, n), vec![n])));
    });
    assert_eq!([0, 1, 2].map(|vault| view(&database).count(VaultNo(vault)).unwrap()), [1, 1, 1]);
    assert_eq!([0, 1, 2].map(|vault| view(&database).any(VaultNo(vault)).unwrap()), [true; 3]);
    change(&database, |unsealed| assert_eq!(unsealed.take_ops(VAULT, BatchNo(3)).unwrap().len(), 1));
    assert_eq!([0, 1, 2].map(|vault| view(&database).any(VaultNo(vault)).unwrap()), [true, false, true]);
}

#[test]
fn batches_come_oldest_first_each_as_it_was_put() {
    let database = in_memory();
    let kinds = [BatchKind::Bulk, BatchKind::Closed(head()), BatchKind::Open(GroupHead::of(Stamp(3)))];
    let rows: Vec<_> = (1..).map(|n| BatchNo(n << 8)).zip(kinds.map(row)).collect();
    change(&database, |unsealed| {
        assert_eq!(unsealed.first_batch(VAULT).unwrap(), None);
        for (batch, row) in rows.iter().rev() {
            unsealed.put_batch(VAULT, *batch, row).unwrap();
        }
        unsealed.put_batch(VaultNo(2), BatchNo(0), &rows[0].1).unwrap();
        assert_eq!(unsealed.first_batch(VAULT).unwrap().as_ref(), rows.first());
    });
    let view = view(&database);
    let found = view.batches(VAULT).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(found, rows);
    assert_eq!(view.last_batch(VAULT).unwrap().as_ref(), rows.last());
    assert_eq!(view.last_batch(VaultNo(0)).unwrap(), None);
}

#[test]
fn bulk_writes_are_taken_whole() {
    let database = in_memory();
    change(&database, |unsealed| {
        for (vault, batch, bodies) in [
            (VAULT, 7, vec![body(3, 10)]),
            (VAULT, 2, vec![body(1, 10), body(2, 9)]),
            (VaultNo(2), 2, vec![body(4, 1)]),
        ] {
            unsealed.put_bulk(vault, BatchNo(batch), &bodies).unwrap();
            unsealed.put_batch(vault, BatchNo(batch), &row(BatchKind::Bulk)).unwrap();
        }
    });
    assert_eq!([0, 1, 2].map(|vault| view(&database).count(VaultNo(vault)).unwrap()), [0, 3, 1]);
    change(&database, |unsealed| {
        let mut take = |batch| {
            let bodies = unsealed.take_bulk(VAULT, BatchNo(batch)).unwrap();
            bodies.iter().map(|body| (body[0], body.len())).collect::<Vec<_>>()
        };
        assert_eq!([take(2), take(2), take(7)], [vec![(1, 10), (2, 9)], vec![], vec![(3, 10)]]);
    });
    assert_eq!([0, 1, 2].map(|vault| view(&database).any(VaultNo(vault)).unwrap()), [false, false, true]);
}

#[test]
fn batches_that_nothing_of_ours_wrote_are_refused() {
    let good = row(BatchKind::Closed(head())).encode();
    let bulk = row(BatchKind::Bulk).encode();
    let rows = [
        ("nothing", Vec::new()),
        ("cut", good[..good.len() - 1].to_vec()),
        ("trailing", [&good[..], &[0]].concat()),
        ("no such state", [&[4], &good[1..]].concat()),
        ("state 0", [&[0], &good[1..]].concat()),
        ("bulk with a head", [&[3], &good[1..]].concat()),
        ("open without a head", [&[1], &bulk[1..]].concat()),
    ];
    for (name, row) in rows {
        assert!(matches!(BatchRow::decode(&row), Err(StoreError::Inconsistent)), "{name}");
    }
}

#[test]
fn entries_wait_in_the_order_in_which_they_came_vault_by_vault() {
    let database = in_memory();
    let data = |rows: Vec<EntryRow>| rows.into_iter().map(|row| row.data).collect::<Vec<_>>();
    let places = change(&database, |unsealed| {
        for vault in [VaultNo(0), VaultNo(2)] {
            unsealed.put_entry(vault, b"of another").unwrap();
        }
        let places =
            [&b"first"[..], b"second", b"third"].map(|data| unsealed.put_entry(VAULT, data).unwrap());
        assert!(unsealed.forget_entry(VAULT, places[1]).unwrap());
        assert!(!unsealed.forget_entry(VAULT, places[1]).unwrap(), "once");
        assert_eq!(data(unsealed.entries(VAULT).unwrap()), [&b"first"[..], b"third"]);
        places
    });
    assert!(places.is_sorted());
    assert_eq!((view(&database).count(VAULT).unwrap(), view(&database).any(VAULT).unwrap()), (2, true));
    change(&database, |unsealed| {
        assert!(unsealed.put_entry(VAULT, b"fourth").unwrap() > places[2]);
        for place in [places[0], places[2]] {
            unsealed.forget_entry(VAULT, place).unwrap();
        }
    });
    assert_eq!(data(view(&database).entries(VAULT).unwrap()), [b"fourth"]);
    assert_eq!(data(view(&database).entries(VaultNo(0)).unwrap()), [b"of another"]);
    assert!(!view(&database).any(VaultNo(3)).unwrap());
}
