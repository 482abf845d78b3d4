//! What waits until somebody certifies its log: how much, for how long, and what gives way to what.

use subrosa_protocol::frame::ShortHead;
use subrosa_protocol::ids::{Incarnation, LogId, Seq, VaultId};
use subrosa_protocol::limits::{
    QUARANTINE_LOG_BYTES_MAX, QUARANTINE_LOG_SEGMENTS_MAX, QUARANTINE_VAULT_BYTES_MAX,
};
use subrosa_protocol::segment::Kind;
use subrosa_store::logs::Rank;

use super::{Stranger, another_relay, batch, give, noise, pair, rows, segments_of};
use crate::tests::{ListRelay, TestDevice, append, everything, id, join, record};

/// Bytes, logs and the rank of one log, of what waits.
fn waiting(device: &TestDevice, vault: &VaultId, log: &LogId) -> (usize, usize, Option<Rank>) {
    let found = device.core().with_vault(vault, |state| {
        Ok((state.waiting.bytes(), state.waiting.len(), state.waiting.get(log).map(|held| held.rank)))
    });
    found.unwrap()
}

#[test]
fn control_segments_of_a_stranger_are_bounded_and_never_passed_on() {
    let (mut a, _b, relay, vault) = pair();
    let mut stored = 0;
    let mut strangers: Vec<_> = (0..20).map(|_| Stranger::new(&vault)).collect();
    for stranger in &mut strangers {
        for _ in 0..3 {
            let segment = stranger.next(Kind::CONTROL, &noise(450 << 10));
            stored += give(&relay, &a, stranger, vec![segment]).segments;
        }
    }
    let (bytes, logs, rank) = waiting(&a, &vault, &strangers[19].log());
    assert!(bytes <= QUARANTINE_VAULT_BYTES_MAX, "{bytes}");
    assert!(stored >= 34 && logs <= 18, "{stored} segments of {logs} logs");
    assert_eq!(rank, Some(Rank::Shut), "the last one found room, and the largest one made it");
    let other = another_relay(8);
    let strange = |log: &LogId| strangers.iter().any(|stranger| stranger.log() == *log);
    let sent = a.core().outbox(&vault, &other.pin, &Default::default(), usize::MAX).unwrap();
    assert!(!sent.segments.iter().any(|segment| strange(&segment.header().log)));
    assert!(!sent.logs.iter().any(|log| strange(&LogId::of(&log.key.public))));
    a.reopen();
    assert_eq!(waiting(&a, &vault, &strangers[19].log()), (bytes, logs, Some(Rank::Shut)));
    assert_eq!(a.device.as_ref().unwrap().verify().unwrap().uncertified_logs, logs as u64);
}

/// A relay that made up logs is honest again, or another one stands in its place: nothing of them is left.
#[test]
fn what_a_relay_made_up_goes_when_no_relay_shows_it_any_more() {
    let (mut a, _b, relay, vault) = pair();
    let other = another_relay(8);
    let honest = |a: &TestDevice, relay: &ListRelay| {
        let heads: Vec<ShortHead> = a.core().heads(&vault).unwrap().into_iter().map(Into::into).collect();
        a.core().relay_heads(&vault, &relay.pin, relay.incarnation, &heads).unwrap();
    };
    [&other, &relay].iter().for_each(|relay| honest(&a, relay));
    let before = rows(&a);
    let mut stranger = Stranger::new(&vault);
    let segments = vec![stranger.next(Kind::CONTROL, b"x"), stranger.next(Kind::CONTROL, b"y")];
    give(&relay, &a, &stranger, segments.clone());
    give(&other, &a, &stranger, segments);
    assert_eq!(waiting(&a, &vault, &stranger.log()).2, Some(Rank::Shut));
    honest(&a, &other);
    assert_eq!(waiting(&a, &vault, &stranger.log()).2, Some(Rank::Shut), "one still shows it");
    a.reopen();
    honest(&a, &relay);
    assert_eq!((waiting(&a, &vault, &stranger.log()), rows(&a)), ((0, 0, None), before));
}

#[test]
fn a_log_has_no_more_segments_in_quarantine_than_its_limit() {
    let (a, _b, relay, vault) = pair();
    let mut stranger = Stranger::new(&vault);
    let segments: Vec<_> =
        (0..QUARANTINE_LOG_SEGMENTS_MAX + 3).map(|_| stranger.next(Kind::DATA, b"")).collect();
    let taken = give(&relay, &a, &stranger, segments);
    let (bytes, ..) = waiting(&a, &vault, &stranger.log());
    assert!(bytes <= QUARANTINE_LOG_BYTES_MAX);
    assert!(taken.segments <= QUARANTINE_LOG_SEGMENTS_MAX as u64 && taken.segments > 2000, "{taken:?}");
}

#[test]
fn made_up_logs_never_keep_out_a_new_device_whatever_arrives_first() {
    for order in [
        [0, 1, 2, 3],
        [0, 2, 1, 3],
        [1, 2, 0, 3],
        [2, 1, 0, 3],
        [2, 0, 1, 3],
        [1, 0, 2, 3],
        [2, 1, 3, 0],
        [3, 1, 2, 0],
    ] {
        let (a, b, relay, vault) = pair();
        let c = TestDevice::new();
        join(&b, &c);
        relay.sync(b.core(), &vault);
        c.vault().records("tasks").put(id(3), &record(&[("done", 3)])).unwrap();
        relay.sync(c.core(), &vault);
        let logs = relay.state.lock().unwrap().logs.clone();
        // Who was let in, the new device's certificate, its data; and logs that fill all that there is.
        let mut parts = vec![
            segments_of(&relay, &b, &vault, Kind::CONTROL),
            segments_of(&relay, &c, &vault, Kind::CONTROL),
            segments_of(&relay, &c, &vault, Kind::DATA),
        ];
        let mut strangers: Vec<_> = (0..9).map(|_| Stranger::new(&vault)).collect();
        let mut junk = |stranger: &mut Stranger| {
            (0..2).map(|_| stranger.next(Kind::CONTROL, &noise(480 << 10))).collect::<Vec<_>>()
        };
        parts.push(strangers.iter_mut().flat_map(&mut junk).collect());
        let more: Vec<_> = {
            let mut more: Vec<_> = (0..9).map(|_| Stranger::new(&vault)).collect();
            let segments: Vec<_> = more.iter_mut().flat_map(&mut junk).collect();
            let publics: Vec<_> = more.iter().map(Stranger::public).collect();
            relay.give(a.core(), &vault, batch(&relay, publics, segments)).unwrap();
            more
        };
        let publics: Vec<_> =
            logs.into_iter().chain(strangers.iter().map(|stranger| stranger.public().into())).collect();
        let mut wants = Vec::new();
        for part in order {
            let given = batch(&relay, publics.clone(), parts[part].clone());
            wants.extend(relay.give(a.core(), &vault, given).unwrap().received.wants);
        }
        // What made room, data perhaps, is asked for now that it is certified.
        let asked = relay.feed(a.core(), &vault).received.wants;
        let held = relay.state.lock().unwrap().segments.clone();
        let wanted = held.into_iter().filter(|segment| {
            let header = segment.header();
            asked.iter().any(|(log, from, to)| header.log == *log && (*from..=*to).contains(&header.seq))
        });
        let given = batch(&relay, publics, wanted.collect());
        relay.give(a.core(), &vault, given).unwrap();
        assert_eq!(everything(&a.vault()), everything(&c.vault()), "{order:?}");
        assert_eq!(a.vault().devices().unwrap().len(), 3, "{order:?}");
        assert!(waiting(&a, &vault, &more[0].log()).0 <= QUARANTINE_VAULT_BYTES_MAX);
    }
}

#[test]
fn a_certificate_stays_longer_than_anything_that_is_made_up() {
    let (mut a, b, relay, vault) = pair();
    let [c, d] = [(); 2].map(|()| TestDevice::new());
    // Whoever let the new one in is not known here, either.
    join(&b, &c);
    join(&c, &d);
    d.core().seal(&vault).unwrap();
    relay.take(d.core(), &vault).unwrap();
    relay.feed(a.core(), &vault);
    let log = d.core().with_vault(&vault, |state| Ok(state.logs[&state.own.control].id)).unwrap();
    assert_eq!(waiting(&a, &vault, &log).2, Some(Rank::Certificate));
    let key = a
        .core()
        .with_vault(&vault, |state| Ok(*state.keyring.live_epoch().key.as_ref().unwrap().dangerous_bytes()))
        .unwrap();
    // By a relay, and by somebody who has the vault's key.
    for key in [[3; 32], key] {
        for _ in 0..18 {
            let mut stranger = Stranger { key, ..Stranger::new(&vault) };
            let segments = (0..2).map(|_| stranger.next(Kind::DATA, &noise(480 << 10))).collect();
            give(&another_relay(66), &a, &stranger, segments);
        }
    }
    assert_eq!(waiting(&a, &vault, &log).2, Some(Rank::Certificate));
    a.reopen();
    [&b, &c, &a].iter().for_each(|device| relay.sync(device.core(), &vault));
    assert_eq!(a.vault().devices().unwrap().len(), 4);
}

#[test]
fn a_control_log_that_waits_counts_when_we_let_its_device_in_ourselves() {
    let (a, _b, relay, vault) = pair();
    let c = TestDevice::new();
    // C's log is at the relay, and here, before A says that C belongs to the vault.
    let told = join(&a, &c);
    assert_eq!(told, vault);
    let control =
        |device: &TestDevice| device.core().with_vault(&vault, |state| Ok(state.logs.len())).unwrap();
    let before = control(&a);
    c.vault().records("tasks").put(id(3), &record(&[("done", 3)])).unwrap();
    c.core().seal(&vault).unwrap();
    relay.take(c.core(), &vault).unwrap();
    relay.feed(a.core(), &vault);
    assert_eq!(control(&a), before + 2);
    assert_eq!(everything(&a.vault()).len(), 1);
}

#[test]
fn a_log_that_nobody_certified_at_an_honest_relay_is_no_disagreement() {
    let (mut a, _b, relay, vault) = pair();
    let mut stranger = Stranger::new(&vault);
    relay.state.lock().unwrap().logs.push(stranger.public().into());
    for _ in 0..5 {
        let segment = stranger.next(Kind::DATA, &noise(600 << 10));
        append(&mut relay.state.lock().unwrap(), &vault, segment).unwrap();
    }
    let plan = |a: &TestDevice| a.core().sync_plan(&vault, &relay.pin).unwrap();
    assert_eq!(
        relay.feed(a.core(), &vault).received.digest_ok,
        Some(true),
        "what is not kept counts as what the relay holds"
    );
    assert!(waiting(&a, &vault, &stranger.log()).0 <= QUARANTINE_LOG_BYTES_MAX);
    a.reopen();
    assert_ne!(plan(&a).digest, subrosa_protocol::ids::Digest::ZERO, "the feed goes on where it was");
    assert_eq!(relay.feed(a.core(), &vault).received.digest_ok, Some(true));
    // All heads are compared, and what HEADS does not name is fed anew.
    for _ in 0..2 {
        let heads: Vec<_> = relay.state.lock().unwrap().heads.values().copied().map(Into::into).collect();
        a.core().relay_heads(&vault, &relay.pin, relay.incarnation, &heads).unwrap();
        assert_eq!(relay.feed(a.core(), &vault).received.digest_ok, Some(true));
        a.core().relay_heads(&vault, &relay.pin, Incarnation::ZERO, &[]).unwrap();
        assert_eq!(relay.feed(a.core(), &vault).received.digest_ok, Some(true));
    }
    let named = a.core().local_heads(&vault, &relay.pin).unwrap();
    assert!(named.iter().any(|head| head.log == stranger.log()), "what waits need not be fed again");
    // One more segment is not a new beginning.
    let segment = stranger.next(Kind::DATA, b"");
    append(&mut relay.state.lock().unwrap(), &vault, segment).unwrap();
    let taken = relay.feed(a.core(), &vault);
    assert_eq!((taken.received.digest_ok, taken.segments), (Some(true), 0));
}

#[test]
fn what_is_not_kept_is_asked_for_at_the_next_open_and_after_a_change_of_members() {
    let (mut a, b, relay, vault) = pair();
    for _ in 0..17 {
        let mut stranger = Stranger::new(&vault);
        let segments = (0..2).map(|_| stranger.next(Kind::DATA, &noise(480 << 10))).collect();
        give(&another_relay(66), &a, &stranger, segments);
    }
    let mut stranger = Stranger::new(&vault);
    relay.state.lock().unwrap().logs.push(stranger.public().into());
    let segment = stranger.next(Kind::DATA, &noise(1000 << 10));
    append(&mut relay.state.lock().unwrap(), &vault, segment).unwrap();
    assert!(relay.feed(a.core(), &vault).received.wants.is_empty());
    let wanted = [(stranger.log(), Seq(0), Seq(0))];
    a.reopen();
    assert_eq!(relay.feed(a.core(), &vault).received.wants, wanted);
    assert!(relay.feed(a.core(), &vault).received.wants.is_empty(), "once");
    join(&b, &TestDevice::new());
    relay.sync(b.core(), &vault);
    assert_eq!(relay.feed(a.core(), &vault).received.wants, wanted);
}

#[test]
fn kinds_of_newer_versions_in_made_up_logs_leave_nothing_behind() {
    let (a, _b, relay, vault) = pair();
    let newer = Kind::from_wire(0x44).unwrap();
    let noted = || a.core().with_vault(&vault, |state| Ok(state.unknown_control.len())).unwrap();
    for _ in 0..3 {
        let mut stranger = Stranger::new(&vault);
        let segment = stranger.next(newer, &noise(QUARANTINE_LOG_BYTES_MAX));
        give(&relay, &a, &stranger, vec![segment]);
    }
    assert_eq!(noted(), 0, "nothing of them is kept");
    for _ in 0..20 {
        let mut stranger = Stranger::new(&vault);
        let segment = stranger.next(newer, &noise(1000 << 10));
        give(&relay, &a, &stranger, vec![segment]);
    }
    let waiting = a.core().with_vault(&vault, |state| Ok(state.waiting.len())).unwrap();
    assert_eq!((noted(), waiting), (16, 16), "of 20");
}
