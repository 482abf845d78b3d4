//! What a relay says it granted replaces nothing before it was checked.

use sha2::{Digest as _, Sha256};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_protocol::ids::{Pin, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::token::Grant;

use super::device_with_vault;
use crate::error::{Error, PeerFault};

fn pin_of(key: &KeyPair) -> Pin {
    Pin::from_bytes(Sha256::digest(key.public().to_spki_der()).into())
}

fn grant(relay: &KeyPair, vault: VaultId, class: u8) -> Vec<u8> {
    let mut grant = Grant { vault, class, signature: Signature::ZERO };
    grant.signature = Signature::from_bytes(relay.sign(labels::GRANT, &grant.signed_bytes()));
    grant.encode()
}

#[test]
fn a_grant_that_the_pinned_key_did_not_sign_replaces_nothing() {
    let device = device_with_vault();
    let vault = device.vault().id();
    let (relay, other) = (KeyPair::generate(&OsEntropy), KeyPair::generate(&OsEntropy));
    let (pin, key): (_, PublicKeyBytes) = (pin_of(&relay), relay.public().into());
    let first = grant(&relay, vault, 1);
    device.core().store_grant(&pin, Some(&key), &vault, &first).unwrap();
    let other_key: PublicKeyBytes = other.public().into();
    let mut altered = grant(&relay, vault, 2);
    altered[32] ^= 1;
    let elsewhere = VaultId::from_bytes([8; 32]);
    let cases = [
        ("signed by another key", Some(&key), grant(&other, vault, 2)),
        ("another key than the pinned one", Some(&other_key), grant(&other, vault, 2)),
        ("a relay that shows no key", None, grant(&relay, vault, 2)),
        ("a quota class that was not signed", Some(&key), altered),
        ("of another vault", Some(&key), grant(&relay, elsewhere, 2)),
        ("cut short", Some(&key), first[..40].to_vec()),
    ];
    for (name, shown, bytes) in cases {
        let stored = device.core().store_grant(&pin, shown, &vault, &bytes);
        assert!(matches!(stored, Err(Error::Peer(PeerFault::BadGrant))), "{name}: {stored:?}");
        let kept = device.core().birth(&vault, &pin).unwrap().grant;
        assert_eq!(kept.as_ref(), Some(&first), "{name}");
    }
    let second = grant(&relay, vault, 2);
    device.core().store_grant(&pin, Some(&key), &vault, &second).unwrap();
    assert_eq!(device.core().birth(&vault, &pin).unwrap().grant, Some(second));
}
