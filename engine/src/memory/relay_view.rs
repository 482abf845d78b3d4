//! What is kept in memory of what a relay holds.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::ids::{Digest, LogId};
use subrosa_store::relays::RelayHead;

/// What one relay is known to hold of one vault; read once in an open, then kept up.
#[derive(Debug, Default)]
pub(crate) struct RelayView {
    pub(crate) heads: BTreeMap<LogId, RelayHead>,
    /// The digest of `heads`, once somebody has asked for it.
    pub(crate) digest: Option<Digest>,
    /// Logs of which the relay has more than is here, to be asked for at the next CAUGHT_UP.
    pub(crate) ask: BTreeSet<LogId>,
    /// The change of members after which `ask` was put together.
    pub(crate) asked_at: u64,
    /// A link has begun since: what was asked for on the one before may never have come.
    pub(crate) link_begun: bool,
    /// Where the search among logs without a certificate goes on.
    pub(crate) ask_after: Option<LogId>,
}

impl RelayView {
    /// Notes that what was asked for before may have to be asked for again.
    pub(crate) const fn link_begins(&mut self) {
        self.link_begun = true;
    }
}
