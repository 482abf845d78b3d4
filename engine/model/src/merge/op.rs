//! Ops: single changes to records, as segments carry them and states take them in.
//!
//! They borrow names and encoded values from where they came from (a decoded segment, a pending row, the
//! caller's write), so merging copies bytes and never decodes a value.

pub mod codec;
mod slot;

use std::fmt;

pub use slot::Slotted;
use subrosa_protocol::ids::LogId;
use subrosa_protocol::limits::{COLLECTION_NAME_BYTES_MAX, FIELD_NAME_BYTES_MAX, FIELDS_MAX};

use super::hlc::Stamp;
use super::id::RecordId;
use super::value::ValueRef;

/// One change to one record.
#[derive(Clone, PartialEq, Eq)]
pub struct Op<'a> {
    /// The record that it changes.
    pub record: RecordId,
    /// Checked by [`CollectionName`] or by the decoder.
    pub collection: &'a str,
    /// When it was made, by its author's clock.
    pub stamp: Stamp,
    /// What it does.
    pub kind: OpKind<'a>,
}

impl Op<'_> {
    /// About how many bytes it takes in memory, beyond those that it borrows.
    pub(super) fn memory(&self) -> usize {
        let names = self.names().map_or(0, |names| size_of_val(&names.0[..]));
        let cells = if let OpKind::Put(put) = &self.kind { size_of_val(&put.cells[..]) } else { 0 };
        size_of::<Self>() + names + cells
    }

    /// The logs that it names, if it is of a kind that does.
    pub const fn names(&self) -> Option<&Tombstone> {
        self.kind.names()
    }
}

impl OpKind<'_> {
    /// The logs that it names, if it is of a kind that does.
    pub const fn names(&self) -> Option<&Tombstone> {
        match self {
            Self::Put(put) => Some(&put.names),
            Self::Delete(names) => Some(names),
            Self::Unknown { .. } => None,
        }
    }
}

/// What an op does.
#[derive(Clone, PartialEq, Eq)]
pub enum OpKind<'a> {
    /// Sets or removes fields.
    Put(Put<'a>),
    /// Hides everything that its tombstone names.
    Delete(Tombstone),
    /// Of a newer version: of each slot the latest is kept with the record and passed on. It counts as an edit.
    Unknown {
        /// What that version calls it.
        tag: u32,
        /// Its content, of which nobody here reads more than the slot.
        bytes: Slotted<'a>,
    },
}

/// The content of a put: what it clears, then its cells in the order of their names, each name once.
#[derive(Clone, PartialEq, Eq)]
pub struct Put<'a> {
    names: Tombstone,
    cells: Vec<FieldCell<'a>>,
}

/// A cell and the field it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldCell<'a> {
    /// The field's name.
    pub name: &'a str,
    /// What is said about it.
    pub cell: Cell<'a>,
}

/// What a put says about one field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// A plain value; last writer wins.
    Register(ValueRef<'a>),
    /// The field is gone: what `replace` says about fields that it does not name. Merges like a register.
    Unset,
    /// Of a newer version: of each slot the latest is kept and passed on.
    Unknown {
        /// What that version calls it.
        tag: u32,
        /// Its content, of which nobody here reads more than the slot.
        bytes: Slotted<'a>,
    },
}

/// Why an op cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Collection names have 1 to 128 bytes and no control characters.
    #[error("collection name of {bytes} bytes is empty, too long or has control characters")]
    CollectionName {
        /// Its length.
        bytes: usize,
    },
    /// A field's name is too long: use a map inside a field for data as keys.
    #[error("field name of {bytes} bytes is over the limit of {FIELD_NAME_BYTES_MAX}")]
    FieldName {
        /// Its length.
        bytes: usize,
    },
    /// Too many fields in one record: use a map or a list inside a field.
    #[error("{fields} fields are over the limit of {FIELDS_MAX}")]
    TooManyFields {
        /// How many.
        fields: usize,
    },
    /// One field was named twice.
    #[error("a field is named twice")]
    DuplicateField,
}

impl<'a> Put<'a> {
    /// Sorts the cells; `names` is what [`super::state::RecordState::names_for_put`] said.
    ///
    /// # Errors
    /// [`OpError`] for names and counts out of bounds.
    pub fn new(names: Tombstone, mut cells: Vec<FieldCell<'a>>) -> Result<Self, OpError> {
        if cells.len() > FIELDS_MAX {
            return Err(OpError::TooManyFields { fields: cells.len() });
        }
        if let Some(long) = cells.iter().find(|cell| cell.name.len() > FIELD_NAME_BYTES_MAX) {
            return Err(OpError::FieldName { bytes: long.name.len() });
        }
        cells.sort_unstable_by_key(|cell| cell.name);
        if cells.windows(2).any(|pair| pair[0].name == pair[1].name) {
            return Err(OpError::DuplicateField);
        }
        Ok(Self { names, cells })
    }

    /// What it clears: everything that the put starts without.
    pub const fn names(&self) -> &Tombstone {
        &self.names
    }

    /// Its cells in the order of their names.
    pub fn cells(&self) -> &[FieldCell<'a>] {
        &self.cells
    }

    /// Clears more.
    pub fn add_names(&mut self, names: &Tombstone) {
        self.names.join(names);
    }

    /// Keeps the cells that `keep` wants.
    pub fn retain(&mut self, keep: impl FnMut(&FieldCell<'a>) -> bool) {
        self.cells.retain(keep);
    }
}

impl<'a> Cell<'a> {
    /// Whether this version can merge it.
    pub const fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// What it takes the place of, and what takes its place: of one field and log, the latest of each of these stays.
    /// Register and unset share one.
    pub fn slot(&self) -> Option<(u32, &'a [u8])> {
        match self {
            Self::Register(_) | Self::Unset => None,
            Self::Unknown { tag, bytes } => Some((*tag, bytes.slot())),
        }
    }
}

/// Per log, the last stamp of a record that somebody has seen; sorted by log, each once. Tombstones of one record
/// join by per-log maximum. An empty one names nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tombstone(Vec<(LogId, Stamp)>);

impl Tombstone {
    /// Whether it names nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, sorted by log.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (LogId, Stamp)> + '_ {
        self.0.iter().copied()
    }

    /// Adds one name; the larger stamp of a log stays.
    pub fn raise(&mut self, log: LogId, stamp: Stamp) {
        match self.0.binary_search_by_key(&log, |name| name.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(stamp),
            Err(at) => self.0.insert(at, (log, stamp)),
        }
    }

    /// Adds all names of another.
    pub fn join(&mut self, other: &Self) {
        if !other.is_empty() {
            *self = self.iter().chain(other.iter()).collect();
        }
    }

    /// Whether it names all that `other` names.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(log, stamp)| {
            self.0.binary_search_by_key(&log, |name| name.0).is_ok_and(|at| self.0[at].1 >= stamp)
        })
    }
}

impl FromIterator<(LogId, Stamp)> for Tombstone {
    fn from_iter<I: IntoIterator<Item = (LogId, Stamp)>>(names: I) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        // The largest stamp of each log comes first, and stays.
        names.sort_unstable_by_key(|(log, stamp)| (*log, std::cmp::Reverse(*stamp)));
        names.dedup_by_key(|name| name.0);
        Self(names)
    }
}

/// Name of a collection: 1 to 128 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(Box<str>);

impl CollectionName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`OpError::CollectionName`].
    pub fn new(name: &str) -> Result<Self, OpError> {
        if is_collection_name(name) {
            Ok(Self(name.into()))
        } else {
            Err(OpError::CollectionName { bytes: name.len() })
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints the length alone: names are content.
impl fmt::Debug for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "collection name of {} bytes", self.0.len())
    }
}

fn is_collection_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= COLLECTION_NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// Prints ids and counts alone.
impl fmt::Debug for Op<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {:?}", self.record, self.stamp, self.kind)
    }
}

impl fmt::Debug for OpKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(put) => put.fmt(f),
            Self::Delete(tombstone) => write!(f, "delete {tombstone:?}"),
            Self::Unknown { tag, bytes } => write!(f, "op {tag} of {} bytes", bytes.as_bytes().len()),
        }
    }
}

impl fmt::Debug for Put<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put {} cells after {:?}", self.cells.len(), self.names)
    }
}

impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(value) => value.fmt(f),
            Self::Unset => f.write_str("unset"),
            Self::Unknown { tag, bytes } => write!(f, "cell {tag} of {} bytes", bytes.as_bytes().len()),
        }
    }
}

impl fmt::Debug for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn log(n: u8) -> LogId {
        LogId::from_bytes([n; 16])
    }

    #[test]
    fn puts_sort_their_cells_and_refuse_what_is_out_of_bounds() {
        let cell = |name| FieldCell { name, cell: Cell::Unset };
        let put = Put::new(Tombstone::default(), vec![cell("b"), cell(""), cell("a")]).unwrap();
        assert_eq!(put.cells().iter().map(|cell| cell.name).collect::<Vec<_>>(), ["", "a", "b"]);
        let long = "x".repeat(FIELD_NAME_BYTES_MAX + 1);
        let rows = [
            ("twice", vec![cell("a"), cell("b"), cell("a")], OpError::DuplicateField),
            ("long", vec![cell(&long)], OpError::FieldName { bytes: long.len() }),
            ("many", vec![cell("a"); FIELDS_MAX + 1], OpError::TooManyFields { fields: FIELDS_MAX + 1 }),
        ];
        for (name, cells, error) in rows {
            assert_eq!(Put::new(Tombstone::default(), cells), Err(error), "{name}");
        }
        assert!(Put::new(Tombstone::default(), vec![cell(&long[1..])]).is_ok());
        let many: Vec<_> = (0..FIELDS_MAX).map(|n| n.to_string()).collect();
        assert!(Put::new(Tombstone::default(), many.iter().map(|name| cell(name)).collect()).is_ok());
    }

    #[test]
    fn what_an_op_takes_in_memory_counts_its_names_and_its_cells() {
        let names = || Tombstone::from_iter([(log(1), Stamp(1)), (log(2), Stamp(1))]);
        let cells = vec![FieldCell { name: "a", cell: Cell::Unset }; 3];
        let put = OpKind::Put(Put { names: names(), cells });
        let newer = OpKind::Unknown { tag: 9, bytes: Slotted::check(&[0]).unwrap() };
        let (name, cell) = (size_of::<(LogId, Stamp)>(), size_of::<FieldCell<'_>>());
        for (kind, beside) in [(put, 2 * name + 3 * cell), (OpKind::Delete(names()), 2 * name), (newer, 0)] {
            let op = Op { record: RecordId::from_bytes([0; 16]), collection: "c", stamp: Stamp(1), kind };
            assert_eq!(op.memory(), size_of::<Op<'_>>() + beside);
        }
    }

    #[test]
    fn collection_names_are_checked() {
        assert_eq!(CollectionName::new("Größe / 1").unwrap().as_str(), "Größe / 1");
        for bad in ["", "a\nb", "a\u{85}", &"x".repeat(129)] {
            assert_eq!(CollectionName::new(bad), Err(OpError::CollectionName { bytes: bad.len() }));
        }
        assert!(CollectionName::new(&"x".repeat(128)).is_ok());
    }

    #[test]
    fn tombstones_join_by_maximum() {
        let a = Tombstone::from_iter([(log(2), Stamp(5)), (log(1), Stamp(3)), (log(2), Stamp(4))]);
        assert_eq!(a.iter().collect::<Vec<_>>(), [(log(1), Stamp(3)), (log(2), Stamp(5))]);
        let b = Tombstone::from_iter([(log(1), Stamp(4))]);
        assert!(!a.covers(&b) && !b.covers(&a));
        let mut joined = a.clone();
        joined.join(&b);
        assert!(joined.covers(&a) && joined.covers(&b));
        let mut raised = b;
        for (named, stamp) in [(2, 4), (2, 5), (2, 3), (1, 2)] {
            raised.raise(log(named), Stamp(stamp));
        }
        assert_eq!(raised, joined, "name by name it comes to the same");
        assert!(Tombstone::default().is_empty() && !raised.is_empty());
    }
}
