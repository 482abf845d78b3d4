//! What this device wrote and others have overtaken: they had written over it, and their stamps count as no later than an earlier
//! moment, for their clocks were put right (`docs/FORMAT.md`, "Caps").
//!
//! Two clocks ran ahead, and who wrote over what the other one wrote is put right first: its stamps count as of then. Those of the
//! other one count as of when it is put right, which is later, and what was written over would show again. So the author of
//! what was written over caps its log once more, up to what the other one had seen of it, at the other one's cap. What it wrote
//! behind that keeps its own cap, for it may have been written over something later.

use std::collections::BTreeMap;

use subrosa_model::control::BirthError;
use subrosa_model::merge::{Cap, CapStep, CheckedBody, GroupHead, LogNo, Stamp, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::{CAP_STEPS_PER_LOG_MAX, OVERTAKEN_MAX, OVERTAKEN_SEGMENTS_MAX};
use subrosa_protocol::segment::{Class, Kind};
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::memory::cost::look_at_row;

impl Core {
    /// Opens new logs in a vault, whose certificate caps own ones as far as others have overtaken them. Nothing where this
    /// device may not seal, and where it has had all its logs or has done this often enough.
    pub(crate) fn cap_overtaken(&self, vault: VaultNo) -> Result<(), Error> {
        let is_overtaken = self.lock_state()?.vaults.get(&vault).is_some_and(|vault| vault.is_overtaken);
        if !is_overtaken || !self.may_seal_in(vault)? {
            return Ok(());
        }
        let caps = self.write_with(Durable::Later, |tx| tx.overtaken_logs(vault))?;
        if self.overtaken_before(vault)? < OVERTAKEN_MAX && !caps.is_empty() {
            match self.new_logs_with_caps(vault, &caps) {
                Err(Error::Birth(BirthError::LogsUsedUp)) => {}
                new => {
                    let new = new?;
                    // What waits may be more than one transaction should write.
                    while self.write(|tx| tx.seal_batches(vault))? {}
                    self.write(|tx| {
                        tx.rotate_logs(vault, new)?;
                        tx.forget_overtaken(vault)
                    })?;
                    tracing::info!("what others had written over is capped as their clocks are");
                    self.merge_large(None)?;
                    self.go_round(None)?;
                }
            }
        }
        self.lock_state()?.vaults.get_mut(&vault).ok_or(Error::NoVault)?.is_overtaken = false;
        Ok(())
    }

    /// How many steps this device has set on its logs for that.
    fn overtaken_before(&self, vault: VaultNo) -> Result<usize, Error> {
        let state = self.lock_state()?;
        let members = &state.vaults.get(&vault).ok_or(Error::NoVault)?.members;
        let (me, mut steps) = (self.public(), 0);
        for (log, cap) in members.caps() {
            if members.certified(&log).is_some_and(|certified| certified.device == me) {
                steps += cap.steps().iter().filter(|step| step.to != CapStep::ALL).count();
            }
        }
        Ok(steps)
    }
}

impl Tx<'_> {
    /// The caps that are still to be certified of own logs.
    pub(crate) fn overtaken_logs(&self, vault: VaultNo) -> Result<BTreeMap<LogId, Cap>, Error> {
        let mut caps = BTreeMap::new();
        for (log, id) in self.own_data_logs(vault)? {
            let steps = self.passes.overtaken(log)?;
            let is_missing = |step: &CapStep| self.state.logs.capped(log, step.to) > step.cap;
            let missing: Vec<CapStep> = steps.into_iter().filter(is_missing).collect();
            if !missing.is_empty() {
                caps.insert(id, Cap::of(missing));
            }
        }
        Ok(caps)
    }

    /// Those that were are forgotten.
    pub(crate) fn forget_overtaken(&mut self, vault: VaultNo) -> Result<(), Error> {
        for (log, id) in self.own_data_logs(vault)? {
            let mut left = self.passes.overtaken(log)?;
            if left.is_empty() {
                continue;
            }
            let certified = self.vault(vault)?.members.cap(&id).unwrap_or_default();
            left.retain(|step| certified.capped(step.to) > step.cap);
            self.passes.put_overtaken(log, &left)?;
        }
        Ok(())
    }

    fn own_data_logs(&self, vault: VaultNo) -> Result<Vec<(LogNo, LogId)>, Error> {
        let logs = self.vault(vault)?.logs.iter().map(|(log, info)| (*log, info.id));
        Ok(logs.filter(|(_, id)| self.is_own_data(vault, id)).collect())
    }

    fn is_own_data(&self, vault: VaultNo, log: &LogId) -> bool {
        let certified = self.vault(vault).ok().and_then(|state| state.members.certified(log));
        certified
            .is_some_and(|certified| certified.device == self.core.public() && certified.class == Class::Data)
    }

    /// A log of somebody else is capped: what had its author seen that counts as later than what it wrote then? The groups that its cap
    /// lowers say so, and the one before them, for something of it may have been written later than what it says that it had seen.
    pub(crate) fn look_for_overtaken(&mut self, vault: VaultNo, log: LogNo) -> Result<(), Error> {
        let Some(lowest) = self.state.logs.cap(log).and_then(|cap| cap.steps().first()).map(|step| step.cap)
        else {
            return Ok(());
        };
        let mut room = OVERTAKEN_SEGMENTS_MAX;
        for branch in self.vault(vault)?.branches.of(log).collect::<Vec<_>>() {
            let Some(tip) = self.logs.head(branch)? else { continue };
            let (mut next, mut latest) = (tip.merged, Stamp::default());
            while let Some(seq) = next.0.checked_sub(1).map(Seq).filter(|seq| *seq >= tip.base.seq) {
                next = seq;
                look_at_row();
                let Some(header) = self.logs.header(branch, seq)? else { break };
                if header.kind != Kind::DATA || !header.place.is_first() {
                    continue;
                }
                let Some(left) = room.checked_sub(1) else {
                    tracing::warn!(
                        ?log,
                        "a log is capped so far back that not all is looked at of what its author had seen"
                    );
                    return Ok(());
                };
                room = left;
                let Ok(opened) = self.open_stored(vault, branch, seq)? else { continue };
                let Ok(body) = CheckedBody::decode(&opened.data, self.place_of(branch, seq)?) else {
                    continue;
                };
                let Some(head) = body.head() else { continue };
                latest = latest.max(head.latest);
                self.note_overtaken(vault, (log, latest), head)?;
                if head.latest <= lowest {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Notes what the author of a group of a capped log had seen of own logs that counts as later than what the group says. `latest` is
    /// the latest stamp of what it wrote, in that group or later.
    pub(crate) fn note_overtaken(
        &mut self,
        vault: VaultNo,
        (by, latest): (LogNo, Stamp),
        head: &GroupHead,
    ) -> Result<(), Error> {
        let Some(cap) = self.state.logs.cap(by).and_then(|cap| cap.at(head.latest)) else { return Ok(()) };
        let is_own = self.state.logs.id(by).is_some_and(|by| self.is_own_data(vault, &by));
        if is_own || faults::OVERTAKEN_NOT_CAPPED {
            return Ok(());
        }
        for seen in
            head.seen.heads().iter().filter(|seen| self.is_own_data(vault, &seen.log)).collect::<Vec<_>>()
        {
            let Some(log) = self.state.logs.number(vault, &seen.log) else { continue };
            let held = self.find_held(vault, log, seen.seq, |chain| *chain == seen.chain)?;
            let Some((branch, _)) = held else { continue };
            let Some(to) = self.latest_of_group(vault, branch, seen.seq)? else { continue };
            // Of two stamps that count as one thing the greater counts.
            let cap = if to < latest { cap } else { Stamp(cap.0.saturating_sub(1)) };
            self.note_step(vault, log, CapStep { cap, to })?;
        }
        Ok(())
    }

    fn note_step(&mut self, vault: VaultNo, log: LogNo, step: CapStep) -> Result<(), Error> {
        let noted = Cap::of(self.passes.overtaken(log)?);
        if self.state.logs.capped(log, step.to).min(noted.capped(step.to)) <= step.cap {
            return Ok(());
        }
        let noted = Cap::of(noted.steps().iter().copied().chain([step]));
        let most = noted.steps().len().min(CAP_STEPS_PER_LOG_MAX);
        self.passes.put_overtaken(log, &noted.steps()[..most])?;
        self.vault_mut(vault)?.is_overtaken = true;
        Ok(())
    }

    /// The latest stamp of the group that a segment is of.
    fn latest_of_group(&self, vault: VaultNo, branch: BranchNo, last: Seq) -> Result<Option<Stamp>, Error> {
        let mut first = last;
        while !self.logs.header(branch, first)?.is_none_or(|header| header.place.is_first()) {
            look_at_row();
            let Some(before) = first.0.checked_sub(1) else { return Ok(None) };
            first = Seq(before);
        }
        let Ok(opened) = self.open_stored(vault, branch, first)? else { return Ok(None) };
        let Ok(body) = CheckedBody::decode(&opened.data, self.place_of(branch, first)?) else {
            return Ok(None);
        };
        Ok(body.head().map(|head| head.latest))
    }
}
