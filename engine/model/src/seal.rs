//! The only code that turns plaintext into ciphertext and back.
//!
//! Everything else in the engine asks this module; no other module names a cipher. AES-256-GCM comes from `ring`,
//! which seals a 4 KiB page about three times as fast as the portable implementation and which the TLS stack
//! brings along anyway; XAES-256-GCM ([`Xaes256Gcm`]) is built on top of it.
//!
//! This module must never choose a nonce: callers draw them from an [`Entropy`](crate::entropy::Entropy). It must
//! never say why something stayed shut: a wrong key and an altered byte look alike ([`NotAuthentic`]).

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

mod hpke;
mod packed;
mod segment;
mod xaes;

pub use hpke::{HPKE_OVERHEAD_BYTES, HpkeBinding, hpke_open, hpke_seal};
pub use packed::Packed;
pub use segment::{OpenError, OpenedBody, Place, open, open_within, seal};
pub use xaes::{XAES_NONCE_BYTES, Xaes256Gcm};

/// Decoders of what was sealed, for fuzzing.
#[cfg(feature = "testing")]
pub mod testing {
    use crate::wiped::Wiped;

    /// The data of a segment's plaintext: flags and length before it, padding behind it, compressed perhaps.
    pub fn unpack(plaintext: &[u8]) -> Option<Wiped> {
        super::segment::unpack(Wiped::new(plaintext.to_vec()), usize::MAX).ok().map(|opened| opened.data)
    }
}

/// Length of every authentication tag.
pub const TAG_BYTES: usize = 16;

/// The key is wrong or a byte was altered; the two look alike on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;

/// Seals `in_out` with AES-256-GCM and appends the tag.
///
/// `nonce` must never repeat under one key. Where it is random, one key may seal 2^32 messages; where more are to
/// be expected, use [`Xaes256Gcm`].
pub fn aes256gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], in_out: &mut Vec<u8>) {
    gcm_key(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out)
        .expect("a buffer in memory is shorter than the 64 GiB that GCM can seal");
}

/// Opens what [`aes256gcm_seal`] sealed: checks the tag, takes it off, leaves the plaintext.
///
/// # Errors
///
/// [`NotAuthentic`]; `in_out` is then empty.
pub fn aes256gcm_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    in_out: &mut Vec<u8>,
) -> Result<(), NotAuthentic> {
    let opened = gcm_key(key)
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), in_out)
        .map(|plaintext| plaintext.len());
    match opened {
        Ok(bytes) => {
            in_out.truncate(bytes);
            Ok(())
        }
        Err(ring::error::Unspecified) => {
            in_out.zeroize();
            Err(NotAuthentic)
        }
    }
}

fn gcm_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_undoes_sealing_and_refuses_every_altered_bit() {
        let (key, nonce) = ([7; 32], [9; 12]);
        let mut sealed = b"sub rosa".to_vec();
        aes256gcm_seal(&key, &nonce, b"aad", &mut sealed);
        assert_eq!(sealed.len(), 8 + TAG_BYTES);
        let mut opened = sealed.clone();
        assert_eq!(aes256gcm_open(&key, &nonce, b"aad", &mut opened), Ok(()));
        assert_eq!(opened, b"sub rosa");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(aes256gcm_open(&key, &nonce, b"aad", &mut altered), Err(NotAuthentic));
            assert!(altered.is_empty());
        }
    }

    #[test]
    fn the_wrong_key_nonce_or_associated_data_and_a_short_message_look_alike() {
        let mut sealed = Vec::new();
        aes256gcm_seal(&[7; 32], &[9; 12], b"aad", &mut sealed);
        let open = |key, nonce, aad, bytes: &[u8]| aes256gcm_open(&key, &nonce, aad, &mut bytes.to_vec());
        assert_eq!(open([8; 32], [9; 12], b"aad", &sealed), Err(NotAuthentic));
        assert_eq!(open([7; 32], [8; 12], b"aad", &sealed), Err(NotAuthentic));
        assert_eq!(open([7; 32], [9; 12], b"daa", &sealed), Err(NotAuthentic));
        assert_eq!(open([7; 32], [9; 12], b"aad", &sealed[..15]), Err(NotAuthentic));
    }
}
