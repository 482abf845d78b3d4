//! Devices, through the public API alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use subrosa::{
    Collection, Confirmation, Device, Options, OsEntropy, PairJoin, PairLink, RelayAddr, SoftwareKey, Sync,
    Vault,
};

use super::data::Note;

pub(crate) const VAULT: &str = "home";
pub(crate) const COLLECTION: &str = "notes";
/// Records in one write transaction.
pub(crate) const WRITE_RECORDS: usize = 10_000;
/// Without any progress for so long, a benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const KEY_FILE: &str = "device.key";

/// A new device in `dir`, with its key beside the store.
pub(crate) fn create(dir: &Path) -> anyhow::Result<Device> {
    Ok(Device::create(dir, new_key(dir)?, options())?)
}

/// The device that was made in `dir`.
pub(crate) fn open(dir: &Path) -> anyhow::Result<Device> {
    let key = SoftwareKey::from_pkcs8_der(&std::fs::read(dir.join(KEY_FILE))?)?;
    Ok(Device::open(dir, Arc::new(key), options())?)
}

/// The default, or a cache of `SUBROSA_BENCH_CACHE_MIB`.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    if let Some(mib) = std::env::var("SUBROSA_BENCH_CACHE_MIB").ok().and_then(|mib| mib.parse::<usize>().ok())
    {
        options.cache_bytes = mib << 20;
    }
    options
}

fn new_key(dir: &Path) -> anyhow::Result<Arc<SoftwareKey>> {
    let key = SoftwareKey::generate(&OsEntropy);
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(KEY_FILE), &*key.dangerous_to_pkcs8_der())?;
    Ok(Arc::new(key))
}

/// The collection that benchmarks use.
pub(crate) fn notes(vault: &Vault) -> Collection<Note> {
    vault.collection(COLLECTION)
}

/// Writes the records `from..to`, many in a transaction.
pub(crate) fn write(vault: &Vault, records: &[Note]) -> anyhow::Result<()> {
    let notes = notes(vault);
    for records in records.chunks(WRITE_RECORDS) {
        vault.write(|tx| {
            let mut notes = notes.in_tx(tx);
            records.iter().try_for_each(|record| notes.insert(record).map(drop))
        })?;
    }
    Ok(())
}

/// Lets a new device in `dir` into the vaults of `old`. The control entry is on the relay when this returns.
pub(crate) fn pair(old: &Device, relay: &RelayAddr, dir: &Path) -> anyhow::Result<Device> {
    let mut offer = old.pair_offer(relay)?;
    let link = PairLink::parse(&offer.link().to_text())?;
    let mut join = PairJoin::start(dir, new_key(dir)?, options(), link)?;
    let joined = std::thread::spawn(move || {
        loop {
            match join.wait(PATIENCE) {
                Ok(Some(device)) => return Ok(device),
                Ok(None) if join.code().is_some() => {}
                Ok(None) => return Err(anyhow::Error::msg("no answer from the old device")),
                Err(error) => return Err(error.into()),
            }
        }
    });
    offer.wait_for_code(PATIENCE)?.context("no answer from the new device")?;
    offer.confirm(Confirmation::CodesEqual)?;
    let device = joined.join().map_err(|_| anyhow::Error::msg("the new device panicked"))??;
    sync(old, relay)?.stop();
    Ok(device)
}

/// Syncs until everything is there and here, and goes on.
pub(crate) fn sync(device: &Device, relay: &RelayAddr) -> anyhow::Result<Sync> {
    let sync = device.sync(relay)?;
    sync.wait_caught_up(PATIENCE)?;
    Ok(sync)
}
