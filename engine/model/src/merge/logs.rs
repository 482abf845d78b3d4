//! Interned logs: rows name a log by a small number of this store instead of its 16 bytes.
//!
//! A number is of one vault: the same log id in two vaults is two logs. Only a log whose certificate was checked gets
//! one, so that nobody can fill the table with names that he made up; what other names in tombstones mean waits until
//! there is a certificate (`docs/FORMAT.md`, "Names that wait").

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use subrosa_protocol::ids::LogId;
use subrosa_protocol::segment::Class;

use super::hlc::Stamp;
use crate::faults;

/// Number of a vault in this store; without meaning elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultNo(pub u32);

/// A log in the rows of one store; without meaning elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNo(pub u32);

/// Knows the numbers of logs that ops may name.
pub trait NumberLogs {
    /// The number of a log; `None` if there is no certificate for it here. Then a name of it has no effect yet.
    fn number_of(&self, id: &LogId) -> Option<LogNo>;

    /// What a stamp of a log counts as: no more than the log's cap.
    fn capped(&self, log: LogNo, stamp: Stamp) -> Stamp;
}

/// Stamps up to one count as no later than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CapStep {
    /// What they count as at most.
    pub cap: Stamp,
    /// The last of them; [`CapStep::ALL`] for all that the log has.
    pub to: Stamp,
}

impl CapStep {
    /// No stamp is later than this.
    pub const ALL: Stamp = Stamp(u64::MAX);

    /// Of all stamps of a log.
    pub const fn of_all(cap: Stamp) -> Self {
        Self { cap, to: Self::ALL }
    }
}

/// What the stamps of a log count as at most, wherever they are ordered or held: of the steps that reach a stamp the lowest counts.
/// So of two stamps the greater never counts as earlier. Without steps it is no cap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cap(
    /// None reaches as far as a later one, nor is as high.
    Arc<[CapStep]>,
);

impl Cap {
    /// The steps that matter of these.
    pub fn of(steps: impl IntoIterator<Item = CapStep>) -> Self {
        let mut all: Vec<CapStep> = steps.into_iter().collect();
        // Of one cap the one that reaches furthest first.
        all.sort_unstable_by_key(|step| (step.cap, std::cmp::Reverse(step.to)));
        let mut steps: Vec<CapStep> = Vec::with_capacity(all.len());
        for step in all {
            if steps.last().is_none_or(|last| last.to < step.to) {
                steps.push(step);
            }
        }
        Self(steps.into())
    }

    /// Its steps, the lowest first.
    pub fn steps(&self) -> &[CapStep] {
        &self.0
    }

    /// What a stamp counts as at most.
    pub fn at(&self, stamp: Stamp) -> Option<Stamp> {
        let before = self.0.partition_point(|step| step.to < stamp);
        self.0.get(before).map(|step| step.cap)
    }

    /// What a stamp counts as.
    pub fn capped(&self, stamp: Stamp) -> Stamp {
        self.at(stamp).map_or(stamp, |cap| stamp.min(cap))
    }
}

/// The caps of one log. Records pass from one to the next one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of records that have not passed yet.
    pub before: Cap,
    /// Of all others, of names in tombstones, and of groups.
    pub now: Cap,
}

/// By which of a log's caps a record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CapsOf {
    /// It has not passed yet.
    Before,
    /// It has, or there is nothing to pass.
    #[default]
    Now,
}

/// The caps of the logs that have one.
pub type CapsOfLogs = Arc<BTreeMap<LogNo, Caps>>;

/// A log that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbered {
    vault: VaultNo,
    id: LogId,
    class: Class,
}

/// Both directions of the interning, loaded at open. Numbers are given in order and never change: the store
/// persists each in the transaction that gives it.
#[derive(Clone, Debug, Default)]
pub struct LogTable {
    logs: Vec<Numbered>,
    numbers: HashMap<(VaultNo, LogId), LogNo>,
    caps: CapsOfLogs,
}

impl LogTable {
    /// How many logs have a number.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether no log has a number.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// The number of a vault's log, a new one if it has none.
    pub fn intern(&mut self, vault: VaultNo, id: LogId, class: Class) -> LogNo {
        if let Some(number) = self.numbers.get(&(vault, id)) {
            return *number;
        }
        let number = LogNo(u32::try_from(self.logs.len()).expect("4 billion logs do not fit in memory"));
        self.logs.push(Numbered { vault, id, class });
        self.numbers.insert((vault, id), number);
        number
    }

    /// A log is of another class than was thought; nothing of it was merged.
    pub fn reclassify(&mut self, number: LogNo, class: Class) {
        if let Some(log) = self.logs.get_mut(number.0 as usize) {
            log.class = class;
        }
    }

    /// The number of a vault's log that has one.
    pub fn number(&self, vault: VaultNo, id: &LogId) -> Option<LogNo> {
        self.numbers.get(&(vault, *id)).copied()
    }

    /// The log of a number.
    pub fn id(&self, number: LogNo) -> Option<LogId> {
        self.logs.get(number.0 as usize).map(|log| log.id)
    }

    /// The vault of a number.
    pub fn vault(&self, number: LogNo) -> Option<VaultNo> {
        self.logs.get(number.0 as usize).map(|log| log.vault)
    }

    /// The caps of all logs that have one.
    pub const fn caps(&self) -> &CapsOfLogs {
        &self.caps
    }

    /// Puts the caps of all logs in the place of those before.
    pub fn set_caps(&mut self, caps: CapsOfLogs) {
        self.caps = caps;
    }

    /// The cap of a log.
    pub fn cap(&self, log: LogNo) -> Option<&Cap> {
        self.caps.get(&log).map(|caps| &caps.now)
    }

    /// What a stamp of a log counts as.
    pub fn capped(&self, log: LogNo, stamp: Stamp) -> Stamp {
        self.order(CapsOf::Now).capped(log, stamp)
    }

    /// The order of ops of different logs.
    pub const fn order(&self, caps: CapsOf) -> LogOrder<'_> {
        LogOrder { table: self, caps }
    }

    /// What ops of one vault may name.
    pub const fn of(&self, vault: VaultNo) -> LogsOfVault<'_> {
        LogsOfVault { table: self, vault }
    }

    /// Forgets what was interned since, because its transaction was aborted.
    pub fn truncate(&mut self, len: usize) {
        for log in self.logs.drain(len.min(self.logs.len())..) {
            self.numbers.remove(&(log.vault, log.id));
        }
    }
}

/// The order of ops of different logs, by one set of caps.
#[derive(Clone, Copy, Debug)]
pub struct LogOrder<'t> {
    table: &'t LogTable,
    caps: CapsOf,
}

impl<'t> From<&'t LogTable> for LogOrder<'t> {
    fn from(table: &'t LogTable) -> Self {
        table.order(CapsOf::Now)
    }
}

impl LogOrder<'_> {
    /// What a stamp of a log counts as.
    fn capped(&self, log: LogNo, stamp: Stamp) -> Stamp {
        // Hardly any store has a cap.
        if self.table.caps.is_empty() {
            return stamp;
        }
        let Some(caps) = self.table.caps.get(&log) else { return stamp };
        match self.caps {
            CapsOf::Before => caps.before.capped(stamp),
            CapsOf::Now => caps.now.capped(stamp),
        }
    }

    /// Which of two is the later: by what the stamps count as, then by the stamps, then by the logs' ids.
    pub(super) fn compare(&self, a: (LogNo, Stamp), b: (LogNo, Stamp)) -> Ordering {
        let capped = |(log, stamp)| if faults::CAPS_DO_NOT_ORDER { stamp } else { self.capped(log, stamp) };
        let by_stamp = capped(a).cmp(&capped(b)).then(a.1.cmp(&b.1));
        by_stamp.then_with(|| self.table.id(a.0).cmp(&self.table.id(b.0)))
    }
}

/// The data logs of one vault: control logs hold no ops, and naming one says nothing.
#[derive(Clone, Copy, Debug)]
pub struct LogsOfVault<'t> {
    table: &'t LogTable,
    vault: VaultNo,
}

impl NumberLogs for LogsOfVault<'_> {
    fn number_of(&self, id: &LogId) -> Option<LogNo> {
        let number = self.table.number(self.vault, id)?;
        self.table.logs.get(number.0 as usize).filter(|log| log.class == Class::Data).map(|_| number)
    }

    fn capped(&self, log: LogNo, stamp: Stamp) -> Stamp {
        self.table.capped(log, stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultNo = VaultNo(3);

    #[test]
    fn numbers_are_dense_stable_and_given_back_on_abort() {
        let [a, b] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];
        let mut logs = LogTable::default();
        assert!(logs.is_empty());
        let mut intern = |id| logs.intern(VAULT, id, Class::Data);
        assert_eq!((intern(a), intern(b), intern(a)), (LogNo(0), LogNo(1), LogNo(0)));
        assert!(!logs.is_empty());
        logs.truncate(1);
        let held = (logs.len(), logs.number(VAULT, &b), logs.id(LogNo(1)), logs.id(LogNo(0)));
        assert_eq!(held, (1, None, None, Some(a)));
        assert_eq!(logs.intern(VAULT, b, Class::Data), LogNo(1));
    }

    #[test]
    fn one_id_in_two_vaults_is_two_logs_and_control_logs_are_not_named() {
        let [a, b] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];
        let mut logs = LogTable::default();
        let here = logs.intern(VAULT, a, Class::Data);
        let there = logs.intern(VaultNo(4), a, Class::Data);
        let control = logs.intern(VAULT, b, Class::Control);
        assert_ne!(here, there);
        assert_eq!((logs.vault(here), logs.vault(there)), (Some(VAULT), Some(VaultNo(4))));
        assert_eq!((logs.number(VAULT, &a), logs.number(VaultNo(4), &a)), (Some(here), Some(there)));
        assert_eq!((logs.of(VAULT).number_of(&a), logs.of(VAULT).number_of(&b)), (Some(here), None));
        assert_eq!(logs.number(VAULT, &b), Some(control));
        assert_eq!(logs.of(VaultNo(4)).number_of(&b), None);
        logs.reclassify(control, Class::Data);
        assert_eq!(logs.of(VAULT).number_of(&b), Some(control), "it holds ops after all");
    }

    #[test]
    fn stamps_count_as_no_more_than_the_cap_of_the_moment_and_order_by_themselves_then() {
        let [a, b] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];
        let mut logs = LogTable::default();
        let [a, b] = [a, b].map(|id| logs.intern(VAULT, id, Class::Data));
        let caps = Caps { before: Cap::default(), now: Cap::of([CapStep::of_all(Stamp(5))]) };
        logs.set_caps(Arc::new(BTreeMap::from([(a, caps)])));
        let compare = |caps, one, other| logs.order(caps).compare(one, other);
        assert_eq!(logs.cap(a).map(Cap::steps), Some(&[CapStep::of_all(Stamp(5))][..]));
        assert_eq!(logs.cap(b), None);
        assert_eq!((logs.capped(a, Stamp(9)), logs.capped(b, Stamp(9))), (Stamp(5), Stamp(9)));
        assert_eq!(compare(CapsOf::Before, (a, Stamp(9)), (b, Stamp(7))), Ordering::Greater);
        assert_eq!(compare(CapsOf::Now, (a, Stamp(9)), (b, Stamp(7))), Ordering::Less);
        assert_eq!(compare(CapsOf::Now, (a, Stamp(9)), (b, Stamp(5))), Ordering::Greater);
        assert_eq!(compare(CapsOf::Now, (a, Stamp(5)), (b, Stamp(5))), Ordering::Less, "then by id");
        assert_eq!(compare(CapsOf::Now, (a, Stamp(9)), (a, Stamp(8))), Ordering::Greater);
    }

    #[test]
    fn of_the_steps_that_reach_a_stamp_the_lowest_counts() {
        let step = |to, cap| CapStep { cap: Stamp(cap), to: Stamp(to) };
        let steps = [step(50, 20), step(50, 22), step(40, 20), step(10, 25), step(15, 12)];
        let cap = Cap::of(steps.into_iter().chain([CapStep::of_all(Stamp(30))]));
        assert_eq!(cap.steps(), [step(15, 12), step(50, 20), CapStep::of_all(Stamp(30))]);
        let counts_as = |stamp| cap.capped(Stamp(stamp)).0;
        let stamps = [1, 12, 14, 15, 16, 19, 20, 21, 50, 51, u64::MAX];
        assert_eq!(stamps.map(counts_as), [1, 12, 12, 12, 16, 19, 20, 20, 20, 30, 30]);
        assert_eq!((cap.at(Stamp(3)), Cap::default().at(Stamp(3))), (Some(Stamp(12)), None));
        assert_eq!(Cap::default().capped(CapStep::ALL), CapStep::ALL);
    }
}
