//! What goes up for one vault: when to seal, what to push, what is acknowledged, what was refused.
//!
//! Sealing is clocked by acknowledgements: with nothing in flight a write is sealed after a moment, otherwise
//! when the flight has landed, and after [`limits::SEAL_DELAY_MS`] at the latest. A lone edit is quick; many
//! in a row share segments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ANSWER_WAIT, OutboxBatch, OutboxLog, Output, Progress, VaultFault};
use crate::error::{ErrorCode, Refusal};
use crate::frame::{ClientFrame, LogKey};
use crate::ids::{Head, LogId, Rseq, Seq, VaultId};
use crate::limits;
use crate::segment::SealedSegment;

/// Between a lone write and its sealing: lets a burst share one segment.
const SEAL_FIRST: Duration = Duration::from_millis(1);
const SEAL_LATEST: Duration = Duration::from_millis(limits::SEAL_DELAY_MS);
/// Loaded from the store at a time.
const OUTBOX_BYTES: usize = 4 << 20;
/// Where a PUSH is closed and the next one begun, so that the relay can work while the rest is on its way.
const PUSH_BYTES: usize = 512 << 10;
/// Logs introduced with nothing of them acknowledged yet: as many as a relay takes.
const INTRODUCTIONS_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Uplink {
    writer: bool,
    stage: Stage,
    /// Since when ops may be pending.
    dirty: Option<Dirty>,
    /// The store may hold segments that are not sent.
    outbox: bool,
    rotate: bool,
    /// The relay claims another future of an own log and does not show it.
    disputed: bool,
    /// Last segment of each log that went out and was not refused.
    sent: Arc<BTreeMap<LogId, Seq>>,
    /// Last segment of each log that ever went out on this link.
    sent_ever: BTreeMap<LogId, Seq>,
    /// Logs that the relay knows.
    introduced: BTreeSet<LogId>,
    /// Those among them that this link introduced and nothing of which is acknowledged.
    fresh: BTreeSet<LogId>,
    /// Logs for which this link has vouched: a relay may have them from somebody who could not.
    vouched: BTreeSet<LogId>,
    /// Segments stayed behind because of [`INTRODUCTIONS_MAX`].
    starved: bool,
    unacked: BTreeMap<LogId, VecDeque<(Seq, usize)>>,
    unacked_bytes: usize,
    /// When something in flight was last sent or acknowledged.
    unacked_since: Option<Instant>,
    acked_rseq: Rseq,
    storing_acks: usize,
    resting: BTreeMap<LogId, Rest>,
    count: Count,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Rotating,
    Sealing,
    Loading {
        bytes_max: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum Dirty {
    Since(Instant),
    Now,
}

/// A log whose segments from `from` on the relay does not take for now.
#[derive(Debug)]
struct Rest {
    from: Seq,
    until: Instant,
    code: ErrorCode,
}

#[derive(Debug, Default)]
struct Count {
    pushed_segments: u64,
    pushed_bytes: u64,
    acked_segments: u64,
    acked_bytes: u64,
}

impl Uplink {
    pub(super) const fn set_writer(&mut self, writer: bool) {
        self.writer = writer;
    }

    /// The feed is caught up: what this device holds beyond the relay can go.
    pub(super) const fn opened(&mut self) {
        self.dirty = Some(Dirty::Now);
        self.outbox = true;
    }

    pub(super) fn written(&mut self, now: Instant) {
        self.dirty.get_or_insert(Dirty::Since(now));
    }

    /// Rotation is asked for by news that are older than a rotation under way.
    pub(super) fn ask_rotation(&mut self) {
        self.rotate |= self.writer && self.stage != Stage::Rotating;
        self.settle_dispute();
    }

    /// Nothing is sealed or pushed from here on. Says whether that is news.
    pub(super) fn dispute(&mut self) -> bool {
        self.writer && !std::mem::replace(&mut self.disputed, true)
    }

    /// What was disputed is so no more.
    pub(super) const fn settle_dispute(&mut self) {
        self.disputed = false;
    }

    /// Whether new logs are about to be opened.
    pub(super) fn rotates(&self) -> bool {
        self.rotate || self.stage == Stage::Rotating
    }

    /// Whether this segment ever went out on this link.
    pub(super) fn was_sent(&self, log: LogId, seq: Seq) -> bool {
        self.sent_ever.get(&log).is_some_and(|ever| seq <= *ever)
    }

    /// Says whether that was asked for.
    pub(super) fn rotated(&mut self) -> bool {
        let was_asked = self.stage == Stage::Rotating;
        if was_asked {
            self.stage = Stage::Idle;
            self.dirty = Some(Dirty::Now);
            self.outbox = true;
        }
        was_asked
    }

    /// Whatever was sealed now, or by the writes themselves while sealing is allowed, is in the outbox.
    pub(super) fn sealed(&mut self, more: bool) {
        if self.stage != Stage::Sealing {
            return;
        }
        self.stage = Stage::Idle;
        self.outbox = true;
        if more {
            self.dirty = Some(Dirty::Now);
        }
    }

    /// A log that the relay has shown to know.
    pub(super) fn introduced(&mut self, log: LogId) -> Result<(), VaultFault> {
        if self.introduced.len() >= limits::LOGS_PER_VAULT_MAX && !self.introduced.contains(&log) {
            return Err(VaultFault::TooManyLogs);
        }
        self.introduced.insert(log);
        Ok(())
    }

    /// The relay's heads are about to replace what we believed it holds: only what is in flight counts as sent.
    pub(super) fn forget_sent(&mut self) {
        let unacked = &self.unacked;
        Arc::make_mut(&mut self.sent).retain(|log, _| unacked.contains_key(log));
        let compared = |code| matches!(code, ErrorCode::Conflict | ErrorCode::Gap | ErrorCode::Closed);
        self.resting.retain(|_, rest| !compared(rest.code));
    }

    /// Puts one load of segments on the wire.
    pub(super) fn outbox(
        &mut self,
        now: Instant,
        vault: VaultId,
        batch: OutboxBatch,
        out: &mut VecDeque<Output>,
    ) {
        if !matches!(self.stage, Stage::Loading { .. }) {
            return;
        }
        self.stage = Stage::Idle;
        let logs: BTreeMap<LogId, OutboxLog> =
            batch.logs.into_iter().map(|log| (LogId::of(&log.key.public), log)).collect();
        let mut behind = BTreeSet::new();
        let mut push = Vec::new();
        let mut push_bytes = 0;
        let mut went = false;
        for segment in batch.segments {
            let log = segment.header().log;
            if !self.goes(&segment) || behind.contains(&log) {
                continue;
            }
            if let Some(OutboxLog { key: LogKey { public, base }, vouch }) =
                logs.get(&log).copied().filter(|known| self.tells(known, log))
            {
                if self.fresh.len() >= INTRODUCTIONS_MAX {
                    behind.insert(log);
                    continue;
                }
                self.introduced.insert(log);
                self.fresh.insert(log);
                if vouch.is_some() {
                    self.vouched.insert(log);
                }
                out.push_back(Output::Send(ClientFrame::Log { vault, public, base, vouch }.encode()));
            }
            went = true;
            let len = segment.bytes().len();
            self.note_sent(&segment);
            if push.len() >= limits::PUSH_SEGMENTS_MAX || (push_bytes + len > PUSH_BYTES && !push.is_empty())
            {
                out.push_back(push_frame(vault, &mut push));
                push_bytes = 0;
            }
            push_bytes += len;
            push.push(segment);
        }
        if !push.is_empty() {
            out.push_back(push_frame(vault, &mut push));
        }
        if went {
            self.unacked_since = Some(now);
        }
        self.starved = !behind.is_empty();
        self.outbox = batch.more && went;
    }

    /// Whether LOG goes out for a log.
    fn tells(&self, known: &OutboxLog, log: LogId) -> bool {
        !self.introduced.contains(&log) || (known.vouch.is_some() && !self.vouched.contains(&log))
    }

    fn goes(&self, segment: &SealedSegment) -> bool {
        let header = segment.header();
        let sent = self.sent.get(&header.log).is_some_and(|seq| header.seq <= *seq);
        !sent && !self.resting.contains_key(&header.log)
    }

    fn note_sent(&mut self, segment: &SealedSegment) {
        let (log, seq, len) = (segment.header().log, segment.header().seq, segment.bytes().len());
        Arc::make_mut(&mut self.sent).insert(log, seq);
        let ever = self.sent_ever.entry(log).or_insert(seq);
        *ever = seq.max(*ever);
        self.unacked.entry(log).or_default().push_back((seq, len));
        self.unacked_bytes += len;
        self.count.pushed_segments += 1;
        self.count.pushed_bytes += len as u64;
    }

    /// ACK. An entry stands for its log up to there, since logs have no gaps. Says whether it is news.
    pub(super) fn ack(&mut self, now: Instant, rseq: Rseq, entries: &[Head]) -> Result<bool, VaultFault> {
        let mut news = false;
        for head in entries {
            if !self.was_sent(head.log, head.seq) {
                return Err(VaultFault::NotSent { log: head.log, seq: head.seq });
            }
            self.fresh.remove(&head.log);
            let Some(queue) = self.unacked.get_mut(&head.log) else { continue };
            while let Some((_, len)) = queue.front().copied().filter(|(seq, _)| *seq <= head.seq) {
                queue.pop_front();
                news = true;
                self.unacked_bytes -= len;
                self.count.acked_segments += 1;
                self.count.acked_bytes += len as u64;
            }
            if queue.is_empty() {
                self.unacked.remove(&head.log);
            }
        }
        if news {
            self.acked_rseq = self.acked_rseq.max(rseq);
            self.storing_acks += 1;
            self.outbox |= std::mem::take(&mut self.starved);
            self.unacked_since = (!self.unacked.is_empty()).then_some(now);
        }
        Ok(news)
    }

    /// With `more`, what the relay has now shows that it will not take something else, and that is sealed before all is done.
    pub(super) const fn ack_stored(&mut self, more: bool) {
        self.storing_acks = self.storing_acks.saturating_sub(1);
        if more {
            self.dirty = Some(Dirty::Now);
        }
    }

    /// The relay took nothing of a log from a segment on. Says whether it is news: what was in flight behind a
    /// refused segment is refused as well.
    pub(super) fn segment_refused(&mut self, until: Instant, refusal: &Refusal) -> Result<bool, VaultFault> {
        let Refusal { log, seq, code, .. } = *refusal;
        if !self.was_sent(log, seq) {
            return Err(VaultFault::OutOfPlace { frame: "ERROR" });
        }
        if code == ErrorCode::UnknownLog {
            self.introduced.remove(&log);
            self.vouched.remove(&log);
        }
        if self.resting.get(&log).is_some_and(|rest| seq >= rest.from) {
            return Ok(false);
        }
        self.take_back(log, seq);
        self.resting.insert(log, Rest { from: seq, until, code });
        Ok(true)
    }

    /// The relay refused the vault while segments were in flight: none of them counts as sent.
    pub(super) fn rest_all(&mut self, until: Instant, code: ErrorCode) {
        for (log, from) in self.take_back_all() {
            self.resting.insert(log, Rest { from, until, code });
        }
    }

    /// The vault begins anew later: nothing under way counts, and what the store still answers goes nowhere.
    pub(super) fn abandon(&mut self) {
        self.take_back_all();
        self.stage = Stage::Idle;
        self.starved = false;
        self.acked_rseq = Rseq(0); // the next feed begins behind all of it
        // A relay forgets keys of logs that it has nothing of when their vault proves itself anew.
        for log in std::mem::take(&mut self.fresh) {
            self.introduced.remove(&log);
        }
        self.vouched.clear();
    }

    /// Takes back everything in flight; gives the logs, and where each begins again.
    fn take_back_all(&mut self) -> Vec<(LogId, Seq)> {
        let first = |queue: &VecDeque<(Seq, usize)>| queue.front().map_or(Seq(0), |(seq, _)| *seq);
        let all: Vec<_> = self.unacked.iter().map(|(log, queue)| (*log, first(queue))).collect();
        for (log, from) in &all {
            self.take_back(*log, *from);
        }
        all
    }

    fn take_back(&mut self, log: LogId, from: Seq) {
        let sent = Arc::make_mut(&mut self.sent);
        match from.0.checked_sub(1) {
            Some(before) => sent.insert(log, Seq(before)),
            None => sent.remove(&log),
        };
        if let Some(queue) = self.unacked.get_mut(&log) {
            while let Some((_, len)) = queue.back().copied().filter(|(seq, _)| *seq >= from) {
                queue.pop_back();
                self.unacked_bytes -= len;
                self.count.pushed_segments -= 1;
                self.count.pushed_bytes -= len as u64;
            }
            if queue.is_empty() {
                self.unacked.remove(&log);
            }
        }
        if self.unacked.is_empty() {
            self.unacked_since = None;
        }
    }

    /// Starts the next thing, if none is under way. Only while the feed is caught up.
    pub(super) fn pump(&mut self, now: Instant, vault: VaultId, window: usize, out: &mut VecDeque<Output>) {
        if !self.writer || self.disputed || self.stage != Stage::Idle {
            return;
        }
        let rested = self.resting.len();
        self.resting.retain(|_, rest| rest.until > now);
        if self.resting.len() < rested {
            self.outbox = true;
            self.dirty = Some(Dirty::Now);
        }
        if self.rotate {
            self.rotate = false;
            self.stage = Stage::Rotating;
            out.push_back(Output::Rotate { vault });
        } else if self.outbox && window >= limits::SEGMENT_BYTES_MAX {
            let bytes_max = window.min(OUTBOX_BYTES);
            self.stage = Stage::Loading { bytes_max };
            let mut sent = self.sent.clone();
            if !self.resting.is_empty() {
                let resting = self.resting.keys().map(|log| (*log, Seq(u64::MAX)));
                Arc::make_mut(&mut sent).extend(resting);
            }
            out.push_back(Output::LoadOutbox { vault, sent, bytes_max });
        } else if self.seal_due().is_some_and(|due| due.is_none_or(|due| now >= due)) {
            self.dirty = None;
            self.stage = Stage::Sealing;
            out.push_back(Output::Seal { vault });
        }
    }

    /// When to seal: `None` not at all, `Some(None)` now.
    fn seal_due(&self) -> Option<Option<Instant>> {
        // What cannot be sent had better stay unsealed, where it is coalesced.
        let held = |rest: &Rest| {
            matches!(
                rest.code,
                ErrorCode::QuotaBytes
                    | ErrorCode::RateLimited
                    | ErrorCode::RelayFull
                    | ErrorCode::NotWriter
                    | ErrorCode::Internal
            )
        };
        if self.resting.values().any(held) {
            return None;
        }
        Some(match self.dirty? {
            Dirty::Now => None,
            Dirty::Since(since) => Some(since + if self.is_quiet() { SEAL_FIRST } else { SEAL_LATEST }),
        })
    }

    /// When to pump next.
    pub(super) fn next_action(&self) -> Option<Instant> {
        if !self.writer || self.disputed || self.stage != Stage::Idle {
            return None;
        }
        let rest = self.resting.values().map(|rest| rest.until).min();
        self.seal_due().flatten().into_iter().chain(rest).min()
    }

    /// When the relay has been silent for too long.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        self.unacked_since.map(|since| since + ANSWER_WAIT)
    }

    /// Nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.unacked.is_empty()
    }

    pub(super) const fn acked_rseq(&self) -> Rseq {
        self.acked_rseq
    }

    pub(super) const fn has_outbox(&self) -> bool {
        self.outbox
    }

    /// Bytes of the link's window that this vault takes.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.unacked_bytes
            + match self.stage {
                Stage::Loading { bytes_max } => bytes_max,
                _ => 0,
            }
    }

    fn is_idle(&self) -> bool {
        self.is_still() && !self.rotate && !self.starved
    }

    /// Nothing is under way.
    fn is_still(&self) -> bool {
        self.stage == Stage::Idle && self.is_quiet() && self.storing_acks == 0
    }

    /// Nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        let is_free = !self.disputed && self.resting.is_empty();
        !self.writer || (is_free && self.is_idle() && self.dirty.is_none() && !self.outbox)
    }

    /// Nothing can be done before a rest is over.
    pub(super) fn is_stuck(&self) -> bool {
        let rests = !self.resting.is_empty() && self.is_idle() && !self.outbox;
        rests || (self.disputed && self.is_still())
    }

    pub(super) fn add_progress(&self, mut sum: Progress) -> Progress {
        sum.segments_done = sum.segments_done.saturating_add(self.count.acked_segments);
        sum.segments_known = sum.segments_known.saturating_add(self.count.pushed_segments);
        sum.bytes_done = sum.bytes_done.saturating_add(self.count.acked_bytes);
        sum.bytes_known = sum.bytes_known.saturating_add(self.count.pushed_bytes);
        sum
    }
}

fn push_frame(vault: VaultId, segments: &mut Vec<SealedSegment>) -> Output {
    Output::Send(ClientFrame::Push { vault, segments: std::mem::take(segments) }.encode())
}
