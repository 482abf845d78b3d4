//! The simulator: the real engine on simulated disks, the real links, the real relay's store, verifier, committer and feeds,
//! in one thread, with simulated time, all of it decided by one seed (`docs/ARCHITECTURE.md`, "The simulator").
//!
//! A [`Plan`](plan::Plan) says what happens, a [`Model`](model::Model) what must come of it, checkers compare. The same seed
//! decides the same; of what is random in keys and ciphertext everything follows from the seed, too.

mod ailing;
mod carry;
mod caught_up;
mod check;
pub mod dice;
pub mod disk;
pub mod failure;
pub mod faults;
mod hand;
pub mod hunt;
pub mod known;
mod lane;
mod liars;
pub mod lies;
mod machines;
pub mod model;
pub mod plan;
mod prepared;
mod run;
pub mod shrink;
pub mod sights;
pub mod text;
mod world;
