//! One record as one line of JSON, both ways without loss.
//!
//! A line is an object: the record's fields, the member `id`, and, where a file holds several collections, the
//! member `collection`. A field that has one of these two names, or such a name behind any number of `$`, is
//! written with one more `$` in front, so `$id` is the field `id`. Keys are sorted by their bytes, so equal
//! records give equal lines. Specified in `docs/CLI.md`.

use std::collections::BTreeMap;

use subrosa::{JsonProblem, Record, RecordId, Value, ValueError};

/// The member that holds a record's id, in every line.
const ID: &str = "id";
/// The member that names the collection, in lines of [`Shape::Vault`].
const COLLECTION: &str = "collection";

/// Which members of a line are not fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `id`: the collection is known from elsewhere.
    Collection,
    /// `id` and `collection`.
    Vault,
}

/// A line that was read.
#[derive(Debug)]
pub(crate) struct Line {
    /// The member `collection`, in [`Shape::Vault`] always there.
    pub(crate) collection: Option<String>,
    /// The member `id`.
    pub(crate) id: Option<RecordId>,
    /// Everything else.
    pub(crate) fields: Record,
}

/// Why a line is not a record. Says nothing of what the line holds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{}: {problem} at byte {offset}", unreadable(*problem))]
    Json { problem: JsonProblem, offset: usize },
    #[error("it holds a value that cannot be stored: {0}")]
    Value(ValueError),
    #[error("it is not a JSON object")]
    NotAnObject,
    #[error("its member `id` is neither a text nor a whole number")]
    BadId,
    #[error("it has no member `collection`")]
    NoCollection,
    #[error("its member `collection` is not a text")]
    BadCollection,
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl LineError {
    /// What the user can do.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Json { problem: JsonProblem::NewerForm, .. } => {
                "update subrosa, or write one more `$` in front of a key that stands alone"
            }
            Self::Json { problem: JsonProblem::NumberRange, .. } => "write such a number as text",
            Self::Json { problem: JsonProblem::Base64, .. } => {
                "write bytes in standard Base64 with its padding"
            }
            Self::Json { problem: JsonProblem::TooDeep, .. } => {
                "nest it less, or store a part of it as JSON in a text"
            }
            Self::Json { .. } | Self::NotUtf8 => "correct it",
            Self::Value(_) => "store such a value as text",
            Self::NotAnObject => "write {\"field\": value, ...}",
            Self::BadId => "give an id as text, and write `$id` for a field that is called id",
            Self::NoCollection => "name the collection before the file, or in each line",
            Self::BadCollection => "write `$collection` for a field that is called collection",
        }
    }
}

/// What is wrong with the text at all: JSON may say more than a record holds.
const fn unreadable(problem: JsonProblem) -> &'static str {
    match problem {
        JsonProblem::NumberRange | JsonProblem::Base64 | JsonProblem::NewerForm | JsonProblem::TooDeep => {
            "it holds a value that cannot be stored"
        }
        _ => "it is not valid JSON",
    }
}

impl From<ValueError> for LineError {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Json { offset, problem } => Self::Json { problem, offset },
            other => Self::Value(other),
        }
    }
}

/// Reads a line.
pub(crate) fn read(text: &str, shape: Shape) -> Result<Line, LineError> {
    let Value::Map(members) = Value::from_json_str(text)? else { return Err(LineError::NotAnObject) };
    let mut line = Line { collection: None, id: None, fields: Record::default() };
    for (name, value) in members {
        match (name.as_str(), shape) {
            (ID, _) => line.id = Some(read_id(&value)?),
            (COLLECTION, Shape::Vault) => {
                line.collection = Some(value.as_text().ok_or(LineError::BadCollection)?.to_owned());
            }
            _ => {
                let field =
                    if name.starts_with('$') && is_reserved(&name, shape) { &name[1..] } else { &name };
                line.fields.0.insert(field.to_owned(), value);
            }
        }
    }
    if shape == Shape::Vault && line.collection.is_none() {
        return Err(LineError::NoCollection);
    }
    Ok(line)
}

/// Writes a line without its end; `collection` makes it one of [`Shape::Vault`].
pub(crate) fn write(collection: Option<&str>, id: RecordId, fields: Record) -> String {
    let shape = if collection.is_some() { Shape::Vault } else { Shape::Collection };
    let mut members: BTreeMap<String, Value> = fields
        .0
        .into_iter()
        .map(
            |(name, value)| {
                if is_reserved(&name, shape) { (format!("${name}"), value) } else { (name, value) }
            },
        )
        .collect();
    members.insert(ID.to_owned(), Value::Text(id.to_string()));
    if let Some(collection) = collection {
        members.insert(COLLECTION.to_owned(), Value::Text(collection.to_owned()));
    }
    Value::Map(members).to_json_string()
}

/// Whether a name is `id` or, where it counts, `collection`, behind any number of `$`.
fn is_reserved(name: &str, shape: Shape) -> bool {
    let bare = name.trim_start_matches('$');
    bare == ID || (shape == Shape::Vault && bare == COLLECTION)
}

/// A UUID is itself, any other text a name; so is a whole number, by its digits.
fn read_id(value: &Value) -> Result<RecordId, LineError> {
    match value {
        Value::Text(text) => Ok(RecordId::from_text(text)),
        Value::I64(number) => Ok(RecordId::from_name(&number.to_string())),
        _ => Err(LineError::BadId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01234567-89ab-7fff-bfff-ffffffffffff";

    #[test]
    fn lines_come_back_byte_for_byte() {
        for (name, shape, text) in [
            ("nothing but an id", Shape::Collection, format!(r#"{{"id":"{UUID}"}}"#)),
            ("a field called id", Shape::Collection, format!(r#"{{"$$id":1,"$id":2,"id":"{UUID}"}}"#)),
            (
                "a field called collection",
                Shape::Collection,
                format!(r#"{{"$collection":1,"collection":2,"id":"{UUID}"}}"#),
            ),
            (
                "the same, of a vault",
                Shape::Vault,
                format!(r#"{{"$$collection":1,"$collection":2,"collection":"c","id":"{UUID}"}}"#),
            ),
            (
                "bytes and limits",
                Shape::Vault,
                format!(
                    r#"{{"a":-9223372036854775808,"b":9223372036854775807,"c":{{"$bytes":"AA=="}},"collection":"c","f":1.0,"id":"{UUID}"}}"#
                ),
            ),
            ("other dollar names", Shape::Collection, format!(r#"{{"$bytes":"x","$ids":1,"id":"{UUID}"}}"#)),
        ] {
            let line = read(&text, shape).unwrap();
            assert_eq!(write(line.collection.as_deref(), line.id.unwrap(), line.fields), text, "{name}");
        }
    }

    #[test]
    fn ids_are_uuids_or_names() {
        let id = |text: &str| read(text, Shape::Collection).unwrap().id;
        assert_eq!(id("{}"), None);
        assert_eq!(id(&format!(r#"{{"id":"{UUID}"}}"#)).unwrap().to_string(), UUID);
        assert_eq!(id(r#"{"id":"today"}"#), Some(RecordId::from_name("today")));
        assert_eq!(id(r#"{"id":17}"#), Some(RecordId::from_name("17")));
    }

    #[test]
    fn refusals() {
        for (name, shape, text, error) in [
            ("a list", Shape::Collection, "[]", LineError::NotAnObject),
            ("bytes alone", Shape::Collection, r#"{"$bytes":""}"#, LineError::NotAnObject),
            ("an id of another kind", Shape::Collection, r#"{"id":null}"#, LineError::BadId),
            ("no collection", Shape::Vault, r#"{"a":1}"#, LineError::NoCollection),
            ("a collection of another kind", Shape::Vault, r#"{"collection":1}"#, LineError::BadCollection),
            (
                "a form of a newer version",
                Shape::Collection,
                r#"{"a":{"$text":""}}"#,
                LineError::Json { problem: JsonProblem::NewerForm, offset: 17 },
            ),
            (
                "a line that would be one",
                Shape::Collection,
                r#"{"$id":1}"#,
                LineError::Json { problem: JsonProblem::NewerForm, offset: 9 },
            ),
            (
                "cut off",
                Shape::Collection,
                r#"{"a":1"#,
                LineError::Json { problem: JsonProblem::End, offset: 6 },
            ),
        ] {
            assert_eq!(read(text, shape).unwrap_err(), error, "{name}");
        }
    }
}
