//! Sync, and the completion of asynchronous calls.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::library::quietly;
use super::{
    Caller, Closing, User, close, handle, object, optional_object, subrosa_cancel, subrosa_device,
    subrosa_error, subrosa_free_fn, subrosa_list, subrosa_moment, subrosa_sync, subrosa_vault_id,
};
use crate::api::device::DeviceObject;
use crate::api::list::ListObject;
use crate::api::sync::{SyncObject, VaultAtRelay, failure_number, not_well, reason, state_number};
use crate::api::task;
use crate::failure::{ErrorObject, Failure};
use crate::handles;
use crate::memory::{Sized32, subrosa_buf};
use crate::status::SUBROSA_OK;

/// Hears that an asynchronous call has ended, however it did: exactly once for each start that returned `SUBROSA_OK`, on a
/// thread of the library's (`subrosa-task`), never on the one that starts; that one may not have come back from the start
/// yet, so what `done` looks at has to be there before. `error` is the callee's, to be freed with
/// `subrosa_error_free`; NULL when `status` is `SUBROSA_OK`. May call the library, but not close the device concerned.
pub type subrosa_done_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, status: i32, error: *mut subrosa_error)>;

/// Where sync stands.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_sync_status {
    /// `sizeof(subrosa_sync_status)`, set by the caller.
    pub struct_size: u32,
    /// `SUBROSA_SYNC_...`.
    pub state: i32,
    /// Code of the relay's last refusal (docs/PROTOCOL.md) until all is well again; 0 for none.
    pub refused: i32,
    /// `SUBROSA_FAILURE_...`: why there is no connection, as of the last try.
    pub failure: i32,
    /// Segments stored or acknowledged since sync was started.
    pub segments_done: u64,
    /// Segments to do in all, as far as known.
    pub segments_known: u64,
    /// Bytes of the former.
    pub bytes_done: u64,
    /// Bytes of the latter.
    pub bytes_known: u64,
    /// By how many milliseconds this device's wall clock is ahead of the relay's, negative if it is behind, where that is more than five
    /// minutes; else 0. Sync goes on all the same.
    pub clock_ahead_ms: i64,
    /// When the first of what is held for this device's clock is merged, in Unix milliseconds; 0 while nothing is held.
    /// `subrosa_vault_held` says whose it is.
    pub held_until_ms: u64,
}

/// A vault with which not all is well at the relay.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_sync_vault {
    /// `sizeof(subrosa_sync_vault)`, set by the caller.
    pub struct_size: u32,
    /// Code of the relay's last refusal of something of it (docs/PROTOCOL.md); 0 for none.
    pub refused: i32,
    /// 1 if it rests while the others go on, because of something wrong with it at the relay, and is tried again by itself:
    /// `subrosa_list_text_view` says in words what that is.
    pub rests: u32,
    /// 1 if the relay hides something of it, or has lost it, and does not say so.
    pub disagrees: u32,
    /// 1 if the relay says that it holds another future of this device's log, and shows nothing of it: nothing is sent to it.
    pub disputed: u32,
    /// 1 if an admin has written what only a newer version understands: nothing is sent before an update.
    pub update_needed: u32,
    /// The vault.
    pub vault: subrosa_vault_id,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_sync_vault {
    const ZERO: Self = Self {
        struct_size: 0,
        refused: 0,
        rests: 0,
        disagrees: 0,
        disputed: 0,
        update_needed: 0,
        vault: subrosa_vault_id { bytes: [0; 32] },
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl From<&VaultAtRelay> for subrosa_sync_vault {
    fn from(of: &VaultAtRelay) -> Self {
        Self {
            refused: of.refused.map_or(0, Into::into),
            rests: (!of.fault.is_empty()).into(),
            disagrees: of.disagrees.into(),
            disputed: of.disputed.into(),
            update_needed: of.update_needed.into(),
            vault: of.vault.into(),
            ..Self::ZERO
        }
    }
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_sync_status {
    const ZERO: Self = Self {
        struct_size: 0,
        state: 0,
        refused: 0,
        failure: 0,
        segments_done: 0,
        segments_known: 0,
        bytes_done: 0,
        bytes_known: 0,
        clock_ahead_ms: 0,
        held_until_ms: 0,
    };
    const SIZE_MIN: usize = 48;
}

/// Starts to sync all vaults of the device with `relay` (NULL and 0: the stored one), in the background, until it is
/// stopped or the device closed. Being offline is no error: see `subrosa_sync_status_of`.
/// Errors: `SUBROSA_BUSY` while one runs already, `SUBROSA_NO_RELAY`, `SUBROSA_RELAY_ADDRESS`, `SUBROSA_SUSPENDED`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_start(
    device: *mut subrosa_device,
    relay: *const c_char,
    len: usize,
    out: *mut *mut subrosa_sync,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let (relay, out) = (caller.text(relay, len)?, out.required()?);
        out.set(handle(SyncObject::start(object(device)?, relay)?)?);
        Ok(())
    })
}

/// Stops sync, waits for a commit of its under way (neither for the network nor for a transaction of yours), and closes the
/// handle. Calls that wait
/// with it answer `SUBROSA_SYNC_STOPPED`. NULL, and a second time, are fine.
/// Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_stop(sync: *mut subrosa_sync, err: *mut *mut subrosa_error) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run(|| {
        if sync.is_null() {
            return Ok(());
        }
        let open = match handles::find::<SyncObject>(sync.addr()) {
            Ok(open) => open,
            Err(failure) if failure.code == crate::status::SUBROSA_INVALID_HANDLE => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let _handle = Closing(sync);
        open.stop();
        Ok(())
    })
}

/// Where sync stands. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_status_of(
    sync: *mut subrosa_sync,
    out: *mut subrosa_sync_status,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(sync, || {
        let out = caller.sized_out(out, true)?;
        let status = object(sync)?.running()?.get()?.status();
        out.set(&subrosa_sync_status {
            state: state_number(status.state),
            refused: status.refused.map_or(0, |code| code.to_wire().into()),
            failure: failure_number(&status),
            segments_done: status.progress.segments_done,
            segments_known: status.progress.segments_known,
            bytes_done: status.progress.bytes_done,
            bytes_known: status.progress.bytes_known,
            clock_ahead_ms: status.clock_ahead_ms.unwrap_or_default(),
            held_until_ms: status.held_until_ms.unwrap_or_default(),
            ..subrosa_sync_status::ZERO
        });
        Ok(())
    })
}

/// Where sync stands, in words: `live`, `offline`, `refused: quota` and so on, then `; ` and why there is no connection.
/// Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_reason(
    sync: *mut subrosa_sync,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(sync, || {
        let out = out.required()?;
        let status = object(sync)?.running()?.get()?.status();
        out.set(subrosa_buf::new(reason(&status).into_bytes()));
        Ok(())
    })
}

/// The vaults with which not all is well at the relay, each once, by their ids: `subrosa_list_sync_vault` says what is the matter. An empty list
/// while all is well. `SUBROSA_EVENT_REFUSED`, `SUBROSA_EVENT_DISAGREES`, `SUBROSA_EVENT_DISPUTED` and `SUBROSA_EVENT_UPDATE_NEEDED` say it as
/// it happens. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_vaults(
    sync: *mut subrosa_sync,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(sync, || {
        let out = out.required()?;
        let status = object(sync)?.running()?.get()?.status();
        out.set(handle(Arc::new(ListObject::AtRelay(not_well(&status))))?);
        Ok(())
    })
}

/// Waits until all vaults are caught up both ways: everything is here that the relay had acknowledged to anybody when this was
/// called, and what was written here before it is there. The relay is asked for that, which takes a round trip: what it said
/// before counts for nothing, and while there is no link the wait goes on. `idle_ms`: how long nothing may move, at least such
/// a round trip; negative for no limit. `cancel` may be NULL.
/// Errors: `SUBROSA_NO_PROGRESS`, `SUBROSA_REFUSED`, `SUBROSA_DISPUTED`, `SUBROSA_CANCELLED`, `SUBROSA_SUSPENDED`, at once; sync goes on all the
/// same. `SUBROSA_SYNC_STOPPED`, `SUBROSA_CLOSED`, `SUBROSA_PANIC`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_wait(
    sync: *mut subrosa_sync,
    idle_ms: i32,
    cancel: *mut subrosa_cancel,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(sync, || object(sync)?.wait(idle_ms, optional_object(cancel)?.as_deref()))
}

/// Now, to be waited for with `subrosa_moment_wait`, a little at a time. A wait that ends early and is called again with
/// `subrosa_sync_wait` is about another moment, for which the relay is asked anew. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_moment(
    sync: *mut subrosa_sync,
    out: *mut *mut subrosa_moment,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(sync, || {
        let out = out.required()?;
        out.set(handle(object(sync)?.moment()?)?);
        Ok(())
    })
}

/// Waits as `subrosa_sync_wait` does, for that moment; as often as you like, and each time for as short as you like: the relay is asked once.
/// Errors: those of `subrosa_sync_wait`; `SUBROSA_SYNC_STOPPED` once its sync is stopped. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_moment_wait(
    moment: *mut subrosa_moment,
    idle_ms: i32,
    cancel: *mut subrosa_cancel,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(moment, || object(moment)?.wait(idle_ms, optional_object(cancel)?.as_deref()))
}

/// Closes a moment; a wait for it goes on. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_moment_close(moment: *mut subrosa_moment) {
    quietly(|| drop(close(moment)));
}

/// As `subrosa_sync_wait`, on a thread of its own; `done` hears of the end. `user` is passed to `done`, and to `user_free`
/// after `done` has returned, or at once if this fails.
/// Errors: `SUBROSA_INVALID_ARGUMENT` without `done`, `SUBROSA_NO_RESOURCES`. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_sync_wait_async(
    sync: *mut subrosa_sync,
    idle_ms: i32,
    cancel: *mut subrosa_cancel,
    done: subrosa_done_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(sync, || {
        let waiting = object(sync)?;
        let cancel = optional_object(cancel)?;
        let device = waiting.device.clone();
        start(Some(device), sync.addr(), done, user, move || waiting.wait(idle_ms, cancel.as_deref()))
    })
}

/// Starts an asynchronous call.
pub(super) fn start(
    device: Option<Arc<DeviceObject>>,
    handle: usize,
    done: subrosa_done_fn,
    user: User,
    call: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let done = done.ok_or_else(|| crate::memory::null("done is NULL"))?;
    task::start(device, handle, Box::new(ToHost { done, user }), call)
}

/// The host's completion.
struct ToHost {
    done: unsafe extern "C" fn(user: *mut c_void, status: i32, error: *mut subrosa_error),
    user: User,
}

impl task::Done for ToHost {
    fn done(self: Box<Self>, result: Result<(), Failure>) {
        let (status, error) = match result {
            Ok(()) => (SUBROSA_OK, std::ptr::null_mut()),
            Err(failure) => {
                let status = failure.code;
                (status, handle(Arc::new(ErrorObject::from(failure))).unwrap_or(std::ptr::null_mut()))
            }
        };
        // SAFETY: rule 4 of this library.
        self.user.call(|user| unsafe { (self.done)(user, status, error) });
    }
}
