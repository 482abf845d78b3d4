//! A disk in memory that can be full, and fail to read.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};
use subrosa_protocol::ids::Incarnation;

use super::RedbStore;
use crate::config::Quotas;

/// A disk in memory that outlives the database on it.
#[derive(Clone, Debug)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Writes beyond this offset find no space.
    capacity: Arc<AtomicU64>,
    bad: Bad,
}

/// Bytes whose next reading fails, wherever they stand.
pub(crate) type Bad = Arc<Mutex<Option<Vec<u8>>>>;

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let start = offset as usize;
        out.copy_from_slice(&bytes[start..start + out.len()]);
        if self.bad.lock().unwrap().take_if(|bad| out.windows(bad.len()).any(|part| part == bad)).is_some() {
            return Err(io::Error::other("a bad sector"));
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0); // sparse, as on a file system
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        if end > self.capacity.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = self.bytes.lock().unwrap();
        bytes[offset as usize..end as usize].copy_from_slice(data);
        Ok(())
    }
}

/// A new store, and the offset beyond which its disk takes nothing: at first there is none.
pub(crate) fn on_a_disk(quotas: Quotas) -> (RedbStore, Arc<AtomicU64>) {
    let (store, capacity, _) = on_a_bad_disk(quotas, 1 << 20);
    (store, capacity)
}

/// The same with so much memory for pages, and what cannot be read on it: at first there is nothing.
pub(crate) fn on_a_bad_disk(quotas: Quotas, cache_bytes: usize) -> (RedbStore, Arc<AtomicU64>, Bad) {
    let (capacity, bad) = (Arc::new(AtomicU64::new(u64::MAX)), Bad::default());
    let disk = Disk { bytes: Arc::default(), capacity: Arc::clone(&capacity), bad: Arc::clone(&bad) };
    let open = move || Database::builder().set_cache_size(cache_bytes).create_with_backend(disk.clone());
    let life = Incarnation::from_bytes([1; 16]);
    (RedbStore::with_opener(Box::new(open), quotas, life).unwrap(), capacity, bad)
}
