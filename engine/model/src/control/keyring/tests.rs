use super::*;
use crate::control::{Founding, found_vault};
use crate::entropy::SeededEntropy;
use crate::keys::SoftwareKey;

/// A keyring with something in every place.
fn full() -> Keyring {
    let entropy = SeededEntropy::dangerous_from_seed(1);
    let device = SoftwareKey::generate(&entropy);
    let mut keyring = found_vault(&device, "a", &Founding::Home, &entropy).unwrap().keyring;
    keyring.rotate_logs(keyring.next_logs(&entropy));
    keyring.epochs.push(EpochSecrets::generate(Epoch(4), &entropy));
    keyring.epochs[0].key = None;
    keyring.epochs[0].write = None;
    keyring.prekeys.push(PrekeySecret { number: 1, pair: KeyPair::generate(&entropy) });
    assert!(keyring.keep_grant(Pin::from_bytes([1; 32]), b"grant"));
    keyring
}

#[test]
fn keyrings_come_back() {
    for keyring in [full(), {
        let mut bare = full();
        bare.user_secret = None;
        bare.recovery.entropy = None;
        bare.old_control_logs.clear();
        bare.prekeys.clear();
        bare.grants.clear();
        bare
    }] {
        let bytes = keyring.encode();
        let again = Keyring::decode(&bytes).unwrap();
        assert_eq!(again.encode(), bytes);
        assert_eq!(again.logs.incarnation, 1);
        assert_eq!(again.logs.data.public(), keyring.logs.data.public());
        assert_eq!(again.recovery.commitment(), keyring.recovery.commitment());
        assert_eq!(again.statements, keyring.statements);
    }
}

#[test]
fn keys_are_found_by_epoch() {
    let keyring = full();
    assert_eq!(keyring.live_epoch().epoch, Epoch(4));
    assert!(keyring.data_key(Epoch(0)).is_none(), "shredded");
    assert!(keyring.control_key(Epoch(0)).is_some(), "outlives the epoch key");
    assert!(keyring.data_key(Epoch(4)).is_some());
    assert!(keyring.epoch(Epoch(1)).is_none());
    let bytes = |epoch| keyring.data_key(epoch).map(EpochKey::dangerous_bytes);
    assert_ne!(bytes(Epoch(4)), keyring.control_key(Epoch(4)).map(ControlKey::dangerous_bytes));
    assert!(keyring.epochs[0].read_key().is_none());
    let live = keyring.live_epoch();
    let key = EpochKey::read(&mut Reader::new(live.key.as_ref().unwrap().dangerous_bytes())).unwrap();
    let again = EpochSecrets::live(Epoch(4), key, None);
    assert!(again.control.is(&live.control));
    assert_eq!(again.read_key().unwrap().public(), live.read_key().unwrap().public());
}

#[test]
fn damage_is_an_error() {
    let bytes = full().encode();
    for cut in 0..bytes.len() {
        assert!(Keyring::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let trailing = [&bytes[..], &[0]].concat();
    assert_eq!(Keyring::decode(&trailing).unwrap_err(), KeyringError(DecodeError::Trailing { left: 1 }));
    let mut newer = bytes.to_vec();
    newer[0] = 2;
    let unknown = DecodeError::Unknown { what: "keyring version", value: 2 };
    assert_eq!(Keyring::decode(&newer).unwrap_err(), KeyringError(unknown));
    for at in 0..bytes.len() {
        let mut altered = bytes.to_vec();
        altered[at] ^= 0x80;
        if let Ok(keyring) = Keyring::decode(&altered) {
            assert_eq!(*keyring.encode(), altered, "byte {at} has two encodings");
        }
    }
}

#[test]
fn epochs_rise() {
    let mut keyring = full();
    keyring.epochs.swap(0, 1);
    let refused = DecodeError::NotCanonical { what: "epochs" };
    assert_eq!(Keyring::decode(&keyring.encode()).unwrap_err(), KeyringError(refused));
}

#[test]
fn one_grant_for_each_relay() {
    let mut keyring = full();
    let pin = Pin::from_bytes([1; 32]);
    assert!(!keyring.keep_grant(pin, b"grant"), "known");
    assert!(keyring.keep_grant(pin, b"other"));
    assert!(!keyring.keep_grant(pin, &[0; 513]), "no grant is that long");
    assert_eq!(keyring.grant(&pin), Some(&b"other"[..]));
    assert_eq!(keyring.grants.len(), 1);
    for relay in 0..100 {
        keyring.keep_grant(Pin::from_bytes([relay; 32]), b"grant");
    }
    assert_eq!(keyring.grants.len(), GRANTS_MAX);
    assert!(Keyring::decode(&keyring.encode()).is_ok());
}

#[test]
fn a_control_log_that_may_still_sign_statements_is_kept() {
    let entropy = SeededEntropy::dangerous_from_seed(2);
    let mut keyring = full();
    let listed = keyring.old_control_logs[0].public();
    for _ in 0..OLD_LOGS_MAX + 3 {
        keyring.rotate_logs(keyring.next_logs(&entropy));
    }
    assert_eq!(keyring.old_control_logs.len(), OLD_LOGS_MAX);
    assert_eq!(keyring.old_control_logs[0].public(), listed);
    assert_eq!(keyring.logs.incarnation as usize, OLD_LOGS_MAX + 4);
}

#[test]
fn nothing_secret_is_printed() {
    let keyring = full();
    let printed = format!("{keyring:?}");
    assert_eq!(printed, "Keyring { epochs: 2, incarnation: 1, statements: 1, grants: 1, .. }");
}
