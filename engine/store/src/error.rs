//! What can go wrong with a store.
//!
//! Errors hold ids and numbers only: never a path, a table, a key or a value. What redb reports is translated here,
//! and its texts are dropped, because they may quote what they found.

use std::io;

/// Why a store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused. Nothing committed is lost; close the store, remove the cause, open it again.
    #[error("the operating system refused to read or write the store ({kind}{})", and(", code ", *code))]
    Io {
        /// The portable kind of the failure.
        kind: io::ErrorKind,
        /// The code of the operating system, where there is one.
        code: Option<i32>,
    },
    /// The disk or the quota is full. Nothing committed is lost; make room, then close the store and open it again.
    #[error("no room left on the device of the store")]
    DiskFull,
    /// Another process, or another handle in this one, has the store open. Close that one, or ask it.
    #[error("the store is already open{}", and(" in process ", *holder))]
    Locked {
        /// The process that holds it, where the operating system says so.
        holder: Option<u32>,
    },
    /// There is no store here, or its creation never finished, and creating one was not asked for.
    #[error("there is no store here")]
    Missing,
    /// The file is something else. It was left as it is.
    #[error("the file is not a store")]
    NotAStore,
    /// The store was sealed for another device key. Nothing was changed; open it with its own key.
    #[error("the store was sealed for another device key")]
    WrongKey,
    /// A newer version of this library wrote the store. Nothing was changed; update the application.
    #[error("the store has format {found}, this version reads up to {supported}")]
    NewerFormat {
        /// The format of the file.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// A version of this library that was never released wrote the store. Nothing was changed; export with that version
    /// what is not on another device, or pair anew in another folder.
    #[error(
        "the store has format {found}, which is older than the format {supported} that this version reads"
    )]
    OlderFormat {
        /// The format of the file.
        found: u32,
        /// The format that this version reads.
        supported: u32,
    },
    /// A part of the file is not what was written there: altered, moved, or from another file. The rest still
    /// opens; restore the store from another device or a copy.
    #[error("{part} of the store is damaged")]
    Damaged {
        /// Which part.
        part: StorePart,
    },
    /// A page that should hold data was never written, or was blanked. As [`StoreError::Damaged`].
    #[error("page {page} of the store is blank")]
    Hole {
        /// The number of the page.
        page: u64,
    },
    /// The file is shorter than what was written to it. As [`StoreError::Damaged`].
    #[error("the store is cut short")]
    Truncated,
    /// Every page is authentic, yet they do not belong together: some of them are older copies, or the end of the
    /// file is missing. As [`StoreError::Damaged`].
    #[error("the pages of the store do not belong together")]
    Inconsistent,
    /// The store stopped after an earlier fault, to protect what is committed. Close it and open it again.
    #[error("the store stopped after an earlier fault")]
    Stopped,
    /// The database was closed under what was read from it.
    #[error("the store is closed")]
    Closed,
    /// This is a forked child of the process that opened the store. Open it anew, once the parent has closed it.
    #[error("the store belongs to the process that this one was forked from")]
    Forked,
    /// A transaction or a snapshot is still alive, and what was asked for needs the store for itself. End it, then
    /// try again.
    #[error("a transaction of the store is still in progress")]
    Busy,
    /// A value is longer than the store takes. Split it.
    #[error("a value of {bytes} bytes is too large for the store")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A table has other types than this version of the library gives it. A bug, or a store of a newer version.
    #[error("a table of the store has other types than expected")]
    Schema,
    /// redb refused for a reason that no caller can act on: a bug.
    #[error("the database refused: {reason}")]
    Refused {
        /// Which refusal.
        reason: &'static str,
    },
}

/// The words and the number after them, where the operating system gave one.
fn and(words: &str, number: Option<impl std::fmt::Display>) -> String {
    number.map(|number| format!("{words}{number}")).unwrap_or_default()
}

/// A part of the store file, as [`StoreError::Damaged`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorePart {
    /// Both copies of the superblock, which holds the sealed root key.
    Superblock,
    /// The page that names the roots of the database (both copies).
    Header,
    /// The page of this number.
    Page(u64),
}

impl std::fmt::Display for StorePart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Superblock => f.write_str("the superblock"),
            Self::Header => f.write_str("the header page"),
            Self::Page(page) => write!(f, "page {page}"),
        }
    }
}

/// What the sealed file found wrong, as it travels through redb inside an [`io::Error`].
///
/// redb keeps no cause once it has stopped; the handle of the sealed file does
/// ([`SealedHandle::last_fault`](crate::sealed::SealedHandle::last_fault)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// This part is not what was written there.
    #[error("{0} is damaged")]
    Damaged(StorePart),
    /// A page that should hold data was never written.
    #[error("page {page} is blank")]
    Hole {
        /// Its number.
        page: u64,
    },
    /// The file is shorter than what was written to it.
    #[error("cut short")]
    Truncated,
    /// There is no room left.
    #[error("no room left")]
    DiskFull,
    /// A forked child used it.
    #[error("used after a fork")]
    Forked,
    /// redb asked for what no page can hold: a bug.
    #[error("a request that no page can hold")]
    Misuse,
    /// A panic while pages were sealed.
    #[error("a panic while pages were sealed")]
    Panicked,
    /// The operating system refused.
    #[error("{kind}")]
    Io {
        /// The portable kind of the failure.
        kind: io::ErrorKind,
        /// The code of the operating system, where there is one.
        code: Option<i32>,
    },
}

impl From<&io::Error> for StoreFault {
    fn from(error: &io::Error) -> Self {
        if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return *fault;
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            kind => Self::Io { kind, code: error.raw_os_error() },
        }
    }
}

impl From<StoreFault> for io::Error {
    fn from(fault: StoreFault) -> Self {
        let kind = match fault {
            StoreFault::Damaged(_) | StoreFault::Hole { .. } => io::ErrorKind::InvalidData,
            StoreFault::Truncated => io::ErrorKind::UnexpectedEof,
            StoreFault::DiskFull => io::ErrorKind::StorageFull,
            StoreFault::Forked => io::ErrorKind::PermissionDenied,
            StoreFault::Misuse => io::ErrorKind::InvalidInput,
            StoreFault::Panicked => io::ErrorKind::Other,
            StoreFault::Io { kind, .. } => kind,
        };
        Self::new(kind, fault)
    }
}

impl From<StoreFault> for StoreError {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Damaged(part) => Self::Damaged { part },
            StoreFault::Hole { page } => Self::Hole { page },
            StoreFault::Truncated => Self::Truncated,
            StoreFault::DiskFull => Self::DiskFull,
            StoreFault::Forked => Self::Forked,
            StoreFault::Misuse => Self::Refused { reason: "misuse of the sealed file" },
            StoreFault::Panicked => Self::Stopped,
            StoreFault::Io { kind, code } => Self::Io { kind, code },
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        StoreFault::from(&error).into()
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        match error {
            redb::StorageError::Corrupted(_) => Self::Inconsistent,
            redb::StorageError::ValueTooLarge(bytes) => Self::ValueTooLarge { bytes },
            redb::StorageError::Io(error) => error.into(),
            redb::StorageError::PreviousIo | redb::StorageError::LockPoisoned(_) => Self::Stopped,
            redb::StorageError::DatabaseClosed => Self::Closed,
            redb::StorageError::Unsupported => Self::Refused { reason: "unsupported" },
            _ => Self::Refused { reason: "storage" },
        }
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::Storage(error) => error.into(),
            redb::DatabaseError::DatabaseAlreadyOpen => Self::Locked { holder: None },
            redb::DatabaseError::TransactionInProgress => Self::Busy,
            redb::DatabaseError::UpgradeRequired(_) => Self::Refused { reason: "database format" },
            redb::DatabaseError::RepairAborted => Self::Refused { reason: "repair aborted" },
            _ => Self::Refused { reason: "database" },
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            redb::TransactionError::WouldBlock | redb::TransactionError::ReadTransactionStillInUse(_) => {
                Self::Busy
            }
            _ => Self::Refused { reason: "transaction" },
        }
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        match error {
            redb::CommitError::Storage(error) => error.into(),
            redb::CommitError::TransactionPoisoned => Self::Refused { reason: "transaction poisoned" },
            _ => Self::Refused { reason: "commit" },
        }
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        match error {
            redb::TableError::Storage(error) => error.into(),
            redb::TableError::TableTypeMismatch { .. }
            | redb::TableError::TableIsMultimap(_)
            | redb::TableError::TableIsNotMultimap(_)
            | redb::TableError::TypeDefinitionChanged { .. } => Self::Schema,
            redb::TableError::TableDoesNotExist(_) => Self::Refused { reason: "table missing" },
            redb::TableError::TableExists(_) => Self::Refused { reason: "table exists" },
            redb::TableError::TableAlreadyOpen(..) => Self::Refused { reason: "table already open" },
            _ => Self::Refused { reason: "table" },
        }
    }
}

impl From<redb::CursorError> for StoreError {
    fn from(error: redb::CursorError) -> Self {
        match error {
            redb::CursorError::Storage(error) => error.into(),
            // Its neighbours are not what they were said to be.
            redb::CursorError::UnorderedKey => Self::Inconsistent,
            _ => Self::Refused { reason: "cursor" },
        }
    }
}

impl From<redb::CompactionError> for StoreError {
    fn from(error: redb::CompactionError) -> Self {
        match error {
            redb::CompactionError::Storage(error) => error.into(),
            redb::CompactionError::PersistentSavepointExists
            | redb::CompactionError::EphemeralSavepointExists
            | redb::CompactionError::TransactionInProgress => Self::Busy,
            _ => Self::Refused { reason: "compaction" },
        }
    }
}

impl From<redb::SavepointError> for StoreError {
    fn from(error: redb::SavepointError) -> Self {
        match error {
            redb::SavepointError::Storage(error) => error.into(),
            _ => Self::Refused { reason: "savepoint" },
        }
    }
}

impl From<redb::SetDurabilityError> for StoreError {
    fn from(_: redb::SetDurabilityError) -> Self {
        Self::Refused { reason: "durability" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_its_journey_through_an_io_error() {
        for fault in [
            StoreFault::Damaged(StorePart::Header),
            StoreFault::Damaged(StorePart::Page(7)),
            StoreFault::Hole { page: 9 },
            StoreFault::Truncated,
            StoreFault::DiskFull,
            StoreFault::Forked,
            StoreFault::Misuse,
            StoreFault::Panicked,
            StoreFault::Io { kind: io::ErrorKind::PermissionDenied, code: Some(13) },
        ] {
            let travelled = redb::StorageError::Io(fault.into());
            assert_eq!(StoreError::from(travelled), StoreError::from(fault));
        }
    }

    #[test]
    fn what_the_operating_system_says_is_kept_as_a_number() {
        let error = StoreError::from(io::Error::from_raw_os_error(13));
        assert_eq!(error, StoreError::Io { kind: io::ErrorKind::PermissionDenied, code: Some(13) });
        assert_eq!(StoreError::from(io::Error::from(io::ErrorKind::StorageFull)), StoreError::DiskFull);
        assert_eq!(StoreError::from(io::Error::from(io::ErrorKind::UnexpectedEof)), StoreError::Truncated);
    }

    #[test]
    fn a_number_that_may_be_missing_is_said_or_left_out() {
        let io = |code| StoreError::Io { kind: io::ErrorKind::PermissionDenied, code };
        for (error, text) in [
            (StoreError::Locked { holder: Some(7) }, "the store is already open in process 7"),
            (StoreError::Locked { holder: None }, "the store is already open"),
            (
                io(Some(13)),
                "the operating system refused to read or write the store (permission denied, code 13)",
            ),
            (io(None), "the operating system refused to read or write the store (permission denied)"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn no_error_repeats_what_redb_quotes() {
        let quoted = "a table name";
        let errors = [
            StoreError::from(redb::StorageError::Corrupted(quoted.into())),
            StoreError::from(redb::TableError::TableDoesNotExist(quoted.into())),
            StoreError::from(redb::TableError::TableIsMultimap(quoted.into())),
        ];
        for error in errors {
            assert!(!format!("{error} {error:?}").contains(quoted));
        }
    }
}
