//! The tables of a store and their keys (`docs/FORMAT.md`, "Tables").
//!
//! Keys are fixed-length big-endian bytes, so that their order is that of their parts and comparing them is one
//! `memcmp`. Vaults, collections and logs are interned: their numbers are of this store and never leave it.

use redb::{Table, TableDefinition, WriteTransaction};
pub use subrosa_model::merge::VaultNo;
use subrosa_model::merge::{LogNo, RecordId};
use subrosa_protocol::ids::{LogId, Pin, Seq};

use crate::error::StoreError;

/// Facts about the store itself, by name.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Vault number to id and name.
pub const VAULTS: TableDefinition<u32, &[u8]> = TableDefinition::new("vaults");
/// Vault number to its keyring.
pub const KEYRINGS: TableDefinition<u32, &[u8]> = TableDefinition::new("keyrings");
/// Vault number and name to collection number.
pub const COLLECTIONS: TableDefinition<&[u8], u32> = TableDefinition::new("collections");
/// Log number to vault, public key and class. Only logs with a certificate have one, and this device's own.
pub const LOGS: TableDefinition<u32, &[u8; 70]> = TableDefinition::new("logs");
/// Log and seq to chain and sealed segment.
pub const SEGMENTS: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("segments");
/// Log to head and to what of it is merged.
pub const HEADS: TableDefinition<u32, &[u8; 48]> = TableDefinition::new("heads");
/// Relay and vault to cursor.
pub const CURSORS: TableDefinition<&[u8; 36], &[u8]> = TableDefinition::new("cursors");
/// Relay and log to the head that the relay holds.
pub const RELAY_HEADS: TableDefinition<&[u8; 36], &[u8; 40]> = TableDefinition::new("relay heads");
/// Log and seq to why a segment is not merged, and the segment where it is held only here.
pub const QUARANTINE: TableDefinition<&[u8; 12], &[u8]> = TableDefinition::new("quarantine");
/// Vault, log and seq to chain and segment, of logs without a certificate.
pub const WAITING: TableDefinition<&[u8; 28], &[u8]> = TableDefinition::new("waiting");
/// Vault, log and relay to the head that the relay has shown, of logs without a certificate.
pub const SHOWN: TableDefinition<&[u8; 52], &[u8; 40]> = TableDefinition::new("shown");
/// Vault, log that has no certificate, log and seq of a segment whose tombstones name it.
pub const NOTES: TableDefinition<&[u8; 32], ()> = TableDefinition::new("notes");

/// The tables that have no door of their own yet, open for writing. What is merged and what waits for sealing have one:
/// [`super::records`] and [`super::unsealed`].
#[expect(missing_docs, reason = "each is the table of that name above")]
pub struct Tables<'t> {
    pub meta: Table<'t, &'static str, &'static [u8]>,
    pub vaults: Table<'t, u32, &'static [u8]>,
    pub keyrings: Table<'t, u32, &'static [u8]>,
    pub collections: Table<'t, &'static [u8], u32>,
    pub logs: Table<'t, u32, &'static [u8; 70]>,
    pub segments: Table<'t, &'static [u8; 12], &'static [u8]>,
    pub heads: Table<'t, u32, &'static [u8; 48]>,
    pub cursors: Table<'t, &'static [u8; 36], &'static [u8]>,
    pub relay_heads: Table<'t, &'static [u8; 36], &'static [u8; 40]>,
    pub quarantine: Table<'t, &'static [u8; 12], &'static [u8]>,
    pub waiting: Table<'t, &'static [u8; 28], &'static [u8]>,
    pub shown: Table<'t, &'static [u8; 52], &'static [u8; 40]>,
    pub notes: Table<'t, &'static [u8; 32], ()>,
}

impl<'t> Tables<'t> {
    /// Opens all of them, and makes those that are missing.
    ///
    /// # Errors
    /// What redb reports.
    pub fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: txn.open_table(META)?,
            vaults: txn.open_table(VAULTS)?,
            keyrings: txn.open_table(KEYRINGS)?,
            collections: txn.open_table(COLLECTIONS)?,
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            heads: txn.open_table(HEADS)?,
            cursors: txn.open_table(CURSORS)?,
            relay_heads: txn.open_table(RELAY_HEADS)?,
            quarantine: txn.open_table(QUARANTINE)?,
            waiting: txn.open_table(WAITING)?,
            shown: txn.open_table(SHOWN)?,
            notes: txn.open_table(NOTES)?,
        })
    }
}

/// Number of a collection in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionNo(pub u32);

/// Key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub(super) [u8; 24]);

impl RecordKey {
    /// The key of one record of a collection.
    pub fn new(vault: VaultNo, collection: CollectionNo, record: &RecordId) -> Self {
        let mut key = [0; 24];
        key[..4].copy_from_slice(&vault.0.to_be_bytes());
        key[4..8].copy_from_slice(&collection.0.to_be_bytes());
        key[8..].copy_from_slice(record.as_bytes());
        Self(key)
    }

    /// The vault that it belongs to.
    pub fn vault(&self) -> VaultNo {
        VaultNo(u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]))
    }

    /// The collection that it belongs to.
    pub fn collection(&self) -> CollectionNo {
        CollectionNo(u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]]))
    }

    /// The last key that the collection may have.
    pub const fn last_of_collection(&self) -> Self {
        let mut key = [0xff; 24];
        key.split_at_mut(8).0.copy_from_slice(self.0.split_at(8).0);
        Self(key)
    }

    /// The id of the record.
    pub fn record(&self) -> RecordId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[8..]);
        RecordId::from_bytes(id)
    }
}

/// Key of a segment, and of its quarantine entry.
pub fn segment_key(log: LogNo, seq: Seq) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&log.0.to_be_bytes());
    key[4..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Key of a segment of a log without a certificate.
pub fn waiting_key(vault: VaultNo, log: &LogId, seq: Seq) -> [u8; 28] {
    let mut key = [0; 28];
    key[..4].copy_from_slice(&vault.0.to_be_bytes());
    key[4..20].copy_from_slice(log.as_bytes());
    key[20..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Key of the head of a log without a certificate at a relay.
pub fn shown_key(vault: VaultNo, log: &LogId, relay: &Pin) -> [u8; 52] {
    let mut key = [0; 52];
    key[..4].copy_from_slice(&vault.0.to_be_bytes());
    key[4..20].copy_from_slice(log.as_bytes());
    key[20..].copy_from_slice(relay.as_bytes());
    key
}

/// Key of a note: segment `seq` of log `by` names `named`.
pub fn note_key(vault: VaultNo, named: &LogId, by: LogNo, seq: Seq) -> [u8; 32] {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&vault.0.to_be_bytes());
    key[4..20].copy_from_slice(named.as_bytes());
    key[20..].copy_from_slice(&segment_key(by, seq));
    key
}

/// Key of what concerns a relay and a vault or log.
pub fn relay_key(pin: &Pin, number: u32) -> [u8; 36] {
    let mut key = [0; 36];
    key[..32].copy_from_slice(pin.as_bytes());
    key[32..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Key of a collection.
pub fn collection_key(vault: VaultNo, name: &str) -> Vec<u8> {
    let mut key = vault.0.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}
