//! Logs that do not begin at their first segment: a relay or a device holds them from a base on.

use std::collections::BTreeMap;

use subrosa_protocol::client_link::{FeedBatch, FeedItem};
use subrosa_protocol::frame::{LogKey, ShortHead};
use subrosa_protocol::ids::{Base, Head, LogId, Seq, VaultId};
use subrosa_protocol::segment::Kind;

use super::strangers::{another_relay, batch, pair, segments_of};
use super::{ListRelay, TestDevice, id, join, record};

/// Two devices, of which A has nothing of B's data log yet, and a relay that holds that log from segment 3 on only.
struct World {
    a: TestDevice,
    b: TestDevice,
    relay: ListRelay,
    vault: VaultId,
    log: LogId,
    base: Base,
}

impl World {
    fn new() -> Self {
        let (a, b, relay, vault) = pair();
        for n in 0..6 {
            b.vault().records("tasks").put(id(n), &record(&[("done", n.into())])).unwrap();
            b.core().seal(&vault).unwrap();
        }
        let log = b.core().with_vault(&vault, |state| Ok(state.logs[&state.own.data].id)).unwrap();
        relay.take(b.core(), &vault).unwrap();
        let mut base = Base::WHOLE;
        {
            let mut state = relay.state.lock().unwrap();
            let held = state.segments.iter().map(|segment| *segment.header());
            assert_eq!(held.filter(|header| header.log == log).count(), 6);
            state.segments.retain(|segment| {
                let header = segment.header();
                if header.log == log && header.seq == Seq(3) {
                    base = Base { seq: Seq(3), chain: header.prev };
                }
                header.log != log || header.seq >= Seq(3)
            });
            let key = state.logs.iter_mut().find(|key| LogId::of(&key.public) == log).unwrap();
            key.base = base;
        }
        Self { a, b, relay, vault, log, base }
    }

    /// B says that its log may begin there.
    fn certify(&self) {
        let number = self.b.core().lock_state().unwrap().vault_no(&self.vault).unwrap();
        let mut new = self.b.core().new_logs(number).unwrap();
        new.certify_bases(self.b.core(), &self.vault, &[(self.log, self.base)]);
        self.b.core().write(|tx| tx.rotate_logs(number, new)).unwrap();
        self.relay.take(self.b.core(), &self.vault).unwrap();
    }

    fn shown(&self) -> Vec<u8> {
        let tasks = self.a.vault().records("tasks");
        (0..6).filter(|n| tasks.get(id(*n)).unwrap().is_some()).collect()
    }

    fn waits(&self) -> bool {
        self.waits_from().is_some()
    }

    /// Where the log waits, if it does, and up to which segment.
    fn waits_from(&self) -> Option<(Seq, Base)> {
        let held = self.a.core().with_vault(&self.vault, |state| Ok(state.waiting.get(&self.log)));
        let named = self.a.core().local_heads(&self.vault, &self.relay.pin).unwrap();
        let held = held.unwrap()?;
        assert!(named.iter().all(|head| head.log != self.log), "another relay may have the beginning");
        Some((held.seq, held.base))
    }

    fn head(&self) -> ShortHead {
        let heads = self.a.core().local_heads(&self.vault, &self.relay.pin).unwrap();
        *heads.iter().find(|head| head.log == self.log).unwrap()
    }
}

/// What a relay answers to HEADS.
fn heads_of(relay: &ListRelay) -> Vec<ShortHead> {
    let state = relay.state.lock().unwrap();
    let bases: BTreeMap<LogId, Base> =
        state.logs.iter().map(|key| (LogId::of(&key.public), key.base)).collect();
    state.heads.values().map(|head| ShortHead::new(*head, bases[&head.log])).collect()
}

#[test]
fn a_log_whose_base_nothing_certified_waits_and_counts_when_a_certificate_says_so() {
    let mut world = World::new();
    let taken = world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(
        (taken.segments, taken.received.digest_ok),
        (3, Some(true)),
        "kept, and the relay is believed"
    );
    assert!(taken.received.wants.is_empty(), "{:?}", taken.received.wants);
    assert!(world.shown().is_empty());
    assert_eq!(world.waits_from(), Some((Seq(5), world.base)));
    world.a.reopen();
    assert_eq!(world.waits_from(), Some((Seq(5), world.base)), "after opening too");
    let again = world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(again.received.digest_ok, Some(true));
    assert!(again.received.wants.is_empty(), "{:?}", again.received.wants);

    // Heads are compared while it waits.
    let heads = heads_of(&world.relay);
    let incarnation = world.relay.incarnation;
    assert!(!world.a.core().relay_heads(&world.vault, &world.relay.pin, incarnation, &heads).unwrap());
    let batch = FeedBatch { incarnation, logs: vec![], items: vec![], caught_up: None };
    world.relay.give(world.a.core(), &world.vault, batch).unwrap();
    assert_eq!(world.relay.feed(world.a.core(), &world.vault).received.digest_ok, Some(true));

    world.certify();
    let taken = world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(taken.received.digest_ok, Some(true));
    assert!(!world.waits());
    assert_eq!(world.shown(), [3, 4, 5]);
    let verified = world.a.device.as_ref().unwrap().verify().unwrap();
    assert_eq!((verified.bad_segments, verified.quarantined), (0, 0));
    world.a.reopen();
    assert_eq!(world.shown(), [3, 4, 5]);
    assert_eq!((world.head().seq, world.head().base), (Seq(5), world.base));

    // It goes on, and on to another relay, which is told where it begins.
    let second = another_relay(8);
    second.take(world.a.core(), &world.vault).unwrap();
    let key = {
        let state = second.state.lock().unwrap();
        let held: Vec<_> = state.segments.iter().map(|segment| *segment.header()).collect();
        assert_eq!(held.iter().filter(|header| header.log == world.log).count(), 3);
        *state.logs.iter().find(|key| LogId::of(&key.public) == world.log).unwrap()
    };
    assert_eq!(key.base, world.base);
    let acknowledged = world.a.core().held_and_acknowledged(&world.vault, &second.pin).unwrap();
    assert_eq!(acknowledged.0, acknowledged.1);
    let heads = heads_of(&second);
    assert!(!world.a.core().relay_heads(&world.vault, &second.pin, second.incarnation, &heads).unwrap());
    assert_eq!(second.feed(world.a.core(), &world.vault).received.digest_ok, Some(true));
    assert!(second.take(world.a.core(), &world.vault).unwrap() == 0, "nothing is sent twice");
}

#[test]
fn a_certified_base_is_taken_at_once_and_only_with_its_own_chain() {
    let world = World::new();
    world.certify();
    let taken = world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(taken.received.digest_ok, Some(true));
    assert_eq!((world.waits(), world.shown()), (false, vec![3, 4, 5]));

    let mut world = World::new();
    let right = world.base;
    world.base.chain = subrosa_protocol::ids::Chain::from_bytes([7; 32]);
    world.certify();
    world.base = right;
    world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(world.shown(), Vec::<u8>::new(), "another chain is not this log");
}

#[test]
fn what_was_before_the_base_comes_from_who_has_it() {
    let world = World::new();
    world.relay.feed(world.a.core(), &world.vault);
    assert!(world.waits());
    let whole = another_relay(9);
    whole.take(world.b.core(), &world.vault).unwrap();
    let taken = whole.feed(world.a.core(), &world.vault);
    assert_eq!(taken.received.digest_ok, Some(true));
    assert_eq!((world.waits(), world.shown()), (false, (0..6).collect()));
    assert_eq!(world.head().base, Base::WHOLE);
    assert_eq!(world.relay.feed(world.a.core(), &world.vault).received.digest_ok, Some(true));
}

#[test]
fn a_relay_whose_part_begins_behind_ours_is_not_blamed_and_nothing_is_pushed_into_the_gap() {
    let world = World::new();
    let whole = another_relay(9);
    whole.take(world.b.core(), &world.vault).unwrap();
    let first: Vec<_> = {
        let state = whole.state.lock().unwrap();
        state.segments.iter().filter(|held| held.header().log == world.log).take(2).cloned().collect()
    };
    let items = first.into_iter().map(|segment| FeedItem { rseq: None, segment }).collect();
    let batch = FeedBatch { incarnation: whole.incarnation, logs: vec![], items, caught_up: None };
    whole.give(world.a.core(), &world.vault, batch).unwrap();
    assert_eq!(world.shown(), [0, 1]);
    let taken = world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(taken.received.digest_ok, Some(true), "it is known how far it goes there");
    assert_eq!((world.shown(), world.head().seq), (vec![0, 1], Seq(1)));
    assert_eq!(world.relay.take(world.a.core(), &world.vault).unwrap(), 0);
    let heads = heads_of(&world.relay);
    let incarnation = world.relay.incarnation;
    assert!(!world.a.core().relay_heads(&world.vault, &world.relay.pin, incarnation, &heads).unwrap());
    assert_eq!(world.relay.feed(world.a.core(), &world.vault).received.digest_ok, Some(true));
    assert_eq!(world.relay.take(world.a.core(), &world.vault).unwrap(), 0);
}

#[test]
fn what_a_relay_holds_before_our_base_is_looked_at_and_nothing_of_it_kept() {
    let world = World::new();
    world.certify();
    world.relay.feed(world.a.core(), &world.vault);
    assert_eq!(world.head().base, world.base);
    // A relay that has only the first two: we cannot push what lies behind, and it is not blamed either.
    let short = another_relay(9);
    short.take(world.b.core(), &world.vault).unwrap();
    {
        let mut state = short.state.lock().unwrap();
        let log = world.log;
        state.segments.retain(|held| held.header().log != log || held.header().seq < Seq(2));
        let last = state.segments.iter().rfind(|held| held.header().log == log).unwrap();
        let (seq, chain) = (last.header().seq, last.preimage(&world.vault).chain());
        state.heads.insert(log, Head { log, seq, chain });
    }
    let caught_up = short.feed(world.a.core(), &world.vault);
    assert_eq!(caught_up.received.digest_ok, Some(true));
    assert_eq!(world.head().base, world.base);
    let more = world.a.core().outbox(&world.vault, &short.pin, &BTreeMap::new(), 1 << 20).unwrap();
    assert!(more.segments.iter().all(|segment| segment.header().log != world.log));
    assert_eq!(world.shown(), [3, 4, 5]);
}

#[test]
fn a_base_that_a_relay_made_up_keeps_no_device_out_once_another_shows_the_whole_log() {
    let (mut a, b, relay, vault) = pair();
    let (c, d) = (TestDevice::new(), TestDevice::new());
    join(&b, &c);
    relay.sync(b.core(), &vault);
    relay.sync(c.core(), &vault);
    join(&c, &d);
    relay.sync(c.core(), &vault);
    relay.sync(d.core(), &vault);
    // The liar begins C's control log behind its certificate.
    let control = segments_of(&relay, &c, &vault, Kind::CONTROL);
    let second = control[1].clone();
    let (log, base) = (second.header().log, Base { seq: Seq(1), chain: second.header().prev });
    let public = c.core().with_vault(&vault, |state| Ok(state.keyring.logs.control.public().into())).unwrap();
    let liar = another_relay(66);
    liar.give(a.core(), &vault, batch(&liar, vec![LogKey { public, base }], vec![second])).unwrap();
    let held = |a: &TestDevice| a.core().with_vault(&vault, |state| Ok(state.waiting.get(&log))).unwrap();
    assert_eq!(held(&a).map(|held| held.base), Some(base));
    a.reopen();
    let named = a.core().local_heads(&vault, &relay.pin).unwrap();
    assert!(named.iter().all(|head| head.log != log), "or an honest relay would leave it out");
    relay.sync(a.core(), &vault);
    assert_eq!(a.vault().devices().unwrap().len(), 4);
    assert!(held(&a).is_none());
    assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
}
