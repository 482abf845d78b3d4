//! Segments that arrived and wait for the store, and what was found out about them meanwhile, on another thread: whether their
//! signature holds, and what they say.
//!
//! It is work done early and nothing else: whoever finds nothing here does it himself, and nothing depends on it. What was found
//! is taken only for the very bytes that it was found for.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use subrosa_model::keys::secret::EpochKey;
use subrosa_model::seal::OpenedBody;
use subrosa_protocol::ids::{Chain, Epoch, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::{AHEAD_PLAIN_BYTES_MAX, AHEAD_SEALED_BYTES_MAX};
use subrosa_protocol::segment::{Kind, SealedSegment, VerifiedSegment};

/// What a segment takes beside its bytes.
const SEGMENT_BYTES: usize = 1 << 10;

/// Which segment.
type Key = (VaultId, LogId, Seq);

/// Segments on their way in, of all relays.
#[derive(Default)]
pub(crate) struct Ahead {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    segments: HashMap<Key, Early>,
    /// To be verified, in the order of arrival.
    arrived: VecDeque<Key>,
    /// Verified and to be opened, in the same order.
    verified: VecDeque<Key>,
    sealed_bytes: usize,
    plain_bytes: usize,
    /// Which keys open what; only as long as the vault's keyring has them.
    keys: HashMap<VaultId, Vec<(Epoch, Weak<EpochKey>)>>,
}

/// What is known of a segment ahead.
struct Early {
    segment: SealedSegment,
    public: PublicKeyBytes,
    /// Somebody is at it.
    busy: bool,
    verified: Option<Box<VerifiedSegment>>,
    /// It was verified, whether or not that is taken.
    chain: Option<Chain>,
    body: Option<OpenedBody>,
}

/// Something to be found out.
pub(crate) enum Task {
    Verify { vault: VaultId, public: PublicKeyBytes, segment: SealedSegment },
    Open { vault: VaultId, segment: SealedSegment, key: Arc<EpochKey> },
}

/// What was found out.
pub(crate) enum Finding {
    Verified(Box<VerifiedSegment>),
    Opened(OpenedBody),
    /// Nothing that helps: whoever takes the segment in finds out why.
    Nothing,
}

impl Ahead {
    /// A segment has arrived and will wait. One that is here already, or for which there is no room, is left out.
    /// Its bytes stay as long as it does, so they must not be part of a buffer that is much larger.
    pub(crate) fn arrived(&self, vault: &VaultId, public: &PublicKeyBytes, segment: &SealedSegment) {
        let (key, bytes) = (key_of(vault, segment), cost(segment));
        let mut queue = self.lock();
        if queue.sealed_bytes + bytes > AHEAD_SEALED_BYTES_MAX || queue.segments.contains_key(&key) {
            return;
        }
        queue.sealed_bytes += bytes;
        queue.arrived.push_back(key);
        let (segment, public) = (segment.clone(), *public);
        let early = Early { segment, public, busy: false, verified: None, chain: None, body: None };
        queue.segments.insert(key, early);
        drop(queue);
        self.changed.notify_one();
    }

    /// The keys that open data of a vault.
    pub(crate) fn use_keys(&self, vault: &VaultId, keys: Vec<(Epoch, Weak<EpochKey>)>) {
        self.lock().keys.insert(*vault, keys);
    }

    /// The next thing to find out; waits for one, and gives `None` once `stop` is set and somebody called [`Ahead::look_again`].
    pub(crate) fn next(&self, stop: &AtomicBool) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            if stop.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(task) = queue.next() {
                return Some(task);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next thing to find out, if there is one now.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn try_next(&self) -> Option<Task> {
        self.lock().next()
    }

    /// How many segments are here, and the bytes of them and of what they say.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        let queue = self.lock();
        (queue.segments.len(), queue.sealed_bytes, queue.plain_bytes)
    }

    /// Takes in what was found out about the segment of a task.
    pub(crate) fn found(&self, vault: &VaultId, segment: &SealedSegment, found: Finding) {
        let key = key_of(vault, segment);
        let mut queue = self.lock();
        let Queue { segments, verified, plain_bytes, .. } = &mut *queue;
        // It may have been given up meanwhile, and another one be there.
        let Some(early) = segments.get_mut(&key).filter(|early| early.busy && early.segment == *segment)
        else {
            return;
        };
        early.busy = false;
        match found {
            Finding::Verified(proof) => {
                early.chain = Some(*proof.chain());
                early.verified = Some(proof);
                if segment.header().kind == Kind::DATA {
                    verified.push_back(key);
                    drop(queue);
                    self.changed.notify_one();
                }
            }
            Finding::Opened(body) => {
                *plain_bytes += body.data.len();
                early.body = Some(body);
            }
            // Its proof, if it has one, stays.
            Finding::Nothing if early.verified.is_some() => {}
            Finding::Nothing => drop(queue.give_up(&key)),
        }
    }

    /// The proof that `public` signed this very segment in `vault`, if it was found. If not, it is looked for no more.
    pub(crate) fn take_proof(
        &self,
        vault: &VaultId,
        public: &PublicKeyBytes,
        segment: &SealedSegment,
    ) -> Option<VerifiedSegment> {
        let key = key_of(vault, segment);
        let mut queue = self.lock();
        let early = queue.segments.get_mut(&key)?;
        let proof = early.verified.take_if(|proof| proof.segment() == segment && proof.public() == public);
        if proof.is_none() || segment.header().kind != Kind::DATA {
            queue.give_up(&key);
        }
        proof.map(|proof| *proof)
    }

    /// What the segment with this chain says, if it was found. If not, it is looked for no more.
    pub(crate) fn take_body(
        &self,
        vault: &VaultId,
        log: &LogId,
        seq: Seq,
        chain: &Chain,
    ) -> Option<OpenedBody> {
        let mut queue = self.lock();
        let early = queue.give_up(&(*vault, *log, seq))?;
        drop(queue);
        self.changed.notify_one();
        early.body.filter(|_| early.chain.as_ref() == Some(chain))
    }

    /// A segment was taken in and is not going to be opened now.
    pub(crate) fn let_go(&self, vault: &VaultId, segment: &SealedSegment) {
        self.lock().give_up(&key_of(vault, segment));
    }

    /// Whether there is anything here.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().segments.is_empty()
    }

    /// Forgets everything: what is left when all has arrived is of no use, and nothing is kept while a device rests.
    pub(crate) fn forget(&self) {
        *self.lock() = Queue::default();
    }

    /// Has threads in [`Ahead::next`] look whether they still should wait.
    pub(crate) fn look_again(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Opening comes first: the store is nearer to it.
    fn next(&mut self) -> Option<Task> {
        while self.plain_bytes < AHEAD_PLAIN_BYTES_MAX
            && let Some(key) = self.verified.pop_front()
        {
            let Some(early) = self.segments.get_mut(&key).filter(|early| early.is_to_be_opened()) else {
                continue;
            };
            let (vault, epoch) = (key.0, early.segment.header().epoch);
            let keys = self.keys.get(&vault).into_iter().flatten();
            let of_epoch = keys.filter(|(of, _)| *of == epoch).find_map(|(_, key)| key.upgrade());
            let Some(opens) = of_epoch else { continue };
            early.busy = true;
            return Some(Task::Open { vault, segment: early.segment.clone(), key: opens });
        }
        while let Some(key) = self.arrived.pop_front() {
            let Some(early) = self.segments.get_mut(&key).filter(|early| early.is_new()) else { continue };
            early.busy = true;
            let (public, segment) = (early.public, early.segment.clone());
            return Some(Task::Verify { vault: key.0, public, segment });
        }
        None
    }

    fn give_up(&mut self, key: &Key) -> Option<Early> {
        let early = self.segments.remove(key)?;
        self.sealed_bytes -= cost(&early.segment);
        self.plain_bytes -= early.body.as_ref().map_or(0, |body| body.data.len());
        Some(early)
    }
}

impl Early {
    const fn is_new(&self) -> bool {
        !self.busy && self.chain.is_none()
    }

    const fn is_to_be_opened(&self) -> bool {
        !self.busy && self.chain.is_some() && self.body.is_none()
    }
}

/// What a segment takes of the limit on sealed ones.
fn cost(segment: &SealedSegment) -> usize {
    segment.bytes().len() + SEGMENT_BYTES
}

fn key_of(vault: &VaultId, segment: &SealedSegment) -> Key {
    let header = segment.header();
    (*vault, header.log, header.seq)
}
