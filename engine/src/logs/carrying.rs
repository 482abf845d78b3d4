//! Carrying: what a relay refuses, because another branch of its log stands there, reaches the others inside this device's data
//! log.
//!
//! A device carries what it wrote itself at once, and what another one wrote when that one had a day and does not come
//! (`docs/FORMAT.md`, "Branches"). What is carried once by anybody is not carried again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use subrosa_model::carried::Carried;
use subrosa_model::keys::PublicKey;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_model::seal::Packed;
use subrosa_protocol::ids::{Pin, Seq};
use subrosa_protocol::limits::{CARRY_FOR_AUTHOR_BYTES_MAX, SEGMENT_BYTES_MAX};
use subrosa_protocol::segment::{Class, GroupPlace, Kind, VerifiedSegment, data_within};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, CarriedIn};

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::logs::sealing::{SEAL_BYTES_MAX, Sealed};
use crate::memory::cost::{look_at_log, look_at_row};

impl Core {
    /// Seals what is to be carried because a relay, with whose heads ours were compared, does not take it; as far as one
    /// transaction goes.
    pub(crate) fn carry(&self, vault: VaultNo, relay: &Pin) -> Result<Sealed, Error> {
        let may_carry = {
            let state = self.lock_state()?;
            state.vaults.get(&vault).ok_or(Error::NoVault)?.may_carry_for(relay, self.now_ms())
        };
        if !may_carry || faults::NOT_CARRIED {
            return Ok(Sealed::default());
        }
        self.write(|tx| tx.carry(vault, relay))
    }
}

impl Tx<'_> {
    fn carry(&mut self, vault: VaultNo, relay: &Pin) -> Result<Sealed, Error> {
        let forked: Vec<_> = self.vault(vault)?.branches.forked().collect();
        let (mut room, mut sealed) = (SEAL_BYTES_MAX, Sealed::default());
        let mut is_settled = true;
        for log in forked {
            look_at_log();
            let Some(author) = self.may_carry(vault, log)? else { continue };
            for (branch, from) in self.refused(vault, log, relay)? {
                let to = self.logs.head(branch)?.ok_or(StoreError::Inconsistent)?.seq;
                if self.vault(vault)?.info(branch).is_some_and(|info| info.class == Class::Control) {
                    if faults::ENTRIES_NOT_REPEATED {
                        continue;
                    }
                    is_settled &= self.repeat_branch(vault, branch, from..=to)?;
                    continue;
                }
                let mut next = self.vault(vault)?.branches.carry_from(branch, from);
                while next <= to {
                    if room == 0 {
                        self.vault_mut(vault)?.branches.carried(branch, from, next);
                        return Ok(Sealed { more: true, ..sealed });
                    }
                    let bytes = self.carry_one(vault, (branch, next), &author)?;
                    sealed.segments += u64::from(bytes > 0);
                    room = room.saturating_sub(bytes);
                    next = next.next();
                }
                self.vault_mut(vault)?.branches.carried(branch, from, next);
            }
        }
        if is_settled {
            let now_ms = self.now_ms;
            let state = self.vault_mut(vault)?;
            state.branches.settle(*relay, state.member_changes, now_ms);
        }
        Ok(sealed)
    }

    /// The author of a log whose branches this device may carry now: it is itself, or one that is listed and had its time.
    fn may_carry(&self, vault: VaultNo, log: LogNo) -> Result<Option<PublicKey>, Error> {
        let state = self.vault(vault)?;
        let info = state.logs.get(&log).ok_or(StoreError::Inconsistent)?;
        let Some(certificate) = state.members.certified(&info.id) else { return Ok(None) };
        if state.is_live(log) {
            return Ok(None);
        }
        let rows = state.branches.of(log).filter_map(|branch| state.branches.row(branch));
        let at_ms = rows.map(|row| row.carry_at_ms).min().unwrap_or(u64::MAX);
        let is_due = certificate.device == self.core.public()
            || (at_ms <= self.now_ms
                && state.members.device(&certificate.device).is_some()
                && !faults::NOT_CARRIED_FOR_OTHERS);
        Ok(is_due.then_some(certificate.device))
    }

    /// Of the branches of a log, those of which a relay takes nothing from a segment on, because it has another one.
    pub(crate) fn refused(
        &self,
        vault: VaultNo,
        log: LogNo,
        relay: &Pin,
    ) -> Result<Vec<(BranchNo, Seq)>, Error> {
        let Some(head) = self.relays.head(relay, log)? else { return Ok(Vec::new()) };
        let found = self.find_held(vault, log, head.seq, |chain| *chain == head.chain)?;
        let Some((theirs, _)) = found else { return Ok(Vec::new()) };
        // The branches on the way to the relay's head, and from where on each is left by the next.
        let (mut way, mut at, mut left) = (BTreeMap::new(), theirs, Seq(u64::MAX));
        loop {
            look_at_row();
            way.insert(at, left);
            left = self.logs.head(at)?.ok_or(StoreError::Inconsistent)?.base.seq;
            let Some(before) = self.logs.branch(at)?.and_then(|row| row.leaves) else { break };
            at = before;
        }
        let (mut refused, mut known) = (Vec::new(), BTreeMap::new());
        for branch in self.vault(vault)?.branches.of(log) {
            let Some(tip) = self.logs.head(branch)? else { continue };
            let from = match way.get(&branch) {
                Some(left) => *left,
                None if self.joins_later(branch, (&way, head.seq), &mut known)? => continue,
                None => tip.base.seq,
            };
            if from <= tip.seq {
                refused.push((branch, from));
            }
        }
        Ok(refused)
    }

    /// Whether a branch, or one before it, leaves the way to a relay's tip where the relay has not come yet. Of branches that leave each
    /// other each is looked at once.
    fn joins_later(
        &self,
        branch: BranchNo,
        (way, theirs): (&BTreeMap<BranchNo, Seq>, Seq),
        known: &mut BTreeMap<BranchNo, bool>,
    ) -> Result<bool, Error> {
        let (mut at, mut looked_at) = (branch, Vec::new());
        let joins = loop {
            if let Some(joins) = known.get(&at) {
                break *joins;
            }
            look_at_row();
            looked_at.push(at);
            let base = self.logs.head(at)?.ok_or(StoreError::Inconsistent)?.base.seq;
            let Some(before) = self.logs.branch(at)?.and_then(|row| row.leaves) else { break false };
            if let Some(left) = way.get(&before) {
                break base <= *left && theirs < base;
            }
            at = before;
        };
        known.extend(looked_at.into_iter().map(|branch| (branch, joins)));
        Ok(joins)
    }

    /// Control segments are not carried: their entries are repeated in the control log that this device writes now. Whether there
    /// was room for all of them among those that wait.
    fn repeat_branch(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        range: RangeInclusive<Seq>,
    ) -> Result<bool, Error> {
        let (from, to) = (*range.start(), *range.end());
        let mut next = self.vault(vault)?.branches.carry_from(branch, from);
        while next <= to {
            look_at_row();
            let (segment, _) = self.logs.segment(branch, next)?.ok_or(StoreError::Inconsistent)?.into_parts();
            if self.repeat_segments(vault, [&segment])? > 0 {
                break; // there is room for more when these are sealed
            }
            next = next.next();
        }
        self.vault_mut(vault)?.branches.carried(branch, from, next);
        Ok(next > to)
    }

    /// Carries one segment, unless somebody does; how many bytes that took.
    fn carry_one(
        &mut self,
        vault: VaultNo,
        (branch, seq): (BranchNo, Seq),
        author: &PublicKey,
    ) -> Result<u64, Error> {
        look_at_row();
        if self.logs.carried_in(branch, seq)?.is_some() {
            return Ok(0);
        }
        let (segment, _) = self.logs.segment(branch, seq)?.ok_or(StoreError::Inconsistent)?.into_parts();
        if segment.header().kind.closes() {
            return Ok(0);
        }
        let state = self.vault(vault)?;
        let public = state.info(branch).ok_or(StoreError::Inconsistent)?.public;
        let verified =
            VerifiedSegment::check(&state.id, public, segment).map_err(|_| StoreError::Inconsistent)?;
        let carried = Carried::of(&verified).ok_or(StoreError::Inconsistent)?.encode();
        let bytes = carried.len();
        if bytes > data_within(SEGMENT_BYTES_MAX) {
            tracing::warn!(seq = seq.0, "a segment was carried too often to be carried once more");
            return Ok(0);
        }
        if *author != self.core.public() {
            let carried_for = self.vault_mut(vault)?.branches.carried_for.entry(*author).or_default();
            if *carried_for + bytes > CARRY_FOR_AUTHOR_BYTES_MAX {
                return Ok(0);
            }
            *carried_for += bytes;
        }
        let own = self.vault(vault)?.own.data;
        let outer = CarriedIn { branch: own.into(), seq: self.own_next(vault)? };
        self.seal_next(vault, own, Kind::CARRIED, GroupPlace::Whole, &Packed::of(&carried))?;
        self.logs.put_carried(branch, seq, outer)?;
        Ok(bytes as u64)
    }
}
