//! The public API against plain redb with rows of the same size: what records, merging and the log cost on top.

mod harness;

use anyhow::{Context as _, ensure};
use harness::data::{self, KEY_BYTES, Note, Random};
use harness::{Args, Report, devices, measured, scratch};
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use subrosa::RecordId;

const ROWS: TableDefinition<&[u8; KEY_BYTES], &[u8]> = TableDefinition::new("rows");

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("local: records against rows of plain redb", &args);
    for round in 0..args.rounds(5) {
        report.progress(format_args!("round {round}"));
        let dir = scratch()?;
        let device = devices::create(&dir.path().join("device"))?;
        let vault = device.create_vault(devices::VAULT)?;
        let cache_bytes = devices::options().cache_bytes;
        let plain = Database::builder().set_cache_size(cache_bytes).create(dir.path().join("plain"))?;
        let (single, bulk) = (args.size(500, 20), args.size(100_000, 2_000));
        let records: Vec<Note> = (0..(single + bulk) as u64).map(Note::new).collect();
        let (singles, bulks) = records.split_at(single);

        let notes = devices::notes(&vault);
        let (_, ours) =
            measured(|| singles.iter().try_for_each(|record| Ok(notes.insert(record).map(drop)?)))?;
        let (_, theirs) = measured(|| insert(&plain, 0..single as u64, 1))?;
        let mut compare = |what: &str, count: usize, ours: harness::Cost, theirs: harness::Cost| {
            report.add(&format!("{what}: records"), "/s", ours.rate(count));
            report.add(&format!("{what}: records, CPU of one"), "us", ours.cpu_us(count));
            report.add(&format!("{what}: plain redb"), "/s", theirs.rate(count));
            report.add(&format!("{what}: plain redb, CPU of one"), "us", theirs.cpu_us(count));
        };
        compare("insert one by one", single, ours, theirs);

        let (_, ours) = measured(|| devices::write(&vault, bulks))?;
        let rows = single as u64..(single + bulk) as u64;
        let (_, theirs) = measured(|| insert(&plain, rows.clone(), devices::WRITE_RECORDS))?;
        compare("insert 10,000 at once", bulk, ours, theirs);

        let mut ids: Vec<RecordId> = Vec::new();
        let (_, ours) = measured(|| {
            for entry in notes.scan() {
                ids.push(entry?.0);
            }
            Ok(())
        })?;
        ensure!(ids.len() == single + bulk, "records are missing");
        let (_, theirs) = measured(|| scan(&plain, single + bulk))?;
        compare("scan", single + bulk, ours, theirs);

        // Within what the cache holds.
        let (gets, among) = (args.size(50_000, 500), args.size(20_000, 500).min(ids.len() as u64));
        let mut random = Random::new(round as u64);
        let chosen: Vec<u64> = (0..gets).map(|_| random.below(among)).collect();
        let (_, ours) = measured(|| {
            for number in &chosen {
                notes.get(ids[*number as usize])?.context("a record is missing")?;
            }
            Ok(())
        })?;
        let (_, theirs) = measured(|| get(&plain, &chosen))?;
        compare("get", gets, ours, theirs);
    }
    report.print()
}

fn insert(plain: &Database, rows: std::ops::Range<u64>, batch: usize) -> anyhow::Result<()> {
    let rows: Vec<u64> = rows.collect();
    for rows in rows.chunks(batch) {
        let mut txn = plain.begin_write()?;
        txn.set_quick_repair(true);
        {
            let mut table = txn.open_table(ROWS)?;
            for row in rows {
                table.insert(&data::key(*row), &data::row(*row)[..])?;
            }
        }
        txn.commit()?;
    }
    Ok(())
}

fn scan(plain: &Database, rows: usize) -> anyhow::Result<()> {
    let mut seen = 0;
    for row in plain.begin_read()?.open_table(ROWS)?.iter()? {
        seen += usize::from(!row?.1.value().is_empty());
    }
    ensure!(seen == rows, "rows are missing");
    Ok(())
}

/// Each in a transaction of its own, as [`subrosa::Collection::get`] does.
fn get(plain: &Database, rows: &[u64]) -> anyhow::Result<()> {
    for row in rows {
        let table = plain.begin_read()?.open_table(ROWS)?;
        ensure!(table.get(&data::key(*row))?.is_some(), "a row is missing");
    }
    Ok(())
}
