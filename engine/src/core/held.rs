//! Merging of what is stored: complete groups whose time has come, in key order, in the transaction at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{ReadableTable as _, ReadableTableMetadata as _};
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::limits;
use subrosa_protocol::segment::Kind;

use super::commit::Tx;
use super::gate::Turn;
use super::quarantine::Reason;
use super::state::{LogHead, split_segment_key};
use super::watch::RawChange;
use super::work::{look_at_log, look_at_row};
use super::write::{decode_state, kind_of_change};
use super::{Core, VaultState};
use crate::Error;
use crate::merge::{Body, LogNo, Observed, Op, Stamp};
use crate::seal::{Group, OpenError, OpenedBody};
use crate::store::StoreError;
use crate::store::tables::{RecordKey, VaultNo, segment_key};

/// Opened bodies that are merged in one sorted pass; beyond that, several passes in the same transaction.
const PASS_BYTES: usize = 32 << 20;

/// How far a log's next group goes.
enum NextGroup {
    /// To this segment.
    Ends(Seq),
    /// Its end has not arrived.
    Incomplete,
}

/// Bodies on their way into the records.
#[derive(Default)]
pub(super) struct Pass {
    bodies: Vec<(LogNo, Seq, OpenedBody)>,
    bytes: usize,
}

impl Pass {
    pub(super) fn add(&mut self, log: LogNo, seq: Seq, body: OpenedBody) {
        self.bytes += body.data.len();
        self.bodies.push((log, seq, body));
    }

    /// Whether what is there should be merged before more is opened.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes > PASS_BYTES
    }
}

impl Core {
    /// Merges what could not be merged when it arrived: groups held for the clock, and logs that have a certificate
    /// since. Called at every open; receiving does the same.
    pub(super) fn retry_held(&self, turn: &Turn) -> Result<(), Error> {
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
        self.read(|txn| Ok(!txn.open_table(crate::store::tables::QUARANTINE)?.is_empty()?))
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
            let until = self.merge_log(vault, log, &mut pass)?;
            let state = self.vault_mut(vault)?;
            state.unmerged.remove(&log);
            match until {
                Some(ms) => drop(state.held.insert(log, ms)),
                None => drop(state.held.remove(&log)),
            }
        }
        let first = self.state.vaults.values().map(VaultState::held_until_ms).min().unwrap_or(u64::MAX);
        // Should this transaction fail, the time is looked at once in vain, or is found again with the next segment.
        self.core.held_until_ms.store(first, Ordering::Relaxed);
        self.run_pass(vault, &mut pass)
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
        let stamps: Result<Vec<_>, _> =
            bodies.iter().map(|body| Body::decode(&body.data).map(|body| body.stamp_max())).collect();
        // One from the future stays where it is, and is tried again at the next open.
        let good = whole
            && stamps.is_ok_and(|stamps| {
                let latest = stamps.into_iter().max().unwrap_or_default();
                self.state.clock.observe(latest, self.now_ms) == Observed::Merge
            });
        if good {
            for (seq, body) in shut.iter().zip(bodies) {
                self.tables.quarantine.remove(&segment_key(log, *seq))?;
                pass.add(log, *seq, body);
            }
        }
        Ok(tried)
    }

    /// Merges the complete groups of a log. When the next one is held for the clock: until when.
    fn merge_log(&mut self, vault: VaultNo, log: LogNo, pass: &mut Pass) -> Result<Option<u64>, Error> {
        loop {
            let Some(head) = self.head(log)? else { return Ok(None) };
            if head.merged > head.seq {
                return Ok(None);
            }
            let mut opened = Vec::new();
            let end = match self.next_group(vault, log, &head, &mut opened)? {
                NextGroup::Ends(end) => end,
                NextGroup::Incomplete => return Ok(None),
            };
            match self.check_group(vault, log, head.merged..=end, &mut opened)? {
                Err(reason) => self.skip_group(log, head.merged..=end, reason)?,
                Ok(stamp) => {
                    if let Observed::HeldUntil { ms } = self.state.clock.observe(stamp, self.now_ms) {
                        return Ok(Some(ms));
                    }
                    for (seq, body) in (head.merged.0..).zip(opened) {
                        pass.add(log, Seq(seq), body);
                    }
                }
            }
            self.put_head(log, &LogHead { merged: end.next(), ..head })?;
            self.vault_mut(vault)?.probed.remove(&log);
            if pass.is_full() {
                self.run_pass(vault, pass)?;
            }
        }
    }

    /// Finds the end of the group that starts at `head.merged`. Bodies opened on the way are kept in `opened` when
    /// the search began at the group's start.
    fn next_group(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        head: &LogHead,
        opened: &mut Vec<OpenedBody>,
    ) -> Result<NextGroup, Error> {
        let probed = self.vault(vault)?.probed.get(&log).copied();
        let start = probed.map_or(head.merged, |probed| probed.next().max(head.merged));
        let mut seq = start;
        while seq <= head.seq {
            match self.open_stored(vault, log, seq)? {
                Ok(body) => {
                    let group = body.group;
                    if start == head.merged {
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
        self.vault_mut(vault)?.probed.insert(log, head.seq);
        Ok(NextGroup::Incomplete)
    }

    /// Opens what of the group is not open yet. Its latest stamp, or what is wrong with it.
    fn check_group(
        &self,
        vault: VaultNo,
        log: LogNo,
        group: RangeInclusive<Seq>,
        opened: &mut Vec<OpenedBody>,
    ) -> Result<Result<Stamp, Reason>, Error> {
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
        let mut latest = Stamp::default();
        for body in opened {
            match Body::decode(&body.data) {
                Ok(body) => latest = latest.max(body.stamp_max()),
                Err(_) => return Ok(Err(Reason::Undecodable)),
            }
        }
        Ok(Ok(latest))
    }

    /// Opens one stored data segment.
    pub(crate) fn open_stored(
        &self,
        vault: VaultNo,
        log: LogNo,
        seq: Seq,
    ) -> Result<Result<OpenedBody, Reason>, Error> {
        let missing = || Error::Store(crate::store::StoreError::Inconsistent);
        let (_, segment) = self.segment(log, seq)?.ok_or_else(missing)?;
        let prev: Chain = self.chain_before(log, seq)?.ok_or_else(missing)?;
        if segment.header().kind != Kind::Data {
            return Ok(Err(Reason::UnknownKind));
        }
        let state = self.vault(vault)?;
        let Some(key) = state.keyring.data_key(segment.header().epoch) else {
            return Ok(Err(Reason::StaysShut));
        };
        Ok(crate::seal::open(&state.id, &prev, &segment, key).map_err(|error| match error {
            OpenError::OtherKey => Reason::StaysShut,
            _ => Reason::Undecodable,
        }))
    }

    fn skip_group(&mut self, log: LogNo, group: RangeInclusive<Seq>, reason: Reason) -> Result<(), Error> {
        let (first, last) = (group.start().0, group.end().0);
        tracing::warn!(log = log.0, first, last, ?reason, "a group went to quarantine");
        for seq in first..=last {
            if let Some(chain) = self.chain_before(log, Seq(seq).next())? {
                self.set_aside(log, Seq(seq), &chain, reason)?;
            }
        }
        Ok(())
    }

    /// Merges the collected bodies into the records, in key order.
    pub(super) fn run_pass(&mut self, vault: VaultNo, pass: &mut Pass) -> Result<(), Error> {
        let Pass { bodies, .. } = std::mem::take(pass);
        if bodies.is_empty() {
            return Ok(());
        }
        let inconsistent = || Error::Store(crate::store::StoreError::Inconsistent);
        let mut decoded = Vec::with_capacity(bodies.len());
        for (log, seq, body) in &bodies {
            let body = Body::decode(&body.data).map_err(|_| inconsistent())?;
            for named in &body.named {
                if self.state.logs.number(vault, named).is_none() {
                    self.note_name(vault, named, *log, *seq)?;
                }
            }
            for head in &body.seen {
                self.name_head(vault, head)?;
            }
            decoded.push((*log, body));
        }
        let mut ops: Vec<(RecordKey, LogNo, &Op<'_>)> = Vec::new();
        let mut last: Option<(&str, crate::store::tables::CollectionNo)> = None;
        for (log, body) in &decoded {
            for op in &body.ops {
                let collection = match last {
                    Some((name, number)) if name == op.collection => number,
                    _ => self.intern_collection(vault, op.collection)?,
                };
                last = Some((op.collection, collection));
                ops.push((RecordKey::new(vault, collection, &op.record), *log, op));
            }
        }
        // Stable: ops of one record and log stay in their order.
        ops.sort_by_key(|(key, ..)| *key);
        self.merge_sorted(vault, &ops)
    }

    /// Notes a head that another author has seen.
    fn name_head(&mut self, vault: VaultNo, head: &Head) -> Result<(), Error> {
        let named = &mut self.vault_mut(vault)?.named;
        if named.len() < limits::LOGS_PER_VAULT_MAX || named.contains_key(&head.log) {
            let seq = named.entry(head.log).or_insert(head.seq);
            *seq = head.seq.max(*seq);
        }
        Ok(())
    }

    /// Merges ops that are sorted by key.
    pub(crate) fn merge_sorted(
        &mut self,
        vault: VaultNo,
        ops: &[(RecordKey, LogNo, &Op<'_>)],
    ) -> Result<(), Error> {
        let (Some((first, ..)), Some((last, ..))) = (ops.first(), ops.last()) else { return Ok(()) };
        // New records in new ranges are the common case of a bulk load: then no record is looked up.
        let fresh = self.tables.records.range::<&[u8; 24]>(&first.0..=&last.0)?.next().is_none();
        let watched = self.core.watchers.any();
        let vault_id = self.vault(vault)?.id;
        let mut row = Vec::with_capacity(1024);
        for group in ops.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            let held =
                if fresh { None } else { self.tables.records.get(&key.0)?.map(|row| row.value().to_vec()) };
            let mut state = decode_state(held.as_deref())?;
            let before = state.is_visible();
            let mut changed = false;
            for (_, log, op) in group {
                changed |= state.apply(*log, op, &self.state.logs.of(vault)).changed;
            }
            if !changed {
                continue;
            }
            row.clear();
            state.encode(&mut row);
            self.tables.records.insert(&key.0, &row[..])?;
            if watched && let Some(kind) = kind_of_change(before, state.is_visible()) {
                let collection = self.state.collections.name(key.collection());
                let collection = collection.cloned().unwrap_or_default();
                self.changes.push(RawChange::Record { vault: vault_id, collection, id: key.record(), kind });
            }
        }
        if !watched {
            self.changes.push(RawChange::Unheard { vault: vault_id });
        }
        Ok(())
    }
}
