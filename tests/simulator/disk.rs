//! A disk in memory: copied in no time, stopped at any step, and honest about what was not synced.
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

#[derive(Default)]
struct State {
    image: Image,
    /// As of the last sync.
    durable: Image,
    unsynced: Vec<Change>,
    /// So many changes and syncs until it stops.
    fuse: Option<u64>,
    dead: bool,
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step that may be the last.
    fn step(&self, change: Option<Change>) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.fuse {
            Some(0) => state.dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.dead {
            return Err(io::Error::other("the disk has stopped"));
        }
        match change {
            None => {
                state.durable = state.image.clone();
                state.unsynced.clear();
            }
            Some(change) => {
                match &change {
                    Change::Write { offset, bytes } => state.image.write(*offset, bytes),
                    Change::SetLen(len) => state.image.set_len(*len),
                }
                state.unsynced.push(change);
            }
        }
        Ok(())
    }

    fn get(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.state().image.read(offset, out)
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step(Some(Change::Write { offset, bytes: bytes.to_vec() }))
    }
}

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
        self.step(Some(Change::SetLen(bytes)))
    }

    fn sync(&self) -> io::Result<()> {
        self.step(None)
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
        self.step(Some(Change::SetLen(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(offset, data)
    }
}
