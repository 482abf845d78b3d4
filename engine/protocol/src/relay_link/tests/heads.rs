//! HEADS in parts, and what newer versions send.

use super::*;
use crate::testing::many_heads;

fn awaiting_heads(link: &mut RelayLink) {
    feed_in(link, &subscribe_as(0, LIFE, Digest::ZERO)).unwrap();
    link.handle(at(1), Input::Digest { last: Rseq(9), digest: SAID }).unwrap();
    link.handle(at(1), Input::Heads(Vec::new())).unwrap();
    let frames = sent(drain(link));
    assert_eq!(frames, [RelayFrame::Heads { vault: vault(), last: true, heads: Vec::new() }]);
}

fn part(heads: &[ShortHead], last: bool) -> ClientFrame {
    ClientFrame::Heads { vault: vault(), last, heads: heads.to_vec() }
}

#[test]
fn heads_come_and_go_in_parts_and_each_is_compared_by_itself() {
    let mut link = member(Role::Reader);
    feed_in(&mut link, &subscribe(0, Incarnation::ZERO)).unwrap();
    link.handle(at(1), Input::Digest { last: Rseq(9), digest: SAID }).unwrap();
    drain(&mut link);
    feed_in(&mut link, &subscribe_as(0, LIFE, Digest::ZERO)).unwrap();
    link.handle(at(1), Input::Digest { last: Rseq(9), digest: SAID }).unwrap();
    drain(&mut link);
    let all = many_heads(limits::LOGS_PER_VAULT_MAX);
    let base = Base { seq: Seq(2), chain: Chain::from_bytes([9; 32]) };
    let own = |head: &ShortHead| ClassedHead {
        head: Head { log: head.log, seq: head.seq, chain: Chain::from_bytes([3; 32]) },
        base: if head.log == all[7].log { base } else { Base::WHOLE },
        class: Class::Data,
    };
    link.handle(at(1), Input::Heads(all.iter().rev().map(own).collect())).unwrap();
    let frames = sent(drain(&mut link));
    assert_eq!(frames.len(), 4);
    let mut shown = Vec::new();
    for (n, frame) in frames.into_iter().enumerate() {
        let RelayFrame::Heads { last, heads, .. } = frame else { panic!("HEADS") };
        assert_eq!(last, n == 3);
        shown.extend(heads);
    }
    assert_eq!(shown[7].base, base);
    shown[7].base = Base::WHOLE;
    assert_eq!(shown, all);
    for (n, heads) in all.chunks(limits::HEADS_PART_MAX).enumerate() {
        feed_in(&mut link, &part(heads, n == 3)).unwrap();
        assert!(!link.accepts_frame(), "one part at a time");
        let asked = drain(&mut link);
        assert!(matches!(&asked[..], [Output::MatchHeads { heads: named, .. }] if named == heads));
        let found = |client: &ShortHead| HeadMatch {
            client: *client,
            last: Some(Seq(4)),
            chain_there: Some([3; 16]),
        };
        link.handle(at(1), Input::Matched(heads.iter().map(found).collect())).unwrap();
        let opened = drain(&mut link);
        assert_eq!(opened.iter().any(|output| matches!(output, Output::OpenFeed(_))), n == 3);
    }
}

#[test]
fn parts_that_are_wrong_are_refused_and_the_link_goes_on() {
    let all = many_heads(limits::LOGS_PER_VAULT_MAX + 1);
    let whole: Vec<_> = all.chunks(limits::HEADS_PART_MAX).map(|heads| part(heads, false)).collect();
    let cases: Vec<(&str, Vec<ClientFrame>)> = vec![
        ("one log twice", vec![part(&[all[0], all[0]], true)]),
        ("not ascending", vec![part(&[all[1], all[0]], true)]),
        (
            "a part that begins before the last one ended",
            vec![part(&all[..2], false), part(&all[1..3], true)],
        ),
        ("a part of nothing that is not the last", vec![part(&[], false)]),
        ("more than a vault may have", whole),
    ];
    for (name, frames) in cases {
        let mut link = member(Role::Reader);
        awaiting_heads(&mut link);
        let mut refused = Vec::new();
        for frame in &frames {
            assert!(refused.is_empty(), "{name}");
            feed_in(&mut link, frame).unwrap();
            let outputs = drain(&mut link);
            if matches!(outputs[..], [Output::MatchHeads { .. }]) {
                link.handle(at(1), Input::Matched(Vec::new())).unwrap();
                assert!(link.poll().is_none(), "{name}");
            } else {
                refused = refusals(outputs);
            }
        }
        assert_eq!(refused, [ErrorCode::HeadsRefused], "{name}");
        awaiting_heads(&mut link);
        feed_in(&mut link, &part(&[], true)).unwrap();
        drain(&mut link);
        link.handle(at(1), Input::Matched(Vec::new())).unwrap();
        assert!(matches!(drain(&mut link)[..], [Output::OpenFeed(_)]), "{name}: and starts afresh");
    }
    let mut link = member(Role::Reader);
    assert!(matches!(feed_in(&mut link, &part(&[], true)), Err(LinkError::OutOfPlace { .. })));
}

#[test]
fn frames_of_newer_versions_that_may_be_ignored_are_but_not_before_hello() {
    let newer = |tag: u8| Input::Frame(Bytes::copy_from_slice(&[tag, 1, 2, 3]));
    let mut fresh = link_of(Admission::Closed);
    assert!(fresh.handle(at(1), newer(0x21)).is_err());
    let mut link = member(Role::Reader);
    link.handle(at(1), newer(0x21)).unwrap();
    assert!(link.poll().is_none() && link.accepts_frame());
    assert!(matches!(link.handle(at(1), newer(0x1f)), Err(LinkError::Decode(_))));
}

#[test]
fn hello_of_a_newer_peer_is_understood_and_one_of_an_older_is_told_so() {
    let mut link = link_of(Admission::Closed);
    let extensions = Extensions::new().with(7, vec![1, 2]).unwrap().with(0xff, Vec::new()).unwrap();
    feed_in(&mut link, &ClientFrame::Hello { versions: vec![9, VERSION], caps: u64::MAX, extensions })
        .unwrap();
    assert!(matches!(sent(drain(&mut link))[..], [RelayFrame::Hello { version: VERSION, .. }]));

    let mut link = link_of(Admission::Closed);
    let old = [&[1, 0, 1, 0, 1][..], &[0; 8]].concat(); // HELLO of version 1: versions and caps
    let ended = link.handle(at(1), Input::Frame(old.into()));
    assert_eq!(ended, Err(LinkError::Version));
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::Version]);
}
