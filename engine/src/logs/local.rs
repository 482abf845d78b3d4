//! The end of a local write: state, pending ops and clock go into the tables, in key order.
//!
//! Small writes leave their ops coalesced in the pending table; a bulk write leaves packed bodies, so that sealing
//! it later (or at once, where the relay has been compared with) copies no op a second time.

use subrosa_model::merge::GroupHead;
use subrosa_model::seal::Packed;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::life::host::HostSlot;
use crate::logs::sealing::fill::Filler;
use crate::records::write::{BULK_OPS_MIN, Finished};
use crate::records::{Before, WriteSet, decode_pending};

impl Core {
    /// Runs `f` as one local write.
    pub(crate) fn write_set<R>(
        &self,
        vault: VaultNo,
        f: impl FnOnce(WriteSet) -> Result<(R, WriteSet), Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let wait = self.options.write_wait.map_or(Wait::ForTurn, Wait::ForHost);
        let turn = self.gate.enter(WriterKind::Call, wait)?;
        let (result, set) = f(self.begin_set(&turn, vault)?).map_err(|error| self.explained(error))?;
        self.commit_set(turn, set)?;
        Ok(result)
    }

    /// Commits a host's transaction.
    pub(crate) fn commit_host(&self, slot: &HostSlot) -> Result<(), Error> {
        self.check_process()?;
        let (set, turn) = slot.take()?;
        self.commit_set(turn, set)
    }

    fn commit_set(&self, turn: Turn, set: WriteSet) -> Result<(), Error> {
        if set.is_empty() {
            return Ok(());
        }
        let finished = set.into_finished();
        self.write_and_leave(turn, Durable::Now, |tx| tx.put_finished(finished))?;
        self.notify_pending();
        Ok(())
    }
}

impl Tx<'_> {
    /// Puts a local write into the tables.
    fn put_finished(&mut self, mut write: Finished) -> Result<(), Error> {
        if self.state.clock.max() < write.clock.max() {
            self.state.clock = write.clock;
        }
        for (index, name) in write.new_collections.iter().enumerate() {
            let number = self.intern_collection(write.vault, name)?;
            if number.0 as usize != write.collections_before + index {
                return Err(Error::Store(StoreError::Inconsistent));
            }
        }
        if self.is_bulk(&write)? {
            self.put_bulk(&write)?;
        } else {
            self.put_pending(&write)?;
        }
        for (key, written) in std::mem::take(&mut write.records) {
            if let Some(row) = &written.row
                && written.changed
            {
                let before = if written.is_new { Before::Nothing } else { Before::Stored };
                self.records.replace(&key, before, row.borrow())?;
            }
        }
        Ok(())
    }

    /// Bulk writes skip coalescing; so none of their records may have ops that wait for it.
    fn is_bulk(&self, write: &Finished) -> Result<bool, Error> {
        if write.ops < BULK_OPS_MIN {
            return Ok(false);
        }
        if !self.unsealed.has_any_ops(write.vault)? {
            return Ok(true);
        }
        for key in write.records.keys() {
            if self.unsealed.has_ops(key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_pending(&mut self, write: &Finished) -> Result<(), Error> {
        for (key, written) in &write.records {
            let Some(earlier) = self.unsealed.ops(key)? else {
                self.unsealed.put_ops(key, &written.ops)?;
                continue;
            };
            let mut pending = decode_pending(key.record(), &written.collection, &earlier)?;
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                pending.push(op);
            }
            let mut row = Vec::new();
            pending.encode(&mut row);
            self.unsealed.put_ops(key, &row)?;
        }
        Ok(())
    }

    fn put_bulk(&mut self, write: &Finished) -> Result<(), Error> {
        let vault = self.vault_mut(write.vault)?;
        let batch = vault.next_batch;
        vault.next_batch += 1;
        let seal_now = vault.may_seal && vault.may_speak();
        let seen = self.take_seen(write.vault)?;
        let mut filler = Filler::new(GroupHead { seen, ..GroupHead::of(write.clock.max()) });
        for (key, written) in &write.records {
            for op in decode_pending(key.record(), &written.collection, &written.ops)?.into_ops() {
                filler.push(&op);
            }
        }
        let bodies = filler.finish();
        if seal_now && !self.unsealed.has_bulk(write.vault)? {
            return self.seal_bodies(write.vault, bodies.iter());
        }
        let rows: Vec<_> = bodies.iter().map(Packed::to_row).collect();
        Ok(self.unsealed.put_bulk(write.vault, batch, &rows)?)
    }
}
