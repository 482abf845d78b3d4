//! Logs that have several futures, as the app is told of them.

use std::collections::BTreeMap;

use subrosa_model::keys::PublicKey;
use subrosa_protocol::ids::VaultId;

use crate::error::Error;
use crate::life::Core;
use crate::memory::state::VaultState;

/// Logs of one device that have several futures: its store was copied, or put back from a backup, and went on twice. All of them are
/// kept and merged, and nothing is lost; that it happened may be news to whoever uses the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForksOfDevice {
    /// Its key.
    pub device: PublicKey,
    /// Its name, if it is listed.
    pub name: Option<String>,
    /// Whether it is this device.
    pub is_own: bool,
    /// So many of its logs have several futures.
    pub logs: u64,
    /// So many futures they have beyond one each.
    pub futures: u64,
}

impl Core {
    /// The devices of a vault whose logs have several futures.
    pub(crate) fn forks(&self, vault: &VaultId) -> Result<Vec<ForksOfDevice>, Error> {
        let me = self.public();
        self.with_vault(vault, |state| {
            let mut of_devices = BTreeMap::<PublicKey, (u64, u64)>::new();
            for log in state.branches.forked() {
                let Some(info) = state.logs.get(&log) else { continue };
                let Some(certificate) = state.members.certified(&info.id) else { continue };
                let of_device = of_devices.entry(certificate.device).or_default();
                of_device.0 += 1;
                of_device.1 += state.branches.counts(log).1 as u64;
            }
            let forks = of_devices.into_iter().map(|(device, (logs, futures))| {
                let name = state.members.device(&device).map(|listed| listed.name.as_str().to_owned());
                ForksOfDevice { device, name, is_own: device == me, logs, futures }
            });
            Ok(forks.collect())
        })
    }

    /// How many futures logs have in each vault, beyond one each.
    pub(crate) fn futures(&self) -> BTreeMap<VaultId, u64> {
        let of = |vault: &VaultState| (vault.id, vault.branches.len() as u64);
        self.lock_state().map_or_else(|_| BTreeMap::new(), |state| state.vaults.values().map(of).collect())
    }
}
