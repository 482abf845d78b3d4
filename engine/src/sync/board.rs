//! What the sync thread shows to all others: status, events, and whether everything is caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use subrosa_protocol::client_link::{Event, Progress};
use subrosa_protocol::error::Refusal;
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::limits::CLOCK_AHEAD_MAX_MS;
use subrosa_store::process::Process;
use tokio::sync::watch;

use super::SyncEvent;
use super::events::{ArrivalCall, EventQueue, SyncEvents};
use super::machine::News;
use crate::cancel::Cancel;
use crate::error::{SyncError, SyncFailure, SyncFault, SyncState, SyncStatus};
use crate::life::Core;

/// Longest wait in all, in times of the wait without progress: half an hour where half a minute was asked for.
const WAIT_IDLES_MAX: u32 = 60;
/// After that long something that others do is looked at again, should nobody have told that it has changed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Board {
    /// Local writes so far; compared with what a link has taken note of.
    writes: AtomicU64,
    /// How many have asked whether everything is here; compared with those whom a link has an answer for.
    asks: watch::Sender<u64>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    state: SyncState,
    suspended: bool,
    /// By the share of the vaults that each carries.
    lines: Vec<Line>,
    /// How many of them it takes.
    links: usize,
    refusals: BTreeMap<VaultId, Refusal>,
    resting: BTreeMap<VaultId, SyncFault>,
    disagrees: BTreeSet<VaultId>,
    disputed: BTreeSet<VaultId>,
    update_needed: BTreeSet<VaultId>,
    clock_ahead_ms: Option<i64>,
    held_until_ms: Option<u64>,
    /// How many futures logs have in all, and in each vault, as far as that was told; `None` before it was looked.
    futures: Option<(u64, BTreeMap<VaultId, u64>)>,
    /// Counts what was stored and acknowledged: the clock of those who wait.
    moved: u64,
    stopped: bool,
    panicked: bool,
    subscribers: Vec<Weak<EventQueue>>,
    /// Calls to make once the lock is open.
    due: Vec<ArrivalCall>,
}

/// One link, or the place of one.
#[derive(Debug, Default)]
struct Line {
    dialing: bool,
    failure: Option<SyncFailure>,
    /// Of the links before this one.
    past: Progress,
    /// The link that is up, once HELLO was answered.
    up: Option<Standing>,
    progress: Progress,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            state: SyncState::Connecting,
            suspended: false,
            lines: vec![Line { dialing: true, ..Line::default() }],
            links: 1,
            refusals: BTreeMap::new(),
            resting: BTreeMap::new(),
            disagrees: BTreeSet::new(),
            disputed: BTreeSet::new(),
            update_needed: BTreeSet::new(),
            clock_ahead_ms: None,
            held_until_ms: None,
            futures: None,
            moved: 0,
            stopped: false,
            panicked: false,
            subscribers: Vec::new(),
            due: Vec::new(),
        }
    }
}

/// What somebody waits for: what was written here, and what the relay had, when he came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    writes: u64,
    asks: u64,
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitLimits {
    /// Without progress.
    pub(super) idle: Duration,
    /// In all.
    pub(super) whole: Duration,
}

impl WaitLimits {
    /// For who names the first one only.
    pub(super) const fn of_idle(idle: Duration) -> Self {
        Self { idle, whole: idle.saturating_mul(WAIT_IDLES_MAX) }
    }
}

/// How a link stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// HELLO was answered.
    pub(super) greeted: bool,
    /// Caught up both ways, as of this count of writes.
    pub(super) synced: Option<u64>,
    /// Nothing to do before a refused thing is tried again, as of this count of writes.
    pub(super) settled: Option<u64>,
    /// Everything is here that the relay had, at a moment after so many had asked.
    pub(super) answered: u64,
    pub(super) progress: Progress,
}

impl Board {
    /// A local write is durable. Does not block for longer than it takes to count.
    pub(super) fn written(&self) {
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    /// Local writes so far.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// How many have asked whether everything is here, now and whenever that changes.
    pub(super) fn asks(&self) -> watch::Receiver<u64> {
        self.asks.subscribe()
    }

    /// Now. Has the links ask the relay for what it has by now: what stands on the board is of before.
    pub(super) fn moment(&self) -> Moment {
        let (writes, mut asked) = (self.writes(), 0);
        self.asks.send_modify(|asks| {
            *asks += 1;
            asked = *asks;
        });
        Moment { writes, asks: asked }
    }

    pub(super) fn status(&self) -> SyncStatus {
        self.lock().status()
    }

    pub(super) fn subscribe(&self, process: &Process) -> SyncEvents {
        let queue = Arc::new(EventQueue::default());
        let mut inner = self.lock();
        inner.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        inner.subscribers.push(Arc::downgrade(&queue));
        if inner.stopped {
            // Nobody has asked to be called yet.
            drop(queue.close());
        }
        SyncEvents::new(queue, process)
    }

    pub(super) fn connecting(&self, share: usize) {
        self.update(|inner| {
            inner.suspended = false;
            inner.line(share).dialing = true;
        });
    }

    pub(super) fn offline(&self, share: usize, failure: SyncFailure) {
        self.update(|inner| {
            inner.suspended = false;
            let line = inner.line(share);
            line.over();
            line.failure = Some(failure);
        });
    }

    /// All links are over, and none is wanted.
    pub(super) fn suspended(&self) {
        self.update(|inner| {
            inner.suspended = true;
            for line in &mut inner.lines {
                line.over();
                line.failure = None;
            }
        });
    }

    /// So many links carry the vaults: without all of them nothing is caught up.
    pub(super) fn want_links(&self, links: usize) {
        self.update(|inner| inner.links = inner.links.max(links));
    }

    /// A thread panicked: [`Board::stopped`] follows.
    pub(super) fn panicked(&self) {
        self.update(|inner| inner.panicked = true);
    }

    pub(super) fn stopped(&self) {
        self.update(|inner| {
            inner.stopped = true;
            inner.suspended = false;
            inner.lines.iter_mut().for_each(Line::over);
            inner.enter_present_state();
            for subscriber in inner.subscribers.drain(..).filter_map(|queue| queue.upgrade()) {
                inner.due.extend(subscriber.close());
            }
        });
    }

    /// What a link reports.
    pub(super) fn news(&self, share: usize, news: &News) {
        self.update(|inner| match news {
            News::Event(event) => inner.event(share, event),
            News::Rests { vault, fault, retry } => {
                inner.resting.insert(*vault, *fault);
                inner.tell(&SyncEvent::Rests { vault: *vault, fault: *fault, retry: *retry });
            }
            News::Clock { ahead_ms } => inner.compare_clocks(*ahead_ms),
            News::UpdateNeeded { vault } => {
                if inner.update_needed.insert(*vault) {
                    inner.tell(&SyncEvent::UpdateNeeded(*vault));
                }
            }
        });
    }

    /// Until when the first of what is held for the clock is held; told when it is another time.
    pub(super) fn held(&self, until_ms: Option<u64>) {
        if self.lock().held_until_ms == until_ms {
            return;
        }
        self.update(|inner| {
            inner.held_until_ms = until_ms;
            inner.tell(&SyncEvent::Held { until_ms });
        });
    }

    /// Looks whether a log has another future than those that were told of. What was there when sync began is no news.
    pub(super) fn futures(&self, core: &Core) {
        let now = core.futures.load(Ordering::Relaxed);
        if self.lock().futures.as_ref().is_some_and(|(known, _)| *known == now) {
            return;
        }
        let of_vaults = core.futures();
        self.update(|inner| {
            if let Some((_, before)) = inner.futures.take() {
                let grown = of_vaults.iter().filter(|(vault, count)| before.get(vault) < Some(count));
                for (vault, _) in grown {
                    inner.tell(&SyncEvent::Forked(*vault));
                }
            }
            inner.futures = Some((now, of_vaults));
        });
    }

    /// How a link stands after whatever just happened.
    pub(super) fn standing(&self, share: usize, standing: Standing) {
        self.update(|inner| {
            let line = inner.line(share);
            let done = |progress: Progress| progress.segments_done;
            let moved = done(standing.progress).saturating_sub(done(line.progress));
            line.progress = standing.progress;
            line.up = standing.greeted.then_some(standing);
            inner.moved += moved;
        });
    }

    /// Waits until everything of that moment is here and there; `false` when it was cancelled first.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    pub(super) fn wait_caught_up(
        self: &Arc<Self>,
        moment: Moment,
        limits: WaitLimits,
        cancel: &Cancel,
        is_suspended: impl Fn() -> bool,
    ) -> Result<bool, SyncError> {
        let Moment { writes, asks } = moment;
        let board = self.clone();
        let _hook = cancel.on_cancel(Arc::new(move || {
            // Whoever is between its look at the token and its sleep holds the lock.
            drop(board.lock());
            board.changed.notify_all();
        }));
        let mut inner = self.lock();
        let mut patience = Patience::new(Instant::now(), limits, inner.moved);
        loop {
            if cancel.is_cancelled() {
                return Ok(false);
            }
            let synced = inner.synced().is_some_and(|synced| synced >= writes);
            if synced && inner.answered().is_some_and(|answered| answered >= asks) {
                return if inner.update_needed.is_empty() { Ok(true) } else { Err(SyncError::UpdateNeeded) };
            }
            if inner.stopped {
                return Err(if inner.panicked { SyncError::Panicked } else { SyncError::Stopped });
            }
            if is_suspended() {
                return Err(SyncError::Suspended);
            }
            // What is not noted yet may be another matter.
            if inner.state == SyncState::Refused && inner.settled().is_some_and(|settled| settled >= writes) {
                inner.why_in_vain()?;
            }
            let left = patience.left(Instant::now(), inner.moved).map_err(|over| match over {
                Over::NoProgress => SyncError::NoProgress(inner.status().into()),
                Over::Unfinished => SyncError::Unfinished(inner.status().into()),
            })?;
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `done` says so, which is asked again whenever a link has told something, for `timeout` at most. Ends early
    /// where waiting does not help: sync is over or rests, or all that was written before is refused.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    pub(super) fn wait_until(&self, timeout: Duration, mut done: impl FnMut() -> bool) -> bool {
        let (writes, begun) = (self.writes(), Instant::now());
        let refused = |inner: &Inner| {
            inner.state == SyncState::Refused && inner.settled().is_some_and(|settled| settled >= writes)
        };
        loop {
            // Without the lock: it may look into the store.
            if done() {
                return true;
            }
            let inner = self.lock();
            let left = timeout.saturating_sub(begun.elapsed());
            if inner.stopped || inner.state == SyncState::Suspended || refused(&inner) || left.is_zero() {
                return false;
            }
            // Something may have been told since it was asked.
            let waited = self.changed.wait_timeout(inner, left.min(ASK_AGAIN));
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Inner)) {
        let due = {
            let mut inner = self.lock();
            change(&mut inner);
            if !inner.stopped {
                inner.enter_present_state();
            }
            std::mem::take(&mut inner.due)
        };
        self.changed.notify_all();
        due.into_iter().for_each(|call| call());
    }
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Inner {
    fn status(&self) -> SyncStatus {
        let panicked = self.panicked.then_some(SyncFailure::Panicked);
        SyncStatus {
            state: self.state,
            refused: self.refusals.values().next().map(|refusal| refusal.code),
            refusals: self.refusals.iter().map(|(vault, refusal)| (*vault, refusal.code)).collect(),
            failure: panicked.or_else(|| self.lines.iter().find_map(|line| line.failure.clone())),
            progress: self.lines.iter().fold(Progress::default(), |sum, line| sum.plus(line.total())),
            resting: self.resting.clone(),
            disagrees: self.disagrees.clone(),
            disputed: self.disputed.clone(),
            update_needed: self.update_needed.clone(),
            clock_ahead_ms: self.clock_ahead_ms,
            held_until_ms: self.held_until_ms,
        }
    }

    /// What a link says of the clocks, each time that one is up. Told when it is news.
    fn compare_clocks(&mut self, ahead_ms: Option<i64>) {
        let is_news = match (self.clock_ahead_ms, ahead_ms) {
            (Some(before), Some(now)) => before.abs_diff(now) > CLOCK_AHEAD_MAX_MS,
            (before, now) => before != now,
        };
        self.clock_ahead_ms = ahead_ms;
        if is_news {
            self.tell(&SyncEvent::Clock { ahead_ms });
        }
    }

    fn line(&mut self, share: usize) -> &mut Line {
        if self.lines.len() <= share {
            self.lines.resize_with(share + 1, Line::default);
        }
        &mut self.lines[share]
    }

    fn event(&mut self, share: usize, event: &Event) {
        match event {
            Event::CaughtUp { vault } => {
                self.moved += 1;
                self.tell(&SyncEvent::CaughtUp(*vault));
            }
            Event::Synced { vault } => {
                self.refusals.remove(vault);
                self.resting.remove(vault);
                self.disputed.remove(vault);
                self.tell(&SyncEvent::Synced(*vault));
            }
            Event::Refused { refusal, retry } => {
                self.refusals.insert(refusal.vault, *refusal);
                let event = SyncEvent::Refused { vault: refusal.vault, code: refusal.code, retry: *retry };
                self.tell(&event);
            }
            Event::Disagrees { vault } => {
                self.disagrees.insert(*vault);
                self.tell(&SyncEvent::Disagrees(*vault));
            }
            Event::Disputed { vault } => {
                self.disputed.insert(*vault);
                self.tell(&SyncEvent::Disputed(*vault));
            }
            Event::Agrees { vault } => drop(self.disagrees.remove(vault)),
            Event::Greeted => self.line(share).failure = None,
            Event::Known { .. } | Event::Rests { .. } | Event::Met | Event::Heard { .. } | Event::Parted => {}
        }
    }

    /// All vaults are caught up, as of this count of writes.
    fn synced(&self) -> Option<u64> {
        self.of_all_links(|standing| standing.synced)
    }

    /// Nothing is to be done before something that rests is tried again, as of this count of writes.
    fn settled(&self) -> Option<u64> {
        self.of_all_links(|standing| standing.settled)
    }

    /// Everything is here that the relay had, as of so many questions.
    fn answered(&self) -> Option<u64> {
        self.of_all_links(|standing| Some(standing.answered))
    }

    fn of_all_links(&self, what: impl Fn(&Standing) -> Option<u64>) -> Option<u64> {
        if self.lines.len() < self.links {
            return None;
        }
        let of_each = self.lines.iter().map(|line| line.up.as_ref().and_then(&what));
        of_each.reduce(|a, b| a.zip(b).map(|(a, b)| a.min(b))).flatten()
    }

    fn present_state(&self) -> SyncState {
        let is_up = |line: &Line| line.up.is_some();
        if self.suspended {
            SyncState::Suspended
        } else if !self.lines.iter().any(is_up) {
            if self.lines.iter().any(|line| line.dialing) {
                SyncState::Connecting
            } else {
                SyncState::Offline
            }
        } else if self.synced().is_some() && self.update_needed.is_empty() {
            SyncState::Live
        } else if self.settled().is_some() && self.something_rests() {
            SyncState::Refused
        } else {
            SyncState::Syncing
        }
    }

    fn something_rests(&self) -> bool {
        let refused = !(self.refusals.is_empty() && self.disputed.is_empty());
        refused || !(self.resting.is_empty() && self.update_needed.is_empty())
    }

    /// What waiting does not help with, when nothing else is left to do.
    fn why_in_vain(&self) -> Result<(), SyncError> {
        if let Some(refusal) = self.refusals.values().find(|refusal| refusal.retry_after_secs == 0) {
            return Err(SyncError::Refused(refusal.code));
        }
        if self.disputed.is_empty() { Ok(()) } else { Err(SyncError::Disputed) }
    }

    fn enter_present_state(&mut self) {
        let state = self.present_state();
        if self.state != state {
            self.state = state;
            self.tell(&SyncEvent::State(state));
        }
    }

    fn tell(&mut self, event: &SyncEvent) {
        let due = &mut self.due;
        self.subscribers.retain(|subscriber| {
            subscriber.upgrade().is_some_and(|queue| {
                due.extend(queue.push(event.clone()));
                true
            })
        });
    }
}

/// How long somebody who waits goes on.
struct Patience {
    limits: WaitLimits,
    begun: Instant,
    moved: u64,
    since: Instant,
}

/// Why waiting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    NoProgress,
    Unfinished,
}

impl Patience {
    const fn new(now: Instant, limits: WaitLimits, moved: u64) -> Self {
        Self { limits, begun: now, moved, since: now }
    }

    /// What is left at `now`. What a relay feeds without end is no reason to wait without end.
    fn left(&mut self, now: Instant, moved: u64) -> Result<Duration, Over> {
        if moved != self.moved {
            (self.moved, self.since) = (moved, now);
        }
        let until = |from: Instant, wait: Duration| wait.saturating_sub(now.saturating_duration_since(from));
        let idle = until(self.since, self.limits.idle);
        let whole = until(self.begun, self.limits.whole);
        match (idle.is_zero(), whole.is_zero()) {
            (true, _) => Err(Over::NoProgress),
            (_, true) => Err(Over::Unfinished),
            _ => Ok(idle.min(whole)),
        }
    }
}

impl Line {
    /// What the links of it did and found, over and up.
    const fn total(&self) -> Progress {
        self.past.at_its_end().plus(self.progress)
    }

    fn over(&mut self) {
        self.past = self.total();
        self.progress = Progress::default();
        self.up = None;
        self.dialing = false;
    }
}

#[cfg(test)]
mod tests;
