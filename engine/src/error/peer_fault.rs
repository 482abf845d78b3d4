//! What a relay or peer does wrong.

/// What a relay or peer did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A segment came before its log was introduced.
    #[error("a segment of an unknown log")]
    UnknownLog,
    /// A segment whose kind is not the one of its log.
    #[error("a segment of the wrong kind for its log")]
    WrongKind,
    /// A segment whose signature does not hold.
    #[error("a segment whose signature does not hold")]
    BadSignature,
    /// More logs than a vault may have.
    #[error("more logs than a vault may have")]
    TooManyLogs,
    /// An acknowledgement of something that does not exist.
    #[error("an acknowledgement of something never sent")]
    BadAck,
    /// It claims again and again that our own logs have another future. Reopen the store if it should be believed.
    #[error("a relay that keeps disputing this device's own logs")]
    DisputedLogs,
    /// A grant for another vault, or none at all.
    #[error("a grant that is not for this vault")]
    BadGrant,
    /// Statements that do not lead from the vault's id to the one that this device was let in with.
    #[error("statements that do not lead to this device's")]
    BadStatements,
}
