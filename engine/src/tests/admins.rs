//! Who is let in as an admin comes into the statements, whoever sees it missing.

use subrosa_model::control::HeldStatements;
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_protocol::client_link::StatementsKept;
use subrosa_protocol::ids::{Generation, Pin, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::statement::{Signer, Statement, check_chain, join};

use super::exchange::pair;
use super::{ListRelay, TestDevice, copy_pair, device_with_vault, join as let_in};

fn admin(device: &TestDevice, vault: &VaultId) -> KeyPair {
    device.core().with_vault(vault, |state| Ok(copy_pair(&state.keyring.admin))).unwrap()
}

fn admin_key(device: &TestDevice, vault: &VaultId) -> PublicKeyBytes {
    admin(device, vault).public().into()
}

fn chain(device: &TestDevice, vault: &VaultId) -> Vec<Statement> {
    let held = device.core().with_vault(vault, |state| Ok(state.keyring.statements.list().to_vec())).unwrap();
    held.iter().map(|bytes| Statement::decode(bytes).unwrap()).collect()
}

fn hold(device: &TestDevice, vault: &VaultId, chain: &[Statement]) {
    let put = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        let held = chain.iter().map(Statement::encode).collect();
        tx.vault_mut(number)?.keyring.statements = HeldStatements::Whole(held);
        tx.put_keyring(number)
    });
    put.unwrap();
}

/// What `by` makes follow, with these admins.
fn next(before: &Statement, by: &KeyPair, admins: Vec<PublicKeyBytes>) -> Statement {
    let (generation, previous) = (before.generation.next(), before.hash());
    let signer = Signer::Admin(by.public().into());
    let mut next = Statement { generation, previous, signer, admins, ..before.clone() };
    next.signature = Signature::from_bytes(by.sign(labels::STATEMENT, &next.signed_bytes()));
    next
}

/// A relay's chain, which a device compares with its own: it takes what stays, and keeps what it is brought.
fn compare(device: &TestDevice, vault: &VaultId, relay: &mut Vec<Statement>) -> usize {
    let all: Vec<_> = relay.iter().map(Statement::encode).collect();
    let kept = device.core().take_statements(vault, &all).unwrap();
    let StatementsKept::Compared { last, tail } = kept else { panic!("it has seen all of it") };
    assert_eq!(last, Generation(chain(device, vault).len() as u64 - 1));
    let tail: Vec<_> = tail.iter().map(|bytes| Statement::decode(bytes).unwrap()).collect();
    let brought = tail.len();
    *relay = join(relay, &tail).chain;
    assert!(check_chain(vault, relay).is_ok());
    brought
}

/// Lets everybody have what everybody has.
fn exchange(relay: &ListRelay, vault: &VaultId, devices: &[&TestDevice]) {
    for device in devices.iter().chain(devices) {
        relay.sync(device.core(), vault);
    }
}

#[test]
fn letting_in_an_admin_extends_the_statement_as_soon_as_its_certificate_is_here() {
    let (a, b, relay) = (device_with_vault(), TestDevice::new(), ListRelay::new());
    let vault = let_in(&a, &b);
    relay.sync(a.core(), &vault);
    let mut shown = chain(&a, &vault);
    assert_eq!(compare(&a, &vault, &mut shown), 0, "its key is not known yet");
    relay.sync(b.core(), &vault);
    assert!(relay.feed(a.core(), &vault).received.statements, "a link compares at once");
    assert_eq!(compare(&a, &vault, &mut shown), 1);
    let keys = [&a, &b].map(|device| admin_key(device, &vault));
    assert_eq!((shown.len(), &shown[1].admins[..]), (2, &keys[..]));
    relay.sync(b.core(), &vault);
    assert!(!relay.feed(a.core(), &vault).received.statements, "once");
    assert_eq!(compare(&a, &vault, &mut shown), 0);
    assert_eq!(b.core().vouches(&vault).unwrap().len(), 0);
    assert_eq!(compare(&b, &vault, &mut shown), 0);
    assert_eq!(b.core().vouches(&vault).unwrap().len(), 2, "it is an admin to relays now");
}

#[test]
fn whoever_is_an_admin_adds_one_that_is_missing_and_whoever_is_none_does_not() {
    let (a, b, relay, vault) = pair();
    exchange(&relay, &vault, &[&a, &b]);
    let mut shown = chain(&a, &vault);
    assert_eq!(compare(&b, &vault, &mut shown), 0, "it is listed by no statement, and signs none");
    compare(&a, &vault, &mut shown);
    compare(&b, &vault, &mut shown);
    // It lets in another one, and is away before it knows its certificate.
    let c = TestDevice::new();
    let_in(&b, &c);
    exchange(&relay, &vault, &[&b, &c, &a]);
    hold(&b, &vault, &shown);
    assert_eq!(compare(&a, &vault, &mut shown), 1);
    assert_eq!(shown[2].admins, [&a, &b, &c].map(|device| admin_key(device, &vault)));
    for device in [&a, &b, &c] {
        assert_eq!(compare(device, &vault, &mut shown), 0);
        assert_eq!(chain(device, &vault), shown);
    }
}

#[test]
fn who_was_taken_out_is_not_put_back() {
    let (a, b, relay, vault) = pair();
    exchange(&relay, &vault, &[&a, &b]);
    let mut shown = chain(&a, &vault);
    compare(&a, &vault, &mut shown);
    let key = admin(&a, &vault);
    shown.push(next(&shown[1], &key, vec![key.public().into()]));
    let before = shown.clone();
    for device in [&a, &b, &a] {
        assert_eq!(compare(device, &vault, &mut shown), 0);
    }
    assert_eq!(shown, before);
}

#[test]
fn two_relays_whose_statements_parted_end_with_one_chain_that_lists_everybody() {
    // Who goes to which relay, and in which order they meet again.
    for order in [[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0], [2, 0, 1, 3]] {
        let (a, b, relay, vault) = pair();
        exchange(&relay, &vault, &[&a, &b]);
        let mut first = chain(&a, &vault);
        compare(&a, &vault, &mut first);
        compare(&b, &vault, &mut first);
        let mut relays = [first.clone(), first[..1].to_vec()];
        // Each lets in another device and tells one relay of it; neither knows of the other's.
        let (c, d) = (TestDevice::new(), TestDevice::new());
        let_in(&a, &c);
        let_in(&b, &d);
        let another = |n| ListRelay { pin: Pin::from_bytes([n; 32]), ..ListRelay::new() };
        let (ours, theirs) = (another(8), another(9));
        exchange(&ours, &vault, &[&a, &c]);
        exchange(&theirs, &vault, &[&b, &d]);
        assert_eq!(compare(&a, &vault, &mut relays[0]), 1);
        assert_eq!(compare(&b, &vault, &mut relays[1]), 2, "what the other one lacks as well");
        assert_ne!(relays[0], relays[1]);
        // They hear of each other, and everybody goes to both relays, in this order, until nothing is brought.
        exchange(&ours, &vault, &[&a, &b, &c, &d]);
        let devices = [&a, &b, &c, &d];
        let mut rounds = 0;
        loop {
            let mut brought = 0;
            for at in order {
                for relay in &mut relays {
                    brought += compare(devices[at], &vault, relay);
                }
            }
            rounds += 1;
            if brought == 0 {
                break;
            }
            assert!(rounds < 5, "{order:?}: no end");
        }
        assert_eq!(relays[0], relays[1], "{order:?}");
        let last = relays[0].last().unwrap();
        for device in devices {
            assert_eq!(chain(device, &vault), relays[0], "{order:?}");
            assert!(last.admins.contains(&admin_key(device, &vault)), "{order:?}");
        }
    }
}

#[test]
fn no_statement_is_made_beyond_what_one_may_list() {
    let (a, b, relay, vault) = pair();
    exchange(&relay, &vault, &[&a, &b]);
    let key = admin(&a, &vault);
    let mut shown = chain(&a, &vault);
    let mut admins: Vec<PublicKeyBytes> = vec![key.public().into()];
    admins
        .resize_with(subrosa_protocol::limits::ADMINS_MAX, || KeyPair::generate(&OsEntropy).public().into());
    shown.push(next(&shown[0], &key, admins));
    assert_eq!(compare(&a, &vault, &mut shown), 0);
    assert_eq!(shown.len(), 2);
}
