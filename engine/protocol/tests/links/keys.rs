//! Keys from numbers, the vault they found, and its segments.

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use subrosa_protocol::ids::{Chain, Epoch, Generation, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment, TAG_LEN};
use subrosa_protocol::statement::{Signer as Who, Statement, recovery_commitment};

#[derive(Clone)]
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(n: u64) -> Self {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Self(SigningKey::from_slice(&bytes).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKeyBytes {
        let point = self.0.verifying_key().to_sec1_point(false);
        PublicKeyBytes::from_bytes(point.as_bytes().try_into().unwrap())
    }

    pub(crate) fn sign(&self, label: &[u8], payload: &[u8]) -> Signature {
        let signature: p256::ecdsa::Signature = self.0.sign(&[label, payload].concat());
        Signature::from_bytes(signature.normalize_s().to_bytes().into())
    }
}

pub(crate) fn write_key() -> Key {
    Key::new(3)
}

/// Key 1 founds, 2 reads, 3 writes, 4 recovers, 5 is the relay's.
pub(crate) fn statement() -> Statement {
    let (admin, genesis) = (Key::new(1), [0x6e; 32]);
    let commitment = recovery_commitment(&Key::new(4).public(), &[0; 16]);
    let unsigned = Statement {
        vault: VaultId::derive(&commitment, &genesis, &admin.public()),
        generation: Generation(0),
        epoch: Epoch(0),
        read: Key::new(2).public(),
        write: write_key().public(),
        admins: vec![admin.public()],
        recovery_commitment: commitment,
        previous: genesis,
        signer: Who::Admin(admin.public()),
        signature: Signature::ZERO,
    };
    let signature = admin.sign(labels::STATEMENT, &unsigned.signed_bytes());
    Statement { signature, ..unsigned }
}

/// A segment whose body holds these writes in the clear: the machines cannot tell.
pub(crate) fn segment(
    key: &Key,
    vault: &VaultId,
    (seq, prev): (Seq, Chain),
    writes: &[u64],
) -> (SealedSegment, Chain) {
    let mut body: Vec<u8> = writes.iter().flat_map(|write| write.to_be_bytes()).collect();
    body.extend_from_slice(&[0; TAG_LEN]);
    let header = Header {
        kind: Kind::DATA,
        place: GroupPlace::Whole,
        log: subrosa_protocol::ids::LogId::of(&key.public()),
        seq,
        epoch: Epoch(0),
        prev,
        salt: [0; 16],
        commit: [0; 32],
        body_len: u32::try_from(body.len()).unwrap(),
    };
    let unsigned = SealedSegment::assemble(header, &body, &Signature::ZERO);
    let preimage = unsigned.preimage(vault);
    let signature = key.sign(labels::CHAIN, preimage.as_bytes());
    (SealedSegment::assemble(header, &body, &signature), preimage.chain())
}

/// The writes in a segment.
pub(crate) fn writes(segment: &SealedSegment) -> impl Iterator<Item = u64> + '_ {
    let body = segment.body();
    body[..body.len() - TAG_LEN].chunks_exact(8).map(|write| u64::from_be_bytes(write.try_into().unwrap()))
}
