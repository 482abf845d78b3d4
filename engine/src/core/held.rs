//! Merging of what is stored: complete groups whose time has come, in key order, in the transaction at hand.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::ReadableTable as _;
use subrosa_protocol::ids::{Chain, Head, Seq};
use subrosa_protocol::limits;
use subrosa_protocol::segment::{Class, Kind};

use super::Core;
use super::commit::Tx;
use super::gate::Turn;
use super::receive::Reason;
use super::state::LogHead;
use crate::Error;
use crate::merge::{Body, LogNo, Observed, Op, Stamp};
use crate::seal::{Group, OpenError, OpenedBody};
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
struct Pass {
    bodies: Vec<(LogNo, OpenedBody)>,
    bytes: usize,
}

impl Core {
    /// Merges what could not be merged when it arrived: groups held for the clock, and logs that have a certificate
    /// since. Called at every open; receiving does the same.
    pub(super) fn retry_held(&self, turn: &Turn) -> Result<(), Error> {
        let waiting = {
            let state = self.lock_state()?;
            state.vaults.keys().copied().collect::<Vec<_>>()
        };
        if waiting.is_empty() || !self.anything_held()? {
            return Ok(());
        }
        self.write_in_turn(turn, |tx| {
            for vault in waiting {
                tx.retry_quarantine(vault)?;
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

    /// Whether segments are in quarantine, or a log has segments that are not merged.
    pub(crate) fn anything_held(&self) -> Result<bool, Error> {
        self.read(|txn| {
            if txn.open_table(crate::store::tables::QUARANTINE)?.iter()?.next().is_some() {
                return Ok(true);
            }
            for row in txn.open_table(crate::store::tables::HEADS)?.iter()? {
                let head = LogHead::decode(row?.1.value());
                if head.merged <= head.seq {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

impl Tx<'_> {
    /// Merges every complete group of certified data logs whose stamps the clock accepts.
    pub(crate) fn merge_ready(&mut self, vault: VaultNo) -> Result<(), Error> {
        let logs: Vec<_> = {
            let state = self.vault(vault)?;
            let data = state.logs.iter().filter(|(_, info)| info.class == Some(Class::Data));
            data.map(|(log, _)| *log).collect()
        };
        let mut pass = Pass::default();
        let mut held_until_ms = u64::MAX;
        for log in logs {
            if let Some(ms) = self.merge_log(vault, log, &mut pass)? {
                held_until_ms = held_until_ms.min(ms);
            }
        }
        self.vault_mut(vault)?.held_until_ms = held_until_ms;
        let first = self.state.vaults.values().map(|vault| vault.held_until_ms).min().unwrap_or(u64::MAX);
        // Should this transaction fail, the time is looked at once in vain, or is found again with the next segment.
        self.core.held_until_ms.store(first, Ordering::Relaxed);
        self.run_pass(vault, &mut pass)
    }

    /// Tries once more to open and decode what went to quarantine: keys or a newer version may have come since.
    fn retry_quarantine(&mut self, vault: VaultNo) -> Result<(), Error> {
        let logs: Vec<_> = self.vault(vault)?.logs.keys().copied().collect();
        let mut pass = Pass::default();
        for log in logs {
            let (first, last) = (segment_key(log, Seq(0)), segment_key(log, Seq(u64::MAX)));
            let mut shut = Vec::new();
            for row in self.tables.quarantine.range::<&[u8; 12]>(&first..=&last)? {
                let (key, row) = row?;
                if row.value().first().is_some_and(|reason| Reason::RETRIED.contains(reason)) {
                    shut.push(seq_of(key.value()));
                }
            }
            while let Some(first) = shut.first().copied() {
                shut = self.retry_group(vault, log, first, shut, &mut pass)?;
            }
        }
        self.run_pass(vault, &mut pass)
    }

    /// Tries the group in quarantine that starts at `first`; returns what of `shut` lies behind it.
    fn retry_group(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        first: Seq,
        shut: Vec<Seq>,
        pass: &mut Pass,
    ) -> Result<Vec<Seq>, Error> {
        let mut bodies = Vec::new();
        let mut next = first;
        let mut whole = false;
        while shut.contains(&next) && !whole {
            let Ok(body) = self.open_stored(vault, log, next)? else { break };
            whole = body.group == Group::Ends;
            bodies.push(body);
            next = next.next();
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
            for seq in first.0..next.0 {
                let removed = self.tables.quarantine.remove(&segment_key(log, Seq(seq)))?;
                let bytes = removed.map_or(0, |row| row.value().len() as u64);
                let state = self.vault_mut(vault)?;
                state.quarantine_bytes = state.quarantine_bytes.saturating_sub(bytes);
            }
            pass.bodies.extend(bodies.into_iter().map(|body| (log, body)));
        }
        let tried = if good { next } else { first.next() };
        Ok(shut.into_iter().filter(|seq| *seq >= tried).collect())
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
                Err(reason) => self.skip_group(vault, log, head.merged..=end, reason)?,
                Ok(stamp) => {
                    if let Observed::HeldUntil { ms } = self.state.clock.observe(stamp, self.now_ms) {
                        return Ok(Some(ms));
                    }
                    for body in opened {
                        pass.bytes += body.data.len();
                        pass.bodies.push((log, body));
                    }
                }
            }
            self.put_head(log, &LogHead { merged: end.next(), ..head })?;
            self.vault_mut(vault)?.probed.remove(&log);
            if pass.bytes > PASS_BYTES {
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

    fn skip_group(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        group: RangeInclusive<Seq>,
        reason: Reason,
    ) -> Result<(), Error> {
        let (first, last) = (group.start().0, group.end().0);
        tracing::warn!(log = log.0, first, last, ?reason, "a group went to quarantine");
        for seq in first..=last {
            if let Some((chain, segment)) = self.segment(log, Seq(seq))? {
                self.quarantine(vault, log, reason, chain, &segment)?;
            }
        }
        Ok(())
    }

    /// Merges the collected bodies into the records, in key order.
    fn run_pass(&mut self, vault: VaultNo, pass: &mut Pass) -> Result<(), Error> {
        let Pass { bodies, .. } = std::mem::take(pass);
        if bodies.is_empty() {
            return Ok(());
        }
        let inconsistent = || Error::Store(crate::store::StoreError::Inconsistent);
        let mut decoded = Vec::with_capacity(bodies.len());
        for (log, body) in &bodies {
            decoded.push((*log, Body::decode(&body.data).map_err(|_| inconsistent())?));
        }
        for head in decoded.iter().flat_map(|(_, body)| &body.seen) {
            self.name_head(vault, head)?;
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
        self.records.merge_sorted(&mut self.state.logs, &ops)
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
}

fn seq_of(key: &[u8; 12]) -> Seq {
    let mut seq = [0; 8];
    seq.copy_from_slice(&key[4..]);
    Seq(u64::from_be_bytes(seq))
}
