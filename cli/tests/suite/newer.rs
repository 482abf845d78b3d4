//! A vault in which a newer version has written what must not be ignored.

use std::sync::Arc;

use subrosa::testing::write_unknown_entry;
use subrosa::{Device, Options, SoftwareKey};

use crate::support::Store;

#[test]
fn status_says_in_words_that_an_update_is_needed_and_what_is_here_is_still_read_and_written() {
    let store = Store::init();
    store.ok(&["put", "notes", "x", r#"{"n":1}"#]);
    let said = |store: &Store| {
        let text = store.ok(&["status"]);
        let json: serde_json::Value = serde_json::from_str(&store.ok(&["status", "--json"])).unwrap();
        (text.contains("an admin uses a newer subrosa"), json["vaults"][0]["update_needed"].clone())
    };
    assert_eq!(said(&store), (false, false.into()));
    let key = std::fs::read(store.dir().join("device.key")).unwrap();
    let key = Arc::new(SoftwareKey::from_pkcs8_der(&key).unwrap());
    let device = Device::open(store.dir(), key, Options::default()).unwrap();
    write_unknown_entry(&device.vault("personal").unwrap(), 0xff).unwrap();
    drop(device);
    assert_eq!(said(&store), (true, true.into()));
    let text = store.ok(&["status"]);
    assert!(text.contains("sends nothing: update it"), "{text}");
    store.ok(&["put", "notes", "y", r#"{"n":2}"#]);
    assert_eq!(store.ok(&["list", "notes"]).lines().count(), 2);
}
