//! A thread without which the relay is half alive tells everybody when it panics.

use std::thread;

use tokio::sync::watch;

/// Rung once for all by the first [`Guard`] that is dropped by a panic.
pub(crate) struct Alarm(watch::Sender<Option<&'static str>>);

/// Held by a thread for as long as it runs.
pub(crate) struct Guard {
    alarm: watch::Sender<Option<&'static str>>,
    thread: &'static str,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn guard(&self, thread: &'static str) -> Guard {
        Guard { alarm: self.0.clone(), thread }
    }

    /// For who has to know: the name of the thread that panicked.
    pub(crate) fn listen(&self) -> watch::Receiver<Option<&'static str>> {
        self.0.subscribe()
    }
}

/// Waits for the alarm; for ever if all is well.
///
/// # Cancel safety
/// Nothing is lost: it stays rung.
pub(crate) async fn rung(mut alarm: watch::Receiver<Option<&'static str>>) -> &'static str {
    let thread = alarm.wait_for(Option::is_some).await.ok().and_then(|thread| *thread);
    match thread {
        Some(thread) => thread,
        None => std::future::pending().await, // everybody who could ring has ended in order
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(thread = self.thread, "panicked: the relay stops");
            self.alarm.send_if_modified(|rung| rung.is_none() && rung.replace(self.thread).is_none());
        }
    }
}
