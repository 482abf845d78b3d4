//! A device's store as far as links care: logs, what the relay is believed to hold, writes that are not sealed.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::client_link::{
    Birth, FeedBatch, HeldChain, Input, OutboxBatch, Output, Prepared, Received, StatementsKept,
};
use subrosa_protocol::digest::digest;
use subrosa_protocol::frame::{LogKey, Role, ShortHead};
use subrosa_protocol::ids::{
    Chain, Digest, Generation, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId,
};
use subrosa_protocol::labels;
use subrosa_protocol::segment::SealedSegment;

use crate::keys::{Key, segment, statement, write_key, writes};
use crate::relay::{EXPORTER, grant};

#[derive(Clone)]
struct Log {
    public: PublicKeyBytes,
    segments: Vec<(SealedSegment, Chain)>,
}

impl Log {
    fn next(&self) -> (Seq, Chain) {
        let prev = self.segments.last().map_or(Chain::ZERO, |(_, chain)| *chain);
        (Seq(self.segments.len() as u64), prev)
    }
}

#[derive(Clone)]
pub(crate) struct Device {
    vault: VaultId,
    own: Key,
    logs: BTreeMap<LogId, Log>,
    relay_heads: BTreeMap<LogId, Seq>,
    incarnation: Incarnation,
    scanned: Rseq,
    verified: (Rseq, Digest),
    pub(crate) pending: Vec<u64>,
}

impl Device {
    pub(crate) fn new(key: u64) -> Self {
        let own = Key::new(key);
        let log = Log { public: own.public(), segments: Vec::new() };
        Self {
            vault: statement().vault,
            logs: BTreeMap::from([(LogId::of(&own.public()), log)]),
            own,
            relay_heads: BTreeMap::new(),
            incarnation: Incarnation::ZERO,
            scanned: Rseq(0),
            verified: (Rseq(0), digest(&[])),
            pending: Vec::new(),
        }
    }

    fn own_log(&self) -> LogId {
        LogId::of(&self.own.public())
    }

    /// Every write that this device holds.
    pub(crate) fn holds(&self) -> BTreeSet<u64> {
        let sealed =
            self.logs.values().flat_map(|log| &log.segments).flat_map(|(segment, _)| writes(segment));
        sealed.chain(self.pending.iter().copied()).collect()
    }

    /// Does what a link asks for; `fresh` names a key that nobody has.
    pub(crate) fn perform(&mut self, output: Output, fresh: u64) -> Option<Input> {
        let vault = self.vault;
        Some(match output {
            Output::Prepare { .. } => Input::Prepared { vault, prepared: self.prepare() },
            Output::LoadBirth { .. } => {
                let (statements, chain) = (vec![statement().encode()], whole());
                Input::Birth { vault, birth: Birth { statements, chain, grant: Some(grant()) } }
            }
            Output::StoreStatements { statements, .. } => {
                assert_eq!(statements, [statement().encode()], "the relay has what it was given");
                let kept = StatementsKept::Compared { last: Generation(0), tail: Vec::new() };
                Input::StatementsStored { vault, kept }
            }
            Output::StoreHeads { incarnation, heads, .. } => {
                let diverged = self.store_heads(incarnation, &heads);
                Input::HeadsStored {
                    vault,
                    diverged,
                    own: vec![self.own_log()],
                    heads: self.heads_for(&heads),
                }
            }
            Output::Deliver { batch, .. } => Input::Delivered { vault, received: self.receive(batch) },
            Output::Rotate { .. } => {
                self.rotate(fresh);
                Input::Rotated { vault }
            }
            Output::Seal { .. } => {
                self.seal();
                Input::Sealed { vault, more: !self.pending.is_empty() }
            }
            Output::LoadOutbox { sent, bytes_max, .. } => {
                Input::Outbox { vault, batch: self.outbox(&sent, bytes_max) }
            }
            Output::StoreAck { entries, .. } => {
                self.acked(&entries);
                Input::AckStored { vault, more: false }
            }
            Output::StoreGrant { .. }
            | Output::RelayNow { .. }
            | Output::Send(_)
            | Output::StopFeed { .. }
            | Output::Event(_) => {
                return None;
            }
        })
    }

    fn prepare(&self) -> Prepared {
        let mut payload = [0; 65];
        payload[..32].copy_from_slice(&EXPORTER);
        payload[32..64].copy_from_slice(self.vault.as_bytes());
        payload[64] = Role::Writer as u8;
        let (verified, known) = self.verified;
        Prepared {
            role: Role::Writer,
            public: write_key().public(),
            signature: write_key().sign(labels::AUTH, &payload),
            incarnation: self.incarnation,
            cursor: self.scanned,
            digest: if verified == self.scanned { known } else { Digest::ZERO },
            chain: whole(),
        }
    }

    fn heads(&self) -> Vec<ShortHead> {
        let held = self.logs.iter().filter_map(|(log, held)| {
            let (segment, chain) = held.segments.last()?;
            Some(ShortHead::from(Head { log: *log, seq: segment.header().seq, chain: *chain }))
        });
        held.collect()
    }

    /// As [`Device::heads`]; where the relay's part of the own log ends on another chain, what is here.
    fn heads_for(&self, theirs: &[ShortHead]) -> Vec<ShortHead> {
        let mut heads = self.heads();
        let own = self.own_log();
        let ours = heads.iter_mut().find(|head| head.log == own);
        if let (Some(ours), Some(said)) = (ours, theirs.iter().find(|head| head.log == own))
            && let Some((_, chain)) = self.logs[&own].segments.get(said.seq.0 as usize)
            && !said.names(chain)
        {
            *ours = ShortHead::from(Head { log: own, seq: said.seq, chain: *chain });
        }
        heads
    }

    fn store_heads(&mut self, incarnation: Incarnation, heads: &[ShortHead]) -> bool {
        self.incarnation = incarnation;
        (self.scanned, self.verified) = (Rseq(0), (Rseq(0), digest(&[])));
        let before = std::mem::take(&mut self.relay_heads);
        let mut diverged = false;
        for said in heads {
            let own = said.log == self.own_log();
            let Some((last, _)) = self.logs.get(&said.log).and_then(|log| log.segments.last()) else {
                diverged |= own;
                continue;
            };
            if own && said.seq > last.header().seq {
                // Where the logs part is unknown, but not before what the relay acknowledged.
                diverged = true;
                if let Some(acknowledged) = before.get(&said.log) {
                    self.relay_heads.insert(said.log, *acknowledged);
                }
                continue;
            }
            let common = said.seq.min(last.header().seq);
            let chain = self.logs[&said.log].segments[common.0 as usize].1;
            if common == said.seq && !said.names(&chain) {
                diverged |= own;
                continue;
            }
            self.relay_heads.insert(said.log, common);
        }
        diverged
    }

    fn receive(&mut self, batch: FeedBatch) -> Received {
        let mut received = Received::default();
        for LogKey { public, .. } in batch.logs {
            self.logs.entry(LogId::of(&public)).or_insert(Log { public, segments: Vec::new() });
        }
        if self.incarnation != batch.incarnation {
            self.incarnation = batch.incarnation;
            (self.scanned, self.verified) = (Rseq(0), (Rseq(0), digest(&[])));
        }
        for item in batch.items {
            self.scanned = self.scanned.max(item.rseq.unwrap_or_default());
            self.take_in(item.segment, &mut received);
        }
        if let Some((rseq, said)) = batch.caught_up {
            let heads = self.relay_heads.iter().map(|(log, seq)| Head {
                log: *log,
                seq: *seq,
                chain: self.logs[log].segments[seq.0 as usize].1,
            });
            let holds = digest(&heads.collect::<Vec<_>>()) == said;
            received.digest_ok = Some(holds);
            self.scanned = self.scanned.max(rseq);
            if holds {
                self.verified = (rseq, said);
            }
        }
        received
    }

    fn take_in(&mut self, segment: SealedSegment, received: &mut Received) {
        let (log, seq) = (segment.header().log, segment.header().seq);
        let own = log == self.own_log();
        let vault = self.vault;
        let held = self.logs.get_mut(&log).expect("logs are introduced");
        let (expected, prev) = held.next();
        if seq > expected {
            received.own_log_foreign |= own;
            received.wants.push((log, expected, seq));
        } else if seq < expected {
            let same = segment.preimage(&vault).chain() == held.segments[seq.0 as usize].1;
            if same {
                self.raise(log, seq);
            } else if own {
                received.own_log_foreign = true;
                received.wants.push((log, seq, seq));
            }
        } else if segment.header().prev == prev {
            let chain = segment.verify(&vault, &held.public).expect("the relay has checked it");
            received.own_log_foreign |= own;
            held.segments.push((segment, chain));
            self.raise(log, seq);
        } else {
            assert!(own, "only a log of ours, forked by a copy, goes on from what we do not hold");
            received.own_log_foreign = true;
            received.wants.push((log, Seq(seq.0.saturating_sub(1)), seq));
        }
    }

    fn raise(&mut self, log: LogId, seq: Seq) {
        let head = self.relay_heads.entry(log).or_insert(seq);
        *head = seq.max(*head);
    }

    /// What the relay is not known to hold of the own log is issued again in a new one.
    fn rotate(&mut self, fresh: u64) {
        let old = self.own_log();
        let kept = self.relay_heads.get(&old).map_or(0, |seq| seq.0 as usize + 1);
        let log = self.logs.get_mut(&old).unwrap();
        for (segment, _) in log.segments.drain(kept.min(log.segments.len())..) {
            self.pending.extend(writes(&segment));
        }
        self.own = Key::new(fresh);
        self.logs.insert(self.own_log(), Log { public: self.own.public(), segments: Vec::new() });
    }

    /// Seals a few writes; the rest waits for another call.
    fn seal(&mut self) {
        let taken: Vec<u64> = self.pending.drain(..self.pending.len().min(3)).collect();
        if taken.is_empty() {
            return;
        }
        let id = self.own_log();
        let log = self.logs.get_mut(&id).unwrap();
        let sealed = segment(&self.own, &self.vault, log.next(), &taken);
        log.segments.push(sealed);
    }

    fn outbox(&self, sent: &BTreeMap<LogId, Seq>, bytes_max: usize) -> OutboxBatch {
        let mut batch = OutboxBatch::default();
        let mut bytes = 0;
        for (id, log) in &self.logs {
            let after = self.relay_heads.get(id).max(sent.get(id)).map_or(Seq(0), |seq| seq.next());
            let new: Vec<_> = log.segments.iter().skip(usize::try_from(after.0).unwrap()).collect();
            if new.is_empty() {
                continue;
            }
            batch.logs.push(log.public.into());
            for (segment, _) in new {
                if bytes > 0 && bytes + segment.bytes().len() > bytes_max {
                    batch.more = true;
                    return batch;
                }
                bytes += segment.bytes().len();
                batch.segments.push(segment.clone());
            }
        }
        batch
    }

    fn acked(&mut self, entries: &[Head]) {
        for entry in entries {
            let held = self.logs.get(&entry.log).and_then(|log| log.segments.get(entry.seq.0 as usize));
            if held.is_some_and(|(_, chain)| *chain == entry.chain) {
                self.raise(entry.log, entry.seq);
            }
        }
    }
}

const fn whole() -> HeldChain {
    HeldChain::Whole { last: Generation(0) }
}
