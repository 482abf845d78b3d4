//! Pairing over a relay: drives the machines of the model with a meeting and a store (`docs/PROTOCOL.md`, "Pairing").

mod driver;

pub use driver::{Confirmation, PairJoin, PairOffer, PairRequest};
