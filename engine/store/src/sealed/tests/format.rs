//! The tables of `docs/FORMAT.md` section 1 and the constants of the layout say the same.

use subrosa_model::seal::{TAG_BYTES, XAES_NONCE_BYTES};

use crate::sealed::held::HELD_PAGES;
use crate::sealed::layout::*;

/// A row: what it is about (the header of the table), name, offset, length.
type Row = [String; 4];

fn documented() -> Vec<Row> {
    let text = include_str!("../../../../../docs/FORMAT.md");
    let section = text.split("\n## ").find(|section| section.starts_with("1. ")).unwrap();
    let (mut rows, mut heading, mut table) = (Vec::new(), "", "");
    for line in section.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            heading = title;
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells[..] {
            ["", name, "offset", "bytes", ""] => table = name,
            ["", name, offset, bytes, ""] if !name.starts_with("---") => {
                rows.push([format!("{heading}: {table}"), name.into(), offset.into(), bytes.into()]);
            }
            _ => {}
        }
    }
    rows
}

fn table(name: &str, rows: &[(&str, usize, usize)]) -> Vec<Row> {
    rows.iter().map(|row| [name.into(), row.0.into(), row.1.to_string(), row.2.to_string()]).collect()
}

#[test]
fn the_tables_of_the_specification_are_the_layout() {
    assert_eq!(documented(), [file(), superblock(), header_page_and_block()].concat());
    let held = format!("| blocks held in memory until a sync | {HELD_PAGES} |");
    assert!(include_str!("../../../../../docs/FORMAT.md").contains(&held));
}

fn file() -> Vec<Row> {
    let [superblock_0, superblock_1] = SUPERBLOCK_OFFSETS.map(|offset| offset as usize);
    let [header_0, header_1] = HEADER_OFFSETS.map(|offset| offset as usize);
    [
        table(
            "1.1 The file: part",
            &[
                ("superblock, copy 0", superblock_0, SLOT_BYTES),
                ("superblock, copy 1", superblock_1, SLOT_BYTES),
                ("header page, copy 0", header_0, SLOT_BYTES),
                ("header page, copy 1", header_1, SLOT_BYTES),
            ],
        ),
        vec![[
            "1.1 The file: part".into(),
            "block of page n".into(),
            format!("{BLOCKS_OFFSET} + n * {BLOCK_BYTES}"),
            BLOCK_BYTES.to_string(),
        ]],
    ]
    .concat()
}

fn superblock() -> Vec<Row> {
    let tag_end = SUPERBLOCK_TAG_AT + TAG_BYTES;
    [
        table(
            "1.2 The superblock: field",
            &[
                ("magic: 93 \"subrosa\" 0D 0A 1A 0A 00 00 00 00", MAGIC_AT, MAGIC.len()),
                (&format!("format: {FORMAT}"), FORMAT_AT, 4),
                ("zeros", FORMAT_AT + 4, FILE_ID_AT - FORMAT_AT - 4),
                ("file id, random", FILE_ID_AT, FILE_ID_BYTES),
                ("nonce", SUPERBLOCK_NONCE_AT, XAES_NONCE_BYTES),
                ("sealed", SUPERBLOCK_SEALED_AT, SUPERBLOCK_SEALED_BYTES),
                ("tag", SUPERBLOCK_TAG_AT, TAG_BYTES),
                ("zeros", tag_end, CHECKSUM_AT - tag_end),
                ("SHA-256 of the 480 bytes before", CHECKSUM_AT, SUPERBLOCK_USED_BYTES - CHECKSUM_AT),
                ("zeros", SUPERBLOCK_USED_BYTES, SLOT_BYTES - SUPERBLOCK_USED_BYTES),
            ],
        ),
        table(
            "1.2 The superblock: field of the superblock's plaintext",
            &[
                ("sequence", 0, 8),
                ("state: 0 creating, 1 ready", 8, 1),
                ("zeros", 9, 7),
                ("store root, random", 16, SUPERBLOCK_SEALED_BYTES - 16),
            ],
        ),
    ]
    .concat()
}

fn header_page_and_block() -> Vec<Row> {
    [
        table(
            "1.3 A copy of the header page: field",
            &[
                ("nonce", HEADER_NONCE_AT, XAES_NONCE_BYTES),
                ("sealed", HEADER_SEALED_AT, HEADER_TAG_AT - HEADER_SEALED_AT),
                ("tag", HEADER_TAG_AT, TAG_BYTES),
            ],
        ),
        table(
            "1.3 A copy of the header page: field of the header page's plaintext",
            &[
                ("sequence", 0, 8),
                ("mark: 0 in use, 1 closed", 8, 1),
                ("zeros", 9, 7),
                ("length of the database when closed, else 0", 16, HEADER_PREFIX_BYTES - 16),
                ("page 0, its first bytes", HEADER_PREFIX_BYTES, HEADER_PAGE_BYTES),
            ],
        ),
        table(
            "1.4 A block: field",
            &[
                ("nonce, random", 0, XAES_NONCE_BYTES),
                ("ciphertext", XAES_NONCE_BYTES, PAGE_BYTES),
                ("tag", XAES_NONCE_BYTES + PAGE_BYTES, TAG_BYTES),
            ],
        ),
    ]
    .concat()
}

#[test]
fn lengths_convert_both_ways_and_refuse_parts_of_a_page() {
    for pages in [0, 1, 2, 300, 1 << 40] {
        let logical = pages * PAGE_BYTES as u64;
        let physical = physical_len(logical).unwrap();
        assert_eq!(physical, 16384 + pages * 4136);
        assert_eq!(logical_len(physical), Ok(logical));
        assert!(logical_len(physical + 1).is_err() && physical_len(logical + 1).is_err());
    }
    assert!(physical_len(u64::MAX - 4095).is_err() && logical_len(16383).is_err());
}

/// A store written by this format's first version keeps opening: its superblock and one block, frozen.
#[test]
fn frozen_bytes_open() {
    use data_encoding::HEXLOWER;

    use super::sim::SimDisk;
    use crate::sealed::superblock::{Kek, Superblock};

    let frozen: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../tests/vectors/sealed-file.json")).unwrap();
    let bytes = |name: &str| HEXLOWER.decode(frozen[name].as_str().unwrap().as_bytes()).unwrap();
    let kek = Kek::new(&bytes("kek").try_into().unwrap());
    let mut file = bytes("superblock");
    file.resize(8192, 0);
    let found = Superblock::read(&SimDisk::holding(file).opener(), &kek).unwrap().superblock;
    assert_eq!(found.file_id[..], bytes("file_id"));
    let cipher = found.root.page_cipher(&found.file_id);
    let block = bytes("block");
    let mut page = block[24..4120].to_vec();
    let aad = [&found.file_id[..], &frozen["page"].as_u64().unwrap().to_be_bytes()].concat();
    let tag = block[4120..].try_into().unwrap();
    cipher.open(block[..24].try_into().unwrap(), &aad, &mut page, tag).unwrap();
    assert_eq!(page, frozen["plaintext"].as_str().unwrap().as_bytes().repeat(4096 / 16));
}
