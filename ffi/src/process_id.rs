//! The number of this process, which every call asks for, so cheaply that it may.

/// The number of this process. Right also in a child, by whatever means it was forked, that has memory of its own.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn process_id() -> u32 {
    let kept = kept::page();
    match kept.map_or(0, |kept| kept.load(std::sync::atomic::Ordering::Relaxed)) {
        0 => {
            let process = std::process::id();
            if let Some(kept) = kept {
                kept.store(process, std::sync::atomic::Ordering::Relaxed);
            }
            process
        }
        process => process,
    }
}

/// The number of this process. Libraries of other systems keep it themselves.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn process_id() -> u32 {
    std::process::id()
}

/// A page of memory that a child of `fork` finds empty: `MADV_WIPEONFORK`, since Linux 4.14.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod kept {
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

    /// At least this much is mapped: a page, however large it is.
    const BYTES: usize = size_of::<AtomicU32>();

    /// Null until it was tried, [`NONE`] where the kernel has no such pages. Not a lock, which a child could inherit.
    static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    static NONE: AtomicU32 = AtomicU32::new(0);

    pub(super) fn page() -> Option<&'static AtomicU32> {
        let mut page = PAGE.load(Ordering::Acquire);
        if page.is_null() {
            page = first();
        }
        // SAFETY: this is `NONE` or a page that is mapped for ever, and zeros or any other bytes are an `AtomicU32`.
        let page = unsafe { &*page.cast_const() };
        (!ptr::eq(page, &NONE)).then_some(page)
    }

    #[cold]
    fn first() -> *mut AtomicU32 {
        let made = map().unwrap_or(ptr::from_ref(&NONE).cast_mut());
        match PAGE.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(earlier) => {
                unmap(made);
                earlier
            }
        }
    }

    fn map() -> Option<*mut AtomicU32> {
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

    fn unmap(page: *mut AtomicU32) {
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
    fn every_thread_has_the_number_of_the_process() {
        let ask = || (0..1000).for_each(|_| assert_eq!(process_id(), std::process::id()));
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    }

    /// By the library and, past its handlers, by the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_child_has_its_own_however_it_was_forked() {
        // SAFETY: the child, which has one thread and other threads' locks, loads, asks the kernel and ends.
        let by_library = || unsafe { libc::fork() };
        // SAFETY: as above; no flags, so that the child has memory of its own.
        let by_kernel =
            || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t };
        let forks: [&dyn Fn() -> libc::pid_t; 2] = [&by_library, &by_kernel];
        for fork in forks {
            assert_eq!(process_id(), std::process::id());
            let child = fork();
            if child == 0 {
                let right = (0..2).all(|_| process_id() == std::process::id());
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            assert!(child > 0, "no child");
            let mut status = -1;
            // SAFETY: writes to `status`.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child has its parent's number");
        }
    }
}
