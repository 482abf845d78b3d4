//! What relays are known to hold, log by log: what they acknowledged, and what they fed under signatures that hold.
//!
//! Heads of logs without a certificate count too, kept here or not: the digest of an honest relay covers them. They
//! lie in a table of their own, and go when the relay's heads are taken in anew.

use std::collections::{BTreeMap, BTreeSet};

use redb::ReadableTable as _;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Chain, Digest, Head, LogId, Pin, Seq};
use subrosa_protocol::limits::{LOGS_PER_VAULT_MAX, STRANGERS_ASKED_MAX};
use subrosa_store::tables::{relay_key, shown_key};

use crate::error::{Error, PeerFault};
use crate::life::commit::Tx;
use crate::memory::cost::look_at_log;

/// What one relay is known to hold of one vault; read once in an open, then kept up.
#[derive(Debug, Default)]
pub(crate) struct RelayView {
    heads: BTreeMap<LogId, (Seq, Chain)>,
    /// The digest of `heads`, once somebody has asked for it.
    digest: Option<Digest>,
    /// Logs of which the relay has more than is here, to be asked for at the next CAUGHT_UP.
    ask: BTreeSet<LogId>,
    /// The change of members after which `ask` was put together.
    asked_at: u64,
    /// Where the search among logs without a certificate goes on.
    ask_after: Option<LogId>,
}

/// A range of segments to ask for.
pub(crate) type MissingSegments = (LogId, Seq, Seq);

impl Tx<'_> {
    /// Reads what a relay is known to hold, unless that has been done in this open.
    fn load_view(&mut self, relay: &Pin, vault: VaultNo) -> Result<(), Error> {
        if self.vault(vault)?.relays.contains_key(relay) {
            return Ok(());
        }
        let mut view = RelayView { asked_at: self.vault(vault)?.member_changes, ..RelayView::default() };
        for (log, info) in &self.vault(vault)?.logs {
            look_at_log();
            if let Some(row) = self.tables.relay_heads.get(&relay_key(relay, log.0))? {
                view.heads.insert(info.id, decode_relay_head(row.value()));
            }
        }
        let (none, all) = (LogId::from_bytes([0; 16]), LogId::from_bytes([0xff; 16]));
        let first = shown_key(vault, &none, &Pin::from_bytes([0; 32]));
        let last = shown_key(vault, &all, &Pin::from_bytes([0xff; 32]));
        for row in self.tables.shown.range::<&[u8; 52]>(&first..=&last)? {
            let (key, row) = row?;
            if key.value()[20..] == *relay.as_bytes() {
                view.heads.insert(log_of(key.value()), decode_relay_head(row.value()));
            }
        }
        self.find_asks(vault, &mut view)?;
        self.vault_mut(vault)?.relays.insert(*relay, view);
        Ok(())
    }

    /// Looks for what the relay has and is not here. Of logs without a certificate, only for the beginning of some
    /// that are not here at all: what else there is of them is asked for when they are certified.
    fn find_asks(&self, vault: VaultNo, view: &mut RelayView) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let (mut found, mut strangers) = (BTreeSet::new(), Vec::new());
        for (log, (seq, _)) in &view.heads {
            match self.state.logs.number(vault, log) {
                Some(number) if self.head(number)?.map(|head| head.seq) < Some(*seq) => {
                    found.insert(*log);
                }
                None if state.waiting.get(log).is_none() => strangers.push(*log),
                _ => {}
            }
        }
        let start = strangers.partition_point(|log| Some(*log) <= view.ask_after);
        strangers.rotate_left(start);
        strangers.truncate(STRANGERS_ASKED_MAX);
        view.ask_after = strangers.last().copied();
        found.extend(strangers);
        view.ask = found;
        Ok(())
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
        }
        let mut wants = Vec::new();
        for log in std::mem::take(&mut view.ask) {
            let Some((shown, _)) = view.heads.get(&log).copied() else { continue };
            let (held, to) = match self.state.logs.number(vault, &log) {
                Some(number) => (self.head(number)?.map(|head| head.seq), shown),
                None => (self.vault(vault)?.waiting.get(&log).map(|held| held.seq), Seq(0)),
            };
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
    ) -> Result<Option<(Seq, Chain)>, Error> {
        self.load_view(relay, vault)?;
        Ok(self.vault(vault)?.relays.get(relay).and_then(|view| view.heads.get(log)).copied())
    }

    /// Notes that the relay holds a log up to here.
    ///
    /// # Errors
    /// [`PeerFault::TooManyLogs`] for a log without a certificate beyond what a relay takes in one vault.
    pub(crate) fn raise_relay_head(&mut self, relay: &Pin, vault: VaultNo, head: Head) -> Result<(), Error> {
        self.load_view(relay, vault)?;
        let number = self.state.logs.number(vault, &head.log);
        let Some(view) = self.vault_mut(vault)?.relays.get_mut(relay) else { return Ok(()) };
        let known = view.heads.get(&head.log).map(|known| known.0);
        if known >= Some(head.seq) {
            return Ok(());
        }
        if number.is_none() && known.is_none() && view.heads.len() >= LOGS_PER_VAULT_MAX {
            return Err(Error::Peer(PeerFault::TooManyLogs));
        }
        view.heads.insert(head.log, (head.seq, head.chain));
        view.digest = None;
        let row = encode_relay_head(head.seq, &head.chain);
        match number {
            Some(number) => drop(self.tables.relay_heads.insert(&relay_key(relay, number.0), &row)?),
            None => drop(self.tables.shown.insert(&shown_key(vault, &head.log, relay), &row)?),
        }
        Ok(())
    }

    /// The digest over all heads that the relay is known to hold of a vault. Hashing is all that it costs, 56 bytes a log.
    pub(crate) fn relay_digest(&mut self, relay: &Pin, vault: VaultNo) -> Result<Digest, Error> {
        self.load_view(relay, vault)?;
        let Some(view) = self.vault_mut(vault)?.relays.get_mut(relay) else { return Ok(digest(Vec::new())) };
        let heads = &view.heads;
        Ok(*view.digest.get_or_insert_with(|| {
            digest(
                heads
                    .iter()
                    .map(|(log, (seq, chain))| Head { log: *log, seq: *seq, chain: *chain })
                    .collect(),
            )
        }))
    }

    /// Forgets what a relay was believed to hold of logs without a certificate, and what was read of it.
    pub(crate) fn forget_shown(&mut self, relay: &Pin, vault: VaultNo) -> Result<(), Error> {
        self.load_view(relay, vault)?;
        let Some(view) = self.vault_mut(vault)?.relays.remove(relay) else { return Ok(()) };
        for log in view.heads.keys() {
            if self.state.logs.number(vault, log).is_none() {
                self.tables.shown.remove(&shown_key(vault, log, relay))?;
            }
        }
        Ok(())
    }

    /// A log has got a number: what relays hold of it is noted with the others.
    pub(crate) fn move_shown(&mut self, vault: VaultNo, id: &LogId, number: LogNo) -> Result<(), Error> {
        let first = shown_key(vault, id, &Pin::from_bytes([0; 32]));
        let last = shown_key(vault, id, &Pin::from_bytes([0xff; 32]));
        let mut rows = Vec::new();
        for row in self.tables.shown.range::<&[u8; 52]>(&first..=&last)? {
            let (key, row) = row?;
            rows.push((*key.value(), *row.value()));
        }
        for (key, row) in rows {
            self.tables.shown.remove(&key)?;
            let mut relay = [0; 32];
            relay.copy_from_slice(&key[20..]);
            self.tables.relay_heads.insert(&relay_key(&Pin::from_bytes(relay), number.0), &row)?;
        }
        Ok(())
    }
}

fn log_of(key: &[u8; 52]) -> LogId {
    let mut id = [0; 16];
    id.copy_from_slice(&key[4..20]);
    LogId::from_bytes(id)
}

pub(crate) fn encode_relay_head(seq: Seq, chain: &Chain) -> [u8; 40] {
    let mut row = [0; 40];
    row[..8].copy_from_slice(&seq.0.to_be_bytes());
    row[8..].copy_from_slice(chain.as_bytes());
    row
}

pub(crate) fn decode_relay_head(row: &[u8; 40]) -> (Seq, Chain) {
    let (seq, chain) = row.split_first_chunk::<8>().expect("40 bytes hold a seq");
    let mut bytes = [0; 32];
    bytes.copy_from_slice(chain);
    (Seq(u64::from_be_bytes(*seq)), Chain::from_bytes(bytes))
}
