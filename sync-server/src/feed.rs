//! Runs one [`Feed`] on one unidirectional stream. What it reads next, and what others leave for it, is in [`steps`],
//! which needs no runtime.

use std::sync::Arc;

use quinn::{Connection, SendStream};
use subrosa_protocol::relay_link::{Feed, FeedStep, Want};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use self::steps::{Mail, read};
use crate::heal::Healer;
use crate::store::StoreError;
use crate::transport::{self, Stalled};

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

/// Why a feed ended.
enum End {
    /// The peer stopped its stream or went away.
    Peer,
    /// The store failed.
    Store,
}

impl From<quinn::ConnectionError> for End {
    fn from(_: quinn::ConnectionError) -> Self {
        Self::Peer
    }
}

impl From<Stalled> for End {
    fn from(_: Stalled) -> Self {
        Self::Peer
    }
}

impl FeedTask {
    /// Starts a feed.
    pub(crate) fn spawn(
        feed: Box<Feed>,
        connection: Connection,
        healer: Arc<Healer>,
        reads: Arc<Semaphore>,
    ) -> Self {
        let handle = Arc::new(FeedHandle::default());
        let shared = Arc::clone(&handle);
        let task = tokio::spawn(async move {
            let vault = *feed.vault();
            if let Err(End::Store) = run(feed, &shared, &connection, healer, reads).await {
                tracing::error!(%vault, "a feed could not read the database");
                connection.close(transport::CLOSE_INTERNAL, b"internal");
            }
        });
        Self { handle, task }
    }
}

/// Reads a chunk, sends it, and so on; the transport's flow control is what slows it down.
async fn run(
    mut feed: Box<Feed>,
    handle: &FeedHandle,
    connection: &Connection,
    healer: Arc<Healer>,
    reads: Arc<Semaphore>,
) -> Result<(), End> {
    let mut stream: SendStream = connection.open_uni().await?;
    loop {
        handle.mail.collect(&mut feed);
        match feed.step() {
            FeedStep::Wait => handle.wake.notified().await,
            step => {
                let permit = reads.acquire().await.map_err(|_| End::Store)?;
                let healer = Arc::clone(&healer);
                let read = tokio::task::spawn_blocking(move || {
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
                    tracing::error!(%error, "feed");
                    End::Store
                })?;
            }
        }
        let bytes = feed.take();
        if !bytes.is_empty() {
            transport::write(&mut stream, bytes).await?;
        }
    }
}
