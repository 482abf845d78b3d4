//! put, get, list, delete.

use crate::support::Store;

#[test]
fn put_sets_the_fields_it_names_and_replace_removes_the_others() {
    let store = Store::init();
    let id = store.ok(&["put", "notes", r#"{"title":"one","done":false}"#]);
    assert_eq!(id.len(), 36);
    assert_eq!(store.ok(&["put", "notes", &id, r#"{"done":true}"#]), id);
    assert_eq!(store.ok(&["get", "notes", &id]), format!(r#"{{"done":true,"id":"{id}","title":"one"}}"#));
    assert_eq!(store.ok(&["put", "--replace", "notes", &id, r#"{"title":null}"#]), id);
    assert_eq!(store.ok(&["get", "notes", &id]), format!(r#"{{"id":"{id}","title":null}}"#));
    assert_eq!(store.ok(&["get", "notes", &id.to_uppercase()]), store.ok(&["get", "notes", &id]));
}

#[test]
fn deleted_is_gone_until_it_is_written_again() {
    let store = Store::init();
    store.ok(&["put", "notes", "x", r#"{"a":1,"b":2}"#]);
    store.ok(&["delete", "notes", "x"]);
    for args in [["get", "notes", "x"], ["delete", "notes", "x"]] {
        assert!(store.refused(&args).contains("no such record"), "{args:?}");
    }
    assert_eq!(store.ok(&["list", "notes"]), "");
    let id = store.ok(&["put", "notes", "x", r#"{"c":3}"#]);
    assert_eq!(store.ok(&["get", "notes", "x"]), format!(r#"{{"c":3,"id":"{id}"}}"#));
}

#[test]
fn a_name_is_one_record_in_each_collection() {
    let store = Store::init();
    let id = store.ok(&["put", "notes", "today", r#"{"a":1}"#]);
    assert_eq!(store.ok(&["put", "lists", "today", r#"{"b":1}"#]), id, "one rule everywhere");
    assert_ne!(store.ok(&["put", "notes", "Today", "{}"]), id, "no case folding");
    assert_eq!(store.ok(&["get", "notes", "today"]), store.ok(&["get", "notes", &id]));
    assert_eq!(store.ok(&["list", "lists"]), format!(r#"{{"b":1,"id":"{id}"}}"#));
    let spaced = store.ok(&["put", "notes", " 日本 🌹 ", r#"{"a":"é"}"#]);
    assert_eq!(store.ok(&["get", "notes", " 日本 🌹 "]), format!(r#"{{"a":"é","id":"{spaced}"}}"#));
    assert_eq!(store.ok(&["put", "notes", "--", "-x", "{}"]).len(), 36);
}

#[test]
fn the_name_rule_is_the_documented_one() {
    // SHA-256 over the label, the length of the name as u64, the name; version 8. Computed apart.
    let store = Store::init();
    assert_eq!(store.ok(&["put", "notes", "today", "{}"]), TODAY);
}

const TODAY: &str = "8cc75d85-7e88-8e57-b5c6-a8156dbdf291";

#[test]
fn values_come_back_exactly() {
    let store = Store::init();
    for (name, fields) in [
        ("the ends of i64", r#"{"a":-9223372036854775808,"b":9223372036854775807}"#),
        ("floats stay floats", r#"{"a":1.0,"b":-0.0,"c":1e300,"d":0.1}"#),
        ("text", r#"{"a":"\"\\\n\u0000é日🌹"}"#),
        ("bytes", r#"{"a":{"$bytes":"AAH/"},"b":{"$bytes":""}}"#),
        ("nested", r#"{"a":[null,true,[],{}],"b":{"y":1,"z":[2]}}"#),
        ("dollar names", r#"{"$bytes":1,"$id":2,"a":{"$$bytes":"x"}}"#),
        ("a field called collection", r#"{"collection":"stamps"}"#),
    ] {
        let id = store.ok_with(&["put", "values", "-"], fields);
        let line = store.ok(&["get", "values", &id]);
        let expected: serde_json::Value = {
            let mut value: serde_json::Value = serde_json::from_str(fields).unwrap();
            value["id"] = id.clone().into();
            value
        };
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected, "{name}");
        assert_eq!(store.ok_with(&["put", "--replace", "values", "-"], &line), id, "{name}: put back");
        assert_eq!(store.ok(&["get", "values", &id]), line, "{name}: byte for byte");
    }
}

#[test]
fn the_id_may_stand_in_the_json() {
    let store = Store::init();
    let id = store.ok(&["put", "notes", r#"{"id":"x","a":1}"#]);
    assert_eq!(store.ok(&["put", "notes", "x", r#"{"id":"x","b":2}"#]), id);
    assert_eq!(store.ok(&["get", "notes", "x"]), format!(r#"{{"a":1,"b":2,"id":"{id}"}}"#));
    assert!(store.refused(&["put", "notes", "y", r#"{"id":"x"}"#]).contains("one id on the command line"));
    assert_eq!(store.ok(&["put", "--json", "notes", "x", "{}"]), format!(r#"{{"id":"{id}"}}"#));
}

#[test]
fn a_list_is_in_the_order_of_ids() {
    let store = Store::init();
    let mut ids: Vec<String> =
        (0..30).map(|n| store.ok(&["put", "notes", &format!("n{n}"), &format!(r#"{{"n":{n}}}"#)])).collect();
    ids.sort_unstable();
    let listed = store.ok(&["list", "notes"]);
    let listed: Vec<String> = listed
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(listed, ids);
    assert_eq!(store.ok(&["list", "nothing-here"]), "");
}
