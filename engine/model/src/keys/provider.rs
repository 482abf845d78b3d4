//! Keys that may live elsewhere: in a Secure Enclave, StrongBox or TPM, or in our memory.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{KeyError, KeyPair, PublicKey, signature};
use crate::entropy::Entropy;

/// A P-256 key pair that agrees and signs without showing its scalar.
///
/// [`SoftwareKey`](super::SoftwareKey) is the one in memory; a host app implements it over its hardware.
pub trait KeyProvider: Send + Sync {
    /// The public half; the same at every call.
    fn public(&self) -> PublicKey;

    /// ECDH: the X coordinate of the shared point, 32 bytes big endian.
    ///
    /// # Errors
    ///
    /// [`KeyError::Provider`] when the hardware did not do it.
    fn agree(&self, peer: &PublicKey) -> Result<SharedSecret, KeyError>;

    /// ECDSA over the SHA-256 of `message`: `r | s`, 64 bytes. A high `s` is fine; [`sign_with`] lowers it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Provider`] when the hardware did not do it.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError>;
}

/// Checks that what a provider agrees on fits its public key, by agreeing with a key made for that. Done once, when a
/// store is made: what a broken provider answers could be anything, even the same for everybody, and nothing else
/// would ever notice.
///
/// # Errors
///
/// What the provider returns, and [`KeyError::ProviderAgreement`].
pub fn check_agreement(provider: &dyn KeyProvider, entropy: &dyn Entropy) -> Result<(), KeyError> {
    let other = KeyPair::generate(entropy);
    let theirs = provider.agree(&other.public())?;
    let expected = other.agree(&provider.public());
    let equal: bool = theirs.dangerous_bytes().ct_eq(expected.dangerous_bytes()).into();
    if equal { Ok(()) } else { Err(KeyError::ProviderAgreement) }
}

/// Signs `label | payload` with a provider: lowers `s`, and checks the result against the provider's public
/// key, so that broken hardware is found here and not by every peer.
///
/// # Errors
///
/// What the provider returns, and [`KeyError::ProviderSignature`].
pub fn sign_with(provider: &dyn KeyProvider, label: &[u8], payload: &[u8]) -> Result<[u8; 64], KeyError> {
    let signed = provider.sign(&signature::message(label, payload))?;
    let low = signature::low_s(&signed).ok_or(KeyError::ProviderSignature)?;
    provider.public().verify(label, payload, &low).map_err(|_| KeyError::ProviderSignature)?;
    Ok(low)
}

/// What two key pairs share: the X coordinate of ECDH. Wiped on drop; `Debug` prints only its name.
///
/// Input of a key derivation, never a key: its bits are not uniform.
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    /// Takes what a [`KeyProvider`] computed: 32 bytes big endian, leading zeros kept.
    pub fn new(x: Zeroizing<[u8; 32]>) -> Self {
        Self(x)
    }

    /// The bytes. Whoever has them has every session of the two pairs.
    pub fn dangerous_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use crate::keys::{KeyPair, SoftwareKey};

    /// Hardware of many kinds.
    struct Chip {
        inner: SoftwareKey,
        answer: fn([u8; 64]) -> Result<[u8; 64], KeyError>,
    }

    impl KeyProvider for Chip {
        fn public(&self) -> PublicKey {
            self.inner.public()
        }

        fn agree(&self, peer: &PublicKey) -> Result<SharedSecret, KeyError> {
            self.inner.agree(peer)
        }

        fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
            (self.answer)(self.inner.sign(message)?)
        }
    }

    /// `n - s`, as hardware gives in half of all cases.
    fn high_s(signature: [u8; 64]) -> Result<[u8; 64], KeyError> {
        let parsed = p256::ecdsa::Signature::from_slice(&signature).unwrap();
        let (r, s) = parsed.split_scalars();
        Ok(p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap().to_bytes().into())
    }

    #[test]
    fn what_hardware_answers_is_normalised_and_checked() {
        let sign = |answer| {
            let chip = Chip { inner: SoftwareKey::new(KeyPair::generate(&OsEntropy)), answer };
            let result = sign_with(&chip, b"label", b"payload");
            result.map(|signature| chip.public().verify(b"label", b"payload", &signature))
        };
        assert_eq!(sign(Ok), Ok(Ok(())));
        assert_eq!(sign(high_s), Ok(Ok(())));
        assert_eq!(sign(|_| Ok([0; 64])), Err(KeyError::ProviderSignature));
        assert_eq!(sign(|_| Ok([1; 64])), Err(KeyError::ProviderSignature));
        assert_eq!(sign(|_| Err(KeyError::Provider { code: -25 })), Err(KeyError::Provider { code: -25 }));
    }
}
