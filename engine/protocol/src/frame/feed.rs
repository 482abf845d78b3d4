//! Frames of a vault's feed stream.

use bytes::{Buf as _, Bytes};

use super::heads::{read_base, write_base};
use super::{F_AHEAD, F_ANSWER, F_CAUGHT_UP, F_LOG, F_SEGMENT, F_START, framed};
use crate::codec::{DecodeError, Reader};
use crate::ids::{Base, Digest, Incarnation, PublicKeyBytes, Rseq, VaultId};
use crate::segment::SealedSegment;

/// From relay to device, on a vault's feed stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedFrame {
    /// First frame of a feed.
    Start {
        /// Which vault.
        vault: VaultId,
        /// The relay's incarnation that the feed's rseq belong to.
        incarnation: Incarnation,
    },
    /// Introduces a log before its first segment on this feed.
    Log {
        /// The log's key.
        public: PublicKeyBytes,
        /// The relay's first segment of it.
        base: Base,
    },
    /// The next segment of the scan; moves the cursor.
    Segment {
        /// Its place.
        rseq: Rseq,
        /// The segment.
        segment: SealedSegment,
    },
    /// A segment out of turn (control sent ahead, or WANTed); does not move the cursor.
    Ahead {
        /// The segment.
        segment: SealedSegment,
    },
    /// Everything up to `rseq` has been sent, or was pushed on this link; live push follows.
    CaughtUp {
        /// The cursor now.
        rseq: Rseq,
        /// Digest of the relay's heads at that cursor.
        digest: Digest,
    },
    /// Everything has been sent that was durable when [`super::ClientFrame::Ask`] was taken.
    Answer {
        /// The number of the question.
        number: u64,
    },
}

impl FeedFrame {
    /// The wire bytes, length prefix included.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Start { vault, incarnation } => framed(F_START, |w| {
                w.bytes(vault.as_bytes()).bytes(incarnation.as_bytes());
            }),
            Self::Log { public, base } => framed(F_LOG, |w| {
                write_base(w.bytes(public.as_bytes()), base);
            }),
            Self::Segment { rseq, segment } => framed(F_SEGMENT, |w| {
                w.u64(rseq.0).bytes(segment.bytes());
            }),
            Self::Ahead { segment } => framed(F_AHEAD, |w| {
                w.bytes(segment.bytes());
            }),
            Self::CaughtUp { rseq, digest } => framed(F_CAUGHT_UP, |w| {
                w.u64(rseq.0).bytes(digest.as_bytes());
            }),
            Self::Answer { number } => framed(F_ANSWER, |w| {
                w.u64(*number);
            }),
        }
    }

    /// Reads one frame, length prefix removed. Segments share the frame's memory.
    ///
    /// # Errors
    /// [`DecodeError`]; the feed ends.
    pub fn decode(frame: &Bytes) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        let decoded = match r.u8()? {
            F_START => Self::Start {
                vault: VaultId::from_bytes(r.array()?),
                incarnation: Incarnation::from_bytes(r.array()?),
            },
            F_LOG => Self::Log { public: PublicKeyBytes::from_bytes(r.array()?), base: read_base(&mut r)? },
            F_SEGMENT => {
                let mut rest = frame.clone();
                rest.advance(9.min(frame.len()));
                return Ok(Self::Segment { rseq: Rseq(r.u64()?), segment: SealedSegment::parse(rest)? });
            }
            F_AHEAD => {
                let mut rest = frame.clone();
                rest.advance(1);
                return Ok(Self::Ahead { segment: SealedSegment::parse(rest)? });
            }
            F_CAUGHT_UP => Self::CaughtUp { rseq: Rseq(r.u64()?), digest: Digest::from_bytes(r.array()?) },
            F_ANSWER => Self::Answer { number: r.u64()? },
            other => return Err(DecodeError::Unknown { what: "feed frame", value: u64::from(other) }),
        };
        r.finish()?;
        Ok(decoded)
    }
}
