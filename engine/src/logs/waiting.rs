//! Logs without a certificate: their segments wait in a table of their own, bounded in bytes and in number, are never
//! passed on, and go without a trace (`docs/FORMAT.md`, "Quarantine").
//!
//! Who has made up a log does not get far: what opens under a key that is held here stays longer than what does not,
//! and a control log that begins with a valid certificate stays longest, whoever fed the rest. What was not kept is
//! asked for again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use redb::ReadableTable as _;
use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_protocol::limits::{
    LOGS_PER_VAULT_MAX, QUARANTINE_LOG_BYTES_MAX, QUARANTINE_LOG_SEGMENTS_MAX, QUARANTINE_VAULT_BYTES_MAX,
};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::tables::{WAITING, waiting_key};

use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::checked::CheckedSegment;
use crate::memory::cost::look_at_row;

/// How much speaks for a log, by its first segment. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Rank {
    /// Nothing: it does not open under a key that is held here.
    Shut = 0,
    /// It opens: its author has a key of the vault.
    Opens = 1,
    /// It is a valid certificate, of a device that is not listed yet.
    Certificate = 2,
}

impl Rank {
    const fn from_stored(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Shut),
            1 => Some(Self::Opens),
            2 => Some(Self::Certificate),
            _ => None,
        }
    }
}

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
        txn: &redb::ReadTransaction,
        vault: VaultNo,
        mut fold: impl FnMut(&LogId, &Chain, &SealedSegment),
    ) -> Result<Self, StoreError> {
        let mut waiting = Self::default();
        let none = LogId::from_bytes([0; 16]);
        let (first, last) = (waiting_key(vault, &none, Seq(0)), last_of(vault));
        for row in txn.open_table(WAITING)?.range::<&[u8; 28]>(&first..=&last)? {
            let (_, row) = row?;
            let (rank, checked) = split_waiting_row(row.value())?;
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
        let (log, seq, bytes) = (segment.header().log, segment.header().seq, segment.bytes().len());
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
        let mut row = vec![rank as u8];
        row.extend_from_slice(checked.chain().as_bytes());
        row.extend_from_slice(segment.bytes());
        self.tables.waiting.insert(&waiting_key(vault, &log, seq), &row[..])?;
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
        let (first, last) = (waiting_key(vault, log, from), waiting_key(vault, log, Seq(u64::MAX)));
        let mut keys = Vec::new();
        for row in self.tables.waiting.range::<&[u8; 28]>(&first..=&last)? {
            look_at_row();
            keys.push(*row?.0.value());
        }
        for key in keys {
            self.tables.waiting.remove(&key)?;
        }
        let left = self.tables.waiting.get(&waiting_key(vault, log, Seq(0)))?;
        let left = left.map(|row| split_waiting_row(row.value())).transpose()?;
        let waiting = &mut self.vault_mut(vault)?.waiting;
        waiting.remove(log);
        if let Some((rank, first)) = left {
            waiting.add(&first, rank);
        }
        Ok(())
    }

    /// Takes a log out of what waits: it has a certificate now.
    pub(crate) fn take_waiting(&mut self, vault: VaultNo, log: &LogId) -> Result<Vec<CheckedSegment>, Error> {
        if self.vault(vault)?.waiting.get(log).is_none() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        let (first, last) = (waiting_key(vault, log, Seq(0)), waiting_key(vault, log, Seq(u64::MAX)));
        for row in self.tables.waiting.range::<&[u8; 28]>(&first..=&last)? {
            look_at_row();
            rows.push(split_waiting_row(row?.1.value())?.1);
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
        let row = self.tables.waiting.get(&waiting_key(vault, log, seq))?;
        Ok(row.map(|row| split_waiting_row(row.value())).transpose()?.map(|(_, checked)| *checked.chain()))
    }
}

fn last_of(vault: VaultNo) -> [u8; 28] {
    waiting_key(vault, &LogId::from_bytes([0xff; 16]), Seq(u64::MAX))
}

/// `rank | chain | segment`.
fn split_waiting_row(row: &[u8]) -> Result<(Rank, CheckedSegment), StoreError> {
    let (rank, rest) = row.split_first().ok_or(StoreError::Inconsistent)?;
    let rank = Rank::from_stored(*rank).ok_or(StoreError::Inconsistent)?;
    Ok((rank, CheckedSegment::stored(rest)?))
}
