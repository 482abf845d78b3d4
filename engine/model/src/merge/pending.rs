//! Ops of one record that are not sealed yet, coalesced: offline edits of one field cost one cell, however many.
//!
//! Coalescing never changes what a state comes to and never reaches across a delete; values coalesced away are
//! not in history.

use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::FIELD_NAME_BYTES_MAX;

use super::hlc::Stamp;
use super::id::RecordId;
use super::op::codec::{ReadNames, WriteNames, op_tag, read_content, write_content};
use super::op::{Op, OpKind, Put};
use super::varint;

/// The pending ops of one record, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PendingOps<'a> {
    ops: Vec<Op<'a>>,
}

impl<'a> PendingOps<'a> {
    /// Adds the latest op of the record and folds it into the earlier ones.
    ///
    /// A put takes over the slots of fields that it sets from earlier puts back to the last delete (or op of a newer
    /// version); a put that has no cell left goes, and its names, if it had any, go over to the later one. Of two
    /// deletes in a row one stays, and of ops of a newer version the last of each slot, back to the last delete.
    pub fn push(&mut self, mut op: Op<'a>) {
        match &mut op.kind {
            OpKind::Put(put) => self.fold_into(put),
            OpKind::Delete(tombstone) => {
                if let Some(Op { kind: OpKind::Delete(earlier), .. }) = self.ops.last() {
                    tombstone.join(earlier);
                    self.ops.pop();
                }
            }
            OpKind::Unknown { tag, bytes } => {
                let later = (*tag, bytes.slot());
                let delete = self.ops.iter().rposition(|op| matches!(op.kind, OpKind::Delete(_)));
                let mut at = 0;
                self.ops.retain(|op| {
                    at += 1;
                    let behind = delete.is_none_or(|delete| at > delete + 1);
                    let OpKind::Unknown { tag, bytes } = &op.kind else { return true };
                    !(behind && (*tag, bytes.slot()) == later)
                });
            }
        }
        self.ops.push(op);
    }

    fn fold_into(&mut self, later: &mut Put<'a>) {
        let barrier = self.ops.iter().rposition(|op| !matches!(op.kind, OpKind::Put(_)));
        let start = barrier.map_or(0, |at| at + 1);
        for mut op in self.ops.split_off(start) {
            let OpKind::Put(put) = &mut op.kind else { continue };
            put.retain(|earlier| {
                let cells = later.cells();
                let same = cells.binary_search_by_key(&earlier.name, |cell| cell.name);
                !same.is_ok_and(|at| earlier.cell.slot() == cells[at].cell.slot())
            });
            if put.cells().is_empty() {
                later.add_names(put.names());
            } else {
                self.ops.push(op);
            }
        }
    }

    /// The ops, oldest first.
    pub fn ops(&self) -> &[Op<'a>] {
        &self.ops
    }

    /// Takes the ops out for sealing.
    pub fn into_ops(self) -> Vec<Op<'a>> {
        self.ops
    }

    /// Appends the row: `(tag | stamp | length | content)*`. Record and collection are in its key.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut content = Vec::with_capacity(CONTENT_BYTES);
        for op in &self.ops {
            content.clear();
            write_content(&mut content, op, &mut InFull);
            varint::put(out, op_tag(&op.kind).into());
            out.extend_from_slice(&op.stamp.0.to_be_bytes());
            varint::put_bytes(out, &content);
        }
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// [`DecodeError`]: the row was not written by this code.
    pub fn decode(record: RecordId, collection: &'a str, row: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(row);
        let mut ops = Vec::new();
        while reader.left() > 0 {
            let tag = varint::read_u32(&mut reader, "op tag")?;
            let stamp = Stamp(reader.u64()?);
            let length = varint::read_count(&mut reader, 1)?;
            let kind = read_content(tag, stamp, Reader::new(reader.bytes(length)?), &mut InFull)?;
            ops.push(Op { record, collection, stamp, kind });
        }
        Ok(Self { ops })
    }
}

/// Room for what most ops hold, so that encoding them does not grow step by step.
const CONTENT_BYTES: usize = 512;

/// Names without tables.
struct InFull;

impl WriteNames for InFull {
    fn field(&mut self, out: &mut Vec<u8>, name: &str) {
        varint::put_bytes(out, name.as_bytes());
    }

    fn log(&mut self, out: &mut Vec<u8>, log: LogId) {
        out.extend_from_slice(log.as_bytes());
    }
}

impl<'a> ReadNames<'a> for InFull {
    fn field(&mut self, reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
        varint::read_str(reader, "field name", FIELD_NAME_BYTES_MAX)
    }

    fn log(&mut self, reader: &mut Reader<'a>) -> Result<LogId, DecodeError> {
        reader.array().map(LogId::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::merge::logs::LogTable;
    use crate::merge::op::Tombstone;
    use crate::merge::state::RecordState;
    use crate::merge::testing::{OwnedCell, OwnedKind, OwnedOp, buf, damage, intern, log, op};

    const RECORD: RecordId = RecordId::from_bytes([0; 16]);

    fn owned(stamp: u64, kind: OwnedKind) -> OwnedOp {
        OwnedOp { record: RECORD, collection: "c".to_owned(), stamp: Stamp(stamp), kind }
    }

    fn put(stamp: u64, clears: u64, fields: &[&str]) -> OwnedOp {
        let cell = || OwnedCell::Register(buf(stamp as i64));
        let cells: BTreeMap<_, _> = fields.iter().map(|name| ((*name).to_owned(), cell())).collect();
        let names = (clears > 0).then_some((log(1), Stamp(clears))).into_iter().collect();
        owned(stamp, OwnedKind::Put { names, cells })
    }

    fn newer(stamp: u64, tag: u32, slot: u8) -> OwnedOp {
        owned(stamp, OwnedKind::Unknown(tag, vec![1, slot, stamp as u8]))
    }

    fn cell(stamp: u64, tag: u32, slot: u8) -> OwnedOp {
        let cells = [("a".to_owned(), OwnedCell::Unknown(tag, vec![1, slot, stamp as u8]))];
        owned(stamp, OwnedKind::Put { names: Tombstone::default(), cells: cells.into() })
    }

    fn delete(stamp: u64) -> OwnedOp {
        owned(stamp, OwnedKind::Delete(Tombstone::from_iter([(log(1), Stamp(stamp - 1))])))
    }

    fn pending(ops: &[OwnedOp]) -> PendingOps<'_> {
        let mut pending = PendingOps::default();
        ops.iter().for_each(|op| pending.push(op.op()));
        pending
    }

    /// Each op as its stamp, what it names and its fields.
    fn outline(ops: &[OwnedOp]) -> Vec<(u64, String)> {
        let outline = |op: &Op<'_>| match &op.kind {
            OpKind::Put(put) => {
                let fields: String = put.cells().iter().map(|cell| cell.name).collect();
                (
                    op.stamp.0,
                    format!(
                        "{}{}",
                        put.names().iter().map(|n| n.1.0.to_string()).collect::<String>(),
                        fields
                    ),
                )
            }
            OpKind::Delete(_) => (op.stamp.0, "delete".to_owned()),
            OpKind::Unknown { tag, .. } => (op.stamp.0, format!("unknown {tag}")),
        };
        pending(ops).ops().iter().map(outline).collect()
    }

    #[test]
    fn later_puts_take_over_but_not_across_a_delete() {
        let rows = [
            ("same field", vec![put(1, 0, &["a"]), put(2, 0, &["a"])], vec![(2, "a")]),
            ("some fields", vec![put(1, 0, &["a", "b"]), put(2, 0, &["a"])], vec![(1, "b"), (2, "a")]),
            (
                "across a delete",
                vec![put(1, 0, &["a"]), delete(2), put(3, 1, &["a"])],
                vec![(1, "a"), (2, "delete"), (3, "1a")],
            ),
            ("names go over", vec![put(4, 3, &["a"]), put(5, 0, &["a", "b"])], vec![(5, "3ab")]),
            ("an empty put goes", vec![put(1, 0, &[]), put(2, 0, &["a"])], vec![(2, "a")]),
            ("two deletes", vec![delete(2), delete(3)], vec![(3, "delete")]),
            (
                "one slot",
                vec![newer(1, 9, 7), put(2, 0, &["a"]), newer(3, 9, 7)],
                vec![(2, "a"), (3, "unknown 9")],
            ),
            (
                "other slots",
                vec![newer(1, 9, 7), newer(2, 9, 8), newer(3, 8, 7)],
                vec![(1, "unknown 9"), (2, "unknown 9"), (3, "unknown 8")],
            ),
            (
                "one slot across a delete",
                vec![newer(1, 9, 7), delete(2), newer(3, 9, 7)],
                vec![(1, "unknown 9"), (2, "delete"), (3, "unknown 9")],
            ),
            (
                "one slot behind a delete",
                vec![newer(1, 9, 7), delete(2), newer(3, 9, 7), newer(4, 9, 7)],
                vec![(1, "unknown 9"), (2, "delete"), (4, "unknown 9")],
            ),
            ("cells of one slot", vec![cell(1, 9, 7), cell(2, 9, 7)], vec![(2, "a")]),
            ("cells of other slots", vec![cell(1, 9, 7), cell(2, 9, 8)], vec![(1, "a"), (2, "a")]),
            ("a cell and a register", vec![cell(1, 9, 7), put(2, 0, &["a"])], vec![(1, "a"), (2, "a")]),
        ];
        for (name, ops, expected) in rows {
            let expected: Vec<_> =
                expected.into_iter().map(|(stamp, text)| (stamp, text.to_owned())).collect();
            assert_eq!(outline(&ops), expected, "{name}");
        }
    }

    /// Ops as one log makes them: each later than the one before.
    fn in_order(ops: Vec<OwnedOp>) -> Vec<OwnedOp> {
        let (mut stamp, mut ops) = (0, ops);
        for op in &mut ops {
            stamp += 1;
            (op.record, op.collection, op.stamp) = (RECORD, "c".to_owned(), Stamp(stamp));
            op.drop_names_ahead();
        }
        ops
    }

    proptest! {
        #[test]
        fn coalescing_comes_to_the_same_state(mine in vec(op(), 0..10), theirs in vec(op(), 0..4)) {
            let mine = in_order(mine);
            let coalesced = pending(&mine);
            let state = |mine: &[Op<'_>]| {
                let (mut logs, mut state) = (LogTable::default(), RecordState::default());
                let numbers = [0, 1, 2, 3].map(|n| intern(&mut logs, n));
                let theirs: Vec<_> = theirs.iter().map(|op| op.op()).collect();
                for (number, op) in mine.iter().map(|op| (1, op)).chain(theirs.iter().map(|op| (2, op))) {
                    state.apply(numbers[number], op, &logs);
                }
                let mut row = Vec::new();
                state.encode(&mut row);
                row
            };
            let raw: Vec<_> = mine.iter().map(|op| op.op()).collect();
            prop_assert_eq!(state(coalesced.ops()), state(&raw));
        }

        #[test]
        fn rows_come_back(ops in vec(op(), 0..8), damages in vec(damage(), 1..3), bytes: Vec<u8>) {
            let ops = in_order(ops);
            let pending = pending(&ops);
            let mut row = Vec::new();
            pending.encode(&mut row);
            prop_assert_eq!(PendingOps::decode(RECORD, "c", &row), Ok(pending.clone()));
            damages.iter().for_each(|damage| damage.apply(&mut row));
            for row in [row, bytes] {
                if let Ok(pending) = PendingOps::decode(RECORD, "c", &row) {
                    let mut again = Vec::new();
                    pending.encode(&mut again);
                    prop_assert_eq!(again, row);
                }
            }
        }
    }
}
