//! Values as JSON text, both ways without loss.
//!
//! Whole numbers are exact; a float always shows a point or an exponent, so it comes back as a float. An object whose only key
//! begins with `$` is a *form*: it stands for something that JSON has no word for. Bytes are `{"$bytes": "<base64>"}`; all
//! other forms belong to newer versions and are refused. A map whose only key begins with `$` is written with one more `$` in
//! front, so none is ever taken for a form. Keys are sorted by their bytes, so equal values give equal text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::BASE64;

use super::{Finite, JsonProblem, VALUE_DEPTH_MAX, Value, ValueError};

/// What the only key of a form begins with.
const FORM: char = '$';
/// The form of bytes.
const BYTES_KEY: &str = "$bytes";

impl Value {
    /// Compact JSON with sorted keys.
    #[must_use]
    pub fn to_json_string(&self) -> String {
        let mut out = String::new();
        write(&mut out, self);
        out
    }

    /// Reads one JSON value and nothing after it but white space.
    ///
    /// # Errors
    /// [`ValueError::Json`] with the place; whole numbers beyond 64 signed bits and floats beyond the largest
    /// finite one are refused, never rounded.
    pub fn from_json_str(text: &str) -> Result<Self, ValueError> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(VALUE_DEPTH_MAX)?;
        parser.space();
        if parser.at < text.len() {
            return Err(parser.error(JsonProblem::Trailing));
        }
        Ok(value)
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        // Writing to a string does not fail; `{:?}` prints the shortest text that reads back as this float.
        Value::I64(number) => drop(write!(out, "{number}")),
        Value::F64(number) => drop(write!(out, "{:?}", number.to_f64())),
        Value::Text(text) => write_string(out, text),
        Value::Bytes(bytes) => {
            out.push_str("{\"$bytes\":\"");
            BASE64.encode_append(bytes, out);
            out.push_str("\"}");
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            let alone = map.len() == 1;
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                if alone && key.starts_with(FORM) {
                    write_string(out, &format!("${key}"));
                } else {
                    write_string(out, key);
                }
                out.push(':');
                write(out, item);
            }
            out.push('}');
        }
    }
}

/// Appends a JSON string with its quotes.
pub fn write_string(out: &mut String, text: &str) {
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
            control => drop(write!(out, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    const fn error(&self, problem: JsonProblem) -> ValueError {
        ValueError::Json { offset: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte; the end of the text is an error.
    fn byte(&self) -> Result<u8, ValueError> {
        self.peek().ok_or_else(|| self.error(JsonProblem::End))
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, expected: u8) -> Result<(), ValueError> {
        if self.byte()? != expected {
            return Err(self.error(JsonProblem::Character));
        }
        self.at += 1;
        Ok(())
    }

    /// `depth` is how many more levels of lists and maps are allowed.
    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.space();
        match self.byte()? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => Ok(Value::Text(self.string()?)),
            b'[' => self.list(depth),
            b'{' => self.map(depth),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.error(JsonProblem::Character)),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, ValueError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error(JsonProblem::Character));
        }
        self.at += word.len();
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, ValueError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.error(JsonProblem::TooDeep))?;
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.byte()? == b']' {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.byte()? == b']' {
                self.at += 1;
                return Ok(Value::List(items));
            }
            self.expect(b',')?;
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, ValueError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.error(JsonProblem::TooDeep))?;
        self.at += 1;
        let mut map = BTreeMap::new();
        self.space();
        if self.byte()? == b'}' {
            self.at += 1;
            return Ok(Value::Map(map));
        }
        loop {
            self.space();
            if self.byte()? != b'"' {
                return Err(self.error(JsonProblem::Character));
            }
            let key_at = self.at;
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            let item = self.value(depth)?;
            if map.insert(key, item).is_some() {
                return Err(ValueError::Json { offset: key_at, problem: JsonProblem::DuplicateKey });
            }
            self.space();
            if self.byte()? == b'}' {
                self.at += 1;
                return self.unescape(map);
            }
            self.expect(b',')?;
        }
    }

    /// Turns forms into what they stand for, and takes the `$` away that keeps a map from being one.
    fn unescape(&self, mut map: BTreeMap<String, Value>) -> Result<Value, ValueError> {
        if map.len() == 1
            && let Some(form) = map.first_entry().filter(|entry| entry.key().starts_with(FORM))
        {
            let (key, item) = form.remove_entry();
            if key == BYTES_KEY {
                let Value::Text(text) = item else { return Err(self.error(JsonProblem::Base64)) };
                let bytes = BASE64.decode(text.as_bytes()).map_err(|_| self.error(JsonProblem::Base64))?;
                return Ok(Value::Bytes(bytes));
            }
            let key = &key[FORM.len_utf8()..];
            if !key.starts_with(FORM) {
                return Err(self.error(JsonProblem::NewerForm));
            }
            map.insert(key.to_owned(), item);
        }
        Ok(Value::Map(map))
    }

    fn number(&mut self) -> Result<Value, ValueError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.byte()? == b'0';
        let digits = self.digits()?;
        if zero && digits > 1 {
            self.at = start;
            return Err(self.error(JsonProblem::Character));
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            (self.at, float) = (self.at + 1, true);
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            (self.at, float) = (self.at + 1, true);
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        let range = ValueError::Json { offset: start, problem: JsonProblem::NumberRange };
        if float {
            let number: f64 = text.parse().map_err(|_| range.clone())?;
            Finite::new(number).map(Value::F64).map_err(|_| range)
        } else {
            text.parse().map(Value::I64).map_err(|_| range)
        }
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<usize, ValueError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match (self.at - start, self.peek()) {
            (0, None) => Err(self.error(JsonProblem::End)),
            (0, Some(_)) => Err(self.error(JsonProblem::Character)),
            (count, _) => Ok(count),
        }
    }

    fn string(&mut self) -> Result<String, ValueError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let special = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
            let length =
                special.ok_or(ValueError::Json { offset: self.text.len(), problem: JsonProblem::End })?;
            // Special bytes are ASCII, so both ends are at character boundaries.
            out.push_str(&self.text[self.at..self.at + length]);
            self.at += length;
            match rest[length] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return Err(self.error(JsonProblem::String)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ValueError> {
        self.at += 1;
        let plain = match self.byte()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error(JsonProblem::String)),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, ValueError> {
        let high = self.hex4()?;
        let code = if (0xd800..0xdc00).contains(&high) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return Err(self.error(JsonProblem::Surrogate));
            }
            self.at += 1;
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.error(JsonProblem::Surrogate));
            }
            0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| self.error(JsonProblem::Surrogate))
    }

    /// Reads `uXXXX`.
    fn hex4(&mut self) -> Result<u32, ValueError> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let digit =
                char::from(self.byte()?).to_digit(16).ok_or_else(|| self.error(JsonProblem::String))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
