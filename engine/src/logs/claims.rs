//! What a relay claims of this device's own logs, and what it is named so that it shows what it has.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::frame::ShortHead;
use subrosa_protocol::ids::{Head, LogId, Pin, VaultId};
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::life::Core;

impl Core {
    /// The logs that this device writes in a vault.
    pub(crate) fn live_logs(&self, vault: &VaultId) -> Result<Vec<LogId>, Error> {
        self.with_vault(vault, |state| {
            let own = [state.own.data, state.own.control];
            Ok(own.into_iter().filter_map(|log| Some(state.logs.get(&log)?.id)).collect())
        })
    }

    /// What a relay is told to be held here, now that it has named its heads. Where its part of a log ends in a future that is
    /// not here, before ours does, that is what is held at that place: it sees that they differ, and shows what it has.
    pub(crate) fn heads_for(
        &self,
        vault: &VaultId,
        relay: &Pin,
        theirs: &[ShortHead],
    ) -> Result<Vec<ShortHead>, Error> {
        let mut heads = self.local_heads(vault, relay)?;
        let said: BTreeMap<LogId, &ShortHead> = theirs.iter().map(|head| (head.log, head)).collect();
        let is_behind = |ours: &ShortHead| said.get(&ours.log).is_some_and(|said| said.seq < ours.seq);
        let behind: BTreeSet<_> = heads.iter().filter(|ours| is_behind(ours)).map(|ours| ours.log).collect();
        let branches = self.with_vault(vault, |state| {
            let number = state.logs.iter().filter(|(_, info)| behind.contains(&info.id));
            let branches = |log| state.branches.of(log).collect();
            Ok(number
                .map(|(log, info)| (info.id, branches(*log)))
                .collect::<BTreeMap<LogId, Vec<BranchNo>>>())
        })?;
        self.read(|doors| {
            let logs = doors.logs()?;
            for ours in heads.iter_mut().filter(|ours| is_behind(ours)) {
                let (Some(said), Some(branches)) = (said.get(&ours.log), branches.get(&ours.log)) else {
                    continue;
                };
                let mut held = Vec::with_capacity(branches.len());
                for branch in branches {
                    held.extend(logs.chain(*branch, said.seq)?);
                }
                if let Some(chain) = held.first().filter(|_| !held.iter().any(|chain| said.names(chain))) {
                    let head = Head { log: ours.log, seq: said.seq, chain: *chain };
                    *ours = ShortHead::new(head, ours.base);
                }
            }
            Ok(())
        })?;
        Ok(heads)
    }
}
