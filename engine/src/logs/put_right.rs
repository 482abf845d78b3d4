//! After a clock that ran ahead was put right (`docs/FORMAT.md`, "Caps").
//!
//! Nothing is stamped anew: what is pending is sealed as it is, as the end of the old log, and the certificate of the new logs
//! says what the old one's stamps count as at most; and so of what the device has merged of others that is still to come, by the clock
//! as it is now. All of that was written by now, so it counts as no later; and among itself in the order in which it is shown.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use subrosa_model::control::{BirthError, CertifiedCaps, PrefixCap};
use subrosa_model::merge::hlc::held_until_ms;
use subrosa_model::merge::{HybridClock, Stamp, VaultNo};
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::{CAPS_PER_CERTIFICATE_MAX, CLOCK_AHEAD_MAX_MS, INCARNATIONS_MAX};
use subrosa_protocol::segment::Class;
use subrosa_store::error::StoreError;
use subrosa_store::logs::BranchNo;

use crate::error::{Error, LifeError};
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::logs::rotate::NewLogs;
use crate::memory::cost::look_at_row;
use crate::memory::state::VaultState;

/// The last group of a level of a branch.
struct Ahead {
    /// How many caps that are ahead it is later than.
    level: usize,
    branch: BranchNo,
    /// Its first segment.
    seq: Seq,
}

/// New logs for a vault in which a clock is put right.
struct Successors {
    vault: VaultNo,
    logs: NewLogs,
    /// What the stamps of the log before count as at most.
    cap: Stamp,
}

impl Core {
    /// Compares clocks with a relay about to be served (docs/ARCHITECTURE.md, "Clock"): if our own maximum is more than five
    /// minutes ahead of the wall *and* of the relay, our clock ran ahead, and was put right.
    pub(crate) fn relay_now(&self, relay_now_ms: u64) -> Result<(), Error> {
        self.note_relay_clock(relay_now_ms);
        let now_ms = self.now_ms().max(relay_now_ms);
        if !self.lock_state()?.clock.is_ahead(now_ms) {
            return Ok(());
        }
        let vaults: Vec<_> = self.lock_state()?.vaults.keys().copied().collect();
        let mut new = Vec::new();
        for vault in &vaults {
            new.extend(self.successors(*vault, now_ms)?);
        }
        self.write(|tx| {
            if tx.state.vaults.len() != vaults.len() {
                // A vault has come meanwhile; the next link is told the time again.
                return Err(LifeError::Busy.into());
            }
            tx.put_clock_right(now_ms, new)
        })?;
        tracing::info!("this device's clock ran ahead, and was put right");
        self.merge_large(None)?;
        self.go_round(None).map(drop)
    }

    /// Puts right what was not when the clock was: a vault in which this device could not seal, now that it can; and what this device
    /// wrote ahead into a log that another copy of its store has, which knew nothing of it. Nothing for other vaults, and
    /// for one in which this device has had all its logs.
    pub(crate) fn put_right_late(&self, vault: VaultNo) -> Result<(), Error> {
        let now_ms = self.now_ms();
        let now_ms = now_ms.max(now_ms.saturating_add_signed(-self.clock_ahead_ms.load(Ordering::Relaxed)));
        let (own_clock, is_own_held) = {
            let state = self.lock_state()?;
            // A cap that was set may not count yet.
            let records_pass = state.passing.contains_key(&vault);
            let Some(state) = state.vaults.get(&vault) else { return Ok(()) };
            let own_clock = state.own_clock.filter(|_| state.keyring.may_have_more_logs());
            (own_clock, !records_pass && self.is_own_held(state, now_ms))
        };
        if own_clock.is_none() && !is_own_held {
            return Ok(());
        }
        if !self.may_seal_in(vault)? || (faults::NEVER_PUT_RIGHT_LATE && own_clock.is_some()) {
            return Ok(());
        }
        if let Some(latest) = own_clock.filter(|latest| held_until_ms(*latest, now_ms).is_none()) {
            // Its time has come, or the clock is wrong once more.
            return self.write(|tx| {
                tx.state.clock = HybridClock::new(tx.state.clock.max().max(latest));
                tx.put_own_clock(vault, None)
            });
        }
        let Some(new) = self.successors(vault, now_ms)? else { return Ok(()) };
        self.write(|tx| tx.put_vault_right(new))?;
        tracing::info!("a vault is put right, as this device's clock was before");
        self.merge_large(None)?;
        self.go_round(None).map(drop)
    }

    /// Whether something is held for the clock that this device wrote itself, and lost: an older copy of its store was put back. The
    /// last half of its logs is not used up for that, as there may be a copy that goes on with a wrong clock.
    fn is_own_held(&self, vault: &VaultState, now_ms: u64) -> bool {
        let me = self.public();
        let is_own = |branch: BranchNo| {
            let Some(info) = vault.info(branch).filter(|info| info.class == Class::Data) else {
                return false;
            };
            vault.members.certified(&info.id).is_some_and(|certified| certified.device == me)
        };
        !faults::OWN_STAYS_HELD
            && vault.keyring.logs.incarnation < INCARNATIONS_MAX / 2
            && vault.held.iter().any(|(branch, until)| *until > now_ms && is_own(*branch))
    }

    /// Keeps by how much the wall clock is ahead of a relay's.
    pub(crate) fn note_relay_clock(&self, relay_now_ms: u64) {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ahead = ms(self.now_ms()).saturating_sub(ms(relay_now_ms));
        self.clock_ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// By how much the wall clock is ahead of that of the relay that was heard last, if it is more than five minutes either way.
    pub(crate) fn clock_ahead_ms(&self) -> Option<i64> {
        let ahead = self.clock_ahead_ms.load(Ordering::Relaxed);
        (ahead.unsigned_abs() > CLOCK_AHEAD_MAX_MS).then_some(ahead)
    }

    /// Until when the first of the groups held for the clock is held.
    pub(crate) fn held_until(&self) -> Option<u64> {
        let until = self.first_held_ms.load(Ordering::Relaxed);
        (until != u64::MAX).then_some(until)
    }

    /// New logs for a vault, whose certificate caps the earlier ones that are ahead. None where this device may not seal, or has
    /// had all its logs.
    fn successors(&self, vault: VaultNo, now_ms: u64) -> Result<Option<Successors>, Error> {
        if !self.may_seal_in(vault)? {
            return Ok(None);
        }
        // What waits may be more than one transaction should write.
        while self.write(|tx| tx.seal_batches(vault))? {}
        let (cap, caps) = self.write_with(Durable::Later, |tx| tx.caps_of_what_is_ahead(vault, now_ms))?;
        match self.new_logs_with_caps(vault, &caps) {
            Err(Error::Birth(BirthError::LogsUsedUp)) => {
                tracing::warn!(
                    "this device has had all its logs in a vault: others get what it writes there when its time comes"
                );
                Ok(None)
            }
            logs => Ok(Some(Successors { vault, logs: logs?, cap })),
        }
    }

    /// Whether this device may seal in a vault at all.
    fn may_seal_in(&self, vault: VaultNo) -> Result<bool, Error> {
        let state = self.lock_state()?;
        let may = |vault: &VaultState| vault.may_speak() && vault.keyring.live_epoch().key.is_some();
        Ok(state.vaults.get(&vault).is_some_and(may))
    }
}

impl Tx<'_> {
    /// The caps to certify when a clock is put right: on all that is merged and more than five minutes ahead, so that none of it counts
    /// as later than now, and in its order. First the greatest of them.
    ///
    /// That is later than all else that is merged, for of what is capped something may have been written over that. Of what is capped
    /// the stamps tell the order, but where earlier caps do that are ahead themselves, of a relay whose clock was wrong: what
    /// counts as no later than the lowest of those gets the lowest of the new caps, and so on.
    ///
    /// Logs of this device are capped whole: the one that is written, and earlier ones of which something is ahead or held. Of others', and
    /// where a log has several caps, it is what is merged up to a group.
    fn caps_of_what_is_ahead(&self, vault: VaultNo, now_ms: u64) -> Result<(Stamp, CertifiedCaps), Error> {
        let (me, state) = (self.core.public(), self.vault(vault)?);
        let bounds = self.caps_ahead(vault, now_ms);
        let data = state.logs.iter().filter(|(_, info)| info.class == Class::Data);
        let (mut latest, mut logs) = (Stamp::default(), Vec::new());
        for (log, info) in data {
            let mut ahead = Vec::new();
            for branch in state.branches.of(*log) {
                latest = latest.max(self.look_for_ahead(vault, branch, (now_ms, &bounds), &mut ahead)?);
            }
            let is_held = state.branches.of(*log).any(|branch| state.held.contains_key(&branch));
            logs.push((*log, info.id, ahead, is_held));
        }
        let behind = Stamp(latest.0.saturating_add(1 + bounds.len() as u64));
        let now = Stamp::from_ms(now_ms);
        let greatest = if faults::CAPS_AT_NOW { now } else { now.max(behind) };
        let cap_of = |level: usize| Stamp(greatest.0.saturating_sub((bounds.len() - level) as u64));
        let mut caps = CertifiedCaps::default();
        for (log, id, ahead, is_held) in logs {
            let is_mine = state.members.certified(&id).is_some_and(|certified| certified.device == me);
            let whole = if log == state.own.data || (is_mine && is_held) {
                Some(bounds.len())
            } else {
                ahead.iter().map(|prefix| prefix.level).max().filter(|_| is_mine)
            };
            if let Some(level) = whole.filter(|_| log == state.own.data || !faults::EARLIER_NOT_CAPPED) {
                caps.own.insert(id, cap_of(level));
            }
            if faults::PREFIXES_NOT_CAPPED {
                continue;
            }
            for Ahead { level, branch, seq } in ahead.into_iter().filter(|one| whole != Some(one.level)) {
                let chain = self.logs.chain(branch, seq)?.ok_or(StoreError::Inconsistent)?;
                caps.prefixes.insert((id, PrefixCap { seq, chain, cap: cap_of(level) }));
            }
        }
        if caps.prefixes.len().max(caps.own.len()) > CAPS_PER_CERTIFICATE_MAX {
            tracing::warn!("more logs are ahead than one certificate caps: of some it caps nothing");
        }
        Ok((greatest, caps))
    }

    /// The caps of logs of a vault that are ahead themselves, ascending.
    fn caps_ahead(&self, vault: VaultNo, now_ms: u64) -> Vec<Stamp> {
        let caps =
            self.state.logs.caps().iter().filter(|(log, _)| self.state.logs.vault(**log) == Some(vault));
        let steps = caps.flat_map(|(_, caps)| caps.now.steps());
        let ahead = steps.map(|step| step.cap).filter(|cap| held_until_ms(*cap, now_ms).is_some());
        let ahead: BTreeSet<_> = ahead.filter(|_| !faults::CAPS_ALIKE).collect();
        ahead.into_iter().collect()
    }

    /// Looks through the merged groups of a branch, the last one first, for those that are ahead, and notes the last one of each level: of
    /// those that count as no later than the same of these caps, and as later than the one before. What the latest stamp of the rest counts as.
    fn look_for_ahead(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        (now_ms, bounds): (u64, &[Stamp]),
        ahead: &mut Vec<Ahead>,
    ) -> Result<Stamp, Error> {
        let (log, mut level) = (self.vault(vault)?.log_of(branch)?, usize::MAX);
        let range = self.begins(branch)?.0..self.end_of_ops(branch)?.0;
        for seq in range.rev().map(Seq) {
            let Some(latest) = self.latest_of_group(vault, branch, seq)? else { continue };
            let counts_as = self.state.logs.capped(log, latest);
            if held_until_ms(counts_as, now_ms).is_none() {
                return Ok(counts_as);
            }
            let of_group = bounds.partition_point(|bound| *bound < counts_as);
            if of_group < level {
                level = of_group;
                ahead.push(Ahead { level, branch, seq });
            }
        }
        Ok(Stamp::default())
    }

    /// Where the first group begins that ends in a branch: with its first segment, or in the branch that it leaves.
    fn begins(&self, branch: BranchNo) -> Result<Seq, Error> {
        let Some(tip) = self.logs.head(branch)? else { return Ok(Seq(0)) };
        let mut first = tip.base.seq;
        while !branch.is_first()
            && first > Seq(0)
            && self.logs.header(branch, first)?.is_some_and(|header| !header.place.is_first())
        {
            look_at_row();
            first = Seq(first.0 - 1);
        }
        Ok(first)
    }

    /// Opens new logs in all these vaults. The clock of each other one goes by itself from here on.
    fn put_clock_right(&mut self, now_ms: u64, new: Vec<Successors>) -> Result<(), Error> {
        let ahead = self.state.clock.max();
        let mut left: BTreeSet<_> = self.state.vaults.keys().copied().collect();
        let caps = new.iter().map(|new| new.cap);
        // What is merged from here on moves it.
        self.state.clock = HybridClock::new(caps.max().unwrap_or_default().max(Stamp::from_ms(now_ms)));
        for Successors { vault, logs, .. } in new {
            self.rotate_logs(vault, logs)?;
            self.put_own_clock(vault, None)?;
            left.remove(&vault);
        }
        for vault in left {
            let latest = self.vault(vault)?.own_clock.unwrap_or_default().max(ahead);
            self.put_own_clock(vault, Some(latest))?;
        }
        self.core.note_held(self.state);
        Ok(())
    }

    /// The same for one vault, once the clock was put right.
    fn put_vault_right(&mut self, Successors { vault, logs, cap }: Successors) -> Result<(), Error> {
        self.state.clock = HybridClock::new(self.state.clock.max().max(cap));
        self.rotate_logs(vault, logs)?;
        self.put_own_clock(vault, None)?;
        self.core.note_held(self.state);
        Ok(())
    }

    /// Keeps the latest stamp made in a vault whose clock goes by itself; `None`: it goes with the device's.
    pub(crate) fn put_own_clock(&mut self, vault: VaultNo, latest: Option<Stamp>) -> Result<(), Error> {
        if self.vault(vault)?.own_clock == latest {
            return Ok(());
        }
        self.vaults.put_clock_of(vault, latest)?;
        self.vault_mut(vault)?.own_clock = latest;
        Ok(())
    }
}
