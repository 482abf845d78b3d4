//! The sealed file beside plain redb, in one run:
//! `cargo test --release -p subrosa-store sealed::tests::speed -- --ignored --nocapture`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use subrosa_model::entropy::OsEntropy;

use super::sim::Dice;
use super::workload::kek;
use crate::process::Process;
use crate::sealed::*;

const ROWS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("rows");
const VALUE_BYTES: usize = 256;
const CACHE_BYTES: usize = 256 << 20;

fn plain(path: &Path) -> Database {
    Database::builder().set_cache_size(CACHE_BYTES).create(path).unwrap()
}

fn sealed(path: &Path) -> Database {
    let disk = FileDisk::open(path, Missing::Create).unwrap();
    let options = OpenOptions {
        cache_bytes: CACHE_BYTES,
        missing: Missing::Create,
        walk: Walk::Now,
        process: Process::plain(),
    };
    open_database(Box::new(disk), &kek(), Arc::new(OsEntropy), &options).unwrap().0
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn key(index: u64) -> [u8; 16] {
    let mut dice = Dice(index);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&dice.next().to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

fn insert(database: &Database, rows: std::ops::Range<u64>, batch: usize) {
    let rows: Vec<u64> = rows.collect();
    for batch in rows.chunks(batch) {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ROWS).unwrap();
            for row in batch {
                table.insert(&key(*row), &[*row as u8; VALUE_BYTES][..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

fn read(database: &Database, rows: u64, reads: u64) {
    let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
    let mut dice = Dice(1);
    for _ in 0..reads {
        let row = dice.below(rows);
        assert_eq!(table.get(&key(row)).unwrap().unwrap().value()[0], row as u8);
    }
    assert_eq!(table.len().unwrap(), rows);
}

#[test]
#[ignore = "a measurement: run it alone, in the release profile"]
fn beside_plain_redb() {
    const ROWS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let open = [("plain", plain as fn(&Path) -> Database), ("sealed", sealed)];
    for (what, batch, rows) in [("1", 1, 2_000), ("100", 100, 20_000), ("10,000", 10_000, ROWS)] {
        let mut best = [Duration::MAX; 2];
        for _ in 0..5 {
            for (index, (name, open)) in open.iter().enumerate() {
                let path = folder.path().join(name);
                let database = open(&path);
                best[index] = best[index].min(timed(|| insert(&database, 0..rows, batch)));
                drop(database);
                std::fs::remove_file(path).unwrap();
            }
        }
        report(&format!("insert in batches of {what}"), rows, best);
    }
    let mut sizes = [0; 2];
    for (index, (name, open)) in open.iter().enumerate() {
        let path = folder.path().join(name);
        let database = open(&path);
        insert(&database, 0..ROWS, 10_000);
        drop(database);
        sizes[index] = std::fs::metadata(path).unwrap().len();
    }
    println!("file: {} and {} bytes", sizes[0], sizes[1]);
    let (mut cached, mut cold) = ([Duration::MAX; 2], [Duration::MAX; 2]);
    for _ in 0..5 {
        for (index, (name, open)) in open.iter().enumerate() {
            let database = open(&folder.path().join(name));
            cold[index] = cold[index].min(timed(|| read(&database, ROWS, 2_000)));
            read(&database, ROWS, ROWS);
            cached[index] = cached[index].min(timed(|| read(&database, ROWS, ROWS)));
        }
    }
    report("read, cold in redb's cache", 2_000, cold);
    let ratio = report("read, cached", ROWS, cached);
    assert!(ratio > 0.9, "the seal shows in cached reads");
}

fn report(what: &str, rows: u64, [plain, sealed]: [Duration; 2]) -> f64 {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / rows as f64;
    let ratio = plain.as_secs_f64() / sealed.as_secs_f64();
    println!("{what}: plain {:.2} us, sealed {:.2} us each, {ratio:.2}x", each(plain), each(sealed));
    ratio
}
