//! Stopped at any write, the store opens with everything that was acknowledged.
//!
//! A workload runs once, on a disk that keeps a diary. Then, for every entry of the diary, the disk is rebuilt as it
//! may stand after a stop at that point, and opened. `SUBROSA_CRASH_IMAGES` multiplies the random images per point.

use super::sim::{Dice, Loss, Op, SimDisk, after_power_loss, split_at_last_sync};
use super::workload::{History, ROWS, last_transaction, open, read_all, run};
use crate::error::{StoreError, StorePart};
use crate::sealed::Stop;
use crate::sealed::layout::{BLOCK_BYTES, BLOCKS_OFFSET};

const TRANSACTIONS: usize = 200;
const SEED: u64 = 0x5eed_0001;

fn random_images() -> u64 {
    std::env::var("SUBROSA_CRASH_IMAGES").ok().and_then(|value| value.parse().ok()).unwrap_or(1)
}

/// A stop after so many entries of the diary.
struct Point<'a> {
    ops: usize,
    durable: &'a [u8],
    pending: &'a [Op],
    history: &'a History,
}

#[derive(Default, Debug)]
struct Tally {
    points: u64,
    images: u64,
    repaired: u64,
    zeroed: u64,
    rolled_back: u64,
}

#[test]
fn a_stop_at_any_point_loses_nothing_that_was_acknowledged() {
    let disk = SimDisk::default();
    let (history, outcome) = run(&disk, TRANSACTIONS, SEED);
    outcome.unwrap();
    let diary = disk.diary();
    let syncs: Vec<usize> =
        (0..diary.len()).filter(|index| matches!(diary[*index], Op::Sync)).map(|index| index + 1).collect();
    // Stretches between two syncs, dealt out to the threads.
    let stretches: Vec<(usize, usize)> = std::iter::once(0)
        .chain(syncs.iter().copied())
        .zip(syncs.iter().copied().chain([diary.len()]))
        .collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let (diary, history, stretches) = (&diary, &history, &stretches);
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    let mut durable = Vec::new();
                    let mut applied = 0;
                    for (from, to) in stretches.iter().skip(worker).step_by(threads) {
                        let (now, _) = split_at_last_sync(&durable, &diary[applied..*from]);
                        (durable, applied) = (now, *from);
                        stretch(&durable, diary, (*from, *to), history, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let sum = |field: fn(&Tally) -> u64| tallies.iter().map(field).sum::<u64>();
    println!(
        "{} points, {} images; {} repaired, {} blocks read as zeros, {} rolled back",
        sum(|tally| tally.points),
        sum(|tally| tally.images),
        sum(|tally| tally.repaired),
        sum(|tally| tally.zeroed),
        sum(|tally| tally.rolled_back)
    );
    assert_eq!(sum(|tally| tally.points), diary.len() as u64);
    assert!(sum(|tally| tally.zeroed) > 0, "no repair ever met an interrupted block: the test is blind");
    assert!(
        sum(|tally| tally.rolled_back) > 0,
        "no interrupted commit was ever rolled back: the test is blind"
    );
}

/// Every point of one stretch between two syncs.
fn stretch(durable: &[u8], diary: &[Op], (from, to): (usize, usize), history: &History, tally: &mut Tally) {
    for ops in from + 1..=to {
        tally.points += 1;
        // The entry that ends the stretch is its sync: a stop in the middle of it is a stop before it.
        let pending = &diary[from..ops];
        let point = Point { ops, durable, pending, history };
        let mut dice = Dice(SEED ^ ops as u64);
        if ops == to {
            // The same image at every point of the stretch; here, it has to hold the most.
            check(&point, Loss::Everything, &mut dice, tally);
        }
        check(&point, Loss::Nothing, &mut dice, tally);
        for _ in 0..random_images() {
            check(&point, Loss::Writes, &mut dice, tally);
            check(&point, Loss::Sectors, &mut dice, tally);
            kill_then_power_loss(&point, &mut dice, tally);
        }
    }
}

fn check(point: &Point<'_>, loss: Loss, dice: &mut Dice, tally: &mut Tally) {
    // After the sync returned, nothing can be lost any more.
    let loss = if matches!(point.pending.last(), Some(Op::Sync)) && loss != Loss::Everything {
        Loss::Nothing
    } else {
        loss
    };
    let image = after_power_loss(point.durable, point.pending, loss, dice);
    let ops = if loss == Loss::Everything { point.ops - 1 } else { point.ops };
    opens_with(
        SimDisk::holding(image),
        point.history,
        ops,
        dice,
        tally,
        &format!("{loss:?} at {}", point.ops),
    );
}

/// The process is killed, which loses nothing; then the power goes while the next process opens the store.
fn kill_then_power_loss(point: &Point<'_>, dice: &mut Dice, tally: &mut Tally) {
    let killed = after_power_loss(point.durable, point.pending, Loss::Nothing, dice);
    let disk = SimDisk::holding(killed);
    let opened = open(&disk, dice.next()).unwrap();
    let opening = disk.diary();
    drop(opened);
    let stop = dice.below(opening.len() as u64 + 1) as usize;
    // What the killed process left behind is as unsynced as what the next one does, until that one syncs.
    let all: Vec<Op> = point.pending.iter().chain(&opening[..stop]).cloned().collect();
    let (durable, pending) = split_at_last_sync(point.durable, &all);
    let image = after_power_loss(&durable, &all[pending..], Loss::Sectors, dice);
    let label = format!("killed at {}, power lost at {stop} of the next open", point.ops);
    opens_with(SimDisk::holding(image), point.history, point.ops, dice, tally, &label);
}

/// The store opens, and holds all of a transaction that may be the last.
fn opens_with(disk: SimDisk, history: &History, ops: usize, dice: &mut Dice, tally: &mut Tally, label: &str) {
    let allowed = history.allowed(ops);
    tally.images += 1;
    let (database, handle) = open(&disk, dice.next()).unwrap_or_else(|error| panic!("{label}: {error}"));
    if let Stop::Repaired { zeroed } = handle.stop() {
        tally.repaired += 1;
        tally.zeroed += zeroed;
    }
    let rows = read_all(&database).unwrap_or_else(|error| panic!("{label}: {error}"));
    let last = last_transaction(&rows);
    assert!(allowed.contains(&last), "{label}: holds transaction {last}, allowed are {allowed:?}");
    assert_eq!(rows, history.states[last], "{label}: transaction {last} is not whole");
    if last < *allowed.end() {
        tally.rolled_back += 1;
    }
    if dice.below(16) == 0 {
        database.close().unwrap();
        let (database, handle) = open(&disk, dice.next()).unwrap();
        assert_eq!(handle.stop(), Stop::Clean, "{label}");
        assert_eq!(read_all(&database).unwrap(), rows, "{label}");
    }
}

/// The newest commit, in one phase, named pages of which one never arrived: its slot is given up for the older one, whose
/// checksum holds, for both slots lie in the header page, and that opens whole or not at all.
#[test]
fn a_commit_of_which_a_page_never_arrived_is_given_up_for_the_one_before() {
    let disk = SimDisk::default();
    let (database, _) = open(&disk, SEED).unwrap();
    let write = |value: u8| {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ROWS).unwrap();
            for key in 0..40 {
                table.insert(key, &[value; 600][..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    };
    write(1);
    let older = disk.diary_len();
    write(2);
    // Killed: nothing is closed, and the sync that ended the newest commit never returned.
    let diary = disk.diary();
    std::mem::forget(database);
    let (durable, pending) = split_at_last_sync(&[], &diary[..older]);
    let pending = &diary[pending..];
    let mut blocks = Vec::new();
    for (index, op) in pending.iter().enumerate() {
        if let Op::Write { offset, bytes } = op
            && *offset >= BLOCKS_OFFSET
        {
            blocks.extend((0..bytes.len() / BLOCK_BYTES).map(|block| (index, block)));
        }
    }
    assert!(blocks.len() > 8, "only {} pages are new", blocks.len());
    let whole = after_power_loss(&durable, pending, Loss::Nothing, &mut Dice(SEED));
    let rows = |value: u8| (0..40).map(|key| (key, vec![value; 600])).collect::<super::workload::Rows>();
    let (now, handle) = open(&SimDisk::holding(whole.clone()), 1).unwrap();
    assert_eq!((read_all(&now).unwrap(), handle.stop()), (rows(2), Stop::Repaired { zeroed: 0 }));
    for (write, block) in blocks {
        let mut lost = pending.to_vec();
        let Op::Write { offset, bytes } = &mut lost[write] else { unreachable!("blocks are written") };
        let at = *offset as usize + block * BLOCK_BYTES;
        let before = durable.get(at..at + BLOCK_BYTES).map_or(vec![0; BLOCK_BYTES], <[u8]>::to_vec);
        let mut altered = bytes.to_vec();
        altered[block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES].copy_from_slice(&before);
        *bytes = altered.into();
        let image = after_power_loss(&durable, &lost, Loss::Nothing, &mut Dice(SEED));
        let (database, handle) = open(&SimDisk::holding(image.clone()), 1).unwrap();
        assert_eq!(read_all(&database).unwrap(), rows(1), "without block {block} of write {write}");
        assert!(matches!(handle.stop(), Stop::Repaired { zeroed: 1.. }), "{:?}", handle.stop());
        // It is given up for good: what follows stands on the older commit.
        database.close().unwrap();
    }
    // Where nothing of either commit holds, the store says which page was the first, and is left as it is.
    let mut blank = whole;
    blank[BLOCKS_OFFSET as usize..].fill(0);
    let disk = SimDisk::holding(blank);
    let refused = open(&disk, 1).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { part: StorePart::Page(_) }), "{refused}");
}
