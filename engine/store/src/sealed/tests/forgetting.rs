//! A sync fails, and what it was to make durable stands in the cache of the operating system for good: later syncs succeed and
//! pass it over, as those of Linux do. The power goes at any point after that.

use redb::Database;

use super::sim::{Dice, Loss, SimDisk, after_power_loss, replay};
use super::workload::{ROWS, open, read_all};
use crate::error::StoreError;
use crate::sealed::Stop;

const SEED: u64 = 0x5eed_0006;
/// More syncs than there are in what is done here.
const SYNCS: u64 = 64;
const TRANSACTIONS: u64 = 6;

fn write(database: &Database, value: u64) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut table = transaction.open_table(ROWS)?;
        for key in 0..20 {
            table.insert(key, &value.to_be_bytes().repeat(80)[..])?;
        }
    }
    Ok(transaction.commit()?)
}

/// The value that all rows have; 0 if there are none.
fn value(database: &Database) -> u64 {
    let rows = read_all(database).unwrap();
    let mut values = rows.values().map(|row| u64::from_be_bytes(row[..8].try_into().unwrap()));
    let first = values.next().unwrap_or_default();
    assert!(values.all(|value| value == first), "of several transactions");
    first
}

/// Writes the next values until one fails; how far the diary was when each was acknowledged.
fn write_some(disk: &SimDisk, database: &Database, first: u64, acknowledged: &mut Vec<(usize, u64)>) {
    for value in first..first + TRANSACTIONS {
        if write(database, value).is_err() {
            return;
        }
        acknowledged.push((disk.diary_len(), value));
    }
}

#[test]
fn after_a_sync_that_failed_for_good_nothing_acknowledged_is_lost_whenever_the_power_goes() {
    let (mut failed, mut torn) = (0, 0);
    for sync in 0..SYNCS {
        let disk = SimDisk::default();
        let mut acknowledged = vec![(0, 0)];
        let (database, _) = open(&disk, SEED).unwrap();
        write_some(&disk, &database, 1, &mut acknowledged);
        let before = disk.diary_len();
        disk.fail_sync_after(sync);
        write_some(&disk, &database, 100, &mut acknowledged);
        drop(database);
        // The application opens it again, twice if need be.
        let (database, handle) = open(&disk, SEED + 1).or_else(|_| open(&disk, SEED + 2)).unwrap();
        failed += u64::from(handle.stop() != Stop::Clean);
        assert!(value(&database) >= acknowledged.last().unwrap().1);
        write_some(&disk, &database, 200, &mut acknowledged);
        drop(database);
        let (diary, mut dice) = (disk.diary(), Dice(SEED ^ sync));
        for ops in before..=diary.len() {
            let least = acknowledged.iter().rev().find(|(at, _)| *at <= ops).unwrap().1;
            let (durable, pending) = replay(&diary[..ops]);
            for loss in [Loss::Everything, Loss::Writes, Loss::Sectors] {
                let image = after_power_loss(&durable, &pending, loss, &mut dice);
                let (database, _) = open(&SimDisk::holding(image), dice.next())
                    .unwrap_or_else(|error| panic!("sync {sync}, {loss:?} at {ops}: {error}"));
                let found = value(&database);
                assert!(
                    found >= least,
                    "sync {sync}, {loss:?} at {ops}: {found}, and {least} was acknowledged"
                );
                torn += u64::from(found > least);
            }
        }
    }
    assert!(failed > 10 && torn > 10, "no sync failed: the test is blind ({failed}, {torn})");
}
