//! How much is under way at a time, in both directions, and when the two have caught up.

use super::*;
use crate::segment::{HEADER_LEN, SIGNATURE_LEN};

#[test]
fn quota_rests_the_log_holds_sealing_and_is_retried() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300), segment(1, 1, 300), segment(1, 2, 300)]);
    rig.take();
    let quota = |seq| Refusal::segment(ErrorCode::QuotaBytes, vault(1), log(1), Seq(seq));
    rig.frame(&RelayFrame::Error(quota(1))).unwrap();
    assert_eq!(rig.events(), [Event::Refused { refusal: quota(1), retry: REFUSED_WAIT }]);
    let gap = Refusal::segment(ErrorCode::Gap, vault(1), log(1), Seq(2));
    rig.frame(&RelayFrame::Error(gap)).unwrap();
    assert_eq!(rig.events(), [], "a consequence of the first");
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(6), entries: vec![head(1, 0)] }).unwrap();
    rig.give(Input::AckStored { vault: vault(1), more: false });
    rig.take();
    assert!(rig.link.is_settled() && !rig.link.is_synced());
    // The feed goes on, sealing does not.
    rig.give(Input::Written { vault: vault(1) });
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(7), segment: segment(9, 0, 99) }).unwrap();
    rig.advance(Duration::from_secs(1));
    assert!(matches!(rig.take()[..], [Output::Deliver { .. }]));
    rig.delivered(1);
    rig.advance(REFUSED_WAIT);
    let asked = rig.take();
    assert!(matches!(&asked[..], [Output::LoadOutbox { sent, .. }] if sent[&log(1)] == Seq(0)), "{asked:?}");
}

#[test]
fn a_resting_log_is_not_loaded() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.take();
    let large = Refusal::segment(ErrorCode::SegmentTooLarge, vault(1), log(1), Seq(0));
    rig.frame(&RelayFrame::Error(large)).unwrap();
    rig.give(Input::Written { vault: vault(1) });
    rig.advance(Duration::from_secs(1));
    rig.give(Input::Sealed { vault: vault(1), more: false });
    let asked = rig.take();
    assert!(
        matches!(&asked[..], [.., Output::LoadOutbox { sent, .. }] if sent[&log(1)] == Seq(u64::MAX)),
        "{asked:?}"
    );
}

#[test]
fn what_was_sent_is_not_copied_for_each_load() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(6), entries: vec![head(1, 0)] }).unwrap();
    rig.give(Input::AckStored { vault: vault(1), more: false });
    let mut load = || {
        rig.take();
        rig.give(Input::Written { vault: vault(1) });
        rig.advance(Duration::from_secs(1));
        rig.give(Input::Sealed { vault: vault(1), more: false });
        let sent = rig.take().into_iter().find_map(|output| match output {
            Output::LoadOutbox { sent, .. } => Some(sent),
            _ => None,
        });
        rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
        sent.expect("a load is asked for")
    };
    let (first, second) = (load(), load());
    assert_eq!(first[&log(1)], Seq(0));
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}

#[test]
fn the_window_is_one_for_all_vaults_and_never_exceeded() {
    let mut rig = Rig::new();
    rig.hello();
    rig.live(1);
    rig.live(2);
    let mut next: BTreeMap<VaultId, u64> = BTreeMap::new();
    for n in [1, 2] {
        rig.give(Input::Written { vault: vault(n) });
    }
    rig.advance(Duration::from_millis(1));
    for n in [1, 2] {
        rig.give(Input::Sealed { vault: vault(n), more: false });
    }
    let mut loads = 0;
    while let Some(output) = rig.out.pop_front() {
        let Output::LoadOutbox { vault: id, bytes_max, .. } = output else { continue };
        loads += 1;
        let n = id.as_bytes()[0];
        let seq = next.entry(id).or_default();
        let mut segments = Vec::new();
        let mut bytes = 0;
        while bytes + (1 << 20) <= bytes_max {
            segments.push(segment(n, *seq, (1 << 20) - HEADER_LEN - SIGNATURE_LEN));
            bytes += 1 << 20;
            *seq += 1;
        }
        rig.give(Input::Outbox {
            vault: id,
            batch: OutboxBatch { logs: vec![key(n).into()], segments, more: true },
        });
        let in_flight: usize = rig.link.vaults.values().map(|vault| vault.up.in_flight_bytes()).sum();
        assert!(in_flight <= limits::PUSH_WINDOW_BYTES);
    }
    assert!(loads >= 2 && rig.link.vaults[&vault(1)].up.has_outbox());
    rig.take();
    rig.frame(&RelayFrame::Ack { vault: vault(2), rseq: Rseq(9), entries: vec![head(2, 1)] }).unwrap();
    let waiting = rig.take().iter().filter(|o| matches!(o, Output::LoadOutbox { .. })).count();
    assert!(waiting >= 1, "room in the window is used again");
}

#[test]
fn vaults_that_find_the_window_taken_have_their_turn() {
    let mut rig = Rig::new();
    rig.hello();
    for n in 1..=5 {
        rig.live(n);
    }
    for n in 1..=5 {
        rig.give(Input::Written { vault: vault(n) });
    }
    rig.advance(Duration::from_millis(1));
    for n in 1..=5 {
        rig.give(Input::Sealed { vault: vault(n), more: false });
    }
    // No acknowledgement comes: what nobody uses of the window is free again at once.
    while let Some(output) = rig.out.pop_front() {
        if let Output::LoadOutbox { vault, .. } = output {
            rig.give(Input::Outbox { vault, batch: OutboxBatch::default() });
        }
    }
    assert!(rig.link.is_synced());
}

#[test]
fn feeds_are_not_read_while_too_much_waits_for_the_store() {
    let mut rig = live_rig();
    let mut seq = 0;
    while rig.link.reads_feeds() {
        let segment = segment(9, seq, 1 << 20);
        rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6 + seq), segment }).unwrap();
        seq += 1;
    }
    assert_eq!(seq, 4, "one is with the store, three wait");
    rig.take();
    rig.delivered(1);
    assert!(matches!(&rig.take()[..], [Output::Deliver { batch, .. }] if batch.items.len() == 3));
    assert!(rig.link.reads_feeds());
    while rig.link.reads_feeds() {
        rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 0, 1 << 20) }).unwrap();
    }
    let more = FeedFrame::Ahead { segment: segment(9, 0, 99) };
    assert_eq!(rig.feed(1, &more), Err(LinkError::Misuse));
}

#[test]
fn caught_up_is_judged_when_nothing_is_in_flight() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.take();
    rig.caught_up(1, 7);
    assert_eq!(rig.take(), []);
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    assert!(matches!(rig.take()[..], [Output::StoreAck { .. }, Output::Deliver { .. }]));
    rig.delivered(1);
    rig.give(Input::AckStored { vault: vault(1), more: false });
    rig.take();
    rig.caught_up(1, 6);
    assert_eq!(rig.take(), [], "older than what was acknowledged");
}

#[test]
fn a_gathered_caught_up_is_outdated_by_a_later_acknowledgement() {
    let mut rig = live_rig();
    // One batch is with the store; the CAUGHT_UP behind it waits.
    rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 0, 99) }).unwrap();
    rig.caught_up(1, 6);
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.take();
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    assert!(matches!(rig.take()[..], [Output::StoreAck { .. }]));
    rig.delivered(1);
    let delivered = rig.take();
    assert!(
        matches!(&delivered[..], [Output::Deliver { batch, .. }] if batch.caught_up.is_none()),
        "{delivered:?}"
    );
}

#[test]
fn a_waiting_caught_up_is_outdated_by_a_later_segment_and_not_by_one_sent_ahead() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.caught_up(1, 7);
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(8), segment: segment(9, 0, 99) }).unwrap();
    rig.take();
    rig.delivered(1);
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    assert!(matches!(rig.take()[..], [Output::StoreAck { .. }]), "the one at 7 is history");
    rig.give(Input::AckStored { vault: vault(1), more: false });
    // One batch is with the store; behind it, a CAUGHT_UP and what a WANT brought.
    rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 1, 99) }).unwrap();
    rig.caught_up(1, 8);
    rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 2, 99) }).unwrap();
    rig.take();
    rig.delivered(1);
    assert!(matches!(&rig.take()[..], [Output::Deliver { batch, .. }] if batch.caught_up.is_some()));
    let received = Received { digest_ok: Some(false), ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!(rig.sent(), [], "the digest may be older than what was sent ahead");
}

#[test]
fn sealing_is_clocked_by_acknowledgements() {
    let mut rig = live_rig();
    rig.give(Input::Written { vault: vault(1) });
    assert_eq!(rig.link.deadline(), Some(rig.now + Duration::from_millis(1)));
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.take();
    rig.give(Input::Written { vault: vault(1) });
    assert_eq!(rig.link.deadline(), Some(rig.now + Duration::from_millis(250)));
    rig.advance(Duration::from_millis(2));
    assert_eq!(rig.take(), []);
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    assert!(matches!(rig.take()[..], [Output::StoreAck { .. }, Output::Seal { .. }]));
}
