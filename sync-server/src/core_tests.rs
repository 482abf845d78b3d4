//! Verifier, committer, feeds and hub, driven by hand: one thread, no runtime, and every order chosen.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame, RelayLimits, Role, VERSION};
use subrosa_protocol::ids::{Base, Digest, Incarnation, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::relay_link::{
    Admission, Append, Feed, FeedStep, Input, LinkConfig, LinkNo, Now, Output, RelayLink, digest_of_nothing,
};
use subrosa_protocol::segment::SealedSegment;

use crate::appender::commit::{Answer, Committed, Committer};
use crate::appender::news::{News, Untrue};
use crate::appender::verify::{Bases, Ground, Verified, Verifier};
use crate::config::{Config, Quotas};
use crate::feed::steps::{Mail, read};
use crate::fixture::{Log, Vault};
use crate::hub::members::Members;
use crate::store::{Damage, LogStore, RedbStore, StoreError, on_a_disk};

const NOW: Now = Now { mono: Duration::from_secs(1), wall_ms: 0 };
const EXPORTER: [u8; 32] = [3; 32];

/// A link with what its driver holds for it.
struct Link {
    no: LinkNo,
    machine: RelayLink,
    feed: Option<(Feed, Arc<Mail>)>,
    sent: VecDeque<RelayFrame>,
}

/// A relay without threads: what it has to do next is called by name.
struct Rig {
    store: RedbStore,
    quotas: Quotas,
    verifier: Verifier,
    committer: Committer,
    news: News,
    members: Members<Arc<Mail>>,
    links: Vec<Link>,
    /// Appends that links have asked for.
    asked: VecDeque<(usize, Append)>,
    /// Those that are verified.
    ready: Vec<(usize, Verified)>,
    /// What commits met.
    damaged: Vec<Damage>,
}

fn open(path: &Path, quotas: &Quotas) -> RedbStore {
    RedbStore::open(path, quotas.clone(), 1 << 20, Incarnation::from_bytes([1; 16])).unwrap()
}

impl Rig {
    fn new(path: &Path, quotas: Quotas) -> Self {
        Self::on(open(path, &quotas), quotas)
    }

    fn on(store: RedbStore, quotas: Quotas) -> Self {
        Self {
            store,
            quotas,
            verifier: Verifier::default(),
            committer: Committer::default(),
            news: News::default(),
            members: Members::default(),
            links: Vec::new(),
            asked: VecDeque::new(),
            ready: Vec::new(),
            damaged: Vec::new(),
        }
    }

    fn link(&mut self) -> usize {
        let limits = RelayLimits { segment_bytes_max: Config::default().segment_bytes_max(), vaults_max: 64 };
        let config = LinkConfig {
            exporter: EXPORTER,
            incarnation: self.store.incarnation(),
            limits,
            relay: PublicKeyBytes::from_bytes([4; 65]),
            admission: Admission::Open,
        };
        let (machine, no) = (RelayLink::new(NOW, config), LinkNo(self.links.len() as u64));
        self.links.push(Link { no, machine, feed: None, sent: VecDeque::new() });
        self.frame(
            self.links.len() - 1,
            &ClientFrame::Hello { versions: vec![VERSION], caps: 0, extensions: Extensions::new() },
        );
        self.links.len() - 1
    }

    fn frame(&mut self, link: usize, frame: &ClientFrame) {
        let mut bytes: Bytes = frame.encode();
        bytes.advance(4);
        self.input(link, Input::Frame(bytes));
    }

    fn input(&mut self, link: usize, input: Input) {
        self.links[link].machine.handle(NOW, input).unwrap();
        while let Some(output) = self.links[link].machine.poll() {
            self.perform(link, output);
        }
    }

    fn perform(&mut self, link: usize, output: Output) {
        let no = self.links[link].no;
        match output {
            Output::Send(frame) => self.links[link].sent.push_back(frame),
            Output::Append(append) => self.asked.push_back((link, append)),
            Output::Joined(vault) => self.members.join(vault, no, None),
            Output::OpenFeed(feed) => {
                let mail = Arc::new(Mail::default());
                self.members.join(*feed.vault(), no, Some(Arc::clone(&mail)));
                self.links[link].feed = Some((*feed, mail));
            }
            Output::LoadVault(vault) => {
                let row = self.store.vault(&vault).unwrap();
                let state = row.map(|row| subrosa_protocol::relay_link::KnownVault {
                    statements: row.statements.into(),
                    quota_bytes: 0,
                    used_bytes: row.used_bytes,
                });
                self.input(link, Input::Vault(state));
            }
            Output::Create(creation) => {
                self.store.create(&creation.check().unwrap()).unwrap().unwrap();
            }
            Output::LoadDigest(vault) => {
                let (last, digest) = self.store.digest(&vault).unwrap();
                self.input(link, Input::Digest { last, digest });
            }
            other => panic!("{other:?}"),
        }
    }

    /// Proves membership of a vault; creates it on the first link.
    fn join(&mut self, link: usize, vault: &Vault) {
        let payload = [&EXPORTER[..], vault.id.as_bytes(), &[Role::Writer as u8]].concat();
        let signature = vault.write.sign(labels::AUTH, &payload);
        let public = vault.write.public();
        let auth = ClientFrame::Auth { vault: vault.id, role: Role::Writer, public, signature };
        self.frame(link, &auth);
        if self.store.vault(&vault.id).unwrap().is_none() {
            for part in vault.parts() {
                self.frame(link, &part);
            }
            self.frame(link, &ClientFrame::Create { vault: vault.id, credential: Credential::None });
            self.links.pop(); // it waits for a grant, which is not what is tested
            let again = self.link();
            return self.join(again, vault);
        }
        for log in [&vault.control, &vault.data] {
            self.frame(link, &vault.log_frame(log));
        }
        let (cursor, digest, incarnation) = (Rseq(0), digest_of_nothing(), self.store.incarnation());
        self.frame(link, &ClientFrame::Subscribe { vault: vault.id, incarnation, cursor, digest });
        self.links[link].sent.clear();
    }

    fn push(&mut self, link: usize, vault: &VaultId, segments: Vec<SealedSegment>) {
        self.frame(link, &ClientFrame::Push { vault: *vault, segments });
    }

    /// The verifier takes one append.
    fn verify(&mut self) {
        let (link, append) = self.asked.pop_front().unwrap();
        self.verifier.hear(self.news.take());
        let ground = Ground { store: &self.store, quotas: &self.quotas, bases: Bases::Refused };
        self.ready.push((link, self.verifier.verify(ground, NOW.mono, append)));
    }

    /// The committer takes all that is verified, and answers.
    fn commit(&mut self) {
        let (links, group): (Vec<usize>, Vec<Verified>) = self.ready.drain(..).unzip();
        let news = &mut self.news;
        let committed = self.committer.commit(&self.store, group, &mut |untrue| news.tell(untrue));
        let Committed { answers, grown, damaged } = committed;
        for (answer, link) in answers.iter().zip(&links) {
            if let (Some((first, last)), Some((_, mail))) = (answer.own, &self.links[*link].feed) {
                mail.pushed_here(first, last);
            }
        }
        for vault in &grown {
            self.members.feeds(vault).for_each(|mail| mail.grown());
        }
        for (Answer { appended, .. }, link) in answers.into_iter().zip(links) {
            self.input(link, Input::Appended(appended));
        }
        self.damaged.extend(damaged);
    }

    /// What whoever meets damage does.
    fn take_back(&mut self, damage: &Damage) {
        self.store.take_back(damage).unwrap();
        self.news.tell(Untrue::Vault(damage.vault));
        self.members.feeds(&damage.vault).for_each(|mail| mail.grown());
    }

    /// Runs a link's feed until it waits.
    fn feed(&mut self, link: usize) -> Vec<FeedFrame> {
        let (mut feed, mail) = self.links[link].feed.take().unwrap();
        let mut fed = Vec::new();
        loop {
            mail.collect(&mut feed);
            let step = feed.step();
            match read(&self.store, &mut feed, step) {
                Ok(()) => {}
                Err(StoreError::Vault(damage)) => self.take_back(&damage),
                Err(error) => panic!("{error}"),
            }
            let mut bytes = feed.take();
            while !bytes.is_empty() {
                let len = bytes.get_u32() as usize;
                fed.push(FeedFrame::decode(&bytes.split_to(len)).unwrap());
            }
            if step == FeedStep::Wait {
                self.links[link].feed = Some((feed, mail));
                return fed;
            }
        }
    }

    /// Pushes one segment through; the code that it was refused with.
    fn pushed(&mut self, link: usize, vault: &VaultId, segment: SealedSegment) -> Option<ErrorCode> {
        self.push(link, vault, vec![segment]);
        self.verify();
        self.commit();
        self.refused(link).pop().map(|(code, _)| code)
    }

    /// What a link was refused since it was asked last.
    fn refused(&mut self, link: usize) -> Vec<(ErrorCode, Seq)> {
        let refusal = |frame| match frame {
            RelayFrame::Error(refusal) => Some((refusal.code, refusal.seq)),
            _ => None,
        };
        self.links[link].sent.drain(..).filter_map(refusal).collect()
    }
}

fn small(bytes: u64) -> Quotas {
    let mut quotas = Quotas::default();
    quotas.class[0].vault_bytes = bytes;
    quotas
}

fn caught_up(frames: &[FeedFrame]) -> Option<(Rseq, Digest)> {
    match frames.last() {
        Some(FeedFrame::CaughtUp { rseq, digest }) => Some((*rseq, *digest)),
        _ => None,
    }
}

fn seqs(frames: &[FeedFrame]) -> Vec<u64> {
    let seq = |frame: &FeedFrame| match frame {
        FeedFrame::Segment { segment, .. } => Some(segment.header().seq.0),
        _ => None,
    };
    frames.iter().filter_map(seq).collect()
}

#[test]
fn what_one_link_pushes_another_is_fed_with_one_thread_and_no_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&dir.path().join("relay.redb"), Quotas::default());
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    let b = rig.link();
    rig.join(b, &vault);
    assert_eq!(caught_up(&rig.feed(a)), Some((Rseq(0), digest_of_nothing())));
    assert_eq!(caught_up(&rig.feed(b)), Some((Rseq(0), digest_of_nothing())));

    let segments = vec![vault.data.segment(&id, 100), vault.data.segment(&id, 100)];
    rig.push(a, &id, segments);
    assert_eq!(rig.feed(b), [], "not verified");
    rig.verify();
    assert_eq!(
        (rig.feed(b), rig.links[a].sent.len()),
        (vec![], 0),
        "not durable: not shown, not acknowledged"
    );
    rig.commit();
    let now = digest(&[vault.data.head()]);
    let Some(RelayFrame::Ack { rseq: Rseq(2), entries, .. }) = rig.links[a].sent.pop_front() else {
        panic!()
    };
    assert_eq!(entries.len(), 2);
    let frames = rig.feed(b);
    assert_eq!((seqs(&frames), caught_up(&frames)), (vec![0, 1], Some((Rseq(2), now))));
    assert_eq!(rig.feed(a), [FeedFrame::CaughtUp { rseq: Rseq(2), digest: now }], "its own is not fed back");
}

#[test]
fn after_a_full_vault_refused_a_push_the_reason_stays_and_pushing_goes_on_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    let mut rig = Rig::new(&path, small(2_000));
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    let segments: Vec<SealedSegment> = (0..5).map(|_| vault.data.segment(&id, 1_000)).collect();
    assert_eq!(rig.pushed(a, &id, segments[0].clone()), None);
    for _ in 0..3 {
        assert_eq!(rig.pushed(a, &id, segments[1].clone()), Some(ErrorCode::QuotaBytes));
    }
    // Three in flight at once, in one commit and in two: what was verified behind the refused one gets its reason.
    let quota = |seq| (ErrorCode::QuotaBytes, Seq(seq));
    for first in [3, 1] {
        for segment in &segments[1..4] {
            rig.push(a, &id, vec![segment.clone()]);
            rig.verify();
        }
        let rest = rig.ready.split_off(first);
        rig.commit();
        rig.ready = rest;
        rig.commit();
        assert_eq!(rig.refused(a), [quota(1), quota(2), quota(3)], "{first} in the first commit");
    }

    // A second try that shares its commit with something verified before the first one failed.
    for segment in [segments[1].clone(), vault.control.segment(&id, 10)] {
        rig.push(a, &id, vec![segment]);
        rig.verify();
    }
    let older = rig.ready.split_off(1);
    rig.commit();
    rig.push(a, &id, vec![segments[1].clone()]);
    rig.verify();
    rig.ready.splice(0..0, older);
    rig.commit();
    assert_eq!(rig.refused(a), [quota(1), quota(1)]);
    assert_eq!(rig.pushed(a, &id, segments[1].clone()), Some(ErrorCode::QuotaBytes));

    rig.quotas = small(1 << 20);
    let elsewhere = RedbStore::open(&dir.path().join("other"), Quotas::default(), 1 << 20, Incarnation::ZERO);
    rig.store = elsewhere.unwrap(); // lets go of the file
    rig.store = open(&path, &rig.quotas);
    for segment in &segments[1..] {
        assert_eq!(rig.pushed(a, &id, segment.clone()), None, "there is room");
    }
    assert_eq!(rig.store.usage().unwrap().segments, 6);
}

#[test]
fn a_log_whose_first_segment_was_refused_keeps_the_reason_and_begins_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    let mut rig = Rig::new(&path, small(500));
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    let segments: Vec<SealedSegment> = (0..3).map(|_| vault.data.segment(&id, 1_000)).collect();
    for _ in 0..3 {
        assert_eq!(rig.pushed(a, &id, segments[0].clone()), Some(ErrorCode::QuotaBytes));
    }
    for segment in &segments {
        rig.push(a, &id, vec![segment.clone()]);
        rig.verify();
    }
    rig.commit();
    let quota = |seq| (ErrorCode::QuotaBytes, Seq(seq));
    assert_eq!(rig.refused(a), [quota(0), quota(1), quota(2)], "in flight behind it");

    rig.quotas = small(1 << 20);
    let elsewhere = RedbStore::open(&dir.path().join("other"), Quotas::default(), 1 << 20, Incarnation::ZERO);
    rig.store = elsewhere.unwrap(); // lets go of the file
    rig.store = open(&path, &rig.quotas);
    for segment in segments {
        assert_eq!(rig.pushed(a, &id, segment), None, "there is room");
    }
}

#[test]
fn after_a_relay_that_is_full_refused_a_push_the_reason_stays_for_all_logs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    let mut rig = Rig::new(&path, Quotas { relay_bytes_max: 1_500, ..Quotas::default() });
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    assert_eq!(rig.pushed(a, &id, vault.data.segment(&id, 1_000)), None);
    let next = vault.data.segment(&id, 1_000);
    assert_eq!(rig.pushed(a, &id, next.clone()), Some(ErrorCode::RelayFull));
    assert_eq!(rig.pushed(a, &id, next.clone()), Some(ErrorCode::RelayFull));
    assert_eq!(
        rig.pushed(a, &id, vault.data.segment(&id, 10)),
        Some(ErrorCode::Gap),
        "the one before it is not held"
    );
    assert_eq!(rig.pushed(a, &id, next), Some(ErrorCode::RelayFull));
}

#[test]
fn after_a_full_disk_refused_a_commit_all_in_flight_gets_that_reason_and_goes_in_once_there_is_space() {
    let (store, capacity) = on_a_disk(Quotas::default());
    let mut rig = Rig::on(store, Quotas::default());
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    assert_eq!(rig.pushed(a, &id, vault.data.segment(&id, 100)), None);
    capacity.store(1, Ordering::Relaxed);
    let segments: Vec<SealedSegment> = (0..3).map(|_| vault.data.segment(&id, 60_000)).collect();
    for segment in &segments {
        rig.push(a, &id, vec![segment.clone()]);
        rig.verify();
    }
    let behind = rig.ready.split_off(1);
    rig.commit();
    capacity.store(u64::MAX, Ordering::Relaxed); // what was verified on top of the failed commit is refused with it
    rig.ready = behind;
    rig.commit();
    let full = |seq| (ErrorCode::RelayFull, Seq(seq));
    assert_eq!(rig.refused(a), [full(1), full(2), full(3)]);
    for segment in segments {
        assert_eq!(rig.pushed(a, &id, segment), None);
    }
}

#[test]
fn after_a_conflict_another_writer_of_the_log_goes_on_from_the_head_that_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&dir.path().join("relay.redb"), Quotas::default());
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    let log = &mut vault.data;
    let (zero, prev) = (log.segment(&id, 10), log.chain);
    assert_eq!(rig.pushed(a, &id, zero.clone()), None);
    let other = log.seal(&id, log.kind, Seq(1), prev, 20); // another future of the same log, by a copy
    let one = log.segment(&id, 10);
    // The store gets the log's true next segment while the verifier believes in the other one.
    rig.push(a, &id, vec![other.clone()]);
    rig.verify();
    let behind = rig.ready.pop().unwrap();
    let mut elsewhere = Verifier::default();
    let append = Append { vault: id, introduced: vec![], bytes: one.bytes().len(), segments: vec![one] };
    let ground = Ground { store: &rig.store, quotas: &rig.quotas, bases: Bases::Refused };
    let first = elsewhere.verify(ground, NOW.mono, append);
    Committer::default().commit(&rig.store, vec![first], &mut |_| 0);
    rig.ready.push(behind);
    rig.commit();
    assert_eq!(rig.refused(a), [(ErrorCode::Conflict, Seq(1))]);
    assert_eq!(rig.pushed(a, &id, other), Some(ErrorCode::Conflict), "the same reason again");
    assert_eq!(rig.pushed(a, &id, vault.data.segment(&id, 10)), None, "the head is the one that is held");
}

#[test]
fn damage_met_by_one_feed_shows_in_the_digest_of_all_and_is_pushed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&dir.path().join("relay.redb"), Quotas::default());
    let mut vault = Vault::new();
    let id = vault.id;
    let a = rig.link();
    rig.join(a, &vault);
    let mut other = Log::new(vault.data.kind);
    let (vault_id, public) = (id, other.key.public());
    rig.frame(a, &ClientFrame::Log { vault: vault_id, public, base: Base::WHOLE, vouch: None });
    let segments: Vec<SealedSegment> = (0..3).map(|_| vault.data.segment(&id, 100)).collect();
    for segment in segments.iter().cloned().chain([other.segment(&id, 100)]) {
        assert_eq!(rig.pushed(a, &id, segment), None);
    }
    let all = digest(&[vault.data.head(), other.head()]);
    assert_eq!(caught_up(&rig.feed(a)), Some((Rseq(4), all)));
    rig.store.flip(&id, Rseq(2), 99).unwrap();

    let new = rig.link();
    rig.join(new, &vault);
    let frames = rig.feed(new);
    assert_eq!(seqs(&frames), [0, 0], "what is whole comes, and nothing else");
    let (at, less) = caught_up(&frames).unwrap();
    assert_ne!(less, all);
    assert_eq!(
        rig.feed(a),
        [FeedFrame::CaughtUp { rseq: at, digest: less }],
        "a member sees that something is gone"
    );
    for segment in &segments[1..] {
        assert_eq!(rig.pushed(a, &id, segment.clone()), None, "and gives it again");
    }
    let frames = rig.feed(new);
    assert_eq!((seqs(&frames), caught_up(&frames).unwrap().1), (vec![1, 2], all));
}

#[test]
fn damage_that_a_push_meets_refuses_its_vault_until_it_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(&dir.path().join("relay.redb"), Quotas::default());
    let (mut hurt, mut well) = (Vault::new(), Vault::new());
    let a = rig.link();
    rig.join(a, &hurt);
    let b = rig.link();
    rig.join(b, &well);
    let segments: Vec<SealedSegment> = (0..3).map(|_| hurt.data.segment(&hurt.id, 100)).collect();
    for segment in &segments {
        assert_eq!(rig.pushed(a, &hurt.id, segment.clone()), None);
    }
    rig.store.forget_place(&hurt.id, Rseq(2));
    // Again, since their acknowledgement was lost; beside another vault's.
    rig.push(a, &hurt.id, segments[1..].to_vec());
    rig.verify();
    rig.push(b, &well.id, vec![well.data.segment(&well.id, 100)]);
    rig.verify();
    rig.commit();
    assert_eq!(rig.refused(a), [(ErrorCode::Internal, Seq(1))]);
    assert_eq!(rig.refused(b), []);
    let damage = rig.damaged.pop().unwrap();
    assert_eq!((damage.vault, rig.damaged.len()), (hurt.id, 0));
    rig.take_back(&damage);
    for segment in &segments[1..] {
        assert_eq!(rig.pushed(a, &hurt.id, segment.clone()), None, "from where it was taken back to");
    }
    assert_eq!(rig.store.tip(&hurt.id, &hurt.data.id).unwrap().unwrap().chain, hurt.data.chain);
}

#[test]
fn a_commit_that_one_vault_makes_panic_goes_in_for_the_others() {
    let (store, _) = on_a_disk(Quotas::default());
    let mut rig = Rig::on(store, Quotas::default());
    let (mut hurt, mut well) = (Vault::new(), Vault::new());
    let a = rig.link();
    rig.join(a, &hurt);
    let b = rig.link();
    rig.join(b, &well);
    rig.store.curse(Some(hurt.id));
    let segments: Vec<SealedSegment> = (0..3).map(|_| hurt.data.segment(&hurt.id, 100)).collect();
    rig.push(a, &hurt.id, segments[..1].to_vec());
    rig.verify();
    rig.push(b, &well.id, vec![well.data.segment(&well.id, 100)]);
    rig.verify();
    rig.push(a, &hurt.id, segments[1..].to_vec());
    rig.verify();
    rig.commit();
    assert_eq!(rig.refused(b), []);
    let refused = [(ErrorCode::Internal, Seq(0)), (ErrorCode::Internal, Seq(1))];
    assert_eq!(rig.refused(a), refused);
    assert_eq!(rig.store.usage().unwrap().segments, 1);
    rig.store.curse(None);
    for segment in segments {
        assert_eq!(rig.pushed(a, &hurt.id, segment), None, "pushed again");
    }
}
