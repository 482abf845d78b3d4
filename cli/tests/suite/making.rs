//! Stores that are made by several at once, or were not made to the end.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use subrosa::{Device, Options, OsEntropy, SoftwareKey};

use crate::path::Relay;
use crate::support::{Running, Store};

/// Names in a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs `init` with files limited to so many KiB: the kernel kills it at the first write beyond. Says whether it came
/// through.
fn init_within(store: &Store, kib: u32) -> bool {
    let script = format!(r#"ulimit -c 0; ulimit -f {kib}; exec "$0" --store "$1" init --name first"#);
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_subrosa")]).arg(store.dir());
    let output = command.env_remove("SUBROSA_STORE").output().unwrap();
    output.status.success()
}

#[test]
fn an_init_that_is_killed_at_any_write_can_be_run_again() {
    let mut kills = 0;
    for kib in (0..2).chain((2..4096).step_by(3)) {
        let store = Store::nowhere();
        if init_within(&store, kib) {
            break;
        }
        kills += 1;
        let key = fs::read(store.dir().join("device.key")).ok();
        store.ok(&["init", "--name", "second"]);
        let after = fs::read(store.dir().join("device.key")).unwrap();
        assert!(key.is_none_or(|key| key == after), "killed at {kib} KiB: the key was replaced");
        store.ok(&["put", "notes", "x", "{}"]);
        assert!(store.ok(&["status"]).contains("personal"));
        assert!(store.refused(&["init"]).contains("holds a store already"));
    }
    assert!(kills > 10, "it was killed at {kills} places");
}

#[test]
fn an_init_that_was_cut_short_before_its_vault_is_finished_by_the_next_one() {
    let store = Store::nowhere();
    let key = SoftwareKey::generate(&OsEntropy);
    fs::create_dir_all(store.dir()).unwrap();
    let path = store.dir().join("device.key");
    fs::write(&path, key.dangerous_to_pkcs8_der()).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    drop(Device::create(store.dir(), Arc::new(key), Options::default()).unwrap());
    store.ok(&["init"]);
    store.ok(&["put", "notes", "x", "{}"]);
    assert!(store.refused(&["init"]).contains("holds a store already"));
    store.ok(&["get", "notes", "x"]);
}

#[test]
fn of_several_inits_at_once_one_makes_the_store() {
    for _ in 0..3 {
        let store = Store::nowhere();
        let children: Vec<_> = (0..4).map(|_| store.command(&["init"]).spawn().unwrap()).collect();
        let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
        let outputs: Vec<_> = outputs.collect();
        let made = outputs.iter().filter(|output| output.status.success()).count();
        assert_eq!(made, 1, "{outputs:?}");
        store.ok(&["put", "notes", "x", "{}"]);
        assert_eq!(names(store.dir()), ["device.key", "store.subrosa"]);
    }
}

#[test]
fn a_file_of_somebody_elses_stays_whatever_is_tried() {
    let store = Store::nowhere();
    fs::create_dir_all(store.dir()).unwrap();
    let theirs = store.dir().join("store.subrosa");
    fs::write(&theirs, "minutes of the meeting").unwrap();
    for _ in 0..2 {
        assert!(store.refused(&["init"]).contains("files that have the names of its own"));
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "minutes of the meeting");
    }
    fs::remove_file(&theirs).unwrap();
    store.ok(&["init"]);
}

#[test]
fn an_empty_file_of_somebody_elses_is_no_making_that_was_cut_short() {
    let store = Store::nowhere();
    fs::create_dir_all(store.dir()).unwrap();
    let theirs = store.dir().join("store.subrosa");
    fs::write(&theirs, "").unwrap();
    for _ in 0..2 {
        assert!(store.refused(&["init"]).contains("files that have the names of its own"));
        assert!(fs::read(&theirs).unwrap().is_empty());
    }
    assert_eq!(names(store.dir()), ["store.subrosa"], "nothing was made beside it");
}

#[test]
fn a_store_that_is_made_during_a_pairing_stays_whether_that_is_declined_or_interrupted() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    a.ok(&["sync"]);
    for interrupted in [true, false] {
        let mut offer = waiting_offer(&a);
        let b = Store::nowhere();
        let mut join = b.spawn(&["pair", "join", &offer.line(), "--yes"]);
        join.says("the code of this pairing");
        b.ok(&["init"]);
        let id = b.ok(&["put", "notes", r#"{"a":1}"#]);
        let key = fs::read(b.dir().join("device.key")).unwrap();
        if interrupted {
            join.signal(Signal::INT);
        } else {
            offer.close_stdin();
        }
        let (status, rest) = join.end();
        assert_eq!(status.code(), Some(1), "{rest}");
        assert_eq!(b.ok(&["get", "notes", &id]), format!(r#"{{"a":1,"id":"{id}"}}"#));
        assert_eq!(fs::read(b.dir().join("device.key")).unwrap(), key);
        offer.kill();
    }
}

/// One whose user has not answered yet.
fn waiting_offer(store: &Store) -> Running {
    let mut command = store.command(&["pair", "offer"]);
    command.stdin(Stdio::piped());
    Running::new(command)
}

#[test]
fn a_pairing_that_came_to_nothing_can_be_tried_again_in_the_same_folder() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    a.ok(&["sync"]);
    let b = Store::nowhere();
    let mut declined = a.spawn(&["pair", "offer"]);
    let link = declined.line();
    assert_eq!(b.run(&["pair", "join", &link, "--yes"]).code, 1);
    drop(declined);
    let mut waiting = waiting_offer(&a);
    let mut join = b.spawn(&["pair", "join", &waiting.line(), "--yes"]);
    join.says("the code of this pairing");
    join.kill();
    waiting.kill();
    assert_eq!(names(b.dir()), ["device.key"]);
    let mut offer = a.spawn(&["pair", "offer", "--yes"]);
    b.ok(&["pair", "join", &offer.line(), "--yes", "--name", "phone"]);
    let (status, rest) = offer.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(b.ok(&["devices"]).contains("laptop"));
    // A further one would take the store's place.
    let mut late = a.spawn(&["pair", "offer"]);
    assert!(b.refused(&["pair", "join", &late.line(), "--yes"]).contains("holds a store already"));
}

#[test]
fn a_device_that_was_killed_after_it_was_let_in_joins_again_in_its_folder_as_the_same_one() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok(&["init", "--name", "laptop", "--relay", &relay.url]);
    a.ok(&["put", "notes", "x", "{}"]);
    a.ok(&["sync"]);
    let mut offer = waiting_offer(&a);
    let b = Store::nowhere();
    let join = b.spawn(&["pair", "join", &offer.line(), "--yes", "--name", "phone"]);
    offer.says("has answered the link");
    join.signal(Signal::STOP);
    offer.type_line("yes");
    let listed = || a.ok(&["devices", "--json"]).matches(r#""name":"phone""#).count();
    while listed() == 0 {
        std::thread::yield_now();
    }
    join.kill();
    offer.kill();
    assert_eq!(names(b.dir()), ["device.key"]);
    assert!(b.refused(&["status"]).contains("subrosa pair join"));
    let mut offer = a.spawn(&["pair", "offer", "--yes"]);
    b.ok(&["pair", "join", &offer.line(), "--yes", "--name", "phone"]);
    let (status, rest) = offer.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert_eq!(listed(), 1, "the same device");
    b.ok(&["sync"]);
    b.ok(&["get", "notes", "x"]);
    a.ok(&["verify"]);
}
