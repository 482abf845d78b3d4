//! A vault's statement chain: what is asked, what is brought, and what waits for it.

use super::*;

#[test]
fn statements_are_compared_once_more_when_the_store_has_one_to_add() {
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    let whole = Prepared { chain: HeldChain::Whole { last: Generation(0) }, ..prepared(Role::Writer) };
    rig.give(Input::Prepared { vault: vault(1), prepared: whole });
    rig.known(1);
    let shown = StatementsPart { vault: vault(1), last: true, statements: vec![vec![3; 10]] };
    rig.frame(&RelayFrame::Statements(shown.clone())).unwrap();
    rig.start(1, 1);
    rig.caught_up(1, 5);
    rig.take();
    // It comes while a comparison is with the store, which has not seen it.
    rig.give(Input::Delivered {
        vault: vault(1),
        received: Received { statements: true, ..Received::default() },
    });
    assert!(!rig.sent().iter().any(|frame| matches!(frame, ClientFrame::StatementsWant { .. })));
    let compared = |last, tail| Input::StatementsStored {
        vault: vault(1),
        kept: StatementsKept::Compared { last: Generation(last), tail },
    };
    rig.give(compared(0, Vec::new()));
    assert!(rig.sent().contains(&ClientFrame::StatementsWant { vault: vault(1), from: Generation(0) }));
    rig.frame(&RelayFrame::Statements(shown)).unwrap();
    rig.give(compared(1, vec![vec![4; 10]]));
    let brought = StatementsPart { vault: vault(1), last: true, statements: vec![vec![4; 10]] };
    assert_eq!(rig.sent(), [ClientFrame::Statements(brought)]);
    rig.known(1);
    assert_eq!(rig.sent(), [], "once");
}
use crate::ids::Generation;

fn holding(chain: HeldChain) -> Prepared {
    Prepared { chain, ..prepared(Role::Writer) }
}

const WHOLE: HeldChain = HeldChain::Whole { last: Generation(3) };

/// A vault that is proved and known, on stream 1.
fn known(chain: HeldChain) -> Rig {
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    rig.give(Input::Prepared { vault: vault(1), prepared: holding(chain) });
    let asked = rig.sent().pop().filter(|frame| matches!(frame, ClientFrame::StatementsWant { .. }));
    rig.known(1);
    rig.out.extend(asked.map(|frame| Output::Send(frame.encode())));
    rig
}

fn want(from: u64) -> ClientFrame {
    ClientFrame::StatementsWant { vault: vault(1), from: Generation(from) }
}

fn part(last: bool, count: usize) -> StatementsPart {
    StatementsPart { vault: vault(1), last, statements: vec![vec![7; 500]; count] }
}

fn compared(rig: &mut Rig, tail: usize) {
    let kept = StatementsKept::Compared { last: Generation(3), tail: vec![vec![7; 500]; tail] };
    rig.give(Input::StatementsStored { vault: vault(1), kept });
}

fn catch_up(rig: &mut Rig) {
    rig.start(1, 1);
    rig.caught_up(1, 5);
    rig.delivered(1);
}

fn nothing_to_send(rig: &mut Rig) {
    rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
    rig.give(Input::Sealed { vault: vault(1), more: false });
    rig.give(Input::Outbox { vault: vault(1), batch: OutboxBatch::default() });
}

#[test]
fn a_relay_that_has_our_last_statement_is_asked_once() {
    let mut rig = known(WHOLE);
    assert_eq!(rig.sent(), [want(3)]);
    catch_up(&mut rig);
    nothing_to_send(&mut rig);
    assert!(!rig.link.is_synced(), "it owes an answer");
    rig.frame(&RelayFrame::Statements(part(true, 1))).unwrap();
    let statements = vec![vec![7; 500]];
    assert!(rig.take().contains(&Output::StoreStatements { vault: vault(1), statements }));
    compared(&mut rig, 0);
    assert!(rig.link.is_synced());
    assert_eq!(rig.sent(), []);
    let unasked = rig.frame(&RelayFrame::Statements(part(true, 1)));
    let fault = VaultFault::OutOfPlace { frame: "STATEMENTS" };
    assert_eq!(
        (unasked, rig.events().len()),
        (Ok(()), 2),
        "synced, and then a fault of this vault alone: {fault}"
    );
}

#[test]
fn what_a_relay_lacks_is_brought_to_it() {
    let mut rig = known(WHOLE);
    catch_up(&mut rig);
    nothing_to_send(&mut rig);
    rig.sent();
    rig.frame(&RelayFrame::Statements(part(true, 0))).unwrap();
    rig.give(Input::StatementsStored { vault: vault(1), kept: StatementsKept::Ask });
    assert_eq!(rig.sent(), [want(0)], "where they part is not known");
    rig.frame(&RelayFrame::Statements(part(false, 2))).unwrap();
    rig.take();
    rig.frame(&RelayFrame::Statements(part(true, 1))).unwrap();
    assert!(matches!(&rig.take()[..], [Output::StoreStatements { statements, .. }] if statements.len() == 3));
    compared(&mut rig, 40);
    let brought = rig.sent();
    let statements: usize = brought
        .iter()
        .map(|frame| match frame {
            ClientFrame::Statements(part) => part.statements.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!((brought.len(), statements), (2, 40), "in parts");
    assert!(!rig.link.is_synced() && rig.link.is_waiting());
    rig.known(1);
    assert!(rig.link.is_synced());
    assert!(!rig.events().contains(&Event::Known { vault: vault(1) }), "it was known before");
}

#[test]
fn a_relay_whose_chain_meets_ours_nowhere_is_not_asked_for_ever() {
    let mut rig = known(WHOLE);
    rig.take();
    for _ in 0..2 {
        rig.frame(&RelayFrame::Statements(part(true, 0))).unwrap();
        rig.give(Input::StatementsStored { vault: vault(1), kept: StatementsKept::Ask });
    }
    let fault = VaultFault::OutOfPlace { frame: "STATEMENTS" };
    assert_eq!(rig.sent(), [want(0)]);
    assert_eq!(rig.events(), [Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }]);
}

#[test]
fn a_relay_that_stands_by_its_own_statements_or_takes_no_more_today_keeps_nobody_from_syncing() {
    for code in [ErrorCode::StatementRefused, ErrorCode::RateLimited] {
        let mut rig = known(WHOLE);
        catch_up(&mut rig);
        nothing_to_send(&mut rig);
        rig.frame(&RelayFrame::Statements(part(true, 1))).unwrap();
        compared(&mut rig, 1);
        rig.frame(&error(code, 1)).unwrap();
        assert!(rig.link.is_synced(), "{code}");
        assert!(rig.events().iter().any(|event| matches!(event, Event::Refused { .. })), "it is said");
    }
}

#[test]
fn who_holds_the_last_statement_only_seals_pushes_and_creates_nothing() {
    let mut rig = known(HeldChain::Last);
    assert_eq!(rig.sent(), [want(0)]);
    catch_up(&mut rig);
    rig.give(Input::Written { vault: vault(1) });
    rig.advance(Duration::from_secs(5));
    let work = |rig: &mut Rig| {
        let work = |output: &Output| matches!(output, Output::Seal { .. } | Output::LoadOutbox { .. });
        rig.take().iter().any(work)
    };
    assert!(!work(&mut rig), "neither sealed nor pushed");
    assert!(!rig.link.is_synced() && !rig.link.is_settled());
    assert!(rig.link.deadline().is_some_and(|at| at > rig.now), "and it does not spin");
    rig.frame(&RelayFrame::Statements(part(true, 4))).unwrap();
    rig.take();
    compared(&mut rig, 0);
    assert!(work(&mut rig), "the chain is whole");

    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    rig.give(Input::Prepared { vault: vault(1), prepared: holding(HeldChain::Last) });
    rig.frame(&error(ErrorCode::UnknownVault, 1)).unwrap();
    rig.take();
    let birth = Birth { chain: HeldChain::Last, ..birth(vec![vec![7; 500]], Some(vec![1])) };
    rig.give(Input::Birth { vault: vault(1), birth });
    let rests = Event::Rests { vault: vault(1), fault: VaultFault::Unable, retry: FAULT_WAIT };
    assert_eq!((rig.events(), rig.sent()), (vec![rests], vec![]), "nor created");
}

#[test]
fn a_relay_that_does_not_list_our_key_is_brought_our_chain_once() {
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    rig.give(Input::Prepared { vault: vault(1), prepared: holding(WHOLE) });
    rig.take();
    rig.frame(&error(ErrorCode::AuthFailed, 1)).unwrap();
    assert_eq!(rig.take(), [Output::LoadBirth { vault: vault(1) }]);
    rig.give(Input::Birth { vault: vault(1), birth: birth(vec![vec![7; 500]; 4], None) });
    assert_eq!(rig.sent(), [ClientFrame::Statements(part(true, 4))]);
    assert!(rig.link.is_waiting());
    let mut fails = Rig { out: VecDeque::new(), ..rig };
    fails.frame(&error(ErrorCode::AuthFailed, 1)).unwrap();
    assert!(matches!(fails.events()[..], [Event::Refused { .. }]), "it rests");
    fails.advance(REFUSED_WAIT);
    assert_eq!(fails.take(), [Output::Prepare { vault: vault(1) }]);
    fails.give(Input::Prepared { vault: vault(1), prepared: holding(WHOLE) });
    fails.take();
    fails.frame(&error(ErrorCode::AuthFailed, 1)).unwrap();
    assert!(matches!(fails.take()[..], [Output::Event(Event::Refused { .. })]), "once a link");
}

#[test]
fn the_chain_is_asked_for_with_the_proof_and_an_answer_that_cannot_come_is_not_waited_for() {
    let proved = || {
        let mut rig = Rig::new();
        rig.hello();
        rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
        rig.give(Input::Prepared { vault: vault(1), prepared: holding(WHOLE) });
        assert!(rig.sent().ends_with(&[want(3)]));
        rig
    };
    let mut rig = proved();
    rig.known(1);
    assert_eq!(rig.sent(), [], "once");
    for (code, then) in [
        (ErrorCode::AuthFailed, vec![]),
        (ErrorCode::TooManyVaults, vec![Output::Prepare { vault: vault(1) }]),
    ] {
        let mut rig = proved();
        rig.frame(&error(code, 1)).unwrap();
        rig.take();
        rig.advance(ANSWER_WAIT.max(REFUSED_WAIT));
        assert_eq!(rig.take(), then, "{code:?}");
        assert!(rig.link.deadline().is_none_or(|at| at > rig.now), "{code:?}: it does not spin");
    }
}

#[test]
fn once_the_chain_has_joined_the_vault_is_subscribed_to() {
    let mut rig = Rig::new();
    rig.hello();
    rig.give(Input::Add { vault: vault(1), purpose: Purpose::Sync });
    rig.give(Input::Prepared { vault: vault(1), prepared: holding(WHOLE) });
    rig.frame(&error(ErrorCode::AuthFailed, 1)).unwrap();
    rig.give(Input::Birth { vault: vault(1), birth: birth(vec![vec![7; 500]; 4], None) });
    rig.sent();
    rig.known(1);
    assert!(matches!(
        rig.sent()[..],
        [ClientFrame::Subscribe { cursor: Rseq(5), .. }, ClientFrame::StatementsWant { .. }]
    ));
}

#[test]
fn a_relay_that_shows_no_statements_rests_the_vault() {
    let mut rig = known(WHOLE);
    catch_up(&mut rig);
    nothing_to_send(&mut rig);
    rig.take();
    rig.now += ANSWER_WAIT / 2;
    rig.add(2);
    rig.known(2); // it talks about others
    rig.take();
    rig.advance(ANSWER_WAIT / 2);
    let fault = VaultFault::Silent;
    assert_eq!(rig.events(), [Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }]);
    let mut rig = known(WHOLE);
    rig.take();
    rig.frame(&RelayFrame::Statements(part(false, 0))).unwrap();
    let nothing = VaultFault::OutOfPlace { frame: "STATEMENTS" };
    let event = Event::Rests { vault: vault(1), fault: nothing, retry: FAULT_WAIT };
    assert!(rig.events().contains(&event), "a part with nothing, and more to come");
    for count in [1, limits::STATEMENTS_PART_MAX] {
        let mut rig = known(WHOLE);
        rig.take();
        for _ in 0..=limits::STATEMENTS_MAX / count {
            rig.frame(&RelayFrame::Statements(part(false, count))).unwrap();
        }
        let fault = VaultFault::OutOfPlace { frame: "STATEMENTS" };
        assert!(
            rig.events().contains(&Event::Rests { vault: vault(1), fault, retry: FAULT_WAIT }),
            "{count}"
        );
    }
}

#[test]
fn a_log_that_is_vouched_for_is_told_once_a_link_though_the_relay_has_it() {
    let vouch = crate::vouch::Vouch { admin: key(9), signature: Signature::ZERO };
    let batch = |seq| {
        let log = OutboxLog { vouch: Some(vouch), ..key(1).into() };
        OutboxBatch { logs: vec![log], segments: vec![segment(1, seq, 300)], more: false }
    };
    let mut rig = live_rig();
    rig.feed(1, &FeedFrame::Log { public: key(1), base: Base::WHOLE }).unwrap();
    let mut told = 0;
    for seq in 0..3 {
        rig.give(Input::Written { vault: vault(1) });
        rig.advance(Duration::from_millis(250));
        rig.give(Input::Sealed { vault: vault(1), more: false });
        rig.give(Input::Outbox { vault: vault(1), batch: batch(seq) });
        for frame in rig.sent() {
            match frame {
                ClientFrame::Log { vouch: said, .. } => {
                    assert_eq!(said, Some(vouch));
                    told += 1;
                }
                ClientFrame::Push { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        rig.frame(&RelayFrame::Ack { vault: vault(1), rseq: Rseq(6 + seq), entries: vec![head(1, seq)] })
            .unwrap();
        rig.give(Input::AckStored { vault: vault(1), more: false });
        rig.take();
    }
    assert_eq!(told, 1);
}
