//! The header page: page 0, the only one that redb overwrites in place.
//!
//! It stands in the file twice, each copy with a sequence number under its seal. A write goes to the copy that is
//! not the last durable one, over and over until a sync makes it so: whatever an interrupted write leaves behind,
//! the last durable copy is whole.

use std::io;

use zeroize::Zeroizing;

use super::disk::Disk;
use super::layout::{
    HEADER_NONCE_AT, HEADER_OFFSETS, HEADER_PAGE_BYTES, HEADER_PREFIX_BYTES, HEADER_SEALED_AT, HEADER_TAG_AT,
    SLOT_BYTES, field,
};
use super::pages::PageCipher;

const PAGE_0: u64 = 0;

/// Whether the process before this one closed the file, or merely stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// In use: writes may be on their way.
    InUse,
    /// Closed: everything is durable, and the database is this long.
    Closed { logical_bytes: u64 },
}

impl Mark {
    /// mark | zeros | length
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        if let Self::Closed { logical_bytes } = self {
            bytes[0] = 1;
            bytes[8..].copy_from_slice(&logical_bytes.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: [u8; 16]) -> Self {
        match bytes[0] {
            1 => Self::Closed { logical_bytes: u64::from_be_bytes(field(&bytes, 8)) },
            _ => Self::InUse,
        }
    }
}

/// The header page as it stands, and where it goes next.
pub(super) struct HeaderPage {
    /// What redb keeps there.
    pub(super) page: Box<[u8; HEADER_PAGE_BYTES]>,
    pub(super) mark: Mark,
    sequence: u64,
    /// The newest copy; none before the first write.
    newest: Option<usize>,
    /// The copy that is known to be durable.
    durable: Option<usize>,
}

impl HeaderPage {
    /// That of a new file.
    pub(super) fn new() -> Self {
        Self {
            page: Box::new([0; HEADER_PAGE_BYTES]),
            mark: Mark::InUse,
            sequence: 0,
            newest: None,
            durable: None,
        }
    }

    /// The newest copy that opens, `None` when neither does. It counts as durable: whoever reads a file that was just opened
    /// has to call [`HeaderPage::write_again`], and to sync, before anything else is written.
    pub(super) fn read(disk: &dyn Disk, cipher: &PageCipher) -> io::Result<Option<Self>> {
        let mut newest: Option<Self> = None;
        for slot in 0..HEADER_OFFSETS.len() {
            if let Some(header) = Self::read_slot(disk, cipher, slot)?
                && newest.as_ref().is_none_or(|other| other.sequence < header.sequence)
            {
                newest = Some(header);
            }
        }
        Ok(newest)
    }

    /// Reads the newest copy anew; `None` when it no longer opens, or is not what was written last.
    pub(super) fn reread(&self, disk: &dyn Disk, cipher: &PageCipher) -> io::Result<Option<Self>> {
        let Some(slot) = self.newest else { return Ok(Some(Self::new())) };
        Ok(Self::read_slot(disk, cipher, slot)?.filter(|found| found.sequence == self.sequence))
    }

    /// Writes page and mark. Durable after the next sync and a call of [`HeaderPage::synced`].
    pub(super) fn write(&mut self, disk: &dyn Disk, cipher: &PageCipher) -> io::Result<()> {
        let slot = self.durable.map_or(0, |durable| 1 - durable);
        let sequence = self.sequence + 1;
        let mut bytes = Zeroizing::new([0; SLOT_BYTES]);
        let sealed = &mut bytes[HEADER_SEALED_AT..HEADER_TAG_AT];
        sealed[..8].copy_from_slice(&sequence.to_be_bytes());
        sealed[8..HEADER_PREFIX_BYTES].copy_from_slice(&self.mark.encode());
        sealed[HEADER_PREFIX_BYTES..].copy_from_slice(&self.page[..]);
        let (nonce, tag) = cipher.seal(PAGE_0, sealed);
        bytes[HEADER_NONCE_AT..HEADER_SEALED_AT].copy_from_slice(&nonce);
        bytes[HEADER_TAG_AT..].copy_from_slice(&tag);
        disk.write_at(HEADER_OFFSETS[slot], &bytes[..])?;
        (self.newest, self.sequence) = (Some(slot), sequence);
        Ok(())
    }

    /// Writes the newest copy once more, as it stands. After a kill it may stand in the cache of the operating system only, and
    /// after a sync that failed no later sync may bring it to the disk. Where it is durable, writing the same again harms nothing,
    /// torn or not; where it is not, it stands in the place of something older than the other copy.
    pub(super) fn write_again(&self, disk: &dyn Disk) -> io::Result<()> {
        let Some(slot) = self.newest else { return Ok(()) };
        let mut bytes = [0; SLOT_BYTES];
        disk.read_at(HEADER_OFFSETS[slot], &mut bytes)?;
        disk.write_at(HEADER_OFFSETS[slot], &bytes)
    }

    /// Everything written so far is durable now.
    pub(super) fn synced(&mut self) {
        self.durable = self.newest;
    }

    fn read_slot(disk: &dyn Disk, cipher: &PageCipher, slot: usize) -> io::Result<Option<Self>> {
        let mut bytes = Zeroizing::new([0; SLOT_BYTES]);
        disk.read_at(HEADER_OFFSETS[slot], &mut bytes[..])?;
        let (nonce, tag) = (field(&bytes[..], HEADER_NONCE_AT), field(&bytes[..], HEADER_TAG_AT));
        let sealed = &mut bytes[HEADER_SEALED_AT..HEADER_TAG_AT];
        if cipher.open(PAGE_0, &nonce, sealed, &tag).is_err() {
            return Ok(None);
        }
        Ok(Some(Self {
            page: Box::new(field(sealed, HEADER_PREFIX_BYTES)),
            mark: Mark::decode(field(sealed, 8)),
            sequence: u64::from_be_bytes(field(sealed, 0)),
            newest: Some(slot),
            durable: Some(slot),
        }))
    }
}
