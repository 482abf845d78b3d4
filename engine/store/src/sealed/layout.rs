//! Where everything lies in the sealed file. `docs/FORMAT.md` section 1 holds the same numbers as tables, and a
//! test compares the two.

use subrosa_model::seal::{TAG_BYTES, XAES_NONCE_BYTES};

use crate::error::StoreFault;

/// The newest format that this version writes and reads.
pub(super) const FORMAT: u32 = 1;
/// The first bytes of every store.
pub(super) const MAGIC: [u8; 16] = *b"\x93subrosa\r\n\x1a\n\0\0\0\0";

/// One page of the database inside, in plaintext.
pub(super) const PAGE_BYTES: usize = 4096;
/// One page as it lies in the file: nonce, ciphertext, tag.
pub(super) const BLOCK_BYTES: usize = XAES_NONCE_BYTES + PAGE_BYTES + TAG_BYTES;
/// One copy of the superblock or of the header page; each is aligned to its own length.
pub(super) const SLOT_BYTES: usize = 4096;

/// The two copies of the superblock.
pub(super) const SUPERBLOCK_OFFSETS: [u64; 2] = [0, 4096];
/// The two copies of the header page.
pub(super) const HEADER_OFFSETS: [u64; 2] = [8192, 12288];
/// Block 0. Page 0 is the header page and lives in its slots, so block 0 is a hole for good.
pub(super) const BLOCKS_OFFSET: u64 = 16384;

/// Within a superblock: the magic.
pub(super) const MAGIC_AT: usize = 0;
/// Within a superblock: the format, big endian.
pub(super) const FORMAT_AT: usize = 16;
/// Within a superblock: the id of the file, random.
pub(super) const FILE_ID_AT: usize = 24;
/// Within a superblock: the nonce of what follows.
pub(super) const SUPERBLOCK_NONCE_AT: usize = 40;
/// Within a superblock: sequence, state and root, sealed under the key-encryption key.
pub(super) const SUPERBLOCK_SEALED_AT: usize = 64;
/// Within a superblock: the tag of what stands before it.
pub(super) const SUPERBLOCK_TAG_AT: usize = 112;
/// Within a superblock: SHA-256 of everything before it, so that a wrong key and a damaged copy can be told apart.
pub(super) const CHECKSUM_AT: usize = 480;
/// Within a superblock: the end of what is used. One 512-byte sector, so that a copy is never torn.
#[cfg(test)]
pub(super) const SUPERBLOCK_USED_BYTES: usize = 512;

/// The id of a file.
pub(super) const FILE_ID_BYTES: usize = 16;
/// What a superblock seals: sequence (8), state (1), zeros (7), root (32).
pub(super) const SUPERBLOCK_SEALED_BYTES: usize = 48;

/// Within a header slot: the nonce.
pub(super) const HEADER_NONCE_AT: usize = 0;
/// Within a header slot: sequence (8), mark (1), zeros (7), length (8) and the start of page 0, sealed under the page
/// key.
pub(super) const HEADER_SEALED_AT: usize = 24;
/// Within a header slot: the tag.
pub(super) const HEADER_TAG_AT: usize = 4080;
/// What stands before page 0 in a header slot's plaintext.
pub(super) const HEADER_PREFIX_BYTES: usize = 24;
/// How much of page 0 a header slot keeps. redb uses the first 320 bytes and nothing else.
pub(super) const HEADER_PAGE_BYTES: usize = HEADER_TAG_AT - HEADER_SEALED_AT - HEADER_PREFIX_BYTES;

/// Where the block of a page starts.
pub(super) fn block_offset(page: u64) -> Result<u64, StoreFault> {
    page.checked_mul(BLOCK_BYTES as u64)
        .and_then(|bytes| bytes.checked_add(BLOCKS_OFFSET))
        .ok_or(StoreFault::Misuse)
}

/// The length of a file that holds a database of `logical` bytes; only whole pages exist.
pub(super) fn physical_len(logical: u64) -> Result<u64, StoreFault> {
    if !logical.is_multiple_of(PAGE_BYTES as u64) {
        return Err(StoreFault::Misuse);
    }
    block_offset(logical / PAGE_BYTES as u64)
}

/// The length of the database in a file of `physical` bytes.
pub(super) fn logical_len(physical: u64) -> Result<u64, StoreFault> {
    let blocks = physical.checked_sub(BLOCKS_OFFSET).ok_or(StoreFault::Truncated)?;
    if !blocks.is_multiple_of(BLOCK_BYTES as u64) {
        return Err(StoreFault::Truncated);
    }
    Ok(blocks / BLOCK_BYTES as u64 * PAGE_BYTES as u64)
}

/// `N` bytes of `bytes` from `at` on.
///
/// # Panics
///
/// When they do not lie within `bytes`: both are constants of this module wherever it is called.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
