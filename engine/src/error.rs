//! What can go wrong at the public interface.

use subrosa_model::control::{BirthError, ControlError};
use subrosa_model::keys::KeyError;
use subrosa_model::merge::op::OpError;
use subrosa_model::merge::value::ValueError;
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;

/// Why a call failed. Nothing of a failed call has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store's file: closed, damaged, full, of another device. See the variant.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// Sync could not be started, or waiting for it came to nothing. No data is lost.
    #[error(transparent)]
    Sync(#[from] crate::sync::SyncError),
    /// A pairing ended without a new device.
    #[error(transparent)]
    Pair(#[from] subrosa_model::pair::PairError),
    /// The text is not a pairing link.
    #[error(transparent)]
    PairLink(#[from] subrosa_model::pair::PairLinkError),
    /// Two devices could not meet at the relay.
    #[error(transparent)]
    Rendezvous(#[from] crate::sync::RendezvousError),
    /// The caller cancelled the call. What it says about what has happened until then holds.
    #[error("cancelled")]
    Cancelled,
    /// The relay address kept in the store does not parse; set it again.
    #[error(transparent)]
    RelayAddr(#[from] subrosa_protocol::addr::AddrError),
}

/// What a relay or peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A segment came before its log was introduced.
    #[error("a segment of an unknown log")]
    UnknownLog,
    /// A segment whose kind is not the one of its log.
    #[error("a segment of the wrong kind for its log")]
    WrongKind,
    /// A segment whose signature does not hold.
    #[error("a segment whose signature does not hold")]
    BadSignature,
    /// More logs than a vault may have.
    #[error("more logs than a vault may have")]
    TooManyLogs,
    /// An acknowledgement of something that does not exist.
    #[error("an acknowledgement of something never sent")]
    BadAck,
    /// It claims again and again that our own logs have another future. Reopen the store if it should be believed.
    #[error("a relay that keeps disputing this device's own logs")]
    DisputedLogs,
    /// A grant for another vault, or none at all.
    #[error("a grant that is not for this vault")]
    BadGrant,
}
