//! What an open store keeps in memory: interned names, vaults, keyrings, members, what waits.
//!
//! It is read once when a store is opened, kept up by transactions, and read again when one fails. It must never write a table.

pub(crate) mod ahead;
pub(crate) mod branches;
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(crate) mod cost;
pub(crate) mod extents;
pub(crate) mod fold;
pub(crate) mod open_batch;
pub(crate) mod passing;
pub(crate) mod relay_view;
pub(crate) mod risks;
pub(crate) mod state;
pub(crate) mod uncertified;
