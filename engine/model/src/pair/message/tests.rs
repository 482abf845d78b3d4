use proptest::prelude::*;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::Pin;

use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, SoftwareKey};
use crate::spec;

fn pair(seed: u64) -> KeyPair {
    KeyPair::generate(&SeededEntropy::dangerous_from_seed(seed))
}

fn link() -> PairLink {
    let relay = RelayAddr::new(vec!["a:1".to_owned()], Pin::from_bytes([7; 32]), None).unwrap();
    PairLink::new(&relay, &pair(1).public(), 0, &SeededEntropy::dangerous_from_seed(9))
}

fn reveal() -> Reveal {
    Reveal {
        ephemeral: pair(1).public(),
        nonce: [1; 32],
        device: pair(2).public(),
        vaults: vec![VaultId::from_bytes([3; 32]), VaultId::from_bytes([4; 32])],
    }
}

fn opening() -> Opening {
    let device = SoftwareKey::new(pair(4));
    Opening {
        ephemeral: pair(3).public(),
        nonce: [2; 32],
        device: pair(4).public(),
        prekey: SignedPrekey::sign(&device, 0, pair(5).public()).unwrap(),
        name: DeviceName::new("phone").unwrap(),
    }
}

fn messages() -> Vec<Message> {
    vec![
        Message::Commit { commitment: [1; 32], mac: [2; 32] },
        Message::Reveal { reveal: reveal(), mac: [3; 32] },
        Message::Open { opening: Box::new(opening()), proof: [4; 64], mac: [5; 32] },
        Message::Piece { index: 1, count: 2, bytes: vec![6; 9] },
        Message::Done { mac: [7; 32] },
        Message::Abort(AbortReason::WrongCode),
        Message::Abort(AbortReason::Other(99)),
    ]
}

#[test]
fn messages_come_back_and_nothing_else_parses() {
    for message in messages() {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message));
        for cut in 0..bytes.len() {
            // A piece ends where the message does, so a shorter one is another piece.
            assert!(Message::decode(&bytes[..cut]).is_err() || bytes[0] == PIECE, "cut at {cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Message::decode(&longer).is_err() || bytes[0] == PIECE);
    }
    let invalid = |what| Err(DecodeError::Invalid { what });
    let unknown = |what, value| Err(DecodeError::Unknown { what, value });
    for (name, bytes, error) in [
        ("empty", vec![], Err(DecodeError::Truncated { needed: 1, left: 0 })),
        ("tag", vec![9], unknown("pairing message", 9)),
        ("version", vec![COMMIT, 1], unknown("pairing version", 1)),
        ("piece beyond the last", vec![PIECE, 2, 2, 0], invalid("piece")),
        ("too many pieces", vec![PIECE, 0, 8, 0], invalid("piece")),
        ("empty piece", vec![PIECE, 0, 1], invalid("piece")),
    ] {
        assert_eq!(Message::decode(&bytes), error, "{name}");
    }
    let none = Reveal { vaults: vec![], ..reveal() };
    let none = Message::Reveal { reveal: none, mac: [0; 32] }.encode();
    assert_eq!(Message::decode(&none), invalid("vaults"));
    let huge = DecodeError::TooLarge { what: "message", announced: 4097, limit: 4096 };
    assert_eq!(Message::decode(&[PIECE; 4097]), Err(huge));
}

#[test]
fn the_largest_messages_fit() {
    let vaults = vec![VaultId::from_bytes([3; 32]); PAIR_VAULTS_MAX];
    let most = Message::Reveal { reveal: Reveal { vaults, ..reveal() }, mac: [0; 32] }.encode();
    assert!(Message::decode(&most).is_ok());
    let sealed = vec![1; SEALED_BYTES_MAX];
    let pieces = pieces(&sealed);
    assert_eq!(pieces.len() + 1, RENDEZVOUS_MESSAGES_MAX);
    assert!(pieces.iter().all(|piece| piece.encode().len() == RENDEZVOUS_MESSAGE_BYTES_MAX));
}

#[test]
fn codes_are_six_digits_however_typed() {
    assert_eq!(PairCode(42).to_string(), "000042");
    for text in ["000042", " 000 042\n", "000-042", "0 0 0 0 4 2"] {
        assert_eq!(PairCode::parse(text), Some(PairCode(42)), "{text}");
    }
    for text in ["", "42", "00042", "0000420", "00004a", "000042!", "0000 42 1"] {
        assert_eq!(PairCode::parse(text), None, "{text}");
    }
    assert!(
        PairCode(999_999).matches("999 999") && !PairCode(1).matches("000002") && !PairCode(1).matches("")
    );
}

#[test]
fn the_code_depends_on_everything_that_was_said() {
    let link = link();
    let hash = |reveal: &Reveal, opening: &Opening| Transcript::new(&link, &[8; 32], reveal, opening).hash();
    let same = hash(&reveal(), &opening());
    assert_eq!(same, hash(&reveal(), &opening()));
    let others = [
        hash(&Reveal { ephemeral: pair(8).public(), ..reveal() }, &opening()),
        hash(&Reveal { nonce: [9; 32], ..reveal() }, &opening()),
        hash(&Reveal { device: pair(8).public(), ..reveal() }, &opening()),
        hash(&Reveal { vaults: reveal().vaults[..1].to_vec(), ..reveal() }, &opening()),
        hash(&reveal(), &Opening { ephemeral: pair(8).public(), ..opening() }),
        hash(&reveal(), &Opening { nonce: [9; 32], ..opening() }),
        hash(&reveal(), &Opening { device: pair(8).public(), ..opening() }),
        hash(&reveal(), &Opening { name: DeviceName::new("tv").unwrap(), ..opening() }),
        Transcript::new(&link, &[9; 32], &reveal(), &opening()).hash(),
    ];
    assert!(others.iter().all(|other| *other != same));
    let fresh = PairLink::new(link.relay(), &pair(1).public(), 0, &SeededEntropy::dangerous_from_seed(10));
    assert_ne!(Transcript::new(&fresh, &[8; 32], &reveal(), &opening()).hash(), same);
}

#[test]
fn macs_differ_by_message_and_secret() {
    let link = link();
    let transcript = Transcript::new(&link, &[8; 32], &reveal(), &opening());
    let macs = [
        link.commit_mac(&[8; 32]),
        link.done_mac(&[8; 32]),
        link.reveal_mac(&[8; 32], &reveal()),
        link.open_mac(&transcript, &[0; 64]),
    ];
    for (i, mac) in macs.iter().enumerate() {
        assert!(!macs[..i].contains(mac));
        assert_eq!(check_mac(mac, mac), Ok(()));
        assert_eq!(check_mac(mac, &[0; 32]), Err(PairError::NotAuthentic));
    }
    let fresh = PairLink::new(link.relay(), &pair(1).public(), 0, &SeededEntropy::dangerous_from_seed(10));
    assert_ne!(fresh.commit_mac(&[8; 32]), macs[0]);
}

proptest! {
    #[test]
    fn any_bytes_have_one_encoding_or_none(
        which in 0..7usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = messages()[which].encode();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

#[test]
fn the_specification_lists_the_same_messages() {
    let section = spec::section(include_str!("../../../../../docs/PROTOCOL.md"), "Pairing");
    let rows: Vec<u8> =
        spec::table(section, "| tag | message |").iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(rows, [COMMIT, REVEAL, OPEN, PIECE, DONE, ABORT]);
    let limit = SEALED_BYTES_MAX.to_string();
    let limit = format!("{},{} bytes", &limit[..2], &limit[2..]);
    assert!(section.contains(&limit), "{limit}");
    let reasons: Vec<_> = [1, 2, 3, 4, 5, 6].map(AbortReason::from_wire).to_vec();
    assert!(!reasons[..5].iter().any(|reason| matches!(reason, AbortReason::Other(_))));
    assert_eq!(reasons[5], AbortReason::Other(6));
}
