//! A write transaction that the caller holds, without borrowing anything.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::collection::{Collection, TxCollection};
use crate::error::{Error, LifeError};
use crate::life::host::HostSlot;
use crate::records::WriteSet;
use crate::sync::engine::Engine;
use crate::vault::Vault;

/// A write transaction in the caller's hands, from [`Vault::begin`]: what happens in it happens at once, here and on
/// every other device, when it is committed, or not at all. Dropping it is aborting it.
///
/// No other write of the device goes on while it is open, syncing included; reads do. Closing or suspending the
/// device takes it away: every call then answers [`LifeError::Closed`] or
/// [`LifeError::Suspended`], committing too, and nothing of it has happened. It may be
/// handed to another thread. A call that fails has no effect and leaves the transaction usable.
pub struct Transaction {
    core: Arc<Engine>,
    vault: Vault,
    /// `None` once it has ended.
    slot: Option<Arc<HostSlot>>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("vault", &self.vault.id()).finish_non_exhaustive()
    }
}

impl Transaction {
    pub(crate) fn new(vault: Vault, slot: Arc<HostSlot>) -> Self {
        Self { core: vault.core.clone(), vault, slot: Some(slot) }
    }

    /// A collection of the same vault inside this transaction. With one of another vault every call answers
    /// [`Error::OtherVault`].
    pub fn in_collection<'c, T: Serialize + DeserializeOwned>(
        &'c mut self,
        collection: &'c Collection<T>,
    ) -> TxCollection<'c, T> {
        TxCollection::of_transaction(self, collection)
    }

    /// Whether it was taken away: nothing can be done with it any more, also when the device has been resumed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.with(|_| Ok(())).is_err()
    }

    /// The vault that it writes to.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Makes everything happen. Durable when this returns. The transaction is over, whatever it returns.
    ///
    /// # Errors
    /// [`Error::Life`]: it was taken away; [`Error::Store`]: the store refused; nothing of it has happened then.
    pub fn commit(mut self) -> Result<(), Error> {
        match self.slot.take() {
            Some(slot) => {
                let committed = self.core.commit_host(&slot);
                self.core.abandon(slot);
                committed
            }
            None => Ok(()),
        }
    }

    /// Forgets everything, as dropping it does.
    pub fn abort(self) {
        drop(self);
    }

    /// Runs `f` on what it has written.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut WriteSet) -> Result<R, Error>) -> Result<R, Error> {
        self.core.check_process()?;
        match &self.slot {
            Some(slot) => slot.with(f).map_err(|error| self.core.explained(error)),
            None => Err(Error::Life(LifeError::Closed)),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.core.abandon(slot);
        }
    }
}
