//! Checking signature and place of what links push, against each log's head once everything queued is committed.
//! A plain function on plain types: it waits for nothing but the store.

use std::collections::HashMap;
use std::time::Duration;

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::LogKey;
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::relay_link::{Append, Introduced, Refused};
use subrosa_protocol::segment::{SealedSegment, VerifiedSegment};

use super::news::{Heard, Untrue};
use super::rate::{Cost, Rates};
use super::{fault, retry_secs};
use crate::config::Quotas;
use crate::faults;
use crate::store::{Batch, Damage, LogStore, LogTip, Offered, StoreError};

/// Tips kept in memory; dropped all at once, to be read again.
const TIPS_MAX: usize = 1 << 16;

/// Whether a log may begin here behind its first segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bases {
    /// No. Whoever holds one segment of another's log could begin it there, and the rest would find no place ever; a relay
    /// reads no certificates, so it cannot tell who may.
    #[default]
    Refused,
    /// Where LOG says. For tests of what devices and feeds make of such logs.
    Taken,
}

/// What appends are checked against.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a dyn LogStore,
    pub(crate) quotas: &'a Quotas,
    pub(crate) bases: Bases,
}

/// Why one segment is refused, and the damage that was met on the way.
struct No(ErrorCode, Option<Damage>);

/// An append that was checked.
#[derive(Debug)]
pub(crate) struct Verified {
    /// What may be committed.
    pub(super) batch: Batch,
    /// What may not.
    pub(super) refused: Vec<Refused>,
    /// Bytes of the append.
    pub(super) bytes: usize,
    /// The news that the verifier had heard.
    pub(super) heard: u64,
    /// Met while reading heads.
    pub(super) damaged: Option<Damage>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Verifier {
    rates: Rates,
    /// Where each log stands once everything queued is committed.
    tips: HashMap<(VaultId, LogId), LogTip>,
    heard: u64,
}

impl Verifier {
    /// Unlearns what is not so. To be called before each [`Verifier::verify`].
    pub(crate) fn hear(&mut self, news: Heard) {
        self.heard = news.up_to;
        for untrue in news.untrue {
            match untrue {
                Untrue::Log(vault, log) => {
                    self.tips.remove(&(vault, log));
                }
                Untrue::Vault(vault) => self.tips.retain(|(of, _), _| *of != vault),
                Untrue::All => self.tips.clear(),
            }
        }
        if self.tips.len() > TIPS_MAX {
            self.tips.clear();
        }
    }

    /// Checks an append.
    pub(crate) fn verify(&mut self, ground: Ground<'_>, now: Duration, append: Append) -> Verified {
        let Append { vault, introduced, segments, bytes } = append;
        let vouches = introduced.iter().filter_map(|log| log.vouch).collect();
        let mut refused: Vec<Refused> = Vec::new();
        let mut offered = Vec::with_capacity(segments.len());
        let mut damaged = None;
        let cost = Cost { bytes, segments: segments.len() };
        let limited = self.rates.admit(ground, now, &vault, cost);
        for segment in segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if refused.iter().any(|refused| refused.log == log) {
                continue;
            }
            let (code, retry_after_secs) = match limited {
                Some(secs) => (ErrorCode::RateLimited, secs),
                None => match self.verify_one(ground, &vault, &introduced, segment) {
                    Ok(one) => {
                        offered.push(one);
                        continue;
                    }
                    Err(No(code, damage)) => {
                        damaged = damaged.or(damage);
                        (code, retry_secs(code))
                    }
                },
            };
            refused.push(Refused { code, retry_after_secs, log, seq });
        }
        Verified { batch: Batch { vault, offered, vouches }, refused, bytes, heard: self.heard, damaged }
    }

    fn tip(&self, store: &dyn LogStore, key: &(VaultId, LogId)) -> Result<Option<LogTip>, No> {
        if let Some(tip) = self.tips.get(key) {
            return Ok(Some(*tip));
        }
        store.tip(&key.0, &key.1).map_err(|error| {
            let damage = if let StoreError::Vault(damage) = &error { Some(*damage) } else { None };
            No(fault(&error), damage)
        })
    }

    fn verify_one(
        &mut self,
        ground: Ground<'_>,
        vault: &VaultId,
        introduced: &[Introduced],
        segment: SealedSegment,
    ) -> Result<Offered, No> {
        let no = |code| No(code, None);
        let header = *segment.header();
        let key = (*vault, header.log);
        let tip = self.tip(ground.store, &key)?;
        let introduced = || {
            let log = introduced.iter().find(|log| LogId::of(&log.key.public) == header.log);
            log.map(|log| log.key)
        };
        let (next, prev, public) = match &tip {
            Some(tip) if header.seq <= tip.seq => return Ok(Offered::Repeated(segment)),
            Some(tip) => (tip.seq.next(), tip.chain, Some(tip.public)),
            None => {
                let LogKey { public, base } = introduced().ok_or(no(ErrorCode::UnknownLog))?;
                if !base.is_whole() && ground.bases == Bases::Refused {
                    return Err(no(ErrorCode::Gap));
                }
                (base.seq, base.chain, Some(public))
            }
        };
        let class = tip.map_or(header.kind.class(), |tip| tip.class);
        if class != header.kind.class() {
            return Err(no(ErrorCode::WrongKind));
        }
        let public = public.ok_or(no(ErrorCode::UnknownLog))?;
        if tip.is_some_and(|tip| tip.closed) {
            return Err(no(ErrorCode::Closed));
        }
        if header.seq != next {
            return Err(no(ErrorCode::Gap));
        }
        let verified =
            VerifiedSegment::check(vault, public, segment).map_err(|_| no(ErrorCode::BadSignature))?;
        if *verified.prev() != prev && !faults::ANY_CHAIN_APPENDED {
            return Err(no(ErrorCode::Conflict));
        }
        let (seq, chain, closed) = (header.seq, *verified.chain(), header.kind.closes());
        self.tips.insert(key, LogTip { public, class, seq, chain, closed });
        Ok(if tip.is_some() { Offered::Next(verified) } else { Offered::First(verified) })
    }
}
