//! Opened groups on their way into the records: each body is decoded once, and no group is taken apart.

use std::collections::BTreeSet;
use std::ops::Range;

use subrosa_model::merge::{BodyPlace, CheckedBody, LogNo, Observed, Op, OpKind, Stamp, VaultNo};
use subrosa_model::seal::OpenedBody;
use subrosa_protocol::ids::{Head, LogId, Seq};
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{CollectionNo, RecordKey};
use subrosa_store::logs::{BranchNo, LogTip, UnreadRow};

use crate::error::Error;
use crate::faults;
use crate::life::commit::Tx;
use crate::logs::groups::group_limits;
use crate::memory::cost::hold_decoded;
use crate::memory::extents::{GroupExtent, READER_VERSION, WaitReason};

/// Where a group comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupSource {
    /// It is the next one of its log.
    Next,
    /// It was merged before, and says more now: one body, and where it stands in its group.
    Again(BodyPlace),
    /// The same, in a round that notes its names anew.
    Round(BodyPlace),
}

/// A group that is complete.
struct ReadyGroup {
    extent: GroupExtent,
    /// Its bodies.
    bodies: Range<usize>,
    origin: GroupSource,
}

/// Groups to be merged together, in their order within each log.
#[derive(Default)]
pub(crate) struct Pass {
    bodies: Vec<OpenedBody>,
    groups: Vec<ReadyGroup>,
    bytes: usize,
    /// Names that wait in what a round has merged once more.
    found: Vec<FoundNames>,
}

/// The names that wait in a segment; `None` of one that this version does not read, as it may be once a newer one has merged it.
pub(crate) type FoundNames = (Seq, Option<Vec<LogId>>);

/// What is to be done with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Merge,
    /// Its log waits for the clock from here on, until this time in milliseconds.
    Hold(u64),
    /// Its log waits from here on.
    Wait(WaitReason),
}

impl Pass {
    /// Adds a group of which every body was opened.
    pub(crate) fn add(&mut self, extent: GroupExtent, bodies: Vec<OpenedBody>, origin: GroupSource) {
        let first = self.bodies.len();
        self.bytes += bodies.iter().map(|body| body.data.len()).sum::<usize>();
        self.bodies.extend(bodies);
        self.groups.push(ReadyGroup { extent, bodies: first..self.bodies.len(), origin });
    }

    /// What was found in the bodies of a round.
    pub(crate) fn take_found(self) -> Vec<FoundNames> {
        self.found
    }

    /// A round does not read a segment.
    pub(crate) fn pass_over(&mut self, seq: Seq) {
        self.found.push((seq, None));
    }

    /// Whether there is room for that much more; there always is in an empty one.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= group_limits().pass_bytes
    }
}

/// A group that was decoded.
enum Decoded<'a> {
    /// Each body once.
    Bodies { bodies: Vec<CheckedBody<'a>>, bytes: usize },
    /// Its ops take too much memory to be decoded together.
    Large,
    /// It cannot be decoded.
    Waits(WaitReason),
}

/// Bodies that were decided about and are to be merged.
#[derive(Default)]
struct Ready<'a> {
    bodies: Vec<(BranchNo, CheckedBody<'a>)>,
    bytes: usize,
}

/// Decodes the bodies of one group, each once.
fn decode_group(opened: &[OpenedBody], origin: GroupSource) -> Decoded<'_> {
    let mut place = match origin {
        GroupSource::Again(place) | GroupSource::Round(place) => place,
        GroupSource::Next => BodyPlace::First,
    };
    let (mut bodies, mut bytes) = (Vec::with_capacity(opened.len()), 0);
    for body in opened {
        let Ok(body) = CheckedBody::decode(&body.data, place) else {
            return Decoded::Waits(WaitReason::Undecodable);
        };
        if let Some(head) = body.head() {
            place = BodyPlace::Behind { latest: head.latest };
        }
        bytes += body.memory();
        bodies.push(body);
        if bytes > group_limits().decoded_bytes && opened.len() > 1 {
            return Decoded::Large;
        }
    }
    Decoded::Bodies { bodies, bytes }
}

impl Tx<'_> {
    /// Decodes the bodies of the pass, decides group by group, and merges what is to be merged in key order.
    pub(crate) fn run_pass(&mut self, vault: VaultNo, pass: &mut Pass) -> Result<(), Error> {
        let Pass { bodies: opened, groups, mut found, .. } = std::mem::take(pass);
        self.cut_before_fork(vault, groups.iter().map(|group| group.extent.branch))?;
        let mut ready = Ready::default();
        let mut stopped = BTreeSet::new();
        for ReadyGroup { extent, bodies, origin } in groups {
            let branch = extent.branch;
            if stopped.contains(&branch) {
                continue;
            }
            let (bodies, bytes) = match (decode_group(&opened[bodies], origin), origin) {
                (Decoded::Bodies { bodies, bytes }, _) => (bodies, bytes),
                (Decoded::Large, GroupSource::Next) => {
                    stopped.insert(branch);
                    self.vault_mut(vault)?.large.insert(branch, extent);
                    continue;
                }
                (Decoded::Waits(reason), GroupSource::Next) => {
                    stopped.insert(branch);
                    self.wait(branch, *extent.segments.start(), reason)?;
                    continue;
                }
                // It was merged once, and stays as it is.
                (Decoded::Large | Decoded::Waits(_), GroupSource::Again(_)) => continue,
                (Decoded::Large | Decoded::Waits(_), GroupSource::Round(_)) => {
                    found.push((*extent.segments.start(), None));
                    continue;
                }
            };
            if origin == GroupSource::Next {
                let head = bodies.first().and_then(CheckedBody::head);
                let latest = head.map(|head| head.latest);
                let verdict =
                    latest.map(|at| self.judge(vault, branch, (*extent.segments.start(), at))).transpose()?;
                if let Some(stops @ (Verdict::Hold(_) | Verdict::Wait(_))) = verdict {
                    stopped.insert(branch);
                    self.stop_at(vault, branch, *extent.segments.start(), stops)?;
                    continue;
                }
                self.advance(vault, branch, *extent.segments.end())?;
                if extent.carries {
                    self.vault_mut(vault)?.branches.to_place.push((branch, *extent.segments.end()));
                }
            }
            hold_decoded(ready.bytes + bytes);
            if ready.bytes + bytes > group_limits().decoded_bytes {
                self.merge_bodies(vault, &std::mem::take(&mut ready).bodies)?;
            }
            ready.bytes += bytes;
            for (seq, body) in (extent.segments.start().0..).zip(bodies) {
                match origin {
                    GroupSource::Round(_) => found.push((Seq(seq), Some(self.names_that_wait(vault, &body)))),
                    GroupSource::Next | GroupSource::Again(_) => {
                        self.note_what_is_named(vault, branch, Seq(seq), &body)?;
                    }
                }
                ready.bodies.push((branch, body));
            }
        }
        pass.found = found;
        self.merge_bodies(vault, &ready.bodies)
    }

    /// What waits for sealing was written without what is about to be merged. Of a log with several futures a delete names only
    /// the latest stamp, so what its group says that it has seen must be no more than that.
    pub(crate) fn cut_before_fork(
        &mut self,
        vault: VaultNo,
        mut branches: impl Iterator<Item = BranchNo>,
    ) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let is_forked = |branch| state.log_of(branch).is_ok_and(|log| state.branches.is_forked(log));
        if branches.any(is_forked) && !faults::BATCHES_SPAN_FORKS {
            self.close_batch(vault)?;
        }
        Ok(())
    }

    /// The next group of a log, which begins with a segment, is not merged now.
    fn stop_at(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        first: Seq,
        verdict: Verdict,
    ) -> Result<(), Error> {
        match verdict {
            Verdict::Merge => Ok(()),
            Verdict::Wait(reason) => self.wait(branch, first, reason),
            Verdict::Hold(until) => {
                self.vault_mut(vault)?.held.insert(branch, until);
                // What stands behind it is looked at when its time has come.
                self.state.wait_no_more(branch);
                Ok(self.logs.forget_unread(branch)?)
            }
        }
    }

    /// Decides about the next group of a log, which begins with a segment, by its latest stamp: whether it is no earlier than the group
    /// before it, and then what the clock says to what it counts as.
    pub(crate) fn judge(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        (first, latest): (Seq, Stamp),
    ) -> Result<Verdict, Error> {
        if !self.is_in_order(vault, branch, (first, latest))? {
            return Ok(Verdict::Wait(WaitReason::Undecodable));
        }
        let verdict = self.observe(vault, branch, latest)?;
        if verdict == Verdict::Merge {
            self.note_latest(vault, branch, latest)?;
        }
        Ok(verdict)
    }

    /// Asks the clock about a group by what its latest stamp counts as.
    fn observe(&mut self, vault: VaultNo, branch: BranchNo, latest: Stamp) -> Result<Verdict, Error> {
        let log = self.vault(vault)?.log_of(branch)?;
        let counts_as = self.state.logs.capped(log, latest);
        Ok(match self.state.clock.observe(counts_as, self.now_ms) {
            Observed::Merge => Verdict::Merge,
            Observed::HeldUntil { ms } => Verdict::Hold(ms),
        })
    }

    /// A log waits from here on. What is found out once is not tried again before something changes; what took opening the
    /// group is kept, for the next opening of the store too.
    pub(crate) fn wait(&mut self, branch: BranchNo, from: Seq, reason: WaitReason) -> Result<(), Error> {
        tracing::warn!(?branch, from = from.0, ?reason, "a log waits");
        if let Some(reason) = reason.code() {
            let version = READER_VERSION.to_owned();
            self.logs.put_unread(branch, &UnreadRow { first: from, reason, version })?;
        }
        self.state.wait(branch, reason);
        Ok(())
    }

    /// A log is merged up to here.
    pub(crate) fn advance(&mut self, vault: VaultNo, branch: BranchNo, last: Seq) -> Result<(), Error> {
        let head = self.logs.head(branch)?.ok_or(StoreError::Inconsistent)?;
        self.logs.put_head(branch, &LogTip { merged: last.next(), ..head })?;
        let state = self.vault_mut(vault)?;
        state.probed.remove(&branch);
        let log = state.log_of(branch)?;
        if state.branches.is_forked(log) {
            self.note_more_of(vault, log)?;
        }
        Ok(())
    }

    /// Notes logs that a segment names and that have no certificate here, and heads that its author has seen.
    pub(crate) fn note_what_is_named(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        seq: Seq,
        body: &CheckedBody<'_>,
    ) -> Result<(), Error> {
        let names = self.names_that_wait(vault, body);
        self.note_names(vault, (branch, seq), &names)?;
        for Head { log, seq, .. } in body.head().map_or(&[][..], |head| head.seen.heads()) {
            let is_stranger = self.state.logs.number(vault, log).is_none();
            let state = self.vault_mut(vault)?;
            let named = if is_stranger { &mut state.named_strangers } else { &mut state.named };
            if !is_stranger || named.len() < limits::LOGS_PER_VAULT_MAX || named.contains_key(log) {
                let last = named.entry(*log).or_insert(*seq);
                *last = (*seq).max(*last);
            }
        }
        Ok(())
    }

    /// Merges bodies that were decided about, in key order.
    pub(crate) fn merge_bodies(
        &mut self,
        vault: VaultNo,
        bodies: &[(BranchNo, CheckedBody<'_>)],
    ) -> Result<(), Error> {
        let mut ops: Vec<(RecordKey, LogNo, &Op<'_>)> = Vec::new();
        let mut last: Option<(&str, CollectionNo)> = None;
        let (any_at_risk, mut deleted) = (self.vault(vault)?.risks.any, BTreeSet::new());
        for (branch, body) in bodies {
            // In rows, all branches of a log are the log.
            let log = self.vault(vault)?.log_of(*branch)?;
            for op in body.ops() {
                let collection = match last {
                    Some((name, number)) if name == op.collection => number,
                    _ => self.intern_collection(vault, op.collection)?,
                };
                last = Some((op.collection, collection));
                let key = RecordKey::new(vault, collection, &op.record);
                if any_at_risk && matches!(op.kind, OpKind::Delete(_)) {
                    deleted.insert((key, *branch));
                }
                ops.push((key, log, op));
            }
        }
        // Stable: ops of one record and log stay in their order.
        ops.sort_by_key(|(key, ..)| *key);
        self.records.merge_sorted(&self.state.logs.of(vault), &ops)?;
        self.note_deletes(vault, &deleted)
    }
}
