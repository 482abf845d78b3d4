//! What a relay signs: invites, which permit a stranger to create a vault, and grants, which permit a
//! vault's members to create it again on the same relay after its database was lost.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{PublicKeyBytes, Signature, VaultId};
use crate::labels;
use crate::verify::{BadSignature, verify};

/// Permission to create vaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Random; what `invite list` and `invite revoke` name.
    pub id: [u8; 8],
    /// Quota class of the vaults it creates.
    pub class: u8,
    /// How many different vaults it may create.
    pub uses_max: u16,
    /// Unix seconds after which it is void; 0 for never.
    pub expires_secs: u64,
    /// By the relay, under [`labels::INVITE`].
    pub signature: Signature,
}

impl Invite {
    /// Bytes of an invite.
    pub const LEN: usize = 8 + 1 + 2 + 8 + 64;

    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.bytes(&self.id).u8(self.class).u16(self.uses_max).u64(self.expires_secs);
        w.finish()
    }

    /// The wire bytes; in a relay URL as base32.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Reads the wire bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let invite = Self {
            id: r.array()?,
            class: r.u8()?,
            uses_max: r.u16()?,
            expires_secs: r.u64()?,
            signature: Signature::from_bytes(r.array()?),
        };
        r.finish()?;
        Ok(invite)
    }

    /// Checks that `relay` signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, relay: &PublicKeyBytes) -> Result<(), BadSignature> {
        verify(relay, labels::INVITE, &self.signed_bytes(), &self.signature)
    }
}

/// A relay's word that a vault may live on it; every member keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The vault.
    pub vault: VaultId,
    /// Its quota class.
    pub class: u8,
    /// By the relay, under [`labels::GRANT`].
    pub signature: Signature,
}

impl Grant {
    /// Bytes of a grant.
    pub const LEN: usize = 32 + 1 + 64;

    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::LEN);
        w.bytes(self.vault.as_bytes()).u8(self.class);
        w.finish()
    }

    /// The wire bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Reads the wire bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let grant = Self {
            vault: VaultId::from_bytes(r.array()?),
            class: r.u8()?,
            signature: Signature::from_bytes(r.array()?),
        };
        r.finish()?;
        Ok(grant)
    }

    /// Checks that `relay` signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, relay: &PublicKeyBytes) -> Result<(), BadSignature> {
        verify(relay, labels::GRANT, &self.signed_bytes(), &self.signature)
    }
}
