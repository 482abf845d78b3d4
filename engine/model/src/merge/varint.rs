//! Variable-length integers of the formats: LEB128, at most ten bytes, never longer than needed.

use subrosa_protocol::codec::{DecodeError, Reader};

/// Appends `value`.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put`] appends.
pub const fn len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Appends a length or an index.
pub fn put_len(out: &mut Vec<u8>, len: usize) {
    put(out, len as u64);
}

/// Appends `length | bytes`.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the wrapping difference `to - from`, small in both directions.
pub fn put_delta(out: &mut Vec<u8>, from: u64, to: u64) {
    put(out, zigzag(to.wrapping_sub(from) as i64));
}

/// Maps small numbers of either sign to small numbers.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Reads one integer.
#[inline]
pub fn read(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let first = reader.u8()?;
    if first < 0x80 {
        return Ok(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = reader.u8()?;
        if shift == 63 && byte > 1 {
            return Err(DecodeError::Invalid { what: "integer" });
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return if byte == 0 { Err(DecodeError::NotCanonical { what: "integer" }) } else { Ok(value) };
        }
    }
    Err(DecodeError::Invalid { what: "integer" })
}

/// Reads an integer of at most 32 bits.
#[inline]
pub fn read_u32(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    let value = read(reader)?;
    u32::try_from(value).map_err(|_| DecodeError::TooLarge {
        what,
        announced: value,
        limit: u64::from(u32::MAX),
    })
}

/// Reads a difference written by [`put_delta`] and adds it to `from`.
#[inline]
pub fn read_delta(reader: &mut Reader<'_>, from: u64) -> Result<u64, DecodeError> {
    Ok(from.wrapping_add(unzigzag(read(reader)?) as u64))
}

/// Reads a count of things of at least `each` bytes, refused when that many cannot follow.
#[inline]
pub fn read_count(reader: &mut Reader<'_>, each: usize) -> Result<usize, DecodeError> {
    let announced = read(reader)?;
    let needed = usize::try_from(announced).ok().and_then(|count| count.checked_mul(each));
    match needed {
        Some(needed) if needed <= reader.left() => Ok(announced as usize),
        _ => Err(DecodeError::Truncated { needed: needed.unwrap_or(usize::MAX), left: reader.left() }),
    }
}

/// Reads `length | bytes`, with the length at most `limit`.
#[inline]
pub fn read_bytes<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    limit: usize,
) -> Result<&'a [u8], DecodeError> {
    let announced = read(reader)?;
    if announced > limit as u64 {
        return Err(DecodeError::TooLarge { what, announced, limit: limit as u64 });
    }
    reader.bytes(announced as usize)
}

/// Reads `length | UTF-8`, with the length at most `limit`.
#[inline]
pub fn read_str<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
    limit: usize,
) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(read_bytes(reader, what, limit)?).map_err(|_| DecodeError::Invalid { what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn integers_come_back() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1, u64::MAX] {
                let mut out = Vec::new();
                put(&mut out, value);
                assert_eq!((decode(&out), out.len()), (Ok(value), len(value)));
                assert_eq!(zigzag(unzigzag(value)), value);
            }
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let overflow = [0xff; 10];
        let mut two = [0xff; 10];
        two[9] = 2;
        let rows: [(&str, &[u8], DecodeError); 5] = [
            ("nothing", &[], DecodeError::Truncated { needed: 1, left: 0 }),
            ("cut", &[0x80], DecodeError::Truncated { needed: 1, left: 0 }),
            ("overlong zero", &[0x80, 0], DecodeError::NotCanonical { what: "integer" }),
            ("eleven bytes", &overflow, DecodeError::Invalid { what: "integer" }),
            ("65 bits", &two, DecodeError::Invalid { what: "integer" }),
        ];
        for (name, bytes, error) in rows {
            assert_eq!(decode(bytes), Err(error), "{name}");
        }
    }
}
