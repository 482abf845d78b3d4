//! What it takes a device that has everything to find that out: bytes and round trips from dialling until it is caught up.
//!
//! A line in between counts bytes, and takes so long that round trips can be told by the clock.

mod harness;

use std::time::Duration;

use anyhow::Context as _;
use harness::data::Note;
use harness::proxy::Line;
use harness::relay::RelayProcess;
use harness::{Args, Goal, Report, devices, measured, scratch};
use subrosa::RelayAddr;

/// Each way.
const DELAY: Duration = Duration::from_millis(50);
/// So long after the last word, nothing is under way.
const SETTLE: Duration = Duration::from_millis(500);
/// QUIC and TLS 1.3: the first answer proves the relay, and what is said with the next word is protected.
const HANDSHAKE_TRIPS: f64 = 1.0;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::new("sync_idle: a device that has everything syncs", &args);
    let (dir, relay) = (scratch()?, RelayProcess::start()?);
    let path = dir.path().join("device");
    let device = devices::create(&path)?;
    let vault = device.create_vault(devices::VAULT)?;
    let notes: Vec<Note> = (0..args.size(10_000, 1_000)).map(Note::new).collect();
    devices::write(&vault, &notes)?;
    devices::sync(&device, relay.addr())?.stop();
    let other = devices::pair(&device, relay.addr(), &dir.path().join("other"))?;
    devices::sync(&other, relay.addr())?.stop();
    devices::sync(&device, relay.addr())?.stop();
    let line = Line::to(relay.listening(), DELAY)?;
    let pin = relay.addr().to_string();
    let pin = pin.split_once('#').context("an address has a pin")?.1.to_owned();
    let addr = RelayAddr::parse(&format!("subrosa://{}/#{pin}", line.addr()))?;
    device.close()?;
    for _ in 0..args.rounds(9) {
        let device = devices::open(&path)?;
        line.take();
        let (sync, cost) = measured(|| devices::sync(&device, &addr))?;
        let trips = cost.wall.as_secs_f64() / (2.0 * DELAY.as_secs_f64());
        std::thread::sleep(SETTLE); // acknowledgements
        let carried = line.take();
        sync.stop();
        device.close()?;
        report.add("round trips, handshake included", "", trips);
        let later = trips - HANDSHAKE_TRIPS;
        report.add_for("round trips after the handshake", "", later, Goal::AtMost(1.5));
        report.add("bytes, handshake included", "B", carried.bytes as f64);
        let later = carried.bytes - carried.handshake_bytes;
        report.add_for("bytes after the handshake", "B", later as f64, Goal::AtMost(4096.0));
        report.add("datagrams", "", carried.datagrams as f64);
        report.add("CPU", "ms", cost.cpu.as_secs_f64() * 1e3);
    }
    report.print()
}
