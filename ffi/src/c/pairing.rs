//! Pairing: letting one more device of the user into the home vault.

use std::ffi::{c_char, c_void};

use super::library::quietly;
use super::sync::{start, subrosa_done_fn};
use super::{
    Caller, User, close, handle, object, optional_object, subrosa_cancel, subrosa_device,
    subrosa_device_info, subrosa_device_options, subrosa_error, subrosa_free_fn, subrosa_key,
    subrosa_pair_join, subrosa_pair_offer,
};
use crate::api::pairing::{JoinObject, OfferObject};
use crate::memory::{blank, subrosa_buf, subrosa_secret};
use zeroize::Zeroizing;

/// The six digits that both devices show, NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_pair_code {
    /// Digits.
    pub text: [c_char; 8],
}

blank!(subrosa_pair_code = Self { text: [0; 8] });

impl From<subrosa::PairCode> for subrosa_pair_code {
    fn from(code: subrosa::PairCode) -> Self {
        let mut text = [0; 8];
        for (place, digit) in text.iter_mut().take(7).zip(code.to_string().bytes()) {
            *place = c_char::try_from(digit).unwrap_or_default();
        }
        Self { text }
    }
}

/// Offers to let one more device of the user into the home vault; the link is good for five minutes and one device.
/// `relay`: NULL and 0 for the stored one. Returns at once; needs the relay from now on.
/// Errors: `SUBROSA_NO_VAULT` without a home vault, `SUBROSA_NOT_PERMITTED`, `SUBROSA_NO_RELAY`, `SUBROSA_RELAY_ADDRESS`,
/// `SUBROSA_PAIR_TOO_LARGE`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_start(
    device: *mut subrosa_device,
    relay: *const c_char,
    len: usize,
    out: *mut *mut subrosa_pair_offer,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let (relay, out) = (caller.text(relay, len)?, out.required()?);
        out.set(handle(OfferObject::start(object(device)?, relay)?)?);
        Ok(())
    })
}

/// The link, as text: show it as a QR code. Whoever has it can ask to be let in, so it is a secret. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_link(
    offer: *mut subrosa_pair_offer,
    out: *mut subrosa_secret,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(offer, || {
        let out = out.required()?;
        out.set(subrosa_secret::new(object(offer)?.link().as_bytes()));
        Ok(())
    })
}

/// Waits until a device has answered the link. `cancel` may be NULL.
/// Errors: `SUBROSA_TIMEOUT` (call again), `SUBROSA_CANCELLED` (call again, or close), `SUBROSA_BUSY` while another call waits;
/// others end the offer: `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_NOT_AUTHENTIC`, `SUBROSA_PAIR_OVER`,
/// `SUBROSA_UNREACHABLE`, `SUBROSA_REFUSED`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_wait(
    offer: *mut subrosa_pair_offer,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(offer, || object(offer)?.wait(timeout_ms, optional_object(cancel)?.as_deref()))
}

/// As `subrosa_pair_offer_wait`, on a thread of its own; otherwise as `subrosa_sync_wait_async`. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_wait_async(
    offer: *mut subrosa_pair_offer,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    done: subrosa_done_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(offer, || {
        let (waiting, cancel) = (object(offer)?, optional_object(cancel)?);
        let device = waiting.device.clone();
        start(Some(device), offer.addr(), done, user, move || waiting.wait(timeout_ms, cancel.as_deref()))
    })
}

/// The device that has answered: the code that it must show, too, and what it calls itself. Let the user type the new
/// device's code, or compare. Either result may be NULL. Errors: `SUBROSA_NOT_READY` before one has. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_request(
    offer: *mut subrosa_pair_offer,
    code: *mut subrosa_pair_code,
    name: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let wants_name = !name.is_null();
    let (code, name) = (caller.out(code), caller.out(name));
    caller.run_on(offer, || {
        let request = object(offer)?.request()?;
        code.set(request.code.into());
        if wants_name {
            name.set(subrosa_buf::new(request.name.into_bytes()));
        }
        Ok(())
    })
}

/// Lets the new device in, once the user has typed the code that it shows (`typed`; spaces and hyphens do not count) or has
/// compared both codes (NULL and 0; text that is empty is refused, with `SUBROSA_INVALID_ARGUMENT`, and the offer stands).
/// Waits up to 30 seconds for the relay to acknowledge it, once more as long where it may have it by then, and up to a minute for the new
/// device to store its keys. Ends the
/// offer; its handle is still to be closed. `out` may be NULL. Closing the offer before the device is listed ends it;
/// closing the device meanwhile waits for it.
/// Errors: `SUBROSA_NOT_READY` before a device has answered (the offer stands); `SUBROSA_PAIR_WRONG_CODE`,
/// `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_OVER`, `SUBROSA_NO_PROGRESS` and others: nothing has changed. `SUBROSA_PAIR_UNCONFIRMED`: the device is
/// listed, and may lack its keys. Since 0.1.
///
/// # Safety
/// Rules 1 to 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_confirm(
    offer: *mut subrosa_pair_offer,
    typed: *const c_char,
    len: usize,
    out: *mut subrosa_device_info,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(offer, || {
        let out = caller.sized_out(out, false)?;
        let typed = if typed.is_null() && len == 0 { None } else { Some(caller.text(typed, len)?) };
        let added = object(offer)?.confirm(typed)?;
        out.set(&(&added).into());
        Ok(())
    })
}

/// As `subrosa_pair_offer_confirm`, on a thread of its own; otherwise as `subrosa_sync_wait_async`. `typed` is copied. Since 0.1.
///
/// # Safety
/// Rules 1, 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_confirm_async(
    offer: *mut subrosa_pair_offer,
    typed: *const c_char,
    len: usize,
    done: subrosa_done_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(offer, || {
        let confirming = object(offer)?;
        let compared = typed.is_null() && len == 0;
        let typed = if compared { None } else { Some(Zeroizing::new(caller.text(typed, len)?.to_owned())) };
        let device = confirming.device.clone();
        let confirm = move || confirming.confirm(typed.as_ref().map(|typed| typed.as_str())).map(drop);
        start(Some(device), offer.addr(), done, user, confirm)
    })
}

/// Tells the new device that it is not let in, and ends the offer. Errors: `SUBROSA_PAIR_OVER` when it is over already,
/// `SUBROSA_UNREACHABLE` when the device could not be told. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_offer_decline(
    offer: *mut subrosa_pair_offer,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(offer, || object(offer)?.decline())
}

/// Closes an offer; a link that was not used is withdrawn, calls that wait with it answer `SUBROSA_PAIR_OVER`. NULL, and a
/// second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_pair_offer_close(offer: *mut subrosa_pair_offer) {
    quietly(|| {
        if let Some(offer) = close(offer) {
            offer.closing.cancel();
        }
    });
}

/// Answers a pairing link: this becomes a device of the user's. A store is made in the folder `dir`, which must have none,
/// once the old device has handed over the keys, and not before. Returns at once. `options` may be NULL.
/// Errors: `SUBROSA_PAIR_LINK`, `SUBROSA_PAIR_EXPIRED`, `SUBROSA_PAIR_NAME`, `SUBROSA_STORE_EXISTS`. Since 0.1.
///
/// # Safety
/// Rules 1 to 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_start(
    dir: *const c_char,
    dir_len: usize,
    key: *mut subrosa_key,
    options: *const subrosa_device_options,
    link: *const c_char,
    link_len: usize,
    out: *mut *mut subrosa_pair_join,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let (dir, link) = (caller.text(dir, dir_len)?, caller.text(link, link_len)?);
        let (options, out) = (caller.device_options(options)?, out.required()?);
        out.set(handle(JoinObject::start(dir, &*object(key)?, &options, link)?)?);
        Ok(())
    })
}

/// Waits until the code to show is known. `cancel` and `out` may be NULL. Errors: as `subrosa_pair_offer_wait`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_wait_code(
    join: *mut subrosa_pair_join,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    out: *mut subrosa_pair_code,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(join, || {
        let join = object(join)?;
        join.wait_code(timeout_ms, optional_object(cancel)?.as_deref())?;
        out.set(join.code()?.into());
        Ok(())
    })
}

/// As `subrosa_pair_join_wait_code`, on a thread of its own; then `subrosa_pair_join_code` has it. Otherwise as
/// `subrosa_sync_wait_async`. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_wait_code_async(
    join: *mut subrosa_pair_join,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    done: subrosa_done_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(join, || {
        let (waiting, cancel) = (object(join)?, optional_object(cancel)?);
        start(None, join.addr(), done, user, move || waiting.wait_code(timeout_ms, cancel.as_deref()))
    })
}

/// Waits until the user of the old device has let this one in, and hands out the open device. `cancel` may be NULL.
/// Errors: `SUBROSA_PAIR_DECLINED`, `SUBROSA_PAIR_WRONG_CODE` (as the old device says), and as `subrosa_pair_offer_wait`;
/// what the disk refuses. Nothing is left behind in the folder. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_wait_device(
    join: *mut subrosa_pair_join,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    out: *mut *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(join, || {
        let (join, out) = (object(join)?, out.required()?);
        join.wait_device(timeout_ms, optional_object(cancel)?.as_deref())?;
        out.set(handle(join.take_device()?)?);
        Ok(())
    })
}

/// As `subrosa_pair_join_wait_device`, on a thread of its own; then `subrosa_pair_join_device` hands the device out.
/// Otherwise as `subrosa_sync_wait_async`. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_wait_device_async(
    join: *mut subrosa_pair_join,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    done: subrosa_done_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(join, || {
        let (waiting, cancel) = (object(join)?, optional_object(cancel)?);
        start(None, join.addr(), done, user, move || waiting.wait_device(timeout_ms, cancel.as_deref()))
    })
}

/// The code to show. Errors: `SUBROSA_NOT_READY` before it is known. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_code(
    join: *mut subrosa_pair_join,
    out: *mut subrosa_pair_code,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(join, || {
        out.required()?.set(object(join)?.code()?.into());
        Ok(())
    })
}

/// Hands out the open device, once. Errors: `SUBROSA_NOT_READY` before it is there, and afterwards. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_pair_join_device(
    join: *mut subrosa_pair_join,
    out: *mut *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(join, || {
        let (join, out) = (object(join)?, out.required()?);
        out.set(handle(join.take_device()?)?);
        Ok(())
    })
}

/// Closes a join; one that was not through is given up, and calls that wait with it answer `SUBROSA_PAIR_OVER`. NULL, and a
/// second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_pair_join_close(join: *mut subrosa_pair_join) {
    quietly(|| {
        if let Some(join) = close(join) {
            join.closing.cancel();
        }
    });
}
