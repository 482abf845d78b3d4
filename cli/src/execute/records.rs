//! put, get, list, delete.

use subrosa::{RecordId, Vault};

use crate::failure::Failure;
use crate::line::{self, Shape};
use crate::request::{Answer, Caller};

/// Records read at a time; a page is one short read transaction, so a slow reader pins nothing.
pub(super) const PAGE_RECORDS: usize = 512;

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

pub(super) fn get(vault: &Vault, collection: &str, id: &str, caller: &mut dyn Caller) -> Result<(), Failure> {
    let id = RecordId::from_text(id);
    let fields = vault.records(collection).get(id)?.ok_or(Failure::NoRecord)?;
    caller.line(&line::write(None, id, fields))
}

pub(super) fn delete(vault: &Vault, collection: &str, id: &str) -> Result<(), Failure> {
    if vault.records(collection).delete(RecordId::from_text(id))? { Ok(()) } else { Err(Failure::NoRecord) }
}

pub(super) fn list(vault: &Vault, collection: &str, caller: &mut dyn Caller) -> Result<(), Failure> {
    for_each(vault, collection, |id, fields| caller.line(&line::write(None, id, fields)))
}

/// Walks a collection in the order of ids, page by page.
pub(super) fn for_each(
    vault: &Vault,
    collection: &str,
    mut each: impl FnMut(RecordId, subrosa::Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let records = vault.records(collection);
    let mut after = None;
    loop {
        let page = records.page(after, PAGE_RECORDS)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (id, fields) in page {
            each(id, fields)?;
        }
    }
}
