//! What an error tells. All of these take NULL, and handles of any kind.

use std::ffi::c_char;

use super::library::quietly;
use super::{close, object, subrosa_error};

/// The status; 0 for NULL and for what is no error. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_code(error: *const subrosa_error) -> i32 {
    quietly(|| object(error).map_or(0, |error| error.code))
}

/// What happened and what can be done, in English, for developers. Ids and numbers only. NUL-terminated, valid until the
/// error is freed; `""` for NULL. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_message(error: *const subrosa_error) -> *const c_char {
    view(quietly(|| object(error).map_or(0, |error| error.message.as_ptr().expose_provenance())))
}

/// How many causes the error has. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_causes(error: *const subrosa_error) -> usize {
    quietly(|| object(error).map_or(0, |error| error.causes.len()))
}

/// A cause, the nearest at index 0, as text like `subrosa_error_message`'s; `""` beyond the last. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_cause(error: *const subrosa_error, index: usize) -> *const c_char {
    view(quietly(|| {
        let error = object(error).ok();
        let cause = error.as_ref().and_then(|error| error.causes.get(index));
        cause.map_or(0, |cause| cause.as_ptr().expose_provenance())
    }))
}

/// Whether the same call may succeed later without anything else done. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_retryable(error: *const subrosa_error) -> bool {
    quietly(|| object(error).is_ok_and(|error| error.retryable))
}

/// A number that goes with the status, as its constant says; 0 if there is none. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_number(error: *const subrosa_error) -> i64 {
    quietly(|| object(error).map_or(0, |error| error.number))
}

/// Frees an error. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_error_free(error: *mut subrosa_error) {
    quietly(|| drop(close(error)));
}

/// Text at an address inside an error that is kept alive by its handle.
fn view(address: usize) -> *const c_char {
    if address == 0 { c"".as_ptr() } else { std::ptr::with_exposed_provenance(address) }
}
