//! A relay that stops, comes back, or comes back empty.

use std::ops::ControlFlow;

use subrosa_protocol::ids::{Incarnation, Rseq, VaultId};
use subrosa_protocol::segment::Class;
use subrosa_relay::store::{LogStore as _, RedbStore, Scan};
use subrosa_relay::{Answer, Question, Quotas};

use crate::support::{TestDevice, TestRelay, caught_up, eventually, notes, reason_becomes};

#[test]
fn a_restart_in_the_middle_loses_nothing() {
    let mut relay = TestRelay::open();
    let mut a = TestDevice::new();
    let b = a.copy();
    let (up, down) = (a.sync(&relay.url()), b.sync(&relay.url()));
    for round in 0..3 {
        for n in 0..20 {
            a.put(&format!("{round}/{n}"), &"x".repeat(10_000));
        }
        relay.restart(|_| {});
    }
    caught_up(&up);
    caught_up(&down);
    eventually(&b.vault(), "all notes", |vault| notes(vault).len() == 60);
    assert_eq!(a.notes(), b.notes());
}

#[test]
fn an_emptied_relay_is_filled_again_by_either_device_alone() {
    let mut relay = TestRelay::with(TestRelay::config());
    let mut a = TestDevice::new();
    a.put("a", "from a");
    a.sync_once(&relay.invite_url(1));
    let mut b = a.copy();
    b.put("b", "from b");
    b.sync_once(&relay.url());
    a.sync_once(&relay.url());
    a.close();
    // Without an invite: the grant that the relay gave is enough.
    let empty = |relay: &mut TestRelay| {
        relay.stop();
        std::fs::remove_file(relay.data().join(subrosa_relay::DATABASE)).unwrap();
        relay.start();
    };
    empty(&mut relay);
    let sync = b.sync(&relay.url());
    caught_up(&sync);
    drop(sync);
    a.open();
    a.put("late", "after");
    a.sync_once(&relay.url());
    b.sync_once(&relay.url());
    assert_eq!(a.notes().len(), 3);
    assert_eq!(a.notes(), b.notes());
    b.close();
    empty(&mut relay);
    a.sync_once(&relay.url());
    b.open();
    b.put("later", "after");
    let sync = b.sync(&relay.url());
    caught_up(&sync);
    reason_becomes(&sync, "live");
}

#[test]
fn an_older_copy_of_the_relays_database_is_healed_by_either_device_and_nothing_is_lost() {
    for healer in ["the device that wrote", "the device that only received it"] {
        let mut relay = TestRelay::open();
        let (database, kept) = {
            let path = relay.data().join(subrosa_relay::DATABASE);
            (path.clone(), path.with_extension("kept"))
        };
        let mut a = TestDevice::new();
        a.put("a", "in the copy");
        a.sync_once(&relay.url());
        relay.stop();
        std::fs::copy(&database, &kept).unwrap();
        relay.start();

        // Behind the copy: a device that it does not know, and notes of both.
        let mut b = a.pair(&relay.url());
        b.put("b", "behind the copy");
        b.sync_once(&relay.url());
        a.put("late", "behind the copy");
        a.sync_once(&relay.url());
        b.sync_once(&relay.url());
        let all = a.notes();
        assert_eq!((all.len(), &b.notes()), (3, &all), "{healer}");
        relay.stop();
        std::fs::copy(&kept, &database).unwrap();
        relay.start();

        let (first, second) =
            if healer == "the device that wrote" { (&mut a, &mut b) } else { (&mut b, &mut a) };
        second.close();
        first.sync_once(&relay.url());
        // Whoever comes anew gets everything from the relay, the other device being away.
        let c = first.pair(&relay.url());
        first.sync_once(&relay.url());
        c.sync_once(&relay.url());
        assert_eq!(c.notes(), all, "{healer}");
        second.open();
        second.put("after", "the copy was put back");
        for device in [&*second, &*first, &c] {
            device.sync_once(&relay.url());
        }
        assert_eq!(first.notes().len(), 4, "{healer}");
        assert!(second.notes() == first.notes() && c.notes() == first.notes(), "{healer}");
        let asked = subrosa_relay::ask(&relay.data(), &Question::Verify).unwrap();
        let Answer::Verified { problems, .. } = asked else { panic!("{asked:?}") };
        assert_eq!(problems, Vec::<String>::new(), "{healer}");
    }
}

/// Flips a bit of the last stored segment of `class`, as the disk of a relay that is not running might.
fn damage(relay: &TestRelay, vault: VaultId, class: Class) {
    let path = relay.data().join(subrosa_relay::DATABASE);
    let store = RedbStore::open(&path, Quotas::default(), 1 << 20, Incarnation::ZERO).unwrap();
    let mut last = None;
    let scan = Scan { after: Rseq(0), class: Some(class) };
    let visited = store.scan(&vault, scan, &mut |stored| {
        last = Some(stored.rseq);
        ControlFlow::Continue(())
    });
    visited.unwrap();
    store.flip(&vault, last.unwrap(), 200).unwrap();
}

#[test]
fn what_a_relays_disk_damaged_a_member_gives_again_and_a_new_device_gets_everything() {
    for class in [Class::Data, Class::Control] {
        let mut relay = TestRelay::open();
        let a = TestDevice::new();
        for n in 0..5 {
            a.put(&n.to_string(), "written before the damage");
            a.sync_once(&relay.url());
        }
        let b = a.pair(&relay.url());
        relay.stop();
        damage(&relay, a.vault().id(), class);
        relay.start();
        // `a` has nothing to say: the relay holds all of it, as far as either of them knows.
        let up = a.sync(&relay.url());
        caught_up(&up);
        let down = b.sync(&relay.url());
        eventually(&b.vault(), "all notes", |vault| notes(vault).len() == 5);
        b.put("b", "written after it");
        eventually(&a.vault(), "the note of b", |vault| notes(vault).len() == 6);
        reason_becomes(&up, "live");
        reason_becomes(&down, "live");
        assert_eq!(a.notes(), b.notes());
        let c = a.pair(&relay.url());
        drop((up, down));
        c.sync_once(&relay.url());
        assert_eq!(a.notes(), c.notes(), "{class:?}");
        let asked = subrosa_relay::ask(&relay.data(), &Question::Verify).unwrap();
        let Answer::Verified { problems, .. } = asked else { panic!("{asked:?}") };
        assert_eq!(problems, Vec::<String>::new(), "{class:?}");
    }
}
