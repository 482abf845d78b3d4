//! What is kept in memory of logs without a certificate: those of which segments wait, within bounds, and the names of
//! others in tombstones, which wait too (`docs/FORMAT.md`, "Quarantine" and "Names that wait").

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{Base, Chain, LogId, Seq};
use subrosa_protocol::limits::{
    QUARANTINE_LOG_BYTES_MAX, QUARANTINE_LOG_SEGMENTS_MAX, QUARANTINE_LOGS_MAX, QUARANTINE_VAULT_BYTES_MAX,
};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, CheckedSegment, LogsView, NoteRow, Rank, RoundRow, WaitingRow};

use crate::memory::fold::Looked;

/// A log of which segments wait: all from where it begins to its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingLog {
    pub(crate) class: Class,
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    pub(crate) rank: Rank,
    pub(crate) base: Base,
    /// Whether its last segment closes it.
    pub(crate) closed: bool,
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
    pub(crate) fn add(&mut self, checked: &CheckedSegment, rank: Rank) {
        let (header, bytes) = (checked.segment().header(), checked.segment().bytes().len());
        let before = self.remove(&header.log);
        let after = WaitingLog {
            class: header.kind.class(),
            seq: header.seq,
            chain: *checked.chain(),
            closed: header.kind.closes(),
            rank: before.map_or(rank, |before| before.rank),
            base: before.map_or(Base { seq: header.seq, chain: header.prev }, |before| before.base),
            bytes: before.map_or(0, |before| before.bytes) + bytes,
        };
        self.bytes += after.bytes;
        self.turns.insert((after.rank, Reverse(after.bytes), header.log));
        self.logs.insert(header.log, after);
    }

    pub(crate) fn remove(&mut self, log: &LogId) -> Option<WaitingLog> {
        let info = self.logs.remove(log)?;
        self.bytes -= info.bytes;
        self.turns.remove(&(info.rank, Reverse(info.bytes), *log));
        Some(info)
    }

    /// Whether a log may have one more segment of so many bytes, as far as its own bounds go.
    pub(crate) fn has_room_of_its_own(&self, log: &LogId, bytes: usize) -> bool {
        let held = self.get(log);
        held.map_or(0, |held| held.bytes) + bytes <= QUARANTINE_LOG_BYTES_MAX
            && held
                .is_none_or(|held| held.seq.next().0 - held.base.seq.0 < QUARANTINE_LOG_SEGMENTS_MAX as u64)
    }

    /// The log that makes room for one more segment of `log`, if one is needed; `Err` if none does.
    pub(crate) fn who_makes_room(&self, log: &LogId, rank: Rank, bytes: usize) -> Result<Option<LogId>, ()> {
        let held = self.get(log);
        let full = self.bytes + bytes > QUARANTINE_VAULT_BYTES_MAX
            || (held.is_none() && self.logs.len() >= QUARANTINE_LOGS_MAX);
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
        mut fold: impl FnMut(&SealedSegment, Looked),
    ) -> Result<Self, StoreError> {
        let mut waiting = Self::default();
        for row in logs.waiting(vault)? {
            let WaitingRow { rank, holds, segment: checked } = row?;
            let header = checked.segment().header();
            if header.kind.class() == Class::Control {
                fold(checked.segment(), if holds { Looked::Before } else { Looked::Never });
            }
            waiting.add(&checked, rank);
        }
        Ok(waiting)
    }
}

/// What is noted of the logs of one vault.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// How many notes there are of each naming log.
    pub(crate) counts: HashMap<BranchNo, usize>,
    /// Of naming logs that have too many: from where on nothing is noted, and how far they are merged once more.
    pub(crate) rounds: BTreeMap<BranchNo, RoundRow>,
    /// Logs that are certified or capped now, and from which of their notes on segments are not merged once more.
    pub(crate) again: BTreeMap<LogId, (BranchNo, Seq)>,
}

impl Notes {
    pub(crate) fn load(logs: &LogsView, vault: VaultNo) -> Result<Self, StoreError> {
        let mut notes = Self::default();
        for row in logs.notes(vault)? {
            *notes.counts.entry(row?.by).or_default() += 1;
        }
        for row in logs.named_again(vault)? {
            let NoteRow { named, by, seq } = row?;
            notes.again.insert(named, (by, seq));
        }
        Ok(notes)
    }

    #[cfg(test)]
    pub(crate) fn of(&self, by: BranchNo) -> (usize, Option<Seq>) {
        let from = self.rounds.get(&by).map(|round| round.from);
        (self.counts.get(&by).copied().unwrap_or_default(), from)
    }
}
