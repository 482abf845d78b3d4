//! One moment of the database, and the rows that every question begins with.

use redb::{ReadableDatabase as _, ReadableTable};
use subrosa_protocol::ids::{Head, LogId, Rseq, Seq, VaultId};
use subrosa_protocol::statement::Statement;

use super::super::rows::{INDEX, LOGS, LogRow, Place, VAULTS, VaultMeta};
use super::super::{Damage, StoreError};

/// See the module's documentation.
pub(in crate::store) struct Snapshot(pub(in crate::store) redb::ReadTransaction);

impl Snapshot {
    pub(super) fn of(database: &redb::Database) -> Result<Self, StoreError> {
        Ok(Self(database.begin_read()?))
    }

    pub(in crate::store) fn meta(&self, vault: &VaultId) -> Result<Option<VaultMeta>, StoreError> {
        let table = self.0.open_table(VAULTS)?;
        table.get(vault.as_bytes())?.map(|row| VaultMeta::decode(row.value())).transpose()
    }

    pub(in crate::store) fn logs(&self, no: u64) -> Result<Vec<(LogId, LogRow)>, StoreError> {
        let table = self.0.open_table(LOGS)?;
        let mut logs = Vec::new();
        for entry in table.range((no, [0; 16])..=(no, [0xff; 16]))? {
            let (key, row) = entry?;
            logs.push((LogId::from_bytes(key.value().1), LogRow::decode(row.value())?));
        }
        Ok(logs)
    }

    pub(super) fn log(&self, no: u64, log: &LogId) -> Result<Option<LogRow>, StoreError> {
        let table = self.0.open_table(LOGS)?;
        table.get((no, *log.as_bytes()))?.map(|row| LogRow::decode(row.value())).transpose()
    }

    /// Heads as of `cursor`: rseq ascends with seq within a log, so each is found by bisection.
    pub(super) fn heads_at(&self, meta: &VaultMeta, cursor: Rseq) -> Result<Vec<Head>, StoreError> {
        if cursor == Rseq(0) {
            return Ok(Vec::new()); // rseq counts from 1
        }
        let index = self.0.open_table(INDEX)?;
        let at = |no: u32, seq: u64| -> Result<Place, StoreError> {
            let value = index.get((meta.no, no, seq))?;
            Ok(Place::decode(value.ok_or(StoreError::Damaged { what: "a gap in a log" })?.value()))
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
                if at(row.no, middle)?.rseq <= cursor { low = middle + 1 } else { high = middle }
            }
            if let Some(seq) = low.checked_sub(1) {
                heads.push(Head { log, seq: Seq(seq), chain: at(row.no, seq)?.chain });
            }
        }
        Ok(heads)
    }

    /// Names the vault whose row an error is about.
    pub(super) fn blame<T>(
        vault: &VaultId,
        meta: &VaultMeta,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            StoreError::Damaged { what } => {
                StoreError::Vault(Damage { vault: *vault, seen: meta.last, what })
            }
            other => other,
        })
    }
}

pub(in crate::store) fn load_statements(
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
