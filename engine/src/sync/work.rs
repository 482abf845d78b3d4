//! What a link's machine asks of the store, and what comes of it.

use subrosa_protocol::client_link::{Input, Output};
use subrosa_protocol::ids::VaultId;

use crate::error::{Error, SyncFault};

/// Something to be done in the store.
#[derive(Debug)]
pub(super) enum Work {
    /// Name the vaults to sync, those that were here first in front.
    List,
    /// Merge the groups held for the clock whose time has come.
    MergeHeld,
    /// What the link asks for.
    Link(Output),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Vaults(Vec<VaultId>),
    Input(Input),
    Merged,
    /// Done, and nothing to say.
    Done,
    /// Clocks were compared.
    Clock {
        ahead_ms: Option<i64>,
    },
    /// The same, and nothing is sealed in the vault before an update.
    UpdateNeeded {
        vault: VaultId,
        input: Input,
    },
    /// Something is wrong with one vault, as when the relay sent what no honest relay sends; nothing of it was taken in.
    /// `answered` is what the link waits for all the same.
    Faulty {
        vault: VaultId,
        fault: SyncFault,
        answered: Option<Input>,
    },
    /// The store itself failed.
    Failed(Error),
}
