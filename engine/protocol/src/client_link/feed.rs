//! Feeds: which stream carries which vault, and what has arrived but is not stored.
//!
//! One batch is with the store at a time; what arrives meanwhile gathers for the next. So a lone edit is
//! stored at once, and batches grow to the limit by themselves when the store is the slower side.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::vault::VaultLink;
use super::{FeedBatch, FeedItem, GATHER_BYTES_MAX, LinkError, Output, VaultFault};
use crate::frame::{FeedFrame, LogKey, may_be_ignored};
use crate::ids::{Digest, Incarnation, LogId, PublicKeyBytes, Rseq, VaultId};

/// What an item costs beside its segment's bytes.
const ITEM_BYTES: usize = 96;

#[derive(Debug, Default)]
pub(super) struct Feeds {
    streams: BTreeMap<u64, Stream>,
    gathered: BTreeMap<VaultId, Gather>,
    /// Vaults with something gathered, longest waiting first.
    waiting: VecDeque<VaultId>,
    bytes: usize,
    delivering: Option<BatchUnderway>,
}

#[derive(Debug)]
enum Stream {
    Live {
        vault: VaultId,
        incarnation: Incarnation,
    },
    /// Its subscription was replaced; what still arrives is dropped.
    Retired,
}

#[derive(Debug)]
struct Gather {
    stream: u64,
    bytes: usize,
    batch: FeedBatch,
    /// The digest of "caught up" may leave out something of the batch.
    unsure: bool,
    answer: Option<u64>,
}

/// What is wrong with a frame.
pub(super) enum Wrong {
    /// The link ends.
    Link(LinkError),
    /// A vault rests.
    Vault(VaultId, VaultFault),
    /// It starts a feed that nobody waits for any more.
    Late,
}

impl From<LinkError> for Wrong {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl Gather {
    fn size(&self) -> (u64, u64) {
        let bytes: usize = self.batch.items.iter().map(|item| item.segment.bytes().len()).sum();
        (self.batch.items.len() as u64, bytes as u64)
    }
}

/// A batch that is with the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchUnderway {
    pub(super) vault: VaultId,
    pub(super) stream: u64,
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) caught_up: Option<Rseq>,
    /// The last question that is answered behind what is in it.
    pub(super) answer: Option<u64>,
    /// The relay gave a digest. To a superseded key, which does not see all logs, it gives zero.
    pub(super) judged: bool,
}

impl Feeds {
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < GATHER_BYTES_MAX
    }

    pub(super) const fn is_delivering(&self) -> bool {
        self.delivering.is_some()
    }

    /// Whether every feed that has started names this incarnation.
    pub(super) fn are_of(&self, relay: &Incarnation) -> bool {
        self.streams.values().all(|stream| match stream {
            Stream::Live { incarnation, .. } => incarnation == relay,
            Stream::Retired => true,
        })
    }

    /// Takes in one frame; gives the vault that it concerns.
    pub(super) fn frame(
        &mut self,
        stream: u64,
        frame: &Bytes,
        relay: Option<Incarnation>,
        vaults: &mut BTreeMap<VaultId, VaultLink>,
    ) -> Result<Option<VaultId>, Wrong> {
        if !self.has_room() {
            return Err(LinkError::Misuse.into());
        }
        let (id, incarnation) = match self.streams.get(&stream) {
            Some(Stream::Live { vault, incarnation }) => (*vault, *incarnation),
            Some(Stream::Retired) => return Ok(None),
            None => match FeedFrame::decode(frame).map_err(LinkError::from)? {
                FeedFrame::Start { vault, incarnation } => {
                    return self.start(stream, vault, incarnation, relay, vaults).map(Some);
                }
                _ => return Err(LinkError::OutOfPlace { frame: "frame before FEED START" }.into()),
            },
        };
        if may_be_ignored(frame) {
            return Ok(Some(id));
        }
        let vault = vaults.get_mut(&id).ok_or(LinkError::NotSubscribed { vault: id })?;
        let frame = FeedFrame::decode(frame).map_err(VaultFault::from);
        let taken = frame.and_then(|frame| self.take(stream, vault, (id, incarnation), frame));
        taken.map(|()| Some(id)).map_err(|fault| Wrong::Vault(id, fault))
    }

    /// Takes in one frame of a live feed.
    fn take(
        &mut self,
        stream: u64,
        vault: &mut VaultLink,
        (id, incarnation): (VaultId, Incarnation),
        frame: FeedFrame,
    ) -> Result<(), VaultFault> {
        match frame {
            FeedFrame::Log { public, base } => {
                vault.up.introduced(LogId::of(&public))?;
                let logs = &mut self.gather(stream, id, incarnation, PublicKeyBytes::LEN).batch.logs;
                logs.push(LogKey { public, base });
            }
            FeedFrame::Segment { rseq, segment } => {
                vault.fed(segment.bytes().len());
                vault.feed_moved();
                let cost = segment.bytes().len() + ITEM_BYTES;
                let item = FeedItem { rseq: Some(rseq), segment };
                let gather = self.gather(stream, id, incarnation, cost);
                // Another "caught up" follows.
                gather.batch.caught_up = None;
                gather.batch.items.push(item);
            }
            FeedFrame::Ahead { segment } => {
                vault.fed(segment.bytes().len());
                let cost = segment.bytes().len() + ITEM_BYTES;
                let item = FeedItem { rseq: None, segment };
                let gather = self.gather(stream, id, incarnation, cost);
                // It may be newer than a "caught up" before it, after which none needs to follow.
                gather.unsure |= gather.batch.caught_up.is_some();
                gather.batch.items.push(item);
            }
            FeedFrame::CaughtUp { rseq, digest } => {
                if let Some(caught_up) = vault.feed_caught_up(rseq, digest) {
                    self.caught_up(id, caught_up);
                }
            }
            FeedFrame::Answer { number } => {
                let is_idle = self.is_idle(&id);
                vault.answer_is_here(number, is_idle)?;
                let underway = self.delivering.as_mut().filter(|of| (of.vault, of.stream) == (id, stream));
                match (underway, self.gathered.get_mut(&id)) {
                    (_, Some(gather)) => gather.answer = Some(number),
                    (Some(batch), None) => batch.answer = Some(number),
                    (None, None) if is_idle => {}
                    (None, None) => self.gather(stream, id, incarnation, 0).answer = Some(number),
                }
            }
            FeedFrame::Start { .. } => return Err(VaultFault::OutOfPlace { frame: "FEED START" }),
        }
        Ok(())
    }

    fn start(
        &mut self,
        stream: u64,
        id: VaultId,
        incarnation: Incarnation,
        relay: Option<Incarnation>,
        vaults: &mut BTreeMap<VaultId, VaultLink>,
    ) -> Result<VaultId, Wrong> {
        if relay.is_some_and(|relay| relay != incarnation) {
            return Err(LinkError::Incarnation.into());
        }
        let vault = vaults.get_mut(&id).ok_or(LinkError::NotSubscribed { vault: id })?;
        if vault.rests() {
            self.streams.insert(stream, Stream::Retired);
            return Err(Wrong::Late);
        }
        // Retired with the others of its vault, should it be one too many.
        self.streams.insert(stream, Stream::Live { vault: id, incarnation });
        vault.feed_started(stream).map_err(|fault| Wrong::Vault(id, fault))?;
        Ok(id)
    }

    /// Adds cursor and digest to what is gathered: they hold after everything that arrived so far.
    pub(super) fn caught_up(&mut self, id: VaultId, caught_up: (Rseq, Digest)) {
        let live = self.streams.iter().find_map(|(stream, state)| match state {
            Stream::Live { vault, incarnation } if *vault == id => Some((*stream, *incarnation)),
            _ => None,
        });
        if let Some((stream, incarnation)) = live {
            let gather = self.gather(stream, id, incarnation, 0);
            gather.batch.caught_up = Some(caught_up);
            gather.unsure = false;
        }
    }

    /// Segments of ours were acknowledged: a gathered "caught up" from before them compares with nothing now, and
    /// another one follows.
    pub(super) fn acknowledged(&mut self, id: &VaultId, acked: Rseq) {
        if let Some(gather) = self.gathered.get_mut(id) {
            gather.batch.caught_up.take_if(|(rseq, _)| *rseq < acked);
        }
    }

    /// What is gathered for a vault, to be added to.
    fn gather(&mut self, stream: u64, id: VaultId, incarnation: Incarnation, bytes: usize) -> &mut Gather {
        self.bytes += bytes;
        let gather = self.gathered.entry(id).or_insert_with(|| {
            self.waiting.push_back(id);
            let batch = FeedBatch { incarnation, logs: Vec::new(), items: Vec::new(), caught_up: None };
            Gather { stream, bytes: 0, batch, unsure: false, answer: None }
        });
        gather.bytes += bytes;
        gather
    }

    /// Ends the feed of a vault from our side and forgets what is gathered of it: the next feed brings it.
    /// Gives the count and the bytes of the segments forgotten.
    pub(super) fn retire(&mut self, id: &VaultId, out: &mut VecDeque<Output>) -> (u64, u64) {
        for (number, stream) in &mut self.streams {
            if matches!(stream, Stream::Live { vault, .. } if vault == id) {
                *stream = Stream::Retired;
                out.push_back(Output::StopFeed { stream: *number });
            }
        }
        let Some(gather) = self.gathered.remove(id) else { return (0, 0) };
        self.bytes -= gather.bytes;
        self.waiting.retain(|waiting| waiting != id);
        gather.size()
    }

    /// A stream has ended; gives the vault whose feed it was.
    pub(super) fn close(&mut self, stream: u64) -> Option<VaultId> {
        match self.streams.remove(&stream) {
            Some(Stream::Live { vault, .. }) => Some(vault),
            Some(Stream::Retired) | None => None,
        }
    }

    pub(super) fn pump(&mut self, out: &mut VecDeque<Output>) {
        if self.delivering.is_some() {
            return;
        }
        let Some(vault) = self.waiting.pop_front() else { return };
        let Some(gather) = self.gathered.remove(&vault) else { return };
        self.bytes -= gather.bytes;
        let (segments, bytes) = gather.size();
        let Gather { stream, batch, unsure, answer, .. } = gather;
        let caught_up = batch.caught_up.map(|(rseq, _)| rseq);
        let judged = !unsure && batch.caught_up.is_some_and(|(_, digest)| digest != Digest::ZERO);
        self.delivering = Some(BatchUnderway { vault, stream, segments, bytes, caught_up, answer, judged });
        out.push_back(Output::Deliver { vault, batch });
    }

    /// The store has answered.
    pub(super) fn delivered(&mut self, vault: &VaultId) -> Option<BatchUnderway> {
        self.delivering.take_if(|delivery| delivery.vault == *vault)
    }

    /// Nothing of this vault is gathered or with the store.
    pub(super) fn is_idle(&self, id: &VaultId) -> bool {
        !self.gathered.contains_key(id) && self.delivering.is_none_or(|delivery| delivery.vault != *id)
    }
}
