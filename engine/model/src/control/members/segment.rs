//! One control segment, as far as it can be checked without knowing who is listed.

use std::sync::Arc;

use subrosa_protocol::ids::{Base, LogId, PublicKeyBytes, Seq, VaultId};

use super::super::claims::{bases, caps, prefix_caps};
use super::super::entry::EntryRank;
use super::super::{
    ControlError, DeviceAdded, Entry, Genesis, PrefixCap, SignedEntry, SignedPrekey, decode_entries,
};
use super::{EntryKey, Members};
use crate::keys::PublicKey;
use crate::merge::CapStep;

/// Whether the signatures of a segment's entries were found to hold before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    Checked,
    Unchecked,
}

/// What counts of one segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) hash: [u8; 32],
    pub(super) genesis: Option<Genesis>,
    pub(super) certificate: Option<Arc<Certificate>>,
    /// In the order of the segment.
    pub(super) entries: Vec<Arc<HeldEntry>>,
}

/// What is kept of a certificate in its place, whose proofs hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) device: PublicKey,
    pub(crate) incarnation: u32,
    pub(crate) control_log: PublicKeyBytes,
    pub(crate) data_log: PublicKeyBytes,
    pub(crate) admin_key: PublicKeyBytes,
    pub(crate) prekey: SignedPrekey,
    pub(super) rank: EntryRank,
    pub(super) bases: Vec<(LogId, Base)>,
    pub(super) caps: Vec<(LogId, CapStep)>,
    pub(super) prefix_caps: Vec<(LogId, PrefixCap)>,
}

/// An entry that counts wherever it stands, once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HeldEntry {
    pub(super) author: PublicKey,
    pub(super) rank: EntryRank,
    pub(super) says: Says,
    pub(super) tag: u8,
}

/// What such an entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A device joins.
    Added(Box<DeviceAdded>),
    /// Something of a newer version.
    Unknown {
        /// Whether who does not understand it must not write any more.
        critical: bool,
    },
}

impl HeldEntry {
    pub(super) const fn key(&self) -> EntryKey {
        (self.tag, self.rank.hash)
    }

    /// The device that it adds.
    pub(super) fn added(&self) -> Option<&DeviceAdded> {
        match &self.says {
            Says::Added(added) => Some(added),
            Says::Unknown { .. } => None,
        }
    }

    /// Whether it is critical and not understood.
    pub(super) const fn is_critical(&self) -> bool {
        matches!(self.says, Says::Unknown { critical: true })
    }
}

impl Members {
    /// Checks all that can be checked without knowing who is listed.
    pub(super) fn check(
        &mut self,
        (log, seq): (LogId, Seq),
        hash: [u8; 32],
        data: &[u8],
        signatures: Signatures,
    ) -> Result<Segment, ControlError> {
        let mut segment = Segment { hash, genesis: None, certificate: None, entries: Vec::new() };
        let (mut genesis_hash, mut keys) = (None, Vec::new());
        for (index, signed) in decode_entries(data)?.into_iter().enumerate() {
            let misplaced = match &signed.entry {
                Entry::Genesis(_) => (seq, index) != (Seq(0), 0),
                Entry::LogCertificate(certificate) if certificate.vault != self.vault => {
                    return Err(ControlError::OtherVault { log, seq });
                }
                Entry::LogCertificate(_) => seq != Seq(0) || segment.certificate.is_some(),
                Entry::DeviceAdded(_) | Entry::Unknown(_) => false,
            };
            if misplaced {
                return Err(ControlError::Misplaced { log, seq });
            }
            genesis_hash = genesis_hash.or(signed.genesis_hash());
            let rank = signed.rank();
            let key = (signed.entry.tag(), rank.hash);
            if segment.entries.iter().any(|held| held.key() == key) {
                continue;
            }
            if signatures == Signatures::Unchecked && !self.verified.contains(&key) {
                #[cfg(test)]
                {
                    self.checks += 1;
                }
                signed.verify(&self.vault).map_err(|_| ControlError::Forged { log, seq })?;
            }
            keys.push(key);
            segment.take(signed, rank);
        }
        segment.check_birth(&self.vault, log, seq, genesis_hash)?;
        self.verified.extend(keys);
        Ok(segment)
    }
}

impl Segment {
    fn take(&mut self, signed: SignedEntry, rank: EntryRank) {
        let (tag, author) = (signed.entry.tag(), signed.author);
        let says = match signed.entry {
            Entry::Genesis(genesis) => {
                self.genesis = Some(genesis);
                return;
            }
            Entry::LogCertificate(body) => {
                let bases = bases(&signed.extensions).unwrap_or_default();
                let caps = caps(&signed.extensions).unwrap_or_default();
                let prefix_caps = prefix_caps(&signed.extensions).unwrap_or_default();
                self.certificate = Some(Arc::new(Certificate {
                    device: body.device,
                    incarnation: body.incarnation,
                    control_log: body.control_log,
                    data_log: body.data_log,
                    admin_key: body.admin_key,
                    prekey: body.prekey,
                    rank,
                    bases,
                    caps,
                    prefix_caps,
                }));
                return;
            }
            Entry::DeviceAdded(added) => Says::Added(Box::new(added)),
            Entry::Unknown(unknown) => Says::Unknown { critical: unknown.is_critical() },
        };
        self.entries.push(Arc::new(HeldEntry { author, rank, says, tag }));
    }

    /// A certificate stands at seq 0 of the log that it names, and nowhere else; a genesis beside the certificate whose
    /// admin key the vault's id names.
    fn check_birth(
        &mut self,
        vault: &VaultId,
        log: LogId,
        seq: Seq,
        genesis_hash: Option<[u8; 32]>,
    ) -> Result<(), ControlError> {
        let Some(body) = &self.certificate else {
            // A newer version may begin a log with what is not understood here. Its genesis is nothing either.
            self.genesis = None;
            let begins = seq > Seq(0) || self.entries.iter().any(|entry| entry.added().is_none());
            return if begins { Ok(()) } else { Err(ControlError::Misplaced { log, seq }) };
        };
        if LogId::of(&body.control_log) != log || body.control_log == body.data_log {
            return Err(ControlError::Misplaced { log, seq });
        }
        let (Some(genesis), Some(hash)) = (&self.genesis, genesis_hash) else { return Ok(()) };
        if genesis.founder != body.device {
            return Err(ControlError::Misplaced { log, seq });
        }
        let born = VaultId::derive(&genesis.recovery_commitment, &hash, &body.admin_key);
        if born == *vault { Ok(()) } else { Err(ControlError::OtherVault { log, seq }) }
    }

    /// The words by which the device of the certificate here was let in.
    pub(super) fn listings(&self) -> impl Iterator<Item = &Arc<HeldEntry>> {
        let device = self.certificate.as_ref().map(|certificate| certificate.device);
        let adds_it =
            move |entry: &&Arc<HeldEntry>| entry.added().is_some_and(|added| Some(added.device) == device);
        self.entries.iter().filter(adds_it)
    }

    /// How much a segment counts against the bound on what waits.
    pub(super) fn weight(&self) -> usize {
        1 + self.entries.len()
    }

    /// The numbers that an author has used here.
    pub(super) fn numbers_of(&self, author: &PublicKey) -> impl Iterator<Item = u64> {
        let author = *author;
        let genesis = self.genesis.as_ref().filter(|genesis| genesis.founder == author).map(|_| 0);
        let certificate = self.certificate.as_ref().filter(|certificate| certificate.device == author);
        let entries = self.entries.iter().filter(move |entry| entry.author == author);
        let certificate = certificate.map(|certificate| certificate.rank.number);
        genesis.into_iter().chain(certificate).chain(entries.map(|entry| entry.rank.number))
    }
}
