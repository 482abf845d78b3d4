//! What ends a relay: a part that it cannot do without is gone. It stops and says so, rather than live on by half.

use tokio::sync::watch;

/// Raised once; whoever waits for it hears of it at any time after.
pub(crate) struct Fatal(watch::Sender<Option<&'static str>>);

impl Fatal {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// `what` is gone.
    pub(crate) fn raise(&self, what: &'static str) {
        tracing::error!(what, "the relay cannot go on");
        self.0.send_if_modified(|first| {
            let unset = first.is_none();
            if unset {
                *first = Some(what);
            }
            unset
        });
    }

    /// Waits until it is raised; says what is gone.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(crate) async fn raised(&self) -> &'static str {
        let mut changes = self.0.subscribe();
        let what = changes.wait_for(Option::is_some).await.ok().and_then(|what| *what);
        what.unwrap_or("the relay") // the sender lives as long as `self`
    }
}
