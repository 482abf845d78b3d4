//! Feeds of a relay, as a script has vaults grow and drivers read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::{Buf as _, Bytes};
use subrosa_protocol::frame::{FeedFrame, FrameLimit};
use subrosa_protocol::ids::{Digest, Epoch, LogId, PublicKeyBytes, Rseq};
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::{Feed, FeedStep, Stored, View, Want};
use subrosa_protocol::segment::{Class, Header, SealedSegment};

use super::relay::LIFE;
use super::script::{Script, vault};

/// A vault that grows while a feed is taken; what is shown is held against what there is.
pub(super) fn relay_feed(data: &[u8]) {
    let mut script = Script::new(data);
    let view =
        if script.below(4) == 3 { View::ControlBelow(Epoch(script.below(3).into())) } else { View::All };
    let cursor = Rseq(script.below(4).into());
    let mut feed = Feed::new(vault(0), LIFE, cursor, view);
    let mut there: Vec<(SealedSegment, PublicKeyBytes)> = Vec::new();
    let mut seen = Seen { view, cursor, ..Seen::default() };
    let mut wanted = 0;
    while !script.is_over() {
        match script.below(8) {
            0 | 1 if there.len() < 40 => {
                let key = script.public();
                there.push((script.segment_of(LogId::of(&key)), key));
                feed.wake();
            }
            2 => {
                let (log, seq) = (script.log(), script.seq());
                feed.skip(log, seq);
                seen.skips = true;
            }
            3 => {
                let want = Want { log: script.log(), from: script.seq(), to: script.seq() };
                wanted += usize::from(feed.want(want));
                assert!(wanted <= limits::WANTS_MAX);
            }
            4 => feed.ask(script.number()),
            5 => {
                let first = Rseq(1 + u64::from(script.below(40)));
                feed.pushed_here(first, Rseq(first.0 + u64::from(script.below(3))));
                seen.skips = true;
            }
            6 => feed.set_room(if script.yes() { 600 + usize::from(script.u8()) * 16 } else { usize::MAX }),
            _ => {
                if read(&mut feed, &there) {
                    wanted -= 1;
                }
                seen.frames(feed.take());
            }
        }
    }
    feed.set_room(usize::MAX);
    // A step for each WANT and each scan: without a bound of room it comes to an end.
    for _ in 0..limits::WANTS_MAX + 4 {
        let _ = read(&mut feed, &there);
        seen.frames(feed.take());
    }
    assert_eq!(feed.step(), FeedStep::Wait);
    if view == View::All && !seen.skips {
        let beyond = |rseq: &u64| *rseq > cursor.0;
        let shown = |rseq: &u64| seen.scanned.contains(rseq) || seen.ahead_of(&there[*rseq as usize - 1].0);
        assert!((1..=there.len() as u64).filter(beyond).all(|rseq| shown(&rseq)), "nothing is left out");
    }
}

/// Does what a feed asks for, from a store; whether that was a WANT that is done.
fn read(feed: &mut Feed, there: &[(SealedSegment, PublicKeyBytes)]) -> bool {
    let stored = |(at, (segment, public)): (usize, &'_ (SealedSegment, PublicKeyBytes))| {
        (Rseq(at as u64 + 1), *segment.header(), segment.bytes().clone(), *public)
    };
    let offer = |feed: &mut Feed, (rseq, header, bytes, public): (Rseq, _, Bytes, PublicKeyBytes)| {
        feed.offer(Stored {
            rseq,
            header,
            bytes: &bytes,
            public: &public,
            base: subrosa_protocol::ids::Base::WHOLE,
        })
    };
    match feed.step() {
        FeedStep::Scan { after, class } => {
            let all = there.iter().enumerate().map(stored).filter(|(rseq, header, ..)| {
                *rseq > after && class.is_none_or(|class| header.kind.class() == class)
            });
            for one in all {
                if offer(feed, one) == ControlFlow::Break(()) {
                    return false;
                }
            }
            feed.scanned(Rseq(there.len() as u64), Digest::from_bytes([1; 32]));
            false
        }
        FeedStep::Range(Want { log, from, to }) => {
            let mut all: Vec<_> = there.iter().enumerate().map(stored).collect();
            all.retain(|(_, header, ..)| header.log == log && (from..=to).contains(&header.seq));
            all.sort_by_key(|(_, header, ..)| header.seq);
            for one in all {
                if offer(feed, one) == ControlFlow::Break(()) {
                    return false;
                }
            }
            feed.ranged();
            true
        }
        FeedStep::Wait => false,
    }
}

/// What a client has got.
struct Seen {
    view: View,
    cursor: Rseq,
    skips: bool,
    has_started: bool,
    scanned: BTreeSet<u64>,
    /// Without their bytes, which would keep all that was ever sent.
    ahead: Vec<Header>,
    logs: BTreeSet<LogId>,
    last: Option<Rseq>,
    caught_up: Option<Rseq>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            view: View::All,
            cursor: Rseq(0),
            skips: false,
            has_started: false,
            scanned: BTreeSet::new(),
            ahead: Vec::new(),
            logs: BTreeSet::new(),
            last: None,
            caught_up: None,
        }
    }
}

impl Seen {
    fn ahead_of(&self, segment: &SealedSegment) -> bool {
        self.ahead.contains(segment.header())
    }

    fn frames(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let len = FrameLimit::FULL.announced(&bytes).expect("a length").expect("whole frames");
            bytes.advance(4);
            self.frame(FeedFrame::decode(&bytes.split_to(len)).expect("a frame"));
        }
    }

    fn frame(&mut self, frame: FeedFrame) {
        assert_eq!(matches!(frame, FeedFrame::Start { .. }), !std::mem::replace(&mut self.has_started, true));
        match frame {
            FeedFrame::Log { public, .. } => assert!(self.logs.insert(LogId::of(&public)), "told once"),
            FeedFrame::Segment { rseq, segment } => {
                assert!(self.view == View::All && rseq > self.cursor);
                assert!(self.last.replace(rseq).is_none_or(|last| last < rseq), "in their order");
                self.scanned.insert(rseq.0);
                self.may_see(&segment);
            }
            FeedFrame::Ahead { segment } => {
                self.may_see(&segment);
                if !self.ahead_of(&segment) {
                    self.ahead.push(*segment.header());
                }
            }
            FeedFrame::CaughtUp { rseq, .. } => {
                assert!(self.caught_up.replace(rseq).is_none_or(|before| before < rseq), "said once");
            }
            FeedFrame::Start { .. } | FeedFrame::Answer { .. } => {}
        }
    }

    fn may_see(&self, segment: &SealedSegment) {
        let header = segment.header();
        if let View::ControlBelow(end) = self.view {
            assert!(header.kind.class() == Class::Control && header.epoch < end, "what it may not see");
        }
    }
}
