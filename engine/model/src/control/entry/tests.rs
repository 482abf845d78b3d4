use proptest::prelude::*;

use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::SoftwareKey;
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

fn head(log: u8, seq: u64) -> Head {
    Head { log: LogId::from_bytes([log; 16]), seq: Seq(seq), chain: Chain::from_bytes([log; 32]) }
}

fn prekey(device: &SoftwareKey) -> SignedPrekey {
    SignedPrekey::sign(device, 3, pair(90).public()).unwrap()
}

fn genesis() -> Entry {
    Entry::Genesis(Genesis {
        recovery_commitment: [1; 32],
        founder: key(1).public(),
        prekey: prekey(&key(1)),
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
    let (control, data) = (pair(3), pair(4));
    Entry::LogCertificate(LogCertificate::prove(vault(), key(1).public(), 5, &control.public(), &data))
}

fn signed(entry: Entry, cited: Vec<Head>) -> SignedEntry {
    SignedEntry::sign(&key(1), &vault(), cited, entry).unwrap()
}

fn all() -> Vec<SignedEntry> {
    vec![
        signed(genesis(), vec![]),
        signed(added(), vec![head(9, 4), head(3, 1), head(3, 1)]),
        signed(certified(), vec![head(3, 1)]),
    ]
}

fn data() -> Vec<u8> {
    let mut entries: Vec<_> = all().into_iter().map(|entry| ControlEntry::Known(Box::new(entry))).collect();
    entries.insert(1, ControlEntry::Unknown { tag: 200, bytes: b"of a later version".to_vec() });
    encode_entries(&entries)
}

#[test]
fn entries_come_back_and_verify() {
    let data = data();
    let entries = decode_entries(&data).unwrap();
    assert_eq!(encode_entries(&entries), data);
    let known: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            ControlEntry::Known(signed) => Some((**signed).clone()),
            ControlEntry::Unknown { .. } => None,
        })
        .collect();
    assert_eq!(known, all());
    for entry in known {
        assert_eq!(entry.verify(&vault()), Ok(()));
    }
    let later = ControlEntry::Unknown { tag: 200, bytes: b"of a later version".to_vec() };
    assert_eq!(entries[1], later);
}

#[test]
fn citations_are_sorted_and_single() {
    let entry = signed(added(), vec![head(9, 4), head(3, 1), head(3, 1)]);
    assert_eq!(entry.cited, [head(3, 1), head(9, 4)]);
    let mut unsorted = entry;
    unsorted.cited.reverse();
    let data = encode_entries(&[ControlEntry::Known(Box::new(unsorted))]);
    assert_eq!(decode_entries(&data), Err(DecodeError::NotCanonical { what: "cited heads" }));
}

#[test]
fn every_altered_byte_is_refused() {
    let data = data();
    for at in 0..data.len() {
        let mut altered = data.clone();
        altered[at] ^= 1;
        let Ok(entries) = decode_entries(&altered) else { continue };
        let forged = entries.iter().any(|entry| match entry {
            ControlEntry::Known(signed) => signed.verify(&vault()).is_err(),
            // A tag that turned into an unknown one counts for nothing; so do bytes of an unknown entry.
            ControlEntry::Unknown { .. } => true,
        });
        assert!(forged, "byte {at}");
        assert_ne!(decode_entries(&data).unwrap(), entries, "byte {at}");
    }
}

#[test]
fn a_signature_binds_vault_kind_and_author() {
    let other = VaultId::from_bytes([8; 32]);
    let [genesis, added, certified] = all().try_into().unwrap();
    assert_eq!(genesis.verify(&other), Ok(()), "a genesis names no vault");
    assert_eq!(added.verify(&other), Err(BadSignature));
    assert_eq!(certified.verify(&other), Err(BadSignature));
    let renamed = SignedEntry { author: key(2).public(), ..added.clone() };
    assert_eq!(renamed.verify(&vault()), Err(BadSignature));
    let swapped = SignedEntry { entry: certified.entry, ..added.clone() };
    assert_eq!(swapped.verify(&vault()), Err(BadSignature));
    let uncited = SignedEntry { cited: vec![], ..added };
    assert_eq!(uncited.verify(&vault()), Err(BadSignature));
}

#[test]
fn prekey_and_data_log_must_be_the_devices_own() {
    let Entry::DeviceAdded(mut stolen) = added() else { unreachable!() };
    stolen.prekey = prekey(&key(1));
    assert_eq!(signed(Entry::DeviceAdded(stolen), vec![]).verify(&vault()), Err(BadSignature));

    // A data log whose key we do not hold, with the proof of another.
    let Entry::LogCertificate(mut claimed) = certified() else { unreachable!() };
    claimed.data_log = PublicKeyBytes::from_bytes(*pair(77).public().as_bytes());
    assert_eq!(signed(Entry::LogCertificate(claimed), vec![]).verify(&vault()), Err(BadSignature));
}

#[test]
fn refusals() {
    let one = |tag: u8, bytes: &[u8]| {
        let mut w = Writer::new();
        w.count(1).u8(tag).prefixed(bytes);
        w.finish()
    };
    let good = signed(added(), vec![]).encode();
    let foreign_founder = {
        let mut entry = signed(genesis(), vec![]);
        entry.author = key(2).public();
        entry.encode()
    };
    let foreign_owner = {
        let mut entry = signed(certified(), vec![]);
        entry.author = key(2).public();
        entry.encode()
    };
    let citing_genesis = {
        let mut entry = signed(genesis(), vec![]);
        entry.cited = vec![head(1, 1)];
        entry.encode()
    };
    let role_at = good.len() - 64 - 1;
    let mut bad_role = good.clone();
    bad_role[role_at] = 3;
    let mut off_curve = good.clone();
    off_curve[2 + 64] ^= 1;
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
        ("trailing in entry", one(2, &[&good[..], &[0]].concat()), DecodeError::Trailing { left: 1 }),
        ("unknown role", one(2, &bad_role), DecodeError::Unknown { what: "device role", value: 3 }),
        ("off the curve", one(2, &off_curve), DecodeError::Invalid { what: "public key" }),
        ("genesis by another", one(1, &foreign_founder), author),
        ("genesis that cites", one(1, &citing_genesis), author),
        ("certificate by another", one(3, &foreign_owner), author),
    ] {
        assert_eq!(decode_entries(&data), Err(error), "{name}");
    }
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
        cut in 0usize..2000,
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
