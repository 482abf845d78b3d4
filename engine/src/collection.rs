//! Collections: records of named fields, typed or as they are.

mod many;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use many::RecordChange;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subrosa_model::merge::{RecordId, Value};

use crate::error::Error;
use crate::reading::{Pages, Reading, Source, reading_verbs};
use crate::records::watch::Changes;
use crate::records::{FieldRef, RecordRef, WriteSet};
use crate::transaction::Transaction;
use crate::vault::{Vault, WriteTx};

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

    /// Deletes one field of a record, of whatever type and size that has; says whether there was one. The record stays, also
    /// without any field.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn delete_field(&self, id: RecordId, name: &str) -> Result<bool, Error> {
        self.vault.write(|tx| self.in_tx(tx).delete_field(id, name))
    }

    /// As [`Collection::put`], for records that were exported: what a local write may not add, more than 1,024 fields, two
    /// devices may have added, and what was read can be written again.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn import(&self, id: RecordId, record: &T) -> Result<(), Error> {
        self.vault.write(|tx| self.in_tx(tx).import(id, record))
    }

    /// Adds records under new ids, in one transaction: all of them, or none. The ids are in the order of the records.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn insert_many(&self, records: &[T]) -> Result<Vec<RecordId>, Error> {
        self.vault.write(|tx| self.in_tx(tx).insert_many(records))
    }

    /// What can be read of it, as it is at the moment of each call.
    #[must_use]
    pub fn reading(&self) -> Reading<'_, T> {
        Reading::new(Source::Now(&self.vault), &self.name)
    }

    reading_verbs!();

    /// All records in the order of their ids, read in parts: each part is a snapshot, the whole is not (that is
    /// [`Vault::snapshot`]). A record that does not have type `T` is an error in its place, and the scan goes on
    /// after it.
    #[must_use]
    pub fn scan(&self) -> Scan<T> {
        Scan { collection: self.clone(), pages: Pages::default() }
    }

    /// Everything that changes in this collection from now on, by this device or another.
    #[must_use]
    pub fn watch(&self) -> Changes {
        self.vault.core.watchers.watch(self.vault.id(), Some(&self.name))
    }

    /// The same collection inside a write transaction. With one of another vault every call answers
    /// [`Error::OtherVault`].
    pub fn in_tx<'c>(&'c self, tx: &'c mut WriteTx) -> TxCollection<'c, T> {
        let same = tx.vault == self.vault.number && Arc::ptr_eq(&tx.core, &self.vault.core);
        let ops = if same { Ops::Call(&mut tx.set) } else { Ops::Elsewhere };
        TxCollection { ops, name: &self.name, records: PhantomData }
    }

    /// Whether it belongs to this vault of this open device.
    pub(crate) fn is_of(&self, vault: &Vault) -> bool {
        vault.number == self.vault.number && Arc::ptr_eq(&vault.core, &self.vault.core)
    }
}

/// A collection inside a write transaction; it sees what the transaction has done. A call that fails has no effect
/// and leaves the transaction as it was.
pub struct TxCollection<'c, T> {
    ops: Ops<'c>,
    name: &'c str,
    records: PhantomData<fn() -> T>,
}

/// Where a transaction's ops are.
enum Ops<'c> {
    /// In a closure.
    Call(&'c mut WriteSet),
    /// In the caller's hands.
    Host(&'c Transaction),
    /// In another vault.
    Elsewhere,
}

impl Ops<'_> {
    fn with<R>(&mut self, f: impl FnOnce(&mut WriteSet) -> Result<R, Error>) -> Result<R, Error> {
        match self {
            Self::Call(set) => f(set),
            Self::Host(transaction) => transaction.with(f),
            Self::Elsewhere => Err(Error::OtherVault),
        }
    }
}

impl<T> std::fmt::Debug for TxCollection<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxCollection").finish_non_exhaustive()
    }
}

impl<'c, T: Serialize + DeserializeOwned> TxCollection<'c, T> {
    pub(crate) fn of_transaction(transaction: &'c Transaction, collection: &'c Collection<T>) -> Self {
        let same = collection.is_of(transaction.vault());
        let ops = if same { Ops::Host(transaction) } else { Ops::Elsewhere };
        Self { ops, name: &collection.name, records: PhantomData }
    }

    /// As [`Collection::insert`].
    ///
    /// # Errors
    /// As there.
    pub fn insert(&mut self, record: &T) -> Result<RecordId, Error> {
        let fields = to_fields(record)?;
        self.ops.with(|set| {
            let id = set.new_id();
            set.put(self.name, &id, fields)?;
            Ok(id)
        })
    }

    /// Adds records under new ids: all of them, or, when one does not fit, none; the transaction goes on then.
    ///
    /// # Errors
    /// As [`Collection::insert`].
    pub fn insert_many(&mut self, records: &[T]) -> Result<Vec<RecordId>, Error> {
        let fields = records.iter().map(to_fields).collect::<Result<Vec<_>, Error>>()?;
        self.ops.with(|set| {
            set.all_or_nothing(|set| {
                let insert = |fields| {
                    let id = set.new_id();
                    set.put(self.name, &id, fields)?;
                    Ok(id)
                };
                fields.into_iter().map(insert).collect()
            })
        })
    }

    /// As [`Collection::put`].
    ///
    /// # Errors
    /// As there.
    pub fn put(&mut self, id: RecordId, record: &T) -> Result<(), Error> {
        let fields = to_fields(record)?;
        self.ops.with(|set| set.put(self.name, &id, fields))
    }

    /// As [`Collection::replace`].
    ///
    /// # Errors
    /// As there.
    pub fn replace(&mut self, id: RecordId, record: &T) -> Result<(), Error> {
        let fields = to_fields(record)?;
        self.ops.with(|set| set.replace(self.name, &id, fields))
    }

    /// As [`Collection::update`].
    ///
    /// # Errors
    /// As there.
    pub fn update(&mut self, id: RecordId, change: impl FnOnce(&mut T)) -> Result<bool, Error> {
        let Some(mut record) = self.reading().get(id)? else { return Ok(false) };
        let before: BTreeMap<String, Value> = to_fields(&record)?.into_iter().collect();
        change(&mut record);
        let after = to_fields(&record)?;
        let unset: Vec<String> =
            before.keys().filter(|name| !after.iter().any(|(field, _)| field == *name)).cloned().collect();
        let set: Vec<_> = after.into_iter().filter(|(name, value)| before.get(name) != Some(value)).collect();
        if !set.is_empty() || !unset.is_empty() {
            self.ops.with(|ops| ops.set(self.name, &id, set, &unset))?;
        }
        Ok(true)
    }

    /// As [`Collection::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(&mut self, id: RecordId) -> Result<bool, Error> {
        self.ops.with(|set| set.delete(self.name, &id))
    }

    /// As [`Collection::delete_field`].
    ///
    /// # Errors
    /// As there.
    pub fn delete_field(&mut self, id: RecordId, name: &str) -> Result<bool, Error> {
        self.ops.with(|set| set.delete_field(self.name, &id, name))
    }

    /// As [`Collection::import`].
    ///
    /// # Errors
    /// As there.
    pub fn import(&mut self, id: RecordId, record: &T) -> Result<(), Error> {
        let fields = to_fields(record)?;
        self.ops.with(|set| set.import(self.name, &id, fields))
    }

    /// What can be read of it, with what this transaction has done.
    #[must_use]
    pub fn reading(&self) -> Reading<'_, T> {
        let source = match &self.ops {
            Ops::Call(set) => Source::Call(set),
            Ops::Host(transaction) => Source::Host(transaction),
            Ops::Elsewhere => Source::Elsewhere,
        };
        Reading::new(source, self.name)
    }

    reading_verbs!();
}

/// A scan; see [`Collection::scan`].
pub struct Scan<T> {
    collection: Collection<T>,
    pages: Pages,
}

impl<T> std::fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> Iterator for Scan<T> {
    type Item = Result<(RecordId, T), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { collection, pages } = self;
        pages.next_record(&collection.reading())
    }
}

fn to_fields<T: Serialize>(record: &T) -> Result<Vec<(String, Value)>, Error> {
    match Value::from_serde(record)? {
        Value::Map(fields) => Ok(fields.into_iter().collect()),
        _ => Err(Error::NotARecord),
    }
}
