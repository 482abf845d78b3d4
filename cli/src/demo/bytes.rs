//! What somebody who holds a file sees of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Bytes in one row of a dump.
const ROW: usize = 8;
/// Shorter words are in any random file.
const WORD_BYTES_MIN: usize = 5;

/// Rows of hexadecimal and ASCII, from where the bytes differ most from each other: data, not the tables around it.
pub(super) fn dump(bytes: &[u8], rows: usize) -> Vec<String> {
    let variety = |window: &[u8]| window.iter().collect::<BTreeSet<_>>().len();
    let windows = bytes.windows(ROW * rows).enumerate().step_by(ROW);
    let Some((offset, window)) = windows.max_by_key(|(_, window)| variety(window)) else { return Vec::new() };
    window.chunks(ROW).enumerate().map(|(row, bytes)| dump_row(offset + row * ROW, bytes)).collect()
}

fn dump_row(offset: usize, bytes: &[u8]) -> String {
    let mut text = format!("{offset:08x} ");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, " {byte:02x}");
    }
    let ascii = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
    text.push_str("  ");
    text.extend(bytes.iter().map(ascii));
    text
}

/// The words of texts that are long enough to be told from chance.
pub(super) fn words<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    texts
        .into_iter()
        .flat_map(|text| text.split(|letter: char| !letter.is_alphanumeric()))
        .filter(|word| word.len() >= WORD_BYTES_MIN)
        .collect()
}

/// How many of these words are in a file.
pub(super) fn found(words: &BTreeSet<&str>, bytes: &[u8]) -> usize {
    words.iter().filter(|word| contains(bytes, word.as_bytes())).count()
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let Some(first) = word.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(word) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_they_are() {
        let words = words(["# Sourdough, the lazy way", "twenty-four minutes"]);
        assert_eq!(words.iter().copied().collect::<Vec<_>>(), ["Sourdough", "minutes", "twenty"]);
        assert_eq!(found(&words, b"..minutminutes.Sourdoug"), 1);
        assert_eq!(found(&words, b""), 0);
    }

    #[test]
    fn a_dump_shows_where_the_data_is() {
        let mut bytes = vec![0; 3 * ROW];
        bytes.extend(b'A'..=b'H');
        bytes.extend([0xff; 3 * ROW]);
        let rows = dump(&bytes, 2);
        assert_eq!(rows.len(), 2);
        let shown = rows.iter().find(|row| row.starts_with("00000018 ")).unwrap();
        assert!(shown.ends_with(" 47 48  ABCDEFGH"), "{shown}");
        assert!(dump(&[1, 2, 3], 2).is_empty());
    }
}
