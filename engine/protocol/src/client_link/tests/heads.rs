//! Copies of a log that differ: heads are compared before anything is sealed.

use super::*;
use crate::testing::many_heads;

#[test]
fn differing_heads_are_compared_and_divergence_rotates_before_sealing() {
    let mut rig = Rig::new();
    rig.hello();
    rig.add(1);
    rig.known(1);
    rig.take();
    let heads = vec![ShortHead::from(head(9, 4))];
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: heads.clone() }).unwrap();
    assert_eq!(
        rig.take(),
        [Output::StoreHeads { vault: vault(1), incarnation: RELAY, heads: heads.clone() }]
    );
    heads_stored(&mut rig, true, vec![ShortHead::from(head(9, 1))]);
    assert!(matches!(&rig.sent()[..], [ClientFrame::Heads { heads, .. }] if heads.len() == 1));
    assert_eq!(rig.link.progress().segments_known, 3, "segments 2, 3 and 4 are to come");
    rig.start(1, 1);
    rig.caught_up(1, 5);
    rig.take();
    shows(&mut rig);
    assert_eq!(rig.take()[1..], [Output::Rotate { vault: vault(1) }]);
    rig.give(Input::Rotated { vault: vault(1) });
    let asked = rig.sent();
    assert!(
        matches!(asked[..], [ClientFrame::Subscribe { digest: Digest::ZERO, .. }]),
        "what it has is compared anew"
    );
    rig.take();
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: heads.clone() }).unwrap();
    heads_stored(&mut rig, false, Vec::new());
    rig.start(1, 2);
    rig.caught_up(2, 5);
    rig.take();
    rig.delivered(1);
    rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
    let asked = rig.take();
    assert!(asked.iter().any(|output| matches!(output, Output::LoadOutbox { .. })));
    assert!(asked.contains(&Output::Seal { vault: vault(1) }));
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads }).unwrap();
    let fault = VaultFault::OutOfPlace { frame: "HEADS" };
    let rests = Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT };
    assert_eq!(rig.events(), [rests], "nobody asked for a second comparison");
}

fn heads_stored(rig: &mut Rig, diverged: bool, heads: Vec<ShortHead>) {
    rig.give(Input::HeadsStored { vault: vault(1), diverged, own: vec![log(1)], heads });
}

/// The batch that is with the store has a segment of an own log that this store did not write.
fn shows(rig: &mut Rig) {
    let received = Received { own_log_foreign: true, ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
}

/// A comparison of heads on a new feed, at whose end nothing was shown.
fn compared(rig: &mut Rig, diverged: bool, stream: u64) {
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: vec![head(1, 7).into()] }).unwrap();
    heads_stored(rig, diverged, vec![head(1, 1).into()]);
    rig.start(1, stream);
    rig.caught_up(stream, 9);
    rig.take();
    rig.delivered(1);
}

fn compares(rig: &mut Rig) -> bool {
    rig.sent().iter().any(|frame| matches!(frame, ClientFrame::Subscribe { digest: Digest::ZERO, .. }))
}

/// Whatever is written: nothing is sealed, loaded or sent.
fn is_shut(rig: &mut Rig) -> bool {
    rig.take();
    rig.give(Input::Written { vault: vault(1) });
    rig.advance(Duration::from_secs(1));
    rig.take().is_empty()
}

#[test]
fn a_relay_that_claims_another_head_and_does_not_show_it_opens_no_new_logs_and_shuts_its_uplink() {
    let mut rig = joining();
    compared(&mut rig, true, 1);
    assert!(compares(&mut rig), "once more");
    rig.give(Input::Written { vault: vault(1) });
    compared(&mut rig, true, 2);
    assert!(rig.events().contains(&Event::Disputed { vault: vault(1) }));
    assert!(!compares(&mut rig) && is_shut(&mut rig));
    assert!(rig.link.is_settled() && !rig.link.is_synced(), "a wait ends");
    // It goes on receiving, and says so once.
    rig.feed(2, &FeedFrame::Segment { rseq: Rseq(10), segment: segment(9, 0, 99) }).unwrap();
    rig.caught_up(2, 10);
    assert!(rig.take().iter().any(|output| matches!(output, Output::Deliver { .. })));
    rig.delivered(1);
    rig.delivered(1);
    assert!(rig.events().is_empty() && rig.link.is_settled() && is_shut(&mut rig));
    // What it shows at last counts.
    rig.feed(2, &FeedFrame::Segment { rseq: Rseq(11), segment: segment(1, 2, 99) }).unwrap();
    rig.take();
    shows(&mut rig);
    assert_eq!(rig.take(), [Output::Rotate { vault: vault(1) }]);
}

#[test]
fn a_relay_that_says_conflict_and_names_our_own_heads_shuts_its_uplink_too() {
    for code in [ErrorCode::Conflict, ErrorCode::Closed] {
        let mut rig = live_rig();
        for round in 0..2 {
            rig.push(1, vec![segment(1, 0, 300)]);
            rig.take();
            rig.frame(&RelayFrame::Error(Refusal::segment(code, vault(1), log(1), Seq(0)))).unwrap();
            assert!(compares(&mut rig));
            compared(&mut rig, false, 2 + 2 * round);
            if round == 0 {
                assert!(compares(&mut rig), "once more");
                compared(&mut rig, false, 3);
                assert!(rig.take().iter().any(|output| matches!(output, Output::LoadOutbox { .. })));
                rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
                rig.give(Input::Sealed { vault: vault(1), more: false });
                rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
            }
        }
        assert!(rig.events().contains(&Event::Disputed { vault: vault(1) }), "{code}");
        assert!(is_shut(&mut rig) && rig.link.is_settled(), "{code}");
    }
}

#[test]
fn a_conflict_in_a_log_of_somebody_else_disputes_nothing() {
    let mut rig = live_rig();
    for stream in 2..5 {
        rig.push(1, vec![segment(5, 0, 300)]);
        rig.frame(&RelayFrame::Error(Refusal::segment(ErrorCode::Conflict, vault(1), log(5), Seq(0))))
            .unwrap();
        rig.take();
        compared(&mut rig, false, stream);
        assert!(!compares(&mut rig), "one comparison for one conflict");
        rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
        rig.give(Input::Sealed { vault: vault(1), more: false });
        rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
    }
    assert!(!rig.events().contains(&Event::Disputed { vault: vault(1) }));
}

#[test]
fn what_a_relay_that_claims_has_shown_by_then_is_no_dispute() {
    for round in [0, 1] {
        let mut rig = joining();
        if round == 1 {
            compared(&mut rig, true, 7);
            assert!(compares(&mut rig));
        }
        rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: vec![head(1, 7).into()] })
            .unwrap();
        heads_stored(&mut rig, true, vec![head(1, 1).into()]);
        rig.start(1, 2);
        rig.feed(2, &FeedFrame::Segment { rseq: Rseq(9), segment: segment(1, 2, 99) }).unwrap();
        rig.caught_up(2, 9);
        rig.take();
        shows(&mut rig);
        rig.delivered(1);
        assert!(rig.take().contains(&Output::Rotate { vault: vault(1) }), "{round}");
        assert_eq!(rig.events(), [], "{round}");
    }
}

#[test]
fn own_segments_of_another_copy_rotate_before_sealing() {
    let mut rig = live_rig();
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(1, 0, 99) }).unwrap();
    rig.give(Input::Written { vault: vault(1) });
    rig.take();
    let received = Received { own_log_foreign: true, ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.take(), [Output::Rotate { vault: vault(1) }]);
}

#[test]
fn another_digest_compares_heads_once() {
    let mut rig = live_rig();
    let wrong = || Received { digest_ok: Some(false), ..Received::default() };
    rig.caught_up(1, 6);
    rig.give(Input::Delivered { vault: vault(1), received: wrong() });
    let zero = ClientFrame::Subscribe {
        vault: vault(1),
        incarnation: Incarnation::ZERO,
        cursor: Rseq(0),
        digest: Digest::ZERO,
    };
    assert_eq!(rig.sent(), [zero]);
    // What the old feed still brings is dropped; it may end without harm.
    rig.take();
    rig.caught_up(1, 7);
    assert_eq!(rig.take(), []);
    rig.give(Input::FeedClosed { stream: 1 });
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: Vec::new() }).unwrap();
    heads_stored(&mut rig, false, Vec::new());
    rig.start(1, 4);
    rig.caught_up(4, 6);
    rig.take();
    rig.give(Input::Delivered { vault: vault(1), received: wrong() });
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.events()[0], Event::Disagrees { vault: vault(1) });
    rig.caught_up(4, 7);
    rig.take();
    rig.give(Input::Delivered { vault: vault(1), received: wrong() });
    assert_eq!(rig.events(), [], "said once");
    rig.caught_up(4, 8);
    rig.take();
    let received = Received { digest_ok: Some(true), ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!(rig.events()[0], Event::Agrees { vault: vault(1) });
}

#[test]
fn no_digest_is_no_evidence() {
    let mut rig = live_rig();
    rig.feed(1, &FeedFrame::CaughtUp { rseq: Rseq(6), digest: Digest::ZERO }).unwrap();
    let received = Received { digest_ok: Some(false), ..Received::default() };
    rig.take();
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_conflict_compares_heads() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300), segment(1, 1, 300)]);
    rig.take();
    let conflict = |seq| RelayFrame::Error(Refusal::segment(ErrorCode::Conflict, vault(1), log(1), Seq(seq)));
    rig.frame(&conflict(0)).unwrap();
    assert!(matches!(rig.sent()[..], [ClientFrame::Subscribe { incarnation: Incarnation::ZERO, .. }]));
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: vec![head(1, 7).into()] }).unwrap();
    heads_stored(&mut rig, true, vec![head(1, 1).into()]);
    rig.start(1, 2);
    rig.caught_up(2, 9);
    rig.take();
    shows(&mut rig);
    assert!(rig.take().contains(&Output::Rotate { vault: vault(1) }));
    assert_eq!(rig.link.vaults[&vault(1)].up.in_flight_bytes(), 0);
}

fn part(heads: &[ShortHead], last: bool) -> RelayFrame {
    RelayFrame::Heads { vault: vault(1), last, heads: heads.to_vec() }
}

fn joining() -> Rig {
    let mut rig = Rig::new();
    rig.hello();
    rig.add(1);
    rig.known(1);
    rig.take();
    rig
}

#[test]
fn as_many_heads_as_a_vault_may_have_come_and_go_in_parts() {
    let mut rig = joining();
    let all = many_heads(limits::LOGS_PER_VAULT_MAX);
    let parts: Vec<_> = all.chunks(limits::HEADS_PART_MAX).collect();
    assert_eq!(parts.len(), 4);
    for (n, heads) in parts.iter().enumerate() {
        assert_eq!(rig.take(), [], "nothing before the last part");
        rig.frame(&part(heads, n == 3)).unwrap();
    }
    let stored = rig.take();
    assert_eq!(stored, [Output::StoreHeads { vault: vault(1), incarnation: RELAY, heads: all.clone() }]);
    let mut ours = all;
    ours.push(ours[0]);
    ours.reverse(); // whatever the order in which the store gives them
    heads_stored(&mut rig, false, ours);
    let mut named = Vec::new();
    let sent = rig.sent();
    assert_eq!(sent.len(), 4);
    for (n, frame) in sent.into_iter().enumerate() {
        let ClientFrame::Heads { last, heads, .. } = frame else { panic!("HEADS") };
        assert_eq!(last, n == 3);
        named.extend(heads);
    }
    assert_eq!(named, many_heads(limits::LOGS_PER_VAULT_MAX));
    rig.start(1, 1);
}

#[test]
fn an_empty_last_part_is_a_whole_answer_and_an_end() {
    for before in [0, 2] {
        let mut rig = joining();
        if before > 0 {
            rig.frame(&part(&many_heads(before), false)).unwrap();
        }
        rig.frame(&part(&[], true)).unwrap();
        assert_eq!(
            rig.take(),
            [Output::StoreHeads { vault: vault(1), incarnation: RELAY, heads: many_heads(before) }]
        );
    }
}

#[test]
fn parts_that_are_wrong_rest_their_vault_and_the_link_goes_on() {
    let all = many_heads(limits::LOGS_PER_VAULT_MAX + 1);
    let whole: Vec<_> = all.chunks(limits::HEADS_PART_MAX).map(|heads| part(heads, false)).collect();
    let cases: Vec<(&str, Vec<RelayFrame>, VaultFault)> = vec![
        ("one log twice", vec![part(&[all[0], all[0]], true)], VaultFault::HeadsOrder),
        ("not ascending", vec![part(&[all[1], all[0]], true)], VaultFault::HeadsOrder),
        (
            "a part that begins before the one before it ended",
            vec![part(&all[..2], false), part(&all[1..3], true)],
            VaultFault::HeadsOrder,
        ),
        ("a part of nothing that is not the last", vec![part(&[], false)], VaultFault::HeadsOrder),
        ("more than a vault may have", whole, VaultFault::TooManyLogs),
        (
            "a part behind the last one",
            vec![part(&all[..1], true), part(&all[1..2], true)],
            VaultFault::OutOfPlace { frame: "HEADS" },
        ),
    ];
    for (name, frames, fault) in cases {
        let mut rig = joining();
        for frame in &frames {
            rig.frame(frame).unwrap();
        }
        assert_eq!(rig.events(), [Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }], "{name}");
    }
    let mut rig = joining();
    rig.frame(&part(&all[..1], false)).unwrap();
    assert!(rig.link.is_waiting());
    rig.advance(ANSWER_WAIT - Duration::from_secs(1));
    rig.try_give(Input::Frame(Bytes::from_static(&[0xa1]))).unwrap(); // something else comes
    rig.advance(Duration::from_secs(1));
    let silent = Event::Rests { vault: vault(1), fault: VaultFault::Silent, retry: FAULT_WAIT };
    assert_eq!(rig.events(), [silent], "the last part never came");
}

#[test]
fn frames_of_newer_versions_that_may_be_ignored_are() {
    let newer = |tag: u8| Bytes::copy_from_slice(&[tag, 1, 2, 3]);
    let mut rig = Rig::new();
    rig.take();
    assert!(rig.try_give(Input::Frame(newer(0xa1))).is_err(), "not before HELLO");
    let mut rig = live_rig();
    rig.try_give(Input::Frame(newer(0xa1))).unwrap();
    rig.try_give(Input::Feed { stream: 1, frame: newer(0xe1) }).unwrap();
    assert_eq!(rig.take(), []);
    assert!(rig.try_give(Input::Feed { stream: 9, frame: newer(0xe1) }).is_err(), "nor before FEED START");
    let mut rig = live_rig();
    rig.try_give(Input::Feed { stream: 1, frame: newer(0xd1) }).unwrap();
    assert!(matches!(
        rig.events()[..],
        [Event::Rests { fault: VaultFault::Decode(DecodeError::Unknown { .. }), .. }]
    ));
    assert!(rig.try_give(Input::Frame(newer(0x91))).is_err());
}
