//! Revoked invites: a text file beside the key, so that revocation outlives the database.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::error::Error;
use crate::files;

/// The revoked ids, in memory and in `relay.revoked`.
pub(crate) struct Revocations {
    path: PathBuf,
    ids: Mutex<BTreeSet<[u8; 8]>>,
}

impl Revocations {
    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::InviteId`] for a line that is not an id, since ignoring it could let in
    /// someone who was meant to stay out.
    pub(crate) fn load(data: &Path) -> Result<Self, Error> {
        let path = data.join(files::REVOKED);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::file(&path, source)),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let ids = Mutex::new(lines.map(parse_id).collect::<Result<_, _>>()?);
        Ok(Self { path, ids })
    }

    /// Whether the invite was revoked.
    pub(crate) fn contains(&self, id: &[u8; 8]) -> bool {
        self.ids().contains(id)
    }

    /// Revokes, durably. The vaults that the invite has created stay.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn add(&self, id: [u8; 8]) -> Result<(), Error> {
        let mut ids = self.ids();
        if ids.contains(&id) {
            return Ok(());
        }
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
            file.write_all(format!("{}\n", format_id(&id)).as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| Error::file(&self.path, source))?;
        ids.insert(id);
        Ok(())
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<[u8; 8]>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an invite's id, 16 hexadecimal digits.
///
/// # Errors
/// [`Error::InviteId`].
pub fn parse_id(text: &str) -> Result<[u8; 8], Error> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| Error::InviteId(text.to_owned()))
}

/// The text form of an invite's id.
#[must_use]
pub fn format_id(id: &[u8; 8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_outlive_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let revoked = Revocations::load(dir.path()).unwrap();
        assert!(!revoked.contains(&[1; 8]));
        revoked.add([1; 8]).unwrap();
        revoked.add([1; 8]).unwrap();
        revoked.add([2; 8]).unwrap();
        let again = Revocations::load(dir.path()).unwrap();
        assert!(revoked.contains(&[1; 8]) && again.contains(&[1; 8]) && again.contains(&[2; 8]));
        assert!(!again.contains(&[3; 8]));
        fs::write(dir.path().join(files::REVOKED), "not an id\n").unwrap();
        assert!(matches!(Revocations::load(dir.path()), Err(Error::InviteId(_))));
    }
}
