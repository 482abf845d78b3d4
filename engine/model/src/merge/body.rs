//! The data of a data segment: a batch of ops, packed (`docs/FORMAT.md`).
//!
//! `base | seen | strings | logs | ops`: names of collections and fields, and logs in tombstones, stand once in
//! a table; an op is `tag | length | stamp difference | record id | collection | content`. There is one encoding
//! of a given base, seen and sequence of ops, and the decoder refuses every other.

mod write;

#[cfg(test)]
mod tests;

use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::limits::{COLLECTION_NAME_BYTES_MAX, FIELD_NAME_BYTES_MAX, LOGS_PER_VAULT_MAX};
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

/// A checked batch; it borrows names and values from the segment's plaintext. Only [`Body::decode`] makes one, so who has one
/// need not decode again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Body<'a> {
    /// Where the stamps of the ops start to count from.
    pub base: Stamp,
    /// Heads of other logs that changed since this log's last segment, sorted by log.
    pub seen: Vec<Head>,
    /// Logs that tombstones of its ops name, in the order of their first use.
    pub named: Vec<LogId>,
    /// The ops in their order.
    pub ops: Vec<Op<'a>>,
}

impl<'a> Body<'a> {
    /// Decodes all of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`]: the segment goes to quarantine, whole.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let base = Stamp(reader.u64()?);
        let seen = read_seen(&mut reader)?;
        let mut tables = Tables::read(&mut reader)?;
        let mut ops = Vec::new();
        let mut last = base;
        while reader.left() > 0 {
            let op = read_op(&mut reader, last, &mut tables)?;
            last = op.stamp;
            ops.push(op);
        }
        tables.finish()?;
        Ok(Self { base, seen, named: tables.logs, ops })
    }

    /// The largest stamp of its ops, which decides whether the group is held; the default stamp if there is none.
    pub fn stamp_max(&self) -> Stamp {
        self.ops.iter().map(|op| op.stamp).max().unwrap_or_default()
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

fn read_seen(reader: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    let count = read_log_count(reader, LogId::LEN + 1 + Chain::LEN)?;
    let mut seen: Vec<Head> = Vec::with_capacity(count);
    for _ in 0..count {
        let log = LogId::from_bytes(reader.array()?);
        if seen.last().is_some_and(|last| last.log >= log) {
            return Err(DecodeError::NotCanonical { what: "order of seen heads" });
        }
        let seq = Seq(varint::read(reader)?);
        seen.push(Head { log, seq, chain: Chain::from_bytes(reader.array()?) });
    }
    Ok(seen)
}

fn read_log_count(reader: &mut Reader<'_>, each: usize) -> Result<usize, DecodeError> {
    let count = varint::read_count(reader, each)?;
    if count > LOGS_PER_VAULT_MAX {
        let (announced, limit) = (count as u64, LOGS_PER_VAULT_MAX as u64);
        return Err(DecodeError::TooLarge { what: "logs", announced, limit });
    }
    Ok(count)
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
        let count = varint::read_count(reader, 1)?;
        if count > NAMES_MAX {
            let (announced, limit) = (count as u64, NAMES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "names", announced, limit });
        }
        for _ in 0..count {
            let text = varint::read_str(reader, "name", NAME_BYTES_MAX)?;
            strings.push(Name { text, is_collection: false });
        }
        check_distinct(strings.iter().map(|name| name.text).collect())?;
        let count = read_log_count(reader, LogId::LEN)?;
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
