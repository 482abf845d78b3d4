//! What can be read of a collection: now, inside a transaction, or as it was in a snapshot.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use subrosa_model::merge::RecordId;

use crate::error::Error;
use crate::records::{FieldRef, RecordReader, RecordRef, VisibleRecord, WriteSet};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;
use crate::vault::Vault;

/// Records read from the store at once by a scan.
const SCAN_PAGE: usize = 256;

/// What can be read of a collection, from [`Collection::reading`](crate::Collection::reading),
/// [`TxCollection::reading`](crate::TxCollection::reading) and
/// [`SnapshotCollection::reading`](crate::SnapshotCollection::reading), which have the same verbs for short: the records as
/// they are at the moment of each call, with what a transaction has done, or as they were. A cheap handle.
pub struct Reading<'r, T> {
    source: Source<'r>,
    name: &'r str,
    records: PhantomData<fn() -> T>,
}

/// Where a reading's records are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'r> {
    /// In the store, at the moment of each call.
    Now(&'r Vault),
    /// In a snapshot.
    Then(&'r Snapshot),
    /// In a closure's transaction.
    Call(&'r WriteSet),
    /// In a transaction in the caller's hands.
    Host(&'r Transaction),
    /// In another vault.
    Elsewhere,
}

impl<T> Clone for Reading<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Reading<'_, T> {}

impl<T> std::fmt::Debug for Reading<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl<'r, T: DeserializeOwned> Reading<'r, T> {
    pub(crate) const fn new(source: Source<'r>, name: &'r str) -> Self {
        Self { source, name, records: PhantomData }
    }

    /// One record.
    ///
    /// # Errors
    /// [`Error::Value`] when it does not have type `T`; [`Error::RecordTooLarge`] above 16 MiB, or 128 MiB once it is decoded, when its
    /// fields can be read one by one; [`Error::OtherVault`] when the transaction or snapshot is of another vault; [`Error::Store`].
    pub fn get(&self, id: RecordId) -> Result<Option<T>, Error> {
        self.with(|reader| reader.get(&id))?.map(|record| record.decode()).transpose()
    }

    /// One field of a record, of whatever type and size that has; `None` if there is no such record, or no such field in it.
    ///
    /// # Errors
    /// [`Error::Value`] when the field does not have type `F`; else as [`Reading::contains`].
    pub fn get_field<F: DeserializeOwned>(&self, id: RecordId, name: &str) -> Result<Option<F>, Error> {
        self.with(|reader| reader.show(&id, |record| record?.field(name).transpose())?.transpose())
    }

    /// Shows the fields of a record behind the name `after`, in the order of their names and from one snapshot, until `see` has
    /// seen enough; the record may be of any size. Says whether there is a record. Neither `see` nor the code of a type may
    /// call the device: parts of it wait for this call.
    ///
    /// # Errors
    /// As [`Reading::contains`].
    pub fn see_fields(
        &self,
        id: RecordId,
        after: Option<&str>,
        see: impl FnMut(FieldRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool, Error> {
        self.with(|reader| {
            let seen = reader.show(&id, |record| record.map(|record| record.see_fields(after, see)))?;
            Ok(seen.transpose()?.is_some())
        })
    }

    /// Whether there is a record, of whatever type.
    ///
    /// # Errors
    /// As [`Reading::get`], but for the type.
    pub fn contains(&self, id: RecordId) -> Result<bool, Error> {
        self.with(|reader| reader.contains(&id))
    }

    /// The records of some ids, in their order and from one snapshot; `None` where there is none.
    ///
    /// # Errors
    /// As [`Reading::get`], when any of them does not have type `T`.
    pub fn get_many(&self, ids: &[RecordId]) -> Result<Vec<Option<T>>, Error> {
        let found = self.with(|reader| reader.get_many(ids))?;
        found.iter().map(|record| record.as_ref().map(VisibleRecord::decode).transpose()).collect()
    }

    /// Up to `limit` records after the id `after`, in the order of their ids, from one snapshot. Where one record of
    /// another type is not to hide the others, there is [`Reading::show_from`].
    ///
    /// # Errors
    /// As [`Reading::get`], when any of them does not have type `T`.
    pub fn page(&self, after: Option<RecordId>, limit: usize) -> Result<Vec<(RecordId, T)>, Error> {
        let page = self.with(|reader| reader.page(after, limit))?;
        page.records.iter().map(|record| Ok((record.id(), record.decode()?))).collect()
    }

    /// How many records there are. Reads them all.
    ///
    /// # Errors
    /// As [`Reading::contains`].
    pub fn len(&self) -> Result<u64, Error> {
        self.with(|reader| reader.count())
    }

    /// Whether there is no record.
    ///
    /// # Errors
    /// As [`Reading::contains`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.with(|reader| reader.is_empty())
    }

    /// Shows the records of some ids, in their order and from one snapshot, until `see` has seen enough; `None` where
    /// there is none. Nothing is held in memory but the record that is shown. Neither `see` nor the code of `T` may
    /// call the device: parts of it wait for this call.
    ///
    /// # Errors
    /// As [`Reading::get`], for the first record that does not have type `T`.
    pub fn see_many(
        &self,
        ids: &[RecordId],
        mut see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|reader| {
            reader.show_many(ids, |_, record| Ok(see(record.map(|record| record.decode()).transpose()?)))
        })
    }

    /// Shows the records after the id `after`, in the order of their ids and from one snapshot, until `see` has seen
    /// enough. As [`Reading::see_many`] otherwise.
    ///
    /// # Errors
    /// As there.
    pub fn see_from(
        &self,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|reader| reader.show_from(after, |record| Ok(see(record.id(), record.decode()?))))
    }

    /// As [`Reading::see_many`], for whoever decodes each record himself: what is wrong with one does not end it.
    ///
    /// # Errors
    /// As [`Reading::contains`].
    pub fn show_many(
        &self,
        ids: &[RecordId],
        mut see: impl FnMut(RecordId, Option<RecordRef<'_>>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|reader| reader.show_many(ids, |id, record| Ok(see(id, record))))
    }

    /// As [`Reading::see_from`], for whoever decodes each record himself: what is wrong with one does not end it.
    ///
    /// # Errors
    /// As [`Reading::contains`].
    pub fn show_from(
        &self,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.with(|reader| reader.show_from(after, |record| Ok(see(record))))
    }

    /// All records in the order of their ids, read in parts. A record that does not have type `T` is an error in its
    /// place, and the scan goes on after it.
    pub fn scan(self) -> impl Iterator<Item = Result<(RecordId, T), Error>> + use<'r, T> {
        let mut pages = Pages::default();
        std::iter::from_fn(move || pages.next_record(&self))
    }

    /// Runs `f` on the records.
    fn with<R>(&self, f: impl FnOnce(RecordReader<'_>) -> Result<R, Error>) -> Result<R, Error> {
        match self.source {
            Source::Now(vault) => {
                vault.core.with_view(vault.number, |view| f(RecordReader::new(view, self.name)))
            }
            Source::Then(snapshot) => snapshot.with(|view| f(RecordReader::new(view, self.name))),
            Source::Call(set) => f(set.reader(self.name)),
            Source::Host(transaction) => transaction.with(|set| f(set.reader(self.name))),
            Source::Elsewhere => Err(Error::OtherVault),
        }
    }
}

/// Records read page by page, handed out one by one.
#[derive(Default)]
pub(crate) struct Pages {
    page: VecDeque<VisibleRecord>,
    after: Option<RecordId>,
    over: bool,
}

impl Pages {
    /// The next record, from `reading` when none is left over; nothing more after an error of that.
    pub(crate) fn next_record<T: DeserializeOwned>(
        &mut self,
        reading: &Reading<'_, T>,
    ) -> Option<Result<(RecordId, T), Error>> {
        while self.page.is_empty() && !self.over {
            match reading.with(|reader| reader.page(self.after, SCAN_PAGE)) {
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
        Some(record.decode().map(|decoded| (record.id(), decoded)))
    }
}

/// The verbs of [`Reading`] for short, on what has a method `reading`.
macro_rules! reading_verbs {
    () => {
        /// As [`Reading::get`].
        ///
        /// # Errors
        /// As there.
        pub fn get(&self, id: RecordId) -> Result<Option<T>, Error> {
            self.reading().get(id)
        }

        /// As [`Reading::get_field`].
        ///
        /// # Errors
        /// As there.
        pub fn get_field<F: DeserializeOwned>(&self, id: RecordId, name: &str) -> Result<Option<F>, Error> {
            self.reading().get_field(id, name)
        }

        /// As [`Reading::see_fields`].
        ///
        /// # Errors
        /// As there.
        pub fn see_fields(
            &self,
            id: RecordId,
            after: Option<&str>,
            see: impl FnMut(FieldRef<'_>) -> ControlFlow<()>,
        ) -> Result<bool, Error> {
            self.reading().see_fields(id, after, see)
        }

        /// As [`Reading::contains`].
        ///
        /// # Errors
        /// As there.
        pub fn contains(&self, id: RecordId) -> Result<bool, Error> {
            self.reading().contains(id)
        }

        /// As [`Reading::get_many`].
        ///
        /// # Errors
        /// As there.
        pub fn get_many(&self, ids: &[RecordId]) -> Result<Vec<Option<T>>, Error> {
            self.reading().get_many(ids)
        }

        /// As [`Reading::page`].
        ///
        /// # Errors
        /// As there.
        pub fn page(&self, after: Option<RecordId>, limit: usize) -> Result<Vec<(RecordId, T)>, Error> {
            self.reading().page(after, limit)
        }

        /// As [`Reading::len`].
        ///
        /// # Errors
        /// As there.
        pub fn len(&self) -> Result<u64, Error> {
            self.reading().len()
        }

        /// As [`Reading::is_empty`].
        ///
        /// # Errors
        /// As there.
        pub fn is_empty(&self) -> Result<bool, Error> {
            self.reading().is_empty()
        }

        /// As [`Reading::see_many`].
        ///
        /// # Errors
        /// As there.
        pub fn see_many(
            &self,
            ids: &[RecordId],
            see: impl FnMut(Option<T>) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            self.reading().see_many(ids, see)
        }

        /// As [`Reading::see_from`].
        ///
        /// # Errors
        /// As there.
        pub fn see_from(
            &self,
            after: Option<RecordId>,
            see: impl FnMut(RecordId, T) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            self.reading().see_from(after, see)
        }

        /// As [`Reading::show_many`].
        ///
        /// # Errors
        /// As there.
        pub fn show_many(
            &self,
            ids: &[RecordId],
            see: impl FnMut(RecordId, Option<RecordRef<'_>>) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            self.reading().show_many(ids, see)
        }

        /// As [`Reading::show_from`].
        ///
        /// # Errors
        /// As there.
        pub fn show_from(
            &self,
            after: Option<RecordId>,
            see: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            self.reading().show_from(after, see)
        }
    };
}

pub(crate) use reading_verbs;
