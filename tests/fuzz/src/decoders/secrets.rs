//! Entries of control logs, what a device keeps secret, and what pairing sends.

use subrosa_model::control::{Keyring, decode_entries, encode_entries};
use subrosa_model::keys::{KeyPair, PublicKey};
use subrosa_model::pair::testing;

pub(super) fn control_entries(data: &[u8]) {
    if let Ok(entries) = decode_entries(data) {
        assert_eq!(encode_entries(&entries), data);
    }
}

pub(super) fn keyring(data: &[u8]) {
    if let Ok(keyring) = Keyring::decode(data) {
        assert_eq!(keyring.encode()[..], *data);
    }
}

pub(super) fn bundle(data: &[u8]) {
    testing::read_bundle(data);
}

pub(super) fn pair_message(data: &[u8]) {
    if let Some(again) = testing::message_again(data) {
        assert_eq!(again, data);
    }
}

pub(super) fn public_key(data: &[u8]) {
    if let Ok(key) = PublicKey::from_sec1(data) {
        assert_eq!(key.as_bytes()[..], *data);
    }
    if let Ok(key) = PublicKey::from_spki_der(data) {
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Ok(key));
    }
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|text| PublicKey::from_base64(text).ok()) {
        assert_eq!(PublicKey::from_base64(&key.to_base64()), Ok(key));
    }
}

pub(super) fn private_key(data: &[u8]) {
    if let Ok(pair) = KeyPair::from_pkcs8_der(data) {
        let again =
            KeyPair::from_pkcs8_der(&pair.dangerous_to_pkcs8_der()).expect("what was written is a key");
        assert_eq!(again.public(), pair.public());
    }
}
