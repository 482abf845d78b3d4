//! Many records at once, changed all together.

use subrosa_model::merge::{RecordId, Value};

use super::{Record, TxCollection};
use crate::error::Error;

/// One change of one record, for [`TxCollection::change_many`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecordChange {
    /// As [`TxCollection::insert`].
    Insert(Record),
    /// As [`TxCollection::put`].
    Put(RecordId, Record),
    /// As [`TxCollection::replace`].
    Replace(RecordId, Record),
    /// As [`TxCollection::delete`].
    Delete(RecordId),
    /// As [`TxCollection::import`].
    Import(RecordId, Record),
}

impl TxCollection<'_, Record> {
    /// Makes changes in their order: all of them, or, when one fails or `changes` has an error, none; the transaction
    /// goes on then without them. The ids are those of the changed records, in the order of the changes.
    ///
    /// # Errors
    /// As [`TxCollection::insert`]; what `changes` has.
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
                        RecordChange::Import(id, record) => {
                            set.import(self.name, &id, fields(record))?;
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
