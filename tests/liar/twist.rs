//! What becomes of a frame on a link on which a lie is told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use subrosa_protocol::digest::digest as digest_of;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{ClientFrame, FeedFrame, RelayFrame, ShortHead, StatementsPart};
use subrosa_protocol::ids::{Base, Digest, Head, Incarnation, LogId, Rseq, VaultId};
use subrosa_protocol::segment::{Header, SealedSegment};
use subrosa_relay::testing::SimSent;

use super::forge::Forger;
use super::lie::Lie;
use super::malformed::{ignorable, is_of_feeds, malformed};
use super::world::{Hidden, World};

/// What goes on a connection; frames with their length.
pub(super) enum Put {
    Control(Bytes),
    Feed(u64, Bytes),
    FeedEnd(u64),
    Close,
    /// On the control stream, for ever.
    ControlWithoutEnd(Bytes),
    /// On a feed, for ever.
    FeedWithoutEnd(u64, Endless),
    /// On as many streams as there may be, all but its last byte.
    Unfinished(Bytes),
}

/// What a feed says for ever.
pub(super) type Endless = Box<dyn FnMut(u64) -> Vec<Bytes> + Send>;

/// What a link has said and heard so far.
#[derive(Default)]
pub(super) struct View {
    /// In the order of their proofs.
    vaults: Vec<VaultId>,
    /// What is fed on which stream.
    streams: BTreeMap<u64, VaultId>,
    /// Logs of which something was pushed here.
    authored: BTreeSet<LogId>,
    /// What each feed has said.
    said: BTreeMap<u64, Vec<Bytes>>,
    /// A frame that is sent once was sent.
    done: bool,
    count: u64,
}

/// What a lie is made of.
pub(super) struct Ground<'a> {
    pub(super) world: &'a World,
    pub(super) forger: &'a Forger,
    /// What is withheld.
    pub(super) hidden: Option<Hidden>,
    /// The number of the link.
    pub(super) link: u64,
}

impl Ground<'_> {
    /// What is withheld on a link: nothing of who wrote it.
    fn hidden_on(&self, view: &View) -> Option<Hidden> {
        self.hidden.filter(|hidden| !view.authored.contains(&hidden.log))
    }
}

/// What becomes of a frame of the client: what the relay hears instead, and what the client does.
pub(super) fn up(lie: Lie, view: &mut View, frame: Bytes) -> (Option<Bytes>, Vec<Put>) {
    let Ok(decoded) = ClientFrame::decode(&frame) else { return (Some(frame), Vec::new()) };
    if let ClientFrame::Auth { vault, .. } = &decoded
        && !view.vaults.contains(vault)
    {
        view.vaults.push(*vault);
    }
    if let ClientFrame::Push { segments, .. } = &decoded {
        view.authored.extend(segments.iter().map(|segment| segment.header().log));
    }
    match (lie, decoded) {
        (Lie::Stall, _) => (None, Vec::new()),
        (Lie::Greet, said) if !matches!(said, ClientFrame::Hello { .. }) => (None, Vec::new()),
        (Lie::Forget, ClientFrame::Push { vault, segments }) => {
            view.count += segments.len() as u64;
            let entries = segments.iter().map(|segment| head_of(&vault, segment)).collect();
            (None, vec![control(&RelayFrame::Ack { vault, rseq: Rseq(view.count), entries })])
        }
        (Lie::Conflict, ClientFrame::Push { vault, segments }) => {
            let Some(Header { log, seq, .. }) = segments.first().map(|segment| *segment.header()) else {
                return (None, Vec::new());
            };
            let refusal = Refusal::segment(ErrorCode::Conflict, vault, log, seq);
            (None, vec![control(&RelayFrame::Error(refusal))])
        }
        // So that heads are shown.
        (Lie::InventHeads, ClientFrame::Subscribe { vault, .. }) => {
            let (incarnation, cursor, digest) = (Incarnation::ZERO, Rseq(0), Digest::ZERO);
            let afresh = ClientFrame::Subscribe { vault, incarnation, cursor, digest };
            (Some(afresh.encode().slice(4..)), Vec::new())
        }
        (Lie::ReadyForNobody, ClientFrame::RendezvousOpen { id }) => {
            (Some(frame), vec![control(&RelayFrame::RendezvousReady { id })])
        }
        (Lie::EchoMessages, ClientFrame::RendezvousData { id, message }) => {
            (None, vec![control(&RelayFrame::RendezvousData { id, message })])
        }
        _ => (Some(frame), Vec::new()),
    }
}

fn control(frame: &RelayFrame) -> Put {
    Put::Control(frame.encode())
}

fn head_of(vault: &VaultId, segment: &SealedSegment) -> Head {
    let Header { log, seq, .. } = *segment.header();
    Head { log, seq, chain: segment.preimage(vault).chain() }
}

fn with_length(frame: &[u8]) -> Bytes {
    let length = u32::try_from(frame.len()).expect("frames are far below 4 GiB");
    [&length.to_be_bytes(), frame].concat().into()
}

/// What becomes of what the relay sends.
pub(super) fn down(lie: Lie, view: &mut View, ground: &Ground<'_>, sent: SimSent) -> Vec<Put> {
    match sent {
        SimSent::Frame(frame) => match RelayFrame::decode(&frame) {
            Ok(decoded) => down_control(lie, view, ground, decoded),
            Err(_) => vec![Put::Control(with_length(&frame))],
        },
        SimSent::Feed(stream, frame) => match FeedFrame::decode(&frame) {
            Ok(decoded) => {
                if let FeedFrame::Start { vault, .. } = &decoded {
                    view.streams.insert(stream, *vault);
                }
                let feed =
                    Feed { stream, vault: view.streams.get(&stream).copied().unwrap_or(VaultId::ZERO) };
                feed.down(lie, view, ground, decoded)
            }
            Err(_) => vec![Put::Feed(stream, with_length(&frame))],
        },
        SimSent::FeedEnd(stream) => vec![Put::FeedEnd(stream)],
        SimSent::Closed => vec![Put::Close],
    }
}

fn down_control(lie: Lie, view: &mut View, ground: &Ground<'_>, mut frame: RelayFrame) -> Vec<Put> {
    let mut also = Vec::new();
    match (lie, &mut frame) {
        (Lie::NeverAcknowledge, RelayFrame::Ack { .. }) => return Vec::new(),
        (Lie::WithholdInAll, RelayFrame::Heads { vault, heads, .. }) => {
            if let Some(hidden) = ground.hidden_on(view) {
                let shown = ground.world.heads_without(vault, hidden);
                *heads = shown.into_values().map(ShortHead::from).collect();
            }
        }
        (Lie::InventHeads, RelayFrame::Heads { heads, .. }) => {
            for head in heads {
                *head = ShortHead { seq: head.seq.next(), chain: [6; 16], ..*head };
            }
        }
        (Lie::AnotherIncarnation, RelayFrame::Hello { incarnation, .. }) => {
            *incarnation = another_incarnation(ground.link);
        }
        (Lie::InventTime, RelayFrame::Hello { now_ms, .. }) => *now_ms = 0,
        (Lie::InventCursor, RelayFrame::Ack { rseq, .. }) => *rseq = Rseq(u64::MAX),
        (Lie::InventQuota, RelayFrame::Vault { quota_bytes, used_bytes, .. }) => {
            (*quota_bytes, *used_bytes) = (0, u64::MAX);
        }
        (Lie::FalseGrant, RelayFrame::Grant { grant }) => {
            *grant = Forger::grant(view.vaults.first().copied().unwrap_or(VaultId::ZERO));
        }
        (Lie::AlterStatements, RelayFrame::Statements(part)) => {
            for byte in part.statements.iter_mut().filter_map(|statement| statement.last_mut()) {
                *byte ^= 1;
            }
        }
        (Lie::ShortenStatements, RelayFrame::Statements(part)) if !part.statements.is_empty() => {
            part.statements.remove(0);
        }
        (Lie::Malformed { tag: 0x81, how }, RelayFrame::Hello { .. }) => {
            return vec![Put::Control(malformed(0x81, how, VaultId::ZERO, ground.forger))];
        }
        (Lie::Malformed { tag, how }, RelayFrame::Vault { vault, .. }) if !is_of_feeds(tag) && !view.done => {
            view.done = true;
            also.push(Put::Control(malformed(tag, how, *vault, ground.forger)));
        }
        (Lie::FloodControl, RelayFrame::Vault { .. }) => also.push(Put::ControlWithoutEnd(ignorable(0xbf))),
        (Lie::FloodStatements, RelayFrame::Statements(part)) => {
            part.last = false;
            return vec![Put::ControlWithoutEnd(frame_of(part.vault))];
        }
        (Lie::Unfinished, RelayFrame::Hello { .. }) => also.push(Put::Unfinished(ignorable(0xc2))),
        (Lie::AlterMessages, RelayFrame::RendezvousData { message, .. }) => {
            if let Some(byte) = message.last_mut() {
                *byte ^= 1;
            }
        }
        (Lie::RepeatMessages, RelayFrame::RendezvousData { .. }) => {
            also.extend((0..8).map(|_| control(&frame)));
        }
        _ => {}
    }
    also.insert(0, control(&frame));
    also
}

/// A part of a chain that has none, and is not the last.
fn frame_of(vault: VaultId) -> Bytes {
    let (last, statements) = (false, Vec::new());
    RelayFrame::Statements(StatementsPart { vault, last, statements }).encode()
}

fn another_incarnation(link: u64) -> Incarnation {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&link.to_be_bytes());
    Incarnation::from_bytes(bytes)
}

/// A frame's feed.
#[derive(Clone, Copy)]
struct Feed {
    stream: u64,
    vault: VaultId,
}

impl Feed {
    fn put(self, frame: &FeedFrame) -> Put {
        Put::Feed(self.stream, frame.encode())
    }

    fn down(self, lie: Lie, view: &mut View, ground: &Ground<'_>, mut frame: FeedFrame) -> Vec<Put> {
        if let Lie::Withhold | Lie::WithholdInAll = lie
            && let FeedFrame::Segment { segment, .. } | FeedFrame::Ahead { segment } = &frame
            && ground.hidden_on(view).is_some_and(|hidden| hidden.hides(segment))
        {
            return Vec::new();
        }
        match &mut frame {
            FeedFrame::Start { vault, incarnation } => match lie {
                Lie::InventIncarnation => *incarnation = Incarnation::from_bytes([8; 16]),
                Lie::AnotherIncarnation => *incarnation = another_incarnation(ground.link),
                Lie::SwapVaults => {
                    let at = view.vaults.iter().position(|one| one == vault);
                    let other = at.and_then(|at| view.vaults.get(at ^ 1));
                    *vault = other.copied().unwrap_or(*vault);
                }
                Lie::Malformed { tag: 0xc0, how } => {
                    return vec![Put::Feed(self.stream, malformed(0xc0, how, *vault, ground.forger))];
                }
                _ => {}
            },
            FeedFrame::Segment { rseq, segment } => match lie {
                Lie::InventCursor => *rseq = Rseq(u64::MAX),
                Lie::Reverse => {
                    view.count += 1;
                    *rseq = Rseq(1 << 40 >> view.count.min(40));
                }
                Lie::Renumber => *segment = renumbered(segment),
                _ => {}
            },
            FeedFrame::Ahead { segment } if lie == Lie::Renumber => *segment = renumbered(segment),
            FeedFrame::CaughtUp { rseq, digest } => match lie {
                Lie::InventCursor => *rseq = Rseq(u64::MAX),
                Lie::InventDigest => *digest = Digest::from_bytes([8; 32]),
                Lie::WithholdInAll => {
                    if let Some(hidden) = ground.hidden_on(view) {
                        let shown = ground.world.heads_without(&self.vault, hidden);
                        *digest = digest_of(&shown.into_values().collect::<Vec<_>>());
                    }
                }
                _ => {}
            },
            _ => {}
        }
        let also = self.behind(lie, view, ground, &frame);
        view.said.entry(self.stream).or_default().push(frame.encode());
        std::iter::once(self.put(&frame)).chain(also).collect()
    }

    /// What comes behind a frame.
    fn behind(self, lie: Lie, view: &mut View, ground: &Ground<'_>, frame: &FeedFrame) -> Vec<Put> {
        let (stream, vault, forger) = (self.stream, self.vault, ground.forger);
        let is_start = matches!(frame, FeedFrame::Start { .. });
        let is_caught_up = matches!(frame, FeedFrame::CaughtUp { .. });
        let log = FeedFrame::Log { public: *forger.public(), base: Base::WHOLE };
        let for_ever = |endless: Endless| vec![Put::FeedWithoutEnd(stream, endless)];
        match lie {
            Lie::InventLogs if is_start => {
                let segment = FeedFrame::Ahead { segment: forger.segment(&vault, 0, 64) };
                vec![self.put(&log), self.put(&segment)]
            }
            Lie::Malformed { tag, how } if is_start && is_of_feeds(tag) => {
                vec![Put::Feed(stream, malformed(tag, how, vault, forger))]
            }
            Lie::Replay if is_caught_up => {
                let said = view.said.get(&stream).into_iter().flatten().skip(1);
                let again = said.map(|frame| Put::Feed(stream, frame.clone()));
                again.chain([self.put(frame)]).collect()
            }
            Lie::Endless if is_caught_up => for_ever(Box::new(move |rseq| made_up(&vault, rseq))),
            Lie::FloodFeeds if is_caught_up => {
                let frame = ignorable(0xff);
                for_ever(Box::new(move |_| vec![frame.clone()]))
            }
            Lie::FloodLogs if is_start => for_ever(Box::new(move |_| {
                vec![FeedFrame::Log { public: *Forger::new().public(), base: Base::WHOLE }.encode()]
            })),
            Lie::Large if is_caught_up => {
                let segment = forger.segment(&vault, 0, SEGMENT_BODY_BYTES);
                let log = log.encode();
                for_ever(Box::new(move |rseq| {
                    let segment = segment.clone();
                    vec![log.clone(), FeedFrame::Segment { rseq: Rseq(rseq), segment }.encode()]
                }))
            }
            _ => Vec::new(),
        }
    }
}

/// Body of a segment that is as large as there may be.
const SEGMENT_BODY_BYTES: usize = (2 << 20) - 512;

/// A segment of a log that nobody made, as a feed tells it.
fn made_up(vault: &VaultId, rseq: u64) -> Vec<Bytes> {
    let forger = Forger::new();
    let segment = forger.segment(vault, 0, 64);
    let log = FeedFrame::Log { public: *forger.public(), base: Base::WHOLE };
    vec![log.encode(), FeedFrame::Segment { rseq: Rseq(rseq), segment }.encode()]
}

/// The same segment, as if it stood at another place of its log.
fn renumbered(segment: &SealedSegment) -> SealedSegment {
    let header = *segment.header();
    let header = Header { seq: header.seq.next(), ..header };
    SealedSegment::assemble(header, segment.body(), &segment.signature())
}
