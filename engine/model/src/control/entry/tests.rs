use proptest::prelude::*;
use subrosa_protocol::ids::LogId;

use super::*;
use crate::control::{BirthError, DeviceName, DeviceRole, OwnLogs, SignedPrekey, with_caps};
use crate::entropy::SeededEntropy;
use crate::keys::{KeyPair, SoftwareKey};
use crate::merge::{CapStep, Stamp};
use crate::spec;

fn key(seed: u64) -> SoftwareKey {
    SoftwareKey::generate(&SeededEntropy::dangerous_from_seed(seed))
}

fn pair(seed: u64) -> KeyPair {
    KeyPair::generate(&SeededEntropy::dangerous_from_seed(seed))
}

fn vault() -> VaultId {
    VaultId::from_bytes([7; 32])
}

fn prekey(device: &SoftwareKey) -> SignedPrekey {
    SignedPrekey::sign(device, 3, pair(90).public()).unwrap()
}

fn logs() -> OwnLogs {
    OwnLogs { incarnation: 5, control: pair(3), data: pair(4) }
}

fn genesis() -> Entry {
    Entry::Genesis(Genesis {
        recovery_commitment: [1; 32],
        founder: key(1).public(),
        name: DeviceName::new("Ada's laptop").unwrap(),
        nonce: [2; 32],
    })
}

fn added() -> Entry {
    Entry::DeviceAdded(DeviceAdded {
        device: key(2).public(),
        prekey: prekey(&key(2)),
        name: DeviceName::new("téléphone").unwrap(),
        role: DeviceRole::Admin,
    })
}

fn certified() -> Entry {
    let body = LogCertificate::prove(vault(), key(1).public(), &logs(), &pair(5), prekey(&key(1)));
    Entry::LogCertificate(Box::new(body))
}

fn later(tag: u8) -> Entry {
    Entry::Unknown(UnknownEntry::new(tag, b"of a later version".to_vec()))
}

fn extended(entry: Entry, number: u64, extensions: Extensions) -> SignedEntry {
    SignedEntry::sign(&key(1), &vault(), number, entry, extensions).unwrap()
}

fn signed(entry: Entry, number: u64) -> SignedEntry {
    extended(entry, number, Extensions::new())
}

fn all() -> Vec<SignedEntry> {
    let unknown = Extensions::new().with(9, vec![1, 2]).unwrap();
    let caps =
        with_caps(Extensions::new(), &[(LogId::from_bytes([4; 16]), CapStep::of_all(Stamp(77)))]).unwrap();
    vec![
        extended(genesis(), 0, unknown.clone()),
        extended(added(), 1, unknown),
        extended(certified(), u64::MAX, caps),
        signed(later(100), 2),
        signed(later(200), 2),
    ]
}

fn data() -> Vec<u8> {
    encode_entries(&all())
}

#[test]
fn entries_come_back_and_verify() {
    let data = data();
    let entries = decode_entries(&data).unwrap();
    assert_eq!(encode_entries(&entries), data);
    assert_eq!(entries, all());
    for entry in &entries {
        assert_eq!(entry.verify(&vault()), Ok(()));
    }
    let critical = |entry: &SignedEntry| match &entry.entry {
        Entry::Unknown(unknown) => Some(unknown.is_critical()),
        _ => None,
    };
    assert_eq!(entries.iter().map(critical).collect::<Vec<_>>(), [None, None, None, Some(false), Some(true)]);
    let hash = entries[0].genesis_hash().unwrap();
    assert_ne!(signed(genesis(), 0).genesis_hash(), Some(hash), "extensions are part of the hash");
    assert_eq!(entries[1].genesis_hash(), None);
}

#[test]
fn every_altered_byte_is_refused() {
    let data = data();
    for at in 0..data.len() {
        let mut altered = data.clone();
        altered[at] ^= 1;
        let Ok(entries) = decode_entries(&altered) else { continue };
        assert!(entries.iter().any(|entry| entry.verify(&vault()).is_err()), "byte {at}");
    }
}

#[test]
fn a_signature_binds_vault_kind_author_number_and_extensions() {
    let other = VaultId::from_bytes([8; 32]);
    let [genesis, added, certified, kept, _] = all().try_into().unwrap();
    assert_eq!(genesis.verify(&other), Ok(()), "a genesis names no vault");
    let bare = SignedEntry { extensions: Extensions::new(), ..added.clone() };
    let renamed = SignedEntry { author: key(2).public(), ..added.clone() };
    let renumbered = SignedEntry { number: 9, ..added.clone() };
    let swapped = SignedEntry { entry: certified.entry.clone(), ..added.clone() };
    let retagged = SignedEntry { entry: later(101), ..kept.clone() };
    for (name, entry) in [
        ("without extensions", &bare),
        ("another author", &renamed),
        ("another number", &renumbered),
        ("another entry", &swapped),
        ("another unknown tag", &retagged),
    ] {
        assert_eq!(entry.verify(&vault()), Err(BadSignature), "{name}");
    }
    for entry in [added, certified, kept] {
        assert_eq!(entry.verify(&other), Err(BadSignature));
    }
}

#[test]
fn prekey_data_log_and_admin_key_must_be_the_devices_own() {
    let Entry::DeviceAdded(mut stolen) = added() else { unreachable!() };
    stolen.prekey = prekey(&key(1));
    assert_eq!(signed(Entry::DeviceAdded(stolen), 0).verify(&vault()), Err(BadSignature));

    let alter = |change: fn(&mut LogCertificate)| {
        let Entry::LogCertificate(mut claimed) = certified() else { unreachable!() };
        change(&mut claimed);
        signed(Entry::LogCertificate(claimed), 0).verify(&vault())
    };
    assert_eq!(alter(|_| ()), Ok(()));
    // Keys that we do not hold, with the proof of another.
    assert_eq!(alter(|claimed| claimed.data_log = pair(77).public().into()), Err(BadSignature));
    assert_eq!(alter(|claimed| claimed.admin_key = pair(77).public().into()), Err(BadSignature));
    assert_eq!(alter(|claimed| claimed.data_proof = claimed.admin_proof), Err(BadSignature));
    assert_eq!(alter(|claimed| claimed.admin_proof = claimed.data_proof), Err(BadSignature));
    assert_eq!(alter(|claimed| claimed.prekey.number += 1), Err(BadSignature));
    // All proofs hold, and the prekey is another device's.
    let body = LogCertificate::prove(vault(), key(1).public(), &logs(), &pair(5), prekey(&key(2)));
    assert_eq!(signed(Entry::LogCertificate(Box::new(body)), 0).verify(&vault()), Err(BadSignature));
}

/// An entry with one byte of its payload changed, signed again.
fn resigned(entry: &SignedEntry, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<SignedEntry>, DecodeError> {
    let tag = entry.entry.tag();
    let encoded = entry.encode();
    let mut payload = encoded[65 + 8..encoded.len() - 64].to_vec();
    change(&mut payload);
    let mut again = signed(Entry::Unknown(UnknownEntry::new(200, payload.clone())), entry.number);
    again.entry = Entry::Unknown(UnknownEntry { tag, bytes: payload, critical: false });
    let bytes = again.signed_bytes(&vault());
    again.signature = key(1).sign(&[again.label(), &bytes].concat()).unwrap();
    decode_entries(&encode_entries(&[again]))
}

#[test]
fn what_belongs_to_a_newer_version_is_kept_and_counts_for_nothing() {
    let unknown = |entries: Vec<SignedEntry>| {
        let [entry] = entries.try_into().unwrap();
        assert_eq!(entry.verify(&vault()), Ok(()), "its envelope is known");
        assert_eq!(decode_entries(&encode_entries(std::slice::from_ref(&entry))), Ok(vec![entry.clone()]));
        let Entry::Unknown(unknown) = entry.entry else { panic!("understood: {entry:?}") };
        unknown.is_critical()
    };
    let added = signed(added(), 4);
    let role_at = added.encode().len() - 65 - 8 - 64 - 1;
    assert!(!unknown(resigned(&added, |payload| payload[role_at] = 3).unwrap()), "a role");
    assert!(!unknown(resigned(&added, |payload| payload[65] = 2).unwrap()), "a suite");
    let longer = resigned(&added, |payload| {
        payload[65] = 2;
        payload.splice(65 + 5..65 + 7, [0, 70]);
        payload.splice(65 + 7..65 + 7, [9; 5]);
    });
    assert!(!unknown(longer.unwrap()), "a suite with longer keys");
    let suite_at = 32 + 65 + 4 + 3 * 65;
    let certified = signed(certified(), 4);
    assert!(!unknown(resigned(&certified, |payload| payload[suite_at] = 2).unwrap()), "a suite");
    for entry in [&added, &certified, &signed(genesis(), 0)] {
        assert!(unknown(resigned(entry, |payload| payload.extend([0x80, 0, 0])).unwrap()), "critical");
        let kept = resigned(entry, |payload| payload.extend([0x7f, 0, 1, 5])).unwrap();
        assert_eq!(kept[0].entry, entry.entry);
        assert_eq!(kept[0].extensions.get(0x7f), Some(&[5][..]));
    }
}

#[test]
fn refusals() {
    let one = |tag: u8, bytes: &[u8]| {
        let mut w = Writer::new();
        w.count(1).u8(tag).prefixed(bytes);
        w.finish()
    };
    let good = signed(added(), 0).encode();
    let by_another = |entry| SignedEntry { author: key(2).public(), ..signed(entry, 0) }.encode();
    let numbered = SignedEntry { number: 1, ..signed(genesis(), 0) }.encode();
    let mut off_curve = good.clone();
    off_curve[64] ^= 1;
    let trailing = {
        let (front, signature) = good.split_at(good.len() - 64);
        [front, &[0], signature].concat()
    };
    let author = DecodeError::Invalid { what: "author of control entry" };
    for (name, data, error) in [
        ("empty", vec![], DecodeError::Truncated { needed: 2, left: 0 }),
        ("count beyond bytes", vec![0, 2, 9, 0, 0, 0, 0], DecodeError::Truncated { needed: 10, left: 5 }),
        (
            "too many",
            vec![1, 1],
            DecodeError::TooLarge { what: "control entries", announced: 257, limit: 256 },
        ),
        (
            "entry too long",
            vec![0, 1, 9, 0xff, 0, 0, 0],
            DecodeError::TooLarge { what: "control entry", announced: 0xff00_0000, limit: 512 << 10 },
        ),
        ("trailing", [&one(2, &good)[..], &[0]].concat(), DecodeError::Trailing { left: 1 }),
        ("no signature", one(2, &[0; 63]), DecodeError::Truncated { needed: 64, left: 63 }),
        ("no envelope of an unknown tag", one(200, &[0; 64]), DecodeError::Truncated { needed: 65, left: 0 }),
        ("half an extension", one(2, &trailing), DecodeError::Truncated { needed: 2, left: 0 }),
        ("off the curve", one(2, &off_curve), DecodeError::Invalid { what: "public key" }),
        ("genesis by another", one(1, &by_another(genesis())), author),
        ("genesis with a number", one(1, &numbered), author),
        ("certificate by another", one(3, &by_another(certified())), author),
    ] {
        assert_eq!(decode_entries(&data), Err(error), "{name}");
    }
    let certified = signed(certified(), 4);
    let beyond =
        resigned(&certified, |payload| payload.splice(97..101, 1024u32.to_be_bytes()).for_each(drop));
    let too_large = DecodeError::TooLarge { what: "incarnation", announced: 1024, limit: 1023 };
    assert_eq!(beyond, Err(too_large));
    let last = resigned(&certified, |payload| payload.splice(97..101, 1023u32.to_be_bytes()).for_each(drop));
    assert!(last.is_ok());
    let caps = resigned(&certified, |payload| payload.extend([1, 0, 0]));
    assert_eq!(caps, Err(DecodeError::Truncated { needed: 16, left: 0 }));
    let short = resigned(&signed(added(), 4), |payload| payload[65 + 6] = 64);
    assert_eq!(short, Err(DecodeError::Invalid { what: "prekey" }));
}

#[test]
fn ranks_are_by_number_and_then_by_hash() {
    let [a, b] = [signed(added(), 3).rank(), signed(later(9), 3).rank()];
    assert_ne!(a, b);
    assert_eq!(a < b, a.hash < b.hash);
    assert!(signed(added(), 4).rank() > a.max(b));
}

#[test]
fn names_can_be_shown_anywhere() {
    for (name, text) in [
        ("empty", String::new()),
        ("too long", "x".repeat(129)),
        ("escape", "a\u{1b}[2Jb".to_owned()),
        ("newline", "a\nb".to_owned()),
    ] {
        assert_eq!(DeviceName::new(&text), Err(BirthError::DeviceName { bytes: text.len() }), "{name}");
        let mut w = Writer::new();
        w.prefixed(text.as_bytes());
        assert!(DeviceName::read(&mut Reader::new(&w.finish())).is_err(), "{name}");
    }
    let name = DeviceName::new(&"x".repeat(128)).unwrap();
    assert_eq!(format!("{name:?}"), "DeviceName(128 bytes)");
    let mut w = Writer::new();
    w.prefixed(&[0xff, 0xfe]);
    let invalid = Err(DecodeError::Invalid { what: "device name" });
    assert_eq!(DeviceName::read(&mut Reader::new(&w.finish())), invalid);
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused_and_have_one_encoding(
        cut in 0usize..3000,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = data();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(1));
        bytes.extend(tail);
        if let Ok(entries) = decode_entries(&bytes) {
            prop_assert_eq!(encode_entries(&entries), bytes);
        }
    }
}

#[test]
fn the_specification_lists_the_same_tags() {
    let section = spec::section(spec::FORMAT, "Control entries");
    let rows: Vec<u8> =
        spec::table(section, "| tag | entry |").iter().map(|row| row[0].parse().unwrap()).collect();
    let tags: Vec<_> = [genesis(), added(), certified()].iter().map(Entry::tag).collect();
    assert_eq!(rows, tags);
}
