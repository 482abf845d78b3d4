//! The superblock: what the file is, and its root key, wrapped for the device.
//!
//! It stands in the file twice. One copy is written at a time, and the other one is durable meanwhile, so that an
//! interrupted [`Superblock`] change leaves the old one or the new one. What is used fits in one 512-byte sector.

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subrosa_model::entropy::Entropy;
use subrosa_model::seal::{TAG_BYTES, XAES_NONCE_BYTES, Xaes256Gcm};
use zeroize::Zeroizing;

use super::disk::Disk;
use super::layout::{
    CHECKSUM_AT, FILE_ID_AT, FILE_ID_BYTES, FORMAT, FORMAT_AT, MAGIC, MAGIC_AT, SLOT_BYTES,
    SUPERBLOCK_NONCE_AT, SUPERBLOCK_OFFSETS, SUPERBLOCK_SEALED_AT, SUPERBLOCK_SEALED_BYTES,
    SUPERBLOCK_TAG_AT, field,
};
use crate::error::{StoreError, StorePart};

/// The key-encryption key of a store: the self session of its device. Wiped on drop.
pub struct Kek(Zeroizing<[u8; 32]>);

impl Kek {
    /// Prepares a key-encryption key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }
}

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kek")
    }
}

/// The secret that every key of one file comes from. Random, wiped on drop.
pub(super) struct StoreRoot(Zeroizing<[u8; 32]>);

impl StoreRoot {
    /// The cipher of the pages of this file.
    pub(super) fn page_cipher(&self, file_id: &FileId) -> Xaes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::from_prk(&*self.0)
            .expect("a root is as long as a SHA-256 hash")
            .expand_multi_info(&[b"subrosa/1 page key", file_id], &mut *key)
            .expect("32 bytes are within what HKDF expands");
        Xaes256Gcm::new(&key)
    }
}

/// Names one file; random, public.
pub(super) type FileId = [u8; FILE_ID_BYTES];

/// How far the creation of a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// Nobody was told of the store yet: whatever is in it is discarded when it is opened.
    Creating = 0,
    /// The store holds data.
    Ready = 1,
}

/// What both copies say, and how to write the next one.
pub(super) struct Superblock {
    pub(super) file_id: FileId,
    pub(super) state: Making,
    pub(super) root: StoreRoot,
    /// The sequence number of the newest copy.
    sequence: u64,
    /// Which copy is the newest.
    newest: usize,
}

/// What the two copies in a file amount to.
pub(super) struct Found {
    pub(super) superblock: Superblock,
    /// Whether the other copy is good, too, and says the same.
    pub(super) twofold: bool,
}

impl Superblock {
    /// A new file's: random id and root, nothing written yet.
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self {
            file_id: entropy.array(),
            state: Making::Creating,
            root: StoreRoot(entropy.secret()),
            sequence: 0,
            newest: 1,
        }
    }

    /// Reads both copies and opens the newest.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotAStore`], [`StoreError::NewerFormat`], [`StoreError::WrongKey`] or, when neither copy is
    /// what was written there, [`StoreError::Damaged`].
    pub(super) fn read(disk: &dyn Disk, kek: &Kek) -> Result<Found, StoreError> {
        let length = disk.len()?;
        let mut copies = Vec::with_capacity(SUPERBLOCK_OFFSETS.len());
        for offset in SUPERBLOCK_OFFSETS {
            let mut bytes = [0; SLOT_BYTES];
            let there = length.saturating_sub(offset).min(SLOT_BYTES as u64) as usize;
            disk.read_at(offset, &mut bytes[..there])?;
            copies.push(Copy::of(&bytes));
        }
        if let Some(found) = copies.iter().find_map(Copy::newer_format) {
            return Err(StoreError::NewerFormat { found, supported: FORMAT });
        }
        let opened: Vec<Option<Superblock>> =
            (0..).zip(&copies).map(|(slot, copy)| copy.open(slot, kek)).collect();
        let twofold = matches!(&opened[..], [Some(a), Some(b)] if a.says_what(b));
        match opened.into_iter().flatten().max_by_key(|superblock| superblock.sequence) {
            Some(superblock) => Ok(Found { superblock, twofold }),
            None if copies.iter().any(|copy| matches!(copy, Copy::Intact(_))) => Err(StoreError::WrongKey),
            None if copies.iter().any(|copy| matches!(copy, Copy::Damaged)) => {
                Err(StoreError::Damaged { part: StorePart::Superblock })
            }
            None => Err(StoreError::NotAStore),
        }
    }

    /// Writes over the older copy; durable with the next sync. The newer one must be durable already.
    pub(super) fn write_next(
        &mut self,
        disk: &dyn Disk,
        kek: &Kek,
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        let (slot, sequence) = (1 - self.newest, self.sequence + 1);
        disk.write_at(SUPERBLOCK_OFFSETS[slot], &self.encode(sequence, kek, &entropy.array())[..])?;
        (self.newest, self.sequence) = (slot, sequence);
        Ok(())
    }

    /// Makes both copies say the same, one after the other. Both must be durable before, and are after.
    pub(super) fn write_both(
        &mut self,
        disk: &dyn Disk,
        kek: &Kek,
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        for _ in SUPERBLOCK_OFFSETS {
            self.write_next(disk, kek, entropy)?;
            disk.sync()?;
        }
        Ok(())
    }

    fn encode(&self, sequence: u64, kek: &Kek, nonce: &[u8; XAES_NONCE_BYTES]) -> Box<[u8; SLOT_BYTES]> {
        let mut bytes = Box::new([0; SLOT_BYTES]);
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(MAGIC_AT, &MAGIC);
        put(FORMAT_AT, &FORMAT.to_be_bytes());
        put(FILE_ID_AT, &self.file_id);
        put(SUPERBLOCK_NONCE_AT, nonce);
        let mut secret = Zeroizing::new([0; SUPERBLOCK_SEALED_BYTES]);
        secret[..8].copy_from_slice(&sequence.to_be_bytes());
        secret[8] = self.state as u8;
        secret[16..].copy_from_slice(&*self.root.0);
        let tag = Xaes256Gcm::new(&kek.0).seal(nonce, &associated_data(&self.file_id), &mut *secret);
        put(SUPERBLOCK_SEALED_AT, &*secret);
        put(SUPERBLOCK_TAG_AT, &tag);
        let checksum = Sha256::digest(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..CHECKSUM_AT + checksum.len()].copy_from_slice(&checksum);
        bytes
    }

    fn says_what(&self, other: &Self) -> bool {
        self.file_id == other.file_id && self.state == other.state
    }
}

/// One copy, as it was found.
enum Copy {
    /// Something else, or nothing.
    Foreign,
    /// It was a superblock once.
    Damaged,
    /// Whole, but of a format that this version does not know.
    Newer(u32),
    /// Whole; the key decides whether it opens.
    Intact(Box<[u8; SLOT_BYTES]>),
}

impl Copy {
    fn of(bytes: &[u8; SLOT_BYTES]) -> Self {
        if field(bytes, MAGIC_AT) != MAGIC {
            return Self::Foreign;
        }
        if Sha256::digest(&bytes[..CHECKSUM_AT])[..] != field::<32>(bytes, CHECKSUM_AT) {
            return Self::Damaged;
        }
        match u32::from_be_bytes(field(bytes, FORMAT_AT)) {
            FORMAT => Self::Intact(Box::new(*bytes)),
            newer if newer > FORMAT => Self::Newer(newer),
            _ => Self::Damaged,
        }
    }

    fn newer_format(&self) -> Option<u32> {
        if let Self::Newer(found) = self { Some(*found) } else { None }
    }

    fn open(&self, slot: usize, kek: &Kek) -> Option<Superblock> {
        let Self::Intact(bytes) = self else { return None };
        let file_id: FileId = field(&bytes[..], FILE_ID_AT);
        let nonce = field(&bytes[..], SUPERBLOCK_NONCE_AT);
        let tag: [u8; TAG_BYTES] = field(&bytes[..], SUPERBLOCK_TAG_AT);
        let mut secret = Zeroizing::new(field::<SUPERBLOCK_SEALED_BYTES>(&bytes[..], SUPERBLOCK_SEALED_AT));
        Xaes256Gcm::new(&kek.0).open(&nonce, &associated_data(&file_id), &mut *secret, &tag).ok()?;
        let state = match secret[8] {
            0 => Making::Creating,
            1 => Making::Ready,
            _ => return None,
        };
        let mut root = Zeroizing::new([0; 32]);
        root.copy_from_slice(&secret[16..]);
        Some(Superblock {
            file_id,
            state,
            root: StoreRoot(root),
            sequence: u64::from_be_bytes(field(&*secret, 0)),
            newest: slot,
        })
    }
}

/// magic | format | file id
fn associated_data(file_id: &FileId) -> [u8; MAGIC.len() + 4 + FILE_ID_BYTES] {
    let mut aad = [0; MAGIC.len() + 4 + FILE_ID_BYTES];
    aad[..16].copy_from_slice(&MAGIC);
    aad[16..20].copy_from_slice(&FORMAT.to_be_bytes());
    aad[20..].copy_from_slice(file_id);
    aad
}
