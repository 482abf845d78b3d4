//! What is kept in memory of records that pass from the caps of logs before to those of now (`docs/FORMAT.md`, "Caps").

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subrosa_model::merge::CapsOf;
use subrosa_store::caps::PassesView;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{RecordKey, VaultNo};

/// How far the records of a vault have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passing {
    /// The first one that has not.
    pub(crate) next: RecordKey,
    /// Those behind it that have: they were written here meanwhile.
    pub(crate) early: BTreeSet<RecordKey>,
}

/// The vaults whose records pass.
pub(crate) type PassingVaults = Arc<BTreeMap<VaultNo, Passing>>;

impl Passing {
    /// None has passed.
    pub(crate) fn of(vault: VaultNo) -> Self {
        Self { next: RecordKey::first_of(vault), early: BTreeSet::new() }
    }

    /// Whether a record is still to pass.
    pub(crate) fn awaits(&self, key: &RecordKey) -> bool {
        *key >= self.next && !self.early.contains(key)
    }
}

/// By which caps a record is read.
pub(crate) fn caps_of(passing: &PassingVaults, key: &RecordKey) -> CapsOf {
    let awaited = passing.get(&key.vault()).is_some_and(|passing| passing.awaits(key));
    if awaited { CapsOf::Before } else { CapsOf::Now }
}

/// What the store has of it.
pub(crate) fn load(passes: &PassesView) -> Result<PassingVaults, StoreError> {
    let mut vaults = BTreeMap::new();
    for row in passes.passes()? {
        let (vault, next) = row?;
        vaults.insert(vault, Passing { next, early: BTreeSet::new() });
    }
    for key in passes.early()? {
        let key = key?;
        vaults.get_mut(&key.vault()).ok_or(StoreError::Inconsistent)?.early.insert(key);
    }
    Ok(Arc::new(vaults))
}
