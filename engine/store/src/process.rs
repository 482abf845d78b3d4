//! Which process something belongs to.

use std::sync::Arc;

/// A number that is another one in a forked child than in its parent, and the same for as long as a process lives.
///
/// [`ProcessNumber`] serves almost everybody. It errs where a child has its parent's process number: in a namespace of
/// process numbers of its own, or once the number has come round. A host that forks such children gives a sign of its
/// own, for instance a page of memory that the kernel empties in children (`MADV_WIPEONFORK`), as the C library does.
pub trait ForkSign: Send + Sync {
    /// The number. It is asked for at every call, on any thread, also on one that is about to end.
    fn number(&self) -> u64;
}

/// The number that the operating system gives to this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessNumber;

impl ForkSign for ProcessNumber {
    fn number(&self) -> u64 {
        std::process::id().into()
    }
}

/// The process that something belongs to. What a forked child inherits must be left alone: its locks may be held by
/// threads that do not exist there, and its file is the parent's.
#[derive(Clone)]
pub struct Process {
    sign: Arc<dyn ForkSign>,
    number: u64,
}

impl Process {
    /// The process that runs now, as `sign` knows it.
    pub fn this(sign: &Arc<dyn ForkSign>) -> Self {
        Self { sign: sign.clone(), number: sign.number() }
    }

    /// This process by its number, for whoever is given no sign.
    #[cfg(any(test, feature = "testing"))]
    pub fn plain() -> Self {
        let sign: Arc<dyn ForkSign> = Arc::new(ProcessNumber);
        Self::this(&sign)
    }

    /// Not this one.
    #[cfg(any(test, feature = "testing"))]
    pub fn another() -> Self {
        let this = Self::plain();
        Self { number: this.number ^ 1, ..this }
    }

    /// Whether this is still the same process.
    pub fn is_this(&self) -> bool {
        self.number == self.sign.number()
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Process").field(&self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A sign that a test moves, as a fork would.
    struct Moved(AtomicU64);

    impl ForkSign for Moved {
        fn number(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_child_with_its_parents_process_number_is_known_by_the_sign() {
        let moved = Arc::new(Moved(AtomicU64::new(7)));
        let sign: Arc<dyn ForkSign> = moved.clone();
        let process = Process::this(&sign);
        assert!(process.is_this() && process.clone().is_this());
        moved.0.store(8, Ordering::Relaxed);
        assert!(!process.is_this() && !process.clone().is_this());
        assert!(Process::this(&sign).is_this(), "the child has a life of its own");
    }
}
