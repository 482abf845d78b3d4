//! Merging of what is stored: complete groups whose time has come, in key order, in the transaction at hand.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use subrosa_model::merge::BodyPlace;
use subrosa_model::seal::{OpenError, OpenedBody, open_within};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::SEGMENT_PLAIN_MAX;
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::BranchNo;

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::logs::groups::{NextGroup, group_limits};
use crate::logs::pass::{GroupSource, Pass};
use crate::memory::cost::{hold_bytes, look_at_log, look_at_row};
use crate::memory::extents::{GroupExtent, WaitReason};
use crate::memory::state::{State, VaultState};

/// What opening a group that should fit into a pass came to.
enum Opened {
    Bodies(Vec<OpenedBody>),
    /// It does not fit.
    Large,
    Waits(WaitReason),
}

impl Core {
    /// Merges what could not be merged when it arrived: groups held for the clock, logs that have a certificate since, and
    /// what a newer version may read. What is done at every open; receiving does the same.
    pub(crate) fn retry_held(&self, turn: &Turn) -> Result<(), Error> {
        self.retry_vaults(turn)?;
        self.go_round_at_opening(turn)
    }

    fn retry_vaults(&self, turn: &Turn) -> Result<(), Error> {
        let vaults: Vec<_> = {
            let state = self.lock_state()?;
            let waits = |vault: &VaultState| !vault.unmerged.is_empty() || vault.waiting.len() > 0;
            state.vaults.iter().filter(|(_, vault)| waits(vault)).map(|(number, _)| *number).collect()
        };
        if vaults.is_empty() {
            return Ok(());
        }
        self.write_in_turn(turn, |tx| {
            for vault in vaults {
                tx.admit_waiting(vault)?;
                tx.merge_ready(vault)?;
            }
            Ok(())
        })?;
        self.merge_large(Some(turn))
    }

    /// Merges the groups held for the clock whose time has come, and goes on with rounds that are under way.
    pub(crate) fn merge_held(&self) -> Result<(), Error> {
        self.write(|tx| {
            for vault in tx.state.vaults.keys().copied().collect::<Vec<_>>() {
                tx.merge_ready(vault)?;
            }
            Ok(())
        })?;
        self.merge_large(None)?;
        self.go_round(None)?;
        let (mut state, now_ms) = (self.lock_state()?, self.now_ms());
        state.vaults.values_mut().for_each(|vault| vault.branches.looks(now_ms));
        self.note_held(&state);
        Ok(())
    }

    /// How long it is until [`Core::merge_held`] has something to do, or there may be something to carry; `None` if no group is
    /// held for the clock, no round is under way, no records pass, and no log has several futures.
    pub(crate) fn held_wait(&self) -> Option<Duration> {
        let until = self.held_until_ms.load(Ordering::Relaxed);
        (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(self.now_ms())))
    }

    /// Notes until when the first of all held groups is held, or that a round is under way or records pass, or when something may be
    /// to be carried.
    pub(crate) fn note_held(&self, state: &State) {
        let held = state.vaults.values().map(VaultState::held_until_ms).min().unwrap_or(u64::MAX);
        self.first_held_ms.store(held, Ordering::Relaxed);
        let carried = state.vaults.values().map(|vault| vault.branches.look_at_ms()).min();
        let is_under_way = state.is_maintained();
        let first = if is_under_way { 0 } else { held.min(carried.unwrap_or(u64::MAX)) };
        // Should a transaction fail, the time is looked at once in vain, or is found again with the next segment.
        self.held_until_ms.store(first, Ordering::Relaxed);
        let futures: usize = state.vaults.values().map(|vault| vault.branches.len()).sum();
        self.futures.store(futures as u64, Ordering::Relaxed);
    }
}

impl Tx<'_> {
    /// Merges every complete group of data logs whose stamps the clock accepts, in the logs that have something new or
    /// whose time has come. Logs with a group that does not fit into a pass are left to [`Core::merge_large`].
    pub(crate) fn merge_ready(&mut self, vault: VaultNo) -> Result<(), Error> {
        self.merge_what_is_new(vault)?;
        while self.place_carried(vault)? {
            self.merge_what_is_new(vault)?;
        }
        Ok(())
    }

    fn merge_what_is_new(&mut self, vault: VaultNo) -> Result<(), Error> {
        self.take_caps(vault)?;
        let now_ms = self.now_ms;
        let state = self.vault(vault)?;
        let due = state.held.iter().filter(|(_, until)| **until <= now_ms).map(|(branch, _)| *branch);
        let branches: BTreeSet<_> = state.unmerged.iter().copied().chain(due).collect();
        if branches.is_empty() {
            return Ok(());
        }
        let mut pass = Pass::default();
        for branch in branches {
            look_at_log();
            let state = self.vault_mut(vault)?;
            state.unmerged.remove(&branch);
            // What arrives behind a group that is held is looked at when its time has come.
            if state.held.get(&branch).is_some_and(|until| *until > now_ms) {
                continue;
            }
            state.held.remove(&branch);
            if !self.state.waits.contains_key(&branch) {
                self.collect_groups(vault, branch, &mut pass)?;
            }
        }
        self.run_pass(vault, &mut pass)?;
        self.core.note_held(self.state);
        Ok(())
    }

    /// Takes in what members say of logs that wait: more of them may count than when they arrived.
    fn admit_waiting(&mut self, vault: VaultNo) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let waiting = state.waiting.iter().map(|(log, _)| *log);
        let certified: Vec<_> = waiting.filter(|log| state.members.certified(log).is_some()).collect();
        self.admit_and_merge(vault, certified)
    }

    /// Gives logs that are certified now their numbers, and merges what waited for them.
    pub(crate) fn admit_and_merge(&mut self, vault: VaultNo, certified: Vec<LogId>) -> Result<(), Error> {
        let data = self.admit(vault, certified)?;
        self.merge_named(vault, &data)?;
        self.merge_ready(vault)
    }

    /// Opens the complete groups of a log that are not merged, up to the first one that waits or is large.
    fn collect_groups(&mut self, vault: VaultNo, branch: BranchNo, pass: &mut Pass) -> Result<(), Error> {
        let Some(mut from) = self.logs.head(branch)?.map(|head| head.merged) else { return Ok(()) };
        loop {
            let extent = match self.next_group(vault, branch, from)? {
                NextGroup::Complete(extent) => extent,
                NextGroup::Incomplete => return Ok(()),
                NextGroup::Waits(reason) => {
                    self.wait(branch, from, reason)?;
                    return Ok(());
                }
            };
            let next = extent.segments.end().next();
            let opened = match (extent.has_ops, extent.is_large()) {
                (false, _) => Opened::Bodies(Vec::new()),
                (true, true) => Opened::Large,
                (true, false) => self.open_group(vault, &extent, pass)?,
            };
            // The pass may have run meanwhile, and found that an earlier group of this log is to wait, or is large.
            let state = self.vault(vault)?;
            let is_stopped = state.held.contains_key(&branch) || state.large.contains_key(&branch);
            if is_stopped || self.state.waits.contains_key(&branch) {
                return Ok(());
            }
            match opened {
                Opened::Bodies(bodies) => pass.add(extent, bodies, GroupSource::Next),
                Opened::Large => {
                    self.vault_mut(vault)?.large.insert(branch, extent);
                    return Ok(());
                }
                Opened::Waits(reason) => {
                    self.wait(branch, from, reason)?;
                    return Ok(());
                }
            }
            from = next;
        }
    }

    /// Opens the bodies of a group for a pass, which runs first when it has no room for them.
    fn open_group(&mut self, vault: VaultNo, extent: &GroupExtent, pass: &mut Pass) -> Result<Opened, Error> {
        let limits = group_limits();
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        for seq in extent.segments.start().0..=extent.segments.end().0 {
            let room = limits.plain_bytes - bytes;
            let body = match self.open_stored_within(vault, extent.branch, Seq(seq), room)? {
                Ok(body) => body,
                Err(reason) => return Ok(Opened::Waits(reason)),
            };
            bytes += body.data.len();
            if !bodies.is_empty() && bytes > limits.pass_bytes {
                return Ok(Opened::Large);
            }
            if !pass.has_room(bytes) {
                self.run_pass(vault, pass)?;
            }
            hold_bytes(bytes);
            bodies.push(body);
        }
        Ok(Opened::Bodies(bodies))
    }

    /// Where a stored segment, which was merged before, stands in its group.
    pub(crate) fn place_of(&self, branch: BranchNo, seq: Seq) -> Result<BodyPlace, Error> {
        let header = self.logs.header(branch, seq)?.ok_or(StoreError::Inconsistent)?;
        Ok(BodyPlace::once_more(header.place))
    }

    /// Opens one stored data segment.
    pub(crate) fn open_stored(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
    ) -> Result<Result<OpenedBody, WaitReason>, Error> {
        self.open_stored_within(vault, branch, seq, SEGMENT_PLAIN_MAX)
    }

    /// As [`Tx::open_stored`], unless its plaintext has more than so many bytes.
    pub(crate) fn open_stored_within(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
        bytes_max: usize,
    ) -> Result<Result<OpenedBody, WaitReason>, Error> {
        let state = self.vault(vault)?;
        if !self.core.ahead.is_empty()
            && let Some(info) = state.info(branch)
        {
            let chain = self.logs.chain(branch, seq)?.ok_or(StoreError::Inconsistent)?;
            if let Some(body) = self.opened_ahead(&state.id, &info.id, seq, &chain) {
                let fits = body.data.len() <= bytes_max;
                return Ok(if fits { Ok(body) } else { Err(WaitReason::TooLarge) });
            }
        }
        look_at_row();
        let (segment, _) = self.logs.segment(branch, seq)?.ok_or(StoreError::Inconsistent)?.into_parts();
        if segment.header().kind != Kind::DATA {
            return Ok(Err(WaitReason::UnknownKind));
        }
        let Some(key) = state.keyring.data_key(segment.header().epoch) else {
            return Ok(Err(WaitReason::StaysShut));
        };
        Ok(open_within(&state.id, &segment, key, bytes_max).map_err(|error| match error {
            OpenError::OtherKey => WaitReason::StaysShut,
            OpenError::OverLimit => WaitReason::TooLarge,
            _ => WaitReason::Undecodable,
        }))
    }
}
