//! XAES-256-GCM against the vectors of its specification (`tests/vectors/xaes-256-gcm.json`).

use data_encoding::HEXLOWER;
use keccak::Keccak;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/xaes-256-gcm.json")).unwrap()
}

fn hex<const N: usize>(value: &Value) -> [u8; N] {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn the_published_vectors_hold_with_their_intermediate_values() {
    let vectors = vectors();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let cipher = Xaes256Gcm::new(&hex(&vector["key"]));
        let nonce: [u8; 24] = vector["nonce_ascii"].as_str().unwrap().as_bytes().try_into().unwrap();
        assert_eq!(cipher.k1, hex(&vector["K1"]));
        let (derived, rest) = cipher.derive(&nonce);
        assert_eq!(*derived, hex(&vector["Kx"]));
        assert_eq!(*rest.as_ref(), hex::<12>(&vector["Nx"]));

        let aad = vector["aad_ascii"].as_str().unwrap().as_bytes();
        let plaintext = vector["plaintext_ascii"].as_str().unwrap().as_bytes();
        let mut bytes = plaintext.to_vec();
        let tag = cipher.seal(&nonce, aad, &mut bytes);
        let sealed = [bytes.as_slice(), &tag].concat();
        assert_eq!(HEXLOWER.encode(&sealed), vector["ciphertext"].as_str().unwrap());
        cipher.open(&nonce, aad, &mut bytes, &tag).unwrap();
        assert_eq!(bytes, plaintext);
    }
}

#[test]
fn ten_thousand_accumulated_vectors_hold() {
    let mut draw = Shake128::new();
    draw.finish();
    let mut sum = Shake128::new();
    for _ in 0..10_000 {
        let key: [u8; 32] = draw.squeeze_array();
        let nonce: [u8; 24] = draw.squeeze_array();
        let plaintext_bytes = draw.squeeze_array::<1>()[0];
        let plaintext = draw.squeeze(plaintext_bytes.into());
        let aad_bytes = draw.squeeze_array::<1>()[0];
        let aad = draw.squeeze(aad_bytes.into());

        let cipher = Xaes256Gcm::new(&key);
        let mut bytes = plaintext.clone();
        let tag = cipher.seal(&nonce, &aad, &mut bytes);
        sum.absorb(&bytes);
        sum.absorb(&tag);
        cipher.open(&nonce, &aad, &mut bytes, &tag).unwrap();
        assert_eq!(bytes, plaintext);
    }
    sum.finish();
    let expected: [u8; 32] = hex(&vectors()["accumulated"]["iterations_10000"]);
    assert_eq!(sum.squeeze_array(), expected);
}

#[test]
fn every_altered_bit_keeps_it_shut_and_leaves_zeros() {
    let cipher = Xaes256Gcm::new(&[3; 32]);
    let (nonce, aad) = ([5; 24], *b"page 7");
    let mut sealed = *b"sub rosa";
    let tag = cipher.seal(&nonce, &aad, &mut sealed);
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    for bit in 0..sealed.len() * 8 {
        let mut bytes = flipped(&sealed, bit);
        assert_eq!(cipher.open(&nonce, &aad, &mut bytes, &tag), Err(NotAuthentic));
        assert_eq!(bytes, [0; 8]);
    }
    for bit in 0..24 * 8 {
        let nonce = flipped(&nonce, bit).try_into().unwrap();
        assert_eq!(cipher.open(&nonce, &aad, &mut sealed.clone(), &tag), Err(NotAuthentic));
    }
    for bit in 0..16 * 8 {
        let tag = flipped(&tag, bit).try_into().unwrap();
        assert_eq!(cipher.open(&nonce, &aad, &mut sealed.clone(), &tag), Err(NotAuthentic));
    }
    for bit in 0..aad.len() * 8 {
        let aad = flipped(&aad, bit);
        assert_eq!(cipher.open(&nonce, &aad, &mut sealed.clone(), &tag), Err(NotAuthentic));
    }
    assert_eq!(Xaes256Gcm::new(&[2; 32]).open(&nonce, &aad, &mut sealed.clone(), &tag), Err(NotAuthentic));
    assert_eq!(format!("{cipher:?}"), "Xaes256Gcm");
}

/// SHAKE-128 (FIPS 202) over the `keccak` permutation.
struct Shake128 {
    state: [u64; 25],
    position: usize,
}

impl Shake128 {
    const RATE_BYTES: usize = 168;

    fn new() -> Self {
        Self { state: [0; 25], position: 0 }
    }

    fn absorb(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state[self.position / 8] ^= u64::from(*byte) << (8 * (self.position % 8));
            self.position += 1;
            if self.position == Self::RATE_BYTES {
                self.permute();
            }
        }
    }

    /// Ends absorbing: domain bits 1111, then the padding.
    fn finish(&mut self) {
        self.state[self.position / 8] ^= 0x1f << (8 * (self.position % 8));
        self.state[Self::RATE_BYTES / 8 - 1] ^= 0x80 << 56;
        self.permute();
    }

    fn squeeze(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|_| {
                if self.position == Self::RATE_BYTES {
                    self.permute();
                }
                let byte = self.state[self.position / 8].to_le_bytes()[self.position % 8];
                self.position += 1;
                byte
            })
            .collect()
    }

    fn squeeze_array<const N: usize>(&mut self) -> [u8; N] {
        self.squeeze(N).try_into().unwrap()
    }

    fn permute(&mut self) {
        Keccak::new().with_f1600(|f1600| f1600(&mut self.state));
        self.position = 0;
    }
}
