//! A workload with a memory: what is in the store after each of its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use subrosa_model::entropy::SeededEntropy;

use super::sim::{Dice, SimDisk};
use crate::error::StoreError;
use crate::process::Process;
use crate::sealed::*;

pub(super) const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
/// The row that says which transaction was the last.
pub(super) const LAST: u64 = u64::MAX;

pub(super) type Rows = BTreeMap<u64, Vec<u8>>;

pub(super) fn kek() -> Kek {
    Kek::new(&[0x5a; 32])
}

pub(super) fn options(missing: Missing, walk: Walk) -> OpenOptions {
    OpenOptions { cache_bytes: 1 << 20, missing, walk, process: Process::plain() }
}

/// Opens as an application does: creating where nothing is, walking after an unclean stop.
pub(super) fn open(disk: &SimDisk, seed: u64) -> Result<(Database, SealedHandle), StoreError> {
    open_with(disk, seed, &options(Missing::Create, Walk::Now))
}

pub(super) fn open_with(
    disk: &SimDisk,
    seed: u64,
    options: &OpenOptions,
) -> Result<(Database, SealedHandle), StoreError> {
    let entropy = Arc::new(SeededEntropy::dangerous_from_seed(seed));
    open_database(Box::new(disk.opener()), &kek(), entropy, options)
}

/// Everything in the table, or the first error on the way.
pub(super) fn read_all(database: &Database) -> Result<Rows, StoreError> {
    let table = match database.begin_read()?.open_table(ROWS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Rows::new()),
        table => table?,
    };
    let mut rows = Rows::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.insert(key.value(), value.value().to_vec());
    }
    Ok(rows)
}

/// The transaction that `rows` are the result of.
pub(super) fn last_transaction(rows: &Rows) -> usize {
    rows.get(&LAST).map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()) as usize)
}

/// What the store holds after each transaction, and how far the diary was when each began and ended.
pub(super) struct History {
    /// `states[0]` is the empty store.
    pub(super) states: Vec<Rows>,
    began: Vec<usize>,
    acknowledged: Vec<usize>,
}

/// Stands in `acknowledged` until the transaction is durable, its own commit or a later one having said so.
const NOT_YET: usize = usize::MAX;

impl History {
    fn new() -> Self {
        Self { states: vec![Rows::new()], began: vec![0], acknowledged: vec![0] }
    }

    /// Which transactions may be the last after a crash where the diary had `ops` entries.
    pub(super) fn allowed(&self, ops: usize) -> std::ops::RangeInclusive<usize> {
        let acknowledged = self.acknowledged.partition_point(|at| *at <= ops && *at != NOT_YET) - 1;
        let began = self.began.partition_point(|at| *at <= ops) - 1;
        acknowledged..=began
    }

    /// How far the diary was when the store had been created, and its creator was told.
    pub(super) fn created(&self) -> usize {
        self.began[1]
    }

    /// A commit returned: what is durable now, it and all before it, or nothing new.
    fn committed(&mut self, commit: Commit, diary: usize) {
        self.acknowledged.push(NOT_YET);
        if !matches!(commit, Commit::Later) {
            for at in self.acknowledged.iter_mut().rev().take_while(|at| **at == NOT_YET) {
                *at = diary;
            }
        }
    }

    fn last(&self) -> &Rows {
        self.states.last().unwrap()
    }
}

/// How a transaction is made durable.
#[derive(Clone, Copy)]
enum Commit {
    OnePhase,
    TwoPhase,
    QuickRepair,
    /// Not at all: the next commit of another kind makes it durable.
    Later,
}

impl Commit {
    fn set(self, transaction: &mut WriteTransaction) -> Result<(), StoreError> {
        match self {
            Self::OnePhase => {}
            Self::TwoPhase => transaction.set_two_phase_commit(true),
            Self::QuickRepair => transaction.set_quick_repair(true),
            Self::Later => transaction.set_durability(Durability::None)?,
        }
        Ok(())
    }
}

/// Runs `transactions` of them in all kinds of commit, with values from nothing to many pages, deletions,
/// growth, compaction, and closing and opening in between. Stops at the first error.
pub(super) fn run(disk: &SimDisk, transactions: usize, seed: u64) -> (History, Result<(), StoreError>) {
    let mut history = History::new();
    let outcome = run_into(&mut history, disk, transactions, seed);
    (history, outcome)
}

fn run_into(history: &mut History, disk: &SimDisk, transactions: usize, seed: u64) -> Result<(), StoreError> {
    let mut dice = Dice(seed);
    let (mut database, mut handle) = open(disk, seed)?;
    for index in 1..=transactions {
        // The last before the store is closed is durable, or closing would decide what is acknowledged.
        let closes = index % (transactions / 4) == 0 || index == transactions;
        let commit = match index * 5 / (transactions + 1) {
            _ if index % 4 == 1 && !closes => Commit::Later,
            0 | 3 => Commit::OnePhase,
            1 | 4 => Commit::QuickRepair,
            _ => Commit::TwoPhase,
        };
        history.began.push(disk.diary_len());
        let rows = next_state(history.last(), index, &mut dice);
        history.states.push(rows);
        let [before, after] = &history.states[index - 1..] else { unreachable!("one state per transaction") };
        write(&database, before, after, commit).map_err(|error| handle.explain(error))?;
        history.committed(commit, disk.diary_len());
        if index % (transactions / 4) == 0 {
            handle.compact(&mut database)?;
            database.close().map_err(|error| handle.explain(error))?;
            (database, handle) = open(disk, seed + index as u64)?;
        }
    }
    database.close().map_err(|error| handle.explain(error))
}

fn write(database: &Database, before: &Rows, after: &Rows, commit: Commit) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    commit.set(&mut transaction)?;
    {
        let mut table = transaction.open_table(ROWS)?;
        for key in before.keys().filter(|key| !after.contains_key(key)) {
            table.remove(key)?;
        }
        for (key, value) in after.iter().filter(|(key, value)| before.get(key) != Some(value)) {
            table.insert(key, &value[..])?;
        }
    }
    Ok(transaction.commit()?)
}

fn next_state(rows: &Rows, index: usize, dice: &mut Dice) -> Rows {
    let mut rows = rows.clone();
    for _ in 0..1 + dice.below(4) {
        let key = dice.below(60);
        let bytes = match dice.below(40) {
            0..8 => {
                rows.remove(&key);
                continue;
            }
            8..38 => dice.below(700),
            38 => dice.below(20_000),
            _ => 150_000 + dice.below(150_000),
        };
        let fill = dice.next().to_be_bytes();
        rows.insert(key, fill.into_iter().cycle().take(bytes as usize).collect());
    }
    rows.insert(LAST, (index as u64).to_be_bytes().to_vec());
    rows
}
