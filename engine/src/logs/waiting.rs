//! Logs without a certificate: their segments wait in a table of their own, bounded in bytes and in number, are never
//! passed on, and go without a trace (`docs/FORMAT.md`, "Quarantine").
//!
//! Who has made up a log does not get far: what opens under a key that is held here stays longer than what does not,
//! and a control log that begins with a valid certificate stays longest, whoever fed the rest. What was not kept is
//! asked for again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_protocol::limits::{
    LOGS_PER_VAULT_MAX, QUARANTINE_LOG_BYTES_MAX, QUARANTINE_LOG_SEGMENTS_MAX, QUARANTINE_VAULT_BYTES_MAX,
};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{CheckedSegment, LogsView, Rank, WaitingRow};

use crate::error::Error;
use crate::life::commit::Tx;
use crate::memory::work::look_at_row;

/// A log of which segments wait: all from seq 0 to its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingLog {
    pub(crate) class: Class,
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    pub(crate) rank: Rank,
    bytes: usize,
}

/// Where a log stands in the order in which logs make room: the least of these goes first.
type Turn = (Rank, Reverse<usize>, LogId);

/// The logs of one vault that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    logs: BTreeMap<LogId, WaitingLog>,
    turns: BTreeSet<Turn>,
    bytes: usize,
}

impl Waiting {
    pub(crate) fn get(&self, log: &LogId) -> Option<WaitingLog> {
        self.logs.get(log).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LogId, &WaitingLog)> {
        self.logs.iter()
    }

    /// How many logs wait.
    pub(crate) fn len(&self) -> usize {
        self.logs.len()
    }

    /// Bytes of all segments that wait.
    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next segment of a log into account.
    fn add(&mut self, checked: &CheckedSegment, rank: Rank) {
        let (header, bytes) = (checked.segment().header(), checked.segment().bytes().len());
        let before = self.remove(&header.log);
        let after = WaitingLog {
            class: header.kind.class(),
            seq: header.seq,
            chain: *checked.chain(),
            rank: before.map_or(rank, |before| before.rank),
            bytes: before.map_or(0, |before| before.bytes) + bytes,
        };
        self.bytes += after.bytes;
        self.turns.insert((after.rank, Reverse(after.bytes), header.log));
        self.logs.insert(header.log, after);
    }

    fn remove(&mut self, log: &LogId) -> Option<WaitingLog> {
        let info = self.logs.remove(log)?;
        self.bytes -= info.bytes;
        self.turns.remove(&(info.rank, Reverse(info.bytes), *log));
        Some(info)
    }

    /// Whether a log may have one more segment of so many bytes, as far as its own bounds go.
    fn has_room_of_its_own(&self, log: &LogId, bytes: usize) -> bool {
        let held = self.get(log);
        held.map_or(0, |held| held.bytes) + bytes <= QUARANTINE_LOG_BYTES_MAX
            && held.is_none_or(|held| held.seq.next().0 < QUARANTINE_LOG_SEGMENTS_MAX as u64)
    }

    /// The log that makes room for one more segment of `log`, if one is needed; `Err` if none does.
    fn who_makes_room(&self, log: &LogId, rank: Rank, bytes: usize) -> Result<Option<LogId>, ()> {
        let held = self.get(log);
        let full = self.bytes + bytes > QUARANTINE_VAULT_BYTES_MAX
            || (held.is_none() && self.logs.len() >= LOGS_PER_VAULT_MAX);
        if !full {
            return Ok(None);
        }
        let rank = held.map_or(rank, |held| held.rank);
        let ours = (rank, Reverse(held.map_or(0, |held| held.bytes) + bytes));
        match self.turns.first() {
            Some((rank, bytes, first)) if first != log && (*rank, *bytes) < ours => Ok(Some(*first)),
            _ => Err(()),
        }
    }

    /// Reads what waits in a vault, and shows each control segment to `fold`.
    pub(crate) fn load(
        logs: &LogsView,
        vault: VaultNo,
        mut fold: impl FnMut(&LogId, &Chain, &SealedSegment),
    ) -> Result<Self, StoreError> {
        let mut waiting = Self::default();
        for row in logs.waiting(vault)? {
            let WaitingRow { rank, segment: checked } = row?;
            let header = checked.segment().header();
            if header.kind.class() == Class::Control {
                let prev = waiting.get(&header.log).map_or(Chain::ZERO, |held| held.chain);
                fold(&header.log, &prev, checked.segment());
            }
            waiting.add(&checked, rank);
        }
        Ok(waiting)
    }
}

impl Tx<'_> {
    /// Keeps the next segment of a log without a certificate; says whether there was room for it.
    pub(crate) fn keep_waiting(
        &mut self,
        vault: VaultNo,
        checked: &CheckedSegment,
        rank: Rank,
    ) -> Result<bool, Error> {
        let segment = checked.segment();
        let (log, bytes) = (segment.header().log, segment.bytes().len());
        if !self.vault(vault)?.waiting.has_room_of_its_own(&log, bytes) {
            return Ok(false);
        }
        loop {
            match self.vault(vault)?.waiting.who_makes_room(&log, rank, bytes) {
                Ok(None) => break,
                Ok(Some(other)) => self.make_room(vault, &other)?,
                Err(()) => return Ok(false),
            }
        }
        self.logs.put_waiting(vault, rank, checked)?;
        self.vault_mut(vault)?.waiting.add(checked, rank);
        Ok(true)
    }

    /// Lets go of a log; of one that begins with a certificate, first of all that follows it.
    fn make_room(&mut self, vault: VaultNo, log: &LogId) -> Result<(), Error> {
        let Some(held) = self.vault(vault)?.waiting.get(log) else { return Ok(()) };
        let from = if held.rank == Rank::Certificate && held.seq > Seq(0) { Seq(1) } else { Seq(0) };
        tracing::debug!(%log, from = from.0, "segments of a log without a certificate made room for others");
        self.forget_waiting(vault, log, from)?;
        self.vault_mut(vault)?.members.forget_from(log, from);
        Ok(())
    }

    /// Takes the segments from `from` on out of the table.
    fn forget_waiting(&mut self, vault: VaultNo, log: &LogId, from: Seq) -> Result<(), Error> {
        for _ in 0..self.logs.forget_waiting(vault, log, from)? {
            look_at_row();
        }
        let left = self.logs.waiting_of(vault, log)?.next().transpose()?;
        let waiting = &mut self.vault_mut(vault)?.waiting;
        waiting.remove(log);
        if let Some(WaitingRow { rank, segment }) = left {
            waiting.add(&segment, rank);
        }
        Ok(())
    }

    /// Takes a log out of what waits: it has a certificate now.
    pub(crate) fn take_waiting(&mut self, vault: VaultNo, log: &LogId) -> Result<Vec<CheckedSegment>, Error> {
        if self.vault(vault)?.waiting.get(log).is_none() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for row in self.logs.waiting_of(vault, log)? {
            look_at_row();
            rows.push(row?.segment);
        }
        self.forget_waiting(vault, log, Seq(0))?;
        Ok(rows)
    }

    /// The chain of a segment that waits.
    pub(crate) fn waiting_chain(
        &self,
        vault: VaultNo,
        log: &LogId,
        seq: Seq,
    ) -> Result<Option<Chain>, Error> {
        look_at_row();
        Ok(self.logs.waiting_chain(vault, log, seq)?)
    }
}
