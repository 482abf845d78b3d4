//! Chains in parts, tails of a relay that is behind, chains that are asked for, and vouches.

use super::*;

/// Three statements: keys 2 and 3, then 6 and 7, then 8 and 5.
fn chain() -> Vec<Statement> {
    let mut chain = statements();
    chain.push(following(&chain[0], 6, 7));
    chain.push(following(&chain[1], 8, 5));
    chain
}

fn known(chain: &[Statement]) -> KnownVault {
    KnownVault { statements: chain.into(), ..state() }
}

/// A link that proved write key 5, which the relay does not list.
fn unlisted() -> RelayLink {
    let mut link = open_link(Admission::Open);
    feed_in(&mut link, &auth(5, Role::Writer, vault())).unwrap();
    link.handle(at(1), Input::Vault(Some(known(&chain()[..1])))).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::AuthFailed]);
    link
}

/// What the relay is asked to take.
fn asked(link: &mut RelayLink) -> Option<Vec<Statement>> {
    drain(link).into_iter().find_map(|output| match output {
        Output::JoinStatements { vault: id, tail } if id == vault() => Some(tail),
        _ => None,
    })
}

#[test]
fn a_link_that_is_over_holds_nothing_of_a_chain_and_waits_for_nothing() {
    let mut link = unlisted();
    let statements = vec![chain()[0].encode()];
    feed_in(&mut link, &ClientFrame::Statements(StatementsPart { vault: vault(), last: false, statements }))
        .unwrap();
    assert!(link.gathered_bytes() > 0);
    link.handle(at(2), Input::TooSlow).unwrap();
    assert!(matches!(drain(&mut link).last(), Some(Output::Close(ErrorCode::RateLimited))));
    assert_eq!((link.gathered_bytes(), link.deadline()), (0, None));
}

#[test]
fn a_tail_makes_a_key_known_that_the_relay_did_not_list() {
    let mut link = unlisted();
    feed_in(&mut link, &subscribe(0, LIFE)).unwrap();
    assert!(link.poll().is_none(), "pipelined behind the proof: dropped");
    bring(&mut link, &chain());
    assert_eq!(asked(&mut link), Some(chain()));
    assert!(!link.accepts_frame());
    link.handle(at(1), Input::StatementStored(Ok(known(&chain())))).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(outputs[..], [Output::Joined(_), Output::Send(RelayFrame::Vault { .. })]));
    assert!(link.is_member());
    feed_in(&mut link, &subscribe(0, LIFE)).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::LoadDigest(_)]));
}

#[test]
fn who_is_still_not_listed_hears_the_same_whatever_was_wrong_and_has_four_tries() {
    let answers = [
        Ok(known(&chain()[..1])),
        Ok(known(&chain()[..2])),
        Err(ErrorCode::StatementRefused),
        Err(ErrorCode::UnknownVault),
    ];
    let mut link = unlisted();
    for (n, answer) in answers.into_iter().enumerate() {
        bring(&mut link, &chain()[1..]);
        assert!(asked(&mut link).is_some(), "try {n}");
        link.handle(at(1), Input::StatementStored(answer)).unwrap();
        let outputs = drain(&mut link);
        assert_eq!(outputs.len(), 1, "{n}: nothing but the refusal");
        assert_eq!(refusals(outputs), [ErrorCode::AuthFailed], "{n}");
    }
    bring(&mut link, &chain());
    let outputs = drain(&mut link);
    assert_eq!(outputs.len(), 1, "the store is not asked any more");
    assert_eq!(refusals(outputs), [ErrorCode::AuthFailed]);
    let garbage = StatementsPart { vault: vault(), last: true, statements: vec![vec![1; 600]; 3] };
    let mut link = unlisted();
    feed_in(&mut link, &ClientFrame::Statements(garbage)).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::AuthFailed], "what is no statement, too");
}

#[test]
fn a_members_tail_is_answered_and_may_cost_it_its_place() {
    let mut link = member(Role::Writer);
    bring(&mut link, &chain());
    assert_eq!(asked(&mut link), Some(chain()));
    link.handle(at(1), Input::StatementStored(Err(ErrorCode::StatementRefused))).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::StatementRefused]);
    bring(&mut link, &chain());
    link.handle(at(1), Input::StatementStored(Ok(state()))).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(outputs[..], [Output::JoinStatements { .. }, Output::Send(RelayFrame::Vault { .. })]));
    bring(&mut link, &chain());
    link.handle(at(1), Input::StatementStored(Ok(known(&chain())))).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::AuthFailed], "key 3 is superseded");
    assert!(!link.is_member());
}

#[test]
fn what_is_gathered_is_bounded_counted_and_forgotten() {
    let mut link = pending(Admission::Open);
    let part = |last| {
        let statements = chain().iter().map(Statement::encode).collect();
        ClientFrame::Statements(StatementsPart { vault: vault(), last, statements })
    };
    let one: usize = chain().iter().map(|statement| statement.encode().len()).sum();
    let create = ClientFrame::Create { vault: vault(), credential: Credential::None };
    for n in 1..=limits::STATEMENTS_MAX / 3 {
        feed_in(&mut link, &part(false)).unwrap();
        assert_eq!(link.gathered_bytes(), n * one);
    }
    feed_in(&mut link, &part(false)).unwrap();
    assert_eq!(link.gathered_bytes(), 0, "one too many: none is kept");
    feed_in(&mut link, &part(true)).unwrap();
    assert_eq!(link.gathered_bytes(), 0);
    feed_in(&mut link, &create).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::StatementRefused]);

    feed_in(&mut link, &part(false)).unwrap();
    feed_in(&mut link, &create).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::StatementRefused], "the last part is missing");

    feed_in(&mut link, &part(false)).unwrap();
    link.handle(at(1), Input::NoRoom).unwrap();
    assert_eq!(link.gathered_bytes(), 0);
    feed_in(&mut link, &part(true)).unwrap();
    feed_in(&mut link, &create).unwrap();
    let refused = sent(drain(&mut link));
    let expected = Refusal::vault(ErrorCode::RateLimited, vault()).retry_after(limits::RETRY_SECS);
    assert_eq!(refused, [RelayFrame::Error(expected)]);

    bring(&mut link, &chain());
    feed_in(&mut link, &create).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::Create(_)]));
    assert_eq!(link.gathered_bytes(), one, "the driver works on it");
    link.handle(at(1), Input::Created(Err(ErrorCode::RelayFull))).unwrap();
    assert_eq!(link.gathered_bytes(), 0);

    let mut link = member(Role::Reader);
    feed_in(&mut link, &part(false)).unwrap();
    let until = link.deadline().unwrap();
    assert_eq!(until, at(1).mono + limits::AUTH_DEADLINE, "for members too");
    link.handle(at(until.as_secs()), Input::Timeout).unwrap();
    assert_eq!((link.gathered_bytes(), link.deadline()), (0, None));
    assert!(link.is_member());
}

#[test]
fn a_chain_is_shown_to_whoever_proved_a_key_of_it() {
    let chain = chain();
    for (key, role) in
        [(3, Role::Writer), (2, Role::Reader), (7, Role::Writer), (5, Role::Writer), (8, Role::Reader)]
    {
        let mut link = open_link(Admission::Closed);
        feed_in(&mut link, &auth(key, role, vault())).unwrap();
        link.handle(at(1), Input::Vault(Some(known(&chain)))).unwrap();
        drain(&mut link);
        for from in 0..5 {
            feed_in(&mut link, &ClientFrame::StatementsWant { vault: vault(), from: Generation(from) })
                .unwrap();
            give_parts(&mut link, &chain);
            let [RelayFrame::Statements(part)] = &sent(drain(&mut link))[..] else { panic!("one part") };
            let expected: Vec<_> = chain.iter().skip(from as usize).map(Statement::encode).collect();
            assert_eq!((&part.statements, part.last), (&expected, true), "key {key} from {from}");
        }
    }
    let want = ClientFrame::StatementsWant { vault: vault(), from: Generation(0) };
    for (name, mut link) in [("not listed", unlisted()), ("no vault", pending(Admission::Open))] {
        feed_in(&mut link, &want).unwrap();
        assert!(drain(&mut link).is_empty(), "{name}: it came with the proof, and comes again");
    }
}

#[test]
fn a_superseded_key_sees_epochs_below_that_of_the_statement_after_its_last() {
    let first = statements().remove(0);
    let again = |before: &Statement, epoch: u32, read: u8, write: u8| {
        signed(Statement { epoch: Epoch(epoch), ..following(before, read, write) }, &Key::new(1))
    };
    // Key 3 writes in epochs 0 and 2; key 5 comes in epoch 2, and then in epoch 6.
    let mut chain = vec![first.clone(), again(&first, 2, 2, 3)];
    chain.push(again(&chain[1], 5, 6, 7));
    chain.push(again(&chain[2], 6, 8, 5));
    let access = |role, key: u8| Access::of(&chain, role, &Key::new(key).public());
    assert_eq!(access(Role::Writer, 3), Some(Access::Superseded { below: Epoch(5) }), "epochs 0 to 4");
    assert_eq!(access(Role::Reader, 2), Some(Access::Superseded { below: Epoch(5) }));
    assert_eq!(access(Role::Writer, 7), Some(Access::Superseded { below: Epoch(6) }), "epoch 5 too");
    assert_eq!(access(Role::Writer, 5), Some(Access::Current(Role::Writer)));
    assert_eq!((access(Role::Reader, 3), access(Role::Writer, 9)), (None, None));

    // Hand-made segments: what the feed shows of them.
    let mut feed = Feed::new(vault(), LIFE, Rseq(0), View::ControlBelow(Epoch(5)));
    let public = Key::new(4).public();
    let mut shown = Vec::new();
    for (rseq, (kind, epoch)) in
        [(Kind::CONTROL, 0), (Kind::DATA, 0), (Kind::CONTROL, 4), (Kind::CONTROL, 5), (Kind::CONTROL, 6)]
            .into_iter()
            .enumerate()
    {
        let _ = feed.take();
        let header = Header { kind, epoch: Epoch(epoch), ..*segment(1, rseq as u64, 16).header() };
        let bytes = SealedSegment::assemble(header, &[0; 16], &Signature::ZERO);
        let stored = Stored {
            rseq: Rseq(rseq as u64 + 1),
            header,
            bytes: bytes.bytes(),
            public: &public,
            base: Base::WHOLE,
        };
        assert!(feed.offer(stored).is_continue());
        shown.push(!feed.take().is_empty());
    }
    assert_eq!(
        shown,
        [true, false, true, false, false],
        "a removed device reads the rotation that removed it nowhere"
    );
}

#[test]
fn too_many_statements_today_are_none_until_tomorrow() {
    let mut link = member(Role::Writer);
    let statement = chain()[1].encode();
    feed_in(&mut link, &ClientFrame::Statement { vault: vault(), statement }).unwrap();
    drain(&mut link);
    let now = Now { wall_ms: (3 * 86_400 + 86_000) * 1000, ..at(1) };
    link.handle(now, Input::StatementStored(Err(ErrorCode::RateLimited))).unwrap();
    let refused = Refusal::vault(ErrorCode::RateLimited, vault()).retry_after(400);
    assert_eq!(sent(drain(&mut link)), [RelayFrame::Error(refused)]);
}

#[test]
fn a_vouch_is_for_one_log_of_one_vault() {
    let (log, admin) = (Key::new(5).public(), Key::new(1));
    let vouch = |vault: &VaultId, log: &PublicKeyBytes| {
        let signature = admin.sign(labels::VOUCH, &Vouch::signed_bytes(vault, log));
        Vouch { admin: admin.public(), signature }
    };
    let good = vouch(&vault(), &log);
    let other = Vouch { admin: Key::new(2).public(), ..good };
    for (name, vouch) in [
        ("another vault's", vouch(&VaultId::ZERO, &log)),
        ("another log's", vouch(&vault(), &Key::new(6).public())),
        ("another key's", other),
    ] {
        let mut link = member(Role::Writer);
        feed_in(&mut link, &log_frame(log, Some(vouch))).unwrap();
        assert_eq!(refusals(drain(&mut link)), [ErrorCode::BadSignature], "{name}");
        for _ in 1..limits::AUTH_FAILURES_MAX {
            feed_in(&mut link, &log_frame(log, Some(vouch))).unwrap();
        }
        assert!(matches!(drain(&mut link).last(), Some(Output::Close(ErrorCode::AuthFailed))), "{name}");
    }
    let mut link = member(Role::Writer);
    feed_in(&mut link, &log_frame(log, Some(good))).unwrap();
    let header = Header { log: LogId::of(&log), ..*segment(1, 0, 16).header() };
    let segment = SealedSegment::assemble(header, &[0; 16], &Signature::ZERO);
    feed_in(&mut link, &ClientFrame::Push { vault: vault(), segments: vec![segment] }).unwrap();
    let outputs = drain(&mut link);
    let [Output::Append(append)] = &outputs[..] else { panic!("{outputs:?}") };
    let [Introduced { key: LogKey { public, .. }, vouch: Some(kept) }] = append.introduced[..] else {
        panic!("one, with its vouch")
    };
    assert_eq!((public, *kept.log(), *kept.vouch()), (log, log, good));
}

/// Does what a driver does that is asked for a part of `chain`; says from where on.
fn give_parts(link: &mut RelayLink, chain: &[Statement]) -> u64 {
    let outputs = drain(link);
    let [Output::LoadStatements { from, .. }] = outputs[..] else { panic!("{outputs:?}") };
    assert!(!link.accepts_frame(), "one thing after the other");
    let some = chain.iter().skip(from.0 as usize).take(limits::STATEMENTS_PART_MAX + 1);
    link.handle(at(1), Input::Statements(some.map(Statement::encode).collect())).unwrap();
    from.0
}

/// A chain of statements that follow each other, signatures aside.
fn long(len: usize, write: u8) -> Vec<Statement> {
    let mut chain = vec![Statement { write: Key::new(write).public(), ..statements().remove(0) }];
    while chain.len() < len {
        let before = chain.last().unwrap();
        let (generation, previous) = (before.generation.next(), before.hash());
        chain.push(Statement { generation, previous, ..before.clone() });
    }
    chain
}

/// A link that asked for all of `chain` from generation 1 on.
fn asking(chain: &[Statement]) -> RelayLink {
    let mut link = open_link(Admission::Closed);
    feed_in(&mut link, &auth(3, Role::Writer, vault())).unwrap();
    link.handle(at(1), Input::Vault(Some(known(chain)))).unwrap();
    drain(&mut link);
    feed_in(&mut link, &ClientFrame::StatementsWant { vault: vault(), from: Generation(1) }).unwrap();
    link
}

#[test]
fn a_long_chain_is_read_in_parts_as_it_is_sent_and_none_is_kept() {
    let chain = long(8 * limits::STATEMENTS_PART_MAX + 2, 3);
    let mut link = asking(&chain);
    let mut shown = 1;
    while shown < chain.len() {
        assert_eq!(give_parts(&mut link, &chain), shown as u64);
        let Some(Output::Send(RelayFrame::Statements(part))) = link.poll() else { panic!("a part") };
        assert!(link.outputs.is_empty(), "no part waits for the one before it");
        let end = shown + part.statements.len();
        let expected: Vec<_> = chain[shown..end].iter().map(Statement::encode).collect();
        assert_eq!((part.statements, part.last), (expected, end == chain.len()));
        shown = end;
    }
    assert!(link.poll().is_none() && link.accepts_frame());
}

#[test]
fn a_chain_that_is_replaced_between_two_parts_is_not_shown_as_one() {
    let (chain, other) = (long(300, 3), long(300, 5));
    let mut link = asking(&chain);
    give_parts(&mut link, &chain);
    let Some(Output::Send(RelayFrame::Statements(first))) = link.poll() else { panic!("a part") };
    assert!(!first.last);
    give_parts(&mut link, &other);
    let ended = StatementsPart { vault: vault(), last: true, statements: Vec::new() };
    assert_eq!(sent(drain(&mut link)), [RelayFrame::Statements(ended.clone())]);
    // Nor is anything shown to a link that has lost the vault meanwhile.
    let mut link = asking(&chain);
    give_parts(&mut link, &chain);
    assert!(matches!(link.poll(), Some(Output::Send(RelayFrame::Statements(_)))));
    let outputs = drain(&mut link);
    assert!(matches!(outputs[..], [Output::LoadStatements { .. }]));
    let superseded = known(&self::chain());
    link.handle(at(1), Input::StatementsChanged(vault(), superseded)).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::AuthFailed]);
    link.handle(at(1), Input::Statements(chain[60..].iter().map(Statement::encode).collect())).unwrap();
    assert!(link.poll().is_none());
}

#[test]
fn a_superseded_key_is_not_told_how_full_the_vault_is() {
    for (key, expected) in [(3, 0), (5, 7)] {
        let mut link = open_link(Admission::Closed);
        feed_in(&mut link, &auth(key, Role::Writer, vault())).unwrap();
        link.handle(at(1), Input::Vault(Some(known(&chain())))).unwrap();
        let frames = sent(drain(&mut link));
        assert!(
            matches!(frames[..], [RelayFrame::Vault { used_bytes, .. }] if used_bytes == expected),
            "{key}"
        );
    }
}
