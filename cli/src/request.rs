//! What a command asks of a store, and how the answer comes back.
//!
//! Every command that works on an existing store is one [`Request`], executed in one place
//! ([`crate::execute`]) against a [`Caller`]: the terminal of this process, or the other end of the holder's
//! socket. So a command behaves the same whether it opened the store itself or asked the process that holds it.

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// One command on an existing store. What is about all of it may name a vault, which then has to be there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Put { vault: String, collection: String, id: Option<String>, json: String, replace: bool },
    Get { vault: String, collection: String, id: String, part: Part },
    List { vault: String, collection: String },
    Delete { vault: String, collection: String, id: String, field: Option<String> },
    Import { vault: String, collection: Option<String> },
    Export { vault: String, collection: Option<String> },
    Watch { vault: String },
    Sync { vault: Option<String>, timeout_secs: Option<u64> },
    SyncLive { vault: Option<String> },
    RelaySet { url: String },
    RelayShow,
    PairOffer { vault: Option<String>, yes: bool },
    Devices { vault: String },
    Status { vault: Option<String> },
    Verify { vault: Option<String> },
}

/// What of a record is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// The names of its fields.
    Names,
    /// One field.
    Field(String),
}

impl Request {
    /// Whether it may take long: then the process that executes it serves others meanwhile.
    pub(crate) fn is_long(&self) -> bool {
        match self {
            Self::Import { .. }
            | Self::Export { .. }
            | Self::List { .. }
            | Self::Watch { .. }
            | Self::Sync { .. }
            | Self::SyncLive { .. }
            | Self::PairOffer { .. }
            | Self::Verify { .. } => true,
            Self::Put { .. }
            | Self::Get { .. }
            | Self::Delete { .. }
            | Self::RelaySet { .. }
            | Self::RelayShow
            | Self::Devices { .. }
            | Self::Status { .. } => false,
        }
    }

    /// The vault that a request about the whole store was given.
    pub(crate) fn named_vault(&self) -> Option<&str> {
        match self {
            Self::Sync { vault, .. }
            | Self::SyncLive { vault }
            | Self::PairOffer { vault, .. }
            | Self::Status { vault }
            | Self::Verify { vault } => vault.as_deref(),
            _ => None,
        }
    }

    /// Whether it goes on until it is interrupted, which then is its normal end.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self, Self::Watch { .. } | Self::SyncLive { .. })
    }
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    /// Always shown.
    Plain,
    /// Shown with `-v`.
    Detail,
}

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// An import: what has been committed.
    Imported { records: u64, bytes: u64 },
    /// A sync: segments stored or acknowledged, how many there are as far as known, and the bytes of the former.
    Synced { done: u64, known: u64, bytes: u64 },
}

/// Something that only a person can decide: whether the device that answered the link is the right one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// The code that this device shows.
    pub(crate) code: String,
    /// What the other one calls itself.
    pub(crate) device: String,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Decision {
    /// Both show the same code.
    Same,
    /// The code that the other one shows, for the engine to compare.
    Code(String),
    /// The device is not to be let in.
    No,
}

/// The answer to `status`, `devices`, `verify` and their like: text for people and JSON for programs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// For a person, lines without the last end.
    pub(crate) text: String,
    /// For a program, one line.
    pub(crate) json: String,
}

/// Who asked, and gets the answer.
pub(crate) trait Caller {
    /// One line of data.
    fn line(&mut self, line: &str) -> Result<(), Failure>;

    /// An answer that is not a record.
    fn answer(&mut self, answer: &Answer) -> Result<(), Failure>;

    /// Pushes data out that [`Caller::line`] may have kept back.
    fn flush(&mut self) -> Result<(), Failure>;

    /// The link that a new device is to use: data, and on a terminal a picture of it.
    fn link(&mut self, link: &str) -> Result<(), Failure>;

    /// Something to read for a person.
    fn note(&mut self, level: Level, text: &str) -> Result<(), Failure>;

    /// Shows how far it is.
    fn progress(&mut self, progress: Progress) -> Result<(), Failure>;

    /// The next piece of the input, of any length; `None` at its end.
    fn input(&mut self) -> Result<Option<Vec<u8>>, Failure>;

    /// Lets a person decide.
    fn ask(&mut self, question: &Question) -> Result<Decision, Failure>;

    /// Whether the caller still waits: `false` once it was interrupted or has gone. To be asked several times a
    /// second by everything that waits.
    fn is_there(&mut self) -> bool;
}
