//! Private keys as PKCS#8 DER: `PrivateKeyInfo` (RFC 5958) around `ECPrivateKey` (RFC 5915), without encryption.
//!
//! Two optional members make four forms, each of one length, because the curve is fixed and DER leaves no
//! choice. So a form is recognised by its length and compared with its template, and nothing is parsed:
//!
//! | bytes | curve repeated inside | public key inside | written by |
//! | --- | --- | --- | --- |
//! | 67 | no | no | JDK |
//! | 79 | yes | no | |
//! | 138 | no | yes | OpenSSL, WebCrypto, this crate |
//! | 150 | yes | yes | |

use zeroize::Zeroizing;

use super::KeyError;

/// A private key as a file says it is; nothing is checked yet beyond the form.
pub(super) struct Parsed<'a> {
    /// Big endian, any value.
    pub(super) scalar: &'a [u8; 32],
    /// What the file claims; the truth is derived from the scalar.
    pub(super) public: Option<&'a [u8; 65]>,
}

/// Takes a file apart. Every byte other than the scalar and the point is compared.
pub(super) fn parse(der: &[u8]) -> Result<Parsed<'_>, KeyError> {
    FORMS
        .iter()
        .find(|form| form.bytes == der.len())
        .and_then(|form| form.split(der))
        .ok_or(KeyError::PrivateKeyEncoding { bytes: der.len() })
}

/// Writes the form with the public key inside, 138 bytes.
pub(super) fn write(scalar: &[u8; 32], public: &[u8; 65]) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(WRITTEN.bytes));
    for piece in WRITTEN.before_scalar().into_iter().chain([&scalar[..], &PUBLIC_HEAD, public]) {
        der.extend_from_slice(piece);
    }
    der
}

/// One of the four shapes; the lengths inside follow from which members are there.
struct Form {
    bytes: usize,
    /// The outer sequence, with its length.
    outer: &'static [u8],
    /// The octet string and the `ECPrivateKey` in it, with their lengths.
    inner: [u8; 4],
    has_curve: bool,
    has_public: bool,
}

const FORMS: [Form; 4] = [
    Form {
        bytes: 67,
        outer: &[0x30, 0x41],
        inner: [0x04, 0x27, 0x30, 0x25],
        has_curve: false,
        has_public: false,
    },
    Form {
        bytes: 79,
        outer: &[0x30, 0x4d],
        inner: [0x04, 0x33, 0x30, 0x31],
        has_curve: true,
        has_public: false,
    },
    WRITTEN,
    Form {
        bytes: 150,
        outer: &[0x30, 0x81, 0x93],
        inner: [0x04, 0x79, 0x30, 0x77],
        has_curve: true,
        has_public: true,
    },
];

const WRITTEN: Form = Form {
    bytes: 138,
    outer: &[0x30, 0x81, 0x87],
    inner: [0x04, 0x6d, 0x30, 0x6b],
    has_curve: false,
    has_public: true,
};

impl Form {
    fn before_scalar(&self) -> [&[u8]; 5] {
        [self.outer, &VERSION, &ALGORITHM, &self.inner, &SCALAR_HEAD]
    }

    fn split<'a>(&self, der: &'a [u8]) -> Option<Parsed<'a>> {
        let mut rest = der;
        for piece in self.before_scalar() {
            rest = rest.strip_prefix(piece)?;
        }
        let (scalar, mut rest) = rest.split_first_chunk::<32>()?;
        if self.has_curve {
            rest = rest.strip_prefix(&CURVE)?;
        }
        let public = match self.has_public {
            true => Some(rest.strip_prefix(&PUBLIC_HEAD)?.try_into().ok()?),
            false => rest.is_empty().then_some(None)?,
        };
        Some(Parsed { scalar, public })
    }
}

/// `version` 0 of `PrivateKeyInfo`.
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
/// id-ecPublicKey with prime256v1 (RFC 5480).
const ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// `version` 1 of `ECPrivateKey`, then the head of its 32-byte `privateKey`.
const SCALAR_HEAD: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
/// `parameters [0]`: prime256v1 again.
const CURVE: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// Head of `publicKey [1]`: a bit string of 66 bytes without unused bits.
const PUBLIC_HEAD: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
