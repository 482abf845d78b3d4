//! The store on the device: one encrypted file, with a redb database inside it.
//!
//! [`sealed`] is the file: every page of the database is sealed before it touches the disk. [`records`] and [`unsealed`] are
//! the doors to what is merged and to what waits for sealing, [`tables`] holds the other tables. [`error`] holds the one
//! error type of everything that reads or writes it. Specified in `docs/FORMAT.md`.

mod error;
pub(crate) mod records;
pub(crate) mod sealed;
pub(crate) mod tables;
pub(crate) mod unsealed;

pub(crate) use error::StoreFault;
pub use error::{StoreError, StorePart};
