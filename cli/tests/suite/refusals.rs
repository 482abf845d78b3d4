//! Every refusal: exit code 1, one line, a remedy, nothing of what records hold.

use std::fs;

use crate::init::DEAD_RELAY;
use crate::support::Store;

#[test]
fn without_a_store_every_command_says_so() {
    let store = Store::nowhere();
    for args in [
        &["put", "notes", "{}"][..],
        &["get", "notes", "x"],
        &["list", "notes"],
        &["delete", "notes", "x"],
        &["import", "notes", "-"],
        &["export"],
        &["watch"],
        &["sync"],
        &["sync", "--live"],
        &["relay", "show"],
        &["relay", "set", DEAD_RELAY],
        &["pair", "offer"],
        &["devices"],
        &["status"],
        &["verify"],
    ] {
        let line = store.refused(args);
        assert!(line.contains("there is no store in") && line.contains("subrosa init"), "{args:?}: {line}");
    }
    assert!(!store.dir().exists());
}

#[test]
fn bad_records_are_refused_without_a_word_of_them() {
    let store = Store::init();
    for (json, reason) in [
        ("{\"marker\":", "not valid JSON"),
        ("{\"marker\":1} x", "not valid JSON"),
        ("[\"marker\"]", "not a JSON object"),
        ("\"marker\"", "not a JSON object"),
        ("{\"marker\":1,\"marker\":2}", "occurs twice"),
        ("{\"marker\":9223372036854775808}", "out of range at byte 10; write such a number as text"),
        ("{\"marker\":1e999}", "it holds a value that cannot be stored"),
        ("{\"marker\":{\"$bytes\":\"!\"}}", "standard Base64 with its padding"),
        ("{\"id\":[\"marker\"]}", "`id`"),
        ("", "not valid JSON"),
    ] {
        let line = store.refused_with(&["put", "notes", "-"], json);
        assert!(line.contains(reason), "{json}: {line}");
        assert!(!line.contains("marker"), "{json}: {line}");
    }
    let deep = format!("{{\"marker\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert!(store.refused_with(&["put", "notes", "-"], &deep).contains("nest it less"));
    assert_eq!(store.ok(&["list", "notes"]), "");
}

#[test]
fn limits_are_refused() {
    let store = Store::init();
    let large = format!("{{\"marker\":\"{}\"}}", "x".repeat(2 << 20));
    let long_name = format!("{{\"{}\":1}}", "marker".repeat(50));
    let many: Vec<String> = (0..1025).map(|n| format!("\"marker{n}\":1")).collect();
    let many = format!("{{{}}}", many.join(","));
    for json in [&large, &long_name, &many] {
        let line = store.refused_with(&["put", "notes", "-"], json);
        assert!(!line.contains("marker"), "{line}");
    }
    store.refused(&["put", &"marker".repeat(50), "{}"]);
    store.refused(&["put", "", "{}"]);
    assert_eq!(store.ok(&["export"]), "");
}

#[test]
fn an_unknown_vault_is_refused() {
    let store = Store::init();
    store.ok(&["relay", "set", DEAD_RELAY]);
    for args in [
        &["list", "notes"][..],
        &["put", "notes", "{}"],
        &["devices"],
        &["sync"],
        &["sync", "--live"],
        &["pair", "offer"],
        &["status"],
        &["verify"],
    ] {
        let line = store.refused(&[&["--vault", "work"], args].concat());
        assert!(line.contains("no such vault") && line.contains("choose with --vault"), "{args:?}: {line}");
    }
    assert!(store.ok(&["--vault", "personal", "status"]).contains("vault   personal"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let store = Store::init();
    let missing = store.beside("missing.jsonl");
    for (path, reason) in
        [(missing.as_path(), "there is no such file or folder"), (store.dir(), "it is a folder")]
    {
        let line = store.refused(&["import", "notes", path.to_str().unwrap()]);
        assert!(line.contains(&format!("the input cannot be read ({reason})")), "{line}");
    }
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_not_said_to_be_without_a_store() {
    let store = Store::nowhere();
    std::os::unix::fs::symlink(store.dir(), store.dir()).unwrap();
    for args in [&["status"][..], &["list", "notes"], &["put", "notes", "{}"]] {
        let line = store.refused(args);
        assert!(
            line.contains("cannot be looked into") && line.contains("owner of the store"),
            "{args:?}: {line}"
        );
    }
    let below = Store::below("file/store");
    fs::write(below.beside("file"), "").unwrap();
    assert!(below.refused(&["status"]).contains("there is no store in"));
    assert!(below.refused(&["init"]).contains("(a file of that name is there)"));
    let long = Store::below(&"d".repeat(256));
    assert!(long.refused(&["init"]).contains("(its name is too long)"));
}

#[test]
fn a_store_without_a_relay_says_so() {
    let store = Store::init();
    for args in [&["sync"][..], &["sync", "--live"], &["pair", "offer"], &["relay", "show"]] {
        assert!(store.refused(args).contains("no relay is set"), "{args:?}");
    }
}

#[test]
fn a_dead_relay_costs_the_timeout_and_no_data() {
    let store = Store::init();
    store.ok(&["relay", "set", DEAD_RELAY]);
    store.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    let line = store.refused(&["sync", "--timeout", "1"]);
    assert!(line.contains("no progress for 1 s") && line.contains("kept"), "{line}");
    store.ok(&["get", "notes", "x"]);
}

#[test]
fn a_sync_that_waits_for_a_dead_relay_says_so_before_it_gives_up() {
    let store = Store::init();
    store.ok(&["relay", "set", DEAD_RELAY]);
    let ran = store.run(&["sync", "--timeout", "3"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [waits, over] = lines[..] else { panic!("once, then the end: {lines:?}") };
    assert!(
        waits.starts_with("nothing has moved for ") && waits.ends_with("waiting for 3 s in all"),
        "{waits}"
    );
    assert!(over.contains("no progress for 3 s"), "{over}");
}

#[test]
fn links_that_are_none_leave_nothing_behind() {
    let store = Store::nowhere();
    for link in ["", "nonsense", "subrosa://127.0.0.1:9/#aaaa", DEAD_RELAY] {
        store.refused_with(&["pair", "join", "-", "--yes"], link);
        assert!(!store.dir().exists(), "{link}");
    }
}

#[test]
fn a_damaged_store_is_an_error_and_not_data() {
    let store = Store::init();
    store.ok(&["put", "notes", "x", r#"{"a":1}"#]);
    assert_eq!(store.run(&["verify"]).code, 0);
    let path = store.dir().join("store.subrosa");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let ran = store.run(&["verify"]);
        match ran.code {
            0 => (),
            1 => refused += 1,
            code => panic!("flip at {at}: {code} {}", ran.stderr),
        }
    }
    assert!(refused > 0, "some flips hit what is used");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    store.refused(&["list", "notes"]);
    fs::write(&path, b"something else").unwrap();
    store.refused(&["list", "notes"]);
}

#[test]
fn a_name_that_cannot_be_is_answered_with_what_can() {
    let long = "x".repeat(300);
    for name in ["", "a\nb", &long] {
        let line = Store::nowhere().refused(&["init", "--name", name]);
        assert!(line.contains("device name") && line.ends_with("choose another with --name"), "{line}");
        let line = Store::init().refused(&["put", name, "x", "{}"]);
        assert!(line.contains("collection name") && line.contains("1 to 128 bytes"), "{line}");
    }
}

#[test]
fn input_that_is_no_text_is_said_to_be_none() {
    let store = Store::init();
    let path = store.beside("bytes");
    fs::write(&path, b"\xff{}").unwrap();
    let mut command = store.command(&["put", "notes", "-"]);
    let output = command.stdin(fs::File::open(&path).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("the input is not UTF-8"), "{line}");
}
