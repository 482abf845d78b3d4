//! Identifiers and counters of the protocol: one newtype per idea, so that none can stand for another.

use std::fmt;

use crate::labels;

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
            /// All zeros; where the protocol gives that a meaning, its documentation says so.
            pub const ZERO: Self = Self([0; $len]);

            /// Wraps raw bytes; every value is valid.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..self.0.len().min(8)]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

byte_id!(
    /// Names a vault: a hash that binds recovery commitment, genesis and founder's admin key (`docs/FORMAT.md`
    /// section 6).
    VaultId,
    32
);
byte_id!(
    /// Names a log: the first 16 bytes of `SHA-256("subrosa/1 log" | public key)`.
    LogId,
    16
);
byte_id!(
    /// Hash that a log's segment ends in and the next one builds on; zero before seq 0.
    Chain,
    32
);
byte_id!(
    /// Random name of one life of a relay's database; a new one means cursors are void.
    Incarnation,
    16
);
byte_id!(
    /// Random name of a meeting of two devices at a relay, valid for minutes.
    RendezvousId,
    16
);
byte_id!(
    /// SHA-256 over all heads a relay shows at a cursor; see [`crate::digest`].
    Digest,
    32
);
byte_id!(
    /// SHA-256 of a relay's SubjectPublicKeyInfo, pinned by its clients.
    Pin,
    32
);
byte_id!(
    /// ECDSA P-256 signature, `r | s`, with low `s`.
    Signature,
    64
);
byte_id!(
    /// An uncompressed SEC1 P-256 public key. Not checked to lie on the curve: verification does that.
    PublicKeyBytes,
    65
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// The value after this one; saturates at the end of the range, which no log reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Position of a segment in its log, from 0 without gaps.
    Seq,
    u64
);
counter!(
    /// Position of a segment in a relay's feed of one vault, from 1; 0 is "nothing yet".
    Rseq,
    u64
);
counter!(
    /// Period in which one vault key is in use.
    Epoch,
    u32
);
counter!(
    /// Number of a statement in its chain.
    Generation,
    u64
);

impl LogId {
    /// The id of the log whose segments `public` signs.
    #[must_use]
    pub fn of(public: &PublicKeyBytes) -> Self {
        let hash = labels::hash(labels::LOG_ID, &[public.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }
}

impl VaultId {
    /// Binds the three facts of a vault's birth; see `docs/FORMAT.md` section 6.
    #[must_use]
    pub fn derive(
        recovery_commitment: &[u8; 32],
        genesis_hash: &[u8; 32],
        founder_admin: &PublicKeyBytes,
    ) -> Self {
        Self(labels::hash(labels::VAULT_ID, &[recovery_commitment, genesis_hash, founder_admin.as_bytes()]))
    }
}

/// Where a log begins for whoever holds it. What is before was never here, or is here no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    /// Its first segment.
    pub seq: Seq,
    /// The chain before that one.
    pub chain: Chain,
}

impl Base {
    /// Of a log that is here from its first segment on.
    pub const WHOLE: Self = Self { seq: Seq(0), chain: Chain::ZERO };

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }
}

impl Default for Base {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// Last segment of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// Its last segment.
    pub seq: Seq,
    /// That segment's chain hash.
    pub chain: Chain,
}
