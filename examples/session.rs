//! Encrypts for oneself and for a peer with nothing but key pairs, in a format that other platforms read.
//!
//! `cargo run -p subrosa-examples --example session`

use anyhow::Result;
use serde::{Deserialize, Serialize};
use subrosa::{Aad, OsEntropy, Profile, Session, SoftwareKey};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Settings {
    theme: String,
    size: u32,
}

fn main() -> Result<()> {
    let (anna, ben) = (SoftwareKey::generate(&OsEntropy), SoftwareKey::generate(&OsEntropy));
    let profile = Profile::supabase_e2ee_v1();

    // A self session: whoever has the key pair can open it, and nobody else.
    let own = Session::self_session(&anna, &profile)?;
    let settings = Settings { theme: "dark".into(), size: 14 };
    let sealed = own.seal_value(&OsEntropy, Aad::NONE, &settings)?;
    println!("{} bytes sealed", sealed.len());
    println!("{:?}", own.open_value::<Settings>(Aad::NONE, &sealed)?);

    // A peer session: both sides derive the same key.
    use subrosa::KeyProvider as _;
    let to_ben = Session::peer(&anna, &ben.public(), &profile)?;
    let from_anna = Session::peer(&ben, &anna.public(), &profile)?;
    let sealed = to_ben.seal_text(&OsEntropy, Aad::NONE, "sub rosa")?;
    println!("{:?}", from_anna.open_text(Aad::NONE, &sealed)?.as_str());
    Ok(())
}
