//! Pages to blocks and back.
//!
//! A block is nonce | ciphertext | tag. The associated data is the id of the file and the number of the page, so
//! that a block which was moved, swapped or taken from another file does not open.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use subrosa_model::entropy::Entropy;
use subrosa_model::scratch::with_kept;
use subrosa_model::seal::{NotAuthentic, TAG_BYTES, XAES_NONCE_BYTES, Xaes256Gcm};

use super::layout::{BLOCK_BYTES, FILE_ID_BYTES, PAGE_BYTES, field};
use super::superblock::{FileId, StoreRoot};

/// How many pages travel to or from the disk in one call.
pub(super) const BATCH_PAGES: usize = 64;

/// How many nonces are drawn at once.
const NONCES_DRAWN: usize = 64;

const TAG_AT: usize = XAES_NONCE_BYTES + PAGE_BYTES;

/// Seals and opens the pages of one file.
pub(super) struct PageCipher {
    cipher: Xaes256Gcm,
    file_id: FileId,
    entropy: Arc<dyn Entropy>,
    nonces: Mutex<NoncePool>,
}

impl PageCipher {
    pub(super) fn new(root: &StoreRoot, file_id: FileId, entropy: Arc<dyn Entropy>) -> Self {
        let nonces = Mutex::new(NoncePool { drawn: [[0; XAES_NONCE_BYTES]; NONCES_DRAWN], left: 0 });
        Self { cipher: root.page_cipher(&file_id), file_id, entropy, nonces }
    }

    /// Seals a page into a block.
    pub(super) fn seal_page(&self, page: u64, plaintext: &[u8], block: &mut [u8]) {
        // First, because the caller's randomness may panic, and the block must not hold plaintext then.
        let nonce = self.nonce();
        block[XAES_NONCE_BYTES..TAG_AT].copy_from_slice(plaintext);
        let tag = self.cipher.seal(&nonce, &self.associated_data(page), &mut block[XAES_NONCE_BYTES..TAG_AT]);
        block[..XAES_NONCE_BYTES].copy_from_slice(&nonce);
        block[TAG_AT..].copy_from_slice(&tag);
    }

    /// Opens a block into a page; what does not open leaves zeros.
    pub(super) fn open_page(&self, page: u64, block: &[u8], out: &mut [u8]) -> Result<(), NotAuthentic> {
        out.copy_from_slice(&block[XAES_NONCE_BYTES..TAG_AT]);
        self.open(page, &field(block, 0), out, &field(block, TAG_AT))
    }

    /// Seals in place, as page `page`, whatever its length; gives nonce and tag.
    pub(super) fn seal(&self, page: u64, in_out: &mut [u8]) -> ([u8; XAES_NONCE_BYTES], [u8; TAG_BYTES]) {
        let nonce = self.nonce();
        let tag = self.cipher.seal(&nonce, &self.associated_data(page), in_out);
        (nonce, tag)
    }

    fn nonce(&self) -> [u8; XAES_NONCE_BYTES] {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).take(&*self.entropy)
    }

    /// Opens in place what [`PageCipher::seal`] sealed; what does not open leaves zeros.
    pub(super) fn open(
        &self,
        page: u64,
        nonce: &[u8; XAES_NONCE_BYTES],
        in_out: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), NotAuthentic> {
        self.cipher.open(nonce, &self.associated_data(page), in_out, tag)
    }

    /// file id | page number
    fn associated_data(&self, page: u64) -> [u8; FILE_ID_BYTES + 8] {
        let mut aad = [0; FILE_ID_BYTES + 8];
        aad[..FILE_ID_BYTES].copy_from_slice(&self.file_id);
        aad[FILE_ID_BYTES..].copy_from_slice(&page.to_be_bytes());
        aad
    }
}

/// Nonces drawn ahead: asking the operating system costs more than sealing a small page. Each is used once, and a
/// forked child, which would use them again, is refused before it gets here.
struct NoncePool {
    drawn: [[u8; XAES_NONCE_BYTES]; NONCES_DRAWN],
    left: usize,
}

impl NoncePool {
    fn take(&mut self, entropy: &dyn Entropy) -> [u8; XAES_NONCE_BYTES] {
        if self.left == 0 {
            entropy.fill(self.drawn.as_flattened_mut());
            self.left = NONCES_DRAWN;
        }
        self.left -= 1;
        self.drawn[self.left]
    }
}

/// Lends `pages` blocks of this thread's scratch memory, which only ever holds ciphertext between calls.
///
/// At most [`BATCH_PAGES`] blocks; the work must not come back here.
pub(super) fn with_blocks<T>(pages: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static BLOCKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    with_kept(&BLOCKS, |blocks| {
        let bytes = pages.min(BATCH_PAGES) * BLOCK_BYTES;
        if blocks.len() < bytes {
            blocks.resize(bytes, 0);
        }
        work(&mut blocks[..bytes])
    })
}
