//! After a clock that ran ahead was put right (`docs/FORMAT.md`, "Caps").
//!
//! Nothing is stamped anew: what is pending is sealed as it is, as the end of the old log, and the certificate of the new logs
//! says what the old one's stamps count as at most. What others wrote that is still to come, by the clock as it is now, is held
//! again: it is taken out of the records that it was merged into, which are put together from what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use subrosa_model::control::BirthError;
use subrosa_model::merge::hlc::held_until_ms;
use subrosa_model::merge::{CheckedBody, HybridClock, RowBuf, Stamp, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::{CLOCK_AHEAD_MAX_MS, INCARNATIONS_MAX};
use subrosa_protocol::segment::Class;
use subrosa_store::error::StoreError;
use subrosa_store::keys::RecordKey;
use subrosa_store::logs::{BranchNo, LogTip};

use crate::error::{Error, LifeError};
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::logs::rotate::NewLogs;
use crate::memory::cost::look_at_row;
use crate::memory::state::VaultState;
use crate::records::{Before, decode_state};

/// Rows that are put together at a time.
const REBUILT_BYTES: usize = 16 << 20;

/// What the merged groups of a log say of time.
struct Times {
    /// What the latest stamp counts as, of the groups in front of those that are to be held.
    latest: Stamp,
    /// Where the first group begins that is to be held.
    ahead: Option<Seq>,
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
            let Some(state) = state.vaults.get(&vault) else { return Ok(()) };
            let own_clock = state.own_clock.filter(|_| state.keyring.may_have_more_logs());
            (own_clock, self.is_own_held(state, now_ms))
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
        self.write(|tx| tx.put_vault_right(now_ms, new))?;
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
            // A cap that was set may not count yet, while records pass to another one.
            let is_capped =
                vault.members.cap(&info.id).is_some_and(|cap| held_until_ms(cap, now_ms).is_none());
            !is_capped && vault.members.certified(&info.id).is_some_and(|certified| certified.device == me)
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
        let (cap, caps) = self.write_with(Durable::Later, |tx| tx.caps_of_own_logs(vault, now_ms))?;
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
    /// Caps for the present data log of this device, and for those of its earlier ones that hold something more than five minutes
    /// ahead. First the present one's: it is later than all that its author has merged and that stays, for what was written over
    /// that is to count as later. The caps of the earlier ones are each one stamp lower than that of the next, for of two
    /// stamps that count as one thing the greater counts, and that is the one which was made while the clock was further ahead.
    fn caps_of_own_logs(
        &mut self,
        vault: VaultNo,
        now_ms: u64,
    ) -> Result<(Stamp, BTreeMap<LogId, Stamp>), Error> {
        let (me, state) = (self.core.public(), self.vault(vault)?);
        let (own, incarnation) = (state.own.data, state.keyring.logs.incarnation);
        let data = state.logs.iter().filter(|(_, info)| info.class == Class::Data);
        let data: Vec<_> = data.map(|(log, info)| (*log, info.id)).collect();
        let (mut latest, mut capped) = (Stamp::default(), Vec::new());
        for (log, id) in data {
            let mut is_ahead = false;
            for branch in self.vault(vault)?.branches.of(log).collect::<Vec<_>>() {
                let times = self.times(vault, branch, now_ms)?;
                latest = latest.max(times.latest);
                is_ahead |= times.ahead.is_some();
                // An earlier cap may be ahead itself, of a relay whose clock was wrong.
                is_ahead |= self.vault(vault)?.held.contains_key(&branch);
            }
            let certified = self.vault(vault)?.members.certified(&id);
            let mine = certified.filter(|certified| is_ahead && certified.device == me);
            if log == own {
                capped.push((true, incarnation, id));
            } else if let Some(certified) = mine.filter(|_| !faults::EARLIER_NOT_CAPPED) {
                capped.push((false, certified.incarnation, id));
            }
        }
        capped.sort_unstable();
        let behind = latest.0.saturating_add(capped.len() as u64);
        let now = Stamp::from_ms(now_ms);
        let cap = if faults::CAPS_AT_NOW { now } else { now.max(Stamp(behind)) };
        let lower_by = (0..).map(|by| if faults::CAPS_ALIKE { 0 } else { by });
        let earlier = capped.iter().rev().zip(lower_by);
        Ok((cap, earlier.map(|((.., id), by)| (*id, Stamp(cap.0.saturating_sub(by)))).collect()))
    }

    /// Opens new logs in all these vaults. The clock of each other one goes by itself from here on.
    fn put_clock_right(&mut self, now_ms: u64, new: Vec<Successors>) -> Result<(), Error> {
        let ahead = self.state.clock.max();
        let mut left: BTreeSet<_> = self.state.vaults.keys().copied().collect();
        let (mut latest, mut vaults) = (Stamp::from_ms(now_ms), Vec::new());
        let now_ms = if faults::HELD_BY_THE_WALL { self.now_ms } else { now_ms };
        for Successors { vault, logs, cap } in new {
            self.rotate_logs(vault, logs)?;
            latest = latest.max(cap).max(self.hold_again(vault, now_ms)?);
            self.put_own_clock(vault, None)?;
            left.remove(&vault);
            vaults.push(vault);
        }
        for vault in left {
            let latest = self.vault(vault)?.own_clock.unwrap_or_default().max(ahead);
            self.put_own_clock(vault, Some(latest))?;
        }
        self.state.clock = HybridClock::new(latest);
        for vault in vaults {
            self.merge_ready(vault)?;
        }
        self.core.note_held(self.state);
        Ok(())
    }

    /// The same for one vault, once the clock was put right.
    fn put_vault_right(&mut self, now_ms: u64, new: Successors) -> Result<(), Error> {
        let Successors { vault, logs, cap } = new;
        self.rotate_logs(vault, logs)?;
        let latest = cap.max(self.hold_again(vault, now_ms)?);
        self.put_own_clock(vault, None)?;
        self.state.clock = HybridClock::new(self.state.clock.max().max(latest));
        self.merge_ready(vault)?;
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

    /// Takes back what is merged of groups that are more than five minutes ahead, and of what stands behind them. What the
    /// latest stamp counts as of all that stays. `now_ms` is what the caps come from: by a wall clock that is behind, what this
    /// device wrote itself would be ahead of it, and be gone.
    fn hold_again(&mut self, vault: VaultNo, now_ms: u64) -> Result<Stamp, Error> {
        let state = self.vault(vault)?;
        let data = state.logs.iter().filter(|(_, info)| info.class == Class::Data);
        let branches: Vec<_> = data.flat_map(|(log, _)| state.branches.of(*log)).collect();
        let (mut latest, mut records) = (Stamp::default(), BTreeSet::new());
        let mut held = BTreeMap::new();
        for branch in &branches {
            let times = self.times(vault, *branch, now_ms)?;
            latest = latest.max(times.latest);
            // What stands behind something that is held is held, in a branch that leaves there too.
            let leaves = self.vault(vault)?.branches.row(*branch).and_then(|row| row.leaves);
            let before = leaves.and_then(|leaves| held.get(&leaves).copied());
            let base = self.logs.head(*branch)?.map_or(Seq(0), |tip| tip.base.seq);
            let first = times.ahead.into_iter().chain(before.filter(|before| *before < base)).min();
            if let Some(first) = first {
                held.insert(*branch, first);
                self.take_back(vault, (*branch, first), &mut records)?;
            }
        }
        self.rebuild(vault, &branches, &records)?;
        Ok(latest)
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

    /// Looks through the merged groups of a branch.
    fn times(&self, vault: VaultNo, branch: BranchNo, now_ms: u64) -> Result<Times, Error> {
        let mut times = Times { latest: Stamp::default(), ahead: None };
        let (log, end) = (self.vault(vault)?.log_of(branch)?, self.end_of_ops(branch)?);
        for seq in (self.begins(branch)?.0..end.0).map(Seq) {
            look_at_row();
            if !self.logs.header(branch, seq)?.ok_or(StoreError::Inconsistent)?.place.is_first() {
                continue;
            }
            let Ok(body) = self.open_stored(vault, branch, seq)? else { continue };
            let Ok(body) = CheckedBody::decode(&body.data, self.place_of(branch, seq)?) else { continue };
            let Some(head) = body.head() else { continue };
            let counts_as = self.state.logs.capped(log, head.latest);
            if held_until_ms(counts_as, now_ms).is_some() {
                times.ahead = Some(seq);
                break;
            }
            times.latest = times.latest.max(counts_as);
        }
        Ok(times)
    }

    /// A branch is merged only in front of a group. Adds the records that what stands from there on was merged into.
    fn take_back(
        &mut self,
        vault: VaultNo,
        (branch, first): (BranchNo, Seq),
        records: &mut BTreeSet<RecordKey>,
    ) -> Result<(), Error> {
        let Some(tip) = self.logs.head(branch)? else { return Ok(()) };
        self.for_each_op(vault, (branch, first), |key, _| {
            records.insert(key);
            Ok(())
        })?;
        self.logs.put_head(branch, &LogTip { merged: first.min(tip.merged), ..tip })?;
        let state = self.vault_mut(vault)?;
        state.probed.remove(&branch);
        state.unmerged.insert(branch);
        tracing::info!(?branch, from = first.0, "what is merged of a log is held again");
        Ok(())
    }

    /// Puts records together from all that is merged of all data logs.
    fn rebuild(
        &mut self,
        vault: VaultNo,
        data: &[BranchNo],
        records: &BTreeSet<RecordKey>,
    ) -> Result<(), Error> {
        let mut left = records.iter().copied().peekable();
        while left.peek().is_some() {
            let (mut rows, mut bytes) = (BTreeMap::new(), 0);
            while bytes < REBUILT_BYTES
                && let Some(key) = left.next()
            {
                bytes += self.records.bytes_of(&key)?;
                bytes += size_of::<RecordKey>();
                rows.insert(key, RowBuf::of(&decode_state(None)?, &mut Vec::new()));
            }
            self.rebuild_rows(vault, data, rows)?;
        }
        Ok(())
    }

    fn rebuild_rows(
        &mut self,
        vault: VaultNo,
        data: &[BranchNo],
        mut rows: BTreeMap<RecordKey, RowBuf>,
    ) -> Result<(), Error> {
        let mut scratch = Vec::new();
        for branch in data {
            let log = self.vault(vault)?.log_of(*branch)?;
            self.for_each_op(vault, (*branch, self.begins(*branch)?), |key, op| {
                let Some(row) = rows.get_mut(&key) else { return Ok(()) };
                let after = {
                    let mut state = decode_state(Some(row.borrow()))?;
                    state.apply(log, op, &self.state.logs.of(vault));
                    RowBuf::of(&state, &mut scratch)
                };
                *row = after;
                Ok(())
            })?;
        }
        for (key, row) in rows {
            self.records.replace(&key, Before::Stored, row.borrow())?;
        }
        Ok(())
    }

    /// Visits the ops of what is merged of a branch from a segment on.
    fn for_each_op(
        &self,
        vault: VaultNo,
        (branch, from): (BranchNo, Seq),
        mut visit: impl FnMut(RecordKey, &subrosa_model::merge::Op<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let end = self.end_of_ops(branch)?;
        for seq in (from.0..end.0).map(Seq) {
            let Ok(body) = self.open_stored(vault, branch, seq)? else { continue };
            let Ok(body) = CheckedBody::decode(&body.data, self.place_of(branch, seq)?) else { continue };
            for op in body.ops() {
                let Some(collection) = self.state.collections.number(vault, op.collection) else { continue };
                visit(RecordKey::new(vault, collection, &op.record), op)?;
            }
        }
        Ok(())
    }
}
