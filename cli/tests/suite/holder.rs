//! One process holds the store, the others work all the same.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use crate::init::DEAD_RELAY;
use crate::support::{Running, Store, mode};

fn watch(store: &Store) -> Running {
    let mut watch = store.spawn(&["watch"]);
    watch.says("watching");
    watch
}

#[test]
fn every_command_works_while_a_watch_holds_the_store() {
    let store = Store::init();
    let mut holder = watch(&store);
    assert_eq!(mode(&store.dir().join("socket")), 0o600);

    let id = store.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    assert_eq!(
        holder.line(),
        format!(r#"{{"collection":"notes","fields":{{"a":1}},"id":"{id}","kind":"inserted"}}"#)
    );
    store.ok_with(&["put", "notes", "x", "-"], r#"{"b":2}"#);
    assert_eq!(
        holder.line(),
        format!(r#"{{"collection":"notes","fields":{{"a":1,"b":2}},"id":"{id}","kind":"updated"}}"#)
    );
    assert_eq!(store.ok(&["get", "notes", "x"]), format!(r#"{{"a":1,"b":2,"id":"{id}"}}"#));
    assert_eq!(store.ok(&["list", "notes"]), format!(r#"{{"a":1,"b":2,"id":"{id}"}}"#));
    assert!(store.refused(&["get", "notes", "y"]).contains("no such record"));
    assert!(store.refused(&["put", "notes", "[]"]).contains("not a JSON object"));
    assert!(store.refused(&["sync"]).contains("no relay is set"));
    store.ok(&["relay", "set", DEAD_RELAY]);
    assert_eq!(store.ok(&["relay", "show"]), DEAD_RELAY);
    assert!(store.refused(&["sync", "--timeout", "1"]).contains("no progress"));
    assert!(store.ok(&["status"]).contains("personal"));
    assert!(store.ok(&["devices"]).contains("test"));
    store.ok(&["verify"]);
    assert_eq!(store.ok(&["export"]), format!(r#"{{"a":1,"b":2,"collection":"notes","id":"{id}"}}"#));
    store.ok(&["delete", "notes", "x"]);
    assert_eq!(holder.line(), format!(r#"{{"collection":"notes","id":"{id}","kind":"removed"}}"#));

    holder.signal(Signal::INT);
    let (status, rest) = holder.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(!store.dir().join("socket").exists(), "it tidies up");
    assert_eq!(store.ok(&["list", "notes"]), "");
}

#[test]
fn a_long_import_and_export_pass_through_the_holder() {
    let store = Store::init();
    let _holder = watch_quietly(&store);
    let lines: Vec<String> =
        (0..9_000).map(|n| format!(r#"{{"id":"n{n}","text":"{}"}}"#, "x".repeat(n % 300))).collect();
    assert_eq!(store.ok_with(&["import", "--json", "notes", "-"], &lines.join("\n")), r#"{"imported":9000}"#);
    let exported = store.ok(&["export", "notes"]);
    assert_eq!(exported.lines().count(), 9_000);
    let line = store.refused_with(&["import", "notes", "-"], "{}\n{\n");
    assert!(line.contains("line 2: the record is refused"), "{line}");

    let other = Store::init();
    other.ok_with(&["import", "notes", "-"], &exported);
    assert_eq!(other.ok(&["export", "notes"]), exported);
}

/// A holder whose output nobody needs to read.
fn watch_quietly(store: &Store) -> Running {
    store.ok(&["relay", "set", DEAD_RELAY]);
    let mut live = store.spawn(&["sync", "--live"]);
    live.says("syncing");
    live
}

#[test]
fn a_live_sync_ends_well_on_both_signals() {
    let store = Store::init();
    for signal in [Signal::INT, Signal::TERM] {
        let live = watch_quietly(&store);
        store.ok(&["put", "notes", "x", "{}"]);
        live.signal(signal);
        let (status, rest) = live.end();
        assert_eq!(status.code(), Some(0), "{rest}");
    }
}

#[test]
fn a_second_watch_takes_over() {
    let store = Store::init();
    let first = watch(&store);
    let mut second = store.spawn(&["watch"]);
    second.says("watching");
    first.signal(Signal::TERM);
    assert_eq!(first.end().0.code(), Some(0));
    assert_eq!(second.line(), r#"{"kind":"lagged"}"#);
    second.says("watching");
    let id = store.ok(&["put", "notes", "x", "{}"]);
    assert_eq!(
        second.line(),
        format!(r#"{{"collection":"notes","fields":{{}},"id":"{id}","kind":"inserted"}}"#)
    );
}

#[test]
fn a_socket_left_behind_by_a_crash_is_replaced() {
    let store = Store::init();
    let holder = watch(&store);
    let id = store.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    holder.kill();
    assert!(store.dir().join("socket").exists(), "it was left behind");
    assert_eq!(store.ok(&["get", "notes", "x"]), format!(r#"{{"a":1,"id":"{id}"}}"#));
    let mut holder = watch(&store);
    store.ok(&["put", "notes", "y", "{}"]);
    assert!(holder.line().contains("inserted"));
    holder.signal(Signal::TERM);
    assert!(!store.dir().join("socket").exists() || holder.end().0.success());
}

#[test]
fn where_no_socket_can_be_the_holder_is_named() {
    // A path too long for a socket.
    let store = Store::below(&"d".repeat(120));
    store.ok(&["init"]);
    let holder = watch(&store);
    let line = store.refused(&["--wait", "0", "list", "notes"]);
    assert!(line.contains(&format!("process {} holds the store", holder.pid())), "{line}");
    assert!(line.contains("--wait"), "{line}");
    holder.signal(Signal::TERM);
    // Waits for it to end.
    store.ok(&["--wait", "60", "list", "notes"]);
}

#[test]
fn a_process_that_does_not_speak_the_protocol_is_not_waited_for_in_vain() {
    let store = Store::init();
    let listener = UnixListener::bind(store.dir().join("socket")).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Only once the request is there, so that it is read and not lost to a reset.
        std::io::Read::read(&mut stream, &mut [0; 1]).unwrap();
        std::io::Write::write_all(&mut stream, &[0, 0, 0, 1, 99]).unwrap();
        std::io::Read::read_to_end(&mut stream, &mut Vec::new())
    });
    let line = store.refused(&["list", "notes"]);
    assert!(line.contains("does not speak the local protocol"), "{line}");
    drop(stranger.join().unwrap());
    fs::remove_file(store.dir().join("socket")).unwrap();
}

#[test]
fn what_has_the_name_of_the_socket_and_is_none_stays_where_it_is() {
    for name in ["socket", ".new/letter"] {
        let store = Store::init();
        let theirs = store.dir().join(name);
        fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "mine").unwrap();
        store.ok(&["put", "notes", "x", r#"{"a":1}"#]);
        assert!(store.ok(&["list", "notes"]).contains(r#""a":1"#), "{name}: it works without a socket");
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine", "{name}");
    }
}

#[test]
fn whoever_makes_a_store_where_one_is_open_is_told_who_holds_it() {
    let store = Store::init();
    let holder = watch_quietly(&store);
    let line = store.refused(&["init"]);
    assert!(
        line.contains(&format!("holds a store already, and process {} holds it", holder.pid())),
        "{line}"
    );
    assert!(line.contains("use it"), "{line}");
}
