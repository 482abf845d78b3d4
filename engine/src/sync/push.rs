//! Brings what a device holds to a relay before somebody looks for it there.

use std::sync::Arc;
use std::time::Duration;

use subrosa_protocol::addr::RelayAddr;

use super::Sync;
use super::board::Board;
use crate::error::Error;
use crate::sync::engine::Engine;

/// Pushes while it lives: by the sync that runs already, or else by one of its own.
pub(crate) struct Push {
    board: Arc<Board>,
    _own: Option<Sync>,
}

impl Push {
    /// Takes the sync of `core` with this relay, or starts one.
    pub(crate) fn start(core: &Arc<Engine>, relay: &RelayAddr) -> Result<Self, Error> {
        if let Some(board) = core.links.sync_with(relay.pin()) {
            return Ok(Self { board, _own: None });
        }
        let own = Sync::start(core.clone(), relay)?;
        Ok(Self { board: own.board.clone(), _own: Some(own) })
    }

    /// Waits until `done` says that what is waited for is at the relay, for `timeout` at most; says whether it is.
    pub(crate) fn wait_until(&self, timeout: Duration, done: impl FnMut() -> bool) -> bool {
        self.board.wait_until(timeout, done)
    }
}
