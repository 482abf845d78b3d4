//! XAES-256-GCM, as specified by C2SP (`c2sp.org/XAES-256-GCM`).
//!
//! A 256-bit key and a 192-bit nonce. The first half of the nonce derives a key of its own (CMAC in counter mode,
//! two AES blocks), the second half is the nonce of AES-256-GCM under it, so that nonces may be random for as many
//! messages as anyone can write: a store file seals its pages this way.
//!
//! The key schedule and the CMAC subkey are computed once per key, here, and wiped on drop. The derived keys live
//! on the stack for one call.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use ring::aead::{Aad, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{NotAuthentic, TAG_BYTES, gcm_key};

/// Length of an XAES-256-GCM nonce.
pub const XAES_NONCE_BYTES: usize = 24;

/// One key, ready to seal and to open. Wiped on drop; `Debug` prints only its name.
#[derive(ZeroizeOnDrop)]
pub struct Xaes256Gcm {
    block: Aes256,
    k1: [u8; 16],
}

impl Xaes256Gcm {
    /// Prepares a key.
    pub fn new(key: &[u8; 32]) -> Self {
        let block = Aes256::new(&Array::from(*key));
        let mut l = Array::from([0; 16]);
        block.encrypt_block(&mut l);
        let mut l: [u8; 16] = l.into();
        let doubled = u128::from_be_bytes(l) << 1;
        let carry = u128::from(l[0] >> 7) * 0x87;
        l.zeroize();
        Self { block, k1: (doubled ^ carry).to_be_bytes() }
    }

    /// Seals `in_out` in place and gives its tag. A nonce must never repeat under one key; random ones do not.
    pub fn seal(&self, nonce: &[u8; XAES_NONCE_BYTES], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_BYTES] {
        let (derived, nonce) = self.derive(nonce);
        let tag = gcm_key(&derived)
            .seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)
            .expect("a buffer in memory is shorter than the 64 GiB that GCM can seal");
        let mut out = [0; TAG_BYTES];
        out.copy_from_slice(tag.as_ref());
        out
    }

    /// Opens `in_out` in place.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]; `in_out` is then all zeros.
    pub fn open(
        &self,
        nonce: &[u8; XAES_NONCE_BYTES],
        aad: &[u8],
        in_out: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), NotAuthentic> {
        let (derived, nonce) = self.derive(nonce);
        let opened = gcm_key(&derived)
            .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), in_out, 0..)
            .is_ok();
        if opened {
            return Ok(());
        }
        in_out.fill(0);
        Err(NotAuthentic)
    }

    /// The key and the nonce of the AES-256-GCM call that `nonce` stands for.
    fn derive(&self, nonce: &[u8; XAES_NONCE_BYTES]) -> (Zeroizing<[u8; 32]>, Nonce) {
        let mut blocks = [Array::from([0; 16]), Array::from([0; 16])];
        for (counter, block) in (1..).zip(&mut blocks) {
            block[..4].copy_from_slice(&[0, counter, b'X', 0]);
            block[4..].copy_from_slice(&nonce[..12]);
            block.iter_mut().zip(&self.k1).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.block.encrypt_blocks(&mut blocks);
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(&blocks[0]);
        key[16..].copy_from_slice(&blocks[1]);
        blocks.iter_mut().for_each(|block| block.zeroize());
        let mut rest = [0; 12];
        rest.copy_from_slice(&nonce[12..]);
        (key, Nonce::assume_unique_for_key(rest))
    }
}

impl std::fmt::Debug for Xaes256Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xaes256Gcm")
    }
}

#[cfg(test)]
mod tests;
