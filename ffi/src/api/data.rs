//! What is done to the records of a collection: at once, in a transaction, or in a snapshot.

use std::ops::Deref;
use std::sync::Arc;

use subrosa::{Error, Record, RecordId, TxCollection};

use super::tx::{TxObject, Work, over};
use super::vault::CollectionObject;
use crate::failure::Failure;
use crate::status::{SUBROSA_READ_ONLY, SUBROSA_WRONG_DEVICE};

/// A collection, and the transaction in which it is used, if any.
pub(crate) struct Target {
    pub(crate) collection: Arc<CollectionObject>,
    pub(crate) tx: Option<Arc<TxObject>>,
}

/// Records that are counted at once.
const COUNT_PAGE: usize = 1024;

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
        self.write(make, |collection, record| collection.insert(record))
    }

    /// Sets the fields of the record that `make` makes, and leaves others.
    pub(crate) fn put<T: Deref<Target = Record>>(
        &self,
        id: RecordId,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.write(make, |collection, record| collection.put(id, record))
    }

    /// As [`Self::put`], and removes others.
    pub(crate) fn replace<T: Deref<Target = Record>>(
        &self,
        id: RecordId,
        make: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        self.write(make, |collection, record| collection.replace(id, record))
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
        write: impl FnOnce(&mut TxCollection<'_, Record>, &T) -> Result<R, Error>,
    ) -> Result<R, Failure> {
        let collection = &self.collection.collection;
        let Some(tx) = &self.tx else {
            let made = make()?;
            let vault = &self.collection.vault.vault;
            return Ok(vault.write(|tx| write(&mut collection.in_tx(tx), &made))?);
        };
        tx.with(|work| match work {
            Work::Write(transaction) => {
                let made = make()?;
                let written = write(&mut transaction.in_collection(collection), &made);
                written.map_err(|error| tx.explain(error))
            }
            Work::Read(_) => Err(Failure::new(SUBROSA_READ_ONLY, "a write in a read transaction")),
            Work::Over => Err(over()),
        })
    }

    pub(crate) fn get(&self, id: RecordId) -> Result<Option<Record>, Failure> {
        let collection = &self.collection.collection;
        let Some(tx) = &self.tx else { return Ok(collection.get(id)?) };
        tx.with(|work| {
            let got = match work {
                Work::Write(transaction) => transaction.in_collection(collection).get(id),
                Work::Read(snapshot) => snapshot.in_collection(collection).get(id),
                Work::Over => return Err(over()),
            };
            got.map_err(|error| tx.explain(error))
        })
    }

    /// Reads them all.
    pub(crate) fn count(&self) -> Result<u64, Failure> {
        let collection = &self.collection.collection;
        let Some(tx) = &self.tx else { return Ok(collection.len()?) };
        tx.with(|work| {
            let counted = match work {
                Work::Write(transaction) => count_pages(&mut transaction.in_collection(collection)),
                Work::Read(snapshot) => snapshot.in_collection(collection).len(),
                Work::Over => return Err(over()),
            };
            counted.map_err(|error| tx.explain(error))
        })
    }
}

fn count_pages(collection: &mut TxCollection<'_, Record>) -> Result<u64, Error> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = collection.page(after, COUNT_PAGE)?;
        count += page.len() as u64;
        after = page.last().map(|(id, _)| *id);
        if page.len() < COUNT_PAGE {
            return Ok(count);
        }
    }
}
