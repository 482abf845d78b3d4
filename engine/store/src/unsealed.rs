//! What this device wrote and has not sealed: the door to the tables *entries*, *batches*, *pending* and *bulk* (`docs/FORMAT.md`,
//! "Tables" and "Batches").
//!
//! Nobody else names these tables. It knows their keys and gives back what was put in; what the bytes of an op mean, how ops
//! of one record are coalesced, and when a batch is closed, is up to the caller.

use std::ops::RangeInclusive;

use redb::{
    Key, Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction,
};
use subrosa_model::merge::GroupHead;
use subrosa_model::wiped::Wiped;
use subrosa_protocol::codec::Reader;

use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo, joined, part};

mod entries;
#[cfg(test)]
mod tests;

pub use entries::{EntryPlace, EntryRow};

/// Vault and place to a control entry not sealed yet.
const ENTRIES: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("entries");

/// Vault and batch to what is known of it.
const BATCHES: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("batches");
/// Vault, batch, collection, record id to ops not sealed yet, coalesced.
const PENDING: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("pending");
/// Vault, batch, chunk to the body of a bulk write not sealed yet.
const BULK: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("bulk");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(ENTRIES), shape(BATCHES), shape(PENDING), shape(BULK)]
}

/// Number of a batch of a vault; batches are sealed in the order of their numbers, which is that of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchNo(pub u64);

impl BatchNo {
    /// The one behind it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What waits together and is sealed as one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// Where its ops lie, and whether more may come.
    pub kind: BatchKind,
    /// How many ops were written into it.
    pub ops: u32,
    /// Bytes of its rows.
    pub bytes: u64,
}

/// Where the ops of a batch lie, and whether more may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// In *pending*, coalesced, and more may come. What was seen is not said yet.
    Open(GroupHead),
    /// In *pending*, and nothing is added any more.
    Closed(GroupHead),
    /// In *bulk*, as bodies of which the first has the head.
    Bulk,
}

/// The rows of one bulk write, a body each.
pub type Bodies = Vec<Wiped>;

/// The batches of one vault, in their order.
pub struct BatchRows<'t>(Range<'t, &'static [u8; 12], &'static [u8]>);

/// What waits, open for writing.
pub struct Unsealed<'t> {
    entries: Table<'t, &'static [u8; 12], &'static [u8]>,
    batches: Table<'t, &'static [u8; 12], &'static [u8]>,
    pending: Table<'t, &'static [u8; 32], &'static [u8]>,
    bulk: Table<'t, &'static [u8; 16], &'static [u8]>,
}

impl<'t> Unsealed<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            entries: txn.open_table(ENTRIES)?,
            batches: txn.open_table(BATCHES)?,
            pending: txn.open_table(PENDING)?,
            bulk: txn.open_table(BULK)?,
        })
    }

    /// The oldest batch of a vault.
    pub fn first_batch(&self, vault: VaultNo) -> Result<Option<(BatchNo, BatchRow)>, StoreError> {
        let range = batches_of(vault);
        BatchRows(self.batches.range::<&[u8; 12]>(range.start()..=range.end())?).next().transpose()
    }

    /// Puts a batch in the place of what was known of it.
    pub fn put_batch(&mut self, vault: VaultNo, batch: BatchNo, row: &BatchRow) -> Result<(), StoreError> {
        self.batches.insert(&batch_key(vault, batch), &row.encode()[..])?;
        Ok(())
    }

    /// The ops of a record that wait in a batch.
    pub fn ops(&self, batch: BatchNo, key: &RecordKey) -> Result<Option<Wiped>, StoreError> {
        Ok(self.pending.get(&pending_key(batch, key))?.map(|row| Wiped::new(row.value().to_vec())))
    }

    /// Puts the ops of a record in the place of those that waited in the batch.
    pub fn put_ops(&mut self, batch: BatchNo, key: &RecordKey, ops: &[u8]) -> Result<(), StoreError> {
        self.pending.insert(&pending_key(batch, key), ops)?;
        Ok(())
    }

    /// Adds the bodies of a bulk write.
    pub fn put_bulk(&mut self, vault: VaultNo, batch: BatchNo, bodies: &[Wiped]) -> Result<(), StoreError> {
        for (chunk, body) in bodies.iter().enumerate() {
            let number = u32::try_from(chunk).map_err(|_| StoreError::ValueTooLarge { bytes: chunk })?;
            self.bulk.insert(&bulk_key(vault, batch, number), &body[..])?;
        }
        Ok(())
    }

    /// Takes a batch out, with the ops of its records in the order of their keys.
    pub fn take_ops(
        &mut self,
        vault: VaultNo,
        batch: BatchNo,
    ) -> Result<Vec<(RecordKey, Wiped)>, StoreError> {
        let range = records_of(vault, batch..=batch);
        let mut taken = Vec::new();
        for row in self.pending.range::<&[u8; 32]>(range.start()..=range.end())? {
            let (key, row) = row?;
            let key = RecordKey(joined(&[&key.value()[..4], &key.value()[12..]]));
            taken.push((key, Wiped::new(row.value().to_vec())));
        }
        for (key, _) in &taken {
            self.pending.remove(&pending_key(batch, key))?;
        }
        self.batches.remove(&batch_key(vault, batch))?;
        Ok(taken)
    }

    /// Takes a batch out, with the bodies of its bulk write.
    pub fn take_bulk(&mut self, vault: VaultNo, batch: BatchNo) -> Result<Bodies, StoreError> {
        let range = bulk_of(vault, batch..=batch);
        let (mut keys, mut bodies) = (Vec::<[u8; 16]>::new(), Bodies::new());
        for row in self.bulk.range::<&[u8; 16]>(range.start()..=range.end())? {
            let (key, row) = row?;
            keys.push(*key.value());
            bodies.push(Wiped::new(row.value().to_vec()));
        }
        for key in &keys {
            self.bulk.remove(key)?;
        }
        self.batches.remove(&batch_key(vault, batch))?;
        Ok(bodies)
    }
}

/// What waits, as of one moment.
pub struct UnsealedView {
    entries: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    batches: ReadOnlyTable<&'static [u8; 12], &'static [u8]>,
    pending: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    bulk: ReadOnlyTable<&'static [u8; 16], &'static [u8]>,
}

impl UnsealedView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            entries: txn.open_table(ENTRIES)?,
            batches: txn.open_table(BATCHES)?,
            pending: txn.open_table(PENDING)?,
            bulk: txn.open_table(BULK)?,
        })
    }

    /// The batches of a vault, in their order.
    pub fn batches(&self, vault: VaultNo) -> Result<BatchRows<'_>, StoreError> {
        let range = batches_of(vault);
        Ok(BatchRows(self.batches.range::<&[u8; 12]>(range.start()..=range.end())?))
    }

    /// The last batch of a vault.
    pub fn last_batch(&self, vault: VaultNo) -> Result<Option<(BatchNo, BatchRow)>, StoreError> {
        let range = batches_of(vault);
        let mut batches = self.batches.range::<&[u8; 12]>(range.start()..=range.end())?;
        batches.next_back().map(|row| decode_batch(row?)).transpose()
    }

    /// Whether anything of a vault waits.
    pub fn any(&self, vault: VaultNo) -> Result<bool, StoreError> {
        let (range, entries) = (batches_of(vault), entries::entries_of(vault));
        Ok(holds_any(self.entries.range::<&[u8; 12]>(&entries.0..=&entries.1)?)?
            || holds_any(self.batches.range::<&[u8; 12]>(range.start()..=range.end())?)?)
    }

    /// Number of rows that wait: entries, records of each batch, and bodies of bulk writes.
    pub fn count(&self, vault: VaultNo) -> Result<u64, StoreError> {
        let all = BatchNo(0)..=BatchNo(u64::MAX);
        let (records, bodies) = (records_of(vault, all.clone()), bulk_of(vault, all));
        let records = self.pending.range::<&[u8; 32]>(records.start()..=records.end())?.count();
        let bodies = self.bulk.range::<&[u8; 16]>(bodies.start()..=bodies.end())?.count();
        let entries = entries::entries_of(vault);
        let entries = self.entries.range::<&[u8; 12]>(&entries.0..=&entries.1)?.count();
        Ok(records as u64 + bodies as u64 + entries as u64)
    }
}

impl Iterator for BatchRows<'_> {
    type Item = Result<(BatchNo, BatchRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).and_then(decode_batch))
    }
}

impl BatchRow {
    /// `state u8 | ops u32 | bytes u64 | head`, without a head in bulk.
    fn encode(&self) -> Vec<u8> {
        let (state, head) = match &self.kind {
            BatchKind::Open(head) => (1, Some(head)),
            BatchKind::Closed(head) => (2, Some(head)),
            BatchKind::Bulk => (3, None),
        };
        let mut row = vec![state];
        row.extend_from_slice(&self.ops.to_be_bytes());
        row.extend_from_slice(&self.bytes.to_be_bytes());
        if let Some(head) = head {
            head.write(&mut row);
        }
        row
    }

    fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let read = |mut reader: Reader<'_>| {
            let (state, ops, bytes) = (reader.u8()?, reader.u32()?, reader.u64()?);
            let head = if state == 3 { None } else { Some(GroupHead::read(&mut reader)?) };
            reader.finish().map(|()| (state, ops, bytes, head))
        };
        let (state, ops, bytes, head) = read(Reader::new(row)).map_err(|_| StoreError::Inconsistent)?;
        let kind = match (state, head) {
            (1, Some(head)) => BatchKind::Open(head),
            (2, Some(head)) => BatchKind::Closed(head),
            (3, None) => BatchKind::Bulk,
            _ => return Err(StoreError::Inconsistent),
        };
        Ok(Self { kind, ops, bytes })
    }
}

/// Reads a row, for fuzzing: what it says is written again, the same.
#[cfg(feature = "testing")]
pub(crate) fn read_row(row: &[u8]) {
    if let Ok(batch) = BatchRow::decode(row) {
        assert_eq!(batch.encode(), row);
    }
}

type StoredBatch<'t> = (redb::AccessGuard<'t, &'static [u8; 12]>, redb::AccessGuard<'t, &'static [u8]>);

fn decode_batch((key, row): StoredBatch<'_>) -> Result<(BatchNo, BatchRow), StoreError> {
    let number = BatchNo(u64::from_be_bytes(part(key.value(), 4)));
    Ok((number, BatchRow::decode(row.value())?))
}

/// Whether a range of a table has a row.
fn holds_any<K: Key + 'static>(mut rows: Range<'_, K, &'static [u8]>) -> Result<bool, StoreError> {
    Ok(rows.next().transpose()?.is_some())
}

fn batches_of(vault: VaultNo) -> RangeInclusive<[u8; 12]> {
    batch_key(vault, BatchNo(0))..=batch_key(vault, BatchNo(u64::MAX))
}

fn records_of(vault: VaultNo, batches: RangeInclusive<BatchNo>) -> RangeInclusive<[u8; 32]> {
    let (first, last) = batches.into_inner();
    joined(&[&batch_key(vault, first), &[0; 20]])..=joined(&[&batch_key(vault, last), &[0xff; 20]])
}

fn bulk_of(vault: VaultNo, batches: RangeInclusive<BatchNo>) -> RangeInclusive<[u8; 16]> {
    let (first, last) = batches.into_inner();
    bulk_key(vault, first, 0)..=bulk_key(vault, last, u32::MAX)
}

fn batch_key(vault: VaultNo, batch: BatchNo) -> [u8; 12] {
    joined(&[&vault.0.to_be_bytes(), &batch.0.to_be_bytes()])
}

fn pending_key(batch: BatchNo, key: &RecordKey) -> [u8; 32] {
    joined(&[&batch_key(key.vault(), batch), &key.0[4..]])
}

fn bulk_key(vault: VaultNo, batch: BatchNo, chunk: u32) -> [u8; 16] {
    joined(&[&batch_key(vault, batch), &chunk.to_be_bytes()])
}
