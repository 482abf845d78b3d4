use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use subrosa_protocol::codec::DecodeError;

use super::encoded::tag;
use super::*;
use crate::merge::testing::{damage, value};

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| Value::List(vec![inner]))
}

/// Prints the text on failure, which a value itself never does.
fn json(text: &str) -> Result<String, ValueError> {
    Value::from_json_str(text).map(|value| value.to_json_string())
}

#[test]
fn encodings_are_fixed() {
    let rows: [(Value, &[u8]); 10] = [
        (Value::Null, &[0]),
        (Value::Bool(false), &[1]),
        (Value::Bool(true), &[2]),
        (Value::I64(-1), &[3, 1]),
        (Value::I64(64), &[3, 0x80, 1]),
        (Value::try_from(1.5).unwrap(), &[4, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
        (Value::from("hé"), &[5, 3, b'h', 0xc3, 0xa9]),
        (Value::Bytes(vec![7]), &[6, 1, 7]),
        (Value::List(vec![Value::Null, Value::I64(0)]), &[7, 2, 0, 3, 0]),
        (map([("", Value::Null), ("a", Value::Bool(true))]), &[8, 2, 0, 0, 1, b'a', 2]),
    ];
    for (value, bytes) in rows {
        assert_eq!(ValueBuf::encode(&value).unwrap().borrow().as_bytes(), bytes);
    }
}

#[test]
fn other_encodings_are_refused() {
    let deep = [[tag::LIST, 1].repeat(VALUE_DEPTH_MAX + 1), vec![0]].concat();
    let rows: [(&str, &[u8], DecodeError); 13] = [
        ("nothing", &[], DecodeError::Truncated { needed: 1, left: 0 }),
        ("unknown tag", &[9], DecodeError::Unknown { what: "value tag", value: 9 }),
        ("trailing", &[0, 0], DecodeError::Trailing { left: 1 }),
        ("overlong integer", &[3, 0x80, 0], DecodeError::NotCanonical { what: "integer" }),
        ("infinity", &[4, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], DecodeError::Invalid { what: "float" }),
        ("nan", &[4, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1], DecodeError::Invalid { what: "float" }),
        ("short text", &[5, 2, b'a'], DecodeError::Truncated { needed: 2, left: 1 }),
        ("not utf-8", &[5, 1, 0xff], DecodeError::Invalid { what: "text" }),
        ("list past the end", &[7, 5, 0], DecodeError::Truncated { needed: 5, left: 1 }),
        (
            "huge list",
            &[7, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
            DecodeError::Truncated { needed: 0xffff_ffff, left: 1 },
        ),
        (
            "keys out of order",
            &[8, 2, 1, b'b', 0, 1, b'a', 0],
            DecodeError::NotCanonical { what: "order of map keys" },
        ),
        (
            "key twice",
            &[8, 2, 1, b'a', 0, 1, b'a', 0],
            DecodeError::NotCanonical { what: "order of map keys" },
        ),
        ("too deep", &deep, DecodeError::TooLarge { what: "depth of a value", announced: 65, limit: 64 }),
    ];
    for (name, bytes, error) in rows {
        assert_eq!(ValueRef::check(bytes), Err(error), "{name}");
        assert_eq!(ValueRef::trusted(bytes).decode(), Err(ValueError::Decode(error)), "{name}");
    }
}

#[test]
fn bounds_hold_on_both_sides() {
    assert!(ValueBuf::encode(&nested(VALUE_DEPTH_MAX)).is_ok());
    assert_eq!(ValueBuf::encode(&nested(VALUE_DEPTH_MAX + 1)), Err(ValueError::TooDeep));
    let limit = subrosa_protocol::limits::VALUE_BYTES_MAX;
    let header = 4;
    let full = Value::Bytes(vec![0; limit - header]);
    assert_eq!(ValueBuf::encode(&full).unwrap().borrow().as_bytes().len(), limit);
    let over = Value::Bytes(vec![0; limit - header + 1]);
    assert_eq!(ValueBuf::encode(&over), Err(ValueError::TooLarge { bytes: limit + 1, limit }));
}

#[test]
fn json_text_is_fixed() {
    let rows = [
        (Value::I64(i64::MIN), "-9223372036854775808"),
        (Value::try_from(1.0).unwrap(), "1.0"),
        (Value::try_from(-0.0).unwrap(), "-0.0"),
        (Value::try_from(1e300).unwrap(), "1e300"),
        (Value::try_from(5e-324).unwrap(), "5e-324"),
        (Value::from("a\"\\\n\u{1}\u{7f}é/😀"), "\"a\\\"\\\\\\n\\u0001\u{7f}é/😀\""),
        (Value::Bytes(vec![0xfb, 0xff]), "{\"$bytes\":\"+/8=\"}"),
        (map([("$bytes", Value::from("+/8="))]), "{\"$$bytes\":\"+/8=\"}"),
        (map([("$$bytes", Value::Null)]), "{\"$$$bytes\":null}"),
        (map([("$bytes", Value::Null), ("a", Value::Null)]), "{\"$bytes\":null,\"a\":null}"),
        (map([("$", Value::Null)]), "{\"$$\":null}"),
        (map([("$text", map([("$$", Value::Null)]))]), "{\"$$text\":{\"$$$\":null}}"),
        (map([("a$bytes", Value::Null)]), "{\"a$bytes\":null}"),
        (map([("b", Value::List(vec![])), ("B", Value::Null)]), "{\"B\":null,\"b\":[]}"),
    ];
    for (value, text) in rows {
        assert_eq!(value.to_json_string(), text);
        assert!(Value::from_json_str(text).unwrap() == value, "{text}");
    }
}

#[test]
fn json_of_other_writers_is_read() {
    let rows = [
        (" \t\r\n{ \"b\" : [ 1 , 2.50 ] , \"a\" : true } ", "{\"a\":true,\"b\":[1,2.5]}"),
        ("1E2", "100.0"),
        ("-0", "0"),
        ("1e-400", "0.0"),
        (r#""\u00e9\ud83d\ude00\/\b\f\u0000""#, "\"é😀/\\u0008\\u000c\\u0000\""),
    ];
    for (text, expected) in rows {
        assert_eq!(json(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn what_is_not_json_here_is_refused() {
    use JsonProblem as P;
    let deep = "[".repeat(VALUE_DEPTH_MAX + 1);
    let rows = [
        ("", 0, P::End),
        ("nul", 0, P::Character),
        ("[1,]", 3, P::Character),
        ("[1 2]", 3, P::Character),
        ("{\"a\" 1}", 5, P::Character),
        ("{a:1}", 1, P::Character),
        ("{\"a\":1", 6, P::End),
        ("null x", 5, P::Trailing),
        ("01", 0, P::Character),
        ("-", 1, P::End),
        ("1.", 2, P::End),
        ("1.e1", 2, P::Character),
        ("NaN", 0, P::Character),
        ("9223372036854775808", 0, P::NumberRange),
        ("[1e400]", 1, P::NumberRange),
        ("\"a", 2, P::End),
        ("\"\n\"", 1, P::String),
        ("\"\\x\"", 2, P::String),
        ("\"\\u12g4\"", 5, P::String),
        ("\"\\ud800x\"", 7, P::Surrogate),
        ("\"\\udc00\"", 7, P::Surrogate),
        ("{\"a\":1,\"a\":2}", 7, P::DuplicateKey),
        ("{\"$bytes\":1}", 12, P::Base64),
        ("{\"$bytes\":\"YQ\"}", 15, P::Base64),
        ("{\"$text\":\"\"}", 12, P::NewerForm),
        ("{\"$\":1}", 7, P::NewerForm),
        ("{\"$Bytes\":\"\"}", 13, P::NewerForm),
        ("[{\"\\u0024text\":1}]", 17, P::NewerForm),
        (deep.as_str(), VALUE_DEPTH_MAX, P::TooDeep),
    ];
    for (text, offset, problem) in rows {
        assert_eq!(json(text), Err(ValueError::Json { offset, problem }), "{text}");
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    title: String,
    done: bool,
    count: u32,
    ratio: f64,
    due: Option<i64>,
    tags: Vec<String>,
    by_year: BTreeMap<u16, Kind>,
    pair: (i8, char),
    raw: Raw,
    any: Value,
    unit: (),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Wrapped(Option<u8>),
    Tuple(u8, u8),
    Struct { x: i64 },
}

#[derive(Debug, PartialEq)]
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[test]
fn types_come_back() {
    let note = Note {
        title: "t".to_owned(),
        done: true,
        count: 7,
        ratio: 2.0,
        due: None,
        tags: vec!["a".to_owned()],
        by_year: BTreeMap::from([
            (1999, Kind::Plain),
            (2000, Kind::Wrapped(Some(3))),
            (2001, Kind::Tuple(1, 2)),
            (2002, Kind::Struct { x: -1 }),
        ]),
        pair: (-5, 'é'),
        raw: Raw(vec![1, 2]),
        any: Value::List(vec![Value::Bytes(vec![9]), Value::Null]),
        unit: (),
    };
    let value = Value::from_serde(&note).unwrap();
    assert_eq!(
        value.to_json_string(),
        "{\"any\":[{\"$bytes\":\"CQ==\"},null],\"by_year\":{\"1999\":\"Plain\",\"2000\":{\"Wrapped\":3},\
         \"2001\":{\"Tuple\":[1,2]},\"2002\":{\"Struct\":{\"x\":-1}}},\"count\":7,\"done\":true,\"due\":null,\
         \"pair\":[-5,\"é\"],\"ratio\":2.0,\"raw\":{\"$bytes\":\"AQI=\"},\"tags\":[\"a\"],\"title\":\"t\",\
         \"unit\":null}"
    );
    assert_eq!(value.into_serde::<Note>().unwrap(), note);
}

#[test]
fn what_has_no_value_is_a_typed_error() {
    let too_deep =
        serde_json::from_str::<serde_json::Value>(&format!("{}{}", "[".repeat(65), "]".repeat(65)));
    let rows = [
        ("u64", Value::from_serde(&(i64::MAX as u64 + 1)), ValueError::IntegerRange),
        ("i128", Value::from_serde(&i128::MIN), ValueError::IntegerRange),
        ("nan", Value::from_serde(&f64::NAN), ValueError::NotFinite),
        ("f32", Value::from_serde(&f32::INFINITY), ValueError::NotFinite),
        ("list key", Value::from_serde(&BTreeMap::from([(vec![1u8], 1)])), ValueError::KeyNotText),
        ("deep", Value::from_serde(&too_deep.unwrap()), ValueError::TooDeep),
    ];
    for (name, result, error) in rows {
        assert_eq!(result, Err(error), "{name}");
    }
    assert_eq!(Value::from_serde(&(i64::MAX as u64)), Ok(Value::I64(i64::MAX)));
}

#[test]
fn shapes_that_differ_are_typed_errors_without_content() {
    let secret = Value::from("correct horse");
    let errors = [
        secret.clone().into_serde::<u8>().map(drop).unwrap_err(),
        secret.into_serde::<Kind>().map(drop).unwrap_err(),
        Value::I64(300).into_serde::<u8>().map(drop).unwrap_err(),
        Value::List(vec![Value::Null; 3]).into_serde::<((), ())>().map(drop).unwrap_err(),
        map([("Plain", Value::I64(1))]).into_serde::<Kind>().map(drop).unwrap_err(),
    ];
    for error in errors {
        let ValueError::Type(problem) = &error else { panic!("{error:?}") };
        assert!(!problem.dangerous_text().is_empty());
        assert!(!format!("{error} {error:?}").contains("horse"));
    }
}

proptest! {
    #[test]
    fn encoding_json_and_serde_come_back(value in value()) {
        let encoded = ValueBuf::encode(&value).unwrap();
        prop_assert_eq!(ValueRef::check(encoded.borrow().as_bytes()), Ok(encoded.borrow()));
        prop_assert!(encoded.borrow().decode().unwrap() == value);
        let text = value.to_json_string();
        prop_assert!(Value::from_json_str(&text).unwrap() == value, "{}", text);
        prop_assert!(Value::from_serde(&value).unwrap() == value);
        prop_assert!(value.clone().into_serde::<Value>().unwrap() == value);
        // Another parser agrees that the text is JSON.
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn accepted_bytes_are_the_one_encoding(
        value in value(),
        damages in prop::collection::vec(damage(), 1..3),
    ) {
        let mut bytes = ValueBuf::encode(&value).unwrap().borrow().as_bytes().to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        let checked = ValueRef::check(&bytes);
        let decoded = ValueRef::trusted(&bytes).decode();
        prop_assert_eq!(checked.is_ok(), decoded.is_ok());
        if let Ok(value) = decoded {
            let encoded = ValueBuf::encode(&value).unwrap();
            prop_assert_eq!(encoded.borrow().as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn any_bytes_and_any_text_are_answered(bytes: Vec<u8>, text: String) {
        prop_assert_eq!(ValueRef::check(&bytes).is_ok(), ValueRef::trusted(&bytes).decode().is_ok());
        if let Ok(value) = Value::from_json_str(&text) {
            prop_assert!(Value::from_json_str(&value.to_json_string()).unwrap() == value);
        }
    }
}

/// What a decoded value has on the heap at least, and itself.
fn least_memory(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(least_memory).sum(),
            // Of one item already a whole node.
            Value::Map(map) => {
                let entries =
                    map.iter().map(|(key, value)| key.len() + size_of::<String>() + least_memory(value));
                let nodes = map.len().div_ceil(11) * 11 * size_of::<(String, Value)>();
                nodes.max(entries.sum())
            }
            _ => 0,
        }
}

#[test]
fn a_value_says_how_much_memory_it_takes_and_none_takes_more_for_each_of_its_bytes() {
    let nested_maps = |depth: usize| (0..depth).fold(Value::Null, |inner, _| map([("", inner)]));
    let rows = [
        nested_maps(VALUE_DEPTH_MAX),
        Value::List(vec![nested_maps(20); 50]),
        Value::List(vec![Value::Null; 1000]),
        Value::Map((0..1000).map(|n| (format!("{n:04}"), Value::Null)).collect()),
        Value::Text("x".repeat(1000)),
        Value::from(5),
    ];
    for value in rows {
        let encoded = ValueBuf::encode(&value).unwrap();
        let (memory, bytes) = (encoded.borrow().memory().unwrap(), encoded.borrow().as_bytes().len());
        assert!(least_memory(&value) <= memory, "{value:?}");
        assert!(memory <= (bytes + 1) * VALUE_MEMORY_PER_BYTE, "{value:?}: {memory} of {bytes}");
    }
    let bomb = ValueBuf::encode(&nested_maps(VALUE_DEPTH_MAX)).unwrap();
    assert!(bomb.borrow().memory().unwrap() > bomb.borrow().as_bytes().len() * 200);
    assert!(ValueRef::trusted(&[tag::LIST, 9, 0]).memory().is_err());
}

proptest! {
    #[test]
    fn any_value_takes_no_less_memory_than_it_has(value in value()) {
        let encoded = ValueBuf::encode(&value).unwrap();
        prop_assert!(least_memory(&value) <= encoded.borrow().memory().unwrap());
    }
}
