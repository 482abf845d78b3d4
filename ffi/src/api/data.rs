//! What is done to the records of a collection: at once, in a transaction, or in a snapshot.

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use subrosa::{Error, Reading, Record, RecordChange, RecordId, RecordRef, TxCollection, Value};

use super::payload::{JsonPayload, Payload};
use super::rows::{
    Row, RowsWriter, SUBROSA_ROW_DELETE, SUBROSA_ROW_IMPORT, SUBROSA_ROW_INSERT, SUBROSA_ROW_PUT,
    check_writes, each_row, too_large,
};
use super::tx::{TxObject, Work, over};
use super::vault::CollectionObject;
use crate::failure::Failure;
use crate::status::{SUBROSA_READ_ONLY, SUBROSA_WRONG_DEVICE};

/// A collection, and the transaction in which it is used, if any.
pub(crate) struct Target {
    pub(crate) collection: Arc<CollectionObject>,
    pub(crate) tx: Option<Arc<TxObject>>,
}

impl Target {
    /// Refuses a transaction of another vault or device.
    pub(crate) fn new(collection: Arc<CollectionObject>, tx: Option<Arc<TxObject>>) -> Result<Self, Failure> {
        let this = Self { collection, tx };
        match &this.tx {
            Some(tx) if !tx.is_for(&this) => {
                Err(Failure::new(SUBROSA_WRONG_DEVICE, "the transaction is of another vault or device"))
            }
            _ => Ok(this),
        }
    }

    /// Adds the record that `make` makes.
    pub(crate) fn insert<T: Deref<Target = Record>>(
        &self,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<RecordId, Failure> {
        self.write(make, |collection, record| collection.insert(&record))
    }

    /// Sets the fields of the record that `make` makes, and leaves others.
    pub(crate) fn put<T: Deref<Target = Record>>(
        &self,
        id: RecordId,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.write(make, |collection, record| collection.put(id, &record))
    }

    /// As [`Self::put`], and removes others.
    pub(crate) fn replace<T: Deref<Target = Record>>(
        &self,
        id: RecordId,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.write(make, |collection, record| collection.replace(id, &record))
    }

    /// Says whether there was a record.
    pub(crate) fn delete(&self, id: RecordId) -> Result<bool, Failure> {
        self.write(|| Ok(()), |collection, ()| collection.delete(id))
    }

    /// Writes what `make` makes. Inside a transaction it is made while this thread has that; outside, before the turn to
    /// write comes.
    pub(crate) fn write<T, R>(
        &self,
        make: impl FnOnce() -> Result<T, Failure>,
        write: impl FnOnce(&mut TxCollection<'_, Record>, T) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        let collection = &self.collection.collection;
        let Some(tx) = &self.tx else {
            let made = make()?;
            let vault = &self.collection.vault.vault;
            return Ok(vault.write(|tx| write(&mut collection.in_tx(tx), made))?);
        };
        tx.with(|work| match work {
            Work::Write(transaction) => {
                let made = make()?;
                let written = write(&mut transaction.in_collection(collection), made);
                written.map_err(|error| tx.explain(error))
            }
            Work::Read(_) => Err(Failure::new(SUBROSA_READ_ONLY, "a write in a read transaction")),
            Work::Over => Err(over()),
        })
    }

    pub(crate) fn get(&self, id: RecordId) -> Result<Option<Record>, Failure> {
        self.read(|reading| reading.get(id))
    }

    /// One field of a record of any size.
    pub(crate) fn get_field(&self, id: RecordId, name: &str) -> Result<Option<Value>, Failure> {
        self.read(|reading| reading.get_field(id, name))
    }

    /// The names of at most `limit` fields behind the name `after`; `None` if there is no such record.
    pub(crate) fn field_names(
        &self,
        id: RecordId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<String>>, Failure> {
        let mut names = Vec::new();
        let found = self.read(|reading| {
            reading.see_fields(id, after, |field| {
                names.push(field.name().to_owned());
                if names.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })?;
        Ok(found.then_some(names))
    }

    /// Says whether there was such a field.
    pub(crate) fn delete_field(&self, id: RecordId, name: &str) -> Result<bool, Failure> {
        self.write(|| Ok(()), |collection, ()| collection.delete_field(id, name))
    }

    /// Reads them all.
    pub(crate) fn count(&self) -> Result<u64, Failure> {
        self.read(|reading| reading.len())
    }

    /// One row for each id, in their order.
    pub(crate) fn read_many<P: Payload>(&self, ids: &[RecordId]) -> Result<Vec<u8>, Failure> {
        let (mut rows, mut problem) = (RowsWriter::default(), None);
        self.read(|reading| {
            reading.show_many(ids, |id, record| {
                let pushed = push::<P>(&mut rows, id, record);
                problem = pushed.and_then(|fits| if fits { Ok(()) } else { Err(too_large()) }).err();
                if problem.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })?;
        problem.map_or_else(|| Ok(rows.finish()), Err)
    }

    /// Rows of the records behind `after`, at most `limit`; and whether more follow.
    pub(crate) fn page<P: Payload>(
        &self,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), Failure> {
        let (mut rows, mut count, mut end) = (RowsWriter::default(), 0, Ok(false));
        self.read(|reading| {
            reading.show_from(after, |record| {
                // The first one that is not in the page tells that more follow.
                let is_behind = count == limit;
                end = if is_behind {
                    Ok(true)
                } else {
                    push::<P>(&mut rows, record.id(), Some(record)).map(|fits| !fits)
                };
                count += 1;
                if matches!(end, Ok(false)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        })?;
        end.map(|more| (rows.finish(), more))
    }

    /// Writes rows: all of them, or none. The ids of their records, 16 bytes each.
    pub(crate) fn write_many(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let count = check_writes(bytes)?;
        let mut current = None;
        // What is wrong with a row's content, which the engine has no error for.
        let mut problem = None;
        let changes = each_row(bytes).map(|row| {
            current = Some(row);
            change(&row).map_err(|failure| {
                problem = Some(failure);
                Error::NotARecord
            })
        });
        let written = self.write(|| Ok(()), |collection, ()| collection.change_many(changes));
        match written {
            Ok(ids) => {
                let mut out = Vec::with_capacity(count * RecordId::LEN);
                ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
                Ok(out)
            }
            Err(failure) => {
                let failure = problem.unwrap_or(failure);
                Err(match current {
                    Some(row) => row.blame(failure),
                    None => failure,
                })
            }
        }
    }

    /// Reads the collection, now, in the transaction, or in the snapshot.
    fn read<R>(&self, read: impl FnOnce(Reading<'_, Record>) -> Result<R, Error>) -> Result<R, Failure> {
        let collection = &self.collection.collection;
        let Some(tx) = &self.tx else { return Ok(read(collection.reading())?) };
        tx.with(|work| {
            let done = match work {
                Work::Write(transaction) => read(transaction.in_collection(collection).reading()),
                Work::Read(snapshot) => read(snapshot.in_collection(collection).reading()),
                Work::Over => return Err(over()),
            };
            done.map_err(|error| tx.explain(error))
        })
    }
}

/// Adds the row of a record, in the format of `P`, or as JSON where that cannot hold it, or only with its id where it is too
/// large: the other rows of the page are not to be lost with it. Says whether there was room.
fn push<P: Payload>(
    rows: &mut RowsWriter,
    id: RecordId,
    record: Option<RecordRef<'_>>,
) -> Result<bool, Failure> {
    let Some(record) = record else { return rows.push(id, None::<&P>) };
    let payload = match record.decode::<P>() {
        Err(Error::RecordTooLarge { .. }) => return rows.push_too_large(id),
        decoded => decoded?,
    };
    if payload.bytes().is_some() {
        return rows.push(id, Some(&payload));
    }
    rows.push(id, Some(&record.decode::<JsonPayload>()?))
}

/// What a row says.
fn change(row: &Row<'_>) -> Result<RecordChange, Failure> {
    Ok(match row.op {
        SUBROSA_ROW_DELETE => RecordChange::Delete(row.id),
        SUBROSA_ROW_INSERT => RecordChange::Insert(row.record()?),
        SUBROSA_ROW_PUT => RecordChange::Put(row.id, row.record()?),
        SUBROSA_ROW_IMPORT => RecordChange::Import(row.id, row.record()?),
        _ => RecordChange::Replace(row.id, row.record()?),
    })
}

#[cfg(test)]
mod tests;
