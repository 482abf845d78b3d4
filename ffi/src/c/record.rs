//! Records as objects.

use std::ffi::c_char;

use subrosa::{Finite, Record, Value};

use super::library::quietly;
use super::{Caller, close, handle, object, subrosa_error, subrosa_record};
use crate::api::record::{RecordObject, SUBROSA_KIND_ABSENT, kind_number, record_of_json};
use crate::memory::subrosa_buf;

/// Makes a record without fields. It belongs to no collection until it is inserted or put, which copies it. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_record_new(
    out: *mut *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        out.required()?.set(handle(RecordObject::new(Record::default()))?);
        Ok(())
    })
}

/// Makes a record from a JSON object. Whole numbers become I64, those with a point or an exponent F64, `{"$bytes": "<base64>"}`
/// bytes. Errors: `SUBROSA_NOT_JSON` and `SUBROSA_NEWER_FORM` (number: offset of the byte), `SUBROSA_NOT_A_RECORD`,
/// `SUBROSA_TOO_DEEP`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_record_from_json(
    json: *const c_char,
    len: usize,
    out: *mut *mut subrosa_record,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        let (json, out) = (caller.text(json, len)?, out.required()?);
        out.set(handle(RecordObject::new(record_of_json(json)?))?);
        Ok(())
    })
}

/// The record as JSON: compact, keys sorted, a float always with a point or an exponent. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_to_json(
    record: *mut subrosa_record,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let out = out.required()?;
        out.set(subrosa_buf::new(object(record)?.to_json()?.into_bytes()));
        Ok(())
    })
}

/// Closes a record; views into it end. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_record_close(record: *mut subrosa_record) {
    quietly(|| drop(close(record)));
}

/// Sets a field to nothing, as a value. Views into the record end, as with every setter. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_null(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        object(record)?.set(field, || Ok(Value::Null))?;
        Ok(())
    })
}

/// Sets a field to true or false. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_bool(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    value: bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        object(record)?.set(field, || Ok(Value::Bool(value)))?;
        Ok(())
    })
}

/// Sets a field to a whole number. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_i64(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    value: i64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        object(record)?.set(field, || Ok(Value::I64(value)))?;
        Ok(())
    })
}

/// Sets a field to a float. Errors: `SUBROSA_NOT_FINITE`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_f64(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    value: f64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        object(record)?.set(field, || Ok(Value::F64(Finite::new(value)?)))?;
        Ok(())
    })
}

/// Sets a field to text, which is copied. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_text(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    text: *const c_char,
    text_len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        let text = caller.text(text, text_len)?;
        object(record)?.set(field, || Ok(Value::Text(text.to_owned())))?;
        Ok(())
    })
}

/// Sets a field to bytes, which are copied. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_bytes(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    data: *const u8,
    data_len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        let data = caller.bytes(data, data_len)?;
        object(record)?.set(field, || Ok(Value::Bytes(data.to_vec())))?;
        Ok(())
    })
}

/// Sets a field to any value, lists and maps included, given as JSON.
/// Errors: `SUBROSA_NOT_JSON` and `SUBROSA_NEWER_FORM` (number: offset of the byte), `SUBROSA_TOO_DEEP`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_set_json(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    json: *const c_char,
    json_len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(record, || {
        let field = caller.text(field, field_len)?;
        let json = caller.text(json, json_len)?;
        object(record)?.set(field, || Ok(Value::from_json_str(json)?))?;
        Ok(())
    })
}

/// Removes a field; `existed` says whether there was one. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_remove(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    existed: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let existed = caller.out(existed);
    caller.run_on(record, || {
        let (field, existed) = (caller.text(field, field_len)?, existed.required()?);
        existed.set(object(record)?.lock()?.0.remove(field).is_some());
        Ok(())
    })
}

/// How many fields the record has. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_len(
    record: *mut subrosa_record,
    out: *mut usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let out = out.required()?;
        out.set(object(record)?.lock()?.0.len());
        Ok(())
    })
}

/// The name and the kind of the field at `index`, in the order of names. The name is not NUL-terminated and valid until the
/// record is changed or closed. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the last. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_field_view(
    record: *mut subrosa_record,
    index: usize,
    name: *mut *const c_char,
    name_len: *mut usize,
    kind: *mut i32,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let name = caller.out(name);
    let name_len = caller.out(name_len);
    let kind = caller.out(kind);
    caller.run_on(record, || {
        let (name, name_len, kind) = (name.required()?, name_len.required()?, kind.required()?);
        object(record)?.field(index, |field, value| {
            name.set(field.as_ptr().cast());
            name_len.set(field.len());
            kind.set(kind_number(value));
        })?;
        Ok(())
    })
}

/// The kind of a field: `SUBROSA_KIND_...`, `SUBROSA_KIND_ABSENT` if there is none. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_kind(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    out: *mut i32,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let (field, out) = (caller.text(field, field_len)?, out.required()?);
        let record = object(record)?;
        out.set(record.lock()?.0.get(field).map_or(SUBROSA_KIND_ABSENT, kind_number));
        Ok(())
    })
}

/// A field that holds true or false. Errors: `SUBROSA_NO_FIELD`, `SUBROSA_WRONG_KIND`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_bool(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    out: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let (field, out) = (caller.text(field, field_len)?, out.required()?);
        out.set(object(record)?.get(field, |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })?);
        Ok(())
    })
}

/// A field that holds a whole number. Errors: as `subrosa_record_get_bool`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_i64(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    out: *mut i64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let (field, out) = (caller.text(field, field_len)?, out.required()?);
        out.set(object(record)?.get(field, |value| match value {
            Value::I64(value) => Some(*value),
            _ => None,
        })?);
        Ok(())
    })
}

/// A field that holds a float; a whole number is none. Errors: as `subrosa_record_get_bool`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_f64(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    out: *mut f64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let (field, out) = (caller.text(field, field_len)?, out.required()?);
        out.set(object(record)?.get(field, |value| match value {
            Value::F64(value) => Some(value.to_f64()),
            _ => None,
        })?);
        Ok(())
    })
}

/// A field that holds text: not NUL-terminated, valid until the record is changed or closed.
/// Errors: as `subrosa_record_get_bool`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_text_view(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    text: *mut *const c_char,
    text_len: *mut usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let text = caller.out(text);
    let text_len = caller.out(text_len);
    caller.run_on(record, || {
        let (text, text_len) = (text.required()?, text_len.required()?);
        let field = caller.text(field, field_len)?;
        object(record)?.get(field, |value| {
            let Value::Text(held) = value else { return None };
            text.set(held.as_ptr().cast());
            text_len.set(held.len());
            Some(())
        })?;
        Ok(())
    })
}

/// A field that holds bytes: valid until the record is changed or closed. Errors: as `subrosa_record_get_bool`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_bytes_view(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    data: *mut *const u8,
    data_len: *mut usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let data = caller.out(data);
    let data_len = caller.out(data_len);
    caller.run_on(record, || {
        let (data, data_len) = (data.required()?, data_len.required()?);
        let field = caller.text(field, field_len)?;
        object(record)?.get(field, |value| {
            let Value::Bytes(held) = value else { return None };
            data.set(held.as_ptr());
            data_len.set(held.len());
            Some(())
        })?;
        Ok(())
    })
}

/// A field of any kind as JSON. Errors: `SUBROSA_NO_FIELD`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_record_get_json(
    record: *mut subrosa_record,
    field: *const c_char,
    field_len: usize,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(record, || {
        let (field, out) = (caller.text(field, field_len)?, out.required()?);
        let json = object(record)?.get(field, |value| Some(value.to_json_string()))?;
        out.set(subrosa_buf::new(json.into_bytes()));
        Ok(())
    })
}
