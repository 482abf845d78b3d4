//! Local writes: state, pending ops and clock in one transaction.
//!
//! A write collects what it does to each record and puts everything into the tables at its end, in key order.
//! Small writes leave their ops coalesced in the pending table; a bulk write leaves packed bodies, so that sealing
//! it later (or at once, where the relay has been compared with) copies no op a second time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redb::ReadableTable as _;
use subrosa_protocol::limits;

use super::commit::Tx;
use super::read::{Fields, visible};
use super::sealing::BODY_FILL_BYTES;
use super::watch::{ChangeKind, RawChange};
use crate::merge::{
    BodyWriter, Cell, CollectionName, FieldCell, LogNo, Op, OpKind, PendingOps, Put, RecordId, RecordState,
    Stamp, Tombstone, Value, ValueBuf,
};
use crate::store::StoreError;
use crate::store::tables::{CollectionNo, RecordKey, Tables, VaultNo, bulk_key};
use crate::wiped::Wiped;
use crate::{Entropy, Error};

/// From this many ops on, a write is bulk: its ops are not coalesced with others, and it is a group of its own.
pub(crate) const BULK_OPS_MIN: usize = 256;

/// What a write says about fields.
pub(crate) type NewFields = Vec<(String, Value)>;

/// The ops of one local write.
pub(crate) struct WriteOps<'x, 't> {
    tx: &'x mut Tx<'t>,
    vault: VaultNo,
    log: LogNo,
    records: BTreeMap<RecordKey, Written>,
    ops: usize,
    ids: IdPool,
    /// A range of keys, to the end of their collection, in which the store has nothing: new ids sort behind old ones,
    /// so that a bulk write soon looks up nothing any more.
    vacant: Option<RangeInclusive<RecordKey>>,
    /// Rows are put together here, so that each is kept in as much memory as it needs.
    scratch: Wiped,
}

/// Randomness for ids, drawn ahead: asking the operating system for each costs more than encoding a record.
#[derive(Default)]
struct IdPool {
    drawn: Vec<[u8; 10]>,
    next_draw: usize,
}

impl IdPool {
    /// Ids drawn at once at most.
    const DRAW_MAX: usize = 64;

    fn take(&mut self, entropy: &dyn Entropy) -> [u8; 10] {
        if self.drawn.is_empty() {
            // One for a single write, more and more for a long one.
            self.next_draw = (self.next_draw * 2).clamp(1, Self::DRAW_MAX);
            self.drawn.resize(self.next_draw, [0; 10]);
            entropy.fill(self.drawn.as_flattened_mut());
        }
        self.drawn.pop().unwrap_or_else(|| entropy.array())
    }
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

impl<'x, 't> WriteOps<'x, 't> {
    pub(crate) fn new(tx: &'x mut Tx<'t>, vault: VaultNo) -> Result<Self, Error> {
        let log = tx.vault(vault)?.own.data;
        if tx.vault(vault)?.keyring.live_epoch().write.is_none() {
            return Err(Error::NotPermitted);
        }
        Ok(Self {
            tx,
            vault,
            log,
            records: BTreeMap::new(),
            ops: 0,
            ids: IdPool::default(),
            vacant: None,
            scratch: Wiped::default(),
        })
    }

    /// A new id: later ones sort later.
    pub(crate) fn new_id(&mut self) -> RecordId {
        RecordId::new_v7(self.tx.now_ms, self.ids.take(&*self.tx.core.options.entropy))
    }

    /// What this write sees of a record, its own changes included.
    pub(crate) fn get(&mut self, collection: &str, id: &RecordId) -> Result<Option<Fields>, Error> {
        let Some(number) = self.tx.state.collections.number(self.vault, collection) else { return Ok(None) };
        let key = RecordKey::new(self.vault, number, id);
        if let Some(written) = self.records.get(&key) {
            return match &written.row {
                Some(row) => visible(row, &self.tx.state.logs),
                None => Ok(None),
            };
        }
        let row = self.tx.tables.records.get(&key.0)?;
        row.map_or(Ok(None), |row| visible(row.value(), &self.tx.state.logs))
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
            others.extend(visible.into_keys().filter(|name| !fields.iter().any(|(field, _)| field == name)));
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
        let mut rest = &cells[..];
        loop {
            let part;
            (part, rest) = rest.split_at(cells_that_fit(rest));
            self.apply(collection, id, |state, logs| {
                Ok(Some(OpKind::Put(Put::new(state.names_for_put(logs), part.to_vec())?)))
            })?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Deletes a record; says whether there was one.
    pub(crate) fn delete(&mut self, collection: &str, id: &RecordId) -> Result<bool, Error> {
        if self.get(collection, id)?.is_none() {
            return Ok(false);
        }
        self.apply(collection, id, |state, logs| Ok(Some(OpKind::Delete(state.tombstone_for_delete(logs)))))?;
        Ok(true)
    }

    /// Applies one op, made by `make` from the state as it is.
    fn apply<'c>(
        &mut self,
        collection: &str,
        id: &RecordId,
        make: impl FnOnce(&RecordState<'_>, &crate::merge::LogTable) -> Result<Option<OpKind<'c>>, Error>,
    ) -> Result<(), Error> {
        CollectionName::new(collection)?;
        let number = self.tx.intern_collection(self.vault, collection)?;
        let key = RecordKey::new(self.vault, number, id);
        let written = match self.records.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let row = held_row(&self.tx.tables, &mut self.vacant, &key, self.ops)?;
                entry.insert(Written::new(&self.tx.state.collections, number, row)?)
            }
        };
        let old_row = written.row.take();
        let mut state = decode_state(old_row.as_deref())?;
        let Some(kind) = make(&state, &self.tx.state.logs)? else {
            drop(state);
            written.row = old_row;
            return Ok(());
        };
        let stamp = self.tx.state.clock.tick(self.tx.now_ms);
        let op = Op { record: *id, collection: &written.collection, stamp, kind };
        let applied = state.apply(self.log, &op, &mut self.tx.state.logs);
        self.scratch.clear();
        state.encode(&mut self.scratch);
        let row = self.scratch.to_vec();
        let mut pending = decode_pending(*id, &written.collection, &written.ops)?;
        pending.push(op);
        self.scratch.clear();
        pending.encode(&mut self.scratch);
        drop(pending);
        written.ops = Wiped::new(self.scratch.to_vec());
        written.visible_after = applied.visible_after;
        written.changed |= applied.changed;
        written.row = Some(row);
        self.ops += 1;
        Ok(())
    }

    /// Puts everything into the tables. Says whether something waits for sealing.
    pub(crate) fn finish(mut self) -> Result<bool, Error> {
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Ok(false);
        }
        if self.is_bulk(&records)? {
            self.put_bulk(&records)?;
        } else {
            self.put_pending(&records)?;
        }
        let vault = self.tx.vault(self.vault)?.id;
        for (key, written) in records {
            if let Some(row) = &written.row
                && written.changed
            {
                self.tx.tables.records.insert(&key.0, &row[..])?;
            }
            if let Some(kind) = kind_of_change(written.visible_before, written.visible_after) {
                let collection = written.collection;
                self.tx.changes.push(RawChange { vault, collection, id: key.record(), kind });
            }
        }
        Ok(true)
    }

    /// Bulk writes skip coalescing; so none of their records may have ops that wait for it.
    fn is_bulk(&self, records: &BTreeMap<RecordKey, Written>) -> Result<bool, Error> {
        if self.ops < BULK_OPS_MIN {
            return Ok(false);
        }
        let range = crate::store::tables::vault_range(self.vault);
        if self.tx.tables.pending.range::<&[u8; 24]>(range.start()..=range.end())?.next().is_none() {
            return Ok(true);
        }
        for key in records.keys() {
            if self.tx.tables.pending.get(&key.0)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_pending(&mut self, records: &BTreeMap<RecordKey, Written>) -> Result<(), Error> {
        for (key, written) in records {
            let earlier = self.tx.tables.pending.get(&key.0)?.map(|row| row.value().to_vec());
            let Some(earlier) = earlier else {
                self.tx.tables.pending.insert(&key.0, &written.ops[..])?;
                continue;
            };
            let earlier = Wiped::new(earlier);
            let mut pending = decode_pending(key.record(), &written.collection, &earlier)?;
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                pending.push(op);
            }
            let mut row = Vec::new();
            pending.encode(&mut row);
            self.tx.tables.pending.insert(&key.0, &row[..])?;
        }
        Ok(())
    }

    fn put_bulk(&mut self, records: &BTreeMap<RecordKey, Written>) -> Result<(), Error> {
        let vault = self.tx.vault_mut(self.vault)?;
        let batch = vault.next_batch;
        vault.next_batch += 1;
        let seal_now = vault.may_seal;
        let mut chunks = Chunks::default();
        for (key, written) in records {
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                chunks.push(&op);
            }
        }
        let bodies = chunks.finish();
        if seal_now && !self.tx.has_bulk(self.vault)? {
            return self.tx.seal_bodies(self.vault, bodies.iter().map(|body| &body[..]));
        }
        for (chunk, body) in bodies.iter().enumerate() {
            let chunk =
                u32::try_from(chunk).map_err(|_| Error::Store(StoreError::ValueTooLarge { bytes: chunk }))?;
            self.tx.tables.bulk.insert(&bulk_key(self.vault, batch, chunk), &body[..])?;
        }
        Ok(())
    }
}

impl Written {
    fn new(
        collections: &super::state::Collections,
        number: CollectionNo,
        row: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        let visible = decode_state(row.as_deref())?.is_visible();
        Ok(Self {
            collection: collections.name(number).ok_or(StoreError::Inconsistent)?.clone(),
            row,
            ops: Wiped::default(),
            visible_before: visible,
            visible_after: visible,
            changed: false,
        })
    }
}

/// Packs ops into bodies of about the size of a segment.
#[derive(Default)]
pub(crate) struct Chunks {
    current: Option<BodyWriter>,
    done: Vec<Wiped>,
}

impl Chunks {
    pub(crate) fn push(&mut self, op: &Op<'_>) {
        let writer = self.current.get_or_insert_with(|| BodyWriter::new(op.stamp, Vec::new()));
        if writer.push(op, BODY_FILL_BYTES).is_err() {
            let full = self.current.replace(BodyWriter::new(op.stamp, Vec::new()));
            self.done.extend(full.map(|full| Wiped::new(full.finish())));
            // The first op always fits.
            if let Some(writer) = &mut self.current {
                let _ = writer.push(op, BODY_FILL_BYTES);
            }
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Wiped> {
        self.done.extend(self.current.take().map(|last| Wiped::new(last.finish())));
        self.done
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

/// The stored row of a record, if there is one.
fn held_row(
    tables: &Tables<'_>,
    vacant: &mut Option<RangeInclusive<RecordKey>>,
    key: &RecordKey,
    ops_before: usize,
) -> Result<Option<Vec<u8>>, Error> {
    if vacant.as_ref().is_some_and(|vacant| vacant.contains(key)) {
        return Ok(None);
    }
    let row = tables.records.get(&key.0)?.map(|row| row.value().to_vec());
    // A write of one record has nothing to gain.
    if row.is_none() && ops_before > 0 {
        let last = key.last_of_collection();
        if tables.records.range::<&[u8; 24]>(&key.0..=&last.0)?.next().is_none() {
            *vacant = Some(*key..=last);
        }
    }
    Ok(row)
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
