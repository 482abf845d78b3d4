//! A disk in memory: copied in no time, stopped at any step, full or ailing when asked, and honest about what was not synced.
//!
//! Devices and relays use the same: the sealed file's [`Disk`] and redb's [`StorageBackend`] differ in names only.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subrosa::testing::simulated::Disk;
use subrosa_relay::testing::StorageBackend;

use super::dice::Dice;

const PAGE_BYTES: usize = 4096;
/// The unit that a loss of power keeps or loses.
const SECTOR_BYTES: u64 = 512;

type Page = [u8; PAGE_BYTES];

/// What a disk holds. Copies share pages until one of them is written.
#[derive(Clone, Default)]
pub struct Image {
    pages: Vec<Option<Arc<Page>>>,
    len: u64,
}

impl Image {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut done) = (offset as usize, 0);
        while done < out.len() {
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let part = (PAGE_BYTES - within).min(out.len() - done);
            match &self.pages[page] {
                Some(bytes) => out[done..done + part].copy_from_slice(&bytes[within..within + part]),
                None => out[done..done + part].fill(0),
            }
            (at, done) = (at + part, done + part);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.set_len(self.len.max(offset + bytes.len() as u64));
        let (mut at, mut done) = (offset as usize, 0);
        while done < bytes.len() {
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let part = (PAGE_BYTES - within).min(bytes.len() - done);
            let page = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + part].copy_from_slice(&bytes[done..done + part]);
            (at, done) = (at + part, done + part);
        }
    }

    /// How many of `bytes` at `offset` go where something was written before: what a full disk still takes.
    fn room(&self, offset: u64, bytes: usize) -> usize {
        let pages = offset as usize / PAGE_BYTES..(offset as usize + bytes).div_ceil(PAGE_BYTES);
        let new = pages.clone().find(|page| !matches!(self.pages.get(*page), Some(Some(_))));
        new.map_or(bytes, |page| (page * PAGE_BYTES).saturating_sub(offset as usize))
    }

    /// Takes over what stands in `other` where a change was made.
    fn take_over(&mut self, other: &Self, change: &Change) {
        match change {
            Change::SetLen(len) => self.set_len(*len),
            Change::Write { offset, bytes } => {
                let pages =
                    *offset as usize / PAGE_BYTES..(*offset as usize + bytes.len()).div_ceil(PAGE_BYTES);
                self.set_len(self.len.max(offset + bytes.len() as u64));
                for page in pages {
                    let there = other.pages.get(page).cloned().flatten();
                    if let Some(here) = self.pages.get_mut(page) {
                        *here = there;
                    }
                }
            }
        }
    }

    fn set_len(&mut self, len: u64) {
        let within = len as usize % PAGE_BYTES;
        self.pages.resize((len as usize).div_ceil(PAGE_BYTES), None);
        if len < self.len
            && within > 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.len = len;
    }

    /// Whether the bytes stand anywhere on it, but across two pages.
    #[must_use]
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.pages.iter().flatten().any(|page| holds(&page[..], bytes))
    }
}

/// Whether `bytes` stand in `within`.
#[must_use]
pub fn holds(within: &[u8], bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else { return true };
    let mut rest = within;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(bytes) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// What a stop does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// All of it reaches the disk: only the process ended.
    Nothing,
    /// None of it does.
    Everything,
    /// Some writes do, in any order.
    Writes,
    /// Some sectors do.
    Sectors,
}

/// What a disk does that ails, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ail {
    /// A read fails.
    Read,
    /// A write fails, or a change of the length.
    Write,
    /// A sync fails. The next one does what it did not.
    Sync,
    /// A sync fails, and what it was to make durable never is, though it can be read: later syncs pass it over.
    SyncForgets,
    /// A sync fails, and what it was to make durable is gone at once.
    SyncDrops,
}

impl Ail {
    const fn hits(self, step: &Step) -> bool {
        match step {
            Step::Read => matches!(self, Self::Read),
            Step::Change(_) => matches!(self, Self::Write),
            Step::Sync => matches!(self, Self::Sync | Self::SyncForgets | Self::SyncDrops),
        }
    }
}

/// What a disk has refused to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This failed, once.
    Ailing(Ail),
    /// There was no room.
    Full,
}

/// One thing that is asked of a disk.
enum Step {
    Read,
    Change(Change),
    Sync,
}

#[derive(Default)]
struct State {
    image: Image,
    /// As of the last sync.
    durable: Image,
    unsynced: Vec<Change>,
    /// So many changes and syncs until it stops.
    fuse: Option<u64>,
    dead: bool,
    /// So many more of the kind, and then it fails once.
    ail: Option<(u64, Ail)>,
    full: bool,
    refused: Option<Refusal>,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// A disk that holds this, durably.
    #[must_use]
    pub fn holding(image: Image) -> Self {
        let state = State { durable: image.clone(), image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What it holds, synced or not: what a copy of the file takes.
    #[must_use]
    pub fn image(&self) -> Image {
        self.state().image.clone()
    }

    /// Stops after so many more changes and syncs; `None` takes that back.
    pub fn stop_after(&self, changes: Option<u64>) {
        self.state().fuse = changes;
    }

    /// Fails once, after so many more of what it fails at; `None` takes that back.
    pub fn ail_after(&self, ail: Option<(u64, Ail)>) {
        self.state().ail = ail;
    }

    /// From now on there is no room, so that only what was written before can be written again.
    pub fn fill(&self) {
        self.state().full = true;
    }

    /// It stops no more, fails no more, and has room.
    pub fn be_well(&self) {
        let mut state = self.state();
        (state.fuse, state.ail, state.full) = (None, None, false);
    }

    /// There is room again.
    pub fn make_room(&self) {
        self.state().full = false;
    }

    /// Whether there is no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state().full
    }

    /// Whether it has refused something since that was last taken.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        self.state().refused.is_some()
    }

    /// What it has refused since this was last asked.
    pub fn take_refusal(&self) -> Option<Refusal> {
        self.state().refused.take()
    }

    /// Whether it has stopped.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// What is on it after a stop.
    #[must_use]
    pub fn after(&self, loss: Loss, dice: &mut Dice) -> Image {
        let state = self.state();
        match loss {
            Loss::Nothing => return state.image.clone(),
            Loss::Everything => return state.durable.clone(),
            Loss::Writes | Loss::Sectors => {}
        }
        let mut image = state.durable.clone();
        // A file system keeps changes of the length in order.
        let lengths = state.unsynced.iter().filter(|change| matches!(change, Change::SetLen(_))).count();
        let mut lengths_kept = dice.below(lengths as u64 + 1);
        for change in &state.unsynced {
            match change {
                Change::SetLen(_) if lengths_kept == 0 => {}
                Change::SetLen(len) => {
                    lengths_kept -= 1;
                    image.set_len(*len);
                }
                Change::Write { offset, bytes } => {
                    let whole = (loss == Loss::Writes).then(|| dice.percent(50));
                    for (at, part) in sectors(*offset, bytes) {
                        if whole.unwrap_or_else(|| dice.percent(50)) && at + part.len() as u64 <= image.len {
                            image.write(at, part);
                        }
                    }
                }
            }
        }
        image
    }

    /// Whether a stop now may lose something.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.state().unsynced.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step that may be the last, or fail.
    fn step(&self, step: Step) -> io::Result<()> {
        let mut state = self.state();
        if !matches!(step, Step::Read) {
            match &mut state.fuse {
                Some(0) => state.dead = true,
                Some(left) => *left -= 1,
                None => {}
            }
        }
        if state.dead && !matches!(step, Step::Read) {
            return Err(io::Error::other("the disk has stopped"));
        }
        match &mut state.ail {
            Some((0, ail)) if ail.hits(&step) => {
                let ail = *ail;
                return Err(state.fail(ail));
            }
            Some((left, ail)) if ail.hits(&step) => *left -= 1,
            _ => {}
        }
        match step {
            Step::Read => Ok(()),
            Step::Sync => {
                state.sync();
                Ok(())
            }
            Step::Change(change) => state.change(change),
        }
    }

    fn get(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.step(Step::Read)?;
        self.state().image.read(offset, out)
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step(Step::Change(Change::Write { offset, bytes: bytes.to_vec() }))
    }
}

impl State {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            self.durable.take_over(&self.image, &change);
        }
    }

    fn change(&mut self, mut change: Change) -> io::Result<()> {
        let mut fits = true;
        match &mut change {
            Change::Write { offset, bytes } => {
                if self.full {
                    let room = self.image.room(*offset, bytes.len());
                    fits = room == bytes.len();
                    bytes.truncate(room);
                }
                if bytes.is_empty() {
                    return if fits { Ok(()) } else { Err(self.no_room()) };
                }
                self.image.write(*offset, bytes);
            }
            Change::SetLen(len) => self.image.set_len(*len),
        }
        self.unsynced.push(change);
        if fits { Ok(()) } else { Err(self.no_room()) }
    }

    fn no_room(&mut self) -> io::Error {
        self.refused = Some(Refusal::Full);
        io::ErrorKind::StorageFull.into()
    }

    fn fail(&mut self, ail: Ail) -> io::Error {
        (self.ail, self.refused) = (None, Some(Refusal::Ailing(ail)));
        if matches!(ail, Ail::SyncForgets | Ail::SyncDrops) {
            // What a file system knows of a file's length is another matter.
            self.unsynced.retain(|change| matches!(change, Change::SetLen(_)));
        }
        if ail == Ail::SyncDrops {
            self.image = self.durable.clone();
            for change in &self.unsynced {
                if let Change::SetLen(len) = change {
                    self.image.set_len(*len);
                }
            }
        }
        io::Error::from_raw_os_error(EIO)
    }
}

/// The code of an operating system for a disk that fails.
const EIO: i32 = 5;

/// A write, cut where a loss of power may tear it.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let part = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES - at).min(rest.len() as u64);
        let (first, behind) = rest.split_at(part as usize);
        let here = at;
        (at, rest) = (at + part, behind);
        (part > 0).then_some((here, first))
    })
}

impl Disk for SimDisk {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.get(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.put(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state().image.len)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.step(Step::Change(Change::SetLen(bytes)))
    }

    fn sync(&self) -> io::Result<()> {
        self.step(Step::Sync)
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().image.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.get(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::Change(Change::SetLen(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(offset, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_BYTES as u64;

    fn put(disk: &SimDisk, page: u64, byte: u8) -> io::Result<()> {
        Disk::write_at(disk, page * PAGE, &[byte; PAGE_BYTES])
    }

    fn get(image: &Image, page: u64) -> u8 {
        let mut byte = [0];
        image.read(page * PAGE, &mut byte).unwrap();
        byte[0]
    }

    fn durable(disk: &SimDisk, page: u64) -> u8 {
        get(&disk.after(Loss::Everything, &mut Dice::of(&[1])), page)
    }

    #[test]
    fn a_sync_that_fails_is_made_up_for_by_the_next_one_unless_the_disk_forgets() {
        for (ail, shown, later) in [(Ail::Sync, 2, 2), (Ail::SyncForgets, 2, 1), (Ail::SyncDrops, 1, 1)] {
            let disk = SimDisk::default();
            put(&disk, 0, 1).unwrap();
            put(&disk, 1, 1).unwrap();
            Disk::sync(&disk).unwrap();
            disk.ail_after(Some((0, ail)));
            put(&disk, 0, 2).unwrap();
            assert_eq!(Disk::sync(&disk).unwrap_err().raw_os_error(), Some(EIO));
            assert_eq!(disk.take_refusal(), Some(Refusal::Ailing(ail)));
            assert_eq!(get(&disk.image(), 0), shown, "{ail:?}");
            put(&disk, 1, 3).unwrap();
            Disk::sync(&disk).unwrap();
            assert_eq!((durable(&disk, 0), durable(&disk, 1)), (later, 3), "{ail:?}");
            // Whoever writes it once more has it on the disk.
            put(&disk, 0, 4).unwrap();
            Disk::sync(&disk).unwrap();
            assert_eq!(durable(&disk, 0), 4);
        }
    }

    #[test]
    fn a_read_or_a_write_fails_once_after_so_many() {
        let disk = SimDisk::default();
        disk.ail_after(Some((1, Ail::Write)));
        put(&disk, 0, 1).unwrap();
        put(&disk, 0, 2).unwrap_err();
        assert_eq!(get(&disk.image(), 0), 1);
        put(&disk, 0, 3).unwrap();
        disk.ail_after(Some((0, Ail::Read)));
        let mut byte = [0];
        Disk::read_at(&disk, 0, &mut byte).unwrap_err();
        Disk::read_at(&disk, 0, &mut byte).unwrap();
        assert_eq!(byte, [3]);
    }

    #[test]
    fn a_full_disk_takes_what_was_written_before_and_nothing_new() {
        let disk = SimDisk::default();
        put(&disk, 0, 1).unwrap();
        Disk::set_len(&disk, 4 * PAGE).unwrap();
        disk.fill();
        put(&disk, 0, 2).unwrap();
        let full = put(&disk, 1, 2).unwrap_err();
        assert_eq!((full.kind(), disk.take_refusal()), (io::ErrorKind::StorageFull, Some(Refusal::Full)));
        // What has room of one write is there.
        Disk::write_at(&disk, 0, &[3; 2 * PAGE_BYTES]).unwrap_err();
        assert_eq!((get(&disk.image(), 0), get(&disk.image(), 1)), (3, 0));
        disk.make_room();
        put(&disk, 1, 4).unwrap();
        Disk::sync(&disk).unwrap();
        assert_eq!((durable(&disk, 0), durable(&disk, 1)), (3, 4));
    }
}
