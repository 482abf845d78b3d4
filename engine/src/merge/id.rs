//! Ids of records: 16 bytes, written as UUIDs.

use std::fmt;
use std::str::FromStr;

use subrosa_protocol::labels;

/// Names a record within its collection. Any 16 bytes are valid; the text form is that of a UUID.
///
/// With the random ids of [`RecordId::new_v7`] later records sort later, which is what bulk inserts want.
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
    fn names_give_fixed_ids_of_version_8() {
        let id = RecordId::from_name("today");
        assert_eq!(id.to_string(), "8cc75d85-7e88-8e57-b5c6-a8156dbdf291");
        assert_ne!(id, RecordId::from_name("Today"));
    }
}
