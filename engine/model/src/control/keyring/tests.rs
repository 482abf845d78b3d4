use super::*;
use crate::control::{Founding, found_vault};
use crate::entropy::SeededEntropy;
use crate::keys::SoftwareKey;

/// A keyring with something in every place.
fn full() -> Keyring {
    let entropy = SeededEntropy::dangerous_from_seed(1);
    let device = SoftwareKey::generate(&entropy);
    let mut keyring = found_vault(&device, "a", &Founding::Home, &entropy).unwrap().keyring;
    rotate(&mut keyring);
    keyring.epochs.push(EpochSecrets::generate(Epoch(4), &entropy));
    keyring.epochs[0].key = None;
    keyring.epochs[0].write = None;
    let prekey = PrekeySecret { number: 1, ..PrekeySecret::generate(&keyring.logs, &entropy) };
    keyring.prekeys.push(prekey);
    assert!(keyring.keep_grant(Pin::from_bytes([1; 32]), b"grant"));
    keyring
}

fn rotate(keyring: &mut Keyring) {
    let entropy = SeededEntropy::dangerous_from_seed(2);
    let next = keyring.next_logs(&entropy).unwrap();
    let prekey = PrekeySecret::generate(&next, &entropy);
    keyring.rotate_logs(next, prekey);
}

#[test]
fn keyrings_come_back() {
    for keyring in [full(), {
        let mut bare = full();
        bare.recovery.entropy = None;
        bare.statements = HeldStatements::Last(bare.statements.last().to_vec());
        bare.prekeys.clear();
        bare.grants.clear();
        bare
    }] {
        let bytes = keyring.encode();
        let again = Keyring::decode(&bytes).unwrap();
        assert_eq!(again.encode(), bytes);
        assert_eq!(again.logs.incarnation, 1);
        assert_eq!(again.logs.data.public(), keyring.logs.data.public());
        let old = |keyring: &Keyring| -> Vec<_> {
            keyring.old_logs.iter().map(|old| (old.incarnation, old.control.public())).collect()
        };
        assert_eq!((old(&again), old(&keyring).len()), (old(&keyring), 1));
        assert_eq!(again.recovery.commitment(), keyring.recovery.commitment());
        assert_eq!(again.statements, keyring.statements);
        assert_eq!(again.admin.public(), keyring.admin.public());
        let prekeys = |keyring: &Keyring| {
            let rows = keyring.prekeys.iter().map(|prekey| (prekey.log, prekey.number, prekey.pair.public()));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(prekeys(&again), prekeys(&keyring));
    }
}

#[test]
fn keys_are_found_by_epoch() {
    let keyring = full();
    assert_eq!(keyring.live_epoch().epoch, Epoch(4));
    assert!(keyring.data_key(Epoch(0)).is_none(), "shredded");
    assert!(keyring.control_key(Epoch(0)).is_some(), "outlives the epoch key");
    assert!(keyring.data_key(Epoch(4)).is_some());
    assert!(keyring.epoch(Epoch(1)).is_none());
    let bytes = |epoch| keyring.data_key(epoch).map(EpochKey::dangerous_bytes);
    assert_ne!(bytes(Epoch(4)), keyring.control_key(Epoch(4)).map(ControlKey::dangerous_bytes));
    assert!(keyring.epochs[0].read_key().is_none());
    let live = keyring.live_epoch();
    let key = EpochKey::read(&mut Reader::new(live.key.as_ref().unwrap().dangerous_bytes())).unwrap();
    let again = EpochSecrets::live(Epoch(4), key, None);
    assert!(again.control.is(&live.control));
    assert_eq!(again.read_key().unwrap().public(), live.read_key().unwrap().public());
}

#[test]
fn damage_is_an_error() {
    let bytes = full().encode();
    for cut in 0..bytes.len() {
        assert!(Keyring::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let trailing = [&bytes[..], &[0]].concat();
    assert_eq!(Keyring::decode(&trailing).unwrap_err(), KeyringError(DecodeError::Trailing { left: 1 }));
    for version in [2, 4] {
        let mut other = bytes.to_vec();
        other[0] = version;
        let unknown = DecodeError::Unknown { what: "keyring version", value: u64::from(version) };
        assert_eq!(Keyring::decode(&other).unwrap_err(), KeyringError(unknown));
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.to_vec();
        altered[at] ^= 0x80;
        if let Ok(keyring) = Keyring::decode(&altered) {
            assert_eq!(*keyring.encode(), altered, "byte {at} has two encodings");
        }
    }
}

#[test]
fn epochs_rise() {
    let mut keyring = full();
    keyring.epochs.swap(0, 1);
    let refused = DecodeError::NotCanonical { what: "epochs" };
    assert_eq!(Keyring::decode(&keyring.encode()).unwrap_err(), KeyringError(refused));
}

#[test]
fn one_grant_for_each_relay() {
    let mut keyring = full();
    let pin = Pin::from_bytes([1; 32]);
    assert!(!keyring.keep_grant(pin, b"grant"), "known");
    assert!(keyring.keep_grant(pin, b"other"));
    assert!(!keyring.keep_grant(pin, &[0; 513]), "no grant is that long");
    assert_eq!(keyring.grant(&pin), Some(&b"other"[..]));
    assert_eq!(keyring.grants.len(), 1);
    for relay in 0..100 {
        keyring.keep_grant(Pin::from_bytes([relay; 32]), b"grant");
    }
    assert_eq!(keyring.grants.len(), GRANTS_MAX);
    assert!(Keyring::decode(&keyring.encode()).is_ok());
}

#[test]
fn the_admin_key_stays_and_logs_are_not_endless() {
    let mut keyring = full();
    let admin = keyring.admin.public();
    while keyring.logs.incarnation < INCARNATIONS_MAX - 1 {
        rotate(&mut keyring);
    }
    let before = keyring.encode();
    assert_eq!(keyring.next_logs(&SeededEntropy::dangerous_from_seed(2)).err(), Some(BirthError::LogsUsedUp));
    assert_eq!(keyring.encode(), before);
    let again = Keyring::decode(&before).unwrap();
    assert_eq!((again.admin.public(), again.logs.incarnation), (admin, INCARNATIONS_MAX - 1));
    assert_eq!(again.prekeys.len(), PREKEYS_MAX);
    assert_eq!(again.prekeys.last().unwrap().log, LogId::of(&again.logs.control.public().into()));
}

#[test]
fn statements_are_one_or_all() {
    let read = |bytes: &[u8]| HeldStatements::read(&mut Reader::new(bytes));
    let one = [0, 0, 0, 1, 7];
    let list = |whole: u8, count: u8| [&[whole, 0, count][..], &one.repeat(usize::from(count))].concat();
    assert_eq!(read(&list(0, 1)), Ok(HeldStatements::Last(vec![7])));
    assert_eq!(read(&list(1, 2)), Ok(HeldStatements::Whole(vec![vec![7], vec![7]])));
    let invalid = Err(DecodeError::Invalid { what: "statements" });
    assert_eq!(read(&list(0, 0)), invalid);
    assert_eq!(read(&list(0, 2)), invalid);
    assert_eq!(read(&list(1, 0)), invalid);
    assert_eq!(read(&list(2, 1)), Err(DecodeError::Unknown { what: "wholeness", value: 2 }));
    let chain = HeldStatements::Whole(vec![vec![1], vec![2]]);
    assert_eq!((chain.last(), chain.whole().map(<[_]>::len)), (&[2][..], Some(2)));
    assert_eq!(
        (HeldStatements::Last(vec![3]).last(), HeldStatements::Last(vec![3]).whole()),
        (&[3][..], None)
    );
}

#[test]
fn nothing_secret_is_printed() {
    let keyring = full();
    let printed = format!("{keyring:?}");
    assert_eq!(printed, "Keyring { epochs: 2, incarnation: 1, statements: 1, grants: 1, .. }");
}
