//! Threads of the engine, seen from who owns them.

use std::cell::Cell;
use std::thread::JoinHandle;

use subrosa_store::process::Process;

thread_local! {
    static OF_THE_ENGINE: Cell<bool> = const { Cell::new(false) };
}

/// A thread of this library; dropping it does not wait.
#[derive(Debug)]
pub(super) struct EngineThread<R> {
    process: Process,
    handle: Option<JoinHandle<R>>,
}

/// The thread panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panicked;

impl<R: Send + 'static> EngineThread<R> {
    pub(super) fn spawn(
        process: &Process,
        name: &str,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> std::io::Result<Self> {
        let work = move || {
            OF_THE_ENGINE.set(true);
            f()
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { process: process.clone(), handle: Some(handle) })
    }

    /// The process that it runs in.
    pub(super) const fn process(&self) -> &Process {
        &self.process
    }

    /// Whether it runs here. In a forked child there is no such thread, and locks that it held are held for ever.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.process.is_this()
    }

    /// Waits for its end, and what came of it; once, and not in a forked child. For whoever starts a thread and outlives
    /// it.
    pub(super) fn join(&mut self) -> Option<Result<R, Panicked>> {
        let handle = self.handle.take()?;
        if !self.process.is_this() {
            std::mem::forget(handle);
            return None;
        }
        Some(handle.join().map_err(|_| Panicked))
    }

    /// As [`Self::join`], for what the host drops: a hook of his that runs on a thread of the engine may do so, which
    /// that thread may be waiting for. Then it ends by itself.
    pub(super) fn join_for_host(&mut self) -> Option<Result<R, Panicked>> {
        if OF_THE_ENGINE.try_with(Cell::get).unwrap_or(false) { None } else { self.join() }
    }
}

impl<R> Drop for EngineThread<R> {
    fn drop(&mut self) {
        if !self.process.is_this() {
            std::mem::forget(self.handle.take());
        }
    }
}
