//! What is read from the disk is checked before it is shown: one bad row, served for ever, keeps every new device out.
//!
//! The author's signature was checked when the segment came, and so was its place behind the one before it. Here the
//! mark that its index row keeps is made again from rseq, chain and bytes: a twentieth of a nanosecond a byte and one
//! look-up, where the chain's SHA-256 takes half a nanosecond and made a relay that serves cost half as much again.
//! Bytes that rotted do not pass, but for one in 2^64; somebody who can write to the disk could make them pass, as any
//! hash, and would be found out by the clients, who check signatures.

use std::collections::HashMap;

use redb::ReadOnlyTable;
use subrosa_protocol::ids::{Base, Chain, LogId, PublicKeyBytes, Rseq, Seq};
use subrosa_protocol::segment::Header;

use super::super::StoreError;
use super::super::rows::{INDEX, LogRow, Place};
use super::snapshot::Snapshot;

/// Whether the head in a log's row is compared with the index, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadCheck {
    /// Yes, once for each log met: a wrong one would make every digest wrong.
    Compare,
    /// No: who looks for where the damage begins compares it at the end.
    Leave,
}

/// The rows of one vault. See the module's documentation.
pub(super) struct Checked<'a> {
    snapshot: &'a Snapshot,
    no: u64,
    heads: HeadCheck,
    index: ReadOnlyTable<(u64, u32, u64), &'static [u8; Place::LEN]>,
    /// Rows of the logs met so far.
    logs: HashMap<LogId, LogRow>,
    /// The last segment checked of each log.
    before: HashMap<LogId, Seq>,
}

/// What stands at one rseq.
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) public: PublicKeyBytes,
    pub(super) chain: Chain,
    pub(super) base: Base,
}

const fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged { what }
}

impl<'a> Checked<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, no: u64, heads: HeadCheck) -> Result<Self, StoreError> {
        let index = snapshot.0.open_table(INDEX)?;
        Ok(Self { snapshot, no, heads, index, logs: HashMap::new(), before: HashMap::new() })
    }

    /// Checks the bytes that were read from `rseq`.
    pub(super) fn segment(&mut self, rseq: Rseq, bytes: &[u8]) -> Result<Found, StoreError> {
        let header = Header::of_segment(bytes).map_err(|_| damaged("a segment's shape"))?;
        let row = self.row(&header.log)?;
        let place = self.place(&row, header.seq)?.ok_or(damaged("a segment without a place"))?;
        if let Some(before) = header.seq.0.checked_sub(1).map(Seq)
            && header.seq != row.base.seq
            && self.before.get(&header.log) != Some(&before)
            && self.place(&row, before)?.is_none()
        {
            return Err(damaged("a gap in a log"));
        }
        if place.rseq != rseq || !place.is_of(bytes) {
            return Err(damaged("a segment's bytes"));
        }
        if header.kind.class() != row.class {
            return Err(damaged("a log's class"));
        }
        self.before.insert(header.log, header.seq);
        Ok(Found { header, public: row.public, chain: place.chain, base: row.base })
    }

    fn row(&mut self, log: &LogId) -> Result<LogRow, StoreError> {
        if let Some(row) = self.logs.get(log) {
            return Ok(*row);
        }
        let row = self.snapshot.log(self.no, log)?.ok_or(damaged("a segment without a log"))?;
        if LogId::of(&row.public) != *log {
            return Err(damaged("a log's key"));
        }
        if self.heads == HeadCheck::Compare
            && self.place(&row, row.seq)?.is_none_or(|place| place.chain != row.chain)
        {
            return Err(damaged("a log's head"));
        }
        self.logs.insert(*log, row);
        Ok(row)
    }

    fn place(&self, row: &LogRow, seq: Seq) -> Result<Option<Place>, StoreError> {
        Ok(self.index.get((self.no, row.no, seq.0))?.map(|value| Place::decode(value.value())))
    }
}
