//! What tests and benchmarks of other crates need of the inside. Never for a release.

use std::path::Path;
use std::sync::Arc;

use redb::Database;
use subrosa_model::entropy::OsEntropy;

use crate::error::StoreError;
use crate::process::Process;
use crate::sealed::{Disk, FileDisk, Kek, Missing, OpenOptions, Walk, open_database};

/// Makes one opener's view of a simulated disk.
pub type DiskOpener = Box<dyn Fn() -> Box<dyn Disk> + Send + Sync>;

/// Where a simulated store lies, in place of a folder.
pub struct SimSite {
    /// The disk.
    pub disk: DiskOpener,
}

/// Reads a row with each decoder that there is, for fuzzing; what one takes it for is written again.
pub fn read_rows(row: &[u8]) {
    crate::logs::read_rows(row);
    crate::relays::read_rows(row);
    crate::caps::read_row(row);
    crate::unsealed::read_row(row);
}

/// A bare redb database in a sealed file at `path`, which is created if it is not there, under a key that everybody
/// knows.
///
/// # Errors
/// As [`open_database`].
pub fn sealed_database(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let disk = FileDisk::open(path, Missing::Create)?;
    let options =
        OpenOptions { cache_bytes, missing: Missing::Create, walk: Walk::Later, process: Process::plain() };
    let kek = Kek::new(&[7; 32]);
    open_database(Box::new(disk), &kek, Arc::new(OsEntropy), &options).map(|(database, _)| database)
}
