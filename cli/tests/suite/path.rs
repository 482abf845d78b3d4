//! The whole path by the command line alone: stores, a relay process, pairing, convergence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Running, Store};

/// A relay process; ends with the test.
pub(crate) struct Relay {
    root: TempDir,
    process: Option<Running>,
    pub(crate) url: String,
}

impl Relay {
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (process, url) = serve(&root.path().join("relay"));
        Self { root, process: Some(process), url }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("relay")
    }

    /// As a crash would.
    fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    fn restart(&mut self) {
        let (process, url) = serve(&self.data());
        let address = |url: &str| url.split('.').take(4).collect::<Vec<_>>().join(".");
        assert_eq!(address(&url), address(&self.url), "the same port and key");
        self.process = Some(process);
    }
}

fn serve(data: &Path) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa"));
    command.arg("demo-relay").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Running::new(command);
    let url = process.line();
    assert!(url.starts_with("subrosa://127.0.0.1:"), "{url}");
    (process, url)
}

/// A new device, brought in by `old`.
pub(crate) fn paired(old: &Store, name: &str) -> Store {
    let mut offer = old.spawn(&["pair", "offer", "--yes"]);
    let link = offer.line();
    let new = Store::nowhere();
    new.ok_with(&["pair", "join", "-", "--yes", "--name", name], &link);
    let (status, rest) = offer.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    new
}

#[test]
fn ten_thousand_records_converge_after_edits_on_both_sides() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let lines: Vec<String> = (0..10_000)
        .map(|n| format!(r#"{{"id":"n{n}","n":{n},"title":"note {n}","bytes":{{"$bytes":"AAH/"}}}}"#))
        .collect();
    let file = a.beside("notes.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    a.ok(&["import", "notes", file.to_str().unwrap()]);
    a.ok(&["sync"]);

    let b = paired(&a, "phone");
    b.ok(&["sync"]);
    assert_eq!(b.ok(&["export"]), a.ok(&["export"]));
    for store in [&a, &b] {
        let devices = store.ok(&["devices"]);
        assert!(devices.contains("laptop") && devices.contains("phone"), "{devices}");
    }

    // Offline, on both sides: different fields, the same field, deletes, new records.
    let edits = |name: &str, from: usize| {
        let lines: Vec<String> = (from..from + 600)
            .map(|n| format!(r#"{{"id":"n{n}","{name}":{n},"title":"by {name} {n}"}}"#))
            .collect();
        lines.join("\n")
    };
    a.ok_with(&["import", "notes", "-"], &edits("laptop", 0));
    b.ok_with(&["import", "notes", "-"], &edits("phone", 300));
    a.ok(&["delete", "notes", "n9000"]);
    b.ok(&["delete", "notes", "n9001"]);
    a.ok(&["delete", "notes", "n9002"]);
    b.ok(&["put", "notes", "n9002", r#"{"kept":true}"#]);
    a.ok(&["put", "lists", "groceries", r#"{"milk":2}"#]);
    b.ok(&["put", "lists", "groceries", r#"{"bread":1}"#]);
    a.ok(&["sync"]);
    b.ok(&["sync"]);
    a.ok(&["sync"]);

    let exported = a.ok(&["export"]);
    assert_eq!(exported, b.ok(&["export"]), "byte for byte");
    assert_eq!(exported.lines().count(), 10_000 - 2 + 1);
    assert!(a.ok(&["get", "notes", "n400"]).contains(r#""laptop":400"#));
    assert!(a.ok(&["get", "notes", "n400"]).contains(r#""phone":400"#));
    assert!(
        a.ok(&["get", "notes", "n9002"]).contains(r#""title":"note 9002""#),
        "an edit outlives a delete, whole"
    );
    assert!(a.ok(&["get", "lists", "groceries"]).contains(r#""bread":1"#));
    for store in [&a, &b] {
        store.ok(&["verify"]);
    }
}

#[test]
fn a_relay_that_lost_its_database_gets_everything_back_from_either_device() {
    let mut relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    a.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    a.ok(&["sync"]);
    let b = paired(&a, "phone");
    b.ok(&["put", "notes", "y", r#"{"b":1}"#]);
    b.ok(&["sync"]);
    a.ok(&["sync"]);

    for (name, seeder) in [("tablet", &a), ("desk", &b)] {
        relay.kill();
        fs::remove_file(relay.data().join("relay.redb")).unwrap();
        relay.restart();
        seeder.ok(&["sync"]);
        let third = paired(seeder, name);
        third.ok(&["sync"]);
        assert_eq!(third.ok(&["export"]), a.ok(&["export"]), "{name}");
        assert_eq!(third.ok(&["export"]).lines().count(), 2);
        third.ok(&["verify"]);
    }
}

#[test]
fn changes_arrive_live_and_through_a_killed_relay() {
    let mut relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let b = paired(&a, "phone");
    let mut watch = b.spawn(&["watch"]);
    watch.says("watching");
    let live = a.spawn(&["sync", "--live"]);
    let id = a.ok(&["--wait", "30", "put", "notes", "x", r#"{"a":1}"#]);
    assert_eq!(
        watch.line(),
        format!(r#"{{"collection":"notes","fields":{{"a":1}},"id":"{id}","kind":"inserted"}}"#)
    );
    relay.kill();
    a.ok(&["put", "notes", "x", r#"{"b":2}"#]);
    relay.restart();
    assert_eq!(
        watch.line(),
        format!(r#"{{"collection":"notes","fields":{{"a":1,"b":2}},"id":"{id}","kind":"updated"}}"#)
    );
    for running in [live, watch] {
        running.signal(Signal::TERM);
        let (status, rest) = running.end();
        assert_eq!(status.code(), Some(0), "{rest}");
    }
}

#[test]
fn a_sync_beside_a_live_one_counts_what_came_while_it_ran() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let mut live = a.spawn(&["sync", "--live"]);
    live.says("syncing");
    a.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    a.ok(&["sync"]);
    assert_eq!(a.ok(&["sync", "--json"]), r#"{"disagrees":[],"segments":0}"#);
    let status = a.ok(&["status", "--json"]);
    assert!(status.contains(r#""segments":2,"segments_at_relay":2"#), "{status}");
}

#[test]
fn a_sync_beside_a_live_one_is_not_caught_up_when_the_relay_has_just_died() {
    let mut relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let mut live = a.spawn(&["sync", "--live"]);
    live.says("sync: live");
    assert!(a.run(&["sync"]).stderr.contains("caught up"));
    relay.kill();
    let line = a.refused(&["sync", "--timeout", "1"]);
    assert!(line.contains("no progress for 1 s"), "{line}");
    relay.restart();
    assert!(a.run(&["sync"]).stderr.contains("caught up"));
}

#[test]
fn a_pairing_goes_through_the_holder_and_a_link_works_once() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let mut live = a.spawn(&["sync", "--live"]);
    live.says("syncing");
    let mut offer = a.spawn(&["pair", "offer", "--yes"]);
    let link = offer.line();
    let b = Store::nowhere();
    b.ok(&["pair", "join", &link, "--yes", "--name", "phone"]);
    let (status, rest) = offer.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    b.ok(&["sync"]);
    assert!(b.ok(&["devices"]).contains("laptop"));

    let late = Store::nowhere();
    let line = late.refused(&["pair", "join", &link, "--yes"]);
    assert!(!line.contains(&link), "{line}");
    assert!(!late.dir().join("store.subrosa").exists(), "nothing stays behind");
}

#[test]
fn a_declined_code_lets_nobody_in() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    a.ok(&["sync"]);
    let mut offer = a.spawn(&["pair", "offer"]);
    let link = offer.line();
    let b = Store::nowhere();
    let joined = b.run(&["pair", "join", &link, "--yes"]);
    assert_eq!((joined.code, joined.stdout.as_str()), (1, ""), "{}", joined.stderr);
    assert!(joined.stderr.lines().last().unwrap().contains("declined"), "{}", joined.stderr);
    let (status, rest) = offer.end();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("not confirmed"), "{rest}");
    assert!(!b.dir().join("store.subrosa").exists());
    assert_eq!(a.ok(&["devices", "--json"]).matches("laptop").count(), 1);
}

#[test]
fn the_demo_runs_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .arg("demo")
        .env("TMPDIR", root.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("0 of "), "{text}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "no leftovers");
}

#[test]
fn what_one_device_was_told_to_be_safe_the_other_one_reads_after_its_next_sync_every_time() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    let b = paired(&a, "phone");
    // Both beside a process that holds the store and its link.
    let holds = |store: &Store| {
        let mut live = store.spawn(&["sync", "--live"]);
        live.says("sync: live");
        live
    };
    let _lives = [holds(&a), holds(&b)];
    for round in 0..50 {
        let (id, text) = (format!("n{round}"), format!(r#"{{"round":{round}}}"#));
        a.ok(&["put", "notes", &id, &text]);
        a.ok(&["sync"]);
        b.ok(&["sync"]);
        assert!(b.ok(&["get", "notes", &id]).contains(&text[1..]), "round {round}");
    }
}
