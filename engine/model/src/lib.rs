//! The pure part of Subrosa: what keys, segments, records, members and pairings are, and nothing of where they are kept.
//!
//! No file, clock, socket or thread: time and randomness are arguments. Applications embed the crate `subrosa`; nothing
//! here is promised to them but what that crate shows.

pub mod carried;
pub mod control;
pub mod entropy;
mod faults;
pub mod keys;
pub mod merge;
pub mod pair;
pub mod scratch;
pub mod seal;
#[cfg(test)]
#[path = "../../src/spec.rs"]
mod spec;
pub mod wiped;
