//! Statements: the signed, numbered facts by which a relay knows a vault's members without knowing them
//! (`docs/PROTOCOL.md`, "Statements").

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{Epoch, Generation, PublicKeyBytes, Signature, VaultId};
use crate::labels;
use crate::limits::{ADMINS_MAX, STATEMENT_BYTES_MAX};
use crate::verify::verify;

/// Who signed a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// An admin's control log key, listed in the statement before (in generation 0: in this one).
    Admin(PublicKeyBytes),
    /// The recovery key, opened against the commitment of the statement before.
    Recovery {
        /// The recovery public key.
        public: PublicKeyBytes,
        /// The nonce of the commitment.
        nonce: [u8; 16],
    },
}

/// One statement, shape checked, signature not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The vault.
    pub vault: VaultId,
    /// Its number, from 0.
    pub generation: Generation,
    /// The vault's epoch from here on.
    pub epoch: Epoch,
    /// Proves a reader.
    pub read: PublicKeyBytes,
    /// Proves a writer.
    pub write: PublicKeyBytes,
    /// Control logs whose keys may sign the next statement; at least one.
    pub admins: Vec<PublicKeyBytes>,
    /// Commitment to the recovery key; see [`recovery_commitment`].
    pub recovery_commitment: [u8; 32],
    /// [`Statement::hash`] of the statement before; in generation 0 the genesis hash.
    pub previous: [u8; 32],
    /// Who signed.
    pub signer: Signer,
    /// Over everything above under [`labels::STATEMENT`].
    pub signature: Signature,
}

/// A chain that does not hold, or does not extend another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// No statement at all.
    #[error("empty statement chain")]
    Empty,
    /// Another vault, generation, or previous hash than its place in the chain asks for.
    #[error("statement {generation} does not follow the one before")]
    Broken {
        /// Which one.
        generation: Generation,
    },
    /// Generation 0 does not hash to the vault's id.
    #[error("the first statement does not bind the vault")]
    NotThisVault,
    /// Signed by someone who may not, or not signed.
    #[error("statement {generation} is not signed by an admin or the recovery key")]
    BadSignature {
        /// Which one.
        generation: Generation,
    },
}

/// `SHA-256(label | recovery public | nonce)`.
#[must_use]
pub fn recovery_commitment(public: &PublicKeyBytes, nonce: &[u8; 16]) -> [u8; 32] {
    labels::hash(labels::RECOVERY_COMMITMENT, &[public.as_bytes(), nonce])
}

impl Statement {
    /// The bytes that the signature covers.
    ///
    /// # Panics
    /// Never for at most [`ADMINS_MAX`] admins.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        w.bytes(self.vault.as_bytes()).u64(self.generation.0).u32(self.epoch.0);
        w.bytes(self.read.as_bytes()).bytes(self.write.as_bytes()).count(self.admins.len());
        for admin in &self.admins {
            w.bytes(admin.as_bytes());
        }
        w.bytes(&self.recovery_commitment).bytes(&self.previous);
        match &self.signer {
            Signer::Admin(public) => w.u8(0).bytes(public.as_bytes()),
            Signer::Recovery { public, nonce } => w.u8(1).bytes(public.as_bytes()).bytes(nonce),
        };
        w.finish()
    }

    /// The wire bytes: [`Statement::signed_bytes`] and the signature.
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
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "statement",
                announced: bytes.len() as u64,
                limit: STATEMENT_BYTES_MAX as u64,
            });
        }
        let mut r = Reader::new(bytes);
        let vault = VaultId::from_bytes(r.array()?);
        let generation = Generation(r.u64()?);
        let epoch = Epoch(r.u32()?);
        let read = PublicKeyBytes::from_bytes(r.array()?);
        let write = PublicKeyBytes::from_bytes(r.array()?);
        let count = r.count("admins", ADMINS_MAX, PublicKeyBytes::LEN)?;
        if count == 0 {
            return Err(DecodeError::Invalid { what: "admins" });
        }
        let admins =
            (0..count).map(|_| r.array().map(PublicKeyBytes::from_bytes)).collect::<Result<_, _>>()?;
        let recovery_commitment = r.array()?;
        let previous = r.array()?;
        let signer = match r.u8()? {
            0 => Signer::Admin(PublicKeyBytes::from_bytes(r.array()?)),
            1 => Signer::Recovery { public: PublicKeyBytes::from_bytes(r.array()?), nonce: r.array()? },
            other => return Err(DecodeError::Unknown { what: "signer", value: u64::from(other) }),
        };
        let signature = Signature::from_bytes(r.array()?);
        r.finish()?;
        Ok(Self {
            vault,
            generation,
            epoch,
            read,
            write,
            admins,
            recovery_commitment,
            previous,
            signer,
            signature,
        })
    }

    /// Hash by which the next statement cites this one; the signature is part of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        labels::hash(labels::STATEMENT_HASH, &[&self.encode()])
    }

    /// Checks that this is the vault's generation 0.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn check_first(&self) -> Result<(), StatementError> {
        let generation = self.generation;
        let [founder] = &self.admins[..] else { return Err(StatementError::NotThisVault) };
        if generation != Generation(0)
            || VaultId::derive(&self.recovery_commitment, &self.previous, founder) != self.vault
        {
            return Err(StatementError::NotThisVault);
        }
        if self.signer != Signer::Admin(*founder) {
            return Err(StatementError::BadSignature { generation });
        }
        self.check_signature(founder)
    }

    /// Checks that this follows `before`, which has been checked.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn check_follows(&self, before: &Self) -> Result<(), StatementError> {
        let generation = self.generation;
        if self.vault != before.vault
            || generation != before.generation.next()
            || self.previous != before.hash()
            || self.epoch < before.epoch
        {
            return Err(StatementError::Broken { generation });
        }
        let public = match &self.signer {
            Signer::Admin(public) if before.admins.contains(public) => public,
            Signer::Recovery { public, nonce }
                if recovery_commitment(public, nonce) == before.recovery_commitment =>
            {
                public
            }
            Signer::Admin(_) | Signer::Recovery { .. } => {
                return Err(StatementError::BadSignature { generation });
            }
        };
        self.check_signature(public)
    }

    fn check_signature(&self, public: &PublicKeyBytes) -> Result<(), StatementError> {
        verify(public, labels::STATEMENT, &self.signed_bytes(), &self.signature)
            .map_err(|_| StatementError::BadSignature { generation: self.generation })
    }
}

/// Checks a whole chain from generation 0 and returns its last statement.
///
/// # Errors
/// [`StatementError`] of the first statement that does not hold.
pub fn check_chain<'a>(vault: &VaultId, chain: &'a [Statement]) -> Result<&'a Statement, StatementError> {
    let (first, rest) = chain.split_first().ok_or(StatementError::Empty)?;
    if first.vault != *vault {
        return Err(StatementError::NotThisVault);
    }
    first.check_first()?;
    let mut before = first;
    for statement in rest {
        statement.check_follows(before)?;
        before = statement;
    }
    Ok(before)
}
