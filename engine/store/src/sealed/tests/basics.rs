//! A store on a real file.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, TableDefinition};
use subrosa_model::entropy::OsEntropy;

use crate::error::StoreError;
use crate::process::Process;
use crate::sealed::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("a");

fn open(path: &std::path::Path) -> Result<(Database, SealedHandle), StoreError> {
    open_database(
        Box::new(FileDisk::open(path, Missing::Create)?),
        &Kek::new(&[1; 32]),
        Arc::new(OsEntropy),
        &OpenOptions {
            cache_bytes: 1 << 20,
            missing: Missing::Create,
            walk: Walk::Now,
            process: Process::plain(),
        },
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

#[test]
fn the_file_is_its_owners_alone_and_is_created_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    assert_eq!(FileDisk::open(&path, Missing::Refuse).err(), Some(StoreError::Missing));
    assert!(!path.exists());
    drop(open(&path).unwrap());
    #[cfg(unix)]
    {
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
    }
    let nowhere = FileDisk::open(&folder.path().join("no/such/folder"), Missing::Create).err();
    assert!(matches!(nowhere, Some(StoreError::Io { kind: std::io::ErrorKind::NotFound, code: Some(_) })));
}

#[test]
fn a_failed_open_gives_the_lock_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, [7; 30_000]).unwrap();
    for _ in 0..2 {
        assert_eq!(open(&path).err(), Some(StoreError::NotAStore));
    }
    drop(FileDisk::open(&path, Missing::Refuse).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), [7; 30_000]);
}

#[test]
fn a_closed_file_reports_and_a_live_reader_does_not_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (database, handle) = open(&path).unwrap();
    let reader = database.begin_read().unwrap();
    database.close().unwrap();
    assert!(handle.rewrap(&Kek::new(&[2; 32])).is_err());
    let (database, _) = open(&path).unwrap();
    assert!(matches!(
        reader.open_table(TABLE).map_err(StoreError::from),
        Err(StoreError::Closed | StoreError::Refused { reason: "table missing" })
    ));
    database.close().unwrap();
}
