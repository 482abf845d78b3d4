mod asking;
mod chains;
mod heads;
mod hostile;
mod wants;
mod window;

use super::*;
use crate::codec::{DecodeError, Extensions};
use crate::frame::{FeedFrame, RelayLimits, Role, ShortHead, StatementsPart};
use crate::ids::{Base, Chain, Digest, Head, PublicKeyBytes, RendezvousId, Rseq, Seq, Signature};
use crate::segment::{GroupPlace, Header, Kind, SealedSegment, TAG_LEN};
use crate::token::Grant;

const RELAY: Incarnation = Incarnation::from_bytes([7; 16]);

fn vault(n: u8) -> VaultId {
    VaultId::from_bytes([n; 32])
}

fn key(n: u8) -> PublicKeyBytes {
    PublicKeyBytes::from_bytes([n; 65])
}

fn log(n: u8) -> LogId {
    LogId::of(&key(n))
}

fn segment(n: u8, seq: u64, body: usize) -> SealedSegment {
    let header = Header {
        kind: Kind::DATA,
        place: GroupPlace::Whole,
        log: log(n),
        seq: Seq(seq),
        epoch: crate::ids::Epoch(0),
        prev: Chain::ZERO,
        salt: [0; 16],
        commit: [0; 32],
        body_len: u32::try_from(body).unwrap(),
    };
    SealedSegment::assemble(header, &vec![0; body], &Signature::ZERO)
}

fn head(n: u8, seq: u64) -> Head {
    Head { log: log(n), seq: Seq(seq), chain: crate::ids::Chain::ZERO }
}

fn prepared(role: Role) -> Prepared {
    Prepared {
        role,
        public: key(200),
        signature: Signature::ZERO,
        incarnation: RELAY,
        cursor: Rseq(5),
        digest: Digest::from_bytes([5; 32]),
        chain: HeldChain::Unasked,
    }
}

fn birth(statements: Vec<Vec<u8>>, grant: Option<Vec<u8>>) -> Birth {
    Birth { statements, chain: HeldChain::Unasked, grant }
}

/// A link, a clock, and what it asked for.
struct Rig {
    link: ClientLink,
    now: Instant,
    out: VecDeque<Output>,
}

#[expect(clippy::disallowed_methods, reason = "a base for times that the test then moves itself")]
fn base() -> Instant {
    Instant::now()
}

impl Rig {
    fn new() -> Self {
        Self::with_invite(None)
    }

    fn with_invite(invite: Option<Vec<u8>>) -> Self {
        let now = base();
        Self { link: ClientLink::new(now, invite), now, out: VecDeque::new() }
    }

    fn try_give(&mut self, input: Input) -> Result<(), LinkError> {
        let result = self.link.handle(self.now, input);
        while let Some(output) = self.link.poll() {
            self.out.push_back(output);
        }
        result
    }

    fn give(&mut self, input: Input) {
        self.try_give(input).unwrap();
    }

    fn frame(&mut self, frame: &RelayFrame) -> Result<(), LinkError> {
        self.try_give(Input::Frame(frame.encode().slice(4..)))
    }

    fn feed(&mut self, stream: u64, frame: &FeedFrame) -> Result<(), LinkError> {
        self.try_give(Input::Feed { stream, frame: frame.encode().slice(4..) })
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.give(Input::Timeout);
    }

    fn take(&mut self) -> Vec<Output> {
        self.out.drain(..).collect()
    }

    /// The client frames sent since the last look; other outputs stay.
    fn sent(&mut self) -> Vec<ClientFrame> {
        let mut frames = Vec::new();
        self.out.retain(|output| match output {
            Output::Send(bytes) => {
                frames.push(ClientFrame::decode(&bytes.slice(4..)).unwrap());
                false
            }
            _ => true,
        });
        frames
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.out.retain(|output| match output {
            Output::Event(event) => {
                events.push(event.clone());
                false
            }
            _ => true,
        });
        events
    }

    fn hello(&mut self) {
        let limits = RelayLimits { segment_bytes_max: 2 << 20, vaults_max: 64 };
        self.frame(&RelayFrame::Hello {
            version: VERSION,
            incarnation: RELAY,
            limits,
            now_ms: 9,
            caps: 0,
            extensions: Extensions::new(),
        })
        .unwrap();
    }

    fn known(&mut self, n: u8) {
        self.frame(&RelayFrame::Vault { vault: vault(n), quota_bytes: 100, used_bytes: 10 }).unwrap();
    }

    fn add(&mut self, n: u8) {
        self.give(Input::Add { vault: vault(n), purpose: Purpose::Sync });
        self.give(Input::Prepared { vault: vault(n), prepared: prepared(Role::Writer) });
    }

    fn caught_up(&mut self, stream: u64, rseq: u64) {
        let digest = Digest::from_bytes([8; 32]);
        self.feed(stream, &FeedFrame::CaughtUp { rseq: Rseq(rseq), digest }).unwrap();
    }

    fn start(&mut self, n: u8, stream: u64) {
        self.feed(stream, &FeedFrame::Start { vault: vault(n), incarnation: RELAY }).unwrap();
    }

    fn delivered(&mut self, n: u8) {
        self.give(Input::Delivered { vault: vault(n), received: Received::default() });
    }

    /// Vault `n` on stream `n`, caught up, nothing to send.
    fn live(&mut self, n: u8) {
        self.add(n);
        self.known(n);
        self.start(n, n.into());
        self.caught_up(n.into(), 5);
        self.delivered(n);
        self.give(Input::Outbox { vault: vault(n), batch: OutboxBatch::default() });
        self.give(Input::Sealed { vault: vault(n), more: false });
        self.give(Input::Outbox { vault: vault(n), batch: OutboxBatch::default() });
        assert!(self.events().contains(&Event::Synced { vault: vault(n) }));
        self.take();
    }

    /// Seals and pushes segments of log `n` on a live vault `n`.
    fn push(&mut self, n: u8, segments: Vec<SealedSegment>) {
        self.give(Input::Written { vault: vault(n) });
        self.advance(Duration::from_millis(250));
        self.give(Input::Sealed { vault: vault(n), more: false });
        let batch = OutboxBatch { logs: vec![key(n).into()], segments, more: false };
        self.give(Input::Outbox { vault: vault(n), batch });
    }
}

fn live_rig() -> Rig {
    let mut rig = Rig::new();
    rig.hello();
    rig.live(1);
    rig
}

fn error(code: ErrorCode, n: u8) -> RelayFrame {
    RelayFrame::Error(Refusal::vault(code, vault(n)))
}

#[test]
fn first_flight_waits_for_nothing() {
    let mut rig = Rig::new();
    rig.add(1);
    rig.add(2);
    let names: Vec<_> = rig
        .sent()
        .iter()
        .map(|frame| match frame {
            ClientFrame::Hello { .. } => "hello",
            ClientFrame::Auth { .. } => "auth",
            ClientFrame::Subscribe { .. } => "subscribe",
            _ => "other",
        })
        .collect();
    assert_eq!(names, ["hello", "auth", "subscribe", "auth", "subscribe"]);
}

#[test]
fn a_feed_may_overtake_hello_and_vault() {
    let mut rig = Rig::new();
    rig.add(1);
    rig.start(1, 3);
    rig.feed(3, &FeedFrame::Log { public: key(9), base: Base::WHOLE }).unwrap();
    rig.feed(3, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(9, 0, 99) }).unwrap();
    rig.hello();
    rig.known(1);
    let delivered: Vec<_> = rig.take().into_iter().filter(|o| matches!(o, Output::Deliver { .. })).collect();
    assert_eq!(delivered.len(), 1);
}

#[test]
fn catches_up_seals_pushes_and_is_synced() {
    let mut rig = Rig::new();
    rig.hello();
    rig.add(1);
    rig.known(1);
    rig.start(1, 1);
    rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(9, 0, 99) }).unwrap();
    rig.caught_up(1, 6);
    rig.take();
    // The first segment went to the store alone; what came meanwhile follows.
    rig.delivered(1);
    let Some(Output::Deliver { batch, .. }) = rig.out.pop_front() else { panic!("no second batch") };
    assert_eq!((batch.items.len(), batch.caught_up), (0, Some((Rseq(6), Digest::from_bytes([8; 32])))));
    rig.delivered(1);
    let loads = |rig: &mut Rig| rig.take().iter().any(|o| matches!(o, Output::LoadOutbox { .. }));
    assert!(loads(&mut rig));
    rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
    assert_eq!(rig.take(), [Output::Seal { vault: vault(1) }]);
    rig.give(Input::Sealed { vault: vault(1), more: false });
    assert!(loads(&mut rig));
    let batch = OutboxBatch { logs: vec![key(1).into()], segments: vec![segment(1, 0, 300)], more: false };
    rig.give(Input::Outbox { vault: vault(1), batch });
    let sent = rig.sent();
    assert!(
        matches!(&sent[..], [ClientFrame::Log { .. }, ClientFrame::Push { segments, .. }] if segments.len() == 1)
    );
    assert!(!rig.link.is_synced());
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    assert!(matches!(rig.take()[..], [Output::StoreAck { .. }]));
    rig.give(Input::AckStored { vault: vault(1), more: false });
    assert_eq!(rig.take(), [Output::Event(Event::Synced { vault: vault(1) })]);
    assert!(rig.link.is_synced());
    let progress = rig.link.progress();
    assert_eq!((progress.segments_done, progress.segments_known), (2, 2));
    assert_eq!(progress.bytes_done, progress.bytes_known);
}

#[test]
fn what_an_acknowledgement_brings_up_is_sealed_and_pushed_before_all_is_synced() {
    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.take();
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 0)] }).unwrap();
    rig.take();
    rig.give(Input::AckStored { vault: vault(1), more: true });
    assert_eq!(
        rig.take(),
        [Output::Seal { vault: vault(1) }],
        "at once, and nothing is said of being synced"
    );
    assert!(!rig.link.is_synced() && !rig.link.is_settled());
    rig.give(Input::Sealed { vault: vault(1), more: false });
    assert!(matches!(rig.take()[..], [Output::LoadOutbox { .. }]));
    let batch = OutboxBatch { logs: vec![key(1).into()], segments: vec![segment(1, 1, 300)], more: false };
    rig.give(Input::Outbox { vault: vault(1), batch });
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(8), entries: vec![head(1, 1)] }).unwrap();
    rig.give(Input::AckStored { vault: vault(1), more: false });
    assert!(rig.link.is_synced());
}

#[test]
fn unknown_vault_is_created_with_grant_then_invite() {
    let mut rig = Rig::with_invite(Some(vec![1; 83]));
    rig.hello();
    rig.add(1);
    rig.sent();
    rig.frame(&error(ErrorCode::UnknownVault, 1)).unwrap();
    assert!(rig.take().contains(&Output::LoadBirth { vault: vault(1) }));
    let statements = vec![vec![3; 10]];
    let create = |credential| {
        let part = StatementsPart { vault: vault(1), last: true, statements: vec![vec![3; 10]] };
        [ClientFrame::Statements(part), ClientFrame::Create { vault: vault(1), credential }]
    };
    rig.give(Input::Birth { vault: vault(1), birth: birth(statements, Some(vec![2; 97])) });
    assert_eq!(rig.sent(), create(Credential::Grant(vec![2; 97])));
    rig.frame(&error(ErrorCode::UnknownVault, 1)).unwrap();
    assert_eq!(rig.take(), [], "AUTH and SUBSCRIBE are answered one by one");
    rig.frame(&error(ErrorCode::GrantRefused, 1)).unwrap();
    assert_eq!(rig.sent(), create(Credential::Invite(vec![1; 83])));
    rig.known(1);
    assert!(
        matches!(rig.sent()[..], [ClientFrame::Subscribe { digest: Digest::ZERO, .. }]),
        "a new vault has its heads compared"
    );
    let grant = Grant { vault: vault(1), class: 0, signature: Signature::ZERO }.encode();
    rig.frame(&RelayFrame::Grant { grant: grant.clone() }).unwrap();
    assert!(rig.take().contains(&Output::StoreGrant { vault: vault(1), grant: grant.clone() }));
    rig.frame(&RelayFrame::Grant { grant }).unwrap();
    let fault = VaultFault::OutOfPlace { frame: "GRANT" };
    let rests = Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT };
    assert_eq!(rig.events(), [rests], "one CREATE, one GRANT");
}

#[test]
fn a_refused_vault_rests_and_the_others_go_on() {
    let mut rig = live_rig();
    rig.add(2);
    rig.frame(&error(ErrorCode::UnknownVault, 2)).unwrap();
    rig.give(Input::Birth { vault: vault(2), birth: birth(Vec::new(), None) });
    rig.take();
    let refusal = Refusal::vault(ErrorCode::NeedsInvite, vault(2)).retry_after(5);
    rig.frame(&RelayFrame::Error(refusal)).unwrap();
    let retry = Duration::from_secs(5);
    assert_eq!(rig.take(), [Output::Event(Event::Refused { refusal, retry })]);
    assert!(rig.link.is_settled() && !rig.link.is_synced());
    rig.push(1, vec![segment(1, 0, 300)]);
    assert!(rig.sent().iter().any(|frame| matches!(frame, ClientFrame::Push { .. })));
    rig.take();
    assert_eq!(rig.link.deadline(), Some(rig.now - Duration::from_millis(250) + retry));
    rig.advance(retry);
    assert_eq!(rig.take(), [Output::Prepare { vault: vault(2) }]);
}

#[test]
fn a_vault_that_cannot_be_proved_rests() {
    let mut rig = live_rig();
    rig.give(Input::Add { vault: vault(2), purpose: Purpose::Sync });
    rig.take();
    rig.give(Input::Unable { vault: vault(2) });
    let fault = VaultFault::Unable;
    assert_eq!(rig.take(), [Output::Event(Event::Rests { vault: vault(2), fault, retry: FAULT_WAIT })]);
    assert!(rig.link.is_settled() && !rig.link.is_synced());
    rig.advance(FAULT_WAIT);
    assert_eq!(rig.take(), [Output::Prepare { vault: vault(2) }]);
}

#[test]
fn a_reader_never_seals_or_pushes() {
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Reader) });
    rig.known(1);
    rig.start(1, 1);
    rig.caught_up(1, 5);
    rig.give(Input::Written { vault: vault(1) });
    rig.take();
    rig.delivered(1);
    rig.advance(Duration::from_secs(1));
    let asked = rig.take();
    assert!(asked.iter().all(|output| matches!(output, Output::Event(_))), "{asked:?}");
    assert!(rig.link.is_synced());
}

#[test]
fn silence_ends_the_link() {
    let mut rig = Rig::new();
    assert_eq!(rig.link.deadline(), Some(rig.now + HELLO_WAIT));
    rig.now += HELLO_WAIT;
    assert_eq!(rig.try_give(Input::Timeout), Err(LinkError::Silent), "HELLO");

    let mut rig = Rig::new();
    rig.hello();
    rig.add(1);
    rig.now += ANSWER_WAIT;
    assert_eq!(rig.try_give(Input::Timeout), Err(LinkError::Silent), "SUBSCRIBE");

    let mut rig = live_rig();
    rig.push(1, vec![segment(1, 0, 300)]);
    rig.now += ANSWER_WAIT;
    assert_eq!(rig.try_give(Input::Timeout), Err(LinkError::Silent), "PUSH");
    assert_eq!(rig.try_give(Input::Written { vault: vault(1) }), Err(LinkError::Silent), "it stays over");
}

#[test]
fn a_member_link_opens_a_rendezvous_once_the_vault_is_known() {
    let id = RendezvousId::from_bytes([4; 16]);
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Member });
    rig.give(Input::Open { id });
    rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Writer) });
    assert!(matches!(rig.sent()[..], [ClientFrame::Hello { .. }, ClientFrame::Auth { .. }]));
    rig.known(1);
    assert_eq!(rig.sent(), [ClientFrame::RendezvousOpen { id }]);
    rig.take();
    rig.frame(&RelayFrame::RendezvousReady { id }).unwrap();
    rig.give(Input::Say { message: vec![1] });
    assert_eq!(rig.sent(), [ClientFrame::RendezvousData { id, message: vec![1] }]);
    for n in 0..8 {
        rig.frame(&RelayFrame::RendezvousData { id, message: vec![n] }).unwrap();
    }
    let events = rig.events();
    assert_eq!((events.len(), &events[0]), (9, &Event::Met));
    assert_eq!(
        rig.frame(&RelayFrame::RendezvousData { id, message: vec![9] }),
        Err(LinkError::TooManyMessages)
    );
}

#[test]
fn a_joined_rendezvous_ends() {
    let id = RendezvousId::from_bytes([4; 16]);
    let mut rig = Rig::new();
    rig.give(Input::Join { id });
    rig.hello();
    rig.take();
    rig.frame(&RelayFrame::Error(Refusal::link(ErrorCode::NoRendezvous))).unwrap();
    assert_eq!(rig.events(), [Event::Parted]);
    assert_eq!(rig.try_give(Input::Say { message: vec![1] }), Ok(()), "said too late");
    assert_eq!(rig.sent(), []);
}
