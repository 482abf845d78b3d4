//! What can be wrong with control entries.

use subrosa_protocol::codec::DecodeError;
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::INCARNATIONS_MAX;

use crate::keys::KeyError;

/// Why a control segment was refused. The device that wrote it is at fault, except where a variant says so.
///
/// A refused segment counts for nothing: not one of its entries was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Not a list of control entries. Quarantine the segment; a newer version may read it.
    #[error("control segment does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// A signature inside does not hold. Quarantine the segment for good.
    #[error("control segment {log}/{seq} holds a forged entry")]
    Forged {
        /// The log.
        log: LogId,
        /// The segment.
        seq: Seq,
    },
    /// An entry of another vault, or a genesis that does not hash to this vault's id. Quarantine it for good.
    #[error("control segment {log}/{seq} belongs to another vault")]
    OtherVault {
        /// The log.
        log: LogId,
        /// The segment.
        seq: Seq,
    },
    /// A certificate or genesis where none belongs, or missing where one does. Quarantine it for good.
    #[error("control segment {log}/{seq} is out of order")]
    Misplaced {
        /// The log.
        log: LogId,
        /// The segment.
        seq: Seq,
    },
    /// Entries of logs that nobody has certified yet fill their space. Nobody need be at fault: keep the
    /// segment, and try again after the next certificate.
    #[error("too many control entries wait for a certificate (log {log})")]
    TooManyWaiting {
        /// The log.
        log: LogId,
    },
}

/// Why a vault or a log could not be begun. Nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BirthError {
    /// The device's name is empty, too long, or holds control characters. Choose another.
    #[error("device name of {bytes} bytes is empty, too long, or holds control characters")]
    DeviceName {
        /// Its length in UTF-8.
        bytes: usize,
    },
    /// The device key did not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// This device has had as many pairs of logs in this vault as a device may have; each came of a copy of its store, or
    /// of a clock that was far ahead. What it holds can be read and exported, and it goes on receiving. To go on writing,
    /// pair a new store, with a new device key, from this device or another one.
    #[error(
        "this device has had {INCARNATIONS_MAX} pairs of logs in this vault and may have no more; pair a new store"
    )]
    LogsUsedUp,
}
