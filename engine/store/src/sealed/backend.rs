//! What redb reads and writes: logical bytes on one side, sealed blocks on the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa_model::seal::NotAuthentic;
use zeroize::Zeroizing;

use super::disk::Disk;
use super::header::{HeaderPage, Mark};
use super::held::Held;
use super::layout::{BLOCK_BYTES, HEADER_PAGE_BYTES, PAGE_BYTES, block_offset, logical_len, physical_len};
use super::pages::{BATCH_PAGES, PageCipher, with_blocks};
use crate::error::{StoreFault, StorePart};
use crate::faults;
use crate::process::Process;

/// An open file. Shared by redb, which owns it as its backend, and by the handle of the store.
pub(super) struct SealedFile {
    pub(super) disk: Box<dyn Disk>,
    cipher: PageCipher,
    /// Locked for the length of a header write and of a sync, so that the two never overlap.
    header: Mutex<HeaderPage>,
    /// Blocks that wait for the next sync.
    held: Mutex<Held>,
    /// How many they are, for readers to see whether they have to look.
    held_pages: AtomicUsize,
    /// Held while part of a page is replaced.
    partial: Mutex<()>,
    fault: Mutex<Option<StoreFault>>,
    repair: Repair,
    /// Set once the database stands; a file that never came that far is not marked as closed in order.
    opened: AtomicBool,
    /// Where the file was opened. Anywhere else is a forked child.
    pub(super) process: Process,
}

/// While redb repairs, what does not open reads as zeros.
#[derive(Default)]
struct Repair {
    running: AtomicBool,
    ran: AtomicBool,
    zeroed: AtomicU64,
    first_zeroed: AtomicU64,
}

impl SealedFile {
    pub(super) fn new(disk: Box<dyn Disk>, cipher: PageCipher, header: HeaderPage, process: Process) -> Self {
        Self {
            disk,
            cipher,
            header: Mutex::new(header),
            held: Mutex::default(),
            held_pages: AtomicUsize::new(0),
            partial: Mutex::new(()),
            fault: Mutex::new(None),
            repair: Repair::default(),
            opened: AtomicBool::new(false),
            process,
        }
    }

    /// The newest fault, kept because redb forgets it.
    pub(super) fn last_fault(&self) -> Option<StoreFault> {
        *lock(&self.fault)
    }

    /// redb begins to walk its trees after an unclean stop: from now on until [`SealedFile::opening_ends`], what
    /// does not open reads as zeros.
    pub(super) fn repair_begins(&self) {
        self.repair.ran.store(true, Ordering::Relaxed);
        self.repair.running.store(true, Ordering::Release);
    }

    pub(super) fn opening_ends(&self) {
        self.repair.running.store(false, Ordering::Release);
    }

    pub(super) fn was_repaired(&self) -> bool {
        self.repair.ran.load(Ordering::Relaxed)
    }

    /// How many reads met a block that did not open during the repair, and the page of the first.
    pub(super) fn zeroed(&self) -> (u64, Option<u64>) {
        let count = self.repair.zeroed.load(Ordering::Relaxed);
        (count, (count > 0).then(|| self.repair.first_zeroed.load(Ordering::Relaxed)))
    }

    /// The database stands, and may be marked as closed in order at the end.
    pub(super) fn opened(&self) {
        self.opened.store(true, Ordering::Release);
    }

    /// Asked before anything reaches the disk: a forked child would write over its parent's file, and repeat the
    /// nonces that its parent has drawn ahead.
    pub(super) fn check_process(&self) -> Result<(), StoreFault> {
        if self.process.is_this() { Ok(()) } else { Err(StoreFault::Forked) }
    }

    /// Does `work`, keeps its fault, and packs it the way redb wants it. A panic, as of the caller's randomness, is a
    /// fault too: unwinding through redb would leave its locks poisoned.
    fn kept<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let done = catch_unwind(AssertUnwindSafe(work));
        done.unwrap_or_else(|_| Err(StoreFault::Panicked.into())).map_err(|error| {
            let fault = StoreFault::from(&error);
            *lock(&self.fault) = Some(fault);
            fault.into()
        })
    }

    fn read_logical(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        for piece in Piece::cover(offset, out.len())? {
            let (head, tail) = out.split_at_mut(piece.bytes);
            out = tail;
            match piece.pages {
                Pages::Header => self.read_header(piece.start, head)?,
                Pages::Part(page) => {
                    let mut whole = Zeroizing::new([0; PAGE_BYTES]);
                    self.read_pages(page, &mut *whole, Holes::Refused)?;
                    head.copy_from_slice(&whole[piece.start..piece.start + piece.bytes]);
                }
                Pages::Whole(page) => self.read_pages(page, head, Holes::Refused)?,
            }
        }
        Ok(())
    }

    fn write_logical(&self, offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        for piece in Piece::cover(offset, bytes.len())? {
            let (head, tail) = bytes.split_at(piece.bytes);
            bytes = tail;
            match piece.pages {
                Pages::Header => self.write_header(piece.start, head)?,
                Pages::Part(page) => {
                    let _alone = lock(&self.partial);
                    let mut whole = Zeroizing::new([0; PAGE_BYTES]);
                    self.read_pages(page, &mut *whole, Holes::Zeros)?;
                    whole[piece.start..piece.start + piece.bytes].copy_from_slice(head);
                    self.write_pages(page, &*whole)?;
                }
                Pages::Whole(page) => self.write_pages(page, head)?,
            }
        }
        Ok(())
    }

    /// Fills `out`, a whole number of pages, from page `first` on.
    fn read_pages(&self, first: u64, out: &mut [u8], holes: Holes) -> io::Result<()> {
        if self.held_pages.load(Ordering::Acquire) > 0 {
            let held = lock(&self.held);
            let pages = first..first + (out.len() / PAGE_BYTES) as u64;
            if pages.clone().any(|page| held.block(page).is_some()) {
                for (page, out) in pages.zip(out.chunks_mut(PAGE_BYTES)) {
                    match held.block(page) {
                        Some(block) => self.open_block(page, block, out, holes)?,
                        None => self.read_blocks(page, out, holes)?,
                    }
                }
                return Ok(());
            }
        }
        self.read_blocks(first, out, holes)
    }

    /// As [`SealedFile::read_pages`], from the disk.
    fn read_blocks(&self, first: u64, out: &mut [u8], holes: Holes) -> io::Result<()> {
        for (page, out) in (first..).step_by(BATCH_PAGES).zip(out.chunks_mut(BATCH_PAGES * PAGE_BYTES)) {
            with_blocks(out.len() / PAGE_BYTES, |blocks| {
                self.disk.read_at(block_offset(page)?, blocks)?;
                for ((page, block), out) in
                    (page..).zip(blocks.chunks(BLOCK_BYTES)).zip(out.chunks_mut(PAGE_BYTES))
                {
                    self.open_block(page, block, out, holes)?;
                }
                io::Result::Ok(())
            })?;
        }
        Ok(())
    }

    fn open_block(&self, page: u64, block: &[u8], out: &mut [u8], holes: Holes) -> Result<(), StoreFault> {
        match self.cipher.open_page(page, block, out) {
            Ok(()) => Ok(()),
            Err(NotAuthentic) => self.shut(page, block, holes),
        }
    }

    /// A block did not open, and its page reads as zeros; says whether that will do.
    fn shut(&self, page: u64, block: &[u8], holes: Holes) -> Result<(), StoreFault> {
        let hole = block.iter().all(|byte| *byte == 0);
        if hole && holes == Holes::Zeros {
            return Ok(());
        }
        if self.repair.running.load(Ordering::Acquire) {
            if self.repair.zeroed.fetch_add(1, Ordering::Relaxed) == 0 {
                self.repair.first_zeroed.store(page, Ordering::Relaxed);
            }
            return Ok(());
        }
        Err(if hole { StoreFault::Hole { page } } else { StoreFault::Damaged(StorePart::Page(page)) })
    }

    /// Seals `bytes`, a whole number of pages, from page `first` on, to be written with the next sync.
    fn write_pages(&self, first: u64, bytes: &[u8]) -> io::Result<()> {
        // No check of the process: what a forked child seals goes nowhere before it is refused.
        self.with_held(|held| {
            for (page, bytes) in (first..).zip(bytes.chunks(PAGE_BYTES)) {
                if held.is_full(page) {
                    self.check_process()?;
                    held.write(&*self.disk)?;
                }
                let block = held.room(page)?;
                self.cipher.seal_page(page, bytes, block);
            }
            Ok(())
        })
    }

    fn write_held(&self) -> io::Result<()> {
        self.check_process()?;
        self.with_held(|held| held.write(&*self.disk))
    }

    /// Changes what is held, and tells readers how much that is, whatever comes of it.
    fn with_held(&self, work: impl FnOnce(&mut Held) -> io::Result<()>) -> io::Result<()> {
        let mut held = lock(&self.held);
        let done = work(&mut held);
        self.held_pages.store(held.len(), Ordering::Release);
        done
    }

    /// Page 0, from the disk: whoever asks wants to know what stands there.
    fn read_header(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        let found = lock(&self.header)
            .reread(&*self.disk, &self.cipher)?
            .ok_or(StoreFault::Damaged(StorePart::Header))?;
        for (at, byte) in (start..).zip(out) {
            *byte = found.page.get(at).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn write_header(&self, start: usize, bytes: &[u8]) -> io::Result<()> {
        let kept = bytes.len().min(HEADER_PAGE_BYTES.saturating_sub(start));
        if bytes[kept..].iter().any(|byte| *byte != 0) {
            return Err(StoreFault::Misuse.into());
        }
        self.check_process()?;
        let mut header = lock(&self.header);
        if kept > 0 {
            header.page[start..start + kept].copy_from_slice(&bytes[..kept]);
        }
        header.mark = Mark::InUse;
        header.write(&*self.disk, &self.cipher)
    }

    fn sync(&self) -> io::Result<()> {
        let mut header = lock(&self.header);
        self.write_held()?;
        if !faults::DISK_NOT_SYNCED {
            self.disk.sync()?;
        }
        header.synced();
        Ok(())
    }

    /// Marks the file as closed, in the copy of the header page that is not the newest, so that both say the same.
    fn mark_closed(&self) -> io::Result<()> {
        self.sync()?;
        let logical_bytes = logical_len(self.disk.len()?)?;
        {
            let mut header = lock(&self.header);
            header.mark = Mark::Closed { logical_bytes };
            header.write(&*self.disk, &self.cipher)?;
        }
        self.sync()
    }
}

impl SealedFile {
    fn backend_close(&self) -> io::Result<()> {
        // A forked child leaves the disk alone: unlocking it would take the lock from the parent.
        self.check_process().map_err(io::Error::from)?;
        let in_order = self.opened.load(Ordering::Acquire) && self.last_fault().is_none();
        let marked = if in_order { self.kept(|| self.mark_closed()) } else { Ok(()) };
        marked.and(self.disk.close())
    }
}

/// The half of an open file that redb owns.
pub(super) struct Backend(pub(super) Arc<SealedFile>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.kept(|| Ok(logical_len(self.0.disk.len()?)?))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.kept(|| self.0.read_logical(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.kept(|| {
            // Whatever is beyond the new end goes with it.
            self.0.write_held()?;
            self.0.disk.set_len(physical_len(len)?)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.kept(|| self.0.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.kept(|| self.0.write_logical(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.0.backend_close()
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedFile")
    }
}

/// What to make of a page that was never written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holes {
    /// It cannot be read.
    Refused,
    /// It is zeros, because part of it is about to be written.
    Zeros,
}

/// A stretch of a read or a write.
struct Piece {
    pages: Pages,
    /// Where it starts within its first page.
    start: usize,
    bytes: usize,
}

enum Pages {
    Header,
    Part(u64),
    /// This page and those that follow.
    Whole(u64),
}

impl Piece {
    /// Cuts a range into at most four pieces: the header page, a partial page, whole pages, a partial page.
    fn cover(offset: u64, bytes: usize) -> Result<impl Iterator<Item = Self>, StoreFault> {
        let end = offset.checked_add(bytes as u64).ok_or(StoreFault::Misuse)?;
        let mut at = offset;
        Ok(std::iter::from_fn(move || {
            let left = usize::try_from(end - at).expect("no more than the length asked for");
            if left == 0 {
                return None;
            }
            let page = at / PAGE_BYTES as u64;
            let start = (at % PAGE_BYTES as u64) as usize;
            let (pages, bytes) = if page == 0 {
                (Pages::Header, left.min(PAGE_BYTES - start))
            } else if start > 0 || left < PAGE_BYTES {
                (Pages::Part(page), left.min(PAGE_BYTES - start))
            } else {
                (Pages::Whole(page), left - left % PAGE_BYTES)
            };
            at += bytes as u64;
            Some(Self { pages, start, bytes })
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave half a change behind under these locks: the disk reports, it does not panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
