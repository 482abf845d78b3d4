//! Vaults and who belongs to them: founding, letting in, joining, pairing over a relay.
//!
//! It must never give a vault's keys to anybody before the code was compared and the relay has the word of it
//! (`docs/PROTOCOL.md`, "Pairing").

pub(crate) mod forks;
pub(crate) mod held;
pub(crate) mod pairing;
pub(crate) mod vaults;
