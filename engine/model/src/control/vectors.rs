//! Frozen bytes of the birth of a vault and of a second device: `tests/vectors/control.json`, which
//! `tests/vectors/read_control.py` checks without this code. `SUBROSA_WRITE_VECTORS=1` writes it anew.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use subrosa_protocol::ids::{Epoch, LogId, PublicKeyBytes, Seq};

use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, KeyProvider, PublicKey, SoftwareKey};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn key(pair: &KeyPair) -> Value {
    json!({ "pkcs8": hex(pair.dangerous_to_pkcs8_der()), "public": hex(pair.public().as_bytes()) })
}

fn log_of(pair: &KeyPair) -> LogId {
    LogId::of(&PublicKeyBytes::from_bytes(*pair.public().as_bytes()))
}

fn segment(log: &KeyPair, seq: u64, data: &[u8]) -> Value {
    json!({ "log": hex(log_of(log).as_bytes()), "seq": seq, "data": hex(data) })
}

fn member(device: &ListedDevice) -> Value {
    let added_by = device.added_by.as_ref().map(PublicKey::as_bytes).map(hex);
    json!({
        "device": hex(device.public.as_bytes()),
        "name": device.name.as_str(),
        "role": device.role as u8,
        "added_by": added_by,
    })
}

fn made() -> Value {
    let entropy = |seed| SeededEntropy::dangerous_from_seed(seed);
    let (founder, second) = (KeyPair::generate(&entropy(1)), KeyPair::generate(&entropy(2)));
    let device = SoftwareKey::generate(&entropy(1));
    let founded = found_vault(&device, "Ada's laptop", &Founding::Home, &entropy(3)).unwrap();
    let keyring = &founded.keyring;

    let phone = SoftwareKey::generate(&entropy(2));
    let prekey = KeyPair::generate(&entropy(4));
    let added = DeviceAdded {
        device: phone.public(),
        prekey: SignedPrekey::sign(&phone, 0, prekey.public()).unwrap(),
        name: DeviceName::new("téléphone").unwrap(),
        role: DeviceRole::Admin,
    };
    let adding = device_added(&device, &founded.vault, 2, added).unwrap();
    let logs = OwnLogs::generate(0, &entropy(5));
    let admin = KeyPair::generate(&entropy(6));
    let prekey = PrekeySecret { pair: prekey, ..PrekeySecret::generate(&logs, &entropy(7)) };
    let birth = LogBirth { vault: &founded.vault, number: 0, logs: &logs, admin: &admin, prekey: &prekey };
    let certified = birth.entries(&phone).unwrap();

    let mut members = Members::new(founded.vault);
    let control = &keyring.logs.control;
    members.apply(log_of(control), Seq(0), &founded.genesis_entries).unwrap();
    members.apply(log_of(control), Seq(1), &adding).unwrap();
    members.apply(log_of(&logs.control), Seq(0), &certified).unwrap();
    json!({
        "note": "Test keys, published here: never use them. Layouts: docs/FORMAT.md, Control entries and Keyring.",
        "founder": key(&founder),
        "founder_logs": { "control": key(control), "data": key(&keyring.logs.data) },
        "second": key(&second),
        "second_logs": { "control": key(&logs.control), "data": key(&logs.data) },
        "recovery": {
            "entropy": hex(keyring.recovery.entropy.as_ref().unwrap().dangerous_bytes()),
            "public": hex(keyring.recovery.public.as_bytes()),
            "nonce": hex(keyring.recovery.nonce),
            "commitment": hex(keyring.recovery.commitment()),
        },
        "epoch_0": {
            "key": hex(keyring.data_key(Epoch(0)).unwrap().dangerous_bytes()),
            "control_key": hex(keyring.control_key(Epoch(0)).unwrap().dangerous_bytes()),
            "read": key(&keyring.live_epoch().read_key().unwrap()),
            "write": key(keyring.live_epoch().write.as_ref().unwrap()),
        },
        "vault": hex(founded.vault.as_bytes()),
        "segments": [
            segment(control, 0, &founded.genesis_entries),
            segment(control, 1, &adding),
            segment(&logs.control, 0, &certified),
        ],
        "statement_0": hex(&founded.statement),
        "keyring": hex(keyring.encode()),
        "members": members.devices().iter().map(member).collect::<Vec<_>>(),
    })
}

#[test]
fn control_bytes_are_frozen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/control.json");
    if std::env::var_os("SUBROSA_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made()).unwrap() + "\n").unwrap();
    }
    let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(made(), frozen);
}
