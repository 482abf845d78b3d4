//! Packed rows: many records in one piece of memory, little endian, without padding.
//!
//! ```text
//! row    = len u32 (of all that follows in the row) | op u8 | format u8 | zero u16 | id[16] | payload
//! fields = count u32 | count x (name_len u16 | name | value)
//! value  = kind u8 | NULL: - | BOOL: u8 | I64: i64 | F64: f64 | TEXT, BYTES: len u32 | bytes
//!                  | LIST: count u32 | values | MAP: fields
//! ```
//!
//! Rows of a caller are hostile: every length and count is held against the bytes that are left before anything is
//! allocated for it, and depth is bounded.

use std::collections::BTreeMap;

use subrosa::{Finite, Record, RecordId, VALUE_DEPTH_MAX, Value};

use super::payload::Payload;
use super::record::{
    SUBROSA_KIND_BOOL, SUBROSA_KIND_BYTES, SUBROSA_KIND_F64, SUBROSA_KIND_I64, SUBROSA_KIND_LIST,
    SUBROSA_KIND_MAP, SUBROSA_KIND_NULL, SUBROSA_KIND_TEXT, fields_of_json,
};
use crate::failure::Failure;
use crate::status::{
    SUBROSA_BAD_ROWS, SUBROSA_INVALID_UTF8, SUBROSA_NEWER_FORM, SUBROSA_NOT_JSON, SUBROSA_TOO_DEEP,
    SUBROSA_TOO_LARGE,
};

/// In results: there is no such record.
pub const SUBROSA_ROW_ABSENT: i32 = 0;
/// In results: a record.
pub const SUBROSA_ROW_RECORD: i32 = 1;
/// In writes: adds a record; its id is zero in the row, a new one is made.
pub const SUBROSA_ROW_INSERT: i32 = 2;
/// In writes: sets fields, leaves others.
pub const SUBROSA_ROW_PUT: i32 = 3;
/// In writes: sets fields, removes others.
pub const SUBROSA_ROW_REPLACE: i32 = 4;
/// In writes: deletes a record; no payload, format 0.
pub const SUBROSA_ROW_DELETE: i32 = 5;
/// In results: a record that is larger than is read whole; no payload, format 0. Read its fields one by one.
pub const SUBROSA_ROW_TOO_LARGE: i32 = 6;
/// In writes: as `SUBROSA_ROW_PUT`, for a record that was exported, which may have more fields than a write may add.
pub const SUBROSA_ROW_IMPORT: i32 = 7;
/// The payload is a JSON object.
pub const SUBROSA_FORMAT_JSON: i32 = 1;
/// The payload is fields.
pub const SUBROSA_FORMAT_FIELDS: i32 = 2;
/// Most rows in one call.
pub const SUBROSA_ROWS_MAX: usize = 65536;
/// Most bytes of rows in one call: 64 MiB.
pub const SUBROSA_ROWS_BYTES_MAX: usize = 67_108_864;

/// Bytes of a row that `len` does not count.
const LEN_BYTES: usize = 4;
/// Bytes of a row between `len` and its payload.
const HEAD_BYTES: usize = 20;

/// Rows being put together.
#[derive(Default)]
pub(crate) struct RowsWriter(Vec<u8>);

impl RowsWriter {
    /// Adds a row, unless the rows would be too large then; the first one may be of any size. Says whether it did.
    ///
    /// # Errors
    /// `SUBROSA_TOO_LARGE` for a record that does not fit into this format.
    pub(crate) fn push<P: Payload>(&mut self, id: RecordId, record: Option<&P>) -> Result<bool, Failure> {
        match record {
            Some(record) => self.row(id, 1, P::FORMAT, record.bytes().ok_or_else(does_not_fit)?),
            None => self.row(id, 0, 0, &[]),
        }
    }

    /// As [`Self::push`], for a record that is not read whole.
    pub(crate) fn push_too_large(&mut self, id: RecordId) -> Result<bool, Failure> {
        self.row(id, 6, 0, &[])
    }

    fn row(&mut self, id: RecordId, op: u8, format: u8, payload: &[u8]) -> Result<bool, Failure> {
        let len = u32::try_from(HEAD_BYTES + payload.len()).map_err(|_| does_not_fit())?;
        let after = self.0.len() + LEN_BYTES + HEAD_BYTES + payload.len();
        if !self.0.is_empty() && after > SUBROSA_ROWS_BYTES_MAX {
            return Ok(false);
        }
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(&[op, format, 0, 0]);
        self.0.extend_from_slice(id.as_bytes());
        self.0.extend_from_slice(payload);
        Ok(true)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

fn does_not_fit() -> Failure {
    Failure::new(SUBROSA_TOO_LARGE, "a record is too long for packed rows")
}

/// One row, as it stands in the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// Where it starts.
    pub(crate) offset: usize,
    pub(crate) op: i32,
    pub(crate) format: i32,
    pub(crate) id: RecordId,
    pub(crate) payload: &'a [u8],
}

impl<'a> Row<'a> {
    /// The row that starts at `offset`, and where the next one does. `None` for bytes that are no row.
    pub(crate) fn read(rows: &'a [u8], offset: usize) -> Option<(Self, usize)> {
        let mut left = rows.get(offset..)?;
        let len = usize::try_from(u32::from_le_bytes(take(&mut left)?)).ok()?;
        if len < HEAD_BYTES || len > left.len() {
            return None;
        }
        let next = offset + LEN_BYTES + len;
        let mut row = &left[..len];
        let [op, format, zeros @ ..]: [u8; 4] = take(&mut row)?;
        let id = RecordId::from_bytes(take(&mut row)?);
        let this = Self { offset, op: op.into(), format: format.into(), id, payload: row };
        (zeros == [0; 2]).then_some((this, next))
    }

    /// Whether a caller may write it.
    fn is_write(&self) -> bool {
        let has_record = matches!(self.format, SUBROSA_FORMAT_JSON | SUBROSA_FORMAT_FIELDS);
        match self.op {
            SUBROSA_ROW_INSERT => has_record && *self.id.as_bytes() == [0; 16],
            SUBROSA_ROW_PUT | SUBROSA_ROW_REPLACE | SUBROSA_ROW_IMPORT => has_record,
            SUBROSA_ROW_DELETE => self.format == 0 && self.payload.is_empty(),
            _ => false,
        }
    }

    /// The record that its payload is.
    pub(crate) fn record(&self) -> Result<Record, Failure> {
        let at = LEN_BYTES + HEAD_BYTES + self.offset;
        if self.format == SUBROSA_FORMAT_JSON {
            let json = std::str::from_utf8(self.payload).map_err(|_| not_utf8())?;
            let fields = fields_of_json(json).map_err(|failure| {
                if !has_offset(&failure) {
                    return failure;
                }
                let number = failure.number.saturating_add(offset_number(at));
                failure.number(number)
            })?;
            return Ok(Record(fields));
        }
        let mut left = self.payload;
        let fields = take_fields(&mut left, VALUE_DEPTH_MAX)?;
        if left.is_empty() { Ok(Record(fields)) } else { Err(bad()) }
    }

    /// A failure that this row is the reason of, with its offset, unless it has a better number.
    pub(crate) fn blame(&self, failure: Failure) -> Failure {
        let of_the_row = (300..400).contains(&failure.code) || failure.code == SUBROSA_INVALID_UTF8;
        if of_the_row && !has_offset(&failure) {
            return failure.number(offset_number(self.offset));
        }
        failure
    }
}

/// Checks that `rows` are rows that a caller may write, all of them and nothing else. How many they are.
pub(crate) fn check_writes(rows: &[u8]) -> Result<usize, Failure> {
    if rows.len() > SUBROSA_ROWS_BYTES_MAX {
        return Err(too_large());
    }
    let (mut count, mut offset) = (0, 0);
    while offset < rows.len() {
        let row = Row::read(rows, offset).filter(|(row, _)| row.is_write());
        let (_, next) = row.ok_or_else(|| bad().number(offset_number(offset)))?;
        offset = next;
        count += 1;
        if count > SUBROSA_ROWS_MAX {
            return Err(too_large());
        }
    }
    Ok(count)
}

/// The rows of bytes that were checked.
pub(crate) fn each_row(rows: &[u8]) -> impl Iterator<Item = Row<'_>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let (row, next) = Row::read(rows, offset)?;
        offset = next;
        Some(row)
    })
}

pub(crate) fn too_large() -> Failure {
    Failure::new(SUBROSA_TOO_LARGE, "more than 65536 rows, or more than 64 MiB of them, in one call")
}

fn bad() -> Failure {
    Failure::new(SUBROSA_BAD_ROWS, "not packed rows, or not rows that can be written")
}

/// Whether its number is an offset within JSON.
const fn has_offset(failure: &Failure) -> bool {
    matches!(failure.code, SUBROSA_NOT_JSON | SUBROSA_NEWER_FORM)
}

fn not_utf8() -> Failure {
    Failure::new(SUBROSA_INVALID_UTF8, "text in a row is not UTF-8")
}

fn offset_number(offset: usize) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// Takes an array off the front.
fn take<const N: usize>(left: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = left.split_first_chunk()?;
    *left = rest;
    Some(*front)
}

/// Takes a count of things off the front, each of which has `each` bytes at least.
fn take_count(left: &mut &[u8], each: usize) -> Result<usize, Failure> {
    let count = u32::from_le_bytes(take(left).ok_or_else(bad)?);
    let count = usize::try_from(count).map_err(|_| bad())?;
    if count > left.len() / each { Err(bad()) } else { Ok(count) }
}

fn take_bytes<'a>(left: &mut &'a [u8], len: usize) -> Result<&'a [u8], Failure> {
    let (front, rest) = left.split_at_checked(len).ok_or_else(bad)?;
    *left = rest;
    Ok(front)
}

fn take_text(left: &mut &[u8], len: usize) -> Result<String, Failure> {
    let text = std::str::from_utf8(take_bytes(left, len)?).map_err(|_| not_utf8())?;
    Ok(text.to_owned())
}

/// A field has a length of its name, and a kind.
const FIELD_BYTES_MIN: usize = 3;

/// `depth` is how many more levels of lists and maps are allowed.
fn take_fields(left: &mut &[u8], depth: usize) -> Result<BTreeMap<String, Value>, Failure> {
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    let mut fields = BTreeMap::new();
    for _ in 0..take_count(left, FIELD_BYTES_MIN)? {
        let name_len = u16::from_le_bytes(take(left).ok_or_else(bad)?);
        let name = take_text(left, name_len.into())?;
        let value = take_value(left, depth)?;
        if fields.insert(name, value).is_some() {
            return Err(bad());
        }
    }
    Ok(fields)
}

fn take_value(left: &mut &[u8], depth: usize) -> Result<Value, Failure> {
    let [kind] = take(left).ok_or_else(bad)?;
    Ok(match i32::from(kind) {
        SUBROSA_KIND_NULL => Value::Null,
        SUBROSA_KIND_BOOL => match take(left) {
            Some([0]) => Value::Bool(false),
            Some([1]) => Value::Bool(true),
            _ => return Err(bad()),
        },
        SUBROSA_KIND_I64 => Value::I64(i64::from_le_bytes(take(left).ok_or_else(bad)?)),
        SUBROSA_KIND_F64 => Value::F64(Finite::new(f64::from_le_bytes(take(left).ok_or_else(bad)?))?),
        SUBROSA_KIND_TEXT => {
            let len = take_count(left, 1)?;
            Value::Text(take_text(left, len)?)
        }
        SUBROSA_KIND_BYTES => {
            let len = take_count(left, 1)?;
            Value::Bytes(take_bytes(left, len)?.to_vec())
        }
        SUBROSA_KIND_LIST => {
            let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            // Grown as items arrive: a value is larger than the byte that announces it.
            let mut items = Vec::new();
            for _ in 0..take_count(left, 1)? {
                items.push(take_value(left, depth)?);
            }
            Value::List(items)
        }
        SUBROSA_KIND_MAP => Value::Map(take_fields(left, depth)?),
        _ => return Err(bad()),
    })
}

fn too_deep() -> Failure {
    Failure::new(SUBROSA_TOO_DEEP, "lists and maps nested too deep")
}

/// The decoder of packed rows, for fuzzing.
#[cfg(feature = "testing")]
pub mod testing {
    use super::{RowsWriter, SUBROSA_FORMAT_FIELDS, check_writes, each_row};
    use crate::api::payload::{FieldsPayload, JsonPayload, Payload as _};
    use subrosa::{Record, Value};

    /// Reads rows of a caller, and writes each record again, in both formats.
    ///
    /// # Panics
    /// If what was written is not what was read.
    pub fn rows(bytes: &[u8]) {
        if check_writes(bytes).is_err() {
            return;
        }
        for row in each_row(bytes) {
            let Ok(Record(fields)) = row.record() else { continue };
            let value = Value::Map(fields);
            let json: JsonPayload = value.clone().into_serde().expect("any record is JSON");
            assert_eq!(json.bytes(), Some(value.to_json_string().as_bytes()));
            let fields: FieldsPayload = value.clone().into_serde().expect("any record is fields");
            let mut rows = RowsWriter::default();
            if fields.bytes().is_some() && rows.push(row.id, Some(&fields)).is_ok_and(|fits| fits) {
                let rows = rows.finish();
                let written = each_row(&rows).next().expect("the row that was written");
                assert_eq!((written.format, written.id), (SUBROSA_FORMAT_FIELDS, row.id));
                assert!(written.record().is_ok_and(|again| Value::Map(again.0) == value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
