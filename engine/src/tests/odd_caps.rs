//! Clocks that are put right where caps are odd: their ends are not here, or were made up, or there are many.

use std::sync::{Arc, Mutex};

use subrosa_model::control::PrefixCap;
use subrosa_model::keys::{KeyError, KeyProvider, PublicKey, SharedSecret, SoftwareKey};
use subrosa_model::merge::{BodyWriter, GroupHead, Seen, Stamp, Value};
use subrosa_model::seal::Packed;
use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::caps::{HOUR, NOW, get, give_statements, put, silence, sync};
use super::exchange::pair;
use super::merging::body_of;
use super::prefix_caps::{certify, log_of, put_right_in_turn};
use super::repair::copy_of;
use super::{TestDevice, id, join, options, record};
use crate::device::Device;

#[test]
fn a_cap_of_which_the_end_is_not_here_does_not_say_that_nothing_is_ahead() {
    let (a, b, relay, vault) = pair();
    let d = TestDevice::new();
    join(&a, &d);
    sync(&relay, &[&a, &b, &d, &a, &b], &vault);
    [&a, &b, &d].iter().for_each(|device| device.clock.set(NOW + 5 * HOUR));
    put(&a, 1, 1);
    sync(&relay, &[&a, &b, &d], &vault);
    put(&a, 2, 2);
    sync(&relay, &[&a, &b], &vault);
    b.clock.set(NOW + 10);
    b.core().relay_now(NOW + 10).unwrap();
    sync(&relay, &[&b], &vault);
    relay.without(&log_of(&a, &vault)).feed(d.core(), &vault);
    d.clock.set(NOW + 20);
    d.core().relay_now(NOW + 20).unwrap();
    put(&d, 1, 9);
}

#[test]
fn a_cap_on_a_segment_that_a_member_made_up_keeps_no_clock_from_being_put_right() {
    let (a, m, relay, vault) = pair();
    let d = TestDevice::new();
    join(&a, &d);
    sync(&relay, &[&a, &m, &d, &a, &m], &vault);
    [&a, &d].iter().for_each(|device| device.clock.set(NOW + 5 * HOUR));
    put(&a, 1, 1);
    sync(&relay, &[&a, &d], &vault);
    let made_up = PrefixCap { seq: Seq(u64::MAX), chain: Chain::from_bytes([9; 32]), cap: Stamp(0) };
    certify(&m, &vault, std::iter::once((log_of(&a, &vault), made_up)));
    sync(&relay, &[&m, &d], &vault);
    d.clock.set(NOW + 20);
    d.core().relay_now(NOW + 20).unwrap();
    put(&d, 1, 9);
}

#[test]
fn levels_are_told_apart_after_an_opening_too() {
    let (a, b, relay, vault) = pair();
    let [c, mut d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &d);
    sync(&relay, &[&a, &b, &c, &d, &a, &b], &vault);
    [&a, &b, &d].iter().for_each(|device| device.clock.set(NOW + 5 * HOUR));
    put(&a, 1, 1);
    sync(&relay, &[&a, &b, &d], &vault);
    put(&a, 2, 2);
    sync(&relay, &[&a, &b], &vault);
    b.clock.set(NOW);
    b.core().relay_now(NOW + HOUR).unwrap();
    put(&b, 1, 7);
    sync(&relay, &[&b], &vault);
    relay.without(&log_of(&a, &vault)).feed(d.core(), &vault);
    d.reopen();
    d.clock.set(NOW + 10);
    d.core().relay_now(NOW + 10).unwrap();
    sync(&relay, &[&d, &c, &b, &d], &vault);
    let shown = [&b, &c, &d].map(|device| get(device, 1));
    assert_eq!(shown, [Some(7); 3]);
}

#[test]
fn what_was_seen_may_end_with_a_segment_that_has_no_ops() {
    let (a, b, relay, vault) = pair();
    let [c, d] = [TestDevice::new(), TestDevice::new()];
    join(&a, &c);
    join(&a, &d);
    sync(&relay, &[&a, &b, &c, &d], &vault);
    for device in [&a, &b, &d] {
        device.clock.set(NOW + HOUR);
    }
    put(&a, 1, 1);
    sync(&relay, &[&a], &vault);
    a.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let own = tx.vault(number)?.own.data;
            tx.seal_next(number, own, Kind::CARRIED, GroupPlace::Whole, &Packed::of(b"junk"))
        })
        .unwrap();
    sync(&relay, &[&a, &b], &vault);
    put(&b, 1, 2);
    sync(&relay, &[&b], &vault);
    relay.without(&log_of(&a, &vault)).feed(d.core(), &vault);
    let all = [&a, &b, &c, &d];
    put_right_in_turn([&d, &a, &b], all, &relay, &vault);
    let shown = all.map(|device| get(device, 1));
    assert_eq!(shown, [Some(2); 4]);
}

#[test]
fn where_more_is_ahead_than_a_certificate_caps_another_one_does() {
    let (a, m, relay, vault) = pair();
    let d = TestDevice::new();
    join(&a, &d);
    sync(&relay, &[&a, &m, &d, &a, &m], &vault);
    [&m, &d].iter().for_each(|device| device.clock.set(NOW + 5 * HOUR));
    for n in 0..516 {
        m.vault().records("notes").put(id((n % 200) as u8), &record(&[("x", n)])).unwrap();
        if n % 20 == 0 {
            sync(&relay, &[&m], &vault);
        }
        certify(&m, &vault, std::iter::empty());
    }
    sync(&relay, &[&m, &d], &vault);
    let statements = silence(&d, &vault);
    d.clock.set(NOW + 20);
    d.core().relay_now(NOW + 20).unwrap();
    give_statements(&d, &vault, statements);
    for _ in 0..4 {
        sync(&relay, &[&d], &vault);
    }
    let lost: Vec<_> = (0..200_u8)
        .filter(|n| {
            d.vault().records("notes").put(id(*n), &record(&[("x", 9999)])).unwrap();
            get(&d, *n) != Some(9999)
        })
        .collect();
    assert!(lost.is_empty(), "writes lose: {lost:?}");
}

#[test]
fn logs_that_a_member_makes_up_do_not_take_the_place_of_what_was_seen() {
    let (a, b, relay, vault) = pair();
    let [c, d, m] = [TestDevice::new(), TestDevice::new(), TestDevice::new()];
    for device in [&c, &d, &m] {
        join(&a, device);
    }
    sync(&relay, &[&a, &b, &c, &d, &m, &a], &vault);
    for device in [&a, &b, &d] {
        device.clock.set(NOW + HOUR);
    }
    put(&a, 1, 1);
    sync(&relay, &[&a, &b], &vault);
    put(&b, 1, 2);
    sync(&relay, &[&b], &vault);
    let made_up = |n: u16| {
        let mut log = [0; 16];
        log[..3].copy_from_slice(&[0, (n >> 8) as u8, n as u8]);
        Head { log: LogId::from_bytes(log), seq: Seq(0), chain: Chain::from_bytes([1; 32]) }
    };
    m.core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            let latest = Stamp::from_ms(NOW + HOUR);
            let head =
                GroupHead { seen: Seen::new((0..600).map(made_up).collect()), ..GroupHead::of(latest) };
            let body = body_of(BodyWriter::first(latest, &head), 1000..1001, &Value::I64(1));
            tx.seal_bodies(number, std::iter::once(&body))
        })
        .unwrap();
    sync(&relay, &[&m], &vault);
    relay.without(&log_of(&a, &vault)).feed(d.core(), &vault);
    let all = [&a, &b, &c, &d];
    put_right_in_turn([&d, &a, &b], all, &relay, &vault);
    assert_eq!(all.map(|device| get(device, 1)), [Some(2); 4]);
}

/// A log says but once what its author has seen: here in a group that is capped already.
#[test]
fn what_was_seen_counts_where_the_group_that_says_so_is_capped_already() {
    let (mut a, b, relay, vault) = pair();
    let c = TestDevice::new();
    join(&b, &c);
    sync(&relay, &[&a, &b, &c, &a], &vault);
    for device in [&a, &b] {
        device.clock.set(NOW + HOUR);
    }
    put(&a, 2, 1);
    let copy = copy_of(&mut a, "copy");
    put(&b, 1, 1);
    sync(&relay, &[&b, &a], &vault);
    a.clock.set(NOW + HOUR + 10);
    put(&a, 1, 2);
    sync(&relay, &[&a], &vault);
    // From here on there is only the older store of A: what it holds is capped before it hears of the rest.
    a.clock.set(NOW + 10);
    for _ in 0..3 {
        copy.core.relay_now(NOW + 10).unwrap();
        relay.sync(&copy.core, &vault);
    }
    b.clock.set(NOW + 20);
    b.core().relay_now(NOW + 20).unwrap();
    sync(&relay, &[&b, &c], &vault);
    c.clock.set(NOW + 30);
    sync(&relay, &[&c, &b], &vault);
    assert_eq!((get(&b, 1), get(&c, 1)), (Some(2), Some(2)));
}

/// A key that takes its time: the app writes on while it is asked.
struct SlowKey {
    key: SoftwareKey,
    meanwhile: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

impl KeyProvider for SlowKey {
    fn public(&self) -> PublicKey {
        self.key.public()
    }

    fn agree(&self, peer: &PublicKey) -> Result<SharedSecret, KeyError> {
        self.key.agree(peer)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        if let Some(write) = &mut *self.meanwhile.lock().unwrap() {
            write();
        }
        self.key.sign(message)
    }
}

/// What is written after caps were put together, and before they count, is capped all the same.
#[test]
fn who_writes_on_while_the_device_key_signs_loses_nothing_of_it() {
    let (mut a, b, relay, vault) = pair();
    a.clock.set(NOW + HOUR);
    put(&a, 1, 1);
    sync(&relay, &[&a, &b], &vault);
    a.device = None;
    let key = SoftwareKey::from_pkcs8_der(&a.key_der).unwrap();
    let key = Arc::new(SlowKey { key, meanwhile: Mutex::default() });
    a.device = Some(Device::open(a.path(), key.clone(), options(&a.clock)).unwrap());
    a.clock.set(NOW + 10);
    let incarnation = || a.core().with_vault(&vault, |state| Ok(state.keyring.logs.incarnation)).unwrap();
    let (before, writer, mut x) = (incarnation(), a.vault(), 1);
    *key.meanwhile.lock().unwrap() = Some(Box::new(move || {
        x += 1;
        writer.records("notes").put(id(1), &record(&[("x", x)])).unwrap();
    }));
    a.core().relay_now(NOW + 10).unwrap();
    *key.meanwhile.lock().unwrap() = None;
    // Put together three times, with two signatures each, and done once.
    assert_eq!((get(&a, 1), incarnation()), (Some(7), before + 1));
    assert!(!a.core().lock_state().unwrap().clock.is_ahead(NOW + 10));
    sync(&relay, &[&a, &b], &vault);
    assert_eq!((get(&b, 1), b.core().held_wait()), (Some(7), None));
    b.clock.set(NOW + 20);
    put(&b, 1, 9);
    sync(&relay, &[&b, &a], &vault);
    assert_eq!(get(&a, 1), Some(9));
}
