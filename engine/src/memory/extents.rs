//! What is kept in memory of groups that cannot be merged yet (`docs/FORMAT.md`, "Merging").

use std::ops::RangeInclusive;

use subrosa_protocol::ids::Seq;
use subrosa_store::logs::BranchNo;

/// Segments of one branch that are merged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupExtent {
    pub(crate) branch: BranchNo,
    pub(crate) segments: RangeInclusive<Seq>,
    /// Whether its ops count. They do not if there are none, as in a closing or carried segment, or if the log was closed
    /// before the group had an end.
    pub(crate) has_ops: bool,
    /// Whether it is a carried segment.
    pub(crate) carries: bool,
    /// Bytes of its bodies as they are sealed.
    pub(crate) sealed_bytes: u64,
}

/// Why a log waits in front of a group that is here as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    /// A segment of it does not open with the keys that are here.
    StaysShut,
    /// One opens and does not decode; perhaps a newer version reads it.
    Undecodable,
    /// One is of a kind of a newer version.
    UnknownKind,
    /// It begins or ends where no group may.
    Misplaced,
    /// It is more than a group may be.
    TooLarge,
}

/// The version of the program, which reads what it reads: another one may read more, and tries again.
pub(crate) const READER_VERSION: &str = env!("CARGO_PKG_VERSION");

impl WaitReason {
    /// How the store names a reason that is found by opening a group; what its headers say costs little to be found again.
    pub(crate) const fn code(self) -> Option<u8> {
        match self {
            Self::StaysShut => Some(1),
            Self::Undecodable => Some(2),
            Self::TooLarge => Some(3),
            Self::UnknownKind | Self::Misplaced => None,
        }
    }

    /// The reason that the store names so.
    pub(crate) const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::StaysShut),
            2 => Some(Self::Undecodable),
            3 => Some(Self::TooLarge),
            _ => None,
        }
    }
}

/// What was seen of a group whose end is not here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe {
    /// The segment that the group begins with.
    pub(crate) first: Seq,
    /// The last segment looked at.
    pub(crate) last: Seq,
    /// Bytes of the bodies up to it.
    pub(crate) sealed_bytes: u64,
    /// Whether one of them is of a kind of a newer version.
    pub(crate) unknown_kind: bool,
}
