//! What waits for sealing, cut into groups as it is written (`docs/FORMAT.md`, "Batches").
//!
//! A batch is a group: its ops are coalesced with each other and with nothing else, and it is sealed whole. Small writes
//! share the open batch; a bulk write is a batch of its own. No write spans two, and batches are sealed in the order in which
//! they were written.

use subrosa_model::merge::{GroupHead, Run, Seen, Stamp, VaultNo};
use subrosa_model::seal::Packed;
use subrosa_model::wiped::Wiped;
use subrosa_protocol::ids::{Head, Seq};
use subrosa_protocol::limits::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, GROUP_PLAIN_BYTES_MAX, GROUP_SEGMENTS_MAX, HEADS_PART_MAX,
};
use subrosa_store::keys::RecordKey;
use subrosa_store::unsealed::{BatchKind, BatchRow};

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::logs::sealing::fill::Filler;
use crate::memory::open_batch::OpenBatch;
use crate::records::decode_pending;
use crate::records::write::BULK_OPS_MIN;

/// Ops on their way into a batch: of one write, or of one group that is issued again.
pub(crate) struct NewOps<'w> {
    /// The ops of each record, coalesced, with the name of its collection; in the order of their keys.
    pub(crate) rows: Vec<(&'w RecordKey, &'w str, &'w [u8])>,
    /// How many ops were made.
    pub(crate) ops: usize,
    /// No op is later.
    pub(crate) latest: Stamp,
}

impl NewOps<'_> {
    fn bytes(&self) -> u64 {
        self.rows.iter().map(|(.., row)| row.len() as u64).sum()
    }

    /// Whether they are a batch of their own, that nothing is coalesced with.
    pub(crate) fn is_bulk(&self) -> bool {
        self.ops >= BULK_OPS_MIN || self.bytes() > BATCH_BYTES_MAX as u64
    }
}

impl Tx<'_> {
    /// Puts ops into the batches of a vault.
    ///
    /// # Errors
    /// [`Error::TransactionTooLarge`] for what is more than one group.
    pub(crate) fn queue(&mut self, vault: VaultNo, new: &NewOps<'_>) -> Result<(), Error> {
        if !new.is_bulk() {
            return self.queue_small(vault, new);
        }
        self.close_batch(vault)?;
        let bodies = self.bodies_of(vault, new)?;
        let rows: Vec<_> = bodies.iter().map(Packed::to_row).collect();
        let bytes = rows.iter().map(|row| row.len() as u64).sum();
        let batches = self.batches_mut(vault)?;
        let number = batches.next;
        batches.next = number.next();
        self.unsealed.put_bulk(vault, number, &rows)?;
        let row = BatchRow { kind: BatchKind::Bulk, ops: count(new.ops), bytes };
        Ok(self.unsealed.put_batch(vault, number, &row)?)
    }

    /// Puts ops into the open batch, coalesced with what is in it.
    fn queue_small(&mut self, vault: VaultNo, new: &NewOps<'_>) -> Result<(), Error> {
        let run = self.run(vault)?;
        let more = (count(new.ops), new.bytes());
        let has_room = |open: &OpenBatch| {
            open.ops.saturating_add(more.0) <= BATCH_OPS_MAX as u32
                && open.bytes + more.1 <= BATCH_BYTES_MAX as u64
                && open.head.runs.has_room_for(run)
        };
        if self.batches_mut(vault)?.open.as_ref().is_some_and(|open| !has_room(open)) {
            self.close_batch(vault)?;
        }
        let batches = self.batches_mut(vault)?;
        let next = batches.next;
        let mut open = batches.open.take().unwrap_or_else(|| {
            batches.next = next.next();
            OpenBatch { number: next, head: GroupHead::default(), ops: 0, bytes: 0 }
        });
        for (key, collection, ops) in &new.rows {
            let earlier = self.unsealed.ops(open.number, key)?;
            let Some(earlier) = earlier else {
                self.unsealed.put_ops(open.number, key, ops)?;
                open.bytes += ops.len() as u64;
                continue;
            };
            let row = joined_rows(key, collection, &earlier, ops)?;
            self.unsealed.put_ops(open.number, key, &row)?;
            open.bytes = (open.bytes + row.len() as u64).saturating_sub(earlier.len() as u64);
        }
        open.ops = open.ops.saturating_add(more.0);
        open.head.latest = open.head.latest.max(new.latest);
        open.head.runs.raise(run, new.latest);
        let is_full = open.ops >= BATCH_OPS_MAX as u32 || open.bytes >= BATCH_BYTES_MAX as u64;
        let row = BatchRow { kind: BatchKind::Open(open.head.clone()), ops: open.ops, bytes: open.bytes };
        self.unsealed.put_batch(vault, open.number, &row)?;
        self.batches_mut(vault)?.open = Some(open);
        if is_full { self.close_batch(vault) } else { Ok(()) }
    }

    /// Packs ops that are a group of their own.
    ///
    /// # Errors
    /// [`Error::TransactionTooLarge`] for what is more than one group.
    pub(crate) fn bodies_of(&mut self, vault: VaultNo, new: &NewOps<'_>) -> Result<Vec<Packed>, Error> {
        let run = self.run(vault)?;
        let mut head = GroupHead { seen: self.take_seen(vault)?, ..GroupHead::of(new.latest) };
        head.runs.raise(run, new.latest);
        let mut filler = Filler::new(head);
        for (key, collection, row) in &new.rows {
            for op in decode_pending(key.record(), collection, row)?.into_ops() {
                filler.push(&op);
            }
            check_group(filler.segments(), filler.plain_bytes())?;
        }
        let (bodies, plain_bytes) = filler.finish();
        check_group(bodies.len(), plain_bytes)?;
        Ok(bodies)
    }

    /// Nothing more comes into the open batch, if there is one: what it says that it has seen is what was seen until now.
    pub(crate) fn close_batch(&mut self, vault: VaultNo) -> Result<(), Error> {
        let Some(open) = self.batches_mut(vault)?.open.take() else { return Ok(()) };
        let head = GroupHead { seen: self.take_seen(vault)?, ..open.head };
        let row = BatchRow { kind: BatchKind::Closed(head), ops: open.ops, bytes: open.bytes };
        Ok(self.unsealed.put_batch(vault, open.number, &row)?)
    }

    /// This opening of the store, drawn before its first write.
    fn run(&mut self, vault: VaultNo) -> Result<Run, Error> {
        let entropy = self.core.options.entropy.clone();
        Ok(*self.batches_mut(vault)?.run.get_or_insert_with(|| Run::draw(&*entropy)))
    }

    /// Heads of other logs up to which they were merged since our data log last named them, and notes that it now does. It
    /// costs what has changed, not how many logs there are.
    fn take_seen(&mut self, vault: VaultNo) -> Result<Seen, Error> {
        self.note_moved();
        let state = self.vault(vault)?;
        let own = state.own.data;
        let changed: Vec<_> = state.unsaid.iter().copied().filter(|branch| *branch != own.into()).collect();
        if changed.is_empty() {
            return Ok(Seen::default());
        }
        let (mut seen, mut looked_at) = (Vec::new(), 0);
        for branch in changed.iter().copied() {
            if seen.len() == HEADS_PART_MAX {
                break;
            }
            looked_at += 1;
            let Some(info) = self.vault(vault)?.info(branch).copied() else { continue };
            let Some(head) = self.logs.head(branch)? else { continue };
            // What lies before is named with the branch that it is of.
            let merged = head.merged.0.checked_sub(1).map(Seq).filter(|seq| *seq >= head.base.seq);
            let Some(seq) = merged else { continue };
            // A closing segment is not carried: others may never hold it, and could not tell what was seen.
            let is_closing = head.closed && seq == head.seq && !faults::CLOSINGS_SEEN;
            let seq = if is_closing { seq.0.checked_sub(1).map(Seq) } else { Some(seq) };
            let Some(seq) = seq.filter(|seq| *seq >= head.base.seq) else { continue };
            if self.logs.said(branch)?.is_some_and(|said| said >= seq) {
                continue;
            }
            let chain = if seq == head.seq { Some(head.chain) } else { self.logs.chain(branch, seq)? };
            let Some(chain) = chain else { continue };
            seen.push(Head { log: info.id, seq, chain });
            self.logs.put_said(branch, seq)?;
        }
        let state = self.vault_mut(vault)?;
        for branch in &changed[..looked_at] {
            state.unsaid.remove(branch);
        }
        Ok(if looked_at == changed.len() { Seen::new(seen) } else { Seen::part(seen) })
    }
}

/// The ops of one record in two rows, one after the other, coalesced.
pub(crate) fn joined_rows(
    key: &RecordKey,
    collection: &str,
    earlier: &[u8],
    later: &[u8],
) -> Result<Wiped, Error> {
    let mut pending = decode_pending(key.record(), collection, earlier)?;
    for op in decode_pending(key.record(), collection, later)?.into_ops() {
        pending.push(op);
    }
    let mut row = Vec::new();
    pending.encode(&mut row);
    Ok(Wiped::new(row))
}

/// Whether a group may be so large.
fn check_group(segments: usize, plain_bytes: u64) -> Result<(), Error> {
    if segments > GROUP_SEGMENTS_MAX || plain_bytes > GROUP_PLAIN_BYTES_MAX as u64 {
        let (bytes_max, segments_max) = (GROUP_PLAIN_BYTES_MAX, GROUP_SEGMENTS_MAX);
        return Err(Error::TransactionTooLarge { bytes_max, segments_max });
    }
    Ok(())
}

fn count(ops: usize) -> u32 {
    u32::try_from(ops).unwrap_or(u32::MAX)
}
