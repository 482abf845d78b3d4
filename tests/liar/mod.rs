//! A relay that lies as it is told, over real connections: our relay's store, verifier, committer, feeds and link machines,
//! which do everything right, and one place where frames leave and arrive, where a [`Lie`] is told.
//!
//! A link has the lie that was in force when it began. `lying-relay` is the same with a command line
//! (`docs/THREAT-MODEL.md`, "A malicious relay").

mod door;
mod forge;
mod lie;
mod malformed;
mod memory;
mod serve;
mod twist;
mod world;

pub use self::door::{Door, next_bytes};
pub use self::lie::{How, Lie};
pub use self::serve::LyingRelay;
