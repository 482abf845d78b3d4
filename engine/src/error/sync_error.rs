//! What sync says of itself: where it stands, and why it is not further.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use subrosa_protocol::client_link::{LinkError, Progress, VaultFault};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::VaultId;

use super::{Error, PeerFault};

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
    /// The relay refused something, or disputes this device's logs, or something is wrong with a vault at it, or a vault needs
    /// a newer version of this program, and nothing else is left to do. Data that was not sent stays here.
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
    /// The last refusal of each vault of which something was refused, kept until that is caught up.
    pub refusals: BTreeMap<VaultId, ErrorCode>,
    /// Why there is no connection, as of the last try.
    pub failure: Option<SyncFailure>,
    /// What was done and is known to be left, since sync was started.
    pub progress: Progress,
    /// Vaults that rest because something is wrong with them at this relay, and why; the others go on. Each is tried
    /// again by itself, after 10 seconds first and an hour at most, and is kept here until it is caught up.
    pub resting: BTreeMap<VaultId, SyncFault>,
    /// Vaults of which the relay hides something, or has lost it, and does not say so; kept until it shows what we hold.
    pub disagrees: BTreeSet<VaultId>,
    /// Vaults of which the relay says that it holds another future of this device's log, and shows nothing of it when it is
    /// asked once more: it lies, or is broken. They are received, and nothing written here is sealed or sent as long as the link
    /// lasts; each link begins anew. Kept until the vault is caught up.
    pub disputed: BTreeSet<VaultId>,
    /// Vaults in which an admin uses a newer version, and has written what this one must not ignore. They are received,
    /// and nothing written here is sent before an update.
    pub update_needed: BTreeSet<VaultId>,
    /// By how many milliseconds this device's wall clock is ahead of the relay's, or behind it if negative, where that is more than
    /// five minutes. Sync goes on all the same.
    pub clock_ahead_ms: Option<i64>,
    /// Something is held here because it counts as more than five minutes ahead of this device's clock; the first of it until then, in
    /// Unix milliseconds. [`Vault::held`](crate::Vault::held) says what, and whose.
    pub held_until_ms: Option<u64>,
}

impl SyncStatus {
    /// The reason code: `offline`, `connecting`, `syncing`, `live`, `suspended`, `refused: ` and the name of the
    /// refusal, `resting: ` and what is wrong with a vault, `disputed`, or `update needed`.
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
                let other = match (self.disputed.is_empty(), self.update_needed.is_empty()) {
                    (false, _) => "disputed",
                    (true, false) => "update needed",
                    (true, true) => "refused",
                };
                fault.map_or_else(|| other.to_owned(), |fault| format!("resting: {fault}"))
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
    /// The relay holds another future of this device's log, and new ones cannot be begun: the device has had as many as it
    /// may have. What is here can be read and exported; to go on, pair a new store.
    #[error("this device has had all its logs in the vault: pair a new store")]
    LogsUsedUp,
    /// The relay holds another future of this device's log, and new ones may not be begun before an update.
    #[error("the vault needs a newer version of the application")]
    UpdateNeeded,
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
    /// Everything else is done, but nothing is sent in some vaults before an update:
    /// [`SyncStatus::update_needed`].
    #[error("a vault needs a newer version of the application")]
    UpdateNeeded,
    /// Everything else is done, but the relay says that it holds another future of this device's log, and does not show it:
    /// [`SyncStatus::disputed`]. What is here stays here; try again, or use another relay.
    #[error("the relay disputes this device's own log and shows nothing")]
    Disputed,
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

/// Why a meeting came to nothing. Start over with a new link.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RendezvousError {
    /// The other side said nothing for as long as was asked for.
    #[error("the other device does not answer")]
    Silence,
    /// The meeting is over, was used, or never was.
    #[error("the pairing link is used up, expired, or the other device has left")]
    Over,
    /// More, or larger, messages than a meeting takes.
    #[error("more than a rendezvous carries")]
    TooMuch,
    /// No connection to the relay, or it ended.
    #[error(transparent)]
    Failed(#[from] SyncFailure),
    /// The engine's thread could not be started.
    #[error("cannot start a thread")]
    Start(std::io::ErrorKind),
}
