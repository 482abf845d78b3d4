//! What this device wrote and has not sealed: the door to the tables *pending* and *bulk* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. It knows their keys and gives back what was put in; what the bytes mean, and how ops of
//! one record are coalesced, is up to the caller.

use std::ops::RangeInclusive;

use redb::{
    Key, Range, ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction,
};
use subrosa_model::wiped::Wiped;

use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo};

#[cfg(test)]
mod tests;

/// Vault, collection, record id to ops not sealed yet, coalesced.
const PENDING: TableDefinition<&[u8; 24], &[u8]> = TableDefinition::new("pending");
/// Vault, batch, chunk to the body of a bulk write not sealed yet.
const BULK: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("bulk");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    vec![crate::doors::shape(PENDING), crate::doors::shape(BULK)]
}

/// The rows of one bulk write, a body each.
pub type Bodies = Vec<Wiped>;

/// What waits, open for writing.
pub struct Unsealed<'t> {
    pending: Table<'t, &'static [u8; 24], &'static [u8]>,
    bulk: Table<'t, &'static [u8; 16], &'static [u8]>,
}

impl<'t> Unsealed<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self { pending: txn.open_table(PENDING)?, bulk: txn.open_table(BULK)? })
    }

    /// Whether a record of the vault has ops that wait.
    pub fn has_any_ops(&self, vault: VaultNo) -> Result<bool, StoreError> {
        let range = records_of(vault);
        holds_any(self.pending.range::<&[u8; 24]>(range.start()..=range.end())?)
    }

    /// Whether the record has ops that wait.
    pub fn has_ops(&self, key: &RecordKey) -> Result<bool, StoreError> {
        Ok(self.pending.get(&key.0)?.is_some())
    }

    /// The ops of a record that wait.
    pub fn ops(&self, key: &RecordKey) -> Result<Option<Wiped>, StoreError> {
        Ok(self.pending.get(&key.0)?.map(|row| Wiped::new(row.value().to_vec())))
    }

    /// Puts the ops of a record in the place of those that waited.
    pub fn put_ops(&mut self, key: &RecordKey, ops: &[u8]) -> Result<(), StoreError> {
        self.pending.insert(&key.0, ops)?;
        Ok(())
    }

    /// Takes the ops of all records of a vault out, in the order of their keys.
    pub fn take_ops(&mut self, vault: VaultNo) -> Result<Vec<(RecordKey, Wiped)>, StoreError> {
        let range = records_of(vault);
        let mut taken = Vec::new();
        for row in self.pending.range::<&[u8; 24]>(range.start()..=range.end())? {
            let (key, row) = row?;
            taken.push((RecordKey(*key.value()), Wiped::new(row.value().to_vec())));
        }
        for (key, _) in &taken {
            self.pending.remove(&key.0)?;
        }
        Ok(taken)
    }

    /// Whether a bulk write of the vault waits.
    pub fn has_bulk(&self, vault: VaultNo) -> Result<bool, StoreError> {
        let range = bulk_of(vault);
        holds_any(self.bulk.range::<&[u8; 16]>(range.start()..=range.end())?)
    }

    /// Adds a bulk write. They are taken in the order of their `batch`.
    pub fn put_bulk(&mut self, vault: VaultNo, batch: u64, bodies: &[Wiped]) -> Result<(), StoreError> {
        for (chunk, body) in bodies.iter().enumerate() {
            let number = u32::try_from(chunk).map_err(|_| StoreError::ValueTooLarge { bytes: chunk })?;
            self.bulk.insert(&bulk_key(vault, batch, number), &body[..])?;
        }
        Ok(())
    }

    /// Takes the oldest bulk writes of a vault out, whole ones, until they have `bytes_max` bytes or more. Says whether some
    /// are left.
    pub fn take_bulk(&mut self, vault: VaultNo, bytes_max: usize) -> Result<(Vec<Bodies>, bool), StoreError> {
        let range = bulk_of(vault);
        let (mut keys, mut batches) = (Vec::<[u8; 16]>::new(), Vec::<Bodies>::new());
        let (mut bytes, mut more) = (0, false);
        for row in self.bulk.range::<&[u8; 16]>(range.start()..=range.end())? {
            let (key, row) = row?;
            let key = *key.value();
            let same = keys.last().is_some_and(|before| before[..12] == key[..12]);
            if !same && bytes >= bytes_max {
                more = true;
                break;
            }
            keys.push(key);
            let body = Wiped::new(row.value().to_vec());
            bytes += body.len();
            match batches.last_mut().filter(|_| same) {
                Some(batch) => batch.push(body),
                None => batches.push(vec![body]),
            }
        }
        for key in &keys {
            self.bulk.remove(key)?;
        }
        Ok((batches, more))
    }
}

/// What waits, as of one moment.
pub struct UnsealedView {
    pending: ReadOnlyTable<&'static [u8; 24], &'static [u8]>,
    bulk: ReadOnlyTable<&'static [u8; 16], &'static [u8]>,
}

impl UnsealedView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { pending: txn.open_table(PENDING)?, bulk: txn.open_table(BULK)? })
    }

    /// Whether anything of a vault waits.
    pub fn any(&self, vault: VaultNo) -> Result<bool, StoreError> {
        let (records, bodies) = (records_of(vault), bulk_of(vault));
        let records = self.pending.range::<&[u8; 24]>(records.start()..=records.end())?;
        let bodies = self.bulk.range::<&[u8; 16]>(bodies.start()..=bodies.end())?;
        Ok(holds_any(records)? || holds_any(bodies)?)
    }

    /// Number of records whose ops wait, and of bodies of bulk writes.
    pub fn count(&self, vault: VaultNo) -> Result<u64, StoreError> {
        let (records, bodies) = (records_of(vault), bulk_of(vault));
        let records = self.pending.range::<&[u8; 24]>(records.start()..=records.end())?.count();
        let bodies = self.bulk.range::<&[u8; 16]>(bodies.start()..=bodies.end())?.count();
        Ok(records as u64 + bodies as u64)
    }

    /// The number that the next bulk write of a vault gets.
    pub fn next_batch(&self, vault: VaultNo) -> Result<u64, StoreError> {
        let range = bulk_of(vault);
        let last = self.bulk.range::<&[u8; 16]>(range.start()..=range.end())?.next_back().transpose()?;
        Ok(last.map_or(0, |(key, _)| {
            let mut batch = [0; 8];
            batch.copy_from_slice(&key.value()[4..12]);
            u64::from_be_bytes(batch) + 1
        }))
    }
}

/// Whether a range of a table has a row.
fn holds_any<K: Key + 'static>(mut rows: Range<'_, K, &'static [u8]>) -> Result<bool, StoreError> {
    Ok(rows.next().transpose()?.is_some())
}

fn records_of(vault: VaultNo) -> RangeInclusive<[u8; 24]> {
    let (mut first, mut last) = ([0; 24], [0xff; 24]);
    first[..4].copy_from_slice(&vault.0.to_be_bytes());
    last[..4].copy_from_slice(&vault.0.to_be_bytes());
    first..=last
}

fn bulk_of(vault: VaultNo) -> RangeInclusive<[u8; 16]> {
    bulk_key(vault, 0, 0)..=bulk_key(vault, u64::MAX, u32::MAX)
}

fn bulk_key(vault: VaultNo, batch: u64, chunk: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&vault.0.to_be_bytes());
    key[4..12].copy_from_slice(&batch.to_be_bytes());
    key[12..].copy_from_slice(&chunk.to_be_bytes());
    key
}
