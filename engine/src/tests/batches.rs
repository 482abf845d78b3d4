//! What waits for sealing is cut into batches: none is torn, lost, merged twice or touched once it is closed.

use std::collections::BTreeSet;

use subrosa_model::merge::{BodyPlace, CheckedBody, GroupHead, LogNo, RecordId, Stamp, Value};
use subrosa_protocol::ids::Seq;
use subrosa_protocol::limits::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, GROUP_PLAIN_BYTES_MAX, GROUP_SEGMENTS_MAX, RUNS_MAX,
};
use subrosa_protocol::segment::GroupPlace;
use subrosa_store::unsealed::{BatchKind, BatchNo, BatchRow};

use super::strangers::pair;
use super::{Record, TestDevice, device_with_vault, everything, id, record};
use crate::error::Error;

/// One group of a device's data log: what its head says, and the records of its ops in their order.
struct Sealed {
    head: GroupHead,
    records: Vec<RecordId>,
}

fn groups(device: &TestDevice) -> Vec<Sealed> {
    let own = device.core().with_vault(&device.vault().id(), |state| Ok(state.own.data));
    groups_of(device, own.unwrap())
}

fn groups_of(device: &TestDevice, log: LogNo) -> Vec<Sealed> {
    let vault = device.vault().id();
    let read = device.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        let mut groups = Vec::<Sealed>::new();
        for seq in 0..tx.logs.head(log.into())?.map_or(0, |head| head.seq.0 + 1) {
            let place = tx.logs.header(log.into(), Seq(seq))?.expect("it is held").place;
            let opened = tx.open_stored(number, log.into(), Seq(seq))?.expect("our own segment opens");
            let place = match groups.last() {
                Some(group) if !place.is_first() => BodyPlace::Behind { latest: group.head.latest },
                _ => BodyPlace::once_more(GroupPlace::First),
            };
            let body = CheckedBody::decode(&opened.data, place).expect("and decodes");
            if let Some(head) = body.head() {
                groups.push(Sealed { head: head.clone(), records: Vec::new() });
            }
            let group = groups.last_mut().expect("a group begins with its first body");
            group.records.extend(body.ops().iter().map(|op| op.record));
        }
        Ok(groups)
    });
    read.unwrap()
}

fn batches(device: &TestDevice) -> Vec<(BatchNo, BatchRow)> {
    let vault = device.vault().id();
    let number = device.core().lock_state().unwrap().vault_no(&vault).unwrap();
    device.core().read(|doors| doors.unsealed()?.batches(number)?.collect()).unwrap()
}

fn kinds(device: &TestDevice) -> String {
    let kind = |row: &BatchRow| match row.kind {
        BatchKind::Open(_) => 'o',
        BatchKind::Closed(_) => 'c',
        BatchKind::Bulk => 'b',
    };
    batches(device).iter().map(|(_, row)| kind(row)).collect()
}

fn small(device: &TestDevice, n: u8) {
    device.vault().records("notes").put(id(n), &record(&[("x", i64::from(n))])).unwrap();
}

/// A bulk write that begins with record `first`.
fn bulk(device: &TestDevice, first: u32) {
    let vault = device.vault();
    let notes = vault.records("notes");
    let write = vault.write(|tx| {
        (first..first + 300).try_for_each(|n| notes.in_tx(tx).put(wide(n), &record(&[("x", i64::from(n))])))
    });
    write.unwrap();
}

fn wide(n: u32) -> RecordId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    RecordId::from_bytes(bytes)
}

fn seal_all(device: &TestDevice) {
    let vault = device.vault().id();
    while device.core().seal(&vault).unwrap().more {}
}

#[test]
fn groups_come_in_the_order_of_writing_whatever_was_written_and_however_often_it_was_opened() {
    let mut device = device_with_vault();
    small(&device, 1);
    bulk(&device, 1000);
    small(&device, 2);
    device.reopen();
    small(&device, 1);
    bulk(&device, 2000);
    bulk(&device, 1000);
    device.reopen();
    small(&device, 3);
    assert_eq!(kinds(&device), "cbcbbo");
    let shown = everything(&device.vault());
    seal_all(&device);
    assert_eq!(batches(&device), []);
    let groups = groups(&device);
    let firsts: Vec<_> = groups.iter().map(|group| (group.records.len(), group.records[0])).collect();
    let expected =
        [(1, id(1)), (300, wide(1000)), (2, id(2)), (300, wide(2000)), (300, wide(1000)), (1, id(3))];
    assert_eq!(firsts, expected);
    assert!(groups.windows(2).all(|pair| pair[0].head.latest < pair[1].head.latest));
    assert_eq!(everything(&device.vault()), shown);
}

#[test]
fn each_opening_is_a_run_and_what_was_coalesced_away_counts() {
    let mut device = device_with_vault();
    let mut last = Vec::new();
    for n in 0..3 {
        device.clock.set(1_000_000 + n * 1000);
        for _ in 0..2 {
            small(&device, 1);
        }
        last.push(device.core().lock_state().unwrap().clock.max());
        device.reopen();
    }
    device.reopen();
    seal_all(&device);
    let [group] = &groups(&device)[..] else { panic!("one batch is one group") };
    assert_eq!(group.records, [id(1)], "all edits of one field are one op");
    let runs: BTreeSet<Stamp> = group.head.runs.iter().map(|run| run.1).collect();
    assert_eq!(runs, last.iter().copied().collect(), "each run with its last stamp");
    assert_eq!(group.head.latest, *last.last().unwrap());
    // The next write is of another run than any before.
    small(&device, 2);
    seal_all(&device);
    let before: BTreeSet<_> = group.head.runs.iter().map(|run| run.0).collect();
    let all = groups(&device);
    let [(run, _)] = all[1].head.runs.iter().collect::<Vec<_>>()[..] else { panic!("one run wrote it") };
    assert!(!before.contains(&run));
}

#[test]
fn a_batch_takes_no_more_runs_than_a_group_may_name() {
    let device = device_with_vault();
    small(&device, 1);
    let vault = device.vault().id();
    device
        .core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let runs = &mut tx.batches_mut(number)?.open.as_mut().expect("it is open").head.runs;
            for n in 0..RUNS_MAX as u64 - 1 {
                runs.raise(subrosa_model::merge::Run::from_bytes((n << 8).to_be_bytes()), Stamp(1));
            }
            tx.batches_mut(number)?.run = None;
            Ok(())
        })
        .unwrap();
    small(&device, 2);
    assert_eq!(kinds(&device), "co");
    seal_all(&device);
    assert_eq!(
        groups(&device).iter().map(|group| group.head.runs.iter().len()).collect::<Vec<_>>(),
        [RUNS_MAX, 1]
    );
}

#[test]
fn a_full_batch_is_closed_and_no_write_is_in_two() {
    let device = device_with_vault();
    let vault = device.vault().id();
    let fill = |ops: u32, bytes: u64| {
        let fill = device.core().write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let open = tx.batches_mut(number)?.open.as_mut().expect("it is open");
            (open.ops, open.bytes) = (ops, bytes);
            Ok(())
        });
        fill.unwrap();
    };
    let two = |n: u8| {
        let vault = device.vault();
        let notes = vault.records("notes");
        vault
            .write(|tx| {
                notes.in_tx(tx).put(id(n), &record(&[("x", 1)]))?;
                notes.in_tx(tx).put(id(n + 1), &record(&[("x", 1)]))
            })
            .unwrap();
    };
    let rows = [
        ("one op is left", BATCH_OPS_MAX as u32 - 1, 0, "co"),
        ("it has just so many ops", BATCH_OPS_MAX as u32 - 2, 0, "c"),
        ("one byte is left", 0, BATCH_BYTES_MAX as u64 - 1, "co"),
        ("there is room", BATCH_OPS_MAX as u32 - 3, BATCH_BYTES_MAX as u64 - 1000, "o"),
    ];
    for (name, ops, bytes, expected) in rows {
        two(1);
        fill(ops, bytes);
        two(3);
        assert_eq!(kinds(&device), expected, "{name}");
        seal_all(&device);
    }
    let all = groups(&device);
    let all: Vec<_> = all.iter().map(|group| group.records.clone()).collect();
    let (first, second) = (vec![id(1), id(2)], vec![id(3), id(4)]);
    let whole = [first.clone(), second.clone()].concat();
    let expected = [first.clone(), second.clone(), whole.clone(), first, second, whole];
    assert_eq!(all, expected);
}

#[test]
fn one_op_or_one_byte_too_many_is_the_next_group_and_all_arrives() {
    let (a, mut b, relay, vault) = pair();
    let writes = |device: &TestDevice, count: u32, value: &Value| {
        let vault = device.vault();
        let notes = vault.records("notes");
        let each = 255;
        for first in (0..count).step_by(each) {
            let fields = Record([("x".to_owned(), value.clone())].into());
            let written = vault.write(|tx| {
                (first..count.min(first + each as u32))
                    .try_for_each(|n| notes.in_tx(tx).put(wide(n % 1000), &fields))
            });
            written.unwrap();
        }
    };
    // 65,537 ops in small writes, on a thousand records; coalesced, they are few, and counted all the same.
    writes(&b, BATCH_OPS_MAX as u32 + 1, &Value::from(1));
    assert_eq!(kinds(&b), "co");
    let closed = batches(&b);
    assert!(closed[0].1.ops <= BATCH_OPS_MAX as u32);
    assert_eq!(closed.iter().map(|(_, row)| row.ops).sum::<u32>(), BATCH_OPS_MAX as u32 + 1);
    b.reopen();
    // And 17 MiB, of which no write has 16.
    writes(&b, 272, &Value::Bytes(vec![7; 64 << 10]));
    assert!(kinds(&b).starts_with("cc"), "{}", kinds(&b));
    assert!(batches(&b).iter().all(|(_, row)| row.bytes <= BATCH_BYTES_MAX as u64));
    b.reopen();
    let shown = everything(&b.vault());
    for device in [&b, &a] {
        relay.sync(device.core(), &vault);
    }
    assert_eq!(everything(&a.vault()), shown);
    assert_eq!(everything(&b.vault()), shown);
}

#[test]
fn a_large_write_of_few_ops_is_a_batch_of_its_own() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    small(&device, 1);
    let blob = Value::Bytes(vec![0; (1 << 20) - 16]);
    vault
        .write(|tx| {
            (10..28).try_for_each(|n| {
                notes.in_tx(tx).put(id(n), &Record([("blob".to_owned(), blob.clone())].into_iter().collect()))
            })
        })
        .unwrap();
    small(&device, 2);
    assert_eq!(kinds(&device), "cbo");
    seal_all(&device);
    assert_eq!(groups(&device).iter().map(|group| group.records.len()).collect::<Vec<_>>(), [1, 18, 1]);
}

#[test]
fn a_closed_batch_is_not_touched_by_later_writes() {
    let mut device = device_with_vault();
    small(&device, 1);
    bulk(&device, 1000);
    let closed = batches(&device);
    let vault = device.vault().id();
    let waits = || {
        let read = device.core().write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let key = subrosa_store::keys::RecordKey::new(
                number,
                tx.state.collections.number(number, "notes").expect("it has one"),
                &id(1),
            );
            Ok(tx.unsealed.ops(closed[0].0, &key)?.expect("it waits").to_vec())
        });
        read.unwrap()
    };
    let before = waits();
    for _ in 0..3 {
        device.vault().records("notes").put(id(1), &record(&[("x", 77)])).unwrap();
        device.vault().records("notes").delete(id(1)).unwrap();
    }
    assert_eq!((waits(), &batches(&device)[..2]), (before, &closed[..]));
    device.reopen();
    assert_eq!(batches(&device)[..2], closed[..]);
    seal_all(&device);
    let groups = groups(&device);
    assert_eq!(groups[0].records, [id(1)]);
    assert_eq!(groups[2].records, [id(1); 6], "nothing is coalesced across a delete");
}

#[test]
fn what_waits_is_there_once_after_any_write_that_failed() {
    let mut device = device_with_vault();
    small(&device, 1);
    let vault = device.vault().id();
    // A write that fails after its ops went into the batch.
    for n in [2, 3] {
        let failed: Result<(), Error> = device.core().write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            tx.close_batch(number)?;
            tx.batches_mut(number)?.next = BatchNo(100 + n);
            tx.seal_batches(number)?;
            Err(Error::NoRecord)
        });
        assert!(failed.is_err());
        assert_eq!(kinds(&device), "o");
        small(&device, n as u8);
    }
    assert_eq!(batches(&device).len(), 1, "memory is what the store holds");
    device.reopen();
    assert_eq!(kinds(&device), "o");
    seal_all(&device);
    device.reopen();
    seal_all(&device);
    let [group] = &groups(&device)[..] else { panic!("it is one group") };
    assert_eq!(group.records, [id(1), id(2), id(3)]);
}

#[test]
fn each_group_says_what_was_seen_when_it_was_cut_and_none_says_it_twice() {
    let (a, mut b, relay, vault) = pair();
    let seen = |group: &Sealed| {
        let log = a.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
        let heads = group.head.seen.heads().iter();
        (
            heads.filter(|head| head.log == log).map(|head| head.seq.0).collect::<Vec<_>>(),
            group.head.seen.is_complete(),
        )
    };
    small(&b, 1);
    small(&a, 10);
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    // The open batch is closed by the bulk write: both are after the first segment of A, and before the second.
    bulk(&b, 1000);
    small(&b, 2);
    small(&a, 11);
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    b.reopen();
    bulk(&b, 2000);
    small(&b, 3);
    seal_all(&b);
    let told: Vec<_> = groups(&b).iter().map(seen).collect();
    let said = |seqs: &[u64]| (seqs.to_vec(), true);
    assert_eq!(told, [said(&[0]), said(&[]), said(&[1]), said(&[]), said(&[])]);
}

#[test]
fn a_write_that_is_more_than_a_group_is_refused_with_the_limit_and_leaves_nothing() {
    let device = device_with_vault();
    let vault = device.vault();
    small(&device, 1);
    let notes = vault.records("notes");
    let blob = Value::Bytes(vec![0; (1 << 20) - 16]);
    let large = |count: u32| {
        vault.write(|tx| {
            (0..count).try_for_each(|n| {
                notes
                    .in_tx(tx)
                    .put(wide(n), &Record([("blob".to_owned(), blob.clone())].into_iter().collect()))
            })
        })
    };
    let refused = large(257);
    let limits = (GROUP_PLAIN_BYTES_MAX, GROUP_SEGMENTS_MAX);
    let Err(Error::TransactionTooLarge { bytes_max, segments_max }) = refused else { panic!("{refused:?}") };
    assert_eq!((bytes_max, segments_max), limits);
    assert_eq!((kinds(&device).as_str(), everything(&vault).len()), ("o", 1));
    small(&device, 2);
    assert_eq!(kinds(&device), "o");
}

#[test]
fn what_waits_is_sealed_under_the_old_log_when_new_ones_are_opened() {
    let mut device = device_with_vault();
    small(&device, 1);
    bulk(&device, 1000);
    seal_all(&device);
    small(&device, 2);
    bulk(&device, 2000);
    small(&device, 1);
    let (shown, vault) = (everything(&device.vault()), device.vault().id());
    let old = device.core().with_vault(&vault, |state| Ok(state.own.data)).unwrap();
    device.core().rotate_at_once(&vault).unwrap();
    assert_eq!(kinds(&device), "", "nothing waits");
    device.reopen();
    let firsts: Vec<_> =
        groups_of(&device, old).iter().map(|group| (group.records.len(), group.records[0])).collect();
    assert_eq!(firsts, [(1, id(1)), (300, wide(1000)), (1, id(2)), (300, wide(2000)), (1, id(1))]);
    assert_eq!(everything(&device.vault()), shown);
    assert_eq!(groups(&device).len(), 0, "the new log is another one");
}

#[test]
fn a_delete_of_a_record_that_was_never_there_makes_no_batch() {
    let device = device_with_vault();
    assert!(!device.vault().records("notes").delete(id(1)).unwrap());
    assert_eq!(batches(&device), []);
}
