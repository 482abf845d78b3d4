//! ECDSA P-256 with SHA-256 (FIPS 186-5) over `label | payload`: 64 bytes `r | s`, low `s` only.
//!
//! `(r, n - s)` verifies whenever `(r, s)` does, so whoever sees a signature can make a second one. Signatures
//! are hashed into chains, so one of the two must not exist: signing gives the low `s`, verifying refuses the high.

use p256::ecdsa::Signature;
use subrosa_protocol::ids;
pub use subrosa_protocol::verify::BadSignature;
use subrosa_protocol::verify::verify;

use super::{PublicKey, cost};

impl PublicKey {
    /// Checks a signature over `label | payload`, with the same code as the relay. About 50 microseconds, plus
    /// one copy of the payload.
    ///
    /// # Errors
    ///
    /// [`BadSignature`], whatever is wrong: a forger learns nothing from the difference.
    pub fn verify(&self, label: &[u8], payload: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        cost::multiplied();
        verify(&(*self).into(), label, payload, &ids::Signature::from_bytes(*signature))
    }
}

/// What is signed. Labels are constants of which none is a prefix of another used for signing, so the
/// concatenation is unambiguous (docs/FORMAT.md).
pub(super) fn message(label: &[u8], payload: &[u8]) -> Vec<u8> {
    [label, payload].concat()
}

/// The same signature with a low `s`; `None` when `r` or `s` is zero or not below the group order.
pub(super) fn low_s(signature: &[u8]) -> Option<[u8; 64]> {
    let signature = Signature::from_slice(signature).ok()?;
    Some(signature.normalize_s().to_bytes().into())
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;
    use crate::entropy::OsEntropy;
    use crate::keys::KeyPair;

    /// The other signature for the same message: `s` becomes `n - s`.
    fn mirrored(signature: &[u8; 64]) -> [u8; 64] {
        let parsed = Signature::from_slice(signature).unwrap();
        let (r, s) = parsed.split_scalars();
        Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap().to_bytes().into()
    }

    #[test]
    fn the_mirrored_signature_is_valid_ecdsa_and_refused() {
        let pair = KeyPair::generate(&OsEntropy);
        let low = pair.sign(b"label", b"payload");
        let high = mirrored(&low);
        assert_ne!(low, high);
        let public = pair.public();
        let raw = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes());
        assert!(raw.verify(b"labelpayload", &high).is_ok(), "plain ECDSA accepts both");
        assert_eq!(public.verify(b"label", b"payload", &low), Ok(()));
        assert_eq!(public.verify(b"label", b"payload", &high), Err(BadSignature));
        assert_eq!(low_s(&high), Some(low));
        assert_eq!(low_s(&low), Some(low));
    }

    #[test]
    fn only_the_signed_bytes_verify() {
        let pair = KeyPair::generate(&OsEntropy);
        let signature = pair.sign(b"label", b"payload");
        let public = pair.public();
        assert_eq!(public.verify(b"other", b"payload", &signature), Err(BadSignature));
        assert_eq!(public.verify(b"label", b"payloaD", &signature), Err(BadSignature));
        assert_eq!(
            KeyPair::generate(&OsEntropy).public().verify(b"label", b"payload", &signature),
            Err(BadSignature)
        );
        for bit in 0..512 {
            let mut altered = signature;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(public.verify(b"label", b"payload", &altered), Err(BadSignature), "bit {bit}");
        }
    }

    #[test]
    fn what_is_no_signature_is_not_normalised() {
        assert_eq!(low_s(&[0; 64]), None);
        assert_eq!(low_s(&[0xff; 64]), None);
        assert_eq!(low_s(&[1; 63]), None);
        assert_eq!(low_s(&[]), None);
    }
}
