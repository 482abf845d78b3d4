//! From the fields of a stored record straight to a `serde::Deserialize` type, without a map in between.

use std::borrow::Cow;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::de::{Key, ValueDeserializer};
use super::{Value, ValueError, ValueRef};

/// Takes the fields of a record apart, in the order of their names. It gives what a [`Value::Map`] of them would.
pub struct FieldsDeserializer<I>(I);

impl<'r, I: Iterator<Item = (&'r str, ValueRef<'r>)>> FieldsDeserializer<I> {
    /// Takes `fields` apart; they come in the order of their names.
    pub const fn new(fields: I) -> Self {
        Self(fields)
    }

    /// The long way, for types that are rare as records.
    fn collected(self) -> Result<ValueDeserializer, ValueError> {
        let fields = self.0.map(|(name, value)| Ok((name.to_owned(), value.decode()?)));
        Ok(ValueDeserializer::new(Value::Map(fields.collect::<Result<_, ValueError>>()?)))
    }
}

impl<'de, 'r, I: Iterator<Item = (&'r str, ValueRef<'r>)>> Deserializer<'de> for FieldsDeserializer<I> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let mut access = FieldsAccess { fields: self.0, value: None };
        let value = visitor.visit_map(&mut access)?;
        if access.fields.next().is_some() {
            return Err(de::Error::custom("more fields than the type takes"));
        }
        Ok(value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.collected()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

struct FieldsAccess<'r, I> {
    fields: I,
    value: Option<ValueRef<'r>>,
}

impl<'de, 'r, I: Iterator<Item = (&'r str, ValueRef<'r>)>> MapAccess<'de> for FieldsAccess<'r, I> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Key::new(Cow::Borrowed(name))).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ValueError> {
        let missing = || <ValueError as de::Error>::custom("a value was asked for before its key");
        let value = self.value.take().ok_or_else(missing)?;
        seed.deserialize(ValueDeserializer::new(value.decode()?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::super::ValueBuf;
    use super::*;
    use crate::merge::testing::value;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Note {
        title: String,
        #[serde(default)]
        stars: Option<i64>,
        rest: Option<Value>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        title: Value,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Circle(i64),
        Square { side: i64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(BTreeMap<String, Value>);

    /// Both ways give the same, or fail alike.
    fn agree<T: DeserializeOwned + PartialEq + std::fmt::Debug>(fields: &BTreeMap<String, Value>) -> bool {
        let encoded: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), ValueBuf::encode(value).unwrap())).collect();
        let rows = encoded.iter().map(|(name, value)| (*name, value.borrow()));
        let straight = T::deserialize(FieldsDeserializer::new(rows));
        let round = Value::Map(fields.clone()).into_serde::<T>();
        assert_eq!(straight.is_ok(), round.is_ok());
        let is_ok = straight.is_ok();
        assert_eq!(straight.ok(), round.ok());
        is_ok
    }

    #[test]
    fn every_kind_of_type_reads_as_it_does_from_a_map() {
        let fields = |json: &str| match Value::from_json_str(json).unwrap() {
            Value::Map(fields) => fields,
            _ => BTreeMap::new(),
        };
        let note = fields(r#"{"rest":[1,{"a":null}],"stars":4,"title":"t","unknown":true}"#);
        assert!(agree::<Note>(&note) && agree::<Option<Note>>(&note) && agree::<Wrapped>(&note));
        assert!(
            agree::<BTreeMap<String, Value>>(&note)
                && agree::<Value>(&note)
                && agree::<de::IgnoredAny>(&note)
        );
        assert!(!agree::<Strict>(&note) && agree::<Strict>(&fields(r#"{"title":1}"#)));
        assert!(!agree::<Note>(&fields(r#"{"title":7}"#)) && !agree::<Note>(&fields("{}")));
        assert!(
            agree::<Shape>(&fields(r#"{"Circle":3}"#)) && agree::<Shape>(&fields(r#"{"Square":{"side":2}}"#))
        );
        assert!(
            !agree::<Shape>(&note)
                && !agree::<i64>(&note)
                && !agree::<Vec<i64>>(&note)
                && !agree::<()>(&note)
        );
        assert!(agree::<BTreeMap<u32, i64>>(&fields(r#"{"1":2,"30":4}"#)));
        assert!(!agree::<BTreeMap<u32, i64>>(&fields(r#"{"x":2}"#)));
        assert!(!agree::<(i64, i64)>(&fields(r#"{"0":2,"1":3}"#)));
    }

    proptest! {
        #[test]
        fn any_fields_read_as_they_do_from_a_map(
            fields in proptest::collection::btree_map("[a-z]{0,4}|title|stars", value(), 0..5),
        ) {
            prop_assert!(agree::<BTreeMap<String, Value>>(&fields));
            agree::<Note>(&fields);
        }
    }
}
