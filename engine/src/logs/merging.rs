//! Merging of what is stored: complete groups whose time has come, in key order, in the transaction at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use subrosa_model::merge::{BodyPlace, CheckedBody, LogNo, Stamp};
use subrosa_model::seal::{OpenError, OpenedBody};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::{LogTip, Reason};

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::logs::pass::{GroupSource, PASS_BYTES, Pass, Verdict};
use crate::memory::cost::{hold_bytes, look_at_log, look_at_row};
use crate::memory::state::VaultState;

/// How far a log's next group goes.
enum NextGroup {
    /// To this segment.
    Ends(Seq),
    /// Its end has not arrived.
    Incomplete,
}

impl Core {
    /// Merges what could not be merged when it arrived: groups held for the clock, and logs that have a certificate
    /// since. Called at every open; receiving does the same.
    pub(crate) fn retry_held(&self, turn: &Turn) -> Result<(), Error> {
        let vaults: Vec<_> = {
            let state = self.lock_state()?;
            let waits = |vault: &VaultState| !vault.unmerged.is_empty() || vault.waiting.len() > 0;
            state.vaults.iter().filter(|(_, vault)| waits(vault)).map(|(number, _)| *number).collect()
        };
        if vaults.is_empty() && !self.anything_in_quarantine()? {
            return Ok(());
        }
        self.write_in_turn(turn, |tx| {
            tx.retry_quarantine()?;
            for vault in vaults {
                tx.admit_waiting(vault)?;
                tx.merge_ready(vault)?;
            }
            Ok(())
        })
    }

    /// Merges the groups held for the clock whose time has come.
    pub(crate) fn merge_held(&self) -> Result<(), Error> {
        self.write(|tx| {
            for vault in tx.state.vaults.keys().copied().collect::<Vec<_>>() {
                tx.merge_ready(vault)?;
            }
            Ok(())
        })
    }

    /// How long it is until [`Core::merge_held`] has something to do; `None` if no group is held for the clock.
    pub(crate) fn held_wait(&self) -> Option<Duration> {
        let until = self.held_until_ms.load(Ordering::Relaxed);
        (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(self.now_ms())))
    }

    /// Whether segments of certified logs are in quarantine.
    fn anything_in_quarantine(&self) -> Result<bool, Error> {
        self.read(|doors| doors.logs()?.any_in_quarantine())
    }
}

impl Tx<'_> {
    /// Merges every complete group of data logs whose stamps the clock accepts, in the logs that have something new or
    /// whose time has come.
    pub(crate) fn merge_ready(&mut self, vault: VaultNo) -> Result<(), Error> {
        let now_ms = self.now_ms;
        let state = self.vault(vault)?;
        let due = state.held.iter().filter(|(_, until)| **until <= now_ms).map(|(log, _)| *log);
        let logs: BTreeSet<_> = state.unmerged.iter().copied().chain(due).collect();
        if logs.is_empty() {
            return Ok(());
        }
        let mut pass = Pass::default();
        for log in logs {
            look_at_log();
            let state = self.vault_mut(vault)?;
            state.unmerged.remove(&log);
            state.held.remove(&log);
            self.collect_groups(vault, log, &mut pass)?;
        }
        self.run_pass(vault, &mut pass)?;
        let first = self.state.vaults.values().map(VaultState::held_until_ms).min().unwrap_or(u64::MAX);
        // Should this transaction fail, the time is looked at once in vain, or is found again with the next segment.
        self.core.held_until_ms.store(first, Ordering::Relaxed);
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

    /// Tries once more to open and decode what went to quarantine: keys or a newer version may have come since. Each
    /// segment is looked at once.
    fn retry_quarantine(&mut self) -> Result<(), Error> {
        let mut shut: BTreeMap<LogNo, Vec<Seq>> = BTreeMap::new();
        for row in self.logs.quarantine()? {
            let row = row?;
            if row.reason.may_pass() {
                shut.entry(row.log).or_default().push(row.seq);
            }
        }
        for (log, shut) in shut {
            let vault = self.state.logs.vault(log).ok_or(StoreError::Inconsistent)?;
            let mut pass = Pass::default();
            let mut rest = &shut[..];
            while !rest.is_empty() {
                let tried = self.retry_group(vault, log, rest, &mut pass)?;
                rest = &rest[tried..];
                if pass.is_full() {
                    self.run_pass(vault, &mut pass)?;
                }
            }
            self.run_pass(vault, &mut pass)?;
        }
        Ok(())
    }

    /// Tries the group in quarantine that `shut` begins with; how many segments of it were looked at.
    fn retry_group(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        shut: &[Seq],
        pass: &mut Pass,
    ) -> Result<usize, Error> {
        let (mut bodies, mut whole, mut tried, mut bytes) = (Vec::new(), false, 0, 0);
        while !whole && tried < shut.len() && (tried == 0 || shut[tried] == shut[tried - 1].next()) {
            look_at_row();
            tried += 1;
            let Ok(body) = self.open_stored(vault, log, shut[tried - 1])? else { break };
            whole = self.ends_group(log, shut[tried - 1])?;
            bytes += body.data.len();
            if bytes > PASS_BYTES {
                bodies.clear();
            } else {
                bodies.push(body);
                hold_bytes(bytes);
            }
        }
        if whole && bytes > PASS_BYTES {
            self.run_pass(vault, pass)?;
            self.merge_large(vault, log, shut[0]..=shut[tried - 1], GroupSource::Quarantine)?;
        } else if whole {
            pass.add(log, shut[0]..=shut[tried - 1], bodies, GroupSource::Quarantine);
        }
        Ok(tried)
    }

    /// Opens the complete groups of a log that are not merged, up to the first that is held for the clock.
    fn collect_groups(&mut self, vault: VaultNo, log: LogNo, pass: &mut Pass) -> Result<(), Error> {
        let Some(LogTip { seq: last, merged: mut from, .. }) = self.logs.head(log)? else { return Ok(()) };
        while from <= last {
            let mut opened = Vec::new();
            let end = match self.next_group(vault, log, from..=last, &mut opened)? {
                NextGroup::Ends(end) => end,
                NextGroup::Incomplete => return Ok(()),
            };
            let is_large = match self.open_group(vault, log, from..=end, opened)? {
                Ok(Some(opened)) => {
                    pass.add(log, from..=end, opened, GroupSource::Next);
                    false
                }
                Ok(None) => true,
                Err(reason) => {
                    pass.add_shut(log, from..=end, reason);
                    false
                }
            };
            if is_large || pass.is_full() {
                self.run_pass(vault, pass)?;
                if self.vault(vault)?.held.contains_key(&log) {
                    return Ok(());
                }
            }
            if is_large && !self.merge_large(vault, log, from..=end, GroupSource::Next)? {
                return Ok(());
            }
            from = end.next();
        }
        Ok(())
    }

    /// Finds the end of the group that `segments`, which go to the end of the log, begin with. Bodies opened on the way
    /// are kept in `opened` when the search began at the group's start and they fit into a pass.
    fn next_group(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        segments: RangeInclusive<Seq>,
        opened: &mut Vec<OpenedBody>,
    ) -> Result<NextGroup, Error> {
        let (first, last) = segments.into_inner();
        let probed = self.vault(vault)?.probed.get(&log).copied();
        let start = probed.map_or(first, |probed| probed.next().max(first));
        let (mut seq, mut bytes) = (start, 0);
        while seq <= last {
            match self.open_stored(vault, log, seq)? {
                Ok(body) => {
                    bytes += body.data.len();
                    if start == first && bytes <= PASS_BYTES {
                        opened.push(body);
                        hold_bytes(bytes);
                    } else {
                        opened.clear();
                    }
                    if self.ends_group(log, seq)? {
                        return Ok(NextGroup::Ends(seq));
                    }
                }
                // A segment that stays shut ends its group: the group as a whole goes to quarantine.
                Err(_) => {
                    opened.clear();
                    return Ok(NextGroup::Ends(seq));
                }
            }
            seq = seq.next();
        }
        self.vault_mut(vault)?.probed.insert(log, last);
        Ok(NextGroup::Incomplete)
    }

    /// Opens what of the group is not open yet; or says why one of it stays shut. `None` if it does not fit into a pass.
    fn open_group(
        &self,
        vault: VaultNo,
        log: LogNo,
        group: RangeInclusive<Seq>,
        mut opened: Vec<OpenedBody>,
    ) -> Result<Result<Option<Vec<OpenedBody>>, Reason>, Error> {
        let (first, last, mut bytes) = (group.start().0, group.end().0, 0);
        if opened.len() as u64 != last - first + 1 {
            opened.clear();
            for seq in first..=last {
                match self.open_stored(vault, log, Seq(seq))? {
                    Ok(body) => {
                        bytes += body.data.len();
                        opened.push(body);
                    }
                    Err(reason) => return Ok(Err(reason)),
                }
                if bytes > PASS_BYTES {
                    return Ok(Ok(None));
                }
                hold_bytes(bytes);
            }
        }
        Ok(Ok(Some(opened)))
    }

    /// Merges a group that does not fit into a pass, in several of them: first each body is looked at, so that it is the
    /// whole group or nothing, and few of them are held at a time. `false` if it is held for the clock.
    fn merge_large(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        group: RangeInclusive<Seq>,
        origin: GroupSource,
    ) -> Result<bool, Error> {
        let (first, last) = (group.start().0, group.end().0);
        let mut latest = Ok(Stamp::default());
        let mut place = BodyPlace::First;
        for seq in first..=last {
            let body = self.open_stored(vault, log, Seq(seq))?;
            let checked = body.and_then(|body| {
                let body = CheckedBody::decode(&body.data, place).map_err(|_| Reason::Undecodable)?;
                Ok(body.head().map(|head| head.latest))
            });
            match checked {
                Ok(None) => {}
                Ok(Some(named)) => {
                    latest = Ok(named);
                    place = BodyPlace::Behind { latest: named };
                }
                Err(reason) => {
                    latest = Err(reason);
                    break;
                }
            }
        }
        let verdict = self.judge(vault, log, &group, (origin, latest))?;
        if verdict == Verdict::Merge {
            let mut pass = Pass::default();
            for seq in first..=last {
                if let Ok(body) = self.open_stored(vault, log, Seq(seq))? {
                    let place = if seq == first { BodyPlace::First } else { place };
                    pass.add(log, Seq(seq)..=Seq(seq), vec![body], GroupSource::Again(place));
                }
                if pass.is_full() {
                    self.run_pass(vault, &mut pass)?;
                }
            }
            self.run_pass(vault, &mut pass)?;
        }
        Ok(verdict != Verdict::Hold)
    }

    /// Whether a group ends with a stored segment.
    fn ends_group(&self, log: LogNo, seq: Seq) -> Result<bool, Error> {
        Ok(self.logs.header(log, seq)?.ok_or(StoreError::Inconsistent)?.place.is_last())
    }

    /// Where a stored segment, which was merged before, stands in its group.
    pub(crate) fn place_of(&self, log: LogNo, seq: Seq) -> Result<BodyPlace, Error> {
        let header = self.logs.header(log, seq)?.ok_or(StoreError::Inconsistent)?;
        Ok(BodyPlace::once_more(header.place))
    }

    /// Opens one stored data segment.
    pub(crate) fn open_stored(
        &self,
        vault: VaultNo,
        log: LogNo,
        seq: Seq,
    ) -> Result<Result<OpenedBody, Reason>, Error> {
        let missing = || Error::Store(subrosa_store::error::StoreError::Inconsistent);
        let (segment, _) = self.logs.segment(log, seq)?.ok_or_else(missing)?.into_parts();
        if segment.header().kind != Kind::DATA {
            return Ok(Err(Reason::UnknownKind));
        }
        let state = self.vault(vault)?;
        let Some(key) = state.keyring.data_key(segment.header().epoch) else {
            return Ok(Err(Reason::StaysShut));
        };
        Ok(subrosa_model::seal::open(&state.id, &segment, key).map_err(|error| match error {
            OpenError::OtherKey => Reason::StaysShut,
            _ => Reason::Undecodable,
        }))
    }
}
