//! Names that wait: tombstones may name logs of which no certificate is here.
//!
//! Such a name has no effect yet, gets no number and is never repeated: else a member could fill every store with names
//! that it made up. Which segments have named a log is noted, within bounds, and they are merged once more when the log is
//! certified: as many as fit into a slice in the same transaction, the others as rounds are. Merging is idempotent, so that comes to
//! the same as if the certificate had been here first; nobody waits for a name. A log that has too many such names is merged once
//! more in rounds (`rounds.rs`).

use subrosa_model::merge::{CheckedBody, NamedAhead, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::{
    NOTES_PER_LOG_MAX, ROUND_SLICE_BYTES, ROUND_SLICE_SEGMENTS, ROUND_SLICES_AT_OPENING,
};
use subrosa_store::logs::{BranchNo, NoteRow, RoundRow};

use crate::error::Error;
use crate::life::commit::Tx;
use crate::logs::pass::{GroupSource, Pass};
use crate::logs::rounds::Slice;
use crate::memory::extents::GroupExtent;

/// What bounds notes and rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameLimits {
    /// Notes of one naming log.
    pub(crate) notes: usize,
    /// Plaintext that one slice of a round opens, but for its last segment.
    pub(crate) slice_bytes: usize,
    /// Segments that it opens.
    pub(crate) slice_segments: usize,
    /// Slices at an opening of the store.
    pub(crate) slices_at_opening: usize,
}

/// The limits; tests may have smaller ones.
#[cfg_attr(not(test), expect(clippy::missing_const_for_fn, reason = "tests look for theirs"))]
pub(crate) fn name_limits() -> NameLimits {
    #[cfg(test)]
    if let Some(limits) = testing::LIMITS.get() {
        return limits;
    }
    NameLimits {
        notes: NOTES_PER_LOG_MAX,
        slice_bytes: ROUND_SLICE_BYTES,
        slice_segments: ROUND_SLICE_SEGMENTS,
        slices_at_opening: ROUND_SLICES_AT_OPENING,
    }
}

impl Tx<'_> {
    /// Logs that a body names and of which no certificate is here, or later than it can know them: those count when the named
    /// log is capped.
    pub(crate) fn names_that_wait(&self, vault: VaultNo, body: &CheckedBody<'_>) -> Vec<LogId> {
        let named = body.named().iter().filter(|named| self.state.logs.number(vault, named).is_none());
        let is_ahead = |ahead: &&NamedAhead| {
            let number = self.state.logs.number(vault, &ahead.log);
            number.is_some_and(|number| self.state.logs.capped(number, ahead.named) > ahead.by)
        };
        let ahead = body.named_ahead().iter().filter(is_ahead).map(|ahead| &ahead.log);
        named.chain(ahead).copied().collect()
    }

    /// Notes names that wait of a segment, merged now.
    pub(crate) fn note_names(
        &mut self,
        vault: VaultNo,
        (by, seq): (BranchNo, Seq),
        names: &[LogId],
    ) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let round = self.vault(vault)?.notes.rounds.get(&by).copied();
        if let Some(round) = round.filter(|round| round.from <= seq) {
            // A round under way comes there, and looks at what waits then.
            let will_visit = round.next.is_some_and(|next| next <= seq);
            return if will_visit { Ok(()) } else { self.keep_names(by, names) };
        }
        if self.note_each(vault, (by, seq), names)? {
            return Ok(());
        }
        let round = round.unwrap_or(RoundRow { from: seq, next: None, again: false });
        self.put_round(vault, by, RoundRow { from: seq, ..round })?;
        self.keep_names(by, names)
    }

    /// Notes names of a segment one by one; whether there was room for all.
    pub(crate) fn note_each(
        &mut self,
        vault: VaultNo,
        (by, seq): (BranchNo, Seq),
        names: &[LogId],
    ) -> Result<bool, Error> {
        for named in names {
            let note = NoteRow { named: *named, by, seq };
            if self.logs.has_note(vault, &note)? {
                continue;
            }
            let count = self.vault_mut(vault)?.notes.counts.entry(by).or_default();
            if *count >= name_limits().notes {
                return Ok(false);
            }
            *count += 1;
            self.logs.put_note(vault, &note)?;
        }
        Ok(true)
    }

    /// Merges once more what has named these logs, which are certified or capped now: a slice of it at once, and the rest slice by slice.
    /// Of logs with too many names, begins to.
    pub(crate) fn merge_named(&mut self, vault: VaultNo, certified: &[LogId]) -> Result<(), Error> {
        let mut is_any = false;
        for named in certified {
            let from = (BranchNo::FIRST, Seq(0));
            if self.logs.notes_of(vault, named, from)?.next().transpose()?.is_some() {
                self.put_again(vault, named, from)?;
                is_any = true;
            }
        }
        self.begin_rounds(vault, certified)?;
        if is_any {
            self.merge_again(vault, &mut Slice::of(&name_limits()))?;
            self.core.note_held(self.state);
        }
        Ok(())
    }

    /// Merges the next segments once more that have named a log which is certified or capped since.
    pub(crate) fn merge_again(&mut self, vault: VaultNo, slice: &mut Slice) -> Result<(), Error> {
        while !slice.is_used_up()
            && let Some((named, from)) = self.vault(vault)?.notes.again.first_key_value()
        {
            let (named, from) = (*named, *from);
            self.merge_again_of(vault, (&named, from), slice)?;
        }
        Ok(())
    }

    /// A segment that has named the log later than it could know it is noted once more; it stands before where this goes on.
    fn merge_again_of(
        &mut self,
        vault: VaultNo,
        (named, from): (&LogId, (BranchNo, Seq)),
        slice: &mut Slice,
    ) -> Result<(), Error> {
        let notes = self.logs.notes_of(vault, named, from)?.take(slice.segments);
        let notes = notes.collect::<Result<Vec<_>, _>>()?;
        let (mut next, mut pass) = (None, Pass::default());
        for note in notes {
            if slice.is_used_up() {
                break;
            }
            slice.segments -= 1;
            let NoteRow { by, seq, .. } = note;
            next = Some((by, seq.next()));
            self.logs.remove_note(vault, &note)?;
            if let Some(count) = self.vault_mut(vault)?.notes.counts.get_mut(&by) {
                *count = count.saturating_sub(1);
            }
            // Only what is merged is merged once more.
            if self.logs.head(by)?.is_none_or(|head| head.merged <= seq) {
                continue;
            }
            let Ok(body) = self.open_stored(vault, by, seq)? else { continue };
            slice.bytes = slice.bytes.saturating_sub(body.data.len());
            if !pass.has_room(body.data.len()) {
                self.run_pass(vault, &mut pass)?;
            }
            let source = GroupSource::Again(self.place_of(by, seq)?);
            pass.add(GroupExtent::of_one(by, seq), vec![body], source);
        }
        self.run_pass(vault, &mut pass)?;
        let is_left = match next {
            Some(next) => self.logs.notes_of(vault, named, next)?.next().transpose()?.map(|_| next),
            None => None,
        };
        match is_left {
            Some(next) => self.put_again(vault, named, next),
            None => {
                self.vault_mut(vault)?.notes.again.remove(named);
                Ok(self.logs.end_named_again(vault, named)?)
            }
        }
    }

    fn put_again(&mut self, vault: VaultNo, named: &LogId, from: (BranchNo, Seq)) -> Result<(), Error> {
        self.logs.put_named_again(vault, named, from)?;
        self.vault_mut(vault)?.notes.again.insert(*named, from);
        Ok(())
    }
}

/// Smaller limits for the thread of a test.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::NameLimits;

    thread_local! {
        pub(crate) static LIMITS: Cell<Option<NameLimits>> = const { Cell::new(None) };
    }
}
