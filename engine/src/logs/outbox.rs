//! What the sync driver asks of the core besides receiving: plans, proofs, what to send, what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use subrosa_model::keys::PublicKey;
use subrosa_model::merge::LogNo;
use subrosa_protocol::client_link::{OutboxBatch, OutboxLog};
use subrosa_protocol::frame::{LogKey, Role, ShortHead};
use subrosa_protocol::ids::{
    Digest, Head, Incarnation, LogId, Pin, PublicKeyBytes, Rseq, Seq, Signature, VaultId,
};
use subrosa_protocol::labels;
use subrosa_protocol::limits::CLOCK_AHEAD_MAX_MS;
use subrosa_protocol::segment::Class;
use subrosa_protocol::token::Grant;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::LogTip;
use subrosa_store::relays::{Cursor, RelayHead};

use crate::error::{Error, LifeError, PeerFault};
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::memory::cost::look_at_log;
use crate::memory::relay_view::RelayView;

/// How to subscribe to a vault at a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncPlan {
    pub(crate) incarnation: Incarnation,
    pub(crate) cursor: Rseq,
    pub(crate) digest: Digest,
}

impl Tx<'_> {
    /// Of what the relay says that it holds, takes in what waits here for a certificate.
    fn take_shown(
        &mut self,
        relay: &Pin,
        vault: VaultNo,
        said: &BTreeMap<LogId, &ShortHead>,
    ) -> Result<(), Error> {
        let waiting: Vec<_> = self.vault(vault)?.waiting.iter().map(|(log, held)| (*log, held.seq)).collect();
        for (log, seq) in waiting {
            let Some(said) = said.get(&log) else { continue };
            let common = said.seq.min(seq);
            let Some(chain) = self.waiting_chain(vault, &log, common)? else { continue };
            if said.seq <= seq && !said.names(&chain) {
                continue;
            }
            let head = RelayHead { seq: common, chain };
            match self.state.logs.number(vault, &log) {
                Some(number) => self.relays.put_head(relay, number, &head)?,
                None => self.relays.put_shown(relay, vault, &log, &head)?,
            }
        }
        Ok(())
    }
}

impl Core {
    /// Ids of the vaults to sync, in the order in which they came here: the list only grows at its end.
    pub(crate) fn sync_vaults(&self) -> Result<Vec<VaultId>, Error> {
        Ok(self.vaults()?.into_iter().map(|(id, _)| id).collect())
    }

    /// Where to go on with a vault at a relay. A cursor at which our heads were not compared is not offered with a
    /// digest: the relay then answers with its heads, and feeds what is missing.
    pub(crate) fn sync_plan(&self, vault: &VaultId, relay: &Pin) -> Result<SyncPlan, Error> {
        let number = {
            let mut state = self.lock_state()?;
            let number = state.vault_no(vault)?;
            let relays = state.vaults.get_mut(&number).map(|vault| &mut vault.relays);
            relays.and_then(|relays| relays.get_mut(relay)).map(RelayView::link_begins);
            number
        };
        let cursor = self.read(|doors| doors.relays()?.cursor(relay, number))?;
        let digest = if cursor.scanned == cursor.verified { cursor.digest } else { Digest::ZERO };
        Ok(SyncPlan { incarnation: cursor.incarnation, cursor: cursor.scanned, digest })
    }

    /// Proves membership to a relay: role, key and signature over `exporter | vault | role`.
    pub(crate) fn sign_auth(
        &self,
        vault: &VaultId,
        exporter: &[u8; 32],
    ) -> Result<(Role, PublicKeyBytes, Signature), Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let keyring = &state.vaults.get(&number).ok_or(Error::NoVault)?.keyring;
        let live = keyring.live_epoch();
        let read_key;
        let (role, pair) = match &live.write {
            Some(write) => (Role::Writer, write),
            None => {
                read_key = live.read_key().ok_or(Error::NotPermitted)?;
                (Role::Reader, &read_key)
            }
        };
        let mut payload = [0; 65];
        payload[..32].copy_from_slice(exporter);
        payload[32..64].copy_from_slice(vault.as_bytes());
        payload[64] = role as u8;
        let signature = Signature::from_bytes(pair.sign(labels::AUTH, &payload));
        Ok((role, pair.public().into(), signature))
    }

    /// Keeps a relay's grant for a vault, in place of the one before. `key` is the key that the relay proved on the link.
    ///
    /// # Errors
    /// [`PeerFault::BadGrant`] unless the relay, whose pin is that of `key`, signed it for this vault; then the one before
    /// stays.
    pub(crate) fn store_grant(
        &self,
        relay: &Pin,
        key: Option<&PublicKeyBytes>,
        vault: &VaultId,
        grant: &[u8],
    ) -> Result<(), Error> {
        let bad = |_| Error::Peer(PeerFault::BadGrant);
        let key = key.filter(|key| is_pinned(relay, key)).ok_or(PeerFault::BadGrant)?;
        let parsed = Grant::decode(grant).map_err(|_| PeerFault::BadGrant)?;
        parsed.verify(key).map_err(|_| PeerFault::BadGrant)?;
        if parsed.vault != *vault {
            return Err(PeerFault::BadGrant.into());
        }
        let number = self.lock_state()?.vault_no(vault).map_err(bad)?;
        self.write(|tx| {
            if tx.vault_mut(number)?.keyring.keep_grant(*relay, grant) {
                tx.put_keyring(number)?;
            }
            Ok(())
        })
    }

    /// Heads of everything that is held of a vault, merged or not, as HEADS sends them; with what waits for a
    /// certificate, which need not be fed again; but not what waits for a base, of which another relay may have the beginning.
    pub(crate) fn local_heads(&self, vault: &VaultId) -> Result<Vec<ShortHead>, Error> {
        let mut heads = self.based_heads(vault)?;
        self.with_vault(vault, |state| {
            let waiting = state.waiting.iter().filter(|(_, held)| held.base.is_whole());
            heads
                .extend(waiting.map(|(log, held)| {
                    ShortHead::from(Head { log: *log, seq: held.seq, chain: held.chain })
                }));
            Ok(())
        })?;
        Ok(heads)
    }

    /// Heads of the logs of a vault that have a certificate, merged or not.
    pub(crate) fn heads(&self, vault: &VaultId) -> Result<Vec<Head>, Error> {
        self.heads_as(vault, |id, LogTip { seq, chain, .. }| Head { log: id, seq, chain })
    }

    fn based_heads(&self, vault: &VaultId) -> Result<Vec<ShortHead>, Error> {
        self.heads_as(vault, |id, LogTip { seq, chain, base, .. }| {
            ShortHead::new(Head { log: id, seq, chain }, base)
        })
    }

    fn heads_as<T>(&self, vault: &VaultId, of: impl Fn(LogId, LogTip) -> T) -> Result<Vec<T>, Error> {
        let logs = self.log_numbers(vault)?;
        self.read(|doors| {
            let (held, mut found) = (doors.logs()?, Vec::new());
            for (log, id) in &logs {
                if let Some(head) = held.head(*log)? {
                    found.push(of(*id, head));
                }
            }
            Ok(found)
        })
    }

    /// Takes in all heads of the relay and forgets what we believed before. Says whether a log of ours has another
    /// future there: then logs must be rotated before anything is sealed.
    pub(crate) fn relay_heads(
        &self,
        vault: &VaultId,
        relay: &Pin,
        incarnation: Incarnation,
        heads: &[ShortHead],
    ) -> Result<bool, Error> {
        let said: BTreeMap<LogId, &ShortHead> = heads.iter().map(|head| (head.log, head)).collect();
        self.write(|tx| {
            let number = tx.state.vault_no(vault)?;
            tx.relays.put_cursor(relay, number, &Cursor { incarnation, ..Cursor::default() })?;
            tx.forget_shown(relay, number)?;
            let own = tx.vault(number)?.own;
            let logs: Vec<_> = tx.vault(number)?.logs.iter().map(|(log, info)| (*log, info.id)).collect();
            let mut diverged = false;
            for (log, id) in logs {
                let before = tx.relays.take_head(relay, log)?;
                let (Some(said), Some(head)) = (said.get(&id), tx.logs.head(log)?) else { continue };
                if said.base.seq > head.seq.next() {
                    continue; // its part begins behind ours: the feed shows how far it goes
                }
                let common = said.seq.min(head.seq);
                let is_own = log == own.data || log == own.control;
                if is_own && said.seq > head.seq {
                    // Where the relay's log and ours part is unknown, but not before what it acknowledged.
                    diverged = true;
                    if let Some(before) = before {
                        tx.relays.put_head(relay, log, &before)?;
                    }
                    continue;
                }
                let Some(chain) = tx.logs.chain(log, common)? else { continue };
                if said.seq <= head.seq && !said.names(&chain) {
                    diverged |= is_own;
                    continue;
                }
                tx.relays.put_head(relay, log, &RelayHead { seq: common, chain })?;
            }
            tx.take_shown(relay, number, &said)?;
            tx.vault_mut(number)?.unsent.remove(relay);
            Ok(diverged)
        })
    }

    /// Segments that the relay lacks, control logs first, each log in order, beyond what `sent` says this link has
    /// sent; about `bytes_max` bytes, at least one segment if there is one.
    pub(crate) fn outbox(
        &self,
        vault: &VaultId,
        relay: &Pin,
        sent: &BTreeMap<LogId, Seq>,
        bytes_max: usize,
    ) -> Result<OutboxBatch, Error> {
        if self.with_vault(vault, |state| Ok(state.keyring.statements.whole().is_none()))? {
            // Nothing is said in a vault whose statements are not checked.
            return Ok(OutboxBatch::default());
        }
        let vouches = self.vouches(vault)?;
        let logs = self.take_unsent(vault, relay)?;
        let found = self.read(|doors| {
            let (held_here, known) = (doors.logs()?, doors.relays()?);
            let (mut batch, mut left) = (OutboxBatch::default(), Vec::new());
            let mut bytes = 0;
            for (log, id, public) in &logs {
                look_at_log();
                let Some(head) = held_here.head(*log)? else { continue };
                let held = known.head(relay, *log)?.map(|head| head.seq);
                if held >= Some(head.seq) {
                    continue;
                }
                left.push(*log);
                let next = held.max(sent.get(id).copied()).map_or(head.base.seq, Seq::next);
                if batch.more || next > head.seq || next < head.base.seq {
                    continue; // it is on its way, or what lies between is not here
                }
                let vouch = vouches.iter().find(|(of, _)| of == id).map(|(_, vouch)| *vouch);
                batch.logs.push(OutboxLog { key: LogKey { public: *public, base: head.base }, vouch });
                for segment in held_here.segments(*log, next..=head.seq)? {
                    let (segment, _) = segment?.into_parts();
                    if bytes > 0 && bytes + segment.bytes().len() > bytes_max {
                        batch.more = true;
                        break;
                    }
                    bytes += segment.bytes().len();
                    batch.segments.push(segment);
                }
            }
            Ok((batch, left))
        });
        let mut state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let unsent = &mut state.vaults.get_mut(&number).ok_or(Error::NoVault)?.unsent;
        match found {
            Ok((batch, left)) => {
                // Unless heads were compared meanwhile, after which all logs are looked at again.
                unsent.entry(*relay).and_modify(|logs| logs.extend(left));
                Ok(batch)
            }
            Err(error) => {
                unsent.remove(relay);
                Err(error)
            }
        }
    }

    /// The logs that may have something which a relay lacks, control logs first. What moves from now on is noted anew.
    fn take_unsent(
        &self,
        vault: &VaultId,
        relay: &Pin,
    ) -> Result<Vec<(LogNo, LogId, PublicKeyBytes)>, Error> {
        let mut state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let vault = state.vaults.get_mut(&number).ok_or(Error::NoVault)?;
        let unsent = vault.unsent.insert(*relay, BTreeSet::new());
        let logs = unsent.unwrap_or_else(|| vault.logs.keys().copied().collect());
        let mut logs: Vec<_> = logs.iter().filter_map(|log| Some((*log, *vault.logs.get(log)?))).collect();
        logs.sort_by_key(|(log, info)| (info.class != Class::Control, *log));
        Ok(logs.into_iter().map(|(log, info)| (log, info.id, info.public)).collect())
    }

    /// How many segments are held here, and how many of them the relay is known to hold durably.
    pub(crate) fn held_and_acknowledged(&self, vault: &VaultId, relay: &Pin) -> Result<(u64, u64), Error> {
        let logs = self.logs_to_send(vault)?;
        self.read(|doors| {
            let (held_here, known) = (doors.logs()?, doors.relays()?);
            let (mut held, mut acknowledged) = (0, 0);
            for (log, ..) in &logs {
                let Some(head) = held_here.head(*log)? else { continue };
                let relay = known.head(relay, *log)?.map(|head| head.seq);
                let first = head.base.seq.0;
                held += head.seq.0 + 1 - first;
                acknowledged += relay.map_or(0, |relay| (relay.min(head.seq).0 + 1).saturating_sub(first));
            }
            Ok((held, acknowledged))
        })
    }

    /// Notes what the relay holds durably. Losing that note costs a segment sent twice, so it waits for the next
    /// durable commit.
    pub(crate) fn acked(&self, vault: &VaultId, relay: &Pin, entries: &[Head]) -> Result<(), Error> {
        self.write_with(Durable::Later, |tx| {
            let number = tx.state.vault_no(vault)?;
            for entry in entries {
                let log = tx.state.logs.number(number, &entry.log).ok_or(PeerFault::BadAck)?;
                // If not, it was rotated away while it was on its way.
                if tx.logs.chain(log, entry.seq)? == Some(entry.chain) {
                    tx.raise_relay_head(relay, number, *entry)?;
                }
            }
            Ok(())
        })
    }

    /// Compares clocks with a relay about to be served (docs/ARCHITECTURE.md, "Clock"): if our own maximum is more
    /// than five minutes ahead of the wall *and* of the relay, ops that are not sealed are stamped anew in new logs.
    pub(crate) fn relay_now(&self, relay_now_ms: u64) -> Result<(), Error> {
        let far = self.lock_state()?.clock.max().ms();
        let ahead = |now: u64| far > now.saturating_add(CLOCK_AHEAD_MAX_MS);
        if !ahead(self.now_ms()) || !ahead(relay_now_ms) {
            return Ok(());
        }
        let new = self.new_logs_of_all()?;
        self.write(|tx| {
            if tx.state.vaults.len() != new.len() {
                // A vault has come meanwhile; the next link is told the time again.
                return Err(LifeError::Busy.into());
            }
            let now = tx.now_ms;
            tx.state.clock =
                subrosa_model::merge::HybridClock::new(subrosa_model::merge::Stamp::from_ms(now));
            new.into_iter().try_for_each(|(vault, new)| tx.rotate_logs(vault, Some(now), new))
        })
    }

    fn log_numbers(&self, vault: &VaultId) -> Result<Vec<(LogNo, LogId)>, Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
        Ok(vault.logs.iter().map(|(log, info)| (*log, info.id)).collect())
    }

    fn logs_to_send(&self, vault: &VaultId) -> Result<Vec<(LogNo, LogId, PublicKeyBytes)>, Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
        let mut logs: Vec<_> = vault.logs.iter().collect();
        logs.sort_by_key(|(log, info)| (info.class != Class::Control, **log));
        Ok(logs.into_iter().map(|(log, info)| (*log, info.id, info.public)).collect())
    }
}

/// Whether a key is the one that a relay's address pins.
fn is_pinned(relay: &Pin, key: &PublicKeyBytes) -> bool {
    let Ok(key) = PublicKey::from_sec1(key.as_bytes()) else { return false };
    Sha256::digest(key.to_spki_der()).as_slice() == relay.as_bytes()
}
