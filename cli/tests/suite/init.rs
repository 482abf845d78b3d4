//! init, and what does not need a store.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Store, mode};

/// Looks like a relay's address; nobody listens there.
pub(crate) const DEAD_RELAY: &str =
    "subrosa://127.0.0.1:9/#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_new_store_is_its_owners_alone_and_says_what_is_missing() {
    let store = Store::below("a/b/store");
    let ran = store.run(&["init", "--name", "laptop"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    for text in ["no recovery yet", "key file", "keystore of the operating system", "no relay"] {
        assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
    }
    assert_eq!(mode(store.dir()), 0o700);
    assert_eq!(mode(&store.dir().join("device.key")), 0o600);
    assert_eq!(mode(&store.dir().join("store.subrosa")) & 0o077, 0, "the store is nobody else's");
    assert!(store.ok(&["status"]).contains("personal"));
    assert!(store.ok(&["devices"]).contains("laptop"));
}

#[test]
fn an_existing_store_is_left_alone() {
    let store = Store::init();
    let id = store.ok(&["put", "notes", r#"{"a":1}"#]);
    let key = fs::read(store.dir().join("device.key")).unwrap();
    assert!(store.refused(&["init"]).contains("holds a store already"));
    assert_eq!(fs::read(store.dir().join("device.key")).unwrap(), key);
    assert_eq!(store.ok(&["get", "notes", &id]), format!(r#"{{"a":1,"id":"{id}"}}"#));
}

#[test]
fn a_refused_address_leaves_nothing_behind() {
    let store = Store::nowhere();
    assert!(store.refused(&["init", "--relay", "https://relay.example"]).contains("relay address"));
    assert!(!store.dir().exists());
}

#[test]
fn a_relay_is_kept_and_shown() {
    let store = Store::nowhere();
    store.ok_with(&["init", "--relay", "-"], &format!("{DEAD_RELAY}\n"));
    assert_eq!(store.ok(&["relay", "show"]), DEAD_RELAY);
    let other = DEAD_RELAY.replace(":9/", ":10/");
    store.ok(&["relay", "set", &other]);
    assert_eq!(store.ok(&["relay", "show"]), other);
    store.ok_with(&["relay", "set", "-"], DEAD_RELAY);
    assert_eq!(store.ok(&["relay", "show"]), DEAD_RELAY);
    assert!(store.refused(&["relay", "set", "nonsense"]).contains("relay address"));
    assert_eq!(store.ok(&["relay", "show"]), DEAD_RELAY);
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let store = Store::init();
    let key = store.dir().join("device.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let line = store.refused(&["status"]);
    assert!(line.contains("open to others (mode 0644)") && line.contains("chmod 600"), "{line}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    store.ok(&["status"]);
}

#[test]
fn a_wrong_or_missing_key_is_refused_and_changes_nothing() {
    let store = Store::init();
    let other = Store::init();
    let key = store.dir().join("device.key");
    let kept = fs::read(&key).unwrap();
    fs::copy(other.dir().join("device.key"), &key).unwrap();
    assert!(store.refused(&["list", "notes"]).contains("another device key"));
    fs::write(&key, b"not a key").unwrap();
    assert!(store.refused(&["list", "notes"]).contains("does not hold a device key"));
    fs::remove_file(&key).unwrap();
    assert!(store.refused(&["list", "notes"]).contains("is missing"));
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    store.ok(&["list", "notes"]);
}

#[test]
fn the_environment_names_the_store_too() {
    let store = Store::init();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_subrosa"))
        .env("SUBROSA_STORE", store.dir())
        .args(["put", "notes", "x", "{}"])
        .output()
        .unwrap();
    assert!(output.status.success());
    store.ok(&["get", "notes", "x"]);
}

#[test]
fn completions_name_the_commands() {
    let store = Store::nowhere();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = store.ok(&["completions", shell]);
        assert!(script.contains("subrosa") && script.contains("export"), "{shell}");
        assert!(!script.contains("demo-relay"), "{shell}: hidden commands stay hidden");
    }
    assert!(!store.dir().exists());
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let store = Store::nowhere();
    for args in [
        &["nonsense"][..],
        &[],
        &["put", "notes"],
        &["get", "notes"],
        &["sync", "--timeout", "soon"],
        &["sync", "--live", "--timeout", "3"],
        &["completions", "tcsh"],
        &["status", "--nonsense"],
    ] {
        let ran = store.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
    assert!(store.run(&["sync", "--timeout", "soon"]).stderr.contains("give a whole number of seconds"));
    assert!(store.ok(&["--version"]).starts_with("subrosa "));
}
