//! A sealed segment: its bytes, hashes, chain and signature (`docs/FORMAT.md`, "Segment").
//!
//! Received bytes are hashed as received and never re-encoded. Nothing here can decrypt a body.

#[cfg(test)]
mod frozen_tests;
mod kind;
mod place;
mod verified;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use self::kind::{Class, Kind};
pub use self::place::GroupPlace;
pub use self::verified::VerifiedSegment;
use crate::codec::{DecodeError, Reader};
use crate::ids::{Chain, Epoch, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use crate::labels;
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_PAD_MIN};
use crate::verify::{BadSignature, verify};

/// The one suite of this version: AES-256-GCM, HKDF-SHA256, ECDSA P-256. Suite 1 was never released.
pub const SUITE: u8 = 2;
/// Bytes of a header.
pub const HEADER_LEN: usize = 115;
/// Bytes of the signature that ends a segment.
pub const SIGNATURE_LEN: usize = 64;
/// Bytes of the tag that ends a body.
pub const TAG_LEN: usize = 16;
const PREV_START: usize = 31;
const PREV_END: usize = 63;
const SALT_END: usize = 79;
const COMMIT_END: usize = 111;
/// Length of what a carried segment says before the segment: the key of its log.
pub const CARRIED_KEY_LEN: usize = PublicKeyBytes::LEN;
/// Length of what stands in a plaintext before its data: `flags u8 | length u32`.
pub const PLAIN_PREFIX_LEN: usize = 5;

/// What the plaintext of a segment is padded to. Padmé (Nikitin et al., PETS 2019) with a floor: at most 12 % more, and
/// lengths leak O(log log n) bits.
#[must_use]
pub const fn padded_len(len: usize) -> usize {
    if len <= SEGMENT_PAD_MIN {
        return SEGMENT_PAD_MIN;
    }
    let mask = padding_mask(len);
    (len + mask) & !mask
}

/// Lengths of about `len`, which is not 0, are padded to have these bits clear.
const fn padding_mask(len: usize) -> usize {
    let exponent = len.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    (1 << (exponent - mantissa_bits)) - 1
}

/// The most data, as it is sealed, of a segment that has at most so many bytes: at least those of the smallest one.
#[must_use]
pub const fn data_within(segment_bytes: usize) -> usize {
    let plaintext = segment_bytes - HEADER_LEN - TAG_LEN - SIGNATURE_LEN;
    (plaintext & !padding_mask(plaintext)) - PLAIN_PREFIX_LEN
}

/// The largest segment that can be carried so many times, one segment inside the other, by segments of at most
/// [`SEGMENT_BYTES_MAX`].
#[must_use]
pub const fn carriable_bytes_max(times: usize) -> usize {
    let (mut bytes, mut left) = (SEGMENT_BYTES_MAX, times);
    while left > 0 {
        bytes = data_within(bytes) - CARRIED_KEY_LEN;
        left -= 1;
    }
    bytes
}

/// The clear part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it carries.
    pub kind: Kind,
    /// Where in its group.
    pub place: GroupPlace,
    /// Whose log.
    pub log: LogId,
    /// Where in the log.
    pub seq: Seq,
    /// Under which vault key.
    pub epoch: Epoch,
    /// Chain of the segment before it in its log; zeros for the first one.
    pub prev: Chain,
    /// Random; makes the key of this segment unique.
    pub salt: [u8; 16],
    /// Commitment to the key.
    pub commit: [u8; 32],
    /// Bytes of the body, tag included.
    pub body_len: u32,
}

impl Header {
    /// The wire bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = SUITE;
        out[1] = self.kind.to_wire();
        out[2] = self.place.to_wire();
        out[3..19].copy_from_slice(self.log.as_bytes());
        out[19..27].copy_from_slice(&self.seq.0.to_be_bytes());
        out[27..PREV_START].copy_from_slice(&self.epoch.0.to_be_bytes());
        out[PREV_START..PREV_END].copy_from_slice(self.prev.as_bytes());
        out[PREV_END..SALT_END].copy_from_slice(&self.salt);
        out[SALT_END..COMMIT_END].copy_from_slice(&self.commit);
        out[COMMIT_END..].copy_from_slice(&self.body_len.to_be_bytes());
        out
    }

    /// Reads the first [`HEADER_LEN`] bytes of a segment.
    ///
    /// # Errors
    /// [`DecodeError`]: suite, class or place that is not known, a place that the kind cannot have, a seq that none can
    /// follow, a first segment that names one before it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let suite = r.u8()?;
        if suite != SUITE {
            return Err(DecodeError::Unknown { what: "suite", value: u64::from(suite) });
        }
        let header = Self {
            kind: Kind::from_wire(r.u8()?)?,
            place: GroupPlace::from_wire(r.u8()?)?,
            log: LogId::from_bytes(r.array()?),
            seq: Seq(r.u64()?),
            epoch: Epoch(r.u32()?),
            prev: Chain::from_bytes(r.array()?),
            salt: r.array()?,
            commit: r.array()?,
            body_len: r.u32()?,
        };
        if header.kind.is_group_of_its_own() && header.place != GroupPlace::Whole {
            return Err(DecodeError::Invalid { what: "place in a group" });
        }
        if header.seq == Seq(u64::MAX) {
            return Err(DecodeError::Invalid { what: "seq" }); // nothing could follow it
        }
        if header.seq == Seq(0) && header.prev != Chain::ZERO {
            return Err(DecodeError::Invalid { what: "chain before the first segment" });
        }
        Ok(header)
    }

    /// Reads the header of a whole segment, and checks its shape: known suite, class and place, and exactly the
    /// announced length.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is allocated.
    pub fn of_segment(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > SEGMENT_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                what: "segment",
                announced: bytes.len() as u64,
                limit: SEGMENT_BYTES_MAX as u64,
            });
        }
        let header = Self::decode(bytes)?;
        let body_len = header.body_len as usize;
        if body_len < TAG_LEN {
            return Err(DecodeError::Invalid { what: "body length" });
        }
        let needed = HEADER_LEN + body_len + SIGNATURE_LEN;
        if bytes.len() < needed {
            return Err(DecodeError::Truncated { needed, left: bytes.len() });
        }
        if bytes.len() > needed {
            return Err(DecodeError::Trailing { left: bytes.len() - needed });
        }
        Ok(header)
    }

    /// `hdr` of the specification: binds the vault, which is not on the wire, and all of the header but the commitment.
    #[must_use]
    pub fn hash(&self, vault: &VaultId) -> [u8; 32] {
        let wire = self.encode();
        labels::hash(labels::SEGMENT, &[vault.as_bytes(), &wire[..SALT_END], &wire[COMMIT_END..]])
    }
}

/// What the log key signs; its SHA-256, label first, is the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPreimage([u8; 96]);

impl ChainPreimage {
    /// `hdr | commit | SHA-256(body with tag)`.
    #[must_use]
    pub fn new(hdr: &[u8; 32], commit: &[u8; 32], body: &[u8]) -> Self {
        let mut preimage = [0; 96];
        preimage[..32].copy_from_slice(hdr);
        preimage[32..64].copy_from_slice(commit);
        preimage[64..].copy_from_slice(&Sha256::digest(body));
        Self(preimage)
    }

    /// The payload to sign under [`labels::CHAIN`].
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 96] {
        &self.0
    }

    /// The chain hash.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain::from_bytes(labels::hash(labels::CHAIN, &[&self.0]))
    }
}

/// A segment as sent and stored: parsed for shape, its signature not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSegment {
    header: Header,
    bytes: Bytes,
}

impl std::fmt::Debug for SealedSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedSegment({}/{}, {} bytes)", self.header.log, self.header.seq, self.bytes.len())
    }
}

impl SealedSegment {
    /// Checks the shape of `bytes`: known suite, class and place, and exactly the announced length.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is allocated.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        let header = Header::of_segment(&bytes)?;
        Ok(Self { header, bytes })
    }

    /// Puts together what sealing made.
    ///
    /// # Panics
    /// If `body` is not of the length that `header` names.
    #[must_use]
    pub fn assemble(header: Header, body: &[u8], signature: &Signature) -> Self {
        assert_eq!(header.body_len as usize, body.len(), "the header names the body's length");
        let mut bytes = Vec::with_capacity(HEADER_LEN + body.len() + SIGNATURE_LEN);
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(signature.as_bytes());
        Self { header, bytes: bytes.into() }
    }

    /// The clear part.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The whole segment.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The encrypted body, tag included.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..self.bytes.len() - SIGNATURE_LEN]
    }

    /// The signature by the log key.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(&self.bytes[self.bytes.len() - SIGNATURE_LEN..]);
        Signature::from_bytes(signature)
    }

    /// The preimage of this segment's chain in `vault`.
    #[must_use]
    pub fn preimage(&self, vault: &VaultId) -> ChainPreimage {
        ChainPreimage::new(&self.header.hash(vault), &self.header.commit, self.body())
    }

    /// Checks that `public` signed this segment in `vault`: one hash over the body and one signature check, about 50
    /// microseconds plus 0.5 ns a byte. What stands before it need not be known.
    ///
    /// # Errors
    /// [`BadSignature`] when any of it differs, the log's id included.
    pub fn verify(&self, vault: &VaultId, public: &PublicKeyBytes) -> Result<Chain, BadSignature> {
        if LogId::of(public) != self.header.log {
            return Err(BadSignature);
        }
        let preimage = self.preimage(vault);
        verify(public, labels::CHAIN, preimage.as_bytes(), &self.signature())?;
        Ok(preimage.chain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CARRIED_DEPTH_MAX, SEGMENT_OWN_BYTES_MAX};

    fn carried(segment_bytes: usize) -> usize {
        let plain = padded_len(PLAIN_PREFIX_LEN + CARRIED_KEY_LEN + segment_bytes);
        HEADER_LEN + plain + TAG_LEN + SIGNATURE_LEN
    }

    fn header(seq: u64) -> Header {
        Header {
            kind: Kind::DATA,
            place: GroupPlace::Whole,
            log: LogId::from_bytes([1; 16]),
            seq: Seq(seq),
            epoch: Epoch(0),
            prev: Chain::from_bytes([2; 32]),
            salt: [3; 16],
            commit: [4; 32],
            body_len: 16,
        }
    }

    #[test]
    fn a_segment_is_its_header_its_body_and_its_signature_and_nothing_more_or_less() {
        let (body, signature) = ([5; 200], Signature::from_bytes([6; SIGNATURE_LEN]));
        let segment = SealedSegment::assemble(Header { body_len: 200, ..header(7) }, &body, &signature);
        let bytes = segment.bytes().clone();
        assert_eq!(SealedSegment::parse(bytes.clone()), Ok(segment.clone()));
        assert_eq!((segment.body(), segment.signature()), (&body[..], signature));
        let needed = HEADER_LEN + 200 + SIGNATURE_LEN;
        let cut = SealedSegment::parse(bytes.slice(..needed - 1));
        assert_eq!(cut, Err(DecodeError::Truncated { needed, left: needed - 1 }));
        let longer = SealedSegment::parse([&bytes[..], &[0; 3]].concat().into());
        assert_eq!(longer, Err(DecodeError::Trailing { left: 3 }));
        for (body, refused) in [(TAG_LEN, false), (TAG_LEN - 1, true)] {
            let header = Header { body_len: body as u32, ..header(7) };
            let segment = SealedSegment::assemble(header, &vec![0; body], &signature);
            assert_eq!(SealedSegment::parse(segment.bytes().clone()).is_err(), refused, "{body}");
        }
    }

    #[test]
    fn a_segment_of_the_largest_size_is_one_and_a_byte_more_is_refused_by_its_size() {
        let parsed = |bytes: usize| {
            let body = bytes - HEADER_LEN - SIGNATURE_LEN;
            let header = Header { body_len: body as u32, ..header(7) };
            let segment = SealedSegment::assemble(header, &vec![0; body], &Signature::ZERO);
            SealedSegment::parse(segment.bytes().clone()).map(|segment| segment.bytes().len())
        };
        let limit = SEGMENT_BYTES_MAX as u64;
        assert_eq!(parsed(SEGMENT_BYTES_MAX), Ok(SEGMENT_BYTES_MAX));
        for announced in [limit + 1, limit + 900] {
            let refused = DecodeError::TooLarge { what: "segment", announced, limit };
            assert_eq!(parsed(announced as usize), Err(refused));
        }
    }

    #[test]
    fn a_seq_that_none_can_follow_is_refused() {
        let last = header(u64::MAX - 1);
        assert_eq!(Header::decode(&last.encode()), Ok(last));
        let beyond = Header::decode(&header(u64::MAX).encode());
        assert_eq!(beyond, Err(DecodeError::Invalid { what: "seq" }));
    }

    #[test]
    fn what_a_device_seals_itself_can_be_carried_as_deep_as_anybody_reads() {
        let carried = |bytes| (0..CARRIED_DEPTH_MAX).fold(bytes, |bytes, _| carried(bytes));
        assert!(carried(SEGMENT_OWN_BYTES_MAX) <= SEGMENT_BYTES_MAX);
        assert!(
            carried(SEGMENT_OWN_BYTES_MAX + 1) > SEGMENT_BYTES_MAX,
            "and not a byte of room is given away"
        );
    }

    #[test]
    fn data_that_is_said_to_fit_does_and_one_byte_more_does_not() {
        let segment =
            |data: usize| HEADER_LEN + padded_len(PLAIN_PREFIX_LEN + data) + TAG_LEN + SIGNATURE_LEN;
        for bytes in (451..70_000).chain([1 << 20, SEGMENT_OWN_BYTES_MAX, SEGMENT_BYTES_MAX]) {
            let data = data_within(bytes);
            assert!(segment(data) <= bytes && segment(data + 1) > bytes, "{bytes}");
        }
    }

    #[test]
    fn padding_is_padme_with_a_floor() {
        for (len, padded) in
            [(0, 256), (256, 256), (257, 272), (1000, 1024), (65_000, 65_536), (1 << 20, 1 << 20)]
        {
            assert_eq!(padded_len(len), padded, "{len}");
        }
        for len in 257..100_000 {
            let padded = padded_len(len);
            assert!(padded >= len && padded * 100 <= len * 112, "{len} -> {padded}");
        }
    }
}
