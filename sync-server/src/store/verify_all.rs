//! `subrosa-relay verify`: every chain, signature and count of the redb store.

use std::collections::HashMap;

use bytes::Bytes;
use redb::ReadableTable;
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Chain, Head, LogId, Rseq, Seq, VaultId};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_protocol::statement::check_chain;

use super::redb_store::{Snapshot, contained, load_statements};
use super::rows::{CONTROL, INDEX, LogRow, Place, SEGMENTS, SHARES, STATEMENTS, VAULTS, VaultMeta};
use super::{StoreError, Usage, VerifyReport};

const PROBLEMS_MAX: usize = 100;

struct Check<'a> {
    snapshot: &'a Snapshot,
    report: VerifyReport,
}

pub(super) fn verify(snapshot: &Snapshot) -> Result<VerifyReport, StoreError> {
    let mut check = Check { snapshot, report: VerifyReport::default() };
    for entry in snapshot.0.open_table(VAULTS)?.iter()? {
        let (key, row) = entry?;
        let vault = VaultId::from_bytes(*key.value());
        match VaultMeta::decode(row.value()).and_then(|meta| contained(|| check.vault(&vault, &meta))) {
            Err(StoreError::Damaged { what }) => check.problem(format!("vault {vault}: {what}")),
            checked => checked?,
        }
    }
    Ok(check.report)
}

impl Check<'_> {
    fn problem(&mut self, text: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(text);
        }
    }

    fn vault(&mut self, vault: &VaultId, meta: &VaultMeta) -> Result<(), StoreError> {
        let statements = load_statements(&self.snapshot.0.open_table(STATEMENTS)?, meta.no)?;
        if let Err(error) = check_chain(vault, &statements) {
            self.problem(format!("vault {vault}: {error}"));
        }
        let logs: HashMap<LogId, LogRow> = self.snapshot.logs(meta.no)?.into_iter().collect();
        let mut seen: HashMap<LogId, (Seq, Chain, bool)> = HashMap::new();
        let segments = self.snapshot.0.open_table(SEGMENTS)?;
        let index = self.snapshot.0.open_table(INDEX)?;
        let control = self.snapshot.0.open_table(CONTROL)?;
        let (mut bytes, mut last) = (0, 0);
        for entry in segments.range((meta.no, 0)..=(meta.no, u64::MAX))? {
            let (key, value) = entry?;
            let rseq = key.value().1;
            last = rseq; // there are gaps where a log was taken back; what is missing shows in its log
            bytes += value.value().len() as u64;
            self.report.checked.segments += 1;
            let at = format!("vault {vault} rseq {rseq}");
            let Ok(segment) = SealedSegment::parse(Bytes::copy_from_slice(value.value())) else {
                self.problem(format!("{at}: not a segment"));
                continue;
            };
            let header = *segment.header();
            let Some(log) = logs.get(&header.log) else {
                self.problem(format!("{at}: no log {}", header.log));
                continue;
            };
            let before = seen.get(&header.log).copied();
            let (next, prev) =
                before.map_or((log.base.seq, log.base.chain), |(seq, chain, _)| (seq.next(), chain));
            let Ok(chain) = segment.verify(vault, &log.public) else {
                self.problem(format!("{at}: log {} seq {} does not verify", header.log, header.seq));
                continue;
            };
            let indexed = index.get((meta.no, log.no, header.seq.0))?;
            let place = Place::of(Rseq(rseq), chain, value.value());
            let listed = control.get((meta.no, rseq))?.is_some();
            if header.seq != next
                || header.prev != prev
                || before.is_some_and(|(.., closed)| closed)
                || indexed.is_none_or(|found| *found.value() != place.encode())
                || header.kind.class() != log.class
                || listed != (log.class == Class::Control)
            {
                self.problem(format!("{at}: log {} seq {} is misplaced", header.log, header.seq));
            }
            seen.insert(header.log, (header.seq, chain, header.kind.closes()));
        }
        for (log, row) in &logs {
            if seen.get(log) != Some(&(row.seq, row.chain, row.closed)) {
                self.problem(format!("vault {vault}: the head of log {log} is not its last segment"));
            }
        }
        let heads = logs.iter().map(|(log, row)| Head { log: *log, seq: row.seq, chain: row.chain });
        if digest(&heads.collect::<Vec<_>>()) != meta.digest.value() {
            self.problem(format!("vault {vault}: its digest is not that of its heads"));
        }
        self.vouches(vault, meta, &logs)?;
        if bytes != meta.used_bytes || last > meta.last.0 {
            self.problem(format!("vault {vault}: its counts are wrong"));
        }
        let Usage { vaults, logs: sum, bytes: total, .. } = &mut self.report.checked;
        *vaults += 1;
        *sum += logs.len() as u64;
        *total += bytes;
        Ok(())
    }

    /// Each vouch is signed, and counted once for the key that signed it.
    fn vouches(
        &mut self,
        vault: &VaultId,
        meta: &VaultMeta,
        logs: &HashMap<LogId, LogRow>,
    ) -> Result<(), StoreError> {
        let mut counts: HashMap<[u8; 65], u32> = HashMap::new();
        for (log, row) in logs {
            let Some(vouch) = row.vouch else { continue };
            *counts.entry(*vouch.admin.as_bytes()).or_default() += 1;
            if vouch.check(vault, &row.public).is_err() {
                self.problem(format!("vault {vault}: the vouch for log {log} is not signed"));
            }
        }
        let shares = self.snapshot.0.open_table(SHARES)?;
        for entry in shares.range((meta.no, [0; 65])..=(meta.no, [0xff; 65]))? {
            let (key, held) = entry?;
            if counts.remove(&key.value().1) != Some(held.value()) {
                self.problem(format!("vault {vault}: its vouches are counted wrong"));
            }
        }
        if !counts.is_empty() {
            self.problem(format!("vault {vault}: its vouches are not all counted"));
        }
        Ok(())
    }
}
