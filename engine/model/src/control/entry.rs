//! Control entries: their bytes and their signatures (`docs/FORMAT.md`, "Control entries").
//!
//! ```text
//! segment data = count u16 | (tag u8 | length u32 | signed entry)*
//! signed entry = count u16 | cited heads (log[16] | seq u64 | chain[32])* | author[65] | payload | signature[64]
//! ```
//!
//! The signature is the *device key's*, over vault, tag and everything before it: the log key that signs the
//! segment does not replace it. A genesis is the exception: it names no vault, because the vault's id is made
//! of its hash, and no heads, because there are none.

use sha2::{Digest as _, Sha256};
use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::{Chain, Head, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::{
    CONTROL_ENTRIES_MAX, CONTROL_ENTRY_BYTES_MAX, DEVICE_NAME_BYTES_MAX, LOGS_PER_VAULT_MAX,
};

use super::BirthError;
use crate::keys::{BadSignature, KeyError, KeyPair, KeyProvider, PublicKey, sign_with};

/// One entry of a control segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEntry {
    /// Of a kind that this version knows.
    Known(Box<SignedEntry>),
    /// Of a later kind: kept and passed on as it is, and counted for nothing.
    Unknown {
        /// Its kind.
        tag: u8,
        /// Everything after tag and length.
        bytes: Vec<u8>,
    },
}

/// An entry with its author and signature. Decoding checks its shape; [`Self::verify`] checks the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    /// The control heads that the author knew, each log once, sorted by log.
    pub cited: Vec<Head>,
    /// The device that signed.
    pub author: PublicKey,
    /// What it says.
    pub entry: Entry,
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
    LogCertificate(LogCertificate),
}

/// The first entry of a vault. Its payload's SHA-256 is the genesis hash, part of the vault's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// `SHA-256(label | recovery public | nonce)`.
    pub recovery_commitment: [u8; 32],
    /// The first device, which is the entry's author too.
    pub founder: PublicKey,
    /// The founder's prekey.
    pub prekey: SignedPrekey,
    /// The founder's name.
    pub name: DeviceName,
    /// Random, so that no two vaults begin alike.
    pub nonce: [u8; 32],
}

/// A listed device lists another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAdded {
    /// The new device.
    pub device: PublicKey,
    /// Its prekey; the signature shows that the new device holds its key.
    pub prekey: SignedPrekey,
    /// Its name.
    pub name: DeviceName,
    /// What it may do.
    pub role: DeviceRole,
}

/// A device says which two logs are its own. Stands at seq 0 of the control log that it names, so that log's
/// key has signed it as well; the data log's key signs in [`Self::data_proof`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCertificate {
    /// The vault.
    pub vault: VaultId,
    /// The owner, which is the entry's author too.
    pub device: PublicKey,
    /// Counts the owner's pairs of logs; a restored copy may use a number twice.
    pub incarnation: u32,
    /// Signs the control log.
    pub control_log: PublicKeyBytes,
    /// Signs the data log.
    pub data_log: PublicKeyBytes,
    /// By the data log's key over the fields above, under [`labels::LOG_PROOF`]: nobody can claim the log of
    /// another.
    pub data_proof: [u8; 64],
}

/// A prekey and its device's signature under [`labels::PREKEY`] over `device | number | public`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedPrekey {
    /// Counts the device's prekeys from 0.
    pub number: u32,
    /// What others seal to.
    pub public: PublicKey,
    /// By the device key.
    pub signature: [u8; 64],
}

/// What a device may do in a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DeviceRole {
    /// Reads, writes, adds and removes devices.
    Admin = 0,
    /// Reads and writes.
    Writer = 1,
    /// Reads.
    Reader = 2,
}

/// A device's name: 1 to 128 bytes of UTF-8 without control characters, so that it can be shown anywhere.
/// `Debug` prints its length only: names are user text.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BirthError::DeviceName`].
    pub fn new(name: &str) -> Result<Self, BirthError> {
        if name.is_empty() || name.len() > DEVICE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(BirthError::DeviceName { bytes: name.len() });
        }
        Ok(Self(name.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends `length u32 | UTF-8`.
    pub fn write(&self, w: &mut Writer) {
        w.prefixed(self.0.as_bytes());
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "device name";
        let bytes = r.prefixed(WHAT, DEVICE_NAME_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { what: WHAT })?;
        Self::new(text).map_err(|_| DecodeError::Invalid { what: WHAT })
    }
}

impl std::fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceName({} bytes)", self.0.len())
    }
}

impl DeviceRole {
    fn from_wire(value: u8) -> Result<Self, DecodeError> {
        match value {
            0 => Ok(Self::Admin),
            1 => Ok(Self::Writer),
            2 => Ok(Self::Reader),
            other => Err(DecodeError::Unknown { what: "device role", value: u64::from(other) }),
        }
    }
}

impl SignedPrekey {
    /// Signs a prekey.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn sign(device: &dyn KeyProvider, number: u32, public: PublicKey) -> Result<Self, KeyError> {
        let payload = Self::signed_bytes(&device.public(), number, &public);
        Ok(Self { number, public, signature: sign_with(device, labels::PREKEY, &payload)? })
    }

    /// Checks that `device` signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, device: &PublicKey) -> Result<(), BadSignature> {
        let payload = Self::signed_bytes(device, self.number, &self.public);
        device.verify(labels::PREKEY, &payload, &self.signature)
    }

    fn signed_bytes(device: &PublicKey, number: u32, public: &PublicKey) -> Vec<u8> {
        [&device.as_bytes()[..], &number.to_be_bytes(), public.as_bytes()].concat()
    }

    /// Appends `number u32 | public[65] | signature[64]`.
    pub fn write(&self, w: &mut Writer) {
        w.u32(self.number).bytes(self.public.as_bytes()).bytes(&self.signature);
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { number: r.u32()?, public: read_public(r)?, signature: r.array()? })
    }
}

impl Genesis {
    /// SHA-256 of the payload.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(Entry::payload(|w| self.write(w))).into()
    }

    fn write(&self, w: &mut Writer) {
        w.bytes(&self.recovery_commitment).bytes(self.founder.as_bytes());
        self.prekey.write(w);
        self.name.write(w);
        w.bytes(&self.nonce);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            recovery_commitment: r.array()?,
            founder: read_public(r)?,
            prekey: SignedPrekey::read(r)?,
            name: DeviceName::read(r)?,
            nonce: r.array()?,
        })
    }
}

impl DeviceAdded {
    fn write(&self, w: &mut Writer) {
        w.bytes(self.device.as_bytes());
        self.prekey.write(w);
        self.name.write(w);
        w.u8(self.role as u8);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            device: read_public(r)?,
            prekey: SignedPrekey::read(r)?,
            name: DeviceName::read(r)?,
            role: DeviceRole::from_wire(r.u8()?)?,
        })
    }
}

impl LogCertificate {
    /// Fills in a certificate and lets the data log's key sign it.
    pub fn prove(
        vault: VaultId,
        device: PublicKey,
        incarnation: u32,
        control_log: &PublicKey,
        data_log: &KeyPair,
    ) -> Self {
        let mut certificate = Self {
            vault,
            device,
            incarnation,
            control_log: (*control_log).into(),
            data_log: data_log.public().into(),
            data_proof: [0; 64],
        };
        certificate.data_proof = data_log.sign(labels::LOG_PROOF, &certificate.proved_bytes());
        certificate
    }

    fn proved_bytes(&self) -> Vec<u8> {
        Entry::payload(|w| {
            w.bytes(self.vault.as_bytes()).bytes(self.device.as_bytes()).u32(self.incarnation);
            w.bytes(self.control_log.as_bytes()).bytes(self.data_log.as_bytes());
        })
    }

    fn write(&self, w: &mut Writer) {
        w.bytes(&self.proved_bytes()).bytes(&self.data_proof);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vault: VaultId::from_bytes(r.array()?),
            device: read_public(r)?,
            incarnation: r.u32()?,
            control_log: read_public(r)?.into(),
            data_log: read_public(r)?.into(),
            data_proof: r.array()?,
        })
    }

    fn verify_proof(&self) -> Result<(), BadSignature> {
        let data_log = PublicKey::from_sec1(self.data_log.as_bytes()).map_err(|_| BadSignature)?;
        data_log.verify(labels::LOG_PROOF, &self.proved_bytes(), &self.data_proof)
    }
}

impl Entry {
    fn tag(&self) -> u8 {
        match self {
            Self::Genesis(_) => GENESIS,
            Self::DeviceAdded(_) => DEVICE_ADDED,
            Self::LogCertificate(_) => LOG_CERTIFICATE,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Genesis(genesis) => genesis.write(w),
            Self::DeviceAdded(added) => added.write(w),
            Self::LogCertificate(certificate) => certificate.write(w),
        }
    }

    fn payload(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        write(&mut w);
        w.finish()
    }
}

impl SignedEntry {
    /// Signs an entry as `device`. `cited` is put in order here.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn sign(
        device: &dyn KeyProvider,
        vault: &VaultId,
        mut cited: Vec<Head>,
        entry: Entry,
    ) -> Result<Self, KeyError> {
        cited.sort_unstable_by_key(|head| head.log);
        cited.dedup_by_key(|head| head.log);
        let mut signed = Self { cited, author: device.public(), entry, signature: [0; 64] };
        signed.signature = sign_with(device, signed.label(), &signed.signed_bytes(vault))?;
        Ok(signed)
    }

    /// Checks every signature inside: the author's, a prekey's, and a data log's.
    ///
    /// Whether the author is listed is for [`Members`](super::Members) to say.
    ///
    /// # Errors
    /// [`BadSignature`], whatever is wrong.
    pub fn verify(&self, vault: &VaultId) -> Result<(), BadSignature> {
        self.author.verify(self.label(), &self.signed_bytes(vault), &self.signature)?;
        match &self.entry {
            Entry::Genesis(genesis) => genesis.prekey.verify(&genesis.founder),
            Entry::DeviceAdded(added) => added.prekey.verify(&added.device),
            Entry::LogCertificate(certificate) => certificate.verify_proof(),
        }
    }

    fn label(&self) -> &'static [u8] {
        match &self.entry {
            Entry::Genesis(_) => labels::GENESIS,
            Entry::DeviceAdded(_) | Entry::LogCertificate(_) => labels::CONTROL_ENTRY,
        }
    }

    fn signed_bytes(&self, vault: &VaultId) -> Vec<u8> {
        let mut w = Writer::with_capacity(512 + self.cited.len() * HEAD_LEN);
        if !matches!(self.entry, Entry::Genesis(_)) {
            w.bytes(vault.as_bytes());
        }
        w.u8(self.entry.tag());
        self.write_unsigned(&mut w);
        w.finish()
    }

    fn write_unsigned(&self, w: &mut Writer) {
        w.count(self.cited.len());
        for head in &self.cited {
            w.bytes(head.log.as_bytes()).u64(head.seq.0).bytes(head.chain.as_bytes());
        }
        w.bytes(self.author.as_bytes());
        self.entry.write(w);
    }

    /// Everything after tag and length.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512 + self.cited.len() * HEAD_LEN);
        self.write_unsigned(&mut w);
        w.bytes(&self.signature);
        w.finish()
    }

    /// Reads what [`Self::encode`] wrote; `None` for a tag that this version does not know.
    fn decode(tag: u8, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        if !(GENESIS..=LOG_CERTIFICATE).contains(&tag) {
            return Ok(None);
        }
        let Some((front, signature)) = bytes.split_last_chunk::<64>() else {
            return Err(DecodeError::Truncated { needed: 64, left: bytes.len() });
        };
        let mut r = Reader::new(front);
        let cited = read_cited(&mut r)?;
        let author = read_public(&mut r)?;
        let entry = match tag {
            GENESIS => Entry::Genesis(Genesis::read(&mut r)?),
            DEVICE_ADDED => Entry::DeviceAdded(DeviceAdded::read(&mut r)?),
            _ => Entry::LogCertificate(LogCertificate::read(&mut r)?),
        };
        r.finish()?;
        let consistent = match &entry {
            Entry::Genesis(genesis) => genesis.founder == author && cited.is_empty(),
            Entry::LogCertificate(certificate) => certificate.device == author,
            Entry::DeviceAdded(_) => true,
        };
        if !consistent {
            return Err(DecodeError::Invalid { what: "author of control entry" });
        }
        Ok(Some(Self { cited, author, entry, signature: *signature }))
    }
}

/// The data of a control segment.
///
/// # Panics
/// If there are more than 65,535 entries; the callers write one to three.
pub fn encode_entries(entries: &[ControlEntry]) -> Vec<u8> {
    let mut w = Writer::with_capacity(1024);
    w.count(entries.len());
    for entry in entries {
        match entry {
            ControlEntry::Known(signed) => w.u8(signed.entry.tag()).prefixed(&signed.encode()),
            ControlEntry::Unknown { tag, bytes } => w.u8(*tag).prefixed(bytes),
        };
    }
    w.finish()
}

/// Reads the data of a control segment. Entries of later kinds come back as they are.
///
/// # Errors
/// [`DecodeError`]; lengths are checked before anything is allocated.
pub fn decode_entries(data: &[u8]) -> Result<Vec<ControlEntry>, DecodeError> {
    let mut r = Reader::new(data);
    let count = r.count("control entries", CONTROL_ENTRIES_MAX, 5)?;
    let entries = (0..count)
        .map(|_| {
            let tag = r.u8()?;
            let bytes = r.prefixed("control entry", CONTROL_ENTRY_BYTES_MAX)?;
            Ok(match SignedEntry::decode(tag, bytes)? {
                Some(signed) => ControlEntry::Known(Box::new(signed)),
                None => ControlEntry::Unknown { tag, bytes: bytes.to_vec() },
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    r.finish()?;
    Ok(entries)
}

fn read_cited(r: &mut Reader<'_>) -> Result<Vec<Head>, DecodeError> {
    let count = r.count("cited heads", LOGS_PER_VAULT_MAX, HEAD_LEN)?;
    let cited = (0..count)
        .map(|_| {
            Ok(Head {
                log: LogId::from_bytes(r.array()?),
                seq: Seq(r.u64()?),
                chain: Chain::from_bytes(r.array()?),
            })
        })
        .collect::<Result<Vec<_>, DecodeError>>()?;
    if cited.is_sorted_by(|a, b| a.log < b.log) {
        Ok(cited)
    } else {
        Err(DecodeError::NotCanonical { what: "cited heads" })
    }
}

/// Reads a point; one that is off the curve does not parse.
pub fn read_public(r: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    let bytes: [u8; 65] = r.array()?;
    PublicKey::from_sec1(&bytes).map_err(|_| DecodeError::Invalid { what: "public key" })
}

/// Bytes of a cited head.
pub const HEAD_LEN: usize = 16 + 8 + 32;
/// Tags; the numbers never change their meaning.
const GENESIS: u8 = 1;
const DEVICE_ADDED: u8 = 2;
const LOG_CERTIFICATE: u8 = 3;

#[cfg(test)]
mod tests;
