//! Reading the store and taking back what turns out to be damaged (`docs/RELAY.md`, "Damage").

use std::sync::{Arc, Mutex, PoisonError};

use crate::appender::news::{News, Untrue};
use crate::data::DataDir;
use crate::hub::Hub;
use crate::store::{Damage, LogStore, StoreError};

/// The store, with those who have to hear when a log is taken back.
pub(crate) struct Healer {
    pub(crate) data: Arc<DataDir>,
    pub(crate) hub: Arc<Hub>,
    /// For the appender's verifier.
    pub(crate) news: Mutex<News>,
}

impl Healer {
    pub(crate) fn new(data: Arc<DataDir>, hub: Arc<Hub>) -> Self {
        Self { data, hub, news: Mutex::default() }
    }

    /// Takes the vault's damaged logs back; then the verifier forgets their heads, and the vault's feeds show the new
    /// digest. Blocks for a while.
    ///
    /// # Errors
    /// [`StoreError`] when that did not help: what was found stays damaged.
    pub(crate) fn take_back(&self, damage: &Damage) -> Result<(), StoreError> {
        let taken = self.data.store.take_back(damage)?;
        self.news.lock().unwrap_or_else(PoisonError::into_inner).tell(Untrue::Vault(damage.vault));
        self.hub.grown(&damage.vault);
        tracing::debug!(vault = %damage.vault, logs = taken.len(), "taken back");
        Ok(())
    }

    /// Reads; when that meets damage, takes it back and reads again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn read<R>(
        &self,
        read: impl Fn(&dyn LogStore) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        loop {
            match read(&*self.data.store) {
                Err(StoreError::Vault(damage)) => self.take_back(&damage)?,
                result => return result,
            }
        }
    }
}
