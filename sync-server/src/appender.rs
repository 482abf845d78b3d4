//! From PUSH to the durable group commit, on two threads: one checks signatures, one commits whatever has
//! gathered meanwhile, over all vaults. An acknowledgement leaves only after the commit that it speaks of.
//!
//! What they do is in [`verify`] and [`commit`], without threads; here it is carried. Queues are bounded in jobs and
//! in bytes; a full one holds back the links that push, through the transport. When one of the threads panics, the
//! relay stops as a whole: half alive it would take what it can never acknowledge.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Append, Input};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::feed::FeedHandle;
use crate::heal::Healer;
use crate::store::{Damage, StoreError};

use self::commit::{Answer, Committed, Committer};
use self::news::News;
use self::verify::{Bases, Ground, Verified, Verifier};

pub(crate) mod commit;
pub(crate) mod news;
mod rate;
pub(crate) mod verify;

/// Jobs waiting for a thread.
const JOBS_MAX: usize = 256;
/// Bytes of segments between arrival and commit, over all links, in KiB.
const WAITING_KIB_MAX: usize = 96 << 10;
/// Bytes that one commit gathers.
const COMMIT_BYTES_MAX: usize = 16 << 20;
/// Jobs that one commit gathers.
const COMMIT_JOBS_MAX: usize = 1024;

/// Where an append's answer goes: a place in the link's inbox that is already reserved.
pub(crate) type Reply = mpsc::OwnedPermit<Box<Input>>;

/// A moment in a thread that works on the store, at which a test may make it panic.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// The verifier has taken an append.
    Verify,
    /// The committer has taken a group.
    Commit,
    /// The group is durable, and nobody was told.
    Committed,
    /// A link asks the store.
    LookUp,
    /// A feed reads the store.
    Feed,
}

/// Called at each [`Moment`].
pub(crate) type Trap = Arc<dyn Fn(Moment) + Send + Sync>;

struct Job {
    append: Append,
    rest: JobRest,
}

struct JobRest {
    feed: Option<Arc<FeedHandle>>,
    reply: Reply,
    _bytes: OwnedSemaphorePermit,
}

struct Ready {
    verified: Verified,
    rest: JobRest,
}

/// See the module's documentation.
pub(crate) struct Appender {
    jobs: mpsc::Sender<Job>,
    bytes: Arc<Semaphore>,
}

/// The appender's threads; joined when the relay stops, after the last [`Appender`] is gone.
pub(crate) struct AppenderThreads(Vec<JoinHandle<()>>);

impl AppenderThreads {
    pub(crate) fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a thread of the appender panicked");
            }
        }
    }
}

impl Appender {
    pub(crate) fn start(
        healer: Arc<Healer>,
        clock: Clock,
        alarm: &Alarm,
        trap: Option<Trap>,
        bases: Bases,
    ) -> io::Result<(Self, AppenderThreads)> {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (verified, ready) = mpsc::channel(JOBS_MAX);
        let trap = trap.unwrap_or_else(|| Arc::new(|_| {}));
        let verifier = VerifierThread { healer: Arc::clone(&healer), clock, trap: Arc::clone(&trap), bases };
        let committer = CommitterThread { healer, trap, healing: None };
        let (first, second) =
            (alarm.guard("the thread that verifies"), alarm.guard("the thread that commits"));
        let verify = move || {
            let _guard = first; // dropped last
            verifier.run(waiting, &verified);
        };
        let commit = move || {
            let _guard = second;
            committer.run(ready);
        };
        let threads = vec![
            thread::Builder::new().name("verify".into()).spawn(verify)?,
            thread::Builder::new().name("commit".into()).spawn(commit)?,
        ];
        Ok((Self { jobs, bytes: Arc::new(Semaphore::new(WAITING_KIB_MAX)) }, AppenderThreads(threads)))
    }

    /// Queues an append.
    ///
    /// # Cancel safety
    /// If dropped before it is done, the append is not made and its answer never comes.
    pub(crate) async fn submit(&self, append: Append, feed: Option<Arc<FeedHandle>>, reply: Reply) {
        let kib = u32::try_from(append.bytes / 1024 + 1).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(kib.min(WAITING_KIB_MAX as u32)).await;
        if let Ok(permit) = permit {
            let rest = JobRest { feed, reply, _bytes: permit };
            let _ = self.jobs.send(Job { append, rest }).await; // closed: stopping
        }
    }
}

struct VerifierThread {
    healer: Arc<Healer>,
    clock: Clock,
    trap: Trap,
    bases: Bases,
}

impl VerifierThread {
    fn run(self, mut jobs: mpsc::Receiver<Job>, out: &mpsc::Sender<Ready>) {
        let Self { healer, clock, trap, bases } = self;
        let ground = Ground { store: &*healer.data.store, quotas: &healer.data.config.quotas, bases };
        let mut verifier = Verifier::default();
        while let Some(Job { append, rest }) = jobs.blocking_recv() {
            trap(Moment::Verify);
            verifier.hear(lock(&healer.news).take());
            let verified = verifier.verify(ground, clock.now().mono, append);
            if out.blocking_send(Ready { verified, rest }).is_err() {
                return;
            }
        }
    }
}

struct CommitterThread {
    healer: Arc<Healer>,
    trap: Trap,
    /// Takes a damaged vault back while commits go on; one at a time, since a vault that stays damaged asks again.
    healing: Option<JoinHandle<()>>,
}

impl CommitterThread {
    fn run(mut self, mut ready: mpsc::Receiver<Ready>) {
        let mut committer = Committer::default();
        while let Some(first) = ready.blocking_recv() {
            let mut bytes = first.verified.bytes;
            let mut group = vec![first];
            while bytes < COMMIT_BYTES_MAX && group.len() < COMMIT_JOBS_MAX {
                let Ok(next) = ready.try_recv() else { break };
                bytes += next.verified.bytes;
                group.push(next);
            }
            let (group, rests): (Vec<_>, Vec<_>) =
                group.into_iter().map(|Ready { verified, rest }| (verified, rest)).unzip();
            (self.trap)(Moment::Commit);
            let healer = &self.healer;
            let tell = &mut |untrue| lock(&healer.news).tell(untrue);
            let committed = committer.commit(&*healer.data.store, group, tell);
            (self.trap)(Moment::Committed);
            self.publish(committed, rests);
        }
        if let Some(healing) = self.healing.take() {
            let _ = healing.join(); // it logs for itself
        }
    }

    /// After the commit: the pushing links' feeds learn which rseq are theirs before any feed is woken.
    fn publish(&mut self, committed: Committed, rests: Vec<JobRest>) {
        let Committed { answers, grown, damaged } = committed;
        for (answer, rest) in answers.iter().zip(&rests) {
            if let (Some((first, last)), Some(feed)) = (answer.own, &rest.feed) {
                feed.mail.pushed_here(first, last);
            }
        }
        for vault in &grown {
            self.healer.hub.grown(vault);
        }
        for (Answer { appended, .. }, rest) in answers.into_iter().zip(rests) {
            rest.reply.send(Box::new(Input::Appended(appended)));
        }
        if !damaged.is_empty() {
            self.heal(damaged);
        }
    }

    fn heal(&mut self, damaged: Vec<Damage>) {
        if self.healing.as_ref().is_some_and(|healing| !healing.is_finished()) {
            return;
        }
        let healer = Arc::clone(&self.healer);
        let heal = move || {
            for damage in damaged {
                if let Err(error) = healer.take_back(&damage) {
                    tracing::error!(vault = %damage.vault, %error, "damage that cannot be taken back");
                }
            }
        };
        match thread::Builder::new().name("heal".into()).spawn(heal) {
            Ok(healing) => self.healing = Some(healing),
            Err(error) => tracing::error!(%error, "no thread to take damage back"),
        }
    }
}

fn lock(news: &Mutex<News>) -> std::sync::MutexGuard<'_, News> {
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fault(error: &StoreError) -> ErrorCode {
    if matches!(error, StoreError::Full) { ErrorCode::RelayFull } else { ErrorCode::Internal }
}

const fn retry_secs(code: ErrorCode) -> u32 {
    match code {
        ErrorCode::RelayFull => limits::RELAY_FULL_RETRY_SECS,
        ErrorCode::Internal => limits::RETRY_SECS,
        _ => 0,
    }
}

const _: () = assert!(limits::PUSH_WINDOW_BYTES / 1024 < WAITING_KIB_MAX);
