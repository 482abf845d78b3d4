//! What a relay says of this device's own logs and does not show.
//!
//! Another head, a longer one, or "conflict" are its word. New logs are opened for nothing but a segment that verified under
//! this device's own key, which the store reports. A relay that claims is asked to show it by one more comparison of all
//! heads; what it does not show then is disputed, and as long as the link lasts nothing is sealed or pushed for the vault.

use std::collections::VecDeque;
use std::time::Instant;

use super::super::feed::Feeds;
use super::super::{Event, Output};
use super::VaultLink;
use crate::ids::LogId;

/// Comparisons after which a relay has to have shown what it claims.
const COMPARISONS_MAX: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Pushes of these logs were refused for another future since the last comparison.
    refused: Vec<LogId>,
    /// The relay claims something in the comparison under way.
    stands: bool,
    /// Comparisons at whose end nothing was shown.
    unshown: u8,
}

impl VaultLink {
    /// A push was refused because of another future.
    pub(super) fn claim_by_refusal(&mut self, log: LogId) {
        if !self.claims.refused.contains(&log) {
            self.claims.refused.push(log);
        }
    }

    /// The relay's heads are compared: `diverged` if they name another future of a log in `own`.
    pub(super) fn claim_by_heads(&mut self, diverged: bool, own: &[LogId]) {
        let refused = std::mem::take(&mut self.claims.refused);
        self.claims.stands = diverged || refused.iter().any(|log| own.contains(log));
    }

    /// A segment of an own log that this store did not write has verified.
    pub(super) fn shown(&mut self) {
        self.claims = Claims::default();
        self.up.ask_rotation();
    }

    /// The vault begins anew.
    pub(super) fn forget_claims(&mut self) {
        self.claims = Claims::default();
        self.up.settle_dispute();
    }

    /// The relay says that it has shown everything. Says whether heads are compared once more.
    pub(super) fn judge_claims(
        &mut self,
        now: Instant,
        feeds: &mut Feeds,
        out: &mut VecDeque<Output>,
    ) -> bool {
        if !std::mem::take(&mut self.claims.stands) || self.up.rotates() {
            return false;
        }
        self.claims.unshown += 1;
        if self.claims.unshown < COMPARISONS_MAX {
            self.resubscribe(now, feeds, out);
            return true;
        }
        if self.up.dispute() {
            out.push_back(Output::Event(Event::Disputed { vault: self.id }));
        }
        false
    }
}
