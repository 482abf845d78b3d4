//! What was altered on the disk is a typed error when it is used, and never wrong data.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use subrosa_model::entropy::SeededEntropy;

use super::sim::{Dice, SimDisk};
use super::workload::{Rows, kek, last_transaction, open, open_with, options, read_all, run};
use crate::error::{StoreError, StoreFault, StorePart};
use crate::sealed::layout::{
    BLOCK_BYTES, BLOCKS_OFFSET, CHECKSUM_AT, FORMAT_AT, HEADER_OFFSETS, PAGE_BYTES, SLOT_BYTES,
    SUPERBLOCK_OFFSETS, SUPERBLOCK_USED_BYTES,
};
use crate::sealed::*;

const SEED: u64 = 0x5eed_0002;

/// A store of a few hundred pages and what is in it.
fn store(seed: u64) -> (SimDisk, Rows) {
    let disk = SimDisk::default();
    let (history, outcome) = run(&disk, 120, seed);
    outcome.unwrap();
    (disk, history.states.last().unwrap().clone())
}

/// Opens and reads everything, without a walk and without creating.
fn use_all(disk: &SimDisk) -> Result<Rows, StoreError> {
    let (database, handle) = open_with(disk, 1, &options(Missing::Refuse, Walk::Later))?;
    read_all(&database).map_err(|error| handle.explain(error))
}

fn block_of(page: u64) -> std::ops::Range<usize> {
    let start = BLOCKS_OFFSET as usize + page as usize * BLOCK_BYTES;
    start..start + BLOCK_BYTES
}

/// The pages that opening and reading everything reads.
fn used_pages(disk: &SimDisk) -> Vec<u64> {
    let disk = disk.copy();
    let (database, _) = open_with(&disk, 1, &options(Missing::Refuse, Walk::Later)).unwrap();
    read_all(&database).unwrap();
    let mut pages = BTreeSet::new();
    for (offset, bytes) in disk.reads() {
        if let Some(at) = offset.checked_sub(BLOCKS_OFFSET) {
            pages.extend(at / BLOCK_BYTES as u64..(at + bytes).div_ceil(BLOCK_BYTES as u64));
        }
    }
    pages.into_iter().collect()
}

/// Makes a superblock one of another format, as its writer would.
fn set_format(superblock: &mut [u8], format: u32) {
    superblock[FORMAT_AT..FORMAT_AT + 4].copy_from_slice(&format.to_be_bytes());
    let checksum = Sha256::digest(&superblock[..CHECKSUM_AT]);
    superblock[CHECKSUM_AT..CHECKSUM_AT + 32].copy_from_slice(&checksum);
}

#[test]
fn five_thousand_flipped_bits_never_become_data() {
    let (disk, rows) = store(SEED);
    let bytes = disk.bytes();
    let mut dice = Dice(SEED);
    let (mut refused, mut unused) = (0, 0);
    for round in 0..5_200_u64 {
        let at = match dice.below(20) {
            0 => dice.below(BLOCKS_OFFSET) as usize,
            _ => dice.below(bytes.len() as u64) as usize,
        };
        let flip = 1 << dice.below(8);
        let disk = SimDisk::holding(bytes.clone());
        // Every other bit flips while the store is open.
        let found = if round % 2 == 0 {
            disk.alter(|bytes| bytes[at] ^= flip);
            use_all(&disk)
        } else {
            let (database, handle) = open_with(&disk, round, &options(Missing::Refuse, Walk::Later)).unwrap();
            disk.alter(|bytes| bytes[at] ^= flip);
            disk.forget_reads();
            read_all(&database).map_err(|error| handle.explain(error))
        };
        let in_blocks = at as u64 >= BLOCKS_OFFSET;
        let page = (at as u64).saturating_sub(BLOCKS_OFFSET) / BLOCK_BYTES as u64;
        if in_blocks && disk.was_read(at as u64) {
            assert_eq!(found, Err(StoreError::Damaged { part: StorePart::Page(page) }), "byte {at}");
            refused += 1;
        } else {
            // Not used, or one of two copies.
            assert_eq!(found.as_ref(), Ok(&rows), "byte {at}");
            unused += 1;
        }
    }
    println!("{refused} refused, {unused} not used or twofold");
    assert!(refused >= 1_000, "only {refused} flips hit a page that was used");
}

#[test]
fn every_bit_of_a_header_copy_and_of_a_superblock_may_flip() {
    let (disk, rows) = store(SEED);
    let bytes = disk.bytes();
    let mut dice = Dice(SEED);
    for (offset, used) in [
        (SUPERBLOCK_OFFSETS[0], SUPERBLOCK_USED_BYTES),
        (SUPERBLOCK_OFFSETS[1], SUPERBLOCK_USED_BYTES),
        (HEADER_OFFSETS[0], SLOT_BYTES),
        (HEADER_OFFSETS[1], SLOT_BYTES),
    ] {
        for _ in 0..64 {
            let mut bytes = bytes.clone();
            bytes[offset as usize + dice.below(used as u64) as usize] ^= 1 << dice.below(8);
            assert_eq!(use_all(&SimDisk::holding(bytes)).as_ref(), Ok(&rows));
        }
    }
}

#[test]
fn a_kill_and_a_flipped_bit_together_never_become_data() {
    let disk = SimDisk::default();
    let (history, outcome) = run(&disk, 60, SEED);
    outcome.unwrap();
    // Every open file that was killed: the diary without its end, all of it on the disk.
    let diary = disk.diary();
    let mut dice = Dice(SEED);
    let mut refused = 0;
    for _ in 0..300 {
        // The first two make the file and give it its length.
        let ops = dice.below(diary.len() as u64 - 1) as usize + 2;
        let mut image =
            super::sim::after_power_loss(&[], &diary[..ops], super::sim::Loss::Nothing, &mut dice);
        let at = dice.below(image.len() as u64) as usize;
        image[at] ^= 1 << dice.below(8);
        match open(&SimDisk::holding(image), 1).and_then(|(database, _)| read_all(&database)) {
            // One commit back at most: where the newest copy of the header page is the one that was hit.
            Ok(rows) => assert_eq!(rows, history.states[last_transaction(&rows)]),
            Err(StoreError::Damaged { .. } | StoreError::Stopped) => refused += 1,
            // While the store is created its superblock has one copy, and nobody was told of it yet.
            Err(StoreError::NotAStore) if ops < history.created() => refused += 1,
            Err(error) => panic!("{ops}: {error}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn pages_swapped_blanked_and_taken_from_another_file_stay_shut() {
    let (disk, rows) = store(SEED);
    let (other, _) = store(SEED + 1);
    let (bytes, others) = (disk.bytes(), other.bytes());
    let used = used_pages(&disk);
    assert!(used.len() > 50);
    assert_eq!(use_all(&disk.copy()).as_ref(), Ok(&rows));
    for (index, page) in used.iter().copied().enumerate().step_by(7) {
        let next = used[(index + 1) % used.len()];
        let mut swapped = bytes.clone();
        swapped[block_of(page)].copy_from_slice(&bytes[block_of(next)]);
        swapped[block_of(next)].copy_from_slice(&bytes[block_of(page)]);
        let error = use_all(&SimDisk::holding(swapped)).unwrap_err();
        let either = [page, next].map(|page| StoreError::Damaged { part: StorePart::Page(page) });
        assert!(either.contains(&error), "{error}");

        let mut blanked = bytes.clone();
        blanked[block_of(page)].fill(0);
        assert_eq!(use_all(&SimDisk::holding(blanked)), Err(StoreError::Hole { page }));

        let mut foreign = bytes.clone();
        foreign[block_of(page)].copy_from_slice(&others[block_of(page)]);
        let error = use_all(&SimDisk::holding(foreign)).unwrap_err();
        let blank = others[block_of(page)].iter().all(|byte| *byte == 0);
        let expected = if blank {
            StoreError::Hole { page }
        } else {
            StoreError::Damaged { part: StorePart::Page(page) }
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let (disk, _) = store(SEED);
    let bytes = disk.bytes();
    let block = BLOCK_BYTES as u64;
    let blocks = (bytes.len() as u64 - BLOCKS_OFFSET) / block;
    for (length, expected) in [
        (0, StoreError::Missing),
        (100, StoreError::Damaged { part: StorePart::Superblock }),
        (512, StoreError::Truncated),
        (4096, StoreError::Truncated),
        (HEADER_OFFSETS[1], StoreError::Truncated),
        (BLOCKS_OFFSET - 1, StoreError::Truncated),
        (BLOCKS_OFFSET, StoreError::Truncated),
        (BLOCKS_OFFSET + block * 10 + 1, StoreError::Truncated),
        (BLOCKS_OFFSET + block * 10, StoreError::Truncated),
        (BLOCKS_OFFSET + block * (blocks - 1), StoreError::Truncated),
        (bytes.len() as u64 - 1, StoreError::Truncated),
    ] {
        let cut = SimDisk::holding(bytes[..length as usize].to_vec());
        assert_eq!(use_all(&cut), Err(expected), "cut to {length}");
        assert_eq!(cut.bytes().len() as u64, length);
    }
}

#[test]
fn the_wrong_key_something_else_and_a_newer_format_are_told_apart_and_left_alone() {
    let (disk, _) = store(SEED);
    let bytes = disk.bytes();
    let open = |bytes: &[u8], kek: Kek| {
        let disk = SimDisk::holding(bytes.to_vec());
        let entropy = std::sync::Arc::new(SeededEntropy::dangerous_from_seed(1));
        let options = options(Missing::Create, Walk::Now);
        let error = open_database(Box::new(disk.opener()), &kek, entropy, &options).unwrap_err();
        assert_eq!(disk.bytes(), bytes, "an error changed the file");
        error
    };
    assert_eq!(open(&bytes, Kek::new(&[0x5b; 32])), StoreError::WrongKey);
    assert_eq!(open(&[7; 20_000], kek()), StoreError::NotAStore);
    assert_eq!(open(b"redb\x1a\x0a\xa9\x0d\x0a", kek()), StoreError::NotAStore);

    let mut newer = bytes.clone();
    for offset in SUPERBLOCK_OFFSETS {
        set_format(&mut newer[offset as usize..][..SLOT_BYTES], 7);
    }
    assert_eq!(open(&newer, kek()), StoreError::NewerFormat { found: 7, supported: 1 });

    let mut damaged = bytes.clone();
    for offset in SUPERBLOCK_OFFSETS {
        damaged[offset as usize + 100] ^= 1;
    }
    assert_eq!(open(&damaged, kek()), StoreError::Damaged { part: StorePart::Superblock });
    let mut headless = bytes.clone();
    for offset in HEADER_OFFSETS {
        headless[offset as usize + 100] ^= 1;
    }
    assert_eq!(open(&headless, kek()), StoreError::Damaged { part: StorePart::Header });
}

#[test]
fn an_older_copy_of_a_page_opens_and_verify_finds_it() {
    let disk = SimDisk::default();
    let (history, outcome) = run(&disk, 40, SEED);
    outcome.unwrap();
    // The newest two authentic contents of one and the same block.
    let diary = disk.diary();
    let mut found = 0;
    for page in used_pages(&disk) {
        let block = block_of(page);
        let older = diary.iter().rev().filter_map(|op| match op {
            super::sim::Op::Write { offset, bytes } => {
                let start = block.start.checked_sub(*offset as usize)?;
                bytes.get(start..start + BLOCK_BYTES)
            }
            _ => None,
        });
        let Some(older) = older.take(2).nth(1) else { continue };
        let mut bytes = disk.bytes();
        bytes[block].copy_from_slice(older);
        let opened = open_with(&SimDisk::holding(bytes), 1, &options(Missing::Refuse, Walk::Later));
        let (mut database, handle) = match opened {
            Ok(opened) => opened,
            // redb reads some pages while it opens, and rejects them or panics.
            Err(error) => {
                assert_eq!(error, StoreError::Inconsistent, "page {page}");
                continue;
            }
        };
        match handle.verify(&mut database) {
            Err(error) => {
                assert_eq!(error, StoreError::Inconsistent, "page {page}");
                found += 1;
            }
            // Rewritten with what it held before.
            Ok(_) => assert_eq!(Some(&read_all(&database).unwrap()), history.states.last(), "page {page}"),
        }
    }
    assert!(found > 3, "only {found} pages had an older copy");
}

#[test]
fn the_fault_is_kept_after_redb_has_forgotten_it() {
    let (disk, _) = store(SEED);
    let (database, handle) = open(&disk, 1).unwrap();
    assert_eq!(handle.last_fault(), None);
    disk.alter(|bytes| bytes[BLOCKS_OFFSET as usize..].fill(0x55));
    let first = handle.explain(read_all(&database).unwrap_err());
    assert!(matches!(first, StoreError::Damaged { part: StorePart::Page(_) }), "{first}");
    assert_eq!(read_all(&database), Err(StoreError::Stopped));
    assert_eq!(handle.explain(StoreError::Stopped), first);
    assert!(matches!(handle.last_fault(), Some(StoreFault::Damaged(StorePart::Page(_)))));
    assert!(database.close().is_err());
}

#[test]
fn a_planted_marker_never_shows_in_the_file() {
    const MARKER: &[u8] = b"sub rosa, said in confidence";
    let disk = SimDisk::default();
    let (database, handle) = open(&disk, 1).unwrap();
    let name = "a table called after a secret";
    let table: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new(name);
    for round in 0..40 {
        let transaction = database.begin_write().unwrap();
        let value = MARKER.repeat(round * round);
        let key = [MARKER, &[round as u8]].concat();
        transaction.open_table(table).unwrap().insert(&key[..], &value[..]).unwrap();
        transaction.commit().unwrap();
    }
    handle.rewrap(&Kek::new(&[0x77; 32])).unwrap();
    database.close().unwrap();
    let written = disk.diary().into_iter().filter_map(|op| match op {
        super::sim::Op::Write { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    });
    for bytes in written.chain([disk.bytes()]) {
        let shows = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        for text in [&MARKER[..12], &name.as_bytes()[..12], b"redb", &[0x5a; 32], &[0x77; 32]] {
            assert!(!shows(text));
        }
    }
    assert!(disk.bytes().len() > BLOCKS_OFFSET as usize + 50 * PAGE_BYTES);
}
