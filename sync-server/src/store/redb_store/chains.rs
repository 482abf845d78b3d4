//! Statement chains inside one write transaction. What replaces what is decided by
//! [`subrosa_protocol::statement`]; here it is counted and written.

use redb::{ReadableTable as _, WriteTransaction};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::limits;
use subrosa_protocol::statement::{OfferedStatement, Statement, join, offer};

use super::super::rows::{STATEMENTS, VAULTS, VaultMeta};
use super::super::{JoinedRow, StoreError, VaultRow};
use super::opened::Changed;
use super::snapshot::load_statements;

type Answered<T> = Result<(Result<T, ErrorCode>, Changed), StoreError>;

/// The answer to a statement that changes nothing. It is looked for in a snapshot first, so that no commit waits while what
/// anybody brings again and again is compared and its signatures are checked.
pub(super) fn no_news(row: &VaultRow, statement: &Statement) -> Option<Result<VaultRow, ErrorCode>> {
    match offer(&row.statements, statement) {
        Ok(OfferedStatement::Held) => Some(Ok(row.clone())),
        Ok(OfferedStatement::Taken { .. }) => None,
        Err(_) => Some(Err(ErrorCode::StatementRefused)),
    }
}

/// As [`no_news`], to a tail.
pub(super) fn no_news_in_tail(row: &VaultRow, tail: &[Statement]) -> Option<Result<JoinedRow, ErrorCode>> {
    let joined = join(&row.statements, tail);
    if joined.chain != row.statements {
        return None;
    }
    let refused = joined.refused.is_some() || tail.is_empty();
    let held = || JoinedRow { row: row.clone(), changed: false };
    Some(if refused { Err(ErrorCode::StatementRefused) } else { Ok(held()) })
}

/// Adds one statement. Recovery counts for nothing: what it answers cannot wait until tomorrow.
pub(super) fn add(txn: &WriteTransaction, statement: &Statement, day: u32) -> Answered<VaultRow> {
    let Some(mut meta) = meta(txn, &statement.vault)? else {
        return Ok((Err(ErrorCode::UnknownVault), Changed::No));
    };
    let mut statements = load_statements(&txn.open_table(STATEMENTS)?, meta.no)?;
    let kept = match offer(&statements, statement) {
        Ok(OfferedStatement::Held) => return Ok((Ok(row(&meta, statements)), Changed::No)),
        Ok(OfferedStatement::Taken { kept }) => kept,
        Err(_) => return Ok((Err(ErrorCode::StatementRefused), Changed::No)),
    };
    if statement.signer.recovery().is_none() {
        if meta.day != day {
            (meta.day, meta.statements_that_day) = (day, 0);
        }
        if usize::from(meta.statements_that_day) >= limits::STATEMENTS_PER_DAY {
            return Ok((Err(ErrorCode::RateLimited), Changed::No));
        }
        meta.statements_that_day += 1;
        txn.open_table(VAULTS)?.insert(statement.vault.as_bytes(), &meta.encode()[..])?;
    }
    statements.truncate(kept);
    statements.push(statement.clone());
    put(txn, meta.no, &statements, kept)?;
    Ok((Ok(row(&meta, statements)), Changed::Yes))
}

/// Takes what joins of a tail.
pub(super) fn join_tail(txn: &WriteTransaction, vault: &VaultId, tail: &[Statement]) -> Answered<JoinedRow> {
    let Some(meta) = meta(txn, vault)? else { return Ok((Err(ErrorCode::UnknownVault), Changed::No)) };
    let held = row(&meta, load_statements(&txn.open_table(STATEMENTS)?, meta.no)?);
    if let Some(answer) = no_news_in_tail(&held, tail) {
        return Ok((answer, Changed::No));
    }
    let joined = join(&held.statements, tail);
    put(txn, meta.no, &joined.chain, joined.kept)?;
    Ok((Ok(JoinedRow { row: row(&meta, joined.chain), changed: true }), Changed::Yes))
}

fn meta(txn: &WriteTransaction, vault: &VaultId) -> Result<Option<VaultMeta>, StoreError> {
    txn.open_table(VAULTS)?.get(vault.as_bytes())?.map(|row| VaultMeta::decode(row.value())).transpose()
}

/// Writes a chain of which the first `kept` statements are there.
fn put(txn: &WriteTransaction, no: u64, chain: &[Statement], kept: usize) -> Result<(), StoreError> {
    let mut table = txn.open_table(STATEMENTS)?;
    table.retain_in((no, kept as u64)..=(no, u64::MAX), |_, _| false)?;
    for statement in &chain[kept..] {
        table.insert((no, statement.generation.0), &statement.encode()[..])?;
    }
    Ok(())
}

const fn row(meta: &VaultMeta, statements: Vec<Statement>) -> VaultRow {
    VaultRow { statements, class: meta.class, used_bytes: meta.used_bytes }
}
