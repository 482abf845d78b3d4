//! Transactions.

use super::library::quietly;
use super::{Caller, close, handle, object, subrosa_error, subrosa_tx, subrosa_vault};
use crate::api::tx::TxObject;

/// Begins a transaction: `SUBROSA_TX_READ`, a snapshot, which waits for nobody, or `SUBROSA_TX_WRITE`, for whose turn it waits
/// `timeout_ms`. No other write of the device goes on while a write transaction is open, syncing included; reads do. Pages of
/// the file that a snapshot sees are kept for it. So end both soon, with `subrosa_tx_commit` or `subrosa_tx_abort`. For one
/// thread at a time: it may wander, but a write without it then waits for it, unless made on the thread that began it.
/// Errors: `SUBROSA_BUSY` (retryable) when the other writer is not done in time, and at once when it is of this thread;
/// `SUBROSA_NOT_PERMITTED`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_tx_begin(
    vault: *mut subrosa_vault,
    mode: i32,
    timeout_ms: i32,
    out: *mut *mut subrosa_tx,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        out.set(handle(TxObject::begin(object(vault)?, mode, timeout_ms)?)?);
        Ok(())
    })
}

/// Makes everything happen that a write transaction did; durable when this returns `SUBROSA_OK`. Otherwise nothing of it has
/// happened. A read transaction just ends. The handle is gone whatever this returns, but for `SUBROSA_BUSY`: another thread
/// uses it.
/// Errors: `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED` or (resumed since) `SUBROSA_TX_OVER` when it was taken away;
/// `SUBROSA_DISK_FULL`, `SUBROSA_IO`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_tx_commit(tx: *mut subrosa_tx, err: *mut *mut subrosa_error) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(tx, || {
        let transaction = object(tx).inspect_err(|failure| {
            // Its caller lets go of it, and no other writer shall wait for it.
            if failure.code == crate::status::SUBROSA_POISONED {
                subrosa_tx_abort(tx);
            }
        })?;
        transaction.commit(|| drop(close(tx)))
    })
}

/// Forgets everything that a transaction did, and closes it. If another thread uses it at this moment, it ends when that
/// call does. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_tx_abort(tx: *mut subrosa_tx) {
    quietly(|| {
        if let Some(transaction) = close(tx) {
            transaction.abort();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::device::{DeviceObject, DeviceOptions};
    use crate::api::keys::KeyObject;
    use crate::api::tx::SUBROSA_TX_WRITE;
    use crate::api::vault::VaultObject;
    use crate::handles;
    use crate::status::{SUBROSA_INVALID_HANDLE, SUBROSA_POISONED};

    #[test]
    fn a_commit_of_a_poisoned_transaction_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = DeviceOptions { cache_bytes: 0, name: "", write_wait_ms: 0 };
        let device =
            DeviceObject::create(dir.path().to_str().unwrap(), &KeyObject::generate(), &options).unwrap();
        let vault = VaultObject::create(device, "personal").unwrap();
        let tx: *mut subrosa_tx =
            handle(TxObject::begin(vault.clone(), SUBROSA_TX_WRITE, 0).unwrap()).unwrap();
        handles::poison(tx.addr());
        // SAFETY: NULL wants no error.
        let status = unsafe { subrosa_tx_commit(tx, std::ptr::null_mut()) };
        assert_eq!(status, SUBROSA_POISONED);
        assert_eq!(object(tx).err().unwrap().code, SUBROSA_INVALID_HANDLE);
        assert!(TxObject::begin(vault, SUBROSA_TX_WRITE, 0).is_ok(), "the next writer is not kept out");
    }
}
