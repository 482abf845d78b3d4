//! One vault's feed on one link: which segments go out, in which order, under which frame.
//!
//! Without I/O: [`Feed::step`] says what to read, the driver passes each stored segment to [`Feed::offer`] as a
//! slice of the store's own memory, and sends what [`Feed::take`] returns. A segment is copied once, into the
//! bytes that the transport then owns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use bytes::{BufMut as _, Bytes};

use crate::frame::{F_AHEAD, F_SEGMENT, FeedFrame};
use crate::ids::{Base, Digest, Epoch, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use crate::limits;
use crate::segment::{Class, Header};

/// Which segments a subscriber may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every one.
    All,
    /// Control segments of epochs below this one: what a superseded key may read.
    ControlBelow(Epoch),
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
    /// Where its log begins here.
    pub base: Base,
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
    /// Last rseq that the sequential scan has passed. To a superseded key, which must not learn of what it may not see: the
    /// last one that it was shown.
    cursor: Rseq,
    /// Last rseq that the control pass has passed: control up to here is not repeated by the scan.
    ahead: Rseq,
    /// The rseq of the last CAUGHT_UP sent.
    announced: Option<Rseq>,
    /// The last question that is not answered: those before it have the same answer.
    asked: Option<u64>,
    skip: BTreeMap<LogId, Seq>,
    wants: VecDeque<Want>,
    introduced: BTreeSet<LogId>,
    /// Rseq ranges that were pushed on this link, ascending and apart.
    own: VecDeque<(Rseq, Rseq)>,
    out: Vec<u8>,
    /// What `out` may grow to.
    room: usize,
    /// The frames that found no room, in bytes.
    needed: usize,
}

impl Feed {
    /// A feed that goes on after `cursor`.
    #[must_use]
    pub fn new(vault: VaultId, incarnation: Incarnation, cursor: Rseq, view: View) -> Self {
        let out = FeedFrame::Start { vault, incarnation }.encode().to_vec();
        Self {
            vault,
            view,
            pass: Pass::Control,
            cursor,
            ahead: cursor,
            announced: None,
            asked: None,
            skip: BTreeMap::new(),
            wants: VecDeque::new(),
            introduced: BTreeSet::new(),
            own: VecDeque::new(),
            out,
            room: usize::MAX,
            needed: 0,
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

    /// The client asks whether it has everything: a scan that begins from here on says so.
    pub fn ask(&mut self, number: u64) {
        self.asked = Some(number);
        self.wake();
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

    /// What the next chunk has to hold at least: 0 until a segment was offered that was too large for the room.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// The next chunk may have so many bytes: a segment that does not fit is not taken, and offered again in the next
    /// step. Without this there is no bound but that of a segment.
    pub const fn set_room(&mut self, bytes: usize) {
        self.room = bytes;
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
            View::ControlBelow(end) => control && epoch < end,
        };
        let held = self.skip.get(&log).is_some_and(|last| seq <= *last) || self.is_own(stored.rseq);
        let (tag, shown) = match (self.wants.is_empty(), self.pass) {
            (false, _) => (F_AHEAD, visible),
            (true, Pass::Control) => (F_AHEAD, visible && !held),
            (true, _) => (F_SEGMENT, visible && !held && !(control && stored.rseq <= self.ahead)),
        };
        if shown && !self.fits(tag, &stored) {
            return ControlFlow::Break(());
        }
        if let Some(want) = self.wants.front_mut() {
            want.from = seq.next();
        } else if self.pass == Pass::Control {
            self.ahead = stored.rseq;
            if shown && self.view != View::All {
                self.cursor = self.cursor.max(stored.rseq);
            }
        } else {
            self.cursor = stored.rseq;
        }
        if shown {
            self.write(tag, stored);
        }
        self.enough()
    }

    /// The scan has offered all there was: `end` is the vault's last rseq and the digest of all heads, both of
    /// the snapshot that the scan read. Not to be called for a scan that was broken off.
    pub fn scanned(&mut self, end: Rseq, digest: Digest) {
        match (self.pass, self.view) {
            (Pass::Control, View::All) => {
                self.ahead = self.ahead.max(end);
                self.pass = Pass::Scan;
            }
            // There is no more for it, and how far the vault is tells how busy it is.
            (Pass::Control, View::ControlBelow(_)) => {
                self.ahead = self.ahead.max(end);
                self.pass = Pass::Live;
                self.caught_up(Digest::ZERO);
                self.answer();
            }
            (Pass::Scan | Pass::Live, _) => {
                self.cursor = self.cursor.max(end);
                self.pass = Pass::Live;
                self.skip.clear();
                self.own.retain(|(_, last)| *last > end);
                self.caught_up(digest);
                self.answer();
            }
        }
    }

    /// Says so, once for each place.
    fn caught_up(&mut self, digest: Digest) {
        if self.announced != Some(self.cursor) {
            self.announced = Some(self.cursor);
            let frame = FeedFrame::CaughtUp { rseq: self.cursor, digest };
            self.out.extend_from_slice(&frame.encode());
        }
    }

    fn answer(&mut self) {
        if let Some(number) = self.asked.take() {
            self.out.extend_from_slice(&FeedFrame::Answer { number }.encode());
        }
    }

    /// The range has been offered whole, or as far as the log goes.
    pub fn ranged(&mut self) {
        self.wants.pop_front();
    }

    /// The vault may have grown.
    pub fn wake(&mut self) {
        if self.pass == Pass::Live {
            self.pass = if self.view == View::All { Pass::Scan } else { Pass::Control };
        }
    }

    /// Frames to send, whole ones, and none when there are none. The feed keeps no buffer.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
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

    /// Whether the segment fits behind what is gathered; if not, says what it needs.
    fn fits(&mut self, tag: u8, stored: &Stored<'_>) -> bool {
        let base = if stored.base.is_whole() { 0 } else { 40 };
        let key = if self.introduced.contains(&stored.header.log) { 0 } else { LOG_FRAME_BYTES + base };
        let needed = key + 4 + fields(tag) + stored.bytes.len();
        let fits = self.out.len() + needed <= self.room;
        self.needed = if fits { 0 } else { needed };
        fits
    }

    fn write(&mut self, tag: u8, stored: Stored<'_>) {
        if self.introduced.insert(stored.header.log) {
            self.out
                .extend_from_slice(&FeedFrame::Log { public: *stored.public, base: stored.base }.encode());
        }
        let len = fields(tag) + stored.bytes.len();
        if self.out.capacity() - self.out.len() < len + 4 {
            let more = self.out.len().min(limits::FEED_CHUNK_BYTES).min(self.room - self.out.len());
            self.out.reserve_exact((len + 4).max(more));
        }
        self.out.put_u32(u32::try_from(len).expect("segments are at most 2 MiB"));
        self.out.put_u8(tag);
        if tag == F_SEGMENT {
            self.out.put_u64(stored.rseq.0);
        }
        self.out.put_slice(stored.bytes);
    }
}

/// Bytes of a frame's tag and of what stands before the segment.
const fn fields(tag: u8) -> usize {
    if tag == F_SEGMENT { 9 } else { 1 }
}

/// A LOG frame of a whole log: length, tag, key and no base.
const LOG_FRAME_BYTES: usize = 4 + 1 + 65 + 1;
