//! The key provider whose key is in our own memory.

use zeroize::Zeroizing;

use super::{KeyError, KeyPair, KeyProvider, PublicKey, SharedSecret};
use crate::entropy::Entropy;

/// The default [`KeyProvider`]: a [`KeyPair`] in memory, whose PKCS#8 the host keeps.
#[derive(Debug)]
pub struct SoftwareKey(KeyPair);

impl SoftwareKey {
    /// Wraps a pair.
    pub fn new(pair: KeyPair) -> Self {
        Self(pair)
    }

    /// A new pair, as [`KeyPair::generate`].
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(KeyPair::generate(entropy))
    }

    /// Reads what the host kept, as [`KeyPair::from_pkcs8_der`].
    ///
    /// # Errors
    ///
    /// As [`KeyPair::from_pkcs8_der`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        KeyPair::from_pkcs8_der(der).map(Self)
    }

    /// What the host is to keep, in its OS keystore where there is one.
    pub fn dangerous_to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.0.dangerous_to_pkcs8_der()
    }
}

impl KeyProvider for SoftwareKey {
    fn public(&self) -> PublicKey {
        self.0.public()
    }

    fn agree(&self, peer: &PublicKey) -> Result<SharedSecret, KeyError> {
        Ok(self.0.agree(peer))
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        Ok(self.0.sign(&[], message))
    }
}

impl From<KeyPair> for SoftwareKey {
    fn from(pair: KeyPair) -> Self {
        Self(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use crate::keys::sign_with;

    #[test]
    fn the_provider_is_the_pair() {
        let pair = KeyPair::generate(&OsEntropy);
        let key = SoftwareKey::from_pkcs8_der(&pair.dangerous_to_pkcs8_der()).unwrap();
        let peer = KeyPair::generate(&OsEntropy).public();
        assert_eq!(key.public(), pair.public());
        assert_eq!(key.agree(&peer).unwrap().dangerous_bytes(), pair.agree(&peer).dangerous_bytes());
        assert_eq!(sign_with(&key, b"label", b"payload"), Ok(pair.sign(b"label", b"payload")));
        assert_eq!(key.dangerous_to_pkcs8_der(), pair.dangerous_to_pkcs8_der());
        assert_eq!(SoftwareKey::from_pkcs8_der(&[]).unwrap_err(), KeyError::PrivateKeyEncoding { bytes: 0 });
    }
}
