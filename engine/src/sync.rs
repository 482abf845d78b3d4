//! Background sync: one link to one relay, kept up on the engine's own thread.
//!
//! [`Sync`] is the handle that an application holds; dropping it stops sync and joins its two threads
//! (`docs/adr/0005-driver-threads.md`). What to send and when is decided by
//! [`subrosa_protocol::client_link::ClientLink`]; what is merged and sealed, by the core. This module carries
//! bytes, time and answers between them. It must never block a local call: the only thing a write touches here is
//! a counter and a wake-up.

mod backoff;
mod board;
mod dial;
mod events;
mod frames;
mod link;
pub(crate) mod mailbox;
mod pulse;
pub(crate) mod rendezvous;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::VaultId;
use tokio::sync::{Notify, watch};

use self::backoff::Backoff;
use self::board::Board;
use self::dial::Dialer;
use self::link::{Errand, Link, LinkEnd};
use self::worker::Worker;
use crate::core::Core;
use crate::{Cancel, Error};

pub use self::events::SyncEvents;
pub use self::rendezvous::RendezvousError;
pub use subrosa_protocol::client_link::{LinkError, Progress};

/// A link that lived this long was a good one: the next failure starts with a short wait again.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// How long a stop waits for the relay to hear of it, and for a name lookup under way.
const FAREWELL: Duration = Duration::from_millis(200);

/// Where sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// No connection; another try follows by itself.
    Offline,
    /// A connection is being made.
    Connecting,
    /// Connected, and something is left to fetch or to send.
    Syncing,
    /// Everything is here and there; changes go through as they happen.
    Live,
    /// The relay refused something, and nothing else is left to do. Data that it did not take stays here.
    Refused,
}

/// Where sync stands, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncStatus {
    /// The state.
    pub state: SyncState,
    /// The last refusal; kept until everything is caught up, across reconnections.
    pub refused: Option<ErrorCode>,
    /// Why there is no connection, as of the last try.
    pub failure: Option<SyncFailure>,
    /// What was done and is known to be left, since sync was started.
    pub progress: Progress,
}

impl SyncStatus {
    /// The reason code: `offline`, `connecting`, `syncing`, `live`, or `refused: ` and the name of the refusal.
    #[must_use]
    pub fn reason(&self) -> String {
        match (self.refused, self.state) {
            (_, SyncState::Live) => "live".to_owned(),
            (Some(code), _) => format!("refused: {code}"),
            (None, SyncState::Offline) => "offline".to_owned(),
            (None, SyncState::Connecting) => "connecting".to_owned(),
            (None, SyncState::Syncing) => "syncing".to_owned(),
            (None, SyncState::Refused) => "refused".to_owned(),
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncFailure {
    /// This device could not open a socket.
    #[error("no network on this device")]
    NoSocket,
    /// None of the relay's host names has an address. Check the address, or the network.
    #[error("the relay's name has no address")]
    NoAddress,
    /// Nobody answered at any address of the relay.
    #[error("the relay is not reachable")]
    Unreachable,
    /// Whoever answered does not have the key that the relay's address pins. Check the address; if it is right,
    /// somebody is in between.
    #[error("whoever answers has another key than the relay's address says")]
    WrongKey,
    /// The connection broke. It is made again by itself.
    #[error("the connection was lost")]
    Lost,
    /// The relay said or did something that ended the link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The relay fed something that no honest relay feeds. Nothing of it was taken in.
    #[error("the relay sent {0}")]
    Peer(#[from] crate::PeerFault),
    /// This device's own store failed.
    #[error("this device's store: {0}")]
    Store(Arc<crate::Error>),
}

/// Why waiting for sync, or starting it, came to nothing. No data is lost.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The engine's thread could not be started.
    #[error("cannot start a thread")]
    Start(std::io::ErrorKind),
    /// Nothing moved for as long as was asked for.
    #[error("no progress ({}{})", .0.reason(), failure_text(.0))]
    NoProgress(SyncStatus),
    /// The relay refused, and waiting does not help by itself.
    #[error("the relay refused: {0}")]
    Refused(ErrorCode),
    /// Sync was stopped meanwhile.
    #[error("sync was stopped")]
    Stopped,
}

fn failure_text(status: &SyncStatus) -> String {
    status.failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default()
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SyncEvent {
    /// The state is another one now.
    State(SyncState),
    /// What the relay had of a vault is stored.
    CaughtUp(VaultId),
    /// A vault is caught up both ways.
    Synced(VaultId),
    /// The relay refused; it is tried again after the given time.
    Refused {
        /// Which vault.
        vault: VaultId,
        /// Why.
        code: ErrorCode,
        /// When it is tried again.
        retry: Duration,
    },
    /// The relay hides something of a vault, or has lost it, and does not say so.
    Disagrees(VaultId),
    /// Events were dropped because nobody took them: look at [`Sync::status`].
    Lagged,
}

/// Sync under way. Dropping it stops sync, as [`Sync::stop`] does.
///
/// One at a time for a device: a later one takes over the notices of local writes.
#[derive(Debug)]
pub struct Sync {
    board: Arc<Board>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the driver of one device needs.
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    pub(crate) relay: RelayAddr,
    pub(crate) board: Arc<Board>,
    pub(crate) pending: Arc<Notify>,
}

impl Sync {
    /// Starts to sync all vaults of `core` with the relay at `relay`.
    pub(crate) fn start(core: Arc<Core>, relay: &RelayAddr) -> Result<Self, SyncError> {
        let start = |error: std::io::Error| SyncError::Start(error.kind());
        let runtime = runtime().map_err(start)?;
        let worker = Worker::start(core.clone(), *relay.pin()).map_err(start)?;
        let board = Arc::new(Board::default());
        let pending = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let hook = (board.clone(), pending.clone());
        core.on_pending(Some(Arc::new(move || {
            hook.0.written();
            hook.1.notify_one();
        })));
        let context = Context { core, relay: relay.clone(), board: board.clone(), pending };
        let thread = std::thread::Builder::new()
            .name("subrosa-sync".to_owned())
            .spawn(move || {
                runtime.block_on(run(&context, worker, stopped));
                runtime.shutdown_timeout(FAREWELL);
                context.core.on_pending(None);
                context.board.stopped();
            })
            .map_err(start)?;
        Ok(Self { board, stop, thread: Some(thread) })
    }

    /// Where sync stands.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.board.status()
    }

    /// What happens from now on. Each receiver keeps the last 256 events.
    #[must_use]
    pub fn events(&self) -> SyncEvents {
        self.board.subscribe()
    }

    /// Waits until all vaults are caught up both ways: what the relay had is stored, and what was written before
    /// this call is sealed and acknowledged.
    ///
    /// # Errors
    /// [`SyncError::NoProgress`] after `idle_max` in which not one segment was stored or acknowledged;
    /// [`SyncError::Refused`] at once when the relay refused and nothing else is left to do; sync goes on all the
    /// same. [`SyncError::Stopped`].
    pub fn wait_caught_up(&self, idle_max: Duration) -> Result<(), SyncError> {
        self.board.wait_caught_up(idle_max, &Cancel::new()).map(drop)
    }

    /// Waits as [`Sync::wait_caught_up`] does, until `cancel` at the latest; sync goes on all the same.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Sync`] with those of [`Sync::wait_caught_up`].
    pub fn wait_caught_up_or(&self, idle_max: Duration, cancel: &Cancel) -> Result<(), Error> {
        if self.board.wait_caught_up(idle_max, cancel)? { Ok(()) } else { Err(Error::Cancelled) }
    }

    /// Stops sync and waits for its threads: for a transaction under way, and not for the network.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sync thread panicked");
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// Keeps a link up until told to stop.
async fn run(context: &Context, worker: Worker, mut stop: watch::Receiver<bool>) {
    let mut dialer = Dialer::new(&context.relay);
    let mut backoff = Backoff::default();
    loop {
        context.board.connecting();
        let dialed = tokio::select! {
            dialed = dialer.dial() => dialed,
            _ = stop.changed() => break,
        };
        let failure = match dialed {
            Ok(connection) => {
                let up_since = tokio::time::Instant::now();
                let end = match Link::new(context, &worker, connection.clone()).await {
                    Ok(mut link) => link.run(&Errand::Sync, &mut stop).await,
                    Err(failure) => LinkEnd::Failed(failure),
                };
                connection.close(0_u32.into(), b"");
                worker.link_over().await;
                if up_since.elapsed() >= GOOD_LINK {
                    backoff.reset();
                }
                match end {
                    LinkEnd::Stopped => break,
                    LinkEnd::Failed(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        tracing::debug!(%failure, "link over");
        let wait = backoff.next(&*context.core.options.entropy, retry_after(&failure));
        context.board.offline(Some(failure));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.changed() => break,
        }
    }
    dialer.close(FAREWELL).await;
    worker.stop();
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
