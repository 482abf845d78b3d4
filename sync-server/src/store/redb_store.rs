//! The embedded store: one redb file, two-phase durable commits, a bounded cache.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::ShortHead;
use subrosa_protocol::ids::{Digest, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, VaultId};
use subrosa_protocol::relay_link::{CheckedCreation, HeadMatch, LogHead, Stored, Want, extend_statements};
use subrosa_protocol::segment::{Class, Header};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Invite;

use self::append::Appending;
use super::rows::{
    CONTROL, FORMAT, INDEX, INVITES, LOGS, LogRow, META, SEGMENTS, STATEMENTS, USES, VAULTS, VaultMeta,
    index_parts,
};
use super::{
    Batch, InviteRow, LogStore, LogTip, Outcome, Scan, StoreError, Usage, VaultRow, VerifyReport, Visit,
    verify_all,
};
use crate::config::Quotas;

mod append;
#[cfg(test)]
mod tests;

/// Opens the database; called again after a failed write, because redb refuses all work after one.
pub(crate) type Opener = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// A [`LogStore`] in one file.
pub struct RedbStore {
    open: Opener,
    database: RwLock<Option<Database>>,
    incarnation: Incarnation,
    quotas: Quotas,
    /// Bytes of segments that all vaults hold.
    total_bytes: AtomicU64,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::Io(io)
                if matches!(
                    io.kind(),
                    std::io::ErrorKind::StorageFull
                        | std::io::ErrorKind::QuotaExceeded
                        | std::io::ErrorKind::FileTooLarge
                ) =>
            {
                Self::Full
            }
            other => Self::Database(Box::new(other)),
        }
    }
}

impl RedbStore {
    /// Opens the file, or makes it. `fresh` names the new life of the database if this call begins one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        path: &Path,
        quotas: Quotas,
        cache_bytes: usize,
        fresh: Incarnation,
    ) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let open = move || Database::builder().set_cache_size(cache_bytes).create(&path);
        Self::with_opener(Box::new(open), quotas, fresh)
    }

    pub(crate) fn with_opener(open: Opener, quotas: Quotas, fresh: Incarnation) -> Result<Self, StoreError> {
        let database = open()?;
        let incarnation = prepare(&database, fresh)?;
        let database = RwLock::new(Some(database));
        let store = Self { open, database, incarnation, quotas, total_bytes: AtomicU64::new(0) };
        store.total_bytes.store(store.usage()?.bytes, Ordering::Relaxed);
        Ok(store)
    }

    fn read(&self) -> Result<Snapshot, StoreError> {
        let guard = self.database();
        Ok(Snapshot(guard.as_ref().ok_or(StoreError::Closed)?.begin_read()?))
    }

    fn database(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one durable transaction, committed if `work` says that something changed. After a failed
    /// write the database is opened again, so that reads go on and a later write may succeed.
    fn write<R>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(R, Changed), StoreError>,
    ) -> Result<R, StoreError> {
        let guard = self.database();
        let database = guard.as_ref().ok_or(StoreError::Closed)?;
        let result = begin_durable(database).and_then(|txn| {
            let (value, changed) = work(&txn)?;
            match changed {
                Changed::Yes => txn.commit()?,
                Changed::No => txn.abort()?,
            }
            Ok(value)
        });
        drop(guard);
        if let Err(StoreError::Full | StoreError::Database(_)) = &result {
            self.reopen();
        }
        result
    }

    fn reopen(&self) {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
        match (self.open)() {
            Ok(database) => *slot = Some(database),
            Err(error) => tracing::error!(%error, "the database could not be opened again"),
        }
    }
}

/// Whether a write transaction has anything to commit.
enum Changed {
    Yes,
    No,
}

fn begin_durable(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut txn = database.begin_write()?;
    // Strangers choose the bytes: a torn commit must not be able to pass for a whole one. Quick repair keeps
    // the allocator's state in each commit, so that opening after a kill needs no walk over the file.
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    Ok(txn)
}

/// Makes the tables of a new database, or checks the format of an old one.
fn prepare(database: &Database, fresh: Incarnation) -> Result<Incarnation, StoreError> {
    if let Some(found) = incarnation_of(database)? {
        return Ok(found);
    }
    let txn = begin_durable(database)?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", &FORMAT.to_be_bytes()[..])?;
        meta.insert("incarnation", &fresh.as_bytes()[..])?;
        meta.insert("next_vault", &0u64.to_be_bytes()[..])?;
        txn.open_table(VAULTS)?;
        txn.open_table(STATEMENTS)?;
        txn.open_table(LOGS)?;
        txn.open_table(SEGMENTS)?;
        txn.open_table(CONTROL)?;
        txn.open_table(INDEX)?;
        txn.open_table(USES)?;
        txn.open_table(INVITES)?;
    }
    txn.commit()?;
    Ok(fresh)
}

fn incarnation_of(database: &Database) -> Result<Option<Incarnation>, StoreError> {
    let txn = database.begin_read()?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = meta.get("format")?.map_or(Ok(0), |value| number(value.value()))?;
    if found != FORMAT {
        return Err(StoreError::Format { found, known: FORMAT });
    }
    let damaged = StoreError::Damaged { what: "no incarnation" };
    let Some(value) = meta.get("incarnation")? else { return Err(damaged) };
    let bytes = value.value().try_into().map_err(|_| damaged)?;
    Ok(Some(Incarnation::from_bytes(bytes)))
}

fn number(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged { what: "a number" })
}

pub(super) fn load_statements(
    table: &impl ReadableTable<(u64, u64), &'static [u8]>,
    no: u64,
) -> Result<Vec<Statement>, StoreError> {
    table
        .range((no, 0)..=(no, u64::MAX))?
        .map(|entry| {
            Statement::decode(entry?.1.value()).map_err(|_| StoreError::Damaged { what: "a statement" })
        })
        .collect()
}

/// One moment of the database.
pub(super) struct Snapshot(pub(super) redb::ReadTransaction);

impl Snapshot {
    pub(super) fn meta(&self, vault: &VaultId) -> Result<Option<VaultMeta>, StoreError> {
        let table = self.0.open_table(VAULTS)?;
        table.get(vault.as_bytes())?.map(|row| VaultMeta::decode(row.value())).transpose()
    }

    pub(super) fn logs(&self, no: u64) -> Result<Vec<(LogId, LogRow)>, StoreError> {
        let table = self.0.open_table(LOGS)?;
        let mut logs = Vec::new();
        for entry in table.range((no, [0; 16])..=(no, [0xff; 16]))? {
            let (key, row) = entry?;
            logs.push((LogId::from_bytes(key.value().1), LogRow::decode(row.value())?));
        }
        Ok(logs)
    }

    fn log(&self, no: u64, log: &LogId) -> Result<Option<LogRow>, StoreError> {
        let table = self.0.open_table(LOGS)?;
        table.get((no, *log.as_bytes()))?.map(|row| LogRow::decode(row.value())).transpose()
    }

    /// Heads as of `cursor`: rseq ascends with seq within a log, so each is found by bisection.
    fn heads_at(&self, meta: &VaultMeta, cursor: Rseq) -> Result<Vec<Head>, StoreError> {
        let index = self.0.open_table(INDEX)?;
        let at = |no: u32, seq: u64| -> Result<_, StoreError> {
            let value = index.get((meta.no, no, seq))?;
            let value = value.ok_or(StoreError::Damaged { what: "a gap in a log" })?;
            Ok(index_parts(value.value()))
        };
        let mut heads = Vec::new();
        for (log, row) in self.logs(meta.no)? {
            if cursor >= meta.last {
                heads.push(Head { log, seq: row.seq, chain: row.chain });
                continue;
            }
            let (mut low, mut high) = (0, row.seq.0.saturating_add(1)); // answer + 1 lies in low..=high
            while low < high {
                let middle = low + (high - low) / 2;
                if at(row.no, middle)?.0 <= cursor { low = middle + 1 } else { high = middle }
            }
            if let Some(seq) = low.checked_sub(1) {
                heads.push(Head { log, seq: Seq(seq), chain: at(row.no, seq)?.1 });
            }
        }
        Ok(heads)
    }
}

/// Keys of the logs met so far, so that each is looked up once a scan.
struct Publics<'a>(&'a Snapshot, u64, HashMap<LogId, PublicKeyBytes>);

impl Publics<'_> {
    fn of(&mut self, log: &LogId) -> Result<PublicKeyBytes, StoreError> {
        if let Some(public) = self.2.get(log) {
            return Ok(*public);
        }
        let row = self.0.log(self.1, log)?.ok_or(StoreError::Damaged { what: "a segment without a log" })?;
        self.2.insert(*log, row.public);
        Ok(row.public)
    }
}

fn header(bytes: &[u8]) -> Result<Header, StoreError> {
    Header::decode(bytes).map_err(|_| StoreError::Damaged { what: "a segment's header" })
}

impl LogStore for RedbStore {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn vault(&self, vault: &VaultId) -> Result<Option<VaultRow>, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(None) };
        let statements = load_statements(&snapshot.0.open_table(STATEMENTS)?, meta.no)?;
        Ok(Some(VaultRow { statements, class: meta.class, used_bytes: meta.used_bytes }))
    }

    fn create(&self, creation: &CheckedCreation) -> Result<Result<VaultRow, ErrorCode>, StoreError> {
        self.write(|txn| {
            let mut vaults = txn.open_table(VAULTS)?;
            // Looked up by the writer itself: two links of a device may create its vault at the same time.
            if let Some(row) = vaults.get(creation.vault().as_bytes())? {
                let VaultMeta { no, class, used_bytes, .. } = VaultMeta::decode(row.value())?;
                let statements = load_statements(&txn.open_table(STATEMENTS)?, no)?;
                return Ok((Ok(VaultRow { statements, class, used_bytes }), Changed::No));
            }
            if vaults.len()? >= self.quotas.vaults_max {
                return Ok((Err(ErrorCode::RelayFull), Changed::No));
            }
            if let Some(invite) = creation.invite() {
                let mut uses = txn.open_table(USES)?;
                if uses_of(&uses, &invite.id)? >= u64::from(invite.uses_max) {
                    return Ok((Err(ErrorCode::InviteRefused), Changed::No));
                }
                uses.insert((invite.id, *creation.vault().as_bytes()), ())?;
            }
            let mut table = txn.open_table(META)?;
            let no = table.get("next_vault")?.map_or(Ok(0), |value| number(value.value()))?;
            table.insert("next_vault", &(no + 1).to_be_bytes()[..])?;
            let meta = VaultMeta { no, class: creation.class(), used_bytes: 0, last: Rseq(0), logs: 0 };
            vaults.insert(creation.vault().as_bytes(), &meta.encode()[..])?;
            let mut statements = txn.open_table(STATEMENTS)?;
            for statement in creation.statements() {
                statements.insert((no, statement.generation.0), &statement.encode()[..])?;
            }
            let row = VaultRow {
                statements: creation.statements().to_vec(),
                class: creation.class(),
                used_bytes: 0,
            };
            Ok((Ok(row), Changed::Yes))
        })
    }

    fn add_statement(&self, statement: &Statement) -> Result<Result<VaultRow, ErrorCode>, StoreError> {
        self.write(|txn| {
            let vaults = txn.open_table(VAULTS)?;
            let Some(row) = vaults.get(statement.vault.as_bytes())? else {
                return Ok((Err(ErrorCode::UnknownVault), Changed::No));
            };
            let meta = VaultMeta::decode(row.value())?;
            let mut table = txn.open_table(STATEMENTS)?;
            let mut statements = load_statements(&table, meta.no)?;
            let VaultMeta { class, used_bytes, .. } = meta;
            if statements.last() == Some(statement) {
                return Ok((Ok(VaultRow { statements, class, used_bytes }), Changed::No));
            }
            let Ok(kept) = extend_statements(&statements, statement) else {
                return Ok((Err(ErrorCode::StatementRefused), Changed::No));
            };
            for replaced in statements.drain(kept..) {
                table.remove((meta.no, replaced.generation.0))?;
            }
            table.insert((meta.no, statement.generation.0), &statement.encode()[..])?;
            statements.push(statement.clone());
            Ok((Ok(VaultRow { statements, class, used_bytes }), Changed::Yes))
        })
    }

    fn heads(&self, vault: &VaultId) -> Result<Vec<LogHead>, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(Vec::new()) };
        let logs = snapshot.logs(meta.no)?.into_iter();
        Ok(logs
            .map(|(log, row)| LogHead {
                head: Head { log, seq: row.seq, chain: row.chain },
                class: row.class,
            })
            .collect())
    }

    fn digest_at(&self, vault: &VaultId, cursor: Rseq) -> Result<Digest, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(digest(Vec::new())) };
        Ok(digest(snapshot.heads_at(&meta, cursor)?))
    }

    fn match_heads(&self, vault: &VaultId, heads: &[ShortHead]) -> Result<Vec<HeadMatch>, StoreError> {
        let snapshot = self.read()?;
        let meta = snapshot.meta(vault)?;
        let index = snapshot.0.open_table(INDEX)?;
        heads
            .iter()
            .map(|client| {
                let row = match &meta {
                    Some(meta) => snapshot.log(meta.no, &client.log)?.map(|row| (meta.no, row)),
                    None => None,
                };
                let Some((no, row)) = row else {
                    return Ok(HeadMatch { client: *client, last: None, chain_there: None });
                };
                let there = index.get((no, row.no, client.seq.0))?.map(|value| {
                    let (rseq, chain) = index_parts(value.value());
                    let _ = rseq;
                    ShortHead::from(Head { log: client.log, seq: client.seq, chain }).chain
                });
                Ok(HeadMatch { client: *client, last: Some(row.seq), chain_there: there })
            })
            .collect()
    }

    fn tip(&self, vault: &VaultId, log: &LogId) -> Result<Option<LogTip>, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(None) };
        Ok(snapshot.log(meta.no, log)?.map(|row| LogTip {
            public: row.public,
            class: row.class,
            seq: row.seq,
            chain: row.chain,
        }))
    }

    fn append(&self, batches: &[Batch]) -> Result<Vec<Outcome>, StoreError> {
        let total_bytes = self.total_bytes.load(Ordering::Relaxed);
        let (outcomes, total_bytes) = self.write(|txn| {
            let mut appending = Appending::new(txn, &self.quotas, total_bytes)?;
            let mut outcomes = Vec::with_capacity(batches.len());
            for batch in batches {
                outcomes.push(appending.append(batch)?);
            }
            let changed = outcomes.iter().any(|outcome| outcome.appended.is_some());
            let total_bytes = appending.finish()?;
            Ok(((outcomes, total_bytes), if changed { Changed::Yes } else { Changed::No }))
        })?;
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        Ok(outcomes)
    }

    fn scan(
        &self,
        vault: &VaultId,
        scan: Scan,
        visit: Visit<'_>,
    ) -> Result<Option<(Rseq, Digest)>, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(Some((Rseq(0), digest(Vec::new())))) };
        let mut publics = Publics(&snapshot, meta.no, HashMap::new());
        let segments = snapshot.0.open_table(SEGMENTS)?;
        let mut offer = |rseq: u64, bytes: &[u8]| -> Result<bool, StoreError> {
            let header = header(bytes)?;
            let public = publics.of(&header.log)?;
            Ok(visit(Stored { rseq: Rseq(rseq), header, bytes, public: &public }).is_continue())
        };
        let keys = (meta.no, scan.after.next().0)..=(meta.no, u64::MAX);
        match scan.class {
            Some(Class::Control) => {
                for entry in snapshot.0.open_table(CONTROL)?.range(keys)? {
                    let key = entry?.0.value();
                    let value = segments.get(key)?.ok_or(StoreError::Damaged { what: "a control entry" })?;
                    if !offer(key.1, value.value())? {
                        return Ok(None);
                    }
                }
                Ok(Some((meta.last, Digest::ZERO)))
            }
            class => {
                for entry in segments.range(keys)? {
                    let (key, value) = entry?;
                    if class == Some(Class::Data) && header(value.value())?.kind.class() == Class::Control {
                        continue;
                    }
                    if !offer(key.value().1, value.value())? {
                        return Ok(None);
                    }
                }
                Ok(Some((meta.last, digest(snapshot.heads_at(&meta, meta.last)?))))
            }
        }
    }

    fn range(&self, vault: &VaultId, want: Want, visit: Visit<'_>) -> Result<bool, StoreError> {
        let snapshot = self.read()?;
        let Some(meta) = snapshot.meta(vault)? else { return Ok(true) };
        let Some(row) = snapshot.log(meta.no, &want.log)? else { return Ok(true) };
        let segments = snapshot.0.open_table(SEGMENTS)?;
        let index = snapshot.0.open_table(INDEX)?;
        for entry in index.range((meta.no, row.no, want.from.0)..=(meta.no, row.no, want.to.0))? {
            let (rseq, _) = index_parts(entry?.1.value());
            let value = segments.get((meta.no, rseq.0))?;
            let value = value.ok_or(StoreError::Damaged { what: "an index entry" })?;
            let header = header(value.value())?;
            let stored = Stored { rseq, header, bytes: value.value(), public: &row.public };
            if visit(stored).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record_invite(&self, invite: &Invite) -> Result<(), StoreError> {
        self.write(|txn| {
            txn.open_table(INVITES)?.insert(invite.id, &invite.encode()[..])?;
            Ok(((), Changed::Yes))
        })
    }

    fn invites(&self) -> Result<Vec<InviteRow>, StoreError> {
        let snapshot = self.read()?;
        let uses = snapshot.0.open_table(USES)?;
        snapshot
            .0
            .open_table(INVITES)?
            .iter()?
            .map(|entry| {
                let invite = Invite::decode(entry?.1.value())
                    .map_err(|_| StoreError::Damaged { what: "an invite's row" })?;
                Ok(InviteRow { invite, uses: uses_of(&uses, &invite.id)? })
            })
            .collect()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let snapshot = self.read()?;
        let mut usage = Usage {
            logs: snapshot.0.open_table(LOGS)?.len()?,
            segments: snapshot.0.open_table(SEGMENTS)?.len()?,
            ..Usage::default()
        };
        for entry in snapshot.0.open_table(VAULTS)?.iter()? {
            usage.vaults += 1;
            usage.bytes += VaultMeta::decode(entry?.1.value())?.used_bytes;
        }
        Ok(usage)
    }

    fn verify(&self) -> Result<VerifyReport, StoreError> {
        verify_all::verify(&self.read()?)
    }
}

fn uses_of(table: &impl ReadableTable<([u8; 8], [u8; 32]), ()>, invite: &[u8; 8]) -> Result<u64, StoreError> {
    Ok(table.range((*invite, [0; 32])..=(*invite, [0xff; 32]))?.count() as u64)
}
