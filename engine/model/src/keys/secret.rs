//! Secrets of 32 bytes, a type each, so that none can be passed for another (`docs/FORMAT.md`, "Keyring").
//!
//! Each is wiped when it is dropped, and has one owner: there is no way to copy one but by its bytes, whose name says what
//! it risks. They compare in constant time only, and print as their names.

use hkdf::Hkdf;
use sha2::Sha256;
use subrosa_protocol::codec::{DecodeError, Reader};
use subrosa_protocol::labels;
use subrosa_protocol::segment::Class;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::kdf;
use super::pair::KeyPair;
use crate::entropy::Entropy;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// Reads the 32 bytes that [`Self::dangerous_bytes`] gave.
            ///
            /// # Errors
            /// [`DecodeError::Truncated`].
            pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let mut secret = Zeroizing::new([0; 32]);
                secret.copy_from_slice(r.bytes(32)?);
                Ok(Self(secret))
            }

            /// The secret itself: for the sealed store, the sealed bundle, and nothing else.
            pub fn dangerous_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Whether both are the same secret; takes as long for any two.
            pub fn is(&self, other: &Self) -> bool {
                self.0[..].ct_eq(&other.0[..]).into()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

secret!(
    /// Seals the data of a vault during one epoch.
    EpochKey
);
secret!(
    /// Seals the control segments of a vault during one epoch; outlives the epoch key that it follows from.
    ControlKey
);
secret!(
    /// What a vault's recovery key follows from; the words that a user keeps.
    RecoveryEntropy
);

impl EpochKey {
    /// A new one, random.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(entropy.secret())
    }

    /// The control key of the same epoch.
    pub fn control(&self) -> ControlKey {
        ControlKey(kdf::expand(&self.0, &[labels::CONTROL_KEY]))
    }

    /// Proves a reader of this epoch; about 100 microseconds.
    pub fn read_key(&self) -> KeyPair {
        KeyPair::derive(&self.0, labels::READ_KEY)
    }
}

impl RecoveryEntropy {
    /// A new one, random.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(entropy.secret())
    }

    /// The recovery key; about 100 microseconds.
    pub fn key(&self) -> KeyPair {
        KeyPair::derive(&self.0, labels::RECOVERY_KEY)
    }
}

/// What a segment is sealed under, by its class.
#[derive(Clone, Copy, Debug)]
pub enum SegmentKey<'a> {
    /// A data segment.
    Data(&'a EpochKey),
    /// A control segment.
    Control(&'a ControlKey),
}

impl SegmentKey<'_> {
    /// The class of segments that it is for.
    pub const fn class(self) -> Class {
        match self {
            Self::Data(_) => Class::Data,
            Self::Control(_) => Class::Control,
        }
    }

    /// The key and the commitment of the one segment with this hash of its header.
    pub fn expand(self, hdr: &[u8; 32]) -> Zeroizing<[u8; 64]> {
        let secret = match self {
            Self::Data(key) => &key.0,
            Self::Control(key) => &key.0,
        };
        let mut okm = Zeroizing::new([0; 64]);
        let mut info = [0; labels::SEGMENT_KEY.len() + 32];
        info[..labels::SEGMENT_KEY.len()].copy_from_slice(labels::SEGMENT_KEY);
        info[labels::SEGMENT_KEY.len()..].copy_from_slice(hdr);
        Hkdf::<Sha256>::from_prk(&secret[..])
            .expect("32 bytes are a pseudorandom key for SHA-256")
            .expand(&info, &mut *okm)
            .expect("64 bytes are within what HKDF can expand to");
        okm
    }
}

impl<'a> From<&'a EpochKey> for SegmentKey<'a> {
    fn from(key: &'a EpochKey) -> Self {
        Self::Data(key)
    }
}

impl<'a> From<&'a ControlKey> for SegmentKey<'a> {
    fn from(key: &'a ControlKey) -> Self {
        Self::Control(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_secret_comes_back_from_its_bytes_and_prints_as_its_name() {
        let entropy = SeededEntropy::dangerous_from_seed(1);
        let (one, other) = (EpochKey::generate(&entropy), EpochKey::generate(&entropy));
        let mut reader = Reader::new(one.dangerous_bytes());
        let again = EpochKey::read(&mut reader).unwrap();
        assert!(again.is(&one) && !again.is(&other));
        assert_eq!(EpochKey::read(&mut reader).err(), Some(DecodeError::Truncated { needed: 32, left: 0 }));
        let printed = format!("{one:?} {:?} {:?}", one.control(), SegmentKey::from(&one));
        assert_eq!(printed, "EpochKey ControlKey Data(EpochKey)");
    }

    #[test]
    fn a_control_key_follows_from_its_epochs_key_and_seals_otherwise() {
        let key = EpochKey::generate(&SeededEntropy::dangerous_from_seed(2));
        let control = key.control();
        assert!(control.is(&key.control()));
        assert_ne!(control.dangerous_bytes(), key.dangerous_bytes());
        let hdr = [7; 32];
        assert_ne!(SegmentKey::from(&key).expand(&hdr), SegmentKey::from(&control).expand(&hdr));
    }
}
