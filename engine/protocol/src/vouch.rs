//! Vouching: an admin's word to a relay for a log (`docs/PROTOCOL.md`, "Vouching"). A relay cannot read certificates; by this
//! it knows for which logs it keeps room.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{PublicKeyBytes, Signature, VaultId};
use crate::labels;
use crate::verify::{BadSignature, verify};

/// A vouch as LOG carries it, not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vouch {
    /// Who vouches.
    pub admin: PublicKeyBytes,
    /// Over vault and the log's key under [`labels::VOUCH`].
    pub signature: Signature,
}

/// A vouch whose signature held, for one log. Only [`Vouch::check`] makes one. Whether the key is an admin's, the vault's
/// last statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedVouch {
    vouch: Vouch,
    log: PublicKeyBytes,
}

impl Vouch {
    /// Reads `0`, or `1 | admin key | signature`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read_option(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        match r.u8()? {
            0 => Ok(None),
            1 => {
                let admin = PublicKeyBytes::from_bytes(r.array()?);
                Ok(Some(Self { admin, signature: Signature::from_bytes(r.array()?) }))
            }
            other => Err(DecodeError::Unknown { what: "presence", value: u64::from(other) }),
        }
    }

    /// Appends what [`Vouch::read_option`] reads.
    pub fn write_option(vouch: Option<&Self>, w: &mut Writer) {
        match vouch {
            Some(Self { admin, signature }) => w.u8(1).bytes(admin.as_bytes()).bytes(signature.as_bytes()),
            None => w.u8(0),
        };
    }

    /// What the signature is over: `vault | log`.
    #[must_use]
    pub fn signed_bytes(vault: &VaultId, log: &PublicKeyBytes) -> [u8; VaultId::LEN + PublicKeyBytes::LEN] {
        let mut bytes = [0; VaultId::LEN + PublicKeyBytes::LEN];
        bytes[..VaultId::LEN].copy_from_slice(vault.as_bytes());
        bytes[VaultId::LEN..].copy_from_slice(log.as_bytes());
        bytes
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn check(self, vault: &VaultId, log: &PublicKeyBytes) -> Result<CheckedVouch, BadSignature> {
        verify(&self.admin, labels::VOUCH, &Self::signed_bytes(vault, log), &self.signature)?;
        Ok(CheckedVouch { vouch: self, log: *log })
    }
}

impl CheckedVouch {
    /// What was checked.
    #[must_use]
    pub const fn vouch(&self) -> &Vouch {
        &self.vouch
    }

    /// The log that it is for.
    #[must_use]
    pub const fn log(&self) -> &PublicKeyBytes {
        &self.log
    }
}
