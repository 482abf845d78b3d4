//! Event queues: what changes in any number of vaults, collections and syncs, and the log, pulled or delivered.
//!
//! A queue takes from the engine's own queues when somebody asks it, source after source in turn; what arrives there only
//! wakes whoever waits here. So nothing is held twice, and no thread runs for a watch.

use std::cell::Cell;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};

use subrosa::{Change, ChangeKind, Changes, SyncEvent, SyncEvents};

use super::cancel::{CancelObject, NO_LIMIT, timeout};
use super::device::DeviceObject;
use super::log::{Tail, Tailed};
use super::sync::{SyncObject, state_number};
use super::task;
use super::vault::{CollectionObject, VaultObject};
use crate::bell::Bell;
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
/// More happened than the queue holds: read everything again; of the log, older messages are lost. Later events follow as
/// usual.
pub const SUBROSA_EVENT_LAGGED: i32 = 2;
/// Sync has another state: `detail` is a `SUBROSA_SYNC_...`.
pub const SUBROSA_EVENT_SYNC_STATE: i32 = 3;
/// What the relay had of `vault` is stored.
pub const SUBROSA_EVENT_CAUGHT_UP: i32 = 4;
/// `vault` is caught up both ways.
pub const SUBROSA_EVENT_SYNCED: i32 = 5;
/// The relay refused something of `vault`: `detail` is its code, `number` the milliseconds until it is tried again. With
/// `detail` 0 it did something wrong about `vault`, which rests while others go on; `text` says what.
pub const SUBROSA_EVENT_REFUSED: i32 = 6;
/// The relay hides something of `vault`, or has lost it, and does not say so.
pub const SUBROSA_EVENT_DISAGREES: i32 = 7;
/// The source has ended: its device was closed, or its sync stopped. The last event of its tag.
pub const SUBROSA_EVENT_OVER: i32 = 8;
/// The library has something to say: `detail` is a `SUBROSA_LOG_...`, `text` the message.
pub const SUBROSA_EVENT_LOG: i32 = 9;
/// An admin of `vault` has written what only a newer version understands: it is received, and nothing that is written here is
/// sent before the application is updated.
pub const SUBROSA_EVENT_UPDATE_NEEDED: i32 = 10;
/// The relay says that it holds another future of this device's log in `vault`, and shows nothing of it: nothing that is written
/// here is sent to it as long as the link lasts.
pub const SUBROSA_EVENT_DISPUTED: i32 = 11;
/// This device's wall clock and the relay's differ by more than five minutes: `number` is by how many milliseconds it is ahead, negative
/// if it is behind, and 0 once they agree again. Sync goes on all the same.
pub const SUBROSA_EVENT_CLOCK: i32 = 12;
/// Something is held here, because it was made more than five minutes ahead of this device's clock; `number` is when the first of it
/// is merged, in Unix milliseconds, and 0 when nothing is held any more.
pub const SUBROSA_EVENT_HELD: i32 = 13;
/// A device of `vault`, perhaps this one, has written under one log twice: its store was copied, or put back from a backup, and both went
/// on. Everything of both is kept and merged.
pub const SUBROSA_EVENT_FORKED: i32 = 14;

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
pub(crate) struct EventsObject(Arc<Queue>);

impl Object for EventsObject {
    const KIND: u8 = 14;
}

struct Queue {
    state: Mutex<State>,
    /// Something arrived, or somebody is to look again for another reason. Rung by whoever: the engine and the log may hold
    /// locks that `state` is above or below.
    changed: Arc<Bell>,
}

thread_local! {
    /// Set on threads of listeners. Any other thread may call when the library's own account of it is gone: at its end.
    static LISTENER: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

#[derive(Default)]
struct State {
    sources: Vec<Source>,
    /// Whose turn it is.
    turn: usize,
    /// Those of the sources, each once.
    devices: Arc<[Arc<DeviceObject>]>,
    closed: bool,
    listening: Listening,
    /// Threads of listeners that have not let go of everything yet.
    busy: Vec<ThreadId>,
    threads: Vec<JoinHandle<()>>,
}

/// Whether events are delivered.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Listening {
    #[default]
    No,
    Yes,
    /// Until the callback that may be running returns.
    Ending,
}

struct Source {
    tag: u64,
    /// The log has none.
    device: Option<Arc<DeviceObject>>,
    stream: Stream,
}

enum Stream {
    Changes { changes: Changes, vault: [u8; 32] },
    Sync(SyncEvents),
    Log(Tail),
}

impl EventsObject {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Arc::new(Queue { state: Mutex::default(), changed: Arc::default() })))
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
        self.add(Source { tag, device: Some(device.clone()), stream: Stream::Changes { changes, vault } })
    }

    pub(crate) fn add_sync(&self, sync: &SyncObject, tag: u64) -> Result<(), Failure> {
        let events = sync.running()?.get()?.events();
        events.on_arrival(self.hook());
        self.add(Source { tag, device: Some(sync.device.clone()), stream: Stream::Sync(events) })
    }

    pub(crate) fn add_log(&self, level_max: i32, tag: u64) -> Result<(), Failure> {
        let tail = Tail::new(level_max, self.0.changed.clone())?;
        self.add(Source { tag, device: None, stream: Stream::Log(tail) })
    }

    /// Has whoever waits look again.
    fn hook(&self) -> Arc<dyn Fn() + Send + Sync> {
        let changed = self.0.changed.clone();
        Arc::new(move || changed.ring())
    }

    fn add(&self, source: Source) -> Result<(), Failure> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(closed());
        }
        if state.sources.len() >= SUBROSA_EVENT_SOURCES_MAX {
            return Err(Failure::new(SUBROSA_TOO_LARGE, "an event queue has no room for another source"));
        }
        state.sources.push(source);
        state.note_devices();
        drop(state);
        // What arrived since the source began to listen.
        self.0.changed.ring();
        Ok(())
    }

    /// Forgets all sources of a tag, and what they had in store.
    pub(crate) fn remove(&self, tag: u64) {
        let mut state = self.0.lock();
        let gone: Vec<Source> = state.sources.extract_if(.., |source| source.tag == tag).collect();
        state.note_devices();
        drop(state);
        // It may be the last that holds a device: that goes without our lock.
        drop(gone);
    }

    /// The next event; one of kind `SUBROSA_EVENT_NONE` when there is none in time.
    pub(crate) fn wait(&self, timeout_ms: i32, cancel: Option<&CancelObject>) -> Result<Event, Failure> {
        let _hook = cancel.map(|cancel| cancel.0.on_cancel(self.hook()));
        let is_cancelled = || cancel.is_some_and(|cancel| cancel.0.is_cancelled());
        let mut result = Ok(None);
        self.0.changed.wait_until(timeout(timeout_ms), || {
            let mut over = None;
            let mut state = self.0.lock();
            result = if state.closed {
                Err(closed())
            } else if state.listening != Listening::No {
                Err(Failure::new(SUBROSA_BUSY, "the events are delivered to a listener"))
            } else if is_cancelled() {
                Err(Failure::new(SUBROSA_CANCELLED, "cancelled"))
            } else {
                Ok(state.take(&mut over))
            };
            drop(state);
            drop(over);
            !matches!(result, Ok(None))
        });
        result.map(Option::unwrap_or_default)
    }

    /// Delivers events from now on.
    pub(crate) fn listen(&self, listener: Box<dyn Listener>) -> Result<(), Failure> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(closed());
        }
        if state.listening != Listening::No {
            return Err(Failure::new(SUBROSA_BUSY, "the events are delivered to another listener"));
        }
        let queue = self.0.clone();
        // It goes to the thread once that runs: a failure would drop it here, under the lock.
        let (hand, handed) = sync_channel::<Box<dyn Listener>>(1);
        let thread = std::thread::Builder::new()
            .name("subrosa-events".to_owned())
            .spawn(move || {
                if let Ok(listener) = handed.recv() {
                    queue.deliver(listener);
                }
            })
            .map_err(|_| Failure::new(SUBROSA_NO_RESOURCES, "cannot start a thread").retryable())?;
        state.listening = Listening::Yes;
        state.busy.push(thread.thread().id());
        state.threads.push(thread);
        drop(state);
        // The thread waits for it.
        let _ = hand.send(listener);
        // Those who wait take nothing from now on.
        self.0.changed.ring();
        Ok(())
    }

    /// Ends delivery. Returns after a running callback has finished, but for one that runs on this thread.
    pub(crate) fn unlisten(&self) {
        let mut state = self.0.lock();
        if state.listening == Listening::Yes {
            state.listening = Listening::Ending;
            self.0.changed.ring();
        }
        if state.is_delivering_here() {
            return;
        }
        // Not one that begins to listen meanwhile.
        let ending = state.busy.clone();
        drop(state);
        let is_over = |state: &State| !ending.iter().any(|one| state.busy.contains(one));
        self.0.changed.wait_until(NO_LIMIT, || is_over(&self.0.lock()));
        let mut state = self.0.lock();
        let State { busy, threads, .. } = &mut *state;
        let ended: Vec<_> = threads.extract_if(.., |thread| !busy.contains(&thread.thread().id())).collect();
        drop(state);
        for thread in ended {
            // It has nothing left to do, and caught its panics.
            let _ = thread.join();
        }
    }

    /// Whether it may be closed from here.
    pub(crate) fn check_close(&self) -> Result<(), Failure> {
        if self.0.lock().is_delivering_here() {
            return Err(Failure::new(SUBROSA_WOULD_DEADLOCK, "called from a callback of this queue"));
        }
        Ok(())
    }

    /// Ends waits, delivery and sources.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let sources = std::mem::take(&mut state.sources);
        state.note_devices();
        drop(state);
        drop(sources);
        self.0.changed.ring();
        self.unlisten();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers until told to stop. What is not delivered by then stays in the queue.
    fn deliver(&self, listener: Box<dyn Listener>) {
        LISTENER.set(Some(std::thread::current().id()));
        loop {
            let (mut event, mut over) = (None, None);
            self.changed.wait_until(NO_LIMIT, || {
                let mut state = self.lock();
                let goes_on = !state.closed && state.listening == Listening::Yes;
                event = if goes_on { state.take(&mut over) } else { None };
                !goes_on || event.is_some()
            });
            let mut state = self.lock();
            let Some(event) = event else {
                // Another one may listen while this one is dropped.
                state.listening = Listening::No;
                break;
            };
            let mut devices: Vec<u64> = state.devices.iter().map(|device| device.number).collect();
            drop(state);
            devices.extend(over.as_ref().and_then(|source: &Source| Some(source.device.as_ref()?.number)));
            // Others are delivered all the same.
            let _ = task::in_callback_of(&devices, || guard::caught(|| listener.deliver(event)));
            drop(over);
        }
        let _ = guard::caught(move || drop(listener));
        let this = LISTENER.get();
        self.lock().busy.retain(|thread| Some(*thread) != this);
        self.changed.ring();
    }
}

impl State {
    /// The next event, from the sources in turn. A source that has ended goes to `over`: the engine's queue, and perhaps
    /// the device, are not dropped under our lock.
    fn take(&mut self, over: &mut Option<Source>) -> Option<Event> {
        for _ in 0..self.sources.len() {
            let index = self.turn % self.sources.len();
            self.turn = index + 1;
            let source = &mut self.sources[index];
            if let Some(event) = source.next() {
                return Some(event);
            }
            if source.is_over() {
                let source = self.sources.swap_remove(index);
                self.note_devices();
                let event = Event { kind: SUBROSA_EVENT_OVER, tag: source.tag, ..Event::default() };
                *over = Some(source);
                return Some(event);
            }
        }
        None
    }

    /// Whether this thread runs the queue's callback.
    fn is_delivering_here(&self) -> bool {
        LISTENER.try_with(Cell::get).ok().flatten().is_some_and(|thread| self.busy.contains(&thread))
    }

    fn note_devices(&mut self) {
        let mut devices: Vec<Arc<DeviceObject>> = Vec::new();
        for device in self.sources.iter().filter_map(|source| source.device.as_ref()) {
            if !devices.iter().any(|known| Arc::ptr_eq(known, device)) {
                devices.push(device.clone());
            }
        }
        self.devices = devices.into();
    }
}

impl Source {
    fn next(&mut self) -> Option<Event> {
        let event = match &mut self.stream {
            Stream::Changes { changes, vault } => of_change(changes.try_next()?, *vault),
            Stream::Sync(events) => of_sync(&events.try_next()?),
            Stream::Log(tail) => of_log(tail.try_next()?),
        };
        Some(Event { tag: self.tag, ..event })
    }

    fn is_over(&self) -> bool {
        match &self.stream {
            Stream::Changes { changes, .. } => changes.is_over(),
            Stream::Sync(events) => events.is_over(),
            Stream::Log(_) => false,
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
        SyncEvent::Rests { vault, fault, retry } => Event {
            number: i64::try_from(retry.as_millis()).unwrap_or(i64::MAX),
            text: Some(fault.to_string().into()),
            ..about(SUBROSA_EVENT_REFUSED, vault)
        },
        SyncEvent::Disagrees(vault) => about(SUBROSA_EVENT_DISAGREES, vault),
        SyncEvent::UpdateNeeded(vault) => about(SUBROSA_EVENT_UPDATE_NEEDED, vault),
        SyncEvent::Disputed(vault) => about(SUBROSA_EVENT_DISPUTED, vault),
        SyncEvent::Forked(vault) => about(SUBROSA_EVENT_FORKED, vault),
        SyncEvent::Clock { ahead_ms } => {
            Event { kind: SUBROSA_EVENT_CLOCK, number: ahead_ms.unwrap_or(0), ..Event::default() }
        }
        SyncEvent::Held { until_ms } => Event {
            kind: SUBROSA_EVENT_HELD,
            number: i64::try_from(until_ms.unwrap_or(0)).unwrap_or(i64::MAX),
            ..Event::default()
        },
        _ => Event { kind: SUBROSA_EVENT_LAGGED, ..Event::default() },
    }
}

fn of_log(tailed: Tailed) -> Event {
    match tailed {
        Tailed::Message { level, text } => {
            Event { kind: SUBROSA_EVENT_LOG, detail: level, text: Some(text), ..Event::default() }
        }
        Tailed::Lagged => Event { kind: SUBROSA_EVENT_LAGGED, ..Event::default() },
    }
}

fn closed() -> Failure {
    Failure::new(SUBROSA_CLOSED, "the event queue was closed")
}

#[cfg(test)]
mod tests;
