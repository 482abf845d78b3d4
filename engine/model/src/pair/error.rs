//! Why a pairing ended.

use subrosa_protocol::codec::DecodeError;

use crate::control::BirthError;
use crate::keys::KeyError;

/// Why a pairing ended without a new device. Whatever it was, nothing changed on either side, except where a
/// variant says so; start again with a new link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The link's five minutes are over.
    #[error("the pairing link has expired")]
    Expired,
    /// The code typed on the old device is not the one that the new device shows. Somebody may be in between: check
    /// that the link came from the right device.
    #[error("the code does not match")]
    WrongCode,
    /// The user declined on the old device.
    #[error("pairing was declined")]
    Declined,
    /// A message that does not hold: the link's secret is not known to its sender, or keys were swapped on the way.
    #[error("a pairing message is not authentic")]
    NotAuthentic,
    /// Somebody answered the link a second time.
    #[error("the pairing link was answered twice")]
    SecondCommitment,
    /// A message or call that has no place at this point.
    #[error("a pairing step came out of turn")]
    OutOfTurn,
    /// A message that does not parse.
    #[error("a pairing message does not parse: {0}")]
    Message(#[from] DecodeError),
    /// The new device's key is the old one's own: its store was copied, or the link was opened where it was made.
    #[error("a device cannot be paired with itself")]
    OwnDevice,
    /// The vault's keys and statements do not fit into the messages of a rendezvous. The device is listed, and has
    /// nothing.
    #[error("the vault's keys need {bytes} bytes and a pairing carries {limit}")]
    BundleTooLarge {
        /// What they need.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// What the old device sent does not fit together; it is broken.
    #[error("the vault's keys do not fit its statements")]
    BadBundle,
    /// The other device ended it.
    #[error("the other device ended the pairing: {0}")]
    Aborted(AbortReason),
    /// The device is listed, but did not confirm that it has its keys. If it lacks them, remove its store and pair
    /// again.
    #[error("the new device did not confirm that it has its keys")]
    Unconfirmed,
    /// The relay did not take in time what says that the device is let in. Nothing has changed.
    #[error("the relay did not acknowledge the new device in time")]
    NotAtRelay,
    /// The name of the new device cannot be used.
    #[error(transparent)]
    Name(#[from] BirthError),
    /// The device key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Why the other device says that it ended a pairing. Not authenticated: for people to read, not to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortReason {
    /// The five minutes were over.
    Expired,
    /// The typed code was wrong.
    WrongCode,
    /// The user declined.
    Declined,
    /// A message of ours was not authentic, or did not parse.
    NotAuthentic,
    /// It could not go on for a reason of its own.
    Failed,
    /// A reason of a later version.
    Other(u8),
}

impl AbortReason {
    pub(super) fn to_wire(self) -> u8 {
        match self {
            Self::Expired => 1,
            Self::WrongCode => 2,
            Self::Declined => 3,
            Self::NotAuthentic => 4,
            Self::Failed => 5,
            Self::Other(value) => value,
        }
    }

    pub(super) fn from_wire(value: u8) -> Self {
        match value {
            1 => Self::Expired,
            2 => Self::WrongCode,
            3 => Self::Declined,
            4 => Self::NotAuthentic,
            5 => Self::Failed,
            other => Self::Other(other),
        }
    }

    /// What the other side is told.
    pub(super) fn of(error: &PairError) -> Self {
        match error {
            PairError::Expired => Self::Expired,
            PairError::WrongCode => Self::WrongCode,
            PairError::Declined => Self::Declined,
            PairError::NotAuthentic
            | PairError::SecondCommitment
            | PairError::OutOfTurn
            | PairError::Message(_) => Self::NotAuthentic,
            _ => Self::Failed,
        }
    }
}

impl std::fmt::Display for AbortReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expired => f.write_str("the link has expired"),
            Self::WrongCode => f.write_str("the code does not match"),
            Self::Declined => f.write_str("declined"),
            Self::NotAuthentic => f.write_str("a message was not authentic"),
            Self::Failed => f.write_str("it could not go on"),
            Self::Other(value) => write!(f, "reason {value}"),
        }
    }
}
