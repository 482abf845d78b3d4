//! Taking in what a relay feeds: verified, stored, merged, all in one durable transaction.
//!
//! The order is fixed: shape (done by the frame decoder), then signature and chain, then storage, then decryption,
//! then merging. Nothing is dropped silently: what cannot be merged yet stays in its log or in quarantine with a
//! reason; what does not fit its log is asked for again. Nothing that a relay says of a log is kept before a signature
//! holds, and only a log with a certificate gets a number.

use std::collections::HashSet;

use subrosa_model::control::CertifiedLog;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::client_link::{FeedBatch, Received};
use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{Base, Chain, Head, LogId, Pin, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::limits::{LOGS_PER_VAULT_MAX, STRANGERS_ASKED_MAX};
use subrosa_protocol::segment::{Class, Header, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, CheckedSegment, Rank};
use subrosa_store::relays::Cursor;

use crate::error::{Error, PeerFault};
use crate::faults;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::logs::link_keys::LinkKeys;
use crate::logs::placing::BranchPlace;
use crate::memory::cost::look_at_log;
use crate::memory::fold::Folded;
use crate::memory::state::LogInfo;

/// What taking in a batch did.
#[derive(Debug, Default)]
pub(crate) struct TakenIn {
    /// New segments that are kept, in their logs or waiting.
    pub(crate) segments: u64,
    /// What the link is answered.
    pub(crate) received: Received,
}

/// One batch on its way in.
struct Taking<'b> {
    vault: VaultNo,
    id: VaultId,
    relay: &'b Pin,
    keys: &'b LinkKeys,
    taken: TakenIn,
    /// Data logs that were certified on the way.
    certified: Vec<LogId>,
    /// The segment at hand was stored and may be merged.
    is_stored: bool,
}

impl Core {
    /// Takes in part of a feed in one durable transaction. Keys of logs that it introduces go to `keys`, and nowhere
    /// else.
    ///
    /// # Errors
    /// [`Error::Peer`] when an honest relay does not send that; nothing of the batch was taken in.
    pub(crate) fn receive(
        &self,
        vault: &VaultId,
        relay: &Pin,
        keys: &mut LinkKeys,
        batch: FeedBatch,
    ) -> Result<TakenIn, Error> {
        {
            let state = self.lock_state()?;
            let number = state.vault_no(vault)?;
            let counts = |key: &&LogKey| {
                !key.base.is_whole() || state.logs.number(number, &LogId::of(&key.public)).is_none()
            };
            batch.logs.iter().filter(counts).for_each(|key| keys.introduce(vault, key));
        }
        // A mere "caught up" costs a comparison to lose.
        let durable = if batch.items.is_empty() { Durable::Later } else { Durable::Now };
        let taken = self.write_with(durable, |tx| {
            let number = tx.state.vault_no(vault)?;
            let taking = Taking {
                vault: number,
                id: *vault,
                relay,
                keys,
                taken: TakenIn::default(),
                certified: Vec::new(),
                is_stored: false,
            };
            tx.take_in_batch(taking, &batch)
        })?;
        self.merge_large(None)?;
        self.go_round(None)?;
        let may_be_hidden = self.with_vault(vault, |state| Ok(state.risks.is_due(self.now_ms())))?;
        if may_be_hidden || (!batch.items.is_empty() && self.has_several_relays()) {
            // Something may be hidden that is to be shown again, or another relay lacks what has come: links seal, look at that, and send.
            self.notify_pending();
        }
        Ok(taken)
    }
}

impl Tx<'_> {
    fn take_in_batch(&mut self, mut taking: Taking<'_>, batch: &FeedBatch) -> Result<TakenIn, Error> {
        let (vault, relay) = (taking.vault, taking.relay);
        let mut cursor = self.relays.cursor(relay, vault)?;
        if cursor.incarnation != batch.incarnation {
            cursor = Cursor { incarnation: batch.incarnation, ..Cursor::default() };
        }
        // What certifies comes first; within a log, the order stays.
        let mut begun = HashSet::new();
        let (control, other): (Vec<_>, Vec<_>) = batch.items.iter().partition(|item| {
            let header = item.segment.header();
            let is_data = header.kind.class() == Class::Data;
            if is_data {
                begun.insert(header.log);
            }
            !is_data && !begun.contains(&header.log)
        });
        let has_control = !control.is_empty();
        for item in control.into_iter().chain(other) {
            taking.is_stored = false;
            self.take_in(&mut taking, &item.segment)?;
            if !taking.is_stored {
                self.core.ahead.let_go(&taking.id, &item.segment);
            }
            cursor.scanned = cursor.scanned.max(item.rseq.unwrap_or_default());
        }
        self.merge_named(vault, &taking.certified)?;
        self.merge_ready(vault)?;
        self.core.note_held(self.state);
        let TakenIn { segments, mut received } = taking.taken;
        received.statements = has_control && self.vault(vault)?.lacks_admin_of(&self.core.public());
        let state = self.vault_mut(vault)?;
        state.own_log_shown |= received.own_log_foreign || state.is_live_log_capped();
        received.own_log_foreign = state.own_log_shown; // it may have been carried
        if let Some((rseq, said)) = batch.caught_up {
            self.want_what_is_named(vault, &mut received)?;
            received.wants.extend(self.take_asks(relay, vault)?);
            let holds = self.relay_digest(relay, vault)? == said && self.shows_frontier(relay, vault)?;
            received.digest_ok = Some(holds);
            cursor.scanned = cursor.scanned.max(rseq);
            if holds {
                (cursor.verified, cursor.digest) = (rseq, said);
            }
        }
        self.relays.put_cursor(relay, vault, &cursor)?;
        if batch.caught_up.is_some() {
            self.core.ahead.forget(); // what is left of it is of no use any more
        }
        Ok(TakenIn { segments, received })
    }

    /// Asks for what other members have seen and the relay, which says that it has shown everything, has not shown:
    /// once for each open, for it may be that nobody has it any more. Logs without a certificate take turns, for a
    /// member may have made them up.
    fn want_what_is_named(&mut self, vault: VaultNo, received: &mut Received) -> Result<(), Error> {
        let state = self.vault_mut(vault)?;
        let mut named: Vec<_> = std::mem::take(&mut state.named).into_iter().collect();
        let strangers = std::iter::from_fn(|| state.named_strangers.pop_first());
        named.extend(strangers.take(STRANGERS_ASKED_MAX));
        for (log, seq) in named {
            let held = self.held_up_to(vault, &log)?;
            if held < Some(seq) {
                tracing::warn!(%log, seq = seq.0, "a segment that others have seen is missing");
                received.wants.push((log, held.map_or(Seq(0), Seq::next), seq));
            }
        }
        Ok(())
    }

    /// Verifies one segment, and stores it in its log or lets it wait.
    fn take_in(&mut self, taking: &mut Taking<'_>, segment: &SealedSegment) -> Result<(), Error> {
        let header = segment.header();
        if self.state.logs.number(taking.vault, &header.log).is_none()
            && self.vault(taking.vault)?.members.certified(&header.log).is_some()
        {
            self.admit_for(taking, vec![header.log])?;
        }
        let Some(log) = self.state.logs.number(taking.vault, &header.log) else {
            return self.take_in_stranger(taking, segment);
        };
        if self.waits_for_its_base(taking, log, segment)? {
            return self.take_in_stranger(taking, segment);
        }
        self.look_at_class(taking, log, segment)?;
        let info = *self.vault(taking.vault)?.logs.get(&log).ok_or(StoreError::Inconsistent)?;
        if self.is_cut_off(taking, log, &info, segment)? {
            self.pass_by(taking, info.public, segment)
        } else {
            self.take_in_known(taking, log, &info, segment)
        }
    }

    /// A log that one certificate names as data, and that begins with a certificate of its own, is a control log, whichever
    /// of the two came first.
    fn look_at_class(
        &mut self,
        taking: &mut Taking<'_>,
        log: LogNo,
        segment: &SealedSegment,
    ) -> Result<(), Error> {
        let (vault, header) = (taking.vault, segment.header());
        let info = *self.vault(vault)?.logs.get(&log).ok_or(StoreError::Inconsistent)?;
        let begins = header.seq == Seq(0) && header.kind.class() == Class::Control;
        if !begins
            || info.class == Class::Control
            || self.logs.head(log.into())?.is_some()
            || self.check_signature(&taking.id, info.public, segment).is_err()
        {
            return Ok(());
        }
        match self.vault_mut(vault)?.fold_control_segment(&info.id, segment) {
            Folded::Taken(changes) => self.admit_for(taking, changes.logs_certified),
            Folded::Shut | Folded::Refused => Ok(()),
        }
    }

    /// Whether a certified log that is not here yet begins, at the relay, where no certificate says that it may: it waits, for
    /// a relay could hide what was before.
    fn waits_for_its_base(
        &self,
        taking: &Taking<'_>,
        log: LogNo,
        segment: &SealedSegment,
    ) -> Result<bool, Error> {
        let header = segment.header();
        let Some(LogKey { base, .. }) = taking.keys.of(&taking.id, &header.log) else { return Ok(false) };
        let certified = self.vault(taking.vault)?.members.base(&header.log);
        let may_begin = certified.is_some_and(|begins| base.seq <= begins.seq && begins.seq <= header.seq);
        Ok(!base.is_whole() && header.seq >= base.seq && self.logs.head(log.into())?.is_none() && !may_begin)
    }

    /// The place of the next segment of a certified log, and the chain before it; of one that is not here yet, where `first`
    /// may begin it.
    pub(crate) fn next_place(
        &self,
        vault: VaultNo,
        log: LogNo,
        first: &Header,
    ) -> Result<(Seq, Chain), Error> {
        if let Some(head) = self.logs.head(log.into())? {
            return Ok((head.seq.next(), head.chain));
        }
        let base = self.vault(vault)?.members.base(&first.log).filter(|base| first.seq >= base.seq);
        let Base { seq, chain } = base.unwrap_or_default();
        Ok((seq, chain))
    }

    /// Whether a log cannot be taken in from here on: its author certified one class and wrote another, here or before.
    /// The relay, which knows no certificate, could not tell.
    fn is_cut_off(
        &mut self,
        taking: &Taking<'_>,
        log: LogNo,
        info: &LogInfo,
        segment: &SealedSegment,
    ) -> Result<bool, Error> {
        let header = segment.header();
        let (next, prev) = self.next_place(taking.vault, log, header)?;
        if header.kind.class() == info.class {
            return Ok(header.seq >= next && self.vault(taking.vault)?.cut_off.contains(&log));
        }
        let own = self.vault(taking.vault)?.own;
        if header.seq == next
            && log != own.data
            && log != own.control
            && header.prev == prev
            && self.check_signature(&taking.id, info.public, segment).is_ok()
        {
            self.vault_mut(taking.vault)?.cut_off.insert(log);
        }
        Ok(true)
    }

    /// Takes in a segment of a log that has a certificate.
    fn take_in_known(
        &mut self,
        taking: &mut Taking<'_>,
        log: LogNo,
        info: &LogInfo,
        segment: &SealedSegment,
    ) -> Result<(), Error> {
        look_at_log();
        let (vault, header) = (taking.vault, segment.header());
        let head = self.logs.head(log.into())?;
        let (next, _) = self.next_place(vault, log, header)?;
        let begins = taking.keys.of(&taking.id, &header.log).map_or(Base::WHOLE, |key| key.base);
        if head.is_some_and(|head| header.seq < head.base.seq || begins.seq > next) {
            // It is before what is here, or the relay's part of it begins behind that.
            return self.pass_by(taking, info.public, segment);
        }
        if header.seq < next || self.vault(vault)?.branches.is_forked(log) {
            let chain = segment.preimage(&taking.id).chain();
            if self.find_held(vault, log, header.seq, |held| *held == chain)?.is_some() {
                // The same again: its signature was checked when it came.
                return self.raise_relay_head(
                    taking.relay,
                    vault,
                    Head { log: info.id, seq: header.seq, chain },
                );
            }
        }
        let verified =
            self.check_signature(&taking.id, info.public, segment).map_err(|_| PeerFault::BadSignature)?;
        if self.vault(vault)?.is_live(log) {
            // Another copy of this store has made it. It comes again once new logs are open, and is stored then.
            taking.taken.received.own_log_foreign = !faults::OWN_FUTURE_UNSEEN;
            return Ok(());
        }
        match self.find_place(vault, log, header)? {
            BranchPlace::Behind(branch) if self.logs.head(branch)?.is_some_and(|head| head.closed) => {
                self.pass_by(taking, info.public, segment)
            }
            BranchPlace::Behind(branch) => self.take_in_next(taking, branch, info, &verified.into()),
            BranchPlace::Leaves(before) => match self.begin_branch(vault, log, before)? {
                Some(branch) => self.take_in_next(taking, branch, info, &verified.into()),
                None => self.pass_by(taking, info.public, segment),
            },
            BranchPlace::Unknown if header.seq > next => {
                taking.taken.received.wants.push((header.log, next, header.seq));
                Ok(())
            }
            // Its beginning comes when heads are compared.
            BranchPlace::Unknown => Ok(()),
        }
    }

    /// Stores the next segment of a branch of a log.
    fn take_in_next(
        &mut self,
        taking: &mut Taking<'_>,
        branch: BranchNo,
        info: &LogInfo,
        checked: &CheckedSegment,
    ) -> Result<(), Error> {
        let vault = taking.vault;
        if self.vault(vault)?.waiting.get(&info.id).is_some() {
            self.take_waiting(vault, &info.id)?; // from a base that nothing certified: here is all of it
        }
        taking.taken.segments += 1;
        match info.class {
            Class::Data => {
                self.store_data(vault, branch, checked)?;
                taking.is_stored = true;
            }
            Class::Control => {
                let certified = self.store_control(vault, branch, checked)?;
                self.admit_for(taking, certified)?;
            }
        }
        self.raise_relay_head(taking.relay, vault, head_of(checked))
    }

    /// Takes in a segment of a log without a certificate: it waits, if there is room, and counts as what the relay holds.
    fn take_in_stranger(&mut self, taking: &mut Taking<'_>, segment: &SealedSegment) -> Result<(), Error> {
        let (vault, header) = (taking.vault, segment.header());
        let LogKey { public, base } = taking.keys.of(&taking.id, &header.log).ok_or(PeerFault::UnknownLog)?;
        let held = self.vault(vault)?.waiting.get(&header.log);
        let next = held.map_or(base.seq, |held| held.seq.next());
        if header.seq < next {
            let chain = segment.preimage(&taking.id).chain();
            if self.waiting_chain(vault, &header.log, header.seq)? == Some(chain) {
                let head = Head { log: header.log, seq: header.seq, chain };
                return self.raise_relay_head(taking.relay, vault, head);
            }
        }
        if held.is_some_and(|held| base.seq < held.base.seq)
            && (header.seq, header.prev) == (base.seq, base.chain)
        {
            // Somebody has more of it than who showed it first, whose word for where it begins proves nothing.
            let verified = self.check_signature(&taking.id, public, segment);
            let checked = verified.map_err(|_| PeerFault::BadSignature)?.into();
            self.let_go_from(vault, &header.log, Seq(0))?;
            return self.let_wait(taking, &checked);
        }
        let prev = held.map_or(base.chain, |held| held.chain);
        let fits = header.seq == next
            && header.prev == prev
            && held.is_none_or(|held| held.class == header.kind.class() && !held.closed);
        if fits && let Ok(verified) = self.check_signature(&taking.id, public, segment) {
            return self.let_wait(taking, &verified.into());
        }
        self.pass_by(taking, public, segment)
    }

    /// Lets a segment wait, unless it is what certifies its log.
    fn let_wait(&mut self, taking: &mut Taking<'_>, checked: &CheckedSegment) -> Result<(), Error> {
        let (vault, segment) = (taking.vault, checked.segment());
        let (log, seq) = (segment.header().log, segment.header().seq);
        let mut holds = false;
        let (rank, certified) = match segment.header().kind.class() {
            Class::Control => match self.vault_mut(vault)?.fold_control_segment(&log, segment) {
                Folded::Shut => (Rank::Shut, Vec::new()),
                Folded::Refused => (Rank::Opens, Vec::new()),
                Folded::Taken(changes) => {
                    holds = true;
                    let begins = self.vault(vault)?.members.has_certificate(&log);
                    (if begins { Rank::Certificate } else { Rank::Opens }, changes.logs_certified)
                }
            },
            // Of a log that waits already, the rank of its first segment stays.
            Class::Data
                if self.vault(vault)?.waiting.get(&log).is_none() && self.vault(vault)?.opens(segment) =>
            {
                (Rank::Opens, Vec::new())
            }
            Class::Data => (Rank::Shut, Vec::new()),
        };
        if certified.contains(&log) {
            self.admit_for(taking, certified.clone())?;
            if self.state.logs.number(vault, &log).is_some() {
                return self.take_in(taking, segment);
            }
        }
        if self.keep_waiting(vault, checked, (rank, holds))? {
            taking.taken.segments += 1;
        } else {
            self.vault_mut(vault)?.forget_folded(&log, seq);
        }
        self.raise_relay_head(taking.relay, vault, head_of(checked))?;
        self.admit_for(taking, certified)
    }

    /// Looks at a segment that is not kept: once its signature holds, its log is known to reach that far at the relay.
    fn pass_by(
        &mut self,
        taking: &mut Taking<'_>,
        public: PublicKeyBytes,
        segment: &SealedSegment,
    ) -> Result<(), Error> {
        let header = segment.header();
        let shown = self.shown(taking.relay, taking.vault, &header.log)?;
        let begins = taking.keys.of(&taking.id, &header.log).map_or(Base::WHOLE, |key| key.base);
        let next = shown.map_or(begins.seq, |shown| shown.seq.next().max(begins.seq));
        if header.seq < next {
            return Ok(());
        }
        if header.seq > next {
            taking.taken.received.wants.push((header.log, next, header.seq));
            return Ok(());
        }
        let checked = self.check_signature(&taking.id, public, segment);
        let checked = CheckedSegment::from(checked.map_err(|_| PeerFault::BadSignature)?);
        let prev = shown.filter(|shown| shown.seq.next() == next).map_or(begins.chain, |shown| shown.chain);
        if header.prev != prev {
            return Ok(()); // of another future than the one that was shown before
        }
        self.raise_relay_head(taking.relay, taking.vault, head_of(&checked))
    }

    fn admit_for(&mut self, taking: &mut Taking<'_>, certified: Vec<LogId>) -> Result<(), Error> {
        let data = self.admit(taking.vault, certified)?;
        taking.certified.extend(data);
        Ok(())
    }

    /// Gives logs that are certified now their numbers, and moves what waited of them to them. The data logs among
    /// them: what names them is to be merged once more.
    pub(crate) fn admit(&mut self, vault: VaultNo, certified: Vec<LogId>) -> Result<Vec<LogId>, Error> {
        let (mut queue, mut data) = (certified, Vec::new());
        if !queue.is_empty() {
            // A certificate may say where a log begins that is certified already.
            let waiting = self.vault(vault)?.waiting.iter().map(|(log, _)| *log);
            queue.extend(waiting.filter(|log| self.state.logs.number(vault, log).is_some()));
        }
        while let Some(id) = queue.pop() {
            let Some(certificate) = self.vault(vault)?.members.certified(&id) else { continue };
            if self.state.logs.number(vault, &id).is_none() {
                if self.vault(vault)?.logs.len() >= LOGS_PER_VAULT_MAX {
                    tracing::warn!(log = %id, "a certified log waits: the vault has as many as it may have");
                    continue;
                }
                let log = self.register_log(vault, &certificate.public, certificate.class)?;
                self.relays.move_shown(vault, &id, log)?;
                self.look_for_loose(vault, &id, None)?;
            }
            if let Some(log) = self.state.logs.number(vault, &id) {
                let class = self.vault(vault)?.logs.get(&log).map(|info| info.class);
                if class != Some(certificate.class) && self.logs.head(log.into())?.is_none() {
                    self.reclassify_log(vault, log, certificate.class)?;
                }
                queue.extend(self.release(vault, log, &certificate)?);
            }
            if certificate.class == Class::Data {
                data.push(id);
            }
        }
        Ok(data)
    }

    /// Moves what waited of a log to it; the logs that are certified by that.
    fn release(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        certificate: &CertifiedLog,
    ) -> Result<Vec<LogId>, Error> {
        let (id, mut certified) = (LogId::of(&certificate.public), Vec::new());
        let Some(waiting) = self.vault(vault)?.waiting.get(&id) else { return Ok(certified) };
        let begins = match self.vault(vault)?.members.base(&id) {
            _ if waiting.base.is_whole() => waiting.base,
            Some(base) if waiting.base.seq <= base.seq && base.seq <= waiting.seq => base,
            _ => return Ok(certified),
        };
        let before = begins.seq.0.checked_sub(1).map(Seq).filter(|before| *before >= waiting.base.seq);
        let fits = match before {
            Some(before) => self.waiting_chain(vault, &id, before)? == Some(begins.chain),
            None => waiting.base == begins,
        };
        if !fits || self.logs.head(log.into())?.is_some() {
            return Ok(certified);
        }
        for checked in self.take_waiting(vault, &id)? {
            if checked.segment().header().seq < begins.seq {
                continue;
            }
            if checked.segment().header().kind.class() != certificate.class {
                continue; // its author certified one thing and wrote another
            }
            match certificate.class {
                Class::Data => self.store_data(vault, log.into(), &checked)?,
                Class::Control => certified.extend(self.store_control(vault, log.into(), &checked)?),
            }
        }
        Ok(certified)
    }

    /// Stores a control segment and takes in its entries; the logs that they certify.
    fn store_control(
        &mut self,
        vault: VaultNo,
        branch: BranchNo,
        checked: &CheckedSegment,
    ) -> Result<Vec<LogId>, Error> {
        let segment = checked.segment();
        let (id, seq) = (segment.header().log, segment.header().seq);
        let folded = self.vault_mut(vault)?.fold_control_segment(&id, segment);
        // Up to here the signatures of all entries hold: opening need not check them again.
        let merged = self.merged_of(branch, segment.header())?;
        let taken = merged == seq && matches!(folded, Folded::Taken(_));
        self.logs.store_segment(branch, checked, if taken { seq.next() } else { merged })?;
        Ok(match folded {
            Folded::Taken(changes) => changes.logs_certified,
            Folded::Shut | Folded::Refused => Vec::new(),
        })
    }
}

fn head_of(checked: &CheckedSegment) -> Head {
    let header = checked.segment().header();
    Head { log: header.log, seq: header.seq, chain: *checked.chain() }
}
