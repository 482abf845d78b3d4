//! A relay without threads, sockets or a runtime, for the simulator: the real store, verifier, committer, feeds and link
//! machines, each stepped by hand. Only there with the feature `testing`; no part of the API.
//!
//! What `link.rs`, `appender.rs`, `feed.rs` and `hub.rs` carry, a simulation carries here; it decides no more than they do.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use redb::Database;
pub use redb::StorageBackend;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{RelayFrame, RelayLimits};
use subrosa_protocol::ids::{Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::limits;
pub use subrosa_protocol::relay_link::Now;
use subrosa_protocol::relay_link::{
    Admission, Append, Asker, Created, Creation, Feed, FeedStep, Input, KnownVault, LinkConfig, LinkNo,
    Origin, Output, PeerFrame, RelayLink, Rendezvous, RendezvousRequest,
};

use crate::appender::commit::{Answer, Committed, Committer};
use crate::appender::news::{News, Untrue};
use crate::appender::verify::{Bases, Ground, Verified, Verifier};
use crate::config::{Config, Quotas};
use crate::feed::steps::{Mail, read};
use crate::hub::members::Members;
use crate::invites;
use crate::key::RelayKey;
use crate::store::{Damage, JoinedRow, LogStore, RedbStore, Scan, StoreError, VaultRow};

const MS_PER_DAY: u64 = 24 * 60 * 60 * 1000;
/// Pages that the database keeps in memory.
const CACHE_BYTES: usize = 1 << 20;

/// Makes the disk's view for one opening of the database.
pub type DiskOpener<B> = Box<dyn Fn() -> B + Send + Sync>;

/// Reads a row of the database with each decoder that there is, for fuzzing.
pub fn read_rows(row: &[u8]) {
    crate::store::read_rows(row);
}

/// Reads what an operator may have written: settings, an invite's id, a line of revoked ones. For fuzzing.
pub fn read_text(text: &str) {
    if let Ok(config) = Config::from_toml(text) {
        let written = config.to_toml().expect("what was read has a place in TOML");
        assert_eq!(Config::from_toml(&written).ok(), Some(config));
    }
    match invites::parse_id(text) {
        Ok(id) => assert!(invites::format_id(&id).eq_ignore_ascii_case(text)),
        Err(_) => invites::read_line(text),
    }
}

/// What a link of a relay puts on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimSent {
    /// A frame on the control stream, length prefix removed.
    Frame(Bytes),
    /// A frame on a feed's stream.
    Feed(u64, Bytes),
    /// The end of such a stream.
    FeedEnd(u64),
    /// The connection is over.
    Closed,
}

struct RunningFeed {
    stream: u64,
    feed: Feed,
    mail: Arc<Mail>,
}

struct Link {
    machine: RelayLink,
    feeds: BTreeMap<VaultId, RunningFeed>,
    sent: VecDeque<SimSent>,
}

/// A relay over a disk. See the module.
pub struct SimRelay {
    store: RedbStore,
    key: RelayKey,
    quotas: Quotas,
    verifier: Verifier,
    committer: Committer,
    news: News,
    members: Members<Arc<Mail>>,
    /// Where devices meet to pair; made when the first one asks.
    rendezvous: Option<Rendezvous>,
    links: BTreeMap<LinkNo, Link>,
    last_link: u64,
    last_stream: u64,
    asked: VecDeque<(LinkNo, Append)>,
    ready: Vec<(LinkNo, Verified)>,
}

impl SimRelay {
    /// Opens the database on a disk, or makes it. `pkcs8` is the relay's key, `fresh` the name of a new database's life;
    /// `vault_bytes` is each vault's quota, if not that of a relay as it comes.
    ///
    /// # Errors
    /// What the disk refuses; a key that is none is [`StoreError::Closed`].
    pub fn open<B: StorageBackend>(
        pkcs8: &[u8],
        disk: DiskOpener<B>,
        fresh: [u8; 16],
        vault_bytes: Option<u64>,
    ) -> Result<Self, StoreError> {
        let key = RelayKey::from_der(pkcs8).map_err(|_| StoreError::Closed)?;
        let quotas = quotas(vault_bytes);
        let open = move || Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(disk());
        let store = RedbStore::with_opener(Box::new(open), quotas.clone(), Incarnation::from_bytes(fresh))?;
        Ok(Self {
            store,
            key,
            quotas,
            verifier: Verifier::default(),
            committer: Committer::default(),
            news: News::default(),
            members: Members::default(),
            rendezvous: None,
            links: BTreeMap::new(),
            last_link: 0,
            last_stream: 0,
            asked: VecDeque::new(),
            ready: Vec::new(),
        })
    }

    /// The relay's public key, and the pin of it.
    #[must_use]
    pub fn identity(&self) -> (PublicKeyBytes, subrosa_protocol::ids::Pin) {
        (*self.key.public(), self.key.pin())
    }

    /// A new connection; the number of its link.
    pub fn connect(&mut self, now: Now, exporter: [u8; 32]) -> u64 {
        self.last_link += 1;
        let config = LinkConfig {
            exporter,
            incarnation: self.store.incarnation(),
            limits: RelayLimits {
                segment_bytes_max: Config::default().segment_bytes_max(),
                vaults_max: limits::VAULTS_PER_LINK_MAX as u16,
            },
            relay: *self.key.public(),
            admission: Admission::Open,
        };
        let machine = RelayLink::new(now, config);
        self.links
            .insert(LinkNo(self.last_link), Link { machine, feeds: BTreeMap::new(), sent: VecDeque::new() });
        self.last_link
    }

    /// The connection is gone.
    pub fn disconnect(&mut self, link: u64) {
        self.links.remove(&LinkNo(link));
        self.members.forget(LinkNo(link));
    }

    /// Whether a link's next frame may be handed in.
    #[must_use]
    pub fn accepts_frame(&self, link: u64) -> bool {
        self.links.get(&LinkNo(link)).is_some_and(|link| link.machine.accepts_frame())
    }

    /// A frame of the client.
    pub fn frame(&mut self, now: Now, link: u64, frame: Bytes) {
        self.input(now, LinkNo(link), Input::Frame(frame));
    }

    /// The next thing that a link puts on its connection.
    pub fn sent(&mut self, link: u64) -> Option<SimSent> {
        self.links.get_mut(&LinkNo(link))?.sent.pop_front()
    }

    /// The client reads no more of a feed.
    pub fn stop_feed(&mut self, link: u64, stream: u64) {
        let Some(of) = self.links.get_mut(&LinkNo(link)) else { return };
        of.feeds.retain(|_, feed| feed.stream != stream);
        of.sent.push_back(SimSent::FeedEnd(stream));
    }

    /// Takes the time to a link whose deadline has come.
    pub fn tick(&mut self, now: Now, link: u64) {
        let due = self.links.get(&LinkNo(link)).and_then(|link| link.machine.deadline());
        if due.is_some_and(|due| due <= now.mono) {
            self.input(now, LinkNo(link), Input::Timeout);
        }
    }

    /// Whether something waits for the verifier, and for the committer.
    #[must_use]
    pub fn waits(&self) -> (bool, bool) {
        (!self.asked.is_empty(), !self.ready.is_empty())
    }

    /// The verifier takes the next append.
    pub fn verify(&mut self, now: Now) {
        let Some((link, append)) = self.asked.pop_front() else { return };
        self.verifier.hear(self.news.take());
        let ground = Ground { store: &self.store, quotas: &self.quotas, bases: Bases::Refused };
        self.ready.push((link, self.verifier.verify(ground, now.mono, append)));
    }

    /// The committer takes all that is verified, and answers.
    pub fn commit(&mut self, now: Now) {
        let (links, group): (Vec<LinkNo>, Vec<Verified>) = self.ready.drain(..).unzip();
        let news = &mut self.news;
        let committed = self.committer.commit(&self.store, group, &mut |untrue| news.tell(untrue));
        let Committed { answers, grown, damaged } = committed;
        for (answer, link) in answers.iter().zip(&links) {
            let feed = self.links.get(link).and_then(|link| link.feeds.get(&answer.appended.vault));
            if let (Some((first, last)), Some(feed)) = (answer.own, feed) {
                feed.mail.pushed_here(first, last);
            }
        }
        for vault in &grown {
            self.members.feeds(vault).for_each(|mail| mail.grown());
        }
        for (Answer { appended, .. }, link) in answers.into_iter().zip(links) {
            self.input(now, link, Input::Appended(appended));
        }
        for damage in damaged {
            // What cannot be taken back is met again by whoever reads it.
            let _ = self.take_back(&damage);
        }
    }

    /// Runs one step of each of a link's feeds; says whether one did something.
    pub fn feed(&mut self, now: Now, link: u64) -> bool {
        let no = LinkNo(link);
        let vaults: Vec<VaultId> =
            self.links.get(&no).map(|link| link.feeds.keys().copied().collect()).unwrap_or_default();
        let mut moved = false;
        for vault in vaults {
            moved |= self.feed_one(now, no, vault);
        }
        moved
    }

    fn feed_one(&mut self, now: Now, no: LinkNo, vault: VaultId) -> bool {
        let Some(link) = self.links.get_mut(&no) else { return false };
        let Some(mut running) = link.feeds.remove(&vault) else { return false };
        let feed = &mut running.feed;
        running.mail.collect(feed);
        let step = feed.step();
        feed.set_room(feed.needed().max(limits::FEED_ROOM_BYTES));
        let failed = match read(&self.store, feed, step) {
            Ok(()) => false,
            Err(StoreError::Vault(damage)) => self.take_back(&damage).is_err(),
            Err(_) => true,
        };
        if failed {
            self.input(now, no, Input::FeedFailed(vault));
            return true;
        }
        let mut bytes = running.feed.take();
        let moved = step != FeedStep::Wait || !bytes.is_empty();
        let Some(link) = self.links.get_mut(&no) else { return moved };
        while let Some(len) = bytes.first_chunk().map(|len| u32::from_be_bytes(*len) as usize) {
            bytes.advance(4);
            link.sent.push_back(SimSent::Feed(running.stream, bytes.split_to(len)));
        }
        link.feeds.insert(vault, running);
        moved
    }

    fn take_back(&mut self, damage: &Damage) -> Result<(), StoreError> {
        self.store.take_back(damage)?;
        self.news.tell(Untrue::Vault(damage.vault));
        self.members.feeds(&damage.vault).for_each(|mail| mail.grown());
        Ok(())
    }

    /// The last segment of each log that is held of a vault.
    ///
    /// # Errors
    /// What the store says.
    pub fn heads(&self, vault: &VaultId) -> Result<BTreeMap<LogId, Seq>, StoreError> {
        let heads = self.store.heads(vault)?;
        Ok(heads.into_iter().map(|one| (one.head.log, one.head.seq)).collect())
    }

    /// How many bytes of segments are held of a vault.
    ///
    /// # Errors
    /// What the store says.
    pub fn used_bytes(&self, vault: &VaultId) -> Result<u64, StoreError> {
        Ok(self.store.vault(vault)?.map_or(0, |row| row.used_bytes))
    }

    /// Hands over the bytes of every segment of a vault.
    ///
    /// # Errors
    /// What the store says.
    pub fn segments(&self, vault: &VaultId, visit: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let all = Scan { after: Rseq(0), class: None };
        self.store.scan(vault, all, &mut |stored| {
            visit(stored.bytes);
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn input(&mut self, now: Now, no: LinkNo, input: Input) {
        let Some(link) = self.links.get_mut(&no) else { return };
        // An error ends the link; what is left to poll tells the peer why.
        let _ = link.machine.handle(now, input);
        while let Some(output) = self.links.get_mut(&no).and_then(|link| link.machine.poll()) {
            self.perform(now, no, output);
        }
    }

    fn perform(&mut self, now: Now, no: LinkNo, output: Output) {
        let Some(link) = self.links.get_mut(&no) else { return };
        match output {
            Output::Send(frame) => link.sent.push_back(SimSent::Frame(bare(&frame))),
            Output::Append(append) => self.asked.push_back((no, append)),
            Output::Joined(vault) => self.members.join(vault, no, None),
            Output::Left(vault) => self.members.leave(&vault, no),
            Output::OpenFeed(feed) => {
                self.last_stream += 1;
                let (vault, mail) = (*feed.vault(), Arc::new(Mail::default()));
                let running = RunningFeed { stream: self.last_stream, feed: *feed, mail: mail.clone() };
                link.feeds.insert(vault, running);
                self.members.join(vault, no, Some(mail));
            }
            Output::CloseFeed(vault) => {
                if let Some(feed) = link.feeds.remove(&vault) {
                    link.sent.push_back(SimSent::FeedEnd(feed.stream));
                }
                self.members.join(vault, no, None);
            }
            Output::Want(vault, want) => {
                if let Some(feed) = link.feeds.get(&vault) {
                    feed.mail.want(want);
                }
            }
            Output::Ask(vault, number) => {
                if let Some(feed) = link.feeds.get(&vault) {
                    feed.mail.ask(number);
                }
            }
            Output::Rendezvous(request) => self.meet(now, no, request),
            Output::Close(_) => link.sent.push_back(SimSent::Closed),
            lookup => {
                let answer = self.answer(now, no, lookup).unwrap_or(Input::Failed);
                self.input(now, no, answer);
            }
        }
    }

    /// Every link comes from this machine.
    fn meet(&mut self, now: Now, link: LinkNo, request: RendezvousRequest) {
        let asker = Asker { link, origin: Origin::of(IpAddr::V4(Ipv4Addr::LOCALHOST)) };
        let table = self.rendezvous.get_or_insert_with(|| Rendezvous::new(now));
        for PeerFrame { link, frame } in table.handle(now, asker, request) {
            self.input(now, link, Input::Deliver(frame));
        }
    }

    /// The meetings of a link are over: it is about to end.
    pub fn leave_meetings(&mut self, now: Now, link: u64) {
        let left = self.rendezvous.as_mut().map(|table| table.leave(now, LinkNo(link)));
        for PeerFrame { link, frame } in left.into_iter().flatten() {
            self.input(now, link, Input::Deliver(frame));
        }
    }

    fn answer(&mut self, now: Now, by: LinkNo, lookup: Output) -> Result<Input, StoreError> {
        Ok(match lookup {
            Output::LoadVault(vault) => {
                let row = self.store.vault(&vault)?;
                Input::Vault(row.map(|row| self.state(row)))
            }
            Output::Create(creation) => Input::Created(self.create(*creation)?),
            Output::LoadStatements { vault, from } => Input::Statements(self.store.statements(&vault, from)?),
            Output::JoinStatements { vault, tail } => {
                let day = u32::try_from(now.wall_ms / MS_PER_DAY).unwrap_or(u32::MAX);
                let joined = self.store.join_statements(&vault, &tail, day)?;
                let joined = joined.map(|JoinedRow { row, changed }| (self.state(row), changed));
                if let Ok((state, true)) = &joined {
                    self.statements_changed(now, vault, state, by);
                }
                Input::StatementStored(joined.map(|(state, _)| state))
            }
            Output::LoadDigest(vault) => {
                let (last, digest) = self.store.digest(&vault)?;
                Input::Digest { last, digest }
            }
            Output::LoadHeads(vault) => Input::Heads(self.store.heads(&vault)?),
            Output::MatchHeads { vault, heads } => Input::Matched(self.store.match_heads(&vault, &heads)?),
            _ => Input::Failed,
        })
    }

    fn create(&self, creation: Creation) -> Result<Result<Created, ErrorCode>, StoreError> {
        let checked = match creation.check() {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        Ok(self.store.create(&checked)?.and_then(|row| {
            let grant = self.key.grant(*checked.vault(), row.class).map_err(|_| ErrorCode::Internal)?;
            Ok(Created { state: self.state(row), grant: grant.encode() })
        }))
    }

    fn statements_changed(&mut self, now: Now, vault: VaultId, state: &KnownVault, by: LinkNo) {
        for link in self.members.others(&vault, by) {
            self.input(now, link, Input::StatementsChanged(vault, state.clone()));
        }
    }

    fn state(&self, row: VaultRow) -> KnownVault {
        let quota_bytes = self.quotas.of(row.class).vault_bytes;
        KnownVault { statements: row.statements.into(), quota_bytes, used_bytes: row.used_bytes }
    }
}

/// A frame without its length.
fn bare(frame: &RelayFrame) -> Bytes {
    let mut bytes = frame.encode();
    bytes.advance(4);
    bytes
}

/// Those of a relay that takes everything at any rate.
fn quotas(vault_bytes: Option<u64>) -> Quotas {
    let mut quotas = Quotas::default();
    for class in &mut quotas.class {
        class.vault_bytes = vault_bytes.unwrap_or(class.vault_bytes);
        (class.bytes_per_sec, class.segments_per_sec) = (1 << 40, 1 << 30);
    }
    quotas
}
