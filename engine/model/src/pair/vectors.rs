//! A frozen pairing: `tests/vectors/pairing.json`, which `tests/vectors/read_control.py` follows without this code.
//! `SUBROSA_WRITE_VECTORS=1` writes it anew.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::tests::{New, Old, pair};
use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::KeyPair;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn deliver(old: &mut Old, new: &mut New, messages: &mut Vec<Value>) {
    for bytes in new.drain() {
        messages.push(json!({ "from": "new", "bytes": hex(&bytes) }));
        old.handle(OfferInput::Message(&bytes)).unwrap();
    }
    for bytes in old.drain() {
        messages.push(json!({ "from": "old", "bytes": hex(&bytes) }));
        new.handle(&bytes).unwrap();
    }
}

fn made() -> Value {
    let (mut old, mut new) = pair();
    let mut messages = Vec::new();
    deliver(&mut old, &mut new, &mut messages);
    deliver(&mut old, &mut new, &mut messages);
    assert_eq!(old.shown, new.shown);
    old.handle(OfferInput::Confirmed(None)).unwrap();
    old.drain();
    let bundle = old.bundle();
    old.handle(OfferInput::DeviceAdded(&bundle)).unwrap();
    deliver(&mut old, &mut new, &mut messages);
    new.machine.handle(std::time::Duration::ZERO, JoinInput::Stored).unwrap();
    deliver(&mut old, &mut new, &mut messages);
    assert!(old.finished);
    // The new device's machine draws its ephemeral key first, after the test has drawn its device key.
    let entropy = SeededEntropy::dangerous_from_seed(2);
    let [_, ephemeral] = [(); 2].map(|()| KeyPair::generate(&entropy));
    json!({
        "note": "Test keys, published here: never use them. Steps: docs/PROTOCOL.md, Pairing.",
        "link": old.machine.link().to_text().as_str(),
        "new_ephemeral_pkcs8": hex(ephemeral.dangerous_to_pkcs8_der()),
        "messages": messages,
        "code": new.shown.unwrap().to_string(),
        "bundle": hex(bundle.as_bytes()),
    })
}

#[test]
fn pairing_bytes_are_frozen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/pairing.json");
    if std::env::var_os("SUBROSA_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made()).unwrap() + "\n").unwrap();
    }
    let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(made(), frozen);
}
