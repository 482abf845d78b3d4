//! SIGINT and SIGTERM, as a flag that waiting code looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How often waiting code looks.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);

/// Whether this process was asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that the first SIGINT or SIGTERM raises; the second one ends the process at once.
    pub(crate) fn on_signal() -> std::io::Result<Self> {
        let stop = Self::default();
        let raised = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut int, mut term) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        // Owned by the process: it ends with it, holds nothing and fails in no way.
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! { _ = int.recv() => (), _ = term.recv() => () }
                    if raised.0.swap(true, Ordering::Relaxed) {
                        std::process::exit(EXIT_SIGNAL);
                    }
                }
            });
        })?;
        Ok(stop)
    }

    /// Raises the flag.
    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Exit code of a process that a second signal ended, as shells give it.
const EXIT_SIGNAL: i32 = 130;
