//! What the end-to-end tests share: relays in this process and in processes of their own, and pairing.

#[path = "../liar/mod.rs"]
pub mod liar;
#[path = "../simulator/mod.rs"]
pub mod simulator;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use subrosa::{Confirmation, Device, Options, OsEntropy, PairJoin, PairLink, RelayAddr, SoftwareKey};
use subrosa_relay::{Config, Relay, RunningRelay};

/// Longest wait for anything in a test; reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of a relay on loopback that takes everything at any rate.
#[must_use]
pub fn loopback(listen: SocketAddr) -> Config {
    let mut config = Config { listen, open: true, ..Config::default() };
    for class in &mut config.quotas.class {
        (class.bytes_per_sec, class.segments_per_sec) = (1 << 40, 1 << 30);
    }
    config
}

/// A relay's data directory with a fresh key, for a relay on loopback.
///
/// # Errors
/// What the file system refuses.
pub fn init_relay(data: &Path) -> Result<()> {
    subrosa_relay::init(data, &loopback(([127, 0, 0, 1], 0).into()))?;
    Ok(())
}

/// A relay in this process, on a free port of loopback.
///
/// # Errors
/// What the file system or the network refuse.
pub fn start_relay(data: &Path) -> Result<RunningRelay> {
    if !data.exists() {
        init_relay(data)?;
    }
    Ok(Relay::start(loopback(([127, 0, 0, 1], 0).into()), data)?)
}

/// Says to a test binary that it is a relay; see [`relay_child`].
const CHILD_DATA: &str = "SUBROSA_TEST_RELAY_DATA";
const CHILD_PORT: &str = "SUBROSA_TEST_RELAY_PORT";

/// A relay in a process of its own, to be killed.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    data: PathBuf,
    /// Where it listens; the same after a restart.
    pub addr: SocketAddr,
}

/// What the child of [`RelayProcess`] runs: call it from a test of that name, which does nothing otherwise.
pub fn relay_child() {
    let (Ok(data), Ok(port)) = (std::env::var(CHILD_DATA), std::env::var(CHILD_PORT)) else { return };
    let port = port.parse().expect("the parent gives a port");
    let relay =
        Relay::start(loopback(([127, 0, 0, 1], port).into()), Path::new(&data)).expect("the relay starts");
    println!("\nlistening on {}", relay.addr());
    // Killed, or told to end by its standard input.
    let _ = std::io::stdin().read_line(&mut String::new());
    relay.stop();
}

impl RelayProcess {
    /// Starts this test binary again as a relay; `test` names the test that calls [`relay_child`].
    ///
    /// # Errors
    /// What the system refuses.
    pub fn start(data: &Path, test: &str, port: u16) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD_DATA, data)
            .env(CHILD_PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        for line in stdout.lines() {
            if let Some(addr) = line?.strip_prefix("listening on ") {
                let addr = addr.parse()?;
                return Ok(Self { child, data: data.to_owned(), addr });
            }
        }
        anyhow::bail!("the relay ended before it listened")
    }

    /// Kills it as `kill -9` does, and starts it again on the same port.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn kill_and_restart(&mut self, test: &str) -> Result<()> {
        self.kill()?;
        let again = Self::start(&self.data, test, self.addr.port())?;
        *self = again;
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Has it stand still: it holds its port, and answers nobody.
    ///
    /// # Errors
    /// What the system refuses.
    #[cfg(unix)]
    pub fn pause(&self) -> Result<()> {
        use rustix::process::{Pid, Signal, WaitOptions, waitpid};

        self.signal(Signal::STOP)?;
        // A thread that runs may still answer somebody before it stops; all of them have when the child is said to.
        waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// What the system refuses.
    #[cfg(unix)]
    pub fn go_on(&self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        Ok(rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)?)
    }

    /// Its address for clients.
    ///
    /// # Errors
    /// If its key cannot be read.
    pub fn url(&self) -> Result<RelayAddr> {
        url_of(&self.data, self.addr)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The address of the relay with the key in `data` that listens on `addr`.
///
/// # Errors
/// If its key cannot be read.
pub fn url_of(data: &Path, addr: SocketAddr) -> Result<RelayAddr> {
    let key = subrosa_relay::RelayKey::load(data)?;
    Ok(RelayAddr::new(vec![addr.to_string()], key.pin(), None)?)
}

/// A new device with a vault `personal` in `dir`.
///
/// # Errors
/// What the engine refuses.
pub fn new_device(dir: &Path) -> Result<Device> {
    let device = Device::create(dir, Arc::new(SoftwareKey::generate(&OsEntropy)), Options::default())?;
    device.create_vault("personal")?;
    Ok(device)
}

/// Pairs a new device in `dir` with `old` over the relay.
///
/// # Errors
/// What the engine refuses.
pub fn pair(old: &Device, dir: &Path, relay: &RelayAddr) -> Result<Device> {
    let mut offer = old.pair_offer(relay)?;
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let mut join = PairJoin::start(dir, key, Options::default(), PairLink::parse(&offer.link().to_text())?)?;
    let joined = std::thread::spawn(move || {
        loop {
            if let Some(device) = join.wait(Duration::from_secs(1))? {
                return anyhow::Ok(device);
            }
        }
    });
    offer.wait_for_code(PATIENCE)?.context("nobody joined")?;
    offer.confirm(Confirmation::CodesEqual)?;
    joined.join().map_err(|_| anyhow::anyhow!("the joining thread panicked"))?
}
