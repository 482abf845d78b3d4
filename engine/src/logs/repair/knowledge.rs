//! What the authors of deletes had seen of this device's old logs, as the heads of their groups say.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_model::merge::{BodyPlace, CheckedBody, LogNo, OpKind, Run, Stamp, VaultNo};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::segment::Kind;
use subrosa_store::error::StoreError;
use subrosa_store::keys::RecordKey;
use subrosa_store::logs::{AtRisk, BranchNo};

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::memory::cost::look_at_row;

/// What is to be found out.
pub(super) struct Question {
    /// In which branches deletes are looked for; among them all those of `logs`.
    pub(super) branches: Vec<BranchNo>,
    /// The logs of which deletes may have known something.
    pub(super) logs: BTreeSet<LogNo>,
    /// The records that are deleted.
    pub(super) records: BTreeSet<RecordKey>,
    /// Nothing that was made before then is of interest.
    pub(super) since: Stamp,
}

/// See the module.
#[derive(Default)]
pub(super) struct Knowledge {
    /// The logs of these branches.
    logs: BTreeMap<BranchNo, LogNo>,
    /// Per branch, the groups on the way to what is merged of it, the first one first.
    ways: BTreeMap<BranchNo, Vec<Group>>,
}

/// What deletes knew of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// Whoever wrote one of them knew it.
    Known,
    /// Nobody did who wrote one.
    Unknown,
    /// Somebody had seen of its log what is not here yet.
    Open,
}

/// What matters of a group.
#[derive(Default)]
struct Group {
    /// Its last segment.
    last: Seq,
    runs: Vec<(Run, Stamp)>,
    /// Up to where its author had merged which branches of the logs that are asked for.
    seen: Vec<(BranchNo, Seq)>,
    /// Where that is not here, up to where of which logs.
    seen_elsewhere: Vec<(LogNo, Seq)>,
    /// Deletes of the records that are asked for, and what they name of those logs.
    deletes: Vec<(RecordKey, Vec<(LogNo, Stamp)>)>,
}

impl Knowledge {
    /// Reads what was written since then; `None` if that is more than so many segments.
    pub(super) fn read(
        tx: &Tx<'_>,
        vault: VaultNo,
        question: &Question,
        segments_max: usize,
    ) -> Result<Option<Self>, Error> {
        let (mut ways, mut logs, mut room) = (BTreeMap::new(), BTreeMap::new(), segments_max);
        let ids: BTreeMap<LogId, LogNo> =
            question.logs.iter().filter_map(|log| Some((tx.state.logs.id(*log)?, *log))).collect();
        for branch in &question.branches {
            let mut reader = WayReader { tx, vault, question, ids: &ids, room };
            let Some(way) = reader.read(*branch)? else { return Ok(None) };
            room = reader.room;
            ways.insert(*branch, way);
            logs.insert(*branch, tx.vault(vault)?.log_of(*branch)?);
        }
        Ok(Some(Self { logs, ways }))
    }

    /// Whether somebody deleted a put who knew it.
    pub(super) fn ruling(&self, tx: &Tx<'_>, key: &RecordKey, put: &AtRisk) -> Result<Ruling, Error> {
        let mut ruling = Ruling::Unknown;
        let log = *self.logs.get(&put.branch).ok_or(StoreError::Inconsistent)?;
        let covers = |(named, names): &(RecordKey, Vec<_>)| {
            named == key && names.iter().any(|(of, stamp)| *of == log && *stamp >= put.stamp)
        };
        for (branch, groups) in &self.ways {
            for (at, group) in groups.iter().enumerate() {
                if !group.deletes.iter().any(covers) {
                    continue;
                }
                let groups = &groups[..=at];
                if self.knew(tx, (*branch, groups), (log, put))? {
                    return Ok(Ruling::Known);
                }
                let mut elsewhere = groups.iter().flat_map(|group| &group.seen_elsewhere);
                if elsewhere.any(|(of, last)| *of == log && put.seq <= *last) && !faults::CLOSINGS_SEEN {
                    ruling = Ruling::Open;
                }
            }
        }
        Ok(ruling)
    }

    /// Whether who wrote these groups of a branch knew a put: it stands before them on their way, they say that they have seen it, or
    /// they, or what they have seen, hold what was written in the same opening of the store up to then.
    fn knew(
        &self,
        tx: &Tx<'_>,
        (branch, groups): (BranchNo, &[Group]),
        (log, put): (LogNo, &AtRisk),
    ) -> Result<bool, Error> {
        let is_before = |branch: BranchNo, last: Seq| -> Result<bool, StoreError> {
            Ok(put.seq <= last && tx.logs.holder(branch, put.seq)? == Some(put.branch))
        };
        let last = groups.last().map_or(Seq(0), |group| group.last);
        if self.logs.get(&branch) == Some(&log) && is_before(branch, last)? {
            return Ok(true);
        }
        let run = self.run_of(put);
        let names_run = |group: &Group| {
            run.is_some_and(|run| group.runs.iter().any(|(of, stamp)| *of == run && *stamp >= put.stamp))
        };
        if groups.iter().any(names_run) {
            return Ok(true);
        }
        for (seen, last) in groups.iter().flat_map(|group| &group.seen) {
            let before = self.ways.get(seen).into_iter().flatten().take_while(|group| group.last <= *last);
            if self.logs.get(seen) == Some(&log)
                && (is_before(*seen, *last)? || before.into_iter().any(names_run))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The opening of the store in which a put was written: of those that went into its group, the first that ended no earlier.
    fn run_of(&self, put: &AtRisk) -> Option<Run> {
        let group = self.ways.get(&put.branch)?.iter().find(|group| group.last >= put.seq)?;
        let runs = group.runs.iter().filter(|(_, stamp)| *stamp >= put.stamp);
        runs.min_by_key(|(_, stamp)| *stamp).map(|(run, _)| *run)
    }
}

/// Reads the way to what is merged of a branch, backwards.
struct WayReader<'a, 't> {
    tx: &'a Tx<'t>,
    vault: VaultNo,
    question: &'a Question,
    ids: &'a BTreeMap<LogId, LogNo>,
    room: usize,
}

impl WayReader<'_, '_> {
    /// The groups back to the first one that ended before then, which may still have seen something of it; `None` if there
    /// is no room for that.
    fn read(&mut self, branch: BranchNo) -> Result<Option<Vec<Group>>, Error> {
        let Some(tip) = self.tx.logs.head(branch)? else { return Ok(Some(Vec::new())) };
        let (mut groups, mut group) = (Vec::new(), Group::default());
        let mut next = tip.merged;
        while let Some(seq) = next.0.checked_sub(1).map(Seq) {
            next = seq;
            look_at_row();
            let Some(header) = self.tx.logs.header(branch, seq)? else { break };
            if header.place.is_last() {
                group = Group { last: seq, ..Group::default() };
            }
            if header.kind != Kind::DATA {
                continue;
            }
            let Some(room) = self.room.checked_sub(1) else { return Ok(None) };
            self.room = room;
            let Ok(opened) = self.tx.open_stored(self.vault, branch, seq)? else { continue };
            let Ok(body) = CheckedBody::decode(&opened.data, BodyPlace::once_more(header.place)) else {
                continue;
            };
            self.note(&body, &mut group)?;
            if let Some(head) = body.head() {
                groups.push(std::mem::take(&mut group));
                if head.latest < self.question.since {
                    break;
                }
            }
        }
        groups.reverse();
        Ok(Some(groups))
    }

    fn note(&self, body: &CheckedBody<'_>, group: &mut Group) -> Result<(), Error> {
        let collections = &self.tx.state.collections;
        for op in body.ops() {
            let OpKind::Delete(names) = &op.kind else { continue };
            let Some(collection) = collections.number(self.vault, op.collection) else { continue };
            let key = RecordKey::new(self.vault, collection, &op.record);
            if self.question.records.contains(&key) {
                let named = names.iter().filter_map(|(log, stamp)| Some((*self.ids.get(&log)?, stamp)));
                group.deletes.push((key, named.collect()));
            }
        }
        let Some(head) = body.head() else { return Ok(()) };
        group.runs = head.runs.iter().collect();
        for seen in head.seen.heads() {
            let Some(log) = self.ids.get(&seen.log) else { continue };
            let held = self.tx.find_held(self.vault, *log, seen.seq, |chain| *chain == seen.chain)?;
            match held {
                Some((branch, _)) => group.seen.push((branch, seen.seq)),
                None => group.seen_elsewhere.push((*log, seen.seq)),
            }
        }
        Ok(())
    }
}
