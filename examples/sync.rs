//! Two devices and a relay: the first writes and invites, the second joins and receives.
//!
//! Start a relay (`subrosa-relay init` and `serve`; see docs/RELAY.md), then:
//! `cargo run -p subrosa-examples --example sync -- 'subrosa://127.0.0.1:4433/#...'`

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use subrosa::{
    Confirmation, Device, Options, OsEntropy, PairJoin, PairLink, Record, RelayAddr, SoftwareKey, Value,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("usage: sync RELAY-URL")?;
    let relay = RelayAddr::parse(&url)?;
    let dir = tempfile::tempdir()?;

    let phone = Device::create(dir.path().join("phone"), key(), options("phone"))?;
    let notes = phone.create_vault("personal")?.records("notes");
    let id = notes.insert(&Record([("title".to_owned(), Value::from("written offline"))].into()))?;

    // The link goes to the other device as a QR code; the code that it then shows is compared by the user.
    let mut offer = phone.pair_offer(&relay)?;
    let mut join = PairJoin::start(
        dir.path().join("laptop"),
        key(),
        options("laptop"),
        PairLink::parse(&offer.link().to_text())?,
    )?;
    let joining = std::thread::spawn(move || {
        loop {
            if let Some(device) = join.wait(PATIENCE)? {
                return anyhow::Ok(device);
            }
        }
    });
    let request = offer.wait_for_code(PATIENCE)?.context("nobody answered the link")?;
    println!("{} asks to be let in, with the code {}", request.name, request.code);
    offer.confirm(Confirmation::CodesEqual)?;
    let laptop = joining.join().map_err(|_| anyhow::anyhow!("joining failed"))??;

    // From here on both sync in the background, as long as the handle lives.
    let (sync_phone, sync_laptop) = (phone.sync(&relay)?, laptop.sync(&relay)?);
    sync_phone.wait_caught_up(PATIENCE)?;
    sync_laptop.wait_caught_up(PATIENCE)?;
    let received = laptop.vault("personal")?.records("notes").get(id)?;
    println!("the laptop has {received:?}; sync is {}", sync_laptop.status().reason());
    Ok(())
}

fn key() -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(&OsEntropy))
}

fn options(name: &str) -> Options {
    Options::default().device_name(name)
}
