use std::ops::ControlFlow;

use super::*;
use crate::frame::FeedFrame;

/// A vault's segments in rseq order: (log, seq, kind, epoch).
const STORE: [(u8, u64, Kind, u32); 6] = [
    (1, 0, Kind::DATA, 0),
    (2, 0, Kind::CONTROL, 0),
    (1, 1, Kind::DATA, 0),
    (2, 1, Kind::CONTROL, 1),
    (3, 0, Kind::CARRIED, 1),
    (1, 2, Kind::CLOSING, 1),
];

fn stored(rseq: usize) -> (Header, Vec<u8>) {
    let (log, seq, kind, epoch) = STORE[rseq - 1];
    let header = Header {
        kind,
        place: GroupPlace::Whole,
        log: LogId::from_bytes([log; 16]),
        seq: Seq(seq),
        epoch: Epoch(epoch),
        prev: Chain::ZERO,
        salt: [0; 16],
        commit: [0; 32],
        body_len: 16,
    };
    (header, SealedSegment::assemble(header, &[0; 16], &Signature::ZERO).bytes().to_vec())
}

/// Does what a driver does until the feed waits; returns what was sent, in short: `A` ahead, `S` segment, `C`
/// caught up, with log and seq or rseq, `Q` the answer to a question.
fn run(feed: &mut Feed) -> Vec<String> {
    run_up_to(feed, STORE.len())
}

/// As [`run`], while the store has so many segments.
fn run_up_to(feed: &mut Feed, end: usize) -> Vec<String> {
    let public = Key::new(1).public();
    let mut bytes = Vec::new();
    loop {
        let offer = |feed: &mut Feed, rseq: usize| {
            let (header, bytes) = stored(rseq);
            feed.offer(Stored {
                rseq: Rseq(rseq as u64),
                header,
                bytes: &bytes,
                public: &public,
                base: Base::WHOLE,
            })
        };
        match feed.step() {
            FeedStep::Wait => break,
            FeedStep::Scan { after, class } => {
                let rest = (after.0 as usize + 1..=end)
                    .filter(|rseq| class.is_none_or(|class| stored(*rseq).0.kind.class() == class));
                let mut whole = true;
                for rseq in rest {
                    if offer(feed, rseq) == ControlFlow::Break(()) {
                        whole = false;
                        break;
                    }
                }
                if whole {
                    feed.scanned(Rseq(end as u64), Digest::from_bytes([7; 32]));
                }
            }
            FeedStep::Range(Want { log, from, to }) => {
                for rseq in 1..=end {
                    let header = stored(rseq).0;
                    if header.log == log && header.seq >= from && header.seq <= to {
                        let _ = offer(feed, rseq);
                    }
                }
                feed.ranged();
            }
        }
        bytes.extend_from_slice(&feed.take());
    }
    bytes.extend_from_slice(&feed.take());
    let mut rest = Bytes::from(bytes);
    let mut short = Vec::new();
    while let Some(len) = FrameLimit::FULL.announced(&rest).unwrap() {
        let frame = rest.slice(4..4 + len);
        rest = rest.slice(4 + len..);
        match FeedFrame::decode(&frame).unwrap() {
            FeedFrame::Start { .. } => short.push("start".to_owned()),
            FeedFrame::Log { .. } => short.push("log".to_owned()),
            FeedFrame::Ahead { segment } => {
                short.push(format!("A{}.{}", segment.header().log.as_bytes()[0], segment.header().seq));
            }
            FeedFrame::Segment { rseq, .. } => short.push(format!("S{rseq}")),
            FeedFrame::CaughtUp { rseq, digest } => {
                short.push(format!("C{rseq}{}", if digest == Digest::ZERO { " blind" } else { "" }));
            }
            FeedFrame::Answer { number } => short.push(format!("Q{number}")),
        }
    }
    short
}

#[test]
fn a_question_is_answered_behind_everything_that_was_there_when_it_came() {
    let mut live = feed(6, View::All);
    live.ask(1);
    assert_eq!(run(&mut live), ["start", "C6", "Q1"], "before the first scan");
    live.ask(2);
    assert_eq!(run(&mut live), ["Q2"], "nothing new, and said so");
    assert_eq!(run(&mut live), Vec::<String>::new(), "once");
    live.ask(3);
    assert!(live.want(Want { log: LogId::from_bytes([1; 16]), from: Seq(0), to: Seq(0) }));
    live.ask(4);
    assert_eq!(run(&mut live), ["log", "A1.0", "Q4"], "the last one stands for all, behind what was wanted");
    let mut behind = feed(0, View::All);
    assert_eq!(run_up_to(&mut behind, 3).last().map(String::as_str), Some("C3"));
    behind.ask(5);
    assert_eq!(
        run(&mut behind),
        ["S4", "log", "S5", "S6", "C6", "Q5"],
        "what nobody has told it of comes first"
    );
    let mut old = feed(0, View::ControlBelow(Epoch(1)));
    old.ask(6);
    assert_eq!(run(&mut old), ["start", "log", "A2.0", "C2 blind", "Q6"]);
    old.ask(7);
    assert_eq!(run(&mut old), ["Q7"]);
}

fn feed(cursor: u64, view: View) -> Feed {
    Feed::new(vault(), LIFE, Rseq(cursor), view)
}

#[test]
fn control_goes_ahead_and_is_not_repeated() {
    let mut fresh = feed(0, View::All);
    assert_eq!(
        run(&mut fresh),
        ["start", "log", "A2.0", "A2.1", "log", "S1", "S3", "log", "S5", "S6", "C6"],
        "each log is introduced once"
    );
    fresh.wake();
    assert_eq!(run(&mut fresh), Vec::<String>::new(), "nothing new, nothing said");
    assert_eq!(run(&mut feed(3, View::All)), ["start", "log", "A2.1", "log", "S5", "log", "S6", "C6"]);
    assert_eq!(run(&mut feed(6, View::All)), ["start", "C6"]);
}

#[test]
fn own_and_held_segments_are_left_out_and_covered() {
    let mut own = feed(0, View::All);
    own.pushed_here(Rseq(2), Rseq(3));
    own.pushed_here(Rseq(4), Rseq(4));
    assert_eq!(run(&mut own), ["start", "log", "S1", "log", "S5", "S6", "C6"]);
    let mut held = feed(0, View::All);
    held.skip(LogId::from_bytes([1; 16]), Seq(1));
    held.skip(LogId::from_bytes([2; 16]), Seq(9));
    assert_eq!(run(&mut held), ["start", "log", "S5", "log", "S6", "C6"]);
}

#[test]
fn evidence_and_wants_come_ahead() {
    let mut feed = feed(0, View::All);
    feed.show_evidence(LogId::from_bytes([1; 16]), Seq(2));
    let frames = run(&mut feed);
    assert_eq!(frames[..4], ["start", "log", "A1.2", "log"]);
    assert!(frames.contains(&"S6".to_owned()), "and again in its turn");
    let want = Want { log: LogId::from_bytes([1; 16]), from: Seq(0), to: Seq(u64::MAX) };
    assert!(feed.want(want));
    assert_eq!(run(&mut feed), ["A1.0", "A1.1", "A1.2"]);
    for _ in 0..limits::WANTS_MAX {
        assert!(feed.want(want));
    }
    assert!(!feed.want(want), "bounded");
}

#[test]
fn a_superseded_key_gets_control_of_its_epochs_and_no_digest() {
    let mut old = feed(0, View::ControlBelow(Epoch(1)));
    assert_eq!(run(&mut old), ["start", "log", "A2.0", "C2 blind"], "and not where the vault is");
    let want = Want { log: LogId::from_bytes([1; 16]), from: Seq(0), to: Seq(9) };
    assert!(old.want(want));
    assert_eq!(run(&mut old), Vec::<String>::new(), "nor by asking");
}

#[test]
fn a_superseded_key_hears_nothing_of_what_it_may_not_see() {
    for (cursor, expected) in [(0, &["start", "log", "A2.0", "C2 blind"][..]), (2, &["start", "C2 blind"])] {
        let mut old = feed(cursor, View::ControlBelow(Epoch(1)));
        old.set_room(limits::FEED_ROOM_BYTES);
        let mut frames = run_up_to(&mut old, 3);
        for grown in 4..=STORE.len() {
            old.wake();
            frames.extend(run_up_to(&mut old, grown));
        }
        assert_eq!(frames, expected, "{cursor}");
    }
    let mut late = feed(1, View::ControlBelow(Epoch(2)));
    assert_eq!(run_up_to(&mut late, 3), ["start", "log", "A2.0", "C2 blind"]);
    late.wake();
    assert_eq!(
        run_up_to(&mut late, 6),
        ["A2.1", "C4 blind"],
        "what comes late is shown, and how far that is"
    );
}

#[test]
fn chunks_are_bounded_and_own_ranges_too() {
    let mut feed = feed(0, View::All);
    let public = Key::new(1).public();
    let (header, _) = stored(1);
    let header = Header { body_len: 100_000, ..header };
    let segment = SealedSegment::assemble(header, &vec![0; 100_000], &Signature::ZERO);
    let mut broken_at = 0;
    feed.scanned(Rseq(0), Digest::ZERO);
    for rseq in 1..10 {
        let bytes = segment.bytes();
        if feed
            .offer(Stored { rseq: Rseq(rseq), header, bytes, public: &public, base: Base::WHOLE })
            .is_break()
        {
            broken_at = rseq;
            break;
        }
    }
    assert_eq!(broken_at, 3, "256 KiB are full");
    assert_eq!(feed.step(), FeedStep::Scan { after: Rseq(3), class: None }, "goes on where it broke off");
    for n in 0..10 + limits::OWN_RANGES_MAX as u64 {
        feed.pushed_here(Rseq(100 + 2 * n), Rseq(100 + 2 * n));
    }
    assert!(!feed.take().is_empty());
    assert!(feed.take().is_empty());
}

#[test]
fn a_segment_that_finds_no_room_says_what_it_needs_and_is_offered_again() {
    let mut feed = feed(0, View::All);
    let public = Key::new(1).public();
    let (header, _) = stored(1);
    let header = Header { body_len: 300_000, ..header };
    let segment = SealedSegment::assemble(header, &vec![0; 300_000], &Signature::ZERO);
    let at = |rseq: u64| Stored {
        rseq: Rseq(rseq),
        header,
        bytes: segment.bytes(),
        public: &public,
        base: Base::WHOLE,
    };
    feed.scanned(Rseq(0), Digest::ZERO);
    feed.set_room(400_000);
    assert!(feed.offer(at(1)).is_break(), "a chunk is full");
    assert!(feed.offer(at(2)).is_break());
    assert_eq!(feed.step(), FeedStep::Scan { after: Rseq(1), class: None }, "the second found no room");
    assert_eq!(feed.needed(), 4 + 9 + segment.bytes().len());
    let first = feed.take();
    assert!(first.len() <= 400_000);
    feed.set_room(100_000);
    assert!(feed.offer(at(2)).is_break());
    assert!(feed.take().is_empty(), "nor in a room that is too small");
    feed.set_room(feed.needed());
    assert!(feed.offer(at(2)).is_break());
    assert_eq!((feed.step(), feed.needed()), (FeedStep::Scan { after: Rseq(2), class: None }, 0));
    let second = feed.take();
    assert_eq!(second.len(), 4 + 9 + segment.bytes().len());

    assert!(feed.want(Want { log: header.log, from: Seq(0), to: Seq(0) }));
    feed.set_room(100_000);
    assert!(feed.offer(at(1)).is_break());
    let want = Want { log: header.log, from: Seq(0), to: Seq(0) };
    assert_eq!(feed.step(), FeedStep::Range(want), "a want is not over before it found room");
}

#[test]
fn a_feed_that_failed_is_the_fault_of_its_vault_alone() {
    let mut link = member(Role::Writer);
    assert!(link.handle(at(1), Input::FeedFailed(vault())).is_ok());
    assert!(drain(&mut link).is_empty(), "there is none");
    let open = |link: &mut RelayLink| {
        feed_in(link, &subscribe(0, LIFE)).unwrap();
        link.handle(at(1), Input::Digest { last: Rseq(0), digest: SAID }).unwrap();
        assert!(drain(link).iter().any(|output| matches!(output, Output::OpenFeed(_))));
    };
    open(&mut link);
    link.handle(at(2), Input::FeedFailed(vault())).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(outputs[0], Output::CloseFeed(of) if of == vault()));
    let RelayFrame::Error(refusal) = &sent(outputs)[0] else { panic!() };
    assert_eq!(*refusal, Refusal::vault(ErrorCode::Internal, vault()).retry_after(limits::RETRY_SECS));
    open(&mut link);
}
