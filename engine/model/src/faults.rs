//! Faults of merging that can be had back, each a switch of the compiler, `--cfg fault="name"`, by which the simulator shows that it
//! would find it (`docs/ARCHITECTURE.md`, "The simulator"). Without one the compiler removes all of it.

/// Of two cells of one log, field and stamp the one that came first stays, at each device. In `merge/state.rs`.
pub(crate) const FIRST_OF_A_TIE: bool = cfg!(fault = "first-of-a-tie");

/// Which of two cells of different logs is shown is decided by their stamps as they stand, whatever they count as. In `merge/logs.rs`.
pub(crate) const CAPS_DO_NOT_ORDER: bool = cfg!(fault = "caps-do-not-order");

/// A put on a deleted record does not name what was deleted: its fields come back with the record. In `merge/state.rs`.
pub(crate) const PUTS_NAME_NOTHING: bool = cfg!(fault = "puts-name-nothing");
