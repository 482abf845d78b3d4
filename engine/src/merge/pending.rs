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
use super::op::{LogMove, Op, OpKind, Put};
use super::varint;

/// The pending ops of one record, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct PendingOps<'a> {
    ops: Vec<Op<'a>>,
}

impl<'a> PendingOps<'a> {
    /// Adds the latest op of the record and folds it into the earlier ones.
    ///
    /// A put takes over the fields that it sets from earlier puts back to the last delete (or op of a newer
    /// version); a put that has no cell left goes, and its names, if it had any, go over to the later one. Of two
    /// deletes in a row one stays.
    pub(crate) fn push(&mut self, mut op: Op<'a>) {
        match &mut op.kind {
            OpKind::Put(put) => self.fold_into(put),
            OpKind::Delete(tombstone) => {
                if let Some(Op { kind: OpKind::Delete(earlier), .. }) = self.ops.last() {
                    tombstone.join(earlier);
                    self.ops.pop();
                }
            }
            OpKind::Unknown { .. } => {}
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
                !same.is_ok_and(|at| earlier.cell.is_known() && cells[at].cell.is_known())
            });
            if put.cells().is_empty() {
                later.add_names(put.names());
            } else {
                self.ops.push(op);
            }
        }
    }

    /// The ops, oldest first.
    pub(crate) fn ops(&self) -> &[Op<'a>] {
        &self.ops
    }

    /// Takes the ops out for sealing.
    pub(crate) fn into_ops(self) -> Vec<Op<'a>> {
        self.ops
    }

    /// Rewrites the names of ops that moved to another log; see
    /// [`super::state::RecordState::reassign_log`]. The ops themselves have no log until they are sealed.
    pub(crate) fn reassign_log(&mut self, moved: &LogMove, restamp: impl Fn(Stamp) -> Stamp) {
        for op in &mut self.ops {
            op.stamp = restamp(op.stamp);
            match &mut op.kind {
                OpKind::Put(put) => put.reassign_names(moved, &restamp),
                OpKind::Delete(tombstone) => tombstone.reassign_log(moved, &restamp),
                OpKind::Unknown { .. } => {}
            }
        }
    }

    /// Appends the row: `(tag | stamp | length | content)*`. Record and collection are in its key.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut content = Vec::new();
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
    pub(crate) fn decode(record: RecordId, collection: &'a str, row: &'a [u8]) -> Result<Self, DecodeError> {
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
