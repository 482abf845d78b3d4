//! Looking at segments before the store comes to them: it saves work, and nothing depends on it.

use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::merge::Value;
use subrosa_model::seal::{Packed, Place, seal};
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{Base, Chain, Epoch, LogId, Rseq, Seq, Signature, VaultId};
use subrosa_protocol::limits::{AHEAD_PLAIN_BYTES_MAX, AHEAD_SEALED_BYTES_MAX, SEGMENT_PLAIN_MAX};
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment};

use super::exchange::pair;
use super::{ListRelay, TestDevice, everything, id, look_ahead, record};
use crate::collection::Record;
use crate::error::{Error, PeerFault};
use crate::memory::cost::rows_looked_at;

/// Two devices, and what the second one has not seen of the first: `count` groups of one edit each.
fn with_unseen(count: u8) -> (TestDevice, TestDevice, ListRelay, VaultId, FeedBatch) {
    let (a, b, relay, vault) = pair();
    for n in 0..count {
        a.vault().records("notes").put(id(n), &record(&[("x", i64::from(n))])).unwrap();
        while a.core().seal(&vault).unwrap().more {}
    }
    relay.take(a.core(), &vault).unwrap();
    let batch = unseen(&b, &relay, &vault);
    (a, b, relay, vault, batch)
}

/// What a relay has and a device has not.
fn unseen(device: &TestDevice, relay: &ListRelay, vault: &VaultId) -> FeedBatch {
    let after = device.core().sync_plan(vault, &relay.pin).unwrap().cursor.0 as usize;
    let state = relay.state.lock().unwrap();
    let items = state.segments.iter().enumerate().skip(after);
    let items =
        items.map(|(at, segment)| FeedItem { rseq: Some(Rseq(at as u64 + 1)), segment: segment.clone() });
    FeedBatch {
        incarnation: relay.incarnation,
        logs: state.logs.clone(),
        items: items.collect(),
        caught_up: None,
    }
}

fn take_in(device: &TestDevice, relay: &ListRelay, vault: &VaultId, batch: FeedBatch) -> Result<u64, Error> {
    let mut keys = relay.keys.lock().unwrap();
    Ok(device.core().receive(vault, &relay.pin, &mut keys, batch)?.segments)
}

fn data(batch: &FeedBatch) -> Vec<SealedSegment> {
    let segments = batch.items.iter().map(|item| item.segment.clone());
    segments.filter(|segment| segment.header().kind.class() == Class::Data).collect()
}

#[test]
fn what_was_found_ahead_is_used_and_each_body_is_opened_once() {
    let (a, b, relay, vault, batch) = with_unseen(20);
    look_ahead(b.core(), &vault, &batch);
    let (segments, _, plain) = b.core().ahead.held();
    assert!(segments >= 20 && plain > 0);
    // Each segment is looked at for the extent of its group, and not read again to be opened.
    let before = rows_looked_at();
    take_in(&b, &relay, &vault, batch.clone()).unwrap();
    let ahead = rows_looked_at() - before;
    assert_eq!(b.core().ahead.held(), (0, 0, 0), "all of it was taken");
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    let (_, c, relay, vault, again) = with_unseen(20);
    let before = rows_looked_at();
    take_in(&c, &relay, &vault, again).unwrap();
    assert_eq!(rows_looked_at() - before, ahead + 20);
}

#[test]
fn a_proof_is_taken_for_the_very_bytes_that_it_was_found_for() {
    let (_, b, relay, vault, mut batch) = with_unseen(2);
    look_ahead(b.core(), &vault, &batch);
    let at = batch.items.iter().position(|item| item.segment.header().kind.class() == Class::Data).unwrap();
    let mut bytes = batch.items[at].segment.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    batch.items[at].segment = SealedSegment::parse(bytes.into()).unwrap();
    let refused = take_in(&b, &relay, &vault, batch);
    assert!(matches!(refused, Err(Error::Peer(PeerFault::BadSignature))), "{refused:?}");
    assert!(everything(&b.vault()).is_empty());
}

#[test]
fn a_segment_that_does_not_hold_is_refused_as_if_nobody_had_looked_ahead() {
    let (_, b, relay, vault, mut batch) = with_unseen(2);
    let item = batch.items.iter_mut().find(|item| item.segment.header().kind.class() == Class::Data).unwrap();
    let mut bytes = item.segment.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    item.segment = SealedSegment::parse(bytes.into()).unwrap();
    look_ahead(b.core(), &vault, &batch);
    let refused = take_in(&b, &relay, &vault, batch);
    assert!(matches!(refused, Err(Error::Peer(PeerFault::BadSignature))), "{refused:?}");
}

#[test]
fn a_body_found_ahead_counts_for_the_segment_that_is_stored_and_no_other() {
    let (_, b, _, vault, batch) = with_unseen(2);
    look_ahead(b.core(), &vault, &batch);
    let [one, two] = &data(&batch)[..] else { panic!("two groups") };
    let (header, other) = (one.header(), two.preimage(&vault).chain());
    let ahead = &b.core().ahead;
    assert!(ahead.take_body(&vault, &header.log, header.seq, &other).is_none());
    let chain = one.preimage(&vault).chain();
    assert!(ahead.take_body(&vault, &header.log, header.seq, &chain).is_none(), "looked for no more");
    assert!(ahead.take_body(&vault, &two.header().log, two.header().seq, &other).is_some());
}

#[test]
fn what_is_held_ahead_is_bounded_and_goes_when_it_is_of_no_use() {
    let (_, b, relay, vault, mut batch) = with_unseen(3);
    look_ahead(b.core(), &vault, &batch);
    let (count, sealed, plain) = b.core().ahead.held();
    // The same again takes no more room.
    look_ahead(b.core(), &vault, &batch);
    assert_eq!(b.core().ahead.held(), (count, sealed, plain));
    // What nobody takes goes when the relay has shown everything.
    batch.items.clear();
    let state = relay.state.lock().unwrap();
    let heads: Vec<_> = state.heads.values().copied().collect();
    batch.caught_up = Some((Rseq(state.segments.len() as u64), subrosa_protocol::digest::digest(&heads)));
    drop(state);
    take_in(&b, &relay, &vault, batch.clone()).unwrap();
    assert_eq!(b.core().ahead.held(), (0, 0, 0));
}

#[test]
fn plaintext_ahead_stops_at_its_limit_and_goes_on_as_it_is_taken() {
    let (a, b, relay, vault) = pair();
    let text = "sub rosa ".repeat(7_000);
    for n in 0..250 {
        let value = Record([("text".to_owned(), Value::from(text.as_str()))].into());
        a.vault().records("notes").put(id(n), &value).unwrap();
    }
    while a.core().seal(&vault).unwrap().more {}
    relay.take(a.core(), &vault).unwrap();
    let batch = unseen(&b, &relay, &vault);
    look_ahead(b.core(), &vault, &batch);
    let (_, sealed, plain) = b.core().ahead.held();
    assert!(sealed < AHEAD_SEALED_BYTES_MAX);
    assert!((AHEAD_PLAIN_BYTES_MAX..AHEAD_PLAIN_BYTES_MAX + SEGMENT_PLAIN_MAX).contains(&plain), "{plain}");
    take_in(&b, &relay, &vault, batch).unwrap();
    assert_eq!(b.core().ahead.held(), (0, 0, 0));
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
}

#[test]
fn what_a_stranger_signs_is_not_kept_ahead_once_it_is_taken_in() {
    let (_, b, relay, vault) = pair();
    let log = KeyPair::generate(&OsEntropy);
    let public = log.public().into();
    let key = EpochKey::generate(&OsEntropy);
    let (mut items, mut prev) = (Vec::new(), Chain::ZERO);
    for seq in 0..200 {
        let place = Place {
            group: GroupPlace::Whole,
            vault,
            prev,
            kind: Kind::DATA,
            log: LogId::of(&public),
            seq: Seq(seq),
            epoch: Epoch(0),
        };
        let sign = |label: &[u8], payload: &[u8]| Signature::from_bytes(log.sign(label, payload));
        let (segment, chain) = seal(&place, &Packed::of(b"made up"), (&key).into(), &OsEntropy, sign);
        prev = chain;
        items.push(FeedItem { rseq: Some(Rseq(1_000 + seq)), segment });
    }
    let logs = vec![LogKey { public, base: Base::WHOLE }];
    let batch = FeedBatch { incarnation: relay.incarnation, logs, items, caught_up: None };
    look_ahead(b.core(), &vault, &batch);
    let (count, sealed, _) = b.core().ahead.held();
    assert_eq!(count, 200);
    assert!(sealed > 200 * 1024, "each takes its place: {sealed}");
    take_in(&b, &relay, &vault, batch.clone()).unwrap();
    assert_eq!(b.core().ahead.held(), (0, 0, 0));
    // Shown again, as by another relay, they take no room for longer either.
    look_ahead(b.core(), &vault, &batch);
    take_in(&b, &relay, &vault, batch).unwrap();
    assert_eq!(b.core().ahead.held(), (0, 0, 0));
}
