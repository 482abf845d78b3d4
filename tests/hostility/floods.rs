//! A relay that sends without end, or nothing: waits end, local writes go on, and it fills no memory.

use std::process::Child;
use std::time::Duration;

use subrosa::SyncError;
use subrosa_tests::liar::{Lie, LyingRelay};

use crate::commands::Command;
use crate::stage::{Stage, says};
use crate::support::{MOMENT, PATIENCE, clock};

/// The wait of a device that such a relay keeps ends in its time.
fn keeps_nobody(lie: Lie) {
    let mut stage = Stage::honest();
    stage.relay.tell(lie);
    stage.write_a("from a");
    let sync = stage.a.sync(stage.relay.url());
    let waited = sync.wait_caught_up_within(PATIENCE, MOMENT);
    assert!(
        matches!(waited, Err(SyncError::Unfinished(_) | SyncError::NoProgress(_))),
        "{lie:?}: {waited:?}"
    );
    stage.write_a("meanwhile");
    drop(sync);
    stage.is_healed_by_honesty("nobody was kept");
    stage.nothing_is_lost("nobody was kept");
}

#[test]
fn a_relay_that_answers_nothing_keeps_nobody() {
    keeps_nobody(Lie::Stall);
}

#[test]
fn a_relay_that_greets_and_says_no_more_keeps_nobody() {
    keeps_nobody(Lie::Greet);
}

#[test]
fn a_chain_of_statements_without_end_keeps_nobody() {
    keeps_nobody(Lie::FloodStatements);
}

#[test]
fn made_up_logs_without_end_keep_nobody() {
    keeps_nobody(Lie::Endless);
}

#[test]
fn frames_to_be_ignored_without_end_keep_nobody() {
    keeps_nobody(Lie::FloodControl);
}

#[test]
fn a_relay_that_begins_frames_without_end_ends_its_link_and_fills_no_memory() {
    let mut stage = Stage::honest();
    stage.relay.tell(Lie::Unfinished);
    stage.write_a("from a");
    let sync = stage.a.sync(stage.relay.url());
    says(&sync, "failed: too many large frames begun and not ended");
    drop(sync);
    stage.is_healed_by_honesty("unfinished");
    stage.nothing_is_lost("unfinished");
    fills_no_memory(&[Lie::Unfinished]);
}

#[test]
fn whatever_a_relay_feeds_a_device_holds_a_bounded_memory() {
    fills_no_memory(&[Lie::Large, Lie::FloodFeeds, Lie::FloodLogs, Lie::Endless, Lie::FloodControl]);
}

/// What a device may hold above what it holds with an honest relay.
const MEMORY_KIB: u64 = 64 << 10;
/// So much goes through before memory is looked at.
const FLOODED_BYTES: u64 = 64 << 20;
/// Of lies that are made one by one.
const FLOODED_BYTES_LITTLE: u64 = 256 << 10;

fn fills_no_memory(lies: &[Lie]) {
    let relay = LyingRelay::start(Lie::Honest).unwrap();
    let command = Command::with_store(&relay);
    command.ok(&["put", "notes", "first", r#"{"text":"before"}"#]);
    let base = most_of(command.start(&["sync"]), || false);
    for lie in lies {
        relay.tell(*lie);
        let (name, before, deadline) = (format!("{lie:?}"), relay.flooded(), clock() + PATIENCE / 2);
        command.ok(&["put", "notes", &name, r#"{"text":"meanwhile"}"#]);
        let bytes = match lie {
            Lie::FloodLogs | Lie::Endless => FLOODED_BYTES_LITTLE,
            _ => FLOODED_BYTES,
        };
        // What a link begins is taken by each of those that follow.
        let most = most_of(command.start(&["sync", "--live"]), || {
            relay.flooded() < before + bytes && clock() < deadline
        });
        assert!(relay.flooded() > before, "{name}: it was flooded");
        assert!(most < base + MEMORY_KIB, "{name}: {most} KiB, where {base} KiB are enough");
    }
    relay.tell(Lie::Honest);
    command.ok(&["sync"]);
    let lines = command.ok(&["list", "notes"]);
    assert_eq!(lines.lines().count(), 1 + lies.len());
}

/// The most memory that a command ever had, in KiB: until its end, or as long as it is to go on.
fn most_of(mut child: Child, goes_on: impl Fn() -> bool) -> u64 {
    let mut most = 0;
    let mut ended = false;
    while !ended && (most == 0 || goes_on() || !is_live(&child)) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        most = most.max(peak.unwrap_or(0));
        ended = child.try_wait().unwrap().is_some();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().unwrap();
    most
}

/// Whether a command goes on until it is told to end.
fn is_live(child: &Child) -> bool {
    let words = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"--live")
}
