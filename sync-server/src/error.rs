//! Why a relay did not start, or an admin command failed. Each text ends in what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data directory holds a relay already.
    #[error("{} holds a relay, other settings, or something else: choose another --data, or serve the relay that is there and run `invite new`", .0.display())]
    Exists(PathBuf),
    /// No relay in the data directory.
    #[error("no relay in {}: run `subrosa-relay init --data {}` first", .0.display(), .0.display())]
    NotARelay(PathBuf),
    /// Another process serves this data directory.
    #[error("another subrosa-relay serves {}: stop it first", .0.display())]
    Serving(PathBuf),
    /// `relay.toml` does not parse.
    #[error("relay.toml: {reason}; correct it, see docs/RELAY.md")]
    Config {
        /// What the parser says.
        reason: String,
    },
    /// `relay.key` is not a P-256 key.
    #[error("relay.key is not a PKCS#8 P-256 key: restore it from your backup")]
    Key,
    /// A file could not be read or written.
    #[error("{}: {source}; check the path, who may use it, and the disk", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The UDP address cannot be bound.
    #[error("cannot listen on {addr}: {source}; change `listen` in relay.toml, or stop what uses the port")]
    Listen {
        /// The address.
        addr: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS would not take our key or certificate.
    #[error("tls: {reason}; restore relay.key from your backup")]
    Tls {
        /// What it says.
        reason: String,
    },
    /// The database failed.
    #[error("{0}; if it cannot be repaired, move relay.redb away: devices will send their data again")]
    Store(#[from] StoreError),
    /// Something in a relay URL is not one.
    #[error("{0}; give --public HOST:PORT")]
    Addr(#[from] subrosa_protocol::addr::AddrError),
    /// No invite has this id.
    #[error("{0:?} is not an invite id: `invite list` shows them")]
    InviteId(String),
    /// No quota class has this number.
    #[error("no quota class {0}: relay.toml lists the classes")]
    Class(u8),
    /// No address that clients could use is known.
    #[error("no public address: set `public` in relay.toml, or serve first")]
    NoPublicAddress,
    /// The relay that serves this directory answered with an error.
    #[error("the running relay says: {0}")]
    Admin(String),
    /// A part that the relay cannot do without is gone, so it has stopped by itself. What was acknowledged is durable.
    #[error("{what} has ended, so the relay stopped: start it again, and look into its log")]
    Stopped {
        /// Which part.
        what: &'static str,
    },
    /// The operating system gives no random bytes, threads or the like.
    #[error("the operating system: {0}")]
    System(#[from] io::Error),
}

impl Error {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
