//! Collections: records of named fields, typed or as they are.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::core::{Changes, VisibleRecord};
use crate::merge::{RecordId, Value};
use crate::vault::{Vault, WriteTx};

/// Records read from the store at once by a scan.
const SCAN_PAGE: usize = 256;

/// The fields of a record by name: what a collection holds for callers without a type of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(pub BTreeMap<String, Value>);

/// A collection of records of type `T`, which serializes to a struct or a map: each member is a field, merged on its
/// own; what lies deeper is one value. A cheap handle.
pub struct Collection<T> {
    vault: Vault,
    name: String,
    records: PhantomData<fn() -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self { vault: self.vault.clone(), name: self.name.clone(), records: PhantomData }
    }
}

impl<T> std::fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection").field("vault", &self.vault.id()).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    pub(crate) fn new(vault: Vault, name: &str) -> Self {
        Self { vault, name: name.to_owned(), records: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a record under a new id, which sorts after those made before.
    ///
    /// # Errors
    /// [`Error::NotARecord`], [`Error::Value`], [`Error::Op`], [`Error::Store`]; nothing has happened then.
    pub fn insert(&self, record: &T) -> Result<RecordId, Error> {
        self.vault.write(|tx| self.in_tx(tx).insert(record))
    }

    /// Sets the fields of `record` and leaves others that the record has.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn put(&self, id: RecordId, record: &T) -> Result<(), Error> {
        self.vault.write(|tx| self.in_tx(tx).put(id, record))
    }

    /// Sets the fields of `record` and removes all others.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn replace(&self, id: RecordId, record: &T) -> Result<(), Error> {
        self.vault.write(|tx| self.in_tx(tx).replace(id, record))
    }

    /// Changes a record in place and writes the fields that differ afterwards. Says whether there was a record.
    ///
    /// # Errors
    /// As [`Collection::insert`], and [`Error::Value`] when the record does not have type `T`.
    pub fn update(&self, id: RecordId, change: impl FnOnce(&mut T)) -> Result<bool, Error> {
        self.vault.write(|tx| self.in_tx(tx).update(id, change))
    }

    /// Deletes a record; says whether there was one. An edit made elsewhere without knowing of it brings the record
    /// back.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn delete(&self, id: RecordId) -> Result<bool, Error> {
        self.vault.write(|tx| self.in_tx(tx).delete(id))
    }

    /// One record.
    ///
    /// # Errors
    /// [`Error::Value`] when it does not have type `T`; [`Error::Store`].
    pub fn get(&self, id: RecordId) -> Result<Option<T>, Error> {
        let fields = self.vault.core.get(self.vault.number, &self.name, &id)?;
        fields.map(from_fields).transpose()
    }

    /// All records in the order of their ids, read in parts: each part is a snapshot, the whole is not. A record
    /// that does not have type `T` is an error in its place, and the scan goes on after it.
    #[must_use]
    pub fn scan(&self) -> Scan<T> {
        Scan { collection: self.clone(), page: VecDeque::new(), after: None, over: false }
    }

    /// Up to `limit` records after the id `after`, in the order of their ids, from one snapshot.
    ///
    /// # Errors
    /// As [`Collection::get`].
    pub fn page(&self, after: Option<RecordId>, limit: usize) -> Result<Vec<(RecordId, T)>, Error> {
        let page = self.vault.core.page(self.vault.number, &self.name, after, limit)?;
        page.records.into_iter().map(|record| Ok((record.id, from_fields(record.fields)?))).collect()
    }

    /// How many records there are. Reads them all.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn len(&self) -> Result<u64, Error> {
        self.vault.core.count(self.vault.number, &self.name)
    }

    /// Whether there is no record.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.vault.core.page(self.vault.number, &self.name, None, 1)?.records.is_empty())
    }

    /// Everything that changes in this collection from now on, by this device or another.
    #[must_use]
    pub fn watch(&self) -> Changes {
        self.vault.core.watchers.watch(self.vault.id(), Some(&self.name))
    }

    /// The same collection inside a write transaction.
    pub fn in_tx<'c, 'x, 't>(&'c self, tx: &'c mut WriteTx<'x, 't>) -> TxCollection<'c, 'x, 't, T> {
        TxCollection { tx, name: &self.name, records: PhantomData }
    }
}

/// A collection inside a write transaction; it sees what the transaction has done.
pub struct TxCollection<'c, 'x, 't, T> {
    tx: &'c mut WriteTx<'x, 't>,
    name: &'c str,
    records: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for TxCollection<'_, '_, '_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxCollection").finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> TxCollection<'_, '_, '_, T> {
    /// As [`Collection::insert`].
    ///
    /// # Errors
    /// As there.
    pub fn insert(&mut self, record: &T) -> Result<RecordId, Error> {
        let id = self.tx.ops.new_id();
        self.put(id, record)?;
        Ok(id)
    }

    /// As [`Collection::put`].
    ///
    /// # Errors
    /// As there.
    pub fn put(&mut self, id: RecordId, record: &T) -> Result<(), Error> {
        self.tx.ops.put(self.name, &id, to_fields(record)?)
    }

    /// As [`Collection::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace(&mut self, id: RecordId, record: &T) -> Result<(), Error> {
        self.tx.ops.replace(self.name, &id, to_fields(record)?)
    }

    /// As [`Collection::update`].
    ///
    /// # Errors
    /// As there.
    pub fn update(&mut self, id: RecordId, change: impl FnOnce(&mut T)) -> Result<bool, Error> {
        let Some(fields) = self.tx.ops.get(self.name, &id)? else { return Ok(false) };
        let mut record: T = from_fields(fields)?;
        let before: BTreeMap<String, Value> = to_fields(&record)?.into_iter().collect();
        change(&mut record);
        let after = to_fields(&record)?;
        let unset: Vec<String> =
            before.keys().filter(|name| !after.iter().any(|(field, _)| field == *name)).cloned().collect();
        let set: Vec<_> = after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
        if !set.is_empty() || !unset.is_empty() {
            self.tx.ops.set(self.name, &id, set, &unset)?;
        }
        Ok(true)
    }

    /// As [`Collection::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(&mut self, id: RecordId) -> Result<bool, Error> {
        self.tx.ops.delete(self.name, &id)
    }

    /// As [`Collection::get`], with what this transaction has done.
    ///
    /// # Errors
    /// As there.
    pub fn get(&mut self, id: RecordId) -> Result<Option<T>, Error> {
        self.tx.ops.get(self.name, &id)?.map(from_fields).transpose()
    }
}

/// A scan; see [`Collection::scan`].
pub struct Scan<T> {
    collection: Collection<T>,
    page: VecDeque<VisibleRecord>,
    after: Option<RecordId>,
    over: bool,
}

impl<T> std::fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> Iterator for Scan<T> {
    type Item = Result<(RecordId, T), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() && !self.over {
            let vault = &self.collection.vault;
            match vault.core.page(vault.number, &self.collection.name, self.after, SCAN_PAGE) {
                Ok(page) => {
                    self.over = page.next.is_none();
                    self.after = page.next;
                    self.page.extend(page.records);
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        let record = self.page.pop_front()?;
        Some(from_fields(record.fields).map(|fields| (record.id, fields)))
    }
}

fn to_fields<T: Serialize>(record: &T) -> Result<Vec<(String, Value)>, Error> {
    match Value::from_serde(record)? {
        Value::Map(fields) => Ok(fields.into_iter().collect()),
        _ => Err(Error::NotARecord),
    }
}

fn from_fields<T: DeserializeOwned>(fields: BTreeMap<String, Value>) -> Result<T, Error> {
    Ok(Value::Map(fields).into_serde()?)
}
