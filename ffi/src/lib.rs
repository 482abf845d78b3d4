//! The C ABI of Subrosa: `include/subrosa.h`, which is generated from this crate.
//!
//! `c` has the exported functions, which only convert; `api` has what they do, in safe Rust. Handles are tokens and not
//! memory (`handles`), no panic leaves (`guard`), and what crosses the border as memory is in `memory`. These two, `c`
//! and `memory`, hold all `unsafe` of the project, but for the one page of memory in `fork_sign`. `docs/FFI.md` has the
//! rules that callers rely on, `docs/EXTENDING-FFI.md` says how a function is added.
//!
//! # Safety
//! What every `unsafe extern "C"` function here expects of its caller, unless its own text says otherwise:
//! 1. A pointer to data is NULL, or valid for as many bytes as the length beside it says, for the time of the call, and
//!    nobody changes them meanwhile.
//! 2. A pointer to a result is NULL, or valid for writing one, for the time of the call.
//! 3. A struct that starts with `struct_size` has as many bytes as that says.
//! 4. A callback can be called from any thread with the `user` beside it until its destructor was called, and does not
//!    unwind.
//!
//! Handles are not among these: any value may be passed for one.

#![allow(non_camel_case_types, reason = "the types have the names that C knows them by")]

mod api;
mod bell;
mod c;
mod convert;
mod failure;
#[cfg(feature = "fault-injection")]
mod fault;
mod fork_sign;
mod guard;
mod handles;
mod memory;
mod process;
mod status;

pub use api::events::*;
pub use api::keys::*;
pub use api::log::*;
pub use api::record::*;
pub use api::rows::*;
pub use api::sync::*;
pub use api::tx::*;
pub use c::*;
pub use memory::{SUBROSA_INPUT_BYTES_MAX, subrosa_buf, subrosa_secret};
pub use status::*;
