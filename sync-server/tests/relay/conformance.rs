//! What every [`LogStore`] has to do. A new implementation adds a `#[test]` that hands its maker to [`suite`].

use std::ops::ControlFlow;

use subrosa_protocol::codec::Extensions;
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, RelayLimits, Role, ShortHead, VERSION};
use subrosa_protocol::ids::{Base, Chain, Generation, Incarnation, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::relay_link::{
    Admission, CheckedCreation, Input, LinkConfig, Now, Output, RelayLink, Want,
};
use subrosa_protocol::segment::{Class, Kind, SealedSegment, VerifiedSegment};
use subrosa_protocol::statement::{Signer, Statement};
use subrosa_protocol::vouch::{CheckedVouch, Vouch};
use subrosa_protocol::{labels, limits};
use subrosa_relay::store::{Batch, LogStore, Offered, RedbStore, Scan, StoreError, VaultRow};
use subrosa_relay::{Quotas, RelayKey};

use crate::fixture::{Key, Log, NONCE, Vault, sign_statement};

/// Runs every rule against stores that `make` makes, each new and empty, with these quotas.
pub(crate) fn suite<S: LogStore>(make: impl Fn(Quotas) -> S) {
    an_empty_store_knows_nothing(&make(Quotas::default()));
    vaults_are_created_once_and_invites_counted(&make(Quotas::default()));
    links_that_create_one_vault_at_once_create_it_once(&make(Quotas::default()));
    rseq_is_contiguous_and_repetition_changes_nothing(&make(Quotas::default()));
    a_refused_segment_stops_its_log_only(&make(Quotas::default()));
    nothing_goes_behind_a_closing_segment(&make(Quotas::default()));
    one_commit_takes_many_vaults(&make(Quotas::default()));
    a_log_begins_where_log_said(&make(Quotas::default()));
    heads_and_digest_are_those_of_the_last_rseq(&make(Quotas::default()));
    scans_are_in_order_and_stop_when_told(&make(Quotas::default()));
    statements_extend_their_chain(&make(Quotas::default()));
    a_junior_drops_nothing_that_a_senior_signed(&make(Quotas::default()));
    a_rival_is_taken_as_far_as_what_decides_whatever_the_day_has_left(&make(Quotas::default()));
    a_day_has_so_many_statements_tails_too_and_recovery_is_no_part_of_them(&make(Quotas::default()));
    let mut quotas =
        Quotas { relay_bytes_max: 3_000, reserve_bytes: 500, vaults_max: 2, ..Quotas::default() };
    quotas.class[0].vault_bytes = 2_000;
    quotas_hold(&make(quotas.clone()));
    quotas.reserve_bytes = 2_000;
    the_reserve_is_for_control_logs_that_an_admin_vouches_for(&make(quotas));
}

/// A creation as the link machine makes it; an invite of `uses` vaults if given.
fn creation(key: &RelayKey, vault: &Vault, uses: Option<([u8; 8], u16)>) -> CheckedCreation {
    let exporter = [3; 32];
    let now = Now { mono: std::time::Duration::ZERO, wall_ms: 0 };
    let config = LinkConfig {
        exporter,
        incarnation: Incarnation::ZERO,
        limits: RelayLimits { segment_bytes_max: 1, vaults_max: 1 },
        relay: *key.public(),
        admission: Admission::Open,
    };
    let mut link = RelayLink::new(now, config);
    let mut frame = |frame: ClientFrame| {
        link.handle(now, Input::Frame(frame.encode().slice(4..))).unwrap();
        let mut last = None;
        while let Some(output) = link.poll() {
            last = Some(output);
        }
        if matches!(last, Some(Output::LoadVault(_))) {
            link.handle(now, Input::Vault(None)).unwrap();
            while link.poll().is_some() {}
        }
        last
    };
    frame(ClientFrame::Hello { versions: vec![VERSION], caps: 0, extensions: Extensions::new() });
    let payload = [&exporter[..], vault.id.as_bytes(), &[Role::Writer as u8]].concat();
    let signature = vault.write.sign(labels::AUTH, &payload);
    let public = vault.write.public();
    frame(ClientFrame::Auth { vault: vault.id, role: Role::Writer, public, signature });
    let credential = match uses {
        None => Credential::None,
        Some((id, uses_max)) => Credential::Invite(key.invite(id, 0, uses_max, 0).unwrap().encode()),
    };
    for part in vault.parts() {
        frame(part);
    }
    match frame(ClientFrame::Create { vault: vault.id, credential }) {
        Some(Output::Create(creation)) => creation.check().unwrap(),
        other => panic!("{other:?}"),
    }
}

struct Setup {
    key: RelayKey,
    _dir: tempfile::TempDir,
}

fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    Setup { key: RelayKey::create(dir.path()).unwrap(), _dir: dir }
}

fn new_vault(store: &impl LogStore) -> Vault {
    let vault = Vault::new();
    store.create(&creation(&setup().key, &vault, None)).unwrap().unwrap();
    vault
}

/// The next segment of `log`, verified.
fn next(vault: &VaultId, log: &mut Log, body_bytes: usize) -> Offered {
    let public = log.key.public();
    let segment = log.segment(vault, body_bytes);
    Offered::Next(VerifiedSegment::check(vault, public, segment).unwrap())
}

/// A segment that the log would not seal.
fn forged(vault: &VaultId, log: &Log, kind: Kind, seq: Seq, prev: Chain) -> Offered {
    let segment = log.seal(vault, kind, seq, prev, 10);
    Offered::Next(VerifiedSegment::check(vault, log.key.public(), segment).unwrap())
}

fn append(store: &impl LogStore, vault: &VaultId, offered: Vec<Offered>) -> subrosa_relay::store::Outcome {
    store.append(&[Batch { vault: *vault, offered, vouches: Vec::new() }]).unwrap().remove(0)
}

fn scanned(store: &impl LogStore, vault: &VaultId, scan: Scan, max: usize) -> (Vec<SealedSegment>, bool) {
    let mut found = Vec::new();
    let end = store.scan(vault, scan, &mut |stored| {
        let segment = SealedSegment::parse(bytes::Bytes::copy_from_slice(stored.bytes)).unwrap();
        assert_eq!(*segment.header(), stored.header);
        found.push(segment);
        if found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    (found, end.unwrap().is_some())
}

fn an_empty_store_knows_nothing(store: &impl LogStore) {
    let nobody = VaultId::from_bytes([1; 32]);
    assert_eq!(store.vault(&nobody).unwrap(), None);
    assert!(store.heads(&nobody).unwrap().is_empty());
    assert_eq!(store.digest(&nobody).unwrap(), (Rseq(0), digest(&[])));
    assert_eq!(store.usage().unwrap(), subrosa_relay::store::Usage::default());
    let mut log = Log::new(Kind::DATA);
    let outcome = append(store, &nobody, vec![next(&nobody, &mut log, 10)]);
    assert_eq!(outcome.refused[0].code, ErrorCode::UnknownVault);
    assert_ne!(store.incarnation(), Incarnation::ZERO);
}

fn vaults_are_created_once_and_invites_counted(store: &impl LogStore) {
    let Setup { key, _dir } = setup();
    let (one, two, three) = (Vault::new(), Vault::new(), Vault::new());
    let invite = Some(([8; 8], 2));
    let row = store.create(&creation(&key, &one, invite)).unwrap().unwrap();
    assert_eq!(row.statements, one.statements);
    assert_eq!(store.create(&creation(&key, &one, invite)).unwrap().unwrap(), row, "again: no further use");
    assert!(store.create(&creation(&key, &two, invite)).unwrap().is_ok());
    assert_eq!(store.create(&creation(&key, &three, invite)).unwrap(), Err(ErrorCode::InviteRefused));
    assert_eq!(store.vault(&three.id).unwrap(), None);
    store.record_invite(&key.invite([8; 8], 0, 2, 0).unwrap()).unwrap();
    let rows = store.invites().unwrap();
    assert_eq!((rows.len(), rows[0].uses), (1, 2));
}

fn links_that_create_one_vault_at_once_create_it_once(store: &impl LogStore) {
    let key = setup().key;
    let vault = Vault::new();
    let links = 8;
    let barrier = std::sync::Barrier::new(links);
    std::thread::scope(|scope| {
        for _ in 0..links {
            scope.spawn(|| {
                let creation = creation(&key, &vault, Some(([9; 8], 1)));
                barrier.wait();
                store.create(&creation).unwrap().unwrap();
                let mut log = Log::new(Kind::DATA);
                let acked = append(store, &vault.id, vec![next(&vault.id, &mut log, 10)]);
                assert!(acked.refused.is_empty(), "{acked:?}");
            });
        }
    });
    let heads = store.heads(&vault.id).unwrap();
    assert_eq!(heads.len(), links, "a later creation takes nothing away");
}

fn rseq_is_contiguous_and_repetition_changes_nothing(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    let offered = vec![
        next(&id, &mut vault.data, 10),
        next(&id, &mut vault.control, 10),
        next(&id, &mut vault.data, 70_000),
    ];
    let outcome = append(store, &id, offered.clone());
    assert_eq!(outcome.appended, Some((Rseq(1), Rseq(3))));
    assert_eq!(outcome.entries.len(), 3);
    let usage = store.usage().unwrap();
    let again = append(store, &id, offered.clone());
    assert_eq!((again.entries, again.rseq, again.appended), (outcome.entries, Rseq(3), None));
    let repeated = offered.iter().map(|offered| Offered::Repeated(offered.segment().clone())).collect();
    assert_eq!(append(store, &id, repeated).refused, []);
    assert_eq!(store.usage().unwrap(), usage);
    assert_eq!(usage.segments, 3);
    let tip = store.tip(&id, &vault.data.id).unwrap().unwrap();
    assert_eq!((tip.seq, tip.chain, tip.class), (Seq(1), vault.data.chain, Class::Data));
    assert!(store.verify().unwrap().problems.is_empty());
}

fn a_refused_segment_stops_its_log_only(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    append(store, &id, vec![next(&id, &mut vault.data, 10), next(&id, &mut vault.data, 10)]);
    let log = &vault.data;
    for (name, offered, code) in [
        ("another at 0", forged(&id, log, Kind::DATA, Seq(0), Chain::ZERO), ErrorCode::Conflict),
        ("another branch", forged(&id, log, Kind::DATA, Seq(2), Chain::ZERO), ErrorCode::Conflict),
        ("gap", forged(&id, log, Kind::DATA, Seq(3), log.chain), ErrorCode::Gap),
        ("kind", forged(&id, log, Kind::CONTROL, Seq(2), log.chain), ErrorCode::WrongKind),
        (
            "new log in the middle",
            forged(&id, &Log::new(Kind::DATA), Kind::DATA, Seq(1), Chain::ZERO),
            ErrorCode::Gap,
        ),
        (
            "another at 1, by nobody",
            Offered::Repeated(log.seal(&Vault::new().id, Kind::DATA, Seq(1), log.chain, 10)),
            ErrorCode::BadSignature,
        ),
        (
            "not there yet",
            Offered::Repeated(log.seal(&id, Kind::DATA, Seq(2), log.chain, 10)),
            ErrorCode::Gap,
        ),
    ] {
        let outcome = append(store, &id, vec![offered, next(&id, &mut vault.control, 10)]);
        assert_eq!(outcome.refused.iter().map(|r| r.code).collect::<Vec<_>>(), [code], "{name}");
        assert_eq!(outcome.entries.len(), 1, "{name}: the other log goes on");
    }
    assert_eq!(store.tip(&id, &vault.data.id).unwrap().unwrap().seq, Seq(1));
    assert!(store.verify().unwrap().problems.is_empty());
}

fn nothing_goes_behind_a_closing_segment(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    let public = vault.data.key.public();
    let closing = vault.data.segment_of(&id, Kind::CLOSING, 10);
    let closing = Offered::Next(VerifiedSegment::check(&id, public, closing).unwrap());
    let behind = forged(&id, &vault.data, Kind::DATA, Seq(1), vault.data.chain);
    let outcome = append(store, &id, vec![closing.clone(), behind.clone()]);
    assert_eq!((outcome.entries.len(), outcome.refused[0].code), (1, ErrorCode::Closed), "in one batch");
    assert!(store.tip(&id, &vault.data.id).unwrap().unwrap().closed);
    let outcome = append(store, &id, vec![behind]);
    assert_eq!(outcome.refused[0].code, ErrorCode::Closed);
    assert_eq!(append(store, &id, vec![closing]).entries.len(), 1, "and what is held is held");
    assert!(store.verify().unwrap().problems.is_empty());
}

fn one_commit_takes_many_vaults(store: &impl LogStore) {
    let mut vaults: Vec<Vault> = (0..5).map(|_| new_vault(store)).collect();
    let batches: Vec<Batch> = vaults
        .iter_mut()
        .map(|vault| Batch {
            vault: vault.id,
            offered: vec![next(&vault.id, &mut vault.data, 10)],
            vouches: Vec::new(),
        })
        .collect();
    let twice = [batches.clone(), batches].concat();
    let outcomes = store.append(&twice).unwrap();
    assert_eq!(outcomes.len(), 10);
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.rseq, Rseq(1), "each vault counts for itself");
        assert_eq!(outcome.appended.is_some(), n < 5, "and sees what the same commit holds");
    }
}

fn a_log_begins_where_log_said(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    let all: Vec<Offered> = (0..6).map(|_| next(&id, &mut vault.data, 10)).collect();
    let base = {
        let header = all[3].segment().header();
        Base { seq: header.seq, chain: header.prev }
    };
    let gap = |offered: &Offered| {
        let outcome = append(store, &id, vec![offered.clone()]);
        assert_eq!(outcome.refused[0].code, ErrorCode::Gap);
    };
    gap(&all[3]); // the verifier believed that something was there
    let Offered::Next(first) = &all[3] else { panic!("verified") };
    let outcome = append(store, &id, vec![Offered::First(first.clone()), all[4].clone()]);
    assert_eq!((outcome.refused.len(), outcome.rseq), (0, Rseq(2)));
    gap(&all[0]);
    gap(&Offered::Repeated(all[2].segment().clone()));
    for held in [3, 4] {
        let again = append(store, &id, vec![Offered::Repeated(all[held].segment().clone())]);
        assert_eq!((again.refused.len(), again.appended), (0, None), "held");
    }
    assert_eq!(append(store, &id, vec![all[5].clone()]).rseq, Rseq(3));

    let heads = store.heads(&id).unwrap();
    assert_eq!((heads[0].head, heads[0].base), (vault.data.head(), base));
    let (from, to) = (Seq(0), Seq(9));
    let mut seqs = Vec::new();
    store
        .range(&id, Want { log: vault.data.id, from, to }, &mut |stored| {
            assert_eq!(stored.base, base);
            seqs.push(stored.header.seq.0);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seqs, [3, 4, 5]);
    let scan = Scan { after: Rseq(0), class: None };
    assert_eq!(scanned(store, &id, scan, 9).0.len(), 3);
    let head = ShortHead::from(vault.data.head());
    let asked = [ShortHead { seq: Seq(2), ..head }, head];
    let found = store.match_heads(&id, &asked).unwrap();
    assert_eq!(found.iter().map(|found| found.chain_there).collect::<Vec<_>>(), [None, Some(head.chain)]);
    assert!(store.verify().unwrap().problems.is_empty(), "{:?}", store.verify().unwrap().problems);
}

fn heads_and_digest_are_those_of_the_last_rseq(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    let mut heads = std::collections::BTreeMap::new();
    for n in 0..7 {
        let log = if n % 3 == 1 { &mut vault.control } else { &mut vault.data };
        append(store, &id, vec![next(&id, log, 10)]);
        heads.insert(log.id, log.head());
        let now = digest(&heads.values().copied().collect::<Vec<_>>());
        assert_eq!(store.digest(&id).unwrap(), (Rseq(n + 1), now));
    }
    assert_eq!(store.heads(&id).unwrap().len(), 2);
    let head = ShortHead::from(vault.data.head());
    let asked = [
        head,
        ShortHead { seq: Seq(0), ..head },
        ShortHead { seq: Seq(70), ..head },
        ShortHead { log: Log::new(Kind::DATA).id, ..head },
    ];
    let found = store.match_heads(&id, &asked).unwrap();
    assert_eq!((found[0].last, found[0].chain_there), (Some(head.seq), Some(head.chain)));
    assert!(found[1].chain_there.is_some_and(|chain| chain != head.chain));
    assert_eq!((found[2].last, found[2].chain_there), (Some(head.seq), None));
    assert_eq!((found[3].last, found[3].chain_there), (None, None));
}

fn scans_are_in_order_and_stop_when_told(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    for n in 0..10 {
        let log = if n % 4 == 3 { &mut vault.control } else { &mut vault.data };
        append(store, &id, vec![next(&id, log, n * 20)]);
    }
    let all = Scan { after: Rseq(0), class: None };
    let (segments, done) = scanned(store, &id, all, 99);
    assert_eq!((segments.len(), done), (10, true));
    let (some, done) = scanned(store, &id, all, 4);
    assert_eq!((&some[..], done), (&segments[..4], false));
    let (rest, _) = scanned(store, &id, Scan { after: Rseq(4), class: None }, 99);
    assert_eq!(rest, segments[4..]);
    let (control, _) = scanned(store, &id, Scan { after: Rseq(4), class: Some(Class::Control) }, 99);
    assert_eq!(control, [segments[7].clone()]);
    let (data, _) = scanned(store, &id, Scan { after: Rseq(6), class: Some(Class::Data) }, 99);
    assert_eq!(data, [segments[6].clone(), segments[8].clone(), segments[9].clone()]);
    let mut seqs = Vec::new();
    let want = Want { log: vault.data.id, from: Seq(2), to: Seq(4) };
    let whole = store.range(&id, want, &mut |stored| {
        assert_eq!(*stored.public, vault.data.key.public());
        seqs.push(stored.header.seq.0);
        ControlFlow::Continue(())
    });
    assert!(whole.unwrap());
    assert_eq!(seqs, [2, 3, 4]);
}

/// Adds one statement.
fn add(store: &impl LogStore, statement: &Statement, day: u32) -> Result<VaultRow, ErrorCode> {
    let joined = store.join_statements(&statement.vault, std::slice::from_ref(statement), day).unwrap();
    joined.map(|joined| joined.row)
}

fn statements_extend_their_chain(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let [next, fork] = vault.rivals();
    add(store, &fork, 1).unwrap();
    let row = add(store, &next, 1).unwrap();
    assert_eq!(row.statements.len(), 2, "it is preferred");
    assert_eq!(add(store, &next, 1).unwrap(), row, "again");
    assert_eq!(add(store, &fork, 1), Err(ErrorCode::StatementRefused));
    vault.statements.push(next);
    assert_eq!(store.vault(&vault.id).unwrap().unwrap().statements, vault.statements);
    let nowhere = Vault::new();
    let unknown = nowhere.next_statement(&Key::new(), &Key::new());
    assert_eq!(add(store, &unknown, 1), Err(ErrorCode::UnknownVault));
}

/// The next statement of a vault, signed by an admin.
fn by(vault: &Vault, key: &Key, admins: Vec<PublicKeyBytes>) -> Statement {
    let signer = Signer::Admin(key.public());
    sign_statement(Statement { admins, signer, ..vault.next_statement(&Key::new(), &Key::new()) }, key)
}

/// An admin whose statement another one followed cannot drop that by signing again, as a statement or as a tail.
fn a_junior_drops_nothing_that_a_senior_signed(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let (senior, junior) = (vault.admin.public(), Key::new());
    let both = vec![senior, junior.public()];
    let listed = by(&vault, &vault.admin, both.clone());
    add(store, &listed, 1).unwrap();
    vault.statements.push(listed);
    let rivals: Vec<_> = (0..12).map(|_| by(&vault, &junior, both.clone())).collect();
    let alone = store.join_statements(&vault.id, &rivals[..1], 1).unwrap().unwrap();
    assert!(alone.changed);
    vault.statements.push(rivals[0].clone());
    let removal = by(&vault, &vault.admin, vec![senior]);
    add(store, &removal, 1).unwrap();
    vault.statements.push(removal);
    for rival in &rivals[1..] {
        assert_eq!(add(store, rival, 1), Err(ErrorCode::StatementRefused));
        let tail = [&vault.statements[..2], std::slice::from_ref(rival)].concat();
        let joined = store.join_statements(&vault.id, &tail, 1).unwrap();
        assert_eq!(joined, Err(ErrorCode::StatementRefused));
    }
    assert_eq!(store.vault(&vault.id).unwrap().unwrap().statements, vault.statements);
    // Who filled the day keeps nobody senior from replacing it.
    let mut full = Vault { statements: vault.statements[..2].to_vec(), ..vault };
    let signer = Signer::Recovery { public: full.recovery.public(), nonce: NONCE };
    let again = Statement { signer, admins: both.clone(), ..full.next_statement(&Key::new(), &Key::new()) };
    let again = sign_statement(again, &full.recovery);
    add(store, &again, 2).unwrap();
    full.statements.push(again);
    while full.statements.len() < 3 + limits::STATEMENTS_PER_DAY {
        let next = by(&full, &junior, both.clone());
        add(store, &next, 2).unwrap();
        full.statements.push(next);
    }
    assert_eq!(add(store, &by(&full, &full.admin, vec![senior]), 2), Err(ErrorCode::RateLimited));
    full.statements.truncate(3);
    let removal = by(&full, &full.admin, vec![senior]);
    assert_eq!(add(store, &removal, 2).unwrap().statements.len(), 4, "all of it is dropped");
}

/// Nor does one that was removed shut a relay for the chain in which that was said, far behind what others signed.
fn a_rival_is_taken_as_far_as_what_decides_whatever_the_day_has_left(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let (senior, removed, junior) = (vault.admin.public(), Key::new(), Key::new());
    let all = vec![senior, removed.public(), junior.public()];
    let listed = by(&vault, &vault.admin, all.clone());
    add(store, &listed, 1).unwrap();
    vault.statements.push(listed);
    let mut hostile = Vault { statements: vault.statements.clone(), ..new_vault(store) };
    for _ in 0..limits::STATEMENTS_PER_DAY + 2 {
        vault.statements.push(by(&vault, &junior, all.clone()));
    }
    let rest = vec![senior, junior.public()];
    vault.statements.push(by(&vault, &vault.admin, rest.clone()));
    let decided = vault.statements.len();
    vault.statements.push(by(&vault, &junior, rest));
    for _ in 1..limits::STATEMENTS_PER_DAY {
        let rival = by(&hostile, &removed, all.clone());
        add(store, &rival, 1).unwrap();
        hostile.statements.push(rival);
    }
    assert_eq!(add(store, &by(&hostile, &removed, all), 1), Err(ErrorCode::RateLimited), "the day is full");
    let joined = store.join_statements(&vault.id, &vault.statements[1..], 1).unwrap().unwrap();
    assert_eq!(joined.row.statements, vault.statements[..decided]);
    let back = store.join_statements(&vault.id, &hostile.statements, 2).unwrap();
    assert_eq!(back, Err(ErrorCode::StatementRefused));
    let more = store.join_statements(&vault.id, &vault.statements, 1).unwrap();
    assert_eq!(more, Err(ErrorCode::RateLimited), "what follows counts");
    let whole = store.join_statements(&vault.id, &vault.statements, 2).unwrap().unwrap();
    assert_eq!(whole.row.statements, vault.statements);
}

fn a_day_has_so_many_statements_tails_too_and_recovery_is_no_part_of_them(store: &impl LogStore) {
    let mut vault = new_vault(store);
    for _ in 0..2 * limits::STATEMENTS_PER_DAY {
        vault.advance();
    }
    let first = vault.statements[1].clone();
    assert!(add(store, &first, 7).is_ok());
    let part = store.join_statements(&vault.id, &vault.statements, 7).unwrap().unwrap();
    let held = 1 + limits::STATEMENTS_PER_DAY;
    assert_eq!((part.row.statements.len(), part.changed), (held, true), "as much as there is room for");
    assert_eq!(part.row.statements, vault.statements[..held]);
    for tail in [&vault.statements[..], &vault.statements[held..], &vault.statements[held..=held]] {
        let more = store.join_statements(&vault.id, tail, 7).unwrap();
        assert_eq!(more, Err(ErrorCode::RateLimited));
    }
    let again = store.join_statements(&vault.id, &vault.statements[3..held], 7).unwrap().unwrap();
    assert!(!again.changed);
    for tail in [vec![], vec![Vault::new().statements.remove(0)]] {
        assert_eq!(store.join_statements(&vault.id, &tail, 7).unwrap(), Err(ErrorCode::StatementRefused));
    }
    let rest = store.join_statements(&vault.id, &vault.statements, 8).unwrap().unwrap();
    assert_eq!(rest.row.statements, vault.statements, "the next day it is brought up to date");
    let part = store.statements(&vault.id, Generation(2)).unwrap();
    assert_eq!(part, vault.encoded()[2..2 + part.len()]);
    let bytes = |statements: &[Vec<u8>]| statements.iter().map(Vec::len).sum::<usize>();
    let [first, more] = [&part[..part.len() - 1], &part[..]].map(bytes);
    let most = limits::FRAME_BYTES_MAX_UNAUTHENTICATED;
    assert!(first <= most && more > most, "a part of a chain, and a little more: {first}, {more}");
    let len = vault.statements.len() as u64;
    assert_eq!(store.statements(&vault.id, Generation(len - 1)).unwrap().len(), 1);
    for nowhere in [len, u64::MAX] {
        assert_eq!(store.statements(&vault.id, Generation(nowhere)).unwrap(), Vec::<Vec<u8>>::new());
    }
    let next = vault.next_statement(&Key::new(), &Key::new());
    let signer = Signer::Recovery { public: vault.recovery.public(), nonce: NONCE };
    let recovered = sign_statement(Statement { signer, ..next.clone() }, &vault.recovery);
    assert_eq!(add(store, &next, 8), Err(ErrorCode::RateLimited));
    assert!(add(store, &recovered, 8).is_ok(), "recovery cannot wait");
    assert_eq!(add(store, &next, 9), Err(ErrorCode::StatementRefused), "and it stays");
}

fn vouched(vault: &Vault, log: &Log) -> CheckedVouch {
    vault.vouch(log).check(&vault.id, &log.key.public()).unwrap()
}

fn the_reserve_is_for_control_logs_that_an_admin_vouches_for(store: &impl LogStore) {
    let mut vault = new_vault(store);
    let id = vault.id;
    append(store, &id, vec![next(&id, &mut vault.data, 1_700)]);
    let quota = |outcome: subrosa_relay::store::Outcome| {
        outcome.refused.first().is_some_and(|refused| refused.code == ErrorCode::QuotaBytes)
    };
    let (mut other, stranger) = (Log::new(Kind::CONTROL), Key::new());
    let segment = next(&id, &mut other, 400);
    assert!(quota(append(store, &id, vec![segment.clone()])), "nobody vouches");
    let signature = stranger.sign(labels::VOUCH, &Vouch::signed_bytes(&id, &other.key.public()));
    let vouch = Vouch { admin: stranger.public(), signature }.check(&id, &other.key.public()).unwrap();
    let batch = |offered, vouches| [Batch { vault: id, offered, vouches }];
    let outcome = store.append(&batch(vec![segment.clone()], vec![vouch])).unwrap().remove(0);
    assert!(quota(outcome), "who is no admin vouches");
    let vouch = vouched(&vault, &vault.data);
    let data = next(&id, &mut vault.data, 400);
    assert!(quota(store.append(&batch(vec![data], vec![vouch])).unwrap().remove(0)), "a data log");
    let vouch = vouched(&vault, &other);
    let outcome = store.append(&batch(vec![segment], vec![vouch])).unwrap().remove(0);
    assert_eq!(outcome.refused, [], "an admin vouches");
    assert_eq!(append(store, &id, vec![next(&id, &mut other, 10)]).refused, [], "the vouch is kept");
    assert_eq!(store.verify().unwrap().problems, Vec::<String>::new());
    // The admin gives way to another: what he vouched for has a reserve no more.
    let successor = Key::new();
    let unsigned =
        Statement { admins: vec![successor.public()], ..vault.next_statement(&Key::new(), &Key::new()) };
    add(store, &sign_statement(unsigned, &vault.admin), 1).unwrap();
    assert!(quota(append(store, &id, vec![next(&id, &mut other, 10)])));
}

fn quotas_hold(store: &impl LogStore) {
    let mut one = new_vault(store);
    let mut two = new_vault(store);
    let refused = store.create(&creation(&setup().key, &Vault::new(), None)).unwrap();
    assert_eq!(refused, Err(ErrorCode::RelayFull), "two vaults at most");
    append(store, &one.id, vec![next(&one.id, &mut one.data, 1_700)]);
    let outcome = append(store, &one.id, vec![next(&one.id, &mut one.data, 400)]);
    assert_eq!(outcome.refused[0].code, ErrorCode::QuotaBytes);
    let vouches = vec![vouched(&one, &one.control)];
    let offered = vec![next(&one.id, &mut one.control, 400)];
    let outcome = store.append(&[Batch { vault: one.id, offered, vouches }]).unwrap().remove(0);
    assert_eq!(outcome.refused, [], "the admin's control log has a reserve");
    let outcome = append(store, &two.id, vec![next(&two.id, &mut two.data, 900)]);
    assert_eq!(outcome.refused[0].code, ErrorCode::RelayFull, "3,000 bytes over all vaults");
    assert!(outcome.refused[0].retry_after_secs > 0);
}

fn redb(path: &std::path::Path, quotas: Quotas) -> Result<RedbStore, StoreError> {
    RedbStore::open(path, quotas, 1 << 20, Incarnation::from_bytes([1; 16]))
}

#[test]
fn the_redb_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    suite(|quotas| {
        count.set(count.get() + 1);
        redb(&dir.path().join(count.get().to_string()), quotas).unwrap()
    });
}

#[test]
fn what_was_committed_is_there_after_reopening_and_a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    let store = redb(&path, Quotas::default()).unwrap();
    let mut vault = new_vault(&store);
    let id = vault.id;
    append(&store, &id, vec![next(&id, &mut vault.data, 10)]);
    assert!(matches!(redb(&path, Quotas::default()), Err(StoreError::InUse)));
    drop(store);
    let later = Incarnation::from_bytes([2; 16]);
    let store = RedbStore::open(&path, Quotas::default(), 1 << 20, later).unwrap();
    assert_eq!(store.incarnation(), Incarnation::from_bytes([1; 16]), "the same life");
    assert_eq!(store.tip(&id, &vault.data.id).unwrap().unwrap().chain, vault.data.chain);
    append(&store, &id, vec![next(&id, &mut vault.data, 10)]);
    assert!(store.verify().unwrap().problems.is_empty());
}
