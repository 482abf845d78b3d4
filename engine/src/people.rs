//! Vaults and who belongs to them: founding, letting in, joining, pairing over a relay.

pub(crate) mod pairing;
pub(crate) mod vaults;
