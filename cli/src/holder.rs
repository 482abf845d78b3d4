//! The process that holds the store, and how others reach it.
//!
//! A store is open in one process at a time. A process that holds it for long listens on the socket `socket` in
//! the folder of the store, mode 0600, and executes what other commands ask. A command first knocks there, then
//! opens the store itself, and waits where it can do neither.

pub(crate) mod client;
pub(crate) mod server;
mod wire;
