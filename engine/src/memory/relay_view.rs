//! What is kept in memory of what a relay holds.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::digest::HeadsDigest;
use subrosa_protocol::ids::{Digest, Head, LogId};
use subrosa_store::relays::RelayHead;

/// What one relay is known to hold of one vault; read once in an open, then kept up.
#[derive(Debug, Default)]
pub(crate) struct RelayView {
    heads: BTreeMap<LogId, RelayHead>,
    /// Over `heads`.
    digest: HeadsDigest,
    /// Logs of which the relay has more than is here, to be asked for at the next CAUGHT_UP.
    pub(crate) ask: BTreeSet<LogId>,
    /// The change of members after which `ask` was put together.
    pub(crate) asked_at: u64,
    /// A link has begun since: what was asked for on the one before may never have come.
    pub(crate) link_begun: bool,
    /// How many logs without a certificate have not had their turn to be asked for.
    pub(crate) strangers_left: usize,
    /// Where the search among logs without a certificate goes on.
    pub(crate) ask_after: Option<LogId>,
}

impl RelayView {
    /// Of a relay that is known to hold nothing, after so many changes of members.
    pub(crate) fn new(asked_at: u64) -> Self {
        Self { asked_at, ..Self::default() }
    }

    /// The relay holds a log up to here.
    pub(crate) fn put(&mut self, log: LogId, head: RelayHead) {
        let of = |RelayHead { seq, chain }| Head { log, seq, chain };
        let before = self.heads.insert(log, head).map(of);
        self.digest.replace(before.as_ref(), &of(head));
    }

    /// How far the relay holds a log.
    pub(crate) fn head(&self, log: &LogId) -> Option<RelayHead> {
        self.heads.get(log).copied()
    }

    /// How far it holds each log.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&LogId, &RelayHead)> {
        self.heads.iter()
    }

    /// How many logs it holds.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The digest of all these heads: kept, whatever their number.
    pub(crate) fn digest(&self) -> Digest {
        self.digest.value()
    }

    /// Notes that what was asked for before may have to be asked for again.
    pub(crate) const fn link_begins(&mut self) {
        self.link_begun = true;
    }
}
