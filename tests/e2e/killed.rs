//! A relay that is killed, seen from links that only listen. (Kills during a push: `tests/kill`.)

use std::time::Duration;

use subrosa_tests::{RelayProcess, init_relay, relay_child};

use crate::support::{TestDevice, caught_up, clock, eventually, notes};

/// Not a test: the relay's process.
#[test]
fn child() {
    relay_child();
}

#[test]
fn a_killed_and_restarted_relay_is_noticed_by_writers_at_once_and_by_listeners_soon() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("relay");
    init_relay(&data).unwrap();
    let mut relay = RelayProcess::start(&data, "killed::child", 0).unwrap();
    let url = relay.url().unwrap();
    let a = TestDevice::new();
    let b = a.pair(&url);
    let (writer, listener) = (a.sync(&url), b.sync(&url));
    caught_up(&writer);
    caught_up(&listener);
    relay.kill_and_restart("killed::child").unwrap();
    let begun = clock();
    a.put("note", "after the kill");
    caught_up(&writer);
    // The new relay resets the old connection. Without that it takes five seconds of silence.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // The listener's link is probed five seconds after its last frame.
    eventually(&b.vault(), "the note", |vault| notes(vault).len() == 1);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
