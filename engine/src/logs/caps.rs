//! Caps: a device whose clock ran ahead says in a certificate what the stamps of its old log count as at most, and those of what it
//! had merged of other logs (`docs/FORMAT.md`, "Caps").
//!
//! No row changes by a cap: which of the registers that a row keeps is shown is found when it is read. So the records of a
//! vault *pass*, in the order of their keys and in slices: those that have passed are read by the caps of now, the others by
//! those before, and where that makes a difference it is told like any other change. What is written here passes at once, for
//! its writer sees the caps of now.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use subrosa_model::control::{NamedGroup, NamedGroups, PrefixCap};
use subrosa_model::merge::{Cap, CapStep, Caps, CapsOf, CheckedBody, GroupHead, LogNo, Row, Stamp, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::{CAP_SLICE_BYTES, CAP_SLICE_RECORDS, PREFIX_CAPS_PER_LOG_MAX};
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

/// Where a group begins.
enum Begin {
    At(Seq),
    /// Somewhere, and this is its latest stamp.
    Known(Stamp),
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
        if self.state.passing.contains_key(&vault) || !self.is_cap_due(vault)? || faults::CAPS_NOT_APPLIED {
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

    /// Whether the cap of a log may be another one than before.
    fn is_cap_due(&self, vault: VaultNo) -> Result<bool, Error> {
        let state = self.vault(vault)?;
        Ok(!state.caps_due.is_empty() || state.members.has_capped())
    }

    /// The logs whose caps are to be looked at, and what groups of each.
    fn take_capped(&mut self, vault: VaultNo) -> Result<BTreeMap<LogId, BTreeSet<NamedGroup>>, Error> {
        let state = self.vault_mut(vault)?;
        let both = [std::mem::take(&mut state.caps_due), state.members.take_capped()];
        let mut logs: BTreeMap<LogId, BTreeSet<NamedGroup>> = BTreeMap::new();
        if both.iter().any(|due| due.all) {
            state.prefixes.found.clear();
            logs.extend(state.members.logs_with_caps().into_iter().map(|log| (log, BTreeSet::new())));
        }
        for due in both {
            for log in due.logs {
                logs.entry(log).or_default();
            }
            for (log, groups) in due.groups {
                logs.entry(log).or_default().extend(groups);
            }
        }
        Ok(logs)
    }

    /// The logs whose caps are others than those that count.
    fn caps_to_take(&mut self, vault: VaultNo) -> Result<Vec<(LogNo, LogId, Cap)>, Error> {
        let mut others = Vec::new();
        for (id, groups) in self.take_capped(vault)? {
            let Some(log) = self.state.logs.number(vault, &id) else { continue };
            if self.vault(vault)?.logs.get(&log).is_none_or(|info| info.class != Class::Data) {
                continue;
            }
            let cap = self.cap_of(vault, log, (&id, &groups))?;
            if self.state.logs.cap(log).map_or(&[][..], Cap::steps) != cap.steps() {
                others.push((log, id, cap));
            }
        }
        Ok(others)
    }

    /// What the stamps of a log count as at most by all that is certified and here. With more of that they never count as later: what
    /// was merged by a cap stays merged. In one open all groups that are named are looked for once; then those of which there is news.
    fn cap_of(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        (id, news): (&LogId, &BTreeSet<NamedGroup>),
    ) -> Result<Cap, Error> {
        let state = self.vault(vault)?;
        let named = state.members.prefix_caps(id);
        let found = state.prefixes.found.get(&log).cloned();
        let news: NamedGroups = match &found {
            Some(_) => news.iter().filter_map(|group| Some((*group, named.cap(group)?))).collect(),
            None => NamedGroups::NONE,
        };
        let held = self.prefixes_held(vault, log, found.as_ref().map_or(named, |_| &news))?;
        let mut found = found.unwrap_or_default();
        for (branch, prefix) in held {
            if let Some(to) = self.end_of_prefix(vault, (log, branch), (id, &prefix))? {
                found.to = found.to.max(Some(to));
                found.steps.push(CapStep { cap: prefix.cap, to });
            }
        }
        let state = self.vault_mut(vault)?;
        let named = state.members.prefix_caps(id);
        let mut steps: Vec<_> = state.members.cap(id).map(|cap| cap.steps().to_vec()).unwrap_or_default();
        if named.len() > PREFIX_CAPS_PER_LOG_MAX {
            found.steps.clear();
            steps.extend(found.to.zip(named.lowest()).map(|(to, cap)| CapStep { cap, to }));
        } else {
            found.steps = Cap::of(std::mem::take(&mut found.steps)).steps().to_vec();
            steps.extend(&found.steps);
        }
        state.prefixes.found.insert(log, found);
        Ok(Cap::of(steps))
    }

    /// Those of some groups that are held, in their order in each branch. It costs what is held, however many are named.
    fn prefixes_held(
        &self,
        vault: VaultNo,
        log: LogNo,
        named: &NamedGroups,
    ) -> Result<Vec<(BranchNo, PrefixCap)>, Error> {
        let mut held = Vec::new();
        if named.is_empty() {
            return Ok(held);
        }
        for branch in self.vault(vault)?.branches.of(log) {
            look_at_row();
            let Some(head) = self.logs.head(branch)? else { continue };
            let mut from = head.base.seq;
            while let Some((&(seq, _), _)) = named.not_before(from).next()
                && seq <= head.seq
            {
                look_at_row();
                let chain = self.logs.chain(branch, seq)?.ok_or(StoreError::Inconsistent)?;
                held.extend(named.cap(&(seq, chain)).map(|cap| (branch, PrefixCap { seq, chain, cap })));
                from = seq.next();
            }
        }
        Ok(held)
    }

    /// The latest stamp of what a cap is on, that names a segment which is here; `None` as long as that group cannot be read.
    fn end_of_prefix(
        &mut self,
        vault: VaultNo,
        (log, branch): (LogNo, BranchNo),
        (id, &PrefixCap { seq, chain, .. }): (&LogId, &PrefixCap),
    ) -> Result<Option<Stamp>, Error> {
        if let Some(end) = self.passes.prefix_end(log, &(seq, chain))? {
            return Ok(Some(end));
        }
        let end = match self.begin_of_group(vault, (log, branch, id), seq)? {
            Begin::Known(end) => Some(end),
            Begin::At(first) => self.head_of_group(vault, branch, first)?.map(|head| head.latest),
        };
        match end {
            Some(end) => self.passes.put_prefix_end(log, &(seq, chain), end)?,
            None => {
                let unread = &mut self.vault_mut(vault)?.prefixes.unread;
                unread.entry(*id).or_default().insert((seq, chain));
            }
        }
        Ok(end)
    }

    /// The first segment of the group with ops that a segment belongs to, or of the one before it; or the first segment that is here. It
    /// is looked for as far back as another cap that names the same.
    fn begin_of_group(
        &self,
        vault: VaultNo,
        (log, branch, id): (LogNo, BranchNo, &LogId),
        seq: Seq,
    ) -> Result<Begin, Error> {
        let named = self.vault(vault)?.members.prefix_caps(id);
        let mut first = seq;
        while first > Seq(0)
            && self
                .logs
                .header(branch, first)?
                .is_some_and(|header| header.kind != Kind::DATA || !header.place.is_first())
        {
            look_at_row();
            first = Seq(first.0 - 1);
            if named.not_before(first).next().is_some_and(|((seq, _), _)| *seq == first)
                && let Some(chain) = self.logs.chain(branch, first)?
                && let Some(end) = self.passes.prefix_end(log, &(first, chain))?
            {
                return Ok(Begin::Known(end));
            }
        }
        Ok(Begin::At(first))
    }

    /// What a group says of itself that begins with a segment; `None` if none does, or it cannot be read.
    pub(crate) fn head_of_group(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
    ) -> Result<Option<GroupHead>, Error> {
        look_at_row();
        let Some(header) = self.logs.header(branch, seq)? else { return Ok(None) };
        if header.kind != Kind::DATA || !header.place.is_first() {
            return Ok(None);
        }
        let Ok(body) = self.open_stored(vault, branch, seq)? else { return Ok(None) };
        let body = CheckedBody::decode(&body.data, self.place_of(branch, seq)?);
        Ok(body.ok().and_then(|body| body.head().cloned()))
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
