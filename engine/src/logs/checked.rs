//! Segments that may be stored: a bare one cannot be.

use subrosa_protocol::ids::Chain;
use subrosa_protocol::segment::{SealedSegment, VerifiedSegment};
use subrosa_store::error::StoreError;

use crate::memory::state::split_segment_row;

/// A segment and its chain, of which it is known that the log's key signed it there.
#[derive(Clone, Debug)]
pub(crate) struct CheckedSegment {
    segment: SealedSegment,
    chain: Chain,
}

impl CheckedSegment {
    /// What this device has just sealed with its own log key: its chain is not computed twice.
    pub(crate) fn sealed_here((segment, chain): (SealedSegment, Chain)) -> Self {
        Self { segment, chain }
    }

    /// What was checked before it was stored, from a row `chain | segment`.
    pub(crate) fn stored(row: &[u8]) -> Result<Self, StoreError> {
        let (chain, segment) = split_segment_row(row)?;
        Ok(Self { segment, chain })
    }

    pub(crate) const fn segment(&self) -> &SealedSegment {
        &self.segment
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }
}

impl From<VerifiedSegment> for CheckedSegment {
    fn from(verified: VerifiedSegment) -> Self {
        Self { segment: verified.segment().clone(), chain: *verified.chain() }
    }
}
