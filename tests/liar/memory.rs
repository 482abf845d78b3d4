//! A database's disk in memory, of which a copy can be taken while it is in use, as of a disk.

use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use subrosa_relay::testing::StorageBackend;

/// See the module. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<RwLock<Vec<u8>>>);

impl Memory {
    /// What is on it now, on a disk of its own.
    pub(super) fn copied(&self) -> Self {
        Self(Arc::new(RwLock::new(self.bytes().clone())))
    }

    fn bytes(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn range(offset: u64, len: usize) -> Result<Range<usize>, Error> {
    let start = usize::try_from(offset).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    Ok(start..start.saturating_add(len))
}

impl StorageBackend for Memory {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let bytes = self.bytes();
        let read = bytes.get(range(offset, out.len())?).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(read);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let len = range(len, 0)?.start;
        self.change(|bytes| bytes.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let range = range(offset, data.len())?;
        self.change(|bytes| {
            if bytes.len() < range.end {
                bytes.resize(range.end, 0);
            }
            bytes[range].copy_from_slice(data);
        });
        Ok(())
    }
}
