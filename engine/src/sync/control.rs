//! What others want of a link's thread: to run, to rest while its device is suspended, to stop. And the list of all
//! links of a device, which is how a device that is suspended finds them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use subrosa_protocol::ids::Pin;
use tokio::sync::watch;

use super::board::Board;

/// What is wanted of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To be up. `path` counts how often this machine's way to the network has changed.
    Run { path: u64 },
    /// To hold no socket and to leave the store alone, as of `until` at the latest.
    Rest { until: Instant },
    /// To end. Nothing is wanted after that.
    Stop,
}

/// Between a link's thread and those who command it.
#[derive(Debug)]
pub(crate) struct Control {
    wish: watch::Sender<Wish>,
    /// The thread holds no socket and leaves the store alone.
    rests: Mutex<bool>,
    changed: Condvar,
}

/// The links of one device.
#[derive(Debug, Default)]
pub(crate) struct Links {
    state: Mutex<State>,
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    suspended: bool,
    links: Vec<Weak<Control>>,
    /// What syncs, and with which relay.
    syncs: Vec<(Pin, Weak<Board>)>,
}

/// The device is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspended;

impl Control {
    /// Of a link that belongs to no device.
    pub(super) fn new() -> Arc<Self> {
        let wish = watch::Sender::new(Wish::Run { path: 0 });
        Arc::new(Self { wish, rests: Mutex::new(false), changed: Condvar::new() })
    }

    pub(super) fn wish(&self) -> Wish {
        *self.wish.borrow()
    }

    pub(super) fn is_told_to_rest(&self) -> bool {
        matches!(self.wish(), Wish::Rest { .. })
    }

    /// Hears of every wish from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    pub(super) fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
        self.wake();
    }

    fn rest(&self, until: Instant) {
        self.unless_stopped(|wish| *wish = Wish::Rest { until });
    }

    fn run(&self) {
        self.unless_stopped(|wish| {
            if let Wish::Rest { .. } = wish {
                *wish = Wish::Run { path: 0 };
            }
        });
    }

    fn path_changed(&self) {
        self.unless_stopped(|wish| {
            if let Wish::Run { path } = wish {
                *path += 1;
            }
        });
    }

    fn unless_stopped(&self, change: impl FnOnce(&mut Wish)) {
        self.wish.send_if_modified(|wish| {
            let before = *wish;
            if before != Wish::Stop {
                change(wish);
            }
            *wish != before
        });
        self.wake();
    }

    fn wake(&self) {
        // Whoever is between its look at the wish and its sleep holds the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Called by the link's thread, which rests until something else is wanted.
    pub(super) fn take_rest(&self) {
        let mut rests = self.lock();
        *rests = true;
        self.changed.notify_all();
        while self.is_told_to_rest() {
            rests = self.changed.wait(rests).unwrap_or_else(PoisonError::into_inner);
        }
        *rests = false;
    }

    /// Called by the link's thread, which has seen the wish `before`: waits for another one, for `wait` at most.
    pub(super) fn pause(&self, before: Wish, wait: Duration) {
        let paused = self.changed.wait_timeout_while(self.lock(), wait, |_| self.wish() == before);
        drop(paused);
    }

    /// Called at the end of the link's thread.
    pub(super) fn over(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until the thread rests; `false` if it does not by `until`.
    #[expect(clippy::disallowed_methods, reason = "waiting for other threads is a driver's business")]
    fn wait_for_rest(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |rests| !*rests);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// A new link of the device.
    pub(super) fn register(&self) -> Result<Arc<Control>, Suspended> {
        let mut state = self.lock();
        if state.suspended {
            return Err(Suspended);
        }
        let control = Control::new();
        state.links.retain(|link| link.strong_count() > 0);
        state.links.push(Arc::downgrade(&control));
        Ok(control)
    }

    /// Notes that the device syncs with a relay.
    pub(super) fn syncs(&self, relay: Pin, board: &Arc<Board>) {
        let mut state = self.lock();
        state.syncs.retain(|(_, board)| board.strong_count() > 0);
        state.syncs.push((relay, Arc::downgrade(board)));
    }

    /// The sync with this relay that is under way, if there is one.
    pub(super) fn sync_with(&self, relay: &Pin) -> Option<Arc<Board>> {
        let state = self.lock();
        let boards = state.syncs.iter().filter(|(with, _)| with == relay);
        boards.filter_map(|(_, board)| board.upgrade()).find(|board| !board.is_over())
    }

    /// Keeps suspending and resuming apart, while the guard lives.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all links rest, and refuses new ones. Says whether all rest by `until`; the others do as soon as they can.
    pub(crate) fn rest(&self, until: Instant) -> bool {
        let links = {
            let mut state = self.lock();
            state.suspended = true;
            state.upgraded()
        };
        links.iter().for_each(|link| link.rest(until));
        links.iter().all(|link| link.wait_for_rest(until))
    }

    /// Lets all links run again.
    pub(crate) fn run(&self) {
        let mut state = self.lock();
        state.suspended = false;
        state.upgraded().iter().for_each(|link| link.run());
    }

    /// Ends all links, for good; waits for them until `until` at most.
    pub(crate) fn stop(&self, until: Instant) {
        let links = {
            let mut state = self.lock();
            state.suspended = true;
            state.upgraded()
        };
        links.iter().for_each(|link| link.stop());
        if !links.iter().all(|link| link.wait_for_rest(until)) {
            tracing::debug!("sync is not over in time");
        }
    }

    /// This machine's way to the network has changed.
    pub(crate) fn path_changed(&self) {
        let links = self.lock().upgraded();
        links.iter().for_each(|link| link.path_changed());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn upgraded(&self) -> Vec<Arc<Control>> {
        self.links.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a deadline that the test does not reach")]
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline that is over")]
    fn now() -> Instant {
        Instant::now()
    }

    /// A thread that does as it is told, and counts its runs.
    fn obedient(control: Arc<Control>) -> std::thread::JoinHandle<u32> {
        std::thread::spawn(move || {
            let mut runs = 0;
            loop {
                match control.wish() {
                    wish @ Wish::Run { .. } => {
                        runs += 1;
                        control.pause(wish, Duration::from_secs(60));
                    }
                    Wish::Rest { .. } => control.take_rest(),
                    Wish::Stop => break,
                }
            }
            control.over();
            runs
        })
    }

    #[test]
    fn links_rest_run_again_and_stop() {
        let links = Links::default();
        let controls = [links.register().unwrap(), links.register().unwrap()];
        let threads = controls.clone().map(obedient);
        assert!(links.rest(later()));
        assert_eq!(links.register().err(), Some(Suspended));
        assert!(links.rest(now()), "they rest already");
        links.run();
        assert!(links.rest(later()));
        controls.iter().for_each(|control| control.stop());
        links.run();
        for thread in threads {
            assert!(thread.join().unwrap() <= 2);
        }
        assert!(links.rest(now()), "those that are over rest");
        links.run();
        assert!(links.register().is_ok());
    }

    #[test]
    fn a_link_that_does_not_rest_in_time_is_not_waited_for() {
        let links = Links::default();
        let control = links.register().unwrap();
        assert!(!links.rest(now()));
        assert!(matches!(control.wish(), Wish::Rest { .. }), "it is still wanted");
    }

    #[test]
    fn a_changed_path_is_news_only_to_links_that_run() {
        let links = Links::default();
        let control = links.register().unwrap();
        let mut heard = control.subscribe();
        links.path_changed();
        assert_eq!(*heard.borrow_and_update(), Wish::Run { path: 1 });
        control.stop();
        heard.mark_unchanged();
        links.path_changed();
        links.rest(now());
        assert!(!heard.has_changed().unwrap());
        assert_eq!(control.wish(), Wish::Stop);
    }
}
