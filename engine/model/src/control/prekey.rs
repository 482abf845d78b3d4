//! Prekeys: what others seal to, signed by their device (`docs/FORMAT.md`, "Control entries").

use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::labels;

use crate::keys::{BadSignature, KeyError, KeyProvider, PublicKey, sign_with};

/// A prekey of suite 1 and its device's signature under [`labels::PREKEY`] over `device | suite | number | length |
/// public`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedPrekey {
    /// Counts the prekeys of a device's pair of logs from 0.
    pub number: u32,
    /// What others seal to.
    pub public: PublicKey,
    /// By the device key.
    pub signature: [u8; 64],
}

impl SignedPrekey {
    /// Signs a prekey.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn sign(device: &dyn KeyProvider, number: u32, public: PublicKey) -> Result<Self, KeyError> {
        let mut signed = Self { number, public, signature: [0; 64] };
        signed.signature = sign_with(device, labels::PREKEY, &signed.signed_bytes(&device.public()))?;
        Ok(signed)
    }

    /// Checks that `device` signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, device: &PublicKey) -> Result<(), BadSignature> {
        device.verify(labels::PREKEY, &self.signed_bytes(device), &self.signature)
    }

    fn signed_bytes(&self, device: &PublicKey) -> Vec<u8> {
        let mut w = Writer::with_capacity(65 + 7 + 65);
        w.bytes(device.as_bytes());
        self.write_unsigned(&mut w);
        w.finish()
    }

    fn write_unsigned(&self, w: &mut Writer) {
        w.u8(PREKEY_SUITE).u32(self.number).count(PREKEY_LEN).bytes(self.public.as_bytes());
    }

    /// Appends `suite u8 | number u32 | length u16 | public | signature[64]`.
    pub fn write(&self, w: &mut Writer) {
        self.write_unsigned(w);
        w.bytes(&self.signature);
    }

    /// Reads one; `None` for one of a suite that this version does not know, which is passed over.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let (suite, number) = (r.u8()?, r.u32()?);
        let len = usize::from(r.u16()?);
        let public = r.bytes(len)?;
        let signature = r.array()?;
        if suite != PREKEY_SUITE {
            return Ok(None);
        }
        let public = PublicKey::from_sec1(public).map_err(|_| DecodeError::Invalid { what: "prekey" })?;
        Ok(Some(Self { number, public, signature }))
    }
}

/// The one suite of prekeys: DHKEM(P-256, HKDF-SHA256), public keys uncompressed.
pub(super) const PREKEY_SUITE: u8 = 1;
/// Bytes of a public key of that suite.
const PREKEY_LEN: usize = 65;
