//! Records with more fields than one device may add, and records too large for one line.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::path::{Relay, paired};
use crate::support::Store;

/// An object of fields `a0`, `a1`, ...
fn many(prefix: &str, count: usize) -> String {
    let fields: Map<_, _> = (0..count).map(|n| (format!("{prefix}{n}"), Value::from(n))).collect();
    Value::Object(fields).to_string()
}

fn fields(store: &Store) -> Map<String, Value> {
    let mut fields: Map<_, _> = serde_json::from_str(&store.ok(&["get", "c", "shared"])).unwrap();
    fields.remove("id").unwrap();
    fields
}

#[test]
fn two_devices_that_add_many_fields_converge_on_a_record_that_stays_a_record_like_any() {
    let relay = Relay::start();
    let a = Store::nowhere();
    a.ok_with(&["init", "--relay", "-"], &relay.url);
    a.ok(&["put", "c", "shared", r#"{"title":"t"}"#]);
    a.ok(&["sync"]);
    let b = paired(&a, "b");
    b.ok(&["sync"]);
    a.ok_with(&["put", "c", "shared", "-"], &many("a", 600));
    b.ok_with(&["put", "c", "shared", "-"], &many("b", 600));
    for device in [&a, &b, &a] {
        device.ok(&["sync"]);
    }
    assert_eq!((fields(&a).len(), fields(&b).len()), (1201, 1201));
    a.ok(&["put", "c", "shared", r#"{"title":"edited"}"#]);
    a.ok(&["put", "c", "shared", r#"{"a1":"edited"}"#]);
    a.ok(&["delete", "c", "shared", "--field", "a2"]);
    assert!(a.refused(&["put", "c", "shared", r#"{"one":1,"more":2}"#]).contains("over the limit of 1024"));
    a.ok(&["sync"]);
    b.ok(&["sync"]);
    let merged = fields(&b);
    assert_eq!((merged.len(), &merged["title"], &merged["a1"]), (1200, &"edited".into(), &"edited".into()));

    let exported = a.ok(&["export"]);
    let new = Store::init();
    new.ok_with(&["import", "-"], &exported);
    assert_eq!(new.ok(&["export"]), exported);
    b.ok(&["verify"]);
    b.ok(&["delete", "c", "shared"]);
    assert_eq!(b.ok(&["export"]), "");
}

#[test]
fn one_field_is_printed_and_deleted() {
    let store = Store::init();
    store.ok(&["put", "c", "x", r#"{"a":1.0,"b\n":{"$bytes":"AA=="},"z":{"$$text":null}}"#]);
    assert_eq!(store.ok(&["get", "c", "x", "--names"]), "\"a\"\n\"b\\n\"\n\"z\"");
    assert_eq!(store.ok(&["get", "c", "x", "--field", "a"]), "1.0");
    assert_eq!(store.ok(&["get", "c", "x", "--field", "b\n"]), r#"{"$bytes":"AA=="}"#);
    assert_eq!(store.ok(&["get", "c", "x", "--field", "z"]), r#"{"$$text":null}"#);
    store.ok(&["delete", "c", "x", "--field", "a"]);
    for args in [["get", "c", "x", "--field", "a"], ["delete", "c", "x", "--field", "a"]] {
        assert!(store.refused(&args).contains("the record has no such field"), "{args:?}");
    }
    for args in [["get", "c", "y", "--field", "a"], ["delete", "c", "y", "--field", "a"]] {
        assert!(store.refused(&args).contains("no such record"), "{args:?}");
    }
    assert!(store.refused(&["get", "c", "y", "--names"]).contains("no such record"));
    store.ok(&["delete", "c", "x", "--field", "b\n"]);
    store.ok(&["delete", "c", "x", "--field", "z"]);
    assert_eq!(store.ok(&["get", "c", "x", "--names"]), "", "a record without a field is one");
}

#[test]
fn a_record_too_large_for_a_line_is_exported_in_parts_and_imported_again() {
    let store = Store::init();
    let mut file = "{\"collection\":\"c\",\"id\":\"small\",\"n\":1}\n".to_owned();
    // Characters that are six times as long in JSON.
    let value = "\\u0001".repeat((1 << 20) - 64);
    for n in 0..17 {
        writeln!(file, r#"{{"collection":"c","id":"large","f{n:02}":"{value}"}}"#).unwrap();
    }
    store.ok_with(&["import", "-"], &file);
    let refusal = store.refused(&["get", "c", "large"]);
    assert!(refusal.contains("read it field by field"), "{refusal}");
    assert_eq!(store.ok(&["get", "c", "large", "--names"]).lines().count(), 17);
    assert_eq!(store.ok(&["get", "c", "large", "--field", "f16"]).len(), value.len() + 2);
    let exported = store.ok(&["export"]);
    // Seven or eight fields of a little less than 1 MiB each in a line, and the other record whole.
    assert_eq!(exported.lines().count(), 4);
    let listed = store.ok(&["list", "c"]);
    assert_eq!(listed.lines().count(), 4);
    let copy = Store::init();
    copy.ok_with(&["import", "-"], &exported);
    assert!(copy.ok(&["export"]) == exported, "what was exported was imported");
    copy.ok(&["delete", "c", "large", "--field", "f03"]);
    copy.ok(&["delete", "c", "large", "--field", "f04"]);
    assert_eq!(copy.ok(&["get", "c", "large"]).matches("\"f").count(), 15);
}

/// Lists of nothing take some hundred times their bytes.
#[test]
fn a_record_that_takes_too_much_memory_is_exported_in_parts_and_imported_again() {
    let store = Store::init();
    let mut file = "{\"collection\":\"c\",\"id\":\"small\",\"n\":1}\n".to_owned();
    let value = format!("[{}]", vec!["null"; 750_000].join(","));
    for n in 0..2 {
        writeln!(file, r#"{{"collection":"c","id":"large","f{n}":{value}}}"#).unwrap();
    }
    store.ok_with(&["import", "-"], &file);
    let refusal = store.refused(&["get", "c", "large"]);
    assert!(refusal.contains("read it field by field"), "{refusal}");
    let exported = store.ok(&["export"]);
    assert_eq!(exported.lines().count(), 3, "a field in each line, and the other record whole");
    let copy = Store::init();
    copy.ok_with(&["import", "-"], &exported);
    assert!(copy.ok(&["export"]) == exported, "what was exported was imported");
    copy.ok(&["delete", "c", "large", "--field", "f0"]);
    assert_eq!(copy.ok(&["get", "c", "large"]).matches("\"f").count(), 1);
}
