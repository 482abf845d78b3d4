//! Key pairs, signatures and sessions: everything that starts from one P-256 key pair.
//!
//! ```text
//! Session(private, peer public, profile):
//!   shared = X coordinate of ECDH, 32 bytes, leading zeros kept
//!   key    = HKDF-SHA256(ikm = shared, salt, info, 32 bytes)            RFC 5869
//!   sealed = nonce[12] | ciphertext | tag[16], AES-256-GCM              NIST SP 800-38D
//! ```
//!
//! A public key is always a point on the curve (SEC 1, uncompressed), a signature always has a low `s`, a
//! private key is always a scalar in `1..n`, and its public key is always computed, never taken on trust; only what this
//! store wrote and authenticated is read back as it stands.
//!
//! This module must never hand out a scalar other than as PKCS#8 in a [`Zeroizing`](zeroize::Zeroizing) buffer,
//! print one, copy one, or compare two. Formats: docs/FORMAT.md; choice of libraries: docs/adr/0001.

mod cipher;
pub mod cost;
mod error;
pub mod kdf;
mod pair;
mod pkcs8;
mod profile;
mod provider;
mod public;
pub mod secret;
mod session;
mod signature;
mod signing;
mod software;

pub use error::KeyError;
pub use pair::KeyPair;
pub use profile::{AadRule, Info, Profile, ValueFormat};
pub use provider::{KeyProvider, SharedSecret, check_agreement, sign_with};
pub use public::PublicKey;
pub use session::{Aad, Session, SessionError};
pub use signature::BadSignature;
pub use signing::SigningKey;
pub use software::SoftwareKey;
