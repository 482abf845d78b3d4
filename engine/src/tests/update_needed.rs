//! When a device is to write nothing in a vault: what an admin's newer version writes, and must not be ignored; statements
//! that are not checked yet.

use subrosa_model::control::{Entry, HeldStatements, SignedEntry, UnknownEntry, encode_entries};
use subrosa_model::seal::Packed;
use subrosa_protocol::client_link::HeldChain;
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::{Generation, Pin, VaultId};
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::strangers::pair;
use super::{TestDevice, id, record};
use crate::error::Error;

/// Has a device's newer version write an entry of a tag: this version's own memory knows nothing of it.
fn writes_entry(device: &TestDevice, vault: &VaultId, tag: u8) {
    let entry = Entry::Unknown(UnknownEntry::new(tag, b"later".to_vec()));
    let number = device.core().next_number(vault).unwrap();
    let signed = SignedEntry::sign(device.core().key(), vault, number, entry, Extensions::new()).unwrap();
    let data = encode_entries(&[signed]);
    let append = |tx: &mut crate::life::commit::Tx<'_>| {
        let number = tx.state.vault_no(vault)?;
        let log = tx.vault(number)?.own.control;
        tx.seal_next(number, log, Kind::CONTROL, GroupPlace::Whole, &Packed::of(&data))
    };
    device.core().write(append).unwrap();
}

#[test]
fn a_critical_entry_stops_sealing_and_nothing_else() {
    let (a, mut b, relay, vault) = pair();
    let put = |device: &TestDevice, n: u8| {
        device.vault().records("notes").put(id(n), &record(&[("x", i64::from(n))])).unwrap();
    };
    writes_entry(&a, &vault, 0x7f);
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    assert!(!b.vault().is_update_needed().unwrap(), "an unknown entry that is not critical is passed over");
    put(&b, 1);
    relay.sync(b.core(), &vault);
    assert_eq!(b.vault().pending().unwrap(), 0);

    put(&b, 2);
    writes_entry(&a, &vault, 0xff);
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    for opened in ["found as it arrives", "found again when it is opened"] {
        assert!(b.vault().is_update_needed().unwrap(), "{opened}");
        let heads = b.core().heads(&vault).unwrap();
        let sealed = b.core().seal(&vault).unwrap();
        assert_eq!((sealed.segments, sealed.more), (0, false), "{opened}");
        // Local writes are taken, in bulk too, and wait; what arrives is merged.
        put(&b, 3);
        let many: Vec<_> = (0..300).map(|n| record(&[("x", n)])).collect();
        b.vault().records("notes").insert_many(&many).unwrap();
        assert!(b.vault().pending().unwrap() > 0);
        assert_eq!(b.core().heads(&vault).unwrap(), heads, "{opened}");
        let rotated = b.core().rotate_at_once(&vault);
        assert!(matches!(rotated, Err(Error::UpdateNeeded)), "{rotated:?}");
        assert_eq!(b.core().heads(&vault).unwrap(), heads, "{opened}");
        b.reopen();
    }
    put(&a, 9);
    a.core().seal(&vault).unwrap();
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    assert!(b.vault().records("notes").get(id(9)).unwrap().is_some(), "it goes on receiving");
    // Its author's version sees it, too, once it reads its own log again.
    assert!(!a.vault().is_update_needed().unwrap());
}

#[test]
fn without_the_chain_of_statements_a_device_receives_and_says_nothing() {
    let (a, mut b, relay, vault) = pair();
    let statements = |held: fn(HeldStatements) -> HeldStatements| {
        move |tx: &mut crate::life::commit::Tx<'_>| {
            let number = tx.state.vault_no(&vault)?;
            let keyring = &mut tx.vault_mut(number)?.keyring;
            keyring.statements = held(keyring.statements.clone());
            tx.put_keyring(number)
        }
    };
    // As after a pairing into a vault whose statements have gone on.
    b.core().write(statements(|held| HeldStatements::Last(held.last().to_vec()))).unwrap();
    b.reopen();
    let put = |device: &TestDevice, n: u8| {
        device.vault().records("notes").put(id(n), &record(&[("x", i64::from(n))])).unwrap();
    };
    put(&a, 1);
    relay.sync(a.core(), &vault);
    put(&b, 2);
    relay.feed(b.core(), &vault);
    let says = |device: &TestDevice| {
        let sealed = device.core().seal(&vault).unwrap().segments;
        let nowhere = Pin::from_bytes([5; 32]);
        let outbox = device.core().outbox(&vault, &nowhere, &Default::default(), usize::MAX).unwrap();
        (sealed, outbox.segments.is_empty(), device.core().held_chain(&vault).unwrap())
    };
    assert_eq!(says(&b), (0, true, HeldChain::Last));
    assert!(b.vault().records("notes").get(id(1)).unwrap().is_some(), "it receives");
    b.core().write(statements(|held| HeldStatements::Whole(vec![held.last().to_vec()]))).unwrap();
    let (sealed, empty, chain) = says(&b);
    assert_eq!((sealed, empty, chain), (1, false, HeldChain::Whole { last: Generation(0) }));
}
