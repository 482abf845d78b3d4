//! A fault of the file that can be had back, a switch of the compiler, `--cfg fault="name"`, by which the simulator shows that it would
//! find it (`docs/ARCHITECTURE.md`, "The simulator"). Without it the compiler removes all of it.

/// A commit does not wait for the disk. In `sealed/backend.rs`.
pub(crate) const DISK_NOT_SYNCED: bool = cfg!(fault = "disk-not-synced");
