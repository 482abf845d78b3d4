//! Who comes in: HELLO, proofs, credentials, and what a new vault shows.

use super::*;
use crate::token::{Grant, Invite};

#[test]
fn hello_is_first_and_only_once() {
    let mut link = link_of(Admission::Closed);
    feed_in(&mut link, &hello()).unwrap();
    let frames = sent(drain(&mut link));
    let limits = RelayLimits { segment_bytes_max: 1000, vaults_max: 2 };
    assert_eq!(
        frames,
        [RelayFrame::Hello {
            version: VERSION,
            incarnation: LIFE,
            limits,
            now_ms: at(1).wall_ms,
            caps: 0,
            extensions: Extensions::new()
        }]
    );
    for (name, mut link, frame, code) in [
        ("no HELLO", link_of(Admission::Open), auth(3, Role::Writer, vault()), ErrorCode::BadFrame),
        ("second HELLO", link, hello(), ErrorCode::BadFrame),
        (
            "other versions",
            link_of(Admission::Open),
            ClientFrame::Hello { versions: vec![1, 3], caps: 0, extensions: Extensions::new() },
            ErrorCode::Version,
        ),
        (
            "HEADS out of the blue",
            member(Role::Reader),
            ClientFrame::Heads { vault: vault(), last: true, heads: Vec::new() },
            ErrorCode::BadFrame,
        ),
    ] {
        assert!(feed_in(&mut link, &frame).is_err(), "{name}");
        let outputs = drain(&mut link);
        assert!(matches!(outputs.last(), Some(Output::Close(closed)) if *closed == code), "{name}");
        assert_eq!(refusals(outputs), [code], "{name}");
        assert!(!link.accepts_frame(), "{name}");
        assert_eq!(link.handle(at(2), Input::Drain), Ok(()), "{name}: nothing follows the end");
        assert!(link.poll().is_none(), "{name}");
    }
}

#[test]
fn what_a_stranger_asks_is_refused() {
    let (vault, log) = (vault(), LogId::ZERO);
    let id = crate::ids::RendezvousId::ZERO;
    let statement = statements()[0].encode();
    for (name, frame, code) in [
        ("subscribe", subscribe(0, LIFE), ErrorCode::AuthFailed),
        ("push", ClientFrame::Push { vault, segments: vec![segment(1, 0, 16)] }, ErrorCode::AuthFailed),
        ("log", log_frame(Key::new(5).public(), None), ErrorCode::AuthFailed),
        ("want", ClientFrame::Want { vault, log, from: Seq(0), to: Seq(1) }, ErrorCode::AuthFailed),
        ("heads", ClientFrame::Heads { vault, last: true, heads: Vec::new() }, ErrorCode::AuthFailed),
        ("statement", ClientFrame::Statement { vault, statement }, ErrorCode::AuthFailed),
        ("a chain", parts(&statements()).remove(0), ErrorCode::AuthFailed),
        (
            "a chain to be shown",
            ClientFrame::StatementsWant { vault, from: Generation(0) },
            ErrorCode::AuthFailed,
        ),
        (
            "create without a proof",
            ClientFrame::Create { vault, credential: Credential::None },
            ErrorCode::AuthFailed,
        ),
        ("open a rendezvous", ClientFrame::RendezvousOpen { id }, ErrorCode::AuthFailed),
    ] {
        let mut link = open_link(Admission::Open);
        feed_in(&mut link, &frame).unwrap();
        let outputs = drain(&mut link);
        assert_eq!(outputs.len(), 1, "{name}: nothing but the refusal");
        assert_eq!(refusals(outputs), [code], "{name}");
        assert!(link.accepts_frame(), "{name}: the link goes on");
    }
}

#[test]
fn a_proof_is_of_this_connection_vault_and_role_and_by_a_listed_key() {
    let good = auth(3, Role::Writer, vault());
    let ClientFrame::Auth { vault: id, role, public, signature } = good else { unreachable!() };
    for (name, frame) in [
        ("other role", ClientFrame::Auth { vault: id, role: Role::Reader, public, signature }),
        ("other vault", ClientFrame::Auth { vault: VaultId::ZERO, role, public, signature }),
        ("other key", ClientFrame::Auth { vault: id, role, public: Key::new(5).public(), signature }),
        ("no signature", ClientFrame::Auth { vault: id, role, public, signature: Signature::ZERO }),
    ] {
        let mut link = open_link(Admission::Closed);
        feed_in(&mut link, &frame).unwrap();
        let outputs = drain(&mut link);
        assert_eq!(outputs.len(), 1, "{name}: no lookup");
        assert_eq!(refusals(outputs), [ErrorCode::AuthFailed], "{name}");
    }
    for (name, key, role) in [("not listed", 5, Role::Writer), ("the reader's key", 2, Role::Writer)] {
        let mut link = open_link(Admission::Closed);
        feed_in(&mut link, &auth(key, role, vault())).unwrap();
        link.handle(at(1), Input::Vault(Some(state()))).unwrap();
        assert!(!link.is_member(), "{name}");
        assert!(refusals(drain(&mut link)).contains(&ErrorCode::AuthFailed), "{name}");
    }
    let mut link = open_link(Admission::Closed);
    for guess in 1..=limits::AUTH_FAILURES_MAX {
        assert!(link.accepts_frame(), "guess {guess}");
        let frame = ClientFrame::Auth { vault: id, role, public, signature: Signature::ZERO };
        feed_in(&mut link, &frame).unwrap();
    }
    assert!(matches!(drain(&mut link).last(), Some(Output::Close(ErrorCode::AuthFailed))));
}

#[test]
fn a_link_that_ends_by_a_proof_that_is_not_listed_waits_for_nothing() {
    let mut link = open_link(Admission::Closed);
    for guess in 1..=limits::AUTH_FAILURES_MAX {
        assert!(link.accepts_frame() && link.deadline().is_some(), "guess {guess}");
        feed_in(&mut link, &auth(5, Role::Writer, vault())).unwrap();
        link.handle(at(1), Input::Vault(Some(state()))).unwrap();
    }
    assert!(matches!(drain(&mut link).last(), Some(Output::Close(ErrorCode::AuthFailed))));
    assert_eq!(link.deadline(), None);
}

#[test]
fn creation_needs_a_credential_that_holds() {
    let relay = Key::new(9);
    let invite = |key: &Key, expires_secs: u64| {
        let signature = Signature::ZERO;
        let invite = Invite { id: [1; 8], class: 4, uses_max: 1, expires_secs, signature };
        let signature = key.sign(labels::INVITE, &invite.signed_bytes());
        Credential::Invite(Invite { signature, ..invite }.encode())
    };
    let grant = |vault: VaultId| {
        let grant = Grant { vault, class: 5, signature: Signature::ZERO };
        let signature = relay.sign(labels::GRANT, &grant.signed_bytes());
        Credential::Grant(Grant { signature, ..grant }.encode())
    };
    let (open, closed) = (Admission::Open, Admission::Closed);
    let now_secs = at(1).wall_ms / 1000;
    for (name, admission, credential, expected) in [
        ("open", open, Credential::None, Ok(0)),
        ("closed", closed, Credential::None, Err(ErrorCode::NeedsInvite)),
        ("invite", closed, invite(&relay, 0), Ok(4)),
        ("invite on an open relay", open, invite(&relay, 0), Ok(4)),
        ("invite of today", closed, invite(&relay, now_secs), Ok(4)),
        ("expired", closed, invite(&relay, now_secs - 1), Err(ErrorCode::InviteRefused)),
        ("other relay's", closed, invite(&Key::new(8), 0), Err(ErrorCode::InviteRefused)),
        ("no invite at all", closed, Credential::Invite(vec![1]), Err(ErrorCode::InviteRefused)),
        ("grant", closed, grant(vault()), Ok(5)),
        ("other vault's grant", closed, grant(VaultId::ZERO), Err(ErrorCode::GrantRefused)),
        ("no grant at all", open, Credential::Grant(Vec::new()), Err(ErrorCode::GrantRefused)),
    ] {
        let mut link = pending(admission);
        bring(&mut link, &statements());
        feed_in(&mut link, &ClientFrame::Create { vault: vault(), credential }).unwrap();
        let mut outputs = drain(&mut link);
        match (outputs.pop(), expected) {
            (Some(Output::Create(creation)), Ok(class)) => {
                assert_eq!(creation.check().unwrap().class(), class, "{name}");
            }
            (Some(output), Err(code)) => assert_eq!(refusals(vec![output]), [code], "{name}"),
            (output, _) => panic!("{name}: {output:?}"),
        }
    }
}

#[test]
fn a_created_vault_has_a_chain_that_holds_and_lists_the_proved_key() {
    let create = |chain: Vec<Statement>| {
        let mut link = pending(Admission::Open);
        bring(&mut link, &chain);
        let credential = Credential::None;
        feed_in(&mut link, &ClientFrame::Create { vault: vault(), credential }).unwrap();
        match drain(&mut link).pop() {
            Some(Output::Create(creation)) => (link, creation),
            other => panic!("{other:?}"),
        }
    };
    let first = statements().remove(0);
    let other_keys = following(&first, 6, 7);
    for (name, chain) in [
        ("none", Vec::new()),
        ("starts in the middle", vec![other_keys.clone()]),
        ("last lists another key", vec![first.clone(), other_keys]),
        ("signature", vec![Statement { signature: Signature::ZERO, ..first.clone() }]),
    ] {
        let (_, creation) = create(chain);
        assert_eq!(creation.check().err(), Some(ErrorCode::StatementRefused), "{name}");
    }
    let (mut link, creation) = create(vec![first]);
    assert_eq!(creation.check().unwrap().statements(), statements());
    link.handle(at(1), Input::Created(Ok(Created { state: state(), grant: vec![1, 2] }))).unwrap();
    let frames = sent(drain(&mut link));
    assert!(
        matches!(&frames[..], [RelayFrame::Vault { .. }, RelayFrame::Grant { grant }] if *grant == [1, 2])
    );
    assert!(link.is_member());
    let (mut link, _) = create(statements());
    link.handle(at(1), Input::Created(Err(ErrorCode::RelayFull))).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::RelayFull]);
    assert!(!link.is_member() && link.accepts_frame());
}

#[test]
fn a_link_has_as_many_vaults_as_it_may_and_strangers_small_frames() {
    let mut link = open_link(Admission::Open);
    for n in 0..2 {
        feed_in(&mut link, &auth(3, Role::Writer, VaultId::from_bytes([n; 32]))).unwrap();
        link.handle(at(1), Input::Vault(None)).unwrap();
    }
    drain(&mut link);
    feed_in(&mut link, &auth(3, Role::Writer, VaultId::from_bytes([9; 32]))).unwrap();
    assert_eq!(refusals(drain(&mut link)), [ErrorCode::TooManyVaults]);
    feed_in(&mut link, &auth(3, Role::Writer, VaultId::from_bytes([1; 32]))).unwrap();
    assert!(matches!(drain(&mut link)[..], [Output::LoadVault(_)]), "proving a known one again is no more");

    let fits = |link: &RelayLink, len: usize| {
        link.frame_limit().announced(&u32::try_from(len).unwrap().to_be_bytes()).is_ok()
    };
    for (link, limit) in [
        (open_link(Admission::Open), limits::FRAME_BYTES_MAX_UNAUTHENTICATED),
        (pending(Admission::Open), limits::FRAME_BYTES_MAX_UNAUTHENTICATED),
        (member(Role::Reader), limits::FRAME_BYTES_MAX),
    ] {
        assert!(fits(&link, limit) && !fits(&link, limit + 1), "{limit}");
    }
}
