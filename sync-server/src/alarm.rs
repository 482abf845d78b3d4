//! What ends a relay: a part that it cannot do without is gone. It stops and says so, rather than live on by half.

use std::sync::Arc;
use std::thread;

use tokio::sync::watch;

/// Rung once for all; whoever waits for it hears of it at any time after.
#[derive(Clone)]
pub(crate) struct Alarm(Arc<watch::Sender<Option<&'static str>>>);

/// Held by a thread for as long as it runs: rings when it is dropped by a panic.
pub(crate) struct Guard {
    alarm: Alarm,
    thread: &'static str,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// `what` is gone.
    pub(crate) fn ring(&self, what: &'static str) {
        tracing::error!(what, "the relay cannot go on");
        self.0.send_if_modified(|rung| rung.is_none() && rung.replace(what).is_none());
    }

    /// What is gone, if anything is.
    pub(crate) fn what(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    pub(crate) fn guard(&self, thread: &'static str) -> Guard {
        Guard { alarm: self.clone(), thread }
    }

    /// Waits until it is rung; says what is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost: it stays rung.
    pub(crate) async fn rung(&self) -> &'static str {
        let mut changes = self.0.subscribe();
        let what = changes.wait_for(Option::is_some).await.ok().and_then(|what| *what);
        what.unwrap_or("the relay") // the sender lives as long as `self`
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.alarm.ring(self.thread);
        }
    }
}
