//! Logs: receiving, waiting for a certificate, merging, sealing, sending, new logs for copies.
//!
//! It must never keep anything of a log before a signature of it holds, send what is not in the segment table, or let a limit be
//! one of a single step only (`docs/ARCHITECTURE.md`, "The life of a received segment").

mod admins;
pub(crate) mod batches;
pub(crate) mod caps;
pub(crate) mod carrying;
pub(crate) mod checking;
mod claims;
pub(crate) mod endings;
pub(crate) mod entries;
pub(crate) mod frontier;
pub(crate) mod groups;
pub(crate) mod large;
pub(crate) mod link_keys;
pub(crate) mod local;
pub(crate) mod merging;
pub(crate) mod notes;
mod order;
pub(crate) mod outbox;
pub(crate) mod pass;
pub(crate) mod placing;
pub(crate) mod put_right;
pub(crate) mod receive;
pub(crate) mod repair;
pub(crate) mod rotate;
pub(crate) mod rounds;
pub(crate) mod sealing;
pub(crate) mod settling;
pub(crate) mod shown;
pub(crate) mod statements;
pub(crate) mod verify;
pub(crate) mod waiting;
