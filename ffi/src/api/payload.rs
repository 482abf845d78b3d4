//! Records as the payloads of packed rows, straight from the store: types that the engine decodes a record into, which
//! write it down as they go, without a map in between.

use std::fmt::{self, Write as _};

use data_encoding::BASE64;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};

use super::record::{
    SUBROSA_KIND_BOOL, SUBROSA_KIND_BYTES, SUBROSA_KIND_F64, SUBROSA_KIND_I64, SUBROSA_KIND_LIST,
    SUBROSA_KIND_MAP, SUBROSA_KIND_NULL, SUBROSA_KIND_TEXT,
};

/// A record in one of the formats of rows.
pub(crate) trait Payload: DeserializeOwned {
    /// `SUBROSA_FORMAT_...`
    const FORMAT: u8;

    /// The bytes; `None` if the record does not fit into the format.
    fn bytes(&self) -> Option<&[u8]>;
}

/// What most records have room in.
const BYTES_USUAL: usize = 256;

/// A record as JSON, the same as [`subrosa::Value::to_json_string`] makes.
pub(crate) struct JsonPayload(String);

/// A record as fields.
pub(crate) struct FieldsPayload {
    bytes: Vec<u8>,
    fits: bool,
}

impl Payload for JsonPayload {
    const FORMAT: u8 = 1;

    fn bytes(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
}

impl Payload for FieldsPayload {
    const FORMAT: u8 = 2;

    fn bytes(&self) -> Option<&[u8]> {
        self.fits.then_some(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for JsonPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut out = String::with_capacity(BYTES_USUAL);
        deserializer.deserialize_any(Json(&mut out))?;
        Ok(Self(out))
    }
}

impl<'de> Deserialize<'de> for FieldsPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut out = Self { bytes: Vec::with_capacity(BYTES_USUAL), fits: true };
        deserializer.deserialize_any(Map(&mut out))?;
        Ok(out)
    }
}

/// Appends a value as JSON.
struct Json<'o>(&'o mut String);

/// Appends a key, and says whether it is that of a form, if it stands alone.
struct JsonKey<'o>(&'o mut String);

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push_str("null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        write!(self.0, "{value}").map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        // The shortest text that reads back as this float, and never as a whole number.
        write!(self.0, "{value:?}").map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        put_json_text(self.0, value).map_err(E::custom)
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<(), E> {
        self.0.push_str("{\"$bytes\":\"");
        BASE64.encode_append(value, self.0);
        self.0.push_str("\"}");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push('[');
        let start = self.0.len();
        loop {
            let before = self.0.len();
            if before > start {
                self.0.push(',');
            }
            if items.next_element_seed(Json(self.0))?.is_none() {
                self.0.truncate(before);
                break;
            }
        }
        self.0.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.push('{');
        let start = self.0.len();
        let (mut count, mut is_form) = (0, false);
        loop {
            let before = self.0.len();
            if count > 0 {
                self.0.push(',');
            }
            match entries.next_key_seed(JsonKey(self.0))? {
                Some(form) => is_form = form,
                None => {
                    self.0.truncate(before);
                    break;
                }
            }
            self.0.push(':');
            entries.next_value_seed(Json(self.0))?;
            count += 1;
        }
        if count == 1 && is_form {
            self.0.insert(start + 1, '$');
        }
        self.0.push('}');
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for JsonKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for JsonKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        put_json_text(self.0, key).map_err(E::custom)?;
        Ok(key.starts_with('$'))
    }
}

fn put_json_text(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => write!(out, "\\u{control:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
    Ok(())
}

impl FieldsPayload {
    fn kind(&mut self, kind: i32) {
        // The kinds are small numbers.
        self.bytes.push(kind as u8);
    }

    fn len(&mut self, len: usize) {
        self.fits &= u32::try_from(len).is_ok();
        self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
    }

    /// Room for a count that is not known yet.
    fn begin(&mut self) -> usize {
        self.len(0);
        self.bytes.len()
    }

    fn end(&mut self, begun: usize, count: u32) {
        self.bytes[begun - size_of::<u32>()..begun].copy_from_slice(&count.to_le_bytes());
    }
}

/// Appends a value, its kind first.
struct Fields<'o>(&'o mut FieldsPayload);

/// Appends a name of a field, or a key.
struct FieldName<'o>(&'o mut FieldsPayload);

/// Appends fields without their kind.
struct Map<'o>(&'o mut FieldsPayload);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_NULL);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_BOOL);
        self.0.bytes.push(value.into());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_I64);
        self.0.bytes.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_F64);
        self.0.bytes.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_TEXT);
        self.0.len(value.len());
        self.0.bytes.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<(), E> {
        self.0.kind(SUBROSA_KIND_BYTES);
        self.0.len(value.len());
        self.0.bytes.extend_from_slice(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.kind(SUBROSA_KIND_LIST);
        let begun = self.0.begin();
        let mut count = 0;
        while items.next_element_seed(Fields(self.0))?.is_some() {
            count += 1;
        }
        self.0.end(begun, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.0.kind(SUBROSA_KIND_MAP);
        Map(self.0).visit_map(entries)
    }
}

impl<'de> Visitor<'de> for Map<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let begun = self.0.begin();
        let mut count = 0;
        while entries.next_key_seed(FieldName(self.0))?.is_some() {
            entries.next_value_seed(Fields(self.0))?;
            count += 1;
        }
        self.0.end(begun, count);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for FieldName<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        // Names of fields are short; keys of maps inside of them may be of any length.
        self.0.fits &= u16::try_from(name.len()).is_ok();
        self.0.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.0.bytes.extend_from_slice(name.as_bytes());
        Ok(())
    }
}
