//! A relay's store, and what its driver does for one link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::RelayLimits;
use subrosa_protocol::ids::{Base, Chain, Digest, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq};
use subrosa_protocol::relay_link::{
    Admission, Append, Appended, ClassedHead, Created, Feed, FeedStep, HeadMatch, Input, KnownVault,
    LinkConfig, Now, Output, Refused, RelayLink, Stored,
};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Grant;
use subrosa_protocol::{labels, limits};

use crate::keys::{Key, statement, writes};

pub(crate) const EXPORTER: [u8; 32] = [0xe0; 32];

/// What is durable.
pub(crate) struct Store {
    life: u8,
    statements: Option<Vec<Statement>>,
    publics: BTreeMap<LogId, PublicKeyBytes>,
    /// In the order of rseq, from 1.
    segments: Vec<(SealedSegment, Chain)>,
}

impl Store {
    pub(crate) fn new(life: u8) -> Self {
        Self { life, statements: None, publics: BTreeMap::new(), segments: Vec::new() }
    }

    /// The database is lost; the relay's key is not.
    pub(crate) fn lose(&mut self) {
        *self = Self::new(self.life + 1);
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation::from_bytes([self.life; 16])
    }

    fn end(&self) -> Rseq {
        Rseq(self.segments.len() as u64)
    }

    /// Every write that it holds.
    pub(crate) fn writes(&self) -> BTreeSet<u64> {
        self.segments.iter().flat_map(|(segment, _)| writes(segment)).collect()
    }

    fn heads(&self, cursor: Rseq) -> Vec<Head> {
        let mut heads = BTreeMap::new();
        for (segment, chain) in &self.segments[..cursor.0.min(self.end().0) as usize] {
            let (log, seq) = (segment.header().log, segment.header().seq);
            heads.insert(log, Head { log, seq, chain: *chain });
        }
        heads.into_values().collect()
    }

    fn digest(&self, cursor: Rseq) -> Digest {
        digest(&self.heads(cursor))
    }

    fn chain(&self, log: LogId, seq: Seq) -> Option<Chain> {
        let found = self
            .segments
            .iter()
            .find(|(segment, _)| segment.header().log == log && segment.header().seq == seq);
        found.map(|(_, chain)| *chain)
    }

    /// Verifies and appends; gives the range of new rseq as well.
    fn append(&mut self, append: Append) -> (Appended, Option<(Rseq, Rseq)>) {
        let first = Rseq(self.end().0 + 1);
        let (mut entries, mut refused): (Vec<Head>, Vec<Refused>) = (Vec::new(), Vec::new());
        let mut rseq = Rseq(0);
        let introduced: BTreeMap<LogId, PublicKeyBytes> =
            append.introduced.iter().map(|log| (LogId::of(&log.key.public), log.key.public)).collect();
        for segment in append.segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if refused.iter().any(|refused| refused.log == log) {
                continue;
            }
            match self.append_one(&append.vault, &introduced, segment) {
                Ok((chain, at)) => {
                    rseq = rseq.max(at);
                    entries.push(Head { log, seq, chain });
                }
                Err(code) => refused.push(Refused { code, retry_after_secs: 0, log, seq }),
            }
        }
        let new = (self.end() >= first).then(|| (first, self.end()));
        (Appended { vault: append.vault, bytes: append.bytes, entries, rseq, refused }, new)
    }

    fn append_one(
        &mut self,
        vault: &subrosa_protocol::ids::VaultId,
        introduced: &BTreeMap<LogId, PublicKeyBytes>,
        segment: SealedSegment,
    ) -> Result<(Chain, Rseq), ErrorCode> {
        let (log, seq) = (segment.header().log, segment.header().seq);
        let public = *self.publics.get(&log).or(introduced.get(&log)).ok_or(ErrorCode::UnknownLog)?;
        if let Some(held) = self.chain(log, seq) {
            let at = self.segments.iter().position(|(_, chain)| *chain == held).unwrap();
            let same = segment.preimage(vault).chain() == held;
            return if same { Ok((held, Rseq(at as u64 + 1))) } else { Err(ErrorCode::Conflict) };
        }
        let prev = match seq.0.checked_sub(1) {
            None => Chain::ZERO,
            Some(before) => self.chain(log, Seq(before)).ok_or(ErrorCode::Gap)?,
        };
        let chain = segment.verify(vault, &public).map_err(|_| ErrorCode::BadSignature)?;
        if segment.header().prev != prev {
            return Err(ErrorCode::Conflict);
        }
        self.publics.insert(log, public);
        self.segments.push((segment, chain));
        Ok((chain, self.end()))
    }
}

/// The relay's end of a link.
pub(crate) struct Serving {
    pub(crate) machine: RelayLink,
    pub(crate) control: VecDeque<Bytes>,
    pub(crate) streams: BTreeMap<u64, VecDeque<Option<Bytes>>>,
    pub(crate) appends: VecDeque<Append>,
    feed: Option<(u64, Feed)>,
    next_stream: u64,
}

impl Serving {
    pub(crate) fn new(now: Duration, store: &Store) -> Self {
        let config = LinkConfig {
            exporter: EXPORTER,
            incarnation: store.incarnation(),
            limits: RelayLimits {
                segment_bytes_max: limits::SEGMENT_BYTES_MAX as u32,
                vaults_max: limits::VAULTS_PER_LINK_MAX as u16,
            },
            relay: Key::new(5).public(),
            admission: Admission::Closed,
        };
        Self {
            machine: RelayLink::new(at(now), config),
            control: VecDeque::new(),
            streams: BTreeMap::new(),
            appends: VecDeque::new(),
            feed: None,
            next_stream: 3,
        }
    }

    pub(crate) fn give(&mut self, now: Duration, store: &mut Store, input: Input) {
        self.machine.handle(at(now), input).unwrap();
        while let Some(output) = self.machine.poll() {
            if let Some(answer) = self.perform(store, output) {
                self.machine.handle(at(now), answer).unwrap();
            }
        }
    }

    fn perform(&mut self, store: &mut Store, output: Output) -> Option<Input> {
        let state = |statements: &Vec<Statement>| KnownVault {
            statements: statements.as_slice().into(),
            quota_bytes: 1 << 30,
            used_bytes: 0,
        };
        match output {
            Output::Send(frame) => self.control.push_back(frame.encode().slice(4..)),
            Output::LoadVault(_) => return Some(Input::Vault(store.statements.as_ref().map(state))),
            Output::Create(creation) => {
                let checked = creation.check().unwrap();
                let statements = store.statements.get_or_insert_with(|| checked.statements().to_vec());
                let state = state(statements);
                return Some(Input::Created(Ok(Created { state, grant: grant() })));
            }
            Output::LoadStatements { from, .. } => {
                let chain = store.statements.as_deref().unwrap_or_default();
                let from = usize::try_from(from.0).unwrap();
                return Some(Input::Statements(chain.iter().skip(from).map(Statement::encode).collect()));
            }
            Output::LoadDigest(_) => {
                let last = store.end();
                return Some(Input::Digest { last, digest: store.digest(last) });
            }
            Output::LoadHeads(_) => {
                let head = |head| ClassedHead { head, base: Base::WHOLE, class: Class::Data };
                return Some(Input::Heads(store.heads(store.end()).into_iter().map(head).collect()));
            }
            Output::MatchHeads { heads, .. } => {
                let held: BTreeMap<LogId, Seq> =
                    store.heads(store.end()).into_iter().map(|head| (head.log, head.seq)).collect();
                let matched = heads.into_iter().map(|client| HeadMatch {
                    client,
                    last: held.get(&client.log).copied(),
                    chain_there: store
                        .chain(client.log, client.seq)
                        .map(|chain| *chain.as_bytes().first_chunk().unwrap()),
                });
                return Some(Input::Matched(matched.collect()));
            }
            Output::Append(append) => self.appends.push_back(append),
            Output::OpenFeed(feed) => {
                self.next_stream += 4;
                self.streams.insert(self.next_stream, VecDeque::new());
                self.feed = Some((self.next_stream, *feed));
            }
            Output::CloseFeed(_) => {
                if let Some((stream, _)) = self.feed.take() {
                    self.streams.get_mut(&stream).unwrap().push_back(None);
                }
            }
            Output::Want(_, want) => {
                if let Some((_, feed)) = &mut self.feed {
                    assert!(feed.want(want), "a client asks for no more than a feed takes");
                }
            }
            Output::Ask(_, number) => {
                if let Some((_, feed)) = &mut self.feed {
                    feed.ask(number);
                }
            }
            Output::Close(code) => panic!("the relay ends a link: {code}"),
            Output::Joined(_) | Output::Left(_) | Output::JoinStatements { .. } | Output::Rendezvous(_) => {}
        }
        None
    }

    /// Commits one append; others hear of it through [`Serving::wake`].
    pub(crate) fn commit(&mut self, now: Duration, store: &mut Store) {
        let Some(append) = self.appends.pop_front() else { return };
        let (appended, new) = store.append(append);
        if let (Some((first, last)), Some((_, feed))) = (new, &mut self.feed) {
            feed.pushed_here(first, last);
        }
        self.give(now, store, Input::Appended(appended));
    }

    pub(crate) fn wake(&mut self) {
        if let Some((_, feed)) = &mut self.feed {
            feed.wake();
        }
    }

    /// Whether the feed has something to read or to send.
    pub(crate) fn feeds(&self) -> bool {
        self.feed.as_ref().is_some_and(|(_, feed)| feed.step() != FeedStep::Wait)
    }

    /// One step of the feed.
    pub(crate) fn pump(&mut self, store: &Store) {
        let Some((stream, feed)) = &mut self.feed else { return };
        let offer = |feed: &mut Feed, at: usize, segment: &SealedSegment| {
            let (header, bytes) = (*segment.header(), &segment.bytes()[..]);
            let public = &store.publics[&header.log];
            feed.offer(Stored { rseq: Rseq(at as u64 + 1), header, bytes, public, base: Base::WHOLE })
                .is_break()
        };
        match feed.step() {
            FeedStep::Wait => return,
            FeedStep::Scan { after, class } => {
                let rest = store.segments.iter().enumerate().skip(after.0 as usize);
                let mut broken = false;
                for (at, (segment, _)) in rest {
                    if class.is_none_or(|class| segment.header().kind.class() == class) {
                        broken = offer(feed, at, segment);
                    }
                    if broken {
                        break;
                    }
                }
                if !broken {
                    feed.scanned(store.end(), store.digest(store.end()));
                }
            }
            FeedStep::Range(want) => {
                for (at, (segment, _)) in store.segments.iter().enumerate() {
                    let header = segment.header();
                    if header.log == want.log && (want.from..=want.to).contains(&header.seq) {
                        let _ = offer(feed, at, segment);
                    }
                }
                feed.ranged();
            }
        }
        let mut bytes = feed.take();
        let frames = self.streams.get_mut(stream).unwrap();
        while !bytes.is_empty() {
            let len = bytes.get_u32() as usize;
            frames.push_back(Some(bytes.split_to(len)));
        }
    }
}

/// The relay's word that the vault may live on it.
pub(crate) fn grant() -> Vec<u8> {
    let unsigned =
        Grant { vault: statement().vault, class: 0, signature: subrosa_protocol::ids::Signature::ZERO };
    let signature = Key::new(5).sign(labels::GRANT, &unsigned.signed_bytes());
    Grant { signature, ..unsigned }.encode()
}

fn at(now: Duration) -> Now {
    Now { mono: now, wall_ms: now.as_millis() as u64 }
}
