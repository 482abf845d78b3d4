//! Background sync with one relay, kept up on the engine's own thread: one link, or as many as the vaults take.
//!
//! [`Sync`] is the handle that an application holds; dropping it stops sync and joins its three threads
//! (`docs/adr/0005-driver-threads.md`). What to send and when is decided by a machine without I/O (`machine.rs`) around
//! [`subrosa_protocol::client_link::ClientLink`]; what is merged and sealed, by the core. The rest of this module carries
//! bytes, time and answers between them. It must never block a local call: the only thing a write touches here is
//! a counter and a wake-up.

mod backoff;
mod board;
mod checker;
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
#[cfg(feature = "testing")]
pub(crate) mod stepped;
mod thread;
mod work;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::VaultId;
use tokio::sync::watch;

use self::board::{Board, Moment, WaitLimits};
use self::checker::Checker;
use self::control::Control;
pub use self::events::SyncEvents;
use self::run::{Context, Ends, runtime, serve};
use self::thread::{EngineThread, Panicked};
use self::worker::Worker;
use crate::cancel::Cancel;
use crate::error::{Error, LifeError, SyncError, SyncFault, SyncState, SyncStatus};
use crate::life::PendingHook;
use crate::sync::engine::Engine;

/// How long a stop waits for the relay to hear of it, and for a name lookup under way.
const FAREWELL: Duration = Duration::from_millis(200);

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
    /// The relay says that it holds another future of this device's log, and shows nothing of it: nothing is sealed or sent in
    /// the vault on this link.
    Disputed(VaultId),
    /// An admin of a vault has written what only a newer version understands, and must not be ignored: it is received, and
    /// nothing written here is sent before an update.
    UpdateNeeded(VaultId),
    /// This device's wall clock and the relay's differ by more than five minutes: by so many milliseconds it is ahead, or behind if
    /// negative. `None` once they agree again. Sync goes on all the same.
    Clock {
        /// By how much.
        ahead_ms: Option<i64>,
    },
    /// Something is held here, because it counts as more than five minutes ahead of this device's clock: see
    /// [`Vault::held`](crate::Vault::held). Or it is no more.
    Held {
        /// The first of it until then, in Unix milliseconds; `None` when nothing is held any more.
        until_ms: Option<u64>,
    },
    /// A log of this vault has another future: its device's store was copied, or put back from a backup. All futures are kept and merged;
    /// see [`Vault::forks`](crate::Vault::forks).
    Forked(VaultId),
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
        let control = core.links.register().map_err(|_| LifeError::Suspended)?;
        let runtime = runtime().map_err(start)?;
        let worker = Worker::start(core.clone(), *relay.pin()).map_err(start)?;
        let checker = Checker::start(core.clone()).map_err(start)?;
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
        let thread =
            EngineThread::spawn(&process, "subrosa-sync", move || serve(ends, (worker, checker), runtime))
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

    /// Waits until all vaults are caught up both ways: everything is stored, and merged as far as it can be, that the relay had
    /// acknowledged to anybody when this call was made; and what was written here before it is sealed and acknowledged. The
    /// relay is asked for that, which takes a round trip: what it said before counts for nothing. While there is no link the
    /// wait goes on. A relay that shows other heads than are held here, after all were compared, ends the wait all the same:
    /// [`SyncStatus::disagrees`].
    ///
    /// # Errors
    /// [`SyncError::NoProgress`] after `idle_max` in which not one segment was stored or acknowledged, and
    /// [`SyncError::Unfinished`] after 60 times that whatever moves, since a relay can feed for ever;
    /// [`SyncError::Refused`] and [`SyncError::Disputed`] at once when the relay refused, or disputes this device's logs, and
    /// nothing else is left to do; sync goes on all the same. [`SyncError::Stopped`]; [`SyncError::Suspended`] at once while the device is suspended;
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
        self.moment().wait_or(idle_max, cancel)
    }

    /// Now, to be waited for: in one go, as [`Sync::wait_caught_up`] does, or a glance at a time. The relay is asked once.
    #[must_use]
    pub fn moment(&self) -> SyncMoment {
        let is_here = self.thread.is_of_this_process();
        let moment = is_here.then(|| self.board.moment());
        SyncMoment { board: self.board.clone(), control: self.control.clone(), moment }
    }

    fn wait(&self, limits: WaitLimits, cancel: &Cancel) -> Result<bool, SyncError> {
        self.moment().wait_within(limits, cancel)
    }

    /// Stops sync and waits for its threads: for the commit of a transaction of theirs, neither for the network nor for
    /// a transaction of the host. From a callback on such a thread it does not wait.
    pub fn stop(self) {
        drop(self);
    }
}

/// A moment of a [`Sync`]: what was written here by then, and what the relay had acknowledged to anybody.
#[derive(Clone, Debug)]
pub struct SyncMoment {
    board: Arc<Board>,
    control: Arc<Control>,
    /// None in a forked child.
    moment: Option<Moment>,
}

impl SyncMoment {
    /// Waits until all of it is here and there, as [`Sync::wait_caught_up_within`] does from now on; to be called as often as
    /// you like. A wait that ends early and is begun anew with [`Sync::wait_caught_up`] asks the relay anew each time, and
    /// never ends where an answer takes longer than that.
    ///
    /// # Errors
    /// As [`Sync::wait_caught_up_within`]; [`SyncError::Stopped`] once the sync is stopped.
    pub fn wait(&self, idle_max: Duration, whole_max: Duration) -> Result<(), SyncError> {
        self.wait_within(WaitLimits { idle: idle_max, whole: whole_max }, &Cancel::new()).map(drop)
    }

    /// Waits as [`Sync::wait_caught_up_or`] does from now on, until `cancel` at the latest; to be called as often as you like.
    ///
    /// # Errors
    /// As [`Sync::wait_caught_up_or`].
    pub fn wait_or(&self, idle_max: Duration, cancel: &Cancel) -> Result<(), Error> {
        if self.wait_within(WaitLimits::of_idle(idle_max), cancel)? { Ok(()) } else { Err(Error::Cancelled) }
    }

    fn wait_within(&self, limits: WaitLimits, cancel: &Cancel) -> Result<bool, SyncError> {
        let moment = self.moment.ok_or(SyncError::Forked)?;
        // Not as the board says: a thread that is told to go on says so a moment later.
        self.board.wait_caught_up(moment, limits, cancel, || self.control.is_told_to_rest())
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
