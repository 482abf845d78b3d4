//! What the sync thread shows to all others: status, events, and whether everything is caught up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use subrosa_protocol::client_link::{Event, Progress};
use subrosa_protocol::error::Refusal;
use subrosa_protocol::ids::VaultId;

use super::events::{ArrivalCall, Queue, SyncEvents};
use super::{SyncError, SyncEvent, SyncFailure, SyncState, SyncStatus};
use crate::Cancel;
use crate::process::Process;

#[derive(Default)]
pub(crate) struct Board {
    /// Local writes so far; compared with what a link has taken note of.
    writes: AtomicU64,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    state: SyncState,
    failure: Option<SyncFailure>,
    refusals: BTreeMap<VaultId, Refusal>,
    /// Of the links before this one.
    past: Progress,
    progress: Progress,
    /// Counts what was stored and acknowledged: the clock of those who wait.
    moved: u64,
    /// All vaults are caught up, as of this count of writes.
    synced: Option<u64>,
    /// As [`Standing::settled`].
    settled: Option<u64>,
    stopped: bool,
    panicked: bool,
    subscribers: Vec<Weak<Queue>>,
    /// Calls to make once the lock is open.
    due: Vec<ArrivalCall>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            state: SyncState::Connecting,
            failure: None,
            refusals: BTreeMap::new(),
            past: Progress::default(),
            progress: Progress::default(),
            moved: 0,
            synced: None,
            settled: None,
            stopped: false,
            panicked: false,
            subscribers: Vec::new(),
            due: Vec::new(),
        }
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

    pub(super) fn status(&self) -> SyncStatus {
        self.lock().status()
    }

    pub(super) fn subscribe(&self, process: &Process) -> SyncEvents {
        let queue = Arc::new(Queue::default());
        let mut inner = self.lock();
        inner.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        inner.subscribers.push(Arc::downgrade(&queue));
        if inner.stopped {
            // Nobody has asked to be called yet.
            drop(queue.close());
        }
        SyncEvents::new(queue, process)
    }

    pub(super) fn connecting(&self) {
        self.update(|inner| inner.enter(SyncState::Connecting));
    }

    pub(super) fn offline(&self, failure: Option<SyncFailure>) {
        self.update(|inner| {
            inner.failure = failure;
            inner.link_over(SyncState::Offline);
        });
    }

    pub(super) fn suspended(&self) {
        self.update(|inner| {
            inner.failure = None;
            inner.link_over(SyncState::Suspended);
        });
    }

    /// A thread panicked: [`Board::stopped`] follows.
    pub(super) fn panicked(&self) {
        self.update(|inner| {
            inner.panicked = true;
            inner.failure = Some(SyncFailure::Panicked);
        });
    }

    pub(super) fn stopped(&self) {
        self.update(|inner| {
            inner.stopped = true;
            inner.synced = None;
            inner.settled = None;
            inner.enter(SyncState::Offline);
            for subscriber in inner.subscribers.drain(..).filter_map(|queue| queue.upgrade()) {
                inner.due.extend(subscriber.close());
            }
        });
    }

    /// What a link reports.
    pub(super) fn event(&self, event: &Event) {
        self.update(|inner| match event {
            Event::CaughtUp { vault } => {
                inner.moved += 1;
                inner.tell(&SyncEvent::CaughtUp(*vault));
            }
            Event::Synced { vault } => {
                inner.refusals.remove(vault);
                inner.tell(&SyncEvent::Synced(*vault));
            }
            Event::Refused { refusal, retry } => {
                inner.refusals.insert(refusal.vault, *refusal);
                let event = SyncEvent::Refused { vault: refusal.vault, code: refusal.code, retry: *retry };
                inner.tell(&event);
            }
            Event::Disagrees { vault } => inner.tell(&SyncEvent::Disagrees(*vault)),
            Event::Greeted => inner.failure = None,
            Event::Known { .. } | Event::Met | Event::Heard { .. } | Event::Parted => {}
        });
    }

    /// How the link stands after whatever just happened.
    pub(super) fn standing(&self, standing: Standing) {
        self.update(|inner| {
            let done = |progress: Progress| progress.segments_done;
            inner.moved += done(standing.progress).saturating_sub(done(inner.progress));
            inner.progress = standing.progress;
            inner.synced = standing.synced;
            inner.settled = standing.settled;
            inner.enter(match standing {
                Standing { greeted: false, .. } => SyncState::Connecting,
                Standing { synced: Some(_), .. } => SyncState::Live,
                Standing { settled: Some(_), .. } if !inner.refusals.is_empty() => SyncState::Refused,
                _ => SyncState::Syncing,
            });
        });
    }

    /// `false` when it was cancelled first.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    pub(super) fn wait_caught_up(
        self: &Arc<Self>,
        idle_max: Duration,
        cancel: &Cancel,
        is_suspended: impl Fn() -> bool,
    ) -> Result<bool, SyncError> {
        let writes = self.writes();
        let board = self.clone();
        let _hook = cancel.on_cancel(Arc::new(move || {
            // Whoever is between its look at the token and its sleep holds the lock.
            drop(board.lock());
            board.changed.notify_all();
        }));
        let mut inner = self.lock();
        let mut moved = inner.moved;
        let mut since = Instant::now();
        loop {
            if cancel.is_cancelled() {
                return Ok(false);
            }
            if inner.synced.is_some_and(|synced| synced >= writes) {
                return Ok(true);
            }
            if inner.stopped {
                return Err(if inner.panicked { SyncError::Panicked } else { SyncError::Stopped });
            }
            if is_suspended() {
                return Err(SyncError::Suspended);
            }
            // What is not noted yet may be another matter.
            if inner.state == SyncState::Refused
                && inner.settled.is_some_and(|settled| settled >= writes)
                && let Some(refusal) = inner.refusals.values().find(|refusal| refusal.retry_after_secs == 0)
            {
                return Err(SyncError::Refused(refusal.code));
            }
            if inner.moved != moved {
                (moved, since) = (inner.moved, Instant::now());
            }
            let left = idle_max.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(SyncError::NoProgress(inner.status()));
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until all that was written before is at the relay, for `timeout` at most; says whether it is. Ends early
    /// where waiting does not help.
    pub(super) fn wait_pushed(&self, timeout: Duration) -> bool {
        let writes = self.writes();
        let pushed = |inner: &Inner| inner.synced.is_some_and(|synced| synced >= writes);
        let refused = |inner: &Inner| {
            inner.state == SyncState::Refused && inner.settled.is_some_and(|settled| settled >= writes)
        };
        let vain = |inner: &Inner| inner.stopped || inner.state == SyncState::Suspended || refused(inner);
        let waits = |inner: &mut Inner| !pushed(inner) && !vain(inner);
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, waits);
        pushed(&waited.unwrap_or_else(PoisonError::into_inner).0)
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
        SyncStatus {
            state: self.state,
            refused: self.refusals.values().next().map(|refusal| refusal.code),
            failure: self.failure.clone(),
            progress: self.total(),
        }
    }

    /// What earlier links left undone is known to be left no more: this link finds it anew.
    const fn total(&self) -> Progress {
        let (past, now) = (&self.past, &self.progress);
        Progress {
            segments_done: past.segments_done + now.segments_done,
            segments_known: past.segments_done + now.segments_known,
            bytes_done: past.bytes_done + now.bytes_done,
            bytes_known: past.bytes_done + now.bytes_known,
        }
    }

    fn link_over(&mut self, state: SyncState) {
        self.synced = None;
        self.settled = None;
        self.past = self.total();
        self.progress = Progress::default();
        self.enter(state);
    }

    fn enter(&mut self, state: SyncState) {
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

#[cfg(test)]
mod tests {
    use subrosa_protocol::error::ErrorCode;

    use super::super::events::EVENTS_MAX;
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn wait(board: &Arc<Board>) -> Result<bool, SyncError> {
        board.wait_caught_up(SHORT, &Cancel::new(), || false)
    }

    fn standing(segments_done: u64, synced: Option<u64>) -> Standing {
        let progress = Progress { segments_done, segments_known: 9, ..Progress::default() };
        Standing { greeted: true, synced, settled: synced, progress }
    }

    fn process() -> Process {
        Process::plain()
    }

    #[test]
    fn caught_up_counts_only_what_was_written_before() {
        let board = Arc::new(Board::default());
        board.written();
        board.standing(standing(1, Some(0)));
        assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "a write is not noted yet");
        board.standing(standing(1, Some(1)));
        assert!(wait(&board).is_ok());
        assert_eq!(board.status().reason(), "live");
    }

    #[test]
    fn a_refusal_is_kept_until_the_vault_is_synced() {
        let board = Arc::new(Board::default());
        let vault = VaultId::ZERO;
        let refusal = Refusal::vault(ErrorCode::QuotaBytes, vault);
        board.event(&Event::Refused { refusal, retry: SHORT });
        board.standing(Standing { settled: Some(0), ..standing(1, None) });
        assert_eq!(board.status().state, SyncState::Refused);
        board.written();
        assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "a write is not noted yet");
        board.standing(Standing { settled: Some(1), ..standing(1, None) });
        assert!(matches!(wait(&board), Err(SyncError::Refused(ErrorCode::QuotaBytes))));
        board.offline(Some(SyncFailure::Lost));
        assert_eq!(board.status().reason(), "refused: quota", "it outlives the link");
        board.event(&Event::Synced { vault });
        board.connecting();
        assert_eq!(board.status().reason(), "connecting");
    }

    #[test]
    fn progress_adds_up_over_links() {
        let board = Arc::new(Board::default());
        board.standing(standing(3, None));
        board.offline(None);
        board.standing(standing(2, None));
        let progress = board.status().progress;
        assert_eq!((progress.segments_done, progress.segments_known), (5, 12));
    }

    #[test]
    fn events_nobody_takes_are_dropped_and_said_so() {
        let board = Arc::new(Board::default());
        let events = board.subscribe(&process());
        for n in 0..EVENTS_MAX + 9 {
            let vault = VaultId::from_bytes([u8::try_from(n % 256).unwrap(); 32]);
            board.event(&Event::CaughtUp { vault });
        }
        board.stopped();
        let mut seen = Vec::new();
        while let Some(event) = events.next(Duration::ZERO) {
            seen.push(event);
        }
        assert!(seen.len() <= EVENTS_MAX);
        assert!(seen.iter().any(|event| matches!(event, SyncEvent::Lagged)));
        assert!(matches!(wait(&board), Err(SyncError::Stopped)));
    }

    #[test]
    fn what_is_pushed_is_waited_for_where_that_helps() {
        let board = Arc::new(Board::default());
        board.written();
        board.standing(standing(1, Some(0)));
        assert!(!board.wait_pushed(SHORT), "not in time");
        let waits = board.clone();
        let waiting = std::thread::spawn(move || waits.wait_pushed(Duration::from_secs(60)));
        board.standing(standing(1, Some(1)));
        assert!(waiting.join().unwrap());
        board.suspended();
        assert!(!board.wait_pushed(Duration::from_secs(60)), "in vain");
        board.stopped();
        assert!(board.is_over() && !board.wait_pushed(Duration::from_secs(60)), "in vain");
    }

    #[test]
    fn a_cancelled_wait_wakes() {
        let board = Arc::new(Board::default());
        let cancel = Cancel::new();
        let (waits, waited) = (board.clone(), cancel.clone());
        let waiting =
            std::thread::spawn(move || waits.wait_caught_up(Duration::from_secs(60), &waited, || false));
        cancel.cancel();
        assert!(matches!(waiting.join().unwrap(), Ok(false)));
        board.standing(standing(1, Some(0)));
        assert!(
            matches!(board.wait_caught_up(SHORT, &cancel, || false), Ok(false)),
            "cancelled before it began"
        );
        assert!(matches!(wait(&board), Ok(true)), "others do not notice");
    }

    #[test]
    fn arrivals_are_told_without_a_lock_held() {
        let board = Arc::new(Board::default());
        let events = Arc::new(board.subscribe(&process()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        board.connecting();
        board.event(&Event::CaughtUp { vault: VaultId::ZERO });
        let (takes, sees, asks) = (Arc::downgrade(&events), seen.clone(), board.clone());
        events.on_arrival(Arc::new(move || {
            let Some(events) = takes.upgrade() else { return };
            while let Some(event) = events.try_next() {
                sees.lock().unwrap().push(format!("{event:?} {}", asks.status().reason()));
            }
            if events.is_over() {
                sees.lock().unwrap().push("over".to_owned());
            }
        }));
        assert_eq!(seen.lock().unwrap().len(), 1, "at once, for what is there");
        board.standing(standing(1, Some(0)));
        assert!(!events.is_over());
        board.stopped();
        let mut seen = seen.lock().unwrap();
        seen.dedup();
        let ends: Vec<_> = seen.iter().map(|event| event.rsplit(' ').next().unwrap()).collect();
        assert_eq!(ends, ["connecting", "live", "offline", "over"], "{seen:?}");
        assert!(events.is_over() && events.try_next().is_none());
        assert!(board.subscribe(&process()).is_over(), "too late");
    }
}
