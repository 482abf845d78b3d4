use redb::Database;
use subrosa_model::merge::RecordId;

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

fn body(n: u8, len: usize) -> Wiped {
    Wiped::new(vec![n; len])
}

#[test]
fn the_ops_of_one_vault_are_taken_in_the_order_of_their_records_and_others_stay() {
    change(&in_memory(), |unsealed| {
        for (vault, n) in [(VAULT, 3), (VAULT, 1), (VaultNo(0), 1), (VaultNo(2), 1)] {
            unsealed.put_ops(&key(vault, n), b"before").unwrap();
            unsealed.put_ops(&key(vault, n), &[n]).unwrap();
        }
        assert_eq!(unsealed.ops(&key(VAULT, 3)).unwrap().unwrap()[..], [3]);
        assert!(unsealed.has_ops(&key(VAULT, 1)).unwrap() && !unsealed.has_ops(&key(VAULT, 2)).unwrap());
        let taken = unsealed.take_ops(VAULT).unwrap();
        let taken: Vec<_> = taken.iter().map(|(key, ops)| (*key, ops.to_vec())).collect();
        assert_eq!(taken, [1, 3].map(|n| (key(VAULT, n), vec![n])));
        let left = [0, 1, 2].map(|vault| unsealed.has_any_ops(VaultNo(vault)).unwrap());
        assert_eq!(left, [true, false, true]);
    });
}

#[test]
fn bulk_writes_are_taken_whole_and_oldest_first() {
    let database = in_memory();
    change(&database, |unsealed| {
        unsealed.put_bulk(VAULT, 7, &[body(3, 10)]).unwrap();
        unsealed.put_bulk(VAULT, 2, &[body(1, 10), body(2, 10)]).unwrap();
        unsealed.put_bulk(VaultNo(2), 0, &[body(4, 10)]).unwrap();
    });
    let view = DoorsView::begin(&database).unwrap().unsealed().unwrap();
    assert_eq!([0, 1, 2].map(|vault| view.next_batch(VaultNo(vault)).unwrap()), [0, 8, 1]);
    assert_eq!([0, 1, 2].map(|vault| view.count(VaultNo(vault)).unwrap()), [0, 3, 1]);
    assert_eq!([0, 1, 2].map(|vault| view.any(VaultNo(vault)).unwrap()), [false, true, true]);
    change(&database, |unsealed| {
        let mut take = |bytes_max| {
            let (batches, more) = unsealed.take_bulk(VAULT, bytes_max).unwrap();
            let first = |body: &Wiped| (body[0], body.len());
            let batches = batches.iter().map(|batch| batch.iter().map(first).collect::<Vec<_>>());
            (batches.collect::<Vec<_>>(), more)
        };
        assert_eq!(take(1), (vec![vec![(1, 10), (2, 10)]], true));
        assert_eq!(take(11), (vec![vec![(3, 10)]], false));
        assert_eq!(take(11), (vec![], false));
        let left = [VAULT, VaultNo(2)].map(|vault| unsealed.has_bulk(vault).unwrap());
        assert_eq!(left, [false, true]);
    });
}
