//! Random values, ops and damage for the property tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use subrosa_protocol::ids::LogId;
use subrosa_protocol::segment::Class;

use super::hlc::Stamp;
use super::id::RecordId;
use super::logs::{Cap, CapStep, LogNo, LogTable, NumberLogs, VaultNo};
use super::op::{Cell, FieldCell, Op, OpKind, Put, Slotted, Tombstone};
use super::value::{Finite, Value, ValueBuf};

/// A log of the tests.
pub(super) const fn log(n: u8) -> LogId {
    LogId::from_bytes([n; 16])
}

/// The vault of the tests.
const VAULT: VaultNo = VaultNo(0);

/// Gives a log of the tests a number.
pub(super) fn intern(logs: &mut LogTable, n: u8) -> LogNo {
    logs.intern(VAULT, log(n), Class::Data)
}

/// Lowers the cap of a log of the tests.
pub(super) fn cap(logs: &mut LogTable, n: u8, now: Stamp) {
    let number = logs.of(VAULT).number_of(&log(n)).unwrap();
    let mut caps = logs.caps().clone();
    let held = Arc::make_mut(&mut caps).entry(number).or_default();
    held.now = Cap::of(held.now.steps().iter().copied().chain([CapStep::of_all(now)]));
    logs.set_caps(caps);
}

impl NumberLogs for LogTable {
    fn number_of(&self, id: &LogId) -> Option<LogNo> {
        self.of(VAULT).number_of(id)
    }

    fn capped(&self, log: LogNo, stamp: Stamp) -> Stamp {
        self.of(VAULT).capped(log, stamp)
    }
}

/// The encoding of a value.
pub(super) fn buf(value: impl Into<Value>) -> ValueBuf {
    ValueBuf::encode(&value.into()).unwrap()
}

/// Any value that has an encoding.
pub(super) fn value() -> impl Strategy<Value = Value> {
    let float = any::<f64>().prop_filter_map("finite", |float| Finite::new(float).ok().map(Value::F64));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (-2i64..2).prop_map(Value::I64),
        float,
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    let key = prop_oneof![any::<String>(), "[$]{0,3}bytes", "[$]{1,3}[a-z]?", "[ab]?"];
    leaf.prop_recursive(4, 30, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::List),
            btree_map(key.clone(), inner, 0..4).prop_map(Value::Map),
        ]
    })
}

/// An op that owns what it says.
#[derive(Clone, Debug)]
pub(super) struct OwnedOp {
    pub record: RecordId,
    pub collection: String,
    pub stamp: Stamp,
    pub kind: OwnedKind,
}

#[derive(Clone, Debug)]
pub(super) enum OwnedKind {
    Put { names: Tombstone, cells: BTreeMap<String, OwnedCell> },
    Delete(Tombstone),
    Unknown(u32, Vec<u8>),
}

#[derive(Clone, Debug)]
pub(super) enum OwnedCell {
    Register(ValueBuf),
    Unset,
    Unknown(u32, Vec<u8>),
}

impl OwnedOp {
    /// Makes it one of those that an honest device writes: it names nothing later than itself.
    pub(super) fn drop_names_ahead(&mut self) {
        if let OwnedKind::Put { names, .. } | OwnedKind::Delete(names) = &mut self.kind {
            *names = names.iter().filter(|name| name.1 <= self.stamp).collect();
        }
    }

    pub(super) fn op(&self) -> Op<'_> {
        let kind = match &self.kind {
            OwnedKind::Put { names, cells } => {
                let cells = cells.iter().map(|(name, cell)| FieldCell { name, cell: cell.cell() });
                OpKind::Put(Put::new(names.clone(), cells.collect()).unwrap())
            }
            OwnedKind::Delete(tombstone) => OpKind::Delete(tombstone.clone()),
            OwnedKind::Unknown(tag, bytes) => {
                OpKind::Unknown { tag: *tag, bytes: Slotted::check(bytes).unwrap() }
            }
        };
        Op { record: self.record, collection: &self.collection, stamp: self.stamp, kind }
    }
}

impl OwnedCell {
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Register(value) => Cell::Register(value.borrow()),
            Self::Unset => Cell::Unset,
            Self::Unknown(tag, bytes) => Cell::Unknown { tag: *tag, bytes: Slotted::check(bytes).unwrap() },
        }
    }
}

impl From<&Op<'_>> for OwnedOp {
    fn from(op: &Op<'_>) -> Self {
        let kind = match &op.kind {
            OpKind::Put(put) => OwnedKind::Put {
                names: put.names().clone(),
                cells: put.cells().iter().map(|cell| (cell.name.to_owned(), (&cell.cell).into())).collect(),
            },
            OpKind::Delete(tombstone) => OwnedKind::Delete(tombstone.clone()),
            OpKind::Unknown { tag, bytes } => OwnedKind::Unknown(*tag, bytes.as_bytes().to_vec()),
        };
        Self { record: op.record, collection: op.collection.to_owned(), stamp: op.stamp, kind }
    }
}

impl From<&Cell<'_>> for OwnedCell {
    fn from(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Register(value) => Self::Register(value.to_buf()),
            Cell::Unset => Self::Unset,
            Cell::Unknown { tag, bytes } => Self::Unknown(*tag, bytes.as_bytes().to_vec()),
        }
    }
}

/// Stamps that often meet.
pub(super) fn stamp() -> impl Strategy<Value = Stamp> {
    prop_oneof![4 => (1u64..12).prop_map(Stamp), 1 => any::<u64>().prop_map(Stamp)]
}

/// Names of up to four logs.
pub(super) fn tombstone() -> impl Strategy<Value = Tombstone> {
    vec(((0u8..4).prop_map(log), stamp()), 0..4).prop_map(|names| names.into_iter().collect())
}

fn cell() -> impl Strategy<Value = OwnedCell> {
    prop_oneof![
        6 => value().prop_map(|value| OwnedCell::Register(buf(value))),
        6 => (0i64..3).prop_map(|number| OwnedCell::Register(buf(number))),
        2 => Just(OwnedCell::Unset),
        2 => (3u32..5, slotted()).prop_map(|(tag, bytes)| OwnedCell::Unknown(tag, bytes)),
    ]
}

/// Content of a newer version, in one of few slots.
fn slotted() -> impl Strategy<Value = Vec<u8>> {
    let slot = prop_oneof![Just(vec![0]), (0u8..3).prop_map(|n| vec![1, n]), Just(vec![2, 0, 0])];
    (slot, vec(any::<u8>(), 0..2)).prop_map(|(slot, rest)| [slot, rest].concat())
}

/// Ops of a few records and collections, of every kind.
pub(super) fn op() -> impl Strategy<Value = OwnedOp> {
    let kind = prop_oneof![
        6 => (tombstone(), btree_map("[a-d]?", cell(), 0..4))
            .prop_map(|(names, cells)| OwnedKind::Put { names, cells }),
        6 => btree_map("[a-d]?", cell(), 0..4)
            .prop_map(|cells| OwnedKind::Put { names: Tombstone::default(), cells }),
        3 => tombstone().prop_map(OwnedKind::Delete),
        2 => (4u32..6, slotted()).prop_map(|(tag, bytes)| OwnedKind::Unknown(tag, bytes)),
    ];
    (0u8..3, "[a-c]", stamp(), kind).prop_map(|(record, collection, stamp, kind)| {
        let record = RecordId::from_bytes([record; 16]);
        OwnedOp { record, collection, stamp, kind }
    })
}

/// A small damage to bytes: most of what a decoder accepts by mistake is near to something right.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Append(Vec<u8>),
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<proptest::sample::Index>().prop_map(|index| index.index(1 << 16));
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Cut),
        vec(any::<u8>(), 1..4).prop_map(Damage::Append),
    ]
}

impl Damage {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        let place = |at: &usize| at % len;
        match self {
            Self::Append(more) => bytes.extend(more),
            _ if bytes.is_empty() => {}
            Self::Set(at, byte) => bytes[place(at)] = *byte,
            Self::Flip(at, bit) => bytes[place(at)] ^= 1 << bit,
            Self::Insert(at, byte) => bytes.insert(place(at), *byte),
            Self::Remove(at) => drop(bytes.remove(place(at))),
            Self::Cut(at) => bytes.truncate(place(at)),
        }
    }
}
