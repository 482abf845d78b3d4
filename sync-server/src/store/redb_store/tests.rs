//! What a full disk does, and one that forgets.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use subrosa_protocol::ids::{Chain, Epoch, PublicKeyBytes, Seq, Signature};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{GroupPlace, Kind, SealedSegment, VerifiedSegment};

use super::super::Offered;
use super::super::rows::{FORMAT, LogRow};
use super::test_disk::{on_a_bad_disk, on_a_disk};
use super::*;

mod chains;
mod shares;

fn key() -> EcdsaKeyPair {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &SystemRandom::new()).unwrap()
}

/// The next segment of a log whose key is `key`, verified.
fn next(key: &EcdsaKeyPair, vault: &VaultId, prev: Option<&VerifiedSegment>) -> VerifiedSegment {
    let public = PublicKeyBytes::from_bytes(key.public_key().as_ref().try_into().unwrap());
    let chain = prev.map_or(Chain::ZERO, |before| *before.chain());
    let seq = prev.map_or(Seq(0), |before| before.segment().header().seq.next());
    let body = vec![seq.0 as u8; 60_000];
    let header = Header {
        kind: Kind::DATA,
        place: GroupPlace::Whole,
        log: LogId::of(&public),
        seq,
        epoch: Epoch(0),
        prev: chain,
        salt: [0; 16],
        commit: [0; 32],
        body_len: 60_000,
    };
    let unsigned = SealedSegment::assemble(header, &body, &Signature::ZERO);
    let message = [labels::CHAIN, unsigned.preimage(vault).as_bytes()].concat();
    loop {
        let signature = key.sign(&SystemRandom::new(), &message).unwrap();
        let signature = Signature::from_bytes(signature.as_ref().try_into().unwrap());
        let segment = SealedSegment::assemble(header, &body, &signature);
        // A high s, one time in two, is refused: sign again.
        if let Ok(verified) = VerifiedSegment::check(vault, public, segment) {
            return verified;
        }
    }
}

/// Puts a vault's row in without its birth, which is not what is tested here.
fn plant(store: &RedbStore, vault: &VaultId, no: u64) {
    let meta = VaultMeta::new(no, 0);
    let planted = store.write(|txn| {
        txn.open_table(VAULTS)?.insert(vault.as_bytes(), &meta.encode()[..])?;
        Ok(((), Changed::Yes))
    });
    planted.unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space() {
    let (store, capacity) = on_a_disk(Quotas::default());
    let vault = VaultId::from_bytes([7; 32]);
    plant(&store, &vault, 0);
    let key = key();
    let append = |segment: &VerifiedSegment| {
        store.append(&[Batch { vault, offered: vec![Offered::Next(segment.clone())], vouches: vec![] }])
    };
    let held = |store: &RedbStore| {
        let mut seqs = Vec::new();
        let scan = Scan { after: Rseq(0), class: None };
        let end = store.scan(&vault, scan, &mut |stored| {
            assert!(SealedSegment::parse(Bytes::copy_from_slice(stored.bytes)).is_ok());
            seqs.push(stored.header.seq.0);
            ControlFlow::Continue(())
        });
        assert!(end.unwrap().is_some());
        seqs
    };

    let mut last = next(&key, &vault, None);
    append(&last).unwrap();
    capacity.store(3 << 20, Ordering::Relaxed);
    let mut acknowledged = 1;
    let refused = loop {
        let segment = next(&key, &vault, Some(&last));
        match append(&segment) {
            Ok(outcomes) => {
                assert_eq!(outcomes[0].refused, []);
                acknowledged += 1;
                last = segment;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Full), "{error}");
                break segment;
            }
        }
        assert!(acknowledged < 200, "the disk has an end");
    };
    assert_eq!(
        held(&store),
        (0..acknowledged).collect::<Vec<_>>(),
        "all that was acknowledged, nothing else"
    );
    capacity.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(append(&refused).unwrap()[0].refused, []);
    assert_eq!(held(&store).len() as u64, acknowledged + 1);
    assert_eq!(store.usage().unwrap().segments, acknowledged + 1);
}

/// Some vaults in memory, numbered as they are planted.
fn in_memory(vaults: &[VaultId]) -> RedbStore {
    let open = || Database::builder().create_with_backend(redb::backends::InMemoryBackend::new());
    let life = Incarnation::from_bytes([1; 16]);
    let store = RedbStore::with_opener(Box::new(open), Quotas::default(), life).unwrap();
    for (no, vault) in vaults.iter().enumerate() {
        plant(&store, vault, no as u64);
    }
    store
}

/// The first segments of a new log.
fn log(vault: &VaultId, segments: usize) -> Vec<VerifiedSegment> {
    let key = key();
    let mut log: Vec<VerifiedSegment> = Vec::new();
    for _ in 0..segments {
        log.push(next(&key, vault, log.last()));
    }
    log
}

fn batch(vault: VaultId, segments: &[VerifiedSegment]) -> Batch {
    Batch { vault, offered: segments.iter().cloned().map(Offered::Next).collect(), vouches: vec![] }
}

/// What a feed from the start would show, as (rseq, log, seq), and the error that ends it, if one does.
fn shown(store: &RedbStore, vault: &VaultId) -> (Vec<(u64, LogId, u64)>, Option<StoreError>) {
    let mut segments = Vec::new();
    let scan = Scan { after: Rseq(0), class: None };
    let end = store.scan(vault, scan, &mut |stored| {
        segments.push((stored.rseq.0, stored.header.log, stored.header.seq.0));
        ControlFlow::Continue(())
    });
    (segments, end.err())
}

fn damage(error: Option<StoreError>) -> Damage {
    match error {
        Some(StoreError::Vault(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_row_is_never_served_and_takes_its_log_back_to_before_it() {
    let vault = VaultId::from_bytes([7; 32]);
    let len = log(&vault, 1)[0].segment().bytes().len();
    let places = [("suite", 0), ("log", 5), ("seq", 20), ("commitment", 50), ("length", 79), ("body", 500)];
    for (name, byte) in [&places[..], &[("tag", len - 65), ("signature", len - 1)]].concat() {
        let store = in_memory(&[vault]);
        let (one, two) = (log(&vault, 4), log(&vault, 2));
        let ids = [one[0].segment().header().log, two[0].segment().header().log];
        for part in [&one[..2], &two[..], &one[2..]] {
            assert_eq!(store.append(&[batch(vault, part)]).unwrap()[0].refused, [], "{name}");
        }
        let before = store.digest(&vault).unwrap().1;
        store.flip(&vault, Rseq(2), byte).unwrap();
        let (segments, error) = shown(&store, &vault);
        assert_eq!(segments, [(1, ids[0], 0)], "{name}: nothing from the damage on");
        let found = damage(error);
        assert_eq!((found.vault, found.seen), (vault, Rseq(6)), "{name}");
        assert_eq!(store.take_back(&found).unwrap(), [TakenBack { log: ids[0], from: Seq(1) }], "{name}");
        assert_eq!(store.take_back(&found).unwrap(), [], "{name}: found by another feed as well");

        let (segments, error) = shown(&store, &vault);
        assert_eq!(segments, [(1, ids[0], 0), (3, ids[1], 0), (4, ids[1], 1)], "{name}");
        assert!(error.is_none(), "{name}");
        assert_eq!(store.usage().unwrap().bytes, 3 * len as u64, "{name}: the quota has room again");
        assert_eq!(store.tip(&vault, &ids[0]).unwrap().unwrap().chain, *one[0].chain(), "{name}");
        let heads = [&one[0], &two[1]].map(|last| {
            let header = last.segment().header();
            Head { log: header.log, seq: header.seq, chain: *last.chain() }
        });
        assert_eq!(store.digest(&vault).unwrap(), (Rseq(7), digest(&heads)), "{name}");
        let again = store.append(&[batch(vault, &one[1..])]).unwrap().remove(0);
        assert_eq!((again.rseq, again.refused), (Rseq(10), vec![]), "{name}: members give it again");
        assert_eq!(store.digest(&vault).unwrap().1, before, "{name}");
        assert_eq!(shown(&store, &vault).0.len(), 6, "{name}");
        assert_eq!(*lock(&store.total_bytes), 6 * len as u64, "{name}");
        // The planted vault has no statements; all else is in order.
        let problems = store.verify().unwrap().problems;
        assert!(
            problems.iter().all(|problem| {
                !problem.contains("rseq") && !problem.contains("head") && !problem.contains("digest")
            }),
            "{problems:?}"
        );
    }
}

#[test]
fn damage_beside_the_segments_is_found_and_taken_back_too() {
    let vault = VaultId::from_bytes([7; 32]);
    /// Whether there was anything to harm.
    type Harm = fn(&WriteTransaction, &LogRow, LogId) -> Result<bool, StoreError>;
    let cases: [(&str, Harm, u64); 5] = [
        (
            "an index row is gone",
            |txn, row, _| Ok(txn.open_table(INDEX)?.remove((0, row.no, 2))?.is_some()),
            2,
        ),
        (
            "an index row has another chain",
            |txn, row, _| {
                let place = Place { rseq: Rseq(2), chain: Chain::ZERO, mark: [0; 8] };
                Ok(txn.open_table(INDEX)?.insert((0, row.no, 1), &place.encode())?.is_some())
            },
            1,
        ),
        ("a segment is gone", |txn, _, _| Ok(txn.open_table(SEGMENTS)?.remove((0, 3))?.is_some()), 2),
        (
            "the head is another",
            |txn, row, log| {
                let row = LogRow { chain: Chain::ZERO, ..*row };
                Ok(txn.open_table(LOGS)?.insert((0, *log.as_bytes()), &row.encode()[..])?.is_some())
            },
            3,
        ),
        (
            "the log's row is no row",
            |txn, _, log| Ok(txn.open_table(LOGS)?.insert((0, *log.as_bytes()), &[1, 2][..])?.is_some()),
            0,
        ),
    ];
    for (name, harm, kept) in cases {
        let store = in_memory(&[vault]);
        let one = log(&vault, 3);
        let id = one[0].segment().header().log;
        store.append(&[batch(vault, &one)]).unwrap();
        let row = store.read(|snapshot| snapshot.log(0, &id)).unwrap().unwrap();
        assert!(store.write(|txn| Ok((harm(txn, &row, id)?, Changed::Yes))).unwrap(), "{name}");
        let want = Want { log: id, from: Seq(0), to: Seq(9) };
        let ranged = store.range(&vault, want, &mut |_| ControlFlow::Continue(()));
        let found = shown(&store, &vault).1.or(ranged.err());
        store.take_back(&damage(found)).unwrap();
        let (segments, error) = shown(&store, &vault);
        assert_eq!(segments.len() as u64, kept, "{name}");
        assert!(error.is_none(), "{name}: {error:?}");
        let tip = store.tip(&vault, &id).unwrap().map(|tip| tip.seq.0 + 1);
        assert_eq!(tip.unwrap_or(0), kept, "{name}");
        let again = store.append(&[batch(vault, &one[kept as usize..])]).unwrap().remove(0);
        assert_eq!(again.refused, [], "{name}");
        assert_eq!(shown(&store, &vault).0.len(), 3, "{name}");
    }
}

#[test]
fn damage_in_one_vault_fails_its_own_share_of_a_commit_only() {
    let vaults = [[1; 32], [2; 32], [3; 32]].map(VaultId::from_bytes);
    let store = in_memory(&vaults);
    let logs = vaults.map(|vault| log(&vault, 4));
    for (vault, log) in vaults.iter().zip(&logs) {
        store.append(&[batch(*vault, &log[..2])]).unwrap();
    }
    let hurt = logs[1][0].segment().header().log;
    let row = store.read(|snapshot| snapshot.log(1, &hurt)).unwrap().unwrap();
    store.write(|txn| Ok((txn.open_table(INDEX)?.remove((1, row.no, 1))?.is_some(), Changed::Yes))).unwrap();

    let fresh = log(&vaults[1], 1);
    let mut hurt = batch(vaults[1], &fresh);
    hurt.offered.push(Offered::Repeated(logs[1][1].segment().clone()));
    let group = [batch(vaults[0], &logs[0][2..3]), hurt, batch(vaults[2], &logs[2][2..3])];
    let bytes = store.usage().unwrap().bytes;
    let outcomes = store.append(&group).unwrap();
    assert!(outcomes[0].refused.is_empty() && outcomes[2].refused.is_empty());
    assert_eq!((outcomes[0].rseq, outcomes[2].rseq), (Rseq(3), Rseq(3)));
    let codes: Vec<ErrorCode> = outcomes[1].refused.iter().map(|refused| refused.code).collect();
    assert_eq!(codes, [ErrorCode::Internal, ErrorCode::Internal]);
    assert_eq!((outcomes[1].appended, &outcomes[1].entries[..]), (None, &[][..]));
    let segment = fresh[0].segment();
    assert_eq!(
        store.tip(&vaults[1], &segment.header().log).unwrap(),
        None,
        "what it had written is out again"
    );
    assert_eq!(store.usage().unwrap().bytes, bytes + 2 * segment.bytes().len() as u64);

    store.take_back(&outcomes[1].damaged.unwrap()).unwrap();
    let outcomes = store.append(&[batch(vaults[1], &logs[1]), batch(vaults[1], &fresh)]).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.refused.is_empty()));
}

#[test]
fn a_log_with_a_base_is_taken_back_to_it_and_no_further() {
    let vault = VaultId::from_bytes([7; 32]);
    for (rseq, kept) in [(1, 0), (2, 1), (3, 2)] {
        let store = in_memory(&[vault]);
        let all = log(&vault, 5);
        let id = all[0].segment().header().log;
        let mut offered = batch(vault, &all[2..]);
        offered.offered[0] = Offered::First(all[2].clone());
        assert_eq!(store.append(&[offered.clone()]).unwrap()[0].refused, []);
        store.flip(&vault, Rseq(rseq), 500).unwrap();
        let (segments, error) = shown(&store, &vault);
        assert_eq!(segments.len() as u64, kept);
        let taken = store.take_back(&damage(error)).unwrap();
        assert_eq!(taken, [TakenBack { log: id, from: Seq(2 + if kept == 0 { 0 } else { kept }) }]);
        let again = store.append(&[offered]).unwrap().remove(0);
        assert_eq!(again.refused, [], "given again from the base on, {rseq}");
        let (segments, error) = shown(&store, &vault);
        assert!(error.is_none());
        assert_eq!(segments.iter().map(|(_, _, seq)| *seq).collect::<Vec<_>>(), [2, 3, 4]);
        let problems = store.verify().unwrap().problems;
        assert!(problems.iter().all(|problem| !problem.contains("rseq") && !problem.contains("head")));
    }
}

#[test]
fn the_digest_is_kept_from_edit_to_edit_and_a_refused_share_leaves_it_alone() {
    let vault = VaultId::from_bytes([7; 32]);
    let store = in_memory(&[vault]);
    let logs = [log(&vault, 3), log(&vault, 3)];
    assert_eq!(store.digest(&vault).unwrap(), (Rseq(0), digest(&[])));
    let mut heads = std::collections::BTreeMap::new();
    for n in 0..6u64 {
        let segment = &logs[n as usize % 2][n as usize / 2];
        store.append(&[batch(vault, std::slice::from_ref(segment))]).unwrap();
        let header = segment.segment().header();
        heads.insert(header.log, Head { log: header.log, seq: header.seq, chain: *segment.chain() });
        let expected = (Rseq(n + 1), digest(&heads.values().copied().collect::<Vec<_>>()));
        assert_eq!(store.digest(&vault).unwrap(), expected);
        let scan = Scan { after: Rseq(n), class: None };
        let end = store.scan(&vault, scan, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(end, Some(expected));
        // A share that damage refuses is taken out again, with what it had added.
        let gone = Offered::Repeated(logs[0][0].segment().clone());
        let hidden = store
            .write(|txn| {
                Ok((txn.open_table(INDEX)?.remove((0, 0, 0))?.map(|row| *row.value()), Changed::Yes))
            })
            .unwrap();
        let mut hurt = batch(vault, &log(&vault, 1));
        hurt.offered.push(gone);
        assert!(store.append(&[hurt]).unwrap()[0].damaged.is_some());
        store
            .write(|txn| {
                txn.open_table(INDEX)?.insert((0, 0, 0), &hidden.unwrap())?;
                Ok(((), Changed::Yes))
            })
            .unwrap();
        assert_eq!(store.digest(&vault).unwrap(), expected);
    }
    let problems = || store.verify().unwrap().problems;
    assert!(problems().iter().all(|problem| !problem.contains("digest")), "{:?}", problems());
    store
        .write(|txn| {
            let mut vaults = txn.open_table(VAULTS)?;
            let mut meta = VaultMeta::decode(vaults.get(vault.as_bytes())?.unwrap().value())?;
            meta.digest = subrosa_protocol::digest::HeadsDigest::new();
            vaults.insert(vault.as_bytes(), &meta.encode()[..])?;
            Ok(((), Changed::Yes))
        })
        .unwrap();
    assert!(problems().iter().any(|problem| problem.contains("digest")), "{:?}", problems());
}

#[test]
fn a_database_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    std::fs::write(crate::files::fresh_name(&path).unwrap(), [0; 4096]).unwrap(); // its making was cut short
    let life = Incarnation::from_bytes([1; 16]);
    drop(RedbStore::open(&path, Quotas::default(), 1 << 20, life).unwrap());
    let later = Incarnation::from_bytes([2; 16]);
    let store = RedbStore::open(&path, Quotas::default(), 1 << 20, later).unwrap();
    assert_eq!(store.incarnation(), life);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the database, and what the cut left");
}

#[test]
fn a_database_of_another_format_is_refused_by_name_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.redb");
    let open = || RedbStore::open(&path, Quotas::default(), 1 << 20, Incarnation::from_bytes([1; 16]));
    drop(open().unwrap());
    for other in (0..FORMAT).chain([FORMAT + 1]) {
        let database = redb::Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format", &other.to_be_bytes()[..]).unwrap();
        txn.commit().unwrap();
        drop(database);
        let refused = open().err().unwrap();
        let StoreError::Format { found, known } = refused else { panic!("{refused:?}") };
        assert_eq!((found, known), (other, FORMAT));
        let text = refused.to_string();
        let does = if other < FORMAT { "move relay.redb away" } else { "update subrosa-relay" };
        assert!(text.contains(&format!("format {other}, ")) && text.contains(does), "{text}");
        let again = open().err().unwrap();
        assert_eq!(again.to_string(), text, "nothing was changed");
    }
}

#[test]
fn a_page_that_cannot_be_read_fails_its_own_request_and_the_store_goes_on() {
    let (store, _, bad) = on_a_bad_disk(Quotas::default(), 0);
    let vaults = [[1; 32], [2; 32]].map(VaultId::from_bytes);
    let logs = vaults.map(|vault| log(&vault, 3));
    for (no, (vault, log)) in vaults.iter().zip(&logs).enumerate() {
        plant(&store, vault, no as u64);
        assert_eq!(store.append(&[batch(*vault, &log[..2])]).unwrap()[0].refused, []);
    }
    let bytes = logs[0][1].segment().bytes();
    for round in 0..3 {
        *bad.lock().unwrap() = Some(bytes[bytes.len() - 64..].to_vec());
        let (segments, error) = shown(&store, &vaults[0]);
        assert_eq!(segments.len(), 1, "{round}: what is before it");
        assert!(matches!(error, Some(StoreError::Database(_))), "{round}: {error:?}");
        let (segments, error) = shown(&store, &vaults[1]);
        assert!(error.is_none(), "{round}: {error:?}");
        assert_eq!(segments.len(), 2 + usize::from(round > 0), "{round}");
        let again = store.append(&[batch(vaults[1], &logs[1])]).unwrap();
        assert_eq!(again[0].refused, [], "{round}");
        assert_eq!(shown(&store, &vaults[0]).0.len(), 2, "{round}: nothing was taken back for that");
    }
}

#[test]
fn a_panic_on_a_page_is_damage_and_the_store_goes_on() {
    let vault = VaultId::from_bytes([7; 32]);
    let (store, _) = on_a_disk(Quotas::default());
    plant(&store, &vault, 0);
    let segments = log(&vault, 2);
    store.append(&[batch(vault, &segments[..1])]).unwrap();
    let read = store.read_vault(&vault, || (), |_, _| panic!("a page that is none"));
    assert_eq!(damage(read.err()).vault, vault);
    assert!(matches!(store.read::<()>(|_| panic!("elsewhere")), Err(StoreError::Damaged { .. })));
    let written = store.write::<()>(|txn| {
        txn.open_table(SEGMENTS)?.insert((0, 9), &[1][..])?;
        panic!("in the middle of a commit")
    });
    assert!(matches!(written, Err(StoreError::Damaged { .. })));
    let (shown, error) = shown(&store, &vault);
    assert_eq!((shown.len(), error.is_none()), (1, true), "nothing of it is there");
    assert_eq!(store.append(&[batch(vault, &segments[1..])]).unwrap()[0].refused, []);
}

/// Does all that links may ask for; returns the segments that were shown.
fn ask_for_everything(store: &RedbStore, vaults: &[VaultId], logs: &[Vec<VerifiedSegment>]) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for (vault, log) in vaults.iter().zip(logs) {
        let id = log[0].segment().header().log;
        let _ = (store.vault(vault), store.heads(vault), store.digest(vault), store.tip(vault, &id));
        for class in [None, Some(Class::Control)] {
            let scan = Scan { after: Rseq(0), class };
            let mut visit = |stored: Stored<'_>| {
                seen.push(stored.bytes.to_vec());
                ControlFlow::Continue(())
            };
            if let Err(StoreError::Vault(damage)) = store.scan(vault, scan, &mut visit) {
                let _ = store.take_back(&damage);
            }
        }
        let want = Want { log: id, from: Seq(0), to: Seq(9) };
        let _ = store.range(vault, want, &mut |stored| {
            seen.push(stored.bytes.to_vec());
            ControlFlow::Continue(())
        });
        let _ = store.append(&[batch(*vault, log)]);
    }
    let _ = (store.verify(), store.usage(), store.invites());
    seen
}

#[test]
fn bytes_that_flip_in_the_file_end_no_thread_and_show_nothing_that_was_not_appended() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, hurt) = (dir.path().join("whole"), dir.path().join("hurt"));
    let life = Incarnation::from_bytes([1; 16]);
    let vaults = [[1; 32], [2; 32]].map(VaultId::from_bytes);
    let logs = vaults.map(|vault| log(&vault, 4));
    let store = RedbStore::open(&whole, Quotas::default(), 1 << 20, life).unwrap();
    for (no, (vault, log)) in vaults.iter().zip(&logs).enumerate() {
        plant(&store, vault, no as u64);
        store.append(&[batch(*vault, &log[..3])]).unwrap();
    }
    drop(store);
    let good = std::fs::read(&whole).unwrap();
    let appended: HashSet<&[u8]> =
        logs.iter().flatten().map(|segment| &segment.segment().bytes()[..]).collect();
    // A byte of each kind of page: segments fill most of the file, what holds them together little.
    let small: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0 && !is_body(&good, *at)).collect();
    let mut random = 88_172_645_463_325_252_u64;
    let mut opened = 0;
    for round in 0..150 {
        let mut bad = good.clone();
        for _ in 0..1 + round % 4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bad[small[(random >> 8) as usize % small.len()]] ^= (random as u8) | 1;
        }
        std::fs::write(&hurt, &bad).unwrap();
        let Ok(store) = RedbStore::open(&hurt, Quotas::default(), 1 << 20, life) else { continue };
        opened += 1;
        for bytes in ask_for_everything(&store, &vaults, &logs) {
            assert!(appended.contains(&bytes[..]), "round {round}");
        }
    }
    assert!(opened > 20, "{opened}");
}

/// Whether the byte is deep inside a segment's body, which repeats one byte.
fn is_body(file: &[u8], at: usize) -> bool {
    let around = &file[at.saturating_sub(8)..file.len().min(at + 9)];
    around.iter().all(|byte| *byte == file[at])
}
