//! Transactions: a write transaction or a snapshot of a vault, in the hands of one thread at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use subrosa::{Error, LifeError, Snapshot, Transaction};

use super::cancel::timeout;
use super::data::Target;
use super::record::busy;
use super::vault::VaultObject;
use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{SUBROSA_INVALID_ARGUMENT, SUBROSA_TX_OVER};

/// A snapshot: what is written later does not show.
pub const SUBROSA_TX_READ: i32 = 1;
/// One at a time for a device; what it did arrives everywhere at once, or not at all.
pub const SUBROSA_TX_WRITE: i32 = 2;

/// A transaction.
pub(crate) struct TxObject {
    vault: Arc<VaultObject>,
    work: Mutex<Work>,
    /// Aborted while a call was under way, which then does it.
    aborted: AtomicBool,
}

impl Object for TxObject {
    const KIND: u8 = 13;
}

/// What a transaction is.
pub(crate) enum Work {
    Write(Transaction),
    Read(Snapshot),
    Over,
}

impl TxObject {
    pub(crate) fn begin(vault: Arc<VaultObject>, mode: i32, timeout_ms: i32) -> Result<Arc<Self>, Failure> {
        let work = match mode {
            SUBROSA_TX_READ => Work::Read(vault.vault.snapshot()?),
            SUBROSA_TX_WRITE => Work::Write(vault.vault.begin(timeout(timeout_ms))?),
            _ => return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "no such mode of a transaction")),
        };
        Ok(Arc::new(Self { vault, work: Mutex::new(work), aborted: AtomicBool::new(false) }))
    }

    /// Runs `f` on the transaction, unless another thread uses it.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Work) -> Result<R, Failure>) -> Result<R, Failure> {
        let mut work = self.lock()?;
        let result = f(&mut work);
        drop(work);
        if self.aborted.load(Ordering::SeqCst) {
            self.abort();
        }
        result
    }

    fn lock(&self) -> Result<MutexGuard<'_, Work>, Failure> {
        match self.work.try_lock() {
            Ok(work) => Ok(work),
            Err(TryLockError::Poisoned(work)) => Ok(work.into_inner()),
            Err(TryLockError::WouldBlock) => Err(busy("another thread uses this transaction")),
        }
    }

    /// What an error of the engine means for this transaction: one that a suspend took away is over for good, also when
    /// the device is awake again.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        let suspended = matches!(error, Error::Life(LifeError::Suspended));
        if suspended && self.vault.vault.snapshot().is_ok() { over() } else { error.into() }
    }

    /// Ends it. [`SUBROSA_BUSY`](crate::SUBROSA_BUSY) leaves it as it is; otherwise `taken` is called, before anything can
    /// panic.
    pub(crate) fn commit(&self, taken: impl FnOnce()) -> Result<(), Failure> {
        let work = std::mem::replace(&mut *self.lock()?, Work::Over);
        taken();
        match work {
            Work::Write(transaction) => transaction.commit().map_err(|error| self.explain(error)),
            Work::Read(_) => Ok(()),
            Work::Over => Err(over()),
        }
    }

    /// Ends it, now or at the end of the call that another thread makes with it.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        if let Ok(mut work) = self.lock() {
            let work = std::mem::replace(&mut *work, Work::Over);
            drop(work);
        }
    }

    /// Whether a collection can be used in it.
    pub(crate) fn is_for(&self, target: &Target) -> bool {
        let (mine, theirs) = (&self.vault, &target.collection.vault);
        Arc::ptr_eq(&mine.device, &theirs.device) && mine.vault.id() == theirs.vault.id()
    }
}

pub(crate) fn over() -> Failure {
    Failure::new(SUBROSA_TX_OVER, "the transaction is over")
}
