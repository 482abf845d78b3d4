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

/// Makes the directory with mode 0700 if it is not there; refuses one that has anything in it but what a relay's
/// making, cut short, leaves.
pub(crate) fn make_data_dir(data: &Path) -> Result<(), Error> {
    match fs::read_dir(data) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(|source| Error::file(data, source))?.file_name();
                if ![KEY, CONFIG, DATABASE].iter().any(|known| name == *known || is_fresh(&name, known)) {
                    return Err(Error::Exists(data.to_owned()));
                }
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data)
            .and_then(|()| sync_parent(data))
            .map_err(|source| Error::file(data, source)),
        Err(source) => Err(Error::file(data, source)),
    }
}

/// Whether a file now has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is the one that was made.
    Made,
    /// Another one was there, and is as it was.
    There,
}

/// Makes a file of mode 0600, whole and durable, or leaves what is there: it is written under another name first, so
/// that a stop in between never leaves half a file, and linked, which replaces nothing.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<Placed, Error> {
    let write = || {
        let made = fresh_name(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        put_in_place(&made, path)
    };
    write().map_err(|source| Error::file(path, source))
}

/// A name beside `path` that nobody else uses. What a stop leaves under such a name is of use to nobody, and harmless.
pub(crate) fn fresh_name(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{FRESH}", data_encoding::HEXLOWER.encode(&random)));
    Ok(path.with_file_name(name))
}

/// Ending of names from [`fresh_name`].
const FRESH: &str = ".new";

fn is_fresh(name: &std::ffi::OsStr, known: &str) -> bool {
    let middle =
        name.to_str().and_then(|name| name.strip_prefix(known)?.strip_prefix('.')?.strip_suffix(FRESH));
    middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Gives `made`, which this call's caller has made under a [`fresh_name`], its real name unless something has it.
pub(crate) fn put_in_place(made: &Path, path: &Path) -> io::Result<Placed> {
    let placed = match fs::hard_link(made, path) {
        Ok(()) => Placed::Made,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Placed::There,
        Err(error) => return Err(error),
    };
    fs::remove_file(made)?;
    sync_parent(path)?;
    Ok(placed)
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    File::open(dir)?.sync_all()
}

/// Whether a relay is in the directory: its key. Where that cannot be seen, it is not said that there is none.
///
/// # Errors
/// [`Error::NotARelay`]; [`Error::File`].
pub fn check_is_relay(data: &Path) -> Result<(), Error> {
    let path = data.join(KEY);
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::NotARelay(data.to_owned())),
        Err(source) => Err(Error::file(&path, source)),
    }
}

/// Held by the one process that may open the data directory.
#[derive(Debug)]
pub(crate) struct DataLock {
    file: File,
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
            Ok(()) => Ok(Self { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Serving(data.to_owned())),
            Err(errno) => Err(Error::file(&path, errno.into())),
        }
    }

    /// The locked file as a forked child has it.
    #[cfg(test)]
    pub(crate) fn duplicate(&self) -> File {
        self.file.try_clone().unwrap()
    }
}

impl Drop for DataLock {
    /// Unlocks by hand: a child that was forked and has not yet started its program inherited the file, and would keep
    /// the lock for as long.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
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
