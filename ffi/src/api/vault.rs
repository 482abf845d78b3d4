//! Vaults and the names of their collections.

use std::sync::Arc;

use subrosa::{Collection, CollectionName, Record, Vault, VaultId};

use super::device::DeviceObject;
use crate::failure::Failure;
use crate::handles::Object;

/// A vault of an open device.
pub(crate) struct VaultObject {
    pub(crate) device: Arc<DeviceObject>,
    pub(crate) vault: Vault,
}

impl Object for VaultObject {
    const KIND: u8 = 7;
}

/// A collection of a vault.
pub(crate) struct CollectionObject {
    pub(crate) vault: Arc<VaultObject>,
    pub(crate) collection: Collection<Record>,
}

impl Object for CollectionObject {
    const KIND: u8 = 8;
}

impl VaultObject {
    pub(crate) fn create(device: Arc<DeviceObject>, name: &str) -> Result<Arc<Self>, Failure> {
        let vault = device.device.create_vault(name)?;
        Ok(Arc::new(Self { device, vault }))
    }

    pub(crate) fn open(device: Arc<DeviceObject>, name: &str) -> Result<Arc<Self>, Failure> {
        device.check_open()?;
        let vault = device.device.vault(name)?;
        Ok(Arc::new(Self { device, vault }))
    }

    pub(crate) fn open_by_id(device: Arc<DeviceObject>, id: [u8; 32]) -> Result<Arc<Self>, Failure> {
        device.check_open()?;
        let vault = device.device.vault_by_id(&VaultId::from_bytes(id))?;
        Ok(Arc::new(Self { device, vault }))
    }

    pub(crate) fn collection(self: Arc<Self>, name: &str) -> Result<Arc<CollectionObject>, Failure> {
        self.device.check_open()?;
        CollectionName::new(name)?;
        let collection = self.vault.records(name);
        Ok(Arc::new(CollectionObject { vault: self, collection }))
    }

    /// Segments held here, and those among them that the relay is known to hold.
    pub(crate) fn delivery(&self, relay: &str) -> Result<(u64, u64), Failure> {
        let delivery = self.vault.delivery(&self.device.relay_or_stored(relay)?)?;
        Ok((delivery.held, delivery.acknowledged))
    }
}
