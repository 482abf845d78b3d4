//! What devices and relays must agree on: identifiers, signature labels, frames, sealed segments,
//! statements, limits, and the two link state machines.
//!
//! This crate has no sockets, files, clock, async code or secret key. It may check a signature, never make
//! one, and it cannot decrypt: plaintext has no type here. The bytes are specified in `docs/PROTOCOL.md`
//! (frames, statements, tokens) and `docs/FORMAT.md` (segments).

pub mod addr;
pub mod client_link;
pub mod codec;
pub mod digest;
pub mod error;
pub mod frame;
pub mod ids;
pub mod labels;
pub mod limits;
pub mod relay_link;
pub mod segment;
pub mod statement;
#[cfg(test)]
mod testing;
pub mod token;
pub mod verify;
pub mod vouch;
