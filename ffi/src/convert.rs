//! Errors of the engine as failures: which status, which number, whether to try again.
//!
//! Each variant is named (`tests/statuses.rs`): what a new one means to a C caller is decided, not left to the last arm. That
//! arm is only for what a newer engine says.

use subrosa::{
    AbortReason, AddrError, BirthError, ControlError, Error, JsonProblem, KeyError, LifeError, LinkError,
    OpError, PairError, PairLinkError, PeerFault, RendezvousError, SessionError, StoreError, SyncError,
    SyncFailure, SyncFault, ValueError, VaultFault,
};

use crate::failure::Failure;
use crate::status::*;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Store(error) => return error.into(),
            Error::Life(error) => return error.into(),
            Error::Key(error) => return error.into(),
            Error::Value(error) => return error.into(),
            Error::Sync(error) => return error.into(),
            Error::Pair(error) => return error.into(),
            Error::PairLink(error) => return error.into(),
            Error::Rendezvous(error) => return error.into(),
            Error::RelayAddr(error) => return error.into(),
            Error::Op(ref error) => code_of_op(error),
            Error::Birth(BirthError::DeviceName { .. }) => SUBROSA_INVALID_ARGUMENT,
            Error::Birth(BirthError::Key(error)) => return error.into(),
            Error::Birth(BirthError::LogsUsedUp) => SUBROSA_LOGS_USED_UP,
            Error::Birth(_) => SUBROSA_CONTROL,
            Error::Control(ref error) => code_of_control(error),
            Error::AlreadyExists => SUBROSA_STORE_EXISTS,
            Error::NoVault => SUBROSA_NO_VAULT,
            Error::VaultExists => SUBROSA_VAULT_EXISTS,
            Error::VaultName => SUBROSA_VAULT_NAME,
            Error::NotARecord => SUBROSA_NOT_A_RECORD,
            Error::NoRecord => SUBROSA_NO_RECORD,
            Error::RecordTooLarge { .. } => SUBROSA_RECORD_TOO_LARGE,
            Error::TransactionTooLarge { bytes_max, .. } => {
                return Self::of(SUBROSA_TOO_LARGE, &error).number(bytes_max.try_into().unwrap_or(i64::MAX));
            }
            Error::Peer(fault) => code_of_peer(fault),
            Error::NotPermitted => SUBROSA_NOT_PERMITTED,
            Error::UpdateNeeded => SUBROSA_UPDATE_NEEDED,
            Error::OtherVault => SUBROSA_WRONG_DEVICE,
            Error::Cancelled => SUBROSA_CANCELLED,
            _ => SUBROSA_STORE_INTERNAL,
        };
        Self::of(code, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let failure = |code| Self::of(code, &error);
        match &error {
            StoreError::Io { code, .. } => failure(SUBROSA_IO).number(code.unwrap_or_default().into()),
            StoreError::DiskFull => failure(SUBROSA_DISK_FULL),
            StoreError::Locked { holder } => {
                failure(SUBROSA_STORE_LOCKED).number(holder.unwrap_or_default().into()).retryable()
            }
            StoreError::Missing => failure(SUBROSA_STORE_MISSING),
            StoreError::NotAStore => failure(SUBROSA_NOT_A_STORE),
            StoreError::WrongKey => failure(SUBROSA_WRONG_KEY),
            StoreError::NewerFormat { found, .. } => failure(SUBROSA_NEWER_FORMAT).number((*found).into()),
            // There is no status for it: no released version wrote such a store.
            StoreError::OlderFormat { found, .. } => failure(SUBROSA_NOT_A_STORE).number((*found).into()),
            StoreError::Damaged { .. }
            | StoreError::Hole { .. }
            | StoreError::Truncated
            | StoreError::Inconsistent => failure(SUBROSA_DAMAGED),
            StoreError::Stopped => failure(SUBROSA_STORE_STOPPED),
            StoreError::Closed => failure(SUBROSA_CLOSED),
            StoreError::Forked => failure(SUBROSA_FORKED),
            StoreError::Busy => failure(SUBROSA_BUSY).retryable(),
            StoreError::ValueTooLarge { .. } => failure(SUBROSA_VALUE_TOO_LARGE),
            StoreError::Schema | StoreError::Refused { .. } => failure(SUBROSA_STORE_INTERNAL),
            _ => failure(SUBROSA_STORE_INTERNAL),
        }
    }
}

impl From<LifeError> for Failure {
    fn from(error: LifeError) -> Self {
        let failure = |code| Self::of(code, &error);
        match error {
            LifeError::Closed => failure(SUBROSA_CLOSED),
            LifeError::Suspended => failure(SUBROSA_SUSPENDED),
            LifeError::Forked => failure(SUBROSA_FORKED),
            LifeError::Busy => failure(SUBROSA_BUSY).retryable(),
            LifeError::BusyHere => failure(SUBROSA_BUSY),
            _ => failure(SUBROSA_STORE_INTERNAL),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let code = match error {
            KeyError::NotOnCurve => SUBROSA_NOT_ON_CURVE,
            KeyError::ScalarOutOfRange => SUBROSA_KEY_RANGE,
            KeyError::PublicKeyMismatch => SUBROSA_KEY_MISMATCH,
            KeyError::PeerIsSelf => SUBROSA_PEER_IS_SELF,
            KeyError::Provider { code } => {
                return Self::of(SUBROSA_KEY_PROVIDER, &error).number(code.into());
            }
            KeyError::ProviderSignature => SUBROSA_KEY_PROVIDER_SIGNATURE,
            KeyError::ProviderAgreement => SUBROSA_KEY_PROVIDER,
            KeyError::PublicKeyEncoding { .. } | KeyError::PrivateKeyEncoding { .. } => SUBROSA_KEY_ENCODING,
            _ => SUBROSA_KEY_ENCODING,
        };
        Self::of(code, &error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let code = match error {
            SessionError::TooShort { .. } => SUBROSA_MESSAGE_TOO_SHORT,
            SessionError::TooLong { .. } => SUBROSA_TOO_LARGE,
            SessionError::NoAadHere => SUBROSA_NO_AAD_HERE,
            // C callers get bytes: what they are as text or as a value is not asked for them.
            SessionError::NotAuthentic { .. } | SessionError::NotText | SessionError::NotAValue => {
                SUBROSA_NOT_AUTHENTIC
            }
            _ => SUBROSA_NOT_AUTHENTIC,
        };
        Self::of(code, &error)
    }
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        let code = match &error {
            ValueError::NotFinite => SUBROSA_NOT_FINITE,
            ValueError::IntegerRange => SUBROSA_INTEGER_RANGE,
            ValueError::TooDeep => SUBROSA_TOO_DEEP,
            ValueError::TooLarge { .. } => SUBROSA_VALUE_TOO_LARGE,
            ValueError::Json { offset, problem } => {
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                return Self::of(code_of_json(*problem), &error).number(offset);
            }
            ValueError::KeyNotText | ValueError::Type(_) | ValueError::Decode(_) => SUBROSA_VALUE,
            _ => SUBROSA_VALUE,
        };
        Self::of(code, &error)
    }
}

const fn code_of_json(problem: JsonProblem) -> i32 {
    match problem {
        JsonProblem::TooDeep => SUBROSA_TOO_DEEP,
        JsonProblem::NewerForm => SUBROSA_NEWER_FORM,
        JsonProblem::End
        | JsonProblem::Character
        | JsonProblem::Trailing
        | JsonProblem::NumberRange
        | JsonProblem::String
        | JsonProblem::Surrogate
        | JsonProblem::DuplicateKey
        | JsonProblem::Base64 => SUBROSA_NOT_JSON,
        _ => SUBROSA_NOT_JSON,
    }
}

const fn code_of_op(error: &OpError) -> i32 {
    match error {
        OpError::CollectionName { .. } => SUBROSA_COLLECTION_NAME,
        OpError::FieldName { .. } => SUBROSA_FIELD_NAME,
        OpError::TooManyFields { .. } => SUBROSA_TOO_MANY_FIELDS,
        OpError::DuplicateField => SUBROSA_VALUE,
        _ => SUBROSA_VALUE,
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::of(code_of_op(&error), &error)
    }
}

const fn code_of_control(error: &ControlError) -> i32 {
    match error {
        ControlError::Decode(_)
        | ControlError::Forged { .. }
        | ControlError::OtherVault { .. }
        | ControlError::Misplaced { .. }
        | ControlError::TooManyWaiting { .. } => SUBROSA_CONTROL,
        _ => SUBROSA_CONTROL,
    }
}

const fn code_of_peer(fault: PeerFault) -> i32 {
    match fault {
        PeerFault::UnknownLog
        | PeerFault::WrongKind
        | PeerFault::BadSignature
        | PeerFault::TooManyLogs
        | PeerFault::BadAck
        | PeerFault::DisputedLogs
        | PeerFault::BadGrant
        | PeerFault::BadStatements => SUBROSA_PEER,
        _ => SUBROSA_PEER,
    }
}

impl From<AddrError> for Failure {
    fn from(error: AddrError) -> Self {
        let code = match error {
            AddrError::NotAnAddress | AddrError::BadHost | AddrError::BadPin | AddrError::BadInvite => {
                SUBROSA_RELAY_ADDRESS
            }
            _ => SUBROSA_RELAY_ADDRESS,
        };
        Self::of(code, &error)
    }
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        match &error {
            SyncError::Start(_) => Self::of(SUBROSA_NO_RESOURCES, &error).retryable(),
            SyncError::NoProgress(_) | SyncError::Unfinished(_) => {
                Self::of(SUBROSA_NO_PROGRESS, &error).retryable()
            }
            SyncError::Refused(code) => Self::of(SUBROSA_REFUSED, &error).number(code.to_wire().into()),
            SyncError::Stopped => Self::of(SUBROSA_SYNC_STOPPED, &error),
            SyncError::UpdateNeeded => Self::of(SUBROSA_UPDATE_NEEDED, &error),
            SyncError::Disputed => Self::of(SUBROSA_DISPUTED, &error).retryable(),
            SyncError::Suspended => Self::of(SUBROSA_SUSPENDED, &error),
            SyncError::Panicked => Self::of(SUBROSA_PANIC, &error),
            SyncError::Forked => Self::of(SUBROSA_FORKED, &error),
            _ => Self::of(SUBROSA_NO_PROGRESS, &error),
        }
    }
}

impl From<PairError> for Failure {
    fn from(error: PairError) -> Self {
        let code = match error {
            PairError::Expired => SUBROSA_PAIR_EXPIRED,
            PairError::WrongCode => SUBROSA_PAIR_WRONG_CODE,
            PairError::Declined => SUBROSA_PAIR_DECLINED,
            PairError::NotAuthentic
            | PairError::SecondCommitment
            | PairError::OutOfTurn
            | PairError::Message(_) => SUBROSA_PAIR_NOT_AUTHENTIC,
            PairError::OwnDevice => SUBROSA_PAIR_OWN_DEVICE,
            PairError::BundleTooLarge { .. } => SUBROSA_PAIR_TOO_LARGE,
            PairError::BadBundle => SUBROSA_PAIR_BUNDLE,
            PairError::Unconfirmed => SUBROSA_PAIR_UNCONFIRMED,
            PairError::NotAtRelay => SUBROSA_NO_PROGRESS,
            PairError::Name(_) => SUBROSA_PAIR_NAME,
            PairError::Key(error) => return error.into(),
            PairError::Aborted(reason) => code_of_abort(reason),
            _ => SUBROSA_PAIR_ABORTED,
        };
        Self::of(code, &error)
    }
}

/// What the other side says of a wrong code or a refusal is what its user did.
const fn code_of_abort(reason: AbortReason) -> i32 {
    match reason {
        AbortReason::Declined => SUBROSA_PAIR_DECLINED,
        AbortReason::WrongCode => SUBROSA_PAIR_WRONG_CODE,
        AbortReason::Expired | AbortReason::NotAuthentic | AbortReason::Failed | AbortReason::Other(_) => {
            SUBROSA_PAIR_ABORTED
        }
        _ => SUBROSA_PAIR_ABORTED,
    }
}

impl From<PairLinkError> for Failure {
    fn from(error: PairLinkError) -> Self {
        let code = match error {
            PairLinkError::NotALink | PairLinkError::BadHost | PairLinkError::Damaged => SUBROSA_PAIR_LINK,
            _ => SUBROSA_PAIR_LINK,
        };
        Self::of(code, &error)
    }
}

impl From<RendezvousError> for Failure {
    fn from(error: RendezvousError) -> Self {
        match &error {
            RendezvousError::Failed(failure) => Self::of_meeting(failure, &error),
            RendezvousError::Start(_) => Self::of(SUBROSA_NO_RESOURCES, &error).retryable(),
            RendezvousError::Silence | RendezvousError::Over | RendezvousError::TooMuch => {
                Self::of(SUBROSA_PAIR_OVER, &error)
            }
            _ => Self::of(SUBROSA_PAIR_OVER, &error),
        }
    }
}

impl Failure {
    /// Of a meeting that its link's end has ended.
    fn of_meeting(failure: &SyncFailure, error: &RendezvousError) -> Self {
        match failure {
            SyncFailure::Link(fault) => Self::of_link(fault, error),
            SyncFailure::Suspended => Self::of(SUBROSA_SUSPENDED, error),
            SyncFailure::Panicked => Self::of(SUBROSA_PANIC, error),
            SyncFailure::WrongKey => Self::of(SUBROSA_PEER, error),
            SyncFailure::Peer(fault) => Self::of(code_of_fault(*fault), error),
            SyncFailure::NoSocket
            | SyncFailure::NoAddress
            | SyncFailure::Unreachable
            | SyncFailure::Lost
            | SyncFailure::Store(_) => Self::of(SUBROSA_UNREACHABLE, error).retryable(),
            _ => Self::of(SUBROSA_UNREACHABLE, error).retryable(),
        }
    }

    fn of_link(fault: &LinkError, error: &RendezvousError) -> Self {
        match fault {
            LinkError::Refused(refusal) => {
                Self::of(SUBROSA_REFUSED, error).number(refusal.code.to_wire().into())
            }
            LinkError::Decode(_)
            | LinkError::OutOfPlace { .. }
            | LinkError::Version { .. }
            | LinkError::NotSubscribed { .. }
            | LinkError::Incarnation
            | LinkError::TooManyMessages
            | LinkError::TooMuchBegun
            | LinkError::Silent
            | LinkError::Misuse => Self::of(SUBROSA_UNREACHABLE, error).retryable(),
            _ => Self::of(SUBROSA_UNREACHABLE, error).retryable(),
        }
    }
}

/// What is wrong with the vault that a meeting needs.
const fn code_of_fault(fault: SyncFault) -> i32 {
    match fault {
        SyncFault::Peer(fault) => code_of_peer(fault),
        SyncFault::LogsUsedUp => SUBROSA_LOGS_USED_UP,
        SyncFault::UpdateNeeded => SUBROSA_UPDATE_NEEDED,
        SyncFault::Link(
            VaultFault::Decode(_)
            | VaultFault::OutOfPlace { .. }
            | VaultFault::NotSent { .. }
            | VaultFault::TooManyLogs
            | VaultFault::HeadsOrder
            | VaultFault::FeedEnded
            | VaultFault::Silent
            | VaultFault::Unable
            | VaultFault::Store,
        ) => SUBROSA_PEER,
        _ => SUBROSA_PEER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_devices_life_says_has_the_status_it_always_had() {
        for (error, code, retryable) in [
            (Error::Life(LifeError::Closed), SUBROSA_CLOSED, false),
            (Error::Life(LifeError::Suspended), SUBROSA_SUSPENDED, false),
            (Error::Life(LifeError::Forked), SUBROSA_FORKED, false),
            (Error::Life(LifeError::Busy), SUBROSA_BUSY, true),
            (Error::Life(LifeError::BusyHere), SUBROSA_BUSY, false),
            (StoreError::Closed.into(), SUBROSA_CLOSED, false),
            (StoreError::Forked.into(), SUBROSA_FORKED, false),
            (StoreError::Busy.into(), SUBROSA_BUSY, true),
            (StoreError::Stopped.into(), SUBROSA_STORE_STOPPED, false),
            (StoreError::Locked { holder: Some(7) }.into(), SUBROSA_STORE_LOCKED, true),
        ] {
            let text = error.to_string();
            let failure = Failure::from(error);
            assert_eq!((failure.code, failure.retryable), (code, retryable), "{text}");
            assert_eq!(failure.message, text);
        }
    }
}
