//! Control entries that are signed and in no segment yet.

use redb::ReadableTable;

use super::{Unsealed, UnsealedView};
use crate::error::StoreError;
use crate::keys::{VaultNo, joined, part};

/// Where an entry stands among those of a vault that wait; they are sealed in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPlace(pub u64);

/// An entry that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Where it stands.
    pub place: EntryPlace,
    /// The data of a control segment that has this entry alone.
    pub data: Vec<u8>,
}

impl Unsealed<'_> {
    /// Lets an entry wait behind all others of its vault; where it stands.
    pub fn put_entry(&mut self, vault: VaultNo, data: &[u8]) -> Result<EntryPlace, StoreError> {
        let range = entries_of(vault);
        let last = self.entries.range::<&[u8; 12]>(&range.0..=&range.1)?.next_back().transpose()?;
        let place = last.map_or(0, |(key, _)| place_of(key.value()).0 + 1);
        self.entries.insert(&entry_key(vault, EntryPlace(place)), data)?;
        Ok(EntryPlace(place))
    }

    /// The entries of a vault that wait, in their order.
    pub fn entries(&self, vault: VaultNo) -> Result<Vec<EntryRow>, StoreError> {
        rows(&self.entries, vault)
    }

    /// Takes an entry out; whether it was there.
    pub fn forget_entry(&mut self, vault: VaultNo, place: EntryPlace) -> Result<bool, StoreError> {
        Ok(self.entries.remove(&entry_key(vault, place))?.is_some())
    }
}

impl UnsealedView {
    /// The entries of a vault that wait, in their order.
    pub fn entries(&self, vault: VaultNo) -> Result<Vec<EntryRow>, StoreError> {
        rows(&self.entries, vault)
    }
}

fn rows(
    table: &impl ReadableTable<&'static [u8; 12], &'static [u8]>,
    vault: VaultNo,
) -> Result<Vec<EntryRow>, StoreError> {
    let range = entries_of(vault);
    let rows = table.range::<&[u8; 12]>(&range.0..=&range.1)?;
    rows.map(|row| {
        let (key, data) = row?;
        Ok(EntryRow { place: place_of(key.value()), data: data.value().to_vec() })
    })
    .collect()
}

pub(super) fn entries_of(vault: VaultNo) -> ([u8; 12], [u8; 12]) {
    (entry_key(vault, EntryPlace(0)), entry_key(vault, EntryPlace(u64::MAX)))
}

fn entry_key(vault: VaultNo, place: EntryPlace) -> [u8; 12] {
    joined(&[&vault.0.to_be_bytes(), &place.0.to_be_bytes()])
}

fn place_of(key: &[u8; 12]) -> EntryPlace {
    EntryPlace(u64::from_be_bytes(part(key, 4)))
}
