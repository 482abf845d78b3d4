//! Segments of logs without a certificate, which have no number.

use redb::{Range, ReadableTable};
use subrosa_protocol::ids::{Chain, LogId, Seq};

use super::{CheckedSegment, Logs, LogsView, checked};
use crate::error::StoreError;
use crate::keys::{VaultNo, joined};

/// How much speaks for a log, by its first segment. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// Nothing: it does not open under a key that is held here.
    Shut = 0,
    /// It opens: its author has a key of the vault.
    Opens = 1,
    /// It is a valid certificate, of a device that is not listed yet.
    Certificate = 2,
}

/// A segment that waits.
#[derive(Clone, Debug)]
pub struct WaitingRow {
    /// How much speaks for its log.
    pub rank: Rank,
    /// Whether its entries, of a control segment, were found to hold.
    pub holds: bool,
    /// The segment, of which the log's key is known to have signed it.
    pub segment: CheckedSegment,
}

/// Segments that wait, log by log, those of one log in their order.
pub struct WaitingRows<'t>(Range<'t, &'static [u8; 28], &'static [u8]>);

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

impl Logs<'_> {
    /// Lets a segment wait. `holds` says that its entries do, if it is a control segment.
    pub fn put_waiting(
        &mut self,
        vault: VaultNo,
        (rank, holds): (Rank, bool),
        segment: &CheckedSegment,
    ) -> Result<(), StoreError> {
        let header = segment.segment().header();
        let key = waiting_key(vault, &header.log, header.seq);
        let mut row = self.waiting.insert_reserve(&key, 1 + segment.row_len())?;
        let (first, rest) = row.as_mut().split_at_mut(1);
        first[0] = rank as u8 | if holds { HOLDS } else { 0 };
        segment.write(rest);
        Ok(())
    }

    /// What waits of one log.
    pub fn waiting_of(&self, vault: VaultNo, log: &LogId) -> Result<WaitingRows<'_>, StoreError> {
        let (first, last) = (waiting_key(vault, log, Seq(0)), waiting_key(vault, log, Seq(u64::MAX)));
        Ok(WaitingRows(self.waiting.range::<&[u8; 28]>(&first..=&last)?))
    }

    /// The chain of a segment that waits.
    pub fn waiting_chain(&self, vault: VaultNo, log: &LogId, seq: Seq) -> Result<Option<Chain>, StoreError> {
        let row = self.waiting.get(&waiting_key(vault, log, seq))?;
        let chain = row.map(|row| {
            let (_, rest) = row.value().split_first().ok_or(StoreError::Inconsistent)?;
            checked::chain_of(rest)
        });
        chain.transpose()
    }

    /// Takes what waits of a log from `from` on out; how many segments that were.
    pub fn forget_waiting(&mut self, vault: VaultNo, log: &LogId, from: Seq) -> Result<usize, StoreError> {
        let (first, last) = (waiting_key(vault, log, from), waiting_key(vault, log, Seq(u64::MAX)));
        let mut keys = Vec::new();
        for row in self.waiting.range::<&[u8; 28]>(&first..=&last)? {
            keys.push(*row?.0.value());
        }
        for key in &keys {
            self.waiting.remove(key)?;
        }
        Ok(keys.len())
    }
}

impl LogsView {
    /// Everything that waits in a vault.
    pub fn waiting(&self, vault: VaultNo) -> Result<WaitingRows<'_>, StoreError> {
        let first = waiting_key(vault, &LogId::from_bytes([0; 16]), Seq(0));
        let last = waiting_key(vault, &LogId::from_bytes([0xff; 16]), Seq(u64::MAX));
        Ok(WaitingRows(self.waiting.range::<&[u8; 28]>(&first..=&last)?))
    }
}

impl Iterator for WaitingRows<'_> {
    type Item = Result<WaitingRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?.map_err(StoreError::from);
        Some(row.and_then(|(_, row)| decode(row.value())))
    }
}

/// Of the byte of the rank: the entries of the segment hold.
const HOLDS: u8 = 0x80;

/// `rank | chain | segment`.
pub(super) fn decode(row: &[u8]) -> Result<WaitingRow, StoreError> {
    let (rank, rest) = row.split_first().ok_or(StoreError::Inconsistent)?;
    let holds = rank & HOLDS != 0;
    let rank = Rank::from_stored(*rank & !HOLDS).ok_or(StoreError::Inconsistent)?;
    Ok(WaitingRow { rank, holds, segment: CheckedSegment::stored(rest)? })
}

fn waiting_key(vault: VaultNo, log: &LogId, seq: Seq) -> [u8; 28] {
    joined(&[&vault.0.to_be_bytes(), log.as_bytes(), &seq.0.to_be_bytes()])
}
