//! The merged state of one record: what all its ops, taken in any order and any number of times, come to.
//!
//! It is the join of four things, each of which only grows: the last stamp of each log, the join of all
//! tombstones, the join of the tombstones that puts named ("cleared"), and the cells that are not cleared. Of one
//! field it keeps the latest cell *of each log*, losers too: a winner may be cleared later by a put whose
//! tombstone does not cover the loser (`docs/adr/0003-register-losers.md`).

mod row;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

#[cfg(test)]
pub use row::shape::TABLE as ROW_SHAPES;
pub use row::{Row, RowBuf};
use sha2::{Digest as _, Sha256};

use super::hlc::Stamp;
use super::logs::{LogNo, LogTable, NumberLogs};
use super::op::codec::cell_parts;
use super::op::{Cell, LogMove, Op, OpKind, Put, Tombstone};
use super::value::ValueRef;

/// The state of one record. It borrows names and values from the row and the ops that it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RecordState<'a> {
    /// Per log, the stamp of its last op on this record, deletes not counted.
    last: Stamps,
    /// Per log, the last stamp that any delete has seen.
    tomb: Stamps,
    /// Per log, the last stamp that any put has cleared; never beyond `tomb`.
    cleared: Stamps,
    /// Sorted by [`Entry::place`]; none is cleared, and none is later than its log's `last`.
    entries: Vec<Entry<'a>>,
    /// Ops of newer versions, sorted, none cleared.
    unknown: Vec<UnknownOp<'a>>,
}

/// One log's cell of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    name: &'a str,
    log: LogNo,
    stamp: Stamp,
    cell: Cell<'a>,
}

/// Where an entry stands among those of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    name: &'a str,
    log: LogNo,
    unknown: Option<(Stamp, u32, &'a [u8])>,
}

/// An op of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnknownOp<'a> {
    log: LogNo,
    stamp: Stamp,
    tag: u32,
    bytes: &'a [u8],
}

impl<'a> RecordState<'a> {
    /// Takes in one op of `log`. What its tombstone says of a log that `logs` does not know has no effect: the op is
    /// taken in once more when that log is known. Says whether the state is another one now, and its row must be written.
    pub fn apply(&mut self, log: LogNo, op: &Op<'a>, logs: &impl NumberLogs) -> bool {
        match &op.kind {
            OpKind::Put(put) => self.put(log, op.stamp, put, logs),
            OpKind::Delete(tombstone) => {
                let names = tombstone.iter().filter_map(|(log, stamp)| Some((logs.number_of(&log)?, stamp)));
                names.fold(false, |changed, (log, stamp)| self.tomb.raise(log, stamp) | changed)
            }
            OpKind::Unknown { tag, bytes } => {
                let raised = self.last.raise(log, op.stamp);
                self.insert_unknown(UnknownOp { log, stamp: op.stamp, tag: *tag, bytes }) | raised
            }
        }
    }

    fn put(&mut self, log: LogNo, stamp: Stamp, put: &Put<'a>, logs: &impl NumberLogs) -> bool {
        let mut changed = self.last.raise(log, stamp);
        let mut clears = false;
        for (log, stamp) in put.names().iter() {
            let Some(log) = logs.number_of(&log) else { continue };
            changed |= self.tomb.raise(log, stamp);
            clears |= self.cleared.raise(log, stamp);
        }
        if clears {
            self.drop_cleared();
        }
        self.entries.reserve(put.cells().len());
        for cell in put.cells() {
            changed |= self.insert(Entry { name: cell.name, log, stamp, cell: cell.cell });
        }
        changed | clears
    }

    /// Takes in all that another state of the same record has taken in.
    pub fn merge(&mut self, other: &Self) {
        self.last.join(&other.last);
        self.tomb.join(&other.tomb);
        self.cleared.join(&other.cleared);
        self.drop_cleared();
        for entry in &other.entries {
            self.insert(*entry);
        }
        for op in &other.unknown {
            self.insert_unknown(*op);
        }
    }

    /// Whether the record exists for a reader: some log made an op that no delete has seen.
    pub fn is_visible(&self) -> bool {
        self.last.iter().any(|(log, stamp)| !self.tomb.covers(log, stamp))
    }

    /// Whether it has taken in nothing at all.
    pub const fn is_empty(&self) -> bool {
        self.last.0.is_empty() && self.tomb.0.is_empty()
    }

    /// Whether any delete is known: such a row can go once every active log has seen the tombstone.
    pub const fn has_tombstone(&self) -> bool {
        !self.tomb.0.is_empty()
    }

    /// The fields that a reader sees, sorted by name: of each, the latest cell by stamp, then by log id. Nothing
    /// if the record is hidden.
    pub fn visible_fields<'s>(
        &'s self,
        logs: &'s LogTable,
    ) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + 's {
        let entries = if self.is_visible() { &self.entries[..] } else { &[] };
        entries.chunk_by(|a, b| a.name == b.name).filter_map(|field| {
            let known = field.iter().filter(|entry| entry.cell.is_known());
            let winner = known
                .max_by(|a, b| a.stamp.cmp(&b.stamp).then_with(|| logs.id(a.log).cmp(&logs.id(b.log))))?;
            match winner.cell {
                Cell::Register(value) => Some((winner.name, value)),
                Cell::Unset | Cell::Unknown { .. } => None,
            }
        })
    }

    /// What a local delete must name: everything that is known of the record, older tombstones included.
    pub fn tombstone_for_delete(&self, logs: &LogTable) -> Tombstone {
        let mut seen = self.tomb.clone();
        seen.join(&self.last);
        seen.to_tombstone(logs)
    }

    /// What a local put must name. On a deleted record: its whole tombstone, so that the put starts from empty
    /// everywhere. On a visible record: what has been cleared before, so that a device which has not seen the
    /// clearing put yet does not show the old fields; *not* the rest of the tombstone, because fields that came
    /// back with an edit the delete did not know must not vanish at the next edit.
    pub fn names_for_put(&self, logs: &LogTable) -> Tombstone {
        let names = if self.is_visible() { &self.cleared } else { &self.tomb };
        names.to_tombstone(logs)
    }

    /// Moves the ops that had to be issued again from the old log to the new one, and rewrites tombstones that name
    /// them. `restamp` must keep the order of stamps; it is the identity unless a clock was ahead. Cells of the old
    /// log that a moved one had replaced are gone from this state: take in the old log's remaining ops of this
    /// record once more afterwards, which is harmless where nothing was missing.
    pub fn reassign_log(
        &mut self,
        moved: &LogMove,
        logs: &impl NumberLogs,
        restamp: impl Fn(Stamp) -> Stamp,
    ) {
        let numbers = (logs.number_of(&moved.old), logs.number_of(&moved.new));
        let (Some(old), Some(new)) = numbers else { return };
        for stamps in [&mut self.last, &mut self.tomb, &mut self.cleared] {
            if let Some(stamp) = stamps.get(old).filter(|stamp| moved.moves(*stamp)) {
                stamps.set(old, moved.after);
                stamps.raise(new, restamp(stamp));
            }
        }
        for mut entry in std::mem::take(&mut self.entries) {
            if entry.log == old && moved.moves(entry.stamp) {
                (entry.log, entry.stamp) = (new, restamp(entry.stamp));
            }
            self.insert(entry);
        }
        for mut op in std::mem::take(&mut self.unknown) {
            if op.log == old && moved.moves(op.stamp) {
                (op.log, op.stamp) = (new, restamp(op.stamp));
            }
            self.insert_unknown(op);
        }
    }

    /// Adds a cell unless it is cleared or a later one of the same log stands there; says whether it was added.
    fn insert(&mut self, entry: Entry<'a>) -> bool {
        if self.cleared.covers(entry.log, entry.stamp) {
            return false;
        }
        // Fields mostly arrive in order: a new record never searches.
        if self.entries.last().is_none_or(|last| last.place() < entry.place()) {
            self.entries.push(entry);
            return true;
        }
        match self.entries.binary_search_by(|held| held.place().cmp(&entry.place())) {
            Ok(at) if entry.order_within_log(&self.entries[at]) == Ordering::Greater => {
                self.entries[at] = entry;
                true
            }
            Ok(_) => false,
            Err(at) => {
                self.entries.insert(at, entry);
                true
            }
        }
    }

    fn insert_unknown(&mut self, op: UnknownOp<'a>) -> bool {
        if self.cleared.covers(op.log, op.stamp) {
            return false;
        }
        let place = self.unknown.binary_search(&op);
        if let Err(at) = place {
            self.unknown.insert(at, op);
        }
        place.is_err()
    }

    fn drop_cleared(&mut self) {
        let cleared = &self.cleared;
        self.entries.retain(|entry| !cleared.covers(entry.log, entry.stamp));
        self.unknown.retain(|op| !cleared.covers(op.log, op.stamp));
    }
}

impl<'a> Entry<'a> {
    /// What makes an entry one of its kind: for cells of this version, field and log; cells of newer versions are
    /// all kept, since their rule is not known here.
    fn place(&self) -> Place<'a> {
        let unknown = match self.cell {
            Cell::Unknown { tag, bytes } => Some((self.stamp, tag, bytes)),
            Cell::Register(_) | Cell::Unset => None,
        };
        Place { name: self.name, log: self.log, unknown }
    }

    /// Which of two cells of one log and field is the later. Two of one stamp exist when a log has two branches:
    /// then the greater SHA-256 of the bytes wins, as good a choice as any that all devices make alike.
    fn order_within_log(&self, other: &Self) -> Ordering {
        let by_stamp = self.stamp.cmp(&other.stamp);
        if by_stamp != Ordering::Equal || self.cell == other.cell {
            return by_stamp;
        }
        let ((tag, bytes), (other_tag, other_bytes)) = (cell_parts(&self.cell), cell_parts(&other.cell));
        Sha256::digest(bytes).cmp(&Sha256::digest(other_bytes)).then(tag.cmp(&other_tag))
    }
}

/// A stamp per log, sorted by log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Stamps(Vec<(LogNo, Stamp)>);

impl Stamps {
    fn iter(&self) -> impl Iterator<Item = (LogNo, Stamp)> + '_ {
        self.0.iter().copied()
    }

    fn find(&self, log: LogNo) -> Result<usize, usize> {
        self.0.binary_search_by_key(&log, |entry| entry.0)
    }

    fn get(&self, log: LogNo) -> Option<Stamp> {
        self.find(log).ok().map(|at| self.0[at].1)
    }

    /// Whether the log's op of this stamp is within.
    fn covers(&self, log: LogNo, stamp: Stamp) -> bool {
        self.get(log).is_some_and(|last| last >= stamp)
    }

    /// Says whether the log's stamp has grown.
    fn raise(&mut self, log: LogNo, stamp: Stamp) -> bool {
        match self.find(log) {
            Ok(at) if self.0[at].1 >= stamp => return false,
            Ok(at) => self.0[at].1 = stamp,
            Err(at) => self.0.insert(at, (log, stamp)),
        }
        true
    }

    fn set(&mut self, log: LogNo, stamp: Option<Stamp>) {
        match (self.find(log), stamp) {
            (Ok(at), Some(stamp)) => self.0[at].1 = stamp,
            (Ok(at), None) => drop(self.0.remove(at)),
            (Err(at), Some(stamp)) => self.0.insert(at, (log, stamp)),
            (Err(_), None) => {}
        }
    }

    fn join(&mut self, other: &Self) {
        for (log, stamp) in other.iter() {
            self.raise(log, stamp);
        }
    }

    /// In names that other devices understand. Rows name only logs that are interned in the same store.
    fn to_tombstone(&self, logs: &LogTable) -> Tombstone {
        self.iter().filter_map(|(log, stamp)| Some((logs.id(log)?, stamp))).collect()
    }
}
