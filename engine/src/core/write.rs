//! Local writes: what a transaction does to records, kept in memory until it commits.
//!
//! A write set reads the records as they were when its turn began; nobody else writes before the turn is over. At its
//! end everything goes into the tables at once, in key order, in one transaction of the database. So the set borrows
//! nothing: a closure may hold it, or a host for as long as it likes, and giving up is forgetting it.

mod finish;
mod ids;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use subrosa_protocol::limits;

use super::gate::Turn;
use super::read::{Next, Page, View, VisibleRecord, VisibleRow, collection_bounds, see_row};
use super::watch::ChangeKind;
use super::{Core, Shared};
use crate::merge::{
    Cell, Clock, CollectionName, FieldCell, LogNo, LogTable, Op, OpKind, PendingOps, Put, RecordId,
    RecordState, Stamp, Tombstone, Value, ValueBuf,
};
use crate::store::StoreError;
use crate::store::tables::{CollectionNo, RecordKey, VaultNo};
use crate::wiped::Wiped;
use crate::{Entropy, Error};
use ids::IdPool;

/// From this many ops on, a write is bulk: its ops are not coalesced with others, and it is a group of its own.
pub(crate) const BULK_OPS_MIN: usize = 256;

/// What a write says about fields.
pub(crate) type NewFields = Vec<(String, Value)>;

/// The ops of one local write.
pub(crate) struct WriteSet {
    vault: VaultNo,
    log: LogNo,
    /// The records as they were when this began.
    view: View,
    clock: Clock,
    now_ms: u64,
    entropy: Arc<dyn Entropy>,
    /// Collections that the store has no number for; they get the next ones, in this order.
    new_collections: Vec<Arc<str>>,
    records: BTreeMap<RecordKey, Written>,
    ops: usize,
    /// In [`WriteSet::all_or_nothing`]: what the changed records were before, in the order of the changes.
    undo: Option<Vec<(RecordKey, Option<Box<Written>>)>>,
    ids: IdPool,
    /// A range of keys, to the end of their collection, in which the store has nothing: new ids sort behind old ones,
    /// so that a bulk write soon looks up nothing any more.
    vacant: Option<RangeInclusive<RecordKey>>,
    /// Rows are put together here, so that each is kept in as much memory as it needs.
    scratch: Wiped,
}

/// What a write has done to one record so far.
struct Written {
    collection: Arc<str>,
    /// Row of the state, `None` if there is none.
    row: Option<Vec<u8>>,
    /// Row of this write's ops.
    ops: Wiped,
    visible_before: bool,
    visible_after: bool,
    changed: bool,
}

impl Written {
    /// The row of the state; a record that something was done to has one.
    fn row(&self) -> &[u8] {
        self.row.as_deref().unwrap_or_default()
    }
}

impl Core {
    /// Begins a local write, for who has the turn.
    pub(super) fn begin_set(&self, _turn: &Turn, vault: VaultNo) -> Result<WriteSet, Error> {
        let now_ms = self.now_ms();
        let (log, clock) = {
            let state = self.lock_state()?;
            let vault = state.vaults.get(&vault).ok_or(Error::NoVault)?;
            if vault.keyring.live_epoch().write.is_none() {
                return Err(Error::NotPermitted);
            }
            (vault.own.data, state.clock)
        };
        Ok(WriteSet {
            vault,
            log,
            view: self.with_open(|open| open.view(self))?,
            clock,
            now_ms,
            entropy: self.options.entropy.clone(),
            new_collections: Vec::new(),
            records: BTreeMap::new(),
            ops: 0,
            undo: None,
            ids: IdPool::new(self.new_ids.clone()),
            vacant: None,
            scratch: Wiped::default(),
        })
    }
}

impl WriteSet {
    /// A new id, which sorts behind all that this device gave since it was opened.
    pub(crate) fn new_id(&mut self) -> RecordId {
        self.ids.next(self.now_ms, &*self.entropy)
    }

    /// What this write sees of a record, its own changes included.
    pub(crate) fn get(&self, collection: &str, id: &RecordId) -> Result<Option<VisibleRow>, Error> {
        let Some(number) = self.number(collection) else { return Ok(None) };
        let key = RecordKey::new(self.vault, number, id);
        match self.records.get(&key) {
            Some(written) => VisibleRow::of(written.row(), &self.view.shared),
            None => self.view.get_by_key(&key),
        }
    }

    /// Up to `limit` records after `after` as this write sees them, in the order of their ids.
    pub(crate) fn page(
        &self,
        collection: &str,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let mut page = Merged { shared: &self.view.shared, limit, page: Page::default(), seen: None };
        self.each_row(collection, after, |key, row| page.add(key, row))?;
        Ok(page.page)
    }

    /// Shows the records of some ids as this write sees them, in their order, until `see` has seen enough.
    pub(crate) fn see_many<T: DeserializeOwned>(
        &self,
        collection: &str,
        ids: &[RecordId],
        mut see: impl FnMut(Option<T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for id in ids {
            let record = self.get(collection, id)?.map(|row| row.decode()).transpose()?;
            if see(record).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows the records after `after` as this write sees them, in the order of their ids, until `see` has seen enough.
    pub(crate) fn see_from<T: DeserializeOwned>(
        &self,
        collection: &str,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordId, T) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.each_row(collection, after, |key, row| see_row(key, row, &self.view.shared, &mut see))
    }

    /// Shows the rows after `after`, stored or written, visible or not.
    fn each_row(
        &self,
        collection: &str,
        after: Option<RecordId>,
        mut see: impl FnMut(RecordKey, &[u8]) -> Result<Next, Error>,
    ) -> Result<(), Error> {
        let Some(number) = self.number(collection) else { return Ok(()) };
        let (first, last) = collection_bounds(self.vault, number, after);
        let first = match first {
            Bound::Included(first) => Bound::Included(RecordKey(first)),
            Bound::Excluded(first) => Bound::Excluded(RecordKey(first)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let mut written = self.records.range((first, Bound::Included(last))).peekable();
        let mut stopped = false;
        self.view.each(self.vault, number, after, |key, row| {
            while let Some((before, theirs)) = written.next_if(|(written, _)| **written < key) {
                if matches!(see(*before, theirs.row())?, Next::Stop) {
                    stopped = true;
                    return Ok(Next::Stop);
                }
            }
            let next = match written.next_if(|(written, _)| **written == key) {
                Some((_, theirs)) => see(key, theirs.row()),
                None => see(key, row),
            }?;
            stopped = matches!(next, Next::Stop);
            Ok(next)
        })?;
        for (key, theirs) in written {
            if stopped || matches!(see(*key, theirs.row())?, Next::Stop) {
                break;
            }
        }
        Ok(())
    }

    /// Runs `f`; when it fails, or panics, nothing of what it did is left.
    pub(crate) fn all_or_nothing<R>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (ops, new_collections) = (self.ops, self.new_collections.len());
        self.undo = Some(Vec::new());
        // A host may catch the panic of its own code and commit.
        let result = catch_unwind(AssertUnwindSafe(|| f(self)));
        let undo = self.undo.take().unwrap_or_default();
        if !matches!(result, Ok(Ok(_))) {
            for (key, before) in undo.into_iter().rev() {
                match before {
                    Some(before) => drop(self.records.insert(key, *before)),
                    None => drop(self.records.remove(&key)),
                }
            }
            self.ops = ops;
            self.new_collections.truncate(new_collections);
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// How many records this write sees in a collection. Reads them all.
    pub(crate) fn count(&self, collection: &str) -> Result<u64, Error> {
        let mut count = self.view.count(self.vault, collection)?;
        let Some(number) = self.number(collection) else { return Ok(count) };
        let (_, last) = collection_bounds(self.vault, number, None);
        let first = RecordKey::new(self.vault, number, &RecordId::from_bytes([0; 16]));
        for written in self.records.range(first..=last).map(|(_, written)| written) {
            count = count + u64::from(written.visible_after) - u64::from(written.visible_before);
        }
        Ok(count)
    }

    /// Sets the given fields and leaves the others; a record that is not there begins with them.
    pub(crate) fn put(&mut self, collection: &str, id: &RecordId, fields: NewFields) -> Result<(), Error> {
        self.set(collection, id, fields, &[])
    }

    /// Sets the given fields and removes all others.
    pub(crate) fn replace(
        &mut self,
        collection: &str,
        id: &RecordId,
        fields: NewFields,
    ) -> Result<(), Error> {
        let mut others = Vec::new();
        if let Some(visible) = self.get(collection, id)? {
            others.extend(
                visible.names()?.into_iter().filter(|name| !fields.iter().any(|(field, _)| field == name)),
            );
        }
        self.set(collection, id, fields, &others)
    }

    /// Sets `fields` and removes `unset`.
    pub(crate) fn set(
        &mut self,
        collection: &str,
        id: &RecordId,
        fields: NewFields,
        unset: &[String],
    ) -> Result<(), Error> {
        let fields = fields
            .into_iter()
            .map(|(name, value)| Ok((name, ValueBuf::encode(&value)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let values =
            fields.iter().map(|(name, value)| FieldCell { name, cell: Cell::Register(value.borrow()) });
        let cells: Vec<_> =
            values.chain(unset.iter().map(|name| FieldCell { name, cell: Cell::Unset })).collect();
        // All cells at once, for the limits on a record; then in parts that fit into a segment each.
        Put::new(Tombstone::default(), cells.clone())?;
        let mut change = self.change(collection, id)?;
        let done = self.apply_parts(&mut change, &cells);
        self.keep_if(done, change)
    }

    /// Deletes a record; says whether there was one.
    pub(crate) fn delete(&mut self, collection: &str, id: &RecordId) -> Result<bool, Error> {
        if self.get(collection, id)?.is_none() {
            return Ok(false);
        }
        let mut change = self.change(collection, id)?;
        let make =
            |state: &RecordState<'_>, logs: &LogTable| Ok(OpKind::Delete(state.tombstone_for_delete(logs)));
        let done = self.apply(&mut change, make);
        self.keep_if(done, change).map(|()| true)
    }

    /// The number of a collection that the store or this write has.
    fn number(&self, collection: &str) -> Option<CollectionNo> {
        let held = &self.view.shared.collections;
        held.number(self.vault, collection).or_else(|| {
            let index = self.new_collections.iter().position(|name| **name == *collection)?;
            Some(CollectionNo((held.len() + index) as u32))
        })
    }

    /// Begins a change of one record. Nothing has happened before it is kept.
    fn change(&mut self, collection: &str, id: &RecordId) -> Result<Change, Error> {
        CollectionName::new(collection)?;
        let held = self.view.shared.collections.len();
        let number = self.number(collection);
        let next = CollectionNo((held + self.new_collections.len()) as u32);
        let key = RecordKey::new(self.vault, number.unwrap_or(next), id);
        if let Some(written) = self.records.remove(&key) {
            return Ok(Change {
                key,
                new_collection: None,
                held_before: true,
                original: None,
                ops: 0,
                written,
            });
        }
        let (name, row) = match number {
            Some(number) => {
                let name = self.view.shared.collections.name(number);
                let name = name.or_else(|| self.new_collections.get((number.0 as usize).wrapping_sub(held)));
                (name.ok_or(StoreError::Inconsistent)?.clone(), self.held_row(&key)?)
            }
            None => (Arc::from(collection), None),
        };
        let visible = decode_state(row.as_deref())?.is_visible();
        let new_collection = number.is_none().then(|| name.clone());
        let written = Written {
            collection: name,
            row,
            ops: Wiped::default(),
            visible_before: visible,
            visible_after: visible,
            changed: false,
        };
        Ok(Change { key, new_collection, held_before: false, original: None, ops: 0, written })
    }

    /// Makes a change part of the write, or forgets all of it.
    fn keep_if(&mut self, done: Result<(), Error>, change: Change) -> Result<(), Error> {
        let Change { key, new_collection, held_before, original, ops, written } = change;
        match done {
            Ok(()) => {
                self.ops += ops;
                self.new_collections.extend(new_collection);
                if let Some(undo) = &mut self.undo
                    && (original.is_some() || !held_before)
                {
                    let before = original.filter(|_| held_before);
                    undo.push((key, before.map(Box::new)));
                }
                self.records.insert(key, written);
            }
            Err(_) if held_before => {
                self.records.insert(key, original.unwrap_or(written));
            }
            Err(_) => {}
        }
        done
    }

    /// Sets cells, in parts that fit into a segment each.
    fn apply_parts(&mut self, change: &mut Change, cells: &[FieldCell<'_>]) -> Result<(), Error> {
        let mut rest = cells;
        loop {
            let part;
            (part, rest) = rest.split_at(cells_that_fit(rest));
            self.apply(change, |state, logs| {
                Ok(OpKind::Put(Put::new(state.names_for_put(logs), part.to_vec())?))
            })?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Applies one op, made by `make` from the state as it is.
    fn apply<'c>(
        &mut self,
        change: &mut Change,
        make: impl FnOnce(&RecordState<'_>, &LogTable) -> Result<OpKind<'c>, Error>,
    ) -> Result<(), Error> {
        let (id, written) = (change.key.record(), &mut change.written);
        let logs = &self.view.shared.logs;
        let mut state = decode_state(written.row.as_deref())?;
        let kind = make(&state, logs)?;
        let stamp = self.clock.tick(self.now_ms);
        let op = Op { record: id, collection: &written.collection, stamp, kind };
        let applied = state.apply(self.log, &op, &logs.of(self.vault));
        self.scratch.clear();
        state.encode(&mut self.scratch);
        let row = self.scratch.to_vec();
        let mut pending = decode_pending(id, &written.collection, &written.ops)?;
        pending.push(op);
        self.scratch.clear();
        pending.encode(&mut self.scratch);
        let after = Written {
            collection: written.collection.clone(),
            row: Some(row),
            ops: Wiped::new(self.scratch.to_vec()),
            visible_before: written.visible_before,
            visible_after: applied.visible_after,
            changed: written.changed | applied.changed,
        };
        drop(pending);
        let before = std::mem::replace(written, after);
        change.original.get_or_insert(before);
        change.ops += 1;
        Ok(())
    }

    /// The stored row of a record, if there is one.
    fn held_row(&mut self, key: &RecordKey) -> Result<Option<Vec<u8>>, Error> {
        if self.vacant.as_ref().is_some_and(|vacant| vacant.contains(key)) {
            return Ok(None);
        }
        let row = self.view.records.get(&key.0)?.map(|row| row.value().to_vec());
        // A write of one record has nothing to gain.
        if row.is_none() && self.ops > 0 {
            let last = key.last_of_collection();
            if self.view.records.range::<&[u8; 24]>(&key.0..=&last.0)?.next().is_none() {
                self.vacant = Some(*key..=last);
            }
        }
        Ok(row)
    }
}

/// A change of one record that is not part of the write yet.
struct Change {
    key: RecordKey,
    /// The collection, when this is what brings it into being.
    new_collection: Option<Arc<str>>,
    /// Whether the write had changed the record before.
    held_before: bool,
    /// What that was, once something is applied.
    original: Option<Written>,
    /// How many ops were applied.
    ops: usize,
    written: Written,
}

/// A page put together from stored and written rows.
struct Merged<'s> {
    shared: &'s Arc<Shared>,
    limit: usize,
    page: Page,
    seen: Option<RecordId>,
}

impl Merged<'_> {
    fn add(&mut self, key: RecordKey, row: &[u8]) -> Result<Next, Error> {
        if self.page.records.len() >= self.limit {
            self.page.next = self.seen;
            return Ok(Next::Stop);
        }
        let id = key.record();
        self.seen = Some(id);
        if let Some(row) = VisibleRow::of(row, self.shared)? {
            self.page.records.push(VisibleRecord { id, row });
        }
        Ok(Next::GoOn)
    }
}

/// How many cells go into one op so that it fits into a segment; at least one, if there is one.
fn cells_that_fit(cells: &[FieldCell<'_>]) -> usize {
    let mut bytes = 0;
    let fit = cells.iter().take_while(|cell| {
        bytes += cell.name.len()
            + match cell.cell {
                Cell::Register(value) => value.as_bytes().len(),
                Cell::Unset | Cell::Unknown { .. } => 0,
            };
        bytes <= limits::VALUE_BYTES_MAX
    });
    fit.count().max(1).min(cells.len())
}

pub(crate) fn kind_of_change(before: bool, after: bool) -> Option<ChangeKind> {
    match (before, after) {
        (false, true) => Some(ChangeKind::Inserted),
        (true, true) => Some(ChangeKind::Updated),
        (true, false) => Some(ChangeKind::Removed),
        (false, false) => None,
    }
}

pub(crate) fn decode_state(row: Option<&[u8]>) -> Result<RecordState<'_>, Error> {
    row.map_or_else(
        || Ok(RecordState::default()),
        |row| RecordState::decode(row).map_err(|_| Error::Store(StoreError::Inconsistent)),
    )
}

pub(crate) fn decode_pending<'r>(
    record: RecordId,
    collection: &'r str,
    row: &'r [u8],
) -> Result<PendingOps<'r>, Error> {
    PendingOps::decode(record, collection, row).map_err(|_| Error::Store(StoreError::Inconsistent))
}

/// The stamp that orders pending ops of different records when they are sealed.
pub(crate) fn by_time(a: &Op<'_>, b: &Op<'_>) -> std::cmp::Ordering {
    let key = |op: &Op<'_>| -> (Stamp, RecordId) { (op.stamp, op.record) };
    key(a).cmp(&key(b))
}
