//! What `docs/PROTOCOL.md` and the code both say, they say alike.

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Chain, Epoch, LogId, Seq, Signature};
use subrosa_protocol::segment::{Class, GroupPlace, HEADER_LEN, Header, Kind, SealedSegment};
use subrosa_protocol::{frame, labels, limits};

/// Cells of the rows of the first table under a heading of the specification.
fn table(heading: &str) -> Vec<Vec<String>> {
    nth_table("PROTOCOL.md", heading, 0)
}

/// Cells of the rows of a table under a heading of a document.
fn nth_table(document: &str, heading: &str, nth: usize) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/").to_owned() + document;
    let text = std::fs::read_to_string(path).expect("the specification is there");
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let mut tables = section.split("\n\n").filter(|paragraph| paragraph.starts_with('|'));
    let rows = tables.nth(nth).unwrap_or_else(|| panic!("no table {nth} in {heading}")).lines();
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

#[test]
fn all_labels() {
    let rows: Vec<_> = table("Labels").iter().map(|row| row[0].clone()).collect();
    let code: Vec<_> = labels::ALL.iter().map(|label| String::from_utf8(label.to_vec()).unwrap()).collect();
    assert_eq!(rows, code);
}

#[test]
fn layout_of_a_segment() {
    let header = Header {
        kind: Kind::CONTROL,
        place: GroupPlace::Whole,
        log: LogId::from_bytes([0xa1; 16]),
        seq: Seq(0xb2b2_b2b2_b2b2_b2b2),
        epoch: Epoch(0xc3c3_c3c3),
        prev: Chain::from_bytes([0xd7; 32]),
        salt: [0xd4; 16],
        commit: [0xe5; 32],
        body_len: 0x0000_1000,
    };
    let body = [0xf6; 0x1000];
    let segment = SealedSegment::assemble(header, &body, &Signature::from_bytes([0x97; 64]));
    let mut at = 0;
    for row in nth_table("FORMAT.md", "3. Segment", 0) {
        let contents: &[u8] = match row[0].as_str() {
            "suite: 2" => &[2],
            "kind" => &[0x41],
            "place in the group" => &[3],
            "log id" => &[0xa1; 16],
            "seq" => &[0xb2; 8],
            "epoch" => &[0xc3; 4],
            "previous chain" => &[0xd7; 32],
            "salt, random" => &[0xd4; 16],
            "commit" => &[0xe5; 32],
            "body length, tag included" => &[0, 0, 0x10, 0],
            "body" => &body,
            "signature" => &[0x97; 64],
            other => panic!("no field {other}"),
        };
        let offset = row[1].replace("body length", "4096");
        let offset: usize = offset.split(" + ").map(|part| part.parse::<usize>().unwrap()).sum();
        assert_eq!((offset, &segment.bytes()[at..at + contents.len()]), (at, contents), "{}", row[0]);
        assert_eq!(row[2].replace("body length", "4096"), contents.len().to_string(), "{}", row[0]);
        at += contents.len();
    }
    assert_eq!((at, HEADER_LEN), (segment.bytes().len(), 115));
}

#[test]
fn kinds_of_segments() {
    let rows: Vec<_> = nth_table("FORMAT.md", "3. Segment", 1)
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[3].clone(), row[4].clone()))
        .collect();
    let code: Vec<_> = Kind::KNOWN
        .iter()
        .map(|(kind, name)| {
            let class = if kind.class() == Class::Control { "control" } else { "data" };
            let place = if kind.is_group_of_its_own() { "3" } else { "any" };
            (format!("0x{:02x}", kind.to_wire()), (*name).to_owned(), class.to_owned(), place.to_owned())
        })
        .collect();
    assert_eq!(rows, code);
}
