//! Opened groups on their way into the records: each body is decoded once, and no group is taken apart.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use subrosa_model::merge::{BodyPlace, CheckedBody, LogNo, Observed, Op, Stamp, VaultNo};
use subrosa_model::seal::OpenedBody;
use subrosa_protocol::ids::{Head, Seq};
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{CollectionNo, RecordKey};
use subrosa_store::logs::{LogTip, Reason};

use crate::error::Error;
use crate::life::commit::Tx;

/// Opened bodies that are merged in one sorted pass; beyond that, several passes in the same transaction.
pub(crate) const PASS_BYTES: usize = 32 << 20;

/// Where a group comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupSource {
    /// It is the next one of its log.
    Next,
    /// It lay in quarantine, and opens now.
    Quarantine,
    /// It was merged before, and says more now: one body, and where it stands in its group.
    Again(BodyPlace),
}

/// A group that is complete.
struct ReadyGroup {
    log: LogNo,
    segments: RangeInclusive<Seq>,
    /// Its bodies, or why one of them is not there.
    bodies: Result<Range<usize>, Reason>,
    origin: GroupSource,
}

/// Groups to be merged together, in their order within each log.
#[derive(Default)]
pub(crate) struct Pass {
    bodies: Vec<OpenedBody>,
    groups: Vec<ReadyGroup>,
    bytes: usize,
}

/// What is to be done with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Merge,
    /// It is in quarantine, or stays there.
    Leave,
    /// Its log waits for the clock from here on.
    Hold,
}

impl Pass {
    /// Adds a group of which every body was opened.
    pub(crate) fn add(
        &mut self,
        log: LogNo,
        segments: RangeInclusive<Seq>,
        bodies: Vec<OpenedBody>,
        origin: GroupSource,
    ) {
        let first = self.bodies.len();
        self.bytes += bodies.iter().map(|body| body.data.len()).sum::<usize>();
        self.bodies.extend(bodies);
        self.groups.push(ReadyGroup { log, segments, bodies: Ok(first..self.bodies.len()), origin });
    }

    /// Adds the next group of a log, of which a segment does not open.
    pub(crate) fn add_shut(&mut self, log: LogNo, segments: RangeInclusive<Seq>, reason: Reason) {
        self.groups.push(ReadyGroup { log, segments, bodies: Err(reason), origin: GroupSource::Next });
    }

    /// Whether what is there should be merged before more is opened.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes > PASS_BYTES
    }
}

/// Decodes the bodies of one group.
fn decode_group(bodies: &[OpenedBody], origin: GroupSource) -> Result<Vec<CheckedBody<'_>>, Reason> {
    let mut place = match origin {
        GroupSource::Again(place) => place,
        GroupSource::Next | GroupSource::Quarantine => BodyPlace::First,
    };
    let mut decoded = Vec::with_capacity(bodies.len());
    for body in bodies {
        let body = CheckedBody::decode(&body.data, place).map_err(|_| Reason::Undecodable)?;
        if let Some(head) = body.head() {
            place = BodyPlace::Behind { latest: head.latest };
        }
        decoded.push(body);
    }
    Ok(decoded)
}

/// The latest stamp of a group, as its first body says.
fn latest_of(bodies: &[CheckedBody<'_>]) -> Stamp {
    bodies.first().and_then(|body| body.head()).map(|head| head.latest).unwrap_or_default()
}

impl Tx<'_> {
    /// Decodes the bodies of the pass, decides group by group, and merges what is to be merged in key order.
    pub(crate) fn run_pass(&mut self, vault: VaultNo, pass: &mut Pass) -> Result<(), Error> {
        let Pass { bodies, groups, .. } = std::mem::take(pass);
        let mut ready = Vec::with_capacity(bodies.len());
        let mut held = BTreeSet::new();
        for group in groups {
            if held.contains(&group.log) {
                continue;
            }
            let parts = match &group.bodies {
                Ok(range) => decode_group(&bodies[range.clone()], group.origin),
                Err(reason) => Err(*reason),
            };
            let latest = match &parts {
                Ok(parts) => Ok(latest_of(parts)),
                Err(reason) => Err(*reason),
            };
            match self.judge(vault, group.log, &group.segments, (group.origin, latest))? {
                Verdict::Merge => {
                    for (seq, body) in (group.segments.start().0..).zip(parts.unwrap_or_default()) {
                        self.note_what_is_named(vault, group.log, Seq(seq), &body)?;
                        ready.push((group.log, body));
                    }
                }
                Verdict::Leave => {}
                Verdict::Hold => drop(held.insert(group.log)),
            }
        }
        self.merge_bodies(vault, &ready)
    }

    /// Decides about a group by its latest stamp, or by why there is none, and notes what was decided.
    pub(crate) fn judge(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        segments: &RangeInclusive<Seq>,
        (origin, latest): (GroupSource, Result<Stamp, Reason>),
    ) -> Result<Verdict, Error> {
        let last = *segments.end();
        let observed = match (latest, origin) {
            (_, GroupSource::Again(_)) => Ok(Observed::Merge),
            (Ok(latest), _) => Ok(self.state.clock.observe(latest, self.now_ms)),
            (Err(reason), _) => Err(reason),
        };
        match (observed, origin) {
            (Ok(Observed::Merge), GroupSource::Next) => self.advance(vault, log, last)?,
            (Ok(Observed::Merge), GroupSource::Quarantine) => {
                for seq in segments.start().0..=last.0 {
                    self.logs.take_back(log, Seq(seq))?;
                }
            }
            (Ok(Observed::Merge), GroupSource::Again(_)) => {}
            (Ok(Observed::HeldUntil { ms }), GroupSource::Next) => {
                self.vault_mut(vault)?.held.insert(log, ms);
                return Ok(Verdict::Hold);
            }
            (Err(reason), GroupSource::Next) => {
                self.skip_group(log, segments, reason)?;
                self.advance(vault, log, last)?;
                return Ok(Verdict::Leave);
            }
            // One from the future stays where it is, and is tried again at the next open.
            (_, GroupSource::Quarantine | GroupSource::Again(_)) => return Ok(Verdict::Leave),
        }
        Ok(Verdict::Merge)
    }

    /// A log is merged, or set aside, up to here.
    fn advance(&mut self, vault: VaultNo, log: LogNo, last: Seq) -> Result<(), Error> {
        let head = self.logs.head(log)?.ok_or(StoreError::Inconsistent)?;
        self.logs.put_head(log, &LogTip { merged: last.next(), ..head })?;
        self.vault_mut(vault)?.probed.remove(&log);
        Ok(())
    }

    fn skip_group(&mut self, log: LogNo, group: &RangeInclusive<Seq>, reason: Reason) -> Result<(), Error> {
        let (first, last) = (group.start().0, group.end().0);
        tracing::warn!(log = log.0, first, last, ?reason, "a group went to quarantine");
        for seq in first..=last {
            if let Some(chain) = self.logs.chain(log, Seq(seq))? {
                self.logs.set_aside(log, Seq(seq), &chain, reason)?;
            }
        }
        Ok(())
    }

    /// Notes logs that a segment names and that have no certificate here, and heads that its author has seen.
    fn note_what_is_named(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        seq: Seq,
        body: &CheckedBody<'_>,
    ) -> Result<(), Error> {
        for named in body.named() {
            if self.state.logs.number(vault, named).is_none() {
                self.note_name(vault, named, log, seq)?;
            }
        }
        // Whoever is late, they count when the named log turns out to be early.
        for named in body.named_ahead() {
            self.note_name(vault, named, log, seq)?;
        }
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

    fn merge_bodies(&mut self, vault: VaultNo, bodies: &[(LogNo, CheckedBody<'_>)]) -> Result<(), Error> {
        let mut ops: Vec<(RecordKey, LogNo, &Op<'_>)> = Vec::new();
        let mut last: Option<(&str, CollectionNo)> = None;
        for (log, body) in bodies {
            for op in body.ops() {
                let collection = match last {
                    Some((name, number)) if name == op.collection => number,
                    _ => self.intern_collection(vault, op.collection)?,
                };
                last = Some((op.collection, collection));
                ops.push((RecordKey::new(vault, collection, &op.record), *log, op));
            }
        }
        // Stable: ops of one record and log stay in their order.
        ops.sort_by_key(|(key, ..)| *key);
        self.records.merge_sorted(&self.state.logs.of(vault), &ops)
    }
}
