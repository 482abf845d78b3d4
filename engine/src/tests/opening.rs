//! What opening costs, counted and not timed.

use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, SignedPrekey, device_added, encode_entries,
};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::{KeyPair, cost};
use subrosa_protocol::segment::{GroupPlace, Kind};

use super::{ListRelay, TestDevice, id, join, record};

/// Multiplications of points that the next opening does.
fn multiplied_by_opening(device: &mut TestDevice) -> u64 {
    device.device = None;
    let before = cost::multiplications();
    device.device = Some(device.open_at(&device.path()));
    cost::multiplications() - before
}

#[test]
fn opening_multiplies_no_more_for_many_vaults_than_for_one() {
    let mut device = TestDevice::new();
    device.device.as_ref().unwrap().create_vault("personal").unwrap();
    let for_one = multiplied_by_opening(&mut device);
    for n in 0..6 {
        device.device.as_ref().unwrap().create_vault(&format!("vault {n}")).unwrap();
    }
    assert_eq!(
        multiplied_by_opening(&mut device),
        for_one,
        "the device's own key, and nothing for each vault"
    );
    // What was not computed is, when it is asked for.
    let before = cost::multiplications();
    device.vault().records("notes").put(id(1), &record(&[("x", 1)])).unwrap();
    while device.core().seal(&device.vault().id()).unwrap().more {}
    assert!(cost::multiplications() > before);
    assert!(device.device.as_ref().unwrap().verify().unwrap().is_good());
}

#[test]
fn an_entry_that_was_forged_is_not_taken_for_checked_at_the_next_opening() {
    let (mut a, mut b) = (TestDevice::new(), TestDevice::new());
    a.device.as_ref().unwrap().create_vault("personal").unwrap();
    let relay = ListRelay::new();
    let vault = join(&a, &b);
    relay.sync(a.core(), &vault);
    relay.sync(b.core(), &vault);
    let devices = |device: &TestDevice| device.vault().devices().unwrap().len();
    let stranger = KeyPair::generate(&OsEntropy);
    let prekey = SignedPrekey::sign(b.core().key(), 0, KeyPair::generate(&OsEntropy).public()).unwrap();
    let name = DeviceName::new("third").unwrap();
    let added = DeviceAdded { device: stranger.public(), prekey, name, role: DeviceRole::Admin };
    let forged = encode_entries(&[device_added(a.core().key(), &vault, 9, added.clone()).unwrap()]);
    let append = |data: &[u8]| {
        let append = |tx: &mut crate::life::commit::Tx<'_>| {
            let number = tx.state.vault_no(&vault)?;
            let log = tx.vault(number)?.own.control;
            tx.seal_next(
                number,
                log,
                Kind::CONTROL,
                GroupPlace::Whole,
                &subrosa_model::seal::Packed::of(data),
            )
        };
        a.core().write(append).unwrap();
    };
    // The prekey is signed by another device than the one that it is said to be of.
    append(&forged);
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    assert_eq!(devices(&b), 2);
    b.reopen();
    assert_eq!(devices(&b), 2, "it was kept, and counts for nothing");
    // Neither does what follows it get a check less.
    append(&forged);
    relay.take(a.core(), &vault).unwrap();
    relay.feed(b.core(), &vault);
    b.reopen();
    assert_eq!(devices(&b), 2);
    a.reopen();
    assert_eq!(devices(&b), 2);
}
