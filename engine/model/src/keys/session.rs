//! Sessions: one symmetric key for two key pairs, or for one pair with itself.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::cipher::{Cipher, OVERHEAD};
use super::profile::{AadRule, Profile, ValueFormat};
use super::{KeyError, KeyProvider, PublicKey, kdf};
use crate::entropy::Entropy;

/// Seals and opens messages between two key pairs, or for one pair alone.
///
/// A sealed message is `nonce[12] | ciphertext | tag[16]`, 28 bytes longer than what it holds. Nonces are
/// random, so one pair of keys and profile should seal at most 2^32 messages (NIST SP 800-38D, 8.3). Wiped on
/// drop; `Debug` prints short ids only.
///
/// ```
/// use subrosa_model::entropy::OsEntropy;
/// use subrosa_model::keys::{Aad, Profile, Session, SoftwareKey};
///
/// let key = SoftwareKey::generate(&OsEntropy);
/// let session = Session::self_session(&key, &Profile::subrosa_v1(b"my app: notes"))?;
/// let sealed = session.seal_text(&OsEntropy, Aad::new(b"note 7"), "said in confidence")?;
/// assert_eq!(*session.open_text(Aad::new(b"note 7"), &sealed)?, "said in confidence");
/// assert!(session.open_text(Aad::new(b"note 8"), &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session {
    cipher: Cipher,
    own: PublicKey,
    peer: PublicKey,
    aad: AadRule,
    values: ValueFormat,
}

/// What is authenticated beside a message and not sent with it: where it belongs, what number it has.
#[derive(Debug, Clone, Copy)]
pub struct Aad<'a>(&'a [u8]);

impl<'a> Aad<'a> {
    /// Nothing.
    pub const NONE: Aad<'static> = Aad(&[]);

    /// These bytes. Both sides must come to the same.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// Why a message was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Wrong key, wrong AAD or profile, or altered bytes; they must look alike. Drop the message.
    #[error("message of {bytes} bytes failed authentication")]
    NotAuthentic {
        /// Length of the message.
        bytes: usize,
    },
    /// Shorter than any sealed message (28 bytes). It was cut, or is something else.
    #[error("message of {bytes} bytes is shorter than a seal")]
    TooShort {
        /// Length of the message.
        bytes: usize,
    },
    /// More than AES-GCM can seal at once (64 GiB). Split it.
    #[error("{bytes} bytes are too much for one message")]
    TooLong {
        /// Length of the plaintext.
        bytes: usize,
    },
    /// The profile has no AAD, but some was given. Use [`Aad::NONE`], or another profile.
    #[error("profile takes no associated data")]
    NoAadHere,
    /// Authentic, but not UTF-8: the sender sealed bytes. Open it as bytes.
    #[error("message is authentic but not text")]
    NotText,
    /// Authentic, but not a value of the type asked for; or a value that its format cannot write (a map with
    /// keys that are no strings, in JSON). Both sides must use the same type and profile.
    #[error("value does not fit its format")]
    NotAValue,
}

impl Session {
    /// The session of a pair with itself: for what only its owner shall read.
    ///
    /// # Errors
    ///
    /// What the provider returns.
    pub fn self_session(provider: &dyn KeyProvider, profile: &Profile) -> Result<Self, KeyError> {
        Self::derive(provider, provider.public(), profile)
    }

    /// The session with another pair. Both sides get the same one.
    ///
    /// # Errors
    ///
    /// [`KeyError::PeerIsSelf`] when the peer's key is our own; else what the provider returns.
    pub fn peer(provider: &dyn KeyProvider, peer: &PublicKey, profile: &Profile) -> Result<Self, KeyError> {
        if *peer == provider.public() {
            return Err(KeyError::PeerIsSelf);
        }
        Self::derive(provider, *peer, profile)
    }

    fn derive(provider: &dyn KeyProvider, peer: PublicKey, profile: &Profile) -> Result<Self, KeyError> {
        let own = provider.public();
        let shared = provider.agree(&peer)?;
        let info = profile.info.parts(&own, &peer);
        let key = kdf::derive(shared.dangerous_bytes(), &profile.salt, &info);
        Ok(Self { cipher: Cipher::new(&key), own, peer, aad: profile.aad, values: profile.values })
    }

    /// Seals bytes.
    ///
    /// # Errors
    ///
    /// [`SessionError::NoAadHere`], [`SessionError::TooLong`].
    pub fn seal(
        &self,
        entropy: &dyn Entropy,
        aad: Aad<'_>,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SessionError> {
        let aad = self.full_aad(&self.own, &self.peer, aad)?;
        self.cipher
            .seal(entropy.array(), &aad, plaintext)
            .map_err(|_| SessionError::TooLong { bytes: plaintext.len() })
    }

    /// Opens bytes that the other side sealed.
    ///
    /// # Errors
    ///
    /// [`SessionError::NotAuthentic`], [`SessionError::TooShort`], [`SessionError::NoAadHere`].
    pub fn open(&self, aad: Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let bytes = sealed.len();
        if bytes < OVERHEAD {
            return Err(SessionError::TooShort { bytes });
        }
        let aad = self.full_aad(&self.peer, &self.own, aad)?;
        self.cipher.open(&aad, sealed).ok_or(SessionError::NotAuthentic { bytes })
    }

    /// Seals text: its UTF-8, without quotes.
    ///
    /// # Errors
    ///
    /// As [`Self::seal`].
    pub fn seal_text(
        &self,
        entropy: &dyn Entropy,
        aad: Aad<'_>,
        text: &str,
    ) -> Result<Vec<u8>, SessionError> {
        self.seal(entropy, aad, text.as_bytes())
    }

    /// Opens text.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and [`SessionError::NotText`].
    pub fn open_text(&self, aad: Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<String>, SessionError> {
        let plaintext = self.open(aad, sealed)?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| SessionError::NotText)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Seals any value that `serde` can write, in the profile's [`ValueFormat`].
    ///
    /// # Errors
    ///
    /// As [`Self::seal`], and [`SessionError::NotAValue`].
    pub fn seal_value<T: Serialize + ?Sized>(
        &self,
        entropy: &dyn Entropy,
        aad: Aad<'_>,
        value: &T,
    ) -> Result<Vec<u8>, SessionError> {
        let encoded = match self.values {
            ValueFormat::Json => serde_json::to_vec(value).ok(),
            ValueFormat::Postcard => postcard::to_stdvec(value).ok(),
        };
        self.seal(entropy, aad, &Zeroizing::new(encoded.ok_or(SessionError::NotAValue)?))
    }

    /// Opens a value. All of the message must belong to it.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and [`SessionError::NotAValue`].
    pub fn open_value<T: DeserializeOwned>(&self, aad: Aad<'_>, sealed: &[u8]) -> Result<T, SessionError> {
        let plaintext = self.open(aad, sealed)?;
        // The sources of these errors quote what they could not read, so they stay here.
        match self.values {
            ValueFormat::Json => serde_json::from_slice(&plaintext).map_err(|_| SessionError::NotAValue),
            ValueFormat::Postcard => match postcard::take_from_bytes(&plaintext) {
                Ok((value, [])) => Ok(value),
                _ => Err(SessionError::NotAValue),
            },
        }
    }

    fn full_aad(
        &self,
        sender: &PublicKey,
        recipient: &PublicKey,
        given: Aad<'_>,
    ) -> Result<Vec<u8>, SessionError> {
        match self.aad {
            AadRule::None if given.0.is_empty() => Ok(Vec::new()),
            AadRule::None => Err(SessionError::NoAadHere),
            AadRule::PerMessage => Ok(given.0.to_vec()),
            AadRule::Directed => Ok([&sender.as_bytes()[..], recipient.as_bytes(), given.0].concat()),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("own", &self.own).field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
