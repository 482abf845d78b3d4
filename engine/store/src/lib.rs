//! The store of a device: one encrypted file, a redb database inside it, and its tables behind doors.
//!
//! [`sealed`] is the file: every page of the database is sealed before it touches the disk. [`doors`] has all doors of a
//! transaction; each of the modules [`logs`], [`relays`], [`vaults`], [`records`], [`unsealed`] and [`caps`] is the door to a few
//! tables, which nobody else names. The store knows rows and keys, and no rule of merging. Specified in `docs/FORMAT.md`.
//! Applications embed the crate `subrosa`; nothing here is promised to them but what that crate shows.

pub mod caps;
pub mod doors;
pub mod error;
mod faults;
pub mod keys;
pub mod logs;
pub mod process;
pub mod records;
pub mod relays;
pub mod sealed;
#[cfg(feature = "testing")]
pub mod testing;
pub mod unsealed;
pub mod vaults;
