//! A real process is killed between every two steps of a write's way to the relay, and a new one goes on.
//!
//! The child is this test binary again, told by the environment where to stop. Before each step it notes in a file
//! what has been acknowledged to its caller; the relay is a file too, so that it outlives the child.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::SoftwareKey;
use subrosa_protocol::segment::SealedSegment;

use super::{ListRelay, TestClock, TestDevice, everything, id, join, options, record};
use crate::device::Device;

const DIR: &str = "SUBROSA_TEST_KILL_DIR";
const STEP: &str = "SUBROSA_TEST_KILL_STEP";

/// The child's places.
struct Places {
    store: PathBuf,
    key: PathBuf,
    written: PathBuf,
    relay: PathBuf,
}

impl Places {
    fn in_dir(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        Self { store: at("store"), key: at("key"), written: at("written"), relay: at("relay") }
    }

    fn open(&self) -> Device {
        let clock = Arc::new(TestClock::default());
        clock.set(1_000_000);
        let key = SoftwareKey::from_pkcs8_der(&std::fs::read(&self.key).unwrap()).unwrap();
        Device::open(&self.store, Arc::new(key), options(&clock)).unwrap()
    }

    fn append(path: &Path, bytes: &[u8]) {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }
}

/// Stops dead before step number `stop`, as SIGKILL would.
struct Steps {
    next: u32,
    stop: u32,
}

impl Steps {
    fn step(&mut self) {
        if self.next == self.stop {
            // No destructor runs, nothing is flushed: what the kernel has is what there is.
            std::process::abort();
        }
        self.next += 1;
    }
}

/// Not a test of its own: what the child does. Without the environment of its parent it does nothing.
#[test]
fn child() {
    let (Ok(dir), Ok(stop)) = (std::env::var(DIR), std::env::var(STEP)) else { return };
    let places = Places::in_dir(Path::new(&dir));
    let mut steps = Steps { next: 0, stop: stop.parse().unwrap() };
    let device = places.open();
    let (core, vault) = (&device.core, device.vault("personal").unwrap());
    let notes = vault.records("notes");
    let pin = ListRelay::new().pin;
    for round in 0..3u8 {
        steps.step();
        notes.put(id(round), &record(&[("x", round.into())])).unwrap();
        Places::append(&places.written, &[round]);
        steps.step();
        notes.put(id(100), &record(&[("last", round.into())])).unwrap();
        steps.step();
        vault
            .write(|tx| {
                for n in 0..260 {
                    notes.in_tx(tx).insert(&record(&[("bulk", n)]))?;
                }
                Ok(())
            })
            .unwrap();
        steps.step();
        core.seal(&vault.id()).unwrap();
        loop {
            steps.step();
            let batch = core.outbox(&vault.id(), &pin, &Default::default(), 1).unwrap();
            steps.step();
            let Some(segment) = batch.segments.first() else { break };
            let mut entry = batch.logs[0].key.public.as_bytes().to_vec();
            entry.extend_from_slice(&(segment.bytes().len() as u32).to_be_bytes());
            entry.extend_from_slice(segment.bytes());
            Places::append(&places.relay, &entry);
            steps.step();
            acknowledge(&device, segment, &pin);
        }
    }
    // Told apart from a kill by its exit code.
    std::process::exit(77);
}

fn acknowledge(device: &Device, segment: &SealedSegment, pin: &subrosa_protocol::ids::Pin) {
    device
        .core
        .write(|tx| {
            let (id, seq) = (segment.header().log, segment.header().seq);
            let vault = *tx.state.vaults.keys().next().expect("it has a vault");
            let log = tx.state.logs.number(vault, &id).expect("it was sent");
            let chain = tx.logs.chain(log.into(), seq)?.expect("it was sent from the table");
            tx.raise_relay_head(pin, vault, subrosa_protocol::ids::Head { log: id, seq, chain })
        })
        .unwrap();
}

#[test]
fn killed_between_any_two_steps_nothing_acknowledged_is_lost_and_nothing_is_sealed_twice() {
    let mut stops = 0;
    for stop in 0.. {
        let finished = kill_at(stop);
        if finished {
            break;
        }
        stops += 1;
    }
    assert!(stops > 30, "the child was stopped at {stops} places");
}

/// Runs a child that stops before step `stop`; goes on in this process; says whether the child reached its end.
fn kill_at(stop: u32) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let places = Places::in_dir(dir.path());
    let (relay, reader) = (ListRelay::new(), TestDevice::new());
    let key = SoftwareKey::generate(&OsEntropy);
    std::fs::write(&places.key, key.dangerous_to_pkcs8_der()).unwrap();
    let clock = Arc::new(TestClock::default());
    clock.set(1_000_000);
    let device = Device::create(&places.store, Arc::new(key), options(&clock)).unwrap();
    device.create_vault("personal").unwrap();
    let writer = TestDevice {
        dir: tempfile::tempdir().unwrap(),
        key_der: std::fs::read(&places.key).unwrap(),
        clock,
        device: Some(device),
    };
    let vault = join(&writer, &reader);
    relay.sync(writer.core(), &vault);
    relay.sync(reader.core(), &vault);
    drop(writer);

    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::killed::child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir.path())
        .env(STEP, stop.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    relay.read_pushed(&std::fs::read(&places.relay).unwrap_or_default(), &vault);

    let device = places.open();
    let core = device.core.clone();
    relay.sync(&core, &vault);
    relay.sync(reader.core(), &vault);
    let here = everything(&device.vault("personal").unwrap());
    assert_eq!(here, everything(&reader.vault()), "stopped before step {stop}");
    for round in std::fs::read(&places.written).unwrap_or_default() {
        let note = reader.vault().records("notes").get(id(round)).unwrap();
        assert_eq!(note, Some(record(&[("x", round.into())])), "stopped before step {stop}");
    }
    let bulk = here.iter().filter(|(.., fields)| fields.0.contains_key("bulk")).count();
    assert_eq!(bulk % 260, 0, "a bulk write is whole or not there");
    assert!(device.verify().unwrap().is_good());
    assert_eq!(relay.futures(), 0, "no log has two futures");
    status.code() == Some(77)
}

impl ListRelay {
    /// Takes in what a child pushed into its file; an entry that was cut off had not arrived.
    fn read_pushed(&self, mut bytes: &[u8], vault: &subrosa_protocol::ids::VaultId) {
        let mut state = self.state.lock().unwrap();
        while let Some((public, rest)) = bytes.split_first_chunk::<65>() {
            let Some((len, rest)) = rest.split_first_chunk::<4>() else { return };
            let Some((segment, rest)) = rest.split_at_checked(u32::from_be_bytes(*len) as usize) else {
                return;
            };
            let public = subrosa_protocol::ids::PublicKeyBytes::from_bytes(*public);
            if !state.logs.contains(&public.into()) {
                state.logs.push(public.into());
            }
            let segment = SealedSegment::parse(bytes::Bytes::copy_from_slice(segment)).unwrap();
            super::append(&mut state, vault, segment).expect("a log has one future");
            bytes = rest;
        }
    }

    /// How many logs hold two segments of one seq.
    fn futures(&self) -> usize {
        let state = self.state.lock().unwrap();
        let mut places: Vec<_> =
            state.segments.iter().map(|held| (held.header().log, held.header().seq)).collect();
        places.sort_unstable();
        places.windows(2).filter(|pair| pair[0] == pair[1]).count()
    }
}
