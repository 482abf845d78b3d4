//! The data of a data segment: a batch of ops, packed (`docs/FORMAT.md`).
//!
//! `head | base | strings | logs | ops`: the first body of a group has a head, the others none; names of collections and
//! fields, and logs in tombstones, stand once in a table; an op is `tag | length | stamp difference | record id |
//! collection | content`. There is one encoding of a given head, base and sequence of ops, and the decoder refuses every
//! other.

mod head;
mod write;

#[cfg(test)]
mod tests;

use head::read_count;
pub use head::{GroupHead, Run, Runs, Seen};
use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::{COLLECTION_NAME_BYTES_MAX, FIELD_NAME_BYTES_MAX, LOGS_PER_VAULT_MAX};
use subrosa_protocol::segment::GroupPlace;
pub use write::BodyWriter;
#[cfg(test)]
use write::Full;

use super::hlc::Stamp;
use super::id::RecordId;
use super::op::Op;
use super::op::codec::{ReadNames, check_collection, read_content};
use super::varint;

/// Longest name in the table of strings.
const NAME_BYTES_MAX: usize = if COLLECTION_NAME_BYTES_MAX > FIELD_NAME_BYTES_MAX {
    COLLECTION_NAME_BYTES_MAX
} else {
    FIELD_NAME_BYTES_MAX
};

/// Names in one body: what a hostile author can make a reader allocate for the table. A writer starts another body
/// before it has more.
const NAMES_MAX: usize = 1 << 16;

/// Where a body stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// It is the first, and has a head.
    First,
    /// It is a later one.
    Behind {
        /// What the head names as the group's latest stamp.
        latest: Stamp,
    },
}

impl BodyPlace {
    /// The place of a body that was decoded before: its stamps were compared with the head of its group then.
    pub const fn once_more(place: GroupPlace) -> Self {
        if place.is_first() { Self::First } else { Self::Behind { latest: Stamp(u64::MAX) } }
    }
}

/// A log that ops name with stamps later than their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedAhead {
    /// The log.
    pub log: LogId,
    /// The first such op.
    pub by: Stamp,
    /// The latest stamp that one of them names.
    pub named: Stamp,
}

/// A checked batch; it borrows names and values from the segment's plaintext. Only [`CheckedBody::decode`] makes one, so who
/// has one need not decode again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedBody<'a> {
    head: Option<GroupHead>,
    base: Stamp,
    named: Vec<LogId>,
    ahead: Vec<NamedAhead>,
    ops: Vec<Op<'a>>,
}

impl<'a> CheckedBody<'a> {
    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`]: its whole group counts for nothing.
    pub fn decode(bytes: &'a [u8], place: BodyPlace) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (head, latest) = match place {
            BodyPlace::First => {
                let head = GroupHead::read(&mut reader)?;
                let latest = head.latest;
                (Some(head), latest)
            }
            BodyPlace::Behind { latest } => (None, latest),
        };
        let base = Stamp(reader.u64()?);
        let mut tables = Tables::read(&mut reader)?;
        let (mut ops, mut ahead) = (Vec::new(), Vec::new());
        let mut last = base;
        while reader.left() > 0 {
            let op = read_op(&mut reader, last, &mut tables)?;
            if op.stamp > latest {
                return Err(DecodeError::Invalid { what: "op that is later than its group" });
            }
            if let Some(names) = op.names() {
                let later = names.iter().filter(|name| name.1 > op.stamp);
                ahead.extend(later.map(|(log, named)| NamedAhead { log, by: op.stamp, named }));
            }
            last = op.stamp;
            ops.push(op);
        }
        tables.finish()?;
        ahead.sort_unstable();
        ahead.dedup_by(|other, kept| {
            let is_same = kept.log == other.log;
            if is_same {
                kept.named = kept.named.max(other.named);
            }
            is_same
        });
        Ok(Self { head, base, named: tables.logs, ahead, ops })
    }

    /// What it says about its group, if it is the first of it.
    pub const fn head(&self) -> Option<&GroupHead> {
        self.head.as_ref()
    }

    /// Where the stamps of its ops start to count from.
    pub const fn base(&self) -> Stamp {
        self.base
    }

    /// Logs that tombstones of its ops name, in the order of their first use.
    pub fn named(&self) -> &[LogId] {
        &self.named
    }

    /// Those of them that an op names with a stamp later than its own: such a name has no effect unless it counts as no later.
    pub fn named_ahead(&self) -> &[NamedAhead] {
        &self.ahead
    }

    /// About how many bytes its ops take in memory, themselves and what they hold, beyond the bytes that they borrow.
    pub fn memory(&self) -> usize {
        self.ops.iter().map(Op::memory).sum()
    }

    /// The ops in their order.
    pub fn ops(&self) -> &[Op<'a>] {
        &self.ops
    }
}

fn read_op<'a>(reader: &mut Reader<'a>, last: Stamp, tables: &mut Tables<'a>) -> Result<Op<'a>, DecodeError> {
    let tag = varint::read_u32(reader, "op tag")?;
    let length = varint::read_count(reader, 1)?;
    let mut content = Reader::new(reader.bytes(length)?);
    let stamp = Stamp(varint::read_delta(&mut content, last.0)?);
    let record = RecordId::from_bytes(content.array()?);
    let collection = tables.collection(&mut content)?;
    let kind = read_content(tag, stamp, content, tables)?;
    Ok(Op { record, collection, stamp, kind })
}

/// The tables of one segment. Entries stand in the order of their first use, each is used, and none stands twice.
struct Tables<'a> {
    strings: Vec<Name<'a>>,
    strings_used: usize,
    logs: Vec<LogId>,
    logs_used: usize,
}

struct Name<'a> {
    text: &'a str,
    is_collection: bool,
}

impl<'a> Tables<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut strings = Vec::new();
        let count = read_count(reader, 1, ("names", NAMES_MAX))?;
        for _ in 0..count {
            let text = varint::read_str(reader, "name", NAME_BYTES_MAX)?;
            strings.push(Name { text, is_collection: false });
        }
        check_distinct(strings.iter().map(|name| name.text).collect())?;
        let count = read_count(reader, LogId::LEN, ("logs", LOGS_PER_VAULT_MAX))?;
        let logs =
            (0..count).map(|_| reader.array().map(LogId::from_bytes)).collect::<Result<Vec<_>, _>>()?;
        check_distinct(logs.clone())?;
        Ok(Self { strings, strings_used: 0, logs, logs_used: 0 })
    }

    fn collection(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
        let name = self.string(reader)?;
        if !name.is_collection {
            check_collection(name.text)?;
            name.is_collection = true;
        }
        Ok(name.text)
    }

    #[inline]
    fn string(&mut self, reader: &mut Reader<'a>) -> Result<&mut Name<'a>, DecodeError> {
        let index = read_index(reader, &mut self.strings_used)?;
        self.strings.get_mut(index).ok_or(DecodeError::Invalid { what: "name index" })
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.strings_used != self.strings.len() || self.logs_used != self.logs.len() {
            return Err(DecodeError::NotCanonical { what: "unused table entry" });
        }
        Ok(())
    }
}

impl<'a> ReadNames<'a> for Tables<'a> {
    #[inline]
    fn field(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
        let text = self.string(reader)?.text;
        if text.len() > FIELD_NAME_BYTES_MAX {
            return Err(DecodeError::Invalid { what: "field name" });
        }
        Ok(text)
    }

    fn log(&mut self, reader: &mut Reader<'a>) -> Result<LogId, DecodeError> {
        let index = read_index(reader, &mut self.logs_used)?;
        self.logs.get(index).copied().ok_or(DecodeError::Invalid { what: "log index" })
    }
}

/// Reads an index that was used before, or the next one.
#[inline]
fn read_index(reader: &mut Reader<'_>, used: &mut usize) -> Result<usize, DecodeError> {
    let index = varint::read(reader)?;
    match usize::try_from(index) {
        Ok(index) if index < *used => Ok(index),
        Ok(index) if index == *used => {
            *used += 1;
            Ok(index)
        }
        _ => Err(DecodeError::NotCanonical { what: "order of a table" }),
    }
}

fn check_distinct<T: Ord>(mut items: Vec<T>) -> Result<(), DecodeError> {
    items.sort_unstable();
    if items.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(DecodeError::NotCanonical { what: "table entry that occurs twice" });
    }
    Ok(())
}
