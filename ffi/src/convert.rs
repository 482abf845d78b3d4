//! Errors of the engine as failures: which status, which number, whether to try again.

use subrosa::{
    AddrError, BirthError, Error, JsonProblem, KeyError, OpError, PairError, PairLinkError, RendezvousError,
    SessionError, StoreError, SyncError, SyncFailure, ValueError,
};

use crate::failure::Failure;
use crate::status::*;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Store(error) => return error.into(),
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
            Error::Control(_) | Error::Birth(_) => SUBROSA_CONTROL,
            Error::AlreadyExists => SUBROSA_STORE_EXISTS,
            Error::NoVault => SUBROSA_NO_VAULT,
            Error::VaultExists => SUBROSA_VAULT_EXISTS,
            Error::VaultName => SUBROSA_VAULT_NAME,
            Error::NotARecord => SUBROSA_NOT_A_RECORD,
            Error::NoRecord => SUBROSA_NO_RECORD,
            Error::Peer(_) => SUBROSA_PEER,
            Error::NotPermitted => SUBROSA_NOT_PERMITTED,
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
            StoreError::Suspended => failure(SUBROSA_SUSPENDED),
            StoreError::Forked => failure(SUBROSA_FORKED),
            StoreError::Busy => failure(SUBROSA_BUSY).retryable(),
            StoreError::BusyHere => failure(SUBROSA_BUSY),
            StoreError::ValueTooLarge { .. } => failure(SUBROSA_VALUE_TOO_LARGE),
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
                let too_deep = matches!(problem, JsonProblem::TooDeep);
                let code = if too_deep { SUBROSA_TOO_DEEP } else { SUBROSA_NOT_JSON };
                return Self::of(code, &error).number(offset);
            }
            _ => SUBROSA_VALUE,
        };
        Self::of(code, &error)
    }
}

fn code_of_op(error: &OpError) -> i32 {
    match error {
        OpError::CollectionName { .. } => SUBROSA_COLLECTION_NAME,
        OpError::FieldName { .. } => SUBROSA_FIELD_NAME,
        OpError::TooManyFields { .. } => SUBROSA_TOO_MANY_FIELDS,
        _ => SUBROSA_VALUE,
    }
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::of(code_of_op(&error), &error)
    }
}

impl From<AddrError> for Failure {
    fn from(error: AddrError) -> Self {
        Self::of(SUBROSA_RELAY_ADDRESS, &error)
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
            SyncError::Suspended => Self::of(SUBROSA_SUSPENDED, &error),
            SyncError::Panicked => Self::of(SUBROSA_PANIC, &error),
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
            PairError::Name(_) => SUBROSA_PAIR_NAME,
            PairError::Key(error) => return error.into(),
            // What the other side says of a wrong code or a refusal is what its user did.
            PairError::Aborted(subrosa::AbortReason::Declined) => SUBROSA_PAIR_DECLINED,
            PairError::Aborted(subrosa::AbortReason::WrongCode) => SUBROSA_PAIR_WRONG_CODE,
            _ => SUBROSA_PAIR_ABORTED,
        };
        Self::of(code, &error)
    }
}

impl From<PairLinkError> for Failure {
    fn from(error: PairLinkError) -> Self {
        Self::of(SUBROSA_PAIR_LINK, &error)
    }
}

impl From<RendezvousError> for Failure {
    fn from(error: RendezvousError) -> Self {
        match &error {
            RendezvousError::Failed(SyncFailure::Link(subrosa::LinkError::Refused(refusal))) => {
                Self::of(SUBROSA_REFUSED, &error).number(refusal.code.to_wire().into())
            }
            RendezvousError::Failed(SyncFailure::Suspended) => Self::of(SUBROSA_SUSPENDED, &error),
            RendezvousError::Failed(SyncFailure::Panicked) => Self::of(SUBROSA_PANIC, &error),
            RendezvousError::Failed(SyncFailure::Peer(_) | SyncFailure::WrongKey) => {
                Self::of(SUBROSA_PEER, &error)
            }
            RendezvousError::Failed(_) => Self::of(SUBROSA_UNREACHABLE, &error).retryable(),
            RendezvousError::Start(_) => Self::of(SUBROSA_NO_RESOURCES, &error).retryable(),
            _ => Self::of(SUBROSA_PAIR_OVER, &error),
        }
    }
}
