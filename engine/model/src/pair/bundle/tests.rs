use subrosa_protocol::ids::Signature;
use subrosa_protocol::labels;
use subrosa_protocol::limits::ADMINS_MAX;
use subrosa_protocol::statement::Signer;
use subrosa_protocol::token::Invite;

use super::*;
use crate::control::{
    DeviceAdded, DeviceName, DeviceRole, Founding, SignedPrekey, device_added, found_vault,
};
use crate::entropy::SeededEntropy;
use crate::keys::{KeyProvider as _, SoftwareKey};

fn entropy(seed: u64) -> SeededEntropy {
    SeededEntropy::dangerous_from_seed(seed)
}

fn home() -> (VaultId, Keyring) {
    let device = SoftwareKey::generate(&entropy(1));
    let founded = found_vault(&device, "laptop", &Founding::Home, &entropy(2)).unwrap();
    (founded.vault, founded.keyring)
}

fn relay() -> RelayAddr {
    let invite = Invite {
        id: [1; 8],
        class: 0,
        uses_max: 1,
        expires_secs: 0,
        signature: subrosa_protocol::ids::Signature::ZERO,
    };
    RelayAddr::new(vec!["a:1".to_owned()], Pin::from_bytes([7; 32]), Some(invite)).unwrap()
}

fn heads(count: u16) -> Vec<Head> {
    let head = |n: u16| {
        let mut log = [0; 16];
        log[..2].copy_from_slice(&n.to_be_bytes());
        Head { log: LogId::from_bytes(log), seq: Seq(5), chain: Chain::from_bytes([1; 32]) }
    };
    (0..count).rev().map(head).collect()
}

fn bundle(vault: VaultId, keyring: &Keyring, frontier: &[Head]) -> Result<Bundle, PairError> {
    bundle_of(vault, keyring, &listing(vault, 8), frontier)
}

/// Adds the device of a seed.
fn listing(vault: VaultId, seed: u64) -> SignedEntry {
    let (founder, device) = (SoftwareKey::generate(&entropy(1)), SoftwareKey::generate(&entropy(seed)));
    let prekey = PrekeySecret::generate(&OwnLogs::generate(0, &entropy(5)), &entropy(6));
    let prekey = SignedPrekey::sign(&device, 0, prekey.pair.public()).unwrap();
    let (name, role) = (DeviceName::new("phone").unwrap(), DeviceRole::Admin);
    let added = DeviceAdded { device: device.public(), prekey, name, role };
    device_added(&founder, &vault, 1, added).unwrap()
}

fn bundle_of(
    vault: VaultId,
    keyring: &Keyring,
    listing: &SignedEntry,
    frontier: &[Head],
) -> Result<Bundle, PairError> {
    let parts = BundleParts { vault, name: "personal", keyring, relay: &relay(), frontier };
    Bundle::new(&parts, listing)
}

fn opened(vault: VaultId, keyring: &Keyring) -> Result<OpenedBundle, PairError> {
    OpenedBundle::read(bundle(vault, keyring, &heads(3)).unwrap().as_bytes())
}

#[test]
fn the_new_device_gets_what_it_needs_and_no_more() {
    let (vault, mut keyring) = home();
    keyring.keep_grant(Pin::from_bytes([7; 32]), b"grant");
    let bytes = bundle(vault, &keyring, &heads(3)).unwrap();
    let opened = OpenedBundle::read(bytes.as_bytes()).unwrap();
    assert_eq!((opened.vault, opened.name.as_str()), (vault, "personal"));
    assert_eq!(opened.relay, relay().without_invite());
    assert_eq!(opened.frontier.len(), 3);
    let logs = OwnLogs::generate(0, &entropy(5));
    let prekey = PrekeySecret::generate(&logs, &entropy(6));
    let theirs = opened.into_keyring(OwnKeys { logs, admin: KeyPair::generate(&entropy(7)), prekey });
    assert_eq!(theirs.recovery.commitment(), keyring.recovery.commitment());
    assert!(theirs.recovery.entropy.is_none(), "who was let in can be removed for good");
    assert!(theirs.data_key(Epoch(0)).unwrap().is(keyring.data_key(Epoch(0)).unwrap()));
    assert!(theirs.control_key(Epoch(0)).unwrap().is(keyring.control_key(Epoch(0)).unwrap()));
    assert_eq!(theirs.grant(&Pin::from_bytes([7; 32])), Some(&b"grant"[..]));
    assert_eq!(theirs.statements, keyring.statements);
    assert!(Keyring::decode(&theirs.encode()).is_ok());

    let holds = |secret: &[u8]| bytes.as_bytes().windows(32).any(|window| window == secret);
    for pair in [&keyring.logs.control, &keyring.logs.data, &keyring.prekeys[0].pair, &keyring.admin] {
        assert!(!holds(&pair.dangerous_to_pkcs8_der()[36..68]));
    }
    assert!(!holds(keyring.recovery.entropy.as_ref().unwrap().dangerous_bytes()));
    assert!(holds(keyring.data_key(Epoch(0)).unwrap().dangerous_bytes()), "so would it be found");
}

#[test]
fn a_frontier_that_does_not_fit_is_cut_and_stays_sorted() {
    let (vault, keyring) = home();
    let all = heads(4000);
    let bytes = bundle(vault, &keyring, &all).unwrap();
    assert!(bytes.as_bytes().len() <= PLAIN_BYTES_MAX && bytes.as_bytes().len() > PLAIN_BYTES_MAX - HEAD_LEN);
    let opened = OpenedBundle::read(bytes.as_bytes()).unwrap();
    assert!(opened.frontier.len() > 400);
    assert!(opened.frontier.contains(&all[0]), "the first ones stay");
    assert!(!opened.frontier.contains(&all[3999]));
}

#[test]
fn a_bundle_that_does_not_fit_is_refused() {
    let (vault, mut keyring) = home();
    keyring.grants = (0..55).map(|relay| (Pin::from_bytes([relay; 32]), vec![0; TOKEN_BYTES_MAX])).collect();
    let Err(PairError::BundleTooLarge { bytes, limit }) = bundle(vault, &keyring, &[]) else {
        panic!("30,000 bytes do not fit");
    };
    assert!(bytes > 30_000);
    assert_eq!(limit, 7 * 4093 - 81);
}

#[test]
fn only_a_vault_with_its_keys_is_handed_on() {
    let (vault, mut keyring) = home();
    keyring.epochs[0].key = None;
    assert_eq!(bundle(vault, &keyring, &[]).err(), Some(PairError::BadBundle));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let (other_vault, other) = {
        let device = SoftwareKey::generate(&entropy(1));
        let founded = found_vault(&device, "x", &Founding::Home, &entropy(3)).unwrap();
        (founded.vault, founded.keyring)
    };
    type Change = (&'static str, fn(&mut Keyring, Keyring));
    let changes: [Change; 6] = [
        ("epoch key", |keyring, other| keyring.epochs = other.epochs),
        ("epoch", |keyring, _| keyring.epochs[0].epoch = Epoch(1)),
        ("write key", |keyring, mut other| keyring.epochs[0].write = other.epochs[0].write.take()),
        ("statements", |keyring, other| keyring.statements = other.statements),
        ("recovery key", |keyring, other| keyring.recovery = other.recovery),
        ("recovery nonce", |keyring, other| keyring.recovery.nonce = other.recovery.nonce),
    ];
    for (name, change) in changes {
        let (vault, mut keyring) = home();
        let device = SoftwareKey::generate(&entropy(1));
        change(&mut keyring, found_vault(&device, "x", &Founding::Home, &entropy(3)).unwrap().keyring);
        assert_eq!(opened(vault, &keyring).err(), Some(PairError::BadBundle), "{name}");
    }
    assert_eq!(opened(home().0, &other).err(), Some(PairError::BadBundle), "vault");
    assert!(opened(other_vault, &other).is_ok());
    let (vault, keyring) = home();
    let elsewhere = bundle_of(vault, &keyring, &listing(other_vault, 8), &[]).unwrap();
    assert_eq!(OpenedBundle::read(elsewhere.as_bytes()).err(), Some(PairError::BadBundle), "listing");
}

#[test]
fn readers_get_no_write_key() {
    let (vault, mut keyring) = home();
    keyring.epochs[0].write = None;
    assert!(opened(vault, &keyring).is_ok());
}

#[test]
fn damage_is_an_error() {
    let (vault, keyring) = home();
    let bytes = bundle(vault, &keyring, &heads(2)).unwrap();
    let bytes = bytes.as_bytes();
    for cut in 0..bytes.len() {
        assert!(OpenedBundle::read(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(OpenedBundle::read(&[bytes, &[0]].concat()).is_err());
    for version in [2, 4] {
        let mut other = bytes.to_vec();
        other[0] = version;
        let unknown = DecodeError::Unknown { what: "bundle version", value: u64::from(version) };
        assert_eq!(OpenedBundle::read(&other).err(), Some(PairError::Message(unknown)));
    }
}

/// A later statement than generation 0, signed by the founder.
fn next_statement(keyring: &Keyring, admins: usize) -> Statement {
    let before = Statement::decode(keyring.statements.last()).unwrap();
    let founder = keyring.admin.public().into();
    let others = (1..admins as u64).map(|seed| KeyPair::generate(&entropy(100 + seed)).public().into());
    let mut next = Statement {
        generation: before.generation.next(),
        admins: std::iter::once(founder).chain(others).collect(),
        previous: before.hash(),
        signer: Signer::Admin(founder),
        ..before
    };
    let signature = keyring.admin.sign(labels::STATEMENT, &next.signed_bytes());
    next.signature = Signature::from_bytes(signature);
    next
}

#[test]
fn the_last_statement_goes_along_and_the_chain_is_asked_for() {
    let (vault, mut keyring) = home();
    let first = keyring.statements.whole().unwrap()[0].clone();
    assert_eq!(opened(vault, &keyring).unwrap().statement, first);
    let next = next_statement(&keyring, 2);
    let chain = vec![first.clone(), next.encode()];
    keyring.statements = HeldStatements::Whole(chain.clone());
    let opened = opened(vault, &keyring).unwrap();
    assert_eq!(opened.statement, next.encode(), "no chain");
    let own = || {
        let logs = OwnLogs::generate(0, &entropy(5));
        let prekey = PrekeySecret::generate(&logs, &entropy(6));
        OwnKeys { logs, admin: KeyPair::generate(&entropy(7)), prekey }
    };
    let theirs = opened.into_keyring(own());
    assert_eq!(theirs.statements, HeldStatements::Last(next.encode()));
    assert_eq!(theirs.statements.whole(), None);

    // A device that has only this one could let in another, too.
    assert_eq!(
        OpenedBundle::read(bundle(vault, &theirs, &[]).unwrap().as_bytes()).unwrap().statement,
        next.encode()
    );
}

#[test]
fn the_largest_statement_fits_with_epochs_grants_and_a_frontier() {
    let (vault, mut keyring) = home();
    let most = next_statement(&keyring, ADMINS_MAX);
    assert!(most.encode().len() <= STATEMENT_BYTES_MAX);
    keyring.statements = HeldStatements::Last(most.encode());
    let live = keyring.epochs.remove(0);
    keyring.epochs = (0..520).map(|epoch| EpochSecrets::generate(Epoch(epoch), &entropy(3))).collect();
    keyring.epochs.push(EpochSecrets { epoch: Epoch(520), ..live });
    let moved = Statement { epoch: Epoch(520), ..most };
    keyring.statements = HeldStatements::Last(moved.encode());
    keyring.grants = (0..4).map(|relay| (Pin::from_bytes([relay; 32]), vec![0; TOKEN_BYTES_MAX])).collect();
    let bytes = bundle(vault, &keyring, &heads(4000)).unwrap();
    assert!(bytes.as_bytes().len() <= PLAIN_BYTES_MAX);
    let opened = OpenedBundle::read(bytes.as_bytes()).unwrap();
    assert!(opened.frontier.len() >= 32, "{} heads: two logs of every admin", opened.frontier.len());
    assert_eq!(opened.epochs.len(), 521);
}
