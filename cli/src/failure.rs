//! Every way in which a command fails, each with one line that says why and what to do.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use subrosa::{AddrError, BirthError, ErrorCode, OpError, PairError, StoreError, SyncError};

use crate::keyfile::KeyFileError;
use crate::line::LineError;

/// Why a command failed. The text says why, [`Failure::remedy`] what to do; neither holds what records hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no folder for the store is known")]
    NoPlace,
    #[error("the folder of the store cannot be made ({})", cause(.0))]
    Folder(io::Error),
    #[error("the folder of the store cannot be looked into ({})", cause(.0))]
    Closed(io::Error),
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
    #[error("{} holds a store already, or files that have the names of its own", .0.display())]
    StoreExists(PathBuf),
    #[error("{} holds a store already, and {} it", dir.display(), holder(*pid))]
    StoreInUse { dir: PathBuf, pid: Option<u32> },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("{} the store, and went on for {secs} s", holder(*.pid))]
    Held { pid: Option<u32>, secs: u64 },
    #[error("the process that holds the store ended before it had answered")]
    HolderGone,
    #[error("the process that holds the store is of another version")]
    HolderVersion,
    #[error("the process that holds the store does not speak the local protocol ({0})")]
    HolderFrame(&'static str),
    #[error("this process is ending")]
    Ending,
    #[error("interrupted")]
    Interrupted,
    #[error("signals cannot be caught ({})", cause(.0))]
    Signals(io::Error),
    #[error("the input cannot be read ({})", cause(.0))]
    Input(io::Error),
    #[error("the input is not UTF-8")]
    InputNotText,
    #[error("the input is longer than {limit} bytes")]
    InputTooLong { limit: usize },
    #[error("the output cannot be written ({})", cause(.0))]
    Output(io::Error),
    /// The reader of our output went away; nothing to say to anybody.
    #[error("the output was closed")]
    OutputClosed,
    #[error("the record is refused: {0}")]
    Line(#[from] LineError),
    #[error(
        "line {line}: {cause}; {stands} records of the lines before {resume} stand, nothing from there on was written"
    )]
    BadLine { line: u64, cause: Box<Failure>, stands: u64, resume: u64 },
    #[error(
        "the import stopped: {cause}; {stands} records of the lines before {resume} stand, nothing from there on was written"
    )]
    ImportStopped { cause: Box<Failure>, stands: u64, resume: u64 },
    #[error("the record has one id on the command line and another in its JSON")]
    TwoIds,
    #[error("there is no such record")]
    NoRecord,
    #[error("the record has no such field")]
    NoField,
    #[error("no relay is set")]
    NoRelay,
    #[error("the relay address is refused: {0}")]
    Addr(#[from] AddrError),
    #[error("no progress for {secs} s ({reason}), all data is kept")]
    Stalled { secs: u64, reason: String },
    #[error("not everything is here and there after {secs} s ({reason}), all data is kept")]
    Unfinished { secs: u64, reason: String },
    #[error("the relay refused: {0}, all data is kept")]
    Refused(ErrorCode),
    #[error(
        "the relay says that it has another copy's changes of this device, and shows none, all data is kept"
    )]
    Disputed,
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error("the codes were not confirmed, so the device was not let in")]
    Declined,
    /// By its name.
    #[error("{0} is let in, as an admin of the vault, but did not say that it has its keys")]
    Unconfirmed(String),
    #[error("the store has {damaged} damaged parts")]
    Damaged { damaged: u64 },
    #[error(transparent)]
    Engine(#[from] subrosa::Error),
    #[error("the demo cannot run ({})", cause(.0))]
    Demo(io::Error),
    #[error("the relay of the demo failed: {0}")]
    DemoRelay(Box<subrosa_relay::Error>),
    #[error("the relay of the demo did not start")]
    DemoRelaySilent,
    #[error("the devices of the demo did not converge")]
    DemoDiverged,
    #[error("{}", .0.reason)]
    Told(Told),
}

/// A failure as the holder tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Why.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) remedy: String,
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid} holds"),
        None => "another process holds".to_owned(),
    }
}

/// What the operating system says, in words for a user: the standard library's own are for its programmers.
pub(crate) fn cause(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder",
        io::ErrorKind::AlreadyExists => "a file of that name is there",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::NotADirectory => "a part of its path is a file",
        io::ErrorKind::InvalidFilename => "its name is too long",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no room is left",
        io::ErrorKind::ReadOnlyFilesystem => "nothing can be written there",
        kind => return kind.to_string(),
    };
    words.to_owned()
}

impl Failure {
    /// What the user can do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::NoPlace => "name a folder with --store".to_owned(),
            Self::Folder(_) => "choose another folder with --store".to_owned(),
            Self::Closed(_) => {
                "run the command as the owner of the store, or name another folder with --store".to_owned()
            }
            Self::NoStore(_) => {
                "run `subrosa init` or `subrosa pair join`, or name another folder with --store".to_owned()
            }
            Self::StoreExists(_) | Self::StoreInUse { .. } => {
                "use it, or name an empty folder with --store".to_owned()
            }
            Self::Key(error) => error.remedy(),
            Self::Held { .. } => "end that process, or wait longer with --wait".to_owned(),
            Self::HolderGone => "look whether the change is there, then try again".to_owned(),
            Self::HolderVersion | Self::HolderFrame(_) => {
                "end that process and start it again with this version".to_owned()
            }
            Self::Ending | Self::Interrupted | Self::Signals(_) => "run the command again".to_owned(),
            Self::Input(_) => "check the path and its permissions, or pass - for stdin".to_owned(),
            Self::InputNotText => "give text in UTF-8".to_owned(),
            Self::InputTooLong { .. } => "split it into smaller records".to_owned(),
            Self::Output(_) => "make room where the output goes, and run the command again".to_owned(),
            Self::OutputClosed => "nothing is to be done".to_owned(),
            Self::Line(error) => error.remedy().to_owned(),
            Self::BadLine { cause, resume, .. } | Self::ImportStopped { cause, resume, .. } => {
                format!("{}, then go on with `tail -n +{resume} FILE | subrosa import ... -`", cause.remedy())
            }
            Self::TwoIds => "give one of them".to_owned(),
            Self::NoRecord => "`subrosa list` shows the ids of a collection".to_owned(),
            Self::NoField => "`subrosa get --names` prints the names of its fields".to_owned(),
            Self::NoRelay => "run `subrosa relay set URL`".to_owned(),
            Self::Addr(_) => {
                "copy the whole address that `subrosa-relay init` or `invite new` printed".to_owned()
            }
            Self::Refused(code) => refused_remedy(*code).to_owned(),
            Self::Sync(_) => "run the command again".to_owned(),
            Self::Disputed => {
                "sync again; if it stays so, ask the relay's owner, or use another relay (`subrosa relay set URL`)".to_owned()
            }
            Self::Unfinished { .. } => {
                "sync again, it goes on from there; `subrosa status` shows what waits".to_owned()
            }
            Self::Stalled { .. } => {
                "check network, relay and its address (`subrosa relay show`), then sync again; `subrosa status` shows what waits"
                    .to_owned()
            }
            Self::Declined => "pair again, and compare the codes on both devices".to_owned(),
            Self::Unconfirmed(_) => {
                "`subrosa devices` lists it; there, run `subrosa pair join` again in the same folder, with a new link from \
                 `subrosa pair offer`: it becomes that device, or says that its store is there"
                    .to_owned()
            }
            Self::Damaged { .. } => {
                "pair a new device from a whole copy, and keep this store for a look".to_owned()
            }
            Self::Engine(error) => engine_remedy(error).to_owned(),
            Self::Demo(_) | Self::DemoRelay(_) | Self::DemoRelaySilent | Self::DemoDiverged => {
                "run it again; it left nothing behind".to_owned()
            }
            Self::Told(told) => told.remedy.clone(),
        }
    }

    /// As it crosses the holder's socket.
    pub(crate) fn tell(&self) -> Told {
        Told { reason: self.to_string(), remedy: self.remedy() }
    }
}

/// What the user can do about a failure of the engine.
fn engine_remedy(error: &subrosa::Error) -> &'static str {
    match error {
        subrosa::Error::Store(error) => store_remedy(error),
        subrosa::Error::Life(_) => "run the command again",
        subrosa::Error::NoVault => "`subrosa status` shows the vaults; choose with --vault",
        subrosa::Error::AlreadyExists => "use it, or name an empty folder with --store",
        subrosa::Error::Birth(BirthError::DeviceName { .. })
        | subrosa::Error::Pair(PairError::Name(BirthError::DeviceName { .. })) => {
            "choose another with --name"
        }
        subrosa::Error::Op(OpError::CollectionName { .. }) => {
            "name a collection in 1 to 128 bytes without control characters"
        }
        subrosa::Error::RecordTooLarge { .. } => {
            "read it field by field with `subrosa get --names` and `get --field NAME`, or in parts with `subrosa list`"
        }
        subrosa::Error::TransactionTooLarge { .. } => "write it in several parts",
        subrosa::Error::Value(_) | subrosa::Error::Op(_) => {
            "split the record, or shorten its names; see docs/CLI.md"
        }
        subrosa::Error::Pair(_) | subrosa::Error::PairLink(_) | subrosa::Error::Rendezvous(_) => {
            "make a new link with `subrosa pair offer`, and use it within five minutes"
        }
        subrosa::Error::NotPermitted => "ask the owner of the vault",
        subrosa::Error::UpdateNeeded => "update subrosa; what is here can be read, and nothing of it is lost",
        subrosa::Error::Birth(BirthError::LogsUsedUp) => {
            "pair a new folder from this device or another one; what is here can be read and exported"
        }
        _ => "run `subrosa verify`",
    }
}

fn store_remedy(error: &StoreError) -> &'static str {
    match error {
        StoreError::Io { .. } => "check the disk and the permissions of the folder",
        StoreError::DiskFull => "make room on the disk; nothing that was written is lost",
        StoreError::Locked { .. } => "end the process that holds it, or wait longer with --wait",
        StoreError::Missing => {
            "run `subrosa init` or `subrosa pair join`, or name another folder with --store"
        }
        StoreError::NotAStore => "name the folder of a store with --store",
        StoreError::WrongKey => "put the key file of this store back",
        StoreError::NewerFormat { .. } => "update subrosa",
        StoreError::OlderFormat { .. } => {
            "export with the subrosa that made it what is on no other device, and pair anew in another folder"
        }
        StoreError::Damaged { .. }
        | StoreError::Hole { .. }
        | StoreError::Truncated
        | StoreError::Inconsistent => {
            "keep the folder for a look, and pair anew in another one from a device that is whole"
        }
        StoreError::ValueTooLarge { .. } => "split the record",
        _ => "run the command again",
    }
}

fn refused_remedy(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NeedsInvite | ErrorCode::InviteRefused => {
            "ask for a new address with an invite (`subrosa-relay invite new`), then `subrosa relay set URL`"
        }
        ErrorCode::QuotaBytes | ErrorCode::TooManyLogs | ErrorCode::SegmentTooLarge => {
            "ask the relay's owner for more room, then sync again"
        }
        ErrorCode::RateLimited | ErrorCode::Draining | ErrorCode::RelayFull | ErrorCode::Internal => {
            "sync again later"
        }
        ErrorCode::Version => "update subrosa, or the relay",
        _ => "run `subrosa verify`, and `subrosa -v sync` once more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_may_lack_its_keys_is_named_with_where_it_is_seen_and_what_it_needs() {
        let failure = Failure::Unconfirmed("phone".to_owned());
        assert!(failure.to_string().starts_with("phone is let in"), "{failure}");
        let remedy = failure.remedy();
        assert!(
            remedy.contains("`subrosa devices` lists it") && remedy.contains("in the same folder"),
            "{remedy}"
        );
    }

    #[test]
    fn a_store_of_another_format_is_named_with_what_to_do() {
        let older = StoreError::OlderFormat { found: 2, supported: 5 };
        let newer = StoreError::NewerFormat { found: 6, supported: 5 };
        for (error, names, does) in [(older, "format 2", "pair anew"), (newer, "format 6", "update subrosa")]
        {
            let failure = Failure::Engine(subrosa::Error::Store(error));
            let (reason, remedy) = (failure.to_string(), failure.remedy());
            assert!([names, "5"].iter().all(|said| reason.contains(said)), "{reason}");
            assert!(remedy.contains(does), "{remedy}");
        }
    }
}
