//! Merging of what is stored: complete groups whose time has come, in key order, in the transaction at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{ReadableTable as _, ReadableTableMetadata as _};
use subrosa_model::merge::LogNo;
use subrosa_model::seal::{Group, OpenError, OpenedBody};
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::tables::VaultNo;

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::logs::pass::{GroupSource, Pass};
use crate::logs::quarantine::Reason;
use crate::memory::cost::{look_at_log, look_at_row};
use crate::memory::state::{LogHead, VaultState, split_segment_key};

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
        self.read(|txn| Ok(!txn.open_table(subrosa_store::tables::QUARANTINE)?.is_empty()?))
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
        for row in self.tables.quarantine.iter()? {
            let (key, row) = row?;
            if row.value().first().is_some_and(|reason| Reason::RETRIED.contains(reason)) {
                let (log, seq) = split_segment_key(key.value());
                shut.entry(log).or_default().push(seq);
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
        let (mut bodies, mut whole, mut tried) = (Vec::new(), false, 0);
        while !whole && tried < shut.len() && (tried == 0 || shut[tried] == shut[tried - 1].next()) {
            look_at_row();
            tried += 1;
            let Ok(body) = self.open_stored(vault, log, shut[tried - 1])? else { break };
            whole = body.group == Group::Ends;
            bodies.push(body);
        }
        if whole {
            pass.add(log, shut[0]..=shut[tried - 1], bodies, GroupSource::Quarantine);
        }
        Ok(tried)
    }

    /// Opens the complete groups of a log that are not merged, up to the first that is held for the clock.
    fn collect_groups(&mut self, vault: VaultNo, log: LogNo, pass: &mut Pass) -> Result<(), Error> {
        let Some(LogHead { seq: last, merged: mut from, .. }) = self.head(log)? else { return Ok(()) };
        while from <= last {
            let mut opened = Vec::new();
            let end = match self.next_group(vault, log, from..=last, &mut opened)? {
                NextGroup::Ends(end) => end,
                NextGroup::Incomplete => return Ok(()),
            };
            match self.open_group(vault, log, from..=end, opened)? {
                Ok(opened) => pass.add(log, from..=end, opened, GroupSource::Next),
                Err(reason) => pass.add_shut(log, from..=end, reason),
            }
            from = end.next();
            if pass.is_full() {
                self.run_pass(vault, pass)?;
                if self.vault(vault)?.held.contains_key(&log) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Finds the end of the group that `segments`, which go to the end of the log, begin with. Bodies opened on the way
    /// are kept in `opened` when the search began at the group's start.
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
        let mut seq = start;
        while seq <= last {
            match self.open_stored(vault, log, seq)? {
                Ok(body) => {
                    let group = body.group;
                    if start == first {
                        opened.push(body);
                    }
                    if group == Group::Ends {
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

    /// Opens what of the group is not open yet; or says why one of it stays shut.
    fn open_group(
        &self,
        vault: VaultNo,
        log: LogNo,
        group: RangeInclusive<Seq>,
        mut opened: Vec<OpenedBody>,
    ) -> Result<Result<Vec<OpenedBody>, Reason>, Error> {
        let (first, last) = (group.start().0, group.end().0);
        if opened.len() as u64 != last - first + 1 {
            opened.clear();
            for seq in first..=last {
                match self.open_stored(vault, log, Seq(seq))? {
                    Ok(body) => opened.push(body),
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        }
        Ok(Ok(opened))
    }

    /// Opens one stored data segment.
    pub(crate) fn open_stored(
        &self,
        vault: VaultNo,
        log: LogNo,
        seq: Seq,
    ) -> Result<Result<OpenedBody, Reason>, Error> {
        let missing = || Error::Store(subrosa_store::error::StoreError::Inconsistent);
        let (_, segment) = self.segment(log, seq)?.ok_or_else(missing)?;
        let prev: Chain = self.chain_before(log, seq)?.ok_or_else(missing)?;
        if segment.header().kind != Kind::Data {
            return Ok(Err(Reason::UnknownKind));
        }
        let state = self.vault(vault)?;
        let Some(key) = state.keyring.data_key(segment.header().epoch) else {
            return Ok(Err(Reason::StaysShut));
        };
        Ok(subrosa_model::seal::open(&state.id, &prev, &segment, key).map_err(|error| match error {
            OpenError::OtherKey => Reason::StaysShut,
            _ => Reason::Undecodable,
        }))
    }
}
