//! The vaults of a store, their collections, and facts about the store itself: the door to the tables *meta*, *vaults*,
//! *keyrings*, *members*, *frontiers* and *collections* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables, nor a name in *meta*. A keyring and an image of members go in and out as bytes: what is in
//! them, only the model knows.

use redb::{
    AccessGuard, Range, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};
use subrosa_model::merge::Stamp;
use subrosa_protocol::ids::{Chain, Head, LogId, Seq, VaultId};

use crate::error::StoreError;
use crate::keys::{CollectionNo, VaultNo, joined, part};

#[cfg(test)]
mod tests;

/// Facts about the store itself, by name.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Vault number to id and name.
const VAULTS: TableDefinition<u32, &[u8]> = TableDefinition::new("vaults");
/// Vault number to its keyring.
const KEYRINGS: TableDefinition<u32, &[u8]> = TableDefinition::new("keyrings");
/// Vault number to an image of its members.
const MEMBERS: TableDefinition<u32, &[u8]> = TableDefinition::new("members");
/// Vault number to the heads that this device was told a relay must show.
const FRONTIERS: TableDefinition<u32, &[u8]> = TableDefinition::new("frontiers");
/// Vault number and name to collection number.
const COLLECTIONS: TableDefinition<&[u8], u32> = TableDefinition::new("collections");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(META), shape(VAULTS), shape(KEYRINGS), shape(MEMBERS), shape(FRONTIERS), shape(COLLECTIONS)]
}

/// `log id | seq | chain`.
const HEAD_LEN: usize = 16 + 8 + 32;

/// The format of the tables.
const META_FORMAT: &str = "format";
/// This device's name. Written last when a store is made: without it, that was never finished.
const META_NAME: &str = "name";
/// Address of the relay, empty if none.
const META_RELAY: &str = "relay";
/// The largest stamp made or merged.
const META_CLOCK: &str = "clock";
/// As [`META_CLOCK`], of one vault by itself; its number follows.
const META_CLOCK_OF: &str = "clock of vault ";

/// Vaults and facts, open for writing.
pub struct Vaults<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    vaults: Table<'t, u32, &'static [u8]>,
    keyrings: Table<'t, u32, &'static [u8]>,
    members: Table<'t, u32, &'static [u8]>,
    frontiers: Table<'t, u32, &'static [u8]>,
    collections: Table<'t, &'static [u8], u32>,
}

/// Vaults and facts, as of one moment.
pub struct VaultsView {
    meta: ReadOnlyTable<&'static str, &'static [u8]>,
    vaults: ReadOnlyTable<u32, &'static [u8]>,
    keyrings: ReadOnlyTable<u32, &'static [u8]>,
    members: ReadOnlyTable<u32, &'static [u8]>,
    frontiers: ReadOnlyTable<u32, &'static [u8]>,
    collections: ReadOnlyTable<&'static [u8], u32>,
}

/// A vault of this store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRow {
    /// Its id.
    pub id: VaultId,
    /// The name that this device gives it.
    pub name: String,
}

/// A collection that has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRow {
    /// The vault that it is in.
    pub vault: VaultNo,
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: CollectionNo,
}

/// A keyring, or an image of members, where it lies in the store.
pub struct StoredBytes<'t>(AccessGuard<'t, &'static [u8]>);

/// The vaults, in the order in which they came here.
pub struct VaultRows<'t>(Range<'t, u32, &'static [u8]>);

/// The collections of all vaults, vault by vault.
pub struct CollectionRows<'t>(Range<'t, &'static [u8], u32>);

impl<'t> Vaults<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: txn.open_table(META)?,
            vaults: txn.open_table(VAULTS)?,
            keyrings: txn.open_table(KEYRINGS)?,
            members: txn.open_table(MEMBERS)?,
            frontiers: txn.open_table(FRONTIERS)?,
            collections: txn.open_table(COLLECTIONS)?,
        })
    }

    /// Adds a vault, or names it anew.
    pub fn put_vault(&mut self, vault: VaultNo, row: &VaultRow) -> Result<(), StoreError> {
        self.vaults.insert(vault.0, &[&row.id.as_bytes()[..], row.name.as_bytes()].concat()[..])?;
        Ok(())
    }

    /// Puts a vault's keyring, encoded, in the place of the one before.
    pub fn put_keyring(&mut self, vault: VaultNo, keyring: &[u8]) -> Result<(), StoreError> {
        self.keyrings.insert(vault.0, keyring)?;
        Ok(())
    }

    /// Puts an image of a vault's members in the place of the one before.
    pub fn put_members(&mut self, vault: VaultNo, image: &[u8]) -> Result<(), StoreError> {
        self.members.insert(vault.0, image)?;
        Ok(())
    }

    /// Takes the image of a vault's members out: it holds what does not count any more.
    pub fn forget_members(&mut self, vault: VaultNo) -> Result<(), StoreError> {
        self.members.remove(vault.0)?;
        Ok(())
    }

    /// Puts the heads that a relay must show of a vault in the place of those before; none, when all were shown.
    pub fn put_frontier(&mut self, vault: VaultNo, heads: &[Head]) -> Result<(), StoreError> {
        if heads.is_empty() {
            self.frontiers.remove(vault.0)?;
            return Ok(());
        }
        let mut row = Vec::with_capacity(heads.len() * HEAD_LEN);
        for Head { log, seq, chain } in heads {
            row.extend_from_slice(&joined::<HEAD_LEN>(&[
                log.as_bytes(),
                &seq.0.to_be_bytes(),
                chain.as_bytes(),
            ]));
        }
        self.frontiers.insert(vault.0, &row[..])?;
        Ok(())
    }

    /// Gives a collection its number.
    pub fn put_collection(
        &mut self,
        vault: VaultNo,
        name: &str,
        number: CollectionNo,
    ) -> Result<(), StoreError> {
        let key = [&vault.0.to_be_bytes()[..], name.as_bytes()].concat();
        self.collections.insert(&key[..], number.0)?;
        Ok(())
    }

    /// Says which format the tables have.
    pub fn put_format(&mut self, format: u32) -> Result<(), StoreError> {
        self.put(META_FORMAT, &format.to_be_bytes())
    }

    /// Keeps the device's name; with it, a store is finished.
    pub fn put_name(&mut self, name: &str) -> Result<(), StoreError> {
        self.put(META_NAME, name.as_bytes())
    }

    /// Keeps the address of the relay; an empty one is none.
    pub fn put_relay(&mut self, relay: &str) -> Result<(), StoreError> {
        self.put(META_RELAY, relay.as_bytes())
    }

    /// Keeps the largest stamp made or merged.
    pub fn put_clock(&mut self, latest: Stamp) -> Result<(), StoreError> {
        self.put(META_CLOCK, &latest.0.to_be_bytes())
    }

    /// Keeps the largest stamp made in a vault whose clock goes by itself; `None`: it does not any more.
    pub fn put_clock_of(&mut self, vault: VaultNo, latest: Option<Stamp>) -> Result<(), StoreError> {
        let name = clock_of(vault);
        match latest {
            Some(latest) => self.put(&name, &latest.0.to_be_bytes()),
            None => {
                self.meta.remove(&*name)?;
                Ok(())
            }
        }
    }

    fn put(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(name, value)?;
        Ok(())
    }
}

/// The name in *meta* of a vault's own clock.
fn clock_of(vault: VaultNo) -> String {
    format!("{META_CLOCK_OF}{}", vault.0)
}

impl VaultsView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            meta: txn.open_table(META)?,
            vaults: txn.open_table(VAULTS)?,
            keyrings: txn.open_table(KEYRINGS)?,
            members: txn.open_table(MEMBERS)?,
            frontiers: txn.open_table(FRONTIERS)?,
            collections: txn.open_table(COLLECTIONS)?,
        })
    }

    /// `None` of a store whose making was cut short before it had tables: all are made in one transaction.
    pub(crate) fn open_if_made(txn: &ReadTransaction) -> Result<Option<Self>, StoreError> {
        match txn.open_table(META) {
            Ok(_) => Self::open(txn).map(Some),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The format of the tables.
    pub fn format(&self) -> Result<Option<u32>, StoreError> {
        Ok(self.fixed(META_FORMAT)?.map(u32::from_be_bytes))
    }

    /// The device's name; a store without one was never finished.
    pub fn name(&self) -> Result<Option<String>, StoreError> {
        self.text(META_NAME)
    }

    /// The address of the relay; an empty one is none.
    pub fn relay(&self) -> Result<Option<String>, StoreError> {
        self.text(META_RELAY)
    }

    /// The largest stamp made or merged.
    pub fn clock(&self) -> Result<Option<Stamp>, StoreError> {
        Ok(self.fixed(META_CLOCK)?.map(|bytes| Stamp(u64::from_be_bytes(bytes))))
    }

    /// The largest stamp made in a vault whose clock goes by itself.
    pub fn clock_of(&self, vault: VaultNo) -> Result<Option<Stamp>, StoreError> {
        Ok(self.fixed(&clock_of(vault))?.map(|bytes| Stamp(u64::from_be_bytes(bytes))))
    }

    /// The vaults, in the order in which they came here.
    pub fn vaults(&self) -> Result<VaultRows<'_>, StoreError> {
        Ok(VaultRows(self.vaults.iter()?))
    }

    /// A vault's keyring, encoded.
    pub fn keyring(&self, vault: VaultNo) -> Result<Option<StoredBytes<'_>>, StoreError> {
        Ok(self.keyrings.get(vault.0)?.map(StoredBytes))
    }

    /// The image of a vault's members, if there is one.
    pub fn members(&self, vault: VaultNo) -> Result<Option<StoredBytes<'_>>, StoreError> {
        Ok(self.members.get(vault.0)?.map(StoredBytes))
    }

    /// The heads that a relay must show of a vault and has not shown.
    pub fn frontier(&self, vault: VaultNo) -> Result<Vec<Head>, StoreError> {
        let Some(row) = self.frontiers.get(vault.0)? else { return Ok(Vec::new()) };
        let (heads, []) = row.value().as_chunks::<HEAD_LEN>() else { return Err(StoreError::Inconsistent) };
        let head = |head: &[u8; HEAD_LEN]| Head {
            log: LogId::from_bytes(part(head, 0)),
            seq: Seq(u64::from_be_bytes(part(head, 16))),
            chain: Chain::from_bytes(part(head, 24)),
        };
        Ok(heads.iter().map(head).collect())
    }

    /// The collections of all vaults.
    pub fn collections(&self) -> Result<CollectionRows<'_>, StoreError> {
        Ok(CollectionRows(self.collections.iter()?))
    }

    /// The names in *meta*, for the test against the specification.
    #[cfg(any(test, feature = "testing"))]
    pub fn meta_names(&self) -> Result<Vec<String>, StoreError> {
        self.meta.iter()?.map(|row| Ok(row?.0.value().to_owned())).collect()
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.meta.get(name)?.map(|row| row.value().to_vec()))
    }

    fn fixed<const N: usize>(&self, name: &str) -> Result<Option<[u8; N]>, StoreError> {
        let row = self.meta.get(name)?;
        row.map(|row| row.value().try_into().map_err(|_| StoreError::Inconsistent)).transpose()
    }

    fn text(&self, name: &str) -> Result<Option<String>, StoreError> {
        let text = self.bytes(name)?.map(String::from_utf8).transpose();
        text.map_err(|_| StoreError::Inconsistent)
    }
}

impl StoredBytes<'_> {
    /// What was put there.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.value()
    }
}

impl Iterator for VaultRows<'_> {
    type Item = Result<(VaultNo, VaultRow), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).and_then(|(number, row)| {
            let (id, name) = row.value().split_first_chunk().ok_or(StoreError::Inconsistent)?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| StoreError::Inconsistent)?;
            Ok((VaultNo(number.value()), VaultRow { id: VaultId::from_bytes(*id), name }))
        }))
    }
}

impl Iterator for CollectionRows<'_> {
    type Item = Result<CollectionRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(StoreError::from).and_then(|(key, number)| {
            let (vault, name) = key.value().split_first_chunk().ok_or(StoreError::Inconsistent)?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| StoreError::Inconsistent)?;
            let vault = VaultNo(u32::from_be_bytes(*vault));
            Ok(CollectionRow { vault, name, number: CollectionNo(number.value()) })
        }))
    }
}
