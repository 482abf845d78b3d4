//! What can go wrong at the public interface, by family: what the file says ([`StoreError`]), what the device's life says
//! ([`LifeError`]), what a peer did ([`PeerFault`]), what sync says ([`SyncError`] and its kin).
//!
//! It must name nothing of the engine but what lies in `error/`: every room returns its errors.

mod life_error;
mod peer_fault;
mod sync_error;

use subrosa_model::control::{BirthError, ControlError};
use subrosa_model::keys::KeyError;
use subrosa_model::merge::op::OpError;
use subrosa_model::merge::value::ValueError;
use subrosa_model::pair::{PairError, PairLinkError};
use subrosa_protocol::addr::AddrError;
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;

pub use self::life_error::LifeError;
pub use self::peer_fault::PeerFault;
pub use self::sync_error::{RendezvousError, SyncError, SyncFailure, SyncFault, SyncState, SyncStatus};

/// Why a call failed. Nothing of a failed call has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store's file: damaged, full, locked, of another device. See the variant.
    #[error(transparent)]
    Store(StoreError),
    /// The device is closed, suspended or busy. Nothing is wrong with its store.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// The device key: not a key, or the keystore that holds it refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value that cannot be stored, or that does not have the type asked for.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A name or number of fields that is out of bounds.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Control entries or secrets of the vault that do not hold together.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A vault or this device's logs in it could not be begun.
    #[error(transparent)]
    Birth(#[from] BirthError),
    /// There is a store already, or a file that has the name of one of a store's. Open it, or choose another directory.
    #[error("there is a store already")]
    AlreadyExists,
    /// No vault of that name or id. List the vaults, or create it.
    #[error("there is no such vault")]
    NoVault,
    /// The name is taken by another vault of this device. Choose another.
    #[error("there is a vault of that name already")]
    VaultExists,
    /// A vault name that is empty or longer than 128 bytes.
    #[error("a vault name has 1 to {} bytes", limits::COLLECTION_NAME_BYTES_MAX)]
    VaultName,
    /// The type of a record must serialize to fields with names: a struct or a map.
    #[error("a record must be a struct or a map")]
    NotARecord,
    /// The record is larger than is read whole. Read its fields one by one, with
    /// [`Reading::see_fields`](crate::Reading::see_fields) or [`Reading::get_field`](crate::Reading::get_field), and delete those
    /// that are not needed.
    #[error("record of {bytes} bytes is over the {limit} that are read at once")]
    RecordTooLarge {
        /// Its fields' names and encoded values; where the limit is of memory, what those take once they are decoded, about.
        bytes: usize,
        /// The limit: 16 MiB encoded, 128 MiB decoded.
        limit: usize,
    },
    /// The transaction is more than devices merge in one go. Write it in several.
    #[error("a transaction has at most {bytes_max} bytes and {segments_max} segments")]
    TransactionTooLarge {
        /// The most bytes that it may have, encoded.
        bytes_max: usize,
        /// The most segments that they may fill.
        segments_max: usize,
    },
    /// There is no record of that id to update.
    #[error("there is no such record")]
    NoRecord,
    /// A collection was used in a transaction or a snapshot of another vault, or of another open device. Take it from
    /// the same vault.
    #[error("the collection is of another vault than the transaction or snapshot")]
    OtherVault,
    /// What a relay or peer sent is not what an honest one sends. The link ends; nothing of it was taken in.
    #[error(transparent)]
    Peer(#[from] PeerFault),
    /// This device may not do that in this vault: it holds no write key, or is no admin.
    #[error("this device may not do that in this vault")]
    NotPermitted,
    /// An admin of this vault has written something that only a newer version understands, and that must not be ignored.
    /// What is here can be read, and goes on arriving; nothing is sealed or sent any more. Update.
    #[error("this vault needs a newer version of the application")]
    UpdateNeeded,
    /// Sync could not be started, or waiting for it came to nothing. No data is lost.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A pairing ended without a new device.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The text is not a pairing link.
    #[error(transparent)]
    PairLink(#[from] PairLinkError),
    /// Two devices could not meet at the relay.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),
    /// The caller cancelled the call. What it says about what has happened until then holds.
    #[error("cancelled")]
    Cancelled,
    /// The relay address kept in the store does not parse; set it again.
    #[error(transparent)]
    RelayAddr(#[from] AddrError),
}

/// What the file says of the device's life is said as a device says it, so that a caller meets each under one name.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Life(LifeError::Closed),
            StoreError::Forked => Self::Life(LifeError::Forked),
            StoreError::Busy => Self::Life(LifeError::Busy),
            error => Self::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_of_the_devices_life_is_said_as_the_device_says_it() {
        for (file, life) in [
            (StoreError::Closed, LifeError::Closed),
            (StoreError::Forked, LifeError::Forked),
            (StoreError::Busy, LifeError::Busy),
        ] {
            assert_eq!(file.to_string(), life.to_string());
            let error = Error::from(file);
            assert!(matches!(error, Error::Life(said) if said == life), "{error:?}");
        }
        let stopped = Error::from(StoreError::Stopped);
        assert!(matches!(stopped, Error::Store(StoreError::Stopped)), "{stopped:?}");
    }
}
