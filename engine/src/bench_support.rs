//! What the benchmarks in `tests/benches` need of the inside. Only there with the feature `bench-support`; no part of
//! the API, and not for applications.

use std::path::Path;
use std::sync::Arc;

use subrosa_model::entropy::OsEntropy;
use subrosa_store::error::StoreError;
use subrosa_store::process::Process;
use subrosa_store::sealed::{FileDisk, Kek, Missing, OpenOptions, Walk, open_database};

/// A bare redb database in a sealed file at `path`, which is created if it is not there, under a key that everybody
/// knows.
///
/// # Errors
/// As [`crate::Device::open`].
pub fn sealed_database(path: &Path, cache_bytes: usize) -> Result<redb::Database, StoreError> {
    let disk = FileDisk::open(path, Missing::Create)?;
    let options =
        OpenOptions { cache_bytes, missing: Missing::Create, walk: Walk::Later, process: Process::plain() };
    let kek = Kek::new(&[7; 32]);
    open_database(Box::new(disk), &kek, Arc::new(OsEntropy), &options).map(|(database, _)| database)
}
