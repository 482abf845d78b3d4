//! A segment whose signature was checked for one place: the one type that only the check makes.

use super::SealedSegment;
use crate::ids::{Chain, PublicKeyBytes, VaultId};
use crate::verify::BadSignature;

/// A segment whose signature holds for one place in one log of one vault. Only [`VerifiedSegment::check`] makes
/// one, so who takes one needs no word that it was checked.
#[derive(Clone, Debug)]
pub struct VerifiedSegment {
    segment: SealedSegment,
    vault: VaultId,
    public: PublicKeyBytes,
    prev: Chain,
    chain: Chain,
}

impl VerifiedSegment {
    /// Checks that `public` signed `segment` as the one that follows `prev` in `vault`. Costs what
    /// [`SealedSegment::verify`] costs.
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
        Ok(Self { segment, vault: *vault, public, prev, chain })
    }

    /// The segment.
    #[must_use]
    pub const fn segment(&self) -> &SealedSegment {
        &self.segment
    }

    /// The segment, when no more is asked of it.
    #[must_use]
    pub fn into_segment(self) -> SealedSegment {
        self.segment
    }

    /// The vault that it is of.
    #[must_use]
    pub const fn vault(&self) -> &VaultId {
        &self.vault
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
