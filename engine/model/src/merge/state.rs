//! The merged state of one record: what all its ops, taken in any order and any number of times, come to.
//!
//! It is the join of four things, each of which only grows: the last stamp of each log, the join of all
//! tombstones, the join of the tombstones that puts named ("cleared"), and the cells that are not cleared. Of one
//! field it keeps the latest cell *of each log* and slot, losers too: a winner may be cleared later by a put whose
//! tombstone does not cover the loser (`docs/adr/0003-register-losers.md`).

mod row;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

#[cfg(test)]
pub use row::shape::TABLE as ROW_SHAPES;
pub use row::{Row, RowBuf};
use sha2::{Digest as _, Sha256};

use super::hlc::Stamp;
use super::logs::{LogNo, LogOrder, LogTable, NumberLogs};
use super::op::codec::cell_parts;
use super::op::{Cell, Op, OpKind, Put, Slotted, Tombstone};
use super::value::ValueRef;
use crate::faults;

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
    /// Ops of newer versions, sorted by [`UnknownOp::place`], none cleared.
    unknown: Vec<UnknownOp<'a>>,
}

/// One log's cell of one field and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    name: &'a str,
    log: LogNo,
    stamp: Stamp,
    cell: Cell<'a>,
}

/// Where an entry stands among those of its record. Of one place there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    name: &'a str,
    log: LogNo,
    slot: Option<(u32, &'a [u8])>,
}

/// One log's op of a newer version in one slot.
#[derive(Clone, Copy, PartialEq, Eq)]
struct UnknownOp<'a> {
    log: LogNo,
    stamp: Stamp,
    tag: u32,
    bytes: Slotted<'a>,
}

impl<'a> RecordState<'a> {
    /// Takes in one op of `log`. What its tombstone says of a log that `logs` does not know has no effect, nor has a name
    /// that counts as later than the op itself: the op is taken in once more when that log is known, or capped. Says whether
    /// the state is another one now, and its row must be written.
    pub fn apply(&mut self, log: LogNo, op: &Op<'a>, logs: &impl NumberLogs) -> bool {
        match &op.kind {
            OpKind::Put(put) => self.put(log, op.stamp, put, logs),
            OpKind::Delete(tombstone) => self.tomb.join(&Stamps::named(tombstone, op.stamp, logs)),
            OpKind::Unknown { tag, bytes } => {
                let raised = self.last.raise(log, op.stamp);
                self.insert_unknown(UnknownOp { log, stamp: op.stamp, tag: *tag, bytes: *bytes }) | raised
            }
        }
    }

    fn put(&mut self, log: LogNo, stamp: Stamp, put: &Put<'a>, logs: &impl NumberLogs) -> bool {
        let mut changed = self.last.raise(log, stamp);
        let mut clears = false;
        if !put.names().is_empty() {
            let named = Stamps::named(put.names(), stamp, logs);
            changed |= self.tomb.join(&named);
            clears = self.cleared.join(&named);
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

    /// Becomes one that has taken in nothing, in the memory that it has.
    pub fn clear(&mut self) {
        let Self { last, tomb, cleared, entries, unknown } = self;
        [last, tomb, cleared].into_iter().for_each(|stamps| stamps.0.clear());
        entries.clear();
        unknown.clear();
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

    /// The stamp of a log's last op on the record, deletes not counted.
    pub fn last_of(&self, log: LogNo) -> Option<Stamp> {
        self.last.get(log)
    }

    /// Whether it has taken in nothing at all.
    pub const fn is_empty(&self) -> bool {
        self.last.0.is_empty() && self.tomb.0.is_empty()
    }

    /// Whether any delete is known: such a row can go once every active log has seen the tombstone.
    pub const fn has_tombstone(&self) -> bool {
        !self.tomb.0.is_empty()
    }

    /// The fields that a reader sees, sorted by name: of each, the latest cell by what its stamp counts as, then by its
    /// stamp, then by log id. Nothing if the record is hidden.
    pub fn visible_fields<'s>(
        &'s self,
        order: impl Into<LogOrder<'s>>,
    ) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + 's {
        let order = order.into();
        let entries = if self.is_visible() { &self.entries[..] } else { &[] };
        entries.chunk_by(|a, b| a.name == b.name).filter_map(move |field| {
            let known = field.iter().filter(|entry| entry.cell.is_known());
            let winner = known.max_by(|a, b| order.compare((a.log, a.stamp), (b.log, b.stamp)))?;
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
        let names = if self.is_visible() || faults::PUTS_NAME_NOTHING { &self.cleared } else { &self.tomb };
        names.to_tombstone(logs)
    }

    /// The first stamp that is later than what a log has done to the record, and than what deletes have named of that.
    pub fn next_of(&self, log: LogNo) -> Stamp {
        Stamp(self.last.get(log).max(self.tomb.get(log)).map_or(0, |last| last.0.saturating_add(1)))
    }

    /// Whether a delete covers the op of a log with this stamp.
    pub fn is_deleted(&self, log: LogNo, stamp: Stamp) -> bool {
        self.tomb.covers(log, stamp)
    }

    /// Whether a put has cleared the op of a log with this stamp.
    pub fn is_cleared(&self, log: LogNo, stamp: Stamp) -> bool {
        self.cleared.covers(log, stamp)
    }

    /// Whether a field has a value, or was removed, by an op that is not cleared and is no earlier than one of a log.
    pub fn has_cell(&self, name: &str, (log, stamp): (LogNo, Stamp), order: &LogOrder<'_>) -> bool {
        self.entries.iter().any(|entry| {
            let by = (entry.log, entry.stamp);
            entry.name == name && entry.cell.is_known() && order.compare(by, (log, stamp)).is_ge()
        })
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

    /// As [`Self::insert`], of an op of a newer version.
    fn insert_unknown(&mut self, op: UnknownOp<'a>) -> bool {
        if self.cleared.covers(op.log, op.stamp) {
            return false;
        }
        match self.unknown.binary_search_by(|held| held.place().cmp(&op.place())) {
            Ok(at) if op.order_within_slot(&self.unknown[at]) == Ordering::Greater => {
                self.unknown[at] = op;
                true
            }
            Ok(_) => false,
            Err(at) => {
                self.unknown.insert(at, op);
                true
            }
        }
    }

    fn drop_cleared(&mut self) {
        let cleared = &self.cleared;
        self.entries.retain(|entry| !cleared.covers(entry.log, entry.stamp));
        self.unknown.retain(|op| !cleared.covers(op.log, op.stamp));
    }
}

impl<'a> Entry<'a> {
    /// What makes an entry one of its kind.
    fn place(&self) -> Place<'a> {
        Place { name: self.name, log: self.log, slot: self.cell.slot() }
    }

    /// Which of two cells of one log, field and slot is the later.
    fn order_within_log(&self, other: &Self) -> Ordering {
        order_in_place((self.stamp, cell_parts(&self.cell)), (other.stamp, cell_parts(&other.cell)))
    }
}

impl<'a> UnknownOp<'a> {
    /// What makes an op one of its kind.
    fn place(&self) -> (LogNo, u32, &'a [u8]) {
        (self.log, self.tag, self.bytes.slot())
    }

    /// Which of two ops of one log and slot is the later.
    fn order_within_slot(&self, other: &Self) -> Ordering {
        let parts = |op: &Self| (op.stamp, (op.tag, op.bytes.as_bytes()));
        order_in_place(parts(self), parts(other))
    }
}

/// Prints ids and counts alone.
impl fmt::Debug for UnknownOp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, stamp, tag, bytes } = self;
        write!(f, "op {tag} of {} bytes at {stamp} in {log:?}", bytes.as_bytes().len())
    }
}

/// Which of two things in one place is the later: stamp, tag and bytes of each. Two of one stamp exist when a log has two
/// branches: then the greater SHA-256 of the bytes wins, as good a choice as any that all devices make alike.
fn order_in_place(one: (Stamp, (u32, &[u8])), other: (Stamp, (u32, &[u8]))) -> Ordering {
    if one.0 != other.0 || one.1 == other.1 || faults::FIRST_OF_A_TIE {
        return one.0.cmp(&other.0);
    }
    let ((tag, bytes), (other_tag, other_bytes)) = (one.1, other.1);
    Sha256::digest(bytes).cmp(&Sha256::digest(other_bytes)).then(tag.cmp(&other_tag))
}

/// So many stamps are joined one by one; more are sorted in.
const JOINED_ONE_BY_ONE: usize = 8;

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

    /// Says whether a log's stamp has grown.
    fn join(&mut self, other: &Self) -> bool {
        // One by one, each new log would move all that stand behind it.
        if other.0.len() > JOINED_ONE_BY_ONE {
            let before = std::mem::take(&mut self.0);
            let mut joined: Vec<_> = before.iter().chain(&other.0).copied().collect();
            joined.sort_by_key(|(log, stamp)| (*log, std::cmp::Reverse(*stamp)));
            joined.dedup_by_key(|entry| entry.0);
            self.0 = joined;
            return self.0 != before;
        }
        other.iter().fold(false, |changed, (log, stamp)| self.raise(log, stamp) | changed)
    }

    /// What a tombstone of an op made at `at` names and has an effect: logs that are known, up to what counts as then.
    fn named(tombstone: &Tombstone, at: Stamp, logs: &impl NumberLogs) -> Self {
        let known = tombstone.iter().filter_map(|(log, stamp)| Some((logs.number_of(&log)?, stamp)));
        let mut named: Vec<_> =
            known.filter(|(log, stamp)| *stamp <= at || logs.capped(*log, *stamp) <= at).collect();
        named.sort_unstable();
        Self(named)
    }

    /// In names that other devices understand. Rows name only logs that are interned in the same store.
    fn to_tombstone(&self, logs: &LogTable) -> Tombstone {
        self.iter().filter_map(|(log, stamp)| Some((logs.id(log)?, stamp))).collect()
    }
}
