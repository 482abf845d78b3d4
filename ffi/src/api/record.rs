//! Records as objects: fields by name, in the hands of one thread at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use subrosa::{Record, Value};

use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{
    SUBROSA_BUSY, SUBROSA_INVALID_ARGUMENT, SUBROSA_NO_FIELD, SUBROSA_NOT_A_RECORD, SUBROSA_WRONG_KIND,
};

/// There is no such field.
pub const SUBROSA_KIND_ABSENT: i32 = 0;
/// Nothing, as a value.
pub const SUBROSA_KIND_NULL: i32 = 1;
/// True or false.
pub const SUBROSA_KIND_BOOL: i32 = 2;
/// A whole number of 64 bits, signed.
pub const SUBROSA_KIND_I64: i32 = 3;
/// A finite number with a fraction.
pub const SUBROSA_KIND_F64: i32 = 4;
/// UTF-8 text.
pub const SUBROSA_KIND_TEXT: i32 = 5;
/// Bytes; in JSON `{"$bytes": "<base64>"}`.
pub const SUBROSA_KIND_BYTES: i32 = 6;
/// Values in order.
pub const SUBROSA_KIND_LIST: i32 = 7;
/// Named values, in the order of their names' bytes.
pub const SUBROSA_KIND_MAP: i32 = 8;

/// The number of a value's kind.
pub(crate) const fn kind_number(value: &Value) -> i32 {
    match value {
        Value::Null => SUBROSA_KIND_NULL,
        Value::Bool(_) => SUBROSA_KIND_BOOL,
        Value::I64(_) => SUBROSA_KIND_I64,
        Value::F64(_) => SUBROSA_KIND_F64,
        Value::Text(_) => SUBROSA_KIND_TEXT,
        Value::Bytes(_) => SUBROSA_KIND_BYTES,
        Value::List(_) => SUBROSA_KIND_LIST,
        Value::Map(_) => SUBROSA_KIND_MAP,
    }
}

/// The fields of a record.
pub(crate) struct RecordObject(Mutex<Record>);

impl Object for RecordObject {
    const KIND: u8 = 12;
}

impl RecordObject {
    pub(crate) fn new(record: Record) -> Arc<Self> {
        Arc::new(Self(Mutex::new(record)))
    }

    /// The record, unless another thread uses it.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, Record>, Failure> {
        match self.0.try_lock() {
            Ok(record) => Ok(record),
            Err(TryLockError::Poisoned(record)) => Ok(record.into_inner()),
            Err(TryLockError::WouldBlock) => Err(busy("another thread uses this record")),
        }
    }

    /// Sets one field to what `value` makes, in the hands of this thread.
    pub(crate) fn set(
        &self,
        field: &str,
        value: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<(), Failure> {
        let mut record = self.lock()?;
        let value = value()?;
        match record.0.get_mut(field) {
            Some(held) => *held = value,
            None => drop(record.0.insert(field.to_owned(), value)),
        }
        Ok(())
    }

    /// Reads one field with `read`, which says `None` to a value of another kind.
    pub(crate) fn get<R>(&self, field: &str, read: impl FnOnce(&Value) -> Option<R>) -> Result<R, Failure> {
        let record = self.lock()?;
        let no_field = || Failure::new(SUBROSA_NO_FIELD, "the record has no such field");
        let wrong_kind = || Failure::new(SUBROSA_WRONG_KIND, "the field holds a value of another kind");
        read(record.0.get(field).ok_or_else(no_field)?).ok_or_else(wrong_kind)
    }

    /// One field's name and value, by its place in the order of names.
    pub(crate) fn field<R>(&self, index: usize, read: impl FnOnce(&str, &Value) -> R) -> Result<R, Failure> {
        let record = self.lock()?;
        let beyond = || Failure::new(SUBROSA_INVALID_ARGUMENT, "the index is beyond the last field");
        let (name, value) = record.0.iter().nth(index).ok_or_else(beyond)?;
        Ok(read(name, value))
    }

    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        let mut record = self.lock()?;
        // Out and in again, which is cheaper than a copy. A panic in between poisons the handle.
        let map = Value::Map(std::mem::take(&mut record.0));
        let json = map.to_json_string();
        if let Value::Map(fields) = map {
            record.0 = fields;
        }
        Ok(json)
    }
}

pub(crate) fn busy(text: &str) -> Failure {
    Failure::new(SUBROSA_BUSY, text).retryable()
}

/// The JSON of an object as a record.
pub(crate) fn record_of_json(json: &str) -> Result<Record, Failure> {
    Ok(Record(fields_of_json(json)?))
}

/// The JSON of an object as fields.
pub(crate) fn fields_of_json(json: &str) -> Result<BTreeMap<String, Value>, Failure> {
    match Value::from_json_str(json)? {
        Value::Map(fields) => Ok(fields),
        _ => Err(Failure::new(SUBROSA_NOT_A_RECORD, "a record must be a JSON object")),
    }
}

/// A record as JSON.
pub(crate) fn json_of_record(record: Record) -> Vec<u8> {
    Value::Map(record.0).to_json_string().into_bytes()
}
