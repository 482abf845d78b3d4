//! The data directory: four files, a lock, and private modes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Settings.
pub const CONFIG: &str = "relay.toml";
/// The relay's key, PKCS#8; whoever has it is the relay.
pub const KEY: &str = "relay.key";
/// Revoked invites, one id a line.
pub const REVOKED: &str = "relay.revoked";
/// The database; devices can fill a new one.
pub const DATABASE: &str = "relay.redb";
/// Where a serving relay takes admin commands.
pub const SOCKET: &str = "relay.sock";

/// Makes the directory with mode 0700 if it is not there; refuses one that has anything in it.
pub(crate) fn make_data_dir(data: &Path) -> Result<(), Error> {
    match fs::read_dir(data) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::Exists(data.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(|source| Error::file(data, source)),
        Err(source) => Err(Error::file(data, source)),
    }
}

/// Writes a new file of mode 0600 and makes it durable.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|source| Error::file(path, source))
}

/// Held by the one process that may open the data directory.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Locks the key file, which every relay has and nothing replaces.
    pub(crate) fn take(data: &Path) -> Result<Self, Error> {
        let path = data.join(KEY);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotARelay(data.to_owned()));
            }
            Err(source) => return Err(Error::file(&path, source)),
        };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Serving(data.to_owned())),
            Err(errno) => Err(Error::file(&path, errno.into())),
        }
    }
}

/// A path to the socket that is short enough for a socket address: through the open directory if need be.
pub(crate) fn socket_path(data: &Path) -> Result<(PathBuf, Option<File>), Error> {
    const SUN_PATH_MAX: usize = 100;
    let path = data.join(SOCKET);
    if path.as_os_str().len() <= SUN_PATH_MAX {
        return Ok((path, None));
    }
    let dir = File::open(data).map_err(|source| Error::file(data, source))?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&dir);
    Ok((PathBuf::from(format!("/proc/self/fd/{fd}/{SOCKET}")), Some(dir)))
}
