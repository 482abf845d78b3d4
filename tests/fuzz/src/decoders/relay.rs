//! The relay's half of a link and its rendezvous, as a script has peers and drivers treat them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use subrosa_model::entropy::SeededEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{
    ClientFrame, Credential, FrameLimit, RelayFrame, RelayLimits, Role, SHORT_CHAIN_LEN, ShortHead,
    StatementsPart, VERSION,
};
use subrosa_protocol::ids::{
    Chain, Digest, Epoch, Generation, Head, Incarnation, PublicKeyBytes, RendezvousId, Rseq, Signature,
    VaultId,
};
use subrosa_protocol::relay_link::{
    Admission, Append, Appended, Asker, ClassedHead, Created, Feed, HeadMatch, Input, KnownVault, LinkConfig,
    LinkNo, Now, Origin, Output, PeerFrame, Refused, RelayLink, Rendezvous, RendezvousRequest,
    digest_of_nothing,
};
use subrosa_protocol::segment::Class;
use subrosa_protocol::statement::{Signer, Statement};
use subrosa_protocol::token::Grant;
use subrosa_protocol::vouch::Vouch;
use subrosa_protocol::{labels, limits};

use super::script::{Script, public, vault};

const EXPORTER: [u8; 32] = [0xe0; 32];
pub(super) const LIFE: Incarnation = Incarnation::from_bytes([0x11; 16]);
const VAULTS_MAX: u16 = 2;
const KEYS: u8 = 3;
/// What one thing that happened may come to: a PUSH of which each log is refused, or an ACK of each, and what closes a link.
const OUTPUTS_MAX: usize = limits::PUSH_SEGMENTS_MAX + 8;

/// Keys by which members prove themselves, with the signatures that do, by vault and role.
struct Member {
    public: PublicKeyBytes,
    proofs: Vec<Signature>,
}

fn members() -> &'static [Member] {
    static MEMBERS: OnceLock<Vec<Member>> = OnceLock::new();
    MEMBERS.get_or_init(|| {
        let member = |number: u8| {
            let pair = KeyPair::generate(&SeededEntropy::dangerous_from_seed(number.into()));
            let prove = |(vault_no, role)| {
                let payload = [&EXPORTER[..], vault(vault_no).as_bytes(), &[role]].concat();
                Signature::from_bytes(pair.sign(labels::AUTH, &payload))
            };
            let proofs = (0..3).flat_map(|vault| [(vault, 0), (vault, 1)]).map(prove).collect();
            Member { public: PublicKeyBytes::from_bytes(*pair.public().as_bytes()), proofs }
        };
        (0..KEYS).map(member).collect()
    })
}

/// A chain of so many statements, of which each lists one key more, and the one before no longer.
fn statements(vault: VaultId, count: u8) -> Vec<Statement> {
    let mut chain: Vec<Statement> = Vec::new();
    for number in 0..count {
        let key = members()[usize::from(number % KEYS)].public;
        chain.push(Statement {
            vault,
            generation: Generation(number.into()),
            epoch: Epoch(number.into()),
            read: key,
            write: key,
            admins: vec![public(0)],
            recovery_commitment: [1; 32],
            previous: chain.last().map_or([0; 32], Statement::hash),
            signer: Signer::Admin(public(0)),
            signature: Signature::ZERO,
        });
    }
    chain
}

fn known(script: &mut Script<'_>, vault: VaultId) -> KnownVault {
    let statements = statements(vault, 1 + script.below(KEYS)).into();
    KnownVault { statements, quota_bytes: 1 << 20, used_bytes: script.number() }
}

fn code(script: &mut Script<'_>) -> ErrorCode {
    ErrorCode::from_wire(script.below(27).into())
}

fn short_head(script: &mut Script<'_>) -> ShortHead {
    let (log, seq, chain) = (script.log(), script.seq(), [script.below(3); SHORT_CHAIN_LEN]);
    let base = script.base();
    ShortHead { log, seq: seq.max(base.seq), chain, base }
}

fn digest(script: &mut Script<'_>) -> Digest {
    [Digest::ZERO, digest_of_nothing(), Digest::from_bytes([7; 32])][usize::from(script.below(3))]
}

fn client_frame(script: &mut Script<'_>) -> ClientFrame {
    match script.below(15) {
        0 => ClientFrame::Hello {
            versions: vec![u16::from(script.u8()), VERSION],
            caps: 0,
            extensions: Default::default(),
        },
        1 | 2 => auth(script),
        3 => ClientFrame::Subscribe {
            vault: script.vault(),
            incarnation: if script.yes() { LIFE } else { Incarnation::ZERO },
            cursor: Rseq(script.number()),
            digest: digest(script),
        },
        4 => ClientFrame::Heads {
            vault: script.vault(),
            last: script.yes(),
            heads: script.some(3, short_head),
        },
        5 => {
            let (vault, public, base) = (script.vault(), script.public(), script.base());
            let vouch = (script.below(4) == 1)
                .then(|| Vouch { admin: members()[0].public, signature: Signature::ZERO });
            ClientFrame::Log { vault, public, base, vouch }
        }
        6 => ClientFrame::Push { vault: script.vault(), segments: script.some(3, Script::segment) },
        7 => ClientFrame::Want {
            vault: script.vault(),
            log: script.log(),
            from: script.seq(),
            to: script.seq(),
        },
        8 => ClientFrame::Ask { vault: script.vault(), number: script.number() },
        9 => ClientFrame::StatementsWant { vault: script.vault(), from: Generation(script.number()) },
        10 => {
            let (vault, from, count) = (script.vault(), script.below(KEYS), script.below(KEYS + 1));
            let chain = statements(vault, KEYS);
            let statements = chain[usize::from(from)..].iter().take(count.into()).map(Statement::encode);
            ClientFrame::Statements(StatementsPart {
                vault,
                last: script.yes(),
                statements: statements.collect(),
            })
        }
        11 => {
            let vault = script.vault();
            let statement = statements(vault, KEYS)[usize::from(script.below(KEYS))].encode();
            ClientFrame::Statement { vault, statement }
        }
        12 => {
            let vault = script.vault();
            let credential = match script.below(3) {
                0 => Credential::None,
                1 => Credential::Invite(script.bytes().to_vec()),
                _ => Credential::Grant(Grant { vault, class: 0, signature: Signature::ZERO }.encode()),
            };
            ClientFrame::Create { vault, credential }
        }
        13 => ClientFrame::RendezvousOpen { id: rendezvous(script) },
        _ if script.yes() => ClientFrame::RendezvousJoin { id: rendezvous(script) },
        _ => ClientFrame::RendezvousData { id: rendezvous(script), message: vec![script.u8()] },
    }
}

fn auth(script: &mut Script<'_>) -> ClientFrame {
    let (vault_no, key) = (script.below(3), usize::from(script.below(KEYS)));
    let (role, at) = if script.yes() { (Role::Writer, 1) } else { (Role::Reader, 0) };
    // A wrong proof is one for another vault.
    let proved = if script.below(8) == 7 { (vault_no + 1) % 3 } else { vault_no };
    let Member { public, proofs } = &members()[key];
    let signature = proofs[usize::from(proved) * 2 + at];
    ClientFrame::Auth { vault: vault(vault_no), role, public: *public, signature }
}

fn rendezvous(script: &mut Script<'_>) -> RendezvousId {
    RendezvousId::from_bytes([script.below(6); 16])
}

/// A link, its driver, and what the driver owes it.
struct Driven {
    link: RelayLink,
    now: Now,
    lookups: VecDeque<Lookup>,
    appends: Vec<Append>,
    members: BTreeSet<VaultId>,
    feeds: BTreeMap<VaultId, Feed>,
    is_closed: bool,
}

enum Lookup {
    Vault(VaultId),
    Create(VaultId),
    Join(VaultId),
    Statements(VaultId, Generation),
    Digest,
    Heads,
    Match(Vec<ShortHead>),
}

pub(super) fn relay_link(data: &[u8]) {
    let mut script = Script::new(data);
    let config = LinkConfig {
        exporter: EXPORTER,
        incarnation: LIFE,
        limits: RelayLimits { segment_bytes_max: 1500, vaults_max: VAULTS_MAX },
        relay: members()[0].public,
        admission: if script.yes() { Admission::Open } else { Admission::Closed },
    };
    let now = Now { mono: Duration::ZERO, wall_ms: 1 };
    let mut driven = Driven {
        link: RelayLink::new(now, config),
        now,
        lookups: VecDeque::new(),
        appends: Vec::new(),
        members: BTreeSet::new(),
        feeds: BTreeMap::new(),
        is_closed: false,
    };
    while !script.is_over() {
        driven.step(&mut script);
    }
}

impl Driven {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(10) {
            0 => {
                let frame = Bytes::copy_from_slice(script.bytes());
                // One that is not accepted ends the link, whatever it is.
                self.handle(Input::Frame(frame));
            }
            1..=4 => {
                let frame = client_frame(script).encode().slice(4..);
                if self.link.accepts_frame() {
                    self.handle(Input::Frame(frame));
                }
            }
            5 | 6 => self.answer(script),
            7 => self.appended(script),
            8 => {
                self.now.mono += Duration::from_millis(u64::from(script.u8()) * 100);
                self.now.wall_ms += 1;
                self.handle(Input::Timeout);
                let deadline = self.link.deadline();
                assert!(deadline.is_none_or(|deadline| deadline > self.now.mono), "what passed is over");
            }
            _ => self.happens(script),
        }
    }

    fn happens(&mut self, script: &mut Script<'_>) {
        let vault = script.vault();
        let input = match script.below(9) {
            0..=2 => Input::StatementsChanged(vault, known(script, vault)),
            3 => Input::Deliver(RelayFrame::RendezvousReady { id: rendezvous(script) }),
            4 => Input::FeedFailed(vault),
            5 => Input::NoRoom,
            6 => Input::TooSlow,
            7 => Input::Drain,
            // Where nothing is looked up, this ends the link.
            _ => {
                self.lookups.clear();
                Input::Failed
            }
        };
        self.handle(input);
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        let Some(lookup) = self.lookups.pop_front() else { return };
        if script.below(16) == 15 {
            return self.handle(Input::Failed);
        }
        self.handle(match lookup {
            Lookup::Vault(vault) => Input::Vault((script.below(3) > 0).then(|| known(script, vault))),
            Lookup::Create(vault) => Input::Created(if script.yes() {
                Ok(Created { state: known(script, vault), grant: vec![0; 97] })
            } else {
                Err(code(script))
            }),
            Lookup::Join(vault) => Input::StatementStored(if script.yes() {
                Ok(known(script, vault))
            } else {
                Err(code(script))
            }),
            Lookup::Statements(vault, from) => {
                let chain = statements(vault, script.below(KEYS + 1));
                let from = usize::try_from(from.0).unwrap_or(usize::MAX).min(chain.len());
                Input::Statements(chain[from..].iter().map(Statement::encode).collect())
            }
            Lookup::Digest => Input::Digest { last: Rseq(script.number()), digest: digest(script) },
            Lookup::Heads => {
                let mut heads = script.some(4, |script| {
                    let (log, base) = (script.log(), script.base());
                    let chain = Chain::from_bytes([script.below(3); 32]);
                    let head = Head { log, seq: script.seq().max(base.seq), chain };
                    let class = if script.yes() { Class::Control } else { Class::Data };
                    ClassedHead { head, base, class }
                });
                // Of each log a store has one.
                heads.sort_by_key(|one| one.head.log);
                heads.dedup_by_key(|one| one.head.log);
                Input::Heads(heads)
            }
            Lookup::Match(heads) => {
                let matched = |client: ShortHead| HeadMatch {
                    client,
                    last: (script.below(4) > 0).then(|| script.seq()),
                    chain_there: script.yes().then(|| [script.below(3); SHORT_CHAIN_LEN]),
                };
                Input::Matched(heads.into_iter().map(matched).collect())
            }
        });
    }

    fn appended(&mut self, script: &mut Script<'_>) {
        if self.appends.is_empty() {
            return;
        }
        let Append { vault, bytes, segments, .. } =
            self.appends.remove(usize::from(script.u8()) % self.appends.len());
        let (mut entries, mut refused) = (Vec::new(), Vec::new());
        for segment in &segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if script.below(4) == 3 {
                refused.push(Refused { code: code(script), retry_after_secs: 1, log, seq });
            } else {
                entries.push(Head { log, seq, chain: Chain::ZERO });
            }
        }
        self.handle(Input::Appended(Appended {
            vault,
            bytes,
            entries,
            rseq: Rseq(script.number()),
            refused,
        }));
    }

    fn handle(&mut self, input: Input) {
        let was_closed = self.is_closed;
        let result = self.link.handle(self.now, input);
        let mut count = 0;
        while let Some(output) = self.link.poll() {
            assert!(!self.is_closed, "nothing follows the end: {output:?}");
            count += 1;
            assert!(count <= OUTPUTS_MAX, "{output:?}");
            self.take(output);
        }
        assert!(self.link.poll().is_none(), "what has nothing to do has nothing to do");
        assert!(
            result.is_ok() || (self.is_closed && !was_closed),
            "an error ends the link, once: {result:?}"
        );
        if self.is_closed {
            assert!(!self.link.accepts_frame() && self.link.deadline().is_none());
        }
        assert!(self.lookups.len() <= 1 || self.is_closed, "one lookup at a time");
        let bytes: usize = self.appends.iter().map(|append| append.bytes).sum();
        assert!(self.appends.len() <= limits::APPENDS_PER_LINK_MAX);
        assert!(bytes < limits::PUSH_WINDOW_BYTES + limits::FRAME_BYTES_MAX);
        assert!(self.members.len() <= VAULTS_MAX.into());
        assert!(self.link.gathered_bytes() <= limits::STATEMENTS_MAX * limits::STATEMENT_BYTES_MAX);
        assert!(self.is_closed || self.link.is_member() != self.members.is_empty());
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Send(frame) => {
                let encoded = frame.encode();
                let frame_bytes =
                    FrameLimit::FULL.announced(&encoded).expect("not too long").expect("a length");
                assert_eq!(frame_bytes + 4, encoded.len());
                assert_eq!(RelayFrame::decode(&encoded[4..]).as_ref(), Ok(&frame));
            }
            Output::LoadVault(vault) => self.lookups.push_back(Lookup::Vault(vault)),
            Output::Create(creation) => {
                let vault = (*creation).check().map_or(vault(0), |checked| *checked.vault());
                self.lookups.push_back(Lookup::Create(vault));
            }
            Output::JoinStatements { vault, tail } => {
                assert!(tail.iter().all(|statement| statement.vault == vault));
                self.lookups.push_back(Lookup::Join(vault));
            }
            Output::LoadStatements { vault, from } => self.lookups.push_back(Lookup::Statements(vault, from)),
            Output::LoadDigest(_) => self.lookups.push_back(Lookup::Digest),
            Output::LoadHeads(_) => self.lookups.push_back(Lookup::Heads),
            Output::MatchHeads { heads, .. } => self.lookups.push_back(Lookup::Match(heads)),
            Output::Append(append) => {
                assert!(self.members.contains(&append.vault), "members push");
                let bytes: usize = append.segments.iter().map(|segment| segment.bytes().len()).sum();
                assert_eq!(append.bytes, bytes);
                self.appends.push(append);
            }
            Output::Joined(vault) => assert!(self.members.insert(vault), "who has left joins"),
            Output::Left(vault) => {
                assert!(
                    self.members.remove(&vault) && !self.feeds.contains_key(&vault),
                    "its feed is closed before"
                );
            }
            Output::OpenFeed(feed) => {
                let vault = *feed.vault();
                assert!(self.members.contains(&vault), "members are fed");
                assert!(self.feeds.insert(vault, *feed).is_none(), "one feed for each vault");
            }
            Output::CloseFeed(vault) => assert!(self.feeds.remove(&vault).is_some(), "a feed that is open"),
            Output::Want(vault, want) => {
                let feed = self.feeds.get_mut(&vault).expect("a feed that is open");
                assert!(want.from <= want.to);
                let _ = feed.want(want);
            }
            Output::Ask(vault, number) => {
                self.feeds.get_mut(&vault).expect("a feed that is open").ask(number)
            }
            Output::Rendezvous(_) => {}
            Output::Close(_) => self.is_closed = true,
        }
    }
}

/// Few links from few places, and their meetings.
pub(super) fn meetings(data: &[u8]) {
    let mut script = Script::new(data);
    let mut now = Now { mono: Duration::ZERO, wall_ms: 1 };
    let mut table = Rendezvous::new(now);
    // Who opened and joined which, and since when, as far as anybody was told.
    let mut ready: BTreeMap<[u8; 16], (LinkNo, LinkNo, Duration)> = BTreeMap::new();
    let mut said: BTreeMap<([u8; 16], LinkNo), usize> = BTreeMap::new();
    while !script.is_over() {
        let link = LinkNo(script.below(6).into());
        let origin = Origin::of(IpAddr::V4(Ipv4Addr::new(10, 0, script.below(2), script.below(3))));
        let id = rendezvous(&mut script);
        let request = match script.below(6) {
            0 | 1 => RendezvousRequest::Open(id),
            2 => RendezvousRequest::Join(id),
            3 => RendezvousRequest::Data(id, vec![script.u8()]),
            4 => {
                let told = table.leave(now, link);
                assert!(told.iter().all(|frame| frame.link != link), "who left is told nothing");
                ready.retain(|_, (one, other, _)| *one != link && *other != link);
                continue;
            }
            _ => {
                now.mono += Duration::from_secs(script.u8().into());
                continue;
            }
        };
        let frames = table.handle(now, Asker { link, origin }, request.clone());
        assert!(frames.len() <= 2 && table.len() <= limits::RENDEZVOUS_MAX);
        let is_ready =
            |PeerFrame { frame, .. }: &PeerFrame| matches!(frame, RelayFrame::RendezvousReady { .. });
        if frames.iter().any(is_ready) {
            assert!(frames.len() == 2 && frames[0].link != link && frames[1].link == link);
            ready.insert(*id.as_bytes(), (frames[0].link, link, now.mono));
            said.retain(|(of, _), _| of != id.as_bytes());
        }
        for PeerFrame { link: to, frame } in &frames {
            if let RelayFrame::RendezvousData { .. } = frame {
                let (one, other, since) = ready.get(id.as_bytes()).expect("both are there");
                assert!([(*one, *other), (*other, *one)].contains(&(link, *to)), "to the other side");
                assert!(now.mono < *since + Duration::from_secs(limits::RENDEZVOUS_SECONDS));
                let count = said.entry((*id.as_bytes(), link)).or_default();
                *count += 1;
                assert!(*count <= limits::RENDEZVOUS_MESSAGES_MAX);
            }
        }
    }
}
