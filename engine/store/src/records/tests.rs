use subrosa_model::merge::{RecordId, RecordState, RowBuf};

use super::*;
use crate::doors::{Doors, DoorsView, in_memory};
use crate::keys::{CollectionNo, VaultNo};

fn key(vault: u32, collection: u32, n: u8) -> RecordKey {
    RecordKey::new(VaultNo(vault), CollectionNo(collection), &RecordId::from_bytes([n; 16]))
}

#[test]
fn a_range_of_keys_has_the_rows_of_a_collection_in_their_order() {
    let (database, row) = (in_memory(), RowBuf::of(&RecordState::default(), &mut Vec::new()));
    let keys = [key(0, 1, 9), key(1, 0, 9), key(1, 1, 0), key(1, 1, 5), key(1, 1, 0xff), key(1, 2, 0)];
    let of_collection = (Bound::Included(key(1, 1, 0)), Bound::Included(key(1, 1, 0).last_of_collection()));
    let of_another = (Bound::Included(key(1, 3, 0)), Bound::Included(key(1, 3, 0).last_of_collection()));
    let txn = database.begin_write().unwrap();
    {
        let mut records = Doors::open(&txn).unwrap().records;
        assert_eq!(records.first_of(&of_collection).unwrap(), None);
        for key in keys.iter().rev() {
            records.put(key, row.borrow()).unwrap();
        }
        assert_eq!(records.first_of(&of_collection).unwrap(), Some(keys[2]));
        assert_eq!(records.first_of(&of_another).unwrap(), None);
        assert_eq!(records.get(&keys[3]).unwrap().unwrap().row(), row.borrow());
        assert!(records.get(&key(1, 1, 6)).unwrap().is_none());
    }
    txn.commit().unwrap();
    let records = DoorsView::begin(&database).unwrap().records().unwrap();
    let found = records.range(&of_collection).unwrap().map(|row| row.unwrap().0);
    assert_eq!(found.collect::<Vec<_>>(), keys[2..5]);
    assert!(records.holds_any(&of_collection).unwrap() && !records.holds_any(&of_another).unwrap());
    assert_eq!(records.get(&keys[3]).unwrap().unwrap().row(), row.borrow());
}

#[test]
fn a_key_has_the_parts_that_it_was_made_of() {
    let key = key(0x0102_0304, 0x0506_0708, 9);
    assert_eq!((key.vault(), key.collection()), (VaultNo(0x0102_0304), CollectionNo(0x0506_0708)));
    assert_eq!(key.record(), RecordId::from_bytes([9; 16]));
    assert_eq!(key.0[..9], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn new_rows_are_put_between_those_that_are_there_and_never_over_one() {
    let row = RowBuf::of(&RecordState::default(), &mut Vec::new());
    let run = |ns: &[u8]| {
        let mut rows = NewRows::default();
        ns.iter().for_each(|n| rows.push_row(&key(1, 1, *n), row.borrow()));
        rows
    };
    let put = |there: &[u8], new: &[u8]| {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        let mut records = Doors::open(&txn).unwrap().records;
        there.iter().for_each(|n| records.put(&key(1, 1, *n), row.borrow()).unwrap());
        let done = records.put_new(&run(new));
        let all = (Bound::Unbounded, Bound::Unbounded);
        let found =
            records.range(&all).unwrap().map(|found| found.unwrap().0.record().as_bytes()[0]).collect();
        done.map(|()| -> Vec<u8> { found })
    };
    for (there, new, found) in [
        (&[][..], &[][..], &[][..]),
        (&[], &[1, 2, 3], &[1, 2, 3]),
        (&[1, 9], &[4, 5], &[1, 4, 5, 9]),
        (&[1], &[4, 5], &[1, 4, 5]),
        (&[9], &[4, 5], &[4, 5, 9]),
    ] {
        assert_eq!(put(there, new), Ok(found.to_vec()), "{new:?} beside {there:?}");
    }
    for (there, new) in
        [(&[4][..], &[4, 5][..]), (&[5], &[4, 5]), (&[5], &[4, 6]), (&[], &[5, 4]), (&[], &[4, 4])]
    {
        assert_eq!(put(there, new), Err(StoreError::Inconsistent), "{new:?} beside {there:?}");
    }
}
