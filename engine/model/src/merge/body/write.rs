//! Packs ops one by one and knows at every step how long the result would be.

use std::collections::HashMap;
use std::hash::Hash;

use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::LOGS_PER_VAULT_MAX;

use super::{GroupHead, NAMES_MAX};
use crate::merge::hlc::Stamp;
use crate::merge::op::Op;
use crate::merge::op::codec::{WriteNames, op_tag, write_content};
use crate::merge::varint;

/// The op would make the body longer than asked for; it has not been added. Finish this body and start another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A body on its way.
#[derive(Debug)]
pub struct BodyWriter {
    head: Vec<u8>,
    names: NameTables,
    ops: Vec<u8>,
    scratch: Vec<u8>,
    last: Stamp,
    count: usize,
}

impl BodyWriter {
    /// Starts the first body of a group. `base` is best the stamp of the first op.
    pub fn first(base: Stamp, group: &GroupHead) -> Self {
        let mut head = Vec::new();
        group.write(&mut head);
        Self::with_head(head, base)
    }

    /// Starts a later body of a group.
    pub fn behind(base: Stamp) -> Self {
        Self::with_head(Vec::new(), base)
    }

    fn with_head(mut head: Vec<u8>, base: Stamp) -> Self {
        head.extend_from_slice(&base.0.to_be_bytes());
        let (names, ops, scratch) = (NameTables::default(), Vec::new(), Vec::new());
        Self { head, names, ops, scratch, last: base, count: 0 }
    }

    /// Adds an op, unless the body would then be longer than `bytes_max`. The first op always fits.
    ///
    /// # Errors
    /// `Full`, and nothing has changed.
    pub fn push(&mut self, op: &Op<'_>, bytes_max: usize) -> Result<(), Full> {
        let (ops_before, names_before) = (self.ops.len(), self.names.mark());
        self.scratch.clear();
        varint::put_delta(&mut self.scratch, self.last.0, op.stamp.0);
        self.scratch.extend_from_slice(op.record.as_bytes());
        self.names.field(&mut self.scratch, op.collection);
        write_content(&mut self.scratch, op, &mut self.names);
        varint::put(&mut self.ops, op_tag(&op.kind).into());
        varint::put_bytes(&mut self.ops, &self.scratch);
        if self.count > 0 && (self.len() > bytes_max || self.names.is_over_limit()) {
            self.ops.truncate(ops_before);
            self.names.rewind(names_before);
            return Err(Full);
        }
        self.last = op.stamp;
        self.count += 1;
        Ok(())
    }

    /// Length of what [`BodyWriter::encode`] returns.
    #[expect(clippy::len_without_is_empty, reason = "bytes; how many ops there are is another question")]
    pub fn len(&self) -> usize {
        self.head.len() + self.names.len() + self.ops.len()
    }

    /// How many ops it has.
    pub const fn ops(&self) -> usize {
        self.count
    }

    /// The encoded body, of what it has so far.
    pub fn encode(&self) -> Vec<u8> {
        // Sized beforehand: a buffer that grows leaves plaintext behind where it was.
        let mut out = Vec::with_capacity(self.len());
        out.extend_from_slice(&self.head);
        varint::put_len(&mut out, self.names.strings.order.len());
        out.extend_from_slice(&self.names.strings.bytes);
        varint::put_len(&mut out, self.names.logs.order.len());
        out.extend_from_slice(&self.names.logs.bytes);
        out.extend_from_slice(&self.ops);
        out
    }
}

/// The names used so far.
#[derive(Debug, Default)]
struct NameTables {
    strings: Table<Box<str>>,
    logs: Table<LogId>,
}

impl NameTables {
    fn len(&self) -> usize {
        self.strings.len() + self.logs.len()
    }

    const fn is_over_limit(&self) -> bool {
        self.strings.order.len() > NAMES_MAX || self.logs.order.len() > LOGS_PER_VAULT_MAX
    }

    const fn mark(&self) -> (Mark, Mark) {
        (self.strings.mark(), self.logs.mark())
    }

    fn rewind(&mut self, (strings, logs): (Mark, Mark)) {
        self.strings.rewind(strings);
        self.logs.rewind(logs);
    }
}

impl WriteNames for NameTables {
    fn field(&mut self, out: &mut Vec<u8>, name: &str) {
        let index = self.strings.numbers.get(name).copied();
        let index = index.unwrap_or_else(|| {
            varint::put_bytes(&mut self.strings.bytes, name.as_bytes());
            self.strings.add(name.into())
        });
        varint::put_len(out, index);
    }

    fn log(&mut self, out: &mut Vec<u8>, log: LogId) {
        let index = self.logs.numbers.get(&log).copied();
        let index = index.unwrap_or_else(|| {
            self.logs.bytes.extend_from_slice(log.as_bytes());
            self.logs.add(log)
        });
        varint::put_len(out, index);
    }
}

/// One table: its encoding, and who has which index.
#[derive(Debug)]
struct Table<T> {
    bytes: Vec<u8>,
    order: Vec<T>,
    numbers: HashMap<T, usize>,
}

/// A point to go back to.
#[derive(Debug)]
struct Mark {
    bytes: usize,
    items: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), order: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T> Table<T> {
    fn len(&self) -> usize {
        varint::len(self.order.len() as u64) + self.bytes.len()
    }

    const fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), items: self.order.len() }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn add(&mut self, item: T) -> usize {
        let index = self.order.len();
        self.order.push(item.clone());
        self.numbers.insert(item, index);
        index
    }

    fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        for item in self.order.drain(mark.items..) {
            self.numbers.remove(&item);
        }
    }
}
