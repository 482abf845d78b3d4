//! A disk in memory that keeps a diary, runs full, and loses power.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::sealed::Disk;

/// One thing that was done to a disk. Bytes are shared: a diary is replayed thousands of times.
#[derive(Clone)]
pub(super) enum Op {
    Write {
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLen(u64),
    Sync,
    /// A sync that failed: what it was to make durable stands in the cache, and later syncs pass it over.
    Forget,
}

/// The unit that a power loss keeps or loses.
const SECTOR_BYTES: u64 = 512;

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    diary: Vec<Op>,
    /// Every stretch that was read: offset, length.
    reads: Vec<(u64, u64)>,
    /// How many more writes find room.
    writes_left: Option<u64>,
    /// How many more syncs come before one that fails.
    syncs_left: Option<u64>,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { bytes, ..State::default() })))
    }

    /// The same bytes on a disk of their own.
    pub(super) fn copy(&self) -> Self {
        Self::holding(self.bytes())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    pub(super) fn alter<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        work(&mut self.state().bytes)
    }

    /// Everything that was done so far, in order.
    pub(super) fn diary(&self) -> Vec<Op> {
        self.state().diary.clone()
    }

    pub(super) fn diary_len(&self) -> usize {
        self.state().diary.len()
    }

    pub(super) fn forget_reads(&self) {
        self.state().reads.clear();
    }

    /// Whether `at` was read since the last [`SimDisk::forget_reads`].
    pub(super) fn was_read(&self, at: u64) -> bool {
        self.state().reads.iter().any(|(offset, bytes)| (*offset..offset + bytes).contains(&at))
    }

    pub(super) fn reads(&self) -> Vec<(u64, u64)> {
        self.state().reads.clone()
    }

    /// From now on, only so many writes find room; `None` lifts the limit.
    pub(super) fn limit_writes(&self, left: Option<u64>) {
        self.state().writes_left = left;
    }

    /// After so many more syncs one fails, and forgets.
    pub(super) fn fail_sync_after(&self, syncs: u64) {
        self.state().syncs_left = Some(syncs);
    }

    /// The disk for one opener, to be given up once.
    pub(super) fn opener(&self) -> impl Disk {
        Opener { disk: self.clone(), closed: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// One opener's view of a disk. Whoever uses it after closing it has a bug.
struct Opener {
    disk: SimDisk,
    closed: AtomicBool,
}

impl Opener {
    fn state(&self) -> MutexGuard<'_, State> {
        assert!(!self.closed.load(Ordering::Relaxed), "used after closing");
        self.disk.state()
    }

    fn apply(&self, op: Op) {
        let mut state = self.state();
        op.apply(&mut state.bytes);
        state.diary.push(op);
    }
}

impl Disk for Opener {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.reads.push((offset, out.len() as u64));
        if !out.is_empty() {
            let offset = usize::try_from(offset).unwrap();
            let found = state.bytes.get(offset..offset + out.len());
            out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(left) = &mut self.state().writes_left {
            *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        }
        self.apply(Op::Write { offset, bytes: bytes.into() });
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.apply(Op::SetLen(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let left = self.state().syncs_left;
        self.state().syncs_left = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) {
            self.apply(Op::Forget);
            return Err(io::Error::other("a sync that fails"));
        }
        self.apply(Op::Sync);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        assert!(!self.closed.swap(true, Ordering::Relaxed), "closed twice");
        Ok(())
    }
}

impl Op {
    fn apply(&self, disk: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let offset = usize::try_from(*offset).unwrap();
                if disk.len() < offset + bytes.len() {
                    disk.resize(offset + bytes.len(), 0);
                }
                disk[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::SetLen(bytes) => disk.resize(usize::try_from(*bytes).unwrap(), 0),
            Self::Sync | Self::Forget => {}
        }
    }
}

/// What a power loss does to what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing of it reached the disk.
    Everything,
    /// All of it did (or only the process was killed).
    Nothing,
    /// Some writes did.
    Writes,
    /// Some 512-byte sectors did.
    Sectors,
}

/// The disk after a power loss: `durable` is what was synced, `pending` what was done since.
pub(super) fn after_power_loss(durable: &[u8], pending: &[Op], loss: Loss, dice: &mut Dice) -> Vec<u8> {
    let mut disk = durable.to_vec();
    // A file system keeps changes of the length in order.
    let lengths = pending.iter().filter(|op| matches!(op, Op::SetLen(_))).count();
    let mut lengths_kept = match loss {
        Loss::Everything => 0,
        Loss::Nothing => lengths,
        Loss::Writes | Loss::Sectors => dice.below(lengths as u64 + 1) as usize,
    };
    for op in pending {
        match op {
            Op::SetLen(_) if lengths_kept == 0 => {}
            Op::SetLen(_) => {
                lengths_kept -= 1;
                op.apply(&mut disk);
            }
            Op::Write { offset, bytes } => {
                let mut at = *offset;
                let end = offset + bytes.len() as u64;
                let whole = match loss {
                    Loss::Everything => Some(false),
                    Loss::Nothing => Some(true),
                    Loss::Writes => Some(dice.below(2) == 0),
                    Loss::Sectors => None,
                };
                while at < end {
                    let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    let piece = at..next.min(end);
                    if whole.unwrap_or_else(|| dice.below(2) == 0) && piece.end <= disk.len() as u64 {
                        let from = &bytes[(piece.start - offset) as usize..(piece.end - offset) as usize];
                        disk[piece.start as usize..piece.end as usize].copy_from_slice(from);
                    }
                    at = piece.end;
                }
            }
            Op::Sync | Op::Forget => {}
        }
    }
    disk
}

/// The disk after all of `ops`, and after those up to the last sync among them, with the rest.
pub(super) fn split_at_last_sync(start: &[u8], ops: &[Op]) -> (Vec<u8>, usize) {
    let synced = ops.iter().rposition(|op| matches!(op, Op::Sync)).map_or(0, |sync| sync + 1);
    let mut durable = start.to_vec();
    ops[..synced].iter().for_each(|op| op.apply(&mut durable));
    (durable, synced)
}

/// What is durable after all of `ops`, some of which may be syncs that failed, and what may become so.
pub(super) fn replay(ops: &[Op]) -> (Vec<u8>, Vec<Op>) {
    let (mut durable, mut pending) = (Vec::new(), Vec::<Op>::new());
    for op in ops {
        match op {
            Op::Sync => pending.drain(..).for_each(|op| op.apply(&mut durable)),
            // What a file system knows of a file's length is another matter.
            Op::Forget => pending.retain(|op| matches!(op, Op::SetLen(_))),
            op => pending.push(op.clone()),
        }
    }
    (durable, pending)
}

/// Repeatable dice (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
