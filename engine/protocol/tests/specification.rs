//! What `docs/PROTOCOL.md` and the code both say, they say alike.

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::{frame, limits};

/// Cells of the table rows under a heading of the specification.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let rows = section.lines().filter(|line| line.starts_with('|'));
    rows.skip(2) // its head
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[test]
fn frames() {
    let rows: Vec<_> =
        table("Frames").iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
    let code: Vec<_> = frame::TAG_TABLE
        .iter()
        .map(|(tag, name, direction)| (format!("0x{tag:02x}"), (*name).to_owned(), (*direction).to_owned()))
        .collect();
    assert_eq!(rows, code);
}

#[test]
fn limits() {
    let rows: Vec<_> = table("Limits").iter().map(|row| (row[0].clone(), row[1].replace(',', ""))).collect();
    let code: Vec<_> =
        limits::TABLE.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    assert_eq!(rows, code);
}

#[test]
fn error_codes() {
    let rows: Vec<_> =
        table("Error codes").iter().map(|row| (row[0].clone(), row[1].clone(), row[2] == "yes")).collect();
    let code: Vec<_> = ErrorCode::TABLE
        .iter()
        .map(|(code, wire, name)| (wire.to_string(), (*name).to_owned(), code.ends_link()))
        .collect();
    assert_eq!(rows, code);
}
