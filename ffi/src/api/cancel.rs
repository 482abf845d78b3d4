//! Waiting that can be cut short: by a token of the caller's, and by closing what is waited on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use subrosa::{Cancel, CancelHook};

use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{SUBROSA_CANCELLED, SUBROSA_CLOSED, SUBROSA_SYNC_STOPPED};

/// A token that a caller fires.
pub(crate) struct CancelObject(pub(crate) Cancel);

impl Object for CancelObject {
    const KIND: u8 = 2;
}

/// One wait: a token for the engine that fires when any of several does, and remembers which was first.
pub(crate) struct Wait {
    pub(crate) cancel: Cancel,
    first: Arc<AtomicI32>,
    _hooks: Vec<CancelHook>,
}

impl Wait {
    /// A wait that each of these tokens ends, with the status beside it.
    pub(crate) fn new(tokens: &[(&Cancel, i32)]) -> Self {
        let (cancel, first) = (Cancel::new(), Arc::new(AtomicI32::new(0)));
        let hooks = tokens.iter().map(|(token, status)| {
            let (cancel, first, status) = (cancel.clone(), first.clone(), *status);
            token.on_cancel(Arc::new(move || {
                let _ = first.compare_exchange(0, status, Ordering::SeqCst, Ordering::SeqCst);
                cancel.cancel();
            }))
        });
        let hooks = hooks.collect();
        Self { cancel, first, _hooks: hooks }
    }

    /// Why it ended, if a token ended it.
    pub(crate) fn ended(&self) -> Option<Failure> {
        let status = self.first.load(Ordering::SeqCst);
        let text = match status {
            0 => return None,
            SUBROSA_CLOSED => "closed meanwhile",
            SUBROSA_SYNC_STOPPED => "sync was stopped",
            SUBROSA_CANCELLED => "cancelled",
            _ => "ended meanwhile",
        };
        Some(Failure::new(status, text))
    }

    /// `result`, unless a token ended the wait.
    pub(crate) fn explain<R>(&self, result: Result<R, subrosa::Error>) -> Result<R, Failure> {
        result.map_err(|error| match error {
            subrosa::Error::Cancelled => {
                self.ended().unwrap_or_else(|| Failure::new(SUBROSA_CANCELLED, "cancelled"))
            }
            other => other.into(),
        })
    }
}

/// A timeout as C callers give it: milliseconds, none for a negative number.
pub(crate) fn timeout(ms: i32) -> Duration {
    u64::try_from(ms).map_or(NO_LIMIT, Duration::from_millis)
}

/// As long as any process lives, and far from the end of every clock.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
