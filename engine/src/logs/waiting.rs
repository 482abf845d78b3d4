//! Logs without a certificate: their segments wait in a table of their own, bounded in bytes and in number, are never
//! passed on, and go without a trace (`docs/FORMAT.md`, "Quarantine").
//!
//! Who has made up a log does not get far: what opens under a key that is held here stays longer than what does not,
//! and a control log that begins with a valid certificate stays longest, whoever fed the rest. What was not kept is
//! asked for again.

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{Chain, LogId, Seq};
use subrosa_store::logs::{CheckedSegment, Rank, WaitingRow};

use crate::error::Error;
use crate::life::commit::Tx;
use crate::memory::cost::look_at_row;

impl Tx<'_> {
    /// Keeps the next segment of a log without a certificate; says whether there was room for it. `holds` says that its entries do.
    pub(crate) fn keep_waiting(
        &mut self,
        vault: VaultNo,
        checked: &CheckedSegment,
        (rank, holds): (Rank, bool),
    ) -> Result<bool, Error> {
        let segment = checked.segment();
        let (log, bytes) = (segment.header().log, segment.bytes().len());
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
        self.logs.put_waiting(vault, (rank, holds), checked)?;
        self.vault_mut(vault)?.waiting.add(checked, rank);
        Ok(true)
    }

    /// Lets go of a log; of one that begins with a certificate, first of all that follows it.
    fn make_room(&mut self, vault: VaultNo, log: &LogId) -> Result<(), Error> {
        let Some(held) = self.vault(vault)?.waiting.get(log) else { return Ok(()) };
        let first = held.base.seq;
        let from = if held.rank == Rank::Certificate && held.seq > first { first.next() } else { first };
        tracing::debug!(%log, from = from.0, "segments of a log without a certificate made room for others");
        self.let_go_from(vault, log, from)
    }

    /// Lets go of what waits of a log from `from` on, and of what it said.
    pub(crate) fn let_go_from(&mut self, vault: VaultNo, log: &LogId, from: Seq) -> Result<(), Error> {
        self.forget_waiting(vault, log, from)?;
        self.vault_mut(vault)?.forget_folded(log, from);
        Ok(())
    }

    /// Takes the segments from `from` on out of the table.
    fn forget_waiting(&mut self, vault: VaultNo, log: &LogId, from: Seq) -> Result<(), Error> {
        for _ in 0..self.logs.forget_waiting(vault, log, from)? {
            look_at_row();
        }
        let left = self.logs.waiting_of(vault, log)?.next().transpose()?;
        let waiting = &mut self.vault_mut(vault)?.waiting;
        waiting.remove(log);
        if let Some(WaitingRow { rank, segment, .. }) = left {
            waiting.add(&segment, rank);
        }
        Ok(())
    }

    /// Takes a log out of what waits: it has a certificate now.
    pub(crate) fn take_waiting(&mut self, vault: VaultNo, log: &LogId) -> Result<Vec<CheckedSegment>, Error> {
        if self.vault(vault)?.waiting.get(log).is_none() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for row in self.logs.waiting_of(vault, log)? {
            look_at_row();
            rows.push(row?.segment);
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
        Ok(self.logs.waiting_chain(vault, log, seq)?)
    }
}
