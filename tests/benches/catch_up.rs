//! A fresh device catches up with a vault from a relay, beside what that cannot be faster than: the same bytes
//! through plain quinn, and the same rows into plain redb.
//!
//! The relay and the quinn server are processes of their own; all devices live in this one, one after the other.

mod harness;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use harness::child::{self, Child};
use harness::data::{self, KEY_BYTES, Note, RECORD_BYTES};
use harness::relay::RelayProcess;
use harness::{Args, Cost, Goal, Report, devices, measured, quic, scratch};
use redb::{Database, TableDefinition};
use subrosa::Device;

const ROWS: TableDefinition<&[u8; KEY_BYTES], &[u8]> = TableDefinition::new("rows");
/// Rows in one commit of plain redb: about what a device takes in at once.
const COMMIT_ROWS: usize = 32_768;
/// The part of the process that sends bytes.
const SENDER: &str = "sender";

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some((SENDER, words)) = child::part(&args) {
        return send_bytes(words.first().context("how many bytes")?.parse()?);
    }
    let mut report = Report::new("catch_up: a fresh device takes in a vault from a relay", &args);
    let records = args.size(200_000, 5_000);
    let dir = scratch()?;
    let relay = RelayProcess::start()?;
    let old = devices::create(&dir.path().join("old"))?;
    let vault = old.create_vault(devices::VAULT)?;
    report.progress(format_args!("writing and pushing {records} records"));
    let notes: Vec<Note> = (0..records as u64).map(Note::new).collect();
    let (_, written) = measured(|| devices::write(&vault, &notes))?;
    report.add("before: written on the old device", "records/s", written.rate(records));
    let (sync, pushed) = measured(|| devices::sync(&old, relay.addr()))?;
    sync.stop();
    report.add("before: sealed and pushed by it", "records/s", pushed.rate(records));
    for round in 0..args.rounds(5) {
        report.progress(format_args!("round {round}"));
        let new_dir = dir.path().join(format!("new {round}"));
        let fresh = devices::pair(&old, relay.addr(), &new_dir)?;
        let mut ours = Cost::default();
        let mut relay_cpu = std::time::Duration::ZERO;
        let mut network = Cost::default();
        // Each of the three goes first in its turn.
        for step in 0..3 {
            match (round + step) % 3 {
                0 => {
                    let cpu = relay.cpu()?;
                    ours = catch_up(&fresh, &relay, records)?;
                    relay_cpu = relay.cpu()?.saturating_sub(cpu);
                }
                1 => network = transfer(records * (KEY_BYTES + RECORD_BYTES))?,
                _ => {
                    let rows = insert_rows(&dir.path().join("plain.redb"), records)?;
                    report.add("plain redb, the same rows", "records/s", rows.rate(records));
                    report.add("plain redb, CPU of a record", "us", rows.cpu_us(records));
                }
            }
        }
        report.add("plain quinn, the same bytes", "records/s", network.rate(records));
        report.add("plain quinn, CPU of a record, receiver", "us", network.cpu_us(records));
        report.add_for("caught up: time", "s", ours.wall.as_secs_f64(), Goal::AtMost(4.0));
        report.add("caught up: rate", "records/s", ours.rate(records));
        report.add("caught up: CPU of a record, device", "us", ours.cpu_us(records));
        report.add("caught up: CPU of a record, relay", "us", relay_cpu.as_secs_f64() * 1e6 / records as f64);
        let redb = report.last("plain redb, the same rows");
        let limit = redb.min(network.rate(records));
        let share = ours.rate(records) / limit;
        report.add_for("caught up / the slower of the two", "x", share, Goal::AtLeast(0.6));
        drop(fresh);
        std::fs::remove_dir_all(new_dir)?;
    }
    report.print()
}

/// From dialling to everything durable and readable.
fn catch_up(fresh: &Device, relay: &RelayProcess, records: usize) -> anyhow::Result<Cost> {
    let notes = devices::notes(&fresh.vault(devices::VAULT)?);
    let (sync, cost) = measured(|| {
        let sync = devices::sync(fresh, relay.addr())?;
        ensure!(notes.page(None, 1)?.len() == 1, "nothing to read");
        Ok(sync)
    })?;
    sync.stop();
    ensure!(notes.len()? == records as u64, "records are missing");
    Ok(cost)
}

/// The same rows into a new database, in the order of their keys.
fn insert_rows(path: &Path, rows: usize) -> anyhow::Result<Cost> {
    let rows: Vec<_> = (0..rows as u64).map(|number| (data::key(number), data::row(number))).collect();
    let cache_bytes = devices::options().cache_bytes;
    let store = Database::builder().set_cache_size(cache_bytes).create(path)?;
    let (_, cost) = measured(|| {
        for rows in rows.chunks(COMMIT_ROWS) {
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
    })?;
    drop(store);
    std::fs::remove_file(path)?;
    Ok(cost)
}

/// Bytes from another process through one stream, from dialling to the last one.
fn transfer(bytes: usize) -> anyhow::Result<Cost> {
    let mut sender = Child::start(SENDER, &[&bytes.to_string()])?;
    let from: SocketAddr = sender.heard()?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_, cost) = measured(|| {
        runtime.block_on(async {
            let connection = quic::client(None)?.connect(from, quic::NAME)?.await?;
            let mut stream = connection.accept_uni().await?;
            let mut left = bytes;
            while let Some(chunk) = stream.read_chunk(1 << 20, true).await? {
                left -= chunk.bytes.len();
            }
            ensure!(left == 0, "the transfer was cut short");
            Ok(())
        })
    })?;
    Ok(cost)
}

/// The other side of [`transfer`].
fn send_bytes(bytes: usize) -> anyhow::Result<()> {
    let segment = Bytes::from((0..64_u64 << 10).map(|byte| byte.wrapping_mul(151) as u8).collect::<Vec<_>>());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let endpoint = quic::server()?;
        child::say(endpoint.local_addr()?)?;
        let connection = endpoint.accept().await.context("the endpoint is open")?.await?;
        let mut stream = connection.open_uni().await?;
        let mut left = bytes;
        while left > 0 {
            let part = segment.slice(..segment.len().min(left));
            left -= part.len();
            stream.write_chunk(part).await?;
        }
        stream.finish()?;
        connection.closed().await;
        Ok(())
    })
}
