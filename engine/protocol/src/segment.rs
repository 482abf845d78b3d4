//! A sealed segment: its bytes, hashes, chain and signature (`docs/FORMAT.md`, "Segment").
//!
//! Received bytes are hashed as received and never re-encoded. Nothing here can decrypt a body.

mod verified;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use self::verified::VerifiedSegment;
use crate::codec::{DecodeError, Reader};
use crate::ids::{Chain, Epoch, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use crate::labels;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::verify::{BadSignature, verify};

/// The one suite of this version: AES-256-GCM, HKDF-SHA256, ECDSA P-256.
pub const SUITE: u8 = 1;
/// Bytes of a header.
pub const HEADER_LEN: usize = 82;
/// Bytes of the signature that ends a segment.
pub const SIGNATURE_LEN: usize = 64;
/// Bytes of the tag that ends a body.
pub const TAG_LEN: usize = 16;
const SALT_END: usize = 46;
const COMMIT_END: usize = 78;

/// What a segment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Ops on records.
    Data = 1,
    /// Canonical state at a frontier.
    Checkpoint = 2,
    /// Control entries: devices, certificates, epochs.
    Control = 3,
    /// A chunk of a blob.
    Blob = 4,
}

/// Whether a log holds control segments, or all others; fixed by its first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Kinds 1, 2 and 4.
    Data,
    /// Kind 3 only.
    Control,
}

impl Kind {
    /// Reads the wire value.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`].
    pub fn from_wire(value: u8) -> Result<Self, DecodeError> {
        match value {
            1 => Ok(Self::Data),
            2 => Ok(Self::Checkpoint),
            3 => Ok(Self::Control),
            4 => Ok(Self::Blob),
            other => Err(DecodeError::Unknown { what: "segment kind", value: u64::from(other) }),
        }
    }

    /// The class of log that may hold it.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Control => Class::Control,
            Self::Data | Self::Checkpoint | Self::Blob => Class::Data,
        }
    }
}

/// The clear part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it carries.
    pub kind: Kind,
    /// Whose log.
    pub log: LogId,
    /// Where in the log.
    pub seq: Seq,
    /// Under which vault key.
    pub epoch: Epoch,
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
        out[1] = self.kind as u8;
        out[2..18].copy_from_slice(self.log.as_bytes());
        out[18..26].copy_from_slice(&self.seq.0.to_be_bytes());
        out[26..30].copy_from_slice(&self.epoch.0.to_be_bytes());
        out[30..SALT_END].copy_from_slice(&self.salt);
        out[SALT_END..COMMIT_END].copy_from_slice(&self.commit);
        out[COMMIT_END..].copy_from_slice(&self.body_len.to_be_bytes());
        out
    }

    /// Reads the first [`HEADER_LEN`] bytes of a segment.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let suite = r.u8()?;
        if suite != SUITE {
            return Err(DecodeError::Unknown { what: "suite", value: u64::from(suite) });
        }
        Ok(Self {
            kind: Kind::from_wire(r.u8()?)?,
            log: LogId::from_bytes(r.array()?),
            seq: Seq(r.u64()?),
            epoch: Epoch(r.u32()?),
            salt: r.array()?,
            commit: r.array()?,
            body_len: r.u32()?,
        })
    }

    /// Reads the header of a whole segment, and checks its shape: known suite and kind, and exactly the announced
    /// length.
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

    /// `hdr` of the specification: binds vault and previous chain, which are not on the wire, and all of the
    /// header but the commitment.
    #[must_use]
    pub fn hash(&self, vault: &VaultId, prev: &Chain) -> [u8; 32] {
        let wire = self.encode();
        labels::hash(
            labels::SEGMENT,
            &[vault.as_bytes(), prev.as_bytes(), &wire[..SALT_END], &wire[COMMIT_END..]],
        )
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
    /// Checks the shape of `bytes`: known suite and kind, and exactly the announced length.
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

    /// The preimage of this segment's chain, when it follows `prev` in `vault`.
    #[must_use]
    pub fn preimage(&self, vault: &VaultId, prev: &Chain) -> ChainPreimage {
        ChainPreimage::new(&self.header.hash(vault, prev), &self.header.commit, self.body())
    }

    /// Checks that `public` signed this segment as the one that follows `prev` in `vault`: one hash over the
    /// body and one signature check, about 50 microseconds plus 0.5 ns a byte.
    ///
    /// # Errors
    /// [`BadSignature`] when any of it differs, the log's id included.
    pub fn verify(
        &self,
        vault: &VaultId,
        prev: &Chain,
        public: &PublicKeyBytes,
    ) -> Result<Chain, BadSignature> {
        if LogId::of(public) != self.header.log {
            return Err(BadSignature);
        }
        let preimage = self.preimage(vault, prev);
        verify(public, labels::CHAIN, preimage.as_bytes(), &self.signature())?;
        Ok(preimage.chain())
    }
}
