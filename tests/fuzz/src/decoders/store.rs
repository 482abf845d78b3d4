//! Rows of both databases, and a store's file on a disk that somebody else has written to.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redb::{Database, ReadableDatabase as _, TableDefinition};
use subrosa_model::entropy::SeededEntropy;
use subrosa_store::error::StoreError;
use subrosa_store::process::Process;
use subrosa_store::sealed::{Disk, Kek, Missing, OpenOptions, SealedHandle, Walk, open_database};

use super::script::Script;

pub(super) fn store_row(data: &[u8]) {
    subrosa_store::testing::read_rows(data);
}

pub(super) fn relay_row(data: &[u8]) {
    subrosa_relay::testing::read_rows(data);
}

const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("fuzz");
const WRITTEN: [&[u8]; 2] = [&[1; 5000], &[2; 5000]];

/// Opens a file that was changed in a few places, or cut off: what it gives out was written.
pub(super) fn store_file(data: &[u8]) {
    let mut bytes = whole().clone();
    let mut script = Script::new(data);
    while !script.is_over() {
        let at = script.below(3);
        let place = usize::from(script.u8()) << 16 | usize::from(script.u8()) << 8 | usize::from(script.u8());
        // At the beginning stands what the file is, in each block its tag at the end.
        let place = if at == 0 { place % 65_536 } else { place } % (bytes.len() + 1);
        match at {
            2 if script.below(8) == 7 => bytes.truncate(place),
            _ => {
                let patch = script.bytes();
                let end = bytes.len().min(place + patch.len());
                bytes[place..end].copy_from_slice(&patch[..end - place]);
            }
        }
    }
    let Ok((database, handle)) = open(bytes, Missing::Refuse) else { return };
    if let Ok(txn) = database.begin_read()
        && let Ok(table) = txn.open_table(TABLE)
    {
        for number in 0..WRITTEN.len() as u64 {
            if let Ok(Some(value)) = table.get(number) {
                assert!(WRITTEN.contains(&value.value()), "nothing comes out that did not go in");
            }
        }
    }
    drop(database);
    drop(handle);
}

/// A store's file as it is after two commits, closed.
fn whole() -> &'static Vec<u8> {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let memory = Memory::default();
        let (database, handle) = open_on(memory.clone(), Missing::Create).expect("a new store");
        for (number, value) in WRITTEN.iter().enumerate() {
            let txn = database.begin_write().expect("a transaction");
            txn.open_table(TABLE).expect("a table").insert(number as u64, value).expect("a row");
            txn.commit().expect("a commit");
        }
        drop((database, handle));
        memory.bytes().clone()
    })
}

fn open(bytes: Vec<u8>, missing: Missing) -> Result<(Database, SealedHandle), StoreError> {
    open_on(Memory(Arc::new(Mutex::new(bytes))), missing)
}

fn open_on(disk: Memory, missing: Missing) -> Result<(Database, SealedHandle), StoreError> {
    let options = OpenOptions { cache_bytes: 1 << 16, missing, walk: Walk::Now, process: Process::plain() };
    let entropy = Arc::new(SeededEntropy::dangerous_from_seed(7));
    open_database(Box::new(disk), &Kek::new(&[7; 32]), entropy, &options)
}

/// A disk in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Memory {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes();
        let there =
            usize::try_from(offset).ok().and_then(|from| bytes.get(from..from.checked_add(out.len())?));
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end = from.checked_add(bytes.len()).filter(|end| *end <= DISK_BYTES_MAX);
        let end = end.ok_or(io::ErrorKind::StorageFull)?;
        let mut disk = self.bytes();
        let len = disk.len().max(end);
        disk.resize(len, 0);
        disk[from..end].copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let len = usize::try_from(bytes).ok().filter(|len| *len <= DISK_BYTES_MAX);
        self.bytes().resize(len.ok_or(io::ErrorKind::StorageFull)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}

const DISK_BYTES_MAX: usize = 16 << 20;
