//! The token beside the store, by which a restored copy gives itself away (`docs/FORMAT.md`, "Token").
//!
//! It is replaced at every open, together with a note of the store file's inode. A token or an inode that differs
//! means that the directory was copied: this device then writes new logs, because another copy may be writing the
//! old ones. Equality proves nothing; the comparison of heads with the relay is the other half.
//!
//! A file that has its name and not its form is somebody else's, and so is one that is there before the store: it is never
//! written over, and no store is made beside it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use subrosa_store::error::StoreError;
use subrosa_store::sealed::open_above_standard;
use subrosa_store::vaults::TokenNotes;

use crate::error::Error;
use crate::life::commit::Tx;
use crate::life::{Core, STORE_FILE};

/// Name of the token file in a store directory.
const TOKEN_FILE: &str = "token";
/// The digits of a token.
const TOKEN_BYTES: u64 = 64;

/// Whether something else has the name of a file that a store has beside it. Before a store there is no token of ours,
/// whatever it looks like: it is written when the store is durable.
pub(crate) fn is_name_taken(dir: &Path) -> bool {
    let path = dir.join(TOKEN_FILE);
    // Looked at before the store, which may be made meanwhile.
    let found = [Found::at(&fresh_path(&path)), Found::at(&path)];
    let begun = std::fs::metadata(dir.join(STORE_FILE)).is_ok_and(|store| store.len() > 0);
    found.iter().any(|found| match found {
        Found::Nothing => false,
        Found::Token(_) => !begun,
        Found::Foreign => true,
    })
}

/// The next token, before it takes the place of the one before.
fn fresh_path(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// What has the name of a token.
enum Found {
    Nothing,
    /// It has the form of one, perhaps of one that was cut short, by a kill or by zeros where the power failed.
    Token(Vec<u8>),
    Foreign,
}

impl Found {
    fn at(path: &Path) -> Self {
        match std::fs::symlink_metadata(path) {
            Err(_) => Self::Nothing,
            Ok(metadata) if metadata.is_file() && metadata.len() <= TOKEN_BYTES => Self::read(path),
            Ok(_) => Self::Foreign,
        }
    }

    fn read(path: &Path) -> Self {
        let mut token = Vec::new();
        let read = File::open(path).and_then(|file| file.take(TOKEN_BYTES + 1).read_to_end(&mut token));
        let digits = token.iter().all(|byte| matches!(byte, 0 | b'0'..=b'9' | b'a'..=b'f'));
        if read.is_ok() && digits { Self::Token(token) } else { Self::Foreign }
    }

    fn token(self) -> Option<Vec<u8>> {
        if let Self::Token(token) = self { Some(token) } else { None }
    }
}

/// What token and inode say about a store that is opened.
pub(crate) struct Noted {
    fresh: String,
    /// The token that stands in the file until the next one takes its place: for long, where the disk is full.
    before: Option<Vec<u8>>,
    inode: u64,
}

impl Core {
    /// Compares token and inode with the store's notes.
    pub(crate) fn compare_token(&self) -> Result<Noted, Error> {
        let inode = self.inode()?;
        let found = self.found_token();
        let fresh = HEXLOWER.encode(&self.options.entropy.array::<32>());
        let noted = self.read(|doors| doors.vaults()?.token())?;
        let before = found.filter(|found| found.len() as u64 == TOKEN_BYTES).or(noted.current);
        Ok(Noted { fresh, before, inode })
    }

    /// Puts the next token in the place of the one that was compared, once the store has noted it.
    pub(crate) fn replace_token(&self, noted: &Noted) -> Result<(), Error> {
        self.write_token(&noted.fresh)
    }

    #[cfg(feature = "testing")]
    fn simulated_token(&self) -> Option<std::sync::MutexGuard<'_, Option<Vec<u8>>>> {
        let site = self.options.site.as_ref()?;
        Some(site.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn found_token(&self) -> Option<Vec<u8>> {
        #[cfg(feature = "testing")]
        if let Some(token) = self.simulated_token() {
            return token.clone();
        }
        Found::at(&self.token_path()).token()
    }

    fn token_path(&self) -> PathBuf {
        self.dir().join(TOKEN_FILE)
    }

    fn write_token(&self, token: &str) -> Result<(), Error> {
        #[cfg(feature = "testing")]
        if let Some(mut simulated) = self.simulated_token() {
            *simulated = Some(token.as_bytes().to_vec());
            return Ok(());
        }
        let path = self.token_path();
        let fresh = fresh_path(&path);
        let written = match (Found::at(&path), Found::at(&fresh)) {
            (Found::Foreign, _) => {
                tracing::warn!(
                    "a file stands where the store's token should: it stays, and new logs open each time"
                );
                return Ok(());
            }
            (Found::Token(_), Found::Nothing | Found::Token(_)) => {
                // Left by a process that was killed.
                self.write_file(&fresh, OpenOptions::new().create(true).truncate(true), token)
                    .and_then(|()| std::fs::rename(&fresh, &path))
            }
            (Found::Token(_), Found::Foreign) => {
                self.write_file(&path, OpenOptions::new().truncate(true), token)
            }
            (Found::Nothing, _) => self.write_file(&path, OpenOptions::new().create_new(true), token),
        };
        Ok(written.map_err(StoreError::from)?)
    }

    fn write_file(&self, path: &Path, how: &mut OpenOptions, token: &str) -> io::Result<()> {
        let mut file = open_above_standard(self.dir(), || how.write(true).open(path))?;
        file.write_all(token.as_bytes())
    }

    #[cfg(unix)]
    fn inode(&self) -> Result<u64, Error> {
        #[cfg(feature = "testing")]
        if let Some(site) = &self.options.site {
            return Ok(site.inode);
        }
        use std::os::unix::fs::MetadataExt as _;
        Ok(std::fs::metadata(self.dir().join(STORE_FILE)).map_err(StoreError::from)?.ino())
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    fn inode(&self) -> Result<u64, Error> {
        Ok(0)
    }
}

impl Tx<'_> {
    /// Notes the token that will be beside the store from now on.
    pub(crate) fn note_token(&mut self, noted: &Noted) -> Result<(), Error> {
        let current = Some(noted.fresh.as_bytes().to_vec());
        let notes = TokenNotes { current, before: noted.before.clone(), inode: Some(noted.inode) };
        Ok(self.vaults.put_token(&notes)?)
    }
}
