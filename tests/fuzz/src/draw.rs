//! What calls are made with.

use std::ffi::c_char;

use arbitrary::{Result, Unstructured};
use subrosa_ffi::subrosa_id;

/// Texts that get past the first check of some function.
const TEXTS: &[&str] = &[
    "notes",
    "personal",
    "title",
    "{}",
    r#"{"a":1,"b":[1,2.5,null],"c":{"$bytes":"AAEC"}}"#,
    r#"{"a":{"b":{"c":{"d":[[[[[]]]]]}}}}"#,
    "0190a3f2-7b1c-7d2e-8f30-112233445566",
    "subrosa://127.0.0.1:9/#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "",
];

/// An input: from the fuzzer, or one that gets further.
pub(crate) fn text<'a>(input: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    if input.ratio(3, 4)? {
        return Ok(input.choose(TEXTS)?.as_bytes());
    }
    let len = input.int_in_range(0..=48)?;
    input.bytes(len.min(input.len()))
}

/// Rows that are well formed, or what the fuzzer likes.
pub(crate) fn rows(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    if input.ratio(1, 4)? {
        rows.extend_from_slice(text(input)?);
        return Ok(rows);
    }
    for _ in 0..input.int_in_range(0..=3)? {
        let payload = text(input)?;
        let len = if input.ratio(1, 8)? { input.arbitrary()? } else { 20 + payload.len() as u32 };
        rows.extend_from_slice(&len.to_le_bytes());
        rows.extend_from_slice(&[input.int_in_range(0..=7)?, input.int_in_range(0..=3)?, 0, 0]);
        let id = if input.ratio(1, 2)? { [0; 16] } else { [input.arbitrary()?; 16] };
        rows.extend_from_slice(&id);
        rows.extend_from_slice(payload);
    }
    Ok(rows)
}

/// The arguments that most calls take, drawn before each call.
pub(crate) struct Drawn<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) more: &'a [u8],
    pub(crate) id: subrosa_id,
    pub(crate) number: i32,
    pub(crate) ms: i32,
}

impl<'a> Drawn<'a> {
    pub(crate) fn new(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            text: text(input)?,
            more: text(input)?,
            id: subrosa_id { bytes: [input.int_in_range(0..=3)?; 16] },
            number: input.int_in_range(-1..=5)?,
            ms: input.int_in_range(0..=2)?,
        })
    }

    pub(crate) fn text(&self) -> (*const c_char, usize) {
        (self.text.as_ptr().cast(), self.text.len())
    }

    pub(crate) fn more(&self) -> (*const c_char, usize) {
        (self.more.as_ptr().cast(), self.more.len())
    }
}
