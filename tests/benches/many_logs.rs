//! What an edit costs a device in a vault with many certified logs, on its way in and on its way out, and what opening
//! its store does.
//!
//! The device that is measured lives in this process; the one that writes to it and the relay are processes of their
//! own. Every vault is made once; control logs hold their certificate, and data logs but the last ones are empty.

mod harness;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use harness::child::{self, Child};
use harness::data::Note;
use harness::relay::RelayProcess;
use harness::{Args, Report, devices, measured, scratch};
use subrosa::bench_support::{certified_logs, open_new_logs};
use subrosa::{Device, RecordId, RelayAddr, Sync};
use tempfile::TempDir;

/// The part of the process that writes to the device measured.
const WRITER: &str = "writer";
/// What it writes, and what the device measured does.
const THEIRS: &str = "theirs";
const OURS: &str = "ours";
/// Pairs of logs that one device opens at most, of the 1,024 that it may have.
const PAIRS_MAX: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some((WRITER, words)) = child::part(&args) {
        return write(words);
    }
    let mut report = Report::new("many_logs: edits and opening where a vault has many logs", &args);
    let sizes = args.size([4, 602, 5_000], [4, 8, 14]);
    let edits = args.size(100, 2);
    let mut worlds = Vec::new();
    for logs in sizes {
        report.progress(format_args!("making a vault with {logs} logs"));
        worlds.push(World::new(logs)?);
    }
    for round in 0..args.rounds(7) {
        report.progress(format_args!("round {round}"));
        // Each of them goes first in its turn.
        for step in 0..worlds.len() {
            let world = &mut worlds[(round + step) % sizes.len()];
            world.measure(&mut report, edits)?;
        }
    }
    report.print()
}

/// A vault with so many certified logs, on a relay and two devices that sync it.
struct World {
    logs: usize,
    edits: u64,
    path: PathBuf,
    open: Option<(Device, Sync)>,
    writer: Child,
    relay: RelayProcess,
    _dir: TempDir,
}

impl World {
    fn new(logs: usize) -> anyhow::Result<Self> {
        let (dir, relay) = (scratch()?, RelayProcess::start()?);
        let path = |number: usize| dir.path().join(number.to_string());
        let device = devices::create(&path(0))?;
        device.create_vault(devices::VAULT)?;
        devices::sync(&device, relay.addr())?.stop();
        // Two at least, each of which has a pair to begin with.
        let count = logs.div_ceil(2 * PAIRS_MAX).max(2);
        let mut others = Vec::new();
        for number in 1..count {
            others.push(devices::pair(&device, relay.addr(), &path(number))?);
        }
        let more = logs / 2 - count;
        for (number, device) in std::iter::once(&device).chain(&others).enumerate() {
            let pairs = more / count + usize::from(number < more % count);
            open_new_logs(device, &device.vault(devices::VAULT)?, u32::try_from(pairs)?)?;
            devices::sync(device, relay.addr())?.stop();
        }
        for device in std::iter::once(&device).chain(&others) {
            devices::sync(device, relay.addr())?.stop();
            let known = certified_logs(device, &device.vault(devices::VAULT)?)?;
            ensure!(known == logs, "{known} logs, and not {logs}");
        }
        others.iter().try_for_each(Device::close)?;
        drop(others);
        let (of_writer, addr) = (path(1).to_string_lossy().into_owned(), relay.addr().to_string());
        let mut writer = Child::start(WRITER, &[&of_writer, &addr])?;
        writer.heard().context("ready")?;
        let sync = devices::sync(&device, relay.addr())?;
        let (path, open) = (path(0), Some((device, sync)));
        Ok(Self { logs, edits: 0, path, open, writer, relay, _dir: dir })
    }

    fn measure(&mut self, report: &mut Report, edits: usize) -> anyhow::Result<()> {
        let logs = self.logs;
        let relay_cpu = self.relay.cpu()?;
        let (_, received) = measured(|| self.receive(edits))?;
        let (_, sent) = measured(|| self.send(edits))?;
        let relay_cpu = self.relay.cpu()?.saturating_sub(relay_cpu).as_secs_f64() * 1e6 / (2 * edits) as f64;
        report.add(&format!("{logs} logs: an edit at the relay, CPU"), "us", relay_cpu);
        let mut add = |what: &str, count: usize, cost: harness::Cost| {
            let ms = cost.wall.as_secs_f64() * 1e3 / count as f64;
            report.add(&format!("{logs} logs: {what}, CPU"), "us", cost.cpu_us(count));
            report.add(&format!("{logs} logs: {what}, time"), "ms", ms);
        };
        add("an edit received", edits, received);
        add("an edit written, sealed and pushed", edits, sent);
        if let Some((device, sync)) = self.open.take() {
            sync.stop();
            device.close()?;
        }
        let (device, cost) = measured(|| devices::open(&self.path))?;
        add("opening the store", 1, cost);
        let (sync, cost) = measured(|| devices::sync(&device, self.relay.addr()))?;
        add("syncing anew", 1, cost);
        self.open = Some((device, sync));
        Ok(())
    }

    /// Edits that come one after the other, each when the one before can be read here.
    fn receive(&mut self, edits: usize) -> anyhow::Result<()> {
        let (device, sync) = self.open.as_ref().context("the device is open")?;
        let notes = devices::notes(&device.vault(devices::VAULT)?);
        let mut changes = notes.watch();
        for _ in 0..edits {
            self.writer.go()?;
            let expected = Note::new(self.edits);
            self.edits += 1;
            while notes.get(RecordId::from_name(THEIRS))?.as_ref() != Some(&expected) {
                changes.next(devices::PATIENCE).context("an edit does not come")?;
            }
        }
        Ok(sync.wait_caught_up(devices::PATIENCE)?)
    }

    /// Edits of our own, one after the other, each when the relay has the one before.
    fn send(&self, edits: usize) -> anyhow::Result<()> {
        let (device, sync) = self.open.as_ref().context("the device is open")?;
        let notes = devices::notes(&device.vault(devices::VAULT)?);
        for edit in 0..edits {
            notes.put(RecordId::from_name(OURS), &Note::new(self.edits + edit as u64))?;
            sync.wait_caught_up(devices::PATIENCE)?;
        }
        Ok(())
    }
}

/// Writes an edit whenever it is told to.
fn write(words: &[String]) -> anyhow::Result<()> {
    let [dir, relay] = words else { anyhow::bail!("where, and to which relay") };
    let device = devices::open(Path::new(dir))?;
    let sync = devices::sync(&device, &RelayAddr::parse(relay)?)?;
    let notes = devices::notes(&device.vault(devices::VAULT)?);
    child::say("ready")?;
    for number in 0.. {
        if child::wait_for_go().is_err() {
            break;
        }
        notes.put(RecordId::from_name(THEIRS), &Note::new(number))?;
    }
    sync.stop();
    Ok(())
}
