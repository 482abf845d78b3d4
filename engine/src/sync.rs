//! Background sync with one relay, kept up on the engine's own thread: one link, or as many as the vaults take.
//!
//! [`Sync`] is the handle that an application holds; dropping it stops sync and joins its two threads
//! (`docs/adr/0005-driver-threads.md`). What to send and when is decided by a machine without I/O (`machine.rs`) around
//! [`subrosa_protocol::client_link::ClientLink`]; what is merged and sealed, by the core. The rest of this module carries
//! bytes, time and answers between them. It must never block a local call: the only thing a write touches here is
//! a counter and a wake-up.

mod backoff;
mod board;
pub(crate) mod control;
mod dial;
pub(crate) mod engine;
mod events;
mod frames;
mod link;
mod machine;
pub(crate) mod mailbox;
mod pulse;
pub(crate) mod push;
pub(crate) mod rendezvous;
mod run;
mod thread;
mod work;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
pub use subrosa_protocol::client_link::{LinkError, Progress, VaultFault};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::VaultId;
use subrosa_store::error::StoreError;
use tokio::sync::watch;

use self::board::{Board, WaitLimits};
use self::control::Control;
pub use self::events::SyncEvents;
pub use self::rendezvous::RendezvousError;
use self::run::{Context, Ends, runtime, serve};
use self::thread::{EngineThread, Panicked};
use self::worker::Worker;
use crate::cancel::Cancel;
use crate::error::{Error, PeerFault};
use crate::life::PendingHook;
use crate::sync::engine::Engine;

/// How long a stop waits for the relay to hear of it, and for a name lookup under way.
const FAREWELL: Duration = Duration::from_millis(200);

/// Where sync stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncState {
    /// No connection; another try follows by itself.
    #[default]
    Offline,
    /// A connection is being made.
    Connecting,
    /// Connected, and something is left to fetch or to send.
    Syncing,
    /// Everything is here and there; changes go through as they happen.
    Live,
    /// The relay refused something, or something is wrong with a vault at it, and nothing else is left to do. Data that it
    /// did not take stays here.
    Refused,
    /// The device is suspended: no connection, no socket, until it resumes.
    Suspended,
}

/// Where sync stands, and why.
#[derive(Clone, Debug, Default)]
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
    /// Vaults that rest because something is wrong with them at this relay, and why; the others go on. Each is tried
    /// again by itself, after 10 seconds first and an hour at most, and is kept here until it is caught up.
    pub resting: BTreeMap<VaultId, SyncFault>,
    /// Vaults of which the relay hides something, or has lost it, and does not say so; kept until it shows what we hold.
    pub disagrees: BTreeSet<VaultId>,
}

impl SyncStatus {
    /// The reason code: `offline`, `connecting`, `syncing`, `live`, `suspended`, `refused: ` and the name of the
    /// refusal, or `resting: ` and what is wrong with a vault.
    #[must_use]
    pub fn reason(&self) -> String {
        match (self.refused, self.state) {
            (_, SyncState::Live) => "live".to_owned(),
            (_, SyncState::Suspended) => "suspended".to_owned(),
            (Some(code), _) => format!("refused: {code}"),
            (None, SyncState::Offline) => "offline".to_owned(),
            (None, SyncState::Connecting) => "connecting".to_owned(),
            (None, SyncState::Syncing) => "syncing".to_owned(),
            (None, SyncState::Refused) => {
                let fault = self.resting.values().next();
                fault.map_or_else(|| "refused".to_owned(), |fault| format!("resting: {fault}"))
            }
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
    /// Something is wrong with the vault that a pairing needs. Vaults that sync rest instead, and the others go on:
    /// [`SyncStatus::resting`].
    #[error(transparent)]
    Peer(#[from] SyncFault),
    /// This device's own store failed.
    #[error("this device's store: {0}")]
    Store(Arc<Error>),
    /// The device was suspended.
    #[error("the device is suspended")]
    Suspended,
    /// A thread of this library panicked, which is a bug in it or in what the host gave it. Sync is over; what the
    /// store holds is safe. Open the store again before going on.
    #[error("a thread of the engine panicked")]
    Panicked,
}

/// Why a vault rests while the others go on. No data is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncFault {
    /// The relay fed something that no honest relay feeds. Nothing of it was taken in.
    #[error("the relay sent {0}")]
    Peer(#[from] PeerFault),
    /// The relay said something out of place about it, or this device cannot prove itself.
    #[error(transparent)]
    Link(#[from] VaultFault),
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
    NoProgress(Box<SyncStatus>),
    /// Things moved all the time, and are not done: a large vault, or a relay that feeds without end. What arrived is
    /// kept, and sync goes on; wait again.
    #[error("not caught up in time ({}{})", .0.reason(), failure_text(.0))]
    Unfinished(Box<SyncStatus>),
    /// The relay refused, and waiting does not help by itself.
    #[error("the relay refused: {0}")]
    Refused(ErrorCode),
    /// Sync was stopped meanwhile.
    #[error("sync was stopped")]
    Stopped,
    /// The device is suspended, and nothing moves until it resumes.
    #[error("the device is suspended")]
    Suspended,
    /// A thread of this library panicked: see [`SyncFailure::Panicked`].
    #[error("a thread of the engine panicked")]
    Panicked,
    /// This is a forked child; sync goes on in the parent.
    #[error("sync belongs to the process that this one was forked from")]
    Forked,
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
    /// Something is wrong with a vault at this relay: it rests, and the others go on.
    Rests {
        /// Which vault.
        vault: VaultId,
        /// Why.
        fault: SyncFault,
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
/// One for each relay. While the device is suspended it rests, and it goes on by itself when the device resumes.
///
/// In a forked child it is over: nothing of it is looked at there, and its threads are the parent's.
#[derive(Debug)]
pub struct Sync {
    board: Arc<Board>,
    control: Arc<Control>,
    thread: EngineThread<()>,
}

impl Sync {
    /// Starts to sync all vaults of `core` with the relay at `relay`.
    pub(crate) fn start(core: Arc<Engine>, relay: &RelayAddr) -> Result<Self, Error> {
        let start = |error: std::io::Error| SyncError::Start(error.kind());
        let control = core.links.register().map_err(|_| StoreError::Suspended)?;
        let runtime = runtime().map_err(start)?;
        let worker = Worker::start(core.clone(), *relay.pin()).map_err(start)?;
        let board = Arc::new(Board::default());
        let pending = Arc::new(watch::Sender::new(()));
        let told = (board.clone(), pending.clone());
        let hook: PendingHook = Arc::new(move || {
            told.0.written();
            told.1.send_replace(());
        });
        core.on_pending(&hook);
        core.links.syncs(*relay.pin(), &board);
        let (relay, board_, control_) = (relay.clone(), board.clone(), control.clone());
        let process = core.process().clone();
        // Takes hook and board back, should there be no thread to be had.
        let links = watch::Sender::new(1);
        let context = Context { core, relay, board: board_, pending, links, control: control_, hook };
        let ends = Ends(Arc::new(context));
        let thread = EngineThread::spawn(&process, "subrosa-sync", move || serve(ends, worker, runtime))
            .map_err(start)?;
        Ok(Self { board, control, thread })
    }

    /// Where sync stands.
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        if self.thread.is_of_this_process() { self.board.status() } else { SyncStatus::default() }
    }

    /// What happens from now on. Each receiver keeps the last 256 events.
    #[must_use]
    pub fn events(&self) -> SyncEvents {
        if self.thread.is_of_this_process() {
            self.board.subscribe(self.thread.process())
        } else {
            SyncEvents::over(self.thread.process())
        }
    }

    /// Waits until all vaults are caught up both ways: what the relay had is stored, and what was written before
    /// this call is sealed and acknowledged.
    ///
    /// # Errors
    /// [`SyncError::NoProgress`] after `idle_max` in which not one segment was stored or acknowledged, and
    /// [`SyncError::Unfinished`] after 60 times that whatever moves, since a relay can feed for ever;
    /// [`SyncError::Refused`] at once when the relay refused and nothing else is left to do; sync goes on all the
    /// same. [`SyncError::Stopped`]; [`SyncError::Suspended`] at once while the device is suspended;
    /// [`SyncError::Panicked`]; [`SyncError::Forked`].
    pub fn wait_caught_up(&self, idle_max: Duration) -> Result<(), SyncError> {
        self.wait(WaitLimits::of_idle(idle_max), &Cancel::new()).map(drop)
    }

    /// Waits as [`Sync::wait_caught_up`] does, for `whole_max` at most, whatever moves.
    ///
    /// # Errors
    /// As [`Sync::wait_caught_up`]; [`SyncError::Unfinished`] after `whole_max`.
    pub fn wait_caught_up_within(&self, idle_max: Duration, whole_max: Duration) -> Result<(), SyncError> {
        self.wait(WaitLimits { idle: idle_max, whole: whole_max }, &Cancel::new()).map(drop)
    }

    /// Waits as [`Sync::wait_caught_up`] does, until `cancel` at the latest; sync goes on all the same.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Sync`] with those of [`Sync::wait_caught_up`].
    pub fn wait_caught_up_or(&self, idle_max: Duration, cancel: &Cancel) -> Result<(), Error> {
        if self.wait(WaitLimits::of_idle(idle_max), cancel)? { Ok(()) } else { Err(Error::Cancelled) }
    }

    fn wait(&self, limits: WaitLimits, cancel: &Cancel) -> Result<bool, SyncError> {
        if !self.thread.is_of_this_process() {
            return Err(SyncError::Forked);
        }
        // Not as the board says: a thread that is told to go on says so a moment later.
        self.board.wait_caught_up(limits, cancel, || self.control.is_told_to_rest())
    }

    /// Stops sync and waits for its threads: for the commit of a transaction of theirs, neither for the network nor for
    /// a transaction of the host. From a callback on such a thread it does not wait.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        if self.thread.is_of_this_process() {
            self.control.stop();
            if let Some(Err(Panicked)) = self.thread.join_for_host() {
                tracing::error!("the sync thread panicked");
            }
        }
    }
}
