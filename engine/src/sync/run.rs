//! The thread of one [`super::Sync`]: keeps links up, as many as the vaults take, rests while its device is suspended, ends
//! when told to.
//!
//! Each time it runs it has an executor of its own, so that nothing of it, no socket least of all, is left while it
//! rests. What it must never do: end without saying so on the board.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Connection;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::client_link::LinkError;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::FAREWELL;
use super::backoff::Backoff;
use super::board::Board;
use super::checker::Checker;
use super::control::{Control, Wish};
use super::dial::Dialer;
use super::link::{Link, LinkEnd, Owner};
use super::machine::Errand;
use super::worker::{Job, Worker};
use crate::error::SyncFailure;
use crate::life::PendingHook;
use crate::sync::engine::Engine;

/// A link that lived this long was a good one: the next failure starts with a short wait again.
const GOOD_LINK: Duration = Duration::from_secs(10);

/// What the driver of one device needs.
pub(crate) struct Context {
    pub(crate) core: Arc<Engine>,
    pub(crate) relay: RelayAddr,
    pub(crate) board: Arc<Board>,
    /// Something was written.
    pub(crate) pending: Arc<watch::Sender<()>>,
    /// How many links carry the vaults of the device.
    pub(super) links: watch::Sender<usize>,
    pub(super) control: Arc<Control>,
    pub(super) hook: PendingHook,
}

impl Context {
    /// So many links it takes; vaults do not become fewer while sync runs.
    pub(super) fn want_links(&self, links: usize) {
        self.board.want_links(links);
        self.links.send_if_modified(|wanted| {
            let grows = links > *wanted;
            *wanted = links.max(*wanted);
            grows
        });
    }
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
pub(super) fn serve(ends: Ends, (worker, _checker): (Worker, Checker), runtime: Runtime) {
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
                    context.board.offline(0, SyncFailure::NoSocket);
                    let wait = backoff.next(&*context.core.options.entropy, Duration::ZERO);
                    context.control.pause(wish, wait);
                    continue;
                };
                let ended = runtime.block_on(run(context, at_work.jobs()));
                backoff.reset();
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
pub(super) struct Ends(pub(super) Arc<Context>);

impl Drop for Ends {
    fn drop(&mut self) {
        let Context { core, board, control, hook, .. } = &*self.0;
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

/// Keeps as many links up as the vaults take, until something else is wanted.
async fn run(context: &Arc<Context>, jobs: &mpsc::Sender<Job>) -> Ended {
    let mut wanted = context.links.subscribe();
    let mut links = JoinSet::new();
    let mut started = 0;
    loop {
        let all = *wanted.borrow_and_update();
        for share in started..all {
            links.spawn(keep_up(context.clone(), jobs.clone(), share));
        }
        started = all;
        tokio::select! {
            Some(ended) = links.join_next() => match ended {
                Ok(Ended::Panicked) => return Ended::Panicked,
                // Told to rest or to stop, as all others are.
                Ok(Ended::Told) => break,
                // A bug, which whoever owns this thread is told.
                Err(error) => if let Ok(panic) = error.try_into_panic() { std::panic::resume_unwind(panic) },
            },
            Ok(()) = wanted.changed() => {}
        }
    }
    while let Some(ended) = links.join_next().await {
        if let Ok(Ended::Panicked) = ended {
            return Ended::Panicked;
        }
    }
    Ended::Told
}

/// Keeps a link up until something else is wanted. Each has its own socket, so that one that fails leaves the others be.
async fn keep_up(context: Arc<Context>, jobs: mpsc::Sender<Job>, share: usize) -> Ended {
    let mut dialer = Dialer::new(&context.relay);
    let mut wish = context.control.subscribe();
    let mut backoff = Backoff::default();
    let mut ended = Ended::Told;
    while is_wanted(&wish) {
        context.board.connecting(share);
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
                let end = carry(&context, &jobs, share, (connection, &dialer), &mut wish).await;
                // Writes stay pending from here on, until the next link. The store's thread is gone only when it
                // panicked, which the link has reported.
                drop(jobs.send(Job::LinkOver { share }).await);
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
        tracing::debug!(share, %failure, "link over");
        let wait = backoff.next(&*context.core.options.entropy, retry_after(&failure));
        if let SyncFailure::NoSocket = failure {
            dialer.forget();
        }
        context.board.offline(share, failure);
        rest(wait, &mut wish, &mut dialer, &mut backoff).await;
    }
    dialer.close(farewell(context.control.wish())).await;
    ended
}

/// Carries one share of the vaults over a connection, until it ends or something else is wanted.
async fn carry(
    context: &Context,
    jobs: &mpsc::Sender<Job>,
    share: usize,
    (connection, dialer): (Connection, &Dialer),
    wish: &mut watch::Receiver<Wish>,
) -> LinkEnd {
    let owner = Owner::Device { context, share };
    let errand = || {
        let asks = *context.board.asks().borrow();
        Errand::Sync { share, writes: context.board.writes(), asks }
    };
    let path = (connection.clone(), dialer);
    let opened = tokio::select! {
        opened = Link::open(&context.relay, Some(jobs.clone()), path, owner, errand) => opened,
        _ = wish.changed() => Err(SyncFailure::Lost),
    };
    let end = match opened {
        Ok(mut link) => link.run(wish).await,
        Err(failure) => LinkEnd::Failed(failure),
    };
    connection.close(0_u32.into(), b"");
    end
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
