//! Subrosa: an embedded, end-to-end encrypted, local-first database with sync.
//!
//! An application opens a [`Device`], reads and writes records at local speed, online or not, and every device of
//! its user converges; the relay in between learns nothing but sizes and times.
//!
//! ```
//! use std::sync::Arc;
//! use serde::{Deserialize, Serialize};
//! use subrosa::{Device, Options, OsEntropy, SoftwareKey};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Note { title: String, done: bool }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let key = Arc::new(SoftwareKey::generate(&OsEntropy)); // a host application keeps it in the OS keystore
//! let device = Device::create(dir.path(), key, Options::default())?;
//! let notes = device.create_vault("personal")?.collection::<Note>("notes");
//! let id = notes.insert(&Note { title: "buy roses".into(), done: false })?;
//! notes.update(id, |note| note.done = true)?;
//! assert!(notes.get(id)?.is_some_and(|note| note.done));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "bench-support")]
#[doc(hidden)]
pub mod bench_support;
mod cancel;
mod clock;
mod collection;
mod device;
mod error;
mod faults;
mod life;
mod logs;
mod memory;
mod options;
mod pair;
mod people;
mod reading;
mod records;
mod snapshot;
#[cfg(test)]
mod spec;
mod sync;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod vault;

pub use cancel::{Cancel, CancelCall, CancelHook};
pub use clock::{Clock, SystemClock};
pub use collection::{Collection, Record, RecordChange, Scan, TxCollection};
pub use device::{Device, SpaceReport, VaultInfo};
pub use error::{
    Error, LifeError, PeerFault, RendezvousError, SyncError, SyncFailure, SyncFault, SyncState, SyncStatus,
};
pub use life::snapshots::InProgress;
pub use logs::verify::VerifyReport;
pub use options::Options;
pub use people::forks::ForksOfDevice;
pub use people::held::{HeldGroups, HeldOfDevice};
pub use people::pairing::{Confirmation, PairJoin, PairOffer, PairRequest};
pub use people::vaults::DeviceInfo;
pub use reading::Reading;
pub use records::watch::{Change, ChangeKind, Changes};
pub use records::{FieldRef, RecordRef};
pub use snapshot::{Snapshot, SnapshotCollection};
#[doc(inline)]
pub use subrosa_model::control::{BirthError, ControlError, DeviceRole, KeyringError};
#[doc(inline)]
pub use subrosa_model::entropy::{Entropy, OsEntropy, SeededEntropy};
#[doc(inline)]
pub use subrosa_model::keys::{
    Aad, AadRule, BadSignature, Info, KeyError, KeyPair, KeyProvider, Profile, PublicKey, Session,
    SessionError, SharedSecret, SigningKey, SoftwareKey, ValueFormat, sign_with,
};
#[doc(inline)]
pub use subrosa_model::merge::hlc::Stamp;
#[doc(inline)]
pub use subrosa_model::merge::id::{RecordId, RecordIdParseError};
#[doc(inline)]
pub use subrosa_model::merge::op::{CollectionName, OpError};
#[doc(inline)]
pub use subrosa_model::merge::value::{Finite, JsonProblem, TypeProblem, VALUE_DEPTH_MAX, Value, ValueError};
#[doc(inline)]
pub use subrosa_model::pair::{AbortReason, PairCode, PairError, PairLink, PairLinkError};
pub use subrosa_protocol::addr::{AddrError, RelayAddr};
pub use subrosa_protocol::client_link::{LinkError, Progress, VaultFault};
pub use subrosa_protocol::error::{ErrorCode, Refusal};
pub use subrosa_protocol::ids::VaultId;
#[doc(inline)]
pub use subrosa_store::error::{StoreError, StorePart};
#[doc(inline)]
pub use subrosa_store::process::{ForkSign, ProcessNumber};
pub use sync::{Sync, SyncEvent, SyncEvents, SyncMoment};
pub use transaction::Transaction;
pub use vault::{Delivery, Vault, WriteTx};
