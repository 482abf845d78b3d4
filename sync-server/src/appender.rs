//! From PUSH to the durable group commit, on two threads: one checks signatures, one commits whatever has
//! gathered meanwhile, over all vaults. An acknowledgement leaves only after the commit that it speaks of.
//!
//! Queues are bounded in jobs and in bytes; a full one holds back the links that push, through the transport.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Chain, Head, LogId, Rseq, Seq, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Append, Appended, Input, Refused};
use subrosa_protocol::segment::SealedSegment;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clock::Clock;
use crate::data::DataDir;
use crate::feed::FeedHandle;
use crate::hub::Hub;
use crate::store::{Batch, LogTip, Offered, Outcome, StoreError};
use crate::verify::VerifiedSegment;

use self::rate::Rates;

mod rate;

/// Jobs waiting for a thread.
const JOBS_MAX: usize = 256;
/// Bytes of segments between arrival and commit, over all links, in KiB.
const WAITING_KIB_MAX: usize = 96 << 10;
/// Bytes that one commit gathers.
const COMMIT_BYTES_MAX: usize = 16 << 20;
/// Jobs that one commit gathers.
const COMMIT_JOBS_MAX: usize = 1024;
/// Tips kept in memory; dropped all at once, to be read again.
const TIPS_MAX: usize = 1 << 16;

/// Where an append's answer goes: a place in the link's inbox that is already reserved.
pub(crate) type Reply = mpsc::OwnedPermit<Box<Input>>;

struct Job {
    append: Append,
    feed: Option<Arc<FeedHandle>>,
    reply: Reply,
    _bytes: OwnedSemaphorePermit,
}

struct Verified {
    batch: Batch,
    refused: Vec<Refused>,
    bytes: usize,
    failures: u64,
    job: JobRest,
}

struct JobRest {
    feed: Option<Arc<FeedHandle>>,
    reply: Reply,
    _bytes: OwnedSemaphorePermit,
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
        data: Arc<DataDir>,
        hub: Arc<Hub>,
        clock: Clock,
    ) -> io::Result<(Self, AppenderThreads)> {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let (verified, ready) = mpsc::channel(JOBS_MAX);
        let failures = Arc::new(AtomicU64::new(0));
        let verifier = Verifier {
            data: Arc::clone(&data),
            clock,
            rates: Rates::default(),
            tips: HashMap::new(),
            failures: Arc::clone(&failures),
            failures_seen: 0,
        };
        let committer = Committer { data, hub, failures };
        let threads = vec![
            thread::Builder::new().name("verify".into()).spawn(move || verifier.run(waiting, &verified))?,
            thread::Builder::new().name("commit".into()).spawn(move || committer.run(ready))?,
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
            let _ = self.jobs.send(Job { append, feed, reply, _bytes: permit }).await; // closed: stopping
        }
    }
}

struct Verifier {
    data: Arc<DataDir>,
    clock: Clock,
    rates: Rates,
    /// Where each log stands once everything queued is committed.
    tips: HashMap<(VaultId, LogId), LogTip>,
    failures: Arc<AtomicU64>,
    failures_seen: u64,
}

impl Verifier {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>, out: &mpsc::Sender<Verified>) {
        while let Some(Job { append, feed, reply, _bytes }) = jobs.blocking_recv() {
            let failures = self.failures.load(Ordering::Acquire);
            if failures != self.failures_seen || self.tips.len() > TIPS_MAX {
                self.failures_seen = failures;
                self.tips.clear();
            }
            let bytes = append.bytes;
            let (batch, refused) = self.verify(append);
            let job = JobRest { feed, reply, _bytes };
            if out.blocking_send(Verified { batch, refused, bytes, failures, job }).is_err() {
                return;
            }
        }
    }

    fn verify(&mut self, append: Append) -> (Batch, Vec<Refused>) {
        let Append { vault, introduced, segments, bytes } = append;
        let mut refused: Vec<Refused> = Vec::new();
        let mut offered = Vec::with_capacity(segments.len());
        let limited = self.rates.admit(&self.data, self.clock.now().mono, &vault, bytes, segments.len());
        for segment in segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if refused.iter().any(|refused| refused.log == log) {
                continue;
            }
            let result = match limited {
                Some(secs) => Err((ErrorCode::RateLimited, secs)),
                None => {
                    self.verify_one(&vault, &introduced, segment).map_err(|code| (code, retry_secs(code)))
                }
            };
            match result {
                Ok(one) => offered.push(one),
                Err((code, retry_after_secs)) => refused.push(Refused { code, retry_after_secs, log, seq }),
            }
        }
        (Batch { vault, offered }, refused)
    }

    fn verify_one(
        &mut self,
        vault: &VaultId,
        introduced: &[subrosa_protocol::ids::PublicKeyBytes],
        segment: SealedSegment,
    ) -> Result<Offered, ErrorCode> {
        let header = *segment.header();
        let key = (*vault, header.log);
        let tip = match self.tips.get(&key) {
            Some(tip) => Some(*tip),
            None => self.data.store.tip(vault, &header.log).map_err(|error| fault(&error))?,
        };
        let (next, prev, public) = match &tip {
            Some(tip) if header.seq <= tip.seq => return Ok(Offered::Repeated(segment)),
            Some(tip) => (tip.seq.next(), tip.chain, Some(tip.public)),
            None => (
                Seq(0),
                Chain::ZERO,
                introduced.iter().find(|public| LogId::of(public) == header.log).copied(),
            ),
        };
        let class = tip.map_or(header.kind.class(), |tip| tip.class);
        if class != header.kind.class() {
            return Err(ErrorCode::WrongKind);
        }
        let public = public.ok_or(ErrorCode::UnknownLog)?;
        if header.seq != next {
            return Err(ErrorCode::Gap);
        }
        let verified =
            VerifiedSegment::check(vault, prev, public, segment).map_err(|_| ErrorCode::BadSignature)?;
        self.tips.insert(key, LogTip { public, class, seq: header.seq, chain: *verified.chain() });
        Ok(Offered::Next(verified))
    }
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

struct Committer {
    data: Arc<DataDir>,
    hub: Arc<Hub>,
    failures: Arc<AtomicU64>,
}

impl Committer {
    fn run(self, mut ready: mpsc::Receiver<Verified>) {
        while let Some(first) = ready.blocking_recv() {
            let mut bytes = first.bytes;
            let mut group = vec![first];
            while bytes < COMMIT_BYTES_MAX && group.len() < COMMIT_JOBS_MAX {
                let Ok(next) = ready.try_recv() else { break };
                bytes += next.bytes;
                group.push(next);
            }
            self.commit(group);
        }
    }

    fn commit(&self, group: Vec<Verified>) {
        // What was verified against tips that a failed commit took away would look like a gap.
        let failures = self.failures.load(Ordering::Acquire);
        let (group, stale): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.failures == failures);
        for job in stale {
            answer(job, Err(ErrorCode::Internal));
        }
        let (batches, rest): (Vec<Batch>, Vec<_>) = group
            .into_iter()
            .map(|Verified { batch, refused, bytes, failures, job }| {
                let empty = Batch { vault: batch.vault, offered: Vec::new() };
                (batch, Verified { batch: empty, refused, bytes, failures, job })
            })
            .unzip();
        if batches.iter().all(|batch| batch.offered.is_empty()) {
            return rest.into_iter().for_each(|job| answer(job, Ok(Outcome::default())));
        }
        match self.data.store.append(&batches) {
            Ok(outcomes) => self.publish(&batches, outcomes, rest),
            Err(error) => {
                tracing::error!(%error, "commit");
                self.failures.fetch_add(1, Ordering::AcqRel);
                for (mut job, batch) in rest.into_iter().zip(batches) {
                    job.batch = batch;
                    answer(job, Err(fault(&error)));
                }
            }
        }
    }

    /// After the commit: the pushing links' feeds learn which rseq are theirs before any feed is woken.
    fn publish(&self, batches: &[Batch], outcomes: Vec<Outcome>, jobs: Vec<Verified>) {
        for (outcome, job) in outcomes.iter().zip(&jobs) {
            if let (Some((first, last)), Some(feed)) = (outcome.appended, &job.job.feed) {
                feed.pushed_here(first, last);
            }
        }
        let mut woken: Vec<VaultId> = Vec::new();
        for (outcome, batch) in outcomes.iter().zip(batches) {
            if outcome.appended.is_some() && !woken.contains(&batch.vault) {
                woken.push(batch.vault);
                self.hub.grown(&batch.vault);
            }
        }
        for (outcome, job) in outcomes.into_iter().zip(jobs) {
            answer(job, Ok(outcome));
        }
    }
}

/// Answers the link: with the outcome, or with a refusal of the first segment of each log.
fn answer(job: Verified, result: Result<Outcome, ErrorCode>) {
    let Verified { batch, mut refused, bytes, job, .. } = job;
    let (entries, rseq): (Vec<Head>, Rseq) = match result {
        Ok(outcome) => {
            refused.extend(outcome.refused);
            (outcome.entries, outcome.rseq)
        }
        Err(code) => {
            for offered in &batch.offered {
                let (log, seq) = (offered.segment().header().log, offered.segment().header().seq);
                if !refused.iter().any(|refused| refused.log == log && refused.seq <= seq) {
                    refused.retain(|refused| refused.log != log);
                    refused.push(Refused { code, retry_after_secs: retry_secs(code), log, seq });
                }
            }
            (Vec::new(), Rseq(0))
        }
    };
    let appended = Appended { vault: batch.vault, bytes, entries, rseq, refused };
    job.reply.send(Box::new(Input::Appended(appended)));
}

const _: () = assert!(limits::PUSH_WINDOW_BYTES / 1024 < WAITING_KIB_MAX);
