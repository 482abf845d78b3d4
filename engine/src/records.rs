//! Records: the one way to write a row, and what follows from every write.
//!
//! Merged rows have one writer, [`Records::replace`]: local writes, merging and rebuilding go through it, and it is the only
//! source of the changes that watchers hear of. A transaction ([`crate::core`]) holds a [`Records`], whose table is private
//! to this module, so that going past the door does not compile. It must never wait for anybody, and compares, decodes and
//! copies nothing while nobody is interested.

mod door;

pub(crate) use door::{Before, Records, RowChanges, decode_state, is_visible};
