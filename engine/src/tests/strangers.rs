//! What a relay, or a member, makes up: logs that nobody certified, names of logs, segments of strangers.

use subrosa_model::control::{LogBirth, OwnLogs, PrekeySecret};
use subrosa_model::entropy::{Entropy, OsEntropy};
use subrosa_model::keys::KeyPair;
use subrosa_model::keys::secret::{ControlKey, EpochKey, SegmentKey};
use subrosa_model::merge::{
    BodyPlace, BodyWriter, Cell, CheckedBody, FieldCell, GroupHead, Op, OpKind, Put, Stamp, Tombstone,
};
use subrosa_model::seal::{Packed, Place};
use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::codec::Reader;
use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{
    Base, Chain, Epoch, Head, LogId, Pin, PublicKeyBytes, Rseq, Seq, Signature, VaultId,
};
use subrosa_protocol::limits::{HEADS_PART_MAX, LINK_KEYS_MAX, LOGS_PER_VAULT_MAX};
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::logs::LogTip;

use super::{ListRelay, TestDevice, everything, id, is_store, join, record};
use crate::error::{Error, PeerFault};
use crate::life::TABLES_FORMAT;
use crate::logs::receive::TakenIn;

mod waiting;

pub(super) fn pair() -> (TestDevice, TestDevice, ListRelay, VaultId) {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    (a, b, relay, vault)
}

pub(super) fn another_relay(n: u8) -> ListRelay {
    ListRelay { pin: Pin::from_bytes([n; 32]), ..ListRelay::new() }
}

/// A log that nobody certified.
pub(super) struct Stranger {
    pair: KeyPair,
    vault: VaultId,
    head: Option<(Seq, Chain)>,
    /// What it seals under.
    pub(super) key: [u8; 32],
}

impl Stranger {
    pub(super) fn new(vault: &VaultId) -> Self {
        Self::with_log(KeyPair::generate(&OsEntropy), vault)
    }

    /// With a log of somebody's.
    pub(super) fn with_log(pair: KeyPair, vault: &VaultId) -> Self {
        Self { pair, vault: *vault, head: None, key: [3; 32] }
    }

    /// Goes on behind a segment of its log that somebody else holds.
    pub(super) const fn go_on_from(&mut self, head: Head) {
        self.head = Some((head.seq, head.chain));
    }

    pub(super) fn public(&self) -> PublicKeyBytes {
        self.pair.public().into()
    }

    pub(super) fn log(&self) -> LogId {
        LogId::of(&self.public())
    }

    pub(super) fn next(&mut self, kind: Kind, data: &[u8]) -> SealedSegment {
        let (seq, prev) = self.head.map_or((Seq(0), Chain::ZERO), |(seq, chain)| (seq.next(), chain));
        let place = Place {
            group: GroupPlace::Whole,
            vault: self.vault,
            prev,
            kind,
            log: self.log(),
            seq,
            epoch: Epoch(0),
        };
        let epoch = EpochKey::read(&mut Reader::new(&self.key)).unwrap();
        let control = ControlKey::read(&mut Reader::new(&self.key)).unwrap();
        let key = match kind.class() {
            Class::Data => SegmentKey::Data(&epoch),
            Class::Control => SegmentKey::Control(&control),
        };
        let data = Packed::of(data);
        let (segment, chain) = subrosa_model::seal::seal(&place, &data, key, &OsEntropy, |label, payload| {
            Signature::from_bytes(self.pair.sign(label, payload))
        });
        self.head = Some((seq, chain));
        segment
    }
}

pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    OsEntropy.fill(&mut noise);
    noise
}

pub(super) fn batch(
    relay: &ListRelay,
    logs: Vec<impl Into<LogKey>>,
    segments: Vec<SealedSegment>,
) -> FeedBatch {
    let items = segments.into_iter().map(|segment| FeedItem { rseq: None, segment }).collect();
    let logs = logs.into_iter().map(Into::into).collect();
    FeedBatch { incarnation: relay.incarnation, logs, items, caught_up: None }
}

pub(super) fn give(
    relay: &ListRelay,
    to: &TestDevice,
    stranger: &Stranger,
    segments: Vec<SealedSegment>,
) -> TakenIn {
    relay.give(to.core(), &stranger.vault, batch(relay, vec![stranger.public()], segments)).unwrap()
}

/// Rows in all tables that somebody else could fill.
pub(super) fn rows(device: &TestDevice) -> Vec<u64> {
    let names = ["logs", "segments", "relay heads", "quarantine", "waiting", "shown", "notes"];
    let rows =
        device.core().read(|doors| names.map(|name| Ok(doors.space_of(name)?.rows)).into_iter().collect());
    rows.unwrap()
}

pub(super) fn made_up(n: u32) -> PublicKeyBytes {
    let mut bytes = [4; 65];
    bytes[1..5].copy_from_slice(&n.to_be_bytes());
    PublicKeyBytes::from_bytes(bytes)
}

#[test]
fn logs_of_one_vault_named_in_the_feed_of_another_change_nothing_in_either() {
    let mut a = TestDevice::new();
    let first = a.device.as_ref().unwrap().create_vault("personal").unwrap().id();
    let second = a.device.as_ref().unwrap().create_vault("other").unwrap().id();
    let relay = ListRelay::new();
    a.vault().records("tasks").put(id(7), &record(&[("done", 0)])).unwrap();
    relay.sync(a.core(), &first);
    let publics: Vec<_> = relay.state.lock().unwrap().logs.clone();
    let segments: Vec<_> = relay.state.lock().unwrap().segments.clone();
    let (before, heads) = (rows(&a), a.core().heads(&second).unwrap());
    relay.give(a.core(), &second, batch(&relay, publics.clone(), vec![])).unwrap();
    assert_eq!((rows(&a), a.core().heads(&second).unwrap()), (before, heads.clone()));
    // Their segments are of the first vault: signed for it alone.
    let refused = relay.give(a.core(), &second, batch(&relay, publics, segments[..1].to_vec()));
    assert!(matches!(refused, Err(Error::Peer(PeerFault::BadSignature))), "{refused:?}");
    a.reopen();
    assert_eq!(a.core().heads(&second).unwrap(), heads);
    assert_eq!(a.vault().devices().unwrap().len(), 1);
    a.vault().records("tasks").put(id(8), &record(&[("done", 1)])).unwrap();
    assert_eq!(a.core().seal(&first).unwrap().segments, 1);
    relay.sync(a.core(), &first);
    assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn made_up_logs_leave_nothing_behind_and_shut_no_vault() {
    let (mut a, b, relay, vault) = pair();
    let (before, evil) = (rows(&a), another_relay(66));
    for part in 0..25 {
        let logs = (part * 4000..(part + 1) * 4000).map(made_up).collect();
        evil.give(a.core(), &vault, batch(&evil, logs, vec![])).unwrap();
    }
    assert_eq!(evil.keys.lock().unwrap().len(), LINK_KEYS_MAX, "of 100,000");
    assert_eq!(rows(&a), before);
    let last = made_up(99_999);
    assert!(
        a.core().with_vault(&vault, |state| Ok(state.logs.values().all(|log| log.public != last))).unwrap()
    );
    // An honest relay hears of none of them, and brings a third device.
    let other = another_relay(5);
    other.take(a.core(), &vault).unwrap();
    assert_eq!(other.state.lock().unwrap().logs.len(), 2, "the control logs of both");
    let c = TestDevice::new();
    join(&b, &c);
    relay.sync(b.core(), &vault);
    c.vault().records("tasks").put(id(3), &record(&[("done", 3)])).unwrap();
    relay.sync(c.core(), &vault);
    relay.sync(b.core(), &vault);
    relay.sync(a.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&c.vault()));
    // Nor do they stand in the way of new logs, as after a restore.
    a.core().rotate_at_once(&vault).unwrap();
    a.reopen();
    a.core().rotate_at_once(&vault).unwrap();
    relay.sync(a.core(), &vault);
}

#[test]
fn a_segment_of_a_log_that_was_not_introduced_on_the_link_is_refused() {
    let (a, _b, relay, vault) = pair();
    let mut stranger = Stranger::new(&vault);
    let segment = stranger.next(Kind::DATA, b"");
    let refused = relay.give(a.core(), &vault, batch(&relay, Vec::<LogKey>::new(), vec![segment]));
    assert!(matches!(refused, Err(Error::Peer(PeerFault::UnknownLog))), "{refused:?}");
}

/// What the relay holds of logs of a device, of one class.
pub(super) fn segments_of(
    relay: &ListRelay,
    device: &TestDevice,
    vault: &VaultId,
    kind: Kind,
) -> Vec<SealedSegment> {
    let own = device
        .core()
        .with_vault(vault, |state| Ok([state.own.data, state.own.control].map(|log| state.logs[&log].id)));
    let own = own.unwrap();
    let state = relay.state.lock().unwrap();
    let is_own =
        |segment: &&SealedSegment| own.contains(&segment.header().log) && segment.header().kind == kind;
    state.segments.iter().filter(is_own).cloned().collect()
}

#[test]
fn a_relay_that_shows_more_logs_than_a_vault_has_room_for_is_not_believed() {
    let (a, _b, relay, vault) = pair();
    let head = |n: u32| Head { log: LogId::of(&made_up(n)), seq: Seq(0), chain: Chain::from_bytes([1; 32]) };
    let shown = a.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        (0..LOGS_PER_VAULT_MAX as u32).try_for_each(|n| tx.raise_relay_head(&relay.pin, number, head(n)))
    });
    assert!(matches!(shown, Err(Error::Peer(PeerFault::TooManyLogs))), "{shown:?}");
}

#[test]
fn the_file_stops_growing_under_an_endless_feed_of_made_up_logs() {
    let (mut a, _b, relay, vault) = pair();
    let file = a.path().join("store.subrosa");
    let mut lengths = Vec::new();
    let mut counts = Vec::new();
    for round in 0..6 {
        for n in 0..20 {
            let logs = (0..500).map(|m| made_up(round * 10_000 + n * 500 + m)).collect();
            relay.give(a.core(), &vault, batch(&relay, logs, vec![])).unwrap();
            let mut stranger = Stranger::new(&vault);
            let kind = if n % 2 == 0 { Kind::CONTROL } else { Kind::DATA };
            let segments = (0..2).map(|_| stranger.next(kind, &noise(480 << 10))).collect();
            give(&relay, &a, &stranger, segments);
        }
        // The relay's heads are taken in anew, as after a digest that differs.
        a.core().relay_heads(&vault, &relay.pin, relay.incarnation, &[]).unwrap();
        a.reopen();
        lengths.push(std::fs::metadata(&file).unwrap().len());
        counts.push(rows(&a));
    }
    // By a page or so it comes and goes: where rows lie is random.
    assert!(lengths[3..].iter().max() <= lengths[..3].iter().max(), "{lengths:?}");
    assert_eq!(counts[5][..4], counts[0][..4]);
    assert!(counts[5][4] <= 34 && counts[5][5..] == [0, 0], "{counts:?}");
}

#[test]
fn a_store_of_another_format_is_refused_by_name_and_left_as_it_is() {
    let mut a = super::device_with_vault();
    let supported = TABLES_FORMAT;
    for found in [1, supported - 1, supported + 1] {
        a.core().write(|tx| Ok(tx.vaults.put_format(found)?)).unwrap();
        a.device = None;
        for _ in ["refused", "refused again: nothing was changed"] {
            let key = subrosa_model::keys::SoftwareKey::from_pkcs8_der(&a.key_der).unwrap();
            let opened =
                crate::device::Device::open(a.path(), std::sync::Arc::new(key), super::options(&a.clock));
            let expected = if found < supported {
                StoreError::OlderFormat { found, supported }
            } else {
                StoreError::NewerFormat { found, supported }
            };
            let text = expected.to_string();
            assert!([found, supported].iter().all(|format| text.contains(&format.to_string())), "{text}");
            is_store(opened.map(drop), &expected);
        }
        a = super::device_with_vault();
    }
}

#[test]
fn a_fed_segment_at_an_honest_place_moves_the_cursor_whether_it_is_kept_or_not() {
    let (a, _b, relay, vault) = pair();
    let mut stranger = Stranger::new(&vault);
    let before = a.core().sync_plan(&vault, &relay.pin).unwrap().cursor;
    let segments: Vec<_> = (0..3).map(|_| stranger.next(Kind::DATA, &noise(600 << 10))).collect();
    let items = segments
        .into_iter()
        .zip(1..)
        .map(|(segment, n)| FeedItem { rseq: Some(Rseq(before.0 + n)), segment });
    let given = FeedBatch { items: items.collect(), ..batch(&relay, vec![stranger.public()], vec![]) };
    assert_eq!(relay.give(a.core(), &vault, given).unwrap().segments, 1);
    assert_eq!(a.core().sync_plan(&vault, &relay.pin).unwrap().cursor, Rseq(before.0 + 3));
}

#[test]
fn what_a_device_says_it_has_seen_is_read_by_the_others_however_many_logs_there_are() {
    let mut a = super::device_with_vault();
    let vault = a.vault().id();
    let chain = Chain::from_bytes([1; 32]);
    let head = LogTip { seq: Seq(0), chain, merged: Seq(1), closed: false, base: Base::WHOLE };
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            for n in 0..HEADS_PART_MAX as u32 + 10 {
                let log = tx.register_log(number, &made_up(n), Class::Data)?;
                tx.logs.put_head(log.into(), &head)?;
            }
            Ok(())
        })
        .unwrap();
    let mut seen = Vec::new();
    for n in 0..3 {
        a.vault().records("tasks").put(id(n), &record(&[("done", 1)])).unwrap();
        // One that fails has said nothing, and neither an open nor new memory forgets what is left to be said.
        let failed = a.core().write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            tx.close_batch(number)?;
            Err::<(), _>(Error::NoRecord)
        });
        assert!(failed.is_err());
        a.core().seal(&vault).unwrap();
        a.reopen();
    }
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let log = tx.vault(number)?.own.data;
            for seq in 0..=tx.logs.head(log.into())?.unwrap().seq.0 {
                let body = tx.open_stored(number, log.into(), Seq(seq))?.unwrap();
                let body = CheckedBody::decode(&body.data, BodyPlace::First).expect("others read it");
                let said = &body.head().expect("each is a group").seen;
                seen.push((said.heads().len(), said.is_complete()));
            }
            Ok(())
        })
        .unwrap();
    // Its own control log is one more.
    assert_eq!(seen, [(HEADS_PART_MAX, false), (11, true), (0, true)]);
    a.core().rotate_at_once(&vault).expect("our own logs find room, however many there are");
}

#[test]
fn a_group_that_does_not_decode_in_part_is_not_merged_in_part() {
    let (a, mut b, relay, vault) = pair();
    let value = subrosa_model::merge::ValueBuf::encode(&subrosa_model::merge::Value::from(1)).unwrap();
    let cells = vec![FieldCell { name: "done", cell: Cell::Register(value.borrow()) }];
    let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
    let stamp = Stamp::from_ms(1_000_000);
    let op = Op { record: id(1), collection: "tasks", stamp, kind };
    let mut writer = BodyWriter::behind(stamp);
    writer.push(&op, 1 << 16).unwrap();
    let body = Packed::of(&writer.encode());
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let log = tx.vault(number)?.own.data;
            tx.seal_next(number, log, Kind::DATA, GroupPlace::First, &Packed::of(b"of a newer version"))?;
            tx.seal_next(number, log, Kind::DATA, GroupPlace::Last, &body)
        })
        .unwrap();
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    for _ in 0..2 {
        assert_eq!(everything(&b.vault()), []);
        assert_eq!(b.device.as_ref().unwrap().verify().unwrap().quarantined, 2);
        b.reopen();
    }
}

#[test]
fn a_log_that_holds_another_class_than_was_certified_is_passed_over() {
    let (a, b, relay, vault) = pair();
    let pair = a.core().with_vault(&vault, |state| Ok(super::copy_pair(&state.keyring.logs.data))).unwrap();
    // A's data log, of which nothing is at the relay yet, begins with a control segment there.
    let mut log = Stranger { pair, ..Stranger::new(&vault) };
    relay.state.lock().unwrap().logs.push(log.public().into());
    for _ in 0..2 {
        let segment = log.next(Kind::CONTROL, b"");
        super::append(&mut relay.state.lock().unwrap(), &vault, segment).unwrap();
    }
    let before = rows(&b);
    let taken = relay.feed(b.core(), &vault);
    assert_eq!((taken.segments, taken.received.digest_ok), (0, Some(true)), "the relay cannot tell");
    assert_eq!(rows(&b)[..2], before[..2]);
    b.vault().records("tasks").put(id(1), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
    // Altered, it is the relay that lies.
    let mut bytes = log.next(Kind::CONTROL, b"").bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let altered = SealedSegment::parse(bytes.into()).unwrap();
    let refused = relay.give(b.core(), &vault, batch(&relay, Vec::<LogKey>::new(), vec![altered]));
    assert!(matches!(refused, Err(Error::Peer(PeerFault::BadSignature))), "{refused:?}");
}

#[test]
fn a_log_certified_as_data_and_as_control_makes_no_two_devices_differ() {
    let shown = [[0, 1], [1, 0]].map(|order| {
        let (mut a, b, relay, vault) = pair();
        let (live, control, admin) = b
            .core()
            .with_vault(&vault, |state| {
                let live = state.keyring.live_epoch();
                let key = *live.key.as_ref().unwrap().dangerous_bytes();
                Ok((key, *live.control.dangerous_bytes(), super::copy_pair(&state.keyring.admin)))
            })
            .unwrap();
        // B certifies one log as the data log of one pair, and as the control log of another.
        let mut pairs = [1, 2].map(|incarnation| OwnLogs::generate(incarnation, &OsEntropy));
        pairs[0].data = super::copy_pair(&pairs[1].control);
        let certificates: Vec<_> = (10..)
            .zip(&pairs)
            .map(|(number, logs)| {
                let prekey = PrekeySecret::generate(logs, &OsEntropy);
                let birth = LogBirth { vault: &vault, number, logs, admin: &admin, prekey: &prekey };
                let log = super::copy_pair(&logs.control);
                let mut log = Stranger { key: control, ..Stranger::with_log(log, &vault) };
                (log.public(), log.next(Kind::CONTROL, &birth.entries(b.core().key()).unwrap()))
            })
            .collect();
        for at in order {
            let (public, segment) = certificates[at].clone();
            relay.give(a.core(), &vault, batch(&relay, vec![public], vec![segment])).unwrap();
        }
        let stamp = Stamp::from_ms(1_000_000);
        let cells = vec![FieldCell { name: "x", cell: Cell::Unset }];
        let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
        let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
        writer.push(&Op { record: id(1), collection: "tasks", stamp, kind }, 1 << 16).unwrap();
        let data = super::copy_pair(&pairs[1].data);
        let mut data = Stranger { key: live, ..Stranger::with_log(data, &vault) };
        let segment = data.next(Kind::DATA, &writer.encode());
        give(&relay, &a, &data, vec![segment]);
        let before = everything(&a.vault());
        a.reopen();
        assert_eq!(everything(&a.vault()), before);
        assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
        before
    });
    assert_eq!(shown[0].len(), 1);
    assert_eq!(shown[0], shown[1]);
}
