//! One durable commit for all appends that wait, and what each of them is answered. A plain function on plain types:
//! it waits for nothing but the store.

use std::collections::{BTreeSet, HashMap};

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{LogId, Rseq, VaultId};
use subrosa_protocol::relay_link::{Appended, Refused};

use super::news::Untrue;
use super::verify::Verified;
use super::{fault, retry_secs};
use crate::store::{Batch, Damage, LogStore, Offered, Outcome, StoreError};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Committer {
    /// Logs of which a segment was refused while the verifier took it for their head: all that was verified behind it
    /// before the verifier heard of that gets the same answer.
    refused: HashMap<(VaultId, LogId), (u64, Refused)>,
    /// A commit that failed as a whole, likewise.
    failed: Option<(u64, ErrorCode)>,
}

/// What became of a group.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// One for each append of the group, in order.
    pub(crate) answers: Vec<Answer>,
    /// Vaults with new segments.
    pub(crate) grown: BTreeSet<VaultId>,
    /// Vaults to be taken back.
    pub(crate) damaged: Vec<Damage>,
}

/// What one append is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For the link. What it lists is durable.
    pub(crate) appended: Appended,
    /// For the link's feed, before any feed hears that the vault has grown: the rseq of what it pushed.
    pub(crate) own: Option<(Rseq, Rseq)>,
}

/// An append without what went to the store.
struct Rest {
    vault: VaultId,
    bytes: usize,
    refused: Vec<Refused>,
    heard: u64,
}

impl Committer {
    /// Commits a group. `tell` takes what the verifier has to unlearn, at once, and returns its number.
    pub(crate) fn commit(
        &mut self,
        store: &dyn LogStore,
        group: Vec<Verified>,
        tell: &mut dyn FnMut(Untrue) -> u64,
    ) -> Committed {
        let Some(heard) = group.first().map(|first| first.heard) else { return Committed::default() };
        // Appends come in the order in which they were verified.
        self.refused.retain(|_, (news, _)| *news > heard);
        self.failed = self.failed.filter(|(news, _)| *news > heard);
        let mut committed = Committed::default();
        let (mut batches, mut rests) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for verified in group {
            committed.damaged.extend(verified.damaged);
            let (batch, rest) = self.sort_out(verified);
            batches.push(batch);
            rests.push(rest);
        }
        let outcomes = if batches.iter().all(|batch| batch.offered.is_empty()) {
            batches.iter().map(|_| Outcome::default()).collect()
        } else {
            self.append(store, &batches, tell)
        };
        for ((mut outcome, batch), rest) in outcomes.into_iter().zip(&batches).zip(rests) {
            self.unlearn(batch, rest.heard, &mut outcome, tell);
            committed.damaged.extend(outcome.damaged);
            if outcome.appended.is_some() {
                committed.grown.insert(rest.vault);
            }
            committed.answers.push(rest.answer(outcome));
        }
        committed
    }

    /// Appends all batches in one commit. When that fails for want of space all are refused; when it fails otherwise,
    /// each is tried in a commit of its own, so that a page that cannot be read is the fault of its own vault alone.
    fn append(
        &mut self,
        store: &dyn LogStore,
        batches: &[Batch],
        tell: &mut dyn FnMut(Untrue) -> u64,
    ) -> Vec<Outcome> {
        match store.append(batches) {
            Ok(outcomes) => outcomes,
            Err(StoreError::Full) => {
                tracing::error!(error = %StoreError::Full, "commit");
                let code = fault(&StoreError::Full);
                self.failed = Some((tell(Untrue::All), code));
                batches.iter().map(|batch| refuse_all(batch, code)).collect()
            }
            Err(error) => {
                tracing::error!(%error, batches = batches.len(), "commit");
                if let [batch] = batches {
                    return vec![refuse_all(batch, fault(&error))];
                }
                let alone = |batch| self.append(store, std::slice::from_ref(batch), tell);
                batches.iter().flat_map(alone).collect()
            }
        }
    }

    /// Parts what may go to the store from what was verified behind something that was refused since.
    fn sort_out(&self, verified: Verified) -> (Batch, Rest) {
        let Verified { batch: Batch { vault, offered, vouches }, mut refused, bytes, heard, .. } = verified;
        let mut kept = Vec::with_capacity(offered.len());
        for one in offered {
            let (log, seq) = (one.segment().header().log, one.segment().header().seq);
            let failed =
                self.failed.filter(|(news, _)| heard < *news).map(|(_, code)| (code, retry_secs(code)));
            let behind =
                self.refused.get(&(vault, log)).filter(|(news, first)| heard < *news && first.seq <= seq);
            let behind = behind.map(|(_, first)| (first.code, first.retry_after_secs));
            match failed.or(behind) {
                Some((code, retry_after_secs)) => {
                    refuse(&mut refused, Refused { code, retry_after_secs, log, seq });
                }
                None => kept.push(one),
            }
        }
        (Batch { vault, offered: kept, vouches }, Rest { vault, bytes, refused, heard })
    }

    /// Takes back the verifier's notion of each head that was refused, and gives what stood behind it in the same
    /// group the same reason.
    fn unlearn(
        &mut self,
        batch: &Batch,
        heard: u64,
        outcome: &mut Outcome,
        tell: &mut dyn FnMut(Untrue) -> u64,
    ) {
        for refused in &mut outcome.refused {
            let key = (batch.vault, refused.log);
            if let Some((news, first)) = self.refused.get(&key)
                && heard < *news
                && first.seq <= refused.seq
            {
                (refused.code, refused.retry_after_secs) = (first.code, first.retry_after_secs);
                continue;
            }
            let was_head = batch.offered.iter().any(|one| {
                let header = one.segment().header();
                matches!(one, Offered::First(_) | Offered::Next(_))
                    && (header.log, header.seq) == (refused.log, refused.seq)
            });
            if was_head {
                self.refused.insert(key, (tell(Untrue::Log(batch.vault, refused.log)), *refused));
            }
        }
    }
}

impl Rest {
    fn answer(self, outcome: Outcome) -> Answer {
        let Self { vault, bytes, mut refused, .. } = self;
        for one in outcome.refused {
            refuse(&mut refused, one);
        }
        let Outcome { entries, rseq, appended: own, .. } = outcome;
        Answer { appended: Appended { vault, bytes, entries, rseq, refused }, own }
    }
}

fn refuse_all(batch: &Batch, code: ErrorCode) -> Outcome {
    let mut outcome = Outcome::default();
    for one in &batch.offered {
        let (log, seq) = (one.segment().header().log, one.segment().header().seq);
        refuse(&mut outcome.refused, Refused { code, retry_after_secs: retry_secs(code), log, seq });
    }
    outcome
}

/// Keeps the first refused segment of each log.
fn refuse(refused: &mut Vec<Refused>, one: Refused) {
    match refused.iter_mut().find(|there| there.log == one.log) {
        Some(there) if one.seq < there.seq => *there = one,
        Some(_) => {}
        None => refused.push(one),
    }
}
