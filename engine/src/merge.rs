//! The merge core: what records are made of, how they travel, and how they converge.
//!
//! Pure functions over bytes and values: no file, no network, no clock, no randomness; time is an argument.
//! Merging is commutative, associative and idempotent, so the order in which segments arrive never shows.
//! The exact bytes are specified in `docs/FORMAT.md` section 5.

pub(crate) mod body;
pub(crate) mod hlc;
pub(crate) mod id;
pub(crate) mod logs;
pub(crate) mod op;
pub(crate) mod pending;
pub(crate) mod state;
pub(crate) mod value;
pub(crate) mod varint;

#[cfg(test)]
mod convergence_tests;
#[cfg(test)]
mod testing;
pub(crate) use body::{Body, BodyWriter};
pub(crate) use hlc::{Clock, Observed, Stamp};
pub(crate) use id::{NewIds, RecordId};
pub(crate) use logs::{LogNo, LogTable, VaultNo};
pub(crate) use op::{Cell, CollectionName, FieldCell, LogMove, Op, OpKind, Put, Tombstone};
pub(crate) use pending::PendingOps;
pub(crate) use state::{RecordState, Row, RowBuf};
pub(crate) use value::{FieldsDeserializer, Value, ValueBuf};
