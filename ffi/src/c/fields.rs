//! Single fields of records of any size.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::sync::Arc;

use subrosa::Record;

use super::collection::{about, target};
use super::{
    Caller, handle, subrosa_collection, subrosa_error, subrosa_id, subrosa_list, subrosa_record, subrosa_tx,
};
use crate::api::list::ListObject;
use crate::api::record::RecordObject;
use crate::api::rows::SUBROSA_ROWS_MAX;
use crate::failure::Failure;
use crate::memory::subrosa_buf;
use crate::status::SUBROSA_INVALID_ARGUMENT;

/// The names of a record's fields behind the name `after` (NULL: from the first), in the order of their bytes, at most `limit`
/// (1 to `SUBROSA_ROWS_MAX`); the record may be of any size. `*out` is a new list, to be read with `subrosa_list_text_view` and
/// closed with `subrosa_list_close`; NULL, with `SUBROSA_OK`, when there is no such record. A list of `limit` names may have
/// others behind it: go on after the last. Errors: as `subrosa_count`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_field_names(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    after: *const c_char,
    after_len: usize,
    limit: usize,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let (id, out) = (caller.value(id)?.into(), out.required()?);
        // Nothing is a name as well, and NULL is no name.
        let text = caller.text(after, after_len)?;
        let after = (!after.is_null()).then_some(text);
        if limit == 0 || limit > SUBROSA_ROWS_MAX {
            return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "a list has 1 to 65536 names"));
        }
        if let Some(names) = target(collection, tx)?.field_names(id, after, limit)? {
            out.set(handle(Arc::new(ListObject::Names(names)))?);
        }
        Ok(())
    })
}

/// Reads one field of a record, which may be of any size. `*out` is a new record that has this field alone, to be closed with
/// `subrosa_record_close`; NULL, with `SUBROSA_OK`, when there is no such record or field. Errors: as `subrosa_count`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_get_field(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    field: *const c_char,
    field_len: usize,
    out: *mut *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(about(collection, tx), || {
        let (id, field, out) = (caller.value(id)?.into(), caller.text(field, field_len)?, out.required()?);
        if let Some(value) = target(collection, tx)?.get_field(id, field)? {
            let record = Record(BTreeMap::from([(field.to_owned(), value)]));
            out.set(handle(RecordObject::new(record))?);
        }
        Ok(())
    })
}

/// Reads one field of a record, which may be of any size, as JSON: the value alone. `found` is false, and `out` empty, when there
/// is no such record or field. Errors: as `subrosa_count`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_get_field_json(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    field: *const c_char,
    field_len: usize,
    out: *mut subrosa_buf,
    found: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    let found = caller.out(found);
    caller.run_on(about(collection, tx), || {
        let (id, field) = (caller.value(id)?.into(), caller.text(field, field_len)?);
        let (out, found) = (out.required()?, found.required()?);
        if let Some(value) = target(collection, tx)?.get_field(id, field)? {
            out.set(subrosa_buf::new(value.to_json_string().into_bytes()));
            found.set(true);
        }
        Ok(())
    })
}

/// Deletes one field of a record, which may be of any size; `existed` says whether there was one. The record stays, also without
/// any field. Errors: as `subrosa_insert`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_delete_field(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    id: *const subrosa_id,
    field: *const c_char,
    field_len: usize,
    existed: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let existed = caller.out(existed);
    caller.run_on(about(collection, tx), || {
        let (id, field) = (caller.value(id)?.into(), caller.text(field, field_len)?);
        let existed = existed.required()?;
        existed.set(target(collection, tx)?.delete_field(id, field)?);
        Ok(())
    })
}
