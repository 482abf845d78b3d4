use bytes::Bytes;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;

use super::*;
use crate::codec::Extensions;
use crate::frame::{Credential, FeedFrame, RelayLimits, ShortHead, StatementsPart};
use crate::ids::{Base, Chain, Epoch, Generation, Head, Incarnation};
use crate::segment::{Class, GroupPlace, Header, Kind};
use crate::statement::{Signer as Who, Statement, recovery_commitment};

mod admission;
mod feeds;
mod heads;
mod hostile;
mod meetings;
mod tails;

const EXPORTER: [u8; 32] = [0xe0; 32];
const LIFE: Incarnation = Incarnation::from_bytes([0x11; 16]);

fn at(secs: u64) -> Now {
    Now { mono: Duration::from_secs(secs), wall_ms: 1_000_000 + secs * 1000 }
}

struct Key(SigningKey);

impl Key {
    fn new(n: u8) -> Self {
        Self(SigningKey::from_slice(&[n; 32]).unwrap())
    }

    fn public(&self) -> PublicKeyBytes {
        let point = self.0.verifying_key().to_sec1_point(false);
        PublicKeyBytes::from_bytes(point.as_bytes().try_into().unwrap())
    }

    fn sign(&self, label: &[u8], payload: &[u8]) -> Signature {
        let signature: p256::ecdsa::Signature = self.0.sign(&[label, payload].concat());
        Signature::from_bytes(signature.normalize_s().to_bytes().into())
    }
}

/// Key 1 founds, 2 reads, 3 writes, 4 recovers; 9 is the relay's.
fn statements() -> Vec<Statement> {
    let (admin, genesis) = (Key::new(1), [0x6e; 32]);
    let commitment = recovery_commitment(&Key::new(4).public(), &[0; 16]);
    let unsigned = Statement {
        vault: VaultId::derive(&commitment, &genesis, &admin.public()),
        generation: Generation(0),
        epoch: Epoch(0),
        read: Key::new(2).public(),
        write: Key::new(3).public(),
        admins: vec![admin.public()],
        recovery_commitment: commitment,
        previous: genesis,
        signer: Who::Admin(admin.public()),
        signature: Signature::from_bytes([0; 64]),
    };
    vec![signed(unsigned, &admin)]
}

fn signed(statement: Statement, key: &Key) -> Statement {
    let signature = key.sign(labels::STATEMENT, &statement.signed_bytes());
    Statement { signature, ..statement }
}

/// The statement after `before`, with keys `read` and `write`.
fn following(before: &Statement, read: u8, write: u8) -> Statement {
    let next = Statement {
        generation: before.generation.next(),
        epoch: Epoch(before.epoch.0 + 1),
        read: Key::new(read).public(),
        write: Key::new(write).public(),
        previous: before.hash(),
        ..before.clone()
    };
    signed(next, &Key::new(1))
}

fn vault() -> VaultId {
    statements()[0].vault
}

fn state() -> KnownVault {
    KnownVault { statements: statements().into(), quota_bytes: 100, used_bytes: 7 }
}

fn link_of(admission: Admission) -> RelayLink {
    let config = LinkConfig {
        exporter: EXPORTER,
        incarnation: LIFE,
        limits: RelayLimits { segment_bytes_max: 1000, vaults_max: 2 },
        relay: Key::new(9).public(),
        admission,
    };
    RelayLink::new(at(0), config)
}

fn feed_in(link: &mut RelayLink, frame: &ClientFrame) -> Result<(), LinkError> {
    link.handle(at(1), Input::Frame(frame.encode().slice(4..)))
}

fn drain(link: &mut RelayLink) -> Vec<Output> {
    std::iter::from_fn(|| link.poll()).collect()
}

/// What the peer gets to see.
fn sent(outputs: Vec<Output>) -> Vec<RelayFrame> {
    let frames = outputs.into_iter().filter_map(|output| match output {
        Output::Send(frame) => Some(frame),
        _ => None,
    });
    frames.collect()
}

fn refusals(outputs: Vec<Output>) -> Vec<ErrorCode> {
    let codes = sent(outputs).into_iter().filter_map(|frame| match frame {
        RelayFrame::Error(refusal) => Some(refusal.code),
        _ => None,
    });
    codes.collect()
}

fn hello() -> ClientFrame {
    ClientFrame::Hello { versions: vec![7, VERSION], caps: u64::MAX, extensions: Extensions::new() }
}

fn auth(key: u8, role: Role, vault: VaultId) -> ClientFrame {
    let payload = [&EXPORTER[..], vault.as_bytes(), &[role as u8]].concat();
    let signature = Key::new(key).sign(labels::AUTH, &payload);
    ClientFrame::Auth { vault, role, public: Key::new(key).public(), signature }
}

fn open_link(admission: Admission) -> RelayLink {
    let mut link = link_of(admission);
    feed_in(&mut link, &hello()).unwrap();
    drain(&mut link);
    link
}

/// A link that has proved `role` for the vault.
fn member(role: Role) -> RelayLink {
    let mut link = open_link(Admission::Closed);
    let key = if role == Role::Writer { 3 } else { 2 };
    feed_in(&mut link, &auth(key, role, vault())).unwrap();
    link.handle(at(1), Input::Vault(Some(state()))).unwrap();
    assert!(link.is_member());
    drain(&mut link);
    link
}

/// A link whose AUTH found no vault.
fn pending(admission: Admission) -> RelayLink {
    let mut link = open_link(admission);
    feed_in(&mut link, &auth(3, Role::Writer, vault())).unwrap();
    link.handle(at(1), Input::Vault(None)).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::UnknownVault]);
    link
}

fn log_frame(public: PublicKeyBytes, vouch: Option<Vouch>) -> ClientFrame {
    ClientFrame::Log { vault: vault(), public, base: Base::WHOLE, vouch }
}

fn parts(chain: &[Statement]) -> Vec<ClientFrame> {
    let parts = StatementsPart::cut(vault(), chain.iter().map(Statement::encode));
    parts.into_iter().map(ClientFrame::Statements).collect()
}

fn bring(link: &mut RelayLink, chain: &[Statement]) {
    for part in parts(chain) {
        feed_in(link, &part).unwrap();
    }
}

fn segment(log: u8, seq: u64, body: usize) -> SealedSegment {
    let header = Header {
        kind: Kind::DATA,
        place: GroupPlace::Whole,
        log: LogId::from_bytes([log; 16]),
        seq: Seq(seq),
        epoch: Epoch(0),
        prev: Chain::ZERO,
        salt: [0; 16],
        commit: [0; 32],
        body_len: u32::try_from(body).unwrap(),
    };
    SealedSegment::assemble(header, &vec![0; body], &Signature::from_bytes([0; 64]))
}

/// What a client says of its heads.
const SAID: Digest = Digest::from_bytes([0x5a; 32]);

fn subscribe(cursor: u64, incarnation: Incarnation) -> ClientFrame {
    subscribe_as(cursor, incarnation, if cursor == 0 { digest_of_nothing() } else { SAID })
}

fn subscribe_as(cursor: u64, incarnation: Incarnation, digest: Digest) -> ClientFrame {
    ClientFrame::Subscribe { vault: vault(), incarnation, cursor: Rseq(cursor), digest }
}

#[test]
fn one_lookup_at_a_time_and_answers_only_to_questions() {
    let mut link = open_link(Admission::Closed);
    feed_in(&mut link, &auth(3, Role::Writer, vault())).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::LoadVault(_)]));
    assert!(!link.accepts_frame(), "pipelined frames wait in the transport");
    assert_eq!(feed_in(&mut link, &subscribe(0, LIFE)), Err(LinkError::Driver));
    let answers: [fn() -> Input; 6] = [
        || Input::Vault(None),
        || Input::Digest { last: Rseq(0), digest: Digest::ZERO },
        || Input::Heads(Vec::new()),
        || Input::Matched(Vec::new()),
        || Input::Failed,
        || Input::StatementStored(Err(ErrorCode::Internal)),
    ];
    for (n, answer) in answers.iter().enumerate() {
        let mut link = member(Role::Writer);
        assert_eq!(link.handle(at(1), answer()), Err(LinkError::Driver), "answer {n}");
    }
    let unasked =
        Appended { vault: vault(), bytes: 1, entries: Vec::new(), rseq: Rseq(0), refused: Vec::new() };
    assert_eq!(member(Role::Writer).handle(at(1), Input::Appended(unasked)), Err(LinkError::Driver));
    let mut link = open_link(Admission::Closed);
    feed_in(&mut link, &auth(3, Role::Writer, vault())).unwrap();
    link.handle(at(1), Input::Failed).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::Internal]);
    assert!(link.accepts_frame(), "our fault: the peer may try again");
}

#[test]
fn the_push_window_holds_back_frames_until_it_is_acknowledged() {
    let mut link = member(Role::Writer);
    let push = ClientFrame::Push { vault: vault(), segments: vec![segment(1, 0, 16)] };
    for _ in 0..limits::APPENDS_PER_LINK_MAX {
        feed_in(&mut link, &push).unwrap();
    }
    assert!(!link.accepts_frame(), "as many appends as a link may have");
    let entry = Head { log: LogId::from_bytes([1; 16]), seq: Seq(0), chain: Chain::ZERO };
    let Some(Output::Append(append)) = link.poll() else { panic!("append") };
    let appended = |entries, refused| {
        Input::Appended(Appended { vault: vault(), bytes: append.bytes, entries, rseq: Rseq(3), refused })
    };
    drain(&mut link);
    link.handle(at(1), appended(vec![entry], Vec::new())).unwrap();
    assert!(link.accepts_frame());
    assert_eq!(
        sent(drain(&mut link)),
        [RelayFrame::Ack { vault: vault(), rseq: Rseq(3), entries: vec![entry] }]
    );
    let refused = Refused { code: ErrorCode::QuotaBytes, retry_after_secs: 9, log: entry.log, seq: Seq(1) };
    link.handle(at(1), appended(Vec::new(), vec![refused])).unwrap();
    let expected = Refusal::segment(ErrorCode::QuotaBytes, vault(), entry.log, Seq(1)).retry_after(9);
    assert_eq!(sent(drain(&mut link)), [RelayFrame::Error(expected)], "no empty acknowledgement");
}

#[test]
fn a_large_segment_drops_the_rest_of_its_log_and_readers_push_nothing() {
    let mut link = member(Role::Writer);
    feed_in(&mut link, &log_frame(Key::new(5).public(), None)).unwrap();
    let segments = vec![segment(1, 0, 16), segment(2, 0, 900), segment(2, 1, 16), segment(1, 1, 16)];
    feed_in(&mut link, &ClientFrame::Push { vault: vault(), segments }).unwrap();
    let mut outputs = drain(&mut link);
    let Output::Append(append) = outputs.remove(0) else { panic!("append first") };
    let seqs: Vec<_> =
        append.segments.iter().map(|s| (s.header().log.as_bytes()[0], s.header().seq.0)).collect();
    assert_eq!(seqs, [(1, 0), (1, 1)]);
    assert_eq!(append.introduced, [], "a key that nothing in this push needs stays behind");
    assert_eq!(refusals(outputs), [ErrorCode::SegmentTooLarge]);

    let mut reader = member(Role::Reader);
    feed_in(&mut reader, &ClientFrame::Push { vault: vault(), segments: vec![segment(1, 0, 16)] }).unwrap();
    feed_in(&mut reader, &log_frame(Key::new(5).public(), None)).unwrap();
    assert_eq!(refusals(drain(&mut reader)), [ErrorCode::NotWriter; 2]);
    for n in 0..=limits::LOGS_INTRODUCED_MAX {
        let mut public = *Key::new(5).public().as_bytes();
        public[1] = n as u8;
        let public = PublicKeyBytes::from_bytes(public);
        feed_in(&mut link, &log_frame(public, None)).unwrap();
    }
    assert!(refusals(drain(&mut link)).iter().all(|code| *code == ErrorCode::TooManyLogs));
}

#[test]
fn a_subscription_goes_by_cursor_or_by_heads() {
    let mut link = member(Role::Reader);
    feed_in(&mut link, &subscribe(5, LIFE)).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::LoadDigest(_)]));
    link.handle(at(1), Input::Digest { last: Rseq(5), digest: SAID }).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::OpenFeed(_)]), "equal digests");

    feed_in(&mut link, &subscribe(5, LIFE)).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::CloseFeed(_), Output::LoadDigest(_)]), "afresh");
    link.handle(at(1), Input::Digest { last: Rseq(6), digest: Digest::from_bytes([1; 32]) }).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(&outputs[..], [Output::OpenFeed(_)]), "behind, CAUGHT_UP decides: {outputs:?}");

    for (name, said, last, digest) in [
        ("ahead of the relay", SAID, Rseq(4), SAID),
        ("another digest at its last rseq", SAID, Rseq(5), Digest::from_bytes([1; 32])),
        ("zeros, which ask for heads, behind it", Digest::ZERO, Rseq(6), SAID),
    ] {
        let mut link = member(Role::Reader);
        feed_in(&mut link, &subscribe_as(5, LIFE, said)).unwrap();
        drain(&mut link);
        link.handle(at(1), Input::Digest { last, digest }).unwrap();
        assert!(matches!(drain(&mut link)[..], [Output::LoadHeads(_)]), "{name}");
    }

    feed_in(&mut link, &subscribe(5, LIFE)).unwrap();
    drain(&mut link);
    link.handle(at(1), Input::Digest { last: Rseq(5), digest: Digest::from_bytes([1; 32]) }).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::LoadHeads(_)]));
    let head = |log: u8, seq| Head { log: LogId::from_bytes([log; 16]), seq: Seq(seq), chain: Chain::ZERO };
    let heads = vec![
        ClassedHead { head: head(1, 4), base: Base::WHOLE, class: Class::Data },
        ClassedHead { head: head(2, 9), base: Base::WHOLE, class: Class::Control },
    ];
    link.handle(at(1), Input::Heads(heads.clone())).unwrap();
    let shorts = vec![head(1, 4).into(), head(2, 9).into()];
    assert_eq!(sent(drain(&mut link)), [RelayFrame::Heads { vault: vault(), last: true, heads: shorts }]);
    let ask = |number| ClientFrame::Ask { vault: vault(), number };
    feed_in(&mut link, &ask(7)).unwrap();
    assert!(link.poll().is_none(), "the feed that is to come answers it");
    let want = ClientFrame::Want { vault: vault(), log: LogId::ZERO, from: Seq(0), to: Seq(0) };
    feed_in(&mut link, &want).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::Gap], "no feed to answer on");
    let client = ShortHead::from(head(1, 2));
    feed_in(&mut link, &ClientFrame::Heads { vault: vault(), last: true, heads: vec![client] }).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::MatchHeads { .. }]));
    link.handle(at(1), Input::Matched(Vec::new())).unwrap();
    let Some(Output::OpenFeed(mut feed)) = link.poll() else { panic!("a feed") };
    feed.scanned(Rseq(0), SAID);
    feed.scanned(Rseq(9), SAID);
    let answer = FeedFrame::Answer { number: 7 }.encode();
    assert!(feed.take().ends_with(&answer), "it was handed over");
    feed_in(&mut link, &want).unwrap();
    feed_in(&mut link, &ask(8)).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::Want(..), Output::Ask(_, 8)]));

    for (cursor, life, name) in [(5, Incarnation::ZERO, "other incarnation"), (0, LIFE, "from the start")] {
        let mut link = member(Role::Reader);
        feed_in(&mut link, &subscribe(cursor, life)).unwrap();
        let heads_asked = matches!(drain(&mut link)[..], [Output::LoadHeads(_)]);
        assert_eq!(heads_asked, cursor != 0, "{name}");
    }
    let mut early = pending(Admission::Open);
    feed_in(&mut early, &subscribe(0, LIFE)).unwrap();
    feed_in(&mut early, &ask(1)).unwrap();
    feed_in(&mut early, &ClientFrame::StatementsWant { vault: vault(), from: Generation(0) }).unwrap();
    assert!(early.poll().is_none(), "pipelined behind an AUTH that found no vault: dropped");
    let mut stranger = open_link(Admission::Open);
    feed_in(&mut stranger, &ask(1)).unwrap();
    assert!(stranger.poll().is_none(), "no word about a vault to a stranger");
}

#[test]
fn a_superseded_key_sees_its_epochs_control_and_loses_the_vault_when_it_is_superseded_now() {
    let mut chain = statements();
    chain.push(following(&chain[0], 6, 7));
    let later = KnownVault { statements: chain.into(), ..state() };
    let mut link = open_link(Admission::Closed);
    feed_in(&mut link, &auth(3, Role::Writer, vault())).unwrap();
    link.handle(at(1), Input::Vault(Some(later.clone()))).unwrap();
    drain(&mut link);
    feed_in(&mut link, &ClientFrame::Push { vault: vault(), segments: vec![segment(1, 0, 16)] }).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::NotWriter]);
    feed_in(&mut link, &subscribe(0, LIFE)).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(&outputs[..], [Output::OpenFeed(feed)] if feed.view() == View::ControlBelow(Epoch(1))));

    let mut link = member(Role::Reader);
    feed_in(&mut link, &subscribe(0, LIFE)).unwrap();
    link.handle(at(1), Input::Digest { last: Rseq(0), digest: SAID }).unwrap();
    drain(&mut link);
    link.handle(at(1), Input::StatementsChanged(vault(), state())).unwrap();
    assert!(link.poll().is_none(), "nothing changed for this key");
    link.handle(at(1), Input::StatementsChanged(vault(), later)).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(outputs[..2], [Output::CloseFeed(_), Output::Left(_)]));
    assert_eq!(refusals(outputs), [ErrorCode::AuthFailed]);
    assert!(!link.is_member());
}

#[test]
fn draining_waits_for_appends_and_strangers_have_little_time() {
    let mut link = member(Role::Writer);
    feed_in(&mut link, &ClientFrame::Push { vault: vault(), segments: vec![segment(1, 0, 16)] }).unwrap();
    let Some(Output::Append(append)) = link.poll() else { panic!("append") };
    link.handle(at(1), Input::Drain).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::Draining]);
    assert!(!link.accepts_frame());
    let done = Appended {
        vault: vault(),
        bytes: append.bytes,
        entries: Vec::new(),
        rseq: Rseq(0),
        refused: Vec::new(),
    };
    link.handle(at(1), Input::Appended(done)).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::Close(ErrorCode::Draining)]));

    let mut stranger = open_link(Admission::Open);
    let deadline = stranger.deadline().unwrap();
    assert_eq!(deadline, limits::AUTH_DEADLINE);
    stranger.handle(at(1), Input::Timeout).unwrap();
    assert!(stranger.poll().is_none(), "early");
    stranger.handle(at(deadline.as_secs()), Input::Timeout).unwrap();
    assert!(matches!(drain(&mut stranger).last(), Some(Output::Close(ErrorCode::AuthFailed))));
    assert_eq!(member(Role::Reader).deadline(), None);
}
