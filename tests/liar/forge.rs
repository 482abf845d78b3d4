//! What a relay can make up: logs with keys of its own, segments that those signed, grants that it did not.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use subrosa_protocol::ids::{Chain, Epoch, Head, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment, TAG_LEN};
use subrosa_protocol::token::Grant;

/// A log that no device made.
pub(super) struct Forger {
    key: EcdsaKeyPair,
    public: PublicKeyBytes,
    random: SystemRandom,
}

impl Forger {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("there is randomness");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("it was made above");
        let public = key.public_key().as_ref().try_into().expect("a P-256 key has 65 bytes");
        Self { key, public: PublicKeyBytes::from_bytes(public), random }
    }

    pub(super) const fn public(&self) -> &PublicKeyBytes {
        &self.public
    }

    pub(super) fn log(&self) -> LogId {
        LogId::of(&self.public)
    }

    /// A segment of its log at that place, which its key signed, with so many bytes that say nothing.
    pub(super) fn segment(&self, vault: &VaultId, seq: u64, body_bytes: usize) -> SealedSegment {
        let body = vec![7; body_bytes.max(TAG_LEN)];
        let header = Header {
            kind: Kind::DATA,
            place: GroupPlace::Whole,
            log: self.log(),
            seq: Seq(seq),
            epoch: Epoch(0),
            prev: Chain::ZERO,
            salt: [3; 16],
            commit: [9; 32],
            body_len: u32::try_from(body.len()).expect("segments are far below 4 GiB"),
        };
        let unsigned = SealedSegment::assemble(header, &body, &Signature::ZERO);
        let signed = [labels::CHAIN, unsigned.preimage(vault).as_bytes()].concat();
        SealedSegment::assemble(header, &body, &self.sign(&signed))
    }

    /// The head of its log after one segment.
    pub(super) fn head(&self, vault: &VaultId) -> Head {
        let chain = self.segment(vault, 0, 64).preimage(vault).chain();
        Head { log: self.log(), seq: Seq(0), chain }
    }

    /// A grant that nobody signed.
    pub(super) fn grant(vault: VaultId) -> Vec<u8> {
        Grant { vault, class: 0, signature: Signature::from_bytes([5; 64]) }.encode()
    }

    /// Of two signatures that hold the one that devices take: the other has the larger half.
    fn sign(&self, message: &[u8]) -> Signature {
        loop {
            let signature = self.key.sign(&self.random, message).expect("there is randomness");
            let bytes: [u8; 64] = signature.as_ref().try_into().expect("64 bytes");
            if bytes[32] < 0x7f {
                return Signature::from_bytes(bytes);
            }
        }
    }
}
