//! The relay's long-lived key: pinned by clients, it signs invites and grants and is the key of the
//! self-signed TLS certificate.

use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use subrosa_protocol::frame::ALPN;
use subrosa_protocol::ids::{Pin, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::token::{Grant, Invite};
use zeroize::Zeroizing;

use crate::clock::WallTime;
use crate::error::Error;
use crate::files::{self, Placed};

/// DER of a P-256 SubjectPublicKeyInfo up to the point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// See the module's documentation.
pub struct RelayKey {
    signing: EcdsaKeyPair,
    public: PublicKeyBytes,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl RelayKey {
    /// Makes a key and writes it to a new `relay.key`.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is one, which stays; [`Error::File`], [`Error::Tls`].
    pub fn create(data: &Path) -> Result<Self, Error> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(tls)?;
        let pkcs8 = Zeroizing::new(pair.serialize_der());
        match files::write_new(&data.join(files::KEY), &pkcs8)? {
            Placed::Made => Self::from_pkcs8(pkcs8),
            Placed::There => Err(Error::Exists(data.to_owned())),
        }
    }

    /// Reads `relay.key`.
    ///
    /// # Errors
    /// [`Error::NotARelay`], [`Error::File`], [`Error::Key`].
    pub fn load(data: &Path) -> Result<Self, Error> {
        let path = data.join(files::KEY);
        let pkcs8 = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotARelay(data.to_owned()),
            _ => Error::file(&path, source),
        })?;
        Self::from_pkcs8(Zeroizing::new(pkcs8))
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let signing =
            EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new()).map_err(|_| Error::Key)?;
        let public = signing.public_key().as_ref().try_into().map_err(|_| Error::Key)?;
        let public = PublicKeyBytes::from_bytes(public);
        Ok(Self { signing, public, pkcs8 })
    }

    /// A key that lies in no file.
    ///
    /// # Errors
    /// [`Error::Key`].
    #[cfg(feature = "testing")]
    pub(crate) fn from_der(pkcs8: &[u8]) -> Result<Self, Error> {
        Self::from_pkcs8(Zeroizing::new(pkcs8.to_vec()))
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKeyBytes {
        &self.public
    }

    /// What clients pin: SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn pin(&self) -> Pin {
        let mut hasher = Sha256::new();
        hasher.update(SPKI_PREFIX);
        hasher.update(self.public.as_bytes());
        Pin::from_bytes(hasher.finalize().into())
    }

    /// An invite with a valid signature.
    ///
    /// # Errors
    /// [`Error::Key`] when the system gives no random bytes to sign with.
    pub fn invite(&self, id: [u8; 8], class: u8, uses_max: u16, expires_secs: u64) -> Result<Invite, Error> {
        let signature = Signature::from_bytes([0; 64]);
        let unsigned = Invite { id, class, uses_max, expires_secs, signature };
        Ok(Invite { signature: self.sign(labels::INVITE, &unsigned.signed_bytes())?, ..unsigned })
    }

    /// A grant with a valid signature.
    ///
    /// # Errors
    /// As [`RelayKey::invite`].
    pub fn grant(&self, vault: VaultId, class: u8) -> Result<Grant, Error> {
        let unsigned = Grant { vault, class, signature: Signature::from_bytes([0; 64]) };
        Ok(Grant { signature: self.sign(labels::GRANT, &unsigned.signed_bytes())?, ..unsigned })
    }

    /// The key of stateless resets (RFC 9000 section 10.3), and the one by which the relay knows its connection ids
    /// again. They follow from the relay's key, so that a relay which was killed can tell the clients of its former
    /// life at their next packet that their connections are gone.
    pub(crate) fn reset_keys(&self) -> (hmac::Key, u64) {
        let seed = Zeroizing::new(labels::hash(labels::RELAY_RESET, &[b"token", &self.pkcs8]));
        let ids = labels::hash(labels::RELAY_RESET, &[b"ids", &self.pkcs8]);
        let ids = ids.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        (hmac::Key::new(hmac::HMAC_SHA256, &*seed), ids)
    }

    fn sign(&self, label: &[u8], payload: &[u8]) -> Result<Signature, Error> {
        let message = [label, payload].concat();
        let signature = self.signing.sign(&SystemRandom::new(), &message).map_err(|_| Error::Key)?;
        let mut bytes: [u8; 64] = signature.as_ref().try_into().map_err(|_| Error::Key)?;
        let s: &mut [u8; 32] = bytes.last_chunk_mut().expect("64 bytes end in 32");
        *s = low(*s);
        Ok(Signature::from_bytes(bytes))
    }

    /// TLS 1.3 with this key, without tickets or early data.
    pub(crate) fn tls(&self) -> Result<Arc<QuicServerConfig>, Error> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.to_vec());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(tls)?;
        let params = rcgen::CertificateParams::new(vec!["subrosa".to_owned()]).map_err(tls)?;
        let certificate = CertificateDer::from(params.self_signed(&pair).map_err(tls)?.der().to_vec());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_details(provider, Arc::new(WallTime))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(tls)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(der))
            .map_err(tls)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Arc::new(QuicServerConfig::try_from(config).map_err(tls)?))
    }
}

/// Order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The lower of `s` and its negative; both sign the same, and only the low one is accepted. `s` is public.
fn low(s: [u8; 32]) -> [u8; 32] {
    let mut negative = [0; 32];
    let mut borrow = false;
    for i in (0..32).rev() {
        let (difference, first) = ORDER[i].overflowing_sub(s[i]);
        let (difference, second) = difference.overflowing_sub(u8::from(borrow));
        negative[i] = difference;
        borrow = first || second;
    }
    s.min(negative)
}

fn tls(error: impl std::fmt::Display) -> Error {
    Error::Tls { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_file_and_signs_what_its_public_key_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let key = RelayKey::create(dir.path()).unwrap();
        let again = RelayKey::load(dir.path()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(key.pin(), again.pin());
        for id in 0..32u8 {
            assert!(again.invite([id; 8], 1, 2, 3).unwrap().verify(key.public()).is_ok(), "low s, always");
        }
        let vault = VaultId::from_bytes([1; 32]);
        let grant = again.grant(vault, 1).unwrap();
        assert!(grant.verify(key.public()).is_ok());
        assert!(Grant { class: 2, ..grant }.verify(key.public()).is_err());
        assert!(matches!(RelayKey::create(dir.path()), Err(Error::Exists(_))), "never overwritten");
    }

    #[test]
    fn the_pin_is_that_of_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let key = RelayKey::create(dir.path()).unwrap();
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(key.pkcs8.to_vec()),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        let spki = [&SPKI_PREFIX[..], key.public().as_bytes()].concat();
        assert!(certificate.der().windows(spki.len()).any(|window| window == spki));
        assert_eq!(key.pin().as_bytes()[..], Sha256::digest(&spki)[..]);
    }
}
