//! What a checker found, by kind, so that a plan can be cut down without becoming another one's.

use std::fmt;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A local write that was acknowledged does not show where it was made.
    WriteWithoutEffect,
    /// A deleted record is there again.
    ComesBack,
    /// A record is gone that nobody deleted with knowledge.
    Hidden,
    /// An older value stands where a newer one should.
    Stale,
    /// A field is gone, or there again.
    Field,
    /// An op that was acknowledged is nowhere.
    Lost,
    /// An op is at some devices and not at others.
    Missing,
    /// An op is withheld after all clocks were put right.
    Withheld,
    /// Devices that have seen the same ops show different data.
    Differ,
    /// Devices do not agree who belongs to the vault, or forgot somebody.
    Members,
    /// A vault rests at a relay and does not go on.
    SyncEnds,
    /// What was acknowledged is gone after a stop.
    LostAtStop,
    /// A local call failed, and the disk is well.
    CallFails,
    /// A local call failed because its disk did, and said so. That breaks no promise: nobody who runs plans sees it.
    DiskFails,
    /// A store does not open.
    OpenFails,
    /// A device says that it has all that its relay had, and shows less.
    NotCaughtUp,
    /// A relay's log became shorter by itself.
    HeadsShrink,
    /// What users wrote stands readable in what a relay holds.
    Plaintext,
    /// A relay's word opened new logs.
    LogsForNothing,
    /// What a relay made up is still there.
    LeftBehind,
    /// The code panicked.
    Panic,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The promise.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

impl Failure {
    /// One of a kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}
