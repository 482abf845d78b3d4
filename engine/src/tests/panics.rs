//! Panics in code of the embedding application, which may catch them and go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use subrosa_model::entropy::{Entropy, OsEntropy};
use subrosa_model::keys::SoftwareKey;

use super::exchange::pair;
use super::{ListRelay, PANIC_MS, TestDevice, device_with_vault, everything, id, join, record};
use crate::collection::RecordChange;
use crate::device::Device;
use crate::options::Options;
use crate::vault::Vault;

fn panics<R>(f: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
}

/// Writes and reads, reopens, and finds exactly what was written.
fn goes_on(device: &mut TestDevice) {
    let before = everything(&device.vault());
    let new = device.vault().records("notes").insert(&record(&[("n", 1)])).unwrap();
    let mut tx = device.vault().begin(Duration::ZERO).unwrap();
    assert!(tx.in_collection(&device.vault().records("notes")).delete(new).unwrap());
    tx.commit().unwrap();
    device.core().seal(&device.vault().id()).unwrap();
    assert_eq!(everything(&device.vault()), before);
    device.device.as_ref().unwrap().close().unwrap();
    device.device = Some(device.open_at(&device.path()));
    assert_eq!(everything(&device.vault()), before);
    assert!(device.device.as_ref().unwrap().verify().unwrap().is_good());
    device.device.as_ref().unwrap().compact().unwrap();
}

#[test]
fn a_clock_that_panics_costs_the_call_alone() {
    let mut device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    device.clock.set(PANIC_MS);
    panics(|| notes.put(id(2), &record(&[("a", 1)])));
    panics(|| vault.begin(Duration::ZERO));
    panics(|| device.device.as_ref().unwrap().create_vault("another"));
    device.clock.set(1_000_000);
    let mut tx = vault.begin(Duration::ZERO).unwrap();
    tx.in_collection(&notes).put(id(3), &record(&[("a", 1)])).unwrap();
    device.clock.set(PANIC_MS);
    panics(|| tx.commit());
    device.clock.set(1_000_000);
    assert_eq!(everything(&vault).len(), 1);
    goes_on(&mut device);
}

#[test]
fn a_closure_that_panics_leaves_nothing_of_its_write() {
    let mut device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    panics(|| {
        vault.write(|tx| -> Result<(), crate::error::Error> {
            notes.in_tx(tx).put(id(2), &record(&[("a", 1)]))?;
            vault.records("brand new").in_tx(tx).put(id(2), &record(&[("a", 1)]))?;
            panic!("in the middle")
        })
    });
    panics(|| notes.update(id(1), |_| panic!("in the middle")));
    assert_eq!(everything(&vault).len(), 1);
    goes_on(&mut device);
}

#[test]
fn a_panic_inside_a_database_transaction_puts_the_memory_back() {
    let (mut a, b) = (device_with_vault(), TestDevice::new());
    let vault = join(&a, &b);
    let relay = ListRelay::new();
    a.vault().records("notes").put(id(1), &record(&[("a", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    let number = a.vault().number;
    let own = |device: &TestDevice| {
        let state = device.core().lock_state().unwrap();
        (state.vaults[&number].own, state.logs.len(), state.collections.len(), state.vaults.len())
    };
    let before = own(&a);
    let new = a.core().new_logs(number).unwrap();
    panics(|| {
        a.core().write(|tx| -> Result<(), crate::error::Error> {
            tx.intern_collection(number, "made up")?;
            tx.rotate_logs(number, new)?;
            tx.vaults.put_relay("made up")?;
            panic!("in the middle")
        })
    });
    assert_eq!(own(&a), before);
    panics(|| a.core().append_control(&vault, |_| panic!("in the middle")));
    assert_eq!(own(&a), before);
    a.vault().records("others").put(id(2), &record(&[("a", 1)])).unwrap();
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    assert_eq!(everything(&a.vault()), everything(&b.vault()));
    goes_on(&mut a);
}

#[test]
fn many_changes_that_panic_half_way_leave_none_in_their_transaction() {
    let mut device = device_with_vault();
    let vault = device.vault();
    let notes = vault.records("notes");
    let mut tx = vault.begin(Duration::ZERO).unwrap();
    tx.in_collection(&notes).put(id(1), &record(&[("a", 1)])).unwrap();
    let changes = (2..=9).map(|n| {
        assert_ne!(n, 5, "half way");
        Ok(RecordChange::Put(id(n), record(&[("a", 1)])))
    });
    panics(|| tx.in_collection(&notes).change_many(changes));
    tx.commit().unwrap();
    assert_eq!(everything(&vault).len(), 1);
    goes_on(&mut device);
}

#[test]
fn a_clock_that_panics_while_the_device_resumes_leaves_it_suspended() {
    // Something is held, so that the clock is asked.
    let (author, mut device, relay, vault) = pair();
    author.clock.set(1_000_000 + 3_600_000);
    author.vault().records("notes").put(id(9), &record(&[("a", 1)])).unwrap();
    relay.sync(author.core(), &vault);
    relay.sync(device.core(), &vault);
    let handle = device.device.clone().unwrap();
    handle.suspend(Duration::ZERO).unwrap();
    device.clock.set(PANIC_MS);
    panics(|| handle.resume());
    device.clock.set(1_000_000);
    let refused = device.vault().records("notes").put(id(1), &record(&[("a", 1)]));
    assert!(
        matches!(refused, Err(crate::error::Error::Life(crate::error::LifeError::Suspended))),
        "{refused:?}"
    );
    handle.resume().unwrap();
    goes_on(&mut device);
}

#[test]
fn a_hook_that_panics_costs_neither_the_write_nor_the_other_hooks() {
    let device = device_with_vault();
    let notes = device.vault().records("notes");
    let heard = Arc::new(AtomicBool::new(false));
    let (mut first, mut second) = (notes.watch(), notes.watch());
    first.on_arrival(Arc::new(|| panic!("the host's own")));
    let hears = heard.clone();
    second.on_arrival(Arc::new(move || hears.store(true, Ordering::Relaxed)));
    notes.put(id(1), &record(&[("a", 1)])).unwrap();
    assert!(heard.load(Ordering::Relaxed));
    assert_eq!(notes.len().unwrap(), 1);
}

/// Randomness that panics when told to.
#[derive(Default)]
struct Moody(AtomicBool);

impl Entropy for Moody {
    fn fill(&self, out: &mut [u8]) {
        assert!(!self.0.load(Ordering::Relaxed), "the entropy was told to panic");
        OsEntropy.fill(out);
    }
}

#[test]
fn randomness_that_panics_stops_the_store_at_worst_and_opening_it_again_finds_what_was_committed() {
    let mut device = device_with_vault();
    device.device = None;
    let entropy = Arc::new(Moody::default());
    let options = Options::default().clock(device.clock.clone()).entropy(entropy.clone());
    let key = SoftwareKey::from_pkcs8_der(&device.key_der).unwrap();
    let opened = Device::open(device.path(), Arc::new(key), options).unwrap();
    let put = |vault: &Vault, n: u8| {
        catch_unwind(AssertUnwindSafe(|| vault.records("notes").put(id(n), &record(&[("n", n.into())]))))
    };
    let vault = opened.vault("personal").unwrap();
    let mut written = Vec::new();
    entropy.0.store(true, Ordering::Relaxed);
    // Nonces are drawn ahead: the panic comes somewhere in the middle of a commit.
    for n in 1..=200 {
        match put(&vault, n) {
            Ok(Ok(())) => written.push(id(n)),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    assert!(written.len() < 200, "randomness was needed");
    let stopped = catch_unwind(AssertUnwindSafe(|| opened.create_vault("another")));
    assert!(!matches!(stopped, Ok(Ok(_))));
    entropy.0.store(false, Ordering::Relaxed);
    let _ = put(&vault, 250);
    let _ = opened.close();
    drop((vault, opened));
    device.device = Some(device.open_at(&device.path()));
    let found: Vec<_> = everything(&device.vault()).into_iter().map(|(_, id, _)| id).collect();
    assert!(written.iter().all(|id| found.contains(id)));
    goes_on(&mut device);
}
