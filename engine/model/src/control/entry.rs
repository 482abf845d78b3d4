//! Control entries: their bytes and their signatures (`docs/FORMAT.md`, "Control entries").
//!
//! ```text
//! segment data = count u16 | (tag u8 | length u32 | signed entry)*
//! signed entry = author[65] | number u64 | payload | extensions | signature[64]
//! ```
//!
//! The signature is the *device key's*, over vault, tag and everything before it: the log key that signs the
//! segment does not replace it, and so an entry is the same entry in whatever log it is repeated. A genesis is the
//! exception: it names no vault, because the vault's id is made of its hash. What belongs to a newer version has the same
//! envelope, is verified like the rest, and counts for nothing.

use sha2::{Digest as _, Sha256};
use subrosa_protocol::codec::{DecodeError, Extensions, Reader, Writer};
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::labels;
use subrosa_protocol::limits::{CONTROL_ENTRIES_MAX, CONTROL_ENTRY_BYTES_MAX};

use super::claims;
use super::payload::{DeviceAdded, Genesis, LogCertificate};
use crate::keys::{BadSignature, KeyError, KeyProvider, PublicKey, sign_with};

/// An entry with its author and signature. Decoding checks its shape; [`Self::verify`] checks the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    /// The device that signed.
    pub author: PublicKey,
    /// Counted up by the author. A restored copy may use one twice: then the hash decides, see [`EntryRank`].
    pub number: u64,
    /// What it says.
    pub entry: Entry,
    /// What newer versions add; none of an unknown entry, which has everything in its bytes.
    pub extensions: Extensions,
    /// Over everything above.
    pub signature: [u8; 64],
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The vault begins.
    Genesis(Genesis),
    /// A device joins.
    DeviceAdded(DeviceAdded),
    /// A device owns two logs.
    LogCertificate(Box<LogCertificate>),
    /// Of a newer version: its tag, a role, a suite or a critical extension in it is not known. Kept and passed on as it
    /// is, and counted for nothing.
    Unknown(UnknownEntry),
}

/// An entry that this version does not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEntry {
    tag: u8,
    bytes: Vec<u8>,
    critical: bool,
}

/// Where an entry stands among those of its author: by number, and among equal ones by SHA-256 of the signed entry,
/// wherever they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryRank {
    /// What its author gave it.
    pub number: u64,
    /// SHA-256 of all of the signed entry.
    pub hash: [u8; 32],
}

impl UnknownEntry {
    /// An entry as a newer version may write it: what stands between number and signature.
    pub fn new(tag: u8, bytes: Vec<u8>) -> Self {
        Self { tag, bytes, critical: tag & CRITICAL != 0 }
    }

    /// Whether who does not understand it must write nothing more.
    pub const fn is_critical(&self) -> bool {
        self.critical
    }
}

impl Entry {
    /// The device that it adds.
    pub const fn added(&self) -> Option<&DeviceAdded> {
        match self {
            Self::DeviceAdded(added) => Some(added),
            _ => None,
        }
    }

    /// Its number on the wire.
    pub const fn tag(&self) -> u8 {
        match self {
            Self::Genesis(_) => GENESIS,
            Self::DeviceAdded(_) => DEVICE_ADDED,
            Self::LogCertificate(_) => LOG_CERTIFICATE,
            Self::Unknown(unknown) => unknown.tag,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Genesis(genesis) => genesis.write(w),
            Self::DeviceAdded(added) => added.write(w),
            Self::LogCertificate(certificate) => certificate.write(w),
            Self::Unknown(unknown) => {
                w.bytes(&unknown.bytes);
            }
        }
    }

    /// Reads payload and extensions.
    fn read(tag: u8, bytes: &[u8]) -> Result<(Self, Extensions), DecodeError> {
        let mut r = Reader::new(bytes);
        let entry = match tag {
            GENESIS => Some(Self::Genesis(Genesis::read(&mut r)?)),
            DEVICE_ADDED => DeviceAdded::read(&mut r)?.map(Self::DeviceAdded),
            LOG_CERTIFICATE => LogCertificate::read(&mut r)?.map(Box::new).map(Self::LogCertificate),
            _ => return Ok((Self::Unknown(UnknownEntry::new(tag, bytes.to_vec())), Extensions::new())),
        };
        let extensions = Extensions::read(r)?;
        if tag == LOG_CERTIFICATE {
            claims::check(&extensions)?;
        }
        // No critical extension is known yet.
        let critical = extensions.iter().any(|(tag, _)| tag & CRITICAL != 0);
        match entry {
            Some(entry) if !critical => Ok((entry, extensions)),
            _ => {
                let unknown = UnknownEntry { tag, bytes: bytes.to_vec(), critical };
                Ok((Self::Unknown(unknown), Extensions::new()))
            }
        }
    }
}

impl SignedEntry {
    /// Signs an entry as `device`.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn sign(
        device: &dyn KeyProvider,
        vault: &VaultId,
        number: u64,
        entry: Entry,
        extensions: Extensions,
    ) -> Result<Self, KeyError> {
        let mut signed = Self { author: device.public(), number, entry, extensions, signature: [0; 64] };
        signed.signature = sign_with(device, signed.label(), &signed.signed_bytes(vault))?;
        Ok(signed)
    }

    /// Checks every signature inside: the author's, a prekey's, and those of a log's and an admin key.
    ///
    /// Whether the author is listed is for [`Members`](super::Members) to say.
    ///
    /// # Errors
    /// [`BadSignature`], whatever is wrong.
    pub fn verify(&self, vault: &VaultId) -> Result<(), BadSignature> {
        self.author.verify(self.label(), &self.signed_bytes(vault), &self.signature)?;
        match &self.entry {
            Entry::DeviceAdded(added) => added.prekey.verify(&added.device),
            Entry::LogCertificate(certificate) => certificate.verify_proofs(),
            Entry::Genesis(_) | Entry::Unknown(_) => Ok(()),
        }
    }

    /// Where it stands among its author's entries.
    pub fn rank(&self) -> EntryRank {
        EntryRank { number: self.number, hash: Sha256::digest(self.encode()).into() }
    }

    const fn label(&self) -> &'static [u8] {
        if self.entry.tag() == GENESIS { labels::GENESIS } else { labels::CONTROL_ENTRY }
    }

    fn signed_bytes(&self, vault: &VaultId) -> Vec<u8> {
        let mut w = Writer::with_capacity(768);
        if self.entry.tag() != GENESIS {
            w.bytes(vault.as_bytes());
        }
        w.u8(self.entry.tag());
        self.write_unsigned(&mut w);
        w.finish()
    }

    fn write_unsigned(&self, w: &mut Writer) {
        w.bytes(self.author.as_bytes()).u64(self.number);
        self.entry.write(w);
        self.extensions.write(w);
    }

    /// Everything after tag and length.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(768);
        self.write_unsigned(&mut w);
        w.bytes(&self.signature);
        w.finish()
    }

    /// SHA-256 of a genesis' payload and extensions, part of the vault's id; `None` for another entry.
    pub fn genesis_hash(&self) -> Option<[u8; 32]> {
        let Entry::Genesis(genesis) = &self.entry else { return None };
        Some(genesis.hash(&self.extensions))
    }

    /// Reads what [`Self::encode`] wrote.
    fn decode(tag: u8, bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((front, signature)) = bytes.split_last_chunk::<64>() else {
            return Err(DecodeError::Truncated { needed: 64, left: bytes.len() });
        };
        let mut r = Reader::new(front);
        let author = read_public(&mut r)?;
        let number = r.u64()?;
        let (entry, extensions) = Entry::read(tag, r.bytes(r.left())?)?;
        let consistent = match &entry {
            Entry::Genesis(genesis) => genesis.founder == author && number == 0,
            Entry::LogCertificate(certificate) => certificate.device == author,
            Entry::DeviceAdded(_) | Entry::Unknown(_) => true,
        };
        if !consistent {
            return Err(DecodeError::Invalid { what: "author of control entry" });
        }
        Ok(Self { author, number, entry, extensions, signature: *signature })
    }
}

/// The data of a control segment.
///
/// # Panics
/// If there are more than 65,535 entries; the callers write one to three.
pub fn encode_entries(entries: &[SignedEntry]) -> Vec<u8> {
    let mut w = Writer::with_capacity(1024);
    w.count(entries.len());
    for signed in entries {
        w.u8(signed.entry.tag()).prefixed(&signed.encode());
    }
    w.finish()
}

/// Reads the data of a control segment.
///
/// # Errors
/// [`DecodeError`]; lengths are checked before anything is allocated.
pub fn decode_entries(data: &[u8]) -> Result<Vec<SignedEntry>, DecodeError> {
    let mut r = Reader::new(data);
    let count = r.count("control entries", CONTROL_ENTRIES_MAX, 5)?;
    let entries = (0..count)
        .map(|_| {
            let tag = r.u8()?;
            SignedEntry::decode(tag, r.prefixed("control entry", CONTROL_ENTRY_BYTES_MAX)?)
        })
        .collect::<Result<_, DecodeError>>()?;
    r.finish()?;
    Ok(entries)
}

/// Reads a point; one that is off the curve does not parse.
pub fn read_public(r: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    let bytes: [u8; 65] = r.array()?;
    PublicKey::from_sec1(&bytes).map_err(|_| DecodeError::Invalid { what: "public key" })
}

/// Of a tag, of an entry or of an extension: who does not know it writes nothing more.
pub(super) const CRITICAL: u8 = 0x80;
/// Tags; the numbers never change their meaning.
pub(super) const GENESIS: u8 = 1;
pub(super) const DEVICE_ADDED: u8 = 2;
pub(super) const LOG_CERTIFICATE: u8 = 3;

#[cfg(test)]
mod tests;
