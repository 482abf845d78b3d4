//! What is kept in memory of logs that have several futures.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use subrosa_model::keys::PublicKey;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::{Chain, LogId, Pin, Seq};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, BranchRow, LogsView};

/// The log under which carried segments are loose that do not open yet.
pub(crate) const SHUT: LogId = LogId::from_bytes([0; 16]);

/// What stands there in the place of the chain that they follow: how many keys they do not open under.
pub(crate) fn shut_under(keys: usize) -> Chain {
    let mut chain = [0; Chain::LEN];
    chain[..8].copy_from_slice(&(keys as u64).to_be_bytes());
    Chain::from_bytes(chain)
}

/// The branches of the logs of one vault, but for each log's first.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    rows: BTreeMap<BranchNo, BranchRow>,
    of_logs: HashMap<LogNo, Vec<BranchNo>>,
    /// Logs of which something is carried that has no place yet.
    pub(crate) loose: BTreeSet<LogId>,
    /// Carried segments that were found, and what is inside of them is to be given its place.
    pub(crate) to_place: Vec<(BranchNo, Seq)>,
    /// Of relays, the logs of which they have a future that is not here, as their heads said when they were last compared.
    pub(crate) elsewhere: HashMap<Pin, BTreeSet<LogNo>>,
    /// A key has come since it was looked for what opens under none.
    pub(crate) has_new_keys: bool,
    /// A branch has come, and something may be to be carried for it.
    pub(crate) has_news: bool,
    /// Until when, in milliseconds, it was looked for what is to be carried for others.
    looked_until_ms: u64,
    /// From where on, and up to where, exclusive, what relays refuse of a branch was found to be carried in this open.
    carried: HashMap<BranchNo, (Seq, Seq)>,
    /// Counts what may bring up something to carry, or to close.
    changes: u64,
    /// Relays for which nothing is to be carried.
    settled: HashMap<Pin, Settled>,
    /// Relays at which it was looked for what is to be closed: as of which changes.
    closed: HashMap<Pin, u64>,
    /// Bytes that were carried for other authors in this open.
    pub(crate) carried_for: HashMap<PublicKey, usize>,
}

/// When nothing was to be carried.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// As of which changes here, and of which changes of members.
    changes: u64,
    member_changes: u64,
    /// By the wall clock.
    at_ms: u64,
}

impl Branches {
    pub(crate) fn add(&mut self, branch: BranchNo, row: BranchRow) {
        self.change();
        if self.rows.insert(branch, row).is_none() {
            self.of_logs.entry(row.log).or_default().push(branch);
        }
    }

    /// Reads of which logs something is carried that has no place yet, and whether keys have come since some of it opened under none.
    pub(crate) fn load_loose(
        &mut self,
        logs: &LogsView,
        vault: VaultNo,
        keys: usize,
    ) -> Result<(), StoreError> {
        for row in logs.loose(vault)? {
            let (log, prev) = row?;
            self.has_new_keys |= log == SHUT && prev.as_slice() != &shut_under(keys).as_bytes()[..prev.len()];
            self.loose.insert(log);
        }
        Ok(())
    }

    /// When it is to be looked for what is to be carried, in milliseconds; `u64::MAX` if not at all.
    pub(crate) fn look_at_ms(&self) -> u64 {
        if self.has_news {
            return 0;
        }
        let due = self.rows.values().map(|row| row.carry_at_ms).filter(|at_ms| *at_ms > self.looked_until_ms);
        due.min().unwrap_or(u64::MAX)
    }

    /// There may be something to carry again.
    pub(crate) const fn change(&mut self) {
        self.changes += 1;
    }

    /// Whether nothing is to be carried for a relay.
    pub(crate) fn is_settled(&self, relay: &Pin, member_changes: u64, now_ms: u64) -> bool {
        let Some(settled) = self.settled.get(relay) else { return false };
        let has_come = |row: &BranchRow| settled.at_ms < row.carry_at_ms && row.carry_at_ms <= now_ms;
        (settled.changes, settled.member_changes) == (self.changes, member_changes)
            && !self.rows.values().any(has_come)
    }

    /// Nothing is to be carried for a relay before something changes, or the time for it comes.
    pub(crate) fn settle(&mut self, relay: Pin, member_changes: u64, at_ms: u64) {
        self.settled.insert(relay, Settled { changes: self.changes, member_changes, at_ms });
    }

    /// Whether something has changed since it was looked for what is to be closed at a relay.
    pub(crate) fn may_close(&self, relay: &Pin) -> bool {
        self.closed.get(relay) != Some(&self.changes)
    }

    /// What can be closed at a relay is.
    pub(crate) fn looked_to_close(&mut self, relay: Pin) {
        self.closed.insert(relay, self.changes);
    }

    /// The first segment to look at of a branch of which a relay refuses what stands from `from` on.
    pub(crate) fn carry_from(&self, branch: BranchNo, from: Seq) -> Seq {
        match self.carried.get(&branch) {
            Some((first, next)) if *first <= from => from.max(*next),
            _ => from,
        }
    }

    /// A branch is carried from a segment on up to another one, exclusive.
    pub(crate) fn carried(&mut self, branch: BranchNo, from: Seq, next: Seq) {
        let (first, last) = self.carried.get(&branch).copied().unwrap_or((from, next));
        self.carried.insert(branch, (first.min(from), if first <= from { last.max(next) } else { next }));
    }

    /// It is looked for what is to be carried.
    pub(crate) fn looks(&mut self, now_ms: u64) {
        self.change();
        self.has_news = false;
        self.looked_until_ms = now_ms;
    }

    /// The row of a branch that is not the first of its log.
    pub(crate) fn row(&self, branch: BranchNo) -> Option<&BranchRow> {
        self.rows.get(&branch)
    }

    /// The log of a branch.
    pub(crate) fn log_of(&self, branch: BranchNo) -> Option<LogNo> {
        branch.log().or_else(|| self.rows.get(&branch).map(|row| row.log))
    }

    /// The branches of a log, the first one first.
    pub(crate) fn of(&self, log: LogNo) -> impl Iterator<Item = BranchNo> + '_ {
        let others = self.of_logs.get(&log).into_iter().flatten().copied();
        std::iter::once(BranchNo::first_of(log)).chain(others)
    }

    /// The logs that have several branches.
    pub(crate) fn forked(&self) -> impl Iterator<Item = LogNo> + '_ {
        self.of_logs.keys().copied()
    }

    /// Whether a log has several branches.
    pub(crate) fn is_forked(&self, log: LogNo) -> bool {
        self.of_logs.contains_key(&log)
    }

    /// How many branches there are beyond the first ones of logs.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many branches there are beyond the first ones of logs; of one log.
    pub(crate) fn counts(&self, log: LogNo) -> (usize, usize) {
        (self.rows.len(), self.of_logs.get(&log).map_or(0, Vec::len))
    }
}
