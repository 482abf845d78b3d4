//! Creating, opening, closing, changing the key, running out of room.

use std::sync::Arc;

use redb::{ReadableDatabase, StorageBackend};
use subrosa_model::entropy::SeededEntropy;

use super::sim::{Dice, Loss, SimDisk, after_power_loss, split_at_last_sync};
use super::workload::{ROWS, kek, last_transaction, open, open_with, options, read_all, run};
use crate::error::{StoreError, StoreFault};
use crate::process::Process;
use crate::sealed::backend::{Backend, SealedFile};
use crate::sealed::header::HeaderPage;
use crate::sealed::layout::{HEADER_OFFSETS, HEADER_PAGE_BYTES, PAGE_BYTES, SLOT_BYTES};
use crate::sealed::pages::PageCipher;
use crate::sealed::superblock::Superblock;
use crate::sealed::*;

const SEED: u64 = 0x5eed_0003;

fn entropy() -> Arc<dyn subrosa_model::entropy::Entropy> {
    Arc::new(SeededEntropy::dangerous_from_seed(SEED))
}

/// A sealed file without redb: `pages` pages, none written.
fn bare(disk: &SimDisk, pages: u64) -> SealedFile {
    let superblock = Superblock::new(&*entropy());
    let cipher = PageCipher::new(&superblock.root, superblock.file_id, entropy());
    let file = SealedFile::new(Box::new(disk.opener()), cipher, HeaderPage::new(), Process::plain());
    let backend = Backend(Arc::new(file));
    backend.set_len(pages * PAGE_BYTES as u64).unwrap();
    Arc::into_inner(backend.0).unwrap()
}

#[test]
fn reads_and_writes_of_any_place_and_length_agree_with_plain_memory() {
    let disk = SimDisk::default();
    let pages = 600;
    let backend = Backend(Arc::new(bare(&disk, pages)));
    let bytes = pages as usize * PAGE_BYTES;
    let mut plain = vec![0; bytes];
    let mut dice = Dice(SEED);
    // Holes cannot be read, but part of one can be written: the rest is zeros.
    for page in 1..pages {
        let at = page * PAGE_BYTES as u64 + dice.below(PAGE_BYTES as u64);
        backend.write(at, &[page as u8]).unwrap();
        plain[at as usize] = page as u8;
    }
    let header_end = HEADER_PAGE_BYTES as u64;
    for round in 0..2_000 {
        if round % 97 == 0 {
            backend.sync_data().unwrap();
        }
        let most = if dice.below(4) == 0 { 100 * PAGE_BYTES } else { 2 * PAGE_BYTES };
        let start = match dice.below(5) {
            0 => dice.below(header_end),
            _ => PAGE_BYTES as u64 + dice.below((bytes - PAGE_BYTES) as u64),
        };
        let end = if start < header_end { header_end } else { bytes as u64 };
        let length = dice.below((most as u64).min(end - start) + 1) as usize;
        let range = start as usize..start as usize + length;
        if dice.below(2) == 0 {
            let fill: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
            backend.write(start, &fill).unwrap();
            plain[range].copy_from_slice(&fill);
        } else {
            let mut out = vec![0xee; length];
            backend.read(start, &mut out).unwrap();
            assert!(out == plain[range], "{start} {length}");
        }
    }
    let mut all = vec![0; bytes];
    backend.read(0, &mut all).unwrap();
    assert!(all == plain);
    assert_eq!(backend.len().unwrap(), bytes as u64);
}

#[test]
fn requests_that_no_page_can_hold_are_refused() {
    let disk = SimDisk::default();
    let backend = Backend(Arc::new(bare(&disk, 3)));
    let fault = |result: std::io::Result<()>| StoreFault::from(&result.unwrap_err());
    let page = PAGE_BYTES as u64;
    assert_eq!(fault(backend.read(page, &mut [0; 1])), StoreFault::Hole { page: 1 });
    assert_eq!(fault(backend.read(3 * page, &mut [0; PAGE_BYTES])), StoreFault::Truncated);
    assert_eq!(fault(backend.read(u64::MAX, &mut [0; 2])), StoreFault::Misuse);
    assert_eq!(fault(backend.read(u64::MAX - 2 * page, &mut [0; 2])), StoreFault::Misuse);
    assert_eq!(fault(backend.write(4032, &[1])), StoreFault::Misuse);
    assert_eq!(fault(backend.set_len(page + 1)), StoreFault::Misuse);
    assert_eq!(fault(backend.set_len(u64::MAX - page + 1)), StoreFault::Misuse);
    backend.write(4032, &[0; 64]).unwrap();
    backend.read(page, &mut []).unwrap();
    assert_eq!(backend.0.last_fault(), Some(StoreFault::Misuse));
}

#[test]
fn the_durable_copy_of_the_header_page_is_never_overwritten() {
    let disk = SimDisk::default();
    let backend = Backend(Arc::new(bare(&disk, 2)));
    let copy = |slot: usize| disk.bytes()[HEADER_OFFSETS[slot] as usize..][..SLOT_BYTES].to_vec();
    backend.write(0, b"one").unwrap();
    backend.sync_data().unwrap();
    let mut durable = 0;
    for round in 0..5_u8 {
        let before = copy(durable);
        for again in 0..3 {
            let other = copy(1 - durable);
            backend.write(0, &[round, again]).unwrap();
            assert_eq!(copy(durable), before);
            assert_ne!(copy(1 - durable), other);
        }
        backend.sync_data().unwrap();
        durable = 1 - durable;
    }
    let mut out = [0; 3];
    backend.read(0, &mut out).unwrap();
    assert_eq!(out, [4, 2, b'e']);
}

#[test]
fn a_forked_child_is_refused() {
    let disk = SimDisk::default();
    let mut file = bare(&disk, 3);
    file.process = Process::another();
    let backend = Backend(Arc::new(file));
    let before = disk.bytes();
    let ops = disk.diary_len();
    let forked = |error: std::io::Error| assert_eq!(StoreFault::from(&error), StoreFault::Forked);
    forked(backend.write(0, &[0; 9]).unwrap_err());
    // What it seals stays in its memory.
    for _ in 0..3 {
        backend.write(PAGE_BYTES as u64, &[7; PAGE_BYTES]).unwrap();
    }
    forked(backend.set_len(0).unwrap_err());
    forked(backend.sync_data().unwrap_err());
    forked(backend.close().unwrap_err());
    // Nor does it write when its memory is full.
    let many = vec![7; 300 * PAGE_BYTES];
    forked(backend.write(PAGE_BYTES as u64, &many).unwrap_err());
    assert_eq!((disk.diary_len(), disk.bytes()), (ops, before));
}

#[test]
fn a_full_disk_is_an_error_that_loses_nothing() {
    let whole = SimDisk::default();
    let (_, outcome) = run(&whole, 60, SEED);
    outcome.unwrap();
    let writes = whole.diary_len() as u64;
    let mut dice = Dice(SEED);
    for _ in 0..60 {
        let disk = SimDisk::default();
        disk.limit_writes(Some(dice.below(writes)));
        let (history, outcome) = run(&disk, 60, SEED);
        assert!(matches!(outcome, Err(StoreError::DiskFull) | Ok(())), "{outcome:?}");
        // Still full: it opens or says so, and nothing changes.
        match open(&disk, 1) {
            Ok((database, _)) => drop(read_all(&database).unwrap()),
            Err(error) => assert_eq!(error, StoreError::DiskFull),
        }
        disk.limit_writes(None);
        let (database, _) = open(&disk, 2).unwrap();
        let rows = read_all(&database).unwrap();
        let last = last_transaction(&rows);
        assert!(history.allowed(usize::MAX).contains(&last));
        assert_eq!(rows, history.states[last]);
        database.close().unwrap();
        assert_eq!(open(&disk, 3).unwrap().1.stop(), Stop::Clean);
    }
}

#[test]
fn a_key_change_holds_for_both_copies_and_survives_a_stop_at_any_point() {
    let disk = SimDisk::default();
    let (history, outcome) = run(&disk, 8, SEED);
    outcome.unwrap();
    let new = || Kek::new(&[0x66; 32]);
    let opens = |disk: &SimDisk, kek: &Kek| {
        open_database(Box::new(disk.opener()), kek, entropy(), &options(Missing::Refuse, Walk::Now))
    };
    let start = disk.bytes();
    let disk = disk.copy();
    let (database, handle) = opens(&disk, &kek()).unwrap();
    let before = disk.diary_len();
    handle.rewrap(&new()).unwrap();
    let after = disk.diary_len();
    assert!(after - before <= 5, "more than two superblocks were written");
    let rows = history.states.last().unwrap();
    assert_eq!(&read_all(&database).unwrap(), rows);
    database.close().unwrap();
    assert_eq!(opens(&disk, &kek()).unwrap_err(), StoreError::WrongKey);
    assert_eq!(opens(&disk, &new()).unwrap().1.stop(), Stop::Clean);

    let diary = disk.diary();
    let mut dice = Dice(SEED);
    for ops in before..=after {
        for loss in [Loss::Everything, Loss::Nothing, Loss::Sectors, Loss::Sectors] {
            let (durable, pending) = split_at_last_sync(&start, &diary[..ops]);
            let image = after_power_loss(&durable, &diary[pending..ops], loss, &mut dice);
            let disk = SimDisk::holding(image);
            let opened = opens(&disk, &new()).or_else(|_| opens(&disk, &kek())).unwrap();
            assert_eq!(&read_all(&opened.0).unwrap(), rows);
        }
    }
}

#[test]
fn a_restored_superblock_copy_carries_on_alone() {
    let (disk, history) = {
        let disk = SimDisk::default();
        let (history, outcome) = run(&disk, 8, SEED);
        outcome.unwrap();
        (disk, history)
    };
    for slot in [0, 4096] {
        let disk = disk.copy();
        disk.alter(|bytes| bytes[slot..slot + SLOT_BYTES].fill(0xff));
        open(&disk, 1).unwrap().0.close().unwrap();
        disk.alter(|bytes| bytes[4096 - slot..8192 - slot].fill(0xff));
        let (database, _) = open(&disk, 2).unwrap();
        assert_eq!(&read_all(&database).unwrap(), history.states.last().unwrap());
    }
}

#[test]
fn a_missing_store_is_created_only_when_asked() {
    for bytes in [0, 512, 16_384] {
        let disk = SimDisk::holding(vec![0; bytes]);
        let refused = open_with(&disk, 1, &options(Missing::Refuse, Walk::Now));
        assert_eq!(refused.unwrap_err(), StoreError::Missing);
        assert_eq!(disk.diary_len(), 0);
        assert_eq!(open(&disk, 1).unwrap().1.stop(), Stop::Created);
    }
}

#[test]
fn compaction_cuts_the_file_off_and_the_report_follows() {
    let disk = SimDisk::default();
    let (mut database, handle) = open(&disk, SEED).unwrap();
    for keys in [0..200, 200..400] {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ROWS).unwrap();
            for key in keys {
                table.insert(key, &[7; 20_000][..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    let full = handle.space(&database).unwrap();
    assert!(full.live_bytes > 8_000_000 && full.file_bytes == full.live_bytes + full.dead_bytes);
    assert_eq!(full.file_bytes, disk.bytes().len() as u64);
    let transaction = database.begin_write().unwrap();
    transaction.open_table(ROWS).unwrap().retain(|key, _| key % 10 == 0).unwrap();
    transaction.commit().unwrap();
    let reader = database.begin_read().unwrap();
    assert_eq!(handle.compact(&mut database), Err(StoreError::Busy));
    assert_eq!(handle.verify(&mut database), Err(StoreError::Busy));
    drop(reader);
    assert_eq!(handle.compact(&mut database), Ok(Compacted::Smaller));
    let small = handle.space(&database).unwrap();
    assert!(small.live_bytes < full.live_bytes / 5, "{small:?}");
    assert!(small.file_bytes < full.file_bytes / 2, "{small:?}");
    assert_eq!(handle.verify(&mut database), Ok(Verified::Whole));
    database.close().unwrap();
    assert_eq!(read_all(&open(&disk, 1).unwrap().0).unwrap().len(), 40);
}
