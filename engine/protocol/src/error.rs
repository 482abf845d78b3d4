//! What a relay can tell its client is wrong: stable wire codes.

use std::fmt;

use crate::ids::{LogId, Seq, VaultId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a relay refused. Numbers never change their meaning; `docs/PROTOCOL.md` has the same table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code of a newer relay.
            Other(u16),
        }

        impl ErrorCode {
            /// Every code that this version knows, with its wire number and short name.
            pub const TABLE: &[(Self, u16, &str)] = &[$((Self::$name, $code, $text),)*];

            /// The wire number.
            #[must_use]
            pub const fn to_wire(self) -> u16 {
                match self { $(Self::$name => $code,)* Self::Other(code) => code }
            }

            /// Reads a wire number; unknown ones are kept.
            #[must_use]
            pub const fn from_wire(code: u16) -> Self {
                match code { $($code => Self::$name,)* other => Self::Other(other) }
            }
        }

        impl fmt::Display for ErrorCode {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$name => f.write_str($text),)* Self::Other(code) => write!(f, "code {code}") }
            }
        }
    };
}

codes! {
    /// A frame that does not parse or is out of place; the link ends.
    BadFrame = 1, "bad frame";
    /// No common version; the link ends.
    Version = 2, "no common version";
    /// The relay has no such vault; CREATE is permitted now if a credential is at hand.
    UnknownVault = 3, "unknown vault";
    /// The proof of membership does not hold, or its key is not the statement's.
    AuthFailed = 4, "authentication failed";
    /// The link proved a reader only.
    NotWriter = 5, "not a writer";
    /// The relay is closed and no invite or grant came with CREATE.
    NeedsInvite = 6, "invite needed";
    /// The invite is used up, revoked or of another relay.
    InviteRefused = 7, "invite refused";
    /// The vault's bytes are used up; the data stays with the device.
    QuotaBytes = 8, "quota";
    /// The segment is larger than this relay takes.
    SegmentTooLarge = 9, "segment too large";
    /// Too much at once; try again after the given time.
    RateLimited = 10, "rate";
    /// Another chain stands at this log and seq.
    Conflict = 11, "conflict";
    /// The segment does not continue its log.
    Gap = 12, "gap";
    /// A segment's or statement's signature does not hold.
    BadSignature = 13, "bad signature";
    /// No LOG frame came before this log's first segment.
    UnknownLog = 14, "unknown log";
    /// The vault has as many logs as the relay takes.
    TooManyLogs = 15, "too many logs";
    /// The relay is shutting down; reconnect after the given time.
    Draining = 16, "draining";
    /// The relay failed; nothing was acknowledged.
    Internal = 17, "internal";
    /// The rendezvous is unknown, over, or used.
    NoRendezvous = 18, "no such rendezvous";
    /// The statement chain does not hold or does not extend the known one.
    StatementRefused = 19, "statement refused";
    /// More vaults than one link may have.
    TooManyVaults = 20, "too many vaults";
    /// The grant is not this relay's, or not for this vault.
    GrantRefused = 21, "grant refused";
    /// The relay's disk is full; nothing was acknowledged.
    RelayFull = 22, "relay full";
    /// The kind of a segment is not the one of its log.
    WrongKind = 23, "wrong kind of segment";
    /// The log has ended with a closing segment; nothing stands behind that.
    Closed = 24, "closed";
    /// HEADS whose logs do not ascend over all parts, or more of them than a vault may have.
    HeadsRefused = 25, "heads refused";
}

impl ErrorCode {
    /// Whether the link ends with this error.
    #[must_use]
    pub const fn ends_link(self) -> bool {
        matches!(self, Self::BadFrame | Self::Version | Self::Draining)
    }
}

/// An ERROR frame: what was refused, why, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("relay refused: {code}")]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// Seconds to wait before trying again; 0 when waiting does not help by itself.
    pub retry_after_secs: u32,
    /// The vault concerned, or [`VaultId::ZERO`] for the link.
    pub vault: VaultId,
    /// The log concerned, or [`LogId::ZERO`].
    pub log: LogId,
    /// The segment concerned, where `log` is given.
    pub seq: Seq,
}

impl Refusal {
    /// A refusal that concerns the whole link.
    #[must_use]
    pub const fn link(code: ErrorCode) -> Self {
        Self { code, retry_after_secs: 0, vault: VaultId::ZERO, log: LogId::ZERO, seq: Seq(0) }
    }

    /// A refusal that concerns one vault.
    #[must_use]
    pub const fn vault(code: ErrorCode, vault: VaultId) -> Self {
        Self { vault, ..Self::link(code) }
    }

    /// A refusal that concerns one segment.
    #[must_use]
    pub const fn segment(code: ErrorCode, vault: VaultId, log: LogId, seq: Seq) -> Self {
        Self { log, seq, ..Self::vault(code, vault) }
    }

    /// The same, with a time to wait.
    #[must_use]
    pub const fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: secs, ..self }
    }
}
