//! One write transaction: everything that changes the store goes through [`Core::write`].

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use redb::{Durability, ReadableTable as _};
use subrosa_model::merge::{LogNo, Stamp};
use subrosa_protocol::ids::{Chain, LogId, PublicKeyBytes, Seq};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::tables::{CollectionNo, Tables, VaultNo, collection_key, segment_key};
use subrosa_store::unsealed::Unsealed;

use crate::error::Error;
use crate::life::gate::{Turn, Wait, WriterKind};
use crate::life::{Core, OpenStore};
use crate::logs::checked::CheckedSegment;
use crate::memory::state::{LogHead, LogInfo, LogRow, State, VaultState, split_segment_row};
use crate::records::watch::VaultChange;
use crate::records::{Records, watch};

/// How a commit reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before the call returns.
    Now,
    /// With the next durable commit; for what costs nothing to lose.
    Later,
}

/// A write transaction. Dropping it without [`Core::write`] committing it changes nothing.
pub(crate) struct Tx<'t> {
    pub(crate) core: &'t Core,
    pub(crate) state: &'t mut State,
    pub(crate) tables: Tables<'t>,
    /// Merged rows, behind their door.
    pub(crate) records: Records<'t>,
    /// What waits for sealing, behind its door.
    pub(crate) unsealed: Unsealed<'t>,
    /// Wall time of this transaction.
    pub(crate) now_ms: u64,
    clock_before: Stamp,
    /// Vaults whose memory must be read again should this not commit.
    touched: BTreeSet<VaultNo>,
}

/// Names and clock before a transaction.
struct Before {
    logs: usize,
    collections: usize,
    clock: Stamp,
}

impl Core {
    /// Runs `f` in a durable write transaction: all of it happens, or nothing.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>) -> Result<R, Error> {
        self.write_with(Durable::Now, f)
    }

    /// As [`Core::write`], with a choice.
    pub(crate) fn write_with<R>(
        &self,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.check_process()?;
        let turn = self.gate.enter(WriterKind::Call, Wait::ForTurn)?;
        self.write_and_leave(turn, durable, f)
    }

    /// As [`Core::write`], for who has the turn and keeps it.
    pub(crate) fn write_in_turn<R>(
        &self,
        _turn: &Turn,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (result, changes) = self.transact(Durable::Now, f)?;
        let told = self.watchers.notify(&changes);
        self.watchers.tell_late(told);
        Ok(result)
    }

    /// As [`Core::write_with`], for who has the turn, which ends with it.
    pub(crate) fn write_and_leave<R>(
        &self,
        turn: Turn,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (result, changes) = self.transact(durable, f)?;
        // In turn, so that watchers hear of commits in their order; their hooks only when the turn is over.
        let told = self.watchers.notify(&changes);
        drop(turn);
        told.call_hooks();
        Ok(result)
    }

    /// Runs `f` in a transaction. Also when it panics, the transaction ends and memory is what the store holds
    /// before a lock is given back: whoever embeds this library may catch the panic and go on.
    fn transact<R>(
        &self,
        durable: Durable,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<(R, Vec<VaultChange>), Error> {
        let now_ms = self.now_ms();
        let mut state = self.lock_state()?;
        self.with_open(|open| {
            if state.stale {
                *state = State::load(open, &self.options)?;
            }
            let done = self.attempt(open, &mut state, durable, now_ms, f);
            done.map_err(|error| open.explain_error(error))
        })
    }

    fn attempt<R>(
        &self,
        open: &OpenStore,
        state: &mut State,
        durable: Durable,
        now_ms: u64,
        f: impl FnOnce(&mut Tx<'_>) -> Result<R, Error>,
    ) -> Result<(R, Vec<VaultChange>), Error> {
        let mut txn = open.db.begin_write()?;
        match durable {
            Durable::Now => txn.set_quick_repair(true),
            Durable::Later => txn.set_durability(Durability::None).map_err(StoreError::from)?,
        }
        let before =
            Before { logs: state.logs.len(), collections: state.collections.len(), clock: state.clock.max() };
        // Nothing of redb may be dropped by unwinding: it would leave the transaction's pages lost until a repair.
        let (done, changes, touched) = {
            let mut tx = Tx {
                core: self,
                now_ms,
                clock_before: before.clock,
                touched: BTreeSet::new(),
                state: &mut *state,
                tables: Tables::open(&txn)?,
                records: Records::open(&txn, self.watchers.row_changes())?,
                unsealed: Unsealed::open(&txn)?,
            };
            let work = || f(&mut tx).and_then(|result| tx.finish().map(|()| result));
            let done = catch_unwind(AssertUnwindSafe(work));
            (done, tx.records.into_changes(), !tx.touched.is_empty())
        };
        match done {
            Ok(Ok(result)) => {
                let changes = watch::told(changes, state);
                self.commit(open, state, txn, &before, touched)?;
                Ok((result, changes))
            }
            Ok(Err(error)) => {
                // The error at hand says more than one about giving up would.
                let _ = txn.abort();
                self.undo(open, state, &before, touched);
                Err(error)
            }
            Err(panic) => {
                let _ = txn.abort();
                self.undo(open, state, &before, true);
                resume_unwind(panic)
            }
        }
    }

    /// Commits, with new names in the readers' hands before there can be a row that needs them.
    fn commit(
        &self,
        open: &OpenStore,
        state: &mut State,
        txn: redb::WriteTransaction,
        before: &Before,
        touched: bool,
    ) -> Result<(), Error> {
        let grown = state.logs.len() != before.logs || state.collections.len() != before.collections;
        let names_before = grown.then(|| self.publish(Arc::new(state.shared())));
        let committed = catch_unwind(AssertUnwindSafe(|| txn.commit()));
        if matches!(committed, Ok(Ok(()))) {
            return Ok(());
        }
        // Numbers are not given again while somebody may read by them: after a failed commit redb takes no more.
        if let Some(names) = names_before {
            self.publish(names);
        }
        match committed {
            Ok(result) => {
                self.undo(open, state, before, touched);
                Ok(result?)
            }
            Err(panic) => {
                self.undo(open, state, before, true);
                resume_unwind(panic)
            }
        }
    }

    /// Makes memory what it was before a transaction that did not commit.
    fn undo(&self, open: &OpenStore, state: &mut State, before: &Before, touched: bool) {
        state.logs.truncate(before.logs);
        state.collections.truncate(before.collections);
        if touched {
            match State::load(open, &self.options) {
                Ok(reloaded) => *state = reloaded,
                Err(_) => state.stale = true,
            }
        }
    }
}

impl Tx<'_> {
    /// Persists how far this transaction moved the clock.
    fn finish(&mut self) -> Result<(), Error> {
        let clock = self.state.clock.max();
        if clock != self.clock_before {
            self.put_meta("clock", &clock.0.to_be_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn put_meta(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.tables.meta.insert(name, value)?;
        Ok(())
    }

    pub(crate) fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.tables.meta.get(name)?.map(|row| row.value().to_vec()))
    }

    pub(crate) fn vault(&self, number: VaultNo) -> Result<&VaultState, Error> {
        self.state.vaults.get(&number).ok_or(Error::NoVault)
    }

    /// The vault for changing its memory; it is read again should the transaction fail.
    pub(crate) fn vault_mut(&mut self, number: VaultNo) -> Result<&mut VaultState, Error> {
        self.touched.insert(number);
        self.state.vaults.get_mut(&number).ok_or(Error::NoVault)
    }

    /// Says that the memory of a new vault must go should the transaction fail.
    pub(crate) fn touch(&mut self, number: VaultNo) {
        self.touched.insert(number);
    }

    /// The number of a collection, a new one if it has none.
    pub(crate) fn intern_collection(&mut self, vault: VaultNo, name: &str) -> Result<CollectionNo, Error> {
        if let Some(number) = self.state.collections.number(vault, name) {
            return Ok(number);
        }
        let number = self.state.collections.add(vault, name);
        self.tables.collections.insert(&collection_key(vault, name)[..], number.0)?;
        Ok(number)
    }

    /// Gives a log its number: one of ours, or one with a certificate. Nothing else may have one.
    pub(crate) fn register_log(
        &mut self,
        vault: VaultNo,
        public: &PublicKeyBytes,
        class: Class,
    ) -> Result<LogNo, Error> {
        let id = LogId::of(public);
        if let Some(number) = self.state.logs.number(vault, &id) {
            return Ok(number);
        }
        let number = self.state.logs.intern(vault, id, class);
        let row = LogRow { vault, public: *public, class };
        self.tables.logs.insert(number.0, &row.encode())?;
        self.vault_mut(vault)?.logs.insert(number, LogInfo { id, public: *public, class });
        Ok(number)
    }

    pub(crate) fn head(&self, log: LogNo) -> Result<Option<LogHead>, Error> {
        Ok(self.tables.heads.get(log.0)?.map(|row| LogHead::decode(row.value())))
    }

    pub(crate) fn put_head(&mut self, log: LogNo, head: &LogHead) -> Result<(), Error> {
        self.tables.heads.insert(log.0, &head.encode())?;
        Ok(())
    }

    /// Stores a segment as its log's new head; `merged` says from where on it is not merged.
    pub(crate) fn store_segment(
        &mut self,
        log: LogNo,
        segment: &CheckedSegment,
        merged: Seq,
    ) -> Result<(), Error> {
        let (chain, segment) = (*segment.chain(), segment.segment());
        let seq = segment.header().seq;
        let bytes = segment.bytes();
        {
            let mut row = self.tables.segments.insert_reserve(&segment_key(log, seq), 32 + bytes.len())?;
            let row = row.as_mut();
            row[..32].copy_from_slice(chain.as_bytes());
            row[32..].copy_from_slice(bytes);
        }
        self.put_head(log, &LogHead { seq, chain, merged })
    }

    /// A stored segment and its chain.
    pub(crate) fn segment(&self, log: LogNo, seq: Seq) -> Result<Option<(Chain, SealedSegment)>, Error> {
        let row = self.tables.segments.get(&segment_key(log, seq))?;
        Ok(row.map(|row| split_segment_row(row.value())).transpose()?)
    }

    /// The chain that segment `seq` of a log builds on; `None` if that is not stored.
    pub(crate) fn chain_before(&self, log: LogNo, seq: Seq) -> Result<Option<Chain>, Error> {
        let Some(before) = seq.0.checked_sub(1) else { return Ok(Some(Chain::ZERO)) };
        let row = self.tables.segments.get(&segment_key(log, Seq(before)))?;
        let chain = row.map(|row| {
            row.value()
                .first_chunk::<32>()
                .map(|chain| Chain::from_bytes(*chain))
                .ok_or(StoreError::Inconsistent)
        });
        Ok(chain.transpose()?)
    }
}
