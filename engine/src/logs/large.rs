//! Groups that do not fit into a pass: merged body by body, each group in a transaction of its own.
//!
//! So it is all of the group or nothing, with memory for little more than one body. What is found to be wrong on the way
//! gives the transaction up; the log then waits, and is not tried again before something changes.

use subrosa_model::merge::{BodyPlace, CheckedBody, VaultNo};
use subrosa_model::seal::OpenedBody;
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::SEGMENT_PLAIN_MAX;
use subrosa_store::logs::BranchNo;

use crate::error::{Error, LifeError};
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::logs::groups::group_limits;
use crate::logs::pass::Verdict;
use crate::memory::cost::hold_bytes;
use crate::memory::extents::{GroupExtent, WaitReason};
use crate::memory::state::VaultState;

/// Bodies of a large group on their way, at most as many bytes as one may have.
struct Portion {
    branch: BranchNo,
    /// Where the next body stands in its group.
    place: BodyPlace,
    bodies: Vec<(Seq, OpenedBody)>,
    bytes: usize,
}

impl Portion {
    const fn of(branch: BranchNo) -> Self {
        Self { branch, place: BodyPlace::First, bodies: Vec::new(), bytes: 0 }
    }
}

impl Core {
    /// Merges the large groups that were found, and what stands behind them. With `turn`, for who has the turn.
    pub(crate) fn merge_large(&self, turn: Option<&Turn>) -> Result<(), Error> {
        loop {
            let next = {
                let mut state = self.lock_state()?;
                let mut vaults = state.vaults.iter_mut();
                vaults.find_map(|(number, vault)| Some((*number, vault.large.pop_first()?.1)))
            };
            let Some((vault, extent)) = next else { return Ok(()) };
            let (branch, mut verdict, mut keys) = (extent.branch, Verdict::Merge, 0);
            let done = self.write_as(turn, |tx| {
                keys = tx.vault(vault)?.epoch_keys();
                verdict = tx.merge_large_group(vault, &extent)?;
                if verdict == Verdict::Merge { Ok(()) } else { Err(LifeError::Busy.into()) }
            });
            match verdict {
                Verdict::Merge => {
                    if done.is_err() {
                        let mut state = self.lock_state()?;
                        state.vaults.get_mut(&vault).map(|vault| vault.unmerged.insert(branch));
                    }
                    done?;
                }
                Verdict::Hold(_) | Verdict::Wait(_) => {
                    self.stop_at_large(vault, &extent, (verdict, keys), turn)?;
                    self.merge_what_was_forgotten(turn)?;
                }
            }
        }
    }

    /// A log waits in front of a large group. Others may have written since that was found, when there were `keys` epoch keys:
    /// what stays shut is tried again if a key has come, and what is merged does not wait.
    fn stop_at_large(
        &self,
        vault: VaultNo,
        extent: &GroupExtent,
        (verdict, keys): (Verdict, usize),
        turn: Option<&Turn>,
    ) -> Result<(), Error> {
        let branch = extent.branch;
        if let Verdict::Wait(reason) = verdict {
            let start = *extent.segments.start();
            let is_stopped = self.write_as(turn, |tx| {
                let stands = tx.logs.head(branch)?.is_some_and(|head| head.merged == start);
                let is_stopped = stands && tx.vault(vault)?.epoch_keys() == keys;
                if is_stopped {
                    tx.wait(branch, start, reason)?;
                } else {
                    tx.vault_mut(vault)?.unmerged.insert(branch);
                }
                Ok(is_stopped)
            })?;
            if !is_stopped {
                return Ok(());
            }
        }
        let mut state = self.lock_state()?;
        if let Some(vault) = state.vaults.get_mut(&vault) {
            vault.unmerged.remove(&branch);
            if let Verdict::Hold(until) = verdict {
                vault.held.insert(branch, until);
            }
        }
        self.note_held(&state);
        Ok(())
    }

    /// A transaction that was given up may have read memory anew: what was found of other logs, large groups and held ones,
    /// is to be found again.
    fn merge_what_was_forgotten(&self, turn: Option<&Turn>) -> Result<(), Error> {
        let unmerged = |vault: &VaultState| !vault.unmerged.is_empty();
        let vaults: Vec<_> = {
            let state = self.lock_state()?;
            state.vaults.iter().filter(|(_, vault)| unmerged(vault)).map(|(number, _)| *number).collect()
        };
        if vaults.is_empty() {
            return Ok(());
        }
        self.write_as(turn, |tx| vaults.into_iter().try_for_each(|vault| tx.merge_ready(vault)))
    }

    pub(crate) fn write_as<R>(
        &self,
        turn: Option<&Turn>,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        match turn {
            Some(turn) => self.write_in_turn(turn, f),
            None => self.write(f),
        }
    }
}

impl Tx<'_> {
    /// Merges the next group of a log, and then what is ready behind it; anything but [`Verdict::Merge`] means that
    /// nothing of this transaction may stay.
    fn merge_large_group(&mut self, vault: VaultNo, extent: &GroupExtent) -> Result<Verdict, Error> {
        let branch = extent.branch;
        // Unless new logs have taken its end back meanwhile.
        if self
            .logs
            .head(branch)?
            .is_some_and(|head| head.merged == *extent.segments.start() && head.seq >= *extent.segments.end())
        {
            let clock = self.state.clock;
            self.cut_before_fork(vault, std::iter::once(branch))?;
            let verdict = self.merge_in_portions(vault, extent)?;
            if verdict != Verdict::Merge {
                self.state.clock = clock;
                return Ok(verdict);
            }
            self.advance(vault, branch, *extent.segments.end())?;
        }
        self.vault_mut(vault)?.unmerged.insert(branch);
        self.merge_ready(vault)?;
        Ok(Verdict::Merge)
    }

    fn merge_in_portions(&mut self, vault: VaultNo, extent: &GroupExtent) -> Result<Verdict, Error> {
        let (mut portion, mut left) = (Portion::of(extent.branch), group_limits().plain_bytes);
        for seq in extent.segments.start().0..=extent.segments.end().0 {
            let body = match self.open_stored_within(vault, extent.branch, Seq(seq), left)? {
                Ok(body) => body,
                Err(reason) => return Ok(Verdict::Wait(reason)),
            };
            left -= body.data.len();
            if portion.bytes + body.data.len() > SEGMENT_PLAIN_MAX {
                let verdict = self.merge_portion(vault, &mut portion)?;
                if verdict != Verdict::Merge {
                    return Ok(verdict);
                }
            }
            portion.bytes += body.data.len();
            hold_bytes(portion.bytes);
            portion.bodies.push((Seq(seq), body));
        }
        self.merge_portion(vault, &mut portion)
    }

    /// Merges what there is of a group so far. The first body of the group says its latest stamp, and so whether its time has
    /// come, before anything of it is merged.
    fn merge_portion(&mut self, vault: VaultNo, portion: &mut Portion) -> Result<Verdict, Error> {
        let bodies = std::mem::take(&mut portion.bodies);
        portion.bytes = 0;
        let mut ready = Vec::with_capacity(bodies.len());
        for (seq, body) in &bodies {
            let Ok(body) = CheckedBody::decode(&body.data, portion.place) else {
                return Ok(Verdict::Wait(WaitReason::Undecodable));
            };
            if let Some(head) = body.head() {
                portion.place = BodyPlace::Behind { latest: head.latest };
                let verdict = self.judge(vault, portion.branch, (*seq, head.latest))?;
                if verdict != Verdict::Merge {
                    return Ok(verdict);
                }
            }
            ready.push((*seq, portion.branch, body));
        }
        for (seq, branch, body) in &ready {
            self.note_what_is_named(vault, *branch, *seq, body)?;
        }
        let ready: Vec<_> = ready.into_iter().map(|(_, branch, body)| (branch, body)).collect();
        self.merge_bodies(vault, &ready)?;
        Ok(Verdict::Merge)
    }
}
