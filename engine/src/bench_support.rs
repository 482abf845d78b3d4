//! What the benchmarks in `tests/benches` need of the inside. Only there with the feature `bench-support`; no part of
//! the API, and not for applications.

pub use subrosa_store::testing::sealed_database;

use crate::device::Device;
use crate::error::Error;
use crate::life::commit::Durable;
use crate::vault::Vault;

/// Commits that wait for the next durable one.
const NOT_DURABLE_MAX: u32 = 64;

/// Has a device open so many new pairs of logs in a vault, as a copy of its store that a relay disagrees with does; but
/// as often as there is room for.
///
/// # Errors
/// Those of opening new logs.
pub fn open_new_logs(device: &Device, vault: &Vault, pairs: u32) -> Result<(), Error> {
    let number = device.core.lock_state()?.vault_no(&vault.id())?;
    for pair in 1..=pairs {
        let new = device.core.new_logs(number)?;
        let is_durable = pair == pairs || pair.is_multiple_of(NOT_DURABLE_MAX);
        let durable = if is_durable { Durable::Now } else { Durable::Later };
        device.core.write_with(durable, |tx| tx.rotate_logs(number, new))?;
    }
    device.core.notify_pending();
    Ok(())
}

/// How many logs with a certificate a device knows in a vault.
///
/// # Errors
/// [`Error::NoVault`].
pub fn certified_logs(device: &Device, vault: &Vault) -> Result<usize, Error> {
    device.core.with_vault(&vault.id(), |state| Ok(state.logs.len()))
}
