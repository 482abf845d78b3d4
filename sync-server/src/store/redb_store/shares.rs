//! Who has the places for a vault's logs: those for which no admin of the last statement vouches have at most half, each
//! admin key of the last statement an equal part of the other half. So a member that opens logs without end leaves the
//! admins their places, and one admin leaves the others theirs.

use std::collections::HashMap;

use redb::{ReadableTable as _, WriteTransaction};
use subrosa_protocol::ids::PublicKeyBytes;
use subrosa_protocol::limits::LOGS_PER_VAULT_MAX;
use subrosa_protocol::statement::Statement;

use super::super::StoreError;
use super::super::rows::{SHARES, STATEMENTS};

/// Places for logs without a vouch, and for those with one.
const HALF: u32 = (LOGS_PER_VAULT_MAX / 2) as u32;

/// Counts of one transaction, written at its end.
pub(super) struct LogShares<'txn> {
    txn: &'txn WriteTransaction,
    /// The admins of each vault's last statement.
    admins: HashMap<u64, Vec<PublicKeyBytes>>,
    held: HashMap<(u64, PublicKeyBytes), u32>,
}

/// Counts of one vault, to go back to.
pub(super) struct Counted(HashMap<(u64, PublicKeyBytes), u32>);

impl<'txn> LogShares<'txn> {
    pub(super) fn new(txn: &'txn WriteTransaction) -> Self {
        Self { txn, admins: HashMap::new(), held: HashMap::new() }
    }

    /// Whether the last statement of a vault lists an admin key.
    pub(super) fn is_admin(&mut self, no: u64, key: &PublicKeyBytes) -> Result<bool, StoreError> {
        Ok(self.admins(no)?.contains(key))
    }

    /// Whether an admin key has a place for a log more.
    pub(super) fn has_place(&mut self, no: u64, admin: &PublicKeyBytes) -> Result<bool, StoreError> {
        let admins = self.admins(no)?;
        if !admins.contains(admin) {
            return Ok(false);
        }
        let share = HALF / u32::try_from(admins.len()).unwrap_or(u32::MAX);
        Ok(self.held(no, admin)? < share)
    }

    /// Whether there is a place for a log without a vouch, among `logs`.
    pub(super) fn has_common_place(&mut self, no: u64, logs: u32) -> Result<bool, StoreError> {
        let mut vouched: u32 = 0;
        for admin in self.admins(no)? {
            vouched = vouched.saturating_add(self.held(no, &admin)?);
        }
        Ok(logs.saturating_sub(vouched) < HALF)
    }

    /// A log came under an admin's vouch.
    pub(super) fn add(&mut self, no: u64, admin: &PublicKeyBytes) -> Result<(), StoreError> {
        let held = self.held(no, admin)?.saturating_add(1);
        self.held.insert((no, *admin), held);
        Ok(())
    }

    /// One that was under it is gone.
    pub(super) fn remove(&mut self, no: u64, admin: &PublicKeyBytes) -> Result<(), StoreError> {
        let held = self.held(no, admin)?.saturating_sub(1);
        self.held.insert((no, *admin), held);
        Ok(())
    }

    pub(super) fn counted(&self, no: Option<u64>) -> Counted {
        let own = self.held.iter().filter(|((of, _), _)| Some(*of) == no);
        Counted(own.map(|(key, held)| (*key, *held)).collect())
    }

    /// Back to what was counted of a vault.
    pub(super) fn restore(&mut self, no: Option<u64>, counted: Counted) {
        self.held.retain(|(of, _), _| Some(*of) != no);
        self.held.extend(counted.0);
    }

    pub(super) fn finish(self) -> Result<(), StoreError> {
        let mut table = self.txn.open_table(SHARES)?;
        for ((no, admin), held) in self.held {
            if held == 0 {
                table.remove((no, *admin.as_bytes()))?;
            } else {
                table.insert((no, *admin.as_bytes()), held)?;
            }
        }
        Ok(())
    }

    fn held(&mut self, no: u64, admin: &PublicKeyBytes) -> Result<u32, StoreError> {
        if let Some(held) = self.held.get(&(no, *admin)) {
            return Ok(*held);
        }
        let found = self.txn.open_table(SHARES)?.get((no, *admin.as_bytes()))?.map_or(0, |held| held.value());
        self.held.insert((no, *admin), found);
        Ok(found)
    }

    fn admins(&mut self, no: u64) -> Result<Vec<PublicKeyBytes>, StoreError> {
        if let Some(admins) = self.admins.get(&no) {
            return Ok(admins.clone());
        }
        let table = self.txn.open_table(STATEMENTS)?;
        let last = table.range((no, 0)..=(no, u64::MAX))?.next_back().transpose()?;
        let last = last.and_then(|(_, value)| Statement::decode(value.value()).ok());
        let admins = last.map(|statement| statement.admins).unwrap_or_default();
        self.admins.insert(no, admins.clone());
        Ok(admins)
    }
}
