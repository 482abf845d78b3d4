//! The library itself: versions, names, memory, log.

use std::ffi::{CString, c_char, c_void};

use super::{Caller, User, subrosa_error, subrosa_free_fn};
use crate::memory::{subrosa_buf, subrosa_secret};
use crate::{api, guard, status};

/// Version of this interface; compare it with `subrosa_abi_version()` when the library is loaded. It changes when
/// something that was there changes or goes; additions leave it alone.
pub const SUBROSA_ABI_VERSION: u32 = 1;

/// Receives log messages: `level` 1 (error) to 5 (trace), `message` NUL-terminated and valid during the call. Ids and
/// numbers only, never content, names or keys. Called from any thread, one message at a time on each. Must not call the
/// library, which may hold its locks meanwhile.
pub type subrosa_log_fn = Option<unsafe extern "C" fn(user: *mut c_void, level: i32, message: *const c_char)>;

/// The `SUBROSA_ABI_VERSION` that the library was built with. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_abi_version() -> u32 {
    SUBROSA_ABI_VERSION
}

/// The version of the library, as `"0.1.0"`. Static text. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of a status: that of its constant without `SUBROSA_`; `"UNKNOWN"` for other numbers. Static text. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_status_name(status: i32) -> *const c_char {
    status::name(status).as_ptr()
}

/// Frees a buffer of the library's and makes the struct zero, so that it can be called twice. NULL is fine. Since 0.1.
///
/// # Safety
/// The struct is as the library filled it, or zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_buf_free(buf: *mut subrosa_buf) {
    // SAFETY: promised by the caller.
    if let Some(buf) = unsafe { buf.as_mut() } {
        // SAFETY: promised by the caller.
        unsafe { buf.free() };
    }
}

/// Wipes and frees a secret of the library's and makes the struct zero, so that it can be called twice. NULL is fine.
/// Since 0.1.
///
/// # Safety
/// As `subrosa_buf_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_secret_free(secret: *mut subrosa_secret) {
    // SAFETY: promised by the caller.
    if let Some(secret) = unsafe { secret.as_mut() } {
        // SAFETY: promised by the caller.
        unsafe { secret.free() };
    }
}

/// Sends log messages of at most `level_max` (`SUBROSA_LOG_OFF` to `SUBROSA_LOG_TRACE`) to `log`.
/// One receiver for the whole process; a new one takes the place of the old. NULL turns the log off, as it is at first:
/// the library never prints. A child of fork has none until it sets one. Returns after a running callback has finished. A
/// log that is pulled: `subrosa_events_add_log`.
///
/// `user` is passed to `log`, and to `user_free` once the receiver is replaced, or at once if this fails. Thread-safe.
/// Errors: `SUBROSA_INVALID_ARGUMENT`, `SUBROSA_WOULD_DEADLOCK` from within `log`. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_log_set(
    level_max: i32,
    log: subrosa_log_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run(move || {
        let sink = log.map(|log| Box::new(ToHost { log, user }) as Box<dyn api::log::Sink>);
        api::log::set(level_max, sink)
    })
}

/// The host's receiver.
struct ToHost {
    log: unsafe extern "C" fn(user: *mut c_void, level: i32, message: *const c_char),
    user: User,
}

impl api::log::Sink for ToHost {
    fn log(&self, level: i32, message: &str) {
        let Ok(message) = CString::new(message.replace('\0', "?")) else { return };
        // SAFETY: rule 4 of this library.
        self.user.call(|user| unsafe { (self.log)(user, level, message.as_ptr()) });
    }
}

/// Runs a call without a status.
pub(super) fn quietly<R: Default>(call: impl FnOnce() -> R) -> R {
    guard::run_or_default(call)
}
