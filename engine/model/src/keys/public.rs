//! Public keys: points on P-256, always checked, always in one encoding.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use p256::elliptic_curve::sec1::ToSec1Point;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subrosa_protocol::ids::PublicKeyBytes;

use super::KeyError;

/// A point on P-256 other than infinity, as 65 bytes `04 | X | Y` (SEC 1, 2.3.3).
///
/// Every value was checked to lie on the curve, so no later step needs to. There is exactly one encoding, so
/// equal keys have equal bytes. `Display` and `Debug` print a short id for logs, never for decisions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 65]);

impl PublicKey {
    /// Reads the uncompressed form, and only that: 65 bytes that start with 04.
    ///
    /// # Errors
    ///
    /// [`KeyError::PublicKeyEncoding`] for any other form (compressed, hybrid, SPKI),
    /// [`KeyError::NotOnCurve`] for coordinates out of range or off the curve.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; 65] =
            bytes.try_into().map_err(|_| KeyError::PublicKeyEncoding { bytes: bytes.len() })?;
        if point[0] != UNCOMPRESSED {
            return Err(KeyError::PublicKeyEncoding { bytes: bytes.len() });
        }
        p256::PublicKey::from_sec1_bytes(&point).map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self(point))
    }

    /// Reads a DER `SubjectPublicKeyInfo` (RFC 5480) with the named curve and an uncompressed point: 91 bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::from_sec1`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        match der.strip_prefix(&SPKI_PREFIX) {
            Some(point) if point.len() == 65 => Self::from_sec1(point),
            _ => Err(KeyError::PublicKeyEncoding { bytes: der.len() }),
        }
    }

    /// Writes a DER `SubjectPublicKeyInfo` (RFC 5480).
    pub fn to_spki_der(&self) -> [u8; 91] {
        let mut der = [0; 91];
        der[..26].copy_from_slice(&SPKI_PREFIX);
        der[26..].copy_from_slice(&self.0);
        der
    }

    /// Reads the published text: the 65 bytes in standard Base64 with padding, 88 characters.
    ///
    /// # Errors
    ///
    /// As [`Self::from_sec1`].
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let refused = KeyError::PublicKeyEncoding { bytes: text.len() };
        if text.len() != 88 {
            return Err(refused);
        }
        Self::from_sec1(&BASE64.decode(text.as_bytes()).map_err(|_| refused)?)
    }

    /// The text to publish: the 65 bytes in standard Base64 with padding.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// The bytes `04 | X | Y`.
    pub fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// The point that these bytes were checked to be.
    pub(super) fn point(&self) -> p256::PublicKey {
        p256::PublicKey::from_sec1_bytes(&self.0).expect("checked to be on the curve when it was made")
    }

    /// Takes a point, which cannot be off the curve.
    pub(super) fn from_point(point: &p256::PublicKey) -> Self {
        let encoded = point.to_uncompressed_point();
        let bytes: &[u8] = encoded.as_ref();
        Self(bytes.try_into().expect("an uncompressed P-256 point has 65 bytes"))
    }
}

/// For the wire; the way back is [`PublicKey::from_sec1`], which checks.
impl From<PublicKey> for PublicKeyBytes {
    fn from(key: PublicKey) -> Self {
        Self::from_bytes(key.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&Sha256::digest(self.0)[..4]))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Base64 text in formats for people, 65 bytes elsewhere.
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_base64())
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(PublicKeyVisitor)
        } else {
            deserializer.deserialize_bytes(PublicKeyVisitor)
        }
    }
}

struct PublicKeyVisitor;

impl Visitor<'_> for PublicKeyVisitor {
    type Value = PublicKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an uncompressed P-256 public key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PublicKey, E> {
        PublicKey::from_base64(text).map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<PublicKey, E> {
        PublicKey::from_sec1(bytes).map_err(E::custom)
    }
}

/// First byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// `SubjectPublicKeyInfo` up to the point: id-ecPublicKey, prime256v1, a bit string of 66 bytes.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;
    use crate::keys::KeyPair;

    fn some_key() -> PublicKey {
        KeyPair::generate(&OsEntropy).public()
    }

    #[test]
    fn every_encoding_reads_back() {
        let key = some_key();
        assert_eq!(PublicKey::from_sec1(key.as_bytes()), Ok(key));
        assert_eq!(PublicKey::from_spki_der(&key.to_spki_der()), Ok(key));
        assert_eq!(PublicKey::from_base64(&key.to_base64()), Ok(key));
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(json, format!("\"{}\"", key.to_base64()));
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        let packed = postcard::to_stdvec(&key).unwrap();
        assert_eq!(packed.len(), 66);
        assert_eq!(postcard::from_bytes::<PublicKey>(&packed).unwrap(), key);
    }

    #[test]
    fn other_forms_are_refused() {
        let key = some_key();
        let point = *key.as_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = point;
            bytes[at] = byte;
            bytes.to_vec()
        };
        let encoding = |bytes| Err(KeyError::PublicKeyEncoding { bytes });
        let cases = [
            ("empty", vec![], encoding(0)),
            ("infinity", vec![0], encoding(1)),
            ("compressed", [&[2 + (point[64] & 1)], &point[1..33]].concat(), encoding(33)),
            ("hybrid", with(0, 6 + (point[64] & 1)), encoding(65)),
            ("first byte", with(0, 0), encoding(65)),
            ("short", point[..64].to_vec(), encoding(64)),
            ("long", [&point[..], &[0]].concat(), encoding(66)),
            ("spki", key.to_spki_der().to_vec(), encoding(91)),
            ("off the curve", with(64, point[64] ^ 1), Err(KeyError::NotOnCurve)),
            ("zeros", [&[4u8][..], &[0; 64]].concat(), Err(KeyError::NotOnCurve)),
            ("above the prime", [&[4u8][..], &[0xff; 64]].concat(), Err(KeyError::NotOnCurve)),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(PublicKey::from_sec1(&bytes), expected, "{name}");
            let packed = postcard::to_stdvec(&bytes).unwrap();
            assert!(postcard::from_bytes::<PublicKey>(&packed).is_err(), "{name}");
        }
    }

    #[test]
    fn spki_of_another_kind_is_refused() {
        let der = some_key().to_spki_der();
        for at in 0..27 {
            let mut altered = der;
            altered[at] ^= 1;
            assert!(PublicKey::from_spki_der(&altered).is_err(), "byte {at}");
        }
        assert!(PublicKey::from_spki_der(&der[..90]).is_err());
        assert!(PublicKey::from_spki_der(&[&der[..], &[0]].concat()).is_err());
        assert!(PublicKey::from_spki_der(&[]).is_err());
    }

    #[test]
    fn text_has_one_form() {
        let text = some_key().to_base64();
        assert!(PublicKey::from_base64(text.trim_end_matches('=')).is_err());
        assert!(PublicKey::from_base64(&format!("{text}\n")).is_err());
        assert!(PublicKey::from_base64(&format!(" {}", &text[1..])).is_err());
        assert!(PublicKey::from_base64("").is_err());
        // The last character holds two bits that no byte needs; they must be zero.
        let (front, last) = (&text[..86], text.as_bytes()[86]);
        assert!(PublicKey::from_base64(&format!("{front}{}=", char::from(last + 1))).is_err());
    }
}
