//! Waiting for sync: what anybody was told to be safe before the wait can be read after it.

use std::time::Duration;

use subrosa::{RecordId, Sync, SyncError};
use subrosa_tests::{RelayProcess, init_relay, relay_child};

use crate::support::{MOMENT, PATIENCE, TestDevice, TestRelay, caught_up, note, notes, put};

const ROUNDS: usize = 60;

/// Not a test: the relay's process.
#[test]
fn child() {
    relay_child();
}

/// Writes here, and waits until the relay has said that it has it.
fn write(from: &TestDevice, sync: &Sync, name: &str) {
    from.put(name, "written");
    caught_up(sync);
}

fn is_here(at: &TestDevice, name: &str) -> bool {
    at.vault().records("notes").get(RecordId::from_name(name)).unwrap() == Some(note("written"))
}

#[test]
fn what_was_acknowledged_to_another_device_before_a_wait_is_there_after_it_every_time() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let (ours, theirs) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&theirs);
    for round in 0..ROUNDS {
        // Both ways, so that each also has pushes of its own behind it.
        write(&a, &ours, &format!("a{round}"));
        caught_up(&theirs);
        assert!(is_here(&b, &format!("a{round}")), "round {round}");
        write(&b, &theirs, &format!("b{round}"));
        caught_up(&ours);
        assert!(is_here(&a, &format!("b{round}")), "round {round}");
    }
}

#[test]
fn it_is_there_in_every_vault_whichever_was_written_last() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    for name in ["one", "two", "three"] {
        a.device().create_vault(name).unwrap();
    }
    // A pairing brings one vault; this one only reads.
    let b = a.copy();
    let (ours, theirs) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&theirs);
    for round in 0..ROUNDS {
        let vault = ["one", "two", "three"][round % 3];
        put(&a.device().vault(vault).unwrap(), &round.to_string(), "written");
        caught_up(&ours);
        caught_up(&theirs);
        let there = notes(&b.device().vault(vault).unwrap());
        assert!(there.contains_key(&RecordId::from_name(&round.to_string())), "round {round}");
    }
}

#[test]
fn a_wait_on_a_link_that_is_made_for_it_is_as_good() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let ours = a.sync(&relay.url());
    for round in 0..10 {
        write(&a, &ours, &round.to_string());
        b.sync_once(&relay.url());
        assert!(is_here(&b, &round.to_string()), "round {round}");
    }
}

#[test]
fn a_wait_that_begins_offline_ends_with_what_the_relay_has_when_it_is_back() {
    let mut relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let url = relay.url();
    let (ours, theirs) = (a.sync(&url), b.sync(&url));
    caught_up(&ours);
    caught_up(&theirs);
    for round in 0..3 {
        relay.stop();
        a.put(&round.to_string(), "written");
        let moment = theirs.moment();
        assert!(matches!(
            moment.wait(MOMENT, MOMENT),
            Err(SyncError::NoProgress(_) | SyncError::Unfinished(_))
        ));
        relay.start();
        caught_up(&ours);
        // It was not there when this moment was; a wait that begins now is for it.
        moment.wait(PATIENCE, PATIENCE).unwrap();
        caught_up(&theirs);
        assert!(is_here(&b, &round.to_string()), "round {round}");
    }
}

#[test]
fn nothing_is_caught_up_with_a_relay_that_was_killed_or_stands_still() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("relay");
    init_relay(&data).unwrap();
    let mut relay = RelayProcess::start(&data, "waiting::child", 0).unwrap();
    let url = relay.url().unwrap();
    let a = TestDevice::new();
    let b = a.pair(&url);
    let (ours, theirs) = (a.sync(&url), b.sync(&url));
    caught_up(&ours);
    caught_up(&theirs);
    let never = |sync: &Sync| {
        let waited = sync.wait_caught_up_within(MOMENT, MOMENT);
        matches!(waited, Err(SyncError::NoProgress(_) | SyncError::Unfinished(_)))
    };
    for round in 0..5 {
        write(&a, &ours, &round.to_string());
        relay.kill_and_restart("waiting::child").unwrap();
        caught_up(&theirs);
        assert!(is_here(&b, &round.to_string()), "round {round}");
    }
    relay.pause().unwrap();
    for _ in 0..20 {
        assert!(never(&theirs), "it answers nobody");
    }
    relay.go_on().unwrap();
    caught_up(&theirs);
    relay.kill().unwrap();
    for _ in 0..5 {
        assert!(never(&theirs) && never(&ours), "it is gone");
    }
}

#[test]
fn a_moment_that_is_waited_for_a_glance_at_a_time_comes() {
    let relay = TestRelay::open();
    let a = TestDevice::new();
    let b = a.pair(&relay.url());
    let (ours, theirs) = (a.sync(&relay.url()), b.sync(&relay.url()));
    caught_up(&theirs);
    let glance = Duration::from_micros(50);
    for round in 0..10 {
        write(&a, &ours, &round.to_string());
        let moment = theirs.moment();
        let mut glances = 0;
        while let Err(error) = moment.wait(glance, glance) {
            assert!(matches!(error, SyncError::NoProgress(_) | SyncError::Unfinished(_)), "{error}");
            glances += 1;
            assert!(glances < 1_000_000, "{:?}", theirs.status());
        }
        assert!(is_here(&b, &round.to_string()), "round {round}");
    }
}
