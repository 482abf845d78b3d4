//! Subrosa: an embedded, end-to-end encrypted, local-first database with sync.

#[allow(dead_code, unused_imports, reason = "the engine's core is built on top of it")]
mod control;
mod entropy;
mod keys;
#[allow(dead_code, reason = "the store and the collections, which call it, land after it")]
mod merge;
#[allow(dead_code, unused_imports, reason = "the drivers of both sides are built on top of it")]
mod pair;
#[allow(dead_code, reason = "the parts that seal are built on top of it")]
mod seal;
mod store;

pub use control::{BirthError, ControlError, DeviceRole, KeyringError};
pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use keys::{
    Aad, AadRule, BadSignature, Info, KeyError, KeyPair, KeyProvider, Profile, PublicKey, Session,
    SessionError, SharedSecret, SigningKey, SoftwareKey, ValueFormat, sign_with,
};
pub use merge::hlc::Stamp;
pub use merge::id::{RecordId, RecordIdParseError};
pub use merge::op::{CollectionName, OpError};
pub use merge::value::{Finite, JsonProblem, TypeProblem, VALUE_DEPTH_MAX, Value, ValueError};
pub use pair::{AbortReason, PairCode, PairError, PairLink, PairLinkError};
pub use store::{StoreError, StorePart};
