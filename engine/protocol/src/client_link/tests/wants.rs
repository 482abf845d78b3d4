//! What the device asks of other logs.

use super::*;

fn want(from: u64, to: u64) -> (LogId, Seq, Seq) {
    (log(9), Seq(from), Seq(to))
}

#[test]
fn wants_are_merged_and_go_out_once() {
    let mut rig = live_rig();
    let asked = |rig: &mut Rig| -> Vec<(u64, u64)> {
        let sent = rig.sent();
        let ranges = sent.iter().map(|frame| match frame {
            ClientFrame::Want { from, to, .. } => (from.0, to.0),
            other => panic!("{other:?}"),
        });
        ranges.collect()
    };
    for (wants, expected) in [
        (vec![want(0, 4), want(0, 6), want(0, 5)], vec![(0, 6)]),
        (vec![want(0, 4)], vec![]),
        (vec![want(0, 8)], vec![(7, 8)]),
    ] {
        rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 5, 99) }).unwrap();
        rig.give(Input::Delivered { vault: vault(1), received: Received { wants, ..Received::default() } });
        assert_eq!(asked(&mut rig), expected);
    }
    let refusal = Refusal::segment(ErrorCode::Gap, vault(1), log(9), Seq(7));
    rig.take();
    rig.frame(&RelayFrame::Error(refusal)).unwrap();
    assert_eq!(rig.take(), [], "a refused WANT is not a refused push");
}

#[test]
fn with_a_rotation_ahead_nothing_is_wanted_and_behind_it_heads_are_compared() {
    let mut rig = live_rig();
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(1, 4, 99) }).unwrap();
    rig.caught_up(1, 6);
    let received = Received { wants: vec![want(0, 4)], own_log_foreign: true, ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    let received = Received { digest_ok: Some(false), ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!(rig.sent(), [], "neither the want nor, for a digest that must differ, a new subscription");
    assert!(rig.take().contains(&Output::Rotate { vault: vault(1) }));
    rig.give(Input::Rotated { vault: vault(1) });
    assert!(matches!(rig.sent()[..], [ClientFrame::Subscribe { digest: Digest::ZERO, .. }]));
    // A vault that rested meanwhile does so when it begins anew.
    let mut rig = live_rig();
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(1, 4, 99) }).unwrap();
    let received = Received { own_log_foreign: true, ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    rig.give(Input::Faulty { vault: vault(1) });
    rig.give(Input::Rotated { vault: vault(1) });
    rig.advance(FAULT_WAIT);
    rig.take();
    rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Writer) });
    assert!(matches!(
        rig.sent()[..],
        [ClientFrame::Auth { .. }, ClientFrame::Subscribe { digest: Digest::ZERO, .. }]
    ));
}

#[test]
fn logs_are_introduced_a_few_at_a_time() {
    let mut rig = live_rig();
    let logs: Vec<_> = (1..=70).map(|n| key(n).into()).collect();
    let segments: Vec<_> = (1..=70).map(|n| segment(n, 0, 99)).collect();
    rig.give(Input::Written { vault: vault(1) });
    rig.advance(Duration::from_millis(1));
    rig.give(Input::Sealed { vault: vault(1), more: false });
    let batch = OutboxBatch { logs, segments, more: false };
    rig.give(Input::Outbox { vault: vault(1), batch: batch.clone() });
    let introduced =
        |rig: &mut Rig| rig.sent().iter().filter(|frame| matches!(frame, ClientFrame::Log { .. })).count();
    assert_eq!(introduced(&mut rig), 64);
    assert!(!rig.link.is_synced());
    rig.take();
    let entries = (1..=64).map(|n| head(n, 0)).collect();
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(70), entries }).unwrap();
    assert!(rig.take().iter().any(|output| matches!(output, Output::LoadOutbox { .. })));
    rig.give(Input::Outbox { vault: vault(1), batch });
    assert_eq!(introduced(&mut rig), 6);
}
