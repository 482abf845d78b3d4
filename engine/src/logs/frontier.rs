//! What a new device was told that the relay holds, and must be shown (`docs/FORMAT.md`, "Tables").
//!
//! Whoever let it in has named the heads that the relay had acknowledged or fed. A relay that shows less, to a device that
//! knows nothing else of the vault, has lost or hides something, whatever its digest says of the rest.

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{Head, Pin, VaultId};
use subrosa_store::relays::RelayHead;

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;

impl Core {
    /// The heads that a relay is known to hold, of what is here.
    pub(crate) fn relay_frontier(&self, vault: &VaultId, relay: &Pin) -> Result<Vec<Head>, Error> {
        let logs: Vec<_> = self.with_vault(vault, |state| {
            let branches = |number| state.branches.of(number).collect::<Vec<_>>();
            Ok(state.logs.iter().map(|(number, info)| (*number, info.id, branches(*number))).collect())
        })?;
        self.read(|doors| {
            let (held, known, mut heads) = (doors.logs()?, doors.relays()?, Vec::new());
            for (number, log, branches) in logs {
                let Some(RelayHead { seq, chain }) = known.head(relay, number)? else { continue };
                for branch in branches {
                    if held.chain(branch, seq)? == Some(chain) {
                        heads.push(Head { log, seq, chain });
                        break;
                    }
                }
            }
            Ok(heads)
        })
    }
}

impl Tx<'_> {
    /// Expects to be shown at least this of a vault.
    pub(crate) fn expect_frontier(&mut self, vault: VaultNo, heads: &[Head]) -> Result<(), Error> {
        self.vaults.put_frontier(vault, heads)?;
        self.vault_mut(vault)?.frontier = heads.to_vec();
        Ok(())
    }

    /// Whether a relay, which says that it has shown everything, has shown what this device was told that it holds. What was shown
    /// once is not asked for again.
    pub(crate) fn shows_frontier(&mut self, relay: &Pin, vault: VaultNo) -> Result<bool, Error> {
        let expected = self.vault(vault)?.frontier.clone();
        if expected.is_empty() {
            return Ok(true);
        }
        let mut left = Vec::new();
        for head in &expected {
            if !self.is_shown(relay, vault, head)? {
                left.push(*head);
            }
        }
        if left.len() < expected.len() {
            self.expect_frontier(vault, &left)?;
        }
        if !left.is_empty() {
            let vault = self.vault(vault)?.id;
            tracing::warn!(%vault, logs = left.len(), "the relay shows less than it held when this device was let in");
        }
        Ok(left.is_empty())
    }

    /// Whether a head is here, or the relay has shown it.
    fn is_shown(&mut self, relay: &Pin, vault: VaultNo, head: &Head) -> Result<bool, Error> {
        if let Some(number) = self.state.logs.number(vault, &head.log)
            && self.find_held(vault, number, head.seq, |held| *held == head.chain)?.is_some()
        {
            return Ok(true);
        }
        let shown = self.shown(relay, vault, &head.log)?;
        Ok(shown
            .is_some_and(|shown| shown.seq > head.seq || (shown.seq, shown.chain) == (head.seq, head.chain)))
    }
}
