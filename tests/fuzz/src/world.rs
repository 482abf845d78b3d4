//! What a sequence of calls works on: handles of all types, dead and alive, and one store.

use std::ptr::null_mut;

use arbitrary::Unstructured;
use subrosa_ffi::*;

use crate::calls::call;

/// Calls of one run at most.
const CALLS_MAX: usize = 64;

/// Handles that calls have returned, closed ones included.
pub(crate) struct World {
    pub(crate) handles: Vec<usize>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stores: u32,
}

/// Runs the sequence that `data` says.
pub(crate) fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World::new();
    for _ in 0..CALLS_MAX {
        if input.is_empty() || call(&mut world, &mut input).is_err() {
            break;
        }
    }
    world.end();
}

impl World {
    /// A store with a vault, a collection and a record, so that most calls have something to work on.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut world = Self { handles: Vec::new(), dir, stores: 0 };
        let (mut key, mut device, mut vault, mut collection) =
            (null_mut(), null_mut(), null_mut(), null_mut());
        let path = world.dir.path().join("first").to_str().expect("UTF-8").to_owned();
        let (name, json) = ("notes", r#"{"title":"first","n":1}"#);
        let mut id = subrosa_id { bytes: [0; 16] };
        let none = null_mut();
        // SAFETY: all pointers are to locals that outlive the calls.
        unsafe {
            assert_eq!(subrosa_key_generate(&mut key, none), SUBROSA_OK);
            let created = subrosa_device_create(
                path.as_ptr().cast(),
                path.len(),
                key,
                std::ptr::null(),
                &mut device,
                none,
            );
            assert_eq!(created, SUBROSA_OK);
            assert_eq!(subrosa_vault_create(device, name.as_ptr().cast(), 5, &mut vault, none), SUBROSA_OK);
            assert_eq!(
                subrosa_collection_open(vault, name.as_ptr().cast(), 5, &mut collection, none),
                SUBROSA_OK
            );
            let json = (json.as_ptr().cast(), json.len());
            let inserted = subrosa_insert_json(collection, null_mut(), json.0, json.1, &mut id, none);
            assert_eq!(inserted, SUBROSA_OK);
        }
        world.keep(key);
        world.keep(device);
        world.keep(vault);
        world.keep(collection);
        world
    }

    /// Remembers a handle.
    pub(crate) fn keep<T>(&mut self, handle: *mut T) {
        if !handle.is_null() {
            self.handles.push(handle.addr());
        }
    }

    /// A handle of whatever type, or a number that is none.
    pub(crate) fn pick<T>(&self, input: &mut Unstructured<'_>) -> arbitrary::Result<*mut T> {
        let address = match input.int_in_range(0..=15)? {
            0 => 0,
            1 => input.arbitrary()?,
            2 => *input.choose(&self.handles)? ^ (1 << input.int_in_range(0..=46)?),
            _ => *input.choose(&self.handles)?,
        };
        Ok(std::ptr::without_provenance_mut(address))
    }

    /// Checks what every call promises.
    pub(crate) fn check(&mut self, status: i32, error: *mut subrosa_error) {
        // SAFETY: a static text.
        let name = unsafe { std::ffi::CStr::from_ptr(subrosa_status_name(status)) };
        assert_ne!(name, c"UNKNOWN", "status {status}");
        assert_ne!(status, SUBROSA_PANIC);
        assert_eq!(status == SUBROSA_OK, error.is_null(), "{name:?}");
        if !error.is_null() {
            assert_eq!(subrosa_error_code(error), status);
            // SAFETY: the error is not freed yet.
            let message = unsafe { std::ffi::CStr::from_ptr(subrosa_error_message(error)) };
            assert!(!message.is_empty());
            for index in 0..subrosa_error_causes(error) {
                // SAFETY: as above.
                let cause = unsafe { std::ffi::CStr::from_ptr(subrosa_error_cause(error, index)) };
                assert!(!cause.is_empty());
            }
            subrosa_error_free(error);
            // Its token stays in the pool, to be used when it is stale.
            self.handles.push(error.addr());
        }
    }

    /// Closes everything, by the wrong function most of the time: only the right one may have an effect.
    fn end(self) {
        for handle in self.handles.iter().rev().copied() {
            let none = null_mut();
            let handle = |_: ()| std::ptr::without_provenance_mut::<()>(handle);
            // SAFETY: handles may be anything.
            unsafe {
                subrosa_events_close(handle(()).cast(), none);
                subrosa_sync_stop(handle(()).cast(), none);
                subrosa_device_close(handle(()).cast(), none);
            }
            subrosa_tx_abort(handle(()).cast());
            subrosa_pair_offer_close(handle(()).cast());
            subrosa_pair_join_close(handle(()).cast());
            subrosa_collection_close(handle(()).cast());
            subrosa_vault_close(handle(()).cast());
            subrosa_record_close(handle(()).cast());
            subrosa_list_close(handle(()).cast());
            subrosa_session_close(handle(()).cast());
            subrosa_moment_close(handle(()).cast());
            subrosa_cancel_close(handle(()).cast());
            subrosa_key_close(handle(()).cast());
            subrosa_error_free(handle(()).cast());
        }
    }
}
