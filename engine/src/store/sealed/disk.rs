//! The disk as the sealed file sees it, and the real one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::Missing;
use crate::store::StoreError;

/// Bytes at positions, and the promise of [`Disk::sync`]. Nobody else reads or writes them meanwhile.
pub(crate) trait Disk: Send + Sync + 'static {
    /// Fills `out` from `offset` on; [`io::ErrorKind::UnexpectedEof`] where the disk ends earlier.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes`. It is not durable, and not all-or-nothing, before the next [`Disk::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The length.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the disk off, or grows it with zeros that need take up no room.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Returns when everything written before is durable, the length included.
    fn sync(&self) -> io::Result<()>;

    /// Gives up the disk and its lock. Everything but another `close` fails from now on.
    fn close(&self) -> io::Result<()>;
}

/// A file, locked against every other opener.
pub(crate) struct FileDisk(RwLock<Option<File>>);

impl FileDisk {
    /// Opens the file at `path`, or creates it, readable by its owner alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while another process, or another handle in this one, has it open;
    /// [`StoreError::Missing`] when there is none and none was to be created; [`StoreError::Io`].
    pub(crate) fn open(path: &Path, missing: Missing) -> Result<Self, StoreError> {
        let file = match existing_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match missing {
                Missing::Refuse => return Err(StoreError::Missing),
                Missing::Create => created_file(path)?,
            },
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Self(RwLock::new(Some(file)))),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { holder: lock_holder(&file) }),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let file = self.0.read().unwrap_or_else(PoisonError::into_inner);
        work(file.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?)
    }
}

impl Disk for FileDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|file| read_exact_at(file, offset, out))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|file| write_all_at(file, offset, bytes))
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|file| Ok(file.metadata()?.len()))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(|file| file.set_len(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(File::sync_data)
    }

    fn close(&self) -> io::Result<()> {
        let file = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        // Unlocked by hand: the lock would outlive this handle in a forked child that inherited it.
        file.map_or(Ok(()), |file| file.unlock())
    }
}

fn existing_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Creates the file, and makes its name durable.
fn created_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all()?,
        _ => File::open(".")?.sync_all()?,
    }
    Ok(file)
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                out = &mut out[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The process that holds the lock of `file`, for the message of an error: a hint, nothing more.
#[cfg(target_os = "linux")]
fn lock_holder(file: &File) -> Option<u32> {
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().ok()?).to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (kind, pid, place) = (words.nth(1)?, words.nth(2)?, words.next()?);
        let matches = kind == "FLOCK" && place.rsplit(':').next() == Some(&inode);
        matches.then(|| pid.parse().ok())?
    })
}

#[cfg(not(target_os = "linux"))]
fn lock_holder(_: &File) -> Option<u32> {
    None
}
