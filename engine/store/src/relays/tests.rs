use redb::Database;

use super::*;
use crate::doors::{Doors, DoorsView, in_memory};

const VAULT: VaultNo = VaultNo(1);
const LOG: LogNo = LogNo(1);

fn pin(n: u8) -> Pin {
    Pin::from_bytes([n; 32])
}

fn head(n: u8) -> RelayHead {
    RelayHead { seq: Seq(u64::from(n) << 40), chain: Chain::from_bytes([n; 32]) }
}

fn change<R>(database: &Database, f: impl FnOnce(&mut Relays<'_>) -> R) -> R {
    let txn = database.begin_write().unwrap();
    let result = f(&mut Doors::open(&txn).unwrap().relays);
    txn.commit().unwrap();
    result
}

#[test]
fn a_cursor_is_of_one_relay_and_vault_and_stands_at_the_beginning_until_it_is_kept() {
    let database = in_memory();
    let cursor = Cursor {
        incarnation: Incarnation::from_bytes([1; 16]),
        scanned: Rseq(2 << 32),
        verified: Rseq(3),
        digest: Digest::from_bytes([4; 32]),
    };
    change(&database, |relays| {
        relays.put_cursor(&pin(1), VAULT, &cursor).unwrap();
        assert_eq!(relays.cursor(&pin(1), VAULT).unwrap(), cursor);
    });
    let relays = DoorsView::begin(&database).unwrap().relays().unwrap();
    assert_eq!(relays.cursor(&pin(1), VAULT).unwrap(), cursor);
    for (relay, vault) in [(pin(1), VaultNo(2)), (pin(2), VAULT)] {
        assert_eq!(relays.cursor(&relay, vault).unwrap(), Cursor::default());
    }
}

#[test]
fn a_cursor_of_another_length_is_refused() {
    change(&in_memory(), |relays| {
        for len in [0, 63, 65] {
            relays.cursors.insert(&relay_key(&pin(1), VAULT.0), &vec![0; len][..]).unwrap();
            assert!(matches!(relays.cursor(&pin(1), VAULT), Err(StoreError::Inconsistent)), "{len}");
        }
    });
}

#[test]
fn heads_are_found_by_relay_and_by_log() {
    let database = in_memory();
    change(&database, |relays| {
        for (relay, log) in [(1, 0), (1, 1), (1, 2), (2, 1), (3, 256)] {
            relays.put_head(&pin(relay), LogNo(log), &head(10 * relay + log as u8)).unwrap();
        }
        assert_eq!(relays.take_head(&pin(1), LOG).unwrap(), Some(head(11)));
        assert_eq!(relays.take_head(&pin(1), LOG).unwrap(), None);
        assert_eq!(relays.head(&pin(2), LOG).unwrap(), Some(head(21)));
    });
    let relays = DoorsView::begin(&database).unwrap().relays().unwrap();
    let found = [(1, 1), (1, 2), (2, 1)].map(|(relay, log)| relays.head(&pin(relay), LogNo(log)).unwrap());
    assert_eq!(found, [None, Some(head(12)), Some(head(21))]);
}

#[test]
fn what_was_shown_of_a_log_moves_to_its_number_and_what_others_have_stays() {
    let database = in_memory();
    let log = |n: u8| LogId::from_bytes([n; 16]);
    let shown = |relays: &Relays<'_>, relay| {
        relays.shown_by(&pin(relay), VAULT).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    change(&database, |relays| {
        for (vault, id, relay) in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 3, 1), (2, 1, 1)] {
            relays.put_shown(&pin(relay), VaultNo(vault), &log(id), &head(10 * id + relay)).unwrap();
        }
        assert_eq!(shown(relays, 1), [(log(1), head(11)), (log(2), head(21)), (log(3), head(31))]);
        relays.forget_shown(&pin(1), VAULT, &log(3)).unwrap();
        relays.move_shown(VAULT, &log(1), LOG).unwrap();
        assert_eq!((shown(relays, 1), shown(relays, 2)), (vec![(log(2), head(21))], vec![]));
        let moved = [1, 2].map(|relay| relays.head(&pin(relay), LOG).unwrap());
        assert_eq!(moved, [Some(head(11)), Some(head(12))]);
        assert_eq!(relays.shown_by(&pin(1), VaultNo(2)).unwrap().count(), 1);
    });
}
