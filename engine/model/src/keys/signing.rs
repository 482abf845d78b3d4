//! The fast path for keys that sign all day: log keys.

use std::fmt;
use std::sync::OnceLock;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use zeroize::Zeroizing;

use super::{KeyPair, PublicKey, cost, signature};

/// A key pair prepared for signing often. `Debug` prints the public key's short id only.
///
/// Signs through ring, over ten times as fast as [`KeyPair::sign`] (docs/adr/0001). Two things differ: the
/// nonce takes in randomness of the operating system, so signing twice gives two signatures; and ring keeps
/// its copy of the scalar without wiping it on drop, so use it for keys that live as long as the process.
pub struct SigningKey {
    pair: KeyPair,
    /// Made at the first signature: ring multiplies to check the pair. `None` should it ever refuse one that was checked;
    /// signing then goes the slow way.
    fast: OnceLock<Option<EcdsaKeyPair>>,
    random: SystemRandom,
}

impl SigningKey {
    /// Prepares a pair.
    pub fn new(pair: KeyPair) -> Self {
        Self { pair, fast: OnceLock::new(), random: SystemRandom::new() }
    }

    fn fast(&self) -> Option<&EcdsaKeyPair> {
        let prepared = self.fast.get_or_init(|| {
            cost::multiplied();
            let der = self.pair.dangerous_to_pkcs8_der();
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &self.random).ok()
        });
        prepared.as_ref()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.pair.public()
    }

    /// Signs `label | payload` (ECDSA, SHA-256), `r | s` with a low `s`. About 20 microseconds, plus one copy
    /// of the payload.
    pub fn sign(&self, label: &[u8], payload: &[u8]) -> [u8; 64] {
        self.sign_fast(label, payload).unwrap_or_else(|| self.pair.sign(label, payload))
    }

    /// Writes PKCS#8 DER, as [`KeyPair::dangerous_to_pkcs8_der`].
    pub fn dangerous_to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pair.dangerous_to_pkcs8_der()
    }

    fn sign_fast(&self, label: &[u8], payload: &[u8]) -> Option<[u8; 64]> {
        let message = signature::message(label, payload);
        let signed = self.fast()?.sign(&self.random, &message).ok()?;
        signature::low_s(signed.as_ref())
    }
}

impl From<KeyPair> for SigningKey {
    fn from(pair: KeyPair) -> Self {
        Self::new(pair)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    #[test]
    fn the_fast_way_is_taken_and_gives_low_signatures() {
        let key = SigningKey::new(KeyPair::generate(&OsEntropy));
        assert_eq!(key.public(), key.pair.public());
        for n in 0..64u8 {
            let signature = key.sign_fast(b"label", &[n]).expect("ring signs");
            assert_eq!(key.public().verify(b"label", &[n], &signature), Ok(()), "a high s would be refused");
        }
    }

    #[test]
    fn without_the_fast_way_it_still_signs() {
        let key = SigningKey { fast: OnceLock::from(None), ..SigningKey::new(KeyPair::generate(&OsEntropy)) };
        let signature = key.sign(b"label", b"payload");
        assert_eq!(signature, key.pair.sign(b"label", b"payload"));
        assert_eq!(key.public().verify(b"label", b"payload", &signature), Ok(()));
    }
}
