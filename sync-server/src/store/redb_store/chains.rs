//! Statement chains inside one write transaction. What replaces what is decided by
//! [`subrosa_protocol::statement`]; here it is counted and written.

use redb::{ReadableTable, WriteTransaction};
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::ids::{Generation, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::statement::{JoinedChain, Statement, StatementError, join, join_within};

use super::super::rows::{STATEMENTS, VAULTS, VaultMeta};
use super::super::{JoinedRow, StoreError, VaultRow};
use super::opened::Changed;
use super::snapshot::load_statements;

type Answered<T> = Result<(Result<T, ErrorCode>, Changed), StoreError>;

/// Statements from one on, as many as more than fill one part of a chain.
pub(super) fn part_of(
    table: &impl ReadableTable<(u64, u64), &'static [u8]>,
    no: u64,
    from: Generation,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    for entry in table.range((no, from.0)..=(no, u64::MAX))? {
        let statement = entry?.1.value().to_vec();
        bytes += statement.len();
        part.push(statement);
        if part.len() > limits::STATEMENTS_PART_MAX || bytes > limits::FRAME_BYTES_MAX_UNAUTHENTICATED {
            break;
        }
    }
    Ok(part)
}

/// The answer to a tail that changes nothing. It is looked for in a snapshot first, so that no commit waits while what
/// anybody brings again and again is compared and its signatures are checked.
pub(super) fn no_news(row: &VaultRow, tail: &[Statement]) -> Option<Result<JoinedRow, ErrorCode>> {
    let joined = join(&row.statements, tail);
    (joined.chain == row.statements).then(|| unchanged(row, tail, &joined))
}

fn unchanged(row: &VaultRow, tail: &[Statement], joined: &JoinedChain) -> Result<JoinedRow, ErrorCode> {
    match joined.refused {
        Some(StatementError::TooManyToday { .. }) => Err(ErrorCode::RateLimited),
        Some(_) => Err(ErrorCode::StatementRefused),
        None if tail.is_empty() => Err(ErrorCode::StatementRefused),
        None => Ok(JoinedRow { row: row.clone(), changed: false }),
    }
}

/// Takes what joins of a tail, and of that what the chain may grow by today. A chain that stays as long as it was, or
/// becomes shorter, grows by nothing: who filled a day keeps nobody senior from replacing what it is filled with.
pub(super) fn join_tail(
    txn: &WriteTransaction,
    vault: &VaultId,
    tail: &[Statement],
    day: u32,
) -> Answered<JoinedRow> {
    let Some(mut meta) = meta(txn, vault)? else { return Ok((Err(ErrorCode::UnknownVault), Changed::No)) };
    let held = row(&meta, load_statements(&txn.open_table(STATEMENTS)?, meta.no)?);
    if meta.day != day {
        (meta.day, meta.statements_that_day) = (day, 0);
    }
    let today = limits::STATEMENTS_PER_DAY.saturating_sub(usize::from(meta.statements_that_day));
    let joined = join_within(&held.statements, tail, today);
    if joined.chain == held.statements {
        return Ok((unchanged(&held, tail, &joined), Changed::No));
    }
    if joined.grown > 0 {
        meta.statements_that_day += joined.grown as u16;
        txn.open_table(VAULTS)?.insert(vault.as_bytes(), &meta.encode()[..])?;
    }
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
