//! Segments that may be stored: a bare one cannot be.

use bytes::Bytes;
use subrosa_protocol::ids::Chain;
use subrosa_protocol::segment::{Header, SealedSegment, VerifiedSegment};

use crate::error::StoreError;

/// A segment and its chain, of which it is known that the log's key signed it there: the row of a segment.
#[derive(Clone, Debug)]
pub struct CheckedSegment {
    segment: SealedSegment,
    chain: Chain,
}

impl CheckedSegment {
    /// What this device has just sealed with its own log key: its chain is not computed twice.
    pub fn sealed_here((segment, chain): (SealedSegment, Chain)) -> Self {
        Self { segment, chain }
    }

    /// The segment.
    pub const fn segment(&self) -> &SealedSegment {
        &self.segment
    }

    /// Its chain.
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Segment and chain, for who takes them apart.
    pub fn into_parts(self) -> (SealedSegment, Chain) {
        (self.segment, self.chain)
    }

    /// What was checked before it was stored, from a row `chain | segment`.
    pub(super) fn stored(row: &[u8]) -> Result<Self, StoreError> {
        let (chain, bytes) = row.split_first_chunk::<32>().ok_or(StoreError::Inconsistent)?;
        let segment =
            SealedSegment::parse(Bytes::copy_from_slice(bytes)).map_err(|_| StoreError::Inconsistent)?;
        Ok(Self { segment, chain: Chain::from_bytes(*chain) })
    }

    /// Length of the row.
    pub(super) fn row_len(&self) -> usize {
        32 + self.segment.bytes().len()
    }

    /// Writes the row where it is to lie.
    pub(super) fn write(&self, row: &mut [u8]) {
        let (chain, bytes) = row.split_at_mut(32);
        chain.copy_from_slice(self.chain.as_bytes());
        bytes.copy_from_slice(self.segment.bytes());
    }
}

impl From<VerifiedSegment> for CheckedSegment {
    fn from(verified: VerifiedSegment) -> Self {
        Self { segment: verified.segment().clone(), chain: *verified.chain() }
    }
}

/// The chain of a row `chain | segment`, which is not copied for it.
pub(super) fn chain_of(row: &[u8]) -> Result<Chain, StoreError> {
    row.first_chunk().map(|chain| Chain::from_bytes(*chain)).ok_or(StoreError::Inconsistent)
}

/// The header of the segment in a row `chain | segment`.
pub(super) fn header_of(row: &[u8]) -> Result<Header, StoreError> {
    let (_, segment) = row.split_first_chunk::<32>().ok_or(StoreError::Inconsistent)?;
    Header::decode(segment).map_err(|_| StoreError::Inconsistent)
}
