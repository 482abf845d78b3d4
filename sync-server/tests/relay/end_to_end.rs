//! A real relay over loopback, driven frame by frame.

use std::sync::atomic::Ordering;

use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame, Role, ShortHead};
use subrosa_protocol::ids::{Base, Chain, Digest, Incarnation, Rseq, Seq};
use subrosa_protocol::segment::{Kind, SealedSegment};
use subrosa_relay::store::RedbStore;
use subrosa_relay::{Config, Error, Moment, Quotas, Relay};

use crate::client::Client;
use crate::fixture::{Log, Vault};
use crate::home::{Home, acked, armed_for, config, push, shape, start};

#[tokio::test]
async fn what_one_device_pushes_another_receives_control_first_then_live() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let mut own = a.subscribe(id).await;
    assert!(matches!(own.until_caught_up().await[..], [FeedFrame::CaughtUp { rseq: Rseq(0), .. }]));

    let segments = vec![
        vault.data.segment(&id, 100),
        vault.control.segment(&id, 100),
        vault.data.segment(&id, 70_000),
        vault.control.segment(&id, 16),
    ];
    let ack = push(&mut a, &vault, segments).await;
    assert_eq!(acked(&ack), (Rseq(4), vec![Seq(0), Seq(0), Seq(1), Seq(1)]));
    let now = digest(&[vault.data.head(), vault.control.head()]);
    assert_eq!(
        own.until_caught_up().await,
        [FeedFrame::CaughtUp { rseq: Rseq(4), digest: now }],
        "not fed back, but covered"
    );

    let mut b = home.client().await;
    b.auth(&vault, Role::Reader).await;
    let mut feed = b.subscribe(id).await;
    let frames = feed.until_caught_up().await;
    let expected = [
        (None, Kind::CONTROL, 0),
        (None, Kind::CONTROL, 1),
        (Some(1), Kind::DATA, 0),
        (Some(3), Kind::DATA, 1),
    ];
    assert_eq!(shape(&frames), expected);
    assert_eq!(frames[0], FeedFrame::Log { public: vault.control.key.public(), base: Base::WHOLE });
    assert_eq!(frames.last(), Some(&FeedFrame::CaughtUp { rseq: Rseq(4), digest: now }));

    let live = vault.data.segment(&id, 10);
    push(&mut a, &vault, vec![live.clone()]).await;
    let frames = feed.until_caught_up().await;
    assert_eq!(frames[0], FeedFrame::Segment { rseq: Rseq(5), segment: live });
    let now = digest(&[vault.data.head(), vault.control.head()]);
    assert_eq!(frames[1], FeedFrame::CaughtUp { rseq: Rseq(5), digest: now });
}

fn ascending<const N: usize>(mut heads: [ShortHead; N]) -> Vec<ShortHead> {
    heads.sort_unstable_by_key(|head| head.log);
    heads.to_vec()
}

#[tokio::test]
async fn a_feed_resumes_at_its_cursor_and_falls_back_to_heads_when_the_digest_differs() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let first = vault.data.segment(&id, 10);
    let at_one = digest(&[vault.data.head()]);
    let rest = vec![vault.data.segment(&id, 10), vault.control.segment(&id, 10)];
    push(&mut a, &vault, vec![first]).await;
    push(&mut a, &vault, rest).await;

    let mut b = home.client().await;
    b.auth(&vault, Role::Reader).await;
    b.send_subscribe(id, Rseq(1), at_one).await;
    let frames = b.feed(id).await.until_caught_up().await;
    assert_eq!(shape(&frames), [(None, Kind::CONTROL, 0), (Some(2), Kind::DATA, 1)]);

    let mut c = home.client().await;
    c.auth(&vault, Role::Reader).await;
    c.send_subscribe(id, Rseq(1), Digest::ZERO).await;
    let RelayFrame::Heads { heads, .. } = c.recv().await else { panic!("heads") };
    assert_eq!(heads.len(), 2);
    let held = ShortHead { seq: Seq(0), ..ShortHead::from(vault.data.head()) };
    let stranger = ShortHead { log: Log::new(Kind::DATA).id, seq: Seq(9), chain: [1; 16], base: Base::WHOLE };
    let wrong = ShortHead { chain: [0xee; 16], ..ShortHead::from(vault.control.head()) };
    c.send(&ClientFrame::Heads { vault: id, last: true, heads: ascending([held, stranger, wrong]) }).await;
    let frames = c.feed(id).await.until_caught_up().await;
    let evidence = (None, Kind::CONTROL, 0);
    let all = [(Some(1), Kind::DATA, 0), (Some(2), Kind::DATA, 1)];
    // The chain at seq 0 is not that of seq 1, which `held` names: both logs differ, so nothing is skipped.
    let shape = shape(&frames);
    assert!(shape.contains(&evidence) && shape.ends_with(&all), "{shape:?}");

    let mut d = home.client().await;
    d.auth(&vault, Role::Reader).await;
    d.send_subscribe(id, Rseq(1), Digest::ZERO).await;
    assert!(matches!(d.recv().await, RelayFrame::Heads { .. }));
    let ahead = ShortHead { seq: Seq(50), ..ShortHead::from(vault.data.head()) };
    let equal = ShortHead::from(vault.control.head());
    d.send(&ClientFrame::Heads { vault: id, last: true, heads: ascending([ahead, equal]) }).await;
    let mut feed = d.feed(id).await;
    assert!(matches!(feed.until_caught_up().await[..], [FeedFrame::CaughtUp { rseq: Rseq(3), .. }]));

    d.send(&ClientFrame::Want { vault: id, log: vault.data.id, from: Seq(0), to: Seq(9) }).await;
    assert_eq!(
        feed.next().await,
        Some(FeedFrame::Log { public: vault.data.key.public(), base: Base::WHOLE })
    );
    for seq in 0..2 {
        let Some(FeedFrame::Ahead { segment }) = feed.next().await else { panic!("ahead") };
        assert_eq!((segment.header().log, segment.header().seq), (vault.data.id, Seq(seq)));
    }
}

#[tokio::test]
async fn nobody_can_begin_anothers_log_behind_its_first_segment_and_shut_its_owner_out() {
    let home = Home::open();
    let (vault, mut owner) = home.vault().await;
    let id = vault.id;
    let mut log = Log::new(Kind::DATA);
    let all: Vec<SealedSegment> = (0..5).map(|_| log.segment(&id, 10)).collect();
    let public = log.key.public();
    let begins = |seq: usize| match seq {
        0 => Base::WHOLE,
        _ => Base { seq: Seq(seq as u64), chain: all[seq].header().prev },
    };
    let mut other = home.client().await;
    other.auth(&vault, Role::Writer).await;
    let gap = |answer: &RelayFrame, seq| {
        let RelayFrame::Error(refusal) = answer else { panic!("{answer:?}") };
        assert_eq!((refusal.code, refusal.log, refusal.seq), (ErrorCode::Gap, log.id, Seq(seq)));
    };
    for seq in [3, 1, 4] {
        other.send(&ClientFrame::Log { vault: id, public, base: begins(seq), vouch: None }).await;
        gap(&push(&mut other, &vault, all[seq..].to_vec()).await, seq as u64);
    }
    gap(&push(&mut other, &vault, vec![all[0].clone()]).await, 0); // it said another base

    owner.send(&ClientFrame::Log { vault: id, public, base: Base::WHOLE, vouch: None }).await;
    let pushed = push(&mut owner, &vault, all[..3].to_vec()).await;
    assert_eq!(acked(&pushed), (Rseq(3), vec![Seq(0), Seq(1), Seq(2)]));
    // A log that is held goes on for whoever has less of it.
    other.send(&ClientFrame::Log { vault: id, public, base: begins(3), vouch: None }).await;
    let pushed = push(&mut other, &vault, all[3..].to_vec()).await;
    assert_eq!(acked(&pushed), (Rseq(5), vec![Seq(3), Seq(4)]));

    let mut new = home.client().await;
    new.auth(&vault, Role::Reader).await;
    let frames = new.subscribe(id).await.until_caught_up().await;
    assert_eq!(frames[0], FeedFrame::Log { public, base: Base::WHOLE });
    assert_eq!(shape(&frames).len(), 5);
    let digest = digest(&[log.head()]);
    assert_eq!(frames.last(), Some(&FeedFrame::CaughtUp { rseq: Rseq(5), digest }));
}

#[tokio::test]
async fn a_log_that_begins_at_a_base_is_pushed_shown_and_fed_from_there() {
    let home = Home::taking_bases();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let mut other = Log::new(Kind::DATA);
    let all: Vec<SealedSegment> = (0..5).map(|_| other.segment(&id, 10)).collect();
    let base = Base { seq: Seq(2), chain: all[2].header().prev };
    let public = other.key.public();
    a.send(&ClientFrame::Log { vault: id, public, base, vouch: None }).await;
    let pushed = push(&mut a, &vault, all[2..].to_vec()).await;
    assert_eq!(acked(&pushed), (Rseq(3), vec![Seq(2), Seq(3), Seq(4)]));
    let refused = push(&mut a, &vault, vec![all[1].clone()]).await;
    assert!(matches!(&refused, RelayFrame::Error(refusal) if refusal.code == ErrorCode::Gap), "{refused:?}");
    let _ = vault.data.segment(&id, 10);

    let mut b = home.client().await;
    b.auth(&vault, Role::Reader).await;
    b.send_subscribe(id, Rseq(0), Digest::ZERO).await;
    let shown = b.recv().await;
    let head = ShortHead::new(other.head(), base);
    assert_eq!(shown, RelayFrame::Heads { vault: id, last: true, heads: vec![head] });
    b.send(&ClientFrame::Heads { vault: id, last: true, heads: Vec::new() }).await;
    let frames = b.feed(id).await.until_caught_up().await;
    assert_eq!(frames[0], FeedFrame::Log { public, base });
    assert_eq!(shape(&frames).len(), 3);
    let digest = digest(&[other.head()]);
    assert_eq!(frames.last(), Some(&FeedFrame::CaughtUp { rseq: Rseq(3), digest }));
}

#[tokio::test]
async fn a_push_is_refused_from_the_first_segment_that_does_not_hold() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let zero = vault.data.segment(&id, 10);
    let one = vault.data.segment(&id, 10);
    let ack = push(&mut a, &vault, vec![zero.clone(), one.clone()]).await;
    assert_eq!(acked(&ack), (Rseq(2), vec![Seq(0), Seq(1)]));
    let again = push(&mut a, &vault, vec![zero.clone(), one.clone()]).await;
    assert_eq!(again, ack, "held with the same chain: acknowledged, nothing appended");

    let log = &vault.data;
    let zero_chain = zero.preimage(&id).chain();
    let stranger = Log::new(Kind::DATA);
    let other_vault = Vault::new().id;
    let cases = [
        ("another chain at 1", log.seal(&id, Kind::DATA, Seq(1), Chain::ZERO, 10), ErrorCode::Conflict),
        ("gap", log.seal(&id, Kind::DATA, Seq(7), log.chain, 10), ErrorCode::Gap),
        (
            "signed for another vault",
            log.seal(&other_vault, Kind::DATA, log.next, log.chain, 10),
            ErrorCode::BadSignature,
        ),
        (
            "another at 1, and signed for another vault",
            log.seal(&other_vault, Kind::DATA, Seq(1), zero_chain, 10),
            ErrorCode::BadSignature,
        ),
        ("built on another chain", log.seal(&id, Kind::DATA, log.next, Chain::ZERO, 10), ErrorCode::Conflict),
        (
            "control in a data log",
            log.seal(&id, Kind::CONTROL, log.next, log.chain, 10),
            ErrorCode::WrongKind,
        ),
        (
            "log never introduced",
            stranger.seal(&id, Kind::DATA, Seq(0), Chain::ZERO, 10),
            ErrorCode::UnknownLog,
        ),
    ];
    for (name, segment, code) in cases {
        let place = (segment.header().log, segment.header().seq);
        let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![segment]).await else { panic!("{name}") };
        assert_eq!((refusal.code, refusal.vault, (refusal.log, refusal.seq)), (code, id, place), "{name}");
    }

    let two = vault.data.segment(&id, 10);
    let bad = vault.data.seal(&id, Kind::DATA, Seq(3), Chain::ZERO, 10);
    let dropped = vault.data.seal(&id, Kind::DATA, Seq(4), Chain::ZERO, 10);
    let control = vault.control.segment(&id, 10);
    let ack = push(&mut a, &vault, vec![two, bad, dropped, control]).await;
    assert_eq!(acked(&ack), (Rseq(4), vec![Seq(2), Seq(0)]), "what precedes it and other logs go in");
    let refusal = a.refusal().await;
    assert_eq!((refusal.code, refusal.seq), (ErrorCode::Conflict, Seq(3)));
}

#[tokio::test]
async fn kinds_of_newer_versions_are_fed_and_nothing_goes_behind_a_closing_segment() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let unknown = Kind::from_wire(0x1a).unwrap();
    let kinds = [unknown, Kind::CARRIED, Kind::CLOSING];
    let segments: Vec<_> = kinds.map(|kind| vault.data.segment_of(&id, kind, 10)).to_vec();
    let ack = push(&mut a, &vault, segments.clone()).await;
    assert_eq!(acked(&ack), (Rseq(3), vec![Seq(0), Seq(1), Seq(2)]));
    for (name, segment) in [
        ("its next one", vault.data.seal(&id, Kind::DATA, Seq(3), vault.data.chain, 10)),
        ("another closing", vault.data.seal(&id, Kind::CLOSING, Seq(3), vault.data.chain, 10)),
        ("far behind", vault.data.seal(&id, Kind::DATA, Seq(9), Chain::ZERO, 10)),
    ] {
        let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![segment]).await else { panic!("{name}") };
        assert_eq!(refusal.code, ErrorCode::Closed, "{name}");
    }
    let again = push(&mut a, &vault, segments).await;
    assert_eq!(again, ack, "what is held is acknowledged as before");

    let mut b = home.client().await;
    b.auth(&vault, Role::Reader).await;
    let frames = b.subscribe(id).await.until_caught_up().await;
    let shown: Vec<_> = shape(&frames).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(shown, kinds);
}

#[tokio::test]
async fn draining_says_so_after_the_last_acknowledgement() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let segments = (0..64).map(|_| vault.data.segment(&id, 1000)).collect();
    acked(&push(&mut a, &vault, segments).await);
    let Home { dir: _dir, relay } = home;
    let stopping = tokio::task::spawn_blocking(move || relay.stop());
    let refusal = a.refusal().await;
    assert_eq!(refusal.code, ErrorCode::Draining);
    assert!(refusal.retry_after_secs > 0);
    assert_eq!(a.try_recv().await, None);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_damaged_row_is_not_served_and_every_link_sees_that_its_log_was_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let config = Config { open: true, ..config() };
    let relay = start(&data, config.clone());
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(relay.addr()).await;
    a.create(&vault, Credential::None).await.unwrap();
    a.logs(&vault).await;
    let mut segments = vec![vault.control.segment(&id, 10)];
    segments.extend((0..3).map(|_| vault.data.segment(&id, 1_000)));
    acked(&push(&mut a, &vault, segments.clone()).await);
    tokio::task::spawn_blocking(move || relay.stop()).await.unwrap();

    let store =
        RedbStore::open(&data.join(subrosa_relay::DATABASE), Quotas::default(), 1 << 20, Incarnation::ZERO);
    store.unwrap().flip(&id, Rseq(3), 700).unwrap();
    let relay = Relay::start(config, &data).unwrap();
    let mut a = Client::hello(relay.addr()).await;
    a.auth(&vault, Role::Writer).await;
    let all = digest(&[vault.control.head(), vault.data.head()]);
    a.send_subscribe(id, Rseq(4), all).await;
    let mut live = a.feed(id).await;
    assert_eq!(live.until_caught_up().await, [FeedFrame::CaughtUp { rseq: Rseq(4), digest: all }]);

    let mut b = Client::hello(relay.addr()).await;
    b.auth(&vault, Role::Reader).await;
    let mut new = b.subscribe(id).await;
    let frames = new.until_caught_up().await;
    assert_eq!(shape(&frames), [(None, Kind::CONTROL, 0), (Some(2), Kind::DATA, 0)]);
    let Some(FeedFrame::CaughtUp { rseq: Rseq(5), digest: less }) = frames.last() else {
        panic!("{frames:?}")
    };
    assert_eq!(live.until_caught_up().await, [FeedFrame::CaughtUp { rseq: Rseq(5), digest: *less }]);

    a.send_subscribe(id, Rseq(0), Digest::ZERO).await;
    let RelayFrame::Heads { heads, .. } = a.recv().await else { panic!("heads") };
    let held = heads.iter().find(|head| head.log == vault.data.id).unwrap();
    assert_eq!(held.seq, Seq(0), "the relay says what it lacks");
    assert_eq!(acked(&push(&mut a, &vault, segments[2..].to_vec()).await).1, [Seq(1), Seq(2)]);
    let frames = new.until_caught_up().await;
    assert_eq!(shape(&frames), [(Some(6), Kind::DATA, 1), (Some(7), Kind::DATA, 2)]);
    assert_eq!(frames.last(), Some(&FeedFrame::CaughtUp { rseq: Rseq(7), digest: all }));
    let path = data.clone();
    let asked =
        tokio::task::spawn_blocking(move || subrosa_relay::ask(&path, &subrosa_relay::Question::Verify));
    let subrosa_relay::Answer::Verified { checked, problems } = asked.await.unwrap().unwrap() else {
        panic!()
    };
    assert_eq!((checked.segments, &problems[..]), (4, &[][..]));
}

#[tokio::test]
async fn a_relay_whose_thread_panics_stops_as_a_whole_and_acknowledges_nothing_more() {
    for moment in [Moment::Verify, Moment::Commit, Moment::Committed] {
        let (dir, relay, armed) = armed_for(moment);
        let mut vault = Vault::new();
        let id = vault.id;
        let mut a = Client::hello(relay.addr()).await;
        a.create(&vault, Credential::None).await.unwrap();
        a.logs(&vault).await;
        let mut idle = Client::hello(relay.addr()).await;
        idle.auth(&vault, Role::Reader).await;
        let (one, two) = (vault.data.segment(&id, 10), vault.data.segment(&id, 10));
        acked(&push(&mut a, &vault, vec![one]).await);
        assert!(relay.failure().is_none());

        armed.store(true, Ordering::Release);
        a.send(&ClientFrame::Push { vault: id, segments: vec![two.clone()] }).await;
        for client in [&mut a, &mut idle] {
            assert_eq!(client.try_recv().await, None, "{moment:?}: no acknowledgement, no word");
            let closed = client.connection.closed().await;
            let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
            assert_eq!(close.error_code.into_inner(), 17, "{moment:?}: the relay's own fault");
        }
        let ended = tokio::task::spawn_blocking(move || {
            let waited = relay.wait_for_signal();
            let told = relay.failure();
            relay.stop();
            (waited, told)
        });
        let (waited, told) = ended.await.unwrap();
        assert!(matches!(waited, Err(Error::Stopped { .. })), "{moment:?}: {waited:?}");
        assert!(matches!(told, Some(Error::Stopped { .. })), "{moment:?}");

        let relay = Relay::start(Config { open: true, ..config() }, &dir.path().join("relay")).unwrap();
        let mut b = Client::hello(relay.addr()).await;
        b.auth(&vault, Role::Writer).await;
        let held = shape(&b.subscribe(id).await.until_caught_up().await).len();
        assert_eq!(held, if moment == Moment::Committed { 2 } else { 1 }, "{moment:?}");
        assert_eq!(acked(&push(&mut b, &vault, vec![two]).await).1, [Seq(1)], "{moment:?}: pushed again");
    }
}
