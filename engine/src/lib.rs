//! Subrosa: an embedded, end-to-end encrypted, local-first database with sync.

mod entropy;
mod keys;
#[allow(dead_code, reason = "the parts that seal are built on top of it")]
mod seal;
mod store;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use keys::{
    Aad, AadRule, BadSignature, Info, KeyError, KeyPair, KeyProvider, Profile, PublicKey, Session,
    SessionError, SharedSecret, SigningKey, SoftwareKey, ValueFormat, sign_with,
};
pub use store::{StoreError, StorePart};
