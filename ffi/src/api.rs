//! The objects behind the handles, in safe Rust: what a call does once its arguments are checked.

pub(crate) mod cancel;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod pairing;
pub(crate) mod payload;
pub(crate) mod record;
pub(crate) mod rows;
pub(crate) mod sync;
pub(crate) mod task;
pub(crate) mod tx;
pub(crate) mod vault;
