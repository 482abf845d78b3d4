//! The end of a local write: state, pending ops and clock go into the tables, in key order.
//!
//! Small writes leave their ops coalesced in the pending table; a bulk write leaves packed bodies, so that sealing
//! it later (or at once, where the relay has been compared with) copies no op a second time.

use std::collections::BTreeMap;
use std::sync::Arc;

use subrosa_model::merge::HybridClock;
use subrosa_model::seal::Packed;
use subrosa_store::error::StoreError;
use subrosa_store::tables::{RecordKey, VaultNo};

use super::{BULK_OPS_MIN, WriteSet, Written, decode_pending};
use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::sealing::fill::Filler;
use crate::records::Before;

impl WriteSet {
    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Lets go of the snapshot, so that the commit can use its pages again.
    pub(crate) fn into_finished(self) -> Finished {
        let collections_before = self.names.shared().collections.len();
        let Self { names, clock, new_collections, records, ops, .. } = self;
        Finished { vault: names.vault(), clock, collections_before, new_collections, records, ops }
    }
}

/// A write set that sees nothing any more, on its way into the tables.
pub(crate) struct Finished {
    vault: VaultNo,
    clock: HybridClock,
    collections_before: usize,
    new_collections: Vec<Arc<str>>,
    records: BTreeMap<RecordKey, Written>,
    ops: usize,
}

impl Finished {
    /// Puts everything into the tables.
    pub(crate) fn put(mut self, tx: &mut Tx<'_>) -> Result<(), Error> {
        if tx.state.clock.max() < self.clock.max() {
            tx.state.clock = self.clock;
        }
        for (index, name) in self.new_collections.iter().enumerate() {
            let number = tx.intern_collection(self.vault, name)?;
            if number.0 as usize != self.collections_before + index {
                return Err(Error::Store(StoreError::Inconsistent));
            }
        }
        if self.is_bulk(tx)? {
            self.put_bulk(tx)?;
        } else {
            self.put_pending(tx)?;
        }
        for (key, written) in std::mem::take(&mut self.records) {
            if let Some(row) = &written.row
                && written.changed
            {
                let before = if written.is_new { Before::Nothing } else { Before::Stored };
                tx.records.replace(&key, before, row.borrow())?;
            }
        }
        Ok(())
    }

    /// Bulk writes skip coalescing; so none of their records may have ops that wait for it.
    fn is_bulk(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        if self.ops < BULK_OPS_MIN {
            return Ok(false);
        }
        if !tx.unsealed.has_any_ops(self.vault)? {
            return Ok(true);
        }
        for key in self.records.keys() {
            if tx.unsealed.has_ops(key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_pending(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        for (key, written) in &self.records {
            let Some(earlier) = tx.unsealed.ops(key)? else {
                tx.unsealed.put_ops(key, &written.ops)?;
                continue;
            };
            let mut pending = decode_pending(key.record(), &written.collection, &earlier)?;
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                pending.push(op);
            }
            let mut row = Vec::new();
            pending.encode(&mut row);
            tx.unsealed.put_ops(key, &row)?;
        }
        Ok(())
    }

    fn put_bulk(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        let vault = tx.vault_mut(self.vault)?;
        let batch = vault.next_batch;
        vault.next_batch += 1;
        let seal_now = vault.may_seal;
        let mut filler = Filler::new(Vec::new());
        for (key, written) in &self.records {
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                filler.push(&op);
            }
        }
        let bodies = filler.finish();
        if seal_now && !tx.unsealed.has_bulk(self.vault)? {
            return tx.seal_bodies(self.vault, bodies.iter());
        }
        let rows: Vec<_> = bodies.iter().map(Packed::to_row).collect();
        Ok(tx.unsealed.put_bulk(self.vault, batch, &rows)?)
    }
}
