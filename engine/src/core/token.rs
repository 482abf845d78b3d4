//! The token beside the store, by which a restored copy gives itself away (`docs/FORMAT.md`, "Token").
//!
//! It is replaced at every open, together with a note of the store file's inode. A token or an inode that differs
//! means that the directory was copied: this device then writes new logs, because another copy may be writing the
//! old ones. Equality proves nothing; the comparison of heads with the relay is the other half.

use std::path::PathBuf;

use data_encoding::HEXLOWER;

use super::gate::Turn;
use super::{Core, STORE_FILE};
use crate::Error;
use crate::store::StoreError;
use crate::store::tables::META;

/// Name of the token file in a store directory.
const TOKEN_FILE: &str = "token";
pub(super) const META_TOKEN: &str = "token";
pub(super) const META_TOKEN_BEFORE: &str = "token before";
pub(super) const META_INODE: &str = "inode";

impl Core {
    /// Compares token and inode with the store's notes, opens new logs when they differ, and replaces the token.
    pub(super) fn check_token(&self, created: bool, turn: &Turn) -> Result<(), Error> {
        let inode = self.inode()?;
        let found = std::fs::read(self.token_path()).ok();
        let fresh = HEXLOWER.encode(&self.options.entropy.array::<32>());
        let notes = [META_TOKEN, META_TOKEN_BEFORE, META_INODE];
        let [current, before, noted_inode] = self.read(|txn| {
            let meta = txn.open_table(META)?;
            let mut held = [None, None, None];
            for (held, name) in held.iter_mut().zip(notes) {
                *held = meta.get(name)?.map(|row| row.value().to_vec());
            }
            Ok(held)
        })?;
        let same = found.is_some() && (found == current || found == before);
        let same = same && noted_inode.as_deref() == Some(&inode.to_be_bytes()[..]);
        let moved = !created && !same;
        let new = if moved { self.new_logs_of_all()? } else { Vec::new() };
        self.write_in_turn(turn, |tx| {
            if let Some(current) = current {
                tx.put_meta(META_TOKEN_BEFORE, &current)?;
            }
            tx.put_meta(META_TOKEN, fresh.as_bytes())?;
            tx.put_meta(META_INODE, &inode.to_be_bytes())?;
            new.into_iter().try_for_each(|(vault, new)| tx.rotate_logs(vault, None, new))
        })?;
        if moved {
            tracing::info!("the store was copied or moved: new logs opened");
        }
        self.write_token(&fresh)
    }

    fn token_path(&self) -> PathBuf {
        self.dir().join(TOKEN_FILE)
    }

    fn write_token(&self, token: &str) -> Result<(), Error> {
        let path = self.token_path();
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, token)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(StoreError::from)?;
        Ok(())
    }

    #[cfg(unix)]
    fn inode(&self) -> Result<u64, Error> {
        use std::os::unix::fs::MetadataExt as _;
        Ok(std::fs::metadata(self.dir().join(STORE_FILE)).map_err(StoreError::from)?.ino())
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "the same signature on every platform")]
    fn inode(&self) -> Result<u64, Error> {
        Ok(0)
    }
}
