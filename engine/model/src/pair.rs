//! Pairing: how a second device becomes one of the user's own (`docs/PROTOCOL.md`, "Pairing").
//!
//! The old device shows a [`PairLink`]; the new one opens it. Both meet at a rendezvous on a relay and run
//! [`OfferMachine`] and [`JoinMachine`]: commit-then-reveal, so that neither side, nor the relay, can choose keys
//! after seeing the other's; a six-digit code that both show, and that the user confirms on the old device; then
//! the bundle of the home vault's secrets, sealed to the new device.
//!
//! The machines do no I/O and read no clock. Until the user has confirmed, nothing may change anywhere; and no
//! secret leaves before "device added" is durable. A log key or a prekey secret never leaves at all.

mod bundle;
mod error;
mod join;
mod link;
mod message;
mod offer;

pub use bundle::{Bundle, BundleParts};
pub use error::{AbortReason, PairError};
pub use join::{JoinInput, JoinMachine, JoinOutput, Joined, Joining};
pub use link::{PairLink, PairLinkError};
pub use message::PairCode;
pub use offer::{OfferInput, OfferMachine, OfferOutput, Offering};

/// Decoders of what pairing sends, for fuzzing.
#[cfg(feature = "testing")]
pub mod testing {
    use super::bundle::OpenedBundle;
    use super::message::Message;

    /// The bytes of the message that these are.
    pub fn message_again(bytes: &[u8]) -> Option<Vec<u8>> {
        Message::decode(bytes).ok().map(|message| message.encode())
    }

    /// Whether these are a bundle, of which all parts fit together.
    pub fn read_bundle(bytes: &[u8]) -> bool {
        OpenedBundle::read(bytes).is_ok()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
