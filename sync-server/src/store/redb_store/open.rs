//! Making, opening and recognising the database's file.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, WriteTransaction};
use subrosa_protocol::ids::Incarnation;

use super::super::StoreError;
use super::super::rows::{
    CONTROL, FORMAT, INDEX, INVITES, LOGS, META, SEGMENTS, SHARES, STATEMENTS, USES, VAULTS,
};
use crate::files;

/// Makes the database if it is not there: under another name first, since one whose making was cut short cannot be
/// opened.
pub(super) fn make(path: &Path, fresh: Incarnation) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Database(Box::new(redb::Error::Io(error)));
    if path.exists() {
        return Ok(());
    }
    let made = files::fresh_name(path).map_err(failed)?;
    let database = Database::builder().create(&made)?;
    prepare(&database, fresh)?;
    drop(database);
    files::put_in_place(&made, path).map(|_| ()).map_err(failed)
}

pub(super) fn begin_durable(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut txn = database.begin_write()?;
    // Strangers choose the bytes: a torn commit must not be able to pass for a whole one. Quick repair keeps
    // the allocator's state in each commit, so that opening after a kill needs no walk over the file.
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Makes the tables of a new database, or checks the format of an old one.
pub(super) fn prepare(database: &Database, fresh: Incarnation) -> Result<Incarnation, StoreError> {
    if let Some(found) = incarnation_of(database)? {
        return Ok(found);
    }
    let txn = begin_durable(database)?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", &FORMAT.to_be_bytes()[..])?;
        meta.insert("incarnation", &fresh.as_bytes()[..])?;
        meta.insert("next_vault", &0u64.to_be_bytes()[..])?;
        txn.open_table(VAULTS)?;
        txn.open_table(STATEMENTS)?;
        txn.open_table(LOGS)?;
        txn.open_table(SEGMENTS)?;
        txn.open_table(CONTROL)?;
        txn.open_table(INDEX)?;
        txn.open_table(SHARES)?;
        txn.open_table(USES)?;
        txn.open_table(INVITES)?;
    }
    txn.commit()?;
    Ok(fresh)
}

fn incarnation_of(database: &Database) -> Result<Option<Incarnation>, StoreError> {
    let txn = database.begin_read()?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = meta.get("format")?.map_or(Ok(0), |value| number(value.value()))?;
    if found != FORMAT {
        return Err(StoreError::Format { found, known: FORMAT });
    }
    let damaged = StoreError::Damaged { what: "no incarnation" };
    let Some(value) = meta.get("incarnation")? else { return Err(damaged) };
    let bytes = value.value().try_into().map_err(|_| damaged)?;
    Ok(Some(Incarnation::from_bytes(bytes)))
}

pub(super) fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged { what: "a number" })
}
