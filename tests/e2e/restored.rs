//! Stores that were copied as a whole.

use crate::support::{TestDevice, TestRelay, caught_up, eventually, notes};

#[test]
fn a_copy_put_back_after_more_was_pushed_loses_nothing() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    a.put("first", "before the copy");
    a.sync_once(&relay.url());
    let old = a.copy();
    for n in 0..10 {
        a.put(&format!("later {n}"), "pushed after the copy was made");
        a.sync_once(&relay.url());
    }
    let all = a.notes();
    a.close();
    // The copy takes the place of the original; it has edits of its own by then.
    old.put("own", "written on the copy");
    old.sync_once(&relay.url());
    assert_eq!(old.notes().len(), all.len() + 1);
    for (id, record) in &all {
        assert_eq!(old.notes().get(id), Some(record));
    }
}

#[test]
fn two_copies_side_by_side_converge() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    a.put("first", "before the copy");
    a.sync_once(&relay.url());
    let b = a.copy();
    let (left, right) = (a.sync(&relay.url()), b.sync(&relay.url()));
    for n in 0..20 {
        a.put(&format!("a{n}"), "from a");
        b.put(&format!("b{n}"), "from b");
    }
    for device in [&a, &b] {
        eventually(&device.vault(), "all notes", |vault| notes(vault).len() == 41);
    }
    caught_up(&left);
    caught_up(&right);
    assert_eq!(a.notes(), b.notes());
}

#[test]
fn three_generations_of_copies_converge() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    let mut copies = Vec::new();
    for n in 0..3 {
        a.put(&format!("generation {n}"), "from the original");
        a.sync_once(&relay.url());
        copies.push(a.copy());
    }
    for (n, copy) in copies.iter().enumerate() {
        copy.put(&format!("copy {n}"), "from a copy");
        copy.sync_once(&relay.url());
    }
    a.put("last", "from the original");
    a.sync_once(&relay.url());
    for copy in &copies {
        copy.sync_once(&relay.url());
    }
    assert_eq!(a.notes().len(), 7);
    for copy in &copies {
        assert_eq!(copy.notes(), a.notes());
    }
}
