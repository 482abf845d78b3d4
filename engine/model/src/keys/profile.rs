//! Profiles: what turns a shared secret into one application's sessions.

use sha2::{Digest, Sha256};
use subrosa_protocol::labels;

use super::PublicKey;

/// Parameters of a [`Session`](super::Session). Two sessions understand each other when their profiles are equal.
///
/// The two built-in ones are [`Self::supabase_e2ee_v1`] and [`Self::subrosa_v1`]; methods make others of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Salt of HKDF; empty is the same as 32 zero bytes (RFC 5869, 2.2).
    pub salt: Vec<u8>,
    /// Info of HKDF.
    pub info: Info,
    /// What is authenticated beside the message.
    pub aad: AadRule,
    /// How values become bytes.
    pub values: ValueFormat,
}

/// Info of HKDF.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Info {
    /// These bytes.
    Fixed(Vec<u8>),
    /// These bytes, then the two public keys (65 bytes each) in byte order, so that the key depends on who is
    /// meant and not only on what ECDH gave.
    WithKeys(Vec<u8>),
}

/// What a session authenticates beside the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AadRule {
    /// Nothing; giving some is an error.
    None,
    /// What the caller gives with each message, maybe nothing.
    PerMessage,
    /// `sender public | recipient public`, then what the caller gives. A message sent back to its sender does
    /// not open.
    Directed,
}

/// How a `serde` value becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueFormat {
    /// Compact JSON: no white space, members in declaration order.
    Json,
    /// Postcard (<https://postcard.jamesmunns.com>).
    Postcard,
}

impl Profile {
    /// `supabase-e2ee-v1`, byte compatible with the other implementations of that scheme: no salt, no AAD,
    /// values as compact JSON. Nothing in it binds a message to its direction or place; use it to talk to them.
    pub fn supabase_e2ee_v1() -> Self {
        Self {
            salt: Vec::new(),
            info: Info::Fixed(b"supabase-e2ee-v1".to_vec()),
            aad: AadRule::None,
            values: ValueFormat::Json,
        }
    }

    /// `subrosa/1`: the salt is the SHA-256 of `context`, the key depends on both public keys, AAD names sender
    /// and recipient, values are postcard. `context` says what the session is for; another context is another key.
    pub fn subrosa_v1(context: &[u8]) -> Self {
        Self {
            salt: Sha256::digest(context).to_vec(),
            info: Info::WithKeys(labels::SESSION.to_vec()),
            aad: AadRule::Directed,
            values: ValueFormat::Postcard,
        }
    }

    /// With another salt.
    #[must_use]
    pub fn salt(self, salt: impl Into<Vec<u8>>) -> Self {
        Self { salt: salt.into(), ..self }
    }

    /// With another info.
    #[must_use]
    pub fn info(self, info: Info) -> Self {
        Self { info, ..self }
    }

    /// With something else authenticated beside the message.
    #[must_use]
    pub fn aad(self, aad: AadRule) -> Self {
        Self { aad, ..self }
    }

    /// With another form of values.
    #[must_use]
    pub fn values(self, values: ValueFormat) -> Self {
        Self { values, ..self }
    }
}

impl Info {
    /// The parts of the info for a session of these two, in either order.
    pub(super) fn parts<'a>(&'a self, one: &'a PublicKey, other: &'a PublicKey) -> Vec<&'a [u8]> {
        match self {
            Self::Fixed(bytes) => vec![bytes],
            Self::WithKeys(bytes) => vec![bytes, one.min(other).as_bytes(), one.max(other).as_bytes()],
        }
    }
}
