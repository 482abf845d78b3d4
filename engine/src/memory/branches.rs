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
            self.has_new_keys |= log == SHUT && prev[..] != shut_under(keys).as_bytes()[..prev.len()];
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

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogNo = LogNo(3);
    const RELAY: Pin = Pin::from_bytes([1; 32]);

    fn row(log: LogNo, carry_at_ms: u64) -> BranchRow {
        BranchRow { log, leaves: None, carry_at_ms }
    }

    /// Numbers of branches that are no log's first: as a store gives them, so of the last logs that there may be.
    fn other(number: u32) -> BranchNo {
        BranchNo::first_of(LogNo(u32::MAX - number))
    }

    #[test]
    fn branches_are_known_by_their_logs_the_first_one_first() {
        let mut branches = Branches::default();
        assert_eq!((branches.len(), branches.counts(LOG), branches.is_forked(LOG)), (0, (0, 0), false));
        assert_eq!(branches.of(LOG).collect::<Vec<_>>(), [BranchNo::first_of(LOG)]);
        branches.add(other(9), row(LOG, 5));
        branches.add(other(8), row(LOG, 6));
        branches.add(other(7), row(LogNo(4), 7));
        branches.add(other(9), row(LOG, 50));
        assert_eq!(branches.of(LOG).collect::<Vec<_>>(), [BranchNo::first_of(LOG), other(9), other(8)]);
        assert_eq!((branches.len(), branches.counts(LOG)), (3, (3, 2)));
        assert_eq!(branches.forked().collect::<BTreeSet<_>>(), BTreeSet::from([LOG, LogNo(4)]));
        assert!(branches.is_forked(LOG) && !branches.is_forked(LogNo(5)));
        assert_eq!(branches.row(other(9)).map(|row| row.carry_at_ms), Some(50), "the later row counts");
        assert_eq!(branches.row(other(6)).map(|row| row.carry_at_ms), None);
        let logs = [BranchNo::first_of(LogNo(5)), other(9), other(7), other(6)];
        assert_eq!(
            logs.map(|branch| branches.log_of(branch)),
            [Some(LogNo(5)), Some(LOG), Some(LogNo(4)), None]
        );
    }

    #[test]
    fn it_is_looked_for_what_is_to_be_carried_at_news_and_at_each_time_once() {
        let mut branches = Branches::default();
        assert_eq!(branches.look_at_ms(), u64::MAX);
        branches.add(other(1), row(LOG, 50));
        branches.add(other(2), row(LOG, 70));
        assert_eq!(branches.look_at_ms(), 50);
        branches.has_news = true;
        assert_eq!(branches.look_at_ms(), 0);
        branches.looks(49);
        assert_eq!(branches.look_at_ms(), 50);
        branches.looks(50);
        assert_eq!(branches.look_at_ms(), 70);
        branches.looks(70);
        assert_eq!(branches.look_at_ms(), u64::MAX);
    }

    #[test]
    fn nothing_is_to_be_carried_until_something_changes_or_the_time_of_a_branch_comes() {
        let mut branches = Branches::default();
        branches.add(other(1), row(LOG, 50));
        assert!(!branches.is_settled(&RELAY, 3, 10), "nobody has looked");
        branches.settle(RELAY, 3, 10);
        assert!(branches.is_settled(&RELAY, 3, 10) && branches.is_settled(&RELAY, 3, 49));
        assert!(!branches.is_settled(&RELAY, 3, 50) && !branches.is_settled(&RELAY, 3, 51));
        assert!(!branches.is_settled(&RELAY, 4, 10), "members have changed");
        assert!(!branches.is_settled(&Pin::from_bytes([2; 32]), 3, 10), "another relay");
        branches.settle(RELAY, 3, 50);
        assert!(branches.is_settled(&RELAY, 3, 60), "its time was over when nothing was left");
        let changes: [&dyn Fn(&mut Branches); 3] =
            [&Branches::change, &|branches| branches.looks(9), &|branches| {
                branches.add(other(2), row(LOG, 5))
            }];
        for change in changes {
            branches.settle(RELAY, 3, 60);
            change(&mut branches);
            assert!(!branches.is_settled(&RELAY, 3, 60));
        }
    }

    #[test]
    fn what_can_be_closed_at_a_relay_is_looked_for_after_each_change_once() {
        let mut branches = Branches::default();
        assert!(branches.may_close(&RELAY), "nobody has looked");
        branches.looked_to_close(RELAY);
        assert!(!branches.may_close(&RELAY) && branches.may_close(&Pin::from_bytes([2; 32])));
        branches.change();
        assert!(branches.may_close(&RELAY));
    }

    #[test]
    fn what_was_found_to_be_carried_is_not_looked_at_again_unless_a_relay_refuses_more() {
        let mut branches = Branches::default();
        let branch = other(1);
        let from = |branches: &Branches, from| branches.carry_from(branch, Seq(from)).0;
        assert_eq!(from(&branches, 4), 4);
        branches.carried(branch, Seq(4), Seq(7));
        assert_eq!([3, 4, 6, 7, 9].map(|refused| from(&branches, refused)), [3, 7, 7, 7, 9]);
        branches.carried(branch, Seq(7), Seq(9));
        assert_eq!([3, 4, 8].map(|refused| from(&branches, refused)), [3, 9, 9]);
        // From further back: what is between has to be looked at as well.
        branches.carried(branch, Seq(1), Seq(3));
        assert_eq!([0, 1, 3, 8].map(|refused| from(&branches, refused)), [0, 3, 3, 8]);
        branches.carried(branch, Seq(2), Seq(2));
        assert_eq!(from(&branches, 1), 3, "what was carried stays so");
        assert_eq!(branches.carry_from(other(2), Seq(1)), Seq(1), "another branch");
    }
}
