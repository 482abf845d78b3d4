//! What is carried: which segment carries which, and what of it has no place yet.

use redb::ReadableTable as _;
use subrosa_protocol::ids::{Chain, LogId, Seq};

use super::{BranchNo, Logs, LogsView, segment_key};
use crate::error::StoreError;
use crate::keys::{VaultNo, joined, part};

/// Where the segment stands that carries another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CarriedIn {
    /// Its branch.
    pub branch: BranchNo,
    /// Its place there.
    pub seq: Seq,
}

/// A carried segment that has no place yet: its log has no certificate here, or what it follows is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LooseRow {
    /// The log of what is inside.
    pub log: LogId,
    /// The chain that it follows.
    pub prev: Chain,
    /// Where it is.
    pub outer: CarriedIn,
}

impl LooseRow {
    /// `vault | log | beginning of the previous chain | branch | seq`.
    fn key(&self, vault: VaultNo) -> [u8; 40] {
        let CarriedIn { branch, seq } = self.outer;
        let prev = &self.prev.as_bytes()[..8];
        let (branch, seq) = (branch.0.to_be_bytes(), seq.0.to_be_bytes());
        joined(&[&vault.0.to_be_bytes(), self.log.as_bytes(), prev, &branch, &seq])
    }
}

/// The key of a loose row says where it is and no more.
fn outer_of(key: &[u8; 40]) -> CarriedIn {
    CarriedIn {
        branch: BranchNo(u32::from_be_bytes(part(key, 28))),
        seq: Seq(u64::from_be_bytes(part(key, 32))),
    }
}

impl Logs<'_> {
    /// Which segment carries one, of a branch itself; the first that was found.
    pub fn carried_in(&self, branch: BranchNo, seq: Seq) -> Result<Option<CarriedIn>, StoreError> {
        Ok(self.carried.get(&segment_key(branch, seq))?.map(|row| CarriedIn {
            branch: BranchNo(u32::from_be_bytes(part(row.value(), 0))),
            seq: Seq(u64::from_be_bytes(part(row.value(), 4))),
        }))
    }

    /// Keeps which segment carries one, of a branch itself.
    pub fn put_carried(&mut self, branch: BranchNo, seq: Seq, outer: CarriedIn) -> Result<(), StoreError> {
        self.carried.insert(&segment_key(branch, seq), &segment_key(outer.branch, outer.seq))?;
        Ok(())
    }

    /// Keeps that a carried segment has no place yet.
    pub fn put_loose(&mut self, vault: VaultNo, row: &LooseRow) -> Result<(), StoreError> {
        self.loose.insert(&row.key(vault), ())?;
        Ok(())
    }

    /// Takes out what has no place yet and follows a segment of a log; with no chain, all of the log.
    pub fn take_loose(
        &mut self,
        vault: VaultNo,
        log: &LogId,
        prev: Option<&Chain>,
    ) -> Result<Vec<CarriedIn>, StoreError> {
        let bound = |fill| {
            let prev = prev.map_or([fill; 8], |prev| part(prev.as_bytes(), 0));
            joined(&[&vault.0.to_be_bytes(), log.as_bytes(), &prev, &[fill; 12]])
        };
        let (first, last): ([u8; 40], [u8; 40]) = (bound(0), bound(0xff));
        let mut found = Vec::new();
        for row in self.loose.extract_from_if::<&[u8; 40], _>(&first..=&last, |_, ()| true)? {
            found.push(outer_of(row?.0.value()));
        }
        Ok(found)
    }
}

impl LogsView {
    /// The carried segments of a vault that have no place yet: the log of each, and the beginning of the chain that it follows.
    pub fn loose(
        &self,
        vault: VaultNo,
    ) -> Result<impl Iterator<Item = Result<(LogId, [u8; 8]), StoreError>>, StoreError> {
        let bound = |fill| joined(&[&vault.0.to_be_bytes(), &[fill; 36]]);
        let (first, last): ([u8; 40], [u8; 40]) = (bound(0), bound(0xff));
        let rows = self.loose.range::<&[u8; 40]>(&first..=&last)?;
        Ok(rows.map(|row| {
            let key = row?.0;
            Ok((LogId::from_bytes(part(key.value(), 4)), part(key.value(), 20)))
        }))
    }

    /// Whether a segment of a branch itself is known to be carried.
    pub fn is_carried(&self, branch: BranchNo, seq: Seq) -> Result<bool, StoreError> {
        Ok(self.carried.get(&segment_key(branch, seq))?.is_some())
    }
}
