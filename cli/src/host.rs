//! A store that this process has opened, and what is shared by those it serves.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use subrosa::{Device, Error, Options, RelayAddr, StoreError, Sync, Vault};

use crate::failure::Failure;
use crate::keyfile;
use crate::place::Place;
use crate::stop::GLANCE;

/// An open store.
pub(crate) struct Host {
    device: Device,
    place: Place,
    /// The running sync, as long as somebody uses it.
    sync: Mutex<Weak<Sync>>,
    /// The one before it, with another relay, until its last user has noticed.
    retired: Mutex<Weak<Sync>>,
    /// How often the relay was changed.
    relay_changes: AtomicU64,
}

impl Host {
    /// Opens the store of `place` with the key beside it.
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        if !place.has_store()? {
            return Err(Failure::NoStore(place.dir().to_path_buf()));
        }
        let key = keyfile::load(&place.key_file())?;
        let device = Device::open(place.dir(), key, Options::default()).map_err(|error| match error {
            // Its making was cut short.
            Error::Store(StoreError::Missing) => Failure::NoStore(place.dir().to_path_buf()),
            other => other.into(),
        })?;
        Ok(Self {
            device,
            place: place.clone(),
            sync: Mutex::default(),
            retired: Mutex::default(),
            relay_changes: AtomicU64::new(0),
        })
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The folder of the store.
    pub(crate) fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// Length of the sealed file; 0 if it cannot be told.
    pub(crate) fn store_bytes(&self) -> u64 {
        std::fs::metadata(self.place.store_file()).map_or(0, |meta| meta.len())
    }

    /// The vault of that name.
    pub(crate) fn vault(&self, name: &str) -> Result<Vault, Failure> {
        Ok(self.device.vault(name)?)
    }

    /// Syncs with the relay that is set, for as long as the answer is kept. All who ask share one sync. Whoever has
    /// an answer from before [`Host::relay_changes`] changed must drop it first: a device has one sync at a time.
    pub(crate) fn sync(&self) -> Result<Arc<Sync>, Failure> {
        while self.retired.lock().unwrap_or_else(PoisonError::into_inner).strong_count() > 0 {
            std::thread::sleep(GLANCE);
        }
        let mut slot = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sync) = slot.upgrade() {
            return Ok(sync);
        }
        let relay = self.device.relay()?.ok_or(Failure::NoRelay)?;
        let sync = Arc::new(self.device.sync(&relay)?);
        *slot = Arc::downgrade(&sync);
        Ok(sync)
    }

    /// The sync that somebody uses now, if any.
    pub(crate) fn running_sync(&self) -> Option<Arc<Sync>> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Sets the relay; those who sync notice by [`Host::relay_changes`].
    pub(crate) fn set_relay(&self, relay: &RelayAddr) -> Result<(), Failure> {
        self.device.set_relay(Some(relay))?;
        let old = std::mem::take(&mut *self.sync.lock().unwrap_or_else(PoisonError::into_inner));
        if old.strong_count() > 0 {
            *self.retired.lock().unwrap_or_else(PoisonError::into_inner) = old;
        }
        self.relay_changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A number that changes with the relay.
    pub(crate) fn relay_changes(&self) -> u64 {
        self.relay_changes.load(Ordering::Relaxed)
    }
}
