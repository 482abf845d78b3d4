use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::entropy::{OsEntropy, SeededEntropy};
use crate::keys::{SigningKey, SoftwareKey};

/// The group order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn below_order() -> [u8; 32] {
    let mut scalar = ORDER;
    scalar[31] -= 1;
    scalar
}

/// Gives out what it was given, once.
struct Dealt(Mutex<VecDeque<[u8; 32]>>);

impl Entropy for Dealt {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.lock().unwrap().pop_front().unwrap());
    }
}

#[test]
fn generation_draws_again_outside_the_range() {
    let dealt = Dealt(Mutex::new([[0; 32], ORDER, [0xff; 32], below_order(), [1; 32]].into()));
    let pair = KeyPair::generate(&dealt);
    assert_eq!(*pair.scalar(), below_order());
    assert_eq!(dealt.0.lock().unwrap().len(), 1);
}

#[test]
fn derivation_counts_up_and_depends_on_all_it_is_given() {
    let pair = KeyPair::derive(&[7; 32], b"label");
    assert_eq!(pair.public(), KeyPair::derive(&[7; 32], b"label").public());
    assert_ne!(pair.public(), KeyPair::derive(&[8; 32], b"label").public());
    assert_ne!(pair.public(), KeyPair::derive(&[7; 32], b"labe1").public());
    assert_eq!(*pair.scalar(), *kdf::derive(&[7; 32], &[], &[b"label\0\0\0\0"]));

    let mut asked = vec![];
    let second = KeyPair::first_valid(|attempt| {
        asked.push(attempt);
        Zeroizing::new(if attempt == 0 { ORDER } else { [attempt as u8; 32] })
    });
    assert_eq!((asked, *second.scalar()), (vec![0, 1], [1; 32]));
}

#[test]
fn pkcs8_reads_back_and_is_138_bytes() {
    for seed in 0..20 {
        let pair = KeyPair::generate(&SeededEntropy::dangerous_from_seed(seed));
        let der = pair.dangerous_to_pkcs8_der();
        assert_eq!(der.len(), 138);
        assert_eq!(der.capacity(), 138, "growing would leave copies behind");
        let read = KeyPair::from_pkcs8_der(&der).unwrap();
        assert_eq!((read.public(), *read.scalar()), (pair.public(), *pair.scalar()));
    }
}

#[test]
fn every_altered_byte_of_pkcs8_is_refused_or_another_key() {
    let pair = KeyPair::generate(&OsEntropy);
    let der = pair.dangerous_to_pkcs8_der();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut altered = der.clone();
            altered[at] ^= 1 << bit;
            let error = KeyPair::from_pkcs8_der(&altered).unwrap_err();
            let expected = match at {
                36..68 => matches!(error, KeyError::PublicKeyMismatch | KeyError::ScalarOutOfRange),
                73.. => error == KeyError::PublicKeyMismatch,
                _ => error == KeyError::PrivateKeyEncoding { bytes: 138 },
            };
            assert!(expected, "byte {at}: {error}");
        }
        let error = KeyPair::from_pkcs8_der(&der[..at]).unwrap_err();
        assert_eq!(error, KeyError::PrivateKeyEncoding { bytes: at });
    }
}

#[test]
fn scalars_out_of_range_are_refused() {
    for scalar in [[0; 32], ORDER, [0xff; 32]] {
        let der = pkcs8::write(&scalar, KeyPair::generate(&OsEntropy).public().as_bytes());
        assert_eq!(KeyPair::from_pkcs8_der(&der).unwrap_err(), KeyError::ScalarOutOfRange);
    }
    assert!(KeyPair::from_scalar(&below_order()).is_ok());
}

#[test]
fn both_sides_agree() {
    let (a, b) = (KeyPair::generate(&OsEntropy), KeyPair::generate(&OsEntropy));
    assert_eq!(a.agree(&b.public()).dangerous_bytes(), b.agree(&a.public()).dangerous_bytes());
    assert_ne!(a.agree(&b.public()).dangerous_bytes(), a.agree(&a.public()).dangerous_bytes());
}

#[test]
fn signatures_are_low_and_repeat() {
    let pair = KeyPair::generate(&OsEntropy);
    for n in 0..64u8 {
        let signature = pair.sign(b"label", &[n]);
        assert_eq!(pair.public().verify(b"label", &[n], &signature), Ok(()), "a high s would be refused");
        assert_eq!(signature, pair.sign(b"label", &[n]));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let pair = KeyPair::from_scalar(&[0xa7; 32]).unwrap();
    let der = pair.dangerous_to_pkcs8_der();
    let shared = pair.agree(&KeyPair::generate(&OsEntropy).public());
    let printed = [
        format!("{pair:?} {pair:#?}"),
        format!("{:?}", SigningKey::new(KeyPair::from_pkcs8_der(&der).unwrap())),
        format!("{:?}", SoftwareKey::new(KeyPair::from_pkcs8_der(&der).unwrap())),
        format!("{shared:?}"),
    ];
    let x = data_encoding::HEXLOWER.encode(&shared.dangerous_bytes()[..4]);
    for text in printed {
        for secret in ["a7a7", "167, 167", "A7A7", "p6en", &x] {
            assert!(!text.contains(secret), "{text} has {secret}");
        }
        assert!(text.len() < 200, "{text}");
    }
}

/// Fails to compile when `$type` implements `$trait`: the call is ambiguous then.
macro_rules! assert_never {
    ($type:ty: $($trait:tt)+) => {
        const _: fn() = || {
            trait Ambiguous<A> {
                fn here() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Implemented;
            impl<T: ?Sized + $($trait)+> Ambiguous<Implemented> for T {}
            let _ = <$type as Ambiguous<_>>::here;
        };
    };
}

assert_never!(KeyPair: Clone);
assert_never!(KeyPair: PartialEq);
assert_never!(KeyPair: serde::Serialize);
assert_never!(SigningKey: Clone);
assert_never!(SigningKey: PartialEq);
assert_never!(SigningKey: serde::Serialize);
assert_never!(SoftwareKey: Clone);
assert_never!(SoftwareKey: serde::Serialize);
assert_never!(SharedSecret: Clone);
assert_never!(SharedSecret: PartialEq);
assert_never!(SharedSecret: serde::Serialize);
