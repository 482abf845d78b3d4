//! put, get, list, delete.

use std::ops::ControlFlow;

use subrosa::{Collection, Error, Record, RecordId, RecordRef, Value, Vault};

use crate::failure::Failure;
use crate::line::{self, Shape};
use crate::request::{Answer, Caller, Part};

/// Records read at a time; a page is one short read transaction, so a slow reader pins nothing.
const PAGE_RECORDS: usize = 512;

/// Names and values of fields in one line, and of a page. As JSON they are at most six times as long, and so no longer than a
/// line that `import` takes.
const LINE_FIELDS_BYTES: usize = 8 << 20;
/// What they take in memory, but for those of one field.
const LINE_MEMORY: usize = 64 << 20;

/// What becomes of fields that a `put` does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// They stay.
    Put,
    /// They go.
    Replace,
}

/// A record to write.
pub(super) struct Input {
    pub(super) id: Option<String>,
    pub(super) json: String,
    pub(super) how: How,
}

pub(super) fn put(
    vault: &Vault,
    collection: &str,
    input: Input,
    caller: &mut dyn Caller,
) -> Result<(), Failure> {
    let line = line::read(&input.json, Shape::Collection)?;
    let named = input.id.as_deref().map(RecordId::from_text);
    let id = match (named, line.id) {
        (Some(named), Some(inner)) if named != inner => return Err(Failure::TwoIds),
        (named, inner) => named.or(inner),
    };
    let records = vault.records(collection);
    let id = match (id, input.how) {
        (None, _) => records.insert(&line.fields)?,
        (Some(id), How::Put) => records.put(id, &line.fields).map(|()| id)?,
        (Some(id), How::Replace) => records.replace(id, &line.fields).map(|()| id)?,
    };
    caller.answer(&Answer { text: id.to_string(), json: format!("{{\"id\":\"{id}\"}}") })
}

pub(super) fn get(
    vault: &Vault,
    collection: &str,
    id: &str,
    part: &Part,
    caller: &mut dyn Caller,
) -> Result<(), Failure> {
    let (records, id) = (vault.records(collection), RecordId::from_text(id));
    match part {
        Part::Whole => caller.line(&line::write(None, id, records.get(id)?.ok_or(Failure::NoRecord)?)),
        Part::Names => names(&records, id, caller),
        Part::Field(name) => match records.get_field::<Value>(id, name)? {
            Some(value) => caller.line(&value.to_json_string()),
            None if records.contains(id)? => Err(Failure::NoField),
            None => Err(Failure::NoRecord),
        },
    }
}

/// Prints the names of a record's fields, page by page.
fn names(records: &Collection<Record>, id: RecordId, caller: &mut dyn Caller) -> Result<(), Failure> {
    let (mut after, mut count) = (None::<String>, PAGE_RECORDS);
    while count == PAGE_RECORDS {
        let mut page = Vec::new();
        let found = records.see_fields(id, after.as_deref(), |field| {
            page.push(field.name().to_owned());
            if page.len() == PAGE_RECORDS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if !found && after.is_none() {
            return Err(Failure::NoRecord);
        }
        count = page.len();
        for name in &page {
            caller.line(&Value::from(name.as_str()).to_json_string())?;
        }
        after = page.pop().or(after);
    }
    Ok(())
}

/// Deletes a record, or one field of it.
pub(super) fn delete(vault: &Vault, collection: &str, id: &str, field: Option<&str>) -> Result<(), Failure> {
    let (records, id) = (vault.records(collection), RecordId::from_text(id));
    match field {
        None if records.delete(id)? => Ok(()),
        Some(name) if records.delete_field(id, name)? => Ok(()),
        Some(_) if records.contains(id)? => Err(Failure::NoField),
        _ => Err(Failure::NoRecord),
    }
}

pub(super) fn list(vault: &Vault, collection: &str, caller: &mut dyn Caller) -> Result<(), Failure> {
    for_each_line(vault, collection, Shape::Collection, |line| caller.line(&line))
}

/// A record of a page.
enum Shown {
    Line(String),
    /// Too large for one line.
    Large(RecordId),
}

/// Walks a collection in the order of ids, page by page. A record that is too large for one line comes as several, each with
/// its id and some of its fields, in the order of their names.
pub(super) fn for_each_line(
    vault: &Vault,
    collection: &str,
    shape: Shape,
    mut each: impl FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let records = vault.records(collection);
    let named = (shape == Shape::Vault).then_some(collection);
    let mut after = None;
    loop {
        let (mut page, mut bytes, mut failed) = (Vec::new(), 0, None);
        records.show_from(after, |record| {
            let size = match shown(named, &record, &mut page) {
                Ok(size) => size,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            bytes += size;
            let full = page.len() >= PAGE_RECORDS || bytes >= LINE_FIELDS_BYTES;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (_, shown) in page {
            match shown {
                Shown::Line(line) => each(line)?,
                Shown::Large(id) => each_part(&records, id, named, &mut each)?,
            }
        }
    }
}

/// Puts a record into a page; says how many bytes of it are there then.
fn shown(
    named: Option<&str>,
    record: &RecordRef<'_>,
    page: &mut Vec<(RecordId, Shown)>,
) -> Result<usize, Error> {
    let (id, bytes) = (record.id(), record.bytes()?);
    if bytes > LINE_FIELDS_BYTES {
        page.push((id, Shown::Large(id)));
        return Ok(0);
    }
    match record.decode() {
        Err(Error::RecordTooLarge { .. }) => {
            page.push((id, Shown::Large(id)));
            Ok(0)
        }
        decoded => {
            page.push((id, Shown::Line(line::write(named, id, decoded?))));
            Ok(bytes)
        }
    }
}

fn each_part(
    records: &Collection<Record>,
    id: RecordId,
    named: Option<&str>,
    each: &mut impl FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = None::<String>;
    loop {
        let (mut part, mut bytes, mut memory, mut failed) = (Record::default(), 0, 0, None);
        records.see_fields(id, after.as_deref(), |field| {
            bytes += field.bytes();
            memory += field.memory().unwrap_or_default();
            let is_full = bytes > LINE_FIELDS_BYTES || memory > LINE_MEMORY;
            if is_full && !part.0.is_empty() {
                return ControlFlow::Break(());
            }
            match field.decode::<Value>() {
                Ok(value) => drop(part.0.insert(field.name().to_owned(), value)),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Some((last, _)) = part.0.last_key_value() else { return Ok(()) };
        after = Some(last.clone());
        each(line::write(named, id, part))?;
    }
}
