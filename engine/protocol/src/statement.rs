//! Statements: the signed, numbered facts by which a relay knows a vault's members without knowing them
//! (`docs/PROTOCOL.md`, "Statements").

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{Epoch, Generation, PublicKeyBytes, Signature, VaultId};
use crate::labels;
use crate::limits::{ADMINS_MAX, STATEMENT_BYTES_MAX};
use crate::verify::verify;

pub use self::chain::{JoinedChain, join, join_within, prefers};

mod chain;
mod seniority;

/// The one version of a statement.
pub const VERSION: u8 = 2;

/// Who signed a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// An admin key, listed in the statement before (in generation 0: in this one).
    Admin(PublicKeyBytes),
    /// The recovery key, opened against the commitment of the statement before.
    Recovery {
        /// The recovery public key.
        public: PublicKeyBytes,
        /// The nonce of the commitment.
        nonce: [u8; 16],
    },
    /// The recovery key and an admin together: [`Statement::signature`] is the recovery key's.
    RecoveryAndAdmin {
        /// The recovery public key.
        public: PublicKeyBytes,
        /// The nonce of the commitment.
        nonce: [u8; 16],
        /// An admin key, listed in the statement before.
        admin: PublicKeyBytes,
        /// The admin's signature, over the same bytes.
        admin_signature: Signature,
    },
}

impl Signer {
    /// The recovery key, if it signed.
    #[must_use]
    pub const fn recovery(&self) -> Option<(&PublicKeyBytes, &[u8; 16])> {
        match self {
            Self::Admin(_) => None,
            Self::Recovery { public, nonce } | Self::RecoveryAndAdmin { public, nonce, .. } => {
                Some((public, nonce))
            }
        }
    }

    /// The admin key, if one signed.
    const fn admin(&self) -> Option<&PublicKeyBytes> {
        match self {
            Self::Admin(admin) | Self::RecoveryAndAdmin { admin, .. } => Some(admin),
            Self::Recovery { .. } => None,
        }
    }
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
    /// Admin keys, which may sign the next statement, by seniority: at least one, each once. Those of the statement before
    /// that stay keep their order, and new ones stand behind them.
    pub admins: Vec<PublicKeyBytes>,
    /// Commitment to the recovery key; see [`recovery_commitment`].
    pub recovery_commitment: [u8; 32],
    /// [`Statement::hash`] of the statement before; in generation 0 the genesis hash.
    pub previous: [u8; 32],
    /// Who signed.
    pub signer: Signer,
    /// The signer's, over version and everything above under [`labels::STATEMENT`].
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
    /// Lists its admins in another order than the statement before, or a new one before one that stays.
    #[error("statement {generation} alters the seniority of admins")]
    Seniority {
        /// Which one.
        generation: Generation,
    },
    /// The first of a rival chain, which is not preferred to the one that is held.
    #[error("statement {generation} replaces nothing")]
    Rival {
        /// Which one.
        generation: Generation,
    },
    /// The chain is as long as one may be.
    #[error("statement {generation} is one too many")]
    TooMany {
        /// Which one.
        generation: Generation,
    },
    /// The chain has grown as much as it may in one day.
    #[error("statement {generation} is one too many today")]
    TooManyToday {
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
        w.u8(VERSION).bytes(self.vault.as_bytes()).u64(self.generation.0).u32(self.epoch.0);
        w.bytes(self.read.as_bytes()).bytes(self.write.as_bytes()).count(self.admins.len());
        for admin in &self.admins {
            w.bytes(admin.as_bytes());
        }
        w.bytes(&self.recovery_commitment).bytes(&self.previous);
        match &self.signer {
            Signer::Admin(public) => w.u8(0).bytes(public.as_bytes()),
            Signer::Recovery { public, nonce } => w.u8(1).bytes(public.as_bytes()).bytes(nonce),
            Signer::RecoveryAndAdmin { public, nonce, admin, .. } => {
                w.u8(2).bytes(public.as_bytes()).bytes(nonce).bytes(admin.as_bytes())
            }
        };
        w.finish()
    }

    /// The wire bytes: [`Statement::signed_bytes`] and the signature, or both.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_bytes();
        bytes.extend_from_slice(self.signature.as_bytes());
        if let Signer::RecoveryAndAdmin { admin_signature, .. } = &self.signer {
            bytes.extend_from_slice(admin_signature.as_bytes());
        }
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
        let version = r.u8()?;
        if version != VERSION {
            return Err(DecodeError::Unknown { what: "version of a statement", value: u64::from(version) });
        }
        let vault = VaultId::from_bytes(r.array()?);
        let generation = Generation(r.u64()?);
        let epoch = Epoch(r.u32()?);
        let read = PublicKeyBytes::from_bytes(r.array()?);
        let write = PublicKeyBytes::from_bytes(r.array()?);
        let admins = read_admins(&mut r)?;
        let recovery_commitment = r.array()?;
        let previous = r.array()?;
        let (signer, signature) = read_signer(&mut r)?;
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

    /// Hash by which the next statement cites this one; the signatures are part of it.
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
        self.check_place(before)?;
        self.check_signatures()
    }

    /// As [`Statement::check_follows`], without the signatures.
    fn check_place(&self, before: &Self) -> Result<(), StatementError> {
        let generation = self.generation;
        if self.vault != before.vault
            || generation != before.generation.next()
            || self.previous != before.hash()
            || self.epoch < before.epoch
        {
            return Err(StatementError::Broken { generation });
        }
        if !keeps_seniority(&before.admins, &self.admins) {
            return Err(StatementError::Seniority { generation });
        }
        let opens = |(public, nonce): (&PublicKeyBytes, &[u8; 16])| {
            recovery_commitment(public, nonce) == before.recovery_commitment
        };
        let listed = |admin: &PublicKeyBytes| before.admins.contains(admin);
        if self.signer.recovery().is_some_and(|opening| !opens(opening))
            || self.signer.admin().is_some_and(|admin| !listed(admin))
        {
            return Err(StatementError::BadSignature { generation });
        }
        Ok(())
    }

    /// Checks that those signed whom it names as its signers.
    fn check_signatures(&self) -> Result<(), StatementError> {
        match &self.signer {
            Signer::Admin(public) | Signer::Recovery { public, .. } => self.check_signature(public),
            Signer::RecoveryAndAdmin { public, admin, admin_signature, .. } => {
                self.check_signature(public)?;
                self.check_signed_by(admin, admin_signature)
            }
        }
    }

    fn check_signature(&self, public: &PublicKeyBytes) -> Result<(), StatementError> {
        self.check_signed_by(public, &self.signature)
    }

    fn check_signed_by(&self, public: &PublicKeyBytes, signature: &Signature) -> Result<(), StatementError> {
        verify(public, labels::STATEMENT, &self.signed_bytes(), signature)
            .map_err(|_| StatementError::BadSignature { generation: self.generation })
    }
}

/// Whether the admins of `before` that stay stand in their order, and before all new ones.
fn keeps_seniority(before: &[PublicKeyBytes], now: &[PublicKeyBytes]) -> bool {
    let places = now.iter().map(|admin| before.iter().position(|old| old == admin).unwrap_or(usize::MAX));
    places.is_sorted()
}

fn read_admins(r: &mut Reader<'_>) -> Result<Vec<PublicKeyBytes>, DecodeError> {
    let count = r.count("admins", ADMINS_MAX, PublicKeyBytes::LEN)?;
    if count == 0 {
        return Err(DecodeError::Invalid { what: "admins" });
    }
    let mut admins: Vec<PublicKeyBytes> = Vec::with_capacity(count);
    for _ in 0..count {
        let admin = PublicKeyBytes::from_bytes(r.array()?);
        if admins.contains(&admin) {
            return Err(DecodeError::NotCanonical { what: "admins" });
        }
        admins.push(admin);
    }
    Ok(admins)
}

/// The signer, then one signature, or two: the recovery key's first.
fn read_signer(r: &mut Reader<'_>) -> Result<(Signer, Signature), DecodeError> {
    let key = |r: &mut Reader<'_>| r.array().map(PublicKeyBytes::from_bytes);
    let signature = |r: &mut Reader<'_>| r.array().map(Signature::from_bytes);
    match r.u8()? {
        0 => Ok((Signer::Admin(key(r)?), signature(r)?)),
        1 => Ok((Signer::Recovery { public: key(r)?, nonce: r.array()? }, signature(r)?)),
        2 => {
            let (public, nonce, admin) = (key(r)?, r.array()?, key(r)?);
            let (first, admin_signature) = (signature(r)?, signature(r)?);
            Ok((Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature }, first))
        }
        other => Err(DecodeError::Unknown { what: "signer", value: u64::from(other) }),
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

#[cfg(test)]
mod tests;
