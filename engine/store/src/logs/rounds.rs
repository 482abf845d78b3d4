//! Logs that name too many others, and how far they are merged once more.

use redb::ReadableTable as _;
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::ROUND_NAMES_BYTES;

use super::{BranchNo, Logs, LogsView};
use crate::error::StoreError;
use crate::keys::{joined, part};

/// From where on names of a log are not noted one by one, and the round that merges it once more from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundRow {
    /// The first segment with a name that is not noted.
    pub from: Seq,
    /// The first one that the round under way has not visited, if there is one.
    pub next: Option<Seq>,
    /// Whether another round is due after it.
    pub again: bool,
}

/// A set of names of fixed size, which may take a name for one of its own that it has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundNames(pub Box<[u8; ROUND_NAMES_BYTES]>);

impl Logs<'_> {
    /// Keeps how far a log is.
    pub fn put_round(&mut self, log: BranchNo, row: &RoundRow) -> Result<(), StoreError> {
        self.rounds.insert(log.0, &row.encode())?;
        Ok(())
    }

    /// The names of a log that are not noted; none if there are none.
    pub fn round_names(&self, log: BranchNo) -> Result<RoundNames, StoreError> {
        let Some(row) = self.round_names.get(log.0)? else { return Ok(RoundNames::default()) };
        Ok(RoundNames(Box::new(*row.value())))
    }

    /// Puts names in the place of those before.
    pub fn put_round_names(&mut self, log: BranchNo, names: &RoundNames) -> Result<(), StoreError> {
        self.round_names.insert(log.0, &*names.0)?;
        Ok(())
    }

    /// All names of a log are noted one by one.
    pub fn end_rounds(&mut self, log: BranchNo) -> Result<(), StoreError> {
        self.rounds.remove(log.0)?;
        self.round_names.remove(log.0)?;
        Ok(())
    }
}

impl LogsView {
    /// How far the logs are that name too many.
    pub fn rounds(
        &self,
    ) -> Result<impl Iterator<Item = Result<(BranchNo, RoundRow), StoreError>>, StoreError> {
        Ok(self.rounds.iter()?.map(|row| {
            let (log, row) = row?;
            Ok((BranchNo(log.value()), RoundRow::decode(row.value())?))
        }))
    }
}

impl RoundRow {
    /// `from | next | round`: 0 none, 1 one under way, 2 one under way and another one due.
    pub(super) fn encode(&self) -> [u8; 17] {
        let state = if self.next.is_none() { 0 } else { 1 + u8::from(self.again) };
        joined(&[&self.from.0.to_be_bytes(), &self.next.unwrap_or(Seq(0)).0.to_be_bytes(), &[state]])
    }

    pub(super) fn decode(row: &[u8; 17]) -> Result<Self, StoreError> {
        let next = Seq(u64::from_be_bytes(part(row, 8)));
        let (next, again) = match row[16] {
            0 => (None, false),
            1 => (Some(next), false),
            2 => (Some(next), true),
            _ => return Err(StoreError::Inconsistent),
        };
        Ok(Self { from: Seq(u64::from_be_bytes(part(row, 0))), next, again })
    }
}

impl RoundNames {
    /// Every name there is.
    pub fn full() -> Self {
        Self(Box::new([0xff; ROUND_NAMES_BYTES]))
    }
}

impl Default for RoundNames {
    fn default() -> Self {
        Self(Box::new([0; ROUND_NAMES_BYTES]))
    }
}
