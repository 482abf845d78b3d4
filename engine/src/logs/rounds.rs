//! Rounds: a log that names more logs without a certificate than are noted is merged once more, from the first name that
//! is not, when one of them may be certified.
//!
//! A round goes in slices, each a transaction of bounded size that keeps how far it came, and lets others have their
//! turn in between. What is certified while one is under way costs one more round at most, and one that comes while none
//! is costs none unless it may be named: a set of fixed size tells (`docs/FORMAT.md`, "Names that wait").

use subrosa_model::merge::VaultNo;
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::ROUND_NAMES_BYTES;
use subrosa_store::logs::{BranchNo, RoundNames, RoundRow};

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::logs::notes::{NameLimits, name_limits};
use crate::logs::pass::{FoundNames, GroupSource, Pass};
use crate::memory::cost::look_at_row;
use crate::memory::extents::{GroupExtent, WaitReason};
use crate::memory::state::State;

/// What a slice may still do.
pub(crate) struct Slice {
    pub(crate) bytes: usize,
    pub(crate) segments: usize,
}

impl Slice {
    pub(crate) const fn of(limits: &NameLimits) -> Self {
        Self { bytes: limits.slice_bytes, segments: limits.slice_segments }
    }

    pub(crate) const fn is_used_up(&self) -> bool {
        self.bytes == 0 || self.segments == 0
    }
}

impl Core {
    /// Does one slice of the rounds that are under way, and of records that pass from one cap to another, in a transaction of
    /// its own; whether more is left.
    pub(crate) fn go_round(&self, turn: Option<&Turn>) -> Result<bool, Error> {
        {
            let state = self.lock_state()?;
            if !state.is_maintained() {
                return Ok(false);
            }
        }
        self.write_as(turn, |tx| tx.go_round())
    }

    /// Goes on with what an earlier opening has left of these, for a bounded time.
    pub(crate) fn go_round_at_opening(&self, turn: &Turn) -> Result<(), Error> {
        for _ in 0..name_limits().slices_at_opening {
            if !self.go_round(Some(turn))? {
                break;
            }
        }
        let state = self.lock_state()?;
        self.note_held(&state);
        Ok(())
    }
}

impl State {
    /// Whether something is to be done slice by slice.
    pub(crate) fn is_maintained(&self) -> bool {
        self.next_to_merge_again().is_some()
            || self.next_in_round().is_some()
            || self.next_in_pass().is_some()
    }

    /// A vault of which something is merged once more that was noted.
    fn next_to_merge_again(&self) -> Option<VaultNo> {
        self.vaults.iter().find(|(_, vault)| !vault.notes.again.is_empty()).map(|(vault, _)| *vault)
    }

    /// The next log with a round under way. They take turns, so that no log's rounds keep another's from ending.
    pub(crate) fn next_in_round(&self) -> Option<(VaultNo, BranchNo)> {
        let all = self.vaults.iter().flat_map(|(vault, state)| {
            let rounds = state.notes.rounds.iter().filter(|(_, round)| round.next.is_some());
            rounds.map(|(log, _)| (*vault, *log))
        });
        let mut first = None;
        for one in all {
            if self.last_in_round.is_none_or(|last| last < one) {
                return Some(one);
            }
            first = first.or(Some(one));
        }
        first
    }
}

impl Tx<'_> {
    fn go_round(&mut self) -> Result<bool, Error> {
        let mut slice = Slice::of(&name_limits());
        while !slice.is_used_up()
            && let Some(vault) = self.state.next_to_merge_again()
        {
            self.merge_again(vault, &mut slice)?;
        }
        while !slice.is_used_up()
            && let Some((vault, by)) = self.state.next_in_round()
        {
            self.state.last_in_round = Some((vault, by));
            self.visit(vault, by, &mut slice)?;
        }
        if let Some(vault) = self.state.next_in_pass() {
            self.pass_slice(vault)?;
            self.merge_ready(vault)?;
        }
        self.core.note_held(self.state);
        Ok(self.state.is_maintained())
    }

    /// Begins a round of each log that may name one of these, which are certified now, where names are not noted.
    pub(crate) fn begin_rounds(&mut self, vault: VaultNo, certified: &[LogId]) -> Result<(), Error> {
        if certified.is_empty() {
            return Ok(());
        }
        let rounds: Vec<_> =
            self.vault(vault)?.notes.rounds.iter().map(|(by, round)| (*by, *round)).collect();
        for (by, round) in rounds {
            look_at_row();
            let names = self.logs.round_names(by)?;
            if !certified.iter().any(|log| may_have(&names, log)) {
                continue;
            }
            match round.next {
                None => self.begin_round(vault, by, round.from)?,
                // Of what it has visited; what it will visit it will find.
                Some(_) => self.put_round(vault, by, RoundRow { again: true, ..round })?,
            }
        }
        self.core.note_held(self.state);
        Ok(())
    }

    fn begin_round(&mut self, vault: VaultNo, by: BranchNo, from: Seq) -> Result<(), Error> {
        self.logs.put_round_names(by, &RoundNames::default())?;
        self.put_round(vault, by, RoundRow { from, next: Some(from), again: false })
    }

    pub(crate) fn put_round(&mut self, vault: VaultNo, by: BranchNo, round: RoundRow) -> Result<(), Error> {
        self.logs.put_round(by, &round)?;
        self.vault_mut(vault)?.notes.rounds.insert(by, round);
        Ok(())
    }

    /// Keeps names of a log that are not noted.
    pub(crate) fn keep_names(&mut self, by: BranchNo, names: &[LogId]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let before = self.logs.round_names(by)?;
        let mut after = before.clone();
        names.iter().for_each(|name| add(&mut after, name));
        if after != before {
            self.logs.put_round_names(by, &after)?;
        }
        Ok(())
    }

    /// Merges the next segments of a round once more, and notes their names anew.
    fn visit(&mut self, vault: VaultNo, by: BranchNo, slice: &mut Slice) -> Result<(), Error> {
        let Some(round) = self.vault(vault)?.notes.rounds.get(&by).copied() else { return Ok(()) };
        let Some(mut next) = round.next else { return Ok(()) };
        let end = self.end_of_ops(by)?;
        let mut pass = Pass::default();
        while next < end && !slice.is_used_up() {
            slice.segments -= 1;
            match self.open_stored(vault, by, next)? {
                Ok(body) => {
                    slice.bytes = slice.bytes.saturating_sub(body.data.len());
                    if !pass.has_room(body.data.len()) {
                        self.run_pass(vault, &mut pass)?;
                    }
                    let source = GroupSource::Round(self.place_of(by, next)?);
                    pass.add(GroupExtent::of_one(by, next), vec![body], source);
                }
                // It carries no ops, or is one that only a newer version reads.
                Err(WaitReason::UnknownKind) if self.carries_no_ops(by, next)? => {}
                Err(_) => {
                    self.run_pass(vault, &mut pass)?; // in their order
                    pass.pass_over(next);
                }
            }
            next = next.next();
        }
        self.run_pass(vault, &mut pass)?;
        self.note_visited(vault, by, (round, next, end), pass.take_found())
    }

    /// Notes the names that still wait in what a round has visited, one by one as long as there is room, and where the
    /// round is.
    fn note_visited(
        &mut self,
        vault: VaultNo,
        by: BranchNo,
        (round, next, end): (RoundRow, Seq, Seq),
        found: Vec<FoundNames>,
    ) -> Result<(), Error> {
        let mut all_noted = round.next == Some(round.from);
        let (mut from, mut kept) = (round.from, Vec::new());
        let mut is_read = true;
        for (seq, names) in found {
            is_read &= names.is_some();
            let is_noted = |tx: &mut Self| match &names {
                Some(names) => tx.note_each(vault, (by, seq), names),
                None => Ok(false),
            };
            if all_noted && !is_noted(self)? {
                (all_noted, from) = (false, seq);
            }
            if !all_noted {
                kept.extend(names.into_iter().flatten());
            }
        }
        if is_read {
            self.keep_names(by, &kept)?;
        } else {
            // It may name any log.
            self.logs.put_round_names(by, &RoundNames::full())?;
        }
        if all_noted {
            from = next;
        }
        match (next < end, all_noted, round.again) {
            (true, ..) => self.put_round(vault, by, RoundRow { from, next: Some(next), ..round }),
            (false, true, _) => {
                self.logs.end_rounds(by)?;
                self.vault_mut(vault)?.notes.rounds.remove(&by);
                Ok(())
            }
            (false, false, true) => self.begin_round(vault, by, from),
            (false, false, false) => self.put_round(vault, by, RoundRow { from, next: None, again: false }),
        }
    }
}

/// Adds a name to a set.
fn add(names: &mut RoundNames, name: &LogId) {
    places(name).for_each(|(byte, bit)| names.0[byte] |= bit);
}

/// Whether a name may be in a set: `false` is certain.
fn may_have(names: &RoundNames, name: &LogId) -> bool {
    places(name).all(|(byte, bit)| names.0[byte] & bit != 0)
}

/// Where four parts of a name, which is a hash, stand in the set.
fn places(name: &LogId) -> impl Iterator<Item = (usize, u8)> {
    let (parts, _) = name.as_bytes().as_chunks::<4>();
    let bits: [usize; 4] =
        std::array::from_fn(|n| u32::from_be_bytes(parts[n]) as usize % (ROUND_NAMES_BYTES * 8));
    bits.into_iter().map(|bit| (bit / 8, 1 << (bit % 8)))
}
