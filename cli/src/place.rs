//! Where a store lies and what lies beside it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder of one store.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// The folder that the user named, or the platform's.
    pub(crate) fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        let dir = match named {
            Some(dir) if dir.as_os_str().is_empty() => return Err(Failure::NoPlace),
            Some(dir) => dir,
            None => directories::ProjectDirs::from("", "", "subrosa")
                .ok_or(Failure::NoPlace)?
                .data_dir()
                .to_path_buf(),
        };
        std::path::absolute(&dir).map(Self).map_err(Failure::Folder)
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The sealed file, made by the engine.
    pub(crate) fn store_file(&self) -> PathBuf {
        self.0.join("store.subrosa")
    }

    /// The device key, PKCS#8, mode 0600.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.0.join("device.key")
    }

    /// The socket of the process that holds the store.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    /// Whether a store is here. Where that cannot be seen, it is not said that there is none.
    pub(crate) fn has_store(&self) -> Result<bool, Failure> {
        match self.store_file().try_exists() {
            // The folder would be below a file.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
            seen => seen.map_err(Failure::Closed),
        }
    }

    /// Makes the folder, for its owner alone, unless it is there.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        if let Some(parent) = self.0.parent() {
            fs::create_dir_all(parent).map_err(Failure::Folder)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && self.0.is_dir() => Ok(()),
            other => other.map_err(Failure::Folder),
        }
    }
}
