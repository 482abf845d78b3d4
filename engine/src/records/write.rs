//! Local writes: what a transaction does to records, kept in memory until it commits.
//!
//! A write set reads the records as they were when its turn began; nobody else writes before the turn is over. At its
//! end everything goes into the tables at once, in key order, in one transaction of the database. So the set borrows
//! nothing: a closure may hold it, or a host for as long as it likes, and giving up is forgetting it.

mod ids;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use ids::IdPool;
use subrosa_model::entropy::Entropy;
use subrosa_model::merge::op::OpError;
use subrosa_model::merge::{
    CapsOf, Cell, CollectionName, FieldCell, HybridClock, LogNo, LogTable, NewIds, Op, OpKind, PendingOps,
    Put, RecordId, RecordState, Row, RowBuf, Stamp, Tombstone, Value, ValueBuf,
};
use subrosa_model::wiped::Wiped;
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{CollectionNo, RecordKey, VaultNo};
use subrosa_store::records::{KeyRange, RecordsView};

use super::decode_state;
use super::read::{HeldRow, Names, RecordReader, RowIter, Rows, StoreView};
use crate::error::Error;
use crate::faults;

/// From this many ops on, a write is bulk: its ops are not coalesced with others, and it is a group of its own.
pub(crate) const BULK_OPS_MIN: usize = 256;

/// What a write says about fields.
pub(crate) type NewFields = Vec<(String, Value)>;

/// The ops of one local write.
pub(crate) struct WriteSet {
    log: LogNo,
    /// The records as they were when this began.
    held: RecordsView,
    names: Names,
    clock: HybridClock,
    now_ms: u64,
    entropy: Arc<dyn Entropy>,
    /// Collections that the store has no number for; they get the next ones, in this order.
    new_collections: Vec<Arc<str>>,
    records: BTreeMap<RecordKey, Written>,
    ops: usize,
    /// No op is later.
    latest: Stamp,
    /// In [`WriteSet::all_or_nothing`]: what the changed records were before, in the order of the changes.
    undo: Option<Vec<(RecordKey, Option<Box<Written>>)>>,
    ids: IdPool,
    /// A range of keys, to the end of their collection, in which the store has nothing: new ids sort behind old ones,
    /// so that a bulk write soon looks up nothing any more.
    vacant: Option<RangeInclusive<RecordKey>>,
    /// Rows are put together here, so that each is kept in as much memory as it needs.
    scratch: Wiped,
}

/// A put that was made before, and is written once more.
pub(crate) struct OldPut {
    /// As old as it counts.
    pub(crate) as_of: Stamp,
    /// Fields by name, in order; without a value where the field was removed.
    pub(crate) cells: Vec<(String, Option<ValueBuf>)>,
}

impl OldPut {
    /// Bytes of its values.
    pub(crate) fn bytes(&self) -> usize {
        self.cells
            .iter()
            .filter_map(|(_, value)| value.as_ref())
            .map(|value| value.borrow().as_bytes().len())
            .sum()
    }
}

/// What a write has done to one record so far.
pub(crate) struct Written {
    pub(crate) collection: Arc<str>,
    /// Row of the state, `None` if there is none; a record that something was done to has one.
    pub(crate) row: Option<RowBuf>,
    /// Row of this write's ops.
    pub(crate) ops: Wiped,
    /// Whether the store had no row when this began.
    pub(crate) is_new: bool,
    pub(crate) changed: bool,
}

impl Written {
    fn row(&self) -> Option<Row<'_>> {
        self.row.as_ref().map(RowBuf::borrow)
    }
}

impl Rows for WriteSet {
    fn names(&self) -> &Names {
        &self.names
    }

    /// What it writes is made from what it sees, and is later than that by the caps of now.
    fn caps_of(&self, _: &RecordKey) -> CapsOf {
        CapsOf::Now
    }

    fn number(&self, collection: &str) -> Option<CollectionNo> {
        let held = &self.names.shared().collections;
        held.number(self.names.vault(), collection).or_else(|| {
            let index = self.new_collections.iter().position(|name| **name == *collection)?;
            Some(CollectionNo((held.len() + index) as u32))
        })
    }

    fn row(&self, key: &RecordKey) -> Result<Option<HeldRow<'_>>, Error> {
        match self.records.get(key) {
            Some(written) => Ok(written.row().map(HeldRow::Written)),
            None => Ok(self.held.get(key)?.map(HeldRow::Stored)),
        }
    }

    fn rows(&self, range: KeyRange) -> Result<RowIter<'_>, Error> {
        let written = self.records.range(range).filter_map(|(key, written)| Some((*key, written.row()?)));
        Ok(RowIter::new(self.held.range(&range)?, Some(Box::new(written))))
    }
}

/// What a local write begins with.
pub(crate) struct Beginning {
    /// The log that its ops go to.
    pub(crate) log: LogNo,
    /// The records as of now, and the vault that it writes.
    pub(crate) view: StoreView,
    pub(crate) vault: VaultNo,
    pub(crate) clock: HybridClock,
    pub(crate) now_ms: u64,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// The ids that new records got.
    pub(crate) ids: Arc<Mutex<NewIds>>,
}

impl WriteSet {
    /// Begins a local write, for who has the turn.
    pub(crate) fn begin(beginning: Beginning) -> Self {
        let Beginning { log, view, vault, clock, now_ms, entropy, ids } = beginning;
        let (held, shared) = view.into_parts();
        Self {
            log,
            held,
            names: Names::new(shared, vault),
            clock,
            now_ms,
            entropy,
            new_collections: Vec::new(),
            records: BTreeMap::new(),
            ops: 0,
            latest: Stamp::default(),
            undo: None,
            ids: IdPool::new(ids),
            vacant: None,
            scratch: Wiped::default(),
        }
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Lets go of the snapshot, so that the commit can use its pages again.
    pub(crate) fn into_finished(self) -> Finished {
        let collections_before = self.names.shared().collections.len();
        let Self { names, clock, new_collections, records, ops, latest, .. } = self;
        Finished { vault: names.vault(), clock, collections_before, new_collections, records, ops, latest }
    }

    /// A new id, which sorts behind all that this device gave since it was opened.
    pub(crate) fn new_id(&mut self) -> RecordId {
        self.ids.next(self.now_ms, &*self.entropy)
    }

    /// What this write sees of a collection, its own changes included.
    pub(crate) fn reader(&self, collection: &str) -> RecordReader<'_> {
        RecordReader::new(self, collection)
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

    /// Sets the given fields and leaves the others; a record that is not there begins with them.
    pub(crate) fn put(&mut self, collection: &str, id: &RecordId, fields: NewFields) -> Result<(), Error> {
        self.set(collection, id, fields, &[])
    }

    /// As [`WriteSet::put`], for a record that was exported: merging may have given it any number of fields.
    pub(crate) fn import(&mut self, collection: &str, id: &RecordId, fields: NewFields) -> Result<(), Error> {
        self.set_cells(collection, id, fields, &[], FieldsLimit::Exported)
    }

    /// Deletes a field; says whether there was one.
    pub(crate) fn delete_field(
        &mut self,
        collection: &str,
        id: &RecordId,
        name: &str,
    ) -> Result<bool, Error> {
        let held = self.reader(collection).show(id, |record| record.map(|record| record.has_field(name)))?;
        if !held.transpose()?.unwrap_or_default() {
            return Ok(false);
        }
        self.set(collection, id, Vec::new(), &[name.to_owned()]).map(|()| true)
    }

    /// Sets the given fields and removes all others.
    pub(crate) fn replace(
        &mut self,
        collection: &str,
        id: &RecordId,
        fields: NewFields,
    ) -> Result<(), Error> {
        let mut others = Vec::new();
        let kept: BTreeSet<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let seen = self.reader(collection).show(id, |record| {
            record.map(|record| {
                record.see_fields(None, |field| {
                    others.extend((!kept.contains(field.name())).then(|| field.name().to_owned()));
                    ControlFlow::Continue(())
                })
            })
        })?;
        seen.transpose()?;
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
        self.set_cells(collection, id, fields, unset, FieldsLimit::Local)
    }

    fn set_cells(
        &mut self,
        collection: &str,
        id: &RecordId,
        fields: NewFields,
        unset: &[String],
        limit: FieldsLimit,
    ) -> Result<(), Error> {
        let fields = fields
            .into_iter()
            .map(|(name, value)| Ok((name, ValueBuf::encode(&value)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let values =
            fields.iter().map(|(name, value)| FieldCell { name, cell: Cell::Register(value.borrow()) });
        let mut cells: Vec<_> =
            values.chain(unset.iter().map(|name| FieldCell { name, cell: Cell::Unset })).collect();
        cells.sort_unstable_by_key(|cell| cell.name);
        if cells.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(OpError::DuplicateField.into());
        }
        let mut change = self.change(collection, id)?;
        let done = self.apply_parts(&mut change, &cells, limit);
        self.keep_if(done, change)
    }

    /// Deletes a record; says whether there was one.
    pub(crate) fn delete(&mut self, collection: &str, id: &RecordId) -> Result<bool, Error> {
        if !self.reader(collection).contains(id)? {
            return Ok(false);
        }
        let mut change = self.change(collection, id)?;
        let make =
            |state: &RecordState<'_>, logs: &LogTable| Ok(OpKind::Delete(state.tombstone_for_delete(logs)));
        let done = self.apply(&mut change, None, make);
        self.keep_if(done, change).map(|()| true)
    }

    /// Shows a record again that a delete hides which did not know these puts, by writing them once more: each counts as old as it
    /// was, as far as that is later than what this log has done to the record.
    pub(crate) fn show_again(
        &mut self,
        collection: &str,
        id: &RecordId,
        puts: &[OldPut],
    ) -> Result<(), Error> {
        let mut change = self.change(collection, id)?;
        let done = puts.iter().try_for_each(|put| self.apply_old(&mut change, put));
        self.keep_if(done, change)
    }

    /// Hides again what was shown again by these ops, and by nothing else of their logs.
    pub(crate) fn hide_again(
        &mut self,
        collection: &str,
        id: &RecordId,
        names: &Tombstone,
    ) -> Result<(), Error> {
        let mut change = self.change(collection, id)?;
        let done = self.apply(&mut change, None, |_, _| Ok(OpKind::Delete(names.clone())));
        self.keep_if(done, change)
    }

    fn apply_old(&mut self, change: &mut Change, put: &OldPut) -> Result<(), Error> {
        let cells = put.cells.iter().map(|(name, value)| {
            let cell = value.as_ref().map_or(Cell::Unset, |value| Cell::Register(value.borrow()));
            FieldCell { name, cell }
        });
        let cells: Vec<_> = cells.collect();
        let mut rest = &cells[..];
        loop {
            let part;
            (part, rest) = rest.split_at(cells_that_fit(rest));
            let make = |_: &RecordState<'_>, _: &LogTable| {
                Ok(OpKind::Put(Put::new(Tombstone::default(), part.to_vec())?))
            };
            self.apply(change, Some(put.as_of).filter(|_| !faults::SHOWN_AGAIN_AS_NEW), make)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Begins a change of one record. Nothing has happened before it is kept.
    fn change(&mut self, collection: &str, id: &RecordId) -> Result<Change, Error> {
        CollectionName::new(collection)?;
        let held = self.names.shared().collections.len();
        let number = self.number(collection);
        let next = CollectionNo((held + self.new_collections.len()) as u32);
        let key = RecordKey::new(self.names.vault(), number.unwrap_or(next), id);
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
                let name = self.names.shared().collections.name(number);
                let name = name.or_else(|| self.new_collections.get((number.0 as usize).wrapping_sub(held)));
                (name.ok_or(StoreError::Inconsistent)?.clone(), self.held_row(&key)?)
            }
            None => (Arc::from(collection), None),
        };
        let new_collection = number.is_none().then(|| name.clone());
        let is_new = row.is_none();
        let written = Written { collection: name, row, ops: Wiped::default(), is_new, changed: false };
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

    /// Sets cells, in parts that are a put each; they are merged in one step, so the first one names for all. What makes a record grow beyond the limit of fields is refused; nothing else
    /// is refused for it, however many fields merging gave it.
    fn apply_parts(
        &mut self,
        change: &mut Change,
        cells: &[FieldCell<'_>],
        limit: FieldsLimit,
    ) -> Result<(), Error> {
        let before = many_fields(change.written.row(), self.names.logs())?;
        let (mut rest, mut is_first) = (cells, true);
        loop {
            let part;
            (part, rest) = rest.split_at(cells_that_fit(rest));
            self.apply(change, None, |state, logs| {
                let names = if is_first { state.names_for_put(logs) } else { Tombstone::default() };
                Ok(OpKind::Put(Put::new(names, part.to_vec())?))
            })?;
            is_first = false;
            if rest.is_empty() {
                break;
            }
        }
        let fields = many_fields(change.written.row(), self.names.logs())?;
        if limit == FieldsLimit::Local && fields > limits::FIELDS_MAX.max(before) {
            return Err(OpError::TooManyFields { fields }.into());
        }
        Ok(())
    }

    /// Applies one op, made by `make` from the state as it is; of now, or as old as it may be if it is to count as of then.
    fn apply<'c>(
        &mut self,
        change: &mut Change,
        as_of: Option<Stamp>,
        make: impl FnOnce(&RecordState<'_>, &LogTable) -> Result<OpKind<'c>, Error>,
    ) -> Result<(), Error> {
        let (id, written) = (change.key.record(), &mut change.written);
        let logs = self.names.logs();
        let mut state = decode_state(written.row())?;
        let kind = make(&state, logs)?;
        let kind_names = kind.names().map(|names| names.iter());
        let counts_as = |(log, stamp): (LogId, Stamp)| {
            logs.number(self.names.vault(), &log).map_or(stamp, |log| logs.capped(log, stamp))
        };
        let named = kind_names.into_iter().flatten().map(counts_as).max().unwrap_or_default();
        // Names are of the past: a clock that was put back goes on behind what it wrote before.
        let before = state.last_of(self.log).unwrap_or_default().max(named);
        let stamp = match as_of {
            None => self.clock.tick_after(before, self.now_ms),
            Some(then) => {
                // So that the group is no earlier than those before it in its log.
                self.latest = self.latest.max(self.clock.max());
                then.max(state.next_of(self.log))
            }
        };
        self.latest = self.latest.max(stamp);
        let op = Op { record: id, collection: &written.collection, stamp, kind };
        let changed = state.apply(self.log, &op, &logs.of(self.names.vault()));
        let row = RowBuf::of(&state, &mut self.scratch);
        let mut pending = decode_pending(id, &written.collection, &written.ops)?;
        pending.push(op);
        self.scratch.clear();
        pending.encode(&mut self.scratch);
        let after = Written {
            collection: written.collection.clone(),
            row: Some(row),
            ops: Wiped::new(self.scratch.to_vec()),
            is_new: written.is_new,
            changed: written.changed | changed,
        };
        drop(pending);
        let before = std::mem::replace(written, after);
        change.original.get_or_insert(before);
        change.ops += 1;
        Ok(())
    }

    /// The stored row of a record, if there is one.
    fn held_row(&mut self, key: &RecordKey) -> Result<Option<RowBuf>, Error> {
        if self.vacant.as_ref().is_some_and(|vacant| vacant.contains(key)) {
            return Ok(None);
        }
        let row = self.held.get(key)?.map(|stored| stored.row().to_buf());
        // A write of one record has nothing to gain.
        if row.is_none() && self.ops > 0 {
            let last = key.last_of_collection();
            if !self.held.holds_any(&(Bound::Included(*key), Bound::Included(last)))? {
                self.vacant = Some(*key..=last);
            }
        }
        Ok(row)
    }
}

/// A write set that sees nothing any more, on its way into the tables.
pub(crate) struct Finished {
    pub(crate) vault: VaultNo,
    pub(crate) clock: HybridClock,
    /// Collections that had a number when it began, and those that get the next ones.
    pub(crate) collections_before: usize,
    pub(crate) new_collections: Vec<Arc<str>>,
    pub(crate) records: BTreeMap<RecordKey, Written>,
    pub(crate) ops: usize,
    /// No op is later.
    pub(crate) latest: Stamp,
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

/// To how many fields a write may make a record grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldsLimit {
    /// The number for local writes.
    Local,
    /// Any: the record was put together by merging, somewhere.
    Exported,
}

/// The fewest bytes of a field in a row: the lengths of its name and its value, a name (which one field may do without), a value.
const FIELD_BYTES_MIN: usize = 4;

/// How many fields a reader sees, where they may be too many; zero for a row that has no room for those.
fn many_fields(row: Option<Row<'_>>, logs: &LogTable) -> Result<usize, Error> {
    if row.is_none_or(|row| row.as_bytes().len() <= FIELD_BYTES_MIN * limits::FIELDS_MAX) {
        return Ok(0);
    }
    Ok(decode_state(row)?.visible_fields(logs).count())
}

/// How many cells go into one op so that it fits into a segment; at least one, if there is one.
fn cells_that_fit(cells: &[FieldCell<'_>]) -> usize {
    let mut bytes = 0;
    let fit = cells.iter().take(limits::FIELDS_MAX).take_while(|cell| {
        bytes += cell.name.len()
            + match cell.cell {
                Cell::Register(value) => value.as_bytes().len(),
                Cell::Unset | Cell::Unknown { .. } => 0,
            };
        bytes <= limits::VALUE_BYTES_MAX
    });
    fit.count().max(1).min(cells.len())
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
