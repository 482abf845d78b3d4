//! Who belongs to a vault: control entries, their fold, and the secrets that a member keeps.
//!
//! Control logs carry signed entries (`entry.rs`, `payload.rs`); [`Members`] folds those of all logs, in whatever order they
//! arrive, into the list of devices and of the logs they own; a [`Keyring`] is what one device keeps secret
//! about one vault; `birth.rs` makes the first entries of a vault and of a device's logs.
//!
//! Everything here is pure: bytes in, facts out. Nothing here may list a device or a log because a relay, a
//! clock or the order of arrival says so: only signatures of listed devices do. Specified in `docs/FORMAT.md`,
//! "Control entries" and "Keyring".

mod birth;
mod claims;
mod entry;
mod error;
mod keyring;
mod members;
mod name;
mod payload;
mod prekey;

pub use birth::{Founded, Founding, LogBirth, device_added, found_vault};
#[cfg(any(test, feature = "testing"))]
pub use claims::with_bases;
pub use claims::{CertifiedCaps, PrefixCap, caps, prefix_caps, with_caps, with_prefix_caps};
pub use entry::{Entry, EntryRank, SignedEntry, UnknownEntry, decode_entries, encode_entries, read_public};
pub use error::{BirthError, ControlError};
pub use keyring::{
    EPOCHS_MAX, EpochSecrets, GRANTS_MAX, HeldStatements, Keyring, KeyringError, OwnLogs, PAIR_LEN,
    PrekeySecret, RecoverySeed, read_list, read_option, read_pair, write_option,
};
#[cfg(any(test, feature = "testing"))]
pub use members::testing as members_testing;
pub use members::{CappedLogs, CertifiedLog, ListedDevice, MemberChanges, Members, NamedGroup, NamedGroups};
pub use name::{DeviceName, DeviceRole};
pub use payload::{DeviceAdded, Genesis, LogCertificate};
pub use prekey::SignedPrekey;

#[cfg(test)]
mod vectors;
