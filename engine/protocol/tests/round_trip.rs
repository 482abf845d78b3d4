//! Decoding undoes encoding, and no bytes panic, for every type that crosses a wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option::of as option;
use proptest::prelude::*;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{
    ClientFrame, Credential, FeedFrame, RelayFrame, RelayLimits, Role, ShortHead, StatementsPart,
};
use subrosa_protocol::ids::{
    Base, Chain, Digest, Epoch, Generation, Head, Incarnation, LogId, Pin, PublicKeyBytes, RendezvousId,
    Rseq, Seq, Signature, VaultId,
};
use subrosa_protocol::limits;
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment};
use subrosa_protocol::statement::{Signer, Statement};
use subrosa_protocol::token::{Grant, Invite};
use subrosa_protocol::vouch::Vouch;

prop_compose! {
    fn vault()(bytes in any::<[u8; 32]>()) -> VaultId { VaultId::from_bytes(bytes) }
}
prop_compose! {
    fn log()(bytes in any::<[u8; 16]>()) -> LogId { LogId::from_bytes(bytes) }
}
prop_compose! {
    fn public()(head in any::<[u8; 32]>(), tail in any::<[u8; 32]>()) -> PublicKeyBytes {
        let mut bytes = [4; 65];
        bytes[1..33].copy_from_slice(&head);
        bytes[33..].copy_from_slice(&tail);
        PublicKeyBytes::from_bytes(bytes)
    }
}
prop_compose! {
    fn signature()(r in any::<[u8; 32]>(), s in any::<[u8; 32]>()) -> Signature {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Signature::from_bytes(bytes)
    }
}
prop_compose! {
    fn segment()(
        kind in (0..0x80u8).prop_map(|kind| Kind::from_wire(kind).expect("a known class")),
        place in (0..4u8).prop_map(|place| GroupPlace::from_wire(place).expect("a known place")),
        log in log(),
        seq in any::<u64>(),
        epoch in any::<u32>(),
        prev in any::<[u8; 32]>(),
        salt in any::<[u8; 16]>(),
        commit in any::<[u8; 32]>(),
        body in vec(any::<u8>(), 16..300),
        signature in signature(),
    ) -> SealedSegment {
        let body_len = u32::try_from(body.len()).expect("bodies are short");
        let place = if kind.is_group_of_its_own() { GroupPlace::Whole } else { place };
        let prev = if seq == 0 { Chain::ZERO } else { Chain::from_bytes(prev) };
        let (seq, epoch) = (Seq(seq), Epoch(epoch));
        let header = Header { kind, place, log, seq, epoch, prev, salt, commit, body_len };
        SealedSegment::assemble(header, &body, &signature)
    }
}
prop_compose! {
    fn base()(seq in 0..9u64, chain in any::<[u8; 32]>()) -> Base {
        if seq == 0 { Base::WHOLE } else { Base { seq: Seq(seq), chain: Chain::from_bytes(chain) } }
    }
}
prop_compose! {
    fn extensions()(some in btree_map(any::<u8>(), vec(any::<u8>(), 0..40), 0..5)) -> Extensions {
        some.into_iter().fold(Extensions::new(), |all, (tag, bytes)| all.with(tag, bytes).expect("few and short"))
    }
}
prop_compose! {
    fn heads()(heads in vec(short_head(), 0..20)) -> Vec<ShortHead> {
        let sorted: BTreeMap<LogId, ShortHead> = heads.into_iter().map(|head| (head.log, head)).collect();
        sorted.into_values().collect()
    }
}
prop_compose! {
    fn short_head()(
        log in log(), seq in 1..=u64::MAX, chain in any::<[u8; 16]>(), base in base(), whole in any::<bool>(),
    ) -> ShortHead {
        let base = if whole || base.seq.0 > seq { Base::WHOLE } else { base };
        ShortHead { log, seq: Seq(seq), chain, base }
    }
}
prop_compose! {
    fn head()(log in log(), seq in any::<u64>(), chain in any::<[u8; 32]>()) -> Head {
        Head { log, seq: Seq(seq), chain: Chain::from_bytes(chain) }
    }
}
prop_compose! {
    fn statement()(
        vault in vault(),
        generation in any::<u64>(),
        epoch in any::<u32>(),
        keys in (public(), public()),
        admins in vec(public(), 1..=limits::ADMINS_MAX),
        recovery_commitment in any::<[u8; 32]>(),
        previous in any::<[u8; 32]>(),
        signer in prop_oneof![
            public().prop_map(Signer::Admin),
            (public(), any::<[u8; 16]>()).prop_map(|(public, nonce)| Signer::Recovery { public, nonce }),
            (public(), any::<[u8; 16]>(), public(), signature()).prop_map(
                |(public, nonce, admin, admin_signature)| {
                    Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature }
                }
            ),
        ],
        signature in signature(),
    ) -> Statement {
        Statement {
            vault, generation: Generation(generation), epoch: Epoch(epoch), read: keys.0, write: keys.1,
            admins, recovery_commitment, previous, signer, signature,
        }
    }
}
prop_compose! {
    fn invite()(
        id in any::<[u8; 8]>(), class in any::<u8>(), uses_max in any::<u16>(), expires_secs in any::<u64>(),
        signature in signature(),
    ) -> Invite {
        Invite { id, class, uses_max, expires_secs, signature }
    }
}
prop_compose! {
    fn refusal()(
        code in any::<u16>(), retry_after_secs in any::<u32>(), vault in vault(), log in log(), seq in any::<u64>(),
    ) -> Refusal {
        Refusal::segment(ErrorCode::from_wire(code), vault, log, Seq(seq)).retry_after(retry_after_secs)
    }
}

fn credential() -> impl Strategy<Value = Credential> {
    let token = || vec(any::<u8>(), 0..=limits::TOKEN_BYTES_MAX);
    prop_oneof![
        Just(Credential::None),
        token().prop_map(Credential::Invite),
        token().prop_map(Credential::Grant),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=limits::RENDEZVOUS_MESSAGE_BYTES_MAX)
}

fn rendezvous() -> impl Strategy<Value = RendezvousId> {
    any::<[u8; 16]>().prop_map(RendezvousId::from_bytes)
}

prop_compose! {
    fn statements_part()(
        vault in vault(), last in any::<bool>(), statements in vec(vec(any::<u8>(), 0..600), 0..8),
    ) -> StatementsPart {
        StatementsPart { vault, last, statements }
    }
}
prop_compose! {
    fn vouch()(admin in public(), signature in signature()) -> Vouch { Vouch { admin, signature } }
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let role = prop_oneof![Just(Role::Reader), Just(Role::Writer)];
    prop_oneof![
        (vec(any::<u16>(), 0..=limits::VERSIONS_MAX), any::<u64>(), extensions())
            .prop_map(|(versions, caps, extensions)| ClientFrame::Hello { versions, caps, extensions }),
        (vault(), role, public(), signature()).prop_map(|(vault, role, public, signature)| {
            ClientFrame::Auth { vault, role, public, signature }
        }),
        (vault(), credential()).prop_map(|(vault, credential)| ClientFrame::Create { vault, credential }),
        statements_part().prop_map(ClientFrame::Statements),
        (vault(), any::<u64>())
            .prop_map(|(vault, from)| ClientFrame::StatementsWant { vault, from: Generation(from) }),
        (vault(), statement()).prop_map(|(vault, s)| ClientFrame::Statement { vault, statement: s.encode() }),
        (vault(), any::<[u8; 16]>(), any::<u64>(), any::<[u8; 32]>()).prop_map(
            |(vault, life, cursor, digest)| {
                ClientFrame::Subscribe {
                    vault,
                    incarnation: Incarnation::from_bytes(life),
                    cursor: Rseq(cursor),
                    digest: Digest::from_bytes(digest),
                }
            }
        ),
        (vault(), public(), base(), option(vouch()))
            .prop_map(|(vault, public, base, vouch)| ClientFrame::Log { vault, public, base, vouch }),
        (vault(), vec(segment(), 0..6)).prop_map(|(vault, segments)| ClientFrame::Push { vault, segments }),
        (vault(), any::<bool>(), heads()).prop_map(|(vault, last, heads)| ClientFrame::Heads {
            vault,
            last,
            heads
        }),
        (vault(), any::<u64>()).prop_map(|(vault, number)| ClientFrame::Ask { vault, number }),
        (vault(), log(), any::<u64>(), any::<u64>()).prop_map(|(vault, log, from, to)| ClientFrame::Want {
            vault,
            log,
            from: Seq(from),
            to: Seq(to)
        }),
        rendezvous().prop_map(|id| ClientFrame::RendezvousOpen { id }),
        rendezvous().prop_map(|id| ClientFrame::RendezvousJoin { id }),
        (rendezvous(), message()).prop_map(|(id, message)| ClientFrame::RendezvousData { id, message }),
    ]
}

fn relay_frame() -> impl Strategy<Value = RelayFrame> {
    prop_oneof![
        (
            any::<u16>(),
            any::<[u8; 16]>(),
            any::<u32>(),
            any::<u16>(),
            any::<u64>(),
            any::<u64>(),
            extensions()
        )
            .prop_map(|(version, life, segment_bytes_max, vaults_max, now_ms, caps, extensions)| {
                RelayFrame::Hello {
                    version,
                    incarnation: Incarnation::from_bytes(life),
                    limits: RelayLimits { segment_bytes_max, vaults_max },
                    now_ms,
                    caps,
                    extensions,
                }
            }),
        (vault(), any::<u64>(), any::<u64>()).prop_map(|(vault, quota_bytes, used_bytes)| {
            RelayFrame::Vault { vault, quota_bytes, used_bytes }
        }),
        vec(any::<u8>(), 0..=limits::TOKEN_BYTES_MAX).prop_map(|grant| RelayFrame::Grant { grant }),
        (vault(), any::<u64>(), vec(head(), 0..20)).prop_map(|(vault, rseq, entries)| RelayFrame::Ack {
            vault,
            rseq: Rseq(rseq),
            entries
        }),
        (vault(), any::<bool>(), heads()).prop_map(|(vault, last, heads)| RelayFrame::Heads {
            vault,
            last,
            heads
        }),
        statements_part().prop_map(RelayFrame::Statements),
        rendezvous().prop_map(|id| RelayFrame::RendezvousReady { id }),
        (rendezvous(), message()).prop_map(|(id, message)| RelayFrame::RendezvousData { id, message }),
        refusal().prop_map(RelayFrame::Error),
    ]
}

fn feed_frame() -> impl Strategy<Value = FeedFrame> {
    prop_oneof![
        (vault(), any::<[u8; 16]>())
            .prop_map(|(vault, life)| FeedFrame::Start { vault, incarnation: Incarnation::from_bytes(life) }),
        (public(), base()).prop_map(|(public, base)| FeedFrame::Log { public, base }),
        (any::<u64>(), segment())
            .prop_map(|(rseq, segment)| FeedFrame::Segment { rseq: Rseq(rseq), segment }),
        segment().prop_map(|segment| FeedFrame::Ahead { segment }),
        any::<u64>().prop_map(|number| FeedFrame::Answer { number }),
        (any::<u64>(), any::<[u8; 32]>()).prop_map(|(rseq, digest)| FeedFrame::CaughtUp {
            rseq: Rseq(rseq),
            digest: Digest::from_bytes(digest)
        }),
    ]
}

/// The frame without its prefix, which must announce exactly the rest.
fn body(wire: &Bytes) -> Bytes {
    let (prefix, body) = wire.split_at(4);
    assert_eq!(u32::from_be_bytes(prefix.try_into().expect("a length has four bytes")) as usize, body.len());
    wire.slice(4..)
}

/// A HELLO that is cut between its extensions is one with fewer of them.
fn is_shorter_hello(wire: &Bytes, cut: &Bytes) -> bool {
    matches!(cut[0], 0x01 | 0x81) && body(wire) == *cut
}

proptest! {
    #[test]
    fn client_frames(frame in client_frame(), cut in any::<prop::sample::Index>()) {
        let body = body(&frame.encode());
        prop_assert_eq!(ClientFrame::decode(&body), Ok(frame));
        let longer = [&body[..], &[0]].concat();
        prop_assert!(ClientFrame::decode(&longer.into()).is_err(), "a byte too many");
        let cut = body.slice(..cut.index(body.len()));
        prop_assert!(ClientFrame::decode(&cut).map_or(true, |read| is_shorter_hello(&read.encode(), &cut)), "cut short");
    }

    #[test]
    fn relay_frames(frame in relay_frame(), cut in any::<prop::sample::Index>()) {
        let body = body(&frame.encode());
        prop_assert_eq!(RelayFrame::decode(&body), Ok(frame));
        prop_assert!(RelayFrame::decode(&[&body[..], &[0]].concat()).is_err(), "a byte too many");
        let cut = body.slice(..cut.index(body.len()));
        prop_assert!(RelayFrame::decode(&cut).map_or(true, |read| is_shorter_hello(&read.encode(), &cut)), "cut short");
    }

    #[test]
    fn feed_frames(frame in feed_frame(), cut in any::<prop::sample::Index>()) {
        let body = body(&frame.encode());
        prop_assert_eq!(FeedFrame::decode(&body), Ok(frame));
        prop_assert!(FeedFrame::decode(&[&body[..], &[0]].concat().into()).is_err(), "a byte too many");
        prop_assert!(FeedFrame::decode(&body.slice(..cut.index(body.len()))).is_err(), "cut short");
    }

    #[test]
    fn statements_and_tokens(statement in statement(), invite in invite(), vault in vault(), pin in any::<[u8; 32]>()) {
        prop_assert_eq!(Statement::decode(&statement.encode()), Ok(statement));
        prop_assert_eq!(invite.encode().len(), Invite::LEN);
        prop_assert_eq!(Invite::decode(&invite.encode()), Ok(invite));
        let grant = Grant { vault, class: invite.class, signature: invite.signature };
        prop_assert_eq!(grant.encode().len(), Grant::LEN);
        prop_assert_eq!(Grant::decode(&grant.encode()), Ok(grant));
        let hosts = vec!["relay.example:4433".to_owned(), "[2001:db8::1]:9".to_owned()];
        let addr = RelayAddr::new(hosts, Pin::from_bytes(pin), Some(invite)).unwrap();
        prop_assert_eq!(RelayAddr::parse(&addr.to_string()), Ok(addr));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(
        bytes in vec(any::<u8>(), 0..400), tag in any::<u8>(), text in "\\PC{0,100}",
    ) {
        let tagged: Bytes = [&[tag], &bytes[..]].concat().into();
        for input in [Bytes::from(bytes), tagged] {
            // What does decode has exactly one encoding.
            if let Ok(frame) = ClientFrame::decode(&input) {
                prop_assert_eq!(body(&frame.encode()), &input);
            }
            if let Ok(frame) = RelayFrame::decode(&input) {
                prop_assert_eq!(body(&frame.encode()), &input);
            }
            if let Ok(frame) = FeedFrame::decode(&input) {
                prop_assert_eq!(body(&frame.encode()), &input);
            }
            if let Ok(statement) = Statement::decode(&input) {
                prop_assert_eq!(&statement.encode()[..], &input[..]);
            }
            let _ = (Invite::decode(&input), Grant::decode(&input), SealedSegment::parse(input));
        }
        let _ = RelayAddr::parse(&text);
        let _ = RelayAddr::parse(&format!("subrosa://{text}"));
    }
}

#[test]
fn counts_over_their_limit_are_refused_before_anything_is_allocated() {
    let hello = |count: u16| {
        let mut bytes = vec![0x01];
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&vec![0; usize::from(count) * 2 + 8]);
        ClientFrame::decode(&bytes.into())
    };
    let max = u16::try_from(limits::VERSIONS_MAX).unwrap();
    assert!(hello(max).is_ok());
    assert!(hello(max + 1).is_err());
    let heads = |count: usize| {
        let mut bytes = vec![0x08];
        bytes.extend_from_slice(&[0; 32]);
        bytes.push(1);
        bytes.extend_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
        bytes.extend_from_slice(&vec![0; count * 40 + 2]);
        ClientFrame::decode(&bytes.into())
    };
    assert!(heads(limits::HEADS_PART_MAX).is_ok());
    assert!(heads(limits::HEADS_PART_MAX + 1).is_err());
    let hello = |extension: usize| {
        let extensions = Extensions::new().with(1, vec![0; extension]).unwrap();
        let frame = ClientFrame::Hello { versions: vec![2], caps: 0, extensions };
        ClientFrame::decode(&frame.encode().slice(4..))
    };
    let room = limits::FRAME_BYTES_MAX_UNAUTHENTICATED - 1 - 4 - 8 - 3;
    assert!(hello(room).is_ok());
    assert!(hello(room + 1).is_err(), "as much as a peer that has proved nothing may send");
}

#[test]
fn heads_refuse_what_has_another_encoding() {
    let head = |log: u8, seq: u64, base: u64| ShortHead {
        log: LogId::from_bytes([log; 16]),
        seq: Seq(seq),
        chain: [7; 16],
        base: Base { seq: Seq(base), chain: Chain::from_bytes([8; 32]) },
    };
    let heads = vec![head(1, 5, 5), head(2, 9, 3)];
    let frame = ClientFrame::Heads { vault: VaultId::from_bytes([1; 32]), last: false, heads };
    let good = frame.encode().slice(4..).to_vec();
    assert_eq!(ClientFrame::decode(&good.clone().into()), Ok(frame));
    let bases = 1 + 32 + 1 + 2 + 2 * 40 + 2;
    for (name, at, value) in [
        ("a flag that is none", 33, 2),
        ("a base of a log that is not named", bases, 3),
        ("bases in another order", bases + 56, 1),
        ("a base beyond its head", bases + 16 + 7, 6),
        ("the base of a whole log", bases + 16 + 7, 0),
    ] {
        let mut bad = good.clone();
        if at < bases || name.contains("base of a log") || name.contains("order") {
            bad[at..at + if at < bases { 1 } else { 16 }].fill(value);
        } else {
            bad[at] = value;
        }
        assert!(ClientFrame::decode(&bad.into()).is_err(), "{name}");
    }
}
