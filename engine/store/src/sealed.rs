//! The sealed file: a [`redb::StorageBackend`] that lets nothing but ciphertext reach the disk.
//!
//! Layout, crash rule and limits are specified in `docs/FORMAT.md` section 1. In short: redb's page *n* is sealed on
//! its own into block *n*; redb's header page and the superblock, which are overwritten in place, exist twice; a
//! block that does not open is a typed error, except while redb repairs a file after an unclean stop, when it reads
//! as zeros, so that redb's own checksums reject it and the older commit is taken.
//!
//! This module must never hand out a byte that did not authenticate, overwrite the last durable copy of anything
//! that is overwritten in place, or write anything in a forked child.

mod backend;
mod descriptor;
mod disk;
mod header;
mod held;
mod layout;
mod open;
mod pages;
mod superblock;
#[cfg(test)]
mod tests;

pub use disk::{Disk, FileDisk};
pub use open::{Compacted, Missing, OpenOptions, SealedHandle, Space, Stop, Verified, Walk, open_database};
pub use superblock::Kek;
