//! Runs one [`Feed`] on one unidirectional stream. What it reads next, and what others leave for it, is in [`steps`],
//! which needs no runtime.

use std::convert::Infallible;
use std::sync::Arc;

use quinn::Connection;
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Feed, FeedStep, Input, Want};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;

use self::steps::{Mail, read};
use crate::appender::{Moment, Trap};
use crate::heal::Healer;
use crate::intake::Owner;
use crate::places::Places;
use crate::sending::{Sender, Sending, Untaken};
use crate::store::StoreError;
use crate::transport;

pub(crate) mod steps;

/// The side of a feed that the hub, the committer and the link see.
#[derive(Default)]
pub(crate) struct FeedHandle {
    pub(crate) mail: Mail,
    wake: Notify,
}

impl FeedHandle {
    /// The vault has new segments.
    pub(crate) fn grown(&self) {
        self.mail.grown();
        self.wake.notify_one();
    }

    /// The client asks for segments again.
    pub(crate) fn want(&self, want: Want) {
        self.mail.want(want);
        self.wake.notify_one();
    }

    /// The client asks whether it has everything.
    pub(crate) fn ask(&self, number: u64) {
        self.mail.ask(number);
        self.wake.notify_one();
    }
}

/// A running feed; stops when dropped, and its stream is reset.
pub(crate) struct FeedTask {
    pub(crate) handle: Arc<FeedHandle>,
    task: JoinHandle<()>,
}

impl Drop for FeedTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a feed needs of its link and of its relay.
pub(crate) struct Means {
    pub(crate) healer: Arc<Healer>,
    /// Feeds that read at a time.
    pub(crate) reads: Arc<Semaphore>,
    /// Chunks that are read and not handed to the transport.
    pub(crate) chunks: Arc<Places>,
    pub(crate) owner: Owner,
    pub(crate) sending: Arc<Sending>,
    pub(crate) trap: Option<Trap>,
    /// Where the link hears why its feed ended.
    pub(crate) inbox: mpsc::WeakSender<Box<Input>>,
}

/// Why a feed ended.
enum End {
    /// The peer stopped its stream or went away.
    Peer,
    /// The peer takes too little for too long.
    TooSlow,
    /// The store failed.
    Store,
}

impl From<quinn::ConnectionError> for End {
    fn from(_: quinn::ConnectionError) -> Self {
        Self::Peer
    }
}

impl From<Untaken> for End {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Peer => Self::Peer,
            Untaken::TooSlow => Self::TooSlow,
        }
    }
}

impl FeedTask {
    /// Starts a feed.
    pub(crate) fn spawn(feed: Box<Feed>, connection: Connection, means: Means) -> Self {
        let handle = Arc::new(FeedHandle::default());
        let shared = Arc::clone(&handle);
        let task = tokio::spawn(async move {
            let vault = *feed.vault();
            let input = match run(feed, &shared, &connection, &means).await {
                Ok(never) => match never {},
                Err(End::Peer) => return,
                Err(End::TooSlow) => Input::TooSlow,
                Err(End::Store) => Input::FeedFailed(vault),
            };
            let told = means.inbox.upgrade().is_some_and(|inbox| inbox.try_send(Box::new(input)).is_ok());
            if !told {
                connection.close(transport::CLOSE_INTERNAL, b"overrun");
            }
        });
        Self { handle, task }
    }
}

/// Reads a chunk, sends it, and so on; the transport's flow control is what slows it down. A chunk takes its room before
/// it is read and until the transport has it.
async fn run(
    mut feed: Box<Feed>,
    handle: &FeedHandle,
    connection: &Connection,
    means: &Means,
) -> Result<Infallible, End> {
    let mut sender = Sender::new(Arc::clone(&means.sending), connection.open_uni().await?);
    loop {
        handle.mail.collect(&mut feed);
        let mut place = None;
        match feed.step() {
            FeedStep::Wait => tokio::select! {
                () = handle.wake.notified() => {}
                () = sender.rest() => {}
            },
            step => {
                let room = feed.needed().max(limits::FEED_ROOM_BYTES);
                let asked = place.insert(means.chunks.ask(means.owner, room));
                asked.granted().await;
                feed.set_room(room);
                let permit = means.reads.acquire().await.map_err(|_| End::Store)?;
                let (healer, trap) = (Arc::clone(&means.healer), means.trap.clone());
                let read = tokio::task::spawn_blocking(move || {
                    if let Some(trap) = trap {
                        trap(Moment::Feed);
                    }
                    let result = match read(&*healer.data.store, &mut feed, step) {
                        // What was read before it is offered; the next step goes on behind that.
                        Err(StoreError::Vault(damage)) => healer.take_back(&damage),
                        result => result,
                    };
                    (feed, result)
                });
                let (back, result) = read.await.map_err(|_| End::Store)?;
                drop(permit);
                feed = back;
                result.map_err(|error| {
                    tracing::error!(vault = %feed.vault(), %error, "feed");
                    End::Store
                })?;
            }
        }
        let bytes = feed.take();
        if !bytes.is_empty() {
            sender.send(&bytes, place.as_mut()).await?;
        }
    }
}
