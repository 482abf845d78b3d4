//! What is read from the disk is checked before it is shown: one bad row, served for ever, keeps every new device out.
//!
//! The author's signature was checked when the segment came. Here its bytes are hashed once and compared with the
//! chain in the index, which continues the chain of the place before it, and its signature with the mark that the
//! index keeps: half a nanosecond a byte and one or two look-ups, against 50 microseconds for the signature. Bytes
//! that rotted cannot pass; somebody who can write to the disk could make them pass, and would be found out by
//! the clients, who check signatures.

use std::collections::HashMap;

use redb::ReadOnlyTable;
use subrosa_protocol::ids::{Chain, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::segment::{ChainPreimage, HEADER_LEN, Header, SIGNATURE_LEN};

use super::super::StoreError;
use super::super::rows::{INDEX, LogRow, Place, mark};
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
    vault: &'a VaultId,
    no: u64,
    heads: HeadCheck,
    index: ReadOnlyTable<(u64, u32, u64), &'static [u8; Place::LEN]>,
    /// Rows of the logs met so far.
    logs: HashMap<LogId, LogRow>,
    /// The last segment checked of each log.
    before: HashMap<LogId, (Seq, Chain)>,
}

/// What stands at one rseq.
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) public: PublicKeyBytes,
    pub(super) chain: Chain,
}

const fn damaged(what: &'static str) -> StoreError {
    StoreError::Damaged { what }
}

impl<'a> Checked<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        vault: &'a VaultId,
        no: u64,
        heads: HeadCheck,
    ) -> Result<Self, StoreError> {
        let index = snapshot.0.open_table(INDEX)?;
        Ok(Self { snapshot, vault, no, heads, index, logs: HashMap::new(), before: HashMap::new() })
    }

    /// Checks the bytes that were read from `rseq`.
    pub(super) fn segment(&mut self, rseq: Rseq, bytes: &[u8]) -> Result<Found, StoreError> {
        let header = Header::of_segment(bytes).map_err(|_| damaged("a segment's shape"))?;
        let row = self.row(&header.log)?;
        let place = self.place(&row, header.seq)?.ok_or(damaged("a segment without a place"))?;
        let prev = match (header.seq.0.checked_sub(1), self.before.get(&header.log)) {
            (None, _) => Chain::ZERO,
            (Some(before), Some((seq, chain))) if seq.0 == before => *chain,
            (Some(before), _) => self.place(&row, Seq(before))?.ok_or(damaged("a gap in a log"))?.chain,
        };
        let body = &bytes[HEADER_LEN..bytes.len() - SIGNATURE_LEN];
        let chain = ChainPreimage::new(&header.hash(self.vault, &prev), &header.commit, body).chain();
        if place != (Place { rseq, chain, mark: mark(bytes) }) {
            return Err(damaged("a segment's bytes"));
        }
        if header.kind.class() != row.class {
            return Err(damaged("a log's class"));
        }
        self.before.insert(header.log, (header.seq, chain));
        Ok(Found { header, public: row.public, chain })
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
