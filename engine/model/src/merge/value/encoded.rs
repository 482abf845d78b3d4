//! The encoding of a value: `tag | content`, self-delimiting, one per value (`docs/FORMAT.md`).

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};
use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::limits::VALUE_BYTES_MAX;

use super::{Finite, VALUE_DEPTH_MAX, Value, ValueError};
use crate::merge::varint;

/// Tags of the encoding; `docs/FORMAT.md` has the same table.
pub(super) mod tag {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const FALSE: u8 = 1;
    pub(crate) const TRUE: u8 = 2;
    pub(crate) const I64: u8 = 3;
    pub(crate) const F64: u8 = 4;
    pub(crate) const TEXT: u8 = 5;
    pub(crate) const BYTES: u8 = 6;
    pub(crate) const LIST: u8 = 7;
    pub(crate) const MAP: u8 = 8;

    /// Every tag with its name, for the test against the specification.
    #[cfg(test)]
    pub const TABLE: &[(u32, &str)] = &[
        (NULL as u32, "null"),
        (FALSE as u32, "false"),
        (TRUE as u32, "true"),
        (I64 as u32, "i64"),
        (F64 as u32, "f64"),
        (TEXT as u32, "text"),
        (BYTES as u32, "bytes"),
        (LIST as u32, "list"),
        (MAP as u32, "map"),
    ];
}

/// The encoding of one value, owned: at most 1 MiB, checked when it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct ValueBuf(Vec<u8>);

/// The encoding of one value, borrowed from a segment or a row, so that merging copies bytes without decoding.
/// Bytes of a segment are checked before they get this type; those of a row are our own, inside the seal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueRef<'a>(&'a [u8]);

impl ValueBuf {
    /// Encodes.
    ///
    /// # Errors
    /// [`ValueError::TooDeep`], [`ValueError::TooLarge`].
    pub fn encode(value: &Value) -> Result<Self, ValueError> {
        let mut out = Vec::new();
        encode_into(&mut out, value, VALUE_DEPTH_MAX)?;
        if out.len() > VALUE_BYTES_MAX {
            return Err(ValueError::TooLarge { bytes: out.len(), limit: VALUE_BYTES_MAX });
        }
        Ok(Self(out))
    }

    /// A borrowed view.
    pub fn borrow(&self) -> ValueRef<'_> {
        ValueRef(&self.0)
    }
}

impl<'a> ValueRef<'a> {
    /// Checks bytes of a stranger: exactly one value, in its one encoding.
    pub fn check(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > VALUE_BYTES_MAX {
            let (announced, limit) = (bytes.len() as u64, VALUE_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "value", announced, limit });
        }
        let mut reader = Reader::new(bytes);
        skip(&mut reader, VALUE_DEPTH_MAX)?;
        reader.finish()?;
        Ok(Self(bytes))
    }

    /// Takes bytes from our own rows without a walk; [`ValueRef::decode`] checks them all the same.
    pub const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The encoding.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Decodes.
    ///
    /// # Errors
    /// [`ValueError::Decode`]: the row was not written by this code.
    pub fn decode(self) -> Result<Value, ValueError> {
        let mut reader = Reader::new(self.0);
        let value = decode_from(&mut reader, VALUE_DEPTH_MAX)?;
        reader.finish()?;
        Ok(value)
    }

    /// About how many bytes it takes in memory once it is decoded, and no fewer: of maps of one item some 235 times its own.
    ///
    /// # Errors
    /// As [`ValueRef::decode`].
    pub fn memory(self) -> Result<usize, ValueError> {
        let mut reader = Reader::new(self.0);
        let bytes = memory_of(&mut reader, VALUE_DEPTH_MAX)?;
        reader.finish()?;
        Ok(bytes)
    }

    /// An owned copy.
    pub fn to_buf(self) -> ValueBuf {
        ValueBuf(self.0.to_vec())
    }

    /// What breaks a tie between two values of one log and stamp, and identifies a value in change checks.
    pub fn value_hash(self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl fmt::Debug for ValueBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value of {} bytes", self.0.len())
    }
}

impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value of {} bytes", self.0.len())
    }
}

impl Value {
    /// SHA-256 of the value's one encoding.
    ///
    /// # Errors
    /// [`ValueError::TooDeep`], [`ValueError::TooLarge`]: it has no encoding.
    pub fn value_hash(&self) -> Result<[u8; 32], ValueError> {
        Ok(ValueBuf::encode(self)?.borrow().value_hash())
    }
}

/// `depth` is how many more levels of lists and maps are allowed.
fn encode_into(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), ValueError> {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Bool(false) => out.push(tag::FALSE),
        Value::Bool(true) => out.push(tag::TRUE),
        Value::I64(number) => {
            out.push(tag::I64);
            varint::put(out, varint::zigzag(*number));
        }
        Value::F64(number) => {
            out.push(tag::F64);
            out.extend_from_slice(&number.to_f64().to_bits().to_be_bytes());
        }
        Value::Text(text) => {
            out.push(tag::TEXT);
            varint::put_bytes(out, text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(tag::BYTES);
            varint::put_bytes(out, bytes);
        }
        Value::List(items) => {
            let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
            out.push(tag::LIST);
            varint::put_len(out, items.len());
            for item in items {
                encode_into(out, item, depth)?;
            }
        }
        Value::Map(map) => {
            let depth = depth.checked_sub(1).ok_or(ValueError::TooDeep)?;
            out.push(tag::MAP);
            varint::put_len(out, map.len());
            for (key, item) in map {
                varint::put_bytes(out, key.as_bytes());
                encode_into(out, item, depth)?;
            }
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, DecodeError> {
    depth.checked_sub(1).ok_or(DecodeError::TooLarge {
        what: "depth of a value",
        announced: VALUE_DEPTH_MAX as u64 + 1,
        limit: VALUE_DEPTH_MAX as u64,
    })
}

fn read_float(reader: &mut Reader<'_>) -> Result<Finite, DecodeError> {
    Finite::new(f64::from_bits(reader.u64()?)).map_err(|_| DecodeError::Invalid { what: "float" })
}

/// Reads the next key of a map and checks that it comes after the one before.
fn read_key<'a>(reader: &mut Reader<'a>, last: &mut Option<&'a str>) -> Result<&'a str, DecodeError> {
    let key = varint::read_str(reader, "map key", VALUE_BYTES_MAX)?;
    if last.is_some_and(|last| last >= key) {
        return Err(DecodeError::NotCanonical { what: "order of map keys" });
    }
    *last = Some(key);
    Ok(key)
}

/// Walks over one value and checks all that decoding would.
fn skip(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    match reader.u8()? {
        tag::NULL | tag::FALSE | tag::TRUE => {}
        tag::I64 => drop(varint::read(reader)?),
        tag::F64 => drop(read_float(reader)?),
        tag::TEXT => drop(varint::read_str(reader, "text", VALUE_BYTES_MAX)?),
        tag::BYTES => drop(varint::read_bytes(reader, "bytes", VALUE_BYTES_MAX)?),
        tag::LIST => {
            let depth = deeper(depth)?;
            for _ in 0..varint::read_count(reader, 1)? {
                skip(reader, depth)?;
            }
        }
        tag::MAP => {
            let depth = deeper(depth)?;
            let mut last = None;
            for _ in 0..varint::read_count(reader, 2)? {
                read_key(reader, &mut last)?;
                skip(reader, depth)?;
            }
        }
        other => return Err(DecodeError::Unknown { what: "value tag", value: other.into() }),
    }
    Ok(())
}

/// No value takes more for each byte of its encoding: a map of one item has three, its key being empty.
pub const VALUE_MEMORY_PER_BYTE: usize = (size_of::<Value>() + NODE_MEMORY).div_ceil(3);

/// A value by itself, and a list grows to no more than twice what it has.
const ITEM_MEMORY: usize = 2 * size_of::<Value>();
/// A map has nodes of eleven entries, of which all but one are half full at least; and the links between them.
const ENTRY_MEMORY: usize = size_of::<(String, Value)>();
const NODE_MEMORY: usize = 12 * ENTRY_MEMORY;

/// What [`ValueRef::memory`] says, of which what is beside the value itself.
fn memory_of(reader: &mut Reader<'_>, depth: usize) -> Result<usize, DecodeError> {
    let mut bytes = size_of::<Value>();
    match reader.u8()? {
        tag::TEXT => bytes += varint::read_str(reader, "text", VALUE_BYTES_MAX)?.len(),
        tag::BYTES => bytes += varint::read_bytes(reader, "bytes", VALUE_BYTES_MAX)?.len(),
        tag::LIST => {
            let depth = deeper(depth)?;
            for _ in 0..varint::read_count(reader, 1)? {
                bytes += ITEM_MEMORY + memory_of(reader, depth)?;
            }
        }
        tag::MAP => {
            let depth = deeper(depth)?;
            let (count, mut last) = (varint::read_count(reader, 2)?, None);
            bytes += count.div_ceil(5) * NODE_MEMORY;
            for _ in 0..count {
                bytes += read_key(reader, &mut last)?.len() + memory_of(reader, depth)?;
            }
        }
        tag::I64 => drop(varint::read(reader)?),
        tag::F64 => drop(read_float(reader)?),
        tag::NULL | tag::FALSE | tag::TRUE => {}
        other => return Err(DecodeError::Unknown { what: "value tag", value: other.into() }),
    }
    Ok(bytes)
}

fn decode_from(reader: &mut Reader<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match reader.u8()? {
        tag::NULL => Value::Null,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::I64 => Value::I64(varint::unzigzag(varint::read(reader)?)),
        tag::F64 => Value::F64(read_float(reader)?),
        tag::TEXT => Value::Text(varint::read_str(reader, "text", VALUE_BYTES_MAX)?.to_owned()),
        tag::BYTES => Value::Bytes(varint::read_bytes(reader, "bytes", VALUE_BYTES_MAX)?.to_vec()),
        tag::LIST => {
            let depth = deeper(depth)?;
            // Grown as items arrive: a `Value` is larger than the byte that announces it.
            let mut items = Vec::new();
            for _ in 0..varint::read_count(reader, 1)? {
                items.push(decode_from(reader, depth)?);
            }
            Value::List(items)
        }
        tag::MAP => {
            let depth = deeper(depth)?;
            let mut map = BTreeMap::new();
            let mut last = None;
            for _ in 0..varint::read_count(reader, 2)? {
                let key = read_key(reader, &mut last)?;
                map.insert(key.to_owned(), decode_from(reader, depth)?);
            }
            Value::Map(map)
        }
        other => return Err(DecodeError::Unknown { what: "value tag", value: other.into() }),
    })
}
