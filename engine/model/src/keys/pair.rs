//! The software key pair.

use std::fmt;
use std::sync::OnceLock;

use p256::SecretKey;
use p256::ecdsa::signature::MultipartSigner;
use p256::ecdsa::{self, Signature};
use p256::elliptic_curve::ecdh::diffie_hellman;
use zeroize::Zeroizing;

use super::{KeyError, PublicKey, SharedSecret, cost, kdf, pkcs8};
use crate::entropy::Entropy;

/// A P-256 key pair in memory. Wiped on drop; `Debug` prints the public key's short id only.
///
/// It cannot be copied, compared or serialised; [`Self::dangerous_to_pkcs8_der`] is the one way out, into a buffer that
/// wipes itself.
pub struct KeyPair {
    /// Wipes its scalar on drop.
    secret: SecretKey,
    public: PublicKey,
    /// Made when it is asked for: that costs a multiplication.
    signing: OnceLock<ecdsa::SigningKey>,
}

impl KeyPair {
    /// A new pair: 32 random bytes, drawn again while they are no scalar in `1..n` (FIPS 186-5, A.2.2).
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::first_valid(|_| entropy.secret())
    }

    /// The pair that follows from a secret: `HKDF-SHA256(ikm, no salt, label | try)` with `try` a 32-bit big
    /// endian number from 0, counted up while the result is no scalar in `1..n` (one try in 2^32 fails).
    ///
    /// For keys that several devices, or the same one later, must find again from something they share.
    pub fn derive(ikm: &[u8; 32], label: &[u8]) -> Self {
        Self::first_valid(|attempt| kdf::derive(ikm, &[], &[label, &attempt.to_be_bytes()]))
    }

    /// Rejection sampling: no other mapping of bytes to scalars is free of bias.
    fn first_valid(mut candidate: impl FnMut(u32) -> Zeroizing<[u8; 32]>) -> Self {
        (0..=u32::MAX)
            .find_map(|attempt| Self::from_scalar(&candidate(attempt)).ok())
            .expect("2^32 candidates do not all miss a range that holds nearly every candidate")
    }

    /// Reads unencrypted PKCS#8 DER (RFC 5958 around RFC 5915) of 67, 79, 138 or 150 bytes. The public key is
    /// computed from the scalar; one inside the file is only compared with it.
    ///
    /// # Errors
    ///
    /// [`KeyError::PrivateKeyEncoding`] for any other form and for trailing bytes, [`KeyError::ScalarOutOfRange`]
    /// for zero and for values from the group order up, [`KeyError::PublicKeyMismatch`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = pkcs8::parse(der)?;
        let pair = Self::from_scalar(parsed.scalar)?;
        match parsed.public {
            Some(claimed) if claimed != pair.public.as_bytes() => Err(KeyError::PublicKeyMismatch),
            _ => Ok(pair),
        }
    }

    /// Reads what [`Self::dangerous_to_pkcs8_der`] wrote and the sealed store has authenticated since: the public key is taken as
    /// it stands there, and nothing is multiplied. From anywhere else a pair is read by [`Self::from_pkcs8_der`].
    ///
    /// # Errors
    ///
    /// [`KeyError::PrivateKeyEncoding`] for any other form, [`KeyError::ScalarOutOfRange`], [`KeyError::NotOnCurve`].
    #[doc(hidden)]
    pub fn from_stored(der: &[u8]) -> Result<Self, KeyError> {
        let parsed = pkcs8::parse(der)?;
        let public = parsed.public.ok_or(KeyError::PrivateKeyEncoding { bytes: der.len() })?;
        let secret = SecretKey::from_slice(parsed.scalar).map_err(|_| KeyError::ScalarOutOfRange)?;
        Ok(Self { secret, public: PublicKey::from_sec1(public)?, signing: OnceLock::new() })
    }

    /// Writes PKCS#8 DER in the 138-byte form, public key inside.
    pub fn dangerous_to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        pkcs8::write(&self.scalar(), self.public.as_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// ECDH (NIST SP 800-56A, 5.7.1.2): the X coordinate, 32 bytes, leading zeros kept. Cannot fail, for both
    /// sides were checked when they were made. About 250 microseconds.
    pub fn agree(&self, peer: &PublicKey) -> SharedSecret {
        let scalar = Zeroizing::new(self.secret.to_nonzero_scalar());
        let shared = diffie_hellman(&*scalar, peer.point().as_affine());
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(shared.raw_secret_bytes());
        SharedSecret::new(bytes)
    }

    /// Signs `label | payload` (ECDSA, SHA-256), `r | s` with a low `s`. Deterministic (RFC 6979): one message
    /// has one signature. About 250 microseconds; see [`SigningKey`](super::SigningKey) for hot paths.
    pub fn sign(&self, label: &[u8], payload: &[u8]) -> [u8; 64] {
        let signature: Signature = self
            .signing()
            .try_multipart_sign(&[label, payload])
            .expect("RFC 6979 finds a nonce for every message");
        signature.normalize_s().to_bytes().into()
    }

    /// Checks the range and computes the public key.
    fn from_scalar(scalar: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = SecretKey::from_slice(scalar).map_err(|_| KeyError::ScalarOutOfRange)?;
        cost::multiplied();
        let signing = ecdsa::SigningKey::from(&secret);
        let public = PublicKey::from_point(&p256::PublicKey::from(signing.verifying_key()));
        Ok(Self { secret, public, signing: OnceLock::from(signing) })
    }

    fn signing(&self) -> &ecdsa::SigningKey {
        self.signing.get_or_init(|| {
            cost::multiplied();
            ecdsa::SigningKey::from(&self.secret)
        })
    }

    /// The scalar, for writing it.
    fn scalar(&self) -> Zeroizing<[u8; 32]> {
        let field = Zeroizing::new(self.secret.to_bytes());
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&field);
        scalar
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
