//! Handles are tokens, never memory: what a C caller holds names a slot of a table, and nobody dereferences it.
//!
//! A handle that was closed, that is of another type, that comes from before a fork or out of thin air is therefore a
//! status in every build, without `unsafe` here. A token holds the type of its object, a slot, and the slot's
//! generation, in 47 bits, so that it looks like an address to whatever stores it. Slots are used again in turn, at the
//! earliest after [`SPARE_SLOTS`] others of their shard: a stale handle goes unnoticed only if about 2^28 handles (2^21
//! where pointers have 32 bits) were made since.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::failure::Failure;
use crate::process::PerProcess;
use crate::status::{
    SUBROSA_FORKED, SUBROSA_INVALID_ARGUMENT, SUBROSA_INVALID_HANDLE, SUBROSA_NO_RESOURCES, SUBROSA_POISONED,
    SUBROSA_WRONG_HANDLE,
};

/// What a handle can stand for.
pub(crate) trait Object: Send + Sync + 'static {
    /// Its number in tokens: 1 to 31, one per type.
    const KIND: u8;
}

/// Independent parts of the table, so that threads seldom meet at a lock.
const SHARDS: usize = 16;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
const SHARD_SLOTS_MAX: usize = 1 << (width::SLOT - SHARD_BITS);
/// Free slots of a shard before the first is used again.
const SPARE_SLOTS: usize = 64;

/// Widths of the fields of a token, from its low end: zeros (tokens look aligned), type, process, slot, generation.
#[cfg(target_pointer_width = "64")]
mod width {
    pub(super) const ZEROS: u32 = 4;
    pub(super) const PROCESS: u32 = 2;
    pub(super) const SLOT: u32 = 18;
    pub(super) const GENERATION: u32 = 18;
}
#[cfg(target_pointer_width = "32")]
mod width {
    pub(super) const ZEROS: u32 = 0;
    pub(super) const PROCESS: u32 = 1;
    pub(super) const SLOT: u32 = 15;
    pub(super) const GENERATION: u32 = 11;
}
const KIND_BITS: u32 = 5;

/// A token, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Token {
    kind: u8,
    process: usize,
    slot: usize,
    generation: usize,
}

impl Token {
    fn pack(self) -> usize {
        let mut token = self.generation;
        token = token << width::SLOT | self.slot;
        token = token << width::PROCESS | self.process;
        token = token << KIND_BITS | usize::from(self.kind);
        token << width::ZEROS
    }

    fn unpack(token: usize) -> Option<Self> {
        let mut rest = token;
        let mut take = |bits: u32| {
            let field = rest & mask(bits);
            rest >>= bits;
            field
        };
        let zeros = take(width::ZEROS);
        let kind = u8::try_from(take(KIND_BITS)).ok()?;
        let (process, slot, generation) = (take(width::PROCESS), take(width::SLOT), take(width::GENERATION));
        let this = Self { kind, process, slot, generation };
        (zeros == 0 && kind != 0 && this.pack() == token).then_some(this)
    }
}

const fn mask(bits: u32) -> usize {
    (1 << bits) - 1
}

/// All handles of one process.
struct Table {
    /// Tells the tokens of a parent from those of its child.
    serial: usize,
    shards: [RwLock<Shard>; SHARDS],
    next_shard: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    slots: Vec<Slot>,
    free: VecDeque<usize>,
}

impl Shard {
    fn free_slot(&mut self) -> Option<usize> {
        if self.free.len() > SPARE_SLOTS {
            return self.free.pop_front();
        }
        if self.slots.len() < SHARD_SLOTS_MAX {
            self.slots.push(Slot::default());
            return Some(self.slots.len() - 1);
        }
        self.free.pop_front()
    }
}

#[derive(Default)]
struct Slot {
    generation: usize,
    /// `None` while free.
    entry: Option<Entry>,
}

struct Entry {
    kind: u8,
    object: Arc<dyn Any + Send + Sync>,
    poisoned: AtomicBool,
}

static TABLES: PerProcess<Table> = PerProcess::new();

impl Table {
    fn new(serial: usize) -> Self {
        Self {
            serial: serial & mask(width::PROCESS),
            shards: std::array::from_fn(|_| RwLock::default()),
            next_shard: AtomicUsize::new(0),
        }
    }

    /// The slot of a handle that is alive.
    fn entry<R>(handle: usize, read: impl FnOnce(&Entry) -> R) -> Result<(u8, R), Failure> {
        if handle == 0 {
            return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "a handle is NULL"));
        }
        let token = Token::unpack(handle).ok_or_else(no_handle)?;
        // Without a table of its own, a process that has handles is a child.
        let Some(table) = TABLES.get() else {
            return Err(if TABLES.is_known() { forked() } else { no_handle() });
        };
        if table.serial != token.process {
            return Err(if table.serial == 0 { no_handle() } else { forked() });
        }
        let shard = &table.shards[token.slot & mask(SHARD_BITS)];
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        let slot =
            shard.slots.get(token.slot >> SHARD_BITS).filter(|slot| slot.generation == token.generation);
        let entry = slot.and_then(|slot| slot.entry.as_ref()).ok_or_else(no_handle)?;
        if entry.kind != token.kind {
            return Err(no_handle());
        }
        Ok((token.kind, read(entry)))
    }
}

fn no_handle() -> Failure {
    Failure::new(SUBROSA_INVALID_HANDLE, "not a handle that is open")
}

fn forked() -> Failure {
    Failure::new(SUBROSA_FORKED, "the handle belongs to the process that this one was forked from")
}

/// Makes a handle of an object.
pub(crate) fn open<T: Object>(object: Arc<T>) -> Result<usize, Failure> {
    open_in(TABLES.get_or_new(Table::new), object)
}

fn open_in<T: Object>(table: &Table, object: Arc<T>) -> Result<usize, Failure> {
    let first = table.next_shard.fetch_add(1, Ordering::Relaxed);
    let entry = Entry { kind: T::KIND, object, poisoned: AtomicBool::new(false) };
    // One that is full is no end: what is closed need not have been spread evenly.
    for number in (first..first + SHARDS).map(|number| number & mask(SHARD_BITS)) {
        let mut shard = table.shards[number].write().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = shard.free_slot() else { continue };
        let slot = &mut shard.slots[index];
        slot.entry = Some(entry);
        let (slot_number, generation) = (index << SHARD_BITS | number, slot.generation);
        return Ok(Token { kind: T::KIND, process: table.serial, slot: slot_number, generation }.pack());
    }
    Err(Failure::new(SUBROSA_NO_RESOURCES, "too many handles are open"))
}

/// The object of a handle.
pub(crate) fn get<T: Object>(handle: usize) -> Result<Arc<T>, Failure> {
    let (object, poisoned) = look_up(handle)?;
    if poisoned {
        return Err(Failure::new(SUBROSA_POISONED, "an earlier call on this handle panicked"));
    }
    Ok(object)
}

/// As [`get`], for closing it: poisoned ones, too.
pub(crate) fn find<T: Object>(handle: usize) -> Result<Arc<T>, Failure> {
    look_up(handle).map(|(object, _)| object)
}

/// The object of a handle, and whether it is poisoned.
fn look_up<T: Object>(handle: usize) -> Result<(Arc<T>, bool), Failure> {
    let (kind, (object, poisoned)) =
        Table::entry(handle, |entry| (entry.object.clone(), entry.poisoned.load(Ordering::Relaxed)))?;
    if kind != T::KIND {
        return Err(Failure::new(SUBROSA_WRONG_HANDLE, "a handle of another type"));
    }
    Ok((object.downcast().map_err(|_| no_handle())?, poisoned))
}

/// Takes a handle out of the table; poisoned ones, too.
pub(crate) fn close<T: Object>(handle: usize) -> Result<Arc<T>, Failure> {
    let (kind, ()) = Table::entry(handle, |_| ())?;
    if kind != T::KIND {
        return Err(Failure::new(SUBROSA_WRONG_HANDLE, "a handle of another type"));
    }
    let (Some(token), Some(table)) = (Token::unpack(handle), TABLES.get()) else {
        return Err(no_handle());
    };
    let shard = &table.shards[token.slot & mask(SHARD_BITS)];
    let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
    let index = token.slot >> SHARD_BITS;
    let entry = match shard.slots.get_mut(index) {
        // Another thread may have closed it since.
        Some(slot) if slot.generation == token.generation => {
            slot.generation = (slot.generation + 1) & mask(width::GENERATION);
            slot.entry.take()
        }
        _ => None,
    };
    let entry = entry.ok_or_else(no_handle)?;
    shard.free.push_back(index);
    drop(shard);
    entry.object.downcast().map_err(|_| no_handle())
}

/// After a panic: whatever the call did to the object, nobody shall build on it.
pub(crate) fn poison(handle: usize) {
    // A handle that is closed meanwhile needs no mark.
    let _ = Table::entry(handle, |entry| entry.poisoned.store(true, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::SUBROSA_INVALID_HANDLE;

    struct One(u32);
    struct Two;

    impl Object for One {
        const KIND: u8 = 30;
    }

    impl Object for Two {
        const KIND: u8 = 31;
    }

    fn code<T>(result: Result<T, Failure>) -> i32 {
        result.map_or_else(|failure| failure.code, |_| 0)
    }

    #[test]
    fn a_handle_is_its_object_until_it_is_closed() {
        let handle = open(Arc::new(One(7))).unwrap();
        assert_eq!(get::<One>(handle).unwrap().0, 7);
        assert_eq!(code(get::<Two>(handle)), SUBROSA_WRONG_HANDLE);
        assert_eq!(code(close::<Two>(handle)), SUBROSA_WRONG_HANDLE);
        assert_eq!(close::<One>(handle).unwrap().0, 7);
        assert_eq!(code(get::<One>(handle)), SUBROSA_INVALID_HANDLE);
        assert_eq!(code(close::<One>(handle)), SUBROSA_INVALID_HANDLE);
    }

    #[test]
    fn nothing_made_up_is_a_handle() {
        let handle = open(Arc::new(One(7))).unwrap();
        assert_eq!(code(get::<One>(0)), SUBROSA_INVALID_ARGUMENT);
        // Another slot may be another test's.
        let slot_starts = width::ZEROS + KIND_BITS + width::PROCESS;
        let slot_bits = slot_starts..slot_starts + width::SLOT;
        for bit in (0..usize::BITS).filter(|bit| !slot_bits.contains(bit)) {
            assert_ne!(code(get::<One>(handle ^ 1 << bit)), 0, "bit {bit}");
        }
        for made_up in [1, 16, 0xdead_beef, usize::MAX, usize::MAX - 15, usize::MAX / 2] {
            assert_ne!(code(get::<One>(made_up)), 0, "{made_up:#x}");
        }
        close::<One>(handle).unwrap();
    }

    #[test]
    fn a_slot_is_used_again_under_another_token() {
        let mut seen = std::collections::HashSet::new();
        for round in 0..10_000 {
            let handle = open(Arc::new(One(round))).unwrap();
            assert!(seen.insert(handle));
            close::<One>(handle).unwrap();
        }
        let table = TABLES.get().unwrap();
        let slots: usize = table.shards.iter().map(|shard| shard.read().unwrap().slots.len()).sum();
        assert!(slots < 4 * SHARDS * SPARE_SLOTS, "{slots} slots");
    }

    #[test]
    fn a_shard_that_is_full_sends_on_to_the_next() {
        let shard =
            Shard { slots: (0..SHARD_SLOTS_MAX).map(|_| Slot::default()).collect(), ..Shard::default() };
        let table = Table::new(0);
        *table.shards[3].write().unwrap() = shard;
        let handles: Vec<_> = (0..SHARDS).map(|_| open_in(&table, Arc::new(Two)).unwrap()).collect();
        let used = |token: usize| Token::unpack(token).unwrap().slot & mask(SHARD_BITS);
        assert!(handles.iter().all(|handle| used(*handle) != 3));
    }

    #[test]
    fn a_poisoned_handle_can_only_be_closed() {
        let handle = open(Arc::new(One(7))).unwrap();
        poison(handle);
        assert_eq!(code(get::<One>(handle)), SUBROSA_POISONED);
        assert_eq!(code(close::<One>(handle)), 0);
    }

    #[test]
    fn an_object_goes_with_its_last_use() {
        let object = Arc::new(One(7));
        let handle = open(object.clone()).unwrap();
        let used = get::<One>(handle).unwrap();
        drop(close::<One>(handle).unwrap());
        assert_eq!(Arc::strong_count(&object), 2);
        drop(used);
        assert_eq!(Arc::strong_count(&object), 1);
    }
}
