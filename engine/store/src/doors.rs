//! All doors of a store: in a write transaction, and as of one moment.
//!
//! Whoever has these reaches rows and nothing else. The transaction beneath a [`DoorsView`] is private, as are the tables
//! behind each door, so that going past one does not compile. Through the door of the logs:
//!
//! ```
//! use subrosa_model::merge::LogNo;
//! use subrosa_store::{doors::Doors, error::StoreError, logs::LogTip};
//!
//! fn head(doors: &Doors<'_>) -> Result<Option<LogTip>, StoreError> {
//!     doors.logs.head(LogNo(0).into())
//! }
//! ```
//!
//! And past it:
//!
//! ```compile_fail,E0616
//! use subrosa_store::doors::Doors;
//!
//! fn heads(doors: &Doors<'_>) {
//!     let _ = &doors.logs.heads;
//! }
//! ```
//!
//! ```compile_fail,E0616
//! use subrosa_store::doors::DoorsView;
//!
//! fn transaction(doors: &DoorsView) {
//!     let _ = &doors.0;
//! }
//! ```

use redb::{Database, ReadTransaction, ReadableDatabase as _, WriteTransaction};

use crate::caps::{Passes, PassesView};
use crate::error::StoreError;
use crate::logs::{Logs, LogsView};
use crate::records::{RecordsTable, RecordsView};
use crate::relays::{Relays, RelaysView};
use crate::unsealed::{Unsealed, UnsealedView};
use crate::vaults::{Vaults, VaultsView};

/// The doors of a write transaction. There can be one of each.
pub struct Doors<'t> {
    /// Segments, and what is known of their logs.
    pub logs: Logs<'t>,
    /// What relays are known to hold.
    pub relays: Relays<'t>,
    /// Vaults, and facts about the store.
    pub vaults: Vaults<'t>,
    /// Merged rows.
    pub records: RecordsTable<'t>,
    /// What waits for sealing.
    pub unsealed: Unsealed<'t>,
    /// Caps of logs, and how far records have passed to them.
    pub passes: Passes<'t>,
}

impl<'t> Doors<'t> {
    /// Opens all tables, and makes those that are missing.
    ///
    /// # Errors
    /// What redb reports.
    pub fn open(txn: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            logs: Logs::open(txn)?,
            relays: Relays::open(txn)?,
            vaults: Vaults::open(txn)?,
            records: RecordsTable::open(txn)?,
            unsealed: Unsealed::open(txn)?,
            passes: Passes::open(txn)?,
        })
    }
}

/// The doors to what a store holds at one moment. Each is opened when it is asked for.
pub struct DoorsView(ReadTransaction);

impl DoorsView {
    /// The store as it is now.
    ///
    /// # Errors
    /// What redb reports.
    pub fn begin(database: &Database) -> Result<Self, StoreError> {
        Ok(Self(database.begin_read()?))
    }

    /// Segments, and what is known of their logs.
    pub fn logs(&self) -> Result<LogsView, StoreError> {
        LogsView::open(&self.0)
    }

    /// What relays are known to hold.
    pub fn relays(&self) -> Result<RelaysView, StoreError> {
        RelaysView::open(&self.0)
    }

    /// Vaults, and facts about the store.
    pub fn vaults(&self) -> Result<VaultsView, StoreError> {
        VaultsView::open(&self.0)
    }

    /// As [`Self::vaults`]; `None` of a store that has no tables yet.
    pub fn vaults_if_made(&self) -> Result<Option<VaultsView>, StoreError> {
        VaultsView::open_if_made(&self.0)
    }

    /// Merged rows.
    pub fn records(&self) -> Result<RecordsView, StoreError> {
        RecordsView::open(&self.0)
    }

    /// What waits for sealing.
    pub fn unsealed(&self) -> Result<UnsealedView, StoreError> {
        UnsealedView::open(&self.0)
    }

    /// Caps of logs, and how far records have passed to them.
    pub fn passes(&self) -> Result<PassesView, StoreError> {
        PassesView::open(&self.0)
    }
}

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::testing::shape;
#[cfg(any(test, feature = "testing"))]
pub use self::testing::{Shape, TableSpace, in_memory, shapes};

/// What tests see of the tables: their shapes and sizes.
#[cfg(any(test, feature = "testing"))]
mod testing {
    use redb::backends::InMemoryBackend;
    use redb::{Key, ReadableTableMetadata as _, TableDefinition, TableHandle as _, Value};

    use super::*;

    /// Name of a table, and widths of key and value, as `docs/FORMAT.md` has them.
    pub type Shape = [String; 3];

    /// The room that a table takes.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct TableSpace {
        /// Number of its rows.
        pub rows: u64,
        /// Bytes of their keys and values.
        pub stored: u64,
        /// Bytes of all of its pages.
        pub given: u64,
    }

    pub(crate) fn shape<K: Key + 'static, V: Value + 'static>(table: TableDefinition<'_, K, V>) -> Shape {
        let width = |width: Option<usize>| width.map_or("any".to_owned(), |width| width.to_string());
        [table.name().to_owned(), width(K::fixed_width()), width(V::fixed_width())]
    }

    /// The shapes of all tables, by name.
    pub fn shapes() -> Vec<Shape> {
        use crate::{caps, logs, records, relays, unsealed, vaults};
        let doors = [
            logs::shapes(),
            relays::shapes(),
            vaults::shapes(),
            records::shapes(),
            unsealed::shapes(),
            caps::shapes(),
        ];
        let mut shapes = doors.concat();
        shapes.sort_unstable();
        shapes
    }

    /// A database that no file is beneath.
    pub fn in_memory() -> Database {
        let database = redb::Builder::new().create_with_backend(InMemoryBackend::new());
        database.expect("memory fails no call")
    }

    impl DoorsView {
        /// The names of the tables that are there.
        pub fn table_names(&self) -> Result<Vec<String>, StoreError> {
            let mut names: Vec<_> = self.0.list_tables()?.map(|table| table.name().to_owned()).collect();
            names.sort_unstable();
            Ok(names)
        }

        /// The room that a table takes; none if there is no such table.
        pub fn space_of(&self, name: &str) -> Result<TableSpace, StoreError> {
            let Some(table) = self.0.list_tables()?.find(|table| table.name() == name) else {
                return Ok(TableSpace::default());
            };
            let table = self.0.open_untyped_table(table)?;
            let stats = table.stats()?;
            let stored = stats.stored_bytes();
            let given = stored + stats.metadata_bytes() + stats.fragmented_bytes();
            Ok(TableSpace { rows: table.len()?, stored, given })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_the_doors_makes_every_table_that_one_of_them_has_and_no_other() {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        drop(Doors::open(&txn).unwrap());
        txn.commit().unwrap();
        let doors = DoorsView::begin(&database).unwrap();
        let names: Vec<_> = shapes().into_iter().map(|[name, ..]| name).collect();
        assert_eq!(doors.table_names().unwrap(), names);
        assert_eq!(names.len(), 35);
        assert!(doors.logs().is_ok() && doors.relays().is_ok() && doors.vaults().is_ok());
        assert!(doors.records().is_ok() && doors.unsealed().is_ok() && doors.passes().is_ok());
    }
}
