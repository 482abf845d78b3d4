//! Interned logs: rows name a log by a small number of this store instead of its 16 bytes.

use std::collections::HashMap;

use subrosa_protocol::ids::LogId;

/// A log in the rows of one store; without meaning elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogNo(pub(crate) u32);

/// Gives logs their numbers: a table that may grow, or one that is only looked at.
pub(crate) trait NumberLogs {
    /// The number of a log; `None` where it has none and can get none.
    fn number_of(&mut self, id: LogId) -> Option<LogNo>;
}

/// Both directions of the interning, loaded at open. Numbers are given in order and never change: the store
/// persists what [`LogTable::since`] returns in the same transaction as the rows that use it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogTable {
    ids: Vec<LogId>,
    numbers: HashMap<LogId, LogNo>,
}

impl LogTable {
    /// How many logs have a number.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The number of a log, a new one if it has none.
    pub(crate) fn intern(&mut self, id: LogId) -> LogNo {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let number = LogNo(u32::try_from(self.ids.len()).expect("4 billion logs do not fit in memory"));
        self.ids.push(id);
        self.numbers.insert(id, number);
        number
    }

    /// The number of a log that has one.
    pub(crate) fn number(&self, id: &LogId) -> Option<LogNo> {
        self.numbers.get(id).copied()
    }

    /// The log of a number.
    pub(crate) fn id(&self, number: LogNo) -> Option<LogId> {
        self.ids.get(number.0 as usize).copied()
    }

    /// The logs interned when `len` had a number already.
    pub(crate) fn since(&self, len: usize) -> impl Iterator<Item = (LogNo, LogId)> + '_ {
        self.ids.iter().enumerate().skip(len).map(|(index, id)| (LogNo(index as u32), *id))
    }

    /// Forgets what was interned since, because its transaction was aborted.
    pub(crate) fn truncate(&mut self, len: usize) {
        for id in self.ids.drain(len.min(self.ids.len())..) {
            self.numbers.remove(&id);
        }
    }
}

impl NumberLogs for LogTable {
    fn number_of(&mut self, id: LogId) -> Option<LogNo> {
        Some(self.intern(id))
    }
}

/// For local ops, which name no log but those of the state that they were made from.
impl NumberLogs for &LogTable {
    fn number_of(&mut self, id: LogId) -> Option<LogNo> {
        self.number(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_stable_and_given_back_on_abort() {
        let [a, b] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];
        let mut logs = LogTable::default();
        assert_eq!((logs.intern(a), logs.intern(b), logs.intern(a)), (LogNo(0), LogNo(1), LogNo(0)));
        assert_eq!(logs.since(1).collect::<Vec<_>>(), [(LogNo(1), b)]);
        logs.truncate(1);
        assert_eq!(
            (logs.len(), logs.number(&b), logs.id(LogNo(1)), logs.id(LogNo(0))),
            (1, None, None, Some(a))
        );
        assert_eq!(logs.intern(b), LogNo(1));
    }
}
