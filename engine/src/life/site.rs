//! Where a store lies: in a folder, or in a simulation on a disk in memory.

use std::path::Path;

use subrosa_store::error::StoreError;
use subrosa_store::sealed::{Disk, FileDisk, Missing};
#[cfg(feature = "testing")]
use subrosa_store::testing::SimSite;

use crate::error::Error;
use crate::life::STORE_FILE;
use crate::options::Options;

/// See the module.
pub(crate) enum Site<'a> {
    Folder(&'a Path),
    #[cfg(feature = "testing")]
    Simulated(&'a SimSite),
}

impl<'a> Site<'a> {
    #[cfg(feature = "testing")]
    pub(crate) fn of(dir: &'a Path, options: &'a Options) -> Self {
        options.site.as_deref().map_or(Self::Folder(dir), Self::Simulated)
    }

    #[cfg(not(feature = "testing"))]
    pub(crate) const fn of(dir: &'a Path, _: &'a Options) -> Self {
        Self::Folder(dir)
    }

    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(crate) fn make(&self) -> Result<(), Error> {
        match self {
            Self::Folder(dir) => Ok(std::fs::create_dir_all(dir).map_err(StoreError::from)?),
            #[cfg(feature = "testing")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// The disk, for one opener.
    ///
    /// # Errors
    /// As [`FileDisk::open`].
    pub(crate) fn disk(&self, missing: Missing) -> Result<Box<dyn Disk>, StoreError> {
        match self {
            Self::Folder(dir) => Ok(Box::new(FileDisk::open(&dir.join(STORE_FILE), missing)?)),
            #[cfg(feature = "testing")]
            Self::Simulated(site) => Ok((site.disk)()),
        }
    }
}
