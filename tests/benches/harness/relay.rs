//! The real relay, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use subrosa::RelayAddr;
use tempfile::TempDir;

use super::machine;

/// A relay on loopback that lets anyone in. Killed when dropped.
pub(crate) struct RelayProcess {
    child: Child,
    listening: SocketAddr,
    addr: RelayAddr,
    data: PathBuf,
    _dir: TempDir,
}

impl RelayProcess {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (binary, dir) = (binary()?, super::scratch()?);
        let data = dir.path().join("relay");
        let init = Command::new(&binary)
            .args(["init", "--open", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stderr(Stdio::null())
            .status()?;
        ensure!(init.success(), "subrosa-relay init failed");
        let mut child =
            Command::new(&binary).args(["serve", "--data"]).arg(&data).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("stdout is piped")?).read_line(&mut line)?;
        let listening = line.trim().strip_prefix("listening on ").context("the relay did not start")?;
        let listening: SocketAddr = listening.parse()?;
        let status = status(&binary, &data)?;
        let pin = status.get("pin").and_then(|pin| pin.as_str()).context("no pin in the status")?;
        let addr = RelayAddr::parse(&format!("subrosa://{listening}/#{pin}"))?;
        Ok(Self { child, listening, addr, data, _dir: dir })
    }

    /// Where it listens.
    pub(crate) const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Where devices find it.
    pub(crate) const fn addr(&self) -> &RelayAddr {
        &self.addr
    }

    /// How many segments it holds.
    pub(crate) fn segments(&self) -> anyhow::Result<u64> {
        let status = status(&binary()?, &self.data)?;
        status["stored"]["segments"].as_u64().context("no segments in the status")
    }

    /// The length of its database.
    pub(crate) fn stored_bytes(&self) -> anyhow::Result<u64> {
        super::stored_bytes(&self.data)
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        machine::cpu_of(self.child.id())
    }

    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        machine::resident(self.child.id())
    }

    pub(crate) fn resident_anonymous(&self) -> anyhow::Result<u64> {
        machine::resident_anonymous(self.child.id())
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(binary: &Path, data: &Path) -> anyhow::Result<serde_json::Value> {
    let status = Command::new(binary).args(["status", "--json", "--data"]).arg(data).output()?;
    Ok(serde_json::from_slice(&status.stdout)?)
}

/// The relay's binary: `SUBROSA_RELAY`, or the one that cargo builds beside this benchmark, in the same profile.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("SUBROSA_RELAY") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let dir = own.parent().and_then(std::path::Path::parent).context("a benchmark lies in target/*/deps")?;
    // Built every time, or it would be measured as it was the last time.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "subrosa-relay", "--bin", "subrosa-relay", "--target-dir"]);
    build.arg(dir.parent().context("a benchmark lies in target/*/deps")?);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    if !build.status()?.success() {
        bail!("cargo could not build subrosa-relay; name a binary in SUBROSA_RELAY");
    }
    Ok(dir.join(format!("subrosa-relay{}", std::env::consts::EXE_SUFFIX)))
}
