//! Faults of the relay that can be had back, each a switch of the compiler, `--cfg fault="name"`, by which the simulator shows that it
//! would find it (`docs/ARCHITECTURE.md`, "The simulator"). Without one the compiler removes all of it.

/// Data is acknowledged before it is durable: the next commit of something else makes it so. In `store/redb_store.rs`.
pub(crate) const ACKS_NOT_DURABLE: bool = cfg!(fault = "acks-not-durable");

/// A segment is appended whatever it is chained to, if its number is the next one: two futures of a log are one. In `appender/verify.rs`
/// and `store/redb_store/append.rs`.
pub(crate) const ANY_CHAIN_APPENDED: bool = cfg!(fault = "any-chain-appended");
