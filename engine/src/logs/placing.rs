//! The futures of a log: where a segment belongs, and what is inside of carried ones.
//!
//! A log has several futures when its store was copied, restored or rolled back, or when its author cheats. All of them are
//! kept and merged (`docs/FORMAT.md`, "Branches").

use subrosa_model::carried::Carried;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_model::seal::OpenError;
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_protocol::limits::{
    BRANCHES_OF_EACH_AUTHOR, BRANCHES_PER_AUTHOR_MAX, BRANCHES_PER_LOG_MAX, BRANCHES_PER_VAULT_MAX,
    CARRY_AFTER_MS,
};
use subrosa_protocol::segment::{Class, Header, Kind, VerifiedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, BranchRow, CarriedIn, CheckedSegment, LooseRow};

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::memory::branches::{SHUT, shut_under};
use crate::memory::cost::{look_at_log, look_at_row};

/// Where a segment belongs that is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchPlace {
    /// It is the next one of a branch.
    Behind(BranchNo),
    /// It leaves a branch before its tip, or begins the log once more.
    Leaves(Option<BranchNo>),
    /// What it follows is not here.
    Unknown,
}

/// What came of a carried segment.
enum Inside {
    Segment(Box<VerifiedSegment>),
    /// There is no key for it yet.
    Shut,
    /// It is nothing that anybody could read.
    Nothing,
}

/// How many branches are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchLimits {
    pub(crate) of_log: usize,
    pub(crate) of_author: usize,
    pub(crate) of_vault: usize,
    /// Of each author, whatever the others have.
    pub(crate) of_each_author: usize,
}

/// The limits; tests may have smaller ones.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests look for theirs"))]
fn branch_limits() -> BranchLimits {
    #[cfg(test)]
    if let Some(limits) = testing::LIMITS.get() {
        return limits;
    }
    BranchLimits {
        of_log: BRANCHES_PER_LOG_MAX,
        of_author: BRANCHES_PER_AUTHOR_MAX,
        of_vault: BRANCHES_PER_VAULT_MAX,
        of_each_author: BRANCHES_OF_EACH_AUTHOR,
    }
}

impl Tx<'_> {
    /// The branch of a log of which a segment is held itself.
    pub(crate) fn find_held(
        &self,
        vault: VaultNo,
        log: LogNo,
        seq: Seq,
        is_it: impl Fn(&Chain) -> bool,
    ) -> Result<Option<(BranchNo, Chain)>, Error> {
        for branch in self.vault(vault)?.branches.of(log) {
            look_at_row();
            let Some(head) = self.logs.head(branch)? else { continue };
            if head.base.seq <= seq
                && seq <= head.seq
                && let Some(chain) = self.logs.chain(branch, seq)?
                && is_it(&chain)
            {
                return Ok(Some((branch, chain)));
            }
        }
        Ok(None)
    }

    /// Where a segment belongs that is not held.
    pub(crate) fn find_place(
        &self,
        vault: VaultNo,
        log: LogNo,
        header: &Header,
    ) -> Result<BranchPlace, Error> {
        let (next, prev) = self.next_place(vault, log, header)?;
        if (header.seq, header.prev) == (next, prev) {
            return Ok(BranchPlace::Behind(log.into()));
        }
        let Some(first) = self.logs.head(log.into())? else { return Ok(BranchPlace::Unknown) };
        if (header.seq, header.prev) == (first.base.seq, first.base.chain) {
            return Ok(BranchPlace::Leaves(None));
        }
        let Some(before) = header.seq.0.checked_sub(1).map(Seq) else { return Ok(BranchPlace::Unknown) };
        let Some((branch, _)) = self.find_held(vault, log, before, |chain| *chain == header.prev)? else {
            return Ok(BranchPlace::Unknown);
        };
        let is_tip = self.logs.head(branch)?.is_some_and(|head| head.seq == before);
        Ok(if is_tip { BranchPlace::Behind(branch) } else { BranchPlace::Leaves(Some(branch)) })
    }

    /// Whether one more branch of a log is kept. Who cheats uses up his own share: the first futures of anybody else are kept whatever
    /// he does.
    fn has_room_for_branch(&self, vault: VaultNo, log: LogNo) -> Result<bool, Error> {
        let (limits, state) = (branch_limits(), self.vault(vault)?);
        let (of_vault, of_log) = state.branches.counts(log);
        if of_log >= limits.of_log {
            return Ok(false);
        }
        // As long as there are few, nobody has too many.
        if of_vault < limits.of_author.min(limits.of_vault) {
            return Ok(true);
        }
        let author_of = |log: LogNo| {
            let id = state.logs.get(&log)?.id;
            state.members.certified(&id).map(|certified| certified.device)
        };
        let author = author_of(log);
        let logs = state.branches.forked().filter(|log| author_of(*log) == author);
        let of_author: usize = logs.map(|log| state.branches.counts(log).1).sum();
        Ok(of_author < limits.of_author && (of_vault < limits.of_vault || of_author < limits.of_each_author))
    }

    /// Begins a branch; `None` where a log, its author or the vault has as many as it may have.
    pub(crate) fn begin_branch(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        leaves: Option<BranchNo>,
    ) -> Result<Option<BranchNo>, Error> {
        let id = self.vault(vault)?.logs.get(&log).ok_or(StoreError::Inconsistent)?.id;
        if faults::ONE_FUTURE || !self.has_room_for_branch(vault, log)? {
            tracing::warn!(log = %id, "a log has more futures than are kept");
            return Ok(None);
        }
        // What waits does not know of it: a delete among it must not seem to.
        if !faults::BATCHES_SPAN_FORKS {
            self.close_batch(vault)?;
        }
        let random = u64::from_be_bytes(self.core.options.entropy.array());
        let delay = CARRY_AFTER_MS + random % CARRY_AFTER_MS;
        let row = BranchRow { log, leaves, carry_at_ms: self.now_ms.saturating_add(delay) };
        let branch = self.logs.begin_branch(&row)?;
        let branches = &mut self.vault_mut(vault)?.branches;
        branches.add(branch, row);
        branches.has_news = true;
        self.vault_mut(vault)?.risks.has_news = true;
        tracing::warn!(log = %id, "a log has another future");
        Ok(Some(branch))
    }

    /// Stores the next segment of a branch of a data log, to be merged.
    pub(crate) fn store_data(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        checked: &CheckedSegment,
    ) -> Result<(), Error> {
        let header = checked.segment().header();
        let merged = self.merged_of(branch, header)?;
        self.logs.store_segment(branch, checked, merged)?;
        let state = self.vault_mut(vault)?;
        state.unmerged.insert(branch);
        let named = (header.seq, *checked.chain());
        if state.members.prefix_caps(&header.log).cap(&named).is_some() {
            state.caps_due.groups.entry(header.log).or_default().insert(named);
        }
        if state.log_of(branch).is_ok_and(|log| state.branches.is_forked(log)) {
            state.branches.change();
        }
        self.look_for_loose(vault, &header.log, Some(checked.chain()))
    }

    /// Up to where a branch is merged that goes on with a segment: of one that begins with it, as far as the one that it
    /// leaves, and not into a group that goes on in it.
    pub(crate) fn merged_of(&self, branch: BranchNo, next: &Header) -> Result<Seq, Error> {
        if let Some(head) = self.logs.head(branch)? {
            return Ok(head.merged);
        }
        let Some(leaves) = self.logs.branch(branch)?.and_then(|row| row.leaves) else { return Ok(next.seq) };
        let before = self.logs.head(leaves)?.ok_or(StoreError::Inconsistent)?;
        if before.merged < next.seq || next.place.is_first() {
            return Ok(next.seq.min(before.merged));
        }
        let mut merged = next.seq;
        while let Some(last) = merged.0.checked_sub(1).map(Seq) {
            look_at_row();
            if self.logs.header(leaves, last)?.is_none_or(|header| header.place.is_last()) {
                break;
            }
            merged = last;
        }
        Ok(merged)
    }

    /// What is carried and follows a segment, or is of a log that was certified, has its place now.
    pub(crate) fn look_for_loose(
        &mut self,
        vault: VaultNo,
        log: &LogId,
        prev: Option<&Chain>,
    ) -> Result<(), Error> {
        if !self.vault(vault)?.branches.loose.contains(log) || faults::LOOSE_FORGOTTEN {
            return Ok(());
        }
        let found = self.logs.take_loose(vault, log, prev)?;
        let branches = &mut self.vault_mut(vault)?.branches;
        if prev.is_none() {
            branches.loose.remove(log);
        }
        branches.to_place.extend(found.into_iter().map(|CarriedIn { branch, seq }| (branch, seq)));
        Ok(())
    }

    /// Gives what is inside of carried segments its place; whether something is to be merged for it.
    pub(crate) fn place_carried(&mut self, vault: VaultNo) -> Result<bool, Error> {
        let mut is_stored = false;
        if std::mem::take(&mut self.vault_mut(vault)?.branches.has_new_keys) {
            self.look_for_loose(vault, &SHUT, None)?;
        }
        while let Some((branch, seq)) = self.vault_mut(vault)?.branches.to_place.pop() {
            look_at_log();
            let outer = CarriedIn { branch, seq };
            match self.look_inside(vault, outer)? {
                Inside::Segment(inside) => is_stored |= self.give_place(vault, &inside, outer)?,
                Inside::Shut => {
                    let keys = self.vault(vault)?.epoch_keys();
                    self.let_loose(vault, (SHUT, shut_under(keys)), outer)?;
                }
                Inside::Nothing => tracing::warn!("what a member carries is no segment"),
            }
        }
        Ok(is_stored)
    }

    fn look_inside(&self, vault: VaultNo, outer: CarriedIn) -> Result<Inside, Error> {
        let state = self.vault(vault)?;
        let found = self.logs.segment(outer.branch, outer.seq)?.ok_or(StoreError::Inconsistent)?;
        let (segment, _) = found.into_parts();
        if segment.header().kind != Kind::CARRIED {
            return Ok(Inside::Nothing);
        }
        let Some(key) = state.keyring.data_key(segment.header().epoch) else { return Ok(Inside::Shut) };
        let opened = match subrosa_model::seal::open(&state.id, &segment, key) {
            Ok(opened) => opened,
            Err(OpenError::OtherKey) => return Ok(Inside::Shut),
            Err(_) => return Ok(Inside::Nothing),
        };
        let inside = Carried::decode(&opened.data).ok().and_then(|carried| carried.check(&state.id).ok());
        Ok(inside.map_or(Inside::Nothing, |inside| Inside::Segment(Box::new(inside))))
    }

    /// Stores what was carried where it belongs, or keeps where it is until it belongs somewhere; whether it was stored.
    fn give_place(
        &mut self,
        vault: VaultNo,
        inside: &VerifiedSegment,
        outer: CarriedIn,
    ) -> Result<bool, Error> {
        let header = *inside.segment().header();
        let Some(log) = self.state.logs.number(vault, &header.log) else {
            self.let_loose(vault, (header.log, header.prev), outer)?;
            return Ok(false);
        };
        if self.vault(vault)?.logs.get(&log).is_none_or(|info| info.class != Class::Data) {
            return Ok(false);
        }
        if let Some((held, _)) = self.find_held(vault, log, header.seq, |chain| chain == inside.chain())? {
            self.note_carried(held, header.seq, outer)?;
            return Ok(false);
        }
        if self.vault(vault)?.is_live(log) {
            // Another copy of this store made it: new logs first.
            self.vault_mut(vault)?.own_log_shown = true;
            self.let_loose(vault, (header.log, header.prev), outer)?;
            return Ok(false);
        }
        let branch = match self.find_place(vault, log, &header)? {
            BranchPlace::Behind(branch) if self.logs.head(branch)?.is_some_and(|head| head.closed) => None,
            BranchPlace::Behind(branch) => Some(branch),
            BranchPlace::Leaves(before) => self.begin_branch(vault, log, before)?,
            BranchPlace::Unknown => {
                self.let_loose(vault, (header.log, header.prev), outer)?;
                None
            }
        };
        let Some(branch) = branch else { return Ok(false) };
        self.store_data(vault, branch, &inside.clone().into())?;
        self.note_carried(branch, header.seq, outer)?;
        Ok(true)
    }

    fn note_carried(&mut self, branch: BranchNo, seq: Seq, outer: CarriedIn) -> Result<(), Error> {
        if self.logs.carried_in(branch, seq)?.is_none() {
            self.logs.put_carried(branch, seq, outer)?;
        }
        Ok(())
    }

    fn let_loose(
        &mut self,
        vault: VaultNo,
        (log, prev): (LogId, Chain),
        outer: CarriedIn,
    ) -> Result<(), Error> {
        self.logs.put_loose(vault, &LooseRow { log, prev, outer })?;
        self.vault_mut(vault)?.branches.loose.insert(log);
        Ok(())
    }
}

/// Smaller limits for the thread of a test.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::BranchLimits;

    thread_local! {
        pub(crate) static LIMITS: Cell<Option<BranchLimits>> = const { Cell::new(None) };
    }
}
