//! The device key in a file beside the store: PKCS#8, mode 0600.
//!
//! This is what a command line can do. A host app keeps the key in the keystore of its operating system, behind
//! the same trait. The file is never overwritten or removed, and never read when others may read it. It appears whole:
//! whoever finds it may use it, and of several who make one at once all take the first.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use subrosa::{KeyError, KeyProvider, OsEntropy, SoftwareKey};
use zeroize::Zeroizing;

use crate::failure::cause;

/// The longest PKCS#8 form of a P-256 key that is read.
const KEY_BYTES_MAX: u64 = 150;

/// Why there is no device key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("the device key {} is missing", .0.display())]
    Missing(PathBuf),
    #[error("the device key {} is open to others (mode {mode:04o})", path.display())]
    Lax { path: PathBuf, mode: u32 },
    #[error("the device key {} cannot be read ({})", path.display(), cause(source))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the device key {} cannot be written ({})", path.display(), cause(source))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{} does not hold a device key ({source})", path.display())]
    NotAKey { path: PathBuf, source: KeyError },
}

impl KeyFileError {
    /// What the user can do.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Missing(_) => {
                "put the key file back, or pair this device anew in an empty folder".to_owned()
            }
            Self::Lax { path, .. } => {
                format!("run `chmod 600 {}`, and pair anew if others may have read it", path.display())
            }
            Self::Unreadable { .. } => "run the command as the owner of the store".to_owned(),
            Self::Unwritable { .. } => "make the folder writable, or choose another with --store".to_owned(),
            Self::NotAKey { .. } => "put the key file of this store back".to_owned(),
        }
    }
}

/// Reads the key.
pub(crate) fn load(path: &Path) -> Result<Arc<dyn KeyProvider>, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing(path.to_path_buf()));
        }
        other => other.map_err(unreadable)?,
    };
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Lax { path: path.to_path_buf(), mode });
    }
    let mut der = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX as usize + 1));
    file.take(KEY_BYTES_MAX + 1).read_to_end(&mut der).map_err(unreadable)?;
    let key = SoftwareKey::from_pkcs8_der(&der)
        .map_err(|source| KeyFileError::NotAKey { path: path.to_path_buf(), source })?;
    Ok(Arc::new(key))
}

/// Reads the key, or makes one and keeps it; the file is on disk when this returns.
pub(crate) fn load_or_create(path: &Path) -> Result<Arc<dyn KeyProvider>, KeyFileError> {
    match load(path) {
        Err(KeyFileError::Missing(_)) => {}
        loaded => return loaded,
    }
    let key = SoftwareKey::generate(&OsEntropy);
    match write_new(path, &key) {
        Ok(()) => Ok(Arc::new(key)),
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
        Err(source) => Err(KeyFileError::Unwritable { path: path.to_path_buf(), source }),
    }
}

/// Writes the key beside `path`, readable by its owner alone, and gives it its name once it is whole.
fn write_new(path: &Path, key: &SoftwareKey) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".device.key.").tempfile_in(dir)?;
    file.write_all(&key.dangerous_to_pkcs8_der())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_comes_back_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.key");
        assert!(matches!(load(&path), Err(KeyFileError::Missing(_))));
        let key = load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(load(&path).unwrap().public(), key.public());
        assert_eq!(load_or_create(&path).unwrap().public(), key.public(), "never overwritten");
        let another = SoftwareKey::generate(&OsEntropy);
        assert_eq!(write_new(&path, &another).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(load(&path).unwrap().public(), key.public());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays beside it");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyFileError::Lax { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, [0; 200]).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyFileError::NotAKey { .. })));
        assert_eq!(fs::read(&path).unwrap(), [0; 200]);
    }

    #[test]
    fn threads_that_make_the_key_at_once_all_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.key");
        let publics: Vec<_> = std::thread::scope(|scope| {
            let make = || scope.spawn(|| load_or_create(&path).unwrap().public());
            let threads: Vec<_> = (0..8).map(|_| make()).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(publics.iter().all(|public| *public == publics[0]));
    }
}
