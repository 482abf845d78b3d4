//! Caps of logs, and how far the records have passed to them: the door to the tables *caps*, *passes* and *passed early*
//! (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. It knows no rule: when records pass, and what that means, is up to the caller.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use subrosa_model::merge::{Caps, LogNo, Stamp};

use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo, joined, part};

/// Log to its cap for records that have not passed, and for those that have.
const CAPS: TableDefinition<u32, &[u8; 16]> = TableDefinition::new("caps");
/// Vault whose records pass, to the first one that has not.
const PASSES: TableDefinition<u32, &[u8; 24]> = TableDefinition::new("passes");
/// Records that have passed before their turn.
const PASSED_EARLY: TableDefinition<&[u8; 24], ()> = TableDefinition::new("passed early");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(CAPS), shape(PASSES), shape(PASSED_EARLY)]
}

/// Caps, open for writing.
pub struct Passes<'t> {
    caps: Table<'t, u32, &'static [u8; 16]>,
    passes: Table<'t, u32, &'static [u8; 24]>,
    early: Table<'t, &'static [u8; 24], ()>,
}

/// Caps as of one moment.
pub struct PassesView {
    caps: ReadOnlyTable<u32, &'static [u8; 16]>,
    passes: ReadOnlyTable<u32, &'static [u8; 24]>,
    early: ReadOnlyTable<&'static [u8; 24], ()>,
}

impl<'t> Passes<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            caps: txn.open_table(CAPS)?,
            passes: txn.open_table(PASSES)?,
            early: txn.open_table(PASSED_EARLY)?,
        })
    }

    /// Puts the caps of a log in the place of those before.
    pub fn put_caps(&mut self, log: LogNo, caps: Caps) -> Result<(), StoreError> {
        self.caps.insert(log.0, &joined(&[&caps.before.0.to_be_bytes(), &caps.now.0.to_be_bytes()]))?;
        Ok(())
    }

    /// The records of a vault pass: this is the first one that has not.
    pub fn put_pass(&mut self, vault: VaultNo, next: &RecordKey) -> Result<(), StoreError> {
        self.passes.insert(vault.0, &next.0)?;
        Ok(())
    }

    /// A record has passed before its turn.
    pub fn put_early(&mut self, key: &RecordKey) -> Result<(), StoreError> {
        self.early.insert(&key.0, ())?;
        Ok(())
    }

    /// All records of a vault have passed.
    pub fn end_pass(&mut self, vault: VaultNo) -> Result<(), StoreError> {
        self.passes.remove(vault.0)?;
        let (first, last) = (RecordKey::first_of(vault), RecordKey::last_of(vault));
        self.early.retain_in::<&[u8; 24], _>(&first.0..=&last.0, |_, ()| false)?;
        Ok(())
    }
}

impl PassesView {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            caps: txn.open_table(CAPS)?,
            passes: txn.open_table(PASSES)?,
            early: txn.open_table(PASSED_EARLY)?,
        })
    }

    /// The caps of all logs that have one.
    pub fn caps(&self) -> Result<impl Iterator<Item = Result<(LogNo, Caps), StoreError>>, StoreError> {
        Ok(self.caps.iter()?.map(|row| {
            let (log, row) = row?;
            let stamp = |at| Stamp(u64::from_be_bytes(part(row.value(), at)));
            Ok((LogNo(log.value()), Caps { before: stamp(0), now: stamp(8) }))
        }))
    }

    /// The vaults whose records pass, and the first one of each that has not.
    pub fn passes(
        &self,
    ) -> Result<impl Iterator<Item = Result<(VaultNo, RecordKey), StoreError>>, StoreError> {
        Ok(self.passes.iter()?.map(|row| {
            let (vault, key) = row?;
            Ok((VaultNo(vault.value()), RecordKey(*key.value())))
        }))
    }

    /// Records that have passed before their turn.
    pub fn early(&self) -> Result<impl Iterator<Item = Result<RecordKey, StoreError>>, StoreError> {
        Ok(self.early.iter()?.map(|row| Ok(RecordKey(*row?.0.value()))))
    }
}

#[cfg(test)]
mod tests {
    use subrosa_model::merge::RecordId;

    use super::*;
    use crate::doors::{Doors, DoorsView, in_memory};
    use crate::keys::CollectionNo;

    /// All that a store says of caps.
    type Said = (Vec<(LogNo, Caps)>, Vec<(VaultNo, RecordKey)>, Vec<RecordKey>);

    #[test]
    fn caps_and_how_far_records_have_passed_come_back_and_a_pass_that_ends_leaves_caps_alone() {
        let database = in_memory();
        let change = |f: &dyn Fn(&mut Passes<'_>)| {
            let txn = database.begin_write().unwrap();
            f(&mut Doors::open(&txn).unwrap().passes);
            txn.commit().unwrap();
        };
        let said = || -> Said {
            let view = DoorsView::begin(&database).unwrap().passes().unwrap();
            let caps = view.caps().unwrap().map(Result::unwrap).collect();
            let passes = view.passes().unwrap().map(Result::unwrap).collect();
            (caps, passes, view.early().unwrap().map(Result::unwrap).collect())
        };
        let key = |vault: u32, n: u8| {
            RecordKey::new(VaultNo(vault), CollectionNo(3), &RecordId::from_bytes([n; 16]))
        };
        change(&|_| {});
        assert_eq!(said(), (vec![], vec![], vec![]));
        let caps = |before: u64, now: u64| Caps { before: Stamp(before), now: Stamp(now) };
        change(&|passes| {
            passes.put_caps(LogNo(7), caps(u64::MAX, 5)).unwrap();
            passes.put_caps(LogNo(7), caps(5, 4)).unwrap();
            passes.put_caps(LogNo(300), caps(u64::MAX, 1)).unwrap();
            for vault in [1, 2] {
                passes.put_pass(VaultNo(vault), &key(vault, 9)).unwrap();
                passes.put_early(&key(vault, 0)).unwrap();
                passes.put_early(&key(vault, 0xff)).unwrap();
            }
        });
        let (logs, passes, early) = said();
        assert_eq!(logs, [(LogNo(7), caps(5, 4)), (LogNo(300), caps(u64::MAX, 1))]);
        assert_eq!(passes, [1, 2].map(|vault| (VaultNo(vault), key(vault, 9))));
        assert_eq!(early, [key(1, 0), key(1, 0xff), key(2, 0), key(2, 0xff)]);
        change(&|passes| passes.end_pass(VaultNo(1)).unwrap());
        let after = said();
        assert_eq!((after.0, after.1), (logs, vec![(VaultNo(2), key(2, 9))]));
        assert_eq!(after.2, [key(2, 0), key(2, 0xff)]);
    }
}
