//! One vault's feed on one link: which segments go out, in which order, under which frame.
//!
//! Without I/O: [`Feed::step`] says what to read, the driver passes each stored segment to [`Feed::offer`] as a
//! slice of the store's own memory, and sends what [`Feed::take`] returns. A segment is copied once, into the
//! bytes that the transport then owns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::frame::{F_AHEAD, F_SEGMENT, FeedFrame};
use crate::ids::{Digest, Epoch, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use crate::limits;
use crate::segment::{Class, Header};

/// Which segments a subscriber may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every one.
    All,
    /// Control segments of epochs up to this one: what a superseded key may read.
    ControlUpTo(Epoch),
}

/// Segments that a client asks for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which log.
    pub log: LogId,
    /// First segment.
    pub from: Seq,
    /// Last segment.
    pub to: Seq,
}

/// What the driver reads next for a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStep {
    /// Offer the vault's segments with an rseq after this one in ascending order, then call [`Feed::scanned`].
    Scan {
        /// Last rseq seen.
        after: Rseq,
        /// Control segments only?
        class: Option<Class>,
    },
    /// Offer these segments of one log, then call [`Feed::ranged`].
    Range(Want),
    /// Nothing until the vault grows or a WANT comes; then call [`Feed::wake`].
    Wait,
}

/// A segment in the relay's store.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Its place in the vault.
    pub rseq: Rseq,
    /// Its clear part.
    pub header: Header,
    /// All of it.
    pub bytes: &'a [u8],
    /// The key of its log.
    pub public: &'a PublicKeyBytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// Control segments beyond the cursor, sent ahead of the scan.
    Control,
    /// Every segment beyond the cursor.
    Scan,
    /// All sent.
    Live,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Feed {
    vault: VaultId,
    view: View,
    pass: Pass,
    /// Last rseq that the sequential scan has passed.
    cursor: Rseq,
    /// Last rseq that the control pass has passed: control up to here is not repeated by the scan.
    ahead: Rseq,
    /// The rseq of the last CAUGHT_UP sent.
    announced: Option<Rseq>,
    skip: BTreeMap<LogId, Seq>,
    wants: VecDeque<Want>,
    introduced: BTreeSet<LogId>,
    /// Rseq ranges that were pushed on this link, ascending and apart.
    own: VecDeque<(Rseq, Rseq)>,
    out: BytesMut,
}

impl Feed {
    /// A feed that goes on after `cursor`.
    #[must_use]
    pub fn new(vault: VaultId, incarnation: Incarnation, cursor: Rseq, view: View) -> Self {
        let mut out = BytesMut::new();
        out.extend_from_slice(&FeedFrame::Start { vault, incarnation }.encode());
        Self {
            vault,
            view,
            pass: Pass::Control,
            cursor,
            ahead: cursor,
            announced: None,
            skip: BTreeMap::new(),
            wants: VecDeque::new(),
            introduced: BTreeSet::new(),
            own: VecDeque::new(),
            out,
        }
    }

    /// Which vault.
    #[must_use]
    pub const fn vault(&self) -> &VaultId {
        &self.vault
    }

    /// Which segments it shows.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// The client holds this log up to `seq`.
    pub fn skip(&mut self, log: LogId, seq: Seq) {
        self.skip.insert(log, seq);
    }

    /// The client has another chain there: show it the relay's last segment of the log.
    pub fn show_evidence(&mut self, log: LogId, last: Seq) {
        self.wants.push_back(Want { log, from: last, to: last });
    }

    /// A WANT frame came. `false` when too many are waiting: it is dropped.
    pub fn want(&mut self, want: Want) -> bool {
        let room = self.wants.len() < limits::WANTS_MAX;
        if room {
            self.wants.push_back(want);
        }
        room
    }

    /// These rseq were given to segments pushed on this link. The oldest range is forgotten when there are too
    /// many, and then fed back, which costs the client a comparison.
    pub fn pushed_here(&mut self, first: Rseq, last: Rseq) {
        match self.own.back_mut() {
            Some((_, end)) if end.next() == first => *end = last,
            _ => self.own.push_back((first, last)),
        }
        if self.own.len() > limits::OWN_RANGES_MAX {
            self.own.pop_front();
        }
    }

    /// What to read next.
    #[must_use]
    pub fn step(&self) -> FeedStep {
        if let Some(want) = self.wants.front() {
            return FeedStep::Range(*want);
        }
        match self.pass {
            Pass::Control => FeedStep::Scan { after: self.ahead, class: Some(Class::Control) },
            Pass::Scan => FeedStep::Scan { after: self.cursor, class: None },
            Pass::Live => FeedStep::Wait,
        }
    }

    /// Takes the next segment of the current step; breaks when enough is gathered to send.
    pub fn offer(&mut self, stored: Stored<'_>) -> ControlFlow<()> {
        let Header { log, seq, epoch, kind, .. } = stored.header;
        let control = kind.class() == Class::Control;
        let visible = match self.view {
            View::All => true,
            View::ControlUpTo(max) => control && epoch <= max,
        };
        if let Some(want) = self.wants.front_mut() {
            want.from = seq.next();
            if visible {
                self.write(F_AHEAD, stored);
            }
            return self.enough();
        }
        let held = self.skip.get(&log).is_some_and(|last| seq <= *last) || self.is_own(stored.rseq);
        if self.pass == Pass::Control {
            self.ahead = stored.rseq;
            if visible && !held {
                self.write(F_AHEAD, stored);
            }
        } else {
            self.cursor = stored.rseq;
            if visible && !held && !(control && stored.rseq <= self.ahead) {
                self.write(F_SEGMENT, stored);
            }
        }
        self.enough()
    }

    /// The scan has offered all there was: `end` is the vault's last rseq and the digest of all heads, both of
    /// the snapshot that the scan read. Not to be called for a scan that was broken off.
    pub fn scanned(&mut self, end: Rseq, digest: Digest) {
        match self.pass {
            Pass::Control => {
                self.ahead = self.ahead.max(end);
                self.pass = Pass::Scan;
            }
            Pass::Scan | Pass::Live => {
                self.cursor = self.cursor.max(end);
                self.pass = Pass::Live;
                self.skip.clear();
                self.own.retain(|(_, last)| *last > end);
                if self.announced != Some(self.cursor) {
                    self.announced = Some(self.cursor);
                    let digest = if self.view == View::All { digest } else { Digest::ZERO };
                    let frame = FeedFrame::CaughtUp { rseq: self.cursor, digest };
                    self.out.extend_from_slice(&frame.encode());
                }
            }
        }
    }

    /// The range has been offered whole, or as far as the log goes.
    pub fn ranged(&mut self) {
        self.wants.pop_front();
    }

    /// The vault may have grown.
    pub fn wake(&mut self) {
        if self.pass == Pass::Live {
            self.pass = Pass::Scan;
        }
    }

    /// Frames to send, whole ones, and none when there are none. The feed keeps no buffer.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).freeze()
    }

    fn enough(&self) -> ControlFlow<()> {
        if self.out.len() >= limits::FEED_CHUNK_BYTES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn is_own(&self, rseq: Rseq) -> bool {
        let after = self.own.partition_point(|(first, _)| *first <= rseq);
        after > 0 && self.own[after - 1].1 >= rseq
    }

    fn write(&mut self, tag: u8, stored: Stored<'_>) {
        if self.introduced.insert(stored.header.log) {
            self.out.extend_from_slice(&FeedFrame::Log { public: *stored.public }.encode());
        }
        let fields = if tag == F_SEGMENT { 9 } else { 1 };
        let len = fields + stored.bytes.len();
        if self.out.capacity() - self.out.len() < len + 4 {
            self.out.reserve((len + 4).max(self.out.len().min(limits::FEED_CHUNK_BYTES)));
        }
        self.out.put_u32(u32::try_from(len).expect("segments are at most 2 MiB"));
        self.out.put_u8(tag);
        if tag == F_SEGMENT {
            self.out.put_u64(stored.rseq.0);
        }
        self.out.put_slice(stored.bytes);
    }
}
