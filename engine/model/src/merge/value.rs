//! Values: what a field holds, with one encoding each.

pub mod de;
mod encoded;
mod fields;
pub mod json;
pub mod ser;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

#[cfg(test)]
pub use encoded::tag::TABLE as VALUE_TAGS;
#[allow(unused_imports, reason = "the collections, which land after it, encode")]
pub use encoded::{VALUE_MEMORY_PER_BYTE, ValueBuf, ValueRef};
pub use fields::FieldsDeserializer;

/// Deepest nesting of lists and maps; a plain value has depth 0. Bounds the stack of every walk.
pub const VALUE_DEPTH_MAX: usize = 64;

/// A value: JSON, plus bytes and a distinct integer.
///
/// `I64(1)` and `F64(1.0)` are different values. Equality and hash are those of the encoding. These are all that there are
/// in this format: whoever turns values into something else is told by the compiler what a new one needs.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum Value {
    /// Nothing, as a value: a field that holds it exists.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A finite number with a fraction.
    F64(Finite),
    /// UTF-8 text.
    Text(String),
    /// Bytes; `{"$bytes": base64}` in JSON.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Named values, in the order of their names' bytes.
    Map(BTreeMap<String, Value>),
}

/// A float that is neither infinite nor NaN, so that it has a text form and equals itself. Negative zero is kept,
/// as a value of its own.
#[derive(Clone, Copy)]
pub struct Finite(f64);

impl Finite {
    /// Takes a float in.
    ///
    /// # Errors
    /// [`ValueError::NotFinite`].
    pub const fn new(value: f64) -> Result<Self, ValueError> {
        if value.is_finite() { Ok(Self(value)) } else { Err(ValueError::NotFinite) }
    }

    /// The float.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        self.0
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Finite {}

impl Hash for Finite {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Why something is not a value of this database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Infinity or NaN: store a marker of your own instead.
    #[error("float is not finite")]
    NotFinite,
    /// A whole number outside of 64 signed bits: store it as text or bytes.
    #[error("integer is outside the range of 64 signed bits")]
    IntegerRange,
    /// Lists and maps nested too deep: flatten them.
    #[error("nested deeper than {VALUE_DEPTH_MAX}")]
    TooDeep,
    /// The encoding is over the limit of an inline value: split it.
    #[error("value of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Encoded length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A map key that has no text form, such as a list.
    #[error("map key has no text form")]
    KeyNotText,
    /// Text that is not JSON, or not JSON that this database holds.
    #[error("not json at byte {offset}: {problem}")]
    Json {
        /// Where it stops to make sense.
        offset: usize,
        /// Why.
        problem: JsonProblem,
    },
    /// The value does not have the shape of the type asked for, or the type's own code refused.
    #[error("value does not fit the type: {0}")]
    Type(TypeProblem),
    /// Stored bytes that are not a value: they were not written by this code.
    #[error("stored value does not decode")]
    Decode(#[from] subrosa_protocol::codec::DecodeError),
}

/// What serde or a type's implementation of it said. It may quote field names and values of the caller's own
/// data, so it shows itself only to [`TypeProblem::dangerous_text`], never in `Debug` or `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct TypeProblem(String);

impl TypeProblem {
    /// A problem that reads as `text`.
    pub(crate) fn new(text: &dyn fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// The text, with whatever content it quotes. Keep it out of logs.
    #[must_use]
    pub fn dangerous_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TypeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused by serde")
    }
}

impl fmt::Display for TypeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused by serde")
    }
}

/// Why text is not JSON that this database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The text ends inside a value.
    #[error("unexpected end")]
    End,
    /// A character that may not stand here.
    #[error("unexpected character")]
    Character,
    /// Something after the value.
    #[error("text after the value")]
    Trailing,
    /// A number too large for its type.
    #[error("number out of range")]
    NumberRange,
    /// A control character in a string, or an escape that does not exist.
    #[error("bad string")]
    String,
    /// A surrogate without its other half.
    #[error("lone surrogate")]
    Surrogate,
    /// A key that the same object has already.
    #[error("key occurs twice")]
    DuplicateKey,
    /// `$bytes` without standard, padded base64.
    #[error("bad base64")]
    Base64,
    /// An object whose only key begins with `$`, and is not `$bytes`: a form of a newer version. Update; a map with such a key is
    /// written with one more `$` in front.
    #[error("an object whose only key begins with `$` is a form of a newer version")]
    NewerForm,
    /// Nested too deep.
    #[error("nested deeper than {VALUE_DEPTH_MAX}")]
    TooDeep,
}

impl Value {
    /// Turns any serializable value into a [`Value`]: structs and maps become maps, `None` null, enums take
    /// serde's externally tagged form, `serialize_bytes` gives bytes.
    ///
    /// # Errors
    /// [`ValueError`]: integers beyond 64 signed bits, floats that are not finite, keys without a text form,
    /// nesting too deep, or what the type's own implementation says.
    pub fn from_serde<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, ValueError> {
        value.serialize(ser::ValueSerializer::new())
    }

    /// Turns the value into a deserializable type; undoes [`Value::from_serde`].
    ///
    /// # Errors
    /// [`ValueError::Type`] when the shapes differ.
    pub fn into_serde<T: serde::de::DeserializeOwned>(self) -> Result<T, ValueError> {
        T::deserialize(de::ValueDeserializer::new(self))
    }

    /// The map, if it is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        if let Self::I64(number) = self { Some(*number) } else { None }
    }

    /// What the value is, in one word for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
        }
    }
}

/// Prints the kind alone: content never reaches a log by accident. Print [`Value::to_json_string`] on purpose.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => write!(f, "list of {}", items.len()),
            Self::Map(map) => write!(f, "map of {}", map.len()),
            other => f.write_str(other.kind()),
        }
    }
}

impl fmt::Debug for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("f64")
    }
}

macro_rules! from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

from! {
    bool => |value| Self::Bool(value);
    i64 => |value| Self::I64(value);
    i32 => |value| Self::I64(value.into());
    u32 => |value| Self::I64(value.into());
    Finite => |value| Self::F64(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    Vec<u8> => |value| Self::Bytes(value);
    Vec<Value> => |value| Self::List(value);
    BTreeMap<String, Value> => |value| Self::Map(value);
}

impl TryFrom<f64> for Value {
    type Error = ValueError;

    fn try_from(value: f64) -> Result<Self, ValueError> {
        Finite::new(value).map(Self::F64)
    }
}
