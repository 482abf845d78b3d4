//! Creating, opening and looking after a store file with its database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use redb::Database;
use subrosa_model::entropy::Entropy;

use super::backend::{Backend, SealedFile};
use super::disk::Disk;
use super::header::{HeaderPage, Mark};
use super::layout::{BLOCKS_OFFSET, logical_len};
use super::pages::PageCipher;
use super::superblock::{Found, Kek, Making, Superblock};
use crate::error::{StoreError, StoreFault, StorePart};
use crate::process::Process;

/// What to do where there is no store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Create one.
    Create,
    /// Report [`StoreError::Missing`].
    Refuse,
}

/// When to walk redb's checksum tree after a stop that was not clean. Only the walk finds an *older copy* of a page,
/// which a disk that lied about a sync, or somebody with access to it, may have left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Before [`open_database`] returns: it reads every page that the trees reach.
    Now,
    /// Later, by [`SealedHandle::verify`].
    Later,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// How much memory redb may use to keep pages, in plaintext.
    pub cache_bytes: usize,
    /// What to do where there is no store.
    pub missing: Missing,
    /// When to walk the checksum tree.
    pub walk: Walk,
    /// Where the store is opened, and nowhere else written.
    pub process: Process,
}

/// How the store came to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It was created just now.
    Created,
    /// The process before closed it.
    Clean,
    /// The process before stopped without closing it; redb's allocator state was at hand all the same.
    Unclean,
    /// As `Unclean`, and redb repaired the database from its trees, which checks every page.
    Repaired {
        /// How many reads met a block that did not open: remains of the commit that was interrupted.
        zeroed: u64,
    },
}

/// What [`SealedHandle::verify`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Everything is as it was written.
    Whole,
    /// redb's account of its pages was wrong, and was rebuilt from the trees, which are whole.
    Repaired,
}

/// What [`SealedHandle::compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compacted {
    /// The file became smaller.
    Smaller,
    /// There was nothing to gain.
    Already,
}

/// How the bytes of a store are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The length of the file.
    pub file_bytes: u64,
    /// Keys, values, and what finds them.
    pub live_bytes: u64,
    /// The rest: free pages, unused ends of pages, the seals. Compacting wins back the first.
    pub dead_bytes: u64,
}

/// Opens the store on `disk`, or creates it.
///
/// The database is given up by dropping it, or better by [`Database::close`], which reports errors; that also gives
/// up the disk and its lock. Write transactions choose their own durability; `set_quick_repair` makes the open after
/// a kill fast, at the price of a bigger commit.
///
/// # Errors
///
/// [`StoreError::Missing`], [`StoreError::NotAStore`], [`StoreError::NewerFormat`], [`StoreError::WrongKey`],
/// [`StoreError::Damaged`], [`StoreError::Hole`], [`StoreError::Truncated`], [`StoreError::Inconsistent`] (with
/// [`Walk::Now`] after an unclean stop, for any page that the trees reach), [`StoreError::DiskFull`] and
/// [`StoreError::Io`]. The disk is then closed, and what was committed is as it was.
pub fn open_database(
    disk: Box<dyn Disk>,
    kek: &Kek,
    entropy: Arc<dyn Entropy>,
    options: &OpenOptions,
) -> Result<(Database, SealedHandle), StoreError> {
    let Opening { superblock, cipher, header, stop } =
        match Opening::of(&*disk, kek, &entropy, options.missing) {
            Ok(opening) => opening,
            Err(error) => {
                // The error at hand says more than one about closing would.
                let _ = disk.close();
                return Err(error);
            }
        };
    let shared = Arc::new(SealedFile::new(disk, cipher, header, options.process.clone()));
    let mut handle = SealedHandle { file: shared.clone(), superblock: Mutex::new(superblock), entropy, stop };
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    let repairing = shared.clone();
    builder.set_repair_callback(move |_| repairing.repair_begins());
    // Older copies of pages are authentic, and redb may panic over what it makes of them.
    let backend = Backend(shared.clone());
    let database = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend)));
    shared.opening_ends();
    let mut database = match database {
        Ok(database) => database.map_err(|error| handle.explain(error))?,
        Err(_) => return Err(StoreError::Inconsistent),
    };
    handle.settle(&mut database, kek, options.walk)?;
    shared.opened();
    Ok((database, handle))
}

/// A sealed file, ready for redb.
struct Opening {
    superblock: Superblock,
    cipher: PageCipher,
    header: HeaderPage,
    stop: Stop,
}

impl Opening {
    fn of(
        disk: &dyn Disk,
        kek: &Kek,
        entropy: &Arc<dyn Entropy>,
        missing: Missing,
    ) -> Result<Self, StoreError> {
        let found = if is_blank(disk)? { None } else { Some(Superblock::read(disk, kek)?) };
        match found {
            Some(found) if found.superblock.state == Making::Ready => {
                Self::existing(disk, kek, entropy, found)
            }
            _ if missing == Missing::Refuse => Err(StoreError::Missing),
            // Nobody was told of an unfinished store: it makes room.
            _ => Self::created(disk, kek, entropy),
        }
    }

    fn existing(
        disk: &dyn Disk,
        kek: &Kek,
        entropy: &Arc<dyn Entropy>,
        Found { mut superblock, twofold }: Found,
    ) -> Result<Self, StoreError> {
        let logical = logical_len(disk.len()?)?;
        // redb would take an empty file for a new one, and lay out a database in it.
        if logical == 0 {
            return Err(StoreError::Truncated);
        }
        let cipher = PageCipher::new(&superblock.root, superblock.file_id, entropy.clone());
        let header =
            HeaderPage::read(disk, &cipher)?.ok_or(StoreError::Damaged { part: StorePart::Header })?;
        let stop = match header.mark {
            Mark::InUse => Stop::Unclean,
            Mark::Closed { logical_bytes } if logical < logical_bytes => return Err(StoreError::Truncated),
            Mark::Closed { .. } => Stop::Clean,
        };
        // Everything that a killed process left in the cache of the operating system is durable from here on: the
        // newest copy of the header page is the durable one.
        header.write_again(disk)?;
        disk.sync()?;
        if !twofold {
            superblock.write_next(disk, kek, &**entropy)?;
        }
        Ok(Self { superblock, cipher, header, stop })
    }

    /// Lays out a file that redb finds empty.
    fn created(disk: &dyn Disk, kek: &Kek, entropy: &Arc<dyn Entropy>) -> Result<Self, StoreError> {
        disk.set_len(0)?;
        disk.set_len(BLOCKS_OFFSET)?;
        let mut superblock = Superblock::new(&**entropy);
        superblock.write_next(disk, kek, &**entropy)?;
        disk.sync()?;
        let cipher = PageCipher::new(&superblock.root, superblock.file_id, entropy.clone());
        Ok(Self { superblock, cipher, header: HeaderPage::new(), stop: Stop::Created })
    }
}

/// Whether nothing was ever written: empty, or the zeros of a creation that was cut short before its first sync.
fn is_blank(disk: &dyn Disk) -> Result<bool, StoreError> {
    let length = disk.len()?;
    if length > BLOCKS_OFFSET {
        return Ok(false);
    }
    let mut bytes = vec![0; length as usize];
    disk.read_at(0, &mut bytes)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// The half of an open store that is not redb's. It stays valid after the database is closed, for its answers.
pub struct SealedHandle {
    file: Arc<SealedFile>,
    superblock: Mutex<Superblock>,
    entropy: Arc<dyn Entropy>,
    stop: Stop,
}

impl SealedHandle {
    /// Finishes a creation, or looks closer after an unclean stop.
    fn settle(&mut self, database: &mut Database, kek: &Kek, walk: Walk) -> Result<(), StoreError> {
        if self.stop == Stop::Created {
            let mut superblock = self.superblock.lock().unwrap_or_else(PoisonError::into_inner);
            superblock.state = Making::Ready;
            return superblock.write_both(&*self.file.disk, kek, &*self.entropy);
        }
        if self.file.was_repaired() {
            self.stop = Stop::Repaired { zeroed: self.file.zeroed().0 };
        }
        if self.stop == Stop::Unclean && walk == Walk::Now {
            self.verify(database)?;
        }
        Ok(())
    }

    /// How the store came to be open.
    #[cfg(any(test, feature = "testing"))]
    pub fn stop(&self) -> Stop {
        self.stop
    }

    /// The newest fault of the file. redb forgets the cause once it has stopped; this is it.
    pub fn last_fault(&self) -> Option<StoreFault> {
        self.file.last_fault()
    }

    /// The error of a redb call in our terms, with the cause where redb only knows that there was one.
    pub fn explain(&self, error: impl Into<StoreError>) -> StoreError {
        match (error.into(), self.last_fault(), self.file.zeroed().1) {
            (StoreError::Stopped, Some(fault), _) => fault.into(),
            // Neither commit held: the page that broke the newer one says more than that.
            (StoreError::Inconsistent, _, Some(page)) => StoreError::Damaged { part: StorePart::Page(page) },
            (error, ..) => error,
        }
    }

    /// Reads and checks every page that the trees reach, and the header page, from the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] while a transaction is alive. [`StoreError::Damaged`], [`StoreError::Hole`],
    /// [`StoreError::Truncated`] or [`StoreError::Inconsistent`] for the first thing that is not as it was written;
    /// the database then takes no more writes until it is opened again.
    pub fn verify(&self, database: &mut Database) -> Result<Verified, StoreError> {
        match catch_unwind(AssertUnwindSafe(|| database.check_integrity())) {
            Ok(Ok(true)) => Ok(Verified::Whole),
            Ok(Ok(false)) => Ok(Verified::Repaired),
            Ok(Err(error)) => Err(self.explain(error)),
            Err(_) => Err(StoreError::Inconsistent),
        }
    }

    /// Moves live pages to the front and cuts the file off behind them. Costs a rewrite of what moves.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] while a transaction is alive; what any write can fail with.
    pub fn compact(&self, database: &mut Database) -> Result<Compacted, StoreError> {
        match database.compact() {
            Ok(true) => Ok(Compacted::Smaller),
            Ok(false) => Ok(Compacted::Already),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Counts live and dead bytes. Reads every page that the trees reach, and waits for a running write.
    ///
    /// # Errors
    ///
    /// What any read can fail with.
    pub fn space(&self, database: &Database) -> Result<Space, StoreError> {
        let work = || {
            let transaction = database.begin_write()?;
            let stats = transaction.stats()?;
            transaction.abort()?;
            Ok(stats.stored_bytes() + stats.metadata_bytes())
        };
        let live_bytes = work().map_err(|error: StoreError| self.explain(error))?;
        let file_bytes = self.file.disk.len()?;
        Ok(Space { file_bytes, live_bytes, dead_bytes: file_bytes.saturating_sub(live_bytes) })
    }

    /// Seals the root key for another device key: 2 × 4 KiB are written, not the file. The database may be in use.
    /// Until this returns, both keys may open the store; afterwards only the new one does.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`], [`StoreError::DiskFull`], [`StoreError::Forked`]. The store then opens with at least one
    /// of the two keys.
    pub fn rewrap(&self, kek: &Kek) -> Result<(), StoreError> {
        self.file.check_process()?;
        let mut superblock = self.superblock.lock().unwrap_or_else(PoisonError::into_inner);
        // A copy that was restored when the store was opened may still be on its way to the disk.
        self.file.disk.sync()?;
        superblock.write_both(&*self.file.disk, kek, &*self.entropy)
    }
}

impl std::fmt::Debug for SealedHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedHandle").field("stop", &self.stop).finish_non_exhaustive()
    }
}
