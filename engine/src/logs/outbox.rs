//! What the sync driver asks of the core besides receiving: plans, proofs, what to send, what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use subrosa_model::keys::PublicKey;
use subrosa_model::merge::LogNo;
use subrosa_protocol::client_link::{OutboxBatch, OutboxLog};
use subrosa_protocol::frame::{LogKey, Role, ShortHead};
use subrosa_protocol::ids::{
    Base, Digest, Head, Incarnation, LogId, Pin, PublicKeyBytes, Rseq, Seq, Signature, VaultId,
};
use subrosa_protocol::labels;
use subrosa_protocol::segment::Class;
use subrosa_protocol::token::Grant;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::{BranchNo, LogTip, LogsView, Rank};
use subrosa_store::relays::{Cursor, RelayHead};

use crate::error::{Error, PeerFault};
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::memory::cost::look_at_log;
use crate::memory::relay_view::RelayView;
use crate::memory::state::{LogInfo, VaultState};

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

    /// Lets go of what waits for a certificate, opens under no key that is here, and is shown by no relay any more: it was
    /// made up, or somebody still has it and shows it again.
    fn let_go_of_what_nobody_shows(&mut self, vault: VaultNo) -> Result<(), Error> {
        let shut = self.vault(vault)?.waiting.iter().filter(|(_, held)| held.rank == Rank::Shut);
        let shut: Vec<LogId> = shut.map(|(log, _)| *log).collect();
        for log in shut {
            if !self.relays.is_shown(vault, &log)? {
                self.let_go_from(vault, &log, Seq(0))?;
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
    ///
    /// Of a log that has several futures, the tip of the one that the relay has; if that is not here, what both are known to
    /// have, or nothing: then it is fed whole.
    pub(crate) fn local_heads(&self, vault: &VaultId, relay: &Pin) -> Result<Vec<ShortHead>, Error> {
        let mut heads = self.based_heads(vault, relay)?;
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

    /// Heads of all branches of the logs of a vault that have a certificate, merged or not.
    #[cfg(test)]
    pub(crate) fn heads(&self, vault: &VaultId) -> Result<Vec<Head>, Error> {
        let logs = self.logs_to_send(vault)?;
        self.read(|doors| {
            let (held, mut found) = (doors.logs()?, Vec::new());
            for LogToSend { id, branches, .. } in &logs {
                for branch in branches {
                    let head = held.head(*branch)?;
                    found.extend(head.map(|LogTip { seq, chain, .. }| Head { log: *id, seq, chain }));
                }
            }
            Ok(found)
        })
    }

    fn based_heads(&self, vault: &VaultId, relay: &Pin) -> Result<Vec<ShortHead>, Error> {
        let logs = self.logs_to_send(vault)?;
        let elsewhere = self.with_vault(vault, |state| Ok(state.branches.elsewhere.get(relay).cloned()))?;
        let is_elsewhere = |log| elsewhere.as_ref().is_some_and(|logs| logs.contains(log));
        self.read(|doors| {
            let (held, known, mut found) = (doors.logs()?, doors.relays()?, Vec::new());
            for log in &logs {
                let theirs = known.head(relay, log.number)?;
                if is_elsewhere(&log.number) && !faults::HEADS_NAME_THE_TIP {
                    let shared = theirs.map(|RelayHead { seq, chain }| Head { log: log.id, seq, chain });
                    found.extend(shared.map(ShortHead::from));
                    continue;
                }
                let branch = log.branch_at(&held, theirs)?.unwrap_or(log.number.into());
                let base = held.head(log.number.into())?.map_or(Base::WHOLE, |head| head.base);
                if let Some(LogTip { seq, chain, .. }) = held.head(branch)? {
                    found.push(ShortHead::new(Head { log: log.id, seq, chain }, base));
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
            let logs: Vec<_> = tx.vault(number)?.logs.iter().map(|(log, info)| (*log, info.id)).collect();
            let (mut diverged, mut elsewhere) = (false, BTreeSet::new());
            for (log, id) in logs {
                let before = tx.relays.take_head(relay, log)?;
                let (Some(said), Some(head)) = (said.get(&id), tx.logs.head(log.into())?) else { continue };
                if said.base.seq > head.seq.next() {
                    continue; // its part begins behind ours: the feed shows how far it goes
                }
                if let Some((_, chain)) = tx.find_held(number, log, said.seq, |chain| said.names(chain))? {
                    tx.relays.put_head(relay, log, &RelayHead { seq: said.seq, chain })?;
                    continue;
                }
                let state = tx.vault(number)?;
                let (is_live, is_forked) = (state.is_live(log), state.branches.is_forked(log));
                diverged |= is_live;
                let goes_on = said.seq > head.seq && !is_live && !is_forked;
                let common = if goes_on {
                    Some(RelayHead { seq: head.seq, chain: head.chain })
                } else {
                    // A future that is not here. Where it parts is unknown, but not before what the relay acknowledged.
                    elsewhere.insert(log);
                    before.filter(|before| before.seq <= said.seq)
                };
                if let Some(common) = common {
                    tx.relays.put_head(relay, log, &common)?;
                }
            }
            let branches = &mut tx.vault_mut(number)?.branches;
            branches.elsewhere.insert(*relay, elsewhere);
            branches.change();
            tx.take_shown(relay, number, &said)?;
            if !faults::MADE_UP_STAYS {
                tx.let_go_of_what_nobody_shows(number)?;
            }
            if !faults::LOST_NOT_SENT_AGAIN {
                tx.vault_mut(number)?.unsent.remove(relay);
            }
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
            for log in &logs {
                look_at_log();
                let theirs = known.head(relay, log.number)?;
                // Nothing goes where the relay has a future that is not here.
                let Some(branch) = log.branch_at(&held_here, theirs)? else { continue };
                let Some(base) = held_here.head(log.number.into())?.map(|head| head.base) else { continue };
                let Some(head) = held_here.head(branch)? else { continue };
                let held = theirs.map(|head| head.seq);
                if held >= Some(head.seq) {
                    continue;
                }
                left.push(log.number);
                let next = held.max(sent.get(&log.id).copied()).map_or(base.seq, Seq::next);
                if batch.more || next > head.seq || next < base.seq {
                    continue; // it is on its way, or what lies between is not here
                }
                let vouch = vouches.iter().find(|(of, _)| *of == log.id).map(|(_, vouch)| *vouch);
                batch.logs.push(OutboxLog { key: LogKey { public: log.public, base }, vouch });
                for (branch, part) in held_here.way(branch, next..=head.seq)? {
                    for segment in held_here.segments(branch, part)? {
                        let (segment, _) = segment?.into_parts();
                        batch.more |= bytes > 0 && bytes + segment.bytes().len() > bytes_max;
                        if batch.more {
                            break;
                        }
                        bytes += segment.bytes().len();
                        batch.segments.push(segment);
                    }
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
    fn take_unsent(&self, vault: &VaultId, relay: &Pin) -> Result<Vec<LogToSend>, Error> {
        let mut state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let vault = state.vaults.get_mut(&number).ok_or(Error::NoVault)?;
        let unsent = vault.unsent.insert(*relay, BTreeSet::new());
        let logs = unsent.unwrap_or_else(|| vault.logs.keys().copied().collect());
        Ok(LogToSend::of(vault, logs.into_iter()))
    }

    /// How many segments are held here, and how many of them the relay is known to hold durably.
    pub(crate) fn held_and_acknowledged(&self, vault: &VaultId, relay: &Pin) -> Result<(u64, u64), Error> {
        let logs = self.logs_to_send(vault)?;
        self.read(|doors| {
            let (held_here, known) = (doors.logs()?, doors.relays()?);
            let (mut held, mut acknowledged) = (0, 0);
            for log in &logs {
                let theirs = known.head(relay, log.number)?;
                let branch = log.branch_at(&held_here, theirs)?.unwrap_or(log.number.into());
                let Some(base) = held_here.head(log.number.into())?.map(|head| head.base) else { continue };
                let Some(head) = held_here.head(branch)? else { continue };
                let relay = theirs.map(|head| head.seq);
                let first = base.seq.0;
                held += head.seq.0 + 1 - first;
                acknowledged += relay.map_or(0, |relay| (relay.min(head.seq).0 + 1).saturating_sub(first));
            }
            Ok((held, acknowledged))
        })
    }

    /// Notes what the relay holds durably. Losing that note costs a segment sent twice, so it waits for the next
    /// durable commit.
    ///
    /// Says whether there may be something to carry: which branch a relay takes is known only when it has taken some of it.
    pub(crate) fn acked(&self, vault: &VaultId, relay: &Pin, entries: &[Head]) -> Result<bool, Error> {
        self.write_with(Durable::Later, |tx| {
            let number = tx.state.vault_no(vault)?;
            for entry in entries {
                let log = tx.state.logs.number(number, &entry.log).ok_or(PeerFault::BadAck)?;
                if tx.find_held(number, log, entry.seq, |chain| *chain == entry.chain)?.is_some() {
                    tx.raise_relay_head(relay, number, *entry)?;
                }
            }
            let state = tx.vault(number)?;
            Ok(state.may_carry_for(relay, tx.now_ms) && !faults::CARRIED_TOO_LATE)
        })
    }

    fn logs_to_send(&self, vault: &VaultId) -> Result<Vec<LogToSend>, Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
        Ok(LogToSend::of(vault, vault.logs.keys().copied()))
    }
}

/// A log of which a relay may lack something.
struct LogToSend {
    number: LogNo,
    id: LogId,
    public: PublicKeyBytes,
    /// Its branches, the first one first.
    branches: Vec<BranchNo>,
}

impl LogToSend {
    /// Of some logs of a vault, control logs first.
    fn of(vault: &VaultState, logs: impl Iterator<Item = LogNo>) -> Vec<Self> {
        let mut logs: Vec<_> = logs.filter_map(|log| Some((log, *vault.logs.get(&log)?))).collect();
        logs.sort_by_key(|(log, info)| (info.class != Class::Control, *log));
        let one = |(number, LogInfo { id, public, .. })| Self {
            number,
            id,
            public,
            branches: vault.branches.of(number).collect(),
        };
        logs.into_iter().map(one).collect()
    }

    /// The branch on which a relay is that holds `theirs` of the log; `None` if that branch is not here. A relay that has
    /// nothing of it is given the first one.
    fn branch_at(&self, held: &LogsView, theirs: Option<RelayHead>) -> Result<Option<BranchNo>, StoreError> {
        let ([first, others @ ..], Some(theirs)) = (&self.branches[..], theirs) else {
            return Ok(Some(self.number.into()));
        };
        if others.is_empty() {
            return Ok(Some(*first));
        }
        for branch in &self.branches {
            let Some(head) = held.head(*branch)? else { continue };
            let is_there = head.base.seq <= theirs.seq && theirs.seq <= head.seq;
            if is_there && held.chain(*branch, theirs.seq)? == Some(theirs.chain) {
                return Ok(Some(*branch));
            }
        }
        Ok(None)
    }
}

/// Whether a key is the one that a relay's address pins.
fn is_pinned(relay: &Pin, key: &PublicKeyBytes) -> bool {
    let Ok(key) = PublicKey::from_sec1(key.as_bytes()) else { return false };
    Sha256::digest(key.to_spki_der()).as_slice() == relay.as_bytes()
}
