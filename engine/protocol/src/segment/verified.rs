//! Segments whose signatures were checked.

use super::SealedSegment;
use crate::ids::{Chain, PublicKeyBytes, VaultId};
use crate::verify::BadSignature;

/// A segment whose signature holds for one place in one log. Only [`VerifiedSegment::check`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedSegment {
    segment: SealedSegment,
    public: PublicKeyBytes,
    prev: Chain,
    chain: Chain,
}

impl VerifiedSegment {
    /// Checks that `public` signed `segment` as the one that follows `prev` in `vault`.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn check(
        vault: &VaultId,
        prev: Chain,
        public: PublicKeyBytes,
        segment: SealedSegment,
    ) -> Result<Self, BadSignature> {
        let chain = segment.verify(vault, &prev, &public)?;
        Ok(Self { segment, public, prev, chain })
    }

    /// The segment.
    #[must_use]
    pub const fn segment(&self) -> &SealedSegment {
        &self.segment
    }

    /// The key of its log.
    #[must_use]
    pub const fn public(&self) -> &PublicKeyBytes {
        &self.public
    }

    /// The chain that it continues.
    #[must_use]
    pub const fn prev(&self) -> &Chain {
        &self.prev
    }

    /// Its own chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }
}
