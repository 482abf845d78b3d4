use std::path::Path;

use super::{ListRelay, TestDevice, everything, id, join, record};
use crate::device::Device;

pub(super) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

struct Setup {
    a: TestDevice,
    b: TestDevice,
    relay: ListRelay,
    vault: subrosa_protocol::ids::VaultId,
}

fn setup() -> Setup {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    for device in [&a, &b, &a] {
        relay.sync(device.core(), &vault);
    }
    Setup { a, b, relay, vault }
}

fn put(device: &Device, n: u8, value: i64) {
    device.vault("personal").unwrap().records("notes").put(id(n), &record(&[("x", value)])).unwrap();
}

fn all(device: &Device) -> Vec<(String, subrosa_model::merge::RecordId, crate::collection::Record)> {
    everything(&device.vault("personal").unwrap())
}

#[test]
fn a_directory_copied_back_opens_new_logs_and_loses_nothing() {
    let Setup { mut a, b, relay, vault } = setup();
    put(a.device.as_ref().unwrap(), 1, 1);
    relay.sync(a.core(), &vault);
    put(a.device.as_ref().unwrap(), 2, 1);
    // A copy with one edit that is not sealed; then the original goes on, seals and pushes.
    a.device = None;
    let backup = a.dir.path().join("backup");
    copy_dir(&a.path(), &backup);
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 3, 1);
    relay.sync(a.core(), &vault);
    // Copied back: nothing but the relay knows that there is more.
    a.device = None;
    std::fs::remove_dir_all(a.path()).unwrap();
    copy_dir(&backup, &a.path());
    let logs_before = relay_logs(&relay);
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 4, 1);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(all(a.device.as_ref().unwrap()).len(), 4);
    assert_eq!(all(a.device.as_ref().unwrap()), all(b.device.as_ref().unwrap()));
    assert!(relay_logs(&relay) > logs_before, "new logs were opened");
    assert!(a.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn a_store_that_is_moved_every_day_opens_no_new_logs() {
    let Setup { mut a, b, relay, vault } = setup();
    put(a.device.as_ref().unwrap(), 30, 1);
    relay.sync(a.core(), &vault);
    let logs_before = relay_logs(&relay);
    for day in 0..30 {
        put(a.device.as_ref().unwrap(), day, 1);
        a.device = None;
        // To another disk: other files, and what was written since is neither sealed nor sent.
        let moved = a.dir.path().join("moved");
        copy_dir(&a.path(), &moved);
        std::fs::remove_dir_all(a.path()).unwrap();
        std::fs::rename(&moved, a.path()).unwrap();
        a.device = Some(a.open_at(&a.path()));
        relay.sync(a.core(), &vault);
    }
    relay.sync(b.core(), &vault);
    assert_eq!(relay_logs(&relay), logs_before, "no new logs");
    assert_eq!(all(a.device.as_ref().unwrap()).len(), 31);
    assert_eq!(all(a.device.as_ref().unwrap()), all(b.device.as_ref().unwrap()));
}

#[test]
fn a_copy_written_over_the_same_file_is_found_by_its_heads() {
    let Setup { mut a, b, relay, vault } = setup();
    put(a.device.as_ref().unwrap(), 1, 1);
    relay.sync(a.core(), &vault);
    a.device = None;
    let backup = a.dir.path().join("backup");
    copy_dir(&a.path(), &backup);
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 2, 1);
    relay.sync(a.core(), &vault);
    a.device = None;
    // Written over in place, as the same files.
    copy_dir(&backup, &a.path());
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 3, 1);
    put(a.device.as_ref().unwrap(), 1, 5);
    let taken = relay.feed(a.core(), &vault);
    assert!(taken.received.own_log_foreign, "found out before sealing");
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(all(a.device.as_ref().unwrap()), all(b.device.as_ref().unwrap()));
    assert_eq!(all(a.device.as_ref().unwrap()).len(), 3);
    assert_eq!(
        b.vault().records("notes").get(id(1)).unwrap(),
        Some(record(&[("x", 5)])),
        "the later edit wins"
    );
}

#[test]
fn two_copies_of_one_store_side_by_side_converge() {
    let Setup { mut a, b, relay, vault } = setup();
    put(a.device.as_ref().unwrap(), 1, 1);
    relay.sync(a.core(), &vault);
    put(a.device.as_ref().unwrap(), 1, 2);
    a.device = None;
    let second = a.dir.path().join("second");
    copy_dir(&a.path(), &second);
    a.device = Some(a.open_at(&a.path()));
    let copy = a.open_at(&second);
    a.clock.set(1_000_500);
    put(a.device.as_ref().unwrap(), 2, 1);
    copy.vault("personal").unwrap().records("notes").delete(id(1)).unwrap();
    put(&copy, 3, 1);
    for _ in 0..2 {
        relay.sync(a.core(), &vault);
        relay.sync(&copy.core, &vault);
        relay.sync(b.core(), &vault);
    }
    let all_a = all(a.device.as_ref().unwrap());
    assert_eq!(all_a, all(&copy));
    assert_eq!(all_a, all(b.device.as_ref().unwrap()));
    assert_eq!(all_a.len(), 3 - usize::from(!all_a.iter().any(|entry| entry.1 == id(1))));
}

#[test]
fn sealed_but_refused_segments_are_issued_again() {
    let Setup { mut a, b, relay, vault } = setup();
    a.device = None;
    let second = a.dir.path().join("second");
    copy_dir(&a.path(), &second);
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 1, 1);
    a.core().seal(&vault).unwrap();
    // The store as it was comes back over the sealed one, in another place, and pushes first.
    let copy = TestDevice {
        device: None,
        dir: tempfile::tempdir().unwrap(),
        key_der: a.key_der.clone(),
        clock: a.clock.clone(),
    };
    copy_dir(&second, &copy.path());
    let copied = copy.open_at(&copy.path());
    put(&copied, 2, 1);
    relay.sync(&copied.core, &vault);
    relay.sync(a.core(), &vault);
    relay.sync(&copied.core, &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(all(a.device.as_ref().unwrap()).len(), 2);
    assert_eq!(all(a.device.as_ref().unwrap()), all(b.device.as_ref().unwrap()));
    assert_eq!(all(&copied), all(b.device.as_ref().unwrap()));
}

#[test]
fn a_longer_log_at_the_relay_does_not_vouch_for_what_it_never_acknowledged() {
    let Setup { mut a, b, relay, vault } = setup();
    put(a.device.as_ref().unwrap(), 1, 1);
    relay.sync(a.core(), &vault);
    a.device = None;
    let (earlier, later) = (a.dir.path().join("earlier"), a.dir.path().join("later"));
    copy_dir(&a.path(), &earlier);
    // One future: sealed, never sent.
    a.device = Some(a.open_at(&a.path()));
    put(a.device.as_ref().unwrap(), 2, 1);
    a.core().seal(&vault).unwrap();
    a.device = None;
    copy_dir(&a.path(), &later);
    // Another one, longer: at the relay.
    copy_dir(&earlier, &a.path());
    a.device = Some(a.open_at(&a.path()));
    for n in [3, 4] {
        put(a.device.as_ref().unwrap(), n, 1);
        relay.sync(a.core(), &vault);
    }
    let heads = a.core().local_heads(&vault, &relay.pin).unwrap();
    a.device = None;
    copy_dir(&later, &a.path());
    a.device = Some(a.open_at(&a.path()));
    assert!(a.core().relay_heads(&vault, &relay.pin, relay.incarnation, &heads).unwrap(), "it diverged");
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(all(a.device.as_ref().unwrap()).len(), 4);
    assert_eq!(all(a.device.as_ref().unwrap()), all(b.device.as_ref().unwrap()));
}

fn relay_logs(relay: &ListRelay) -> usize {
    relay.state.lock().unwrap().logs.len()
}

/// The relay has lost its disk and who let it in never comes back, or with an older store: nobody but the new device has the word of it.
#[test]
fn a_new_device_brings_the_word_by_which_it_was_let_in() {
    let Setup { mut a, b, relay, vault } = setup();
    let [c, d] = [(); 2].map(|()| TestDevice::new());
    join(&a, &c);
    a.device = None;
    // It lets another one in, before anybody has heard of itself.
    join(&c, &d);
    put(c.device.as_ref().unwrap(), 1, 1);
    put(d.device.as_ref().unwrap(), 2, 2);
    for device in [&d, &c, &b, &d, &c] {
        relay.sync(device.core(), &vault);
    }
    for device in [&b, &c, &d] {
        assert_eq!(device.vault().devices().unwrap().len(), 4);
        assert_eq!(all(device.device.as_ref().unwrap()).len(), 2);
    }
    // Its own logs go, and new ones hold nothing of it: those that are there do.
    c.core().rotate_at_once(&vault).unwrap();
    put(c.device.as_ref().unwrap(), 3, 3);
    relay.sync(c.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(all(b.device.as_ref().unwrap()).len(), 3);
}
