//! Records of a collection, one by one.
//!
//! Every function takes a transaction of the same vault, or NULL for one of its own.

use std::ffi::c_char;

use super::{
    Caller, handle, object, optional_object, subrosa_collection, subrosa_error, subrosa_id, subrosa_record,
    subrosa_tx,
};
use crate::api::data::Target;
use crate::api::record::{RecordObject, json_of_record, record_of_json};
use crate::failure::Failure;
use crate::memory::subrosa_buf;

/// What a call works on.
pub(super) fn target(collection: *mut subrosa_collection, tx: *mut subrosa_tx) -> Result<Target, Failure> {
    Target::new(object(collection)?, optional_object(tx)?)
}

/// The handle that a panic poisons.
pub(super) fn about(collection: *mut subrosa_collection, tx: *mut subrosa_tx) -> *const subrosa_collection {
    if tx.is_null() { collection } else { tx.cast() }
}

/// Adds a record under a new id, which sorts after those made before. Durable when this returns, unless `tx` is given. The
/// record is copied and stays the caller's. `tx`: NULL, or a write transaction of the same vault.
/// Errors of every write: `SUBROSA_FIELD_NAME`, `SUBROSA_TOO_MANY_FIELDS`, `SUBROSA_VALUE_TOO_LARGE`, `SUBROSA_TOO_DEEP`,
/// `SUBROSA_READ_ONLY`, `SUBROSA_TX_OVER`, `SUBROSA_WRONG_DEVICE`, `SUBROSA_BUSY` (another thread's write transaction
/// did not end within `write_wait_ms` of the device's options, which is retryable, or this thread has one open and
/// `tx` is not it, or another thread uses one of the handles), `SUBROSA_NOT_PERMITTED`, `SUBROSA_DISK_FULL`, `SUBROSA_IO`,
/// `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED`. A call that fails has no effect; a transaction goes on. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_insert(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    record: *mut subrosa_record,
    out: *mut subrosa_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let (target, record, out) = (target(collection, tx)?, object(record)?, out.required()?);
        out.set(target.insert(|| record.lock())?.into());
        Ok(())
    })
}

/// Sets the fields of `record` and leaves others that the stored one has; it need not exist. Errors: as `subrosa_insert`.
/// Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_put(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    record: *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(about(collection, tx), || {
        let (target, record) = (target(collection, tx)?, object(record)?);
        let id = caller.value(id)?.into();
        target.put(id, || record.lock())?;
        Ok(())
    })
}

/// Sets the fields of `record` and removes all others. Errors: as `subrosa_insert`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_replace(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    record: *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(about(collection, tx), || {
        let (target, record) = (target(collection, tx)?, object(record)?);
        let id = caller.value(id)?.into();
        target.replace(id, || record.lock())?;
        Ok(())
    })
}

/// Reads a record. `*out` is a new record, to be closed with `subrosa_record_close`; NULL, with `SUBROSA_OK`, when there is
/// none. `tx`: NULL, or a transaction of the same vault, which sees what it has written.
/// Errors: `SUBROSA_RECORD_TOO_LARGE` when its names and values have more than 16 MiB together: read its fields one by one
/// (`subrosa_field_names`, `subrosa_get_field`); as `subrosa_count`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_get(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    out: *mut *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let (id, out) = (caller.value(id)?.into(), out.required()?);
        if let Some(record) = target(collection, tx)?.get(id)? {
            out.set(handle(RecordObject::new(record))?);
        }
        Ok(())
    })
}

/// As `subrosa_insert`, with a JSON object; see `subrosa_record_from_json`. Errors: those of both. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_insert_json(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    json: *const c_char,
    len: usize,
    out: *mut subrosa_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let (json, out) = (caller.text(json, len)?, out.required()?);
        let id = target(collection, tx)?.insert(|| record_of_json(json).map(Box::new))?;
        out.set(id.into());
        Ok(())
    })
}

/// As `subrosa_put`, with a JSON object. Errors: as `subrosa_insert_json`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_put_json(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    json: *const c_char,
    len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(about(collection, tx), || {
        let (id, json) = (caller.value(id)?.into(), caller.text(json, len)?);
        target(collection, tx)?.put(id, || record_of_json(json).map(Box::new))?;
        Ok(())
    })
}

/// As `subrosa_replace`, with a JSON object. Errors: as `subrosa_insert_json`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_replace_json(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    json: *const c_char,
    len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(about(collection, tx), || {
        let (id, json) = (caller.value(id)?.into(), caller.text(json, len)?);
        target(collection, tx)?.replace(id, || record_of_json(json).map(Box::new))?;
        Ok(())
    })
}

/// Reads a record as JSON: compact, keys sorted. `found` is false, and `out` empty, when there is none. Errors: as
/// `subrosa_get`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_get_json(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    out: *mut subrosa_buf,
    found: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    let found = caller.out(found);
    caller.run_on(about(collection, tx), || {
        let (id, out, found) = (caller.value(id)?.into(), out.required()?, found.required()?);
        if let Some(record) = target(collection, tx)?.get(id)? {
            out.set(subrosa_buf::new(json_of_record(record)));
            found.set(true);
        }
        Ok(())
    })
}

/// Deletes a record; `existed` says whether there was one. An edit made elsewhere without knowing of it brings the record back.
/// Errors: as `subrosa_insert`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_delete(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    existed: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let existed = caller.out(existed);
    caller.run_on(about(collection, tx), || {
        let (id, existed) = (caller.value(id)?.into(), existed.required()?);
        existed.set(target(collection, tx)?.delete(id)?);
        Ok(())
    })
}

/// How many records there are. Reads them all.
/// Errors of every read: `SUBROSA_TX_OVER`, `SUBROSA_WRONG_DEVICE`, `SUBROSA_BUSY`, `SUBROSA_DAMAGED`, `SUBROSA_IO`,
/// `SUBROSA_CLOSED`, `SUBROSA_SUSPENDED`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_count(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    out: *mut u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let out = out.required()?;
        out.set(target(collection, tx)?.count()?);
        Ok(())
    })
}
