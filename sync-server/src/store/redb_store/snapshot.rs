//! One moment of the database, and the rows that every question begins with.

use redb::{ReadableDatabase as _, ReadableTable};
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::statement::Statement;

use super::super::rows::{LOGS, LogRow, VAULTS, VaultMeta};
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
