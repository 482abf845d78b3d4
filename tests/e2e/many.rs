//! A device with more vaults than one link carries.

use subrosa::SyncState;

use crate::support::{TestDevice, TestRelay, caught_up, notes, put};

/// More than two links carry.
const VAULTS: usize = 150;

#[test]
fn more_vaults_than_a_link_carries_all_arrive_on_another_device() {
    let relay = TestRelay::open();
    let mut a = TestDevice::new();
    for n in 1..VAULTS {
        a.device().create_vault(&format!("vault {n}")).unwrap();
    }
    let b = a.copy();
    for vault in a.device().vaults().unwrap() {
        put(&a.device().vault_by_id(&vault.id).unwrap(), "note", &vault.name);
    }
    let sync = a.sync(&relay.url());
    caught_up(&sync);
    let receiving = b.sync(&relay.url());
    caught_up(&receiving);
    let vaults = b.device().vaults().unwrap();
    assert_eq!(vaults.len(), VAULTS);
    for vault in &vaults {
        assert_eq!(notes(&b.device().vault_by_id(&vault.id).unwrap()).len(), 1, "{}", vault.name);
    }
    // One that comes while everything is live is carried, too.
    let before = sync.status().progress.segments_done;
    put(&a.device().create_vault("the last").unwrap(), "note", "goes");
    caught_up(&sync);
    assert_eq!(sync.status().state, SyncState::Live);
    assert!(sync.status().progress.segments_done > before);
    assert_eq!(a.device().vault("the last").unwrap().pending().unwrap(), 0);
}
