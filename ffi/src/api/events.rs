//! Event queues: what changes in any number of vaults, collections and syncs, pulled or delivered.
//!
//! A queue takes from the engine's own queues when somebody asks it, source after source in turn; what arrives there only
//! wakes whoever waits here. So nothing is held twice, and no thread runs for a watch.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use subrosa::{Cancel, Change, ChangeKind, Changes, SyncEvent, SyncEvents};

use super::cancel::{CancelObject, Wait, timeout};
use super::device::DeviceObject;
use super::sync::{SyncObject, state_number};
use super::task;
use super::vault::{CollectionObject, VaultObject};
use crate::failure::Failure;
use crate::guard;
use crate::handles::Object;
use crate::status::{
    SUBROSA_BUSY, SUBROSA_CANCELLED, SUBROSA_CLOSED, SUBROSA_NO_RESOURCES, SUBROSA_TOO_LARGE,
    SUBROSA_WOULD_DEADLOCK,
};

/// Nothing happened in time.
pub const SUBROSA_EVENT_NONE: i32 = 0;
/// A record changed, here or on another device: `detail` is a `SUBROSA_CHANGE_...`, `record` and `vault` say which, `text`
/// has the name of its collection.
pub const SUBROSA_EVENT_RECORD: i32 = 1;
/// More happened than the queue holds: read everything again. Later events follow as usual.
pub const SUBROSA_EVENT_LAGGED: i32 = 2;
/// Sync has another state: `detail` is a `SUBROSA_SYNC_...`.
pub const SUBROSA_EVENT_SYNC_STATE: i32 = 3;
/// What the relay had of `vault` is stored.
pub const SUBROSA_EVENT_CAUGHT_UP: i32 = 4;
/// `vault` is caught up both ways.
pub const SUBROSA_EVENT_SYNCED: i32 = 5;
/// The relay refused something of `vault`: `detail` is its code, `number` the milliseconds until it is tried again.
pub const SUBROSA_EVENT_REFUSED: i32 = 6;
/// The relay hides something of `vault`, or has lost it, and does not say so.
pub const SUBROSA_EVENT_DISAGREES: i32 = 7;
/// The source has ended: its device was closed, or its sync stopped. The last event of its tag.
pub const SUBROSA_EVENT_OVER: i32 = 8;

/// The record exists now.
pub const SUBROSA_CHANGE_INSERTED: i32 = 1;
/// A field of it was set, or may have been.
pub const SUBROSA_CHANGE_UPDATED: i32 = 2;
/// It is gone.
pub const SUBROSA_CHANGE_REMOVED: i32 = 3;

/// Sources of one queue.
pub const SUBROSA_EVENT_SOURCES_MAX: usize = 4096;

/// One thing that happened.
#[derive(Default)]
pub(crate) struct Event {
    pub(crate) kind: i32,
    pub(crate) tag: u64,
    pub(crate) detail: i32,
    pub(crate) number: i64,
    pub(crate) record: [u8; 16],
    pub(crate) vault: [u8; 32],
    pub(crate) text: Option<Arc<str>>,
}

/// Where events are delivered.
pub(crate) trait Listener: Send + 'static {
    fn deliver(&self, event: Event);
}

/// A queue of events.
pub(crate) struct EventsObject {
    shared: Arc<Shared>,
    closing: Cancel,
    delivery: Mutex<Option<Delivery>>,
}

impl Object for EventsObject {
    const KIND: u8 = 14;
}

/// What sources wake, and waits and the listener's thread look at.
#[derive(Default)]
struct Shared {
    sources: Mutex<Sources>,
    /// Counts wake-ups.
    woken: Mutex<u64>,
    changed: Condvar,
}

#[derive(Default)]
struct Sources {
    all: Vec<Source>,
    /// Whose turn it is.
    turn: usize,
}

struct Source {
    tag: u64,
    device: usize,
    stream: Stream,
}

enum Stream {
    Changes { changes: Changes, vault: [u8; 32] },
    Sync(SyncEvents),
}

/// A thread that delivers.
struct Delivery {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

thread_local! {
    /// The queue whose callback runs on this thread.
    static DELIVERING: Cell<usize> = const { Cell::new(0) };
}

impl EventsObject {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shared: Arc::default(), closing: Cancel::new(), delivery: Mutex::default() })
    }

    pub(crate) fn add_vault(&self, vault: &VaultObject, tag: u64) -> Result<(), Failure> {
        self.add_changes(&vault.device, *vault.vault.id().as_bytes(), vault.vault.watch(), tag)
    }

    pub(crate) fn add_collection(&self, collection: &CollectionObject, tag: u64) -> Result<(), Failure> {
        let vault = &collection.vault;
        self.add_changes(&vault.device, *vault.vault.id().as_bytes(), collection.collection.watch(), tag)
    }

    fn add_changes(
        &self,
        device: &Arc<DeviceObject>,
        vault: [u8; 32],
        mut changes: Changes,
        tag: u64,
    ) -> Result<(), Failure> {
        device.check_open()?;
        changes.on_arrival(self.hook());
        self.add(Source { tag, device: task::number(device), stream: Stream::Changes { changes, vault } })
    }

    pub(crate) fn add_sync(&self, sync: &SyncObject, tag: u64) -> Result<(), Failure> {
        let events = sync.running()?.get()?.events();
        events.on_arrival(self.hook());
        self.add(Source { tag, device: task::number(&sync.device), stream: Stream::Sync(events) })
    }

    fn hook(&self) -> Arc<dyn Fn() + Send + Sync> {
        let shared = Arc::downgrade(&self.shared);
        Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.wake();
            }
        })
    }

    fn add(&self, source: Source) -> Result<(), Failure> {
        let mut sources = self.shared.sources();
        if self.closing.is_cancelled() {
            return Err(closed());
        }
        if sources.all.len() >= SUBROSA_EVENT_SOURCES_MAX {
            return Err(Failure::new(SUBROSA_TOO_LARGE, "an event queue has no room for another source"));
        }
        sources.all.push(source);
        drop(sources);
        // What arrived since the source began to listen.
        self.shared.wake();
        Ok(())
    }

    /// Forgets all sources of a tag, and what they had in store.
    pub(crate) fn remove(&self, tag: u64) {
        let mut sources = self.shared.sources();
        let (gone, kept) = std::mem::take(&mut sources.all).into_iter().partition(|source| source.tag == tag);
        sources.all = kept;
        drop(sources);
        let gone: Vec<Source> = gone;
        drop(gone);
    }

    /// The next event; one of kind `SUBROSA_EVENT_NONE` when there is none in time.
    pub(crate) fn wait(&self, timeout_ms: i32, cancel: Option<&CancelObject>) -> Result<Event, Failure> {
        if lock(&self.delivery).is_some() {
            return Err(Failure::new(SUBROSA_BUSY, "the events are delivered to a listener"));
        }
        if self.closing.is_cancelled() {
            return Err(closed());
        }
        if let Some(event) = self.shared.take() {
            return Ok(event);
        }
        let mut tokens = vec![(&self.closing, SUBROSA_CLOSED)];
        tokens.extend(cancel.map(|cancel| (&cancel.0, SUBROSA_CANCELLED)));
        let wait = Wait::new(&tokens);
        let _wake = wait.cancel.on_cancel(self.hook());
        let event = self.shared.wait(timeout(timeout_ms), || wait.cancel.is_cancelled());
        match (event, wait.ended()) {
            (Some(event), _) => Ok(event),
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(Event::default()),
        }
    }

    /// Delivers events from now on.
    pub(crate) fn listen(&self, listener: Box<dyn Listener>) -> Result<(), Failure> {
        let mut delivery = lock(&self.delivery);
        if delivery.is_some() {
            return Err(Failure::new(SUBROSA_BUSY, "the events are delivered to another listener"));
        }
        if self.closing.is_cancelled() {
            return Err(closed());
        }
        let (shared, stop) = (self.shared.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("subrosa-events".to_owned()).spawn(move || {
            // Whatever ends the loop, the listener goes once, and quietly.
            let _ = guard::caught(|| deliver(&shared, &stopped, &*listener));
            let _ = guard::caught(move || drop(listener));
        });
        let thread =
            thread.map_err(|_| Failure::new(SUBROSA_NO_RESOURCES, "cannot start a thread").retryable())?;
        *delivery = Some(Delivery { stop, thread });
        Ok(())
    }

    /// Ends delivery. Returns after a running callback has finished, but for one that runs on this thread.
    pub(crate) fn unlisten(&self) {
        let Some(delivery) = lock(&self.delivery).take() else { return };
        delivery.stop.store(true, Ordering::SeqCst);
        self.shared.wake();
        if !self.is_delivering_here() {
            // It catches its panics.
            let _ = delivery.thread.join();
        }
    }

    /// Whether this thread runs the queue's callback.
    fn is_delivering_here(&self) -> bool {
        DELIVERING.with(Cell::get) == Arc::as_ptr(&self.shared).addr()
    }

    /// Whether it may be closed from here.
    pub(crate) fn check_close(&self) -> Result<(), Failure> {
        if self.is_delivering_here() {
            return Err(Failure::new(SUBROSA_WOULD_DEADLOCK, "called from a callback of this queue"));
        }
        Ok(())
    }

    /// Ends waits, delivery and sources.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.unlisten();
        drop(std::mem::take(&mut *self.shared.sources()));
    }
}

impl Shared {
    fn sources(&self) -> MutexGuard<'_, Sources> {
        lock(&self.sources)
    }

    fn wake(&self) {
        *lock(&self.woken) += 1;
        self.changed.notify_all();
    }

    /// The next event, if there is one.
    fn take(&self) -> Option<Event> {
        let mut sources = self.sources();
        let (event, over) = sources.take()?;
        drop(sources);
        // An engine's queue goes without our lock.
        drop(over);
        Some(event)
    }

    /// The next event; `None` after `wait_max`, or when `ended` says so after a wake-up.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    fn wait(&self, wait_max: Duration, ended: impl Fn() -> bool) -> Option<Event> {
        let since = Instant::now();
        loop {
            // Read before looking, so that what arrives in between is not slept over.
            let seen = *lock(&self.woken);
            if let Some(event) = self.take() {
                return Some(event);
            }
            let left = wait_max.saturating_sub(since.elapsed());
            if ended() || left.is_zero() {
                return None;
            }
            drop(
                self.changed
                    .wait_timeout_while(lock(&self.woken), left, |woken| *woken == seen)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// The devices of all sources.
    fn devices(&self) -> Vec<usize> {
        self.sources().all.iter().map(|source| source.device).collect()
    }
}

impl Sources {
    /// Takes from the sources in turn; also hands out a source that has ended.
    fn take(&mut self) -> Option<(Event, Option<Source>)> {
        for _ in 0..self.all.len() {
            let index = self.turn % self.all.len();
            self.turn = index + 1;
            let source = &mut self.all[index];
            if let Some(event) = source.next() {
                return Some((event, None));
            }
            if source.is_over() {
                let over = Event { kind: SUBROSA_EVENT_OVER, tag: source.tag, ..Event::default() };
                return Some((over, Some(self.all.swap_remove(index))));
            }
        }
        None
    }
}

impl Source {
    fn next(&mut self) -> Option<Event> {
        let event = match &mut self.stream {
            Stream::Changes { changes, vault } => of_change(changes.try_next()?, *vault),
            Stream::Sync(events) => of_sync(&events.try_next()?),
        };
        Some(Event { tag: self.tag, ..event })
    }

    fn is_over(&self) -> bool {
        match &self.stream {
            Stream::Changes { changes, .. } => changes.is_over(),
            Stream::Sync(events) => events.is_over(),
        }
    }
}

fn of_change(change: Change, vault: [u8; 32]) -> Event {
    match change {
        Change::Record { collection, id, kind } => Event {
            kind: SUBROSA_EVENT_RECORD,
            detail: match kind {
                ChangeKind::Inserted => SUBROSA_CHANGE_INSERTED,
                ChangeKind::Updated => SUBROSA_CHANGE_UPDATED,
                ChangeKind::Removed => SUBROSA_CHANGE_REMOVED,
            },
            record: *id.as_bytes(),
            vault,
            text: Some(collection),
            ..Event::default()
        },
        // What a later engine says beyond it asks for the same: look again.
        _ => Event { kind: SUBROSA_EVENT_LAGGED, vault, ..Event::default() },
    }
}

fn of_sync(event: &SyncEvent) -> Event {
    let about = |kind, vault: &subrosa::VaultId| Event { kind, vault: *vault.as_bytes(), ..Event::default() };
    match event {
        SyncEvent::State(state) => {
            Event { kind: SUBROSA_EVENT_SYNC_STATE, detail: state_number(*state), ..Event::default() }
        }
        SyncEvent::CaughtUp(vault) => about(SUBROSA_EVENT_CAUGHT_UP, vault),
        SyncEvent::Synced(vault) => about(SUBROSA_EVENT_SYNCED, vault),
        SyncEvent::Refused { vault, code, retry } => Event {
            detail: code.to_wire().into(),
            number: i64::try_from(retry.as_millis()).unwrap_or(i64::MAX),
            ..about(SUBROSA_EVENT_REFUSED, vault)
        },
        SyncEvent::Disagrees(vault) => about(SUBROSA_EVENT_DISAGREES, vault),
        _ => Event { kind: SUBROSA_EVENT_LAGGED, ..Event::default() },
    }
}

/// Delivers until told to stop.
fn deliver(shared: &Arc<Shared>, stop: &AtomicBool, listener: &dyn Listener) {
    DELIVERING.with(|queue| queue.set(Arc::as_ptr(shared).addr()));
    while !stop.load(Ordering::SeqCst) {
        // The source of an event may be gone once it is taken.
        let devices = shared.devices();
        if let Some(event) = shared.wait(timeout(-1), || stop.load(Ordering::SeqCst))
            && !stop.load(Ordering::SeqCst)
        {
            task::in_callback_of(&devices, || listener.deliver(event));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> Failure {
    Failure::new(SUBROSA_CLOSED, "the event queue was closed")
}

#[cfg(test)]
mod tests;
