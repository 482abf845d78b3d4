//! Interned logs: rows name a log by a small number of this store instead of its 16 bytes.
//!
//! A number is of one vault: the same log id in two vaults is two logs. Only a log whose certificate was checked gets
//! one, so that nobody can fill the table with names that he made up; what other names in tombstones mean waits until
//! there is a certificate (`docs/FORMAT.md`, "Names that wait").

use std::collections::HashMap;

use subrosa_protocol::ids::LogId;
use subrosa_protocol::segment::Class;

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
}

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
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultNo = VaultNo(3);

    #[test]
    fn numbers_are_dense_stable_and_given_back_on_abort() {
        let [a, b] = [LogId::from_bytes([1; 16]), LogId::from_bytes([2; 16])];
        let mut logs = LogTable::default();
        let mut intern = |id| logs.intern(VAULT, id, Class::Data);
        assert_eq!((intern(a), intern(b), intern(a)), (LogNo(0), LogNo(1), LogNo(0)));
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
    }
}
