//! Questions whether everything is here.

use super::*;

fn ask(rig: &mut Rig, number: u64) {
    rig.give(Input::Ask { number });
}

fn answer(rig: &mut Rig, stream: u64, number: u64) {
    rig.feed(stream, &FeedFrame::Answer { number }).unwrap();
}

fn asked(n: u8, number: u64) -> ClientFrame {
    ClientFrame::Ask { vault: vault(n), number }
}

fn fed(rig: &mut Rig, rseq: u64, seq: u64) {
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(rseq), segment: segment(9, seq, 99) }).unwrap();
}

#[test]
fn an_answer_counts_when_everything_before_it_is_stored() {
    let mut rig = live_rig();
    assert_eq!(rig.link.answered(), 0);
    ask(&mut rig, 3);
    assert_eq!(rig.sent(), [asked(1, 3)]);
    ask(&mut rig, 3);
    assert_eq!(rig.sent(), [], "once");
    assert!(rig.link.is_waiting(), "a path that is silent now is dead");
    answer(&mut rig, 1, 3);
    assert_eq!(
        (rig.link.answered(), rig.take()),
        (3, Vec::new()),
        "there was nothing, and the store is left alone"
    );
    assert!(!rig.link.is_waiting());

    ask(&mut rig, 4);
    fed(&mut rig, 6, 0);
    fed(&mut rig, 7, 1);
    rig.caught_up(1, 7);
    answer(&mut rig, 1, 4);
    assert_eq!(rig.link.answered(), 3);
    rig.delivered(1);
    assert_eq!(rig.link.answered(), 3, "the second one is with the store");
    rig.delivered(1);
    assert_eq!(rig.link.answered(), 4);

    ask(&mut rig, 5);
    fed(&mut rig, 8, 2);
    rig.caught_up(1, 8);
    rig.delivered(1);
    answer(&mut rig, 1, 5);
    assert_eq!(rig.link.answered(), 4, "the last batch is with the store");
    rig.delivered(1);
    assert_eq!(rig.link.answered(), 5);
}

#[test]
fn an_earlier_answer_is_none_to_a_later_question() {
    let mut rig = live_rig();
    ask(&mut rig, 1);
    ask(&mut rig, 2);
    assert_eq!(rig.sent(), [asked(1, 1), asked(1, 2)]);
    answer(&mut rig, 1, 1);
    assert_eq!(rig.link.answered(), 1);
    answer(&mut rig, 1, 2);
    assert_eq!(rig.link.answered(), 2);
    answer(&mut rig, 1, 3);
    let fault = VaultFault::OutOfPlace { frame: "FEED ANSWER" };
    assert_eq!(
        rig.events(),
        [Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }],
        "nobody asked that"
    );
}

#[test]
fn what_is_wanted_comes_before_the_answer() {
    let mut rig = live_rig();
    ask(&mut rig, 1);
    fed(&mut rig, 6, 4);
    rig.caught_up(1, 6);
    answer(&mut rig, 1, 1);
    rig.sent();
    let received = Received { wants: vec![(log(9), Seq(0), Seq(3))], ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received: received.clone() });
    assert!(matches!(rig.sent()[..], [ClientFrame::Want { .. }]));
    rig.delivered(1);
    assert_eq!(rig.sent(), [asked(1, 1)], "again, behind it");
    assert_eq!(rig.link.answered(), 0);
    rig.feed(1, &FeedFrame::Ahead { segment: segment(9, 0, 99) }).unwrap();
    answer(&mut rig, 1, 1);
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!((rig.sent(), rig.link.answered()), (Vec::new(), 1), "the same is not wanted again");

    // Asked behind the WANT, and answered before it: that one counts for none of them.
    ask(&mut rig, 2);
    fed(&mut rig, 7, 9);
    let received = Received { wants: vec![(log(9), Seq(7), Seq(8))], ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received });
    ask(&mut rig, 3);
    rig.caught_up(1, 7);
    rig.delivered(1);
    rig.sent();
    answer(&mut rig, 1, 2);
    assert_eq!(rig.link.answered(), 1);
    answer(&mut rig, 1, 3);
    assert_eq!(rig.link.answered(), 3);
}

#[test]
fn a_feed_that_is_replaced_is_asked_anew_and_one_that_differs_answers_nothing() {
    let mut rig = live_rig();
    ask(&mut rig, 1);
    fed(&mut rig, 6, 0);
    rig.caught_up(1, 6);
    answer(&mut rig, 1, 1);
    rig.delivered(1);
    rig.sent();
    let received = Received { digest_ok: Some(false), ..Received::default() };
    rig.give(Input::Delivered { vault: vault(1), received: received.clone() });
    assert!(matches!(
        rig.sent()[..],
        [ClientFrame::Subscribe { digest: Digest::ZERO, .. }, ClientFrame::Ask { number: 1, .. }]
    ));
    assert_eq!(rig.link.answered(), 0);
    rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: Vec::new() }).unwrap();
    rig.give(Input::HeadsStored { vault: vault(1), diverged: false, own: Vec::new(), heads: Vec::new() });
    rig.start(1, 2);
    rig.caught_up(2, 6);
    answer(&mut rig, 2, 1);
    assert_eq!(rig.link.answered(), 0);
    rig.give(Input::Delivered { vault: vault(1), received });
    assert_eq!(rig.link.answered(), 1, "it disagrees, which is said, and has shown all that it shows");
    assert!(rig.events().contains(&Event::Disagrees { vault: vault(1) }));
}

#[test]
fn every_vault_of_the_link_has_to_be_answered_for() {
    let mut rig = live_rig();
    ask(&mut rig, 7);
    answer(&mut rig, 1, 7);
    rig.sent();
    rig.add(2);
    assert_eq!(rig.link.answered(), 0, "it may have anything");
    assert!(
        matches!(
            rig.sent()[..],
            [ClientFrame::Auth { .. }, ClientFrame::Subscribe { .. }, ClientFrame::Ask { number: 7, .. }]
        ),
        "at once"
    );
    rig.known(2);
    rig.start(2, 2);
    rig.caught_up(2, 5);
    answer(&mut rig, 2, 7);
    rig.delivered(2);
    assert_eq!(rig.link.answered(), 7);
    // A vault that rests keeps the answer away, and is asked when it begins anew.
    rig.frame(&RelayFrame::Grant {
        grant: Grant { vault: vault(2), class: 0, signature: Signature::ZERO }.encode(),
    })
    .unwrap();
    ask(&mut rig, 8);
    assert_eq!(rig.sent(), [asked(1, 8)]);
    answer(&mut rig, 1, 8);
    assert_eq!(rig.link.answered(), 7);
    rig.advance(FAULT_WAIT);
    rig.give(Input::Prepared { vault: vault(2), prepared: prepared(Role::Writer) });
    assert!(matches!(rig.sent()[..], [.., ClientFrame::Ask { number: 8, .. }]));
}

#[test]
fn an_answer_waits_for_the_comparison_behind_our_own_pushes() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    ask(&mut rig, 1);
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(6), entries: vec![head(1, 0)] }).unwrap();
    rig.give(Input::AckStored { vault: vault(1), more: false });
    answer(&mut rig, 1, 1);
    assert_eq!(rig.link.answered(), 0, "what stands at 6 was not compared");
    rig.caught_up(1, 6);
    assert_eq!(rig.link.answered(), 0);
    rig.delivered(1);
    assert_eq!(rig.link.answered(), 1);
}
