//! The disk as the sealed file sees it, and the real one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::Missing;
use super::descriptor::open_above_standard;
use crate::error::StoreError;

/// Bytes at positions, and the promise of [`Disk::sync`]. Nobody else reads or writes them meanwhile.
#[expect(clippy::len_without_is_empty, reason = "a length in bytes of a disk; nobody asks whether it is 0")]
pub trait Disk: Send + Sync + 'static {
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
pub struct FileDisk(RwLock<Option<File>>);

impl FileDisk {
    /// Opens the file at `path`, or creates it, readable by its owner alone. What is in it may be judged only now: it is
    /// locked, and is the one that stands at `path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while another process, or another handle in this one, has it open;
    /// [`StoreError::Missing`] when there is none and none was to be created; [`StoreError::Io`].
    pub fn open(path: &Path, missing: Missing) -> Result<Self, StoreError> {
        let folder = folder_of(path);
        let mut refused = StoreError::Locked { holder: None };
        for _ in 0..OPEN_TRIES {
            let file = match open_above_standard(folder, || existing_or_new(path, missing)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Refuse => {
                    return Err(StoreError::Missing);
                }
                // Somebody else has created it between the two looks; or it is a link to nowhere.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    refused = error.into();
                    continue;
                }
                opened => opened?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { holder: lock_holder(&file) });
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Put in its place while this one was being locked: that one counts.
            if !stands_at(&file, path)? {
                file.unlock()?;
                continue;
            }
            if missing == Missing::Create {
                sync_folder(folder)?;
            }
            return Ok(Self(RwLock::new(Some(file))));
        }
        Err(refused)
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

/// How often a file may be replaced, or come and go, while it is being opened, before it counts as somebody's.
const OPEN_TRIES: u32 = 16;

/// Never opens with truncation, and never creates over anything.
fn existing_or_new(path: &Path, missing: Missing) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.create_new(true).open(path)
        }
        opened => opened,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Whether `path` still leads to `file`.
#[cfg(unix)]
fn stands_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// There a file that is open cannot be replaced.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
fn stands_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_or_removed_while_it_was_locked_is_not_the_one_that_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("store"), folder.path().join("other"));
        let file = existing_or_new(&path, Missing::Create).unwrap();
        assert!(stands_at(&file, &path).unwrap());
        let copy = existing_or_new(&other, Missing::Create).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!stands_at(&file, &path).unwrap() && stands_at(&copy, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!stands_at(&copy, &path).unwrap());
        assert_eq!(FileDisk::open(&path, Missing::Refuse).err(), Some(StoreError::Missing));
        assert!(FileDisk::open(&path, Missing::Create).is_ok());
    }

    #[test]
    fn what_can_neither_be_opened_nor_created_is_an_error_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
        let refused = FileDisk::open(&path, Missing::Create).err();
        assert!(matches!(refused, Some(StoreError::Io { kind: io::ErrorKind::AlreadyExists, .. })));
        assert!(!folder.path().join("nowhere").exists());
    }
}
