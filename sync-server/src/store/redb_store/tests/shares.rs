//! Who has the places for a vault's logs.

use subrosa_protocol::ids::Generation;
use subrosa_protocol::limits;
use subrosa_protocol::statement::Signer;
use subrosa_protocol::vouch::{CheckedVouch, Vouch};

use super::super::super::rows::SHARES;
use super::*;

fn public_of(key: &EcdsaKeyPair) -> PublicKeyBytes {
    PublicKeyBytes::from_bytes(key.public_key().as_ref().try_into().unwrap())
}

fn vouched(admin: &EcdsaKeyPair, vault: &VaultId, log: PublicKeyBytes) -> CheckedVouch {
    let payload = [labels::VOUCH, &Vouch::signed_bytes(vault, &log)].concat();
    loop {
        let signature = admin.sign(&SystemRandom::new(), &payload).unwrap();
        let signature = Signature::from_bytes(signature.as_ref().try_into().unwrap());
        // A high s, one time in two, is refused: sign again.
        if let Ok(checked) = (Vouch { admin: public_of(admin), signature }).check(vault, &log) {
            return checked;
        }
    }
}

#[test]
fn places_for_logs_are_shared_between_admins_and_all_others() {
    let (store, _) = on_a_disk(Quotas::default());
    let (vault, keys) = (VaultId::from_bytes([7; 32]), [(); 4].map(|()| key()));
    let half = (limits::LOGS_PER_VAULT_MAX / 2) as u32;
    let [one, two, former, _] = &keys;
    // `logs` in all, of which so many under each admin's vouch.
    let plant_counts = |logs: u32, shares: [u32; 3]| {
        let planted = store.write(|txn| {
            let meta = VaultMeta { logs, ..VaultMeta::new(5, 0) };
            txn.open_table(VAULTS)?.insert(vault.as_bytes(), &meta.encode()[..])?;
            let mut statement = a_statement(vault);
            statement.admins = [one, two].map(public_of).to_vec();
            txn.open_table(STATEMENTS)?.insert((5, 0), &statement.encode()[..])?;
            let mut table = txn.open_table(SHARES)?;
            for (admin, held) in [one, two, former].into_iter().zip(shares) {
                table.insert((5, *public_of(admin).as_bytes()), held)?;
            }
            Ok(((), Changed::Yes))
        });
        planted.unwrap();
    };
    let opened = |admin: Option<&EcdsaKeyPair>| {
        let log = key();
        let segment = next(&log, &vault, None);
        let vouches = admin.map(|admin| vouched(admin, &vault, public_of(&log))).into_iter().collect();
        let batch = Batch { vault, offered: vec![Offered::Next(segment)], vouches };
        store.append(&[batch]).unwrap().remove(0).refused.first().map(|refused| refused.code)
    };
    let full = Some(ErrorCode::TooManyLogs);
    plant_counts(half - 1, [0; 3]);
    assert_eq!((opened(None), opened(None)), (None, full), "half without a vouch");
    assert_eq!(opened(Some(former)), full, "who is no admin now vouches for nothing");
    assert_eq!((opened(Some(one)), opened(Some(two))), (None, None), "the other half is the admins'");
    plant_counts(half + half / 2 - 1, [half / 2 - 1, 0, 0]);
    assert_eq!((opened(Some(one)), opened(Some(one))), (None, full), "an equal part for each");
    assert_eq!(opened(Some(two)), None, "nobody takes the other's");
    plant_counts(half / 2, [half / 2, 0, 0]);
    assert_eq!(opened(Some(one)), None, "beyond its part it takes a common place");
    plant_counts(half, [0, 0, half]);
    assert_eq!(opened(None), full, "the logs of a former admin are common ones");
    plant_counts(2 * half, [0; 3]);
    assert_eq!((opened(Some(one)), opened(None)), (full, full), "the whole");
}

#[test]
fn a_vouch_that_comes_later_counts_once_and_follows_the_statements() {
    let (store, _) = on_a_disk(Quotas::default());
    let (vault, admin, log) = (VaultId::from_bytes([7; 32]), key(), key());
    let first = next(&log, &vault, None);
    plant(&store, &vault, 5);
    let planted = store.write(|txn| {
        let mut statement = a_statement(vault);
        statement.admins = vec![public_of(&admin)];
        txn.open_table(STATEMENTS)?.insert((5, 0), &statement.encode()[..])?;
        Ok(((), Changed::Yes))
    });
    planted.unwrap();
    let held = || {
        let found = store.write(|txn| {
            let table = txn.open_table(SHARES)?;
            let held = table.get((5, *public_of(&admin).as_bytes()))?.map(|held| held.value());
            Ok((held, Changed::No))
        });
        found.unwrap()
    };
    assert_eq!(store.append(&[batch(vault, std::slice::from_ref(&first))]).unwrap()[0].refused, []);
    assert_eq!(held(), None);
    let vouches = vec![vouched(&admin, &vault, public_of(&log))];
    for _ in 0..3 {
        let again = Batch { vouches: vouches.clone(), ..batch(vault, std::slice::from_ref(&first)) };
        assert_eq!(store.append(&[again]).unwrap()[0].refused, [], "a repetition brings it");
        assert_eq!(held(), Some(1));
    }
    // Damage takes the whole log away, and its place with it.
    store.flip(&vault, Rseq(1), 99).unwrap();
    let damage = Damage { vault, seen: Rseq(1), what: "test" };
    assert_eq!(store.take_back(&damage).unwrap().len(), 1);
    assert_eq!(held(), None);
}

pub(super) fn a_statement(vault: VaultId) -> Statement {
    let zero = PublicKeyBytes::ZERO;
    Statement {
        vault,
        generation: Generation(0),
        epoch: Epoch(0),
        read: zero,
        write: zero,
        admins: vec![zero],
        recovery_commitment: [0; 32],
        previous: [0; 32],
        signer: Signer::Admin(zero),
        signature: Signature::ZERO,
    }
}
