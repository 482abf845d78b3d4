//! Checking signature and place of what links push, against each log's head once everything queued is committed.
//! A plain function on plain types: it waits for nothing but the store.

use std::collections::HashMap;
use std::time::Duration;

use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Chain, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::relay_link::{Append, Refused};
use subrosa_protocol::segment::{SealedSegment, VerifiedSegment};

use super::news::{Heard, Untrue};
use super::rate::Rates;
use super::{fault, retry_secs};
use crate::config::Quotas;
use crate::store::{Batch, Damage, LogStore, LogTip, Offered, StoreError};

/// Tips kept in memory; dropped all at once, to be read again.
const TIPS_MAX: usize = 1 << 16;

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
    pub(crate) fn verify(
        &mut self,
        store: &dyn LogStore,
        quotas: &Quotas,
        now: Duration,
        append: Append,
    ) -> Verified {
        let Append { vault, introduced, segments, bytes } = append;
        let mut refused: Vec<Refused> = Vec::new();
        let mut offered = Vec::with_capacity(segments.len());
        let mut damaged = None;
        let limited = self.rates.admit((store, quotas), now, &vault, bytes, segments.len());
        for segment in segments {
            let (log, seq) = (segment.header().log, segment.header().seq);
            if refused.iter().any(|refused| refused.log == log) {
                continue;
            }
            let result = match limited {
                Some(secs) => Err((ErrorCode::RateLimited, secs)),
                None => self
                    .verify_one(store, &vault, &introduced, segment, &mut damaged)
                    .map_err(|code| (code, retry_secs(code))),
            };
            match result {
                Ok(one) => offered.push(one),
                Err((code, retry_after_secs)) => refused.push(Refused { code, retry_after_secs, log, seq }),
            }
        }
        Verified { batch: Batch { vault, offered }, refused, bytes, heard: self.heard, damaged }
    }

    fn tip(
        &self,
        store: &dyn LogStore,
        key: &(VaultId, LogId),
        damaged: &mut Option<Damage>,
    ) -> Result<Option<LogTip>, ErrorCode> {
        if let Some(tip) = self.tips.get(key) {
            return Ok(Some(*tip));
        }
        store.tip(&key.0, &key.1).map_err(|error| {
            if let StoreError::Vault(damage) = &error {
                *damaged = Some(*damage);
            }
            fault(&error)
        })
    }

    fn verify_one(
        &mut self,
        store: &dyn LogStore,
        vault: &VaultId,
        introduced: &[PublicKeyBytes],
        segment: SealedSegment,
        damaged: &mut Option<Damage>,
    ) -> Result<Offered, ErrorCode> {
        let header = *segment.header();
        let key = (*vault, header.log);
        let tip = self.tip(store, &key, damaged)?;
        let (next, prev, public) = match &tip {
            Some(tip) if header.seq <= tip.seq => return Ok(Offered::Repeated(segment)),
            Some(tip) => (tip.seq.next(), tip.chain, Some(tip.public)),
            None => (
                Seq(0),
                Chain::ZERO,
                introduced.iter().find(|public| LogId::of(public) == header.log).copied(),
            ),
        };
        let class = tip.map_or(header.kind.class(), |tip| tip.class);
        if class != header.kind.class() {
            return Err(ErrorCode::WrongKind);
        }
        let public = public.ok_or(ErrorCode::UnknownLog)?;
        if header.seq != next {
            return Err(ErrorCode::Gap);
        }
        let verified =
            VerifiedSegment::check(vault, prev, public, segment).map_err(|_| ErrorCode::BadSignature)?;
        self.tips.insert(key, LogTip { public, class, seq: header.seq, chain: *verified.chain() });
        Ok(Offered::Next(verified))
    }
}
