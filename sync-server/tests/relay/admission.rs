//! Who may do what, and how much of it: credentials, proofs, statements, quotas, over loopback.

use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, RelayFrame, Role};
use subrosa_protocol::ids::{Base, Chain, Digest, RendezvousId, Rseq, Seq};
use subrosa_protocol::segment::{Kind, SealedSegment};
use subrosa_protocol::statement::{Signer, Statement};
use subrosa_protocol::token::Grant;
use subrosa_relay::{Config, Relay};

use crate::client::Client;
use crate::fixture::{Key, Log, NONCE, Vault, sign_statement};
use crate::home::{Home, acked, config, push, shape, start};

#[tokio::test]
async fn a_closed_relay_takes_invites_and_counts_their_vaults() {
    let home = Home::with(config());
    let url = home.relay.invite_url(2).unwrap();
    let invite = url.invite().unwrap().encode();
    let credential = || Credential::Invite(invite.clone());
    let (one, two, three) = (Vault::new(), Vault::new(), Vault::new());
    let mut a = home.client().await;
    assert_eq!(a.create(&one, Credential::None).await, Err(ErrorCode::NeedsInvite));
    let mut forged = invite.clone();
    forged[10] ^= 1; // one more use
    assert_eq!(a.create_again(&one, Credential::Invite(forged)).await, Err(ErrorCode::InviteRefused));
    let grant = Grant::decode(&a.create_again(&one, credential()).await.unwrap()).unwrap();
    assert_eq!(grant.vault, one.id);
    assert!(a.create(&two, credential()).await.is_ok());
    assert_eq!(a.create(&three, credential()).await, Err(ErrorCode::InviteRefused), "used twice");
    assert_eq!(
        a.create_again(&three, Credential::Grant(grant.encode())).await,
        Err(ErrorCode::GrantRefused),
        "a grant is for its vault"
    );

    let url = home.relay.invite_url(9).unwrap();
    let invite = url.invite().unwrap();
    let id = subrosa_relay::format_id(&invite.id);
    let data = home.data();
    let question = subrosa_relay::Question::InviteRevoke { id };
    let asked = tokio::task::spawn_blocking(move || subrosa_relay::ask(&data, &question));
    assert!(matches!(asked.await.unwrap(), Ok(subrosa_relay::Answer::Done)));
    let refused = a.create_again(&three, Credential::Invite(invite.encode())).await;
    assert_eq!(refused, Err(ErrorCode::InviteRefused), "revoked while serving");
}

#[tokio::test]
async fn after_the_database_is_deleted_a_grant_brings_the_vault_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let relay = start(&data, config());
    let invite = relay.invite_url(1).unwrap().invite().unwrap().encode();
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(relay.addr()).await;
    let grant = a.create(&vault, Credential::Invite(invite)).await.unwrap();
    a.logs(&vault).await;
    let segments = vec![vault.control.segment(&id, 10), vault.data.segment(&id, 10)];
    push(&mut a, &vault, segments.clone()).await;
    let before = a.incarnation;
    tokio::task::spawn_blocking(move || relay.stop()).await.unwrap();

    std::fs::remove_file(data.join(subrosa_relay::DATABASE)).unwrap();
    let relay = Relay::start(config(), &data).unwrap();
    let mut b = Client::hello(relay.addr()).await;
    assert_ne!(b.incarnation, before);
    b.create(&vault, Credential::Grant(grant)).await.unwrap();
    b.logs(&vault).await;
    b.send(&ClientFrame::Subscribe { vault: id, incarnation: before, cursor: Rseq(2), digest: Digest::ZERO })
        .await;
    assert_eq!(b.recv().await, RelayFrame::Heads { vault: id, last: true, heads: Vec::new() });
    b.send(&ClientFrame::Heads { vault: id, last: true, heads: vec![vault.data.head().into()] }).await;
    b.feed(id).await.until_caught_up().await;
    let ack = push(&mut b, &vault, segments).await;
    assert_eq!(acked(&ack), (Rseq(2), vec![Seq(0), Seq(0)]), "re-seeded");
}

#[tokio::test]
async fn a_full_vault_refuses_data_and_still_takes_its_admins_control() {
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].vault_bytes = 2_000;
    config.quotas.class[0].segment_bytes_max = 1_500;
    let home = Home::with(config);
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let large = vault.data.seal(&id, Kind::DATA, Seq(0), Chain::ZERO, 1_500);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![large]).await else { panic!("too large") };
    assert_eq!(refusal.code, ErrorCode::SegmentTooLarge);
    let one = vault.data.segment(&id, 1_000);
    acked(&push(&mut a, &vault, vec![one]).await);
    let two = vault.data.segment(&id, 1_000);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![two]).await else { panic!("over quota") };
    assert_eq!((refusal.code, refusal.seq), (ErrorCode::QuotaBytes, Seq(1)));
    let control = vec![vault.control.segment(&id, 1_000), vault.control.segment(&id, 1_000)];
    assert_eq!(acked(&push(&mut a, &vault, control).await).1, [Seq(0), Seq(1)]);
    let mut stranger = Log::new(Kind::CONTROL);
    let public = stranger.key.public();
    a.send(&ClientFrame::Log { vault: id, public, base: Base::WHOLE, vouch: None }).await;
    let segment = stranger.segment(&id, 100);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![segment]).await else { panic!("reserve") };
    assert_eq!(refusal.code, ErrorCode::QuotaBytes, "the reserve is the admins'");
}

#[tokio::test]
async fn too_much_at_once_is_refused_with_a_time_to_wait() {
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].segments_per_sec = 1;
    config.quotas.class[0].burst_secs = 2;
    let home = Home::with(config);
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let many = (0..9).map(|_| vault.data.segment(&id, 10)).collect();
    assert_eq!(acked(&push(&mut a, &vault, many).await).1.len(), 9, "one push may overdraw");
    let one = vault.data.segment(&id, 10);
    let RelayFrame::Error(refusal) = push(&mut a, &vault, vec![one]).await else { panic!("rate") };
    assert_eq!(refusal.code, ErrorCode::RateLimited);
    assert!((5..=8).contains(&refusal.retry_after_secs), "{}", refusal.retry_after_secs);
}

#[tokio::test]
async fn the_reason_of_a_refused_push_stays_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    let mut config = Config { open: true, ..config() };
    config.quotas.class[0].vault_bytes = 2_000;
    let relay = start(&data, config.clone());
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(relay.addr()).await;
    a.create(&vault, Credential::None).await.unwrap();
    a.logs(&vault).await;
    let segments: Vec<SealedSegment> = (0..3).map(|_| vault.data.segment(&id, 1_000)).collect();
    acked(&push(&mut a, &vault, vec![segments[0].clone()]).await);
    for attempt in 0..4 {
        let RelayFrame::Error(refusal) = push(&mut a, &vault, segments[1..].to_vec()).await else { panic!() };
        assert_eq!((refusal.code, refusal.seq), (ErrorCode::QuotaBytes, Seq(1)), "attempt {attempt}");
    }
    tokio::task::spawn_blocking(move || relay.stop()).await.unwrap();
    config.quotas.class[0].vault_bytes = 20_000;
    let relay = Relay::start(config, &data).unwrap();
    let mut a = Client::hello(relay.addr()).await;
    a.auth(&vault, Role::Writer).await;
    assert_eq!(acked(&push(&mut a, &vault, segments[1..].to_vec()).await).1, [Seq(1), Seq(2)]);
}

#[tokio::test]
async fn proofs_are_checked_and_readers_do_not_write() {
    let home = Home::open();
    let (mut vault, _a) = home.vault().await;
    let mut b = home.client().await;
    b.exporter[0] ^= 1; // a proof of another connection
    b.send_auth(&vault, Role::Writer).await;
    assert_eq!(b.refusal().await.code, ErrorCode::AuthFailed);
    b.exporter[0] ^= 1;
    let stranger = Vault { id: vault.id, ..Vault::new() };
    b.send_auth(&stranger, Role::Writer).await;
    assert_eq!(b.refusal().await.code, ErrorCode::AuthFailed, "another key");
    b.auth(&vault, Role::Reader).await;
    let segment = vault.data.segment(&vault.id, 10);
    let RelayFrame::Error(refusal) = push(&mut b, &vault, vec![segment]).await else { panic!("reader") };
    assert_eq!(refusal.code, ErrorCode::NotWriter);
}

#[tokio::test]
async fn a_new_statement_cuts_off_the_old_key_which_then_reads_control_of_its_epochs_only() {
    let home = Home::open();
    let (mut vault, mut a) = home.vault().await;
    let id = vault.id;
    let segments = vec![vault.control.segment(&id, 10), vault.data.segment(&id, 10)];
    push(&mut a, &vault, segments).await;
    let mut old = home.client().await;
    old.auth(&vault, Role::Reader).await;
    let mut feed = old.subscribe(id).await;
    feed.until_caught_up().await;

    let (read, write) = (Key::new(), Key::new());
    let next = vault.next_statement(&read, &write);
    let frame = |statement: &Statement| ClientFrame::Statement { vault: id, statement: statement.encode() };
    let skipping = sign_statement(Statement { previous: [0; 32], ..next.clone() }, &vault.admin);
    a.send(&frame(&skipping)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::StatementRefused);
    a.send(&frame(&next)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::AuthFailed, "its own key is superseded too");
    assert!(matches!(a.recv().await, RelayFrame::Vault { .. }), "accepted");
    assert_eq!(old.refusal().await.code, ErrorCode::AuthFailed);
    assert_eq!(feed.next().await, None, "its feed was reset");

    old.auth(&vault, Role::Reader).await;
    let frames = old.subscribe(id).await.until_caught_up().await;
    assert_eq!(shape(&frames), [(None, Kind::CONTROL, 0)]);

    // The recovery key replaces what an admin said; of what one admin said the lower hash stays.
    vault.read = read;
    vault.write = write;
    a.auth(&vault, Role::Writer).await;
    let later = |statement: &Statement| statement.hash() > next.hash();
    let fork = std::iter::repeat_with(|| vault.next_statement(&Key::new(), &Key::new())).find(later).unwrap();
    a.send(&frame(&fork)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::StatementRefused);
    let signer = Signer::Recovery { public: vault.recovery.public(), nonce: NONCE };
    let recovered = sign_statement(Statement { signer, ..fork }, &vault.recovery);
    a.send(&frame(&recovered)).await;
    assert_eq!(a.refusal().await.code, ErrorCode::AuthFailed);
    assert!(matches!(a.recv().await, RelayFrame::Vault { .. }));
}

#[tokio::test]
async fn a_rendezvous_has_one_joiner_and_eight_messages_a_side() {
    let home = Home::open();
    let (_vault, mut opener) = home.vault().await;
    let (mut joiner, mut late) = (home.client().await, home.client().await);
    let id = RendezvousId::from_bytes([3; 16]);
    joiner.send(&ClientFrame::RendezvousOpen { id }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::AuthFailed, "strangers open nothing");
    joiner.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::NoRendezvous);
    opener.send(&ClientFrame::RendezvousOpen { id }).await;
    // OPEN has no answer; DATA before a joiner has: it is refused.
    opener.send(&ClientFrame::RendezvousData { id, message: vec![0] }).await;
    assert_eq!(opener.refusal().await.code, ErrorCode::NoRendezvous);
    joiner.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(joiner.recv().await, RelayFrame::RendezvousReady { id });
    assert_eq!(opener.recv().await, RelayFrame::RendezvousReady { id });
    late.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(late.refusal().await.code, ErrorCode::NoRendezvous);
    late.send(&ClientFrame::RendezvousData { id, message: vec![0] }).await;
    assert_eq!(late.refusal().await.code, ErrorCode::NoRendezvous);
    for n in 0..8 {
        joiner.send(&ClientFrame::RendezvousData { id, message: vec![n; 4096] }).await;
        assert_eq!(opener.recv().await, RelayFrame::RendezvousData { id, message: vec![n; 4096] });
    }
    joiner.send(&ClientFrame::RendezvousData { id, message: vec![9] }).await;
    assert_eq!(joiner.refusal().await.code, ErrorCode::NoRendezvous);
    drop(joiner);
    assert_eq!(opener.refusal().await.code, ErrorCode::NoRendezvous, "the other side has left");
}

#[tokio::test]
async fn bad_frames_end_the_link_and_strangers_may_not_send_large_ones() {
    let home = Home::open();
    let too_large = vec![0, 0, 0x40, 1];
    for (name, bytes) in
        [("unknown tag", vec![0, 0, 0, 1, 0x5f]), ("empty", vec![0; 4]), ("large", too_large)]
    {
        let mut client = home.client().await;
        client.send_bytes(bytes.into()).await;
        assert_eq!(client.refusal().await.code, ErrorCode::BadFrame, "{name}");
        assert_eq!(client.try_recv().await, None, "{name}");
    }
    let mut silent = Client::connect(home.relay.addr()).await;
    silent.send(&ClientFrame::Hello { versions: vec![99], caps: 0, extensions: Extensions::new() }).await;
    assert_eq!(silent.refusal().await.code, ErrorCode::Version);
}
