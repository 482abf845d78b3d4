//! Caps: a device whose clock ran ahead says of its old log, in a certificate, what its stamps count as at most
//! (`docs/FORMAT.md`, "Caps").
//!
//! No row changes by a cap: which of the registers that a row keeps is shown is found when it is read. So the records of a
//! vault *pass*, in the order of their keys and in slices: those that have passed are read by the caps of now, the others by
//! those before, and where that makes a difference it is told like any other change. What is written here passes at once, for
//! its writer sees the caps of now.

use std::ops::Bound;
use std::sync::Arc;

use subrosa_model::merge::{Caps, CapsOf, LogNo, Row, Stamp, VaultNo};
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::{CAP_SLICE_BYTES, CAP_SLICE_RECORDS};
use subrosa_store::error::StoreError;
use subrosa_store::keys::RecordKey;

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::memory::passing::{Passing, caps_of};
use crate::memory::state::State;
use crate::records::{SliceLimits, decode_state};

/// What bounds one slice of a pass; tests may have smaller ones.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests look for theirs"))]
pub(crate) fn slice_limits() -> SliceLimits {
    #[cfg(test)]
    if let Some(limits) = testing::LIMITS.get() {
        return limits;
    }
    SliceLimits { records: CAP_SLICE_RECORDS, bytes: CAP_SLICE_BYTES }
}

impl State {
    /// A vault whose records pass.
    pub(crate) fn next_in_pass(&self) -> Option<VaultNo> {
        self.passing.keys().next().copied()
    }
}

impl Tx<'_> {
    /// Has the caps count that certificates set and that do not yet; one after the other, if records still pass to earlier ones.
    /// What was held for the clock in such a log is looked at again, and what names it is merged once more.
    pub(crate) fn take_caps(&mut self, vault: VaultNo) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let is_looked_at = state.caps_looked_at == Some(state.member_changes);
        if is_looked_at || self.state.passing.contains_key(&vault) || faults::CAPS_NOT_APPLIED {
            return Ok(());
        }
        let of_members = state.members.caps();
        let numbered =
            of_members.filter_map(|(id, cap)| Some((self.state.logs.number(vault, &id)?, id, cap)));
        let lower = numbered.filter(|(log, _, cap)| self.state.logs.capped(*log, Caps::NONE) > *cap);
        let lower: Vec<(LogNo, LogId, Stamp)> = lower.collect();
        let state = self.vault_mut(vault)?;
        state.caps_looked_at = Some(state.member_changes);
        if lower.is_empty() {
            return Ok(());
        }
        let mut of_logs = self.state.logs.caps().clone();
        let mut is_any_merged = false;
        for (log, id, cap) in &lower {
            let branches: Vec<_> = self.vault(vault)?.branches.of(*log).collect();
            let mut has_merged = false;
            for branch in &branches {
                has_merged |= self.logs.head(*branch)?.is_some_and(|head| head.merged > head.base.seq);
            }
            let before = if has_merged { self.state.logs.capped(*log, Caps::NONE) } else { *cap };
            let caps = Caps { before, now: *cap };
            self.passes.put_caps(*log, caps)?;
            Arc::make_mut(&mut of_logs).insert(*log, caps);
            is_any_merged |= has_merged;
            let state = self.vault_mut(vault)?;
            for branch in branches {
                if state.held.remove(&branch).is_some() {
                    state.unmerged.insert(branch);
                }
            }
            tracing::info!(log = %id, %cap, "stamps of a log count as no more than its cap");
        }
        self.state.logs.set_caps(of_logs);
        let named: Vec<LogId> = lower.iter().map(|(_, id, _)| *id).collect();
        self.merge_named(vault, &named)?;
        if !is_any_merged {
            return Ok(());
        }
        Arc::make_mut(&mut self.state.passing).insert(vault, Passing::of(vault));
        self.pass_slice(vault)?;
        self.core.note_held(self.state);
        Ok(())
    }

    /// Has the next records of a vault pass.
    pub(crate) fn pass_slice(&mut self, vault: VaultNo) -> Result<(), Error> {
        let Some(passing) = self.state.passing.get(&vault) else { return Ok(()) };
        let range = (Bound::Included(passing.next), Bound::Included(RecordKey::last_of(vault)));
        let logs = &self.state.logs;
        let reads_otherwise = |key: &RecordKey, row: Row<'_>| {
            if row.is_of_one_log() || !passing.awaits(key) {
                return Ok(false);
            }
            let state = decode_state(Some(row))?;
            let by = |caps| state.visible_fields(logs.order(caps));
            Ok::<_, StoreError>(!by(CapsOf::Before).eq(by(CapsOf::Now)))
        };
        match self.records.pass(&range, slice_limits(), reads_otherwise)? {
            Some(next) => {
                self.passes.put_pass(vault, &next)?;
                let passing = Arc::make_mut(&mut self.state.passing).get_mut(&vault);
                passing.ok_or(StoreError::Inconsistent)?.next = next;
                Ok(())
            }
            None => self.end_pass(vault),
        }
    }

    /// All records of a vault have passed. What was certified meanwhile is next.
    fn end_pass(&mut self, vault: VaultNo) -> Result<(), Error> {
        let mut of_logs = self.state.logs.caps().clone();
        let all: Vec<_> = of_logs.iter().map(|(log, caps)| (*log, *caps)).collect();
        for (log, Caps { now, .. }) in all.into_iter().filter(|(_, caps)| caps.before != caps.now) {
            if self.state.logs.vault(log) == Some(vault) {
                let caps = Caps { before: now, now };
                self.passes.put_caps(log, caps)?;
                Arc::make_mut(&mut of_logs).insert(log, caps);
            }
        }
        self.state.logs.set_caps(of_logs);
        self.passes.end_pass(vault)?;
        Arc::make_mut(&mut self.state.passing).remove(&vault);
        self.vault_mut(vault)?.caps_looked_at = None;
        self.take_caps(vault)
    }

    /// A record is written here: from now on it is read by the caps of now.
    pub(crate) fn pass_early(&mut self, key: &RecordKey) -> Result<(), Error> {
        if caps_of(&self.state.passing, key) == CapsOf::Now {
            return Ok(());
        }
        self.passes.put_early(key)?;
        if let Some(passing) = Arc::make_mut(&mut self.state.passing).get_mut(&key.vault()) {
            passing.early.insert(*key);
        }
        Ok(())
    }
}

/// Smaller limits for the thread of a test.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::SliceLimits;

    thread_local! {
        pub(crate) static LIMITS: Cell<Option<SliceLimits>> = const { Cell::new(None) };
    }
}
