//! Counts what this thread has allocated at one time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that are allocated now and were not at the beginning, and the most that there were.
    static COUNTED: Cell<Option<(isize, isize)>> = const { Cell::new(None) };
}

/// The most bytes that `f` had allocated at one time, by Rust code of this thread.
pub(crate) fn peak_of(f: impl FnOnce()) -> usize {
    COUNTED.set(Some((0, 0)));
    f();
    let counted = COUNTED.take();
    counted.map_or(0, |(_, peak)| peak.unsigned_abs())
}

fn count(bytes: isize) {
    // A thread that ends counts nothing any more.
    let _ = COUNTED.try_with(|counted| {
        if let Some((now, peak)) = counted.get() {
            counted.set(Some((now + bytes, peak.max(now + bytes))));
        }
    });
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as promised to us.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as promised to us.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both exist while one is copied.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: as promised to us.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
