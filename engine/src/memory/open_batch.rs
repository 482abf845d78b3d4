//! What is kept in memory of what a vault has not sealed: the open batch, and what its data log has not named as seen.

use std::collections::{BTreeSet, HashSet};

use subrosa_model::control::EntryRank;
use subrosa_model::merge::{GroupHead, Run, VaultNo};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, LogsView};
use subrosa_store::unsealed::{BatchKind, BatchNo, UnsealedView};

/// Control entries that need not be repeated; found once, then kept up as long as this device writes one control log.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    /// The entries that wait, and those in the control log that this device writes now.
    pub(crate) ranks: HashSet<EntryRank>,
    /// How many wait.
    pub(crate) waiting: usize,
}

/// The batch that small writes share.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) number: BatchNo,
    pub(crate) head: GroupHead,
    pub(crate) ops: u32,
    pub(crate) bytes: u64,
}

/// The batches of one vault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches {
    /// The last one, while more may come into it.
    pub(crate) open: Option<OpenBatch>,
    /// Number of the next one.
    pub(crate) next: BatchNo,
    /// This opening of the store, drawn before its first write.
    pub(crate) run: Option<Run>,
}

impl Batches {
    pub(crate) fn load(unsealed: &UnsealedView, vault: VaultNo) -> Result<Self, StoreError> {
        let Some((number, row)) = unsealed.last_batch(vault)? else { return Ok(Self::default()) };
        let (ops, bytes) = (row.ops, row.bytes);
        let open = match row.kind {
            BatchKind::Open(head) => Some(OpenBatch { number, head, ops, bytes }),
            BatchKind::Closed(_) | BatchKind::Bulk => None,
        };
        Ok(Self { open, next: number.next(), run: None })
    }
}

/// Of these branches, those that are merged beyond what the data log of this device has named.
pub(crate) fn unsaid(
    logs: &LogsView,
    all: impl Iterator<Item = BranchNo>,
) -> Result<BTreeSet<BranchNo>, StoreError> {
    let mut unsaid = BTreeSet::new();
    for branch in all {
        if let Some(head) = logs.head(branch)?
            && head.merged.0 > logs.said(branch)?.map_or(0, |said| said.next().0)
        {
            unsaid.insert(branch);
        }
    }
    Ok(unsaid)
}
