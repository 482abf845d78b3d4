//! A real relay over loopback, driven frame by frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use subrosa_protocol::codec::Extensions;
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame, Role, ShortHead};
use subrosa_protocol::ids::{Base, Chain, Digest, Incarnation, RendezvousId, Rseq, Seq};
use subrosa_protocol::segment::{Kind, SealedSegment};
use subrosa_protocol::statement::{Signer, Statement};
use subrosa_protocol::token::Grant;
use subrosa_relay::store::RedbStore;
use subrosa_relay::{Bases, Config, Error, Hooks, Moment, Quotas, Relay, RunningRelay};

use crate::client::Client;
use crate::fixture::{Key, Log, NONCE, Vault, sign_statement};

pub(crate) fn config() -> Config {
    Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
}

/// A new relay in `data`, a directory that is not there yet.
fn start(data: &std::path::Path, config: Config) -> RunningRelay {
    subrosa_relay::init(data, &config).unwrap();
    Relay::start(config, data).unwrap()
}

/// A relay that lives as long as the test.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) relay: RunningRelay,
}

impl Home {
    pub(crate) fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let relay = start(&dir.path().join("relay"), config);
        Self { dir, relay }
    }

    pub(crate) fn open() -> Self {
        Self::with(Config { open: true, ..config() })
    }

    /// One that lets a log begin where LOG says.
    fn taking_bases() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, config) = (dir.path().join("relay"), Config { open: true, ..config() });
        subrosa_relay::init(&data, &config).unwrap();
        let hooks = Hooks { bases: Bases::Taken, ..Hooks::default() };
        let relay = Relay::start_hooked(config, &data, hooks).unwrap();
        Self { dir, relay }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("relay")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::hello(self.relay.addr()).await
    }

    /// A vault of its own and a writer's link to it.
    pub(crate) async fn vault(&self) -> (Vault, Client) {
        let vault = Vault::new();
        let mut client = self.client().await;
        client.create(&vault, Credential::None).await.unwrap();
        client.logs(&vault).await;
        (vault, client)
    }
}

pub(crate) async fn push(client: &mut Client, vault: &Vault, segments: Vec<SealedSegment>) -> RelayFrame {
    client.send(&ClientFrame::Push { vault: vault.id, segments }).await;
    client.recv().await
}

pub(crate) fn acked(frame: &RelayFrame) -> (Rseq, Vec<Seq>) {
    match frame {
        RelayFrame::Ack { rseq, entries, .. } => (*rseq, entries.iter().map(|entry| entry.seq).collect()),
        other => panic!("{other:?}"),
    }
}

/// The segments of feed frames as (is ahead, rseq, log is control, seq).
fn shape(frames: &[FeedFrame]) -> Vec<(Option<u64>, Kind, u64)> {
    frames
        .iter()
        .filter_map(|frame| match frame {
            FeedFrame::Ahead { segment } => Some((None, segment.header().kind, segment.header().seq.0)),
            FeedFrame::Segment { rseq, segment } => {
                Some((Some(rseq.0), segment.header().kind, segment.header().seq.0))
            }
            FeedFrame::Start { .. } | FeedFrame::Log { .. } | FeedFrame::CaughtUp { .. } => None,
        })
        .collect()
}

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
async fn a_closed_relay_takes_invites_and_counts_their_vaults() {
    let home = Home::with(config());
    let url = home.relay.invite_url(2).unwrap();
    let invite = url.invite().unwrap().encode();
    let credential = || Credential::Invite(invite.clone());
    let (one, two, three) = (Vault::new(), Vault::new(), Vault::new());
    let mut a = home.client().await;
    assert_eq!(a.create(&one, Credential::None).await, Err(ErrorCode::NeedsInvite));
    let mut forged = invite.clone();
    forged[10] ^= 1; // one more use
    assert_eq!(a.create_again(&one, Credential::Invite(forged)).await, Err(ErrorCode::InviteRefused));
    let grant = Grant::decode(&a.create_again(&one, credential()).await.unwrap()).unwrap();
    assert_eq!(grant.vault, one.id);
    assert!(a.create(&two, credential()).await.is_ok());
    assert_eq!(a.create(&three, credential()).await, Err(ErrorCode::InviteRefused), "used twice");
    assert_eq!(
        a.create_again(&three, Credential::Grant(grant.encode())).await,
        Err(ErrorCode::GrantRefused),
        "a grant is for its vault"
    );

    let url = home.relay.invite_url(9).unwrap();
    let invite = url.invite().unwrap();
    let id = subrosa_relay::format_id(&invite.id);
    let data = home.data();
    let question = subrosa_relay::Question::InviteRevoke { id };
    let asked = tokio::task::spawn_blocking(move || subrosa_relay::ask(&data, &question));
    assert!(matches!(asked.await.unwrap(), Ok(subrosa_relay::Answer::Done)));
    let refused = a.create_again(&three, Credential::Invite(invite.encode())).await;
    assert_eq!(refused, Err(ErrorCode::InviteRefused), "revoked while serving");
}

#[tokio::test]
async fn after_the_database_is_deleted_a_grant_brings_the_vault_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let relay = start(&data, config());
    let invite = relay.invite_url(1).unwrap().invite().unwrap().encode();
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(relay.addr()).await;
    let grant = a.create(&vault, Credential::Invite(invite)).await.unwrap();
    a.logs(&vault).await;
    let segments = vec![vault.control.segment(&id, 10), vault.data.segment(&id, 10)];
    push(&mut a, &vault, segments.clone()).await;
    let before = a.incarnation;
    tokio::task::spawn_blocking(move || relay.stop()).await.unwrap();

    std::fs::remove_file(data.join(subrosa_relay::DATABASE)).unwrap();
    let relay = Relay::start(config(), &data).unwrap();
    let mut b = Client::hello(relay.addr()).await;
    assert_ne!(b.incarnation, before);
    b.create(&vault, Credential::Grant(grant)).await.unwrap();
    b.logs(&vault).await;
    b.send(&ClientFrame::Subscribe { vault: id, incarnation: before, cursor: Rseq(2), digest: Digest::ZERO })
        .await;
    assert_eq!(b.recv().await, RelayFrame::Heads { vault: id, last: true, heads: Vec::new() });
    b.send(&ClientFrame::Heads { vault: id, last: true, heads: vec![vault.data.head().into()] }).await;
    b.feed(id).await.until_caught_up().await;
    let ack = push(&mut b, &vault, segments).await;
    assert_eq!(acked(&ack), (Rseq(2), vec![Seq(0), Seq(0)]), "re-seeded");
}

#[tokio::test]
async fn a_full_vault_refuses_data_and_still_takes_its_admins_control() {
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].vault_bytes = 2_000;
    config.quotas.class[0].segment_bytes_max = 1_500;
    let home = Home::with(config);
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let large = vault.data.seal(&id, Kind::DATA, Seq(0), Chain::ZERO, 1_500);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![large]).await else { panic!("too large") };
    assert_eq!(refusal.code, ErrorCode::SegmentTooLarge);
    let one = vault.data.segment(&id, 1_000);
    acked(&push(&mut a, &vault, vec![one]).await);
    let two = vault.data.segment(&id, 1_000);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![two]).await else { panic!("over quota") };
    assert_eq!((refusal.code, refusal.seq), (ErrorCode::QuotaBytes, Seq(1)));
    let control = vec![vault.control.segment(&id, 1_000), vault.control.segment(&id, 1_000)];
    assert_eq!(acked(&push(&mut a, &vault, control).await).1, [Seq(0), Seq(1)]);
    let mut stranger = Log::new(Kind::CONTROL);
    let public = stranger.key.public();
    a.send(&ClientFrame::Log { vault: id, public, base: Base::WHOLE, vouch: None }).await;
    let segment = stranger.segment(&id, 100);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![segment]).await else { panic!("reserve") };
    assert_eq!(refusal.code, ErrorCode::QuotaBytes, "the reserve is the admins'");
}

#[tokio::test]
async fn too_much_at_once_is_refused_with_a_time_to_wait() {
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].segments_per_sec = 1;
    config.quotas.class[0].burst_secs = 2;
    let home = Home::with(config);
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let many = (0..9).map(|_| vault.data.segment(&id, 10)).collect();
    assert_eq!(acked(&push(&mut a, &vault, many).await).1.len(), 9, "one push may overdraw");
    let one = vault.data.segment(&id, 10);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![one]).await else { panic!("rate") };
    assert_eq!(refusal.code, ErrorCode::RateLimited);
    assert!((5..=8).contains(&refusal.retry_after_secs), "{}", refusal.retry_after_secs);
}

#[tokio::test]
async fn proofs_are_checked_and_readers_do_not_write() {
    let home = Home::open();
    let (mut vault, _a) = home.vault().await;
    let mut b = home.client().await;
    b.exporter[0] ^= 1; // a proof of another connection
    b.send_auth(&vault, Role::Writer).await;
    assert_eq!(b.refusal().await.code, ErrorCode::AuthFailed);
    b.exporter[0] ^= 1;
    let stranger = Vault { id: vault.id, ..Vault::new() };
    b.send_auth(&stranger, Role::Writer).await;
    assert_eq!(b.refusal().await.code, ErrorCode::AuthFailed, "another key");
    b.auth(&vault, Role::Reader).await;
    let segment = vault.data.segment(&vault.id, 10);
    let RelayFrame::Error(refusal) = push(&mut b, &vault, vec![segment]).await else { panic!("reader") };
    assert_eq!(refusal.code, ErrorCode::NotWriter);
}

#[tokio::test]
async fn a_new_statement_cuts_off_the_old_key_which_then_reads_control_of_its_epochs_only() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let segments = vec![vault.control.segment(&id, 10), vault.data.segment(&id, 10)];
    push(&mut a, &vault, segments).await;
    let mut old = home.client().await;
    old.auth(&vault, Role::Reader).await;
    let mut feed = old.subscribe(id).await;
    feed.until_caught_up().await;

    let (read, write) = (Key::new(), Key::new());
    let next = vault.next_statement(&read, &write);
    let frame = |statement: &Statement| ClientFrame::Statement { vault: id, statement: statement.encode() };
    let skipping = sign_statement(Statement { previous: [0; 32], ..next.clone() }, &vault.admin);
    a.send(&frame(&skipping)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::StatementRefused);
    a.send(&frame(&next)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::AuthFailed, "its own key is superseded too");
    assert!(matches!(a.recv().await, RelayFrame::Vault { .. }), "accepted");
    assert_eq!(old.refusal().await.code, ErrorCode::AuthFailed);
    assert_eq!(feed.next().await, None, "its feed was reset");

    old.auth(&vault, Role::Reader).await;
    let frames = old.subscribe(id).await.until_caught_up().await;
    assert_eq!(shape(&frames), [(None, Kind::CONTROL, 0)]);

    // The recovery key replaces what an admin said; of what one admin said the lower hash stays.
    vault.read = read;
    vault.write = write;
    a.auth(&vault, Role::Writer).await;
    let later = |statement: &Statement| statement.hash() > next.hash();
    let fork = std::iter::repeat_with(|| vault.next_statement(&Key::new(), &Key::new())).find(later).unwrap();
    a.send(&frame(&fork)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::StatementRefused);
    let signer = Signer::Recovery { public: vault.recovery.public(), nonce: NONCE };
    let recovered = sign_statement(Statement { signer, ..fork }, &vault.recovery);
    a.send(&frame(&recovered)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::AuthFailed);
    assert!(matches!(a.recv().await, RelayFrame::Vault { .. }));
}

#[tokio::test]
async fn a_rendezvous_has_one_joiner_and_eight_messages_a_side() {
    let home = Home::open();
    let (_vault, mut opener) = home.vault().await;
    let (mut joiner, mut late) = (home.client().await, home.client().await);
    let id = RendezvousId::from_bytes([3; 16]);
    joiner.send(&ClientFrame::RendezvousOpen { id }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::AuthFailed, "strangers open nothing");
    joiner.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::NoRendezvous);
    opener.send(&ClientFrame::RendezvousOpen { id }).await;
    // OPEN has no answer; DATA before a joiner has: it is refused.
    opener.send(&ClientFrame::RendezvousData { id, message: vec![0] }).await;
    assert_eq!(opener.refusal().await.code, ErrorCode::NoRendezvous);
    joiner.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(joiner.recv().await, RelayFrame::RendezvousReady { id });
    assert_eq!(opener.recv().await, RelayFrame::RendezvousReady { id });
    late.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(late.refusal().await.code, ErrorCode::NoRendezvous);
    late.send(&ClientFrame::RendezvousData { id, message: vec![0] }).await;
    assert_eq!(late.refusal().await.code, ErrorCode::NoRendezvous);
    for n in 0..8 {
        joiner.send(&ClientFrame::RendezvousData { id, message: vec![n; 4096] }).await;
        assert_eq!(opener.recv().await, RelayFrame::RendezvousData { id, message: vec![n; 4096] });
    }
    joiner.send(&ClientFrame::RendezvousData { id, message: vec![9] }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::NoRendezvous);
    drop(joiner);
    assert_eq!(opener.refusal().await.code, ErrorCode::NoRendezvous, "the other side has left");
}

#[tokio::test]
async fn bad_frames_end_the_link_and_strangers_may_not_send_large_ones() {
    let home = Home::open();
    let too_large = vec![0, 0, 0x40, 1];
    for (name, bytes) in
        [("unknown tag", vec![0, 0, 0, 1, 0x5f]), ("empty", vec![0; 4]), ("large", too_large)]
    {
        let mut client = home.client().await;
        client.send_bytes(bytes.into()).await;
        assert_eq!(client.refusal().await.code, ErrorCode::BadFrame, "{name}");
        assert_eq!(client.try_recv().await, None, "{name}");
    }
    let mut silent = Client::connect(home.relay.addr()).await;
    silent.send(&ClientFrame::Hello { versions: vec![99], caps: 0, extensions: Extensions::new() }).await;
    assert_eq!(silent.refusal().await.code, ErrorCode::Version);
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
async fn the_reason_of_a_refused_push_stays_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].vault_bytes = 2_000;
    let relay = start(&data, config.clone());
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(relay.addr()).await;
    a.create(&vault, Credential::None).await.unwrap();
    a.logs(&vault).await;
    let segments: Vec<SealedSegment> = (0..3).map(|_| vault.data.segment(&id, 1_000)).collect();
    acked(&push(&mut a, &vault, vec![segments[0].clone()]).await);
    for attempt in 0..4 {
        let RelayFrame::Error(refusal) = push(&mut a, &vault, segments[1..].to_vec()).await else { panic!() };
        assert_eq!((refusal.code, refusal.seq), (ErrorCode::QuotaBytes, Seq(1)), "attempt {attempt}");
    }
    tokio::task::spawn_blocking(move || relay.stop()).await.unwrap();
    config.quotas.class[0].vault_bytes = 20_000;
    let relay = Relay::start(config, &data).unwrap();
    let mut a = Client::hello(relay.addr()).await;
    a.auth(&vault, Role::Writer).await;
    assert_eq!(acked(&push(&mut a, &vault, segments[1..].to_vec()).await).1, [Seq(1), Seq(2)]);
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
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("relay");
        let config = Config { open: true, ..config() };
        subrosa_relay::init(&data, &config).unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let trigger = Arc::clone(&armed);
        let trap = move |at| assert!(at != moment || !trigger.load(Ordering::Acquire), "a trap");
        let hooks = Hooks { trap: Some(Arc::new(trap)), ..Hooks::default() };
        let relay = Relay::start_hooked(config.clone(), &data, hooks).unwrap();
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

        let relay = Relay::start(config, &data).unwrap();
        let mut b = Client::hello(relay.addr()).await;
        b.auth(&vault, Role::Writer).await;
        let held = shape(&b.subscribe(id).await.until_caught_up().await).len();
        assert_eq!(held, if moment == Moment::Committed { 2 } else { 1 }, "{moment:?}");
        assert_eq!(acked(&push(&mut b, &vault, vec![two]).await).1, [Seq(1)], "{moment:?}: pushed again");
    }
}
