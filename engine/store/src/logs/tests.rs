use redb::Database;
use subrosa_model::merge::Stamp;
use subrosa_protocol::ids::{Base, Epoch, LogId, Signature};
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment};

use super::*;
use crate::doors::{Doors, DoorsView, in_memory};
use crate::keys::{CollectionNo, RecordKey};

const VAULT: VaultNo = VaultNo(1);
const LOG: BranchNo = BranchNo(7);
/// One that is not the first of its log.
const OTHER_BRANCH: u32 = (1 << 31) + 1;
const ID: LogId = LogId::from_bytes([7; 16]);

/// A segment of a log, of which the store asks no more than its shape; its chain says which one it is.
fn segment(log: LogId, seq: u64) -> CheckedSegment {
    segment_of(log, seq, Kind::DATA)
}

fn segment_of(log: LogId, seq: u64, kind: Kind) -> CheckedSegment {
    let body = vec![seq as u8; 100 + seq as usize];
    let header = Header {
        kind,
        place: GroupPlace::Whole,
        log,
        seq: Seq(seq),
        epoch: Epoch(1),
        prev: seq.checked_sub(1).map_or(Chain::ZERO, chain),
        salt: [1; 16],
        commit: [2; 32],
        body_len: body.len() as u32,
    };
    let segment = SealedSegment::assemble(header, &body, &Signature::ZERO);
    CheckedSegment::sealed_here((segment, chain(seq)))
}

fn chain(n: u64) -> Chain {
    Chain::from_bytes([n as u8 + 1; 32])
}

/// What of a segment tells it from others.
fn shown(segment: CheckedSegment) -> (Vec<u8>, Chain) {
    let (segment, chain) = segment.into_parts();
    (segment.bytes().to_vec(), chain)
}

fn change<R>(database: &Database, f: impl FnOnce(&mut Logs<'_>) -> R) -> R {
    let txn = database.begin_write().unwrap();
    let result = f(&mut Doors::open(&txn).unwrap().logs);
    txn.commit().unwrap();
    result
}

fn view(database: &Database) -> LogsView {
    DoorsView::begin(database).unwrap().logs().unwrap()
}

/// A database in which three logs with numbers side by side have four segments each.
fn three_logs() -> Database {
    let database = in_memory();
    change(&database, |logs| {
        for log in [BranchNo(6), LOG, BranchNo(8)] {
            for seq in 0..4 {
                logs.store_segment(log, &segment(ID, seq), Seq(2)).unwrap();
            }
        }
    });
    database
}

#[test]
fn logs_come_back_as_they_were_put_in_the_order_of_their_numbers() {
    let database = in_memory();
    let row = |n: u8, class| LogRow {
        vault: VaultNo(u32::MAX - u32::from(n)),
        public: PublicKeyBytes::from_bytes([n; 65]),
        class,
    };
    let rows = [(LogNo(0), row(1, Class::Data)), (LogNo(300), row(2, Class::Control))];
    change(&database, |logs| {
        for (log, row) in rows.iter().rev() {
            logs.put_log(*log, row).unwrap();
        }
    });
    let found: Result<Vec<_>, _> = view(&database).logs().unwrap().collect();
    assert_eq!(found.unwrap(), rows);
}

#[test]
fn a_stored_segment_is_the_head_of_its_log_and_comes_back_with_its_chain() {
    let database = three_logs();
    let head = LogTip { seq: Seq(3), chain: chain(3), merged: Seq(2), closed: false, base: Base::WHOLE };
    change(&database, |logs| {
        assert_eq!(logs.head(LOG).unwrap(), Some(head));
        assert_eq!(logs.head(BranchNo(9)).unwrap(), None);
        let stored = logs.segment(LOG, Seq(2)).unwrap().unwrap();
        assert_eq!(shown(stored), shown(segment(ID, 2)));
        assert!(logs.segment(LOG, Seq(4)).unwrap().is_none());
        assert_eq!(logs.header(LOG, Seq(2)).unwrap(), Some(*segment(ID, 2).segment().header()));
        assert_eq!(logs.header(LOG, Seq(4)).unwrap(), None);
        assert_eq!([3, 4].map(|seq| logs.chain(LOG, Seq(seq)).unwrap()), [Some(chain(3)), None]);
    });
    assert_eq!(view(&database).head(LOG).unwrap(), Some(head));
    let heads: Result<Vec<_>, _> = view(&database).heads().unwrap().collect();
    assert_eq!(heads.unwrap(), [BranchNo(6), LOG, BranchNo(8)].map(|log| (log, head)));
}

#[test]
fn a_head_says_whether_its_log_is_closed() {
    let database = three_logs();
    let closed = |logs: &Logs<'_>| logs.head(LOG).unwrap().unwrap().closed;
    change(&database, |logs| {
        assert!(!closed(logs));
        logs.store_segment(LOG, &segment_of(ID, 4, Kind::CLOSING), Seq(2)).unwrap();
        assert!(closed(logs));
    });
    assert!(view(&database).head(LOG).unwrap().unwrap().closed);
}

#[test]
fn a_range_has_the_segments_of_one_log_and_no_others() {
    let (database, all) = (three_logs(), Seq(0)..=Seq(u64::MAX));
    let logs = view(&database);
    for (range, expected) in
        [(all, vec![0, 1, 2, 3]), (Seq(1)..=Seq(2), vec![1, 2]), (Seq(4)..=Seq(9), vec![])]
    {
        let found = logs.segments(LOG, range).unwrap().map(|segment| shown(segment.unwrap()));
        let expected: Vec<_> = expected.into_iter().map(|seq| shown(segment(ID, seq))).collect();
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}

/// The log in a database has two more branches: one that leaves the first behind seq 1, and one that leaves that one.
fn branches(database: &Database) -> [BranchNo; 3] {
    let row = |leaves| BranchRow { log: LogNo(7), leaves: Some(leaves), carry_at_ms: 9 };
    change(database, |logs| {
        let second = logs.begin_branch(&row(LOG)).unwrap();
        for seq in 2..6 {
            logs.store_segment(second, &of_branch(2, seq), Seq(1)).unwrap();
        }
        let third = logs.begin_branch(&row(second)).unwrap();
        logs.store_segment(third, &of_branch(3, 5), Seq(5)).unwrap();
        [LOG, second, third]
    })
}

fn of_branch(branch: u8, seq: u64) -> CheckedSegment {
    let (segment, _) = segment(ID, seq).into_parts();
    CheckedSegment::sealed_here((segment, Chain::from_bytes([50 * branch + seq as u8; 32])))
}

#[test]
fn what_lies_before_a_branch_is_read_of_the_one_that_it_leaves() {
    let database = three_logs();
    let [first, second, third] = branches(&database);
    let chains = |logs: &Logs<'_>, branch| -> Vec<_> {
        let chain = |seq| logs.chain(branch, Seq(seq)).unwrap().map(|chain| chain.as_bytes()[0]);
        (0..7).map(chain).collect()
    };
    change(&database, |logs| {
        assert_eq!(chains(logs, first), [Some(1), Some(2), Some(3), Some(4), None, None, None]);
        let of_second = [Some(1), Some(2), Some(102), Some(103), Some(104), Some(105), None];
        assert_eq!(chains(logs, second), of_second);
        let of_third = [Some(1), Some(2), Some(102), Some(103), Some(104), Some(155), None];
        assert_eq!(chains(logs, third), of_third);
        let tip = |branch| logs.head(branch).unwrap().map(|tip| (tip.base.seq.0, tip.seq.0, tip.merged.0));
        assert_eq!([first, second, third].map(tip), [Some((0, 3, 2)), Some((2, 5, 1)), Some((5, 5, 5))]);
        assert_eq!(logs.holder(third, Seq(1)).unwrap(), Some(first));
        assert_eq!(logs.holder(third, Seq(4)).unwrap(), Some(second));
        assert_eq!(logs.holder(second, Seq(6)).unwrap(), None);
    });
    let view = view(&database);
    let way = |branch, from, to| view.way(branch, Seq(from)..=Seq(to)).unwrap();
    let parts = [(first, Seq(0)..=Seq(1)), (second, Seq(2)..=Seq(4)), (third, Seq(5)..=Seq(5))];
    assert_eq!(way(third, 0, 5), parts);
    assert_eq!(way(third, 3, 4), [(second, Seq(3)..=Seq(4))]);
    assert_eq!(way(first, 1, 3), [(first, Seq(1)..=Seq(3))]);
    let found: Vec<_> = view.branches().unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(found, [second, third]);
    let counted = view.not_merged().unwrap();
    assert_eq!(counted, 3 * 2 + 4 + 1, "what lies before a branch is counted with the one that it leaves");
}

#[test]
fn what_is_carried_and_has_no_place_yet_is_found_by_what_it_follows() {
    let database = three_logs();
    let outer = |seq| CarriedIn { branch: LOG, seq: Seq(seq) };
    let row = |log: u8, prev, seq| LooseRow {
        log: LogId::from_bytes([log; 16]),
        prev: chain(prev),
        outer: outer(seq),
    };
    change(&database, |logs| {
        for row in [row(1, 5, 1), row(1, 5, 2), row(1, 6, 3), row(2, 5, 4)] {
            logs.put_loose(VAULT, &row).unwrap();
        }
        logs.put_carried(LOG, Seq(2), outer(9)).unwrap();
        assert_eq!(logs.carried_in(LOG, Seq(2)).unwrap(), Some(outer(9)));
        assert_eq!(logs.carried_in(LOG, Seq(3)).unwrap(), None);
    });
    let left =
        || view(&database).loose(VAULT).unwrap().map(|log| log.unwrap().0.as_bytes()[0]).collect::<Vec<_>>();
    assert_eq!(left(), [1, 1, 1, 2]);
    let take = |log: u8, prev: Option<u64>| {
        change(&database, |logs| {
            logs.take_loose(VAULT, &LogId::from_bytes([log; 16]), prev.map(chain).as_ref()).unwrap()
        })
    };
    assert_eq!(take(1, Some(5)), [outer(1), outer(2)]);
    assert_eq!(take(1, Some(5)), []);
    assert_eq!((take(1, None), take(3, None)), (vec![outer(3)], vec![]));
    assert_eq!(left(), [2]);
}

#[test]
fn what_waits_of_a_log_is_its_own_and_is_forgotten_from_a_segment_on() {
    let (database, other) = (in_memory(), LogId::from_bytes([8; 16]));
    change(&database, |logs| {
        for (vault, log) in [(VAULT, ID), (VAULT, other), (VaultNo(2), ID)] {
            for (seq, rank) in (0..3).zip([Rank::Shut, Rank::Opens, Rank::Certificate]) {
                logs.put_waiting(vault, (rank, seq % 2 == 1), &segment(log, seq)).unwrap();
            }
        }
        let rows: Vec<_> = logs.waiting_of(VAULT, &ID).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            rows.iter().map(|row| row.rank).collect::<Vec<_>>(),
            [Rank::Shut, Rank::Opens, Rank::Certificate]
        );
        for (row, seq) in rows.into_iter().zip(0..) {
            assert_eq!(shown(row.segment), shown(segment(ID, seq)));
        }
        assert_eq!(logs.forget_waiting(VAULT, &ID, Seq(1)).unwrap(), 2);
        let chains = [0, 1].map(|seq| logs.waiting_chain(VAULT, &ID, Seq(seq)).unwrap());
        assert_eq!(chains, [Some(chain(0)), None]);
        assert_eq!(logs.forget_waiting(VAULT, &LogId::ZERO, Seq(0)).unwrap(), 0);
    });
    let logs = view(&database);
    let found = [VAULT, VaultNo(2), VaultNo(3)].map(|vault| logs.waiting(vault).unwrap().count());
    assert_eq!(found, [4, 3, 0]);
    assert_eq!(logs.not_merged().unwrap(), 7);
}

#[test]
fn notes_are_found_by_the_log_that_they_name() {
    let database = in_memory();
    let note = |named: u8, by, seq| NoteRow {
        named: LogId::from_bytes([named; 16]),
        by: BranchNo(by),
        seq: Seq(seq),
    };
    let notes = [note(1, 5, 9), note(2, 1, 3), note(2, 1, u64::MAX), note(2, u32::MAX, 0), note(3, 0, 0)];
    change(&database, |logs| {
        for note in notes.iter().rev() {
            logs.put_note(VAULT, note).unwrap();
        }
        logs.put_note(VaultNo(2), &notes[0]).unwrap();
        assert!(logs.has_note(VAULT, &notes[1]).unwrap());
        assert!(
            !logs.has_note(VaultNo(2), &notes[1]).unwrap() && !logs.has_note(VAULT, &note(2, 1, 4)).unwrap()
        );
        let named = |from| {
            logs.notes_of(VAULT, &notes[1].named, from).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        };
        assert_eq!(named((BranchNo::FIRST, Seq(0))), notes[1..4]);
        assert_eq!(named((notes[1].by, notes[1].seq)), notes[1..4]);
        assert_eq!(named((notes[1].by, notes[1].seq.next())), notes[2..4]);
        logs.remove_note(VAULT, &notes[2]).unwrap();
    });
    let left = view(&database).notes(VAULT).unwrap().collect::<Result<Vec<_>, _>>();
    assert_eq!(left.unwrap(), [notes[0], notes[1], notes[3], notes[4]]);
    assert_eq!(view(&database).notes(VaultNo(2)).unwrap().count(), 1);
}

#[test]
fn from_where_on_a_log_is_named_again_is_kept_by_vault_and_log_until_it_ends() {
    let database = in_memory();
    let [one, other] = [0, 0xff].map(|byte| LogId::from_bytes([byte; 16]));
    change(&database, |logs| {
        logs.put_named_again(VAULT, &one, (BranchNo(1), Seq(1))).unwrap();
        logs.put_named_again(VAULT, &one, (BranchNo(u32::MAX), Seq(2))).unwrap();
        logs.put_named_again(VAULT, &other, (BranchNo::FIRST, Seq(0))).unwrap();
        logs.put_named_again(VaultNo(2), &one, (BranchNo(3), Seq(3))).unwrap();
    });
    let of = |vault| view(&database).named_again(vault).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let row = |named, by, seq| NoteRow { named, by: BranchNo(by), seq: Seq(seq) };
    assert_eq!(of(VAULT), [row(one, u32::MAX, 2), row(other, 0, 0)]);
    change(&database, |logs| logs.end_named_again(VAULT, &one).unwrap());
    assert_eq!((of(VAULT), of(VaultNo(2))), (vec![row(other, 0, 0)], vec![row(one, 3, 3)]));
}

#[test]
fn rounds_and_their_names_are_kept_until_they_end() {
    let database = in_memory();
    let row = |from, next: Option<u64>, again| RoundRow { from: Seq(from), next: next.map(Seq), again };
    let rows = [row(3, None, false), row(0, Some(0), false), row(1 << 40, Some(u64::MAX), true)];
    let mut names = RoundNames::default();
    names.0[7] = 0x81;
    change(&database, |logs| {
        for (log, row) in (0..).map(BranchNo).zip(&rows) {
            logs.put_round(log, row).unwrap();
        }
        assert_eq!(logs.round_names(BranchNo(1)).unwrap(), RoundNames::default());
        logs.put_round_names(BranchNo(1), &names).unwrap();
        logs.put_round_names(BranchNo(2), &names).unwrap();
        assert_eq!(logs.round_names(BranchNo(1)).unwrap(), names);
        logs.end_rounds(BranchNo(1)).unwrap();
        assert_eq!(logs.round_names(BranchNo(1)).unwrap(), RoundNames::default());
        assert_eq!(logs.round_names(BranchNo(2)).unwrap(), names);
    });
    let left = view(&database).rounds().unwrap().collect::<Result<Vec<_>, _>>();
    assert_eq!(left.unwrap(), [(BranchNo(0), rows[0]), (BranchNo(2), rows[2])]);
}

#[test]
fn a_log_waits_in_front_of_one_group_at_a_time() {
    let database = in_memory();
    let row = |first, version: &str| UnreadRow { first: Seq(first), reason: 2, version: version.to_owned() };
    change(&database, |logs| {
        logs.put_unread(LOG, &row(7, "0.1.0")).unwrap();
        logs.put_unread(LOG, &row(u64::MAX, "1.2.3-rc1")).unwrap();
        logs.put_unread(BranchNo(9), &row(0, "")).unwrap();
        logs.put_unread(BranchNo(10), &row(0, "")).unwrap();
        logs.forget_unread(BranchNo(10)).unwrap();
    });
    let left = view(&database).unread().unwrap().collect::<Result<Vec<_>, _>>();
    let mut expected = [(LOG, row(u64::MAX, "1.2.3-rc1")), (BranchNo(9), row(0, ""))];
    expected.sort_by_key(|(log, _)| *log);
    assert_eq!(left.unwrap(), expected);
}

#[test]
fn what_was_said_of_a_log_is_kept_until_it_is_forgotten() {
    let database = in_memory();
    change(&database, |logs| {
        assert_eq!(logs.said(BranchNo(5)).unwrap(), None);
        logs.put_said(BranchNo(5), Seq(1)).unwrap();
        logs.put_said(BranchNo(5), Seq(1 << 40)).unwrap();
        logs.put_said(BranchNo(u32::MAX), Seq(0)).unwrap();
        assert_eq!(logs.said(BranchNo(5)).unwrap(), Some(Seq(1 << 40)));
        logs.forget_said(BranchNo(u32::MAX)).unwrap();
    });
    let said = [5, u32::MAX].map(|log| view(&database).said(BranchNo(log)).unwrap());
    assert_eq!(said, [Some(Seq(1 << 40)), None]);
}

#[test]
fn puts_at_risk_and_deletes_of_their_records_are_kept_by_record() {
    let key = |vault: u32, n: u8| {
        let record = subrosa_model::merge::RecordId::from_bytes([n; 16]);
        RecordKey::new(VaultNo(vault), CollectionNo(3), &record)
    };
    let put = |seq, stamp| AtRisk { branch: BranchNo(OTHER_BRANCH), seq: Seq(seq), stamp: Stamp(stamp) };
    let covered = |n, by| Covered { key: key(1, n), by };
    let database = in_memory();
    change(&database, |logs| {
        for (key, put) in [(key(1, 1), put(2, 9)), (key(1, 1), put(1, 8)), (key(1, 2), put(1, u64::MAX))] {
            logs.put_at_risk(&key, &put).unwrap();
        }
        assert_eq!(logs.at_risk(&key(1, 1)).unwrap(), [put(1, 8), put(2, 9)]);
        assert!(logs.is_at_risk(&key(1, 2)).unwrap() && !logs.is_at_risk(&key(1, 3)).unwrap());
        logs.forget_at_risk(&key(1, 2), &put(1, u64::MAX)).unwrap();
        assert!(!logs.is_at_risk(&key(1, 2)).unwrap());
        let all = [covered(1, Some(LOG)), covered(1, None), covered(2, Some(BranchNo(0)))];
        all.iter().for_each(|row| logs.put_covered(row).unwrap());
        logs.put_covered(&Covered { key: key(2, 0), by: None }).unwrap();
        assert_eq!(logs.covered(VAULT, None, 2).unwrap(), all[..2]);
        assert_eq!(logs.covered(VAULT, Some(&all[1]), 2).unwrap(), all[2..]);
        all.iter().for_each(|row| logs.forget_covered(row).unwrap());
        let ops = [(LogNo(2), Stamp(u64::MAX)), (LogNo(3), Stamp(1))];
        ops.iter().for_each(|op| logs.put_shown_again(&key(1, 1), *op).unwrap());
        assert_eq!(
            (logs.shown_again(&key(1, 1)).unwrap(), logs.shown_again(&key(1, 2)).unwrap()),
            (ops.to_vec(), vec![])
        );
        logs.forget_shown_again(&key(1, 1), ops[0]).unwrap();
        assert_eq!(logs.shown_again(&key(1, 1)).unwrap(), ops[1..]);
        assert_eq!(logs.searched(LOG).unwrap(), None);
        logs.put_searched(LOG, &(Seq(3)..Seq(1 << 40))).unwrap();
        assert_eq!(logs.searched(LOG).unwrap(), Some(Seq(3)..Seq(1 << 40)));
    });
    let risks = [1, 2, 3].map(|vault| view(&database).risks(VaultNo(vault)).unwrap());
    assert_eq!(risks, [(true, false), (false, true), (false, false)]);
}

#[test]
fn a_head_that_is_put_is_noted_once_as_moved() {
    change(&in_memory(), |logs| {
        logs.store_segment(LOG, &segment(ID, 0), Seq(0)).unwrap();
        let head = logs.head(LOG).unwrap().unwrap();
        logs.put_head(LOG, &LogTip { merged: Seq(1), ..head }).unwrap();
        assert_eq!(logs.take_moved().into_iter().collect::<Vec<_>>(), [LOG]);
        assert!(logs.take_moved().is_empty());
    });
}

#[test]
fn rows_that_nothing_of_ours_wrote_are_refused() {
    let inconsistent = |error| matches!(error, Some(StoreError::Inconsistent));
    let database = in_memory();
    let mut whole = vec![0; segment(ID, 0).row_len()];
    segment(ID, 0).write(&mut whole);
    change(&database, |logs| {
        let mut class =
            LogRow { vault: VAULT, public: PublicKeyBytes::from_bytes([1; 65]), class: Class::Data }.encode();
        class[69] = 3;
        logs.logs.insert(0, &class).unwrap();
        for (seq, row) in
            [&whole[..31], &whole[..whole.len() - 1], &[&whole[..], &[0]].concat()[..]].iter().enumerate()
        {
            let key = segment_key(LOG, Seq(seq as u64));
            logs.segments.insert(&key, *row).unwrap();
            assert!(inconsistent(logs.segment(LOG, Seq(seq as u64)).err()), "{seq}");
        }
        assert!(inconsistent(logs.chain(LOG, Seq(0)).err()));
        let key = joined(&[&VAULT.0.to_be_bytes(), ID.as_bytes(), &0u64.to_be_bytes()]);
        for row in [vec![], [&[3], &whole[..]].concat(), [&[0], &whole[..40]].concat()] {
            logs.waiting.insert(&key, &row[..]).unwrap();
            let found = logs.waiting_of(VAULT, &ID).unwrap().next().unwrap();
            assert!(inconsistent(found.err()), "{} bytes", row.len());
        }
    });
    let logs = view(&database);
    assert!(inconsistent(logs.logs().unwrap().next().unwrap().err()));
    assert!(inconsistent(logs.segments(LOG, Seq(0)..=Seq(0)).unwrap().next().unwrap().err()));
}
