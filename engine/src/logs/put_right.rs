//! After a clock that ran ahead was put right (`docs/FORMAT.md`, "Caps").
//!
//! Nothing is stamped anew: what is pending is sealed as it is, as the end of the old log, and the certificate of the new logs
//! says what the old one's stamps count as at most; and so of what the device has merged of others that is still to come, by the clock
//! as it is now. All of that was written by now, so it counts as no later; and among itself in the order in which it is shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use subrosa_model::control::{BirthError, CertifiedCaps, PrefixCap};
use subrosa_model::keys::PublicKey;
use subrosa_model::merge::hlc::held_until_ms;
use subrosa_model::merge::{CapStep, HybridClock, LogNo, Stamp, VaultNo};
use subrosa_protocol::ids::{Head, LogId, Seq};
use subrosa_protocol::limits::{
    CAP_BRANCHES_MAX, CAP_LEVELS_MAX, CAPS_PER_CERTIFICATE_MAX, CLOCK_AHEAD_MAX_MS, INCARNATIONS_MAX,
    OWN_CAP_MARGIN_MS,
};
use subrosa_protocol::segment::Class;
use subrosa_store::error::StoreError;
use subrosa_store::logs::BranchNo;

use crate::error::{Error, LifeError};
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::logs::rotate::NewLogs;
use crate::memory::state::VaultState;

/// How often caps are put together while others merge and write; and each time, how much may be written until they count. None at first,
/// for what another copy of this store has written in that time would be capped, too.
const MARGINS_MS: [u64; 4] = [0, 0, OWN_CAP_MARGIN_MS, OWN_CAP_MARGIN_MS];

/// What is looked for in the groups of a vault, and what was found.
struct Search {
    vault: VaultNo,
    now_ms: u64,
    /// Caps that are ahead, ascending.
    bounds: Vec<Stamp>,
    /// What all that is here of a log counts as no later than, where that is not known otherwise.
    covers: BTreeMap<LogNo, Stamp>,
    found: Found,
}

#[derive(Default)]
struct Found {
    /// What the latest stamp counts as of what is not ahead.
    latest: Stamp,
    ahead: BTreeMap<(LogNo, usize), Vec<Ahead>>,
    /// The last head of each log that was seen by the author of something of a level, and is not merged here.
    missing: BTreeMap<(LogId, usize), Head>,
}

/// The last group of a level of a branch.
struct Ahead {
    /// How many bounds it is later than.
    level: usize,
    log: LogNo,
    branch: BranchNo,
    /// Its first segment.
    seq: Seq,
    latest: Stamp,
}

/// Caps that are to be certified.
struct ToCertify {
    caps: CertifiedCaps,
    /// The greatest of them.
    greatest: Stamp,
    /// Whether nothing that is ahead is left.
    is_whole: bool,
}

/// New logs for a vault in which a clock is put right.
struct Successors {
    vault: VaultNo,
    logs: NewLogs,
    certified: ToCertify,
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
        for margin_ms in MARGINS_MS {
            match self.try_to_put_right(now_ms, margin_ms) {
                Err(Error::Life(LifeError::Busy)) => {}
                done => return done,
            }
        }
        // The next link is told the time again.
        Err(LifeError::Busy.into())
    }

    /// # Errors
    /// [`LifeError::Busy`] if a vault has come, or something was merged, since it was found out what is ahead.
    fn try_to_put_right(&self, now_ms: u64, margin_ms: u64) -> Result<(), Error> {
        let vaults: Vec<_> = self.lock_state()?.vaults.keys().copied().collect();
        let mut new = Vec::new();
        for vault in &vaults {
            new.extend(self.successors(*vault, now_ms, margin_ms)?);
        }
        let opened: Vec<_> = new.iter().map(|new| new.vault).collect();
        self.write(|tx| {
            if tx.state.vaults.len() != vaults.len() {
                return Err(LifeError::Busy.into());
            }
            tx.put_clock_right(now_ms, new)
        })?;
        self.note_put_right(opened, now_ms);
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
        for margin_ms in MARGINS_MS {
            let Some(new) = self.successors(vault, now_ms, margin_ms)? else { return Ok(()) };
            match self.write(|tx| tx.put_vault_right(now_ms, new)) {
                Err(Error::Life(LifeError::Busy)) => {}
                done => {
                    if done.is_ok() {
                        self.note_put_right([vault], now_ms);
                    }
                    return self.follow_up(done);
                }
            }
        }
        // What comes all the time is to be capped, too: the next time.
        Ok(())
    }

    /// What is due once a vault was put right.
    fn follow_up(&self, done: Result<(), Error>) -> Result<(), Error> {
        done?;
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
    fn successors(&self, vault: VaultNo, now_ms: u64, margin_ms: u64) -> Result<Option<Successors>, Error> {
        if !self.may_put_right(vault, now_ms) {
            tracing::warn!(
                "a clock was put right too often in this opening to be put right in a vault today"
            );
            return Ok(None);
        }
        if !self.may_seal_in(vault)? {
            return Ok(None);
        }
        // What waits may be more than one transaction should write.
        while self.write(|tx| tx.seal_batches(vault))? {}
        // After an opening nobody may have asked for them yet.
        self.write(|tx| tx.take_caps(vault))?;
        // Caps count one after the other, and what these are to keep in order must be in order.
        while self.lock_state()?.passing.contains_key(&vault) {
            self.write(|tx| tx.pass_slice(vault))?;
        }
        let certified =
            self.write_with(Durable::Later, |tx| tx.caps_of_what_is_ahead(vault, now_ms, margin_ms))?;
        match self.new_logs_with_caps(vault, &certified.caps) {
            Err(Error::Birth(BirthError::LogsUsedUp)) => {
                tracing::warn!(
                    "this device has had all its logs in a vault: others get what it writes there when its time comes"
                );
                Ok(None)
            }
            logs => Ok(Some(Successors { vault, logs: logs?, certified })),
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
    /// as later than now, and in its order.
    ///
    /// The greatest is later than all else that is merged, for of what is capped something may have been written over that. Of what is capped
    /// the stamps tell the order, but where earlier caps do that are ahead themselves, of a relay whose clock was wrong: what
    /// counts as no later than the lowest of those gets the lowest of the new caps, and so on.
    ///
    /// The log that is written is capped up to what this device may have written when the certificate counts; all others up to the last group
    /// that is merged, earlier ones of this device up to the last that is here. And so is what is not here, but was seen by whom that is of.
    fn caps_of_what_is_ahead(&self, vault: VaultNo, now_ms: u64, margin_ms: u64) -> Result<ToCertify, Error> {
        let state = self.vault(vault)?;
        let (bounds, covers) = self.caps_ahead(vault, now_ms)?;
        let mut search = Search { vault, now_ms, bounds, covers, found: Found::default() };
        for (log, _) in state.logs.iter().filter(|(_, info)| info.class == Class::Data) {
            for branch in state.branches.of(*log) {
                self.look_for_ahead(branch, &mut search)?;
            }
        }
        let Search { bounds, found: Found { latest, ahead, missing }, .. } = search;
        let behind = Stamp(latest.0.saturating_add(1 + bounds.len() as u64));
        let now = Stamp::from_ms(now_ms);
        let greatest = if faults::CAPS_AT_NOW { now } else { now.max(behind) };
        let cap_of = |level: usize| Stamp(greatest.0.saturating_sub((bounds.len() - level) as u64));
        let mut caps = CertifiedCaps::default();
        let own = state.logs.get(&state.own.data).ok_or(StoreError::Inconsistent)?.id;
        let to = Stamp(self.latest_of_own(vault)?.0.saturating_add(Stamp::from_ms(margin_ms).0));
        caps.own.insert(own, CapStep { cap: greatest, to });
        let mut is_whole = true;
        for Ahead { level, log, branch, seq, .. } in ahead.into_values().flatten() {
            let id = self.state.logs.id(log).ok_or(StoreError::Inconsistent)?;
            if (log == state.own.data && level == bounds.len()) || !self.is_capped_now(vault, log)? {
                continue;
            }
            let chain = self.logs.chain(branch, seq)?.ok_or(StoreError::Inconsistent)?;
            let fits = caps.prefixes.len() < CAPS_PER_CERTIFICATE_MAX;
            is_whole &= fits;
            if fits {
                caps.prefixes.insert((id, PrefixCap { seq, chain, cap: cap_of(level) }));
            }
        }
        let mut seen: Vec<_> = missing
            .into_iter()
            .filter(|_| !faults::PREFIXES_NOT_CAPPED && !faults::SEEN_NOT_CAPPED)
            .collect();
        // A member may name any number of logs that it makes up.
        seen.sort_by_key(|((id, _), _)| self.state.logs.number(vault, id).is_none());
        for ((id, level), Head { seq, chain, .. }) in
            seen.into_iter().take(CAPS_PER_CERTIFICATE_MAX - caps.prefixes.len())
        {
            caps.prefixes.insert((id, PrefixCap { seq, chain, cap: cap_of(level) }));
        }
        Ok(ToCertify { caps, greatest, is_whole })
    }

    /// Whether what is ahead of a log is capped: but for faults, it is.
    fn is_capped_now(&self, vault: VaultNo, log: LogNo) -> Result<bool, Error> {
        Ok(!(faults::PREFIXES_NOT_CAPPED || (faults::EARLIER_NOT_CAPPED && self.is_own(vault, log)?)))
    }

    /// No op of this device in a vault is later.
    fn latest_of_own(&self, vault: VaultNo) -> Result<Stamp, Error> {
        Ok(self.state.clock.max().max(self.vault(vault)?.own_clock.unwrap_or_default()))
    }

    /// The caps of logs of a vault that are ahead themselves, ascending; and of logs of which the end of what a cap is on is not here,
    /// what all that is here counts as no later than.
    fn caps_ahead(&self, vault: VaultNo, now_ms: u64) -> Result<(Vec<Stamp>, BTreeMap<LogNo, Stamp>), Error> {
        let mut covers = BTreeMap::new();
        let state = self.vault(vault)?;
        for (log, info) in &state.logs {
            let named = state.members.prefix_caps(&info.id);
            if named.is_empty() || state.branches.is_forked(*log) {
                continue;
            }
            let Some(tip) = self.logs.head((*log).into())? else { continue };
            let beyond = named.not_before(tip.seq.next()).map(|(_, cap)| *cap);
            covers.extend(beyond.min().map(|cap| (*log, cap)));
        }
        let caps =
            self.state.logs.caps().iter().filter(|(log, _)| self.state.logs.vault(**log) == Some(vault));
        let steps = caps.flat_map(|(log, caps)| caps.now.steps().iter().map(move |step| (*log, step.cap)));
        let ahead = steps.chain(covers.iter().map(|(log, cap)| (*log, *cap)));
        let ahead = ahead.filter(|(_, cap)| held_until_ms(*cap, now_ms).is_some() && !faults::CAPS_ALIKE);
        let mut of_authors: BTreeMap<Option<PublicKey>, BTreeSet<Stamp>> = BTreeMap::new();
        for (log, cap) in ahead {
            let id = self.state.logs.id(log);
            let author = id.and_then(|id| state.members.certified(&id)).map(|certified| certified.device);
            of_authors.entry(author).or_default().insert(cap);
        }
        Ok((bounds_of(of_authors.into_values()), covers))
    }

    /// Looks through the merged groups of a branch, the last one first, for those that are ahead, and notes the last one of each level: of
    /// those that count as no later than the same of the bounds, and as later than the one before.
    fn look_for_ahead(&self, branch: BranchNo, search: &mut Search) -> Result<(), Error> {
        let (vault, log) = (search.vault, self.vault(search.vault)?.log_of(branch)?);
        let Some(tip) = self.logs.head(branch)? else { return Ok(()) };
        // Also what it shares with the branch that it leaves: who wrote it had seen what that says.
        let first = self.logs.head(log.into())?.map_or(tip.base.seq, |head| head.base.seq.min(tip.base.seq));
        let end = if self.is_own(vault, log)? { tip.seq.next() } else { self.end_of_ops(branch)? };
        let mut lowest = usize::MAX;
        for seq in (first.0..end.0).rev().map(Seq) {
            let Some(head) = self.head_of_group(vault, branch, seq)? else { continue };
            let counts_as = self.state.logs.capped(log, head.latest);
            if held_until_ms(counts_as, search.now_ms).is_some() {
                let counts_as = search.covers.get(&log).map_or(counts_as, |cover| counts_as.min(*cover));
                let level = search.bounds.partition_point(|bound| *bound < counts_as);
                if level < lowest {
                    lowest = level;
                    let of_level = search.found.ahead.entry((log, level)).or_default();
                    of_level.push(Ahead { level, log, branch, seq, latest: head.latest });
                    of_level.sort_by_key(|one| Reverse(one.latest));
                    of_level.truncate(CAP_BRANCHES_MAX);
                }
            } else {
                search.found.latest = search.found.latest.max(counts_as);
                // What is capped already may have seen something that is ahead, and a log says but once what its author has seen.
                let is_capped = held_until_ms(head.latest, search.now_ms).is_some();
                if lowest == usize::MAX || !is_capped {
                    return Ok(());
                }
            }
            for seen in head.seen.heads() {
                if !self.is_merged(vault, seen)? {
                    let last = search.found.missing.entry((seen.log, lowest)).or_insert(*seen);
                    *last = if last.seq < seen.seq { *seen } else { *last };
                }
            }
        }
        Ok(())
    }

    /// Whether a log is one of this device's.
    fn is_own(&self, vault: VaultNo, log: LogNo) -> Result<bool, Error> {
        let id = self.state.logs.id(log).ok_or(StoreError::Inconsistent)?;
        let certified = self.vault(vault)?.members.certified(&id);
        Ok(certified.is_some_and(|certified| certified.device == self.core.public()))
    }

    /// Whether a log is merged up to a head.
    fn is_merged(&self, vault: VaultNo, head: &Head) -> Result<bool, Error> {
        let Some(log) = self.state.logs.number(vault, &head.log) else { return Ok(false) };
        let held = self.find_held(vault, log, head.seq, |chain| *chain == head.chain)?;
        let Some((branch, _)) = held else { return Ok(false) };
        Ok(self.logs.head(branch)?.is_some_and(|tip| tip.merged > head.seq))
    }

    /// Whether new logs still have what they cap: that was found out before the device key signed.
    ///
    /// # Errors
    /// [`LifeError::Busy`].
    fn check_still_right(&self, new: &Successors, now_ms: u64) -> Result<(), Error> {
        let now = self.caps_of_what_is_ahead(new.vault, now_ms, 0)?;
        let latest = self.latest_of_own(new.vault)?;
        let holds = new.certified.caps.own.values().all(|step| latest <= step.to)
            && now.greatest == new.certified.greatest
            && now.caps.prefixes.is_subset(&new.certified.caps.prefixes)
            && !self.state.passing.contains_key(&new.vault);
        if holds { Ok(()) } else { Err(LifeError::Busy.into()) }
    }

    /// Opens new logs in all these vaults. The clock of each other one goes by itself from here on.
    fn put_clock_right(&mut self, now_ms: u64, new: Vec<Successors>) -> Result<(), Error> {
        new.iter().try_for_each(|new| self.check_still_right(new, now_ms))?;
        let ahead = self.state.clock.max();
        let mut left: BTreeSet<_> = self.state.vaults.keys().copied().collect();
        // Where more is ahead than one certificate caps, the clock is still ahead, and is put right once more.
        if new.iter().all(|new| new.certified.is_whole) {
            let caps = new.iter().map(|new| new.certified.greatest);
            // What is merged from here on moves it.
            self.state.clock = HybridClock::new(caps.max().unwrap_or_default().max(Stamp::from_ms(now_ms)));
        }
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
    fn put_vault_right(&mut self, now_ms: u64, new: Successors) -> Result<(), Error> {
        self.check_still_right(&new, now_ms)?;
        let Successors { vault, logs, certified } = new;
        self.state.clock = HybridClock::new(self.state.clock.max().max(certified.greatest));
        self.rotate_logs(vault, logs)?;
        // Where more is ahead than one certificate caps, that is done once more.
        if certified.is_whole {
            self.put_own_clock(vault, None)?;
        }
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

/// The caps that tell levels: the lowest of each author's logs in turn, so that who sets many on its own leaves room for those of others;
/// ascending.
fn bounds_of(of_authors: impl Iterator<Item = BTreeSet<Stamp>>) -> Vec<Stamp> {
    let mut left: Vec<_> = of_authors.map(BTreeSet::into_iter).collect();
    let mut bounds = BTreeSet::new();
    while !left.is_empty() {
        left.retain_mut(|author| match author.next() {
            Some(cap) if bounds.len() < CAP_LEVELS_MAX => {
                bounds.insert(cap);
                true
            }
            _ => false,
        });
    }
    bounds.into_iter().collect()
}
