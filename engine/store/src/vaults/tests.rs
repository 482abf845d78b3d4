use redb::Database;

use super::*;
use crate::doors::{Doors, DoorsView, in_memory};

const VAULT: VaultNo = VaultNo(1);

fn change<R>(database: &Database, f: impl FnOnce(&mut Vaults<'_>) -> R) -> R {
    let txn = database.begin_write().unwrap();
    let result = f(&mut Doors::open(&txn).unwrap().vaults);
    txn.commit().unwrap();
    result
}

fn view(database: &Database) -> VaultsView {
    DoorsView::begin(database).unwrap().vaults().unwrap()
}

#[test]
fn vaults_keyrings_and_collections_come_back_as_they_were_put() {
    let database = in_memory();
    let rows = [2, 1].map(|n| {
        (VaultNo(n), VaultRow { id: VaultId::from_bytes([n as u8; 32]), name: format!("väult {n}") })
    });
    let collections = [(2, "b", 0), (1, "a", 300), (1, "ab", 2)];
    let collections = collections.map(|(vault, name, number)| CollectionRow {
        vault: VaultNo(vault),
        name: name.to_owned(),
        number: CollectionNo(number),
    });
    change(&database, |vaults| {
        for (number, row) in &rows {
            vaults.put_vault(*number, row).unwrap();
            vaults.put_keyring(*number, b"before").unwrap();
            vaults.put_keyring(*number, row.name.as_bytes()).unwrap();
        }
        for row in &collections {
            vaults.put_collection(row.vault, &row.name, row.number).unwrap();
        }
    });
    let vaults = view(&database);
    let [second, first] = rows;
    assert_eq!(vaults.vaults().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [first, second]);
    assert_eq!(vaults.keyring(VAULT).unwrap().unwrap().as_bytes(), "väult 1".as_bytes());
    assert!(vaults.keyring(VaultNo(3)).unwrap().is_none());
    let [b, a, ab] = collections;
    assert_eq!(vaults.collections().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [a, ab, b]);
}

#[test]
fn facts_come_back_as_they_were_put_and_are_not_there_before() {
    let database = in_memory();
    assert!(DoorsView::begin(&database).unwrap().vaults_if_made().unwrap().is_none());
    change(&database, |_| ());
    let vaults = DoorsView::begin(&database).unwrap().vaults_if_made().unwrap().expect("it has tables now");
    assert_eq!((vaults.format().unwrap(), vaults.clock().unwrap()), (None, None));
    assert_eq!((vaults.name().unwrap(), vaults.relay().unwrap()), (None, None));
    change(&database, |vaults| {
        vaults.put_format(0x0102_0304).unwrap();
        vaults.put_clock(Stamp(u64::MAX - 1)).unwrap();
        for (vault, latest) in [(1, Some(5)), (12, Some(6)), (2, Some(7)), (2, None), (3, None)] {
            vaults.put_clock_of(VaultNo(vault), latest.map(Stamp)).unwrap();
        }
        vaults.put_name("näme").unwrap();
        vaults.put_relay("").unwrap();
    });
    let vaults = view(&database);
    let clocks_of = [1, 12, 2, 3].map(|vault| vaults.clock_of(VaultNo(vault)).unwrap());
    assert_eq!(clocks_of, [Some(Stamp(5)), Some(Stamp(6)), None, None]);
    assert_eq!(
        (vaults.format().unwrap(), vaults.clock().unwrap()),
        (Some(0x0102_0304), Some(Stamp(u64::MAX - 1)))
    );
    assert_eq!(
        (vaults.name().unwrap().as_deref(), vaults.relay().unwrap().as_deref()),
        (Some("näme"), Some(""))
    );
}

#[test]
fn rows_that_nothing_of_ours_wrote_are_refused() {
    let database = in_memory();
    let inconsistent = |error| matches!(error, Some(StoreError::Inconsistent));
    change(&database, |vaults| {
        for name in [META_FORMAT, META_CLOCK, META_NAME, META_RELAY] {
            vaults.put(name, &[0xff; 13]).unwrap();
        }
        vaults.vaults.insert(0, &[b'a'; 31][..]).unwrap();
        vaults.vaults.insert(1, &[0xff; 33][..]).unwrap();
        vaults.collections.insert(&[b'a'; 3][..], 0).unwrap();
        vaults.collections.insert(&[0xff; 5][..], 1).unwrap();
    });
    let vaults = view(&database);
    assert!(inconsistent(vaults.format().err()) && inconsistent(vaults.clock().err()));
    assert!(inconsistent(vaults.name().err()) && inconsistent(vaults.relay().err()));
    assert!(vaults.vaults().unwrap().all(|row| inconsistent(row.err())));
    assert!(vaults.collections().unwrap().all(|row| inconsistent(row.err())));
    assert_eq!((vaults.vaults().unwrap().count(), vaults.collections().unwrap().count()), (2, 2));
}
