//! The sign of this process, which every call asks for, so cheaply that it may.

use subrosa::ForkSign;

/// A number that no process has that this one descends from. Right in a child, by whatever means it was forked, that has
/// memory of its own, and whatever its process number is.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn fork_sign() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// How many signs this process and its parents have drawn; a child inherits that, and draws the next one.
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let Some(kept) = kept::page() else { return std::process::id().into() };
    match kept.load(Ordering::Relaxed) {
        0 => {
            let drawn = DRAWN.fetch_add(1, Ordering::Relaxed) + 1;
            let kept = kept.compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed);
            kept.map_or_else(|earlier| earlier, |_| drawn)
        }
        sign => sign,
    }
}

/// The number of this process. Libraries of other systems keep it themselves.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn fork_sign() -> u64 {
    std::process::id().into()
}

/// By what the engine tells a child of this process.
pub(crate) struct Sign;

impl ForkSign for Sign {
    fn number(&self) -> u64 {
        fork_sign()
    }
}

/// A page of memory that a child of `fork` finds empty: `MADV_WIPEONFORK`, since Linux 4.14.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kept {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    /// At least this much is mapped: a page, however large it is.
    const BYTES: usize = size_of::<AtomicU64>();

    /// Null until it was tried, [`NONE`] where the kernel has no such pages. Not a lock, which a child could inherit.
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
    static NONE: AtomicU64 = AtomicU64::new(0);

    pub(super) fn page() -> Option<&'static AtomicU64> {
        let mut page = PAGE.load(Ordering::Acquire);
        if page.is_null() {
            page = first();
        }
        // SAFETY: this is `NONE` or a page that is mapped for ever, and zeros or any other bytes are an `AtomicU64`.
        let page = unsafe { &*page.cast_const() };
        (!ptr::eq(page, &NONE)).then_some(page)
    }

    #[cold]
    fn first() -> *mut AtomicU64 {
        let made = map().unwrap_or(ptr::from_ref(&NONE).cast_mut());
        match PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(earlier) => {
                unmap(made);
                earlier
            }
        }
    }

    fn map() -> Option<*mut AtomicU64> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at an address that the kernel chooses, touches nobody's memory.
        let page = unsafe { libc::mmap(ptr::null_mut(), BYTES, access, kind, -1, 0) };
        if page == libc::MAP_FAILED {
            return None;
        }
        // Emulators that know no advice say yes to all (BoringSSL, fork_detect.c): one who says yes to nonsense is one.
        // SAFETY: the page is ours, and so far empty.
        let wiped = unsafe { libc::madvise(page, BYTES, -1) } != 0
            // SAFETY: as above.
            && unsafe { libc::madvise(page, BYTES, libc::MADV_WIPEONFORK) } == 0;
        if !wiped {
            unmap(page.cast());
        }
        wiped.then_some(page.cast())
    }

    fn unmap(page: *mut AtomicU64) {
        if !ptr::eq(page, &NONE) {
            // SAFETY: `map` made it with this size, and nobody else has seen it.
            unsafe { libc::munmap(page.cast(), BYTES) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_the_sign_of_the_process() {
        let ask = || (0..1000).map(|_| fork_sign()).collect::<Vec<_>>();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|sign| *sign == fork_sign()));
    }

    /// By the library and, past its handlers, by the kernel; a child of the child, too.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_child_has_its_own_however_it_was_forked() {
        // SAFETY: the child, which has one thread and other threads' locks, loads, forks, waits and ends.
        let by_library = || unsafe { libc::fork() };
        // SAFETY: as above; no flags, so that the child has memory of its own.
        let by_kernel =
            || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t };
        let forks: [&dyn Fn() -> libc::pid_t; 2] = [&by_library, &by_kernel];
        for fork in forks {
            let mut signs = Vec::with_capacity(8);
            signs.push(fork_sign());
            assert!(in_children(fork, &mut signs, 2), "a child has the sign of one before it");
            assert_eq!(fork_sign(), fork_sign());
        }
    }

    /// Whether each of so many children, one of the other, has a sign of its own.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn in_children(fork: &dyn Fn() -> libc::pid_t, before: &mut Vec<u64>, generations: u32) -> bool {
        if generations == 0 {
            return true;
        }
        let child = fork();
        if child == 0 {
            let own = fork_sign();
            let right = own == fork_sign() && !before.contains(&own);
            // Room for it is there: another thread may have held the allocator's lock.
            let room = before.len() < before.capacity();
            if room {
                before.push(own);
            }
            let right = right && in_children(fork, before, generations - 1);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!right)) };
        }
        let mut status = -1;
        // SAFETY: writes to `status`.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        child > 0 && waited == child && status == 0
    }
}
