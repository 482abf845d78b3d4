//! What a member's own logs can hold to spoil the sync of others: wrong classes, gaps, names without end.

use subrosa_model::merge::{BodyWriter, GroupHead, Seen, Stamp};
use subrosa_model::seal::Packed;
use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{Chain, Head, Incarnation, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::{HEADS_PART_MAX, LOGS_PER_VAULT_MAX, STRANGERS_ASKED_MAX};
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment};
use subrosa_store::logs::Rank;

use super::strangers::{Stranger, another_relay, batch, noise, pair, segments_of};
use super::{ListRelay, TestDevice, everything, id, join, record};

/// Writes to the data log of a device as somebody may who writes his own client.
fn data_log_of(device: &TestDevice, vault: &VaultId) -> Stranger {
    let pair = device.core().with_vault(vault, |state| Ok(super::copy_pair(&state.keyring.logs.data)));
    Stranger::with_log(pair.unwrap(), vault)
}

fn put(relay: &ListRelay, vault: &VaultId, public: PublicKeyBytes, segment: SealedSegment) {
    let mut state = relay.state.lock().unwrap();
    if !state.logs.contains(&public.into()) {
        state.logs.push(public.into());
    }
    super::append(&mut state, vault, segment).unwrap();
}

/// All heads are taken in anew, and everything is fed from the start.
fn compare_heads(relay: &ListRelay, device: &TestDevice, vault: &VaultId) {
    let heads: Vec<_> = relay.state.lock().unwrap().heads.values().copied().map(Into::into).collect();
    device.core().relay_heads(vault, &relay.pin, Incarnation::ZERO, &heads).unwrap();
}

#[test]
fn a_log_of_two_classes_is_no_disagreement_with_the_relay_that_holds_it() {
    let (a, mut b, relay, vault) = pair();
    let mut log = data_log_of(&a, &vault);
    for kind in [Kind::DATA, Kind::CONTROL, Kind::DATA, Kind::DATA] {
        let segment = log.next(kind, b"");
        put(&relay, &vault, log.public(), segment);
    }
    assert_eq!(relay.feed(b.core(), &vault).received.digest_ok, Some(true), "the relay cannot tell");
    // Fed alone, and with the relay's heads taken in anew, as after an open in which nothing is known of it yet.
    for reopened in [false, true] {
        for kind in [Kind::DATA, Kind::CONTROL, Kind::DATA] {
            let segment = log.next(kind, b"");
            put(&relay, &vault, log.public(), segment);
            if reopened {
                b.reopen();
                let received = relay.feed(b.core(), &vault);
                assert!(
                    received.received.digest_ok == Some(true) || !received.received.wants.is_empty(),
                    "{kind:?}"
                );
                compare_heads(&relay, &b, &vault);
            }
            assert_eq!(relay.feed(b.core(), &vault).received.digest_ok, Some(true), "{kind:?}");
        }
    }
    assert_eq!(
        b.device.as_ref().unwrap().verify().unwrap().quarantined,
        1,
        "the first segment, and no other"
    );
    b.vault().records("tasks").put(id(1), &record(&[("done", 1)])).unwrap();
    relay.sync(b.core(), &vault);
}

/// Writes a body that says that its author has seen these heads.
fn seal_having_seen(device: &TestDevice, vault: &VaultId, seen: Vec<Head>) {
    let stamp = Stamp::from_ms(1_000_000);
    let head = GroupHead { seen: Seen::new(seen), ..GroupHead::of(stamp) };
    let body = Packed::of(&BodyWriter::first(stamp, &head).encode());
    let sealed = device.core().write(|tx| {
        let number = tx.state.vault_no(vault)?;
        let log = tx.vault(number)?.own.data;
        tx.seal_next(number, log, Kind::DATA, GroupPlace::Whole, &body)
    });
    sealed.unwrap();
}

#[test]
fn heads_that_a_member_makes_up_do_not_keep_what_is_missing_from_being_asked_for() {
    let (a, mut b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&a, &c);
    relay.sync(a.core(), &vault);
    c.vault().records("tasks").put(id(5), &record(&[("done", 0)])).unwrap();
    relay.sync(c.core(), &vault);
    relay.sync(a.core(), &vault);
    // A names more than anybody can hold, and then what C wrote, which the relay hides from B.
    let made_up = |n: u32| Head {
        log: LogId::of(&super::strangers::made_up(n)),
        seq: Seq(u64::MAX),
        chain: Chain::from_bytes([1; 32]),
    };
    for part in 0..4 {
        let seen = (part * HEADS_PART_MAX as u32..).take(HEADS_PART_MAX).map(made_up).collect();
        seal_having_seen(&a, &vault, seen);
    }
    let log = data_log_of(&c, &vault).log();
    let hidden = relay.state.lock().unwrap().heads.remove(&log).unwrap();
    seal_having_seen(&a, &vault, vec![hidden]);
    relay.take(a.core(), &vault).unwrap();
    relay.state.lock().unwrap().segments.retain(|segment| segment.header().log != log);
    let wants = relay.feed(b.core(), &vault).received.wants;
    assert!(wants.contains(&(log, Seq(0), Seq(0))), "{} wants", wants.len());
    assert!(wants.len() <= STRANGERS_ASKED_MAX + 1, "{} wants", wants.len());
    let next = relay.feed(b.core(), &vault).received.wants;
    assert_eq!(next.len(), STRANGERS_ASKED_MAX, "the others take turns");
    assert!(next.iter().all(|want| !wants.contains(want)), "each is asked for once");
    b.reopen();
    assert_eq!(relay.feed(b.core(), &vault).received.wants, []);
}

#[test]
fn a_certified_log_for_which_a_vault_has_no_room_waits() {
    let (mut a, b, relay, vault) = pair();
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let fill = 0..LOGS_PER_VAULT_MAX as u32;
            fill.map(super::strangers::made_up)
                .try_for_each(|public| tx.register_log(number, &public, Class::Data).map(drop))
        })
        .unwrap();
    let c = TestDevice::new();
    join(&b, &c);
    relay.sync(b.core(), &vault);
    c.core().seal(&vault).unwrap();
    relay.take(c.core(), &vault).unwrap();
    assert_eq!(relay.feed(a.core(), &vault).received.digest_ok, Some(true));
    let log = c.core().with_vault(&vault, |state| Ok(state.logs[&state.own.control].id)).unwrap();
    for _ in 0..2 {
        let rank = a.core().with_vault(&vault, |state| Ok(state.waiting.get(&log).map(|held| held.rank)));
        assert_eq!(rank.unwrap(), Some(Rank::Certificate));
        a.reopen();
    }
}

#[test]
fn what_was_asked_for_on_a_link_that_broke_is_asked_for_on_the_next() {
    let (a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&b, &c);
    // A hears of what C wrote before it hears that C belongs to the vault: not all of that finds room.
    let mut log = data_log_of(&c, &vault);
    for _ in 0..5 {
        let segment = log.next(Kind::DATA, &noise(400 << 10));
        put(&relay, &vault, log.public(), segment);
    }
    assert_eq!(relay.feed(a.core(), &vault).received.digest_ok, Some(true));
    relay.sync(b.core(), &vault);
    c.core().seal(&vault).unwrap();
    relay.take(c.core(), &vault).unwrap();
    let received = relay.feed(a.core(), &vault);
    let wanted = [(log.log(), Seq(2), Seq(4))];
    assert_eq!((received.received.digest_ok, &received.received.wants[..]), (Some(true), &wanted[..]));
    for _ in 0..2 {
        assert_eq!(
            relay.feed(a.core(), &vault).received.wants,
            wanted,
            "the relay's digest tells nothing of it"
        );
    }
    let is_missing =
        |segment: &&SealedSegment| segment.header().log == log.log() && segment.header().seq >= Seq(2);
    let missing = relay.state.lock().unwrap().segments.iter().filter(is_missing).cloned().collect();
    relay.give(a.core(), &vault, batch(&relay, Vec::<LogKey>::new(), missing)).unwrap();
    assert_eq!(relay.feed(a.core(), &vault).received.wants, []);
}

#[test]
fn a_new_device_counts_in_whatever_order_two_relays_show_it_and_whenever_the_store_is_opened() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (mut a, b, relay, vault) = pair();
        let other = another_relay(8);
        let c = TestDevice::new();
        join(&b, &c);
        relay.sync(b.core(), &vault);
        c.vault().records("tasks").put(id(3), &record(&[("done", 3)])).unwrap();
        relay.sync(c.core(), &vault);
        // B deletes it, and so names C's log; C brings it back.
        relay.sync(b.core(), &vault);
        b.clock.set(1_000_100);
        assert!(b.vault().records("tasks").delete(id(3)).unwrap());
        c.vault().records("tasks").put(id(4), &record(&[("done", 4)])).unwrap();
        for device in [&b, &c, &b] {
            relay.sync(device.core(), &vault);
        }
        let of_c = segments_of(&relay, &c, &vault, Kind::DATA);
        let control = [&b, &c].map(|device| segments_of(&relay, device, &vault, Kind::CONTROL));
        let [of_b, certificate] = control;
        let names = segments_of(&relay, &b, &vault, Kind::DATA);
        let parts = [of_b, certificate, of_c.into_iter().chain(names).collect()];
        let publics = relay.state.lock().unwrap().logs.clone();
        for (n, part) in order.into_iter().enumerate() {
            let from = if n % 2 == 0 { &other } else { &relay };
            let mut stranger = Stranger::new(&vault);
            let mut segments = parts[part].clone();
            // What the first relay shows it holds; the other one makes things up.
            if n != 1 {
                let kind = if n == 0 { Kind::CONTROL } else { Kind::DATA };
                segments.push(stranger.next(kind, b""));
            }
            let publics = publics.iter().copied().chain([stranger.public().into()]).collect();
            from.give(a.core(), &vault, batch(from, publics, segments)).unwrap();
            a.reopen();
        }
        relay.sync(a.core(), &vault);
        assert_eq!(everything(&a.vault()), everything(&c.vault()), "{order:?}");
        assert_eq!(everything(&a.vault()).len(), 1, "{order:?}");
        assert_eq!(a.vault().devices().unwrap().len(), 3, "{order:?}");
        assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
    }
}
