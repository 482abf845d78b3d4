//! The thread that looks at segments before the store comes to them, and what it hears of a link's feeds.
//!
//! It hears of frames as they arrive, reads them by itself, and decides nothing: the link's machine does, later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use subrosa_protocol::frame::FeedFrame;
use subrosa_protocol::ids::{LogId, PublicKeyBytes, VaultId};

use super::thread::{EngineThread, Panicked};
use crate::sync::engine::Engine;

/// Keys of logs that a link's checker remembers; with more it begins anew, and the store finds out by itself.
const KEYS_MAX: usize = 1024;
/// Feeds that it follows.
const FEEDS_MAX: usize = 256;

/// The thread.
pub(super) struct Checker {
    core: Arc<Engine>,
    stop: Arc<AtomicBool>,
    thread: EngineThread<()>,
}

impl Checker {
    pub(super) fn start(core: Arc<Engine>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (of, stopped) = (core.clone(), stop.clone());
        let thread =
            EngineThread::spawn(core.process(), "subrosa-checker", move || of.check_ahead(&stopped))?;
        Ok(Self { core, stop, thread })
    }
}

impl Drop for Checker {
    /// Finishes the segment under way and ends the thread.
    fn drop(&mut self) {
        if !self.core.process().is_this() {
            return; // a forked child has no such thread, and its locks may be held for ever
        }
        self.stop.store(true, Ordering::SeqCst);
        self.core.ahead.look_again();
        if let Some(Err(Panicked)) = self.thread.join() {
            tracing::error!("the checking thread panicked");
        }
        self.core.ahead.forget();
    }
}

/// What a link's feeds have said so far.
#[derive(Debug, Default)]
pub(super) struct Overheard {
    feeds: HashMap<u64, VaultId>,
    keys: HashMap<(VaultId, LogId), PublicKeyBytes>,
}

impl Overheard {
    /// A frame has arrived; `waits` says that the store has another batch before it.
    pub(super) fn frame(&mut self, core: &Engine, stream: u64, frame: &Bytes, waits: bool) {
        // What does not decode ends the link soon.
        let Ok(frame) = FeedFrame::decode(frame) else { return };
        let vault = self.feeds.get(&stream);
        match (frame, vault) {
            (FeedFrame::Start { vault, .. }, _) if self.feeds.len() < FEEDS_MAX => {
                self.feeds.insert(stream, vault);
            }
            (FeedFrame::Log { public, .. }, Some(vault)) => {
                if self.keys.len() >= KEYS_MAX {
                    self.keys.clear();
                }
                self.keys.insert((*vault, LogId::of(&public)), public);
            }
            (FeedFrame::Segment { segment, .. } | FeedFrame::Ahead { segment }, Some(vault)) if waits => {
                if let Some(public) = self.keys.get(&(*vault, segment.header().log)) {
                    core.ahead.arrived(vault, public, &segment);
                }
            }
            _ => {}
        }
    }

    /// A feed is over.
    pub(super) fn over(&mut self, stream: u64) {
        self.feeds.remove(&stream);
    }
}
