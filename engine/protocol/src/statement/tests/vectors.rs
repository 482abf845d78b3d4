//! Frozen statements, of each signer and with each single failure: `tests/vectors/statements.json`, which
//! `tests/vectors/read_statements.py` checks without this code. `SUBROSA_WRITE_VECTORS=1` writes it anew.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::*;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn described(name: &str, statement: &Statement) -> Value {
    let (signer, recovery, admin) = match &statement.signer {
        Signer::Admin(admin) => (0, None, Some(admin)),
        Signer::Recovery { public, nonce } => (1, Some((public, nonce)), None),
        Signer::RecoveryAndAdmin { public, nonce, admin, .. } => (2, Some((public, nonce)), Some(admin)),
    };
    json!({
        "name": name, "bytes": hex(statement.encode()), "hash": hex(statement.hash()),
        "vault": hex(statement.vault.as_bytes()), "generation": statement.generation.0, "epoch": statement.epoch.0,
        "read": hex(statement.read.as_bytes()), "write": hex(statement.write.as_bytes()),
        "admins": statement.admins.iter().map(|admin| hex(admin.as_bytes())).collect::<Vec<_>>(),
        "recovery_commitment": hex(statement.recovery_commitment), "previous": hex(statement.previous),
        "signer": signer,
        "signer_recovery": recovery.map(|(public, nonce)| json!([hex(public.as_bytes()), hex(nonce)])),
        "signer_admin": admin.map(|admin| hex(admin.as_bytes())),
    })
}

/// Generations 0 to 3, one of each signer, and rivals for generation 1 in their order, the earliest first.
fn chain() -> (Vec<Statement>, Vec<(&'static str, Statement)>) {
    let start = first();
    let one = after(&start, By::Admin(1), 23);
    let two = recovered(&one, 11, 24);
    let three = sign(Statement { epoch: Epoch(4), ..after(&two, By::Both(12, 3), 25) }, By::Both(12, 3));
    let (low, high) = {
        let (a, b) = (after(&one, By::Admin(2), 26), after(&one, By::Admin(2), 27));
        if a.hash() < b.hash() { (a, b) } else { (b, a) }
    };
    let rivals = vec![
        ("recovery and an admin", after(&one, By::Both(11, 3), 26)),
        ("recovery", two.clone()),
        ("first admin", after(&one, By::Admin(1), 26)),
        ("second admin, lower hash", low),
        ("second admin, greater hash", high),
        ("third admin", after(&one, By::Admin(3), 26)),
    ];
    (vec![start, one, two, three], rivals)
}

/// Bytes that are no statement.
fn misshapen(statement: &Statement) -> Vec<(&'static str, Vec<u8>)> {
    let good = statement.encode();
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let admins =
        |count: usize| Statement { admins: vec![statement.admins[0]; count], ..statement.clone() }.encode();
    let many = Statement {
        admins: (1..=ADMINS_MAX as u8 + 1).map(|n| Key::new(n).public()).collect(),
        ..statement.clone()
    };
    vec![
        ("empty", Vec::new()),
        ("version 1", changed(0, 1)),
        ("version 3", changed(0, 3)),
        ("signer 3", changed(good.len() - 64 - 65 - 1, 3)),
        ("no admin", admins(0)),
        ("an admin twice", admins(2)),
        ("too many admins", many.encode()),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("a byte left over", [&good[..], &[0]].concat()),
    ]
}

/// Whole statements that follow nothing, after generation 1.
fn that_fail(chain: &[Statement]) -> Vec<(&'static str, &'static str, Statement)> {
    let before = &chain[1];
    let good = after(before, By::Admin(2), 24);
    let resigned = |statement: Statement| sign(statement, By::Admin(2));
    let both = after(before, By::Both(11, 2), 24);
    let Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature } = both.signer else {
        unreachable!("signed by both")
    };
    let signer = |admin_signature| Signer::RecoveryAndAdmin { public, nonce, admin, admin_signature };
    let high = {
        let mut bytes = *good.signature.as_bytes();
        bytes[32..].fill(0xfe);
        Signature::from_bytes(bytes)
    };
    vec![
        ("another vault", "broken", resigned(Statement { vault: VaultId::ZERO, ..good.clone() })),
        ("another generation", "broken", resigned(Statement { generation: Generation(3), ..good.clone() })),
        ("another predecessor", "broken", resigned(Statement { previous: chain[0].hash(), ..good.clone() })),
        ("admins in another order", "seniority", listing(before, By::Admin(1), &[2, 1, 3], 24)),
        ("a new admin before others", "seniority", listing(before, By::Both(11, 1), &[1, 4, 2, 3], 24)),
        ("changed after signing", "signature", Statement { epoch: Epoch(9), ..good.clone() }),
        ("high s", "signature", Statement { signature: high, ..good }),
        ("no admin of generation 1", "signature", after(before, By::Admin(4), 24)),
        ("another recovery key", "signature", after(before, By::Recovery(12), 24)),
        ("both, another recovery key", "signature", after(before, By::Both(12, 2), 24)),
        ("both, no admin of generation 1", "signature", after(before, By::Both(11, 4), 24)),
        (
            "both, recovery did not sign",
            "signature",
            Statement { signature: Signature::ZERO, ..both.clone() },
        ),
        (
            "both, the admin did not sign",
            "signature",
            Statement { signer: signer(Signature::ZERO), ..both.clone() },
        ),
        (
            "both, in the other order",
            "signature",
            Statement { signature: admin_signature, signer: signer(both.signature), ..both },
        ),
    ]
}

/// Two chains that go on from generation 1, and which of them stays for whoever has seen both.
type Pair = (&'static str, Vec<Statement>, Vec<Statement>, &'static str);

fn pairs(base: &[Statement]) -> Vec<Pair> {
    [pairs_of_admins(&base[1]), pairs_with_recovery(&base[1]), pairs_with_words_put_back(&base[1])].concat()
}

fn pairs_of_admins(before: &Statement) -> Vec<Pair> {
    let junior = after(before, By::Admin(2), 30);
    let removal = listing(&junior, By::Admin(1), &[1, 3], 31);
    let lower = {
        let lower = |write: &u8| after(before, By::Admin(2), *write).hash() < junior.hash();
        after(before, By::Admin(2), (32..=255).find(lower).unwrap())
    };
    let least = after(before, By::Admin(3), 33);
    let first_said = after(&least, By::Admin(1), 34);
    let senior = after(before, By::Admin(1), 43);
    let gone = listing(before, By::Admin(2), &[2, 3], 41);
    let back = listing(&gone, By::Admin(2), &[2, 3, 1], 42);
    let behind = |by, write| vec![gone.clone(), back.clone(), listing(&back, by, &[2, 3, 1], write)];
    let (one, other) = (vec![junior.clone()], vec![junior.clone(), removal]);
    vec![
        ("what follows", one.clone(), other.clone(), "b"),
        ("of one admin the lower hash", vec![lower.clone()], one.clone(), "a"),
        ("a lower hash below a more senior signer", vec![lower], other, "b"),
        ("a more senior signer behind the least", one, vec![least.clone(), first_said.clone()], "b"),
        (
            "of one most senior signer whose next is more senior",
            vec![senior.clone(), after(&senior, By::Admin(3), 44)],
            vec![least, first_said],
            "a",
        ),
        ("who came again is behind", behind(By::Admin(1), 53), behind(By::Admin(2), 54), "b"),
    ]
}

fn pairs_with_recovery(before: &Statement) -> Vec<Pair> {
    let junior = after(before, By::Admin(2), 30);
    let words = recovered(before, 11, 35);
    let old_words = after(before, By::Recovery(11), 36);
    let [both, with_junior] =
        [(1, 37), (2, 38)].map(|(admin, write)| after(before, By::Both(11, admin), write));
    let lower_both = (63..=255).map(|write| after(before, By::Both(11, 2), write));
    let lower_both = lower_both.clone().find(|lower| lower.hash() < with_junior.hash()).unwrap();
    let own = Statement { recovery_commitment: commitment(15), ..after(before, By::Admin(2), 39) };
    let own = sign(own, By::Admin(2));
    let grab = vec![own.clone(), after(&own, By::Recovery(15), 40)];
    let behind = |by, write| vec![own.clone(), after(&own, by, write)];
    let alone = |by, write| vec![after(before, by, write)];
    vec![
        (
            "recovery",
            alone(By::Admin(1), 45),
            vec![junior.clone(), after(&junior, By::Recovery(11), 46)],
            "b",
        ),
        (
            "recovery and an admin",
            vec![both.clone()],
            vec![words.clone(), after(&words, By::Recovery(12), 47)],
            "a",
        ),
        ("recovery alone twice", vec![words], vec![old_words], "neither"),
        ("recovery and an admin twice", vec![both], vec![with_junior.clone()], "a"),
        ("recovery and one admin twice, the lower hash", vec![with_junior], vec![lower_both], "b"),
        own_recovery_keys(before),
        ("an admin's recovery key, below a more senior one", grab.clone(), alone(By::Admin(1), 48), "b"),
        ("the same, below its maker", grab.clone(), alone(By::Admin(2), 49), "a"),
        ("the same, behind it", grab, behind(By::Admin(1), 50), "b"),
        ("the same with its maker's senior", behind(By::Both(15, 1), 51), behind(By::Recovery(15), 52), "a"),
    ]
}

/// Two of one admin's own, which decide each other.
fn own_recovery_keys(before: &Statement) -> Pair {
    let [one, other] = [15, 16].map(|key| {
        let own = Statement { recovery_commitment: commitment(key), ..after(before, By::Admin(2), key + 40) };
        let own = sign(own, By::Admin(2));
        vec![own.clone(), after(&own, By::Recovery(key), key + 50)]
    });
    let stays = if one[0].hash() < other[0].hash() { "a" } else { "b" };
    ("an admin's recovery key in both", one, other, stays)
}

fn pairs_with_words_put_back(before: &Statement) -> Vec<Pair> {
    let holding = |before, by, recovery, write| {
        sign(Statement { recovery_commitment: commitment(recovery), ..after(before, by, write) }, by)
    };
    let taken = holding(before, By::Admin(2), 15, 55);
    let back = holding(&taken, By::Admin(2), 11, 56);
    let behind = |by, write| vec![taken.clone(), back.clone(), after(&back, by, write)];
    let newer = recovered(before, 11, 57);
    let older = holding(&newer, By::Admin(2), 11, 58);
    let old_words = vec![newer.clone(), older.clone(), after(&older, By::Recovery(11), 59)];
    let senior = vec![newer.clone(), after(&newer, By::Admin(1), 60)];
    vec![
        ("the words, put back by an admin", behind(By::Recovery(11), 61), behind(By::Admin(1), 62), "a"),
        ("words that recovery replaced, put back by an admin", old_words, senior, "b"),
    ]
}

/// Statements of generation 0 that found nothing.
fn that_found_nothing(start: &Statement) -> Vec<(&'static str, Statement)> {
    let resigned = |statement: Statement| sign(statement, By::Admin(1));
    let two = [1, 2].map(|n| Key::new(n).public()).to_vec();
    vec![
        ("two admins", resigned(Statement { admins: two, ..start.clone() })),
        (
            "another admin",
            sign(Statement { admins: vec![Key::new(2).public()], ..start.clone() }, By::Admin(2)),
        ),
        ("another genesis", resigned(Statement { previous: [1; 32], ..start.clone() })),
        ("generation 1", resigned(Statement { generation: Generation(1), ..start.clone() })),
        ("recovery signs", sign(start.clone(), By::Recovery(11))),
        ("not signed", Statement { signature: Signature::ZERO, ..start.clone() }),
    ]
}

fn made() -> Value {
    let (chain, rivals) = chain();
    let failing = that_fail(&chain);
    let listed =
        |statements: &[Statement]| -> Vec<_> { statements.iter().map(|one| hex(one.encode())).collect() };
    json!({
        "note": "Test keys, published here: never use them. Layout and rules: docs/PROTOCOL.md, Statements.",
        "chain": chain.iter().map(|one| described("in the chain", one)).collect::<Vec<_>>(),
        "rivals": rivals.iter().map(|(name, one)| described(name, one)).collect::<Vec<_>>(),
        "pairs_behind_1": pairs(&chain[..2]).iter()
            .map(|(name, a, b, stays)| json!({ "name": name, "a": listed(a), "b": listed(b), "stays": stays }))
            .collect::<Vec<_>>(),
        "misshapen": misshapen(&chain[1]).iter()
            .map(|(name, bytes)| json!({ "name": name, "bytes": hex(bytes) })).collect::<Vec<_>>(),
        "must_not_follow_1": failing.iter()
            .map(|(name, why, one)| json!({ "name": name, "why": why, "bytes": hex(one.encode()) }))
            .collect::<Vec<_>>(),
        "must_not_found": that_found_nothing(&chain[0]).iter()
            .map(|(name, one)| json!({ "name": name, "bytes": hex(one.encode()) })).collect::<Vec<_>>(),
    })
}

#[test]
fn statement_bytes_are_frozen() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/statements.json");
    if std::env::var_os("SUBROSA_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made()).unwrap() + "\n").unwrap();
    }
    let frozen: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(made(), frozen);
}

#[test]
fn of_each_frozen_pair_the_one_stays_that_is_named() {
    let (chain, _) = chain();
    for (name, a, b, stays) in pairs(&chain[..2]) {
        let [a, b] = [a, b].map(|rest| [&chain[..2], &rest].concat());
        check_chain(&chain[0].vault, &a).unwrap();
        check_chain(&chain[0].vault, &b).unwrap();
        let expected = match stays {
            "a" => (&a, &a),
            "b" => (&b, &b),
            _ => (&a, &b),
        };
        assert_eq!((prefers(&a, &b), prefers(&b, &a)), (stays == "a", stays == "b"), "{name}");
        assert_eq!((&join(&a, &b).chain, &join(&b, &a).chain), expected, "{name}");
    }
}

#[test]
fn each_frozen_failure_fails_and_each_rival_stands_where_it_is_listed() {
    let (chain, rivals) = chain();
    check_chain(&chain[0].vault, &chain).unwrap();
    for (name, bytes) in misshapen(&chain[1]) {
        assert!(Statement::decode(&bytes).is_err(), "{name}");
    }
    for (name, why, statement) in that_fail(&chain) {
        let decoded = Statement::decode(&statement.encode()).unwrap();
        let found = match decoded.check_follows(&chain[1]) {
            Err(StatementError::Broken { .. }) => "broken",
            Err(StatementError::Seniority { .. }) => "seniority",
            Err(StatementError::BadSignature { .. }) => "signature",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(found, why, "{name}");
    }
    for (name, statement) in that_found_nothing(&chain[0]) {
        assert!(statement.check_first().is_err(), "{name}");
    }
    for pair in rivals.windows(2) {
        let there = [&chain[..2], &[pair[1].1.clone()]].concat();
        assert_eq!(offer(&there, &pair[0].1), Ok(true), "{} over {}", pair[0].0, pair[1].0);
        let there = [&chain[..2], &[pair[0].1.clone()]].concat();
        assert!(offer(&there, &pair[1].1).is_err(), "{} under {}", pair[1].0, pair[0].0);
    }
}
