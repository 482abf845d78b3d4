//! What relays are known to hold, log by log: what they acknowledged, and what they fed under signatures that hold.
//!
//! Heads of logs without a certificate count too, kept here or not: the digest of an honest relay covers them. They
//! lie in a table of their own, and go when the relay's heads are taken in anew.

use std::collections::BTreeSet;

use subrosa_model::merge::VaultNo;
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Digest, Head, LogId, Pin, Seq};
use subrosa_protocol::limits::{LOGS_PER_VAULT_MAX, STRANGERS_ASKED_MAX};
use subrosa_store::relays::RelayHead;

use crate::error::{Error, PeerFault};
use crate::life::commit::Tx;
use crate::memory::cost::look_at_log;
use crate::memory::relay_view::RelayView;

/// A range of segments to ask for.
pub(crate) type MissingSegments = (LogId, Seq, Seq);

impl Tx<'_> {
    /// Reads what a relay is known to hold, unless that has been done in this open.
    fn load_view(&mut self, relay: &Pin, vault: VaultNo) -> Result<(), Error> {
        if self.vault(vault)?.relays.contains_key(relay) {
            return Ok(());
        }
        let mut view = RelayView::new(self.vault(vault)?.member_changes);
        for (log, info) in &self.vault(vault)?.logs {
            look_at_log();
            if let Some(head) = self.relays.head(relay, *log)? {
                view.put(info.id, head);
            }
        }
        for shown in self.relays.shown_by(relay, vault)? {
            let (log, head) = shown?;
            view.put(log, head);
        }
        self.find_asks(vault, &mut view)?;
        self.vault_mut(vault)?.relays.insert(*relay, view);
        Ok(())
    }

    /// Looks for what the relay has and is not here, after an opening and after each change of members.
    fn find_asks(&self, vault: VaultNo, view: &mut RelayView) -> Result<(), Error> {
        view.ask = self.missing(vault, view)?;
        view.strangers_left = usize::MAX;
        self.ask_for_strangers(vault, view)
    }

    /// Of logs without a certificate, asks for the beginning of some that are not here at all, until each had its turn: one of them
    /// may be that of a device which was listed now. What else there is of them is asked for when they are certified.
    fn ask_for_strangers(&self, vault: VaultNo, view: &mut RelayView) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let is_stranger =
            |log: &&LogId| self.state.logs.number(vault, log).is_none() && state.waiting.get(log).is_none();
        let mut strangers: Vec<_> = view.heads().map(|(log, _)| log).filter(is_stranger).copied().collect();
        let start = strangers.partition_point(|log| Some(*log) <= view.ask_after);
        strangers.rotate_left(start);
        let left = view.strangers_left.min(strangers.len());
        strangers.truncate(left.min(STRANGERS_ASKED_MAX));
        view.strangers_left = left - strangers.len();
        view.ask_after = strangers.last().copied().or(view.ask_after);
        view.ask.extend(strangers);
        Ok(())
    }

    /// Logs with a number of which the relay has more than is here.
    fn missing(&self, vault: VaultNo, view: &RelayView) -> Result<BTreeSet<LogId>, Error> {
        let mut missing = BTreeSet::new();
        for (log, RelayHead { seq, .. }) in view.heads() {
            if self.state.logs.number(vault, log).is_some() && self.held_up_to(vault, log)? < Some(*seq) {
                missing.insert(*log);
            }
        }
        Ok(missing)
    }

    /// The last segment of a log that is here, in its log or waiting.
    pub(crate) fn held_up_to(&self, vault: VaultNo, log: &LogId) -> Result<Option<Seq>, Error> {
        if let Some(number) = self.state.logs.number(vault, log) {
            let mut last = None;
            for branch in self.vault(vault)?.branches.of(number) {
                last = last.max(self.logs.head(branch)?.map(|head| head.seq));
            }
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(self.vault(vault)?.waiting.get(log).map(|held| held.seq))
    }

    /// What to ask the relay for, now that it says it has shown everything.
    pub(crate) fn take_asks(&mut self, relay: &Pin, vault: VaultNo) -> Result<Vec<MissingSegments>, Error> {
        self.load_view(relay, vault)?;
        let changes = self.vault(vault)?.member_changes;
        let state = self.vault_mut(vault)?;
        let Some(mut view) = state.relays.remove(relay) else { return Ok(Vec::new()) };
        if view.asked_at != changes {
            view.asked_at = changes;
            self.find_asks(vault, &mut view)?;
        } else if view.link_begun {
            view.ask.extend(self.missing(vault, &view)?);
        }
        if view.strangers_left > 0 && view.ask.len() < STRANGERS_ASKED_MAX {
            self.ask_for_strangers(vault, &mut view)?;
        }
        view.link_begun = false;
        let mut wants = Vec::new();
        for log in std::mem::take(&mut view.ask) {
            let Some(shown) = view.head(&log).map(|head| head.seq) else { continue };
            let held = self.held_up_to(vault, &log)?;
            let to = if self.state.logs.number(vault, &log).is_some() { shown } else { Seq(0) };
            let from = held.map_or(Seq(0), Seq::next);
            if from <= to {
                wants.push((log, from, to));
            }
        }
        self.vault_mut(vault)?.relays.insert(*relay, view);
        Ok(wants)
    }

    /// How far a relay is known to hold a log.
    pub(crate) fn shown(
        &mut self,
        relay: &Pin,
        vault: VaultNo,
        log: &LogId,
    ) -> Result<Option<RelayHead>, Error> {
        self.load_view(relay, vault)?;
        Ok(self.vault(vault)?.relays.get(relay).and_then(|view| view.head(log)))
    }

    /// Notes that the relay holds a log up to here.
    ///
    /// # Errors
    /// [`PeerFault::TooManyLogs`] for a log without a certificate beyond what a relay takes in one vault.
    pub(crate) fn raise_relay_head(&mut self, relay: &Pin, vault: VaultNo, head: Head) -> Result<(), Error> {
        self.load_view(relay, vault)?;
        let number = self.state.logs.number(vault, &head.log);
        let Some(view) = self.vault_mut(vault)?.relays.get_mut(relay) else { return Ok(()) };
        let known = view.head(&head.log).map(|known| known.seq);
        if known >= Some(head.seq) {
            return Ok(());
        }
        if number.is_none() && known.is_none() && view.len() >= LOGS_PER_VAULT_MAX {
            return Err(Error::Peer(PeerFault::TooManyLogs));
        }
        let (log, head) = (head.log, RelayHead { seq: head.seq, chain: head.chain });
        view.put(log, head);
        Ok(match number {
            Some(number) => {
                // What lay between its part and ours may be there now.
                let state = self.vault_mut(vault)?;
                if let Some(unsent) = state.unsent.get_mut(relay) {
                    unsent.insert(number);
                }
                let may_close = !state.keyring.old_logs.is_empty() && !state.is_live(number);
                if state.branches.is_forked(number) || may_close {
                    state.branches.change();
                }
                self.relays.put_head(relay, number, &head)
            }
            None => self.relays.put_shown(relay, vault, &log, &head),
        }?)
    }

    /// The digest over all heads that the relay is known to hold of a vault: kept from edit to edit.
    pub(crate) fn relay_digest(&mut self, relay: &Pin, vault: VaultNo) -> Result<Digest, Error> {
        self.load_view(relay, vault)?;
        let view = self.vault(vault)?.relays.get(relay);
        Ok(view.map_or_else(|| digest(&[]), RelayView::digest))
    }

    /// Forgets what a relay was believed to hold of logs without a certificate, and what was read of it.
    pub(crate) fn forget_shown(&mut self, relay: &Pin, vault: VaultNo) -> Result<(), Error> {
        self.load_view(relay, vault)?;
        let Some(view) = self.vault_mut(vault)?.relays.remove(relay) else { return Ok(()) };
        for (log, _) in view.heads() {
            if self.state.logs.number(vault, log).is_none() {
                self.relays.forget_shown(relay, vault, log)?;
            }
        }
        Ok(())
    }
}
