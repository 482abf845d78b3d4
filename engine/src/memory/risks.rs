//! What is kept in memory of puts that a delete may hide which did not know them.

use subrosa_model::merge::VaultNo;
use subrosa_store::error::StoreError;
use subrosa_store::logs::{Covered, LogsView};

/// Of the puts of one vault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Risks {
    /// There are puts at risk.
    pub(crate) any: bool,
    /// A record of one was deleted since that was looked at.
    pub(crate) covered: bool,
    /// The futures of old logs of this device may have more of them.
    pub(crate) has_news: bool,
    /// Wall time in milliseconds before which what is covered is left to whoever wrote it.
    pub(crate) not_before_ms: u64,
    /// What is covered is being looked at, and was up to here.
    pub(crate) looked_at: Option<Covered>,
    /// The first time, in milliseconds, until which something of that is left to whoever wrote it.
    pub(crate) left_until_ms: u64,
}

impl Risks {
    pub(crate) fn load(logs: &LogsView, vault: VaultNo, is_forked: bool) -> Result<Self, StoreError> {
        let (any, covered) = logs.risks(vault)?;
        Ok(Self { any, covered, has_news: is_forked, not_before_ms: 0, looked_at: None, left_until_ms: 0 })
    }

    /// Whether there is something to look at.
    pub(crate) const fn is_due(&self, now_ms: u64) -> bool {
        self.has_news || self.looked_at.is_some() || (self.covered && self.not_before_ms <= now_ms)
    }

    /// A record was deleted of which a put is at risk.
    pub(crate) const fn cover(&mut self) {
        self.covered = true;
        self.not_before_ms = 0;
        self.looked_at = None;
    }
}
