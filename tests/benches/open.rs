//! CPU that opening a store with many vaults costs. After `--`, how many there are: 500, or 20 when it is to be quick.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use subrosa::{Device, Options, OsEntropy, SoftwareKey};

/// User and system time of this process.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = std::env::var_os("SUBROSA_BENCH_QUICK").is_some()
        || !words.iter().any(|word| word == "--bench")
        || words.iter().any(|word| word == "--quick");
    let usual = if is_quick { 20 } else { 500 };
    let vaults = words.iter().find_map(|word| word.parse().ok()).unwrap_or(usual);
    let home = tempfile::tempdir()?;
    let path = home.path().join("store");
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let device = Device::create(&path, key.clone(), Options::default())?;
    for n in 0..vaults {
        device.create_vault(&format!("vault {n}"))?;
    }
    device.close()?;
    drop(device);
    let mut spent = Vec::new();
    for _ in 0..7 {
        let before = cpu();
        let device = Device::open(&path, key.clone(), Options::default())?;
        spent.push(cpu() - before);
        device.close()?;
    }
    spent.sort();
    println!(
        "{vaults} vaults: {:?} at least, {:?} at most, {:?} in the middle",
        spent[0], spent[6], spent[3]
    );
    Ok(())
}
