//! The Subrosa relay: stores and forwards sealed segments that it cannot read.
//!
//! It knows sizes, times and signatures. It must never depend on the engine or on a cipher of ours, never
//! acknowledge what is not durable, and never let a stranger hold more than a small, named amount of memory.
//! The protocol is in `docs/PROTOCOL.md`, running one in `docs/RELAY.md`.
//!
//! [`Relay::start`] runs one inside a process, for tests, the demo and benchmarks; the `subrosa-relay` binary
//! is the same thing with a command line.

mod admin;
mod alarm;
mod appender;
mod clock;
mod config;
#[cfg(test)]
mod core_tests;
mod data;
mod error;
mod faults;
mod feed;
mod files;
#[cfg(test)]
#[path = "../tests/relay/fixture.rs"]
#[expect(dead_code, reason = "the tests of the whole relay use more of it")]
mod fixture;
mod frames;
mod heal;
mod hub;
mod intake;
mod invites;
mod key;
mod link;
mod lobby;
mod places;
mod sending;
mod server;
pub mod store;
mod strangers;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod transport;

pub use self::admin::{Answer, InviteInfo, Question, Status, TurnedAway, ask};
#[doc(hidden)]
pub use self::appender::Moment;
#[doc(hidden)]
pub use self::appender::verify::Bases;
pub use self::config::{Class, Config, Quotas};
pub use self::data::{DataDir, Initialized, init};
pub use self::error::Error;
pub use self::files::{CONFIG, DATABASE, KEY, REVOKED, SOCKET, check_is_relay};
pub use self::invites::{format_id, parse_id};
pub use self::key::RelayKey;
#[doc(hidden)]
pub use self::link::Tap;
#[doc(hidden)]
pub use self::server::Hooks;
pub use self::server::{Relay, RunningRelay, Signals};
