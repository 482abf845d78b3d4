//! The client's half of a link, as a script has relays and stores treat it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use subrosa_protocol::client_link::{
    Birth, ClientLink, Event, HeldChain, Input, LinkError, OutboxBatch, Output, Prepared, Purpose, Received,
    StatementsKept,
};
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{
    ClientFrame, FeedFrame, FrameLimit, RelayFrame, RelayLimits, Role, SHORT_CHAIN_LEN, ShortHead,
    StatementsPart, VERSION,
};
use subrosa_protocol::ids::{
    Chain, Digest, Generation, Head, Incarnation, RendezvousId, Rseq, Signature, VaultId,
};
use subrosa_protocol::limits;
use subrosa_protocol::token::Grant;

use super::script::Script;

const RELAY: Incarnation = Incarnation::from_bytes([9; 16]);
/// What one thing that happened may come to: a chain of 64 parts, an outbox of as many logs as segments, for three vaults.
const OUTPUTS_MAX: usize = 3 * 128;

pub(super) fn client_link(data: &[u8]) {
    let mut script = Script::new(data);
    let invite = script.yes().then(|| vec![1; 83]);
    let now = start();
    let mut driven = Driven {
        link: ClientLink::new(now, invite),
        now,
        over: None,
        asked: 0,
        delivering: None,
        roles: BTreeMap::new(),
        caught_up: BTreeSet::new(),
        may_speak: false,
        has_greeted: false,
        relay: None,
    };
    driven.drain();
    while !script.is_over() {
        driven.step(&mut script);
    }
}

#[expect(clippy::disallowed_methods, reason = "a base for times that the script then moves itself")]
fn start() -> Instant {
    Instant::now()
}

/// A link, and what its driver knows of it.
struct Driven {
    link: ClientLink,
    now: Instant,
    over: Option<LinkError>,
    /// The last question.
    asked: u64,
    /// The vault of which the store has a batch.
    delivering: Option<VaultId>,
    /// As what each vault was proved last: what its AUTH said.
    roles: BTreeMap<VaultId, Role>,
    /// Which have caught up since they were last proved.
    caught_up: BTreeSet<VaultId>,
    may_speak: bool,
    has_greeted: bool,
    /// The incarnation of batches since.
    relay: Option<Incarnation>,
}

fn head(script: &mut Script<'_>) -> Head {
    Head { log: script.log(), seq: script.seq(), chain: Chain::from_bytes([script.below(3); 32]) }
}

fn short_head(script: &mut Script<'_>) -> ShortHead {
    let (log, seq, chain) = (script.log(), script.seq(), [script.below(3); SHORT_CHAIN_LEN]);
    let base = script.base();
    ShortHead { log, seq: seq.max(base.seq), chain, base }
}

fn digest(script: &mut Script<'_>) -> Digest {
    Digest::from_bytes([script.below(3); 32])
}

fn incarnation(script: &mut Script<'_>) -> Incarnation {
    if script.below(16) == 15 { Incarnation::ZERO } else { RELAY }
}

fn chain(script: &mut Script<'_>) -> HeldChain {
    match script.below(4) {
        0 | 1 => HeldChain::Unasked,
        2 => HeldChain::Whole { last: Generation(script.number()) },
        _ => HeldChain::Last,
    }
}

fn statements(script: &mut Script<'_>) -> Vec<Vec<u8>> {
    script.some(3, |script| vec![script.below(3); 8])
}

fn rendezvous(script: &mut Script<'_>) -> RendezvousId {
    RendezvousId::from_bytes([script.below(2); 16])
}

fn relay_frame(script: &mut Script<'_>) -> RelayFrame {
    let vault = script.vault();
    match script.below(14) {
        0 => RelayFrame::Hello {
            version: if script.below(16) == 15 { script.u8().into() } else { VERSION },
            incarnation: incarnation(script),
            limits: RelayLimits { segment_bytes_max: 2 << 20, vaults_max: 64 },
            now_ms: script.number(),
            caps: 0,
            extensions: Default::default(),
        },
        1 | 2 => RelayFrame::Vault { vault, quota_bytes: 1 << 20, used_bytes: script.number() },
        3 => RelayFrame::Grant { grant: Grant { vault, class: 0, signature: Signature::ZERO }.encode() },
        4..=6 => RelayFrame::Ack { vault, rseq: Rseq(script.number()), entries: script.some(3, head) },
        7 | 8 => RelayFrame::Heads { vault, last: script.yes(), heads: script.some(3, short_head) },
        9 => RelayFrame::Statements(StatementsPart {
            vault,
            last: script.yes(),
            statements: statements(script),
        }),
        10 => RelayFrame::RendezvousReady { id: rendezvous(script) },
        11 => RelayFrame::RendezvousData { id: rendezvous(script), message: vec![script.u8()] },
        _ => {
            let code = ErrorCode::from_wire(script.below(27).into());
            let refusal = match script.below(3) {
                0 => Refusal::link(code),
                1 => Refusal::vault(code, vault),
                _ => Refusal::segment(code, vault, script.log(), script.seq()),
            };
            RelayFrame::Error(refusal.retry_after(script.below(3).into()))
        }
    }
}

fn feed_frame(script: &mut Script<'_>) -> FeedFrame {
    match script.below(8) {
        0 | 1 => FeedFrame::Start { vault: script.vault(), incarnation: incarnation(script) },
        2 => FeedFrame::Log { public: script.public(), base: script.base() },
        3 => FeedFrame::Segment { rseq: Rseq(script.number()), segment: script.segment() },
        4 => FeedFrame::Ahead { segment: script.segment() },
        5 | 6 => FeedFrame::CaughtUp { rseq: Rseq(script.number()), digest: digest(script) },
        _ => FeedFrame::Answer { number: script.number() },
    }
}

impl Driven {
    fn step(&mut self, script: &mut Script<'_>) {
        let input = match script.below(10) {
            0 => Input::Frame(Bytes::copy_from_slice(script.bytes())),
            1 => {
                Input::Feed { stream: script.below(4).into(), frame: Bytes::copy_from_slice(script.bytes()) }
            }
            2 | 3 => Input::Frame(relay_frame(script).encode().slice(4..)),
            4 | 5 => {
                Input::Feed { stream: script.below(4).into(), frame: feed_frame(script).encode().slice(4..) }
            }
            6 | 7 => self.answer(script),
            8 => {
                self.now += Duration::from_millis(u64::from(script.u8()) * 50);
                Input::Timeout
            }
            _ => match self.happens(script) {
                Some(input) => input,
                None => return,
            },
        };
        if matches!(input, Input::Feed { .. }) && !self.link.reads_feeds() {
            return;
        }
        let timeout = matches!(input, Input::Timeout);
        self.handle(input);
        if timeout && self.over.is_none() {
            let deadline = self.link.deadline();
            assert!(deadline.is_none_or(|deadline| deadline > self.now), "what passed is over");
        }
    }

    fn happens(&mut self, script: &mut Script<'_>) -> Option<Input> {
        Some(match script.below(8) {
            0 | 1 => {
                let purpose = if script.below(4) == 3 { Purpose::Member } else { Purpose::Sync };
                Input::Add { vault: script.vault(), purpose }
            }
            2 => Input::Written { vault: script.vault() },
            3 => {
                self.asked += 1;
                Input::Ask { number: self.asked }
            }
            4 => Input::FeedClosed { stream: script.below(4).into() },
            5 => Input::Open { id: rendezvous(script) },
            6 => Input::Join { id: rendezvous(script) },
            _ if self.may_speak => Input::Say { message: vec![script.u8()] },
            _ => return None,
        })
    }

    /// What a store answers, asked or not.
    fn answer(&mut self, script: &mut Script<'_>) -> Input {
        let vault = script.vault();
        match script.below(14) {
            0 | 1 => {
                let role = if script.below(4) == 3 { Role::Reader } else { Role::Writer };
                let prepared = Prepared {
                    role,
                    public: script.public(),
                    signature: Signature::ZERO,
                    incarnation: incarnation(script),
                    cursor: Rseq(script.number()),
                    digest: digest(script),
                    chain: chain(script),
                };
                Input::Prepared { vault, prepared }
            }
            2 => Input::Unable { vault },
            3 => Input::Faulty { vault },
            4 => {
                let grant = script.yes().then(|| vec![2; 97]);
                Input::Birth {
                    vault,
                    birth: Birth { statements: statements(script), chain: chain(script), grant },
                }
            }
            5 => {
                let kept = if script.below(4) == 3 {
                    StatementsKept::Ask
                } else {
                    StatementsKept::Compared { last: Generation(script.number()), tail: statements(script) }
                };
                Input::StatementsStored { vault, kept }
            }
            6 => Input::HeadsStored {
                vault,
                diverged: script.yes(),
                own: script.some(2, Script::log),
                heads: script.some(3, short_head),
            },
            7 | 8 => {
                let received = Received {
                    wants: script.some(2, |script| (script.log(), script.seq(), script.seq())),
                    own_log_foreign: script.below(8) == 7,
                    digest_ok: [None, Some(false), Some(true)][usize::from(script.below(3))],
                    statements: script.below(8) == 7,
                };
                self.delivering.take_if(|delivering| *delivering == vault);
                Input::Delivered { vault, received }
            }
            9 => Input::Rotated { vault },
            10 => Input::Sealed { vault, more: script.yes() },
            11 | 12 => {
                let logs = script.some(3, |script| script.public().into());
                let segments = script.some(3, Script::segment);
                Input::Outbox { vault, batch: OutboxBatch { logs, segments, more: script.yes() } }
            }
            _ => Input::AckStored { vault, more: script.yes() },
        }
    }

    fn handle(&mut self, input: Input) {
        let result = self.link.handle(self.now, input);
        if let Some(over) = self.over {
            assert_eq!(result, Err(over), "it says the same from then on");
            assert!(self.link.poll().is_none(), "and nothing else");
            return;
        }
        self.drain();
        self.over = result.err();
        assert!(self.link.answered() <= self.asked);
        assert_eq!(self.link.is_delivering(), self.delivering.is_some());
        let progress = self.link.progress();
        assert!(progress.segments_done <= progress.segments_known, "{progress:?}");
        assert!(progress.bytes_done <= progress.bytes_known, "{progress:?}");
        assert!(!self.link.is_synced() || self.link.is_settled());
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(output) = self.link.poll() {
            count += 1;
            assert!(count <= OUTPUTS_MAX, "{output:?}");
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Send(bytes) => {
                let len = FrameLimit::FULL.announced(&bytes).expect("not too long").expect("a length");
                assert_eq!(len + 4, bytes.len());
                let frame = ClientFrame::decode(&bytes.slice(4..)).expect("what is sent can be read");
                assert_eq!(frame.encode(), bytes);
                match frame {
                    ClientFrame::Auth { vault, role, .. } => {
                        self.roles.insert(vault, role);
                    }
                    ClientFrame::Push { vault, segments } => {
                        assert!(self.pushes(&vault) && !segments.is_empty());
                    }
                    _ => {}
                }
            }
            Output::Prepare { vault } => {
                self.caught_up.remove(&vault);
            }
            Output::Rotate { vault } | Output::Seal { vault } => assert!(self.pushes(&vault)),
            Output::LoadOutbox { vault, bytes_max, .. } => {
                assert!(self.pushes(&vault));
                assert!((1..=limits::PUSH_WINDOW_BYTES).contains(&bytes_max));
            }
            Output::Deliver { vault, batch } => {
                assert!(self.delivering.replace(vault).is_none(), "one batch at a time");
                // A feed may overtake HELLO.
                if self.has_greeted {
                    let relay = *self.relay.get_or_insert(batch.incarnation);
                    assert_eq!(batch.incarnation, relay, "one relay's");
                }
            }
            Output::Event(Event::CaughtUp { vault }) => {
                self.caught_up.insert(vault);
            }
            Output::Event(Event::Rests { vault, retry, .. }) => {
                assert!(!retry.is_zero() && retry <= Duration::from_secs(3600));
                self.caught_up.remove(&vault);
            }
            Output::Event(Event::Greeted) => self.has_greeted = true,
            Output::Event(Event::Met) => self.may_speak = true,
            _ => {}
        }
    }

    /// Only a writer that has caught up seals and pushes.
    fn pushes(&self, vault: &VaultId) -> bool {
        self.roles.get(vault) == Some(&Role::Writer) && self.caught_up.contains(vault)
    }
}
