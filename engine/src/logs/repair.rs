//! The author's repair: what a delete hides that did not know it is shown again.
//!
//! All futures of a log share one place in a tombstone, so a delete covers what another copy of a store wrote up to the stamp
//! that it names, whether its author had seen that or not. The device that wrote it finds such puts, and shows their records
//! again (`docs/FORMAT.md`, "Branches").

mod knowledge;

use std::collections::BTreeSet;

use knowledge::{Knowledge, Question, Ruling};
use subrosa_model::merge::{
    BodyPlace, CapsOf, Cell, CheckedBody, LogNo, Op, OpKind, RecordId, Stamp, Tombstone, VaultNo,
};
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::{REPAIR_BYTES, REPAIR_RECORDS_MAX, REPAIR_SEGMENTS_MAX};
use subrosa_protocol::segment::{Class, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::keys::RecordKey;
use subrosa_store::logs::{AtRisk, BranchNo, Covered};

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::life::gate::{Wait, WriterKind};
use crate::memory::cost::look_at_row;
use crate::memory::risks::Risks;
use crate::records::decode_state;
use crate::records::write::OldPut;

/// What looking for hidden puts came to.
#[derive(Default)]
struct Found {
    repairs: Vec<Repair>,
    /// There is more to look at.
    more: bool,
}

/// A record to be shown again, or to be hidden again.
struct Repair {
    collection: String,
    record: RecordId,
    kind: RepairKind,
    settled: Settled,
}

enum RepairKind {
    /// By these puts. What shows then is to be kept in mind, unless the log had something else on the record.
    Show { puts: Vec<OldPut>, is_alone: bool },
    /// By a delete that names no more than what it was shown by.
    Hide(Tombstone),
}

/// A record of which a delete hides puts that are at risk.
struct Candidate {
    key: RecordKey,
    puts: Vec<AtRisk>,
    covered: Vec<Covered>,
    /// The ops by which it shows again.
    shown_again: Vec<(LogNo, Stamp)>,
    /// Whether the copy of the store that wrote other puts of it still has its time to show them itself.
    is_partly_left: bool,
}

/// What is not to be looked at again.
#[derive(Default)]
struct Settled {
    puts: Vec<AtRisk>,
    covered: Vec<Covered>,
    shown_again: Vec<(LogNo, Stamp)>,
}

impl Core {
    /// Shows again what deletes hide that did not know it; whether there is something more to seal or to look at. For who has
    /// compared heads with a relay, and has sealed what waited.
    pub(crate) fn repair(&self, vault: VaultNo) -> Result<bool, Error> {
        {
            let state = self.lock_state()?;
            let state = state.vaults.get(&vault).ok_or(Error::NoVault)?;
            if !state.risks.is_due(self.now_ms()) || state.keyring.live_epoch().write.is_none() {
                return Ok(false);
            }
        }
        self.check_process()?;
        let turn = self.gate.enter(WriterKind::Call, Wait::ForTurn)?;
        let Found { repairs, more } = self.write_in_turn(&turn, |tx| tx.look_for_hidden(vault))?;
        if repairs.is_empty() {
            return Ok(more);
        }
        let mut set = self.begin_set(&turn, vault)?;
        for Repair { collection, record, kind, .. } in &repairs {
            match kind {
                RepairKind::Show { puts, .. } => set.show_again(collection, record, puts)?,
                RepairKind::Hide(names) => set.hide_again(collection, record, names)?,
            }
        }
        let finished = set.into_finished();
        tracing::info!(
            records = repairs.len(),
            "a delete hid them that did not know all of them: they show again"
        );
        self.write_and_leave(turn, Durable::Now, |tx| {
            tx.put_finished(finished)?;
            repairs.iter().try_for_each(|repair| tx.note_repaired(vault, repair))
        })?;
        Ok(true)
    }
}

impl Tx<'_> {
    /// Records were deleted in a branch: of those of which a put is at risk it is to be looked whether that is hidden.
    pub(crate) fn note_deletes(
        &mut self,
        vault: VaultNo,
        deleted: &BTreeSet<(RecordKey, BranchNo)>,
    ) -> Result<(), Error> {
        for (key, by) in deleted {
            if self.logs.is_at_risk(key)? {
                self.logs.put_covered(&Covered { key: *key, by: Some(*by) })?;
                self.vault_mut(vault)?.risks.cover();
            }
        }
        Ok(())
    }

    /// A log that has several futures goes on: if it is an old one of this device, more of it may be at risk, or may have been known.
    pub(crate) fn note_more_of(&mut self, vault: VaultNo, log: LogNo) -> Result<(), Error> {
        if self.is_old_and_own(vault, log)? {
            let risks = &mut self.vault_mut(vault)?.risks;
            (risks.has_news, risks.looked_at) = (true, None);
        }
        Ok(())
    }

    /// Finds what is hidden, as much as is dealt with at a time.
    fn look_for_hidden(&mut self, vault: VaultNo) -> Result<Found, Error> {
        // What waits may delete. Whoever wrote it has told the links, which seal it and come here again.
        if self.unsealed.first_batch(vault)?.is_some() {
            return Ok(Found::default());
        }
        if !self.note_puts_at_risk(vault)? {
            return Ok(Found { more: true, ..Found::default() });
        }
        let (candidates, mut more) = self.candidates(vault)?;
        let Some(knowledge) = self.ask(vault, &candidates)? else {
            // They stay at risk, and are looked at again when something comes of them.
            tracing::warn!("too much was written since a log forked to tell what deletes knew of it");
            return Ok(Found { more, ..Found::default() });
        };
        let (mut repairs, mut bytes, mut last) = (Vec::new(), 0, None);
        for Candidate { key, puts, covered, shown_again, is_partly_left } in candidates {
            if bytes > REPAIR_BYTES {
                let risks = &mut self.vault_mut(vault)?.risks;
                (risks.looked_at, risks.left_until_ms) = (last, risks.not_before_ms);
                more = true;
                break;
            }
            last = covered.last().copied();
            let (mut known, mut hidden, mut is_open) = (Vec::new(), Vec::new(), false);
            for put in puts {
                match knowledge.ruling(self, &key, &put)? {
                    // It is gone for good.
                    Ruling::Known => known.push(put),
                    Ruling::Unknown => hidden.push(put),
                    // It is looked at again when more of the log has come.
                    Ruling::Open => is_open = true,
                }
            }
            let has_known = !known.is_empty();
            self.settle(&key, &Settled { puts: known, ..Settled::default() })?;
            let Some(collection) = self.state.collections.name(key.collection()) else { continue };
            let (collection, record) = (collection.to_string(), key.record());
            let covered = if is_open || is_partly_left { Vec::new() } else { covered };
            if hidden.is_empty() && !is_open && has_known && !shown_again.is_empty() {
                let names =
                    shown_again.iter().filter_map(|(log, stamp)| Some((self.state.logs.id(*log)?, *stamp)));
                let kind = RepairKind::Hide(names.collect());
                let settled = Settled { covered, shown_again, ..Settled::default() };
                repairs.push(Repair { collection, record, kind, settled });
            } else if let Some(puts) = self.not_shown(vault, &key, &hidden)? {
                bytes += puts.iter().map(OldPut::bytes).sum::<usize>();
                let is_alone = self.is_alone(vault, &key)?;
                let settled = Settled {
                    puts: if is_alone { Vec::new() } else { hidden },
                    covered,
                    ..Settled::default()
                };
                repairs.push(Repair {
                    collection,
                    record,
                    kind: RepairKind::Show { puts, is_alone },
                    settled,
                });
            }
        }
        Ok(Found { repairs, more })
    }

    /// Whether the log that this device writes has nothing on a record that no delete covers.
    fn is_alone(&self, vault: VaultNo, key: &RecordKey) -> Result<bool, Error> {
        let own = self.vault(vault)?.own.data;
        let row = self.records.row(key)?;
        let state = decode_state(row.as_ref().map(|row| row.borrow()))?;
        Ok(state.last_of(own).is_none_or(|last| state.is_deleted(own, last)))
    }

    /// A record was shown, or hidden, again.
    fn note_repaired(&mut self, vault: VaultNo, repair: &Repair) -> Result<(), Error> {
        let number =
            self.state.collections.number(vault, &repair.collection).ok_or(StoreError::Inconsistent)?;
        let key = RecordKey::new(vault, number, &repair.record);
        self.settle(&key, &repair.settled)?;
        if let RepairKind::Show { is_alone: true, .. } = repair.kind {
            let own = self.vault(vault)?.own.data;
            let row = self.records.row(&key)?;
            if let Some(stamp) = decode_state(row.as_ref().map(|row| row.borrow()))?.last_of(own) {
                self.logs.put_shown_again(&key, (own, stamp))?;
            }
        }
        Ok(())
    }

    /// Searches the futures of this device's old logs, from where they part, for puts; whether all was searched.
    fn note_puts_at_risk(&mut self, vault: VaultNo) -> Result<bool, Error> {
        let mut room = REPAIR_SEGMENTS_MAX;
        for log in self.own_forked_logs(vault)? {
            let branches: Vec<_> = self.vault(vault)?.branches.of(log).collect();
            for branch in branches {
                let Some(from) = self.parts_at(vault, log, branch)? else { continue };
                let Some(tip) = self.logs.head(branch)? else { continue };
                let searched = self.logs.searched(branch)?.filter(|range| range.start <= from);
                let start = searched.as_ref().map_or(from, |range| range.start);
                let end = searched.map_or(from, |range| range.end);
                let mut next = end;
                while next < tip.merged && room > 0 {
                    self.note_puts(vault, branch, next)?;
                    (next, room) = (next.next(), room - 1);
                }
                if next != end {
                    self.logs.put_searched(branch, &(start..next))?;
                }
                if next < tip.merged {
                    return Ok(false);
                }
            }
        }
        self.vault_mut(vault)?.risks.has_news = false;
        Ok(true)
    }

    /// The old data logs of this device that have several futures.
    fn own_forked_logs(&self, vault: VaultNo) -> Result<Vec<LogNo>, Error> {
        let mut own = Vec::new();
        for log in self.vault(vault)?.branches.forked() {
            own.extend(self.is_old_and_own(vault, log)?.then_some(log));
        }
        Ok(own)
    }

    fn is_old_and_own(&self, vault: VaultNo, log: LogNo) -> Result<bool, Error> {
        let state = self.vault(vault)?;
        let certificate = state.logs.get(&log).filter(|info| info.class == Class::Data);
        let certificate = certificate.and_then(|info| state.members.certified(&info.id));
        Ok(!state.is_live(log) && certificate.is_some_and(|of| of.device == self.core.public()))
    }

    /// From where on another future of its log does not have what a branch has; `None` of one that has nothing of its own.
    fn parts_at(&self, vault: VaultNo, log: LogNo, branch: BranchNo) -> Result<Option<Seq>, Error> {
        if !branch.is_first() {
            return Ok(self.logs.head(branch)?.map(|head| head.base.seq));
        }
        let mut first: Option<Seq> = None;
        for other in self.vault(vault)?.branches.of(log).filter(|other| !other.is_first()) {
            let row = self.vault(vault)?.branches.row(other).ok_or(StoreError::Inconsistent)?;
            if row.leaves.is_none_or(|leaves| leaves == branch)
                && let Some(head) = self.logs.head(other)?
            {
                first = Some(first.map_or(head.base.seq, |first| first.min(head.base.seq)));
            }
        }
        Ok(first)
    }

    /// Keeps which puts of a segment are at risk, and which of their records are deleted already.
    fn note_puts(&mut self, vault: VaultNo, branch: BranchNo, seq: Seq) -> Result<(), Error> {
        let log = self.vault(vault)?.log_of(branch)?;
        let mut puts = Vec::new();
        self.read_ops(vault, branch, seq, |tx, op| {
            if let OpKind::Put(_) = op.kind
                && let Some(collection) = tx.state.collections.number(vault, op.collection)
            {
                puts.push((RecordKey::new(vault, collection, &op.record), op.stamp));
            }
        })?;
        for (key, stamp) in puts {
            self.logs.put_at_risk(&key, &AtRisk { branch, seq, stamp })?;
            self.vault_mut(vault)?.risks.any = true;
            let row = self.records.row(&key)?;
            if decode_state(row.as_ref().map(|row| row.borrow()))?.is_deleted(log, stamp) {
                self.logs.put_covered(&Covered { key, by: None })?;
                self.vault_mut(vault)?.risks.cover();
            }
        }
        Ok(())
    }

    /// Reads the ops of a merged segment; nothing of one that has none, or does not open.
    fn read_ops(
        &self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
        mut read: impl FnMut(&Self, &Op<'_>),
    ) -> Result<(), Error> {
        look_at_row();
        let header = self.logs.header(branch, seq)?.ok_or(StoreError::Inconsistent)?;
        if header.kind != Kind::DATA {
            return Ok(());
        }
        let Ok(opened) = self.open_stored(vault, branch, seq)? else { return Ok(()) };
        if let Ok(body) = CheckedBody::decode(&opened.data, BodyPlace::once_more(header.place)) {
            body.ops().iter().for_each(|op| read(self, op));
        }
        Ok(())
    }

    /// Records of which something may be hidden now, as many as are dealt with at a time; whether there are more.
    fn candidates(&mut self, vault: VaultNo) -> Result<(Vec<Candidate>, bool), Error> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let Risks { looked_at: mut after, left_until_ms, .. } = self.vault(vault)?.risks;
        let mut later_ms = if after.is_some() { left_until_ms } else { u64::MAX };
        loop {
            let page = self.logs.covered(vault, after.as_ref(), REPAIR_RECORDS_MAX)?;
            for of_record in page.chunk_by(|a, b| a.key == b.key) {
                if candidates.len() >= REPAIR_RECORDS_MAX {
                    // From here on next time, whatever becomes of these.
                    let risks = &mut self.vault_mut(vault)?.risks;
                    (risks.looked_at, risks.left_until_ms) = (after, later_ms);
                    return Ok((candidates, true));
                }
                let (candidate, left_until_ms) = self.candidate(vault, of_record)?;
                later_ms = later_ms.min(left_until_ms);
                candidates.extend(candidate);
                after = of_record.last().copied();
            }
            if page.len() < REPAIR_RECORDS_MAX {
                let risks = &mut self.vault_mut(vault)?.risks;
                (risks.covered, risks.not_before_ms) = (later_ms != u64::MAX, later_ms);
                risks.looked_at = None;
                return Ok((candidates, false));
            }
        }
    }

    /// What may be hidden of one record. What this store did not write itself is left to the copy that did for a day or two, as with
    /// carrying: until when is said then.
    fn candidate(&mut self, vault: VaultNo, covered: &[Covered]) -> Result<(Option<Candidate>, u64), Error> {
        let Some(Covered { key, .. }) = covered.first().copied() else { return Ok((None, u64::MAX)) };
        let row = self.records.row(&key)?;
        let state = decode_state(row.as_ref().map(|row| row.borrow()))?;
        let (mut puts, mut later_ms) = (Vec::new(), u64::MAX);
        let (at_risk, shown_again) = (self.logs.at_risk(&key)?, self.logs.shown_again(&key)?);
        // Who deletes what was shown again has deleted the puts with it.
        let is_over =
            !shown_again.is_empty() && shown_again.iter().all(|(log, at)| state.is_deleted(*log, *at));
        if at_risk.is_empty() || is_over {
            let settled = Settled { puts: at_risk, covered: covered.to_vec(), shown_again };
            self.settle(&key, &settled)?;
            return Ok((None, later_ms));
        }
        for put in at_risk {
            let branches = &self.vault(vault)?.branches;
            let log = branches.log_of(put.branch).ok_or(StoreError::Inconsistent)?;
            if !state.is_deleted(log, put.stamp) {
                continue;
            }
            match branches.row(put.branch).map(|row| row.carry_at_ms).filter(|at_ms| *at_ms > self.now_ms) {
                Some(at_ms) => later_ms = later_ms.min(at_ms),
                None => puts.push(put),
            }
        }
        // Where all of it shows nobody is asked; should something be hidden later, all deletes are looked at that were noted.
        let hides = !shown_again.is_empty() || self.not_shown(vault, &key, &puts)?.is_some();
        let (covered, is_partly_left) = (covered.to_vec(), later_ms != u64::MAX);
        let candidate = Candidate { key, puts, covered, shown_again, is_partly_left };
        Ok((hides.then_some(candidate), later_ms))
    }

    /// Finds out what deletes of these records knew; `None` where too much is to be read for that.
    fn ask(&self, vault: VaultNo, candidates: &[Candidate]) -> Result<Option<Knowledge>, Error> {
        let own: BTreeSet<_> = self.own_forked_logs(vault)?.into_iter().collect();
        let state = self.vault(vault)?;
        let data = state.logs.iter().filter(|(_, info)| info.class == Class::Data);
        let is_mine = |log: &LogNo| {
            state.is_live(*log)
                || state
                    .logs
                    .get(log)
                    .and_then(|info| state.members.certified(&info.id))
                    .is_some_and(|of| of.device == self.core.public())
        };
        let covered = || candidates.iter().flat_map(|candidate| &candidate.covered);
        let is_anywhere = covered().any(|one| one.by.is_none());
        let by: BTreeSet<_> = covered().filter_map(|one| one.by).collect();
        let branches = data.flat_map(|(log, _)| {
            let all = is_anywhere || is_mine(log);
            let by = &by;
            state.branches.of(*log).filter(move |branch| all || by.contains(branch))
        });
        let puts = candidates.iter().flat_map(|one| &one.puts);
        let counts_as = |put: &AtRisk| {
            let log = state.log_of(put.branch)?;
            Ok::<_, StoreError>(self.state.logs.capped(log, put.stamp))
        };
        let Some(since) = puts.map(counts_as).collect::<Result<Vec<_>, _>>()?.into_iter().min() else {
            return Ok(Some(Knowledge::default()));
        };
        let question = Question {
            branches: branches.collect(),
            logs: own,
            records: candidates.iter().map(|candidate| candidate.key).collect(),
            since,
        };
        Knowledge::read(self, vault, &question, REPAIR_SEGMENTS_MAX)
    }

    /// What does not show of puts of a record, if there is something.
    fn not_shown(
        &self,
        vault: VaultNo,
        key: &RecordKey,
        hidden: &[AtRisk],
    ) -> Result<Option<Vec<OldPut>>, Error> {
        let Some(collection) = self.state.collections.name(key.collection()) else { return Ok(None) };
        let row = self.records.row(key)?;
        let state = decode_state(row.as_ref().map(|row| row.borrow()))?;
        let order = self.state.logs.order(CapsOf::Now);
        let (mut puts, mut latest) = (Vec::new(), None);
        for put in hidden {
            let log = self.vault(vault)?.log_of(put.branch)?;
            latest = latest.max(Some(self.state.logs.capped(log, put.stamp)));
            if !state.is_cleared(log, put.stamp) {
                continue; // what the delete left of it shows with the record
            }
            let stamp = put.stamp;
            self.read_ops(vault, put.branch, put.seq, |_, op| {
                let OpKind::Put(put) = &op.kind else { return };
                if (op.record, op.collection, op.stamp) != (key.record(), &**collection, stamp) {
                    return;
                }
                let cells = put.cells().iter().filter_map(|cell| {
                    let value = match cell.cell {
                        Cell::Register(value) => Some(value.to_buf()),
                        Cell::Unset => None,
                        // What counts would count twice.
                        Cell::Unknown { .. } => return None,
                    };
                    // What was removed matters where something older shows instead.
                    let is_missed = value.is_some() || state.has_cell(cell.name, (log, Stamp(0)), &order);
                    let is_shown = state.has_cell(cell.name, (log, op.stamp), &order);
                    (is_missed && !is_shown).then(|| (cell.name.to_owned(), value))
                });
                let cells: Vec<_> = cells.collect();
                if !cells.is_empty() {
                    puts.push(OldPut { as_of: self.state.logs.capped(log, op.stamp), cells });
                }
            })?;
        }
        puts.sort_by_key(|put| put.as_of);
        if let Some(as_of) = latest
            && puts.is_empty()
            && !state.is_visible()
        {
            puts.push(OldPut { as_of, cells: Vec::new() });
        }
        Ok((!puts.is_empty()).then_some(puts))
    }

    fn settle(&mut self, key: &RecordKey, settled: &Settled) -> Result<(), Error> {
        settled.puts.iter().try_for_each(|put| self.logs.forget_at_risk(key, put))?;
        settled.shown_again.iter().try_for_each(|op| self.logs.forget_shown_again(key, *op))?;
        settled.covered.iter().try_for_each(|covered| self.logs.forget_covered(covered))?;
        Ok(())
    }
}
