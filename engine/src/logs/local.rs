//! The end of a local write: state, ops and clock go into the tables, in key order.

use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::life::host::HostSlot;
use crate::logs::batches::NewOps;
use crate::records::write::Finished;
use crate::records::{Before, WriteSet};

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
        let durable = if faults::WRITES_NOT_DURABLE { Durable::Later } else { Durable::Now };
        self.write_and_leave(turn, durable, |tx| tx.put_finished(finished))?;
        self.notify_pending();
        Ok(())
    }
}

impl Tx<'_> {
    /// Puts a local write into the tables.
    pub(crate) fn put_finished(&mut self, write: Finished) -> Result<(), Error> {
        if self.vault(write.vault)?.own_clock.is_some() {
            self.put_own_clock(write.vault, Some(write.clock.max()))?;
        } else if self.state.clock.max() < write.clock.max() {
            self.state.clock = write.clock;
        }
        for (index, name) in write.new_collections.iter().enumerate() {
            let number = self.intern_collection(write.vault, name)?;
            if number.0 as usize != write.collections_before + index {
                return Err(Error::Store(StoreError::Inconsistent));
            }
        }
        let rows = write.records.iter().map(|(key, written)| (key, &*written.collection, &written.ops[..]));
        let new = NewOps { rows: rows.collect(), ops: write.ops, latest: write.latest };
        // Once heads are compared, a bulk write is sealed as it commits, unless too much waits in front of it.
        let state = self.vault(write.vault)?;
        let may_seal = state.may_seal && state.may_speak();
        if new.is_bulk() && may_seal && !self.seal_batches(write.vault)? {
            let bodies = self.bodies_of(write.vault, &new)?;
            self.seal_bodies(write.vault, bodies.iter())?;
        } else {
            self.queue(write.vault, &new)?;
        }
        drop(new);
        let rows =
            write.records.iter().filter(|(_, written)| written.changed).filter_map(|(key, written)| {
                let before = if written.is_new { Before::Nothing } else { Before::Stored };
                Some((*key, before, written.row.as_ref()?.borrow()))
            });
        let rows: Vec<_> = rows.collect();
        self.records.replace_sorted(&rows)?;
        let replaced = rows.iter().filter(|(_, before, _)| matches!(before, Before::Stored));
        replaced.map(|(key, ..)| *key).try_for_each(|key| self.pass_early(&key))
    }
}
