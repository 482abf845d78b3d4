//! Caps of logs, how far the records have passed to them, and what own logs are still to be capped for: the door to the tables *caps*,
//! *passes*, *passed early* and *overtaken* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. It knows no rule: when records pass, and what that means, is up to the caller.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use subrosa_model::merge::{Cap, CapStep, Caps, LogNo, Stamp};

use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo, joined, part};

/// Log to its cap for records that have not passed, and for those that have.
const CAPS: TableDefinition<u32, &[u8]> = TableDefinition::new("caps");
/// Vault whose records pass, to the first one that has not.
const PASSES: TableDefinition<u32, &[u8; 24]> = TableDefinition::new("passes");
/// Records that have passed before their turn.
const PASSED_EARLY: TableDefinition<&[u8; 24], ()> = TableDefinition::new("passed early");
/// Own log and a stamp, to what it and all before it count as at most once this device has certified that.
const OVERTAKEN: TableDefinition<&[u8; 12], u64> = TableDefinition::new("overtaken");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(CAPS), shape(PASSES), shape(PASSED_EARLY), shape(OVERTAKEN)]
}

/// Caps, open for writing.
pub struct Passes<'t> {
    caps: Table<'t, u32, &'static [u8]>,
    passes: Table<'t, u32, &'static [u8; 24]>,
    early: Table<'t, &'static [u8; 24], ()>,
    overtaken: Table<'t, &'static [u8; 12], u64>,
}

/// Caps as of one moment.
pub struct PassesView {
    caps: ReadOnlyTable<u32, &'static [u8]>,
    passes: ReadOnlyTable<u32, &'static [u8; 24]>,
    early: ReadOnlyTable<&'static [u8; 24], ()>,
    overtaken: ReadOnlyTable<&'static [u8; 12], u64>,
}

impl<'t> Passes<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            caps: txn.open_table(CAPS)?,
            passes: txn.open_table(PASSES)?,
            early: txn.open_table(PASSED_EARLY)?,
            overtaken: txn.open_table(OVERTAKEN)?,
        })
    }

    /// Puts the caps of a log in the place of those before.
    pub fn put_caps(&mut self, log: LogNo, caps: &Caps) -> Result<(), StoreError> {
        self.caps.insert(log.0, &write_caps(caps)[..])?;
        Ok(())
    }

    /// What this device is still to certify of an own log.
    pub fn overtaken(&self, log: LogNo) -> Result<Vec<CapStep>, StoreError> {
        let rows = self
            .overtaken
            .range::<&[u8; 12]>(&overtaken_key(log, Stamp(0))..=&overtaken_key(log, CapStep::ALL))?;
        let step = |row: Result<
            (redb::AccessGuard<'_, &[u8; 12]>, redb::AccessGuard<'_, u64>),
            redb::StorageError,
        >| {
            let (key, cap) = row?;
            Ok(CapStep { cap: Stamp(cap.value()), to: Stamp(u64::from_be_bytes(part(key.value(), 4))) })
        };
        rows.map(step).collect()
    }

    /// Puts that in the place of what was there.
    pub fn put_overtaken(&mut self, log: LogNo, steps: &[CapStep]) -> Result<(), StoreError> {
        let (first, last) = (overtaken_key(log, Stamp(0)), overtaken_key(log, CapStep::ALL));
        self.overtaken.retain_in::<&[u8; 12], _>(&first..=&last, |_, _| false)?;
        for step in steps {
            self.overtaken.insert(&overtaken_key(log, step.to), step.cap.0)?;
        }
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
            overtaken: txn.open_table(OVERTAKEN)?,
        })
    }

    /// The logs of which something is still to be certified; each as often as that is something.
    pub fn overtaken(&self) -> Result<impl Iterator<Item = Result<LogNo, StoreError>>, StoreError> {
        let log = |key: &[u8; 12]| LogNo(u32::from_be_bytes(part(key, 0)));
        Ok(self.overtaken.iter()?.map(move |row| Ok(log(row?.0.value()))))
    }

    /// The caps of all logs that have one.
    pub fn caps(&self) -> Result<impl Iterator<Item = Result<(LogNo, Caps), StoreError>>, StoreError> {
        Ok(self.caps.iter()?.map(|row| {
            let (log, row) = row?;
            Ok((LogNo(log.value()), read_caps(row.value()).ok_or(StoreError::Inconsistent)?))
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

fn overtaken_key(log: LogNo, to: Stamp) -> [u8; 12] {
    joined(&[&log.0.to_be_bytes(), &to.0.to_be_bytes()])
}

/// How many steps the first one has, then those of both.
fn write_caps(caps: &Caps) -> Vec<u8> {
    let mut row = vec![u8::try_from(caps.before.steps().len()).expect("a cap has few steps")];
    for step in caps.before.steps().iter().chain(caps.now.steps()) {
        row.extend(step.to.0.to_be_bytes());
        row.extend(step.cap.0.to_be_bytes());
    }
    row
}

fn read_caps(row: &[u8]) -> Option<Caps> {
    let (before, steps) = row.split_first()?;
    let (steps, rest) = steps.as_chunks::<16>();
    let (before, now) = steps.split_at_checked(usize::from(*before))?;
    let stamp = |row: &[u8; 16], at| Stamp(u64::from_be_bytes(part(row, at)));
    let cap =
        |rows: &[[u8; 16]]| Cap::of(rows.iter().map(|row| CapStep { cap: stamp(row, 8), to: stamp(row, 0) }));
    rest.is_empty().then(|| Caps { before: cap(before), now: cap(now) })
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
        let cap = |steps: &[(u64, u64)]| {
            Cap::of(steps.iter().map(|(to, cap)| CapStep { cap: Stamp(*cap), to: Stamp(*to) }))
        };
        let caps = |before: &[(u64, u64)], now: &[(u64, u64)]| Caps { before: cap(before), now: cap(now) };
        let all = u64::MAX;
        let [first, second] = [caps(&[(all, 5)], &[(7, 3), (all, 4)]), caps(&[], &[(all, 1)])];
        change(&|passes| {
            passes.put_caps(LogNo(7), &caps(&[], &[(all, 5)])).unwrap();
            passes.put_caps(LogNo(7), &first).unwrap();
            passes.put_caps(LogNo(300), &second).unwrap();
            for vault in [1, 2] {
                passes.put_pass(VaultNo(vault), &key(vault, 9)).unwrap();
                passes.put_early(&key(vault, 0)).unwrap();
                passes.put_early(&key(vault, 0xff)).unwrap();
            }
        });
        let (logs, passes, early) = said();
        assert_eq!(logs, [(LogNo(7), first.clone()), (LogNo(300), second.clone())]);
        assert_eq!(passes, [1, 2].map(|vault| (VaultNo(vault), key(vault, 9))));
        assert_eq!(early, [key(1, 0), key(1, 0xff), key(2, 0), key(2, 0xff)]);
        change(&|passes| passes.end_pass(VaultNo(1)).unwrap());
        let after = said();
        assert_eq!((after.0, after.1), (logs, vec![(VaultNo(2), key(2, 9))]));
        assert_eq!(after.2, [key(2, 0), key(2, 0xff)]);
    }

    #[test]
    fn what_is_still_to_be_certified_of_a_log_comes_back_and_is_put_anew() {
        let database = in_memory();
        let change = |f: &dyn Fn(&mut Passes<'_>)| {
            let txn = database.begin_write().unwrap();
            f(&mut Doors::open(&txn).unwrap().passes);
            txn.commit().unwrap();
        };
        let step = |to, cap| CapStep { cap: Stamp(cap), to: Stamp(to) };
        change(&|passes| {
            passes.put_overtaken(LogNo(1), &[step(300, 9)]).unwrap();
            passes.put_overtaken(LogNo(2), &[step(2, 1), step(300, 9)]).unwrap();
            passes.put_overtaken(LogNo(3), &[step(1, 1)]).unwrap();
            passes.put_overtaken(LogNo(1), &[step(5, 4)]).unwrap();
            passes.put_overtaken(LogNo(3), &[]).unwrap();
        });
        change(&|passes| {
            let of = |log| passes.overtaken(LogNo(log)).unwrap();
            assert_eq!([of(0), of(1), of(3)], [vec![], vec![step(5, 4)], vec![]]);
            assert_eq!(of(2), [step(2, 1), step(300, 9)]);
        });
    }

    #[test]
    fn a_row_that_is_none_is_refused() {
        let caps = Caps { before: Cap::of([CapStep::of_all(Stamp(7))]), now: Cap::default() };
        let row = write_caps(&caps);
        assert_eq!(read_caps(&row), Some(caps));
        assert_eq!((read_caps(&[]), read_caps(&row[..16]), read_caps(&[2, 0])), (None, None, None));
        assert_eq!(read_caps(&[1]), None);
    }
}
