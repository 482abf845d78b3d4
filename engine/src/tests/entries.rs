//! Control entries that wait: they count here at once, are sealed when heads were compared, and are repeated.

use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, Entry, SignedEntry, SignedPrekey, decode_entries,
};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::{KeyPair, KeyProvider, SoftwareKey};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::{Seq, VaultId};
use subrosa_protocol::limits::ENTRIES_REPEATED_MAX;
use subrosa_protocol::segment::{Class, SealedSegment};

use super::exchange::pair;
use super::{TestDevice, everything, id, join, record};
use crate::error::Error;

/// "Device added", of a device that nobody has.
fn listing(by: &TestDevice, vault: &VaultId, number: u64) -> SignedEntry {
    let key = SoftwareKey::generate(&OsEntropy);
    let added = DeviceAdded {
        device: key.public(),
        prekey: SignedPrekey::sign(&key, 0, KeyPair::generate(&OsEntropy).public()).unwrap(),
        name: DeviceName::new("third").unwrap(),
        role: DeviceRole::Writer,
    };
    SignedEntry::sign(by.core().key(), vault, number, Entry::DeviceAdded(added), Extensions::new()).unwrap()
}

fn devices(device: &TestDevice) -> usize {
    device.vault().devices().unwrap().len()
}

/// The segments of a device's own control log.
fn own_control(device: &TestDevice, vault: &VaultId) -> Vec<SealedSegment> {
    let own = device.core().with_vault(vault, |state| Ok(state.own.control)).unwrap();
    let segments = device.core().read(|doors| {
        let logs = doors.logs()?;
        let Some(head) = logs.head(own.into())? else { return Ok(Vec::new()) };
        logs.segments(own.into(), Seq(0)..=head.seq)?.map(|row| Ok(row?.into_parts().0)).collect()
    });
    segments.unwrap()
}

fn entries_in(device: &TestDevice, vault: &VaultId, segment: &SealedSegment) -> Vec<SignedEntry> {
    let data = device.core().with_vault(vault, |state| Ok(state.open_control(segment))).unwrap();
    decode_entries(&data.unwrap()).unwrap()
}

#[test]
fn an_entry_counts_at_once_and_is_sealed_when_heads_were_compared_and_not_before() {
    let (mut a, b, relay, vault) = pair();
    let before = a.core().heads(&vault).unwrap();
    a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    for _ in 0..2 {
        assert_eq!((devices(&a), a.vault().pending().unwrap()), (3, 2));
        assert_eq!(a.core().heads(&vault).unwrap(), before);
        assert!(
            a.core().outbox(&vault, &relay.pin, &Default::default(), 1 << 20).unwrap().segments.is_empty()
        );
        a.reopen();
    }
    let number = a.core().next_number(&vault).unwrap();
    a.core().append_control(&vault, |of_it| Ok(listing(&a, &vault, of_it))).unwrap();
    assert_eq!(a.core().next_number(&vault).unwrap(), number + 1, "what waits has its number");
    a.core().seal(&vault).unwrap();
    assert_eq!((devices(&a), a.vault().pending().unwrap()), (4, 0));
    let batch = a.core().outbox(&vault, &relay.pin, &Default::default(), 1 << 20).unwrap();
    let classes: Vec<_> = batch.segments.iter().map(|segment| segment.header().kind.class()).collect();
    assert_eq!(classes, [Class::Control, Class::Data], "two entries share a segment");
    relay.take(a.core(), &vault).unwrap();
    relay.sync(b.core(), &vault);
    a.reopen();
    assert_eq!((devices(&a), devices(&b)), (4, 4));
    assert_eq!(a.vault().devices().unwrap(), {
        let mut theirs = b.vault().devices().unwrap();
        theirs.iter_mut().for_each(|device| device.is_this = device.public == a.core().public());
        theirs
    });
}

#[test]
fn a_bulk_write_that_is_sealed_as_it_commits_has_what_waits_in_front_of_it() {
    let (a, _b, _relay, vault) = pair();
    a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    let many: Vec<_> = (0..300).map(|n| record(&[("x", n)])).collect();
    a.vault().records("notes").insert_many(&many).unwrap();
    assert_eq!(a.vault().pending().unwrap(), 0);
    assert_eq!(own_control(&a, &vault).len(), 3);
}

#[test]
fn an_entry_is_repeated_byte_for_byte_and_once() {
    let (a, mut b, relay, vault) = pair();
    a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    let theirs = own_control(&a, &vault);
    let repeat = |b: &TestDevice| {
        b.core()
            .write(|tx| {
                let number = tx.state.vault_no(&vault)?;
                tx.repeat_segments(number, &theirs)
            })
            .unwrap()
    };
    let before = (devices(&b), own_control(&b, &vault).len());
    for _ in 0..2 {
        assert_eq!(repeat(&b), 0);
        // Genesis and certificate have their places, and what let B in stands in its own log.
        assert_eq!(b.vault().pending().unwrap(), 1, "what lists the other one");
        b.reopen();
    }
    relay.sync(b.core(), &vault);
    assert_eq!(b.vault().pending().unwrap(), 0);
    assert_eq!(repeat(&b), 0);
    assert_eq!(b.vault().pending().unwrap(), 0, "they stand in a segment on its way");
    let of_b = own_control(&b, &vault);
    let first: Vec<_> = theirs[1..].iter().flat_map(|segment| entries_in(&a, &vault, segment)).collect();
    let entries: Vec<_> = of_b.iter().flat_map(|segment| entries_in(&b, &vault, segment)).collect();
    assert_eq!((first.len(), &entries[1..]), (2, &first[..]), "behind its certificate");
    relay.sync(a.core(), &vault);
    assert_eq!((devices(&b), of_b.len()), (before.0, before.1 + 1));
    assert_eq!((devices(&a), everything(&a.vault()).len()), (3, 0));
}

#[test]
fn what_is_repeated_has_a_bound_and_what_the_user_does_has_none() {
    let (a, _b, _relay, vault) = pair();
    let entries: Vec<_> = (0..3).map(|n| listing(&a, &vault, 100 + n)).collect();
    let left_out = a
        .core()
        .write(|tx| {
            let number = tx.state.vault_no(&vault)?;
            for _ in 1..ENTRIES_REPEATED_MAX {
                tx.unsealed.put_entry(number, &[0, 0])?;
            }
            tx.repeat_entries(number, entries.clone())
        })
        .unwrap();
    assert_eq!(left_out, 2);
    a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    a.core().seal(&vault).unwrap();
    assert_eq!((a.vault().pending().unwrap(), devices(&a)), (0, 4));
}

#[test]
fn an_entry_that_does_not_hold_is_not_repeated() {
    let (a, _b, _relay, vault) = pair();
    let mut forged = listing(&a, &vault, 100);
    forged.number += 1;
    let refused = a.core().write(|tx| {
        let number = tx.state.vault_no(&vault)?;
        tx.repeat_entries(number, vec![forged])
    });
    assert!(matches!(refused, Err(Error::Control(_))), "{refused:?}");
    assert_eq!((a.vault().pending().unwrap(), devices(&a)), (0, 2));
}

#[test]
fn a_device_that_nobody_has_listed_yet_lets_in_others_once_somebody_lists_it() {
    let (a, b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = super::ListRelay::new();
    let vault = join(&a, &b);
    b.core().append_control(&vault, |number| Ok(listing(&b, &vault, number))).unwrap();
    assert_eq!(devices(&b), 0);
    relay.sync(a.core(), &vault);
    relay.feed(b.core(), &vault);
    assert_eq!((devices(&b), b.vault().pending().unwrap()), (3, 1));
    relay.sync(b.core(), &vault);
    relay.sync(a.core(), &vault);
    assert_eq!((devices(&a), b.vault().pending().unwrap()), (3, 0));
}

#[test]
fn an_entry_is_known_to_be_at_the_relay_once_that_has_acknowledged_it() {
    let (a, _b, relay, vault) = pair();
    let queued = a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    let is_there = || a.core().is_entry_acknowledged(&vault, &relay.pin, &queued.rank).unwrap();
    assert!(!is_there(), "it waits");
    a.core().seal(&vault).unwrap();
    assert!(!is_there(), "it is on its way");
    assert!(!a.core().withdraw_entry(&vault, queued.place).unwrap(), "too late to take it back");
    relay.take(a.core(), &vault).unwrap();
    assert!(is_there());
    let elsewhere = super::strangers::another_relay(9).pin;
    assert!(!a.core().is_entry_acknowledged(&vault, &elsewhere, &queued.rank).unwrap());
}

#[test]
fn an_entry_that_is_taken_back_counts_no_more() {
    let (mut a, _b, relay, vault) = pair();
    let before = a.core().next_number(&vault).unwrap();
    let queued = a.core().append_control(&vault, |number| Ok(listing(&a, &vault, number))).unwrap();
    assert_eq!(devices(&a), 3);
    assert!(a.core().withdraw_entry(&vault, queued.place).unwrap());
    assert!(!a.core().withdraw_entry(&vault, queued.place).unwrap(), "once");
    for _ in 0..2 {
        assert_eq!((devices(&a), a.vault().pending().unwrap()), (2, 0));
        assert_eq!(a.core().next_number(&vault).unwrap(), before);
        a.reopen();
    }
    a.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    assert_eq!(own_control(&a, &vault).len(), 2);
}
