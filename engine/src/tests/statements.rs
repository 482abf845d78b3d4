//! What a device keeps of a relay's statements, what it brings, and what waits for a whole chain.

use subrosa_model::control::HeldStatements;
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_protocol::client_link::{HeldChain, StatementsKept};
use subrosa_protocol::ids::{Generation, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::statement::{Signer, Statement, check_chain};

use super::{ListRelay, TestDevice, copy_pair, device_with_vault, join, record};
use crate::error::{Error, PeerFault};

fn admin(device: &TestDevice, vault: &VaultId) -> KeyPair {
    device.core().with_vault(vault, |state| Ok(copy_pair(&state.keyring.admin))).unwrap()
}

fn chain(device: &TestDevice, vault: &VaultId) -> Vec<Vec<u8>> {
    device.core().with_vault(vault, |state| Ok(state.keyring.statements.list().to_vec())).unwrap()
}

fn hold(device: &TestDevice, vault: &VaultId, held: HeldStatements) {
    let put = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        tx.vault_mut(number)?.keyring.statements = held.clone();
        tx.put_keyring(number)
    });
    put.unwrap();
}

/// What `admin` makes follow `before`; every call makes another one.
fn next(before: &[u8], admin: &KeyPair) -> Vec<u8> {
    let before = Statement::decode(before).unwrap();
    let write: PublicKeyBytes = KeyPair::generate(&OsEntropy).public().into();
    let signer = Signer::Admin(admin.public().into());
    let (generation, previous) = (before.generation.next(), before.hash());
    let mut statement = Statement { generation, previous, write, signer, ..before };
    statement.signature = Signature::from_bytes(admin.sign(labels::STATEMENT, &statement.signed_bytes()));
    statement.encode()
}

fn longer(mut chain: Vec<Vec<u8>>, admin: &KeyPair, count: usize) -> Vec<Vec<u8>> {
    while chain.len() < count {
        chain.push(next(chain.last().unwrap(), admin));
    }
    chain
}

fn compared(last: u64, tail: &[Vec<u8>]) -> StatementsKept {
    StatementsKept::Compared { last: Generation(last), tail: tail.to_vec() }
}

#[test]
fn what_a_relay_has_more_is_kept_and_what_it_has_less_is_brought() {
    let device = device_with_vault();
    let (vault, core) = (device.vault().id(), device.core());
    let key = admin(&device, &vault);
    let four = longer(chain(&device, &vault), &key, 4);
    assert_eq!(core.take_statements(&vault, &four[..1]).unwrap(), compared(0, &[]), "nothing new");
    assert_eq!(core.take_statements(&vault, &four[..2]).unwrap(), compared(1, &[]), "one more");
    assert_eq!(chain(&device, &vault), four[..2]);
    assert_eq!(core.held_chain(&vault).unwrap(), HeldChain::Whole { last: Generation(1) });
    assert_eq!(core.take_statements(&vault, &four[1..]).unwrap(), compared(3, &[]));
    assert_eq!(chain(&device, &vault), four);
    assert_eq!(
        core.take_statements(&vault, &[]).unwrap(),
        StatementsKept::Ask,
        "it does not have our last one"
    );
    assert_eq!(core.take_statements(&vault, &four[..2]).unwrap(), compared(3, &four[2..]), "and lacks two");
    let forged = next(&four[3], &KeyPair::generate(&OsEntropy));
    let shown = [four[3].clone(), forged];
    assert_eq!(core.take_statements(&vault, &shown).unwrap(), compared(3, &[]), "nobody's statement is kept");
    let garbage = core.take_statements(&vault, &[vec![1; 9]]);
    assert!(matches!(garbage, Err(Error::Peer(PeerFault::BadStatements))), "{garbage:?}");
    assert_eq!(chain(&device, &vault), four);
}

#[test]
fn of_rivals_both_sides_keep_the_earlier_one() {
    let device = device_with_vault();
    let (vault, core) = (device.vault().id(), device.core());
    let key = admin(&device, &vault);
    let first = chain(&device, &vault);
    let mut rivals = [longer(first.clone(), &key, 2), longer(first.clone(), &key, 2)];
    rivals.sort_by_key(|chain| Statement::decode(&chain[1]).unwrap().hash());
    let [earlier, later] = rivals;
    hold(&device, &vault, HeldStatements::Whole(later.clone()));
    assert_eq!(core.take_statements(&vault, &earlier[1..]).unwrap(), StatementsKept::Ask);
    assert_eq!(core.take_statements(&vault, &earlier).unwrap(), compared(1, &[]));
    assert_eq!(chain(&device, &vault), earlier, "the relay's stands earlier");
    assert_eq!(core.take_statements(&vault, &later).unwrap(), compared(1, &earlier[1..]), "ours does");
    assert_eq!(chain(&device, &vault), earlier);
}

#[test]
fn with_the_last_statement_only_nothing_is_sealed_before_a_chain_leads_to_it() {
    let device = device_with_vault();
    let (vault, core) = (device.vault().id(), device.core());
    let key = admin(&device, &vault);
    let four = longer(chain(&device, &vault), &key, 4);
    hold(&device, &vault, HeldStatements::Last(four[2].clone()));
    device.vault().records("notes").insert(&record(&[("a", 1)])).unwrap();
    assert_eq!(core.held_chain(&vault).unwrap(), HeldChain::Last);
    assert_eq!(core.seal(&vault).unwrap().segments, 0);
    assert_eq!(core.birth(&vault, &ListRelay::new().pin).unwrap().chain, HeldChain::Last, "and none created");
    let elsewhere = device_with_vault();
    let other = chain(&elsewhere, &elsewhere.vault().id());
    let mut forged = four.clone();
    forged[1] = next(&four[0], &KeyPair::generate(&OsEntropy));
    for (name, shown) in [
        ("nothing", vec![]),
        ("another vault's", other),
        ("one that ends before", four[..1].to_vec()),
        ("one without its beginning", four[1..].to_vec()),
        ("one that is not signed", forged),
    ] {
        let taken = core.take_statements(&vault, &shown);
        assert!(matches!(taken, Err(Error::Peer(PeerFault::BadStatements))), "{name}: {taken:?}");
        assert_eq!(core.held_chain(&vault).unwrap(), HeldChain::Last, "{name}");
    }
    for (name, shown, kept) in [
        ("to it", &four[..3], compared(2, &[])),
        ("and beyond", &four[..], compared(3, &[])),
        ("just short of it", &four[..2], compared(2, &four[2..3])),
    ] {
        hold(&device, &vault, HeldStatements::Last(four[2].clone()));
        assert_eq!(core.take_statements(&vault, shown).unwrap(), kept, "{name}");
        let held: Vec<_> = chain(&device, &vault).iter().map(|one| Statement::decode(one).unwrap()).collect();
        assert!(check_chain(&vault, &held).is_ok(), "{name}: it is kept whole");
    }
    assert!(core.seal(&vault).unwrap().segments > 0);
}

#[test]
fn with_the_last_statement_only_a_rival_that_took_its_place_meanwhile_is_judged_as_anywhere() {
    let device = device_with_vault();
    let (vault, core) = (device.vault().id(), device.core());
    let key = admin(&device, &vault);
    let first = chain(&device, &vault);
    let two = longer(first.clone(), &key, 2);
    let mut rivals = [longer(two.clone(), &key, 3), longer(two, &key, 3)];
    rivals.sort_by_key(|chain| Statement::decode(&chain[2]).unwrap().hash());
    let [preferred, other] = rivals;
    let grown = longer(preferred.clone(), &key, 5);
    let elsewhere = longer(first, &key, 4);
    for (name, last, shown, expected, kept) in [
        ("the relay's", &other, &preferred, &preferred, compared(2, &[])),
        ("the relay's, and what followed", &other, &grown, &grown, compared(4, &[])),
        ("ours", &preferred, &other, &preferred, compared(2, &preferred[2..])),
        ("one that parted before", &preferred, &elsewhere, &elsewhere, compared(3, &[])),
    ] {
        hold(&device, &vault, HeldStatements::Last(last[2].clone()));
        device.vault().records("notes").insert(&record(&[("a", 1)])).unwrap();
        assert_eq!(core.seal(&vault).unwrap().segments, 0, "{name}");
        assert_eq!(core.take_statements(&vault, shown).unwrap(), kept, "{name}");
        assert_eq!(&chain(&device, &vault), expected, "{name}");
        assert!(core.held_chain(&vault).unwrap() != HeldChain::Last, "{name}: it is whole");
        assert!(core.seal(&vault).unwrap().segments > 0, "{name}: it goes on");
    }
    // Of a chain that ends before nobody can say whether it is another one.
    hold(&device, &vault, HeldStatements::Last(preferred[2].clone()));
    let taken = core.take_statements(&vault, &elsewhere[..2]);
    assert!(matches!(taken, Err(Error::Peer(PeerFault::BadStatements))), "{taken:?}");
}

#[test]
fn a_device_that_is_shown_a_juniors_rival_brings_what_a_senior_signed() {
    let device = device_with_vault();
    let (vault, core) = (device.vault().id(), device.core());
    let (senior, junior) = (admin(&device, &vault), KeyPair::generate(&OsEntropy));
    let listing = |before: &[u8], by: &KeyPair, admins: &[&KeyPair]| {
        let mut statement = Statement::decode(&next(before, by)).unwrap();
        statement.admins = admins.iter().map(|admin| admin.public().into()).collect();
        statement.signature = Signature::from_bytes(by.sign(labels::STATEMENT, &statement.signed_bytes()));
        statement.encode()
    };
    let mut base = chain(&device, &vault);
    base.push(listing(&base[0], &senior, &[&senior, &junior]));
    let mut ours = base.clone();
    ours.push(next(&base[1], &junior));
    ours.push(listing(&ours[2], &senior, &[&senior]));
    hold(&device, &vault, HeldStatements::Whole(ours.clone()));
    for n in 0..12 {
        let shown = longer(base.clone(), &junior, 3 + n % 3);
        assert_eq!(core.take_statements(&vault, &shown[2..]).unwrap(), StatementsKept::Ask);
        assert_eq!(core.take_statements(&vault, &shown).unwrap(), compared(3, &ours[2..]));
        assert_eq!(chain(&device, &vault), ours, "the junior stays removed");
        hold(&device, &vault, HeldStatements::Whole(shown));
        assert_eq!(core.take_statements(&vault, &ours).unwrap(), compared(3, &[]), "and is so elsewhere");
        assert_eq!(chain(&device, &vault), ours);
    }
}

#[test]
fn an_admin_vouches_for_its_own_logs_and_others_do_not() {
    let (a, b) = (device_with_vault(), TestDevice::new());
    let vault = join(&a, &b);
    let vouches = a.core().vouches(&vault).unwrap();
    assert_eq!(vouches.len(), 2);
    let (relay, nobody) = (ListRelay::new(), b.core().vouches(&vault).unwrap());
    assert_eq!(nobody, [], "let in, and listed by no statement");
    let batch = a.core().outbox(&vault, &relay.pin, &Default::default(), usize::MAX).unwrap();
    let told: Vec<_> = batch.logs.iter().filter_map(|log| Some((log.key.public, log.vouch?))).collect();
    assert!(!told.is_empty());
    for (public, vouch) in told {
        assert!(vouch.check(&vault, &public).is_ok());
        assert_eq!(vouch.admin, admin(&a, &vault).public().into());
    }
    // Another statement lists another admin.
    let key = admin(&a, &vault);
    let first = chain(&a, &vault);
    let mut statement = Statement::decode(&next(&first[0], &key)).unwrap();
    statement.admins = vec![KeyPair::generate(&OsEntropy).public().into()];
    statement.signature = Signature::from_bytes(key.sign(labels::STATEMENT, &statement.signed_bytes()));
    a.core().take_statements(&vault, &[first[0].clone(), statement.encode()]).unwrap();
    assert_eq!(a.core().vouches(&vault).unwrap(), []);
}
