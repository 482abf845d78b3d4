//! Opens a store, writes typed records, reads them back, and watches them change.
//!
//! `cargo run -p subrosa-examples --example quickstart [DIR]`; without a directory, a temporary one is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use subrosa::{Device, Options, OsEntropy, SoftwareKey};

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    title: String,
    done: bool,
    #[serde(default)]
    tags: Vec<String>,
}

fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args().nth(1).map_or_else(|| temporary.path().join("store"), PathBuf::from);

    // A host application keeps this key in the keystore of its platform. Who has it can open the store.
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let device = Device::create(&dir, key.clone(), Options::default())?;
    let vault = device.create_vault("personal")?;
    let notes = vault.collection::<Note>("notes");
    let mut changes = notes.watch();

    let id = notes.insert(&Note { title: "Call Anna".into(), done: false, tags: vec!["people".into()] })?;
    notes.update(id, |note| note.done = true)?;

    // What happens in a transaction happens at once, here and on every other device, or not at all.
    vault.write(|tx| {
        let first = notes.in_tx(tx).insert(&Note { title: "Buy roses".into(), done: false, tags: vec![] })?;
        notes.in_tx(tx).insert(&Note { title: format!("after {first}"), done: false, tags: vec![] })?;
        Ok(())
    })?;

    for note in notes.scan() {
        let (id, note) = note?;
        println!("{id} {note:?}");
    }
    while let Some(change) = changes.next(Duration::ZERO) {
        println!("{change:?}");
    }

    // The store survives being closed; another key does not open it.
    drop((notes, vault, device));
    let again = Device::open(&dir, key, Options::default())?;
    println!("{} notes after reopening", again.vault("personal")?.collection::<Note>("notes").len()?);
    let stranger = Arc::new(SoftwareKey::generate(&OsEntropy));
    drop(again);
    if let Err(error) = Device::open(&dir, stranger, Options::default()) {
        println!("with another key: {error}");
    }
    Ok(())
}
