//! Cancel tokens.

use std::sync::Arc;

use subrosa::Cancel;

use super::library::quietly;
use super::{Caller, close, handle, object, subrosa_cancel, subrosa_error};
use crate::api::cancel::CancelObject;

/// Makes a cancel token. Make it before the call that it shall end; it serves any number of calls. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_cancel_new(
    out: *mut *mut subrosa_cancel,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        out.required()?.set(handle(Arc::new(CancelObject(Cancel::new())))?);
        Ok(())
    })
}

/// Ends the calls that wait with this token, and those that will: they answer `SUBROSA_CANCELLED`. Any thread, any number
/// of times. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_cancel_fire(
    cancel: *mut subrosa_cancel,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(cancel, || {
        object(cancel)?.0.cancel();
        Ok(())
    })
}

/// Closes a token; calls that wait with it go on. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_cancel_close(cancel: *mut subrosa_cancel) {
    quietly(|| drop(close(cancel)));
}
