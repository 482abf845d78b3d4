//! Frozen bytes of the birth of a vault, of a second device, and of entries good and bad: `tests/vectors/control.json`,
//! which `tests/vectors/read_control.py` checks without this code. `SUBROSA_WRITE_VECTORS=1` writes it anew.

mod cases;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use subrosa_protocol::ids::{Epoch, LogId, PublicKeyBytes, Seq, VaultId};

use self::cases::{bad, shapes};
use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, KeyProvider, PublicKey, SoftwareKey};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn key(pair: &KeyPair) -> Value {
    json!({ "pkcs8": hex(pair.dangerous_to_pkcs8_der()), "public": hex(pair.public().as_bytes()) })
}

fn entropy(seed: u64) -> SeededEntropy {
    SeededEntropy::dangerous_from_seed(seed)
}

fn log_of(pair: &KeyPair) -> LogId {
    LogId::of(&PublicKeyBytes::from_bytes(*pair.public().as_bytes()))
}

fn segment(log: LogId, seq: u64, data: &[u8]) -> Value {
    json!({ "log": hex(log.as_bytes()), "seq": seq, "data": hex(data) })
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

/// The vault of all vectors, its founder, and a second device with logs of its own.
struct World {
    founder: SoftwareKey,
    founded: Founded,
    phone: SoftwareKey,
    phone_logs: OwnLogs,
    phone_admin: KeyPair,
    phone_prekey: KeyPair,
}

impl World {
    fn new() -> Self {
        let founder = SoftwareKey::generate(&entropy(1));
        let founded = found_vault(&founder, "Ada's laptop", &Founding::Home, &entropy(3)).unwrap();
        Self {
            founder,
            founded,
            phone: SoftwareKey::generate(&entropy(2)),
            phone_logs: OwnLogs::generate(0, &entropy(5)),
            phone_admin: KeyPair::generate(&entropy(6)),
            phone_prekey: KeyPair::generate(&entropy(4)),
        }
    }

    const fn vault(&self) -> &VaultId {
        &self.founded.vault
    }

    /// "Device added", of the phone.
    fn added(&self, name: &str, role: DeviceRole) -> DeviceAdded {
        DeviceAdded {
            device: self.phone.public(),
            prekey: SignedPrekey::sign(&self.phone, 0, self.phone_prekey.public()).unwrap(),
            name: DeviceName::new(name).unwrap(),
            role,
        }
    }

    /// The certificate of the phone's logs, in a vault.
    fn certificate(&self, vault: &VaultId) -> LogCertificate {
        let prekey = self.added("-", DeviceRole::Admin).prekey;
        LogCertificate::prove(*vault, self.phone.public(), &self.phone_logs, &self.phone_admin, prekey)
    }

    fn founder_control(&self) -> LogId {
        log_of(&self.founded.keyring.logs.control)
    }

    fn phone_control(&self) -> LogId {
        log_of(&self.phone_logs.control)
    }
}

/// Segments of a vault in which entries stand where their authors' logs are not, and in another order than their numbers.
fn story(world: &World) -> Vec<(LogId, u64, Vec<u8>)> {
    let tablet = SoftwareKey::generate(&entropy(8));
    let prekey = SignedPrekey::sign(&tablet, 7, KeyPair::generate(&entropy(9)).public()).unwrap();
    let by_founder = |number, name: &str, role| {
        encode_entries(&[
            device_added(&world.founder, world.vault(), number, world.added(name, role)).unwrap()
        ])
    };
    let name = DeviceName::new("tablet").unwrap();
    let added = DeviceAdded { device: tablet.public(), prekey, name, role: DeviceRole::Reader };
    let adds_tablet = encode_entries(&[device_added(&world.phone, world.vault(), 1, added).unwrap()]);
    let prekey = PrekeySecret {
        pair: KeyPair::generate(&entropy(4)),
        ..PrekeySecret::generate(&world.phone_logs, &entropy(7))
    };
    let (logs, admin) = (&world.phone_logs, &world.phone_admin);
    let birth = LogBirth { vault: world.vault(), number: 0, logs, admin, prekey: &prekey };
    vec![
        (world.founder_control(), 0, world.founded.genesis_entries.clone()),
        (world.founder_control(), 1, by_founder(5, "phone, renamed too late", DeviceRole::Admin)),
        (world.founder_control(), 2, by_founder(2, "téléphone", DeviceRole::Writer)),
        (world.founder_control(), 3, adds_tablet),
        (world.phone_control(), 0, birth.entries(&world.phone).unwrap()),
        (world.phone_control(), 1, by_founder(5, "phone, renamed too late", DeviceRole::Admin)),
    ]
}

fn made() -> Value {
    let world = World::new();
    let keyring = &world.founded.keyring;
    let mut members = Members::new(*world.vault());
    let segments = story(&world);
    for (log, seq, data) in &segments {
        members.apply(*log, Seq(*seq), data).unwrap();
    }
    let second = KeyPair::generate(&entropy(2));
    json!({
        "note": "Test keys, published here: never use them. Layouts: docs/FORMAT.md, Control entries and Keyring.",
        "founder": key(&KeyPair::generate(&entropy(1))),
        "founder_logs": { "control": key(&keyring.logs.control), "data": key(&keyring.logs.data) },
        "founder_admin": key(&keyring.admin),
        "second": key(&second),
        "second_logs": { "control": key(&world.phone_logs.control), "data": key(&world.phone_logs.data) },
        "second_admin": key(&world.phone_admin),
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
        "vault": hex(world.vault().as_bytes()),
        "segments": segments.iter().map(|(log, seq, data)| segment(*log, *seq, data)).collect::<Vec<_>>(),
        "statement_0": hex(&world.founded.statement),
        "keyring": hex(keyring.encode()),
        "members": members.devices().iter().map(member).collect::<Vec<_>>(),
        "entries": shapes(&world),
        "bad": bad(&world),
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
