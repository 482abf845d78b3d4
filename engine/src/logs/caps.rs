//! Caps: a device whose clock ran ahead says in a certificate what the stamps of its old log count as at most, and those of what it
//! had merged of other logs (`docs/FORMAT.md`, "Caps").
//!
//! No row changes by a cap: which of the registers that a row keeps is shown is found when it is read. So the records of a
//! vault *pass*, in the order of their keys and in slices: those that have passed are read by the caps of now, the others by
//! those before, and where that makes a difference it is told like any other change. What is written here passes at once, for
//! its writer sees the caps of now.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use subrosa_model::control::PrefixCap;
use subrosa_model::merge::{Cap, CapStep, Caps, CapsOf, CheckedBody, LogNo, Row, Stamp, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::{CAP_SLICE_BYTES, CAP_SLICE_RECORDS};
use subrosa_protocol::segment::{Class, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::keys::RecordKey;
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::memory::cost::look_at_row;
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
        let waits = |branch| state.log_of(branch).is_ok_and(|log| state.prefixes_wait.contains(&log));
        let has_more = !state.prefixes_wait.is_empty() && state.unmerged.iter().any(|branch| waits(*branch));
        let is_looked_at = state.caps_looked_at == Some(state.members.caps_looks()) && !has_more;
        if is_looked_at || self.state.passing.contains_key(&vault) || faults::CAPS_NOT_APPLIED {
            return Ok(());
        }
        let lower = self.caps_to_take(vault)?;
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
            let before = self.state.logs.cap(*log).cloned().unwrap_or_default();
            let before = if has_merged { before } else { cap.clone() };
            let caps = Caps { before, now: cap.clone() };
            self.passes.put_caps(*log, &caps)?;
            Arc::make_mut(&mut of_logs).insert(*log, caps);
            is_any_merged |= has_merged;
            let state = self.vault_mut(vault)?;
            for branch in branches {
                if state.held.remove(&branch).is_some() {
                    state.unmerged.insert(branch);
                }
            }
            tracing::info!(log = %id, ?cap, "stamps of a log count as no more than its cap");
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

    /// The logs whose caps are others than those that count.
    fn caps_to_take(&mut self, vault: VaultNo) -> Result<Vec<(LogNo, LogId, Cap)>, Error> {
        let (mut others, mut waiting) = (Vec::new(), BTreeSet::new());
        for id in self.vault(vault)?.members.logs_with_caps() {
            let Some(log) = self.state.logs.number(vault, &id) else { continue };
            if self.vault(vault)?.logs.get(&log).is_none_or(|info| info.class != Class::Data) {
                continue;
            }
            let members = &self.vault(vault)?.members;
            let mut steps: Vec<_> = members.cap(&id).map(CapStep::of_all).into_iter().collect();
            for prefix in members.prefix_caps(&id).collect::<Vec<_>>() {
                match self.end_of_prefix(vault, log, &prefix)? {
                    Some(to) => steps.push(CapStep { cap: prefix.cap, to }),
                    None => drop(waiting.insert(log)),
                }
            }
            let cap = Cap::of(steps);
            if self.state.logs.cap(log).map_or(&[][..], Cap::steps) != cap.steps() {
                others.push((log, id, cap));
            }
        }
        let state = self.vault_mut(vault)?;
        state.prefixes_wait = waiting;
        state.caps_looked_at = Some(state.members.caps_looks());
        Ok(others)
    }

    /// The latest stamp of what a cap is on; `None` until the group is here that it names, and can be read.
    fn end_of_prefix(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        &PrefixCap { seq, chain, .. }: &PrefixCap,
    ) -> Result<Option<Stamp>, Error> {
        if let Some(end) = self.passes.prefix_end(log, &(seq, chain))? {
            return Ok(Some(end));
        }
        let Some((branch, _)) = self.find_held(vault, log, seq, |held| *held == chain)? else {
            return Ok(None);
        };
        let end = self.latest_of_group(vault, branch, seq)?;
        if let Some(end) = end {
            self.passes.put_prefix_end(log, &(seq, chain), end)?;
        }
        Ok(end)
    }

    /// The latest stamp of the group that begins with a segment; `None` if none does, or it cannot be read.
    pub(crate) fn latest_of_group(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
    ) -> Result<Option<Stamp>, Error> {
        look_at_row();
        let header = self.logs.header(branch, seq)?.ok_or(StoreError::Inconsistent)?;
        if header.kind != Kind::DATA || !header.place.is_first() {
            return Ok(None);
        }
        let Ok(body) = self.open_stored(vault, branch, seq)? else { return Ok(None) };
        let body = CheckedBody::decode(&body.data, self.place_of(branch, seq)?);
        Ok(body.ok().and_then(|body| body.head().map(|head| head.latest)))
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
        let passed = of_logs.iter().filter(|(_, caps)| caps.before != caps.now);
        let passed: Vec<_> = passed.map(|(log, caps)| (*log, caps.now.clone())).collect();
        for (log, now) in passed {
            if self.state.logs.vault(log) == Some(vault) {
                let caps = Caps { before: now.clone(), now };
                self.passes.put_caps(log, &caps)?;
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
