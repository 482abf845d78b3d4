//! Admin commands: one question, one answer, a line of JSON each, over a socket of mode 0600 while the relay
//! serves, and straight on the data directory while it does not.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use subrosa_protocol::addr::base32_encode;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::clock::Clock;
use crate::config::Config;
use crate::data::DataDir;
use crate::error::Error;
use crate::files;
use crate::invites::{format_id, parse_id};
use crate::link::Shared;
use crate::store::{Usage, VerifyReport};

/// A question is far shorter.
const QUESTION_BYTES_MAX: u64 = 4096;
/// Time for a question to arrive.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const DAY_SECS: u64 = 24 * 60 * 60;
/// Pause before a directory that another process has is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// So a command gives up after 5 s.
const PAUSES_MAX: u32 = 100;

/// What an admin asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Question {
    /// A new invite.
    InviteNew {
        /// Vaults that it may create.
        uses: u16,
        /// Their quota class.
        class: u8,
        /// Days until it expires; `None` for never.
        expires_days: Option<u32>,
    },
    /// The invites of this database.
    InviteList,
    /// Revokes one by its id.
    InviteRevoke {
        /// 16 hexadecimal digits.
        id: String,
    },
    /// Counts and addresses.
    Status,
    /// Checks every chain and signature.
    Verify,
}

/// What the relay answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// A new invite.
    Invite {
        /// Its id.
        id: String,
        /// Relay URL with the invite, if an address is known that clients could use.
        url: Option<String>,
        /// The invite itself, as it stands in such a URL after the pin and a dot.
        token: String,
    },
    /// The known invites.
    Invites(Vec<InviteInfo>),
    /// Done; nothing to say.
    Done,
    /// Counts and addresses.
    Status(Status),
    /// What was checked, and what is wrong.
    Verified {
        /// Vaults, logs, segments and bytes checked.
        checked: Usage,
        /// One line each; empty when all is well.
        problems: Vec<String>,
    },
    /// It did not work.
    Failed(String),
}

/// One line of `invite list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InviteInfo {
    /// What `invite revoke` takes.
    pub id: String,
    /// Quota class of the vaults it creates.
    pub class: u8,
    /// Vaults created with it.
    pub uses: u64,
    /// Vaults it may create.
    pub uses_max: u16,
    /// Unix seconds; 0 for never.
    pub expires_secs: u64,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// What `status` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Version of the relay.
    pub version: String,
    /// Address that it listens on; `None` when it does not serve.
    pub listening: Option<SocketAddr>,
    /// What clients pin.
    pub pin: String,
    /// Names under which clients reach it.
    pub public: Vec<String>,
    /// Whether anyone may create vaults.
    pub open: bool,
    /// This life of the database.
    pub incarnation: String,
    /// Seconds since it started serving.
    pub uptime_secs: u64,
    /// Connections that speak the protocol.
    pub links: usize,
    /// Those that have proved membership of a vault.
    pub members: usize,
    /// Open feeds.
    pub feeds: usize,
    /// Pairings under way.
    pub rendezvous: usize,
    /// Bytes of large frames that are being taken in.
    pub frame_bytes: usize,
    /// Room taken by chunks of feeds that are read and not handed to the transport.
    pub feed_bytes: usize,
    /// What was refused since it started serving, to keep room for others.
    pub turned_away: TurnedAway,
    /// Vaults, logs, segments and their bytes.
    pub stored: Usage,
}

/// What a relay refused to keep room for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TurnedAway {
    /// Connections that were not let in.
    pub connections: u64,
    /// Strangers whose place went to a newcomer.
    pub strangers: u64,
    /// Openings and joins of rendezvous.
    pub rendezvous: u64,
    /// Frames that came too slowly while others waited.
    pub frames: u64,
    /// Feeds whose peer took them so slowly that their room went to another.
    pub feeds: u64,
}

/// What only a serving relay knows.
struct Live<'a> {
    shared: &'a Shared,
    addr: SocketAddr,
}

/// Asks the relay that serves `data`, or answers from the directory when none does.
///
/// # Errors
/// [`Error::NotARelay`], [`Error::Admin`] with the relay's own words, and what opening the directory says.
pub fn ask(data: &Path, question: &Question) -> Result<Answer, Error> {
    let mut pauses = PAUSES_MAX;
    let answer = loop {
        match ask_once(data, question) {
            // Who has the directory is a relay between its lock and its socket, or another command: either is soon over.
            Err(Error::Serving(_)) if pauses > 0 => pauses -= 1,
            other => break other?,
        }
        std::thread::sleep(PAUSE);
    };
    match answer {
        Answer::Failed(reason) => Err(Error::Admin(reason)),
        answer => Ok(answer),
    }
}

fn ask_once(data: &Path, question: &Question) -> Result<Answer, Error> {
    let (path, _dir) = files::socket_path(data)?;
    if let Ok(stream) = UnixStream::connect(&path) {
        return ask_running(stream, question);
    }
    files::check_is_relay(data)?;
    let dir = DataDir::open(data, Config::load(data)?)?;
    answer(&dir, question, Clock::start(), None)
}

fn ask_running(mut stream: UnixStream, question: &Question) -> Result<Answer, Error> {
    let mut line = serde_json::to_vec(question).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text)?;
    if text.is_empty() {
        return Err(Error::Admin("nothing; is it stopping? try again".to_owned()));
    }
    Ok(serde_json::from_str(&text).map_err(io::Error::from)?)
}

fn answer(
    dir: &DataDir,
    question: &Question,
    clock: Clock,
    live: Option<&Live<'_>>,
) -> Result<Answer, Error> {
    match question {
        Question::InviteNew { uses, class, expires_days } => {
            let now_secs = clock.now().wall_ms / 1000;
            let expires_secs = expires_days.map_or(0, |days| now_secs + u64::from(days) * DAY_SECS);
            let invite = dir.new_invite(*uses, *class, expires_secs)?;
            let url = match dir.url(live.map(|live| live.addr), Some(invite)) {
                Ok(url) => Some(url.to_string()),
                Err(Error::NoPublicAddress) => None,
                Err(error) => return Err(error),
            };
            Ok(Answer::Invite { id: format_id(&invite.id), url, token: base32_encode(&invite.encode()) })
        }
        Question::InviteList => {
            let rows = dir.store.invites()?;
            let info = |row: &crate::store::InviteRow| InviteInfo {
                id: format_id(&row.invite.id),
                class: row.invite.class,
                uses: row.uses,
                uses_max: row.invite.uses_max,
                expires_secs: row.invite.expires_secs,
                revoked: dir.revocations.contains(&row.invite.id),
            };
            Ok(Answer::Invites(rows.iter().map(info).collect()))
        }
        Question::InviteRevoke { id } => {
            dir.revocations.add(parse_id(id)?)?;
            Ok(Answer::Done)
        }
        Question::Status => Ok(Answer::Status(status(dir, clock, live)?)),
        Question::Verify => {
            let VerifyReport { checked, problems } = dir.store.verify()?;
            Ok(Answer::Verified { checked, problems })
        }
    }
}

fn status(dir: &DataDir, clock: Clock, live: Option<&Live<'_>>) -> Result<Status, Error> {
    let census = live.map(|live| live.shared.hub.census()).unwrap_or_default();
    let tried = live.map(|live| live.shared.lobby.tried()).unwrap_or_default();
    let frames: Vec<_> = live.iter().map(|live| &live.shared.frames).collect();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listening: live.map(|live| live.addr),
        pin: base32_encode(dir.key.pin().as_bytes()),
        public: dir.config.public.clone(),
        open: dir.config.open,
        incarnation: HEXLOWER.encode(dir.store.incarnation().as_bytes()),
        uptime_secs: live.map_or(0, |_| clock.now().mono.as_secs()),
        links: census.links,
        members: census.members,
        feeds: census.feeds,
        rendezvous: census.rendezvous,
        frame_bytes: frames.iter().map(|places| places.taken()).sum(),
        feed_bytes: live.map_or(0, |live| live.shared.chunks.taken()),
        turned_away: TurnedAway {
            connections: tried.refused,
            strangers: tried.evicted,
            rendezvous: census.rendezvous_limited,
            frames: frames.iter().map(|places| places.lost()).sum(),
            feeds: live.map_or(0, |live| live.shared.chunks.lost()),
        },
        stored: dir.store.usage()?,
    })
}

/// The listening socket of a serving relay; removed when dropped.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Binds inside the data directory, which is private and whose lock is held: a socket that is there
    /// already is of a relay that was killed. What is no socket stays.
    pub(crate) fn bind(data: &Path) -> Result<Self, Error> {
        let path = data.join(files::SOCKET);
        if fs::symlink_metadata(&path).is_ok_and(|there| there.file_type().is_socket()) {
            let _ = fs::remove_file(&path);
        }
        let (short, _dir) = files::socket_path(data)?;
        let bind = || {
            let listener = UnixListener::bind(&short)?;
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bind().map_err(|source| Error::file(&path, source))?;
        Ok(Self { listener, path })
    }

    /// Answers one question at a time until dropped.
    pub(crate) async fn serve(self, shared: Arc<Shared>, addr: SocketAddr) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(QUESTION_TIMEOUT).await;
                continue;
            };
            if let Err(error) = converse(stream, &shared, addr).await {
                tracing::debug!(%error, "admin");
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(stream: tokio::net::UnixStream, shared: &Arc<Shared>, addr: SocketAddr) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(read.take(QUESTION_BYTES_MAX));
    tokio::time::timeout(QUESTION_TIMEOUT, reader.read_line(&mut line)).await??;
    let shared = Arc::clone(shared);
    let answered = tokio::task::spawn_blocking(move || {
        let question: Question = match serde_json::from_str(&line) {
            Ok(question) => question,
            Err(error) => return Answer::Failed(format!("not a question: {error}")),
        };
        let live = Live { shared: &shared, addr };
        answer(&shared.data, &question, shared.clock, Some(&live))
            .unwrap_or_else(|error| Answer::Failed(error.to_string()))
    });
    let mut text = serde_json::to_vec(&answered.await.map_err(io::Error::other)?)?;
    text.push(b'\n');
    write.write_all(&text).await
}
