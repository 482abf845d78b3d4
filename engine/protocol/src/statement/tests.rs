use std::collections::BTreeMap;
use std::sync::Mutex;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod order;
mod vectors;

const NONCE: [u8; 16] = [7; 16];

/// A key by its number: 1 to 3 administrate, 11 and more recover, others read and write.
#[derive(Clone)]
struct Key(SigningKey, PublicKeyBytes);

impl Key {
    fn new(n: u8) -> Self {
        static KEYS: Mutex<BTreeMap<u8, Key>> = Mutex::new(BTreeMap::new());
        let made = || {
            let key = SigningKey::from_slice(&[n; 32]).unwrap();
            let point = key.verifying_key().to_sec1_point(false);
            let public = PublicKeyBytes::from_bytes(point.as_bytes().try_into().unwrap());
            Self(key, public)
        };
        KEYS.lock().unwrap().entry(n).or_insert_with(made).clone()
    }

    fn public(&self) -> PublicKeyBytes {
        self.1
    }

    fn sign(&self, payload: &[u8]) -> Signature {
        let signature: p256::ecdsa::Signature = self.0.sign(&[labels::STATEMENT, payload].concat());
        Signature::from_bytes(signature.normalize_s().to_bytes().into())
    }
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
enum By {
    Admin(u8),
    Recovery(u8),
    Both(u8, u8),
}

fn sign(mut statement: Statement, by: By) -> Statement {
    let (public, nonce) = match by {
        By::Admin(n) => {
            statement.signer = Signer::Admin(Key::new(n).public());
            statement.signature = Key::new(n).sign(&statement.signed_bytes());
            return statement;
        }
        By::Recovery(n) | By::Both(n, _) => (Key::new(n).public(), NONCE),
    };
    statement.signer = Signer::Recovery { public, nonce };
    if let By::Both(_, admin) = by {
        let key = Key::new(admin);
        let (admin, admin_signature) = (key.public(), Signature::ZERO);
        statement.signer = Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature };
        let admin_signature = key.sign(&statement.signed_bytes());
        statement.signer = Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature };
    }
    let (By::Recovery(n) | By::Both(n, _)) = by else { unreachable!("an admin alone is done above") };
    statement.signature = Key::new(n).sign(&statement.signed_bytes());
    statement
}

fn commitment(recovery: u8) -> [u8; 32] {
    recovery_commitment(&Key::new(recovery).public(), &NONCE)
}

/// Founded by admin 1, with recovery key 11.
fn first() -> Statement {
    let (admin, genesis) = (Key::new(1).public(), [0x6e; 32]);
    let unsigned = Statement {
        vault: VaultId::derive(&commitment(11), &genesis, &admin),
        generation: Generation(0),
        epoch: Epoch(0),
        read: Key::new(21).public(),
        write: Key::new(22).public(),
        admins: vec![admin],
        recovery_commitment: commitment(11),
        previous: genesis,
        signer: Signer::Admin(admin),
        signature: Signature::ZERO,
    };
    sign(unsigned, By::Admin(1))
}

/// The statement after `before`, with admins 1, 2 and 3 and write key `write`.
fn after(before: &Statement, by: By, write: u8) -> Statement {
    let next = Statement {
        generation: before.generation.next(),
        write: Key::new(write).public(),
        admins: [1, 2, 3].map(|n| Key::new(n).public()).to_vec(),
        previous: before.hash(),
        ..before.clone()
    };
    sign(next, by)
}

/// As [`after`], by recovery, which gives way to the next recovery key.
fn recovered(before: &Statement, key: u8, write: u8) -> Statement {
    let next =
        Statement { recovery_commitment: commitment(key + 1), ..after(before, By::Recovery(key), write) };
    sign(next, By::Recovery(key))
}

/// Offers one statement; the chain after it, and whether it was taken.
fn offered(chain: &[Statement], new: &Statement) -> (Vec<Statement>, bool) {
    let joined = join(chain, std::slice::from_ref(new));
    let taken = joined.chain != chain;
    (joined.chain, taken)
}

/// Whether it was taken, or why not.
fn offer(chain: &[Statement], new: &Statement) -> Result<bool, StatementError> {
    let joined = join(chain, std::slice::from_ref(new));
    joined.refused.map_or(Ok(joined.chain != chain), Err)
}

fn admins(numbers: &[u8]) -> Vec<PublicKeyBytes> {
    numbers.iter().map(|n| Key::new(*n).public()).collect()
}

/// As [`after`], with these admins.
fn listing(before: &Statement, by: By, numbers: &[u8], write: u8) -> Statement {
    sign(Statement { admins: admins(numbers), ..after(before, by, write) }, by)
}

#[test]
fn a_statement_is_signed_by_who_may_sign_it() {
    let start = first();
    start.check_first().unwrap();
    let chain = [start.clone(), after(&start, By::Admin(1), 23)];
    check_chain(&start.vault, &chain).unwrap();
    let before = &chain[1];
    for by in [By::Admin(1), By::Admin(3), By::Recovery(11), By::Both(11, 2)] {
        after(before, by, 24).check_follows(before).unwrap_or_else(|error| panic!("{by:?}: {error}"));
    }
    let bad = Err(StatementError::BadSignature { generation: Generation(2) });
    for by in [By::Admin(4), By::Recovery(12), By::Both(12, 1), By::Both(11, 4)] {
        assert_eq!(after(before, by, 24).check_follows(before), bad, "{by:?}");
    }
    let both = after(before, By::Both(11, 2), 24);
    let Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature } = both.signer else {
        unreachable!()
    };
    let signer = |admin_signature| Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature };
    for (name, statement) in [
        (
            "neither",
            Statement { signature: Signature::ZERO, signer: signer(Signature::ZERO), ..both.clone() },
        ),
        ("no recovery key", Statement { signature: Signature::ZERO, ..both.clone() }),
        ("no admin", Statement { signer: signer(Signature::ZERO), ..both.clone() }),
        (
            "the admin's in the place of the other",
            Statement { signature: admin_signature, signer: signer(both.signature), ..both.clone() },
        ),
        ("for one of them alone", Statement { signer: Signer::Recovery { public, nonce }, ..both.clone() }),
    ] {
        assert_eq!(statement.check_follows(before), bad, "{name}");
    }
}

#[test]
fn an_earlier_signer_replaces_a_later_one_and_what_followed() {
    let chain = vec![first(), after(&first(), By::Admin(1), 23)];
    let before = &chain[1];
    // In their order, from the last.
    let (low, high) = {
        let (a, b) = (after(before, By::Admin(2), 24), after(before, By::Admin(2), 25));
        if a.hash() < b.hash() { (a, b) } else { (b, a) }
    };
    let rivals = [
        ("third admin", after(before, By::Admin(3), 24)),
        ("second admin, greater hash", high),
        ("second admin, lower hash", low),
        ("first admin", after(before, By::Admin(1), 24)),
        ("recovery", after(before, By::Recovery(11), 24)),
        ("both", after(before, By::Both(11, 3), 24)),
    ];
    for (i, (name, there)) in rivals.iter().enumerate() {
        let mut standing = chain.clone();
        standing.extend([there.clone(), after(there, By::Admin(3), 26)]);
        for (j, (other, new)) in rivals.iter().enumerate() {
            let (now, taken) = offered(&standing, new);
            assert_eq!(taken, j > i, "{other} for {name}");
            if taken {
                assert_eq!(now, [&chain[..], std::slice::from_ref(new)].concat(), "{other} for {name}");
            }
        }
    }
}

#[test]
fn what_does_not_follow_is_refused_and_what_is_held_is_not_checked_again() {
    let chain = vec![first(), after(&first(), By::Admin(1), 23)];
    let next = after(&chain[1], By::Admin(1), 24);
    let generation = Generation(2);
    let broken = Err(StatementError::Broken { generation });
    for (name, new, expected) in [
        ("generation 0 again", chain[0].clone(), Ok(false)),
        ("the last again", chain[1].clone(), Ok(false)),
        ("next", next.clone(), Ok(true)),
        ("a gap", after(&next, By::Admin(1), 25), Err(StatementError::Broken { generation: Generation(3) })),
        ("another predecessor", Statement { previous: [0; 32], ..next.clone() }, broken),
        ("another vault", Statement { vault: VaultId::ZERO, ..next.clone() }, broken),
        (
            "another generation 0",
            Statement { write: Key::new(29).public(), ..first() },
            Err(StatementError::Broken { generation: Generation(0) }),
        ),
        (
            "far away",
            Statement { generation: Generation(u64::MAX), ..next.clone() },
            Err(StatementError::Broken { generation: Generation(u64::MAX) }),
        ),
        (
            "not signed",
            Statement { signature: Signature::ZERO, ..next },
            Err(StatementError::BadSignature { generation }),
        ),
    ] {
        assert_eq!(offer(&chain, &new), expected, "{name}");
    }
    let lower = Statement { epoch: Epoch(1), ..chain[1].clone() };
    let falls = sign(Statement { epoch: Epoch(0), ..after(&lower, By::Admin(1), 24) }, By::Admin(1));
    assert_eq!(falls.check_follows(&lower), Err(StatementError::Broken { generation }), "the epoch falls");
}

#[test]
fn leaked_old_words_drop_no_newer_recovery_statement() {
    let start = first();
    let admin = after(&start, By::Admin(1), 23);
    let chain = vec![start.clone(), admin.clone(), recovered(&admin, 11, 24)];
    let newer = recovered(&chain[2], 12, 25);
    let chain = [chain, vec![newer.clone(), after(&newer, By::Admin(2), 26)]].concat();
    // Who has the words of key 11, which was replaced, signs as much as he likes until a hash is low.
    for place in 0..=3 {
        for write in 30..60 {
            let forged = recovered(&chain[place], 11, write);
            assert!(!offered(&chain, &forged).1, "{place}: {write}");
        }
    }
    // With an admin of that generation he does, but only over what recovery signed alone.
    let both = after(&chain[1], By::Both(11, 2), 30);
    assert_eq!(offered(&chain, &both), ([&chain[..2], std::slice::from_ref(&both)].concat(), true));
    let after_both = vec![chain[0].clone(), chain[1].clone(), both.clone()];
    for write in 31..60 {
        let rival = |admin| after(&chain[1], By::Both(11, admin), write);
        assert!(offered(&after_both, &rival(1)).1, "with a more senior admin");
        assert!(!offered(&after_both, &rival(3)).1, "not with a more junior one, whatever its hash");
        assert_eq!(offered(&after_both, &rival(2)).1, rival(2).hash() < both.hash());
    }
}

#[test]
fn a_tail_joins_where_it_meets_the_chain_up_to_what_does_not_hold() {
    let mut chain = vec![first()];
    for write in 23..29 {
        chain.push(after(chain.last().unwrap(), By::Admin(1), write));
    }
    for held in 1..=chain.len() {
        for from in 0..=held {
            let joined = join(&chain[..held], &chain[from..]);
            assert_eq!(
                (joined.chain, joined.kept, joined.refused),
                (chain.clone(), held, None),
                "{held} {from}"
            );
        }
    }
    let gap = join(&chain[..2], &chain[3..]);
    assert_eq!((gap.chain.len(), gap.kept), (2, 2), "it does not meet");
    assert_eq!(gap.refused, Some(StatementError::Broken { generation: Generation(3) }));
    let mut spoiled = chain.clone();
    spoiled[4].signature = Signature::ZERO;
    let joined = join(&chain[..2], &spoiled[1..]);
    assert_eq!((&joined.chain[..], joined.kept), (&chain[..4], 2));
    assert_eq!(joined.refused, Some(StatementError::BadSignature { generation: Generation(4) }));
    // A rival in its middle replaces what was there before.
    let rival = after(&chain[1], By::Recovery(11), 40);
    let tail = [chain[1].clone(), rival.clone(), after(&rival, By::Admin(3), 41)];
    let joined = join(&chain, &tail);
    assert_eq!((joined.kept, joined.refused), (2, None));
    assert_eq!(joined.chain, [&chain[..1], &tail[..]].concat());
    let back = join(&joined.chain, &chain);
    assert_eq!((back.kept, back.chain), (joined.chain.len(), joined.chain), "and not the other way round");
}

#[test]
fn the_largest_statement_fits_and_a_chain_ends_at_its_limit() {
    let mut largest = after(&first(), By::Both(11, 1), 23);
    largest.admins = (1..=ADMINS_MAX).map(|n| Key::new(n as u8).public()).collect();
    let bytes = largest.encode();
    assert!(bytes.len() <= STATEMENT_BYTES_MAX, "{}", bytes.len());
    assert_eq!(Statement::decode(&bytes), Ok(largest));
    let start = first();
    let full = vec![start.clone(); crate::limits::STATEMENTS_MAX];
    let generation = Generation(full.len() as u64);
    let more = Statement { generation, ..after(&start, By::Admin(1), 23) };
    assert_eq!(offer(&full, &more), Err(StatementError::TooMany { generation }));
}
