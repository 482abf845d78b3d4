//! The database while it is open, and again after it failed.
//!
//! redb refuses all work after one failed read or write, and panics on some pages that cannot be what it wrote. Neither
//! may become more than a failure of the request that met it: after a failure the database is opened again, and a panic
//! is damage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, Durability, WriteTransaction};
use subrosa_protocol::ids::Incarnation;

use super::super::StoreError;
use super::open::{begin_durable, prepare};
use super::snapshot::Snapshot;

/// Opens the database; called again after a failure.
pub(crate) type Opener = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// See the module's documentation.
pub(super) struct Opened {
    open: Opener,
    slot: RwLock<Slot>,
}

struct Slot {
    database: Option<Database>,
    /// How often it was opened: of several who met one failure, the first opens it again.
    times: u64,
}

/// Whether a write transaction has anything to commit.
pub(super) enum Changed {
    Yes,
    No,
    /// It has what the next commit makes durable: [`faults::ACKS_NOT_DURABLE`].
    Later,
}

/// Runs `work`; a panic, and a page that redb refuses, are damage. What `work` changes outside of the database must be
/// whole at every step.
pub(in crate::store) fn contained<R>(work: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Err(StoreError::Database(error))) if matches!(*error, redb::Error::Corrupted(_)) => Err(PAGE),
        Ok(result) => result,
        Err(_) => Err(PAGE),
    }
}

const PAGE: StoreError = StoreError::Damaged { what: "a page of the database" };

impl Opened {
    /// Opens it for the first time.
    pub(super) fn new(open: Opener) -> Result<Self, StoreError> {
        let database = contained(|| Ok(open()?))?;
        Ok(Self { open, slot: RwLock::new(Slot { database: Some(database), times: 1 }) })
    }

    /// Makes the tables of a new database, or checks the format of an old one.
    pub(super) fn prepare(&self, fresh: Incarnation) -> Result<Incarnation, StoreError> {
        let slot = self.slot()?;
        let database = slot.database.as_ref().ok_or(StoreError::Closed)?;
        contained(|| prepare(database, fresh))
    }

    /// Runs `work` on one moment of the database.
    pub(super) fn read<R>(
        &self,
        work: impl FnOnce(&Snapshot) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let (times, snapshot) = match self.snapshot() {
            // Somebody else met a failure.
            Err((times, StoreError::Database(_))) => {
                self.reopen(times);
                self.snapshot().map_err(|(_, error)| error)?
            }
            Err((_, error)) => return Err(error),
            Ok(moment) => moment,
        };
        let result = contained(|| work(&snapshot));
        drop(snapshot);
        if let Err(StoreError::Database(_)) = &result {
            self.reopen(times);
        }
        result
    }

    fn snapshot(&self) -> Result<(u64, Snapshot), (u64, StoreError)> {
        let slot = self.slot().map_err(|error| (0, error))?;
        let database = slot.database.as_ref().ok_or((slot.times, StoreError::Closed))?;
        contained(|| Snapshot::of(database))
            .map(|snapshot| (slot.times, snapshot))
            .map_err(|error| (slot.times, error))
    }

    /// Runs `work` in one durable transaction, committed if `work` says that something changed. After a failure the
    /// database is opened again, so that reads go on and a later write may succeed.
    pub(super) fn write<R>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(R, Changed), StoreError>,
    ) -> Result<R, StoreError> {
        let slot = self.slot()?;
        let database = slot.database.as_ref().ok_or(StoreError::Closed)?;
        let mut failed = true; // if it panics
        let result = contained(|| {
            let result = begin_durable(database).and_then(|mut txn| {
                let (value, changed) = work(&txn)?;
                match changed {
                    Changed::Yes => txn.commit()?,
                    Changed::No => txn.abort()?,
                    Changed::Later => {
                        txn.set_durability(Durability::None)?;
                        txn.commit()?;
                    }
                }
                Ok(value)
            });
            failed = matches!(&result, Err(StoreError::Full | StoreError::Database(_)));
            result
        });
        let times = slot.times;
        drop(slot);
        if failed {
            self.reopen(times);
        }
        result
    }

    /// The database; opened again first if that failed the last time, because the disk was full or somebody was
    /// still reading.
    fn slot(&self) -> Result<RwLockReadGuard<'_, Slot>, StoreError> {
        let look = || self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let slot = look();
        if slot.database.is_some() {
            return Ok(slot);
        }
        drop(slot);
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.database.is_none() {
            slot.database = Some(contained(|| Ok((self.open)()?))?);
            slot.times += 1;
        }
        drop(slot);
        Ok(look())
    }

    /// Opens it again, unless somebody has since it was opened for the `times`th time.
    fn reopen(&self, times: u64) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.times != times {
            return;
        }
        slot.times += 1;
        let failed = slot.database.take();
        let closed = contained(|| {
            drop(failed);
            Ok((self.open)()?)
        });
        match closed {
            Ok(database) => slot.database = Some(database),
            Err(error) => tracing::error!(%error, "the database could not be opened again yet"),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let database = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner).database.take();
        // Closing writes.
        if let Err(error) = contained(|| {
            drop(database);
            Ok(())
        }) {
            tracing::error!(%error, "the database could not be closed");
        }
    }
}
