//! Many records at once: shown one after the other without being collected, changed all together.

use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Collection, Record, TxCollection};
use crate::Error;
use crate::merge::{RecordId, Value};
use crate::snapshot::SnapshotCollection;

/// One change of one record, for [`TxCollection::change_many`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecordChange {
    /// As [`Collection::insert`].
    Insert(Record),
    /// As [`Collection::put`].
    Put(RecordId, Record),
    /// As [`Collection::replace`].
    Replace(RecordId, Record),
    /// As [`Collection::delete`].
    Delete(RecordId),
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    /// Shows the records of some ids, in their order and from one snapshot, until `see` has seen enough; `None` where
    /// there is none. Nothing is held in memory but the record that is shown. Neither `see` nor the code of `T` may
    /// call the device: parts of it wait for this call.
    ///
    /// # Errors
    /// As [`Collection::get`], for the first record that does not have type `T`.
    pub fn see_many(
        &self,
        ids: &[RecordId],
        see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.vault.core.with_view(|view| view.see_many(self.vault.number, &self.name, ids, see))
    }

    /// Shows the records after the id `after`, in the order of their ids and from one snapshot, until `see` has seen
    /// enough. As [`Collection::see_many`] otherwise.
    ///
    /// # Errors
    /// As there.
    pub fn see_from(
        &self,
        after: Option<RecordId>,
        see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.vault.core.with_view(|view| view.see_from(self.vault.number, &self.name, after, see))
    }
}

impl<T: Serialize + DeserializeOwned> SnapshotCollection<'_, T> {
    /// As [`Collection::see_many`].
    ///
    /// # Errors
    /// As there.
    pub fn see_many(
        &self,
        ids: &[RecordId],
        see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|view, vault, name| view.see_many(vault, name, ids, see))
    }

    /// As [`Collection::see_from`].
    ///
    /// # Errors
    /// As there.
    pub fn see_from(
        &self,
        after: Option<RecordId>,
        see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|view, vault, name| view.see_from(vault, name, after, see))
    }
}

impl<T: Serialize + DeserializeOwned> TxCollection<'_, T> {
    /// As [`Collection::see_many`], with what this transaction has done.
    ///
    /// # Errors
    /// As there.
    pub fn see_many(
        &mut self,
        ids: &[RecordId],
        see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.ops.with(|set| set.see_many(self.name, ids, see))
    }

    /// As [`Collection::see_from`], with what this transaction has done.
    ///
    /// # Errors
    /// As there.
    pub fn see_from(
        &mut self,
        after: Option<RecordId>,
        see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.ops.with(|set| set.see_from(self.name, after, see))
    }
}

impl TxCollection<'_, Record> {
    /// Makes changes in their order: all of them, or, when one fails or `changes` has an error, none; the transaction
    /// goes on then without them. The ids are those of the changed records, in the order of the changes.
    ///
    /// # Errors
    /// As [`Collection::insert`]; what `changes` has.
    pub fn change_many(
        &mut self,
        changes: impl IntoIterator<Item = Result<RecordChange, Error>>,
    ) -> Result<Vec<RecordId>, Error> {
        let fields = |record: Record| -> Vec<(String, Value)> { record.0.into_iter().collect() };
        self.ops.with(|set| {
            set.all_or_nothing(|set| {
                let change = |change| {
                    Ok(match change? {
                        RecordChange::Insert(record) => {
                            let id = set.new_id();
                            set.put(self.name, &id, fields(record))?;
                            id
                        }
                        RecordChange::Put(id, record) => {
                            set.put(self.name, &id, fields(record))?;
                            id
                        }
                        RecordChange::Replace(id, record) => {
                            set.replace(self.name, &id, fields(record))?;
                            id
                        }
                        RecordChange::Delete(id) => {
                            set.delete(self.name, &id)?;
                            id
                        }
                    })
                };
                changes.into_iter().map(change).collect()
            })
        })
    }
}
