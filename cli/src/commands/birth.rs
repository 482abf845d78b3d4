//! init and pair join: the commands that make a store.
//!
//! What fails, is declined or is cut short removes nothing: what stands in the folder by then may be somebody else's. The
//! key stays for the next attempt, and so may a store that was never finished, which that attempt finishes.

use std::sync::Arc;
use std::time::Duration;

use subrosa::{Device, Error, KeyProvider, Options, PairCode, PairLink, RelayAddr, StoreError};

use crate::args::Init;
use crate::clock::Stopwatch;
use crate::failure::Failure;
use crate::joining::{self, NewDevice};
use crate::keyfile;
use crate::place::Place;
use crate::request::{Answer, Caller as _, Level};
use crate::stop::{GLANCE, Stop};
use crate::terminal::{Look, Terminal, text_argument};

/// The first vault of a user.
pub(super) const HOME_VAULT: &str = "personal";
/// How long a new device waits for its first data before that is left to `sync`.
const FIRST_SYNC: Duration = Duration::from_secs(10);

/// Makes a store with one vault.
pub(super) fn init(place: &Place, init: Init, look: Look) -> Result<(), Failure> {
    let relay = match init.relay {
        Some(url) => Some(RelayAddr::parse(&text_argument(&url)?)?),
        None => None,
    };
    let key = device_key(place)?;
    let options = Options::default().device_name(init.name.unwrap_or_else(machine_name));
    let device = make_or_finish(place, &key, options)?;
    device.set_relay(relay.as_ref())?;
    // Last: a store without a vault is one that `init` may finish.
    let vault = device.create_vault(HOME_VAULT)?.id();
    let name = device.name()?;
    drop(device);

    let mut terminal = Terminal::new(look, Stop::default());
    let mut say = |text: &str| terminal.note(Level::Plain, text);
    say(&format!("made the vault {HOME_VAULT} in {}", place.dir().display()))?;
    say(
        "WARNING: there is no recovery yet. Lose the store or its key file, and this copy is lost for good;",
    )?;
    say("WARNING: only another paired device has the data then. Pair one soon: subrosa pair offer")?;
    say(&format!("the device key is the file {} (mode 0600); an app", place.key_file().display()))?;
    say("would keep it in the keystore of the operating system")?;
    if relay.is_none() {
        say("no relay is set: the vault stays on this device until `subrosa relay set URL`")?;
    }
    let json = serde_json::json!({
        "store": place.dir(), "vault": HOME_VAULT, "vault_id": vault.to_string(), "device": name
    });
    terminal.answer(&Answer { text: String::new(), json: json.to_string() })
}

/// What `pair join` was given.
pub(super) struct Join {
    pub(super) link: String,
    pub(super) yes: bool,
    pub(super) name: Option<String>,
}

/// Makes a store from another device's link.
pub(super) fn pair_join(place: &Place, join: Join, stop: &Stop, look: Look) -> Result<(), Failure> {
    let link = join.link.trim();
    PairLink::parse(link).map_err(Error::PairLink)?;
    let mut terminal = Terminal::new(look, stop.clone());
    let name = join.name.unwrap_or_else(machine_name);
    let options = Options::default().device_name(name.clone());
    let new = NewDevice { dir: place.dir(), key: device_key(place)?, options };
    let device = joining::join(link, &new, stop, |code| show_code(code, join.yes, &mut terminal))
        .map_err(|failure| in_the_way(failure, place))?;
    let vaults = device.vaults()?.into_iter().map(|vault| vault.name).collect::<Vec<_>>();
    terminal.note(Level::Plain, &format!("this device is in, its store is {}", place.dir().display()))?;
    let first =
        if fetch(&device, stop)? { "and it has the data" } else { "run `subrosa sync` to get the data" };
    terminal.note(Level::Plain, first)?;
    let json = serde_json::json!({ "store": place.dir(), "vaults": vaults, "device": name });
    terminal.answer(&Answer { text: String::new(), json: json.to_string() })
}

/// Syncs until the vault lists this device, and what the relay had is here; says whether that came about in time.
fn fetch(device: &subrosa::Device, stop: &Stop) -> Result<bool, Failure> {
    let Some(relay) = device.relay()? else { return Ok(false) };
    let sync = device.sync(&relay)?;
    let (time, moment) = (Stopwatch::start(), sync.moment());
    while time.elapsed() < FIRST_SYNC && !stop.is_raised() {
        let synced = moment.wait(GLANCE, GLANCE).is_ok();
        let mut listed = true;
        for vault in device.vaults()? {
            listed &= device.vault_by_id(&vault.id)?.devices()?.iter().any(|device| device.is_this);
        }
        if synced && listed {
            return Ok(true);
        }
        std::thread::sleep(GLANCE);
    }
    Ok(false)
}

fn show_code(code: PairCode, yes: bool, terminal: &mut Terminal) -> Result<(), Failure> {
    terminal.note(Level::Plain, &format!("the code of this pairing is {code}"))?;
    if yes {
        return Ok(());
    }
    terminal.note(Level::Plain, "type it on the other device, or confirm there that both show the same")
}

/// The key of the store to come: the one that lies in the folder, as after an attempt that came to nothing, or a new one.
fn device_key(place: &Place) -> Result<Arc<dyn KeyProvider>, Failure> {
    place.make()?;
    let path = place.key_file();
    if place.has_store()? && !path.exists() {
        // Its key is elsewhere, and another one beside it would only look like it.
        return Err(Failure::StoreExists(place.dir().to_path_buf()));
    }
    Ok(keyfile::load_or_create(&path)?)
}

/// Makes the store, or takes one that an `init` left without a vault.
fn make_or_finish(place: &Place, key: &Arc<dyn KeyProvider>, options: Options) -> Result<Device, Failure> {
    match Device::create(place.dir(), Arc::clone(key), options.clone()) {
        Err(Error::AlreadyExists) => {}
        made => return Ok(made?),
    }
    let exists = || Failure::StoreExists(place.dir().to_path_buf());
    match Device::open(place.dir(), Arc::clone(key), options) {
        Ok(device) if device.vaults()?.is_empty() => Ok(device),
        Err(Error::Store(StoreError::Locked { holder: pid })) => {
            Err(Failure::StoreInUse { dir: place.dir().to_path_buf(), pid })
        }
        Ok(_) | Err(_) => Err(exists()),
    }
}

/// Names the folder that has a store already.
fn in_the_way(failure: Failure, place: &Place) -> Failure {
    match failure {
        Failure::Engine(Error::AlreadyExists) => Failure::StoreExists(place.dir().to_path_buf()),
        other => other,
    }
}

/// The name of this machine, as its owner knows it.
fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "device".to_owned() } else { name }
}
