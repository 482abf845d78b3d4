//! Caps of logs, and how far the records have passed to them: the door to the tables *caps*, *prefix ends*, *passes* and *passed
//! early* (`docs/FORMAT.md`, "Tables").
//!
//! Nobody else names these tables. It knows no rule: when records pass, and what that means, is up to the caller.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, Table, TableDefinition, WriteTransaction};
use subrosa_model::merge::{Cap, CapStep, Caps, LogNo, Stamp};
use subrosa_protocol::ids::{Chain, Seq};

use crate::error::StoreError;
use crate::keys::{RecordKey, VaultNo, joined, part};

/// Log to its cap for records that have not passed, and for those that have.
const CAPS: TableDefinition<u32, &[u8]> = TableDefinition::new("caps");
/// Vault whose records pass, to the first one that has not.
const PASSES: TableDefinition<u32, &[u8; 24]> = TableDefinition::new("passes");
/// Records that have passed before their turn.
const PASSED_EARLY: TableDefinition<&[u8; 24], ()> = TableDefinition::new("passed early");
/// Log, first segment of a group of it and its chain, to the latest stamp up to there.
const PREFIX_ENDS: TableDefinition<&[u8; 44], u64> = TableDefinition::new("prefix ends");

/// The shapes of the tables, for the test against the specification.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shapes() -> Vec<crate::doors::Shape> {
    use crate::doors::shape;
    vec![shape(CAPS), shape(PASSES), shape(PASSED_EARLY), shape(PREFIX_ENDS)]
}

/// Caps, open for writing.
pub struct Passes<'t> {
    caps: Table<'t, u32, &'static [u8]>,
    passes: Table<'t, u32, &'static [u8; 24]>,
    early: Table<'t, &'static [u8; 24], ()>,
    prefix_ends: Table<'t, &'static [u8; 44], u64>,
}

/// Caps as of one moment.
pub struct PassesView {
    caps: ReadOnlyTable<u32, &'static [u8]>,
    passes: ReadOnlyTable<u32, &'static [u8; 24]>,
    early: ReadOnlyTable<&'static [u8; 24], ()>,
}

impl<'t> Passes<'t> {
    pub(crate) fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            caps: txn.open_table(CAPS)?,
            passes: txn.open_table(PASSES)?,
            early: txn.open_table(PASSED_EARLY)?,
            prefix_ends: txn.open_table(PREFIX_ENDS)?,
        })
    }

    /// Puts the caps of a log in the place of those before.
    pub fn put_caps(&mut self, log: LogNo, caps: &Caps) -> Result<(), StoreError> {
        self.caps.insert(log.0, &write_caps(caps)[..])?;
        Ok(())
    }

    /// The latest stamp up to a group of a log, if it was found out.
    pub fn prefix_end(&self, log: LogNo, group: &(Seq, Chain)) -> Result<Option<Stamp>, StoreError> {
        Ok(self.prefix_ends.get(&prefix_key(log, group))?.map(|end| Stamp(end.value())))
    }

    /// Keeps the latest stamp up to a group of a log.
    pub fn put_prefix_end(&mut self, log: LogNo, group: &(Seq, Chain), end: Stamp) -> Result<(), StoreError> {
        self.prefix_ends.insert(&prefix_key(log, group), end.0)?;
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

fn prefix_key(log: LogNo, (seq, chain): &(Seq, Chain)) -> [u8; 44] {
    joined(&[&log.0.to_be_bytes(), &seq.0.to_be_bytes(), chain.as_bytes()])
}

/// How many steps the first one has, then those of both.
fn write_caps(caps: &Caps) -> Vec<u8> {
    let steps = u32::try_from(caps.before.steps().len()).expect("each step was in a certificate");
    let mut row = steps.to_be_bytes().to_vec();
    for step in caps.before.steps().iter().chain(caps.now.steps()) {
        row.extend(step.to.0.to_be_bytes());
        row.extend(step.cap.0.to_be_bytes());
    }
    row
}

fn read_caps(row: &[u8]) -> Option<Caps> {
    let (before, steps) = row.split_first_chunk()?;
    let (steps, rest) = steps.as_chunks::<16>();
    let (before, now) = steps.split_at_checked(u32::from_be_bytes(*before) as usize)?;
    let stamp = |row: &[u8; 16], at| Stamp(u64::from_be_bytes(part(row, at)));
    let cap =
        |rows: &[[u8; 16]]| Cap::of(rows.iter().map(|row| CapStep { cap: stamp(row, 8), to: stamp(row, 0) }));
    rest.is_empty().then(|| Caps { before: cap(before), now: cap(now) })
}

/// Reads a row, for fuzzing: what it says is written again so that it says the same.
#[cfg(feature = "testing")]
pub(crate) fn read_row(row: &[u8]) {
    if let Some(caps) = read_caps(row) {
        assert_eq!(read_caps(&write_caps(&caps)), Some(caps));
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
    fn the_end_of_a_prefix_is_kept_by_log_segment_and_chain() {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        let passes = &mut Doors::open(&txn).unwrap().passes;
        let [one, other] = [1, 2].map(|byte| (Seq(3), Chain::from_bytes([byte; 32])));
        passes.put_prefix_end(LogNo(1), &one, Stamp(9)).unwrap();
        let of = |log, group| passes.prefix_end(LogNo(log), group).unwrap();
        assert_eq!((of(1, &one), of(1, &other), of(2, &one)), (Some(Stamp(9)), None, None));
        assert_eq!(of(1, &(Seq(4), one.1)), None);
    }

    #[test]
    fn a_row_that_is_none_is_refused() {
        let caps = Caps { before: Cap::of([CapStep::of_all(Stamp(7))]), now: Cap::default() };
        let row = write_caps(&caps);
        assert_eq!(read_caps(&row), Some(caps));
        assert_eq!((read_caps(&[]), read_caps(&row[..19]), read_caps(&[0, 0, 0, 2])), (None, None, None));
        assert_eq!(read_caps(&[1]), None);
        // A member may set more steps on a log of its own than anybody needs.
        let many =
            |cap| Cap::of((1..70_000).map(|n| CapStep { cap: Stamp(n + cap), to: Stamp(n + 100_000) }));
        let caps = Caps { before: many(1), now: many(0) };
        assert_eq!(read_caps(&write_caps(&caps)), Some(caps));
    }
}
