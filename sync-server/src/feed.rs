//! Runs one [`Feed`] on one unidirectional stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::{Connection, SendStream};
use subrosa_protocol::ids::Rseq;
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Feed, FeedStep, Want};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::data::DataDir;
use crate::store::{Scan, StoreError};
use crate::transport::{self, Stalled};

/// What others leave for a feed.
#[derive(Default)]
struct Mail {
    grown: bool,
    wants: Vec<Want>,
    own: Vec<(Rseq, Rseq)>,
}

/// The side of a feed that the hub, the committer and the link see.
#[derive(Default)]
pub(crate) struct FeedHandle {
    mail: Mutex<Mail>,
    wake: Notify,
}

impl FeedHandle {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault has new segments.
    pub(crate) fn grown(&self) {
        self.mail().grown = true;
        self.wake.notify_one();
    }

    /// These rseq are the link's own.
    pub(crate) fn pushed_here(&self, first: Rseq, last: Rseq) {
        let own = &mut self.mail().own;
        if let Some((_, end)) = own.last_mut()
            && end.next() == first
        {
            *end = last;
        } else if own.len() < limits::OWN_RANGES_MAX {
            own.push((first, last)); // one too many is fed back, which costs the client a comparison
        }
    }

    /// The client asks for segments again; too many such questions are dropped.
    pub(crate) fn want(&self, want: Want) {
        let mut mail = self.mail();
        if mail.wants.len() < limits::WANTS_MAX {
            mail.wants.push(want);
        }
        drop(mail);
        self.wake.notify_one();
    }

    fn collect(&self, feed: &mut Feed) {
        let mail = std::mem::take(&mut *self.mail());
        for (first, last) in mail.own {
            feed.pushed_here(first, last);
        }
        for want in mail.wants {
            if !feed.want(want) {
                tracing::debug!(vault = %feed.vault(), "want dropped");
            }
        }
        if mail.grown {
            feed.wake();
        }
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
        data: Arc<DataDir>,
        reads: Arc<Semaphore>,
    ) -> Self {
        let handle = Arc::new(FeedHandle::default());
        let shared = Arc::clone(&handle);
        let task = tokio::spawn(async move {
            let vault = *feed.vault();
            if let Err(End::Store) = run(feed, &shared, &connection, data, reads).await {
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
    data: Arc<DataDir>,
    reads: Arc<Semaphore>,
) -> Result<(), End> {
    let mut stream: SendStream = connection.open_uni().await?;
    loop {
        handle.collect(&mut feed);
        match feed.step() {
            FeedStep::Wait => handle.wake.notified().await,
            step => {
                let permit = reads.acquire().await.map_err(|_| End::Store)?;
                let data = Arc::clone(&data);
                let read = tokio::task::spawn_blocking(move || {
                    let result = read(&data, &mut feed, step);
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

fn read(data: &DataDir, feed: &mut Feed, step: FeedStep) -> Result<(), StoreError> {
    let vault = *feed.vault();
    match step {
        FeedStep::Scan { after, class } => {
            let end = data.store.scan(&vault, Scan { after, class }, &mut |stored| feed.offer(stored))?;
            if let Some((rseq, digest)) = end {
                feed.scanned(rseq, digest);
            }
        }
        FeedStep::Range(want) => {
            if data.store.range(&vault, want, &mut |stored| feed.offer(stored))? {
                feed.ranged();
            }
        }
        FeedStep::Wait => {}
    }
    Ok(())
}
