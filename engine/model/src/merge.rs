//! The merge core: what records are made of, how they travel, and how they converge.
//!
//! Pure functions over bytes and values: no file, no network, no clock, no randomness; time is an argument.
//! Merging is commutative, associative and idempotent, so the order in which segments arrive never shows.
//! The exact bytes are specified in `docs/FORMAT.md` section 5.

pub mod body;
pub mod hlc;
pub mod id;
pub mod logs;
pub mod op;
pub mod pending;
pub mod state;
pub mod value;
pub mod varint;

#[cfg(test)]
mod closure_tests;
#[cfg(test)]
mod convergence_tests;
#[cfg(test)]
mod testing;
pub use body::{BodyPlace, BodyWriter, CheckedBody, GroupHead, NamedAhead, Run, Runs, Seen};
pub use hlc::{HybridClock, Observed, Stamp};
pub use id::{NewIds, RecordId};
pub use logs::{Cap, CapStep, Caps, CapsOf, CapsOfLogs, LogNo, LogOrder, LogTable, VaultNo};
pub use op::{Cell, CollectionName, FieldCell, Op, OpKind, Put, Slotted, Tombstone};
pub use pending::PendingOps;
pub use state::{RecordState, Row, RowBuf};
pub use value::{FieldsDeserializer, VALUE_MEMORY_PER_BYTE, Value, ValueBuf, ValueRef};
