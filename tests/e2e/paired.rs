//! Two devices of one user.

use std::time::Duration;

use crate::support::{TestDevice, TestRelay, caught_up, clock, eventually, notes};

#[test]
fn paired_devices_exchange_live_edits_quickly() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    a.put("before", "pairing");
    let b = a.pair(&relay.url());
    let (left, right) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&left);
    caught_up(&right);
    eventually(&b.vault(), "the note from before", |vault| notes(vault).len() == 1);
    let mut times: Vec<Duration> = (0..21)
        .map(|n| {
            let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let (vault, name) = (to.vault(), format!("live {n}"));
            let before = notes(&vault).len();
            let begun = clock();
            from.put(&name, "live");
            eventually(&vault, &name, |vault| notes(vault).len() > before);
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("one edit, device to device: median {:?}, slowest {:?}", times[10], times[20]);
    // The goal is 10 ms beyond the relay's fsync; other tests and slow disks share this machine.
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
    caught_up(&left);
    caught_up(&right);
    assert_eq!(a.notes(), b.notes());
}

#[test]
fn a_third_device_gets_everything_from_an_emptied_relay() {
    let mut relay = TestRelay::with(TestRelay::config());
    let a = TestDevice::new();
    a.put("a", "from a");
    let b = a.pair(&relay.invite_url(1));
    a.sync_once(&relay.url());
    b.sync_once(&relay.url());
    b.put("b", "from b");
    b.sync_once(&relay.url());
    a.sync_once(&relay.url());
    relay.stop();
    std::fs::remove_file(relay.data().join(subrosa_relay::DATABASE)).unwrap();
    relay.start();
    // The second device alone brings the vault back, with the grant that it was handed.
    b.sync_once(&relay.url());
    let c = b.pair(&relay.url());
    b.sync_once(&relay.url());
    c.sync_once(&relay.url());
    assert_eq!(c.notes(), a.notes());
    c.put("c", "from c");
    c.sync_once(&relay.url());
    a.sync_once(&relay.url());
    assert_eq!(c.notes(), a.notes());
}
