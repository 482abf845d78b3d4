//! The thread of one [`super::Sync`]: keeps a link up, rests while its device is suspended, ends when told to.
//!
//! Each time it runs it has an executor of its own, so that nothing of it, no socket least of all, is left while it
//! rests. What it must never do: end without saying so on the board.

use std::sync::Arc;
use std::time::{Duration, Instant};

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::client_link::LinkError;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

use super::backoff::Backoff;
use super::board::Board;
use super::control::{Control, Wish};
use super::dial::Dialer;
use super::link::{Errand, Link, LinkEnd};
use super::worker::Worker;
use super::{FAREWELL, SyncFailure};
use crate::core::{Core, PendingHook};

/// A link that lived this long was a good one: the next failure starts with a short wait again.
const GOOD_LINK: Duration = Duration::from_secs(10);

/// What the driver of one device needs.
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    pub(crate) relay: RelayAddr,
    pub(crate) board: Arc<Board>,
    pub(crate) pending: Arc<Notify>,
    pub(super) control: Arc<Control>,
    pub(super) hook: PendingHook,
}

pub(super) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// How long a link that is told to rest or to end may say goodbye.
pub(super) fn farewell(wish: Wish) -> Duration {
    match wish {
        Wish::Rest { until } => FAREWELL.min(until.saturating_duration_since(now())),
        Wish::Run { .. } | Wish::Stop => FAREWELL,
    }
}

/// The whole life of the thread; `runtime` is for the first run.
pub(super) fn serve(ends: Ends, worker: Worker, runtime: Runtime) {
    let context = &ends.0;
    let mut worker = Some(worker);
    let mut first = Some(runtime);
    let mut backoff = Backoff::default();
    while let Some(at_work) = &worker {
        let wish = context.control.wish();
        match wish {
            Wish::Stop => break,
            Wish::Rest { .. } => {
                first = None;
                if at_work.settle() {
                    context.board.suspended();
                    context.control.take_rest();
                    backoff.reset();
                } else {
                    stop(&mut worker);
                }
            }
            Wish::Run { .. } => {
                let Ok(runtime) = first.take().map_or_else(self::runtime, Ok) else {
                    context.board.offline(Some(SyncFailure::NoSocket));
                    let wait = backoff.next(&*context.core.options.entropy, Duration::ZERO);
                    context.control.pause(wish, wait);
                    continue;
                };
                let ended = runtime.block_on(run(context, at_work, &mut backoff));
                runtime.shutdown_timeout(farewell(context.control.wish()));
                if let Ended::Panicked = ended {
                    stop(&mut worker);
                }
            }
        }
    }
    // Gone before, if it panicked.
    let panicked = worker.is_none();
    stop(&mut worker);
    if panicked {
        context.board.panicked();
    }
}

fn stop(worker: &mut Option<Worker>) {
    if let Some(worker) = worker.take() {
        worker.stop();
    }
}

/// Says that the thread is over, whatever ended it.
pub(super) struct Ends(pub(super) Context);

impl Drop for Ends {
    fn drop(&mut self) {
        let Context { core, board, control, hook, .. } = &self.0;
        core.no_more_pending(hook);
        if std::thread::panicking() {
            board.panicked();
        }
        board.stopped();
        control.over();
    }
}

/// How a run ended.
enum Ended {
    /// Something else is wanted.
    Told,
    /// The store's thread panicked.
    Panicked,
}

/// Keeps a link up until something else is wanted.
async fn run(context: &Context, worker: &Worker, backoff: &mut Backoff) -> Ended {
    let mut dialer = Dialer::new(&context.relay);
    let mut wish = context.control.subscribe();
    let mut ended = Ended::Told;
    while is_wanted(&wish) {
        context.board.connecting();
        let dialed = tokio::select! {
            dialed = dialer.dial() => dialed,
            _ = wish.changed() => {
                // The socket may be bound to a network that is gone.
                dialer.forget();
                backoff.reset();
                continue;
            }
        };
        let failure = match dialed {
            Ok(connection) => {
                let up_since = tokio::time::Instant::now();
                let opened = tokio::select! {
                    opened = Link::new(context, worker, connection.clone(), &dialer) => opened,
                    _ = wish.changed() => Err(SyncFailure::Lost),
                };
                let end = match opened {
                    Ok(mut link) => link.run(&Errand::Sync, &mut wish).await,
                    Err(failure) => LinkEnd::Failed(failure),
                };
                connection.close(0_u32.into(), b"");
                worker.link_over().await;
                if up_since.elapsed() >= GOOD_LINK {
                    backoff.reset();
                }
                match end {
                    LinkEnd::Stopped => break,
                    LinkEnd::Failed(SyncFailure::Panicked) => {
                        ended = Ended::Panicked;
                        break;
                    }
                    LinkEnd::Failed(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        tracing::debug!(%failure, "link over");
        let wait = backoff.next(&*context.core.options.entropy, retry_after(&failure));
        if let SyncFailure::NoSocket = failure {
            dialer.forget();
        }
        context.board.offline(Some(failure));
        rest(wait, &mut wish, &mut dialer, backoff).await;
    }
    dialer.close(farewell(context.control.wish())).await;
    ended
}

/// Waits before the next try, or until there is news: a path that has changed deserves a try at once.
async fn rest(wait: Duration, wish: &mut watch::Receiver<Wish>, dialer: &mut Dialer, backoff: &mut Backoff) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        _ = wish.changed() => {
            dialer.forget();
            backoff.reset();
        }
    }
}

fn is_wanted(wish: &watch::Receiver<Wish>) -> bool {
    matches!(*wish.borrow(), Wish::Run { .. })
}

/// The least wait that the relay asked for.
fn retry_after(failure: &SyncFailure) -> Duration {
    match failure {
        SyncFailure::Link(LinkError::Refused(refusal)) => {
            Duration::from_secs(u64::from(refusal.retry_after_secs))
        }
        _ => Duration::ZERO,
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of callers are in this clock")]
fn now() -> Instant {
    Instant::now()
}
