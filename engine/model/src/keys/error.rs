//! Why a key was refused.

/// Why a key could not be read or used.
///
/// Ids and numbers only: no variant carries key bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one of the encodings this constructor reads. Check which form the other side writes: points are 65
    /// bytes uncompressed, SPKI is 91 bytes of DER, text is padded standard Base64.
    #[error("not a public key in the expected encoding ({bytes} bytes)")]
    PublicKeyEncoding {
        /// Length of what was given.
        bytes: usize,
    },
    /// The right shape, but no point of P-256. Whoever sent it is broken or attacks: refuse the peer.
    #[error("public key is not a point on the curve")]
    NotOnCurve,
    /// Not an unencrypted PKCS#8 P-256 key in one of the four forms that are read (67, 79, 138, 150 bytes).
    #[error("not a PKCS#8 private key in a known form ({bytes} bytes)")]
    PrivateKeyEncoding {
        /// Length of what was given.
        bytes: usize,
    },
    /// The private scalar is zero or not below the group order. The file is damaged: use a copy of it.
    #[error("private scalar out of range")]
    ScalarOutOfRange,
    /// The public key inside the private key file belongs to another scalar. The file was damaged or edited.
    #[error("embedded public key does not belong to the private key")]
    PublicKeyMismatch,
    /// The peer's public key is our own: somebody echoes us. Use a self session when that is what is meant.
    #[error("the peer's public key is our own")]
    PeerIsSelf,
    /// A [`KeyProvider`](super::KeyProvider) outside this library failed, with its own code: the hardware is
    /// locked, gone, or the user declined. Retry when that has changed.
    #[error("key provider failed with code {code}")]
    Provider {
        /// The provider's own number.
        code: i32,
    },
    /// A [`KeyProvider`](super::KeyProvider) returned a signature that its public key does not confirm. The
    /// provider is broken, or names the wrong public key; nothing was sent.
    #[error("key provider returned a signature that does not hold")]
    ProviderSignature,
    /// A [`KeyProvider`](super::KeyProvider) agreed on something that does not fit its public key. The provider is
    /// broken, or names the wrong public key; nothing was made.
    #[error("key provider agreed on a secret that does not fit its public key")]
    ProviderAgreement,
}
