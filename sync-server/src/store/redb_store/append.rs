//! Appending inside one write transaction: contiguity, class and quota, decided on what is in the tables.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Base, Chain, Head, LogId, Rseq, Seq, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::Refused;
use subrosa_protocol::segment::{Class, SealedSegment, VerifiedSegment};
use subrosa_protocol::vouch::{CheckedVouch, Vouch};

use super::super::rows::{CONTROL, INDEX, LOGS, LogRow, Place, SEGMENTS, VAULTS, VaultMeta};
use super::super::{Batch, Damage, Offered, Outcome, StoreError};
use super::opened::Changed;
use super::shares::{Counted, LogShares};
use crate::config::Quotas;
use crate::faults;

/// Whether LOG said that its log begins here with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Yes,
    No,
}

/// Refusal of one segment, before its place is added.
struct No(ErrorCode, u32);

impl No {
    const fn never(code: ErrorCode) -> Self {
        Self(code, 0)
    }
}

/// One segment that a batch has put into the tables.
struct Written {
    no: u64,
    rseq: Rseq,
    log_no: u32,
    seq: Seq,
}

/// What the rows in memory were before a batch.
struct Before {
    vault: VaultId,
    meta: Option<VaultMeta>,
    rows: HashMap<(u64, LogId), LogRow>,
    shares: Counted,
    total_bytes: u64,
}

impl Before {
    fn of(appending: &Appending<'_, '_>, batch: &Batch) -> Self {
        let meta = appending.metas.get(&batch.vault).copied();
        let rows = appending.rows.iter();
        let own = rows.filter(|((no, _), _)| meta.is_some_and(|meta| meta.no == *no));
        let rows = own.map(|(key, row)| (*key, *row)).collect();
        let shares = appending.shares.counted(meta.map(|meta| meta.no));
        Self { vault: batch.vault, meta, rows, shares, total_bytes: appending.total_bytes }
    }

    fn restore(self, appending: &mut Appending<'_, '_>, written: &[Written]) -> Result<(), StoreError> {
        let no = appending.metas.get(&self.vault).map(|meta| meta.no);
        appending.shares.restore(no, self.shares);
        appending.rows.retain(|(of, _), _| Some(*of) != no);
        for Written { no, rseq, log_no, seq } in written {
            appending.segments.remove((*no, rseq.0))?;
            appending.control.remove((*no, rseq.0))?;
            appending.index.remove((*no, *log_no, seq.0))?;
        }
        match self.meta {
            Some(meta) => appending.metas.insert(self.vault, meta),
            None => appending.metas.remove(&self.vault),
        };
        appending.rows.extend(self.rows);
        appending.total_bytes = self.total_bytes;
        Ok(())
    }
}

/// Refuses the first segment of each log.
fn refuse_all(batch: &Batch, damage: Damage) -> Outcome {
    let mut refused: Vec<Refused> = Vec::new();
    for offered in &batch.offered {
        let (log, seq) = (offered.segment().header().log, offered.segment().header().seq);
        if !refused.iter().any(|refused| refused.log == log) {
            let (code, retry_after_secs) = (ErrorCode::Internal, limits::RETRY_SECS);
            refused.push(Refused { code, retry_after_secs, log, seq });
        }
    }
    Outcome { refused, damaged: Some(damage), ..Outcome::default() }
}

pub(super) struct Appending<'txn, 'q> {
    quotas: &'q Quotas,
    vaults: Table<'txn, &'static [u8; 32], &'static [u8]>,
    logs: Table<'txn, (u64, [u8; 16]), &'static [u8]>,
    segments: Table<'txn, (u64, u64), &'static [u8]>,
    control: Table<'txn, (u64, u64), ()>,
    index: Table<'txn, (u64, u32, u64), &'static [u8; Place::LEN]>,
    shares: LogShares<'txn>,
    /// Rows read, written back once at the end.
    metas: HashMap<VaultId, VaultMeta>,
    rows: HashMap<(u64, LogId), LogRow>,
    /// Bytes held by all vaults.
    total_bytes: u64,
    /// A log came under a vouch, or a segment was appended.
    changed: bool,
}

impl<'txn, 'q> Appending<'txn, 'q> {
    pub(super) fn new(
        txn: &'txn WriteTransaction,
        quotas: &'q Quotas,
        total_bytes: u64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            quotas,
            vaults: txn.open_table(VAULTS)?,
            logs: txn.open_table(LOGS)?,
            segments: txn.open_table(SEGMENTS)?,
            control: txn.open_table(CONTROL)?,
            index: txn.open_table(INDEX)?,
            shares: LogShares::new(txn),
            metas: HashMap::new(),
            rows: HashMap::new(),
            total_bytes,
            changed: false,
        })
    }

    /// Appends one vault's share. Damage in the vault refuses all of it; what the share had written is taken out
    /// again, and the others of the commit go on.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<Outcome, StoreError> {
        let before = Before::of(self, batch);
        let mut written = Vec::new();
        match self.append_all(batch, &mut written) {
            Ok(outcome) => Ok(outcome),
            Err(StoreError::Damaged { what }) => {
                before.restore(self, &written)?;
                let seen = self.meta(&batch.vault).ok().flatten().map_or(Rseq(0), |meta| meta.last);
                Ok(refuse_all(batch, Damage { vault: batch.vault, seen, what }))
            }
            Err(other) => Err(other),
        }
    }

    fn append_all(&mut self, batch: &Batch, written: &mut Vec<Written>) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        let mut stopped: Vec<LogId> = Vec::new();
        for offered in &batch.offered {
            let (log, seq) = (offered.segment().header().log, offered.segment().header().seq);
            if stopped.contains(&log) {
                continue;
            }
            let vouch =
                batch.vouches.iter().find(|vouch| LogId::of(vouch.log()) == log).map(CheckedVouch::vouch);
            match self.append_one(&batch.vault, offered, vouch, written)? {
                Ok((rseq, chain, fresh)) => {
                    outcome.entries.push(Head { log, seq, chain });
                    outcome.rseq = outcome.rseq.max(rseq);
                    if fresh {
                        let first = outcome.appended.map_or(rseq, |(first, _)| first);
                        outcome.appended = Some((first, rseq));
                    }
                }
                Err(No(code, retry_after_secs)) => {
                    stopped.push(log);
                    outcome.refused.push(Refused { code, retry_after_secs, log, seq });
                }
            }
        }
        Ok(outcome)
    }

    /// Writes the rows that changed; returns the bytes held by all vaults now, and whether there is something to commit.
    pub(super) fn finish(mut self) -> Result<(u64, Changed), StoreError> {
        for (vault, meta) in &self.metas {
            self.vaults.insert(vault.as_bytes(), &meta.encode()[..])?;
        }
        for ((no, log), row) in &self.rows {
            self.logs.insert((*no, *log.as_bytes()), &row.encode()[..])?;
        }
        self.shares.finish()?;
        Ok((self.total_bytes, if self.changed { Changed::Yes } else { Changed::No }))
    }

    /// The rseq and chain of the segment, and whether it was appended just now.
    fn append_one(
        &mut self,
        vault: &VaultId,
        offered: &Offered,
        vouch: Option<&Vouch>,
        written: &mut Vec<Written>,
    ) -> Result<Result<(Rseq, Chain, bool), No>, StoreError> {
        let segment = offered.segment();
        let Some(mut meta) = self.meta(vault)? else { return Ok(Err(No::never(ErrorCode::UnknownVault))) };
        let mut row = self.row(meta.no, &segment.header().log)?;
        if let Some(row) = &mut row {
            self.take_vouch(&meta, row, vouch)?;
        }
        if let Some(row) = &row
            && segment.header().seq <= row.seq
        {
            return self.repeated(vault, meta.no, row, segment);
        }
        let (verified, begins) = match offered {
            Offered::First(verified) => (verified, Begins::Yes),
            Offered::Next(verified) => (verified, Begins::No),
            Offered::Repeated(_) => return Ok(Err(No::never(ErrorCode::Gap))),
        };
        if verified.vault() != vault {
            return Ok(Err(No::never(ErrorCode::BadSignature)));
        }
        let held = row.is_some();
        let mut row = match self.place(&meta, row, vouch, (verified, begins))? {
            Ok(row) => row,
            Err(no) => return Ok(Err(no)),
        };
        if let Err(no) = self.within_quota(&meta, &row, verified)? {
            return Ok(Err(no));
        }
        if let Some(vouch) = row.vouch.filter(|_| !held) {
            self.shares.add(meta.no, &vouch.admin)?;
        }
        self.changed = true;
        let rseq = meta.last.next();
        meta.last = rseq;
        meta.used_bytes += segment.bytes().len() as u64;
        meta.logs = meta.logs.max(row.no + 1);
        let head = |row: &LogRow| Head { log: segment.header().log, seq: row.seq, chain: row.chain };
        let before = held.then(|| head(&row));
        row.seq = segment.header().seq;
        row.chain = *verified.chain();
        row.closed = segment.header().kind.closes();
        meta.digest.replace(before.as_ref(), &head(&row));
        self.total_bytes += segment.bytes().len() as u64;
        written.push(Written { no: meta.no, rseq, log_no: row.no, seq: row.seq });
        self.segments.insert((meta.no, rseq.0), &segment.bytes()[..])?;
        let place = Place::of(rseq, row.chain, segment.bytes());
        self.index.insert((meta.no, row.no, row.seq.0), &place.encode())?;
        if row.class == Class::Control {
            self.control.insert((meta.no, rseq.0), ())?;
        }
        self.metas.insert(*vault, meta);
        self.rows.insert((meta.no, segment.header().log), row);
        Ok(Ok((rseq, row.chain, true)))
    }

    /// A segment at or below the log's head: held with the same chain, of another future, or nobody's.
    fn repeated(
        &self,
        vault: &VaultId,
        no: u64,
        row: &LogRow,
        segment: &SealedSegment,
    ) -> Result<Result<(Rseq, Chain, bool), No>, StoreError> {
        let at = |seq: Seq| -> Result<_, StoreError> {
            let value = self.index.get((no, row.no, seq.0))?;
            Ok(Place::decode(value.ok_or(StoreError::Damaged { what: "a gap in a log" })?.value()))
        };
        let seq = segment.header().seq;
        if seq < row.base.seq {
            return Ok(Err(No::never(ErrorCode::Gap))); // it was never here, or is here no more
        }
        let Place { rseq, chain, .. } = at(seq)?;
        if segment.preimage(vault).chain() == chain {
            return Ok(Ok((rseq, chain, false)));
        }
        // Its chain says already that it is another one; the signature says whether its author made two.
        let code = match segment.verify(vault, &row.public) {
            Ok(_) => ErrorCode::Conflict,
            Err(_) => ErrorCode::BadSignature,
        };
        Ok(Err(No::never(code)))
    }

    /// The row of the log that `verified` continues or begins.
    fn place(
        &mut self,
        meta: &VaultMeta,
        row: Option<LogRow>,
        vouch: Option<&Vouch>,
        (verified, begins): (&VerifiedSegment, Begins),
    ) -> Result<Result<LogRow, No>, StoreError> {
        let Some(row) = row else { return self.new_log(meta, vouch, verified, begins) };
        Ok(Self::continues(row, verified))
    }

    /// A place for a log of which nothing is held: in the share of the admin who vouches for it, or in the common half.
    fn new_log(
        &mut self,
        meta: &VaultMeta,
        vouch: Option<&Vouch>,
        verified: &VerifiedSegment,
        begins: Begins,
    ) -> Result<Result<LogRow, No>, StoreError> {
        let header = verified.segment().header();
        let base = Base { seq: header.seq, chain: *verified.prev() };
        if !base.is_whole() && begins == Begins::No {
            return Ok(Err(No::never(ErrorCode::Gap)));
        }
        let full = Ok(Err(No::never(ErrorCode::TooManyLogs)));
        if meta.logs as usize >= limits::LOGS_PER_VAULT_MAX {
            return full;
        }
        let vouch = match vouch {
            Some(vouch) if self.shares.has_place(meta.no, &vouch.admin)? => Some(*vouch),
            _ if self.shares.has_common_place(meta.no, meta.logs)? => None,
            _ => return full,
        };
        Ok(Ok(LogRow {
            no: meta.logs,
            class: header.kind.class(),
            public: *verified.public(),
            base,
            seq: base.seq,
            chain: base.chain,
            closed: false,
            vouch,
        }))
    }

    /// A log that is held comes under the vouch of an admin of the last statement, unless it is under one's already.
    fn take_vouch(
        &mut self,
        meta: &VaultMeta,
        row: &mut LogRow,
        vouch: Option<&Vouch>,
    ) -> Result<(), StoreError> {
        let Some(vouch) = vouch.filter(|vouch| row.vouch.is_none_or(|old| old.admin != vouch.admin)) else {
            return Ok(());
        };
        if let Some(old) = &row.vouch
            && self.shares.is_admin(meta.no, &old.admin)?
        {
            return Ok(());
        }
        if !self.shares.has_place(meta.no, &vouch.admin)? {
            return Ok(());
        }
        if let Some(old) = row.vouch.replace(*vouch) {
            self.shares.remove(meta.no, &old.admin)?;
        }
        self.shares.add(meta.no, &vouch.admin)?;
        self.rows.insert((meta.no, LogId::of(&row.public)), *row);
        self.changed = true;
        Ok(())
    }

    fn continues(row: LogRow, verified: &VerifiedSegment) -> Result<LogRow, No> {
        let header = verified.segment().header();
        if header.kind.class() != row.class {
            return Err(No::never(ErrorCode::WrongKind));
        }
        if row.closed {
            return Err(No::never(ErrorCode::Closed));
        }
        if header.seq != row.seq.next() {
            return Err(No::never(ErrorCode::Gap));
        }
        if *verified.prev() != row.chain && !faults::ANY_CHAIN_APPENDED {
            return Err(No::never(ErrorCode::Conflict));
        }
        Ok(row)
    }

    /// Control logs for which an admin vouches may use a reserve, so that a full vault can still revoke.
    fn within_quota(
        &mut self,
        meta: &VaultMeta,
        row: &LogRow,
        verified: &VerifiedSegment,
    ) -> Result<Result<(), No>, StoreError> {
        let quota = self.quotas.of(meta.class);
        let bytes = verified.segment().bytes().len() as u64;
        let reserved = match &row.vouch {
            Some(vouch) if row.class == Class::Control => self.shares.is_admin(meta.no, &vouch.admin)?,
            _ => false,
        };
        let reserve = if reserved { self.quotas.reserve_bytes } else { 0 };
        if bytes > quota.segment_bytes_max {
            return Ok(Err(No::never(ErrorCode::SegmentTooLarge)));
        }
        if meta.used_bytes + bytes > quota.vault_bytes.saturating_add(reserve) {
            return Ok(Err(No::never(ErrorCode::QuotaBytes)));
        }
        if self.total_bytes + bytes > self.quotas.relay_bytes_max.saturating_add(reserve) {
            return Ok(Err(No(ErrorCode::RelayFull, limits::RELAY_FULL_RETRY_SECS)));
        }
        Ok(Ok(()))
    }

    fn meta(&self, vault: &VaultId) -> Result<Option<VaultMeta>, StoreError> {
        if let Some(meta) = self.metas.get(vault) {
            return Ok(Some(*meta));
        }
        self.vaults.get(vault.as_bytes())?.map(|row| VaultMeta::decode(row.value())).transpose()
    }

    fn row(&self, no: u64, log: &LogId) -> Result<Option<LogRow>, StoreError> {
        if let Some(row) = self.rows.get(&(no, *log)) {
            return Ok(Some(*row));
        }
        self.logs.get((no, *log.as_bytes()))?.map(|row| LogRow::decode(row.value())).transpose()
    }
}
