//! What becomes of a process: it calls while it ends, and it closes what others take for granted.

#![cfg(any(target_os = "linux", target_os = "android"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use subrosa::{Device, Options, OsEntropy, Record, RecordId, SoftwareKey, Value};

const DIR: &str = "SUBROSA_TEST_LIFE_DIR";
/// The child came to its end, and found all as it should be.
const GOOD: i32 = 77;
const BAD: i32 = 78;

/// Runs a test of this file in a process of its own, and opens the store that it made.
fn run(child: &str) -> Device {
    let dir = tempfile::tempdir().unwrap();
    let key = SoftwareKey::generate(&OsEntropy);
    std::fs::write(dir.path().join("key"), key.dangerous_to_pkcs8_der()).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(GOOD), "{child}");
    let device = Device::open(dir.path().join("s"), Arc::new(key), Options::default()).unwrap();
    assert!(device.verify().unwrap().is_good());
    device
}

/// The store of a child, with one note.
fn store() -> Option<Device> {
    let dir = std::env::var(DIR).ok()?;
    let dir = Path::new(&dir);
    let key = SoftwareKey::from_pkcs8_der(&std::fs::read(dir.join("key")).unwrap()).unwrap();
    let device = Device::create(dir.join("s"), Arc::new(key), Options::default()).unwrap();
    device.create_vault("personal").unwrap();
    put(&device, 1).unwrap();
    Some(device)
}

fn put(device: &Device, n: u8) -> Result<(), subrosa::Error> {
    let note = Record([("n".to_owned(), Value::from(i64::from(n)))].into());
    device.vault("personal")?.records("notes").put(RecordId::from_bytes([n; 16]), &note)
}

fn count(device: &Device) -> Result<u64, subrosa::Error> {
    device.vault("personal")?.records("notes").len()
}

static LATE: OnceLock<Device> = OnceLock::new();

extern "C" fn at_exit() {
    let called = || {
        let device = LATE.get()?;
        put(device, 2).ok()?;
        let counted = count(device).ok()?;
        device.close().ok()?;
        Some(counted)
    };
    let good = std::panic::catch_unwind(called).is_ok_and(|counted| counted == Some(2));
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(if good { GOOD } else { BAD }) };
}

/// Not a test of its own.
#[test]
fn child_that_calls_at_exit() {
    let Some(device) = store() else { return };
    assert!(LATE.set(device).is_ok());
    // SAFETY: the handler ends the process, and unwinds into nobody.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    // On this thread, which has used the store: its variables go before the handlers come.
    std::process::exit(BAD);
}

#[test]
fn a_handler_at_exit_reads_writes_and_closes() {
    assert_eq!(count(&run("child_that_calls_at_exit")).unwrap(), 2);
}

/// Not a test of its own.
#[test]
fn child_without_standard_streams() {
    if std::env::var_os(DIR).is_none() {
        return;
    }
    for stream in 0..3 {
        // SAFETY: nothing in this process uses them any more, but for panics, which print in vain.
        unsafe { libc::close(stream) };
    }
    let device = store().expect("the parent named a folder");
    let stray = b"stray output of the host";
    for stream in 0..3 {
        // SAFETY: reads as many bytes as there are.
        let written = unsafe { libc::write(stream, stray.as_ptr().cast(), stray.len()) };
        assert_eq!(written, -1, "there is something at descriptor {stream}");
    }
    put(&device, 2).unwrap();
    device.close().unwrap();
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(GOOD) };
}

#[test]
fn a_host_without_standard_streams_prints_nothing_into_its_store() {
    assert_eq!(count(&run("child_without_standard_streams")).unwrap(), 2);
}
