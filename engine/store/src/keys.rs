//! The numbers and keys of the tables (`docs/FORMAT.md`, "Tables").
//!
//! Keys are fixed-length big-endian bytes, so that their order is that of their parts and comparing them is one
//! `memcmp`. Vaults, collections and logs are interned: their numbers are of this store and never leave it. What is the key
//! of one door's tables alone is put together behind that door.

use subrosa_model::merge::RecordId;
pub use subrosa_model::merge::VaultNo;

/// Number of a collection in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionNo(pub u32);

/// Key of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub(crate) [u8; 24]);

impl RecordKey {
    /// The key of one record of a collection.
    pub fn new(vault: VaultNo, collection: CollectionNo, record: &RecordId) -> Self {
        let mut key = [0; 24];
        key[..4].copy_from_slice(&vault.0.to_be_bytes());
        key[4..8].copy_from_slice(&collection.0.to_be_bytes());
        key[8..].copy_from_slice(record.as_bytes());
        Self(key)
    }

    /// The first key that a vault may have.
    pub fn first_of(vault: VaultNo) -> Self {
        Self::new(vault, CollectionNo(0), &RecordId::from_bytes([0; 16]))
    }

    /// The last one.
    pub fn last_of(vault: VaultNo) -> Self {
        Self::new(vault, CollectionNo(u32::MAX), &RecordId::from_bytes([0xff; 16]))
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

/// Parts of a key, or of a row, one behind the other.
pub(crate) fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let (mut whole, mut at) = ([0; N], 0);
    for part in parts {
        whole[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N, "the parts are the whole");
    whole
}

/// A part of a key, or of a row, of fixed length.
pub(crate) fn part<const N: usize>(whole: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&whole[at..at + N]);
    part
}
