//! The exported functions. They check and convert arguments, and call what `api` has.

mod cancel;
mod collection;
mod device;
mod errors;
mod events;
mod fields;
mod ids;
mod keys;
mod library;
mod list;
mod pairing;
mod record;
mod rows;
mod sync;
mod tx;
mod vault;

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use crate::failure::{ErrorObject, Failure};
use crate::handles::{self, Object};
use crate::memory::{Blank, Out, Sized32, SizedOut};
use crate::{api, guard, memory};

pub use cancel::*;
pub use collection::*;
pub use device::*;
pub use errors::*;
pub use events::*;
pub use fields::*;
pub use ids::*;
pub use keys::*;
pub use library::*;
pub use list::*;
pub use pairing::*;
pub use record::*;
pub use rows::*;
pub use sync::*;
pub use tx::*;
pub use vault::*;

/// Frees what a `user` pointer stands for. Called exactly once: when the registration ends or fails.
pub type subrosa_free_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

macro_rules! handle_types {
    ($($(#[$doc:meta])* $name:ident => $object:ty;)*) => {
        $(impl Handle for $name {
            type Object = $object;
        })*
    };
}

/// What a pointer type of C stands for.
pub(crate) trait Handle {
    type Object: Object;
}

/// Why a call failed. Free it with `subrosa_error_free`.
pub struct subrosa_error(());
/// A token that ends calls that wait. Thread-safe.
pub struct subrosa_cancel(());
/// A P-256 key pair: in memory, or in a key provider. Thread-safe.
pub struct subrosa_key(());
/// A symmetric session between two key pairs, or of one with itself. Thread-safe.
pub struct subrosa_session(());
/// A result of several items, which does not change. Thread-safe.
pub struct subrosa_list(());
/// An open store: one installation of an application on one machine. Thread-safe.
pub struct subrosa_device(());
/// A vault of a device: what is synced and shared as a whole. Thread-safe.
pub struct subrosa_vault(());
/// A collection of records. Thread-safe.
pub struct subrosa_collection(());
/// A record in memory: fields by name. One thread at a time.
pub struct subrosa_record(());
/// A transaction. One thread at a time.
pub struct subrosa_tx(());
/// Sync under way. Thread-safe.
pub struct subrosa_sync(());
/// A moment of a sync: what was written here by then, and what the relay had acknowledged to anybody. Thread-safe.
pub struct subrosa_moment(());
/// A queue of events of any number of sources. Thread-safe.
pub struct subrosa_events(());
/// The old device's side of a pairing. Thread-safe; one call at a time waits on it.
pub struct subrosa_pair_offer(());
/// The new device's side of a pairing. Thread-safe; one call at a time waits on it.
pub struct subrosa_pair_join(());

handle_types! {
    subrosa_error => ErrorObject;
    subrosa_cancel => api::cancel::CancelObject;
    subrosa_key => api::keys::KeyObject;
    subrosa_session => api::keys::SessionObject;
    subrosa_list => api::list::ListObject;
    subrosa_device => api::device::DeviceObject;
    subrosa_vault => api::vault::VaultObject;
    subrosa_collection => api::vault::CollectionObject;
    subrosa_record => api::record::RecordObject;
    subrosa_tx => api::tx::TxObject;
    subrosa_sync => api::sync::SyncObject;
    subrosa_moment => api::sync::MomentObject;
    subrosa_events => api::events::EventsObject;
    subrosa_pair_offer => api::pairing::OfferObject;
    subrosa_pair_join => api::pairing::JoinObject;
}

/// The object of a handle.
pub(crate) fn object<H: Handle>(handle: *const H) -> Result<Arc<H::Object>, Failure> {
    handles::get(handle.addr())
}

/// As [`object`], `None` for NULL.
pub(crate) fn optional_object<H: Handle>(handle: *const H) -> Result<Option<Arc<H::Object>>, Failure> {
    if handle.is_null() { Ok(None) } else { object(handle).map(Some) }
}

/// A handle for an object.
pub(crate) fn handle<H: Handle>(object: Arc<H::Object>) -> Result<*mut H, Failure> {
    handles::open(object).map(std::ptr::without_provenance_mut)
}

/// Takes a handle out of use; says nothing if it was none.
pub(crate) fn close<H: Handle>(handle: *mut H) -> Option<Arc<H::Object>> {
    if handle.is_null() {
        return None;
    }
    handles::close(handle.addr()).ok()
}

/// Takes a handle out of the table when the call that closes it is over, whatever came of that.
pub(crate) struct Closing<H: Handle>(*mut H);

impl<H: Handle> Drop for Closing<H> {
    fn drop(&mut self) {
        drop(close(self.0));
    }
}

/// What the caller of an exported function promises of its pointers, as a value that only `unsafe` makes.
pub(crate) struct Caller {
    err: *mut *mut subrosa_error,
}

impl Caller {
    /// Makes the place of the error NULL.
    ///
    /// # Safety
    /// The rules of the crate hold for `err` and for every pointer that is handed to this value's methods, until it is
    /// dropped: it lives as long as the exported function runs that made it.
    pub(crate) unsafe fn new(err: *mut *mut subrosa_error) -> Self {
        if !err.is_null() {
            // SAFETY: promised by the caller.
            unsafe { err.write(std::ptr::null_mut()) };
        }
        Self { err }
    }

    /// Runs a call that is not about a handle.
    pub(crate) fn run(&self, call: impl FnOnce() -> Result<(), Failure>) -> i32 {
        self.run_on(std::ptr::null::<subrosa_error>(), call)
    }

    /// Runs a call about `handle`, which a panic poisons.
    pub(crate) fn run_on<H>(&self, handle: *const H, call: impl FnOnce() -> Result<(), Failure>) -> i32 {
        let report = |error: usize| {
            if self.err.is_null() {
                drop(handles::close::<ErrorObject>(error));
            } else {
                // SAFETY: `new` was promised a valid place.
                unsafe { self.err.write(std::ptr::without_provenance_mut(error)) };
            }
        };
        guard::run(handle.addr(), report, call)
    }

    /// A place for a result, blank from now on.
    pub(crate) fn out<T: Blank>(&self, place: *mut T) -> Out<'_, T> {
        // SAFETY: promised when this was made.
        unsafe { Out::new(place) }
    }

    /// A place for a report, in the caller's version of its struct, blank from now on.
    pub(crate) fn sized_out<T: Sized32>(
        &self,
        place: *mut T,
        required: bool,
    ) -> Result<SizedOut<'_, T>, Failure> {
        // SAFETY: promised when this was made.
        unsafe { SizedOut::new(place, required) }
    }

    /// Bytes of the caller's.
    pub(crate) fn bytes(&self, data: *const u8, len: usize) -> Result<&[u8], Failure> {
        // SAFETY: promised when this was made.
        unsafe { memory::bytes(data, len) }
    }

    /// Text of the caller's.
    pub(crate) fn text(&self, data: *const c_char, len: usize) -> Result<&str, Failure> {
        // SAFETY: promised when this was made.
        unsafe { memory::text(data, len) }
    }

    /// A value that the caller points at.
    pub(crate) fn value<T: Copy>(&self, place: *const T) -> Result<T, Failure> {
        // SAFETY: promised when this was made.
        unsafe { memory::value(place) }
    }

    /// As [`Self::value`], `None` for NULL.
    pub(crate) fn optional<T: Copy>(&self, place: *const T) -> Option<T> {
        // SAFETY: promised when this was made.
        unsafe { memory::optional(place) }
    }

    /// Options of the caller's, in his version of their struct; `None` for NULL.
    pub(crate) fn read_sized<T: Sized32>(&self, place: *const T) -> Result<Option<T>, Failure> {
        // SAFETY: promised when this was made.
        unsafe { memory::read_sized(place) }
    }
}

/// A `user` pointer, freed when this is dropped. It may go to any thread: the host says so by giving it.
pub(crate) struct User {
    pointer: *mut c_void,
    free: subrosa_free_fn,
}

// SAFETY: rule 4 of this library: whoever registers a callback permits its use from any thread.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    pub(crate) const fn new(pointer: *mut c_void, free: subrosa_free_fn) -> Self {
        Self { pointer, free }
    }

    /// Calls the host.
    pub(crate) fn call<R>(&self, callback: impl FnOnce(*mut c_void) -> R) -> R {
        guard::in_host(|| callback(self.pointer))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: rule 4 of this library, and this is the one time.
            self.call(|user| unsafe { free(user) });
        }
    }
}
