//! What the verifier believed and is no longer so.
//!
//! The verifier runs ahead: it takes each segment that it passed for the head of its log before it is committed. What
//! a commit refuses, and what damage takes back, it has to unlearn, or it would answer the next push of the same
//! segment, and of the next one, with a gap that is not there.

use subrosa_protocol::ids::{LogId, VaultId};

/// News waiting for the verifier, which takes them before each append; more are replaced by "all".
const WAITING_MAX: usize = 1 << 14;

/// What is not as believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untrue {
    /// The head of a log.
    Log(VaultId, LogId),
    /// The heads of a vault.
    Vault(VaultId),
    /// Any head.
    All,
}

/// See the module's documentation. Told by the committer before it answers, so that a push made because of the answer
/// is verified by who knows.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// How many were told, ever.
    told: u64,
    waiting: Vec<Untrue>,
}

/// News as the verifier takes them.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(super) up_to: u64,
    pub(super) untrue: Vec<Untrue>,
}

impl News {
    /// Tells one; its number.
    pub(crate) fn tell(&mut self, untrue: Untrue) -> u64 {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting = vec![Untrue::All];
        } else {
            self.waiting.push(untrue);
        }
        self.told += 1;
        self.told
    }

    /// All that is new.
    pub(crate) fn take(&mut self) -> Heard {
        Heard { up_to: self.told, untrue: std::mem::take(&mut self.waiting) }
    }
}
