//! The relay of the demo: this same program, as a process of its own.

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use subrosa::RelayAddr;
use subrosa_relay::{CONFIG, Config, DATABASE, Relay};

use crate::failure::Failure;

/// First word of the command line that makes this program a relay. No command for people, so it is not among the
/// definitions of those.
const WORD: &str = "demo-relay";

/// The data folder of the relay that this process is to be, if it is: `demo-relay DIR`.
pub(crate) fn asked_for(args: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args.into_iter();
    if args.next()? == WORD { args.next().map(PathBuf::from) } else { None }
}

/// Serves a relay on loopback from `data`, made when it is not there, until stdin ends: so it never outlives the
/// process that started it. Its URL is the first line of stdout.
pub(crate) fn serve(data: &Path) -> Result<(), Failure> {
    let (config, fresh) = if data.join(CONFIG).exists() {
        (Config::load(data).map_err(relay)?, None)
    } else {
        let config = Config { listen: free_port().map_err(Failure::Demo)?, ..Config::default() };
        let made = subrosa_relay::init(data, &config).map_err(relay)?;
        (config, made.url)
    };
    let running = Relay::start(config, data).map_err(relay)?;
    let url = match fresh {
        Some(url) => url,
        None => running.url().map_err(relay)?,
    };
    let mut out = io::stdout();
    writeln!(out, "{url}").and_then(|()| out.flush()).map_err(Failure::Output)?;
    io::copy(&mut io::stdin().lock().take(u64::MAX), &mut io::sink()).map_err(Failure::Demo)?;
    drop(running);
    Ok(())
}

/// A port that nobody uses now; the relay keeps it through restarts.
fn free_port() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn relay(error: subrosa_relay::Error) -> Failure {
    Failure::DemoRelay(Box::new(error))
}

/// The running relay; killed when dropped.
pub(super) struct Process {
    data: PathBuf,
    child: Child,
    /// Its address, with an invite at the first start.
    pub(super) url: RelayAddr,
}

impl Process {
    /// Starts a relay that keeps its files in `data`, and waits until it listens.
    pub(super) fn start(data: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::Demo)?;
        let mut child = Command::new(program)
            .arg(WORD)
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::Demo)?;
        let mut line = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        match (read, RelayAddr::parse(&line)) {
            (Some(Ok(_)), Ok(url)) => Ok(Self { data: data.to_path_buf(), child, url }),
            _ => {
                end(&mut child);
                Err(Failure::DemoRelaySilent)
            }
        }
    }

    /// Process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would, and starts it again from its files.
    pub(super) fn crash_and_restart(&mut self) -> Result<(), Failure> {
        end(&mut self.child);
        *self = Self::start(&self.data)?;
        Ok(())
    }

    /// Every byte that it keeps.
    pub(super) fn database(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(self.data.join(DATABASE)).map_err(Failure::Demo)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a child (SIGKILL) and takes its exit code, so that nothing of it stays.
fn end(child: &mut Child) {
    // It may have ended by itself; then there is nothing to do.
    let _ = child.kill();
    let _ = child.wait();
}
