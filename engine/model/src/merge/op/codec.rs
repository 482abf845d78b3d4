//! The bytes of an op's content, the same in segments and in pending rows; they differ in how they name fields
//! and logs: by the tables of a segment, or in full.

use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::{FIELDS_MAX, LOGS_PER_VAULT_MAX, VALUE_BYTES_MAX};

use super::{Cell, FieldCell, Op, OpKind, Put, Slotted, Tombstone, is_collection_name};
use crate::merge::hlc::Stamp;
use crate::merge::value::ValueRef;
use crate::merge::varint;

/// Tags of ops and cells; `docs/FORMAT.md` has the same tables. 0 is never used.
pub mod tag {
    /// A put that clears nothing.
    pub const PUT: u32 = 1;
    /// A put that names a tombstone and starts from empty.
    pub const PUT_NAMING: u32 = 2;
    /// A delete.
    pub const DELETE: u32 = 3;
    /// A plain value.
    pub const REGISTER: u32 = 1;
    /// No value any more.
    pub const UNSET: u32 = 2;

    /// Tags of ops with their names, for the test against the specification.
    #[cfg(test)]
    pub const OPS: &[(u32, &str)] = &[(PUT, "put"), (PUT_NAMING, "put naming"), (DELETE, "delete")];
    /// Tags of cells with their names, for the test against the specification.
    #[cfg(test)]
    pub const CELLS: &[(u32, &str)] = &[(REGISTER, "register"), (UNSET, "unset")];
}

/// How a format writes names.
pub trait WriteNames {
    /// Appends a field's name.
    fn field(&mut self, out: &mut Vec<u8>, name: &str);
    /// Appends a log.
    fn log(&mut self, out: &mut Vec<u8>, log: LogId);
}

/// How a format reads names.
pub trait ReadNames<'a> {
    /// Reads a field's name.
    fn field(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError>;
    /// Reads a log.
    fn log(&mut self, reader: &mut Reader<'a>) -> Result<LogId, DecodeError>;
}

/// The tag of an op.
pub const fn op_tag(kind: &OpKind<'_>) -> u32 {
    match kind {
        OpKind::Put(put) if put.names.is_empty() => tag::PUT,
        OpKind::Put(_) => tag::PUT_NAMING,
        OpKind::Delete(_) => tag::DELETE,
        OpKind::Unknown { tag, .. } => *tag,
    }
}

/// Appends what follows the header of an op.
pub fn write_content(out: &mut Vec<u8>, op: &Op<'_>, names: &mut impl WriteNames) {
    match &op.kind {
        OpKind::Put(put) => {
            if !put.names.is_empty() {
                write_tombstone(out, &put.names, op.stamp, names);
            }
            for cell in &put.cells {
                names.field(out, cell.name);
                write_cell(out, &cell.cell);
            }
        }
        OpKind::Delete(tombstone) => write_tombstone(out, tombstone, op.stamp, names),
        OpKind::Unknown { bytes, .. } => out.extend_from_slice(bytes.as_bytes()),
    }
}

/// Reads what follows the header of an op; `reader` ends where the op ends.
pub fn read_content<'a>(
    op_tag: u32,
    stamp: Stamp,
    mut reader: Reader<'a>,
    names: &mut impl ReadNames<'a>,
) -> Result<OpKind<'a>, DecodeError> {
    Ok(match op_tag {
        0 => return Err(DecodeError::Invalid { what: "op tag" }),
        tag::PUT => OpKind::Put(read_put(Tombstone::default(), reader, names)?),
        tag::PUT_NAMING => {
            let tombstone = read_tombstone(&mut reader, stamp, names)?;
            if tombstone.is_empty() {
                return Err(DecodeError::NotCanonical { what: "put naming nothing" });
            }
            OpKind::Put(read_put(tombstone, reader, names)?)
        }
        tag::DELETE => {
            let tombstone = read_tombstone(&mut reader, stamp, names)?;
            reader.finish()?;
            OpKind::Delete(tombstone)
        }
        other => OpKind::Unknown { tag: other, bytes: Slotted::check(reader.bytes(reader.left())?)? },
    })
}

fn read_put<'a>(
    tombstone: Tombstone,
    mut reader: Reader<'a>,
    names: &mut impl ReadNames<'a>,
) -> Result<Put<'a>, DecodeError> {
    let mut cells: Vec<FieldCell<'a>> = Vec::new();
    while reader.left() > 0 {
        let name = names.field(&mut reader)?;
        if cells.last().is_some_and(|last| last.name >= name) {
            return Err(DecodeError::NotCanonical { what: "order of fields" });
        }
        if cells.len() == FIELDS_MAX {
            let (announced, limit) = (FIELDS_MAX as u64 + 1, FIELDS_MAX as u64);
            return Err(DecodeError::TooLarge { what: "fields", announced, limit });
        }
        cells.push(FieldCell { name, cell: read_cell(&mut reader)? });
    }
    Ok(Put { names: tombstone, cells })
}

/// Appends `tag | length | bytes`.
pub fn write_cell(out: &mut Vec<u8>, cell: &Cell<'_>) {
    let (tag, bytes) = cell_parts(cell);
    varint::put(out, tag.into());
    varint::put_bytes(out, bytes);
}

/// The tag and the bytes of a cell.
pub const fn cell_parts<'a>(cell: &Cell<'a>) -> (u32, &'a [u8]) {
    match cell {
        Cell::Register(value) => (tag::REGISTER, value.as_bytes()),
        Cell::Unset => (tag::UNSET, &[]),
        Cell::Unknown { tag, bytes } => (*tag, bytes.as_bytes()),
    }
}

/// Reads a cell from a stranger and checks the value in it.
fn read_cell<'a>(reader: &mut Reader<'a>) -> Result<Cell<'a>, DecodeError> {
    let cell = read_own_cell(reader)?;
    if let Cell::Register(value) = cell {
        ValueRef::check(value.as_bytes())?;
    }
    Ok(cell)
}

/// Reads a cell from a row of ours, whose values were checked on their way in.
pub fn read_own_cell<'a>(reader: &mut Reader<'a>) -> Result<Cell<'a>, DecodeError> {
    let cell_tag = varint::read_u32(reader, "cell tag")?;
    let bytes = varint::read_bytes(reader, "cell", VALUE_BYTES_MAX)?;
    match cell_tag {
        0 => Err(DecodeError::Invalid { what: "cell tag" }),
        tag::REGISTER => Ok(Cell::Register(ValueRef::trusted(bytes))),
        tag::UNSET if bytes.is_empty() => Ok(Cell::Unset),
        tag::UNSET => Err(DecodeError::Trailing { left: bytes.len() }),
        other => Ok(Cell::Unknown { tag: other, bytes: Slotted::check(bytes)? }),
    }
}

/// Appends `count | (log | stamp as difference to the op's)*`.
fn write_tombstone(out: &mut Vec<u8>, tombstone: &Tombstone, stamp: Stamp, names: &mut impl WriteNames) {
    varint::put_len(out, tombstone.0.len());
    for (log, seen) in tombstone.iter() {
        names.log(out, log);
        varint::put_delta(out, stamp.0, seen.0);
    }
}

fn read_tombstone<'a>(
    reader: &mut Reader<'a>,
    stamp: Stamp,
    names: &mut impl ReadNames<'a>,
) -> Result<Tombstone, DecodeError> {
    let count = varint::read_count(reader, 2)?;
    if count > LOGS_PER_VAULT_MAX {
        let (announced, limit) = (count as u64, LOGS_PER_VAULT_MAX as u64);
        return Err(DecodeError::TooLarge { what: "names of a tombstone", announced, limit });
    }
    let mut seen: Vec<(LogId, Stamp)> = Vec::with_capacity(count);
    for _ in 0..count {
        let log = names.log(reader)?;
        if seen.last().is_some_and(|last| last.0 >= log) {
            return Err(DecodeError::NotCanonical { what: "order of logs" });
        }
        seen.push((log, Stamp(varint::read_delta(reader, stamp.0)?)));
    }
    Ok(Tombstone(seen))
}

/// Checks a collection's name from a stranger.
pub fn check_collection(name: &str) -> Result<(), DecodeError> {
    if is_collection_name(name) { Ok(()) } else { Err(DecodeError::Invalid { what: "collection name" }) }
}

#[cfg(test)]
mod tests {
    use super::tag;
    use crate::merge::state::ROW_SHAPES;
    use crate::merge::value::VALUE_TAGS;
    use crate::spec::{FORMAT, table};

    /// Rows `| number | name |` of the table that starts with `head`.
    fn rows(head: &str) -> Vec<(u32, String)> {
        let row = |row: &Vec<String>| (row[0].parse().unwrap(), row[1].clone());
        table(FORMAT, head).iter().map(row).collect()
    }

    #[test]
    fn the_specification_has_the_same_tags() {
        let own = |table: &[(u32, &str)]| {
            table.iter().map(|(tag, name)| (*tag, (*name).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(rows("| tag | op |"), own(tag::OPS));
        assert_eq!(rows("| tag | cell |"), own(tag::CELLS));
        assert_eq!(rows("| tag | value |"), own(VALUE_TAGS));
        assert_eq!(rows("| shape | used for |"), own(ROW_SHAPES));
    }
}
