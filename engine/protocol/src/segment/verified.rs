//! A segment whose signature was checked: the one type that only the check makes.

use super::SealedSegment;
use crate::ids::{Chain, PublicKeyBytes, VaultId};
use crate::verify::BadSignature;

/// A segment that the key of its log signed, in one vault. Only [`VerifiedSegment::check`] makes one, so who takes one
/// needs no word that it was checked. Whether it belongs behind what is held of its log is another question.
#[derive(Clone, Debug)]
pub struct VerifiedSegment {
    segment: SealedSegment,
    vault: VaultId,
    public: PublicKeyBytes,
    chain: Chain,
}

impl VerifiedSegment {
    /// Checks that `public` signed `segment` in `vault`. Costs what [`SealedSegment::verify`] costs.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn check(
        vault: &VaultId,
        public: PublicKeyBytes,
        segment: SealedSegment,
    ) -> Result<Self, BadSignature> {
        let chain = segment.verify(vault, &public)?;
        Ok(Self { segment, vault: *vault, public, chain })
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

    /// The chain that it builds on.
    #[must_use]
    pub const fn prev(&self) -> &Chain {
        &self.segment.header.prev
    }

    /// Its own chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }
}
