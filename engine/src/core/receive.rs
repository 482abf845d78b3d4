//! Taking in what a relay feeds: verified, stored, merged, all in one durable transaction.
//!
//! The order is fixed: shape (done by the frame decoder), then signature and chain, then storage, then decryption,
//! then merging. Nothing is dropped silently: what cannot be merged yet stays in its log or in quarantine with a
//! reason; what does not fit its log is asked for again.

use redb::ReadableTable as _;
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{
    Chain, Digest, Head, Incarnation, LogId, Pin, PublicKeyBytes, Rseq, Seq, VaultId,
};
use subrosa_protocol::limits;
use subrosa_protocol::segment::{Class, SealedSegment};

use super::Core;
use super::commit::{Durable, Tx};
use super::outbox::Cursor;
use super::state::{LogHead, LogInfo, split_segment_row};
use crate::merge::LogNo;
use crate::store::StoreError;
use crate::store::tables::{VaultNo, relay_key, segment_key};
use crate::{Error, PeerFault};

/// Part of a feed, in its order.
#[derive(Debug)]
pub(crate) struct FeedBatch {
    /// The relay's incarnation that the feed belongs to.
    pub(crate) incarnation: Incarnation,
    /// Logs introduced in it.
    pub(crate) logs: Vec<PublicKeyBytes>,
    /// Segments.
    pub(crate) items: Vec<FeedItem>,
    /// The CAUGHT_UP that ended it, if one did.
    pub(crate) caught_up: Option<(Rseq, Digest)>,
}

/// One segment of a feed.
#[derive(Debug)]
pub(crate) struct FeedItem {
    /// Its place in the scan; `None` for segments out of turn.
    pub(crate) rseq: Option<Rseq>,
    pub(crate) segment: SealedSegment,
}

/// What taking in a batch did.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// New segments stored.
    pub(crate) segments: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Segments to ask for: they are missing, and others build on them.
    pub(crate) wants: Vec<(LogId, Seq, Seq)>,
    /// A log of ours has a future that we did not write: rotate before sealing, then send the wants.
    pub(crate) own_log_foreign: bool,
    /// At CAUGHT_UP: whether the relay holds what it says, as far as we were shown.
    pub(crate) digest_ok: Option<bool>,
}

/// Why a segment is in quarantine. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Its log has no certificate yet. The segment is held in the entry.
    NoCertificate = 1,
    /// It does not open with the keys that are here.
    StaysShut = 2,
    /// It opens but does not decode; perhaps a newer version reads it.
    Undecodable = 3,
    /// Another segment of the same log and seq is held too; this is the second. The segment is held in the entry.
    Equivocation = 4,
    /// A kind of a newer version.
    UnknownKind = 5,
}

impl Reason {
    /// Reasons that may pass: what is in quarantine for them is tried again.
    pub(crate) const RETRIED: &[u8] =
        &[Self::StaysShut as u8, Self::Undecodable as u8, Self::UnknownKind as u8];

    /// Whether the segment lies in the entry, because its log does not hold it.
    pub(crate) const fn holds_segment(self) -> bool {
        matches!(self, Self::NoCertificate | Self::Equivocation)
    }
}

impl Core {
    /// Takes in part of a feed in one durable transaction.
    ///
    /// # Errors
    /// [`Error::Peer`] when an honest relay does not send that; nothing of the batch was taken in.
    pub(crate) fn receive(&self, vault: &VaultId, relay: &Pin, batch: FeedBatch) -> Result<Received, Error> {
        // A mere "caught up" costs a comparison to lose.
        let empty = batch.items.is_empty() && batch.logs.is_empty();
        self.write_with(if empty { Durable::Later } else { Durable::Now }, |tx| {
            let number = tx.state.vault_no(vault)?;
            let mut received = Received::default();
            for public in &batch.logs {
                tx.register_log(number, public)?;
            }
            let mut cursor = tx.cursor(relay, number)?;
            if cursor.incarnation != batch.incarnation {
                cursor = Cursor { incarnation: batch.incarnation, ..Cursor::default() };
            }
            let (control, other): (Vec<_>, Vec<_>) =
                batch.items.iter().partition(|item| item.segment.header().kind.class() == Class::Control);
            for item in control {
                tx.take_in(number, relay, item, &mut received)?;
            }
            tx.release_certified(number, &mut received)?;
            for item in other {
                tx.take_in(number, relay, item, &mut received)?;
            }
            tx.merge_ready(number)?;
            for item in &batch.items {
                cursor.scanned = cursor.scanned.max(item.rseq.unwrap_or_default());
            }
            if let Some((rseq, said)) = batch.caught_up {
                tx.want_what_is_named(number, &mut received)?;
                let holds = digest(tx.relay_heads_of(relay, number)?) == said;
                received.digest_ok = Some(holds);
                cursor.scanned = cursor.scanned.max(rseq);
                if holds {
                    (cursor.verified, cursor.digest) = (rseq, said);
                }
            }
            tx.put_cursor(relay, number, &cursor)?;
            Ok(received)
        })
    }
}

impl Tx<'_> {
    /// Asks for what other members have seen and the relay, which says that it has shown everything, has not shown:
    /// once for each open, for it may be that nobody has it any more.
    fn want_what_is_named(&mut self, vault: VaultNo, received: &mut Received) -> Result<(), Error> {
        for (log, seq) in std::mem::take(&mut self.vault_mut(vault)?.named) {
            let held = match self.state.logs.number(&log) {
                Some(number) => self.last_held(number)?.map(|(seq, _)| seq),
                None => None,
            };
            if held < Some(seq) {
                tracing::warn!(%log, seq = seq.0, "a segment that others have seen is missing");
                received.wants.push((log, held.map_or(Seq(0), Seq::next), seq));
            }
        }
        Ok(())
    }

    /// Verifies and stores one segment.
    fn take_in(
        &mut self,
        vault: VaultNo,
        relay: &Pin,
        item: &FeedItem,
        received: &mut Received,
    ) -> Result<(), Error> {
        let segment = &item.segment;
        let header = segment.header();
        let log = self.state.logs.number(&header.log).ok_or(PeerFault::UnknownLog)?;
        let info = *self.vault(vault)?.logs.get(&log).ok_or(PeerFault::UnknownLog)?;
        // Only checked here: nothing that a relay says is kept before the log's signature has been verified.
        if info.class.is_some_and(|fixed| fixed != header.kind.class()) {
            return Err(Error::Peer(PeerFault::WrongKind));
        }
        let head = self.last_held(log)?;
        let expected = head.map_or(Seq(0), |(seq, _)| seq.next());
        let own = self.vault(vault)?.own;
        let is_own = log == own.data || log == own.control;
        if header.seq > expected {
            if self.is_noted(vault, log, header.seq)? {
                return Ok(()); // asked for once the log is certified
            }
            received.own_log_foreign |= is_own;
            received.wants.push((header.log, expected, header.seq));
            return Ok(());
        }
        if header.seq < expected {
            return self.take_in_again(vault, relay, log, &info, segment, is_own, received);
        }
        let prev = head.map_or(Chain::ZERO, |(_, chain)| chain);
        let vault_id = self.vault(vault)?.id;
        let Ok(chain) = segment.verify(&vault_id, &prev, &info.public) else {
            return self.does_not_follow(log, &info, segment, is_own, received);
        };
        self.fix_class(vault, log, header.kind.class())?;
        received.own_log_foreign |= is_own;
        received.segments += 1;
        received.bytes += segment.bytes().len() as u64;
        if header.kind.class() == Class::Data && self.vault(vault)?.members.certified(&info.id).is_none() {
            if !self.quarantine(vault, log, Reason::NoCertificate, chain, segment)? {
                self.vault_mut(vault)?.noted.insert(log, header.seq);
                return Ok(());
            }
        } else {
            let merged = self.head(log)?.map_or(Seq(0), |head| head.merged);
            self.store_segment(log, segment, chain, merged)?;
            if header.kind.class() == Class::Control {
                self.fold_control(vault, log, &prev, segment, chain)?;
            }
        }
        self.raise_relay_head(relay, log, header.seq, chain)
    }

    /// Whether a log has no room left in quarantine; notes that it goes on up to `seq`.
    fn is_noted(&mut self, vault: VaultNo, log: LogNo, seq: Seq) -> Result<bool, Error> {
        if !self.vault(vault)?.noted.contains_key(&log) {
            return Ok(false);
        }
        self.vault_mut(vault)?.noted.entry(log).and_modify(|noted| *noted = seq.max(*noted));
        Ok(true)
    }

    /// The last segment of a log that is held, merged or in quarantine.
    fn last_held(&self, log: LogNo) -> Result<Option<(Seq, Chain)>, Error> {
        if let Some(head) = self.head(log)? {
            return Ok(Some((head.seq, head.chain)));
        }
        let (first, last) = (segment_key(log, Seq(0)), segment_key(log, Seq(u64::MAX)));
        let row = self.tables.quarantine.range::<&[u8; 12]>(&first..=&last)?.next_back().transpose()?;
        let Some((key, row)) = row else { return Ok(None) };
        let (_, chain, segment) = split_quarantine_row(row.value())?;
        debug_assert_eq!(key.value(), &segment_key(log, segment.header().seq));
        Ok(Some((segment.header().seq, chain)))
    }

    /// A segment whose place is taken: the same one again, or evidence of a second future.
    #[expect(clippy::too_many_arguments, reason = "one step of taking a segment in, split off for length")]
    fn take_in_again(
        &mut self,
        vault: VaultNo,
        relay: &Pin,
        log: LogNo,
        info: &LogInfo,
        segment: &SealedSegment,
        is_own: bool,
        received: &mut Received,
    ) -> Result<(), Error> {
        let seq = segment.header().seq;
        let (vault_id, held) = (self.vault(vault)?.id, self.segment(log, seq)?);
        let (Some((held_chain, _)), Some(prev)) = (held, self.chain_before(log, seq)?) else {
            return Ok(()); // in quarantine, where one copy is enough
        };
        let preimage = segment.preimage(&vault_id, &prev);
        if preimage.chain() == held_chain {
            return self.raise_relay_head(relay, log, seq, held_chain);
        }
        if is_own {
            received.own_log_foreign = true;
            received.wants.push((info.id, seq, seq));
            return Ok(());
        }
        if let Ok(chain) = segment.verify(&vault_id, &prev, &info.public)
            && self.quarantine(vault, log, Reason::Equivocation, chain, segment)?
        {
            tracing::warn!(log = %info.id, seq = seq.0, "a log has two futures");
        }
        Ok(())
    }

    /// A segment at the right place that does not verify there: of another future, or forged.
    fn does_not_follow(
        &self,
        log: LogNo,
        info: &LogInfo,
        segment: &SealedSegment,
        is_own: bool,
        received: &mut Received,
    ) -> Result<(), Error> {
        let seq = segment.header().seq;
        if is_own {
            // Our own head may be the one that nobody else has: ask for what stands before.
            received.own_log_foreign = true;
            received.wants.push((info.id, Seq(seq.0.saturating_sub(1)), seq));
            return Ok(());
        }
        if let Some(before) = seq.0.checked_sub(1) {
            let row = self.tables.quarantine.get(&segment_key(log, Seq(before)))?;
            if row.is_some_and(|row| row.value().first() == Some(&(Reason::Equivocation as u8))) {
                return Ok(()); // it builds on the branch that is already kept as evidence
            }
        }
        Err(Error::Peer(PeerFault::BadSignature))
    }

    /// Puts a segment aside with a reason; says whether there was room for it.
    pub(crate) fn quarantine(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        reason: Reason,
        chain: Chain,
        segment: &SealedSegment,
    ) -> Result<bool, Error> {
        let key = segment_key(log, segment.header().seq);
        let mut row = vec![reason as u8];
        row.extend_from_slice(chain.as_bytes());
        if reason.holds_segment() {
            if self.tables.quarantine.get(&key)?.is_some() {
                return Ok(true);
            }
            let (first, last) = (segment_key(log, Seq(0)), segment_key(log, Seq(u64::MAX)));
            let mut log_bytes = 0;
            for row in self.tables.quarantine.range::<&[u8; 12]>(&first..=&last)? {
                log_bytes += row?.1.value().len();
            }
            let bytes = segment.bytes().len();
            let vault_bytes = self.vault(vault)?.quarantine_bytes;
            if log_bytes + bytes > limits::QUARANTINE_LOG_BYTES_MAX
                || vault_bytes + bytes as u64 > limits::QUARANTINE_VAULT_BYTES_MAX as u64
            {
                return Ok(false);
            }
            row.extend_from_slice(segment.bytes());
        }
        self.vault_mut(vault)?.quarantine_bytes += row.len() as u64;
        self.tables.quarantine.insert(&key, &row[..])?;
        Ok(true)
    }

    /// Opens a control segment and takes in its entries.
    fn fold_control(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        prev: &Chain,
        segment: &SealedSegment,
        chain: Chain,
    ) -> Result<(), Error> {
        let id = segment.header().log;
        let seq = segment.header().seq;
        let taken = self.vault_mut(vault)?.fold_control_segment(&id, prev, segment);
        if !taken {
            self.quarantine(vault, log, Reason::StaysShut, chain, segment)?;
        }
        // Up to here the signatures of all entries hold: opening need not check them again.
        let merged = self.head(log)?.map_or(Seq(0), |head| head.merged);
        let merged = if taken && merged == seq { seq.next() } else { merged };
        self.put_head(log, &LogHead { seq, chain, merged })
    }

    /// Moves segments whose logs have a certificate now from quarantine to their logs.
    pub(crate) fn release_certified(&mut self, vault: VaultNo, received: &mut Received) -> Result<(), Error> {
        let state = self.vault(vault)?;
        let certified: Vec<_> = state
            .logs
            .iter()
            .filter(|(_, info)| {
                info.class == Some(Class::Data) && state.members.certified(&info.id).is_some()
            })
            .map(|(log, info)| (*log, info.id))
            .collect();
        for (log, id) in certified {
            if self.head(log)?.is_some() {
                continue;
            }
            let (first, last) = (segment_key(log, Seq(0)), segment_key(log, Seq(u64::MAX)));
            let mut rows = Vec::new();
            for row in self.tables.quarantine.range::<&[u8; 12]>(&first..=&last)? {
                let (key, row) = row?;
                rows.push((*key.value(), row.value().len(), split_quarantine_row(row.value())?));
            }
            for (key, len, (_, chain, segment)) in rows {
                self.store_segment(log, &segment, chain, Seq(0))?;
                self.tables.quarantine.remove(&key)?;
                let state = self.vault_mut(vault)?;
                state.quarantine_bytes = state.quarantine_bytes.saturating_sub(len as u64);
            }
            if let Some(noted) = self.vault_mut(vault)?.noted.remove(&log) {
                let next = self.head(log)?.map_or(Seq(0), |head| head.seq.next());
                received.wants.push((id, next, noted));
            }
        }
        Ok(())
    }

    /// Notes that the relay holds a log up to here.
    pub(crate) fn raise_relay_head(
        &mut self,
        relay: &Pin,
        log: LogNo,
        seq: Seq,
        chain: Chain,
    ) -> Result<(), Error> {
        let key = relay_key(relay, log.0);
        let known = self.tables.relay_heads.get(&key)?.map(|row| decode_relay_head(row.value()).0);
        if known.is_none_or(|known| known < seq) {
            self.tables.relay_heads.insert(&key, &encode_relay_head(seq, &chain))?;
        }
        Ok(())
    }

    /// All heads of a vault that the relay is known to hold.
    pub(crate) fn relay_heads_of(&self, relay: &Pin, vault: VaultNo) -> Result<Vec<Head>, Error> {
        let mut heads = Vec::new();
        for (log, info) in &self.vault(vault)?.logs {
            if let Some(row) = self.tables.relay_heads.get(&relay_key(relay, log.0))? {
                let (seq, chain) = decode_relay_head(row.value());
                heads.push(Head { log: info.id, seq, chain });
            }
        }
        Ok(heads)
    }
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

fn split_quarantine_row(row: &[u8]) -> Result<(u8, Chain, SealedSegment), StoreError> {
    let (reason, rest) = row.split_first().ok_or(StoreError::Inconsistent)?;
    let (chain, segment) = split_segment_row(rest)?;
    Ok((*reason, chain, segment))
}
