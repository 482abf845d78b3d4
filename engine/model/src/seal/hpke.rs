//! HPKE (RFC 9180): DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message a context.
//!
//! What leaves one device for another goes through here. A pre-shared key is always there, for every use has one
//! and it keeps the message shut should the curve fall; the sender's key comes in where the receiver knows it.

use std::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::DhP256HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, PskBundle, Serializable};
use zeroize::Zeroizing;

use super::NotAuthentic;
use crate::entropy::Entropy;
use crate::keys::{KeyPair, PublicKey};

/// What sealing adds: the ephemeral public key in front, the tag behind.
pub const HPKE_OVERHEAD_BYTES: usize = 65 + super::TAG_BYTES;

/// What a message is bound to, beside its sender and recipient.
pub struct HpkeBinding<'a> {
    /// Known to sender and recipient, uniform.
    pub psk: &'a [u8; 32],
    /// Says which pre-shared key; a label.
    pub psk_id: &'a [u8],
    /// Public, equal on both sides.
    pub info: &'a [u8],
}

/// Seals one message in mode AuthPSK: `ephemeral public[65] | ciphertext | tag`.
pub fn hpke_seal(
    sender: &KeyPair,
    recipient: &PublicKey,
    binding: &HpkeBinding<'_>,
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mode = OpModeS::AuthPsk((secret_of(sender), public_of(&sender.public())), psk(binding));
    let (encapped, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Suite>(
        &mode,
        &public_of(recipient),
        binding.info,
        plaintext,
        &[],
        &mut Random(entropy),
    )
    .expect("points are on the curve and a first message has a nonce");
    [&encapped.to_bytes()[..], &ciphertext].concat()
}

/// Opens what [`hpke_seal`] sealed.
///
/// # Errors
/// [`NotAuthentic`] when sender, recipient, binding or bytes differ.
pub fn hpke_open(
    recipient: &KeyPair,
    sender: &PublicKey,
    binding: &HpkeBinding<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let (encapped, ciphertext) = sealed.split_first_chunk::<65>().ok_or(NotAuthentic)?;
    let encapped = <Suite as Kem>::EncappedKey::from_bytes(encapped).map_err(|_| NotAuthentic)?;
    let mode = OpModeR::AuthPsk(public_of(sender), psk(binding));
    hpke::single_shot_open::<AesGcm256, HkdfSha256, Suite>(
        &mode,
        &secret_of(recipient),
        &encapped,
        binding.info,
        ciphertext,
        &[],
    )
    .map(Zeroizing::new)
    .map_err(|_| NotAuthentic)
}

type Suite = DhP256HkdfSha256;

fn psk<'a>(binding: &HpkeBinding<'a>) -> PskBundle<'a> {
    PskBundle::new(binding.psk, binding.psk_id).expect("neither key nor label is empty")
}

fn public_of(public: &PublicKey) -> <Suite as Kem>::PublicKey {
    Deserializable::from_bytes(public.as_bytes()).expect("a public key is a point on the curve")
}

fn secret_of(pair: &KeyPair) -> <Suite as Kem>::PrivateKey {
    let der = pair.dangerous_to_pkcs8_der();
    Deserializable::from_bytes(&der[SCALAR_AT..SCALAR_AT + 32]).expect("a key pair's scalar is in range")
}

/// Where the scalar lies in PKCS#8 of 138 bytes; a test compares public keys.
const SCALAR_AT: usize = 36;

/// Our source of randomness, as HPKE wants it.
struct Random<'a>(&'a dyn Entropy);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(self.0.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(self.0.array()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    fn pair(seed: u64) -> KeyPair {
        KeyPair::generate(&SeededEntropy::dangerous_from_seed(seed))
    }

    fn binding<'a>(psk: &'a [u8; 32], info: &'a [u8]) -> HpkeBinding<'a> {
        HpkeBinding { psk, psk_id: b"subrosa/1 test", info }
    }

    #[test]
    fn the_scalar_is_found_where_it_lies() {
        let pair = pair(1);
        let public = Suite::sk_to_pk(&secret_of(&pair));
        assert_eq!(public.to_bytes()[..], pair.public().as_bytes()[..]);
    }

    #[test]
    fn opening_undoes_sealing_and_needs_everything_to_match() {
        let (sender, recipient, other) = (pair(1), pair(2), pair(3));
        let entropy = SeededEntropy::dangerous_from_seed(4);
        let sealed =
            hpke_seal(&sender, &recipient.public(), &binding(&[5; 32], b"info"), b"secret", &entropy);
        assert_eq!(sealed.len(), 6 + HPKE_OVERHEAD_BYTES);
        let open = |to: &KeyPair, from: &KeyPair, psk, info, sealed: &[u8]| {
            hpke_open(to, &from.public(), &binding(&psk, info), sealed).map(|opened| opened.to_vec())
        };
        assert_eq!(open(&recipient, &sender, [5; 32], b"info", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(open(&other, &sender, [5; 32], b"info", &sealed), Err(NotAuthentic), "recipient");
        assert_eq!(open(&recipient, &other, [5; 32], b"info", &sealed), Err(NotAuthentic), "sender");
        assert_eq!(open(&recipient, &sender, [6; 32], b"info", &sealed), Err(NotAuthentic), "psk");
        assert_eq!(open(&recipient, &sender, [5; 32], b"onfi", &sealed), Err(NotAuthentic), "info");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(open(&recipient, &sender, [5; 32], b"info", &altered), Err(NotAuthentic), "byte {at}");
            let short = open(&recipient, &sender, [5; 32], b"info", &sealed[..at]);
            assert_eq!(short, Err(NotAuthentic), "cut at {at}");
        }
    }
}
