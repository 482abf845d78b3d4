//! One host does what it can to keep others out, over loopback: 127.0.0.1 is loud, 127.0.0.2 wants to work.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use subrosa_protocol::error::ErrorCode;
use subrosa_protocol::frame::{ClientFrame, Credential, RelayFrame, Role};
use subrosa_protocol::ids::RendezvousId;
use subrosa_protocol::limits;
use subrosa_relay::{Answer, Question, Status};

use crate::client::Client;
use crate::fixture::Vault;
use crate::home::{Home, acked, push};

const LOUD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const QUIET: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

async fn status(home: &Home) -> Status {
    let data = home.data();
    match tokio::task::spawn_blocking(move || subrosa_relay::ask(&data, &Question::Status)).await.unwrap() {
        Ok(Answer::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

/// Creates a vault, pushes to it, and pairs with another link, all from the quiet host.
async fn works(home: &Home) {
    let mut vault = Vault::new();
    let mut opener = Client::hello_from(QUIET, home.relay.addr()).await;
    opener.create(&vault, Credential::None).await.unwrap();
    opener.logs(&vault).await;
    let segments = vec![vault.data.segment(&vault.id, 1_000_000)];
    acked(&push(&mut opener, &vault, segments).await);
    let id = RendezvousId::from_bytes([7; 16]);
    opener.send(&ClientFrame::RendezvousOpen { id }).await;
    // OPEN has no answer; an answer to what comes after it says that it is open.
    opener.send(&ClientFrame::RendezvousData { id, message: vec![0] }).await;
    assert_eq!(opener.refusal().await.code, ErrorCode::NoRendezvous);
    let mut joiner = Client::hello_from(QUIET, home.relay.addr()).await;
    joiner.send(&ClientFrame::RendezvousJoin { id }).await;
    assert_eq!(joiner.recv().await, RelayFrame::RendezvousReady { id });
}

#[tokio::test]
async fn a_host_of_silent_strangers_leaves_another_able_to_pair_and_sync() {
    let home = Home::open();
    let mut silent = Vec::new();
    while silent.len() < limits::UNAUTHENTICATED_LINKS_MAX {
        match Client::try_connect_from(LOUD, home.relay.addr()).await {
            Ok(client) => silent.push(client),
            Err(_) => break,
        }
    }
    works(&home).await;
    assert!(silent.len() >= limits::UNAUTHENTICATED_PER_HOST_MAX);
    assert!(status(&home).await.turned_away.connections > 0);
}

#[tokio::test]
async fn a_host_that_joins_without_end_leaves_another_able_to_pair() {
    let home = Home::open();
    let id = RendezvousId::from_bytes([9; 16]);
    let mut limited = 0;
    while limited < 100 {
        let mut client = Client::hello_from(LOUD, home.relay.addr()).await;
        for _ in 0..limits::JOINS_PER_LINK_MAX {
            client.send(&ClientFrame::RendezvousJoin { id }).await;
            limited += usize::from(client.refusal().await.code == ErrorCode::RateLimited);
        }
    }
    works(&home).await;
    assert!(status(&home).await.turned_away.rendezvous >= 100);
}

/// The start of a frame of the greatest length.
fn beginning(bytes: usize) -> Bytes {
    let mut frame = vec![0x07; bytes];
    frame[..4].copy_from_slice(&(limits::FRAME_BYTES_MAX as u32).to_be_bytes());
    frame.into()
}

#[tokio::test]
async fn unfinished_frames_of_one_host_hold_up_nobody_else_and_a_bounded_memory() {
    let home = Home::open();
    let (vault, first) = home.vault().await;
    let mut links = vec![first];
    for _ in 0..20 {
        let mut link = home.client().await;
        link.auth(&vault, Role::Writer).await;
        links.push(link);
    }
    // As much as goes through without a place, so that no link waits for the relay to read on.
    for link in &mut links {
        link.send_bytes(beginning(20_000)).await;
    }
    let share = limits::FRAMES_BYTES_MAX / limits::FRAMES_SHARE_HOST;
    let places = share / (limits::FRAME_BYTES_MAX + 4);
    while status(&home).await.frame_bytes < places * (limits::FRAME_BYTES_MAX + 4) {}
    works(&home).await;
    assert!(status(&home).await.frame_bytes <= share);
}

#[tokio::test]
async fn a_frame_of_the_greatest_length_goes_through_behind_others_that_stall() {
    let home = Home::open();
    let (mut vault, mut honest) = home.vault().await;
    let mut stalled = Vec::new();
    let whole = limits::FRAME_BYTES_MAX + 4;
    for n in 1..=limits::FRAMES_BYTES_MAX / limits::FRAMES_SHARE_HOST / whole {
        let mut link = home.client().await;
        link.auth(&vault, Role::Writer).await;
        link.send_bytes(beginning(20_000)).await;
        stalled.push(link);
        while status(&home).await.frame_bytes < n * whole {}
    }
    let large = vault.data.segment(&vault.id, limits::SEGMENT_BYTES_MAX - 1024);
    let id = vault.id;
    honest.send(&ClientFrame::Push { vault: id, segments: vec![large] }).await;
    // One of those that stall is told to come back later; its place is the honest one's.
    let refusal = stalled[0].refusal_within(2 * limits::FRAME_PATIENCE).await;
    assert_eq!(refusal.code, ErrorCode::RateLimited);
    acked(&honest.recv().await);
    assert_eq!(status(&home).await.turned_away.frames, 1);
}

#[tokio::test]
async fn feeds_that_nobody_takes_hold_a_bounded_memory_and_lose_it_to_those_that_wait() {
    let home = Home::open();
    let (mut vault, mut writer) = home.vault().await;
    let bytes = limits::SEGMENT_BYTES_MAX - 1024;
    for _ in 0..3 {
        let segments = vec![vault.data.segment(&vault.id, bytes)];
        acked(&push(&mut writer, &vault, segments).await);
    }
    let share = limits::FEEDS_BYTES_MAX / limits::FRAMES_SHARE_HOST;
    let most = share / bytes;
    // Each takes what its transport takes, and no more; those beyond the share wait with nothing in memory.
    let mut stalled = Vec::new();
    for _ in 0..most + 5 {
        let mut link = Client::hello_taking_little(LOUD, home.relay.addr()).await;
        link.auth(&vault, Role::Reader).await;
        link.send_subscribe_from_start(vault.id).await;
        stalled.push(link);
    }
    while status(&home).await.feed_bytes < most * bytes {}
    assert!(status(&home).await.feed_bytes <= share);
    let mut quiet = Client::hello_from(QUIET, home.relay.addr()).await;
    quiet.auth(&vault, Role::Reader).await;
    let frames = quiet.subscribe(vault.id).await.until_caught_up().await;
    assert_eq!(frames.len(), 5, "the log's key, three segments, and the end");
    // Who waits on the same host has a turn as well: whoever took nothing for long is told to come back later.
    while status(&home).await.turned_away.feeds == 0 {}
    let mut told = 0;
    for link in &mut stalled[..most] {
        if let Ok(frame) = tokio::time::timeout(limits::FRAME_PATIENCE, link.try_recv()).await {
            let Some(RelayFrame::Error(refusal)) = frame else { panic!("{frame:?}") };
            assert_eq!(refusal.code, ErrorCode::RateLimited);
            told += 1;
            break;
        }
    }
    assert_eq!(told, 1);
}
