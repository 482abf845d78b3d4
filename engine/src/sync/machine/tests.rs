//! The machine of a link, driven by hand: no runtime, no socket, no clock.

use subrosa_protocol::client_link::{Birth, HeldChain, Prepared, Received};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{FeedFrame, RelayFrame, RelayLimits, Role, VERSION};
use subrosa_protocol::ids::{Base, Digest, Incarnation, PublicKeyBytes, Rseq, Signature};

use super::*;
use crate::error::PeerFault;

const RELAY: Incarnation = Incarnation::from_bytes([7; 16]);

#[expect(clippy::disallowed_methods, reason = "a base for times that the test then moves itself")]
fn base() -> Instant {
    Instant::now()
}

fn vault(n: usize) -> VaultId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    VaultId::from_bytes(bytes)
}

/// A machine, a clock, and what it asked for.
struct Rig {
    machine: Machine,
    now: Instant,
    out: Vec<MachineOutput>,
}

impl Rig {
    fn new(errand: Errand) -> Self {
        let now = base();
        let mut rig = Self { machine: Machine::new(now, None, &errand).unwrap(), now, out: Vec::new() };
        rig.drain();
        rig
    }

    fn sync(share: usize) -> Self {
        Self::new(Errand::Sync { share, writes: 0, asks: 0 })
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            self.out.push(output);
        }
    }

    fn try_give(&mut self, input: MachineInput) -> Result<(), SyncFailure> {
        let result = self.machine.handle(self.now, input);
        self.drain();
        result
    }

    fn give(&mut self, input: MachineInput) {
        self.try_give(input).unwrap();
    }

    fn answer(&mut self, input: client_link::Input) {
        self.give(MachineInput::Answer(Answer::Input(input)));
    }

    fn frame(&mut self, frame: &RelayFrame) {
        self.give(MachineInput::Frame(frame.encode().slice(4..)));
    }

    fn feed(&mut self, stream: u64, frame: &FeedFrame) {
        self.give(MachineInput::Feed { stream, event: FeedEvent::Frame(frame.encode().slice(4..)) });
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
        });
    }

    fn prepared(&mut self, vault: VaultId) {
        let prepared = Prepared {
            role: Role::Reader,
            public: PublicKeyBytes::from_bytes([2; 65]),
            signature: Signature::ZERO,
            incarnation: RELAY,
            cursor: Rseq(5),
            digest: Digest::from_bytes([5; 32]),
            chain: HeldChain::Unasked,
        };
        self.answer(client_link::Input::Prepared { vault, prepared });
    }

    /// Brings a vault that was prepared to where everything is caught up.
    fn catch_up(&mut self, vault: VaultId, stream: u64) {
        self.frame(&RelayFrame::Vault { vault, quota_bytes: 100, used_bytes: 10 });
        self.feed(stream, &FeedFrame::Start { vault, incarnation: RELAY });
        self.feed(stream, &FeedFrame::CaughtUp { rseq: Rseq(5), digest: Digest::from_bytes([8; 32]) });
        let work = self.work();
        assert!(
            matches!(&work[..], [Work::Link(client_link::Output::Deliver { vault: of, .. })] if *of == vault),
            "{work:?}"
        );
        self.answer(client_link::Input::Delivered { vault, received: Received::default() });
    }

    fn work(&mut self) -> Vec<Work> {
        std::iter::from_fn(|| self.machine.next_work()).collect()
    }

    fn news(&mut self) -> Vec<News> {
        let news = |output| if let MachineOutput::News(news) = output { Some(news) } else { None };
        self.out.drain(..).filter_map(news).collect()
    }
}

/// The vaults that are to be prepared.
fn prepares(work: &[Work]) -> Vec<VaultId> {
    let vault = |work: &Work| match work {
        Work::Link(client_link::Output::Prepare { vault }) => Some(*vault),
        _ => None,
    };
    work.iter().filter_map(vault).collect()
}

#[test]
fn a_faulty_vault_rests_while_the_other_one_goes_on() {
    let mut rig = Rig::sync(0);
    assert!(matches!(rig.work()[..], [Work::List]));
    rig.give(MachineInput::Answer(Answer::Vaults(vec![vault(1), vault(2)])));
    rig.hello();
    assert_eq!(prepares(&rig.work()), [vault(1), vault(2)]);
    rig.prepared(vault(1));
    rig.prepared(vault(2));
    rig.feed(3, &FeedFrame::Start { vault: vault(1), incarnation: RELAY });
    rig.feed(3, &FeedFrame::Log { public: PublicKeyBytes::from_bytes([4; 65]), base: Base::WHOLE });
    let work = rig.work();
    assert!(matches!(work[..], [Work::Link(client_link::Output::Deliver { .. })]), "{work:?}");
    rig.news();
    // The store finds a signature that does not hold.
    let fault = SyncFault::Peer(PeerFault::BadSignature);
    let answered = Some(client_link::Input::Delivered { vault: vault(1), received: Received::default() });
    rig.give(MachineInput::Answer(Answer::Faulty { vault: vault(1), fault, answered }));
    assert!(rig.out.iter().any(|output| matches!(output, MachineOutput::StopFeed { stream: 3 })));
    let retry = client_link::FAULT_WAIT;
    assert_eq!(rig.news(), [News::Rests { vault: vault(1), fault, retry }]);
    rig.catch_up(vault(2), 4);
    let event = |event| News::Event(event);
    let vault_2 = vault(2);
    assert_eq!(
        rig.news(),
        [
            event(Event::Known { vault: vault_2 }),
            event(Event::CaughtUp { vault: vault_2 }),
            event(Event::Synced { vault: vault_2 })
        ]
    );
    let standing = rig.machine.standing();
    assert_eq!((standing.synced, standing.settled), (None, Some(0)), "nothing else is left to do");
    // It is tried again.
    rig.now += retry;
    rig.give(MachineInput::Timeout { datagrams: 1 });
    assert_eq!(prepares(&rig.work()), [vault(1)]);
    rig.prepared(vault(1));
    rig.catch_up(vault(1), 5);
    assert_eq!(rig.machine.standing().synced, Some(0));
}

#[test]
fn five_hundred_vaults_are_carried_by_eight_links_each_by_one() {
    let all: Vec<_> = (0..500).map(vault).collect();
    let mut carried = Vec::new();
    for share in 0..8 {
        let mut rig = Rig::sync(share);
        rig.work();
        rig.give(MachineInput::Answer(Answer::Vaults(all.clone())));
        assert!(rig.out.iter().any(|output| matches!(output, MachineOutput::Links(8))), "{:?}", rig.out);
        let mine = prepares(&rig.work());
        assert!(mine.len() <= VAULTS_PER_LINK_MAX);
        carried.extend(mine);
        // A new one is for the last link, and moves none of the others.
        rig.give(MachineInput::Written { writes: 1 });
        rig.work();
        rig.give(MachineInput::Answer(Answer::Vaults((0..501).map(vault).collect())));
        let more = prepares(&rig.work());
        assert_eq!(more, if share == 7 { vec![vault(500)] } else { Vec::new() }, "{share}");
    }
    assert_eq!(carried, all);
}

#[test]
fn held_groups_are_merged_once_when_their_time_has_come() {
    let mut rig = Rig::sync(0);
    rig.work();
    rig.give(MachineInput::Held { wait: Some(Duration::from_secs(3)) });
    assert_eq!(rig.machine.deadline(), rig.now + Duration::from_secs(3));
    rig.give(MachineInput::Held { wait: Some(Duration::ZERO) });
    assert!(matches!(rig.work()[..], [Work::MergeHeld]));
    rig.give(MachineInput::Held { wait: Some(Duration::ZERO) });
    assert!(rig.work().is_empty(), "it is under way");
    rig.give(MachineInput::Answer(Answer::Merged));
    rig.give(MachineInput::Held { wait: Some(Duration::ZERO) });
    assert!(matches!(rig.work()[..], [Work::MergeHeld]), "more has come meanwhile");
    let mut other = Rig::sync(1);
    other.work();
    other.give(MachineInput::Held { wait: Some(Duration::ZERO) });
    assert!(other.work().is_empty(), "the first link does it");
}

#[test]
fn a_path_that_owes_an_answer_and_stays_silent_is_given_up() {
    let mut rig = Rig::sync(0);
    let mut probes = 0;
    loop {
        rig.now = rig.machine.deadline();
        let result = rig.try_give(MachineInput::Timeout { datagrams: 7 });
        probes += rig.out.drain(..).filter(|output| matches!(output, MachineOutput::Probe)).count();
        if let Err(failure) = result {
            assert!(matches!(failure, SyncFailure::Lost), "{failure}");
            break;
        }
    }
    assert_eq!(probes, 1);
}

#[test]
fn who_asks_for_the_relay_has_an_answer_when_it_shows_itself_and_none_of_before() {
    let mut rig = Rig::sync(0);
    let probes =
        |rig: &mut Rig| rig.out.drain(..).filter(|output| matches!(output, MachineOutput::Probe)).count();
    rig.give(MachineInput::Asked { asks: 1, datagrams: 7 });
    assert_eq!((probes(&mut rig), rig.machine.standing().answered), (1, 0));
    rig.hello();
    assert_eq!(rig.machine.standing().answered, 1, "it speaks");
    rig.give(MachineInput::Asked { asks: 1, datagrams: 7 });
    assert_eq!(probes(&mut rig), 0, "answered");
    rig.give(MachineInput::Asked { asks: 2, datagrams: 7 });
    rig.now += ANSWER_LOOK;
    assert_eq!(rig.machine.deadline(), rig.now);
    rig.give(MachineInput::Timeout { datagrams: 7 });
    assert_eq!(rig.machine.standing().answered, 1);
    rig.give(MachineInput::Timeout { datagrams: 8 });
    assert_eq!(rig.machine.standing().answered, 2);
    // What has arrived when the next one asks is an answer to the one before.
    rig.give(MachineInput::Asked { asks: 3, datagrams: 8 });
    rig.give(MachineInput::Asked { asks: 4, datagrams: 9 });
    assert_eq!(rig.machine.standing().answered, 3);
    // Asked for again and again, and gone.
    let mut lost = None;
    for asks in 5..1000 {
        rig.give(MachineInput::Asked { asks, datagrams: 9 });
        rig.now += ANSWER_LOOK * 4;
        lost = rig.try_give(MachineInput::Timeout { datagrams: 9 }).err();
        if lost.is_some() {
            break;
        }
    }
    assert!(matches!(lost, Some(SyncFailure::Lost)), "{lost:?}");
    assert_eq!(rig.machine.standing().answered, 3);
    let later = Rig::new(Errand::Sync { share: 0, writes: 0, asks: 5 });
    assert_eq!(later.machine.standing().answered, 5, "a new link says HELLO after them");
}

#[test]
fn work_is_handed_over_in_order_and_what_has_not_begun_is_done_once() {
    let mut rig = Rig::sync(0);
    rig.hello();
    for writes in 1..4 {
        rig.give(MachineInput::Written { writes });
    }
    let work = rig.work();
    let relay_now = |work: &Work| matches!(work, Work::Link(client_link::Output::RelayNow { now_ms: 9 }));
    assert!(matches!(work[0], Work::List) && relay_now(&work[1]) && work.len() == 2, "{work:?}");
    assert_eq!(rig.machine.standing().synced, None, "the list is not here yet");
    rig.give(MachineInput::Answer(Answer::Vaults(Vec::new())));
    assert_eq!(rig.machine.standing().synced, Some(3));
    rig.give(MachineInput::Written { writes: 4 });
    assert!(matches!(rig.work()[..], [Work::List]), "the one before has begun");
}

#[test]
fn the_store_of_the_device_ends_the_link() {
    let mut rig = Rig::sync(0);
    let failed = Answer::Failed(crate::error::Error::NoVault);
    assert!(matches!(rig.try_give(MachineInput::Answer(failed)), Err(SyncFailure::Store(_))));
}

#[test]
fn a_meeting_that_is_refused_is_over_and_one_that_is_met_takes_messages() {
    let id = RendezvousId::from_bytes([4; 16]);
    let mut rig = Rig::new(Errand::Meet { id, member: Some(vault(1)) });
    rig.hello();
    rig.prepared(vault(1));
    let refusal = Refusal::vault(ErrorCode::AuthFailed, vault(1));
    rig.frame(&RelayFrame::Error(refusal));
    let loads = |work: &Work| matches!(work, Work::Link(client_link::Output::LoadBirth { .. }));
    assert!(rig.work().iter().any(loads), "the relay may be older than our key");
    let birth = Birth { statements: vec![vec![1; 9]], chain: HeldChain::Unasked, grant: None };
    rig.answer(client_link::Input::Birth { vault: vault(1), birth });
    let refused = rig.try_give(MachineInput::Frame(RelayFrame::Error(refusal).encode().slice(4..)));
    assert!(
        matches!(refused, Err(SyncFailure::Link(LinkError::Refused(of))) if of == refusal),
        "{refused:?}"
    );

    let mut rig = Rig::new(Errand::Meet { id, member: None });
    rig.hello();
    assert!(!rig.machine.is_met());
    rig.frame(&RelayFrame::RendezvousReady { id });
    assert!(rig.machine.is_met());
    rig.out.clear();
    rig.give(MachineInput::Say(vec![1]));
    assert!(matches!(rig.out[..], [MachineOutput::Send(_)]));
    rig.out.clear();
    rig.frame(&RelayFrame::RendezvousData { id, message: vec![2] });
    assert!(matches!(&rig.out[..], [MachineOutput::Heard(Heard::Message(said))] if said == &[2]));
}

#[test]
fn a_vault_that_a_meeting_needs_and_that_is_faulty_ends_the_meeting() {
    let id = RendezvousId::from_bytes([4; 16]);
    let mut rig = Rig::new(Errand::Meet { id, member: Some(vault(1)) });
    rig.hello();
    rig.prepared(vault(1));
    let fault = SyncFault::Peer(PeerFault::BadGrant);
    let answer = Answer::Faulty { vault: vault(1), fault, answered: None };
    let ended = rig.try_give(MachineInput::Answer(answer));
    assert!(matches!(ended, Err(SyncFailure::Peer(SyncFault::Peer(PeerFault::BadGrant)))), "{ended:?}");
}

#[test]
fn a_vault_that_needs_an_update_goes_on_and_is_told() {
    let mut rig = Rig::sync(0);
    rig.work();
    rig.give(MachineInput::Answer(Answer::Vaults(vec![vault(1)])));
    rig.hello();
    rig.work();
    rig.prepared(vault(1));
    rig.feed(3, &FeedFrame::Start { vault: vault(1), incarnation: RELAY });
    rig.feed(3, &FeedFrame::Log { public: PublicKeyBytes::from_bytes([4; 65]), base: Base::WHOLE });
    rig.work();
    rig.news();
    let input = client_link::Input::Delivered { vault: vault(1), received: Received::default() };
    rig.give(MachineInput::Answer(Answer::UpdateNeeded { vault: vault(1), input }));
    assert_eq!(rig.news(), [News::UpdateNeeded { vault: vault(1) }]);
    // Its feed is not stopped, and what it is fed goes to the store.
    assert!(!rig.out.iter().any(|output| matches!(output, MachineOutput::StopFeed { .. })));
    rig.feed(3, &FeedFrame::Log { public: PublicKeyBytes::from_bytes([5; 65]), base: Base::WHOLE });
    assert!(matches!(rig.work()[..], [Work::Link(client_link::Output::Deliver { .. })]));
}

#[test]
fn a_question_is_answered_by_the_feed_of_every_vault_and_by_no_datagram() {
    let mut rig = Rig::sync(0);
    rig.work();
    rig.give(MachineInput::Answer(Answer::Vaults(vec![vault(1), vault(2)])));
    rig.hello();
    rig.work();
    for (n, stream) in [(1, 3), (2, 4)] {
        rig.prepared(vault(n));
        rig.catch_up(vault(n), stream);
    }
    assert_eq!((rig.machine.standing().synced, rig.machine.standing().answered), (Some(0), 0));
    rig.give(MachineInput::Asked { asks: 1, datagrams: 7 });
    rig.now += ANSWER_LOOK;
    rig.give(MachineInput::Timeout { datagrams: 9 });
    assert_eq!(rig.machine.standing().answered, 0, "it is there, and has said nothing");
    rig.feed(3, &FeedFrame::Answer { number: 1 });
    assert_eq!(rig.machine.standing().answered, 0, "one vault of two");
    rig.feed(4, &FeedFrame::Answer { number: 1 });
    assert_eq!(rig.machine.standing().answered, 1);
    // Another link knows nothing of what was asked before it.
    let mut later = Rig::new(Errand::Sync { share: 0, writes: 0, asks: 5 });
    later.work();
    later.give(MachineInput::Answer(Answer::Vaults(vec![vault(1)])));
    later.hello();
    later.work();
    later.prepared(vault(1));
    later.catch_up(vault(1), 3);
    assert_eq!((later.machine.standing().synced, later.machine.standing().answered), (Some(0), 0));
    later.feed(3, &FeedFrame::Answer { number: 5 });
    assert_eq!(later.machine.standing().answered, 5);
}

#[test]
fn what_comparing_clocks_came_to_is_told() {
    let mut rig = Rig::sync(0);
    rig.give(MachineInput::Answer(Answer::Clock { ahead_ms: Some(-400_000) }));
    assert_eq!(rig.news(), [News::Clock { ahead_ms: Some(-400_000) }]);
}
