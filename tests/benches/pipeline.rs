//! Records on their way from one device through a relay to another, all three at once, each a process; beside a bare
//! pipeline of three processes that seals, stores, sends, stores, sends, opens and stores the same rows, with no
//! merging, no signatures, no log and no vault.

mod harness;

#[path = "pipeline/bare.rs"]
mod bare;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use harness::child::{self, Child};
use harness::data::Note;
use harness::relay::RelayProcess;
use harness::{Args, Goal, Report, devices, machine, now, scratch};
use subrosa::{RecordId, RelayAddr};

const WRITER: &str = "writer";
const READER: &str = "reader";
/// Written last: whoever sees it sees everything.
const LAST: &str = "the last one";
/// How often the reader looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(2);

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some((part, words)) = child::part(&args) {
        return play(part, words);
    }
    let mut report = Report::new("pipeline: from device through relay to device", &args);
    let records = args.size(100_000, 5_000);
    for round in 0..args.rounds(5) {
        report.progress(format_args!("round {round}"));
        let (ours, bare);
        if round % 2 == 0 {
            ours = run(records)?;
            bare = bare::run(records)?;
        } else {
            bare = bare::run(records)?;
            ours = run(records)?;
        }
        for (name, run) in [("devices", &ours), ("bare", &bare)] {
            report.add(&format!("{name}: rate"), "records/s", records as f64 / run.wall.as_secs_f64());
            for (who, cpu) in [("writer", run.writer), ("relay", run.relay), ("reader", run.reader)] {
                report.add(&format!("{name}: CPU of a record, {who}"), "us", each(cpu, records));
            }
            report.add(&format!("{name}: CPU of a record, all three"), "us", each(run.cpu(), records));
        }
        for (who, bytes) in [("writer", ours.writer_bytes), ("relay", ours.relay_bytes)] {
            let each = bytes as f64 / records as f64;
            report.add(&format!("devices: file of a record, {who}"), "B", each);
        }
        let segments = ours.segments as f64 * 1_000.0 / records as f64;
        report.add("devices: segments of 1,000 records", "", segments);
        let times = ours.cpu().as_secs_f64() / bare.cpu().as_secs_f64();
        report.add_for("CPU of devices / bare", "x", times, Goal::AtMost(3.0));
        report.add("time of devices / bare", "x", ours.wall.as_secs_f64() / bare.wall.as_secs_f64());
    }
    report.print()
}

fn each(cpu: Duration, records: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / records as f64
}

/// What one run took: the time of all, and of each process what it spent on cores.
pub(crate) struct Run {
    pub(crate) wall: Duration,
    pub(crate) writer: Duration,
    pub(crate) relay: Duration,
    pub(crate) reader: Duration,
    /// The files at the end; 0 where nobody asks.
    pub(crate) writer_bytes: u64,
    pub(crate) relay_bytes: u64,
    pub(crate) segments: u64,
}

impl Run {
    fn cpu(&self) -> Duration {
        self.writer + self.relay + self.reader
    }
}

/// From the first write on one device to the last record on the other, durable and readable.
fn run(records: usize) -> anyhow::Result<Run> {
    let dir = scratch()?;
    let (old, new) = (dir.path().join("writer"), dir.path().join("reader"));
    let relay = RelayProcess::start()?;
    let addr = relay.addr().to_string();
    {
        let device = devices::create(&old)?;
        device.create_vault(devices::VAULT)?;
        devices::sync(&device, relay.addr())?.stop();
        devices::pair(&device, relay.addr(), &new)?;
    }
    let words = |dir: &Path| [dir.to_string_lossy().into_owned(), addr.clone(), records.to_string()];
    let start = |part, dir: &Path| Child::start(part, &words(dir).each_ref().map(String::as_str));
    let (mut writer, mut reader) = (start(WRITER, &old)?, start(READER, &new)?);
    for child in [&mut writer, &mut reader] {
        child.heard().context("ready")?;
    }
    let cpu = relay.cpu()?;
    reader.go()?;
    reader.heard().context("started")?;
    let started = now();
    writer.go()?;
    let reader_cpu = reader.heard_cpu()?;
    let wall = started.elapsed();
    let writer_cpu = writer.heard_cpu()?;
    let relay_cpu = relay.cpu()?.saturating_sub(cpu);
    let (writer_bytes, relay_bytes) = (harness::stored_bytes(&old)?, relay.stored_bytes()?);
    let segments = relay.segments()?;
    let (writer, relay, reader) = (writer_cpu, relay_cpu, reader_cpu);
    Ok(Run { wall, writer, relay, reader, writer_bytes, relay_bytes, segments })
}

/// What the processes do that [`run`] and [`bare::run`] start.
fn play(part: &str, words: &[String]) -> anyhow::Result<()> {
    match (part, words) {
        (WRITER, [dir, relay, records]) => write(dir, relay, records.parse()?),
        (READER, [dir, relay, _]) => read(dir, relay),
        _ => bare::play(part, words).unwrap_or_else(|| bail!("no such part")),
    }
}

fn write(dir: &str, relay: &str, records: u64) -> anyhow::Result<()> {
    let device = devices::open(dir.as_ref())?;
    let notes: Vec<Note> = (0..records).map(Note::new).collect();
    let sync = devices::sync(&device, &RelayAddr::parse(relay)?)?;
    let vault = device.vault(devices::VAULT)?;
    child::say("ready")?;
    child::wait_for_go()?;
    let cpu = machine::own_cpu();
    devices::write(&vault, &notes)?;
    devices::notes(&vault).put(RecordId::from_name(LAST), &Note::new(records))?;
    sync.wait_caught_up(devices::PATIENCE)?;
    child::say_cpu(cpu)
}

fn read(dir: &str, relay: &str) -> anyhow::Result<()> {
    let device = devices::open(dir.as_ref())?;
    let sync = devices::sync(&device, &RelayAddr::parse(relay)?)?;
    let notes = devices::notes(&device.vault(devices::VAULT)?);
    child::say("ready")?;
    child::wait_for_go()?;
    let cpu = machine::own_cpu();
    child::say("started")?;
    while notes.get(RecordId::from_name(LAST))?.is_none() {
        std::thread::sleep(LOOK_EVERY);
    }
    child::say_cpu(cpu)?;
    sync.stop();
    Ok(())
}
