//! Event queues.

use std::ffi::c_void;

use super::library::quietly;
use super::{
    Caller, Closing, User, handle, object, optional_object, subrosa_cancel, subrosa_collection,
    subrosa_error, subrosa_events, subrosa_free_fn, subrosa_id, subrosa_sync, subrosa_vault,
    subrosa_vault_id,
};
use crate::api::events::{Event, EventsObject, Listener};
use crate::handles;
use crate::memory::{Blank, Sized32, subrosa_buf};

/// One thing that happened. Free it with `subrosa_event_free`, but for one that a callback is given.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct subrosa_event {
    /// `sizeof(subrosa_event)`, set by the caller.
    pub struct_size: u32,
    /// `SUBROSA_EVENT_...`.
    pub kind: i32,
    /// The caller's, of the source that it came from.
    pub tag: u64,
    /// As the kind says; 0 otherwise.
    pub detail: i32,
    /// 0.
    pub reserved: u32,
    /// As the kind says; 0 otherwise.
    pub number: i64,
    /// As the kind says; zero otherwise.
    pub record: subrosa_id,
    /// As the kind says; zero otherwise.
    pub vault: subrosa_vault_id,
    /// As the kind says; empty otherwise.
    pub text: subrosa_buf,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers and raw pointers only.
unsafe impl Sized32 for subrosa_event {
    const ZERO: Self = Self {
        struct_size: 0,
        kind: 0,
        tag: 0,
        detail: 0,
        reserved: 0,
        number: 0,
        record: subrosa_id { bytes: [0; 16] },
        vault: subrosa_vault_id { bytes: [0; 32] },
        text: subrosa_buf::BLANK,
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl From<Event> for subrosa_event {
    fn from(event: Event) -> Self {
        let text = event.text.map_or_else(Vec::new, |text| text.as_bytes().to_vec());
        Self {
            struct_size: size_of::<Self>() as u32,
            kind: event.kind,
            tag: event.tag,
            detail: event.detail,
            reserved: 0,
            number: event.number,
            record: subrosa_id { bytes: event.record },
            vault: subrosa_vault_id { bytes: event.vault },
            text: subrosa_buf::new(text),
        }
    }
}

/// Receives an event, which is valid during the call. Called on a thread of the library's (`subrosa-events`), one call at a
/// time for a queue. May call the library, but not close this queue or a device that feeds it. Must not block for long:
/// events queue up meanwhile.
pub type subrosa_event_fn = Option<unsafe extern "C" fn(user: *mut c_void, event: *const subrosa_event)>;

/// Makes a queue of events; add sources to it. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_new(
    out: *mut *mut subrosa_events,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        out.required()?.set(handle(EventsObject::new())?);
        Ok(())
    })
}

/// Adds what changes in a vault from now on, by this device or another, under a tag of the caller's. Tags need not differ.
/// Errors: `SUBROSA_TOO_LARGE` beyond `SUBROSA_EVENT_SOURCES_MAX` sources, `SUBROSA_CLOSED`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_add_vault(
    events: *mut subrosa_events,
    vault: *mut subrosa_vault,
    tag: u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || object(events)?.add_vault(&*object(vault)?, tag))
}

/// As `subrosa_events_add_vault`, for one collection. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_add_collection(
    events: *mut subrosa_events,
    collection: *mut subrosa_collection,
    tag: u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || object(events)?.add_collection(&*object(collection)?, tag))
}

/// As `subrosa_events_add_vault`, for what happens to sync; look at `subrosa_sync_status_of` once after adding it.
/// Errors: `SUBROSA_SYNC_STOPPED` as well. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_add_sync(
    events: *mut subrosa_events,
    sync: *mut subrosa_sync,
    tag: u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || object(events)?.add_sync(&*object(sync)?, tag))
}

/// As `subrosa_events_add_vault`, for the log: what the library has to say from now on, of the whole process, of at most
/// `level_max` (`SUBROSA_LOG_ERROR` to `SUBROSA_LOG_TRACE`), beside what a receiver of `subrosa_log_set` is told. Of messages that
/// nobody takes, the newest `SUBROSA_EVENT_LOG_MAX` are kept, behind a `SUBROSA_EVENT_LAGGED`. The source never ends by itself.
/// Errors: `SUBROSA_INVALID_ARGUMENT` for another level, as well. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_add_log(
    events: *mut subrosa_events,
    level_max: i32,
    tag: u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || object(events)?.add_log(level_max, tag))
}

/// Removes all sources of a tag, with their events that nobody took. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_remove(
    events: *mut subrosa_events,
    tag: u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || {
        object(events)?.remove(tag);
        Ok(())
    })
}

/// The next event; of kind `SUBROSA_EVENT_NONE` when there is none within `timeout_ms`. Sources take turns; events of one come
/// in order. `cancel` may be NULL. Several threads may wait; each event goes to one.
/// Errors: `SUBROSA_CANCELLED`, `SUBROSA_CLOSED`, `SUBROSA_BUSY` while there is a listener. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_wait(
    events: *mut subrosa_events,
    timeout_ms: i32,
    cancel: *mut subrosa_cancel,
    out: *mut subrosa_event,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || {
        let out = caller.sized_out(out, true)?;
        let event = object(events)?.wait(timeout_ms, optional_object(cancel)?.as_deref())?;
        out.set(&event.into());
        Ok(())
    })
}

/// Frees what an event holds, and makes its text empty, so that it can be called twice. NULL is fine. Since 0.1.
///
/// # Safety
/// The struct is as the library filled it, or zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_event_free(event: *mut subrosa_event) {
    // SAFETY: promised by the caller.
    if let Some(event) = unsafe { event.as_mut() } {
        // SAFETY: promised by the caller.
        unsafe { event.text.free() };
    }
}

/// Delivers events to `listener` from now on, until `subrosa_events_unlisten` or `subrosa_events_close`. `user` is passed to it,
/// and to `user_free` once it is not called any more, or at once if this fails.
/// Errors: `SUBROSA_BUSY` while there is a listener, `SUBROSA_NO_RESOURCES`, `SUBROSA_INVALID_ARGUMENT` for NULL. Since 0.1.
///
/// # Safety
/// Rules 2 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_listen(
    events: *mut subrosa_events,
    listener: subrosa_event_fn,
    user: *mut c_void,
    user_free: subrosa_free_fn,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let user = User::new(user, user_free);
    caller.run_on(events, || {
        let listener = listener.ok_or_else(|| crate::memory::null("the listener is NULL"))?;
        object(events)?.listen(Box::new(ToHost { listener, user }))
    })
}

/// Ends delivery; the queue can be pulled again. Returns after a running callback has finished and `user_free` was called;
/// from within the callback at once, and `user_free` is called when it has returned. Does nothing without a listener. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_unlisten(
    events: *mut subrosa_events,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(events, || {
        object(events)?.unlisten();
        Ok(())
    })
}

/// Closes a queue: calls that wait on it answer `SUBROSA_CLOSED`, delivery ends as by `subrosa_events_unlisten`. NULL, and a
/// second time, are fine. Errors: `SUBROSA_WOULD_DEADLOCK` from within its callback; then it stays open. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_events_close(
    events: *mut subrosa_events,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run(|| {
        if events.is_null() {
            return Ok(());
        }
        let open = match handles::find::<EventsObject>(events.addr()) {
            Ok(open) => open,
            Err(failure) if failure.code == crate::status::SUBROSA_INVALID_HANDLE => return Ok(()),
            Err(failure) => return Err(failure),
        };
        open.check_close()?;
        let _handle = Closing(events);
        open.close();
        Ok(())
    })
}

/// The host's listener.
struct ToHost {
    listener: unsafe extern "C" fn(user: *mut c_void, event: *const subrosa_event),
    user: User,
}

impl Listener for ToHost {
    fn deliver(&self, event: Event) {
        let mut event = subrosa_event::from(event);
        // SAFETY: rule 4 of this library.
        self.user.call(|user| unsafe { (self.listener)(user, &raw const event) });
        quietly(|| {
            // SAFETY: made here, and lent to the callback only.
            unsafe { event.text.free() };
        });
    }
}
