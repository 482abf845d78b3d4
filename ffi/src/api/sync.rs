//! Sync: one at a time for a device.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use subrosa::{Cancel, Error, Sync, SyncFailure, SyncMoment, SyncState, SyncStatus, VaultId};

use super::cancel::{CancelObject, timeout};
use super::device::DeviceObject;
use crate::failure::Failure;
use crate::handles::Object;
use crate::status::{SUBROSA_BUSY, SUBROSA_CANCELLED, SUBROSA_SYNC_STOPPED};

/// No connection; another try follows by itself.
pub const SUBROSA_SYNC_OFFLINE: i32 = 1;
/// A connection is being made.
pub const SUBROSA_SYNC_CONNECTING: i32 = 2;
/// Connected, and something is left to fetch or to send.
pub const SUBROSA_SYNC_SYNCING: i32 = 3;
/// Everything is here and there; changes go through as they happen.
pub const SUBROSA_SYNC_LIVE: i32 = 4;
/// The relay refused something, or a vault needs a newer version of the application, and nothing else is left to do. Data
/// that was not sent stays here.
pub const SUBROSA_SYNC_REFUSED: i32 = 5;
/// The device is suspended.
pub const SUBROSA_SYNC_SUSPENDED: i32 = 6;

/// There is a connection, or none was tried yet.
pub const SUBROSA_FAILURE_NONE: i32 = 0;
/// This device could not open a socket.
pub const SUBROSA_FAILURE_NO_SOCKET: i32 = 1;
/// None of the relay's host names has an address.
pub const SUBROSA_FAILURE_NO_ADDRESS: i32 = 2;
/// Nobody answered at any address of the relay.
pub const SUBROSA_FAILURE_UNREACHABLE: i32 = 3;
/// Whoever answered does not have the key that the relay's address pins.
pub const SUBROSA_FAILURE_WRONG_KEY: i32 = 4;
/// The connection broke.
pub const SUBROSA_FAILURE_LOST: i32 = 5;
/// The relay said or did something that ended the link.
pub const SUBROSA_FAILURE_LINK: i32 = 6;
/// The relay fed something that no honest relay feeds.
pub const SUBROSA_FAILURE_PEER: i32 = 7;
/// This device's own store failed.
pub const SUBROSA_FAILURE_STORE: i32 = 8;
/// Another reason; `subrosa_sync_reason` has it in words.
pub const SUBROSA_FAILURE_OTHER: i32 = 9;

/// Sync under way.
pub(crate) struct SyncObject {
    pub(crate) device: Arc<DeviceObject>,
    /// Taken by [`SyncObject::stop`]; waits hold it for reading.
    sync: RwLock<Option<Sync>>,
    /// Fired when it is stopped: what waits ends.
    pub(crate) stopping: Cancel,
    /// Held while it is being stopped. Not the lock of `sync`: callbacks that end meanwhile may ask that one.
    stop_turn: Mutex<()>,
}

impl Object for SyncObject {
    const KIND: u8 = 9;
}

impl SyncObject {
    pub(crate) fn start(device: Arc<DeviceObject>, relay: &str) -> Result<Arc<Self>, Failure> {
        device.check_open()?;
        let relay = device.relay_or_stored(relay)?;
        let mut running = device.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if running.upgrade().is_some_and(|sync| sync.is_running()) {
            return Err(Failure::new(SUBROSA_BUSY, "the device syncs already"));
        }
        let sync = device.device.sync(&relay)?;
        let this = Arc::new(Self {
            device: device.clone(),
            sync: RwLock::new(Some(sync)),
            stopping: Cancel::new(),
            stop_turn: Mutex::new(()),
        });
        *running = Arc::downgrade(&this);
        drop(running);
        // A close that ran meanwhile did not see it.
        if let Err(closed) = device.check_open() {
            this.stop();
            return Err(closed);
        }
        Ok(this)
    }

    fn is_running(&self) -> bool {
        self.sync.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Ends waits, and stops. Whoever stops it meanwhile waits, too.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
        let _turn = self.stop_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let sync = self.sync.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(sync);
    }

    /// The engine's handle, while it is not stopped.
    pub(crate) fn running(&self) -> Result<Running<'_>, Failure> {
        self.device.check_open()?;
        let sync = self.sync.read().unwrap_or_else(PoisonError::into_inner);
        if sync.is_none() {
            // Closing the device stops it, too.
            self.device.check_open()?;
            return Err(stopped());
        }
        Ok(Running(sync))
    }

    pub(crate) fn wait(&self, idle_ms: i32, cancel: Option<&CancelObject>) -> Result<(), Failure> {
        self.wait_with(cancel, |sync, cancel| sync.wait_caught_up_or(timeout(idle_ms), cancel))
    }

    pub(crate) fn moment(self: Arc<Self>) -> Result<Arc<MomentObject>, Failure> {
        let moment = self.running()?.get()?.moment();
        Ok(Arc::new(MomentObject { sync: self, moment }))
    }

    /// Runs a wait of the engine's, which ends when `cancel` is fired, when this is stopped, and when the device is closed.
    fn wait_with(
        &self,
        cancel: Option<&CancelObject>,
        call: impl FnOnce(&Sync, &Cancel) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let mut tokens = vec![(&self.stopping, SUBROSA_SYNC_STOPPED)];
        tokens.extend(cancel.map(|cancel| (&cancel.0, SUBROSA_CANCELLED)));
        let wait = self.device.wait(&tokens);
        let running = self.running()?;
        wait.explain(call(running.get()?, &wait.cancel))
    }
}

/// A moment of a sync, to be waited for as often as the caller likes.
pub(crate) struct MomentObject {
    sync: Arc<SyncObject>,
    moment: SyncMoment,
}

impl Object for MomentObject {
    const KIND: u8 = 15;
}

impl MomentObject {
    pub(crate) fn wait(&self, idle_ms: i32, cancel: Option<&CancelObject>) -> Result<(), Failure> {
        self.sync.wait_with(cancel, |_, cancel| self.moment.wait_or(timeout(idle_ms), cancel))
    }
}

/// A vault with which not all is well at the relay.
pub(crate) struct VaultAtRelay {
    pub(crate) vault: VaultId,
    /// The code of the last refusal.
    pub(crate) refused: Option<u16>,
    /// Why it rests, in words; empty if it does not.
    pub(crate) fault: String,
    pub(crate) disagrees: bool,
    pub(crate) disputed: bool,
    pub(crate) update_needed: bool,
}

/// The vaults with which not all is well, each once, by their ids.
pub(crate) fn not_well(status: &SyncStatus) -> Vec<VaultAtRelay> {
    let mut vaults = BTreeMap::new();
    let named = [&status.disagrees, &status.disputed, &status.update_needed].into_iter().flatten();
    for vault in named.chain(status.refusals.keys()).chain(status.resting.keys()) {
        vaults.entry(*vault).or_insert_with(|| VaultAtRelay {
            vault: *vault,
            refused: status.refusals.get(vault).map(|code| code.to_wire()),
            fault: status.resting.get(vault).map(ToString::to_string).unwrap_or_default(),
            disagrees: status.disagrees.contains(vault),
            disputed: status.disputed.contains(vault),
            update_needed: status.update_needed.contains(vault),
        });
    }
    vaults.into_values().collect()
}

/// A borrow of the engine's handle, which stopping waits for.
pub(crate) struct Running<'a>(RwLockReadGuard<'a, Option<Sync>>);

impl Running<'_> {
    pub(crate) fn get(&self) -> Result<&Sync, Failure> {
        self.0.as_ref().ok_or_else(stopped)
    }
}

pub(crate) fn stopped() -> Failure {
    Failure::new(SUBROSA_SYNC_STOPPED, "sync was stopped")
}

pub(crate) const fn state_number(state: SyncState) -> i32 {
    match state {
        SyncState::Offline => SUBROSA_SYNC_OFFLINE,
        SyncState::Connecting => SUBROSA_SYNC_CONNECTING,
        SyncState::Syncing => SUBROSA_SYNC_SYNCING,
        SyncState::Live => SUBROSA_SYNC_LIVE,
        SyncState::Refused => SUBROSA_SYNC_REFUSED,
        SyncState::Suspended => SUBROSA_SYNC_SUSPENDED,
        // One that has no number yet: something is left to do.
        _ => SUBROSA_SYNC_SYNCING,
    }
}

pub(crate) fn failure_number(status: &SyncStatus) -> i32 {
    match &status.failure {
        None => SUBROSA_FAILURE_NONE,
        Some(SyncFailure::NoSocket) => SUBROSA_FAILURE_NO_SOCKET,
        Some(SyncFailure::NoAddress) => SUBROSA_FAILURE_NO_ADDRESS,
        Some(SyncFailure::Unreachable) => SUBROSA_FAILURE_UNREACHABLE,
        Some(SyncFailure::WrongKey) => SUBROSA_FAILURE_WRONG_KEY,
        Some(SyncFailure::Lost) => SUBROSA_FAILURE_LOST,
        Some(SyncFailure::Link(_)) => SUBROSA_FAILURE_LINK,
        Some(SyncFailure::Peer(_)) => SUBROSA_FAILURE_PEER,
        Some(SyncFailure::Store(_)) => SUBROSA_FAILURE_STORE,
        Some(_) => SUBROSA_FAILURE_OTHER,
    }
}

/// The reason code, and the failure in words after it.
pub(crate) fn reason(status: &SyncStatus) -> String {
    match &status.failure {
        Some(failure) => format!("{}; {failure}", status.reason()),
        None => status.reason(),
    }
}

#[cfg(test)]
mod tests {
    use subrosa::{ErrorCode, PeerFault, SyncFault};

    use super::*;

    #[test]
    fn a_vault_with_which_something_is_the_matter_is_told_of_once_with_all_of_it() {
        let mut status = SyncStatus::default();
        assert!(not_well(&status).is_empty());
        let (one, other) = (VaultId::from_bytes([1; 32]), VaultId::from_bytes([2; 32]));
        status.disagrees.extend([one, other]);
        status.disputed.insert(other);
        status.update_needed.insert(one);
        status.resting.insert(other, SyncFault::Peer(PeerFault::BadSignature));
        status.refusals.insert(one, ErrorCode::QuotaBytes);
        let told = not_well(&status);
        let flags =
            |of: &VaultAtRelay| (of.vault, of.disagrees, of.disputed, of.update_needed, of.refused.is_some());
        let flags: Vec<_> = told.iter().map(flags).collect();
        assert_eq!(flags, [(one, true, false, true, true), (other, true, true, false, false)]);
        assert_eq!(told[0].refused, Some(ErrorCode::QuotaBytes.to_wire()));
        assert_eq!((told[0].fault.as_str(), told[1].fault.is_empty()), ("", false));
    }
}
