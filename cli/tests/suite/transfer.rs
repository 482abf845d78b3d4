//! import and export.

use std::fmt::Write as _;
use std::fs;

use crate::support::{Running, Store};

#[test]
fn a_round_trip_gives_the_same_bytes() {
    let store = Store::init();
    let tricky = [
        r#"{"collection":"a","id":"one","title":"é 日本 🌹","n":-9223372036854775808}"#,
        r#"{"collection":"a","id":17,"b":{"$bytes":"AAH/"},"f":1.0}"#,
        r#"{"collection":"b","$id":"a field","$collection":"a field too","$$id":null}"#,
        r#"{"collection":"b","list":[1,2.5,"x",{"z":1,"a":2}]}"#,
        "",
        r#"{"collection":"empty","id":"nothing but an id"}"#,
    ];
    let ran = store.run_with(&["import", "-"], &tricky.join("\r\n"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("5 records imported"), "{}", ran.stderr);
    let exported = store.ok(&["export"]);
    assert_eq!(exported.lines().count(), 5);
    assert!(
        exported
            .contains(r#""$$id":null,"$collection":"a field too","$id":"a field","collection":"b","id":"#)
    );

    let again = Store::init();
    assert_eq!(again.ok_with(&["import", "--json", "-"], &exported), r#"{"imported":5}"#);
    assert_eq!(again.ok(&["export"]), exported);

    // One collection by itself, into another place.
    let one = store.ok(&["export", "b"]);
    assert!(one.contains(r#""collection":"a field too""#) && !one.contains("$collection"), "{one}");
    again.ok_with(&["import", "c", "-"], &one);
    assert_eq!(again.ok(&["export", "c"]), one);
    assert_eq!(store.ok(&["list", "b"]), one);
}

#[test]
fn an_export_is_sorted() {
    let store = Store::init();
    for (collection, id) in [("zz", "1"), ("a", "3"), ("a", "1"), ("Z", "9"), ("é", "1"), ("a", "2")] {
        store.ok(&["put", collection, id, r#"{"b":1,"a":2}"#]);
    }
    let exported = store.ok(&["export"]);
    let keys: Vec<(String, String)> = exported
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            (text("collection"), text("id"))
        })
        .collect();
    assert!(keys.is_sorted(), "{exported}");
    assert!(exported.lines().all(|line| line.starts_with(r#"{"a":2,"b":1,"collection":"#)), "{exported}");
}

#[test]
fn an_import_of_ten_thousand_lines_stands_and_can_be_repeated() {
    let store = Store::init();
    let mut file = String::new();
    for n in 0..10_000 {
        writeln!(file, r#"{{"id":"note-{n}","n":{n},"title":"note number {n}"}}"#).unwrap();
    }
    let path = store.beside("notes.jsonl");
    fs::write(&path, &file).unwrap();
    store.ok(&["import", "notes", path.to_str().unwrap()]);
    let exported = store.ok(&["export"]);
    assert_eq!(exported.lines().count(), 10_000);
    store.ok(&["import", "notes", path.to_str().unwrap()]);
    assert_eq!(store.ok(&["export"]), exported, "lines with ids are the same records again");
}

#[test]
fn a_bad_line_names_itself_and_what_stands() {
    let store = Store::init();
    let mut file = String::new();
    for n in 1..=5_000 {
        writeln!(file, r#"{{"id":"n{n}","n":{n}}}"#).unwrap();
    }
    file.push_str("{\"marker\":\n");
    file.push_str("{\"id\":\"after\"}\n");
    let line = store.refused_with(&["import", "notes", "-"], &file);
    assert!(line.contains("line 5001: the record is refused"), "{line}");
    assert!(line.contains("4096 records of the lines before 4097 stand"), "{line}");
    assert!(line.contains("tail -n +4097"), "{line}");
    assert!(!line.contains("marker"), "{line}");
    assert_eq!(store.ok(&["list", "notes"]).lines().count(), 4096);

    // As the remedy says.
    let rest: Vec<&str> = file.lines().skip(4096).filter(|line| !line.contains("marker")).collect();
    store.ok_with(&["import", "notes", "-"], &rest.join("\n"));
    assert_eq!(store.ok(&["list", "notes"]).lines().count(), 5_001);
}

#[test]
fn an_import_of_records_of_several_mib_is_cut_into_transactions_by_their_bytes() {
    let store = Store::init();
    // Three of 6 MiB, each beyond a transaction's bytes by itself; then eight of which two fit into one.
    let record = |n: usize, fields: usize| {
        let field =
            |f: usize| format!(r#""f{f}":"{}""#, char::from(b'a' + f as u8).to_string().repeat(1 << 19));
        let fields: Vec<String> = (0..fields).map(field).collect();
        format!("{{{},\"id\":\"r{n}\"}}\n", fields.join(","))
    };
    let file: String = (1..=3).map(|n| record(n, 12)).chain((4..=11).map(|n| record(n, 3))).collect();
    store.ok_with(&["import", "notes", "-"], &file);
    let exported = store.ok(&["export", "notes"]);
    assert_eq!(exported.lines().count(), 11);

    // Where the transactions are cut shows where an import that is refused is to go on.
    for (lines, resume) in [(3, 3), (4, 4), (5, 4), (6, 6)] {
        let again = Store::init();
        let some: String = file.split_inclusive('\n').take(lines).chain(["[]\n"]).collect();
        let line = again.refused_with(&["import", "notes", "-"], &some);
        let stands = resume - 1;
        let says = format!("{stands} records of the lines before {resume} stand");
        assert!(line.contains(&says), "{lines}: {line}");
        assert_eq!(again.ok(&["list", "notes"]).lines().count(), stands, "{lines}");
    }
    let again = Store::init();
    again.ok_with(&["import", "notes", "-"], &exported);
    assert_eq!(again.ok(&["export", "notes"]), exported);
}

#[test]
fn lines_are_refused_one_by_one() {
    let store = Store::init();
    for (file, reason) in [
        ("{\"a\":1}\n[]\n", "line 2: the record is refused"),
        ("{\"id\":\"x\"}\n\n\n{\"id\":true}", "line 4: the record is refused"),
        ("{\"a\":1e400}", "line 1: the record is refused"),
    ] {
        let line = store.refused_with(&["import", "notes", "-"], file);
        assert!(line.contains(reason) && line.contains("0 records of the lines before 1 stand"), "{line}");
    }
    let line = store.refused_with(&["import", "-"], "{\"id\":\"x\"}\n");
    assert!(line.contains("no member `collection`"), "{line}");
    assert_eq!(store.ok(&["export"]), "");
    let large = format!("{{\"id\":\"x\"}}\n{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
    assert!(store.refused_with(&["import", "notes", "-"], &large).contains("line 2: "));
}

#[test]
fn an_output_that_is_closed_is_no_failure() {
    let store = Store::init();
    let lines: Vec<String> =
        (0..5_000).map(|n| format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(100))).collect();
    store.ok_with(&["import", "notes", "-"], &lines.join("\n"));
    let mut child = store.command(&["export"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_import_that_waits_for_its_input_can_be_interrupted() {
    let store = Store::init();
    let mut command = store.command(&["-v", "import", "notes", "-"]);
    command.stdin(std::process::Stdio::piped());
    let mut import = Running::new(command);
    import.says("serving other commands");
    store.ok(&["put", "notes", "x", "{}"]);
    import.signal(rustix::process::Signal::INT);
    let (status, rest) = import.end();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("the import stopped: interrupted"), "{rest}");
    store.ok(&["get", "notes", "x"]);
}
