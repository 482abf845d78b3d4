//! Ids of records: 16 bytes, written as UUIDs.

use std::fmt;
use std::str::FromStr;

use subrosa_protocol::labels;

use super::Stamp;

/// Names a record within its collection. Any 16 bytes are valid; the text form is that of a UUID.
///
/// Ids of new records are UUIDs of version 7. Those that one open device gives sort in the order in which it gave them,
/// whatever its wall clock does meanwhile; between devices they sort by wall clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

/// Text that is not a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record id: expected the hyphenated form of a uuid")]
pub struct RecordIdParseError;

impl RecordId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Wraps raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, which order records in a scan.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A new UUID of version 7 (RFC 9562): Unix milliseconds, then randomness.
    #[must_use]
    pub fn new_v7(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(*uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).as_uuid().as_bytes())
    }

    /// The id of a name, the same in every collection, vault and device: a UUID of version 8 (RFC 9562) from the
    /// first 16 bytes of `SHA-256("subrosa/1 record name" | length of the name as u64 | name)`.
    ///
    /// Names are compared byte by byte: no case folding, no Unicode normalisation.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let length = (name.len() as u64).to_be_bytes();
        let hash = labels::hash(labels::RECORD_NAME, &[&length, name.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(*uuid::Builder::from_custom_bytes(bytes).as_uuid().as_bytes())
    }

    /// The id that a user means by `text`: a UUID in its hyphenated form is itself, anything else is a name.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self::from_name(text))
    }
}

/// Gives ids to new records: each sorts behind the one before, also within a millisecond and when the wall clock falls
/// back (RFC 9562, section 6.2, method 2: within a millisecond the random part counts on, in random steps).
#[derive(Debug, Default)]
pub struct NewIds {
    last_ms: u64,
    /// The 74 random bits of the last id.
    last_tail: u128,
}

impl NewIds {
    /// Bits of the random part: those before the variant, and those behind it.
    const HIGH_BITS: u32 = 12;
    const LOW_BITS: u32 = 62;

    /// The next id; [`RecordId::new_v7`] of these, if that sorts behind the last one. `now_ms` is wall time in Unix
    /// milliseconds, of which 48 bits count.
    pub fn next(&mut self, now_ms: u64, random: [u8; 10]) -> RecordId {
        let now_ms = now_ms & Stamp::MS_MAX;
        let [a, b, c, d, e, f, g, h, i, j] = random;
        let high = u16::from_be_bytes([a, b]) & ((1 << Self::HIGH_BITS) - 1);
        let low = u64::from_be_bytes([c, d, e, f, g, h, i, j]) & ((1 << Self::LOW_BITS) - 1);
        let fresh = u128::from(high) << Self::LOW_BITS | u128::from(low);
        let next = self.last_tail + 1 + u128::from(u32::from_be_bytes([g, h, i, j]));
        (self.last_ms, self.last_tail) = if now_ms > self.last_ms {
            (now_ms, fresh)
        } else if next >> (Self::HIGH_BITS + Self::LOW_BITS) == 0 {
            (self.last_ms, next)
        } else {
            (self.last_ms + 1, fresh)
        };
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&((self.last_tail >> Self::LOW_BITS) as u16).to_be_bytes());
        tail[2..].copy_from_slice(&(self.last_tail as u64).to_be_bytes());
        RecordId::new_v7(self.last_ms, tail)
    }
}

impl FromStr for RecordId {
    type Err = RecordIdParseError;

    /// Reads the hyphenated form, in either case. Other spellings of a UUID are refused, so that a name such as
    /// 32 hexadecimal digits stays a name.
    fn from_str(text: &str) -> Result<Self, RecordIdParseError> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(RecordIdParseError);
        }
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| RecordIdParseError)?;
        Ok(Self(*uuid.as_bytes()))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RecordId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_and_only_the_hyphenated_form_is_an_id() {
        let id = RecordId::new_v7(0x0123_4567_89ab, [0xff; 10]);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for other in ["", "x", "0123456789ab7fffbfffffffffffffff", "{01234567-89ab-7fff-bfff-fffffffffff}"] {
            assert_eq!(other.parse::<RecordId>(), Err(RecordIdParseError), "{other}");
            assert_eq!(RecordId::from_text(other), RecordId::from_name(other));
        }
        assert_eq!(RecordId::from_text(&id.to_string()), id);
    }

    #[test]
    fn later_ids_sort_later() {
        assert!(RecordId::new_v7(1, [0xff; 10]) < RecordId::new_v7(2, [0; 10]));
    }

    #[test]
    fn new_ids_sort_in_the_order_in_which_they_were_given() {
        let mut ids = NewIds::default();
        let full = [0xff; 10];
        // name, wall clock, randomness, the id
        let rows = [
            ("the first", 5, [0; 10], "00000000-0005-7000-8000-000000000000"),
            ("the same millisecond", 5, [0; 10], "00000000-0005-7000-8000-000000000001"),
            ("a random step", 5, [7, 7, 7, 7, 7, 7, 0, 0, 0, 9], "00000000-0005-7000-8000-00000000000b"),
            ("the next millisecond", 6, full, "00000000-0006-7fff-bfff-ffffffffffff"),
            ("no more bits", 6, [0; 10], "00000000-0007-7000-8000-000000000000"),
            ("the clock fell back", 1, [0; 10], "00000000-0007-7000-8000-000000000001"),
            ("by much", 0, full, "00000000-0007-7000-8000-000100000001"),
            ("and went on", 8, [0x12; 10], "00000000-0008-7212-9212-121212121212"),
        ];
        let mut before = RecordId::from_bytes([0; 16]);
        for (name, now_ms, random, expected) in rows {
            let id = ids.next(now_ms, random);
            assert_eq!(id.to_string(), expected, "{name}");
            assert!(before < id, "{name}");
            before = id;
        }
    }

    #[test]
    fn a_carry_goes_past_version_and_variant() {
        let mut ids = NewIds { last_ms: 3, last_tail: (1 << 62) - 1 };
        assert_eq!(ids.next(3, [0; 10]).to_string(), "00000000-0003-7001-8000-000000000000");
    }

    #[test]
    fn names_give_fixed_ids_of_version_8() {
        let id = RecordId::from_name("today");
        assert_eq!(id.to_string(), "8cc75d85-7e88-8e57-b5c6-a8156dbdf291");
        assert_ne!(id, RecordId::from_name("Today"));
    }
}
