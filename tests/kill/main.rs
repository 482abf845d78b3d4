//! A relay that is killed with SIGKILL again and again while a device pushes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use subrosa::{Device, Vault};
use subrosa_relay::{Answer, Question};
use subrosa_tests::{PATIENCE, RelayProcess, init_relay, new_device, pair, relay_child};

/// Kills; more with the environment variable `SUBROSA_KILLS`.
const KILLS: u32 = 20;
const RECORDS: u32 = 100_000;
const BATCH: u32 = 2_000;

#[derive(Serialize, Deserialize)]
struct Row {
    n: u32,
    text: String,
}

/// Not a test: the relay's process.
#[test]
fn child() {
    relay_child();
}

#[test]
fn killed_at_random_while_100_000_records_are_pushed_it_loses_nothing_acknowledged() -> Result<()> {
    let kills = std::env::var("SUBROSA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("relay");
    init_relay(&data)?;
    let mut relay = RelayProcess::start(&data, "child", 0)?;
    let a = new_device(&dir.path().join("a"))?;
    let url = relay.url()?;
    let b = pair(&a, &dir.path().join("b"), &url)?;

    let sync = a.sync(&url)?;
    let writer = {
        let vault = a.vault("personal")?;
        std::thread::spawn(move || write_rows(&vault))
    };
    let personal = a.vault("personal")?;
    let mut random = Xorshift(0x5eed);
    // A segment takes what compresses to 62 KiB: of these rows not quite 80.
    let target = u64::from(RECORDS) * 280 / (80 << 10);
    for kill in 0..kills {
        // Some more segments are acknowledged, then the relay is killed at whatever it does just then.
        let share = target * u64::from(kill) / u64::from(kills);
        wait_for(|| personal.delivery(&url).is_ok_and(|delivery| delivery.acknowledged >= share))?;
        std::thread::yield_now();
        spin(random.next() % 20);
        relay.kill()?;
        let acknowledged = personal.delivery(&url)?.acknowledged;
        let held = segments_held(&data)?;
        assert!(held >= acknowledged, "kill {kill}: {acknowledged} acknowledged, {held} held");
        relay.kill_and_restart("child")?;
    }
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    sync.wait_caught_up(PATIENCE)?;
    let receiving = b.sync(&url)?;
    receiving.wait_caught_up(PATIENCE)?;
    assert_eq!(rows(&a)?.len(), RECORDS as usize);
    assert!(rows(&a)? == rows(&b)?, "both devices hold the same");
    drop((sync, receiving));
    relay.kill()?;
    assert!(b.verify()?.is_good());
    Ok(())
}

fn write_rows(vault: &Vault) -> Result<()> {
    let collection = vault.collection::<Row>("rows");
    for batch in 0..RECORDS / BATCH {
        vault.write(|tx| {
            for n in batch * BATCH..(batch + 1) * BATCH {
                collection.in_tx(tx).insert(&Row { n, text: noise(n) })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// 220 characters that do not compress well.
fn noise(n: u32) -> String {
    let mut random = Xorshift(u64::from(n) + 1);
    (0..220).map(|_| char::from(b'!' + (random.next() % 90) as u8)).collect()
}

fn rows(device: &Device) -> Result<Vec<(subrosa::RecordId, u32)>> {
    let rows = device.vault("personal")?.collection::<Row>("rows");
    rows.scan().map(|row| Ok(row.map(|(id, row)| (id, row.n))?)).collect()
}

fn segments_held(data: &std::path::Path) -> Result<u64> {
    match subrosa_relay::ask(data, &Question::Status)? {
        Answer::Status(status) => Ok(status.stored.segments),
        _ => anyhow::bail!("an answer to another question"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline against hanging, in a test of real processes")]
fn wait_for(mut met: impl FnMut() -> bool) -> Result<()> {
    let start = std::time::Instant::now();
    while !met() {
        (start.elapsed() < PATIENCE).then_some(()).context("no progress")?;
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(())
}

/// Lets `ms` milliseconds pass, so that the kill comes at another moment each time.
fn spin(ms: u64) {
    std::thread::park_timeout(Duration::from_millis(ms));
}

struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
