//! The sealed file against plain redb: the same database, rows, cache and commits, once through the seal.
//!
//! Both stores work in turns within a round, a slice each, so that what else the machine does hits both.

mod harness;

use std::path::Path;

use anyhow::Context as _;
use harness::data::{self, KEY_BYTES, RECORD_BYTES, Random};
use harness::{Args, Cost, Goal, Report, measured, scratch};
use redb::{Database, ReadableDatabase as _, TableDefinition};

const ROWS: TableDefinition<&[u8; KEY_BYTES], &[u8]> = TableDefinition::new("rows");
/// Turns that each store takes in a round.
const SLICES: usize = 8;
const CACHE_BYTES: usize = 64 << 20;
/// So little that hardly a read is served from it.
const CACHE_BYTES_COLD: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Sealed,
}

impl Kind {
    /// Both, the one that went second last time first.
    fn in_turn(round: usize) -> [Self; 2] {
        if round.is_multiple_of(2) { [Self::Plain, Self::Sealed] } else { [Self::Sealed, Self::Plain] }
    }

    fn open(self, path: &Path, cache_bytes: usize) -> anyhow::Result<Database> {
        Ok(match self {
            Self::Plain => Database::builder().set_cache_size(cache_bytes).create(path)?,
            Self::Sealed => subrosa::bench_support::sealed_database(path, cache_bytes)?,
        })
    }
}

/// Keys in order, as time-ordered ids are, or scattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Sorted,
    Scattered,
}

impl Order {
    fn key(self, number: u64) -> [u8; KEY_BYTES] {
        let mut key = data::key(number);
        if self == Self::Scattered {
            key.copy_within(16.., 0);
        }
        key
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("store: the sealed file against plain redb", &args);
    for round in 0..args.rounds(7) {
        report.progress(format_args!("round {round}"));
        for (batch, rows, quick_rows) in [(1, 800, 40), (100, 40_000, 800), (10_000, 240_000, 20_000)] {
            for order in [Order::Sorted, Order::Scattered] {
                if args.wants(&format!("insert {batch}")) {
                    insert(&mut report, round, batch, args.size(rows, quick_rows), order)?;
                }
            }
        }
        if args.wants("read") {
            read(&mut report, round, args.size(100_000, 5_000), args.size(100_000, 2_000))?;
        }
    }
    report.print()
}

fn insert(report: &mut Report, round: usize, batch: usize, rows: usize, order: Order) -> anyhow::Result<()> {
    let dir = scratch()?;
    let kinds = Kind::in_turn(round);
    let open = |kind: Kind| kind.open(&dir.path().join(format!("{kind:?}")), CACHE_BYTES);
    let stores = [open(kinds[0])?, open(kinds[1])?];
    let slice_rows = (rows / SLICES).max(batch);
    let mut costs = [Cost::default(); 2];
    for slice in 0..rows / slice_rows {
        let from = (slice * slice_rows) as u64;
        let rows = rows_of(from, slice_rows, order);
        for (store, cost) in stores.iter().zip(&mut costs) {
            *cost += measured(|| insert_slice(store, &rows, batch))?.1;
        }
    }
    let name = |what: &str| {
        let keys = if order == Order::Sorted { "" } else { ", scattered keys" };
        format!("insert, batches of {batch}{keys}: {what}")
    };
    let rows = rows / slice_rows * slice_rows;
    let cost = |kind: Kind| costs[usize::from(kinds[1] == kind)];
    let (plain, sealed) = (cost(Kind::Plain), cost(Kind::Sealed));
    report.add(&name("plain redb"), "rows/s", plain.rate(rows));
    report.add(&name("sealed"), "rows/s", sealed.rate(rows));
    report.add_for(&name("sealed / plain, rate"), "x", ratio(&plain, &sealed), Goal::AtLeast(0.7));
    let cpu = plain.cpu.as_secs_f64() / sealed.cpu.as_secs_f64();
    report.add(&name("sealed / plain, rows per CPU"), "x", cpu);
    Ok(())
}

fn ratio(plain: &Cost, sealed: &Cost) -> f64 {
    plain.wall.as_secs_f64() / sealed.wall.as_secs_f64()
}

type Row = ([u8; KEY_BYTES], [u8; RECORD_BYTES]);

fn rows_of(from: u64, rows: usize, order: Order) -> Vec<Row> {
    (from..from + rows as u64).map(|number| (order.key(number), data::row(number))).collect()
}

fn insert_slice(store: &Database, rows: &[Row], batch: usize) -> anyhow::Result<()> {
    for rows in rows.chunks(batch) {
        let mut txn = store.begin_write()?;
        txn.set_quick_repair(true); // as the engine commits
        {
            let mut table = txn.open_table(ROWS)?;
            for (key, row) in rows {
                table.insert(key, &row[..])?;
            }
        }
        txn.commit()?;
    }
    Ok(())
}

/// Point reads of one database of each kind, with three kinds of cache.
fn read(report: &mut Report, round: usize, rows: usize, reads: usize) -> anyhow::Result<()> {
    let dir = scratch()?;
    let kinds = Kind::in_turn(round);
    let path = |kind: Kind| dir.path().join(format!("{kind:?}"));
    for kind in kinds {
        insert_slice(&kind.open(&path(kind), CACHE_BYTES)?, &rows_of(0, rows, Order::Sorted), 10_000)?;
    }
    let cold_reads = (reads / 20).max(SLICES);
    let variants = [
        ("cached in redb", CACHE_BYTES, reads, false, Some(0.95)),
        ("cold in redb, cached by the kernel", CACHE_BYTES_COLD, reads, false, None),
        ("cold, from the disk", CACHE_BYTES_COLD, cold_reads, true, None),
    ];
    for (name, cache_bytes, reads, from_disk, goal) in variants {
        let stores =
            [kinds[0].open(&path(kinds[0]), cache_bytes)?, kinds[1].open(&path(kinds[1]), cache_bytes)?];
        if !from_disk {
            for store in &stores {
                read_slice(store, &(0..rows as u64).map(data::key).collect::<Vec<_>>())?;
            }
        }
        let mut costs = [Cost::default(); 2];
        let mut random = Random::new(round as u64);
        for _ in 0..SLICES {
            let keys: Vec<_> = (0..reads / SLICES).map(|_| data::key(random.below(rows as u64))).collect();
            for ((store, cost), kind) in stores.iter().zip(&mut costs).zip(kinds) {
                if from_disk {
                    forget(&path(kind))?;
                }
                *cost += measured(|| read_slice(store, &keys))?.1;
            }
        }
        let reads = reads / SLICES * SLICES;
        let cost = |kind: Kind| costs[usize::from(kinds[1] == kind)];
        let (plain, sealed) = (cost(Kind::Plain), cost(Kind::Sealed));
        report.add(&format!("read, {name}: plain redb"), "reads/s", plain.rate(reads));
        report.add(&format!("read, {name}: sealed"), "reads/s", sealed.rate(reads));
        let (name, ratio) = (format!("read, {name}: sealed / plain, rate"), ratio(&plain, &sealed));
        match goal {
            Some(goal) => report.add_for(&name, "x", ratio, Goal::AtLeast(goal)),
            None => report.add(&name, "x", ratio),
        }
    }
    Ok(())
}

fn read_slice(store: &Database, keys: &[[u8; KEY_BYTES]]) -> anyhow::Result<()> {
    let table = store.begin_read()?.open_table(ROWS)?;
    for key in keys {
        let row = table.get(key)?.context("a row is missing")?;
        anyhow::ensure!(row.value().len() == RECORD_BYTES, "a row of another length");
    }
    Ok(())
}

/// Has the kernel drop a file's pages, so that the next reads come from the disk.
fn forget(path: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::open(path)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}
