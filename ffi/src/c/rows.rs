//! Many records in one call, and reading packed rows in C.

use subrosa::RecordId;

use super::collection::{about, target};
use super::library::quietly;
use super::{Caller, subrosa_collection, subrosa_error, subrosa_id, subrosa_tx};
use crate::api::payload::{FieldsPayload, JsonPayload};
use crate::api::rows::{Row, SUBROSA_FORMAT_FIELDS, SUBROSA_FORMAT_JSON, SUBROSA_ROWS_MAX, too_large};
use crate::failure::Failure;
use crate::memory::{blank, subrosa_buf};
use crate::status::SUBROSA_INVALID_ARGUMENT;

/// One row, as `subrosa_rows_next` finds it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_row {
    /// `SUBROSA_ROW_...`.
    pub op: i32,
    /// `SUBROSA_FORMAT_...`; 0 without a payload.
    pub format: i32,
    /// The record.
    pub id: subrosa_id,
    /// Inside of the rows; NULL if there is none.
    pub payload: *const u8,
    /// How many bytes.
    pub payload_len: usize,
}

blank!(
    subrosa_row = Self {
        op: 0,
        format: 0,
        id: subrosa_id { bytes: [0; 16] },
        payload: std::ptr::null(),
        payload_len: 0,
    }
);

fn no_format() -> Failure {
    Failure::new(SUBROSA_INVALID_ARGUMENT, "no such format of rows")
}

/// Reads part of a collection: records with ids behind `after` (NULL: from the start), in the order of their ids, at most
/// `limit` (1 to `SUBROSA_ROWS_MAX`), and fewer when `rows` would pass `SUBROSA_ROWS_BYTES_MAX`, but at least one. If
/// `more`, another page follows: go on after the last row's id. Pages without a `tx` are each as of their own moment.
///
/// Packed rows, little endian, without padding:
///
/// ```text
/// row    = len u32 (of all that follows in this row, 20 or more) | op u8 | format u8 | zero u16 | id[16] | payload
/// fields = count u32 | count x (name_len u16 | name | value)
/// value  = kind u8 (SUBROSA_KIND_...) | NULL: nothing | BOOL: u8, 0 or 1 | I64: i64 | F64: f64
///          | TEXT, BYTES: len u32 | bytes | LIST: count u32 | values | MAP: fields
/// ```
///
/// The payload has the `format` that is asked for, `SUBROSA_FORMAT_JSON` or `SUBROSA_FORMAT_FIELDS`, but for a record that
/// fields cannot hold, since a key inside of a field has over 65535 bytes: its row has `SUBROSA_FORMAT_JSON`, the others are
/// as asked. Look at the format of each row. A record that is larger than is read whole (see `subrosa_get`) has a row of
/// `SUBROSA_ROW_TOO_LARGE` without a payload. Later versions may have further ops: such a row has an id, and nothing to read.
/// Errors: as `subrosa_count`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_page(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    after: *const subrosa_id,
    limit: usize,
    format: i32,
    rows: *mut subrosa_buf,
    more: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let rows = caller.out(rows);
    let more = caller.out(more);
    caller.run_on(about(collection, tx), || {
        let (rows, more) = (rows.required()?, more.required()?);
        if limit == 0 || limit > SUBROSA_ROWS_MAX {
            return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "a page has 1 to 65536 records"));
        }
        let after = caller.optional(after).map(RecordId::from);
        let target = target(collection, tx)?;
        let (page, follows) = match format {
            SUBROSA_FORMAT_JSON => target.page::<JsonPayload>(after, limit)?,
            SUBROSA_FORMAT_FIELDS => target.page::<FieldsPayload>(after, limit)?,
            _ => return Err(no_format()),
        };
        rows.set(subrosa_buf::new(page));
        more.set(follows);
        Ok(())
    })
}

/// Reads the records of some ids, from one snapshot: one row (see `subrosa_page`) for each, in their order,
/// `SUBROSA_ROW_ABSENT` where there is no record.
/// Errors: `SUBROSA_TOO_LARGE` for more than `SUBROSA_ROWS_MAX` ids or `SUBROSA_ROWS_BYTES_MAX` bytes of rows: ask for
/// fewer; as `subrosa_page`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `ids` points to `count` ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_get_many(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    ids: *const subrosa_id,
    count: usize,
    format: i32,
    rows: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let rows = caller.out(rows);
    caller.run_on(about(collection, tx), || {
        let rows = rows.required()?;
        if count > SUBROSA_ROWS_MAX {
            return Err(too_large());
        }
        let ids = caller.bytes(ids.cast(), count * RecordId::LEN)?;
        let ids: Vec<RecordId> = ids.as_chunks().0.iter().copied().map(RecordId::from_bytes).collect();
        let target = target(collection, tx)?;
        rows.set(subrosa_buf::new(match format {
            SUBROSA_FORMAT_JSON => target.read_many::<JsonPayload>(&ids)?,
            SUBROSA_FORMAT_FIELDS => target.read_many::<FieldsPayload>(&ids)?,
            _ => return Err(no_format()),
        }));
        Ok(())
    })
}

/// Writes packed rows (see `subrosa_page`) with the ops `SUBROSA_ROW_INSERT`, `_PUT`, `_REPLACE`, `_DELETE` and `_IMPORT`,
/// in their order: all of them, or, when this fails, none, also inside of a transaction, which then goes on. `ids` gets 16 bytes for
/// each row, an array of `subrosa_id`: new ones for inserts.
/// Errors: `SUBROSA_TOO_LARGE` over `SUBROSA_ROWS_MAX` rows or `SUBROSA_ROWS_BYTES_MAX` bytes; `SUBROSA_BAD_ROWS` for bytes
/// that are no such rows; what is wrong with a row's content, as `SUBROSA_NOT_JSON` (number: offset of the byte in `rows`);
/// as `subrosa_insert`. The number of an error that one row is the reason of is the offset of this row. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_write_many(
    collection: *mut subrosa_collection,
    tx: *mut subrosa_tx,
    rows: *const u8,
    len: usize,
    ids: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let ids = caller.out(ids);
    caller.run_on(about(collection, tx), || {
        let (rows, ids) = (caller.bytes(rows, len)?, ids.required()?);
        ids.set(subrosa_buf::new(target(collection, tx)?.write_many(rows)?));
        Ok(())
    })
}

/// Reads rows one after the other: `offset` is 0 at first and then goes on by itself. False at the end, and where bytes are
/// no row; `out` is zero then. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `offset` can be read, too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_rows_next(
    rows: *const u8,
    len: usize,
    offset: *mut usize,
    out: *mut subrosa_row,
) -> bool {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(std::ptr::null_mut()) };
    let start = caller.optional(offset);
    let out = caller.out(out);
    let found = quietly(|| {
        let (row, next) = Row::read(caller.bytes(rows, len).ok()?, start?)?;
        Some((next, row.op, row.format, row.id, row.payload.len()))
    });
    let (Some((next, op, format, id, payload_len)), Ok(out)) = (found, out.required()) else { return false };
    let payload = if payload_len == 0 { std::ptr::null() } else { rows.wrapping_add(next - payload_len) };
    out.set(subrosa_row { op, format, id: id.into(), payload, payload_len });
    caller.out(offset).set(next);
    true
}
