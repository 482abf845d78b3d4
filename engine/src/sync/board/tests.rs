use std::sync::atomic::AtomicBool;

use subrosa_protocol::error::ErrorCode;

use super::super::events::EVENTS_MAX;
use super::*;

const SHORT: Duration = Duration::from_millis(20);

fn wait(board: &Arc<Board>) -> Result<bool, SyncError> {
    board.wait_caught_up(board.moment(), WaitLimits::of_idle(SHORT), &Cancel::new(), || false)
}

fn standing(segments_done: u64, synced: Option<u64>) -> Standing {
    let mut progress = Progress::default();
    (progress.segments_done, progress.segments_known) = (segments_done, 9);
    Standing { greeted: true, synced, settled: synced, answered: u64::MAX, progress }
}

#[test]
fn caught_up_counts_only_what_was_written_before() {
    let board = Arc::new(Board::default());
    board.written();
    board.standing(0, standing(1, Some(0)));
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "a write is not noted yet");
    board.standing(0, standing(1, Some(1)));
    assert!(wait(&board).is_ok());
    assert_eq!(board.status().reason(), "live");
}

#[test]
fn caught_up_is_what_a_relay_has_shown_itself_for_since_it_was_asked() {
    let board = Arc::new(Board::default());
    let answered = |answered| Standing { answered, ..standing(1, Some(0)) };
    let asks = board.asks();
    board.standing(0, answered(0));
    assert_eq!(board.status().state, SyncState::Live);
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "it may be gone");
    board.standing(0, answered(1));
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "that was for the one before");
    assert_eq!(*asks.borrow(), 2);
    let waits = board.clone();
    let waiting = std::thread::spawn(move || wait_long(&waits));
    board.standing(0, answered(3));
    assert!(matches!(waiting.join().unwrap(), Ok(true)));
}

fn wait_long(board: &Arc<Board>) -> Result<bool, SyncError> {
    board.wait_caught_up(board.moment(), WaitLimits::of_idle(Duration::from_secs(60)), &Cancel::new(), || {
        false
    })
}

#[test]
fn a_refusal_is_kept_until_the_vault_is_synced() {
    let board = Arc::new(Board::default());
    let vault = VaultId::ZERO;
    let refusal = Refusal::vault(ErrorCode::QuotaBytes, vault);
    board.news(0, &News::Event(Event::Refused { refusal, retry: SHORT }));
    board.standing(0, Standing { settled: Some(0), ..standing(1, None) });
    assert_eq!(board.status().state, SyncState::Refused);
    board.written();
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "a write is not noted yet");
    board.standing(0, Standing { settled: Some(1), ..standing(1, None) });
    assert!(matches!(wait(&board), Err(SyncError::Refused(ErrorCode::QuotaBytes))));
    board.offline(0, SyncFailure::Lost);
    assert_eq!(board.status().reason(), "refused: quota", "it outlives the link");
    assert_eq!(board.status().refusals, [(vault, ErrorCode::QuotaBytes)].into());
    board.news(0, &News::Event(Event::Synced { vault }));
    board.connecting(0);
    assert_eq!(board.status().reason(), "connecting");
}

#[test]
fn progress_adds_up_over_links() {
    let board = Arc::new(Board::default());
    board.standing(0, standing(3, None));
    board.offline(0, SyncFailure::Lost);
    board.standing(0, standing(2, None));
    let progress = board.status().progress;
    assert_eq!((progress.segments_done, progress.segments_known), (5, 12));
}

#[test]
fn events_nobody_takes_are_dropped_and_said_so() {
    let board = Arc::new(Board::default());
    let events = board.subscribe(&Process::plain());
    for n in 0..EVENTS_MAX + 9 {
        let vault = VaultId::from_bytes([u8::try_from(n % 256).unwrap(); 32]);
        board.news(0, &News::Event(Event::CaughtUp { vault }));
    }
    board.stopped();
    let mut seen = Vec::new();
    while let Some(event) = events.next(Duration::ZERO) {
        seen.push(event);
    }
    assert!(seen.len() <= EVENTS_MAX);
    assert!(seen.iter().any(|event| matches!(event, SyncEvent::Lagged)));
    assert!(matches!(wait(&board), Err(SyncError::Stopped)));
}

#[test]
fn something_is_waited_for_where_that_helps() {
    let board = Arc::new(Board::default());
    let long = Duration::from_secs(60);
    board.written();
    board.standing(0, standing(1, Some(0)));
    assert!(!board.wait_until(SHORT, || false), "not in time");
    let (waits, done) = (board.clone(), Arc::new(AtomicBool::new(false)));
    let asks = done.clone();
    let waiting = std::thread::spawn(move || waits.wait_until(long, || asks.load(Ordering::SeqCst)));
    done.store(true, Ordering::SeqCst);
    board.standing(0, standing(1, Some(1)));
    assert!(waiting.join().unwrap());
    board.suspended();
    assert!(board.wait_until(long, || true) && !board.wait_until(long, || false), "in vain");
    board.stopped();
    assert!(board.is_over() && !board.wait_until(long, || false), "in vain");
}

#[test]
fn a_cancelled_wait_wakes() {
    let board = Arc::new(Board::default());
    let cancel = Cancel::new();
    let (waits, waited) = (board.clone(), cancel.clone());
    let waiting = std::thread::spawn(move || {
        waits.wait_caught_up(waits.moment(), WaitLimits::of_idle(Duration::from_secs(60)), &waited, || false)
    });
    cancel.cancel();
    assert!(matches!(waiting.join().unwrap(), Ok(false)));
    board.standing(0, standing(1, Some(0)));
    assert!(
        matches!(
            board.wait_caught_up(board.moment(), WaitLimits::of_idle(SHORT), &cancel, || false),
            Ok(false)
        ),
        "cancelled before it began"
    );
    assert!(matches!(wait(&board), Ok(true)), "others do not notice");
}

#[test]
fn arrivals_are_told_without_a_lock_held() {
    let board = Arc::new(Board::default());
    let events = Arc::new(board.subscribe(&Process::plain()));
    let seen = Arc::new(Mutex::new(Vec::new()));
    board.connecting(0);
    board.news(0, &News::Event(Event::CaughtUp { vault: VaultId::ZERO }));
    let (takes, sees, asks) = (Arc::downgrade(&events), seen.clone(), board.clone());
    events.on_arrival(Arc::new(move || {
        let Some(events) = takes.upgrade() else { return };
        while let Some(event) = events.try_next() {
            sees.lock().unwrap().push(format!("{event:?} {}", asks.status().reason()));
        }
        if events.is_over() {
            sees.lock().unwrap().push("over".to_owned());
        }
    }));
    assert_eq!(seen.lock().unwrap().len(), 1, "at once, for what is there");
    board.standing(0, standing(1, Some(0)));
    assert!(!events.is_over());
    board.stopped();
    let mut seen = seen.lock().unwrap();
    seen.dedup();
    let ends: Vec<_> = seen.iter().map(|event| event.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["connecting", "live", "offline", "over"], "{seen:?}");
    assert!(events.is_over() && events.try_next().is_none());
    assert!(board.subscribe(&Process::plain()).is_over(), "too late");
}

#[test]
fn nothing_is_caught_up_while_a_link_that_it_takes_is_missing_or_down() {
    let board = Arc::new(Board::default());
    board.want_links(3);
    board.standing(0, standing(1, Some(0)));
    board.standing(1, standing(1, Some(0)));
    assert_eq!(board.status().state, SyncState::Syncing);
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "the third link is not there");
    board.standing(2, standing(1, Some(0)));
    assert!(wait(&board).is_ok());
    assert_eq!((board.status().state, board.status().progress.segments_done), (SyncState::Live, 3));
    board.offline(1, SyncFailure::Lost);
    assert_eq!(board.status().state, SyncState::Syncing, "others are up");
    assert!(matches!(board.status().failure, Some(SyncFailure::Lost)));
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))));
    board.connecting(1);
    board.news(1, &News::Event(Event::Greeted));
    board.written();
    board.standing(1, standing(1, Some(1)));
    assert_eq!(board.status().state, SyncState::Live);
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "two links do not know of the write");
    board.standing(0, standing(1, Some(1)));
    board.standing(2, standing(1, Some(1)));
    assert!(wait(&board).is_ok());
}

#[test]
fn what_rests_and_why_is_shown_until_it_is_synced() {
    let board = Arc::new(Board::default());
    let events = board.subscribe(&Process::plain());
    let (vault, fault) = (VaultId::ZERO, SyncFault::Peer(crate::error::PeerFault::BadSignature));
    board.news(0, &News::Rests { vault, fault, retry: SHORT });
    board.standing(0, Standing { settled: Some(0), ..standing(1, None) });
    assert_eq!(board.status().state, SyncState::Refused);
    assert_eq!(board.status().reason(), "resting: the relay sent a segment whose signature does not hold");
    assert_eq!(board.status().resting.get(&vault), Some(&fault));
    let event = events.try_next();
    assert!(matches!(event, Some(SyncEvent::Rests { fault: of, .. }) if of == fault), "{event:?}");
    board.offline(0, SyncFailure::Lost);
    assert_eq!(board.status().resting.len(), 1, "it outlives the link");
    board.news(0, &News::Event(Event::Synced { vault }));
    assert!(board.status().resting.is_empty());
}

#[test]
fn a_moment_is_waited_for_again_and_again_and_is_not_moved_by_that() {
    let board = Arc::new(Board::default());
    let moment = board.moment();
    let again = || board.wait_caught_up(moment, WaitLimits::of_idle(SHORT), &Cancel::new(), || false);
    board.standing(0, Standing { answered: 0, ..standing(1, Some(0)) });
    for _ in 0..3 {
        assert!(matches!(again(), Err(SyncError::NoProgress(_))));
    }
    assert_eq!(*board.asks().borrow(), 1, "asked once");
    board.standing(0, Standing { answered: 1, ..standing(1, Some(0)) });
    assert!(matches!(again(), Ok(true)));
    board.written();
    assert!(matches!(again(), Ok(true)), "that was written later");
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))));
}

#[test]
fn a_wait_ends_where_the_relay_disputes_our_logs_and_it_is_shown_until_the_vault_is_synced() {
    let board = Arc::new(Board::default());
    let events = board.subscribe(&Process::plain());
    let vault = VaultId::ZERO;
    board.news(0, &News::Event(Event::Disputed { vault }));
    board.written();
    board.standing(0, Standing { settled: Some(0), ..standing(1, None) });
    assert!(matches!(wait(&board), Err(SyncError::NoProgress(_))), "a write is not noted yet");
    board.standing(0, Standing { settled: Some(1), ..standing(1, None) });
    assert!(matches!(wait(&board), Err(SyncError::Disputed)));
    assert_eq!(board.status().reason(), "disputed");
    assert!(
        std::iter::from_fn(|| events.try_next())
            .any(|event| matches!(event, SyncEvent::Disputed(of) if of == vault))
    );
    board.offline(0, SyncFailure::Lost);
    assert!(board.status().disputed.contains(&vault), "it outlives the link");
    board.news(0, &News::Event(Event::Synced { vault }));
    assert!(board.status().disputed.is_empty());
}

#[test]
fn a_relay_that_disagrees_is_shown_until_it_agrees() {
    let board = Arc::new(Board::default());
    let vault = VaultId::ZERO;
    board.news(0, &News::Event(Event::Disagrees { vault }));
    board.news(0, &News::Event(Event::Synced { vault }));
    board.offline(0, SyncFailure::Lost);
    assert!(board.status().disagrees.contains(&vault), "being caught up does not settle it");
    board.news(0, &News::Event(Event::Agrees { vault }));
    assert!(board.status().disagrees.is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a base for times that the test then moves itself")]
fn a_wait_ends_whatever_a_relay_feeds() {
    let begun = Instant::now();
    let idle = Duration::from_secs(30);
    let mut patience = Patience::new(begun, WaitLimits::of_idle(idle), 0);
    assert_eq!(patience.left(begun, 0), Ok(idle));
    let mut now = begun;
    let mut moved = 0;
    let over = loop {
        now += idle / 3;
        moved += 1;
        if let Err(over) = patience.left(now, moved) {
            break over;
        }
    };
    assert_eq!((over, now - begun), (Over::Unfinished, idle * 60));
    let mut patience = Patience::new(begun, WaitLimits::of_idle(idle), 0);
    assert_eq!(patience.left(begun + idle / 2, 1), Ok(idle));
    assert_eq!(patience.left(begun + idle, 1), Ok(idle / 2));
    assert_eq!(patience.left(begun + idle / 2 + idle, 1), Err(Over::NoProgress));
}

#[test]
fn a_vault_that_needs_an_update_is_never_said_to_be_live() {
    let board = Arc::new(Board::default());
    let vault = VaultId::ZERO;
    let events = board.subscribe(&Process::plain());
    board.standing(0, standing(1, Some(0)));
    assert!(wait(&board).is_ok());
    for _ in 0..2 {
        board.news(0, &News::UpdateNeeded { vault });
    }
    assert!(matches!(wait(&board), Err(SyncError::UpdateNeeded)));
    assert!(!board.wait_until(SHORT, || false));
    let status = board.status();
    assert_eq!((status.state, status.reason().as_str()), (SyncState::Refused, "update needed"));
    assert!(status.update_needed.contains(&vault));
    let told = std::iter::from_fn(|| events.next(Duration::ZERO));
    let told = told.filter(|event| matches!(event, SyncEvent::UpdateNeeded(of) if *of == vault)).count();
    assert_eq!(told, 1, "once");
    // What is not done yet is said as such.
    board.standing(0, standing(1, None));
    assert_eq!(board.status().state, SyncState::Syncing);
}

#[test]
fn clocks_that_differ_and_what_is_held_are_told_once_and_when_it_is_over() {
    let board = Arc::new(Board::default());
    let events = board.subscribe(&Process::plain());
    for ahead_ms in [None, Some(400_000), Some(410_000), Some(-400_000), None, None] {
        board.news(0, &News::Clock { ahead_ms });
        assert_eq!(board.status().clock_ahead_ms, ahead_ms);
    }
    for until_ms in [None, Some(5), Some(5), Some(7), None] {
        board.held(until_ms);
        assert_eq!(board.status().held_until_ms, until_ms);
    }
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let (mut clocks, mut held) = (Vec::new(), Vec::new());
    for event in told {
        match event {
            SyncEvent::Clock { ahead_ms } => clocks.push(ahead_ms),
            SyncEvent::Held { until_ms } => held.push(until_ms),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(clocks, [Some(400_000), Some(-400_000), None]);
    assert_eq!(held, [Some(5), Some(7), None]);
}
