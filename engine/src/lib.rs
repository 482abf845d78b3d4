//! Subrosa: an embedded, end-to-end encrypted, local-first database with sync.

mod entropy;
mod keys;

pub use entropy::{Entropy, OsEntropy, SeededEntropy};
pub use keys::{
    Aad, AadRule, BadSignature, Info, KeyError, KeyPair, KeyProvider, Profile, PublicKey, Session,
    SessionError, SharedSecret, SigningKey, SoftwareKey, ValueFormat, sign_with,
};
