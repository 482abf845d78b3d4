//! A store on a real file.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableDefinition};

use crate::OsEntropy;
use crate::store::StoreError;
use crate::store::sealed::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("a");

fn open(path: &std::path::Path) -> Result<(Database, SealedHandle), StoreError> {
    open_database(
        Box::new(FileDisk::open(path, Missing::Create)?),
        &Kek::new(&[1; 32]),
        Arc::new(OsEntropy),
        &OpenOptions { cache_bytes: 1 << 20, missing: Missing::Create, walk: Walk::Now },
    )
}

#[test]
fn what_is_written_is_read_after_closing_and_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (database, handle) = open(&path).unwrap();
    assert_eq!(handle.stop(), Stop::Created);
    assert_eq!(open(&path).unwrap_err(), StoreError::Locked { holder: Some(std::process::id()) });
    let write = database.begin_write().unwrap();
    write.open_table(TABLE).unwrap().insert(7, &[9; 100_000][..]).unwrap();
    write.commit().unwrap();
    database.close().unwrap();

    let (database, handle) = open(&path).unwrap();
    assert_eq!(handle.stop(), Stop::Clean);
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    assert_eq!(table.get(7).unwrap().unwrap().value(), [9; 100_000]);
}
