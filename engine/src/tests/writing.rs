use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use subrosa_model::control::BirthError;
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::{KeyError, KeyProvider, PublicKey, SharedSecret, SoftwareKey};
use subrosa_model::merge::RecordId;
use subrosa_store::error::StoreError;
use zeroize::Zeroizing;

use super::{TestDevice, device_with_vault, everything, id, record};
use crate::device::Device;
use crate::error::{Error, LifeError};
use crate::options::Options;
use crate::records::watch::{Change, ChangeKind, VaultChange};

#[test]
fn put_sets_replace_removes_update_writes_what_changed_delete_hides() {
    let device = device_with_vault();
    let notes = device.vault().records("notes");
    notes.put(id(1), &record(&[("a", 1), ("b", 2)])).unwrap();
    notes.put(id(1), &record(&[("b", 3), ("c", 4)])).unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("a", 1), ("b", 3), ("c", 4)])));
    notes.replace(id(1), &record(&[("c", 5)])).unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("c", 5)])));
    assert!(notes.update(id(1), |note| drop(note.0.insert("d".into(), 6.into()))).unwrap());
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("c", 5), ("d", 6)])));
    assert!(notes.delete(id(1)).unwrap());
    assert!(!notes.delete(id(1)).unwrap());
    assert_eq!(notes.get(id(1)).unwrap(), None);
    notes.put(id(1), &record(&[("e", 7)])).unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("e", 7)])), "starts from empty");
    assert!(!notes.update(id(9), |_| ()).unwrap());
}

#[test]
fn a_transaction_happens_whole_or_not_at_all_and_sees_itself() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let failed: Result<(), Error> = vault.write(|tx| {
        notes.in_tx(tx).put(id(1), &record(&[("a", 1)]))?;
        assert!(notes.in_tx(tx).get(id(1))?.is_some());
        vault.records("brand new").in_tx(tx).put(id(2), &record(&[("a", 1)]))?;
        Err(Error::NoRecord)
    });
    assert!(matches!(failed, Err(Error::NoRecord)));
    assert!(everything(&vault).is_empty());
    vault
        .write(|tx| {
            notes.in_tx(tx).put(id(1), &record(&[("a", 1)]))?;
            notes.in_tx(tx).delete(id(1))?;
            notes.in_tx(tx).put(id(1), &record(&[("b", 2)]))
        })
        .unwrap();
    assert_eq!(notes.get(id(1)).unwrap(), Some(record(&[("b", 2)])));
}

#[test]
fn a_bulk_write_finds_what_is_there_before_between_and_behind_its_records() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, others) = (vault.records("notes"), vault.records("others"));
    let numbered = |number: u16| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        RecordId::from_bytes(bytes)
    };
    let held = [0, 1, 500, 777, 1000, 1001];
    for number in held {
        notes.put(numbered(number), &record(&[("old", 1)])).unwrap();
    }
    others.put(numbered(0), &record(&[("old", 1)])).unwrap();
    // From behind, so that ranges without a record are found early; over every record that is there.
    let write = vault.write(|tx| {
        for number in (0..1200).rev() {
            notes.in_tx(tx).put(numbered(number), &record(&[("new", 2)]))?;
            others.in_tx(tx).put(numbered(number), &record(&[("new", 2)]))?;
        }
        Ok(())
    });
    write.unwrap();
    assert_eq!((notes.len().unwrap(), others.len().unwrap()), (1200, 1200));
    for number in 0..1200 {
        let both = record(&[("new", 2), ("old", 1)]);
        let one = record(&[("new", 2)]);
        let expected = if held.contains(&number) { &both } else { &one };
        assert_eq!(notes.get(numbered(number)).unwrap().as_ref(), Some(expected), "{number}");
        let expected = if number == 0 { &both } else { &one };
        assert_eq!(others.get(numbered(number)).unwrap().as_ref(), Some(expected), "{number} of the others");
    }
}

/// A key whose agreement is not its own.
struct Liar(SoftwareKey);

impl KeyProvider for Liar {
    fn public(&self) -> PublicKey {
        self.0.public()
    }

    fn agree(&self, _: &PublicKey) -> Result<SharedSecret, KeyError> {
        Ok(SharedSecret::new(Zeroizing::new([7; 32])))
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.0.sign(message)
    }
}

#[test]
fn a_key_that_agrees_on_anything_makes_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(Liar(SoftwareKey::generate(&OsEntropy)));
    let made = Device::create(dir.path().join("s"), key, Options::default());
    assert!(matches!(made, Err(Error::Key(KeyError::ProviderAgreement))), "{made:?}");
    assert!(!dir.path().join("s").join("store.subrosa").exists());
}

#[test]
fn a_device_keeps_the_name_that_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let key: Arc<dyn KeyProvider> = Arc::new(SoftwareKey::generate(&OsEntropy));
    for name in ["", "two\nlines", &"x".repeat(129)] {
        let options = Options::default().device_name(name);
        let made = Device::create(dir.path().join("s"), key.clone(), options);
        assert!(matches!(made, Err(Error::Birth(BirthError::DeviceName { .. }))), "{made:?}");
    }
    let options = Options::default().device_name("laptop");
    drop(Device::create(dir.path().join("s"), key.clone(), options).unwrap());
    let device = Device::open(dir.path().join("s"), key, Options::default()).unwrap();
    let vault = device.create_vault("personal").unwrap();
    assert_eq!(
        (device.name().unwrap(), vault.devices().unwrap()[0].name.clone()),
        ("laptop".into(), "laptop".into())
    );
}

#[test]
fn everyone_who_syncs_hears_of_writes_until_he_is_done() {
    let device = device_with_vault();
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let hooks = counts.clone().map(|count| -> Arc<dyn Fn() + Send + Sync> {
        Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
    });
    let put = || device.vault().records("notes").put(id(1), &record(&[("a", 1)])).unwrap();
    hooks.iter().for_each(|hook| device.core().on_pending(hook));
    put();
    device.core().no_more_pending(&hooks[1]);
    put();
    assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [2, 1]);
}

#[test]
fn new_records_are_scanned_in_the_order_in_which_they_were_inserted() {
    let device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let mut given = Vec::new();
    for round in 0..20 {
        // The wall clock stands still, and falls back now and then.
        device.clock.set(2_000_000 - 1_000 * (round / 4));
        given.push(notes.insert(&record(&[("n", 1)])).unwrap());
        given.extend(notes.insert_many(&vec![record(&[("n", 2)]); 70]).unwrap());
        let mut tx = vault.begin(Duration::ZERO).unwrap();
        tx.in_collection(&notes).insert(&record(&[("n", 3)])).unwrap();
        tx.abort();
    }
    let scanned: Vec<_> = notes.scan().map(|row| row.unwrap().0).collect();
    assert_eq!(scanned, given);
}

#[test]
fn everything_survives_closing_and_a_scan_goes_through_pages() {
    let mut device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    vault
        .write(|tx| {
            for n in 0..700u32 {
                let mut bytes = [0; 16];
                bytes[12..].copy_from_slice(&n.to_be_bytes());
                notes
                    .in_tx(tx)
                    .put(subrosa_model::merge::RecordId::from_bytes(bytes), &record(&[("n", n.into())]))?;
            }
            Ok(())
        })
        .unwrap();
    let before = everything(&vault);
    assert_eq!((before.len(), notes.len().unwrap()), (700, 700));
    drop((notes, vault));
    device.reopen();
    assert_eq!(everything(&device.vault()), before);
    assert_eq!(device.vault().records("notes").page(Some(before[9].1), 3).unwrap()[0].1, before[10].2);
    let report = device.device.as_ref().unwrap().verify().unwrap();
    assert!(report.is_good() && report.segments == 1, "{report:?}");
}

#[test]
fn watchers_hear_what_happened_in_their_collection() {
    let device = device_with_vault();
    let vault = device.vault();
    let (notes, other) = (vault.records("notes"), vault.records("other"));
    let (mut here, mut all) = (notes.watch(), vault.watch());
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    notes.put(id(1), &record(&[("a", 2)])).unwrap();
    other.put(id(2), &record(&[("a", 1)])).unwrap();
    notes.delete(id(1)).unwrap();
    let mut kinds = Vec::new();
    while let Some(Change::Record { kind, collection, .. }) = here.try_next() {
        assert_eq!(&*collection, "notes");
        kinds.push(kind);
    }
    assert_eq!(kinds, [ChangeKind::Inserted, ChangeKind::Updated, ChangeKind::Removed]);
    assert_eq!(std::iter::from_fn(|| all.try_next()).count(), 4);
    assert_eq!(here.next(Duration::from_millis(1)), None);
}

#[test]
fn whoever_began_to_watch_during_a_commit_that_nobody_watched_is_told_to_look_again() {
    let device = device_with_vault();
    let vault = device.vault();
    let mut notes = vault.records("notes").watch();
    let mut elsewhere = vault.core.watchers.watch(subrosa_protocol::ids::VaultId::ZERO, None);
    vault.core.watchers.notify(&[VaultChange { vault: vault.id(), change: Change::Lagged }]).call_hooks();
    assert_eq!(notes.try_next(), Some(Change::Lagged));
    assert_eq!((notes.try_next(), elsewhere.try_next()), (None, None));
}

#[test]
fn stores_are_refused_or_opened_as_they_should_be() {
    let mut device = device_with_vault();
    let open = |key: SoftwareKey, create: bool| {
        let (path, key) = (device.path(), Arc::new(key));
        if create {
            Device::create(path, key, Options::default()).err()
        } else {
            Device::open(path, key, Options::default()).err()
        }
    };
    let own = || SoftwareKey::from_pkcs8_der(&device.key_der).unwrap();
    assert!(matches!(open(own(), true), Some(Error::AlreadyExists)));
    assert!(matches!(open(own(), false), Some(Error::Store(StoreError::Locked { .. }))));
    let handle = device.device.clone().unwrap();
    handle.suspend(Duration::from_secs(5)).unwrap();
    let asleep = |error: Option<Error>| matches!(error, Some(Error::Life(LifeError::Suspended)));
    let notes = handle.vault("personal").unwrap().records("n");
    assert!(asleep(handle.vault("personal").unwrap().collections().err()));
    assert!(asleep(notes.get(id(1)).err()) && asleep(notes.len().err()));
    assert!(asleep(notes.put(id(1), &record(&[("a", 1)])).err()) && asleep(handle.verify().err()));
    assert!(matches!(
        open(SoftwareKey::generate(&OsEntropy), false),
        Some(Error::Store(StoreError::WrongKey))
    ));
    assert!(open(own(), false).is_none(), "suspend gave the file up");
    assert!(matches!(open(own(), true), Some(Error::AlreadyExists)));
    handle.resume().unwrap();
    handle.vault("personal").unwrap().records("n").put(id(1), &record(&[("a", 1)])).unwrap();
    drop((notes, handle));
    device.reopen();
    assert_eq!(everything(&device.vault()).len(), 1);
    let missing = Device::open(device.dir.path().join("x"), Arc::new(own_key(&device)), Options::default());
    assert!(matches!(missing, Err(Error::Store(StoreError::Missing))));
}

fn own_key(device: &TestDevice) -> SoftwareKey {
    SoftwareKey::from_pkcs8_der(&device.key_der).unwrap()
}

#[test]
fn bad_input_is_a_typed_error_and_leaves_nothing() {
    let device = device_with_vault();
    let vault = device.vault();
    assert!(matches!(device.device.as_ref().unwrap().create_vault("personal"), Err(Error::VaultExists)));
    assert!(matches!(device.device.as_ref().unwrap().create_vault(""), Err(Error::VaultName)));
    assert!(matches!(device.device.as_ref().unwrap().vault("nope"), Err(Error::NoVault)));
    assert!(matches!(vault.records("").put(id(1), &record(&[])), Err(Error::Op(_))));
    assert!(matches!(vault.collection::<i64>("n").put(id(1), &7), Err(Error::NotARecord)));
    let long = "x".repeat(2 << 20);
    let big = crate::collection::Record(
        [("t".to_owned(), subrosa_model::merge::Value::from(long.as_str()))].into(),
    );
    assert!(matches!(vault.records("n").put(id(1), &big), Err(Error::Value(_))));
    assert!(everything(&vault).is_empty());
}

#[test]
fn records_of_several_large_values_travel_in_parts() {
    let device = device_with_vault();
    let vault = device.vault();
    let text = "y".repeat(900 << 10);
    let fields = (0..4).map(|n| (format!("f{n}"), subrosa_model::merge::Value::from(text.as_str())));
    let big = crate::collection::Record(fields.collect());
    vault.records("n").put(id(1), &big).unwrap();
    device.core().seal(&vault.id()).unwrap();
    assert_eq!(vault.records("n").get(id(1)).unwrap(), Some(big));
}
