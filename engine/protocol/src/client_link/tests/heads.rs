//! Copies of a log that differ: heads are compared before anything is sealed.

use super::*;

#[test]
fn differing_heads_are_compared_and_divergence_rotates_before_sealing() {
    let mut rig = Rig::new();
    rig.hello();
    rig.add(1);
    rig.known(1);
    rig.take();
    let heads = vec![ShortHead::from(head(9, 4))];
    rig.frame(&RelayFrame::Heads { vault: vault(1), heads: heads.clone() }).unwrap();
    assert_eq!(
        rig.take(),
        [Output::StoreHeads { vault: vault(1), incarnation: RELAY, heads: heads.clone() }]
    );
    rig.give(Input::HeadsStored {
        vault: vault(1),
        diverged: true,
        heads: vec![ShortHead::from(head(9, 1))],
    });
    assert!(matches!(&rig.sent()[..], [ClientFrame::Heads { heads, .. }] if heads.len() == 1));
    assert_eq!(rig.link.progress().segments_known, 3, "segments 2, 3 and 4 are to come");
    rig.start(1, 1);
    rig.caught_up(1, 5);
    rig.take();
    rig.delivered(1);
    assert!(rig.take().contains(&Output::Rotate { vault: vault(1) }));
    rig.give(Input::Rotated { vault: vault(1) });
    rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
    let asked = rig.take();
    assert!(matches!(asked[0], Output::LoadOutbox { .. }));
    assert_eq!(asked[1], Output::Seal { vault: vault(1) });
    rig.take();
    rig.frame(&RelayFrame::Heads { vault: vault(1), heads }).unwrap();
    let fault = VaultFault::OutOfPlace { frame: "HEADS" };
    let rests = Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT };
    assert_eq!(rig.events(), [rests], "nobody asked for a second comparison");
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
    rig.frame(&RelayFrame::Heads { vault: vault(1), heads: Vec::new() }).unwrap();
    rig.give(Input::HeadsStored { vault: vault(1), diverged: false, heads: Vec::new() });
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
    rig.frame(&RelayFrame::Heads { vault: vault(1), heads: vec![head(1, 7).into()] }).unwrap();
    rig.give(Input::HeadsStored { vault: vault(1), diverged: true, heads: vec![head(1, 1).into()] });
    rig.start(1, 2);
    rig.caught_up(2, 9);
    rig.take();
    rig.delivered(1);
    assert!(rig.take().contains(&Output::Rotate { vault: vault(1) }));
    assert_eq!(rig.link.vaults[&vault(1)].up.in_flight_bytes(), 0);
}
