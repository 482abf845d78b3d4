//! Relays that lie, and inputs in any order.

use proptest::prelude::*;

use super::*;
use crate::ids::Generation;

type Scene = (&'static str, fn(&mut Rig) -> Result<(), LinkError>, LinkError);
type VaultScene = (&'static str, fn(&mut Rig) -> Result<(), LinkError>, VaultFault);

const fn out_of_place(frame: &'static str) -> LinkError {
    LinkError::OutOfPlace { frame }
}

fn link_scenes() -> Vec<Scene> {
    vec![
        ("hello twice", |rig| rig.hello_again(1, RELAY), out_of_place("HELLO")),
        (
            "vault nobody asked for",
            |rig| rig.frame(&RelayFrame::Vault { vault: vault(8), quota_bytes: 0, used_bytes: 0 }),
            out_of_place("VAULT"),
        ),
        (
            "refusal of another vault",
            |rig| rig.frame(&error(ErrorCode::QuotaBytes, 8)),
            out_of_place("ERROR"),
        ),
        (
            "feed of another vault",
            |rig| rig.feed(9, &FeedFrame::Start { vault: vault(8), incarnation: RELAY }),
            LinkError::NotSubscribed { vault: vault(8) },
        ),
        (
            "feed of another incarnation",
            |rig| rig.feed(9, &FeedFrame::Start { vault: vault(1), incarnation: Incarnation::ZERO }),
            LinkError::Incarnation,
        ),
        (
            "feed without a start",
            |rig| rig.feed(9, &FeedFrame::CaughtUp { rseq: Rseq(1), digest: Digest::ZERO }),
            out_of_place("frame before FEED START"),
        ),
        (
            "ready without a rendezvous",
            |rig| rig.frame(&RelayFrame::RendezvousReady { id: RendezvousId::ZERO }),
            out_of_place("RENDEZVOUS READY"),
        ),
        (
            "message without a rendezvous",
            |rig| rig.frame(&RelayFrame::RendezvousData { id: RendezvousId::ZERO, message: Vec::new() }),
            out_of_place("RENDEZVOUS DATA"),
        ),
        (
            "draining",
            |rig| rig.frame(&RelayFrame::Error(Refusal::link(ErrorCode::Draining))),
            LinkError::Refused(Refusal::link(ErrorCode::Draining)),
        ),
        (
            "unreadable",
            |rig| rig.try_give(Input::Frame(Bytes::from_static(&[0x01]))),
            LinkError::Decode(DecodeError::Unknown { what: "relay frame", value: 1 }),
        ),
        (
            "unreadable, on a stream of no vault",
            |rig| rig.try_give(Input::Feed { stream: 9, frame: Bytes::from_static(&[0x01]) }),
            LinkError::Decode(DecodeError::Unknown { what: "feed frame", value: 1 }),
        ),
    ]
}

fn vault_scenes() -> Vec<VaultScene> {
    let misplaced = |frame| VaultFault::OutOfPlace { frame };
    vec![
        (
            "vault twice",
            |rig| rig.frame(&RelayFrame::Vault { vault: vault(1), quota_bytes: 0, used_bytes: 0 }),
            misplaced("VAULT"),
        ),
        (
            "grant without create",
            |rig| {
                let grant = Grant { vault: vault(1), class: 0, signature: Signature::ZERO };
                rig.frame(&RelayFrame::Grant { grant: grant.encode() })
            },
            misplaced("GRANT"),
        ),
        (
            "heads while live",
            |rig| rig.frame(&RelayFrame::Heads { vault: vault(1), last: true, heads: Vec::new() }),
            misplaced("HEADS"),
        ),
        (
            "acknowledgement of what was never sent",
            |rig| rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(9), entries: vec![head(1, 3)] }),
            VaultFault::NotSent { log: log(1), seq: Seq(3) },
        ),
        (
            "refusal of what was never sent",
            |rig| {
                let refusal = Refusal::segment(ErrorCode::QuotaBytes, vault(1), log(1), Seq(3));
                rig.frame(&RelayFrame::Error(refusal))
            },
            misplaced("ERROR"),
        ),
        (
            "second feed",
            |rig| rig.feed(9, &FeedFrame::Start { vault: vault(1), incarnation: RELAY }),
            misplaced("FEED START"),
        ),
        (
            "second start of a feed",
            |rig| rig.feed(1, &FeedFrame::Start { vault: vault(1), incarnation: RELAY }),
            misplaced("FEED START"),
        ),
        ("feed ends", |rig| rig.try_give(Input::FeedClosed { stream: 1 }), VaultFault::FeedEnded),
        (
            "unreadable frame in its feed",
            |rig| rig.try_give(Input::Feed { stream: 1, frame: Bytes::from_static(&[0x01]) }),
            VaultFault::Decode(DecodeError::Unknown { what: "feed frame", value: 1 }),
        ),
        (
            "too many logs",
            |rig| {
                (0..=limits::LOGS_PER_VAULT_MAX as u32).try_for_each(|n| {
                    let mut public = [0; 65];
                    public[..4].copy_from_slice(&n.to_be_bytes());
                    rig.feed(
                        1,
                        &FeedFrame::Log { public: PublicKeyBytes::from_bytes(public), base: Base::WHOLE },
                    )
                })
            },
            VaultFault::TooManyLogs,
        ),
        ("the store's refusal", |rig| rig.try_give(Input::Faulty { vault: vault(1) }), VaultFault::Store),
    ]
}

#[test]
fn frames_out_of_place_end_the_link() {
    let id = RendezvousId::from_bytes([4; 16]);
    for (name, scene, expected) in link_scenes() {
        let mut rig = live_rig();
        assert_eq!(scene(&mut rig), Err(expected), "{name}");
        assert_eq!(rig.try_give(Input::Join { id }), Err(expected), "{name}: it stays over");
    }
}

#[test]
fn a_fault_of_one_vault_rests_that_vault_and_the_others_go_on() {
    for (name, scene, fault) in vault_scenes() {
        let mut rig = live_rig();
        rig.live(2);
        let prepared_again = Output::Prepare { vault: vault(1) };
        assert_eq!(scene(&mut rig), Ok(()), "{name}");
        assert_eq!(rig.events(), [Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }], "{name}");
        assert!(!rig.link.is_synced() && rig.link.is_settled(), "{name}");
        // What still comes of it says nothing.
        rig.take();
        rig.known(1);
        if fault != VaultFault::FeedEnded {
            rig.feed(1, &FeedFrame::Segment { rseq: Rseq(6), segment: segment(9, 0, 99) }).unwrap();
        }
        rig.frame(&error(ErrorCode::QuotaBytes, 1)).unwrap();
        rig.delivered(1);
        assert!(rig.take().is_empty(), "{name}");
        rig.push(2, vec![segment(2, 0, 300)]);
        assert!(rig.sent().iter().any(|frame| matches!(frame, ClientFrame::Push { .. })), "{name}");
        rig.advance(FAULT_WAIT);
        assert!(rig.take().contains(&prepared_again), "{name}");
        rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Writer) });
        rig.known(1);
        rig.start(1, 20);
        rig.caught_up(20, 5);
        rig.delivered(1);
        assert!(rig.events().contains(&Event::CaughtUp { vault: vault(1) }), "{name}");
    }
}

#[test]
fn a_vault_that_is_faulty_again_and_again_rests_longer_and_longer() {
    let mut rig = live_rig();
    let mut waits = Vec::new();
    for _ in 0..12 {
        rig.give(Input::Faulty { vault: vault(1) });
        let [Event::Rests { retry, .. }] = rig.events()[..] else { panic!("it rests") };
        waits.push(retry.as_secs());
        rig.advance(retry);
        assert!(rig.take().contains(&Output::Prepare { vault: vault(1) }));
        rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Writer) });
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
}

#[test]
fn a_feed_of_a_vault_that_rests_is_read_no_more() {
    let mut rig = live_rig();
    rig.give(Input::Faulty { vault: vault(1) });
    assert!(rig.take().contains(&Output::StopFeed { stream: 1 }));
    rig.start(1, 7);
    assert_eq!(rig.take(), [Output::StopFeed { stream: 7 }], "of a SUBSCRIBE that it did not see the end of");
    rig.feed(7, &FeedFrame::Log { public: key(9), base: Base::WHOLE }).unwrap();
    rig.give(Input::FeedClosed { stream: 7 });
    assert!(rig.take().is_empty());
}

#[test]
fn what_was_in_flight_is_sent_again_after_a_rest_with_its_log() {
    let mut rig = live_rig();
    let segments = vec![segment(1, 0, 300), segment(1, 1, 300)];
    rig.push(1, segments.clone());
    rig.take();
    rig.give(Input::Faulty { vault: vault(1) });
    rig.advance(FAULT_WAIT);
    rig.give(Input::Prepared { vault: vault(1), prepared: prepared(Role::Writer) });
    rig.known(1);
    rig.start(1, 20);
    rig.caught_up(20, 5);
    rig.take();
    rig.delivered(1);
    let load = rig.take().into_iter().find_map(|output| match output {
        Output::LoadOutbox { sent, .. } => Some(sent),
        _ => None,
    });
    assert_eq!(load.as_deref(), Some(&BTreeMap::new()), "nothing counts as sent");
    let batch = OutboxBatch { logs: vec![key(1).into()], segments: segments.clone(), more: false };
    rig.give(Input::Outbox { vault: vault(1), batch });
    assert_eq!(
        rig.sent(),
        [
            ClientFrame::Log { vault: vault(1), public: key(1), base: Base::WHOLE, vouch: None },
            ClientFrame::Push { vault: vault(1), segments }
        ]
    );
    // Late word of the attempt that is over is not news, and no fault.
    rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(7), entries: vec![head(1, 1)] }).unwrap();
    assert!(!rig.events().iter().any(|event| matches!(event, Event::Rests { .. })));
}

#[test]
fn silence_about_one_vault_rests_it() {
    let mut rig = live_rig();
    rig.add(2);
    rig.now += ANSWER_WAIT;
    rig.caught_up(1, 5);
    rig.take();
    rig.give(Input::Timeout);
    let fault = VaultFault::Silent;
    assert_eq!(rig.events(), [Event::Rests { vault: vault(2), fault, retry: FAULT_WAIT }]);
}

impl Rig {
    fn hello_again(&mut self, version: u16, incarnation: Incarnation) -> Result<(), LinkError> {
        let limits = RelayLimits { segment_bytes_max: 2 << 20, vaults_max: 64 };
        self.frame(&RelayFrame::Hello {
            version,
            incarnation,
            limits,
            now_ms: 9,
            caps: 0,
            extensions: Extensions::new(),
        })
    }
}

#[test]
fn greetings_that_do_not_fit() {
    let mut rig = Rig::new();
    assert_eq!(rig.hello_again(1, RELAY), Err(LinkError::Version { version: 1 }));
    let mut rig = Rig::new();
    rig.add(1);
    rig.start(1, 1);
    assert_eq!(rig.hello_again(VERSION, Incarnation::ZERO), Err(LinkError::Incarnation));
    let mut rig = Rig::new();
    assert_eq!(
        rig.frame(&error(ErrorCode::AuthFailed, 1)),
        Err(LinkError::OutOfPlace { frame: "ERROR" }),
        "no vault was named yet"
    );
}

fn any_id() -> impl Strategy<Value = VaultId> + Clone {
    (0..3_u8).prop_map(vault)
}

fn any_seq() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0..4_u64, Just(u64::MAX)]
}

fn any_heads() -> impl Strategy<Value = Vec<Head>> + Clone {
    prop::collection::vec((0..3_u8, any_seq()).prop_map(|(n, seq)| head(n, seq)), 0..4)
}

fn any_short_heads() -> impl Strategy<Value = Vec<ShortHead>> {
    any_heads().prop_map(|heads| heads.into_iter().map(ShortHead::from).collect())
}

fn any_control() -> impl Strategy<Value = RelayFrame> {
    prop_oneof![
        Just(RelayFrame::Hello {
            version: VERSION,
            incarnation: RELAY,
            limits: RelayLimits { segment_bytes_max: 1, vaults_max: 1 },
            now_ms: u64::MAX,
            caps: u64::MAX,
            extensions: Extensions::new(),
        }),
        (any_id(), any::<u64>()).prop_map(|(vault, used_bytes)| RelayFrame::Vault {
            vault,
            quota_bytes: 0,
            used_bytes
        }),
        (any_id(), any_seq(), any_heads()).prop_map(|(vault, rseq, entries)| RelayFrame::Ack {
            vault,
            rseq: Rseq(rseq),
            entries
        }),
        (any_id(), any_short_heads()).prop_map(|(vault, heads)| RelayFrame::Heads {
            vault,
            last: true,
            heads
        }),
        (any_id(), 0..25_u16, any::<u32>(), 0..3_u8, any_seq(), any::<bool>()).prop_map(
            |(vault, code, after, n, seq, whole)| {
                let code = ErrorCode::from_wire(code);
                let refusal = Refusal::segment(code, vault, log(n), Seq(seq)).retry_after(after);
                let log = if whole { LogId::ZERO } else { refusal.log };
                RelayFrame::Error(Refusal { log, ..refusal })
            }
        ),
        any_id().prop_map(|vault| RelayFrame::Grant {
            grant: Grant { vault, class: 0, signature: Signature::ZERO }.encode()
        }),
        (any_id(), any::<bool>(), 0..3_usize).prop_map(|(vault, last, count)| {
            RelayFrame::Statements(StatementsPart { vault, last, statements: vec![vec![1; 9]; count] })
        }),
        Just(RelayFrame::RendezvousReady { id: RendezvousId::ZERO }),
    ]
}

fn any_feed() -> impl Strategy<Value = FeedFrame> {
    prop_oneof![
        any_id().prop_map(|vault| FeedFrame::Start { vault, incarnation: RELAY }),
        (0..4_u8).prop_map(|n| FeedFrame::Log { public: key(n), base: Base::WHOLE }),
        (any_seq(), 0..3_u8, any_seq()).prop_map(|(rseq, n, seq)| FeedFrame::Segment {
            rseq: Rseq(rseq),
            segment: segment(n, seq, TAG_LEN)
        }),
        any_seq().prop_map(|rseq| FeedFrame::CaughtUp { rseq: Rseq(rseq), digest: Digest::ZERO }),
    ]
}

fn any_segments() -> impl Strategy<Value = Vec<SealedSegment>> {
    prop::collection::vec((0..3_u8, any_seq()).prop_map(|(n, seq)| segment(n, seq, 999)), 0..4)
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => any_control().prop_map(|frame| Input::Frame(frame.encode().slice(4..))),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| Input::Frame(bytes.into())),
        6 => (0..4_u64, any_feed()).prop_map(|(stream, frame)| {
            Input::Feed { stream, frame: frame.encode().slice(4..) }
        }),
        1 => (0..4_u64, prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(stream, bytes)| Input::Feed { stream, frame: bytes.into() }),
        1 => (0..4_u64).prop_map(|stream| Input::FeedClosed { stream }),
        3 => any_id().prop_map(|vault| Input::Add { vault, purpose: Purpose::Sync }),
        3 => any_id()
            .prop_map(|vault| Input::Prepared { vault, prepared: prepared(Role::Writer) }),
        1 => any_id().prop_map(|vault| {
            Input::Prepared { vault, prepared: Prepared { chain: HeldChain::Last, ..prepared(Role::Writer) } }
        }),
        2 => (any_id(), 0..3_usize).prop_map(|(vault, count)| {
            let kept = match count {
                2 => StatementsKept::Ask,
                _ => StatementsKept::Compared { last: Generation(0), tail: vec![vec![1; 9]; count] },
            };
            Input::StatementsStored { vault, kept }
        }),
        2 => any_id()
            .prop_map(|vault| Input::Birth { vault, birth: birth(Vec::new(), Some(vec![1])) }),
        2 => (any_id(), any::<bool>(), any_short_heads())
            .prop_map(|(vault, diverged, heads)| Input::HeadsStored { vault, diverged, own: vec![log(1)], heads }),
        4 => (any_id(), any::<bool>(), any::<Option<bool>>(), any_seq()).prop_map(
            |(vault, own_log_foreign, digest_ok, seq)| Input::Delivered {
                vault,
                received: Received { wants: vec![(log(1), Seq(seq), Seq(0))], own_log_foreign, digest_ok, statements: own_log_foreign },
            }
        ),
        1 => any_id().prop_map(|vault| Input::Rotated { vault }),
        1 => any_id().prop_map(|vault| Input::Unable { vault }),
        1 => any_id().prop_map(|vault| Input::Faulty { vault }),
        3 => (any_id(), any::<bool>())
            .prop_map(|(vault, more)| Input::Sealed { vault, more }),
        4 => (any_id(), any_segments(), any::<bool>()).prop_map(|(vault, segments, more)| Input::Outbox {
            vault,
            batch: OutboxBatch { logs: vec![key(1).into()], segments, more },
        }),
        1 => (any_id(), any::<bool>()).prop_map(|(vault, more)| Input::AckStored { vault, more }),
        2 => any_id().prop_map(|vault| Input::Written { vault }),
        3 => Just(Input::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_inputs_panics_or_outgrows_its_limits(
        inputs in prop::collection::vec((any_input(), 0..90_000_u64), 0..120)
    ) {
        let mut rig = Rig::with_invite(Some(vec![1; 83]));
        let mut failed = None;
        for (input, ms) in inputs {
            rig.now += Duration::from_millis(ms / 30);
            let result = rig.try_give(input);
            if let Some(error) = failed {
                prop_assert_eq!(result, Err(error));
            }
            failed = result.err().or(failed);
            prop_assert!(failed.is_some() || rig.link.deadline().is_none_or(|at| at > rig.now - ANSWER_WAIT * 9));
            let in_flight: usize = rig.link.vaults.values().map(|vault| vault.up.in_flight_bytes()).sum();
            prop_assert!(in_flight <= limits::PUSH_WINDOW_BYTES);
            let progress = rig.link.progress();
            prop_assert!(progress.segments_done <= progress.segments_known && progress.bytes_done <= progress.bytes_known);
            rig.take();
        }
    }
}
