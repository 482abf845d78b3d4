//! The digest of all heads of each vault as it stands: hashed once for each state, whoever asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use subrosa_protocol::ids::{Digest, Rseq, VaultId};

use super::super::StoreError;

/// Vaults whose digest is kept, at about 150 bytes each; all are forgotten when there are more.
const KEPT_MAX: usize = 1 << 12;

/// A vault's last rseq, which names its state, and the digest then.
type Slot = Arc<Mutex<Option<(Rseq, Digest)>>>;

/// See the module's documentation. A link's feed reaches the end of the vault once for each edit; hashing all heads
/// each time would cost links times logs.
#[derive(Default)]
pub(super) struct Digests {
    slots: Mutex<HashMap<VaultId, Slot>>,
    computed: AtomicU64,
}

impl Digests {
    /// The digest of the vault when its last rseq was `last`. Whoever asks while it is computed waits for that.
    pub(super) fn of(
        &self,
        vault: &VaultId,
        last: Rseq,
        compute: impl FnOnce() -> Result<Digest, StoreError>,
    ) -> Result<Digest, StoreError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            if slots.len() >= KEPT_MAX && !slots.contains_key(vault) {
                slots.clear();
            }
            Arc::clone(slots.entry(*vault).or_default())
        };
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, digest)) = *kept
            && at == last
        {
            return Ok(digest);
        }
        self.computed.fetch_add(1, Ordering::Relaxed);
        let digest = compute()?;
        if kept.is_none_or(|(at, _)| at < last) {
            *kept = Some((last, digest)); // a reader of an older snapshot replaces nothing
        }
        Ok(digest)
    }

    /// How often a digest was computed.
    #[cfg(test)]
    pub(super) fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }
}
