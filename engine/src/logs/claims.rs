//! What a relay may claim something of: the logs that this device writes.

use subrosa_protocol::ids::{LogId, VaultId};

use crate::error::Error;
use crate::life::Core;

impl Core {
    /// The logs that this device writes in a vault.
    pub(crate) fn live_logs(&self, vault: &VaultId) -> Result<Vec<LogId>, Error> {
        self.with_vault(vault, |state| {
            let own = [state.own.data, state.own.control];
            Ok(own.into_iter().filter_map(|log| Some(state.logs.get(&log)?.id)).collect())
        })
    }
}
