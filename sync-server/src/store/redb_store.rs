//! The embedded store: one redb file, two-phase durable commits, a bounded cache.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableTable, ReadableTableMetadata, WriteTransaction};
use subrosa_protocol::digest::digest;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::ShortHead;
use subrosa_protocol::ids::{Digest, Generation, Head, Incarnation, LogId, Rseq, VaultId};
use subrosa_protocol::relay_link::{CheckedCreation, ClassedHead, HeadMatch, Stored, Want};
use subrosa_protocol::segment::{Class, Header};
use subrosa_protocol::statement::Statement;
use subrosa_protocol::token::Invite;

use self::append::Appending;
use self::check::{Checked, HeadCheck};
use self::open::{make, number};
pub(crate) use self::opened::Opener;
pub(in crate::store) use self::opened::contained;
use self::opened::{Changed, Opened};
pub(in crate::store) use self::snapshot::{Snapshot, load_statements};
use self::take_back::Survey;
use super::rows::{
    CONTROL, INDEX, INVITES, LOGS, META, Place, SEGMENTS, STATEMENTS, USES, VAULTS, VaultMeta,
};
use super::{
    Batch, Damage, InviteRow, JoinedRow, LogStore, LogTip, Outcome, Scan, StoreError, TakenBack, Usage,
    VaultRow, VerifyReport, Visit, verify_all,
};
use crate::config::Quotas;
use crate::faults;

mod append;
mod chains;
mod check;
mod open;
mod opened;
mod shares;
mod snapshot;
mod take_back;
#[cfg(test)]
pub(crate) mod test_disk;
#[cfg(test)]
mod tests;

/// A [`LogStore`] in one file.
pub struct RedbStore {
    opened: Opened,
    incarnation: Incarnation,
    quotas: Quotas,
    /// Bytes of segments that all vaults hold. Who changes it holds it from before the transaction to after.
    total_bytes: Mutex<u64>,
    /// The rseq at which each damaged vault was last taken back. Whoever takes back holds it: several feeds find the
    /// same damage at once, and one survey is enough.
    taken_back: Mutex<HashMap<VaultId, Rseq>>,
    /// A vault whose appends panic.
    #[cfg(test)]
    cursed: Mutex<Option<VaultId>>,
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
        make(path, fresh)?;
        let path = path.to_owned();
        let open = move || Database::builder().set_cache_size(cache_bytes).open(&path);
        Self::with_opener(Box::new(open), quotas, fresh)
    }

    pub(crate) fn with_opener(open: Opener, quotas: Quotas, fresh: Incarnation) -> Result<Self, StoreError> {
        let opened = Opened::new(open)?;
        let incarnation = opened.prepare(fresh)?;
        let store = Self {
            opened,
            incarnation,
            quotas,
            total_bytes: Mutex::new(0),
            taken_back: Mutex::default(),
            #[cfg(test)]
            cursed: Mutex::default(),
        };
        *lock(&store.total_bytes) = store.usage()?.bytes;
        Ok(store)
    }

    /// Flips one bit of a stored segment, as a disk might. For tests of what happens then.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when nothing is there.
    #[doc(hidden)]
    pub fn flip(&self, vault: &VaultId, rseq: Rseq, byte: usize) -> Result<(), StoreError> {
        self.write(|txn| {
            let none = StoreError::Damaged { what: "nothing to flip" };
            let Some(row) = txn.open_table(VAULTS)?.get(vault.as_bytes())?.map(|row| row.value().to_vec())
            else {
                return Err(none);
            };
            let key = (VaultMeta::decode(&row)?.no, rseq.0);
            let mut segments = txn.open_table(SEGMENTS)?;
            let Some(mut bytes) = segments.get(key)?.map(|value| value.value().to_vec()) else {
                return Err(none);
            };
            let at = byte.min(bytes.len() - 1);
            bytes[at] ^= 1;
            segments.insert(key, &bytes[..])?;
            Ok(((), Changed::Yes))
        })
    }

    /// Makes each commit with an append to this vault panic.
    #[cfg(test)]
    pub(crate) fn curse(&self, vault: Option<VaultId>) {
        *lock(&self.cursed) = vault;
    }

    /// Removes the index row of a segment, as a disk might.
    #[cfg(test)]
    pub(crate) fn forget_place(&self, vault: &VaultId, rseq: Rseq) {
        let meta = self.read(|snapshot| snapshot.meta(vault)).unwrap().unwrap();
        let forgotten = self.write(|txn| {
            let mut index = txn.open_table(INDEX)?;
            index.retain_in((meta.no, 0, 0)..=(meta.no, u32::MAX, u64::MAX), |_, place| {
                Place::decode(place).rseq != rseq
            })?;
            Ok(((), Changed::Yes))
        });
        forgotten.unwrap();
    }

    fn read<R>(&self, work: impl FnOnce(&Snapshot) -> Result<R, StoreError>) -> Result<R, StoreError> {
        self.opened.read(work)
    }

    fn write<R>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(R, Changed), StoreError>,
    ) -> Result<R, StoreError> {
        self.opened.write(work)
    }

    /// Reads one vault; damage names it. `none` is the answer when the vault is not there.
    fn read_vault<R>(
        &self,
        vault: &VaultId,
        none: impl FnOnce() -> R,
        read: impl FnOnce(&Snapshot, &VaultMeta) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.read(|snapshot| {
            let Some(meta) = snapshot.meta(vault)? else { return Ok(none()) };
            Snapshot::blame(vault, &meta, contained(|| read(snapshot, &meta)))
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn header(bytes: &[u8]) -> Result<Header, StoreError> {
    Header::decode(bytes).map_err(|_| StoreError::Damaged { what: "a segment's header" })
}

impl LogStore for RedbStore {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn vault(&self, vault: &VaultId) -> Result<Option<VaultRow>, StoreError> {
        self.read(|snapshot| {
            let Some(meta) = snapshot.meta(vault)? else { return Ok(None) };
            let statements = load_statements(&snapshot.0.open_table(STATEMENTS)?, meta.no)?;
            Ok(Some(VaultRow { statements, class: meta.class, used_bytes: meta.used_bytes }))
        })
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
            let meta = VaultMeta::new(no, creation.class());
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

    fn statements(&self, vault: &VaultId, from: Generation) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(|snapshot| {
            let Some(meta) = snapshot.meta(vault)? else { return Ok(Vec::new()) };
            chains::part_of(&snapshot.0.open_table(STATEMENTS)?, meta.no, from)
        })
    }

    fn join_statements(
        &self,
        vault: &VaultId,
        tail: &[Statement],
        day: u32,
    ) -> Result<Result<JoinedRow, ErrorCode>, StoreError> {
        if let Some(row) = self.vault(vault)?
            && let Some(answer) = chains::no_news(&row, tail)
        {
            return Ok(answer);
        }
        self.write(|txn| chains::join_tail(txn, vault, tail, day))
    }

    fn heads(&self, vault: &VaultId) -> Result<Vec<ClassedHead>, StoreError> {
        self.read_vault(vault, Vec::new, |snapshot, meta| {
            let logs = snapshot.logs(meta.no)?.into_iter();
            Ok(logs
                .map(|(log, row)| ClassedHead {
                    head: Head { log, seq: row.seq, chain: row.chain },
                    base: row.base,
                    class: row.class,
                })
                .collect())
        })
    }

    fn digest(&self, vault: &VaultId) -> Result<(Rseq, Digest), StoreError> {
        let nothing = || (Rseq(0), digest(&[]));
        self.read_vault(vault, nothing, |_, meta| Ok((meta.last, meta.digest.value())))
    }

    fn match_heads(&self, vault: &VaultId, heads: &[ShortHead]) -> Result<Vec<HeadMatch>, StoreError> {
        let unknown = |client: &ShortHead| HeadMatch { client: *client, last: None, chain_there: None };
        let none = || heads.iter().map(unknown).collect();
        self.read_vault(vault, none, |snapshot, meta| {
            let index = snapshot.0.open_table(INDEX)?;
            let compare = |client: &ShortHead| {
                let Some(row) = snapshot.log(meta.no, &client.log)? else { return Ok(unknown(client)) };
                let there = index.get((meta.no, row.no, client.seq.0))?.map(|value| {
                    let chain = Place::decode(value.value()).chain;
                    ShortHead::from(Head { log: client.log, seq: client.seq, chain }).chain
                });
                Ok(HeadMatch { client: *client, last: Some(row.seq), chain_there: there })
            };
            heads.iter().map(compare).collect()
        })
    }

    fn tip(&self, vault: &VaultId, log: &LogId) -> Result<Option<LogTip>, StoreError> {
        self.read_vault(
            vault,
            || None,
            |snapshot, meta| {
                Ok(snapshot.log(meta.no, log)?.map(|row| LogTip {
                    public: row.public,
                    class: row.class,
                    seq: row.seq,
                    chain: row.chain,
                    closed: row.closed,
                }))
            },
        )
    }

    fn append(&self, batches: &[Batch]) -> Result<Vec<Outcome>, StoreError> {
        let mut total_bytes = lock(&self.total_bytes);
        let (outcomes, total) = self.write(|txn| {
            let mut appending = Appending::new(txn, &self.quotas, *total_bytes)?;
            let mut outcomes = Vec::with_capacity(batches.len());
            for batch in batches {
                #[cfg(test)]
                assert_ne!(*lock(&self.cursed), Some(batch.vault), "cursed");
                outcomes.push(appending.append(batch)?);
            }
            let (total, changed) = appending.finish()?;
            let mut offered = batches.iter().flat_map(|batch| &batch.offered);
            let later = faults::ACKS_NOT_DURABLE
                && offered.all(|one| one.segment().header().kind.class() == Class::Data);
            Ok(((outcomes, total), if later { Changed::Later } else { changed }))
        })?;
        *total_bytes = total;
        Ok(outcomes)
    }

    fn take_back(&self, damage: &Damage) -> Result<Vec<TakenBack>, StoreError> {
        let vault = &damage.vault;
        let mut taken_back = lock(&self.taken_back);
        if taken_back.get(vault).is_some_and(|at| *at > damage.seen) {
            return Ok(Vec::new()); // since that was seen
        }
        let gone = StoreError::Damaged { what: damage.what };
        let survey = self.read(|snapshot| {
            let meta = snapshot.meta(vault)?;
            meta.map(|meta| Survey::of(snapshot, &meta)).transpose()
        })?;
        let Some(survey) = survey else { return Err(gone) };
        if survey.is_clean() {
            return Err(gone);
        }
        let mut total_bytes = lock(&self.total_bytes);
        let (taken, last, less) = self.write(|txn| Ok((survey.remove(txn, vault)?, Changed::Yes)))?;
        *total_bytes = total_bytes.saturating_sub(less);
        taken_back.insert(*vault, last);
        for TakenBack { log, from } in &taken {
            tracing::error!(%vault, %log, %from, rseq = %last, what = damage.what, "damaged: log taken back");
        }
        Ok(taken)
    }

    fn scan(
        &self,
        vault: &VaultId,
        scan: Scan,
        visit: Visit<'_>,
    ) -> Result<Option<(Rseq, Digest)>, StoreError> {
        let nothing = || Some((Rseq(0), digest(&[])));
        self.read_vault(vault, nothing, |snapshot, meta| {
            let mut checked = Checked::new(snapshot, meta.no, HeadCheck::Compare)?;
            let segments = snapshot.0.open_table(SEGMENTS)?;
            let mut offer = |rseq: Rseq, bytes: &[u8]| -> Result<bool, StoreError> {
                let found = checked.segment(rseq, bytes)?;
                Ok(visit(Stored {
                    rseq,
                    header: found.header,
                    bytes,
                    public: &found.public,
                    base: found.base,
                })
                .is_continue())
            };
            let keys = (meta.no, scan.after.next().0)..=(meta.no, u64::MAX);
            if scan.class == Some(Class::Control) {
                for entry in snapshot.0.open_table(CONTROL)?.range(keys)? {
                    let key = entry?.0.value();
                    let value = segments.get(key)?.ok_or(StoreError::Damaged { what: "a control entry" })?;
                    if !offer(Rseq(key.1), value.value())? {
                        return Ok(None);
                    }
                }
                return Ok(Some((meta.last, Digest::ZERO)));
            }
            for entry in segments.range(keys)? {
                let (key, value) = entry?;
                if scan.class == Some(Class::Data) && header(value.value())?.kind.class() == Class::Control {
                    continue;
                }
                if !offer(Rseq(key.value().1), value.value())? {
                    return Ok(None);
                }
            }
            Ok(Some((meta.last, meta.digest.value())))
        })
    }

    fn range(&self, vault: &VaultId, want: Want, visit: Visit<'_>) -> Result<bool, StoreError> {
        self.read_vault(
            vault,
            || true,
            |snapshot, meta| {
                let Some(row) = snapshot.log(meta.no, &want.log)? else { return Ok(true) };
                let mut checked = Checked::new(snapshot, meta.no, HeadCheck::Compare)?;
                let segments = snapshot.0.open_table(SEGMENTS)?;
                let index = snapshot.0.open_table(INDEX)?;
                for entry in index.range((meta.no, row.no, want.from.0)..=(meta.no, row.no, want.to.0))? {
                    let (key, value) = entry?;
                    let rseq = Place::decode(value.value()).rseq;
                    let value = segments.get((meta.no, rseq.0))?;
                    let value = value.ok_or(StoreError::Damaged { what: "an index entry" })?;
                    let found = checked.segment(rseq, value.value())?;
                    if (found.header.log, found.header.seq.0) != (want.log, key.value().2) {
                        return Err(StoreError::Damaged { what: "an index entry" });
                    }
                    let stored = Stored {
                        rseq,
                        header: found.header,
                        bytes: value.value(),
                        public: &found.public,
                        base: found.base,
                    };
                    if visit(stored).is_break() {
                        return Ok(false);
                    }
                }
                Ok(true)
            },
        )
    }

    fn record_invite(&self, invite: &Invite) -> Result<(), StoreError> {
        self.write(|txn| {
            txn.open_table(INVITES)?.insert(invite.id, &invite.encode()[..])?;
            Ok(((), Changed::Yes))
        })
    }

    fn invites(&self) -> Result<Vec<InviteRow>, StoreError> {
        self.read(|snapshot| {
            let uses = snapshot.0.open_table(USES)?;
            let invites = snapshot.0.open_table(INVITES)?;
            let rows = invites.iter()?.map(|entry| {
                let invite = Invite::decode(entry?.1.value())
                    .map_err(|_| StoreError::Damaged { what: "an invite's row" })?;
                Ok(InviteRow { invite, uses: uses_of(&uses, &invite.id)? })
            });
            rows.collect()
        })
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.read(|snapshot| {
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
        })
    }

    fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.read(verify_all::verify)
    }
}

fn uses_of(table: &impl ReadableTable<([u8; 8], [u8; 32]), ()>, invite: &[u8; 8]) -> Result<u64, StoreError> {
    Ok(table.range((*invite, [0; 32])..=(*invite, [0xff; 32]))?.count() as u64)
}
