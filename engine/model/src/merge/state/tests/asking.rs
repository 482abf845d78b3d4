//! What can be asked of a state, and of its row without decoding it.

use super::*;

#[test]
fn a_delete_names_all_that_is_known() {
    let ops = [(1, set(4, [("a", 1)])), (2, delete(9, names([(3, 9)]))), (1, set(6, []))];
    let state = state(&ops);
    assert_eq!(state.tombstone_for_delete(&logs()), names([(1, 6), (3, 9)]));
    assert!(state.is_visible() && state.has_tombstone() && !state.is_empty());
}

#[test]
fn only_a_state_that_has_taken_in_nothing_is_empty() {
    assert!(RecordState::default().is_empty());
    assert!(!state(&[(1, set(4, []))]).is_empty());
    assert!(!state(&[(1, delete(4, names([(2, 3)])))]).is_empty(), "a delete alone is something");
}

#[test]
fn the_last_op_of_a_log_and_whether_any_delete_is_known_are_said() {
    let ops = [(1, set(4, [("a", 1)])), (1, set(6, [])), (2, delete(4, names([(1, 3)])))];
    let put = state(&ops[..2]);
    assert_eq!((put.last_of(no(1)), put.last_of(no(2))), (Some(Stamp(6)), None));
    assert!(!put.has_tombstone());
    let deleted = state(&ops[2..]);
    assert_eq!((deleted.last_of(no(1)), deleted.last_of(no(2))), (None, None), "deletes do not count");
    assert!(deleted.has_tombstone());
}

#[test]
fn what_is_deleted_and_what_is_cleared_is_said_by_log_up_to_a_stamp() {
    let ops = [
        (1, set(4, [("a", 1)])),
        (2, delete(9, names([(1, 5), (3, 7)]))),
        (2, put(10, names([(1, 5)]), [("b", register(2))])),
    ];
    let state = state(&ops);
    let asked = [(1, 4), (1, 5), (1, 6), (3, 7), (3, 8), (2, 10)].map(|(n, stamp)| (no(n), Stamp(stamp)));
    assert_eq!(
        asked.map(|(log, stamp)| state.is_deleted(log, stamp)),
        [true, true, false, true, false, false]
    );
    assert_eq!(
        asked.map(|(log, stamp)| state.is_cleared(log, stamp)),
        [true, true, false, false, false, false]
    );
}

#[test]
fn a_field_has_a_cell_that_is_no_earlier_than_an_op_if_a_version_of_today_wrote_it() {
    let ops = [
        (1, set(4, [("a", 1)])),
        (2, put(6, Tombstone::default(), [("b", OwnedCell::Unset)])),
        (2, put(8, Tombstone::default(), [("c", OwnedCell::Unknown(9, vec![0]))])),
    ];
    let (state, logs) = (state(&ops), logs());
    let order = LogOrder::from(&logs);
    let has = |name, n, stamp| state.has_cell(name, (no(n), Stamp(stamp)), &order);
    assert!(has("a", 1, 4) && has("a", 3, 3));
    assert!(!has("a", 1, 5) && !has("a", 2, 4), "of one stamp the greater log is the later");
    assert!(has("b", 2, 6) && !has("b", 2, 7), "one that was removed was set");
    assert!(!has("c", 2, 1) && !has("d", 1, 0));
}

#[test]
fn a_row_says_what_its_state_says() {
    let plain = [(1, set(4, [("a", 1)]))];
    let two = [(1, set(4, [("a", 1)])), (2, set(5, [("b", 1)]))];
    let hidden = [(1, set(4, [("a", 1)])), (2, delete(5, names([(1, 4)])))];
    let (mut scratch, mut kept) = (vec![7], RowBuf::default());
    for (ops, visible, of_one_log) in [(&plain[..], true, true), (&two, true, false), (&hidden, false, false)]
    {
        let state = state(ops);
        let made = RowBuf::of(&state, &mut scratch);
        kept.set(&state);
        assert_eq!((kept.borrow(), kept.borrow().as_bytes()), (made.borrow(), &row(&state)[..]));
        let row = made.borrow();
        assert_eq!((row.is_visible(), row.is_of_one_log()), (Ok(visible), of_one_log));
        assert_eq!(row.state(), Ok(state));
        let mut copy = RowBuf::default();
        copy.copy_from(row.to_buf().borrow());
        assert_eq!(copy.borrow(), row);
    }
}

#[test]
fn a_row_with_a_field_of_no_cell_or_with_one_field_in_two_parts_is_refused() {
    let stamp = [0, 0, 0, 0, 0, 0, 0, 5];
    let full = |fields: &[&[u8]]| {
        let last = [&[2, 1][..], &stamp, &[2], &stamp].concat();
        let fields: Vec<u8> = [&[fields.len() as u8][..], &fields.concat()].concat();
        [&[2][..], &last, &[0, 0], &fields, &[0]].concat()
    };
    // A name, how many cells, and of each its log, age, tag and length: fields that were removed.
    let (a, b, both) =
        ([1, b'a', 1, 0, 0, 2, 0], [1, b'b', 1, 1, 0, 2, 0], [1, b'a', 2, 0, 0, 2, 0, 1, 0, 2, 0]);
    for fields in [&[&a[..], &b][..], &[&both]] {
        assert!(RecordState::decode(&full(fields)).is_ok());
    }
    let (empty, again) = ([1, b'a', 0], [1, b'a', 1, 1, 0, 2, 0]);
    for fields in [&[&empty[..], &b][..], &[&a, &again]] {
        let refused = RecordState::decode(&full(fields)).map(drop);
        assert_eq!(refused, Err(DecodeError::NotCanonical { what: "order of fields" }));
    }
}
