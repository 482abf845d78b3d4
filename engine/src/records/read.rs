//! The one way to read rows: what can be asked of a collection, at any moment and of any source of rows.
//!
//! A source ([`Rows`]) has rows by key and in order, and names; there are two: a snapshot ([`VaultView`]) and a write in
//! progress over one ([`super::WriteSet`]). What can be asked ([`RecordReader`]) is written once, above both. A record that is
//! handed out is decoded with no lock held, since the types of the caller have code of their own; one that is only shown
//! ([`RecordRef`]) is decoded where it lies.

use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use subrosa_model::merge::{
    CapsOf, FieldsDeserializer, LogOrder, LogTable, RecordId, Row, RowBuf, VALUE_MEMORY_PER_BYTE, ValueRef,
};
use subrosa_protocol::limits;
use subrosa_store::keys::{CollectionNo, RecordKey, VaultNo};
use subrosa_store::records::{KeyRange, RecordsView, StoredRow, StoredRows};

use super::{decode_state, is_visible};
use crate::error::Error;
use crate::memory::passing;
use crate::memory::state::Shared;

/// The rows of one vault at one moment.
pub(crate) trait Rows {
    /// What the rows' numbers stand for.
    fn names(&self) -> &Names;

    /// By which caps of logs a record is read.
    fn caps_of(&self, key: &RecordKey) -> CapsOf;

    /// The number of a collection.
    fn number(&self, collection: &str) -> Option<CollectionNo>;

    /// One row.
    fn row(&self, key: &RecordKey) -> Result<Option<HeldRow<'_>>, Error>;

    /// The rows of a range, visible or not, in the order of their keys.
    fn rows(&self, range: KeyRange) -> Result<RowIter<'_>, Error>;
}

/// What the numbers in the rows of a vault stand for.
#[derive(Clone)]
pub(crate) struct Names {
    shared: Arc<Shared>,
    vault: VaultNo,
}

impl Names {
    pub(crate) const fn new(shared: Arc<Shared>, vault: VaultNo) -> Self {
        Self { shared, vault }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) const fn vault(&self) -> VaultNo {
        self.vault
    }

    pub(crate) fn logs(&self) -> &LogTable {
        &self.shared.logs
    }
}

/// A row where its source has it.
pub(crate) enum HeldRow<'r> {
    Stored(StoredRow<'r>),
    Written(Row<'r>),
}

impl HeldRow<'_> {
    pub(crate) fn row(&self) -> Row<'_> {
        match self {
            Self::Stored(stored) => stored.row(),
            Self::Written(row) => *row,
        }
    }
}

/// The rows of a range: those of the store, and in their place, or between them, those that a write has made.
pub(crate) struct RowIter<'r> {
    stored: Peekable<StoredRows<'static>>,
    written: Option<Peekable<WrittenRows<'r>>>,
}

/// Rows that a write has made, in the order of their keys.
pub(crate) type WrittenRows<'r> = Box<dyn Iterator<Item = (RecordKey, Row<'r>)> + 'r>;

impl<'r> RowIter<'r> {
    pub(crate) fn new(stored: StoredRows<'static>, written: Option<WrittenRows<'r>>) -> Self {
        Self { stored: stored.peekable(), written: written.map(Iterator::peekable) }
    }
}

impl<'r> Iterator for RowIter<'r> {
    type Item = Result<(RecordKey, HeldRow<'r>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(written) = &mut self.written {
            let stored = self.stored.peek().map(|row| row.as_ref().ok().map(|(key, _)| *key));
            let is_next = |theirs: RecordKey| match stored {
                Some(Some(key)) => theirs <= key,
                // What cannot be read ends the reading.
                Some(None) => false,
                None => true,
            };
            if let Some((key, row)) = written.next_if(|(key, _)| is_next(*key)) {
                if stored == Some(Some(key)) {
                    self.stored.next();
                }
                return Some(Ok((key, HeldRow::Written(row))));
            }
        }
        let row = self.stored.next()?;
        Some(row.map(|(key, row)| (key, HeldRow::Stored(row))).map_err(Error::from))
    }
}

/// A record where it lies, for as long as it is shown: see [`Reading::show_from`](crate::Reading::show_from). It may be
/// decoded as often as wanted, into different types; when one fails, the others and the records behind it are not
/// concerned.
pub struct RecordRef<'r> {
    id: RecordId,
    row: Row<'r>,
    names: &'r Names,
    caps: CapsOf,
}

impl RecordRef<'_> {
    /// The order of ops by which its fields have their values.
    fn order(&self) -> LogOrder<'_> {
        self.names.logs().order(self.caps)
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// The record as the caller wants it.
    ///
    /// # Errors
    /// [`Error::Value`] when it does not have type `T`; [`Error::RecordTooLarge`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.check_size()?;
        let state = decode_state(Some(self.row))?;
        Ok(T::deserialize(FieldsDeserializer::new(state.visible_fields(self.order())))?)
    }

    /// How large it is: its fields' names and encoded values. It is read whole up to 16 MiB, and up to 128 MiB in memory.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn bytes(&self) -> Result<usize, Error> {
        let state = decode_state(Some(self.row))?;
        let fields = state.visible_fields(self.order());
        Ok(fields.map(|(name, value)| FieldRef { name, value }.bytes()).sum())
    }

    /// Shows its fields behind the name `after`, in the order of their names, until `see` has seen enough: of a record of any
    /// size.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn see_fields(
        &self,
        after: Option<&str>,
        mut see: impl FnMut(FieldRef<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let state = decode_state(Some(self.row))?;
        for (name, value) in state.visible_fields(self.order()) {
            if after.is_none_or(|after| after < name) && see(FieldRef { name, value }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether it has a field.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn has_field(&self, name: &str) -> Result<bool, Error> {
        let state = decode_state(Some(self.row))?;
        Ok(state.visible_fields(self.order()).any(|(field, _)| field == name))
    }

    /// One field as the caller wants it, of a record of any size; `None` if there is no such field.
    ///
    /// # Errors
    /// [`Error::Value`] when it does not have type `F`.
    pub fn field<F: DeserializeOwned>(&self, name: &str) -> Result<Option<F>, Error> {
        let state = decode_state(Some(self.row))?;
        let found = state.visible_fields(self.order()).find(|(field, _)| *field == name);
        found.map(|(name, value)| FieldRef { name, value }.decode()).transpose()
    }

    /// Whether it may be read whole. What is seen of a record is no larger than its row.
    fn check_size(&self) -> Result<(), Error> {
        let row = self.row.as_bytes().len();
        let limit = limits::RECORD_READ_BYTES_MAX;
        if row > limit {
            let bytes = self.bytes()?;
            if bytes > limit {
                return Err(Error::RecordTooLarge { bytes, limit });
            }
        }
        // Hardly any record could take as much, whatever its values are.
        let limit = limits::RECORD_READ_MEMORY_MAX;
        if row <= limit / VALUE_MEMORY_PER_BYTE {
            return Ok(());
        }
        let bytes = self.memory()?;
        if bytes > limit { Err(Error::RecordTooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// About how many bytes its fields take once they are decoded.
    fn memory(&self) -> Result<usize, Error> {
        let state = decode_state(Some(self.row))?;
        let mut bytes = 0;
        for (name, value) in state.visible_fields(self.order()) {
            bytes += name.len() + FieldRef { name, value }.memory()?;
        }
        Ok(bytes)
    }
}

/// A field where it lies, for as long as it is shown: see [`Reading::see_fields`](crate::Reading::see_fields).
pub struct FieldRef<'r> {
    name: &'r str,
    value: ValueRef<'r>,
}

impl FieldRef<'_> {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &str {
        self.name
    }

    /// How large it is: its name and encoded value.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.name.len() + self.value.as_bytes().len()
    }

    /// About how many bytes its value takes in memory once it is decoded: up to some 235 times those of [`FieldRef::bytes`].
    ///
    /// # Errors
    /// [`Error::Value`]: the store holds something that is no value.
    pub fn memory(&self) -> Result<usize, Error> {
        Ok(self.value.memory()?)
    }

    /// Its value as the caller wants it.
    ///
    /// # Errors
    /// [`Error::Value`] when it does not have type `F`.
    pub fn decode<F: DeserializeOwned>(&self) -> Result<F, Error> {
        Ok(self.value.decode()?.into_serde()?)
    }
}

impl std::fmt::Debug for FieldRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field of {} bytes", self.bytes())
    }
}

impl std::fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordRef").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A record that a reader sees, in the reader's hands.
pub(crate) struct VisibleRecord {
    id: RecordId,
    row: Held,
    names: Names,
    caps: CapsOf,
}

/// What a reader's hands have of a record.
enum Held {
    Row(RowBuf),
    /// Nothing: it has so many bytes, or takes so many once it is decoded, that it is not read whole.
    TooLarge {
        bytes: usize,
        limit: usize,
    },
}

impl VisibleRecord {
    fn of(shown: &RecordRef<'_>) -> Result<Self, Error> {
        let row = match shown.check_size() {
            Ok(()) => Held::Row(shown.row.to_buf()),
            Err(Error::RecordTooLarge { bytes, limit }) => Held::TooLarge { bytes, limit },
            Err(error) => return Err(error),
        };
        Ok(Self { id: shown.id, row, names: shown.names.clone(), caps: shown.caps })
    }

    pub(crate) const fn id(&self) -> RecordId {
        self.id
    }

    /// As [`RecordRef::decode`].
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match &self.row {
            Held::Row(row) => {
                let (id, names, caps) = (self.id, &self.names, self.caps);
                RecordRef { id, row: row.borrow(), names, caps }.decode()
            }
            Held::TooLarge { bytes, limit } => Err(Error::RecordTooLarge { bytes: *bytes, limit: *limit }),
        }
    }
}

/// Part of a scan.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<VisibleRecord>,
    /// Where the next page goes on; `None` at the end.
    pub(crate) next: Option<RecordId>,
}

/// What can be asked of the records of one collection.
pub(crate) struct RecordReader<'r> {
    rows: &'r dyn Rows,
    /// `None` if nothing was ever written to it.
    collection: Option<CollectionNo>,
}

impl<'r> RecordReader<'r> {
    pub(crate) fn new(rows: &'r dyn Rows, collection: &str) -> Self {
        Self { rows, collection: rows.number(collection) }
    }

    /// One record, for whoever looks at it in place.
    pub(crate) fn show<R>(
        &self,
        id: &RecordId,
        see: impl FnOnce(Option<RecordRef<'_>>) -> R,
    ) -> Result<R, Error> {
        let key = self.collection.map(|number| RecordKey::new(self.rows.names().vault(), number, id));
        let held = match &key {
            Some(key) => self.rows.row(key)?,
            None => None,
        };
        Ok(see(match (&key, &held) {
            (Some(key), Some(held)) => self.shown(key, held.row())?,
            _ => None,
        }))
    }

    /// Shows the records of some ids, in their order, until `see` has seen enough.
    pub(crate) fn show_many(
        &self,
        ids: &[RecordId],
        mut see: impl FnMut(RecordId, Option<RecordRef<'_>>) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        for id in ids {
            if self.show(id, |record| see(*id, record))??.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows the records after `after`, in the order of their ids, until `see` has seen enough.
    pub(crate) fn show_from(
        &self,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordRef<'_>) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let Some(number) = self.collection else { return Ok(()) };
        for row in self.rows.rows(ids_after(self.rows.names().vault(), number, after))? {
            let (key, held) = row?;
            if let Some(record) = self.shown(&key, held.row())?
                && see(record)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// One record.
    pub(crate) fn get(&self, id: &RecordId) -> Result<Option<VisibleRecord>, Error> {
        self.show(id, |record| record.as_ref().map(VisibleRecord::of).transpose())?
    }

    /// Whether there is a record.
    pub(crate) fn contains(&self, id: &RecordId) -> Result<bool, Error> {
        self.show(id, |record| record.is_some())
    }

    /// The records of some ids, in their order.
    pub(crate) fn get_many(&self, ids: &[RecordId]) -> Result<Vec<Option<VisibleRecord>>, Error> {
        ids.iter().map(|id| self.get(id)).collect()
    }

    /// Up to `limit` records after `after`, in the order of their ids.
    pub(crate) fn page(&self, after: Option<RecordId>, limit: usize) -> Result<Page, Error> {
        let mut page = Page::default();
        self.show_from(after, |record| {
            if page.records.len() >= limit {
                page.next = page.records.last().map(VisibleRecord::id).or(after);
                return Ok(ControlFlow::Break(()));
            }
            page.records.push(VisibleRecord::of(&record)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(page)
    }

    /// How many records there are. Reads them all.
    pub(crate) fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        self.show_from(None, |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// Whether there is no record.
    pub(crate) fn is_empty(&self) -> Result<bool, Error> {
        let mut is_empty = true;
        self.show_from(None, |_| {
            is_empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(is_empty)
    }

    /// The record of a row, if a reader sees it.
    fn shown<'s>(&'s self, key: &RecordKey, row: Row<'s>) -> Result<Option<RecordRef<'s>>, Error> {
        let (id, caps) = (key.record(), self.rows.caps_of(key));
        Ok(is_visible(row)?.then(|| RecordRef { id, row, names: self.rows.names(), caps }))
    }
}

/// The keys of a collection's records after one.
fn ids_after(vault: VaultNo, collection: CollectionNo, after: Option<RecordId>) -> KeyRange {
    let key = |id: &RecordId| RecordKey::new(vault, collection, id);
    let first = match after {
        Some(after) => Bound::Excluded(key(&after)),
        None => Bound::Included(key(&RecordId::from_bytes([0; 16]))),
    };
    (first, Bound::Included(key(&RecordId::from_bytes([0xff; 16]))))
}

/// The records of all vaults as they were at one moment, and the names that they refer to.
pub(crate) struct StoreView {
    records: RecordsView,
    shared: Arc<Shared>,
}

impl StoreView {
    /// `shared` holds the names of all rows in `records`.
    pub(crate) const fn new(records: RecordsView, shared: Arc<Shared>) -> Self {
        Self { records, shared }
    }

    /// Those of one vault.
    pub(crate) fn of(&self, vault: VaultNo) -> VaultView<'_> {
        VaultView { records: &self.records, names: Names::new(self.shared.clone(), vault) }
    }

    /// For a write in progress, which sees them until its end.
    pub(crate) fn into_parts(self) -> (RecordsView, Arc<Shared>) {
        (self.records, self.shared)
    }
}

/// The records of a vault as they were at one moment.
pub(crate) struct VaultView<'v> {
    records: &'v RecordsView,
    names: Names,
}

impl VaultView<'_> {
    /// Names of the collections that hold a visible record, sorted.
    pub(crate) fn collections(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for (_, name) in self.names.shared().collections.of(self.names.vault()) {
            if !RecordReader::new(self, name).is_empty()? {
                names.push(name.to_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Rows for VaultView<'_> {
    fn names(&self) -> &Names {
        &self.names
    }

    fn caps_of(&self, key: &RecordKey) -> CapsOf {
        passing::caps_of(&self.names.shared().passing, key)
    }

    fn number(&self, collection: &str) -> Option<CollectionNo> {
        self.names.shared().collections.number(self.names.vault(), collection)
    }

    fn row(&self, key: &RecordKey) -> Result<Option<HeldRow<'_>>, Error> {
        Ok(self.records.get(key)?.map(HeldRow::Stored))
    }

    fn rows(&self, range: KeyRange) -> Result<RowIter<'_>, Error> {
        Ok(RowIter::new(self.records.range(&range)?, None))
    }
}
