//! Checking ECDSA P-256 signatures (FIPS 186-5) over `label | payload` with SHA-256, low `s` only.

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::ids::{PublicKeyBytes, Signature};

/// The signature does not hold: other key, other bytes, or a high `s`. Treat what it covers as forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature does not hold")]
pub struct BadSignature;

/// Half of the order of P-256, rounded down: the largest `s` that is low.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Checks `signature` over `label | payload`. About 50 microseconds.
///
/// # Errors
/// [`BadSignature`], whatever is wrong: a peer learns nothing from the difference.
pub fn verify(
    public: &PublicKeyBytes,
    label: &[u8],
    payload: &[u8],
    signature: &Signature,
) -> Result<(), BadSignature> {
    if signature.as_bytes()[32..] > HALF_ORDER[..] {
        return Err(BadSignature);
    }
    let mut message = Vec::with_capacity(label.len() + payload.len());
    message.extend_from_slice(label);
    message.extend_from_slice(payload);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes())
        .verify(&message, signature.as_bytes())
        .map_err(|_| BadSignature)
}
