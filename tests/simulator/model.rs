//! The rules, in memory and by themselves: what a device must show that has seen a given set of ops.
//!
//! It knows nothing of stamps, logs or segments. Of each op it keeps which ops its author had seen, so "deleted with
//! knowledge" and "written later" are what a person means by them, whatever clocks and copies did:
//!
//! - A record is there if a put of it was seen that no delete knew. A delete knows the puts that its author had seen,
//!   and what those and other deletes named.
//! - A put on a record that is deleted for its author begins it anew: what was deleted stays away, everywhere.
//! - Of a field, a value counts that was not overwritten by somebody who had seen it. Of several such, all devices show
//!   one, and any will do.

use std::collections::BTreeMap;

/// Number of an op.
pub type OpNo = u16;
/// Number of a record.
pub type RecNo = u8;
/// Number of a field.
pub type FieldNo = u8;

/// A set of ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpSet([u64; 4]);

/// Ops that a plan may have.
pub const OPS_MAX: usize = 256;

impl OpSet {
    /// That one alone.
    #[must_use]
    pub const fn of(op: OpNo) -> Self {
        let mut set = Self([0; 4]);
        set.insert(op);
        set
    }

    /// Adds one.
    pub const fn insert(&mut self, op: OpNo) {
        self.0[op as usize / 64] |= 1 << (op % 64);
    }

    /// Whether it is in.
    #[must_use]
    pub const fn contains(&self, op: OpNo) -> bool {
        self.0[op as usize / 64] & (1 << (op % 64)) != 0
    }

    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, [0, 0, 0, 0])
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = OpNo> {
        (0..OPS_MAX as OpNo).filter(move |op| self.contains(*op))
    }
}

/// What an op does to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sets these fields to the op's value, or removes them.
    Put(BTreeMap<FieldNo, Cell>),
    /// Deletes it.
    Delete,
}

/// What a put does to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It has the op's value.
    Set,
    /// It is gone.
    Unset,
}

struct Applied {
    record: RecNo,
    effect: Effect,
    /// The puts of this record that it names as deleted.
    names: OpSet,
}

/// One op, as everything that one local call did.
struct Op {
    effects: Vec<Applied>,
    /// What its author had seen.
    seen: OpSet,
    /// Whatever its author, and their authors, had seen.
    past: OpSet,
}

/// See the module.
#[derive(Default)]
pub struct Model {
    ops: Vec<Op>,
}

/// What a device shows of a record.
pub type Shown = Option<BTreeMap<FieldNo, OpNo>>;

/// What is wrong with what a device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The record is there, and everything of it was deleted with knowledge.
    ComesBack,
    /// The record is not there, and nobody deleted this op of it with knowledge.
    Hidden(OpNo),
    /// A field has a value that was overwritten, by the op given, or removed.
    Stale(FieldNo, OpNo),
    /// A field is missing that should have the value of this op.
    FieldGone(FieldNo, OpNo),
    /// A field is there of which every value was cleared.
    FieldBack(FieldNo),
}

impl Model {
    /// How many ops there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Takes in an op of an author who had seen `seen`; its number.
    pub fn add(&mut self, seen: OpSet, effects: Vec<(RecNo, Effect)>) -> OpNo {
        let past = seen.iter().fold(seen, |past, op| past.plus(self.ops[op as usize].past));
        let applied = effects.into_iter().map(|(record, effect)| {
            let names = self.names(seen, record, &effect);
            Applied { record, effect, names }
        });
        let effects = applied.collect();
        self.ops.push(Op { effects, seen, past });
        (self.ops.len() - 1) as OpNo
    }

    /// A put found that its author's device did not show the record, and began it anew: what was hidden there from somebody who
    /// had not deleted it shows again when its own author comes, but what was deleted is cleared all the same.
    pub fn begin_anew(&mut self, op: OpNo, record: RecNo) {
        let seen = self.ops[op as usize].seen;
        let deleted = self.named(seen, record, |_| true);
        for applied in &mut self.ops[op as usize].effects {
            if applied.record == record && matches!(applied.effect, Effect::Put(_)) {
                applied.names = deleted;
            }
        }
    }

    /// Whether a record is there for who has seen these ops.
    #[must_use]
    pub fn is_there(&self, seen: OpSet, record: RecNo) -> bool {
        let deleted = self.named(seen, record, |_| true);
        self.puts(seen, record).any(|(op, _)| !deleted.contains(op))
    }

    /// Compares what a device shows that has seen these ops.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn check(&self, seen: OpSet, record: RecNo, shown: &Shown) -> Result<(), Wrong> {
        let deleted = self.named(seen, record, |_| true);
        let alive = self.puts(seen, record).find(|(op, _)| !deleted.contains(*op));
        let fields = match (alive, shown) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Wrong::ComesBack),
            (Some((op, _)), None) => return Err(Wrong::Hidden(op)),
            (Some(_), Some(fields)) => fields,
        };
        for field in 0..FIELDS {
            self.check_field(seen, (record, field), fields.get(&field).copied())?;
        }
        Ok(())
    }

    fn check_field(
        &self,
        seen: OpSet,
        (record, field): (RecNo, FieldNo),
        shown: Option<OpNo>,
    ) -> Result<(), Wrong> {
        let cleared = self.named(seen, record, |effect| matches!(effect, Effect::Put(_)));
        let deleted = self.named(seen, record, |_| true);
        let cells = self.puts(seen, record).filter(|(op, _)| !cleared.contains(*op));
        let cells: Vec<(OpNo, Cell)> =
            cells.filter_map(|(op, cells)| Some((op, *cells.get(&field)?))).collect();
        let overwritten_by = |op: OpNo| {
            cells.iter().find(|(by, _)| self.ops[*by as usize].past.contains(op)).map(|(by, _)| *by)
        };
        let mut last = cells.iter().filter(|(op, _)| overwritten_by(*op).is_none());
        match shown {
            Some(value) if !cells.contains(&(value, Cell::Set)) => {
                Err(if cells.is_empty() { Wrong::FieldBack(field) } else { Wrong::Stale(field, cells[0].0) })
            }
            Some(value) => overwritten_by(value).map_or(Ok(()), |by| Err(Wrong::Stale(field, by))),
            None if cells.is_empty() || last.clone().any(|(_, cell)| *cell == Cell::Unset) => Ok(()),
            // What was deleted with knowledge comes back with an edit that did not know the delete, unless a put that began the record
            // anew has cleared it, which is more than it knew where a log has several futures.
            None if !cleared.is_empty() && last.clone().all(|(op, _)| deleted.contains(*op)) => Ok(()),
            None => Err(Wrong::FieldGone(field, last.next().map_or(0, |(op, _)| *op))),
        }
    }

    /// The puts of a record among these ops.
    fn puts(&self, seen: OpSet, record: RecNo) -> impl Iterator<Item = (OpNo, &BTreeMap<FieldNo, Cell>)> {
        self.applied(seen, record).filter_map(|(op, applied)| match &applied.effect {
            Effect::Put(cells) => Some((op, cells)),
            Effect::Delete => None,
        })
    }

    fn applied(&self, seen: OpSet, record: RecNo) -> impl Iterator<Item = (OpNo, &Applied)> {
        seen.iter().filter(|op| (*op as usize) < self.ops.len()).flat_map(move |op| {
            let of_record = self.ops[op as usize].effects.iter().filter(move |one| one.record == record);
            of_record.map(move |applied| (op, applied))
        })
    }

    /// What those of these ops name that `which` says.
    fn named(&self, seen: OpSet, record: RecNo, which: impl Fn(&Effect) -> bool) -> OpSet {
        let of = self.applied(seen, record).filter(|(_, applied)| which(&applied.effect));
        of.fold(OpSet::default(), |all, (_, applied)| all.plus(applied.names))
    }

    /// What a new op of an author who has seen `seen` names.
    fn names(&self, seen: OpSet, record: RecNo, effect: &Effect) -> OpSet {
        let deleted = self.named(seen, record, |_| true);
        match effect {
            Effect::Delete => self.puts(seen, record).fold(deleted, |mut all, (op, _)| {
                all.insert(op);
                all
            }),
            Effect::Put(_) if self.is_there(seen, record) => {
                self.named(seen, record, |effect| matches!(effect, Effect::Put(_)))
            }
            Effect::Put(_) => deleted,
        }
    }
}

/// Fields of a record.
pub const FIELDS: FieldNo = 3;
/// Records.
pub const RECORDS: RecNo = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ops: &[OpNo]) -> OpSet {
        let mut set = OpSet::default();
        ops.iter().for_each(|op| set.insert(*op));
        set
    }

    fn put(fields: &[FieldNo]) -> Vec<(RecNo, Effect)> {
        vec![(0, Effect::Put(fields.iter().map(|field| (*field, Cell::Set)).collect()))]
    }

    fn shown(fields: &[(FieldNo, OpNo)]) -> Shown {
        Some(fields.iter().copied().collect())
    }

    #[test]
    fn what_a_delete_knew_stays_away_and_what_it_did_not_know_brings_the_record_back() {
        let mut model = Model::default();
        model.add(set(&[]), put(&[0]));
        model.add(set(&[0]), vec![(0, Effect::Delete)]);
        model.add(set(&[0]), put(&[1]));
        assert_eq!(model.check(set(&[0, 1]), 0, &None), Ok(()));
        assert_eq!(model.check(set(&[0, 1]), 0, &shown(&[(0, 0)])), Err(Wrong::ComesBack));
        assert_eq!(model.check(set(&[0, 1, 2]), 0, &None), Err(Wrong::Hidden(2)));
        assert_eq!(model.check(set(&[0, 1, 2]), 0, &shown(&[(0, 0), (1, 2)])), Ok(()));
        assert_eq!(model.check(set(&[0, 1, 2]), 0, &shown(&[(1, 2)])), Err(Wrong::FieldGone(0, 0)));
    }

    #[test]
    fn a_put_on_a_deleted_record_begins_it_anew() {
        let mut model = Model::default();
        model.add(set(&[]), put(&[0]));
        model.add(set(&[0]), vec![(0, Effect::Delete)]);
        model.add(set(&[0, 1]), put(&[1]));
        let all = set(&[0, 1, 2]);
        assert_eq!(model.check(all, 0, &shown(&[(1, 2)])), Ok(()));
        assert_eq!(model.check(all, 0, &shown(&[(0, 0), (1, 2)])), Err(Wrong::FieldBack(0)));
        assert_eq!(
            model.check(set(&[0, 2]), 0, &shown(&[(1, 2)])),
            Ok(()),
            "whoever has not seen the delete"
        );
    }

    #[test]
    fn the_later_of_two_who_knew_of_each_other_counts_and_any_of_two_who_did_not() {
        let mut model = Model::default();
        model.add(set(&[]), put(&[0]));
        model.add(set(&[0]), put(&[0]));
        model.add(set(&[0]), put(&[0]));
        let all = set(&[0, 1, 2]);
        assert_eq!(model.check(all, 0, &shown(&[(0, 0)])), Err(Wrong::Stale(0, 1)));
        assert_eq!(model.check(all, 0, &shown(&[(0, 1)])), Ok(()));
        assert_eq!(model.check(all, 0, &shown(&[(0, 2)])), Ok(()));
        // Known through others counts, too.
        model.add(set(&[2]), put(&[0]));
        assert_eq!(model.check(set(&[0, 3]), 0, &shown(&[(0, 0)])), Err(Wrong::Stale(0, 3)));
    }
}
