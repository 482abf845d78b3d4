//! What an open store keeps in memory: interned names, vaults, keyrings, members, what waits.

#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests count"))]
pub(crate) mod cost;
pub(crate) mod relay_view;
pub(crate) mod state;
pub(crate) mod uncertified;
