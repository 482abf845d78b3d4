//! Figures of a real relay process, printed, not judged:
//! `cargo test --release -p subrosa-relay --test relay -- --ignored --nocapture measure`.

use std::path::Path;
use std::process::Child;
use std::time::Instant;

use subrosa_protocol::frame::{ClientFrame, Credential, FeedFrame, RelayFrame, Role};
use subrosa_protocol::ids::{Chain, Rseq, Seq};
use subrosa_protocol::limits;
use subrosa_protocol::segment::Kind;

use crate::client::Client;
use crate::fixture::Vault;
use crate::process::{Serving, relay, serve, stdout};

const EDITS: u64 = 200;

/// Resident memory in KiB and CPU time in ticks of 10 ms.
fn usage(child: &Child) -> (u64, u64) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let status = read("status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let rss = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (rss, fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "measures a real process")]
fn clock() -> Instant {
    Instant::now()
}

#[tokio::test]
#[ignore = "measures; takes a minute"]
async fn throughput_and_memory() {
    const SEGMENTS: usize = 800;
    const BODY: usize = 65_000;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--open"], &data));
    let serving = serve(&data);
    let (idle, _) = usage(&serving.child);
    println!("idle: {idle} KiB");
    let mut vault = Vault::new();
    let id = vault.id;
    let mut a = Client::hello(serving.addr).await;
    a.create(&vault, Credential::None).await.unwrap();
    a.logs(&vault).await;
    let segments: Vec<_> = (0..SEGMENTS).map(|_| vault.data.segment(&id, BODY)).collect();

    let (_, before) = usage(&serving.child);
    let started = clock();
    let mut acked = 0;
    for (n, some) in segments.chunks(16).enumerate() {
        a.send(&ClientFrame::Push { vault: id, segments: some.to_vec() }).await;
        while acked + 96 < n * 16 {
            acked += ack(&mut a).await;
        }
    }
    while acked < SEGMENTS {
        acked += ack(&mut a).await;
    }
    let (rss, after) = usage(&serving.child);
    let megabytes = (SEGMENTS * BODY) as f64 / 1e6;
    println!("push {megabytes} MB: {:?}, {} ms cpu, {rss} KiB", started.elapsed(), (after - before) * 10);

    let mut b = Client::hello(serving.addr).await;
    b.auth(&vault, Role::Reader).await;
    let (_, before) = usage(&serving.child);
    let started = clock();
    let mut feed = b.subscribe(id).await;
    loop {
        if let FeedFrame::CaughtUp { rseq, .. } = feed.next().await.unwrap() {
            assert_eq!(rseq, Rseq(SEGMENTS as u64));
            break;
        }
    }
    let (rss, after) = usage(&serving.child);
    println!("feed {megabytes} MB: {:?}, {} ms cpu, {rss} KiB", started.elapsed(), (after - before) * 10);
    drop((a, b, feed));

    one_edit(&serving, &mut vault).await;
    drop(serving);
    idle_links(&data, &vault, SEGMENTS as u64 + EDITS).await;
}

/// From one device's push to another's live feed.
async fn one_edit(serving: &Serving, vault: &mut Vault) {
    let id = vault.id;
    let mut singles = Vec::new();
    let mut c = Client::hello(serving.addr).await;
    c.auth(vault, Role::Writer).await;
    let mut d = Client::hello(serving.addr).await;
    d.auth(vault, Role::Reader).await;
    let mut feed = d.subscribe(id).await;
    feed.until_caught_up().await;
    for _ in 0..EDITS {
        let segment = vault.data.segment(&id, 300);
        let started = clock();
        c.send(&ClientFrame::Push { vault: id, segments: vec![segment] }).await;
        feed.until_caught_up().await;
        singles.push(started.elapsed());
        ack(&mut c).await;
    }
    singles.sort_unstable();
    println!("one edit, push to live feed: p50 {:?}, p99 {:?}", singles[100], singles[197]);
}

/// What a thousand links cost that have nothing to do.
async fn idle_links(data: &Path, vault: &Vault, rseq: u64) {
    let id = vault.id;
    let serving = serve(data);
    let (before, _) = usage(&serving.child);
    println!("idle, reopened after a kill: {before} KiB");
    let (mut links, mut at_100) = (Vec::new(), 0);
    for n in 0..1100 {
        if n == 100 {
            at_100 = usage(&serving.child).0;
        }
        let mut client = Client::hello(serving.addr).await;
        client.auth(vault, Role::Reader).await;
        let head = subrosa_protocol::digest::digest(&[vault.data.head()]);
        client.send_subscribe(id, Rseq(rseq), head).await;
        let mut feed = client.feed(id).await;
        feed.until_caught_up().await;
        links.push((client, feed));
    }
    let (after, _) = usage(&serving.child);
    let each = (after - at_100) as f64 / 1000.0;
    println!("links 101 to 1,100, subscribed and idle: {at_100} to {after} KiB, {each} KiB each");
}

async fn ack(client: &mut Client) -> usize {
    match client.recv().await {
        RelayFrame::Ack { entries, .. } => entries.len(),
        other => panic!("{other:?}"),
    }
}

/// What 400 members' links cost that each begin a frame of the greatest length and send all of it but its end.
#[tokio::test]
#[ignore = "measures; takes half a minute"]
async fn memory_of_unfinished_frames() {
    const LINKS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("relay");
    stdout(&relay(&["init", "--listen", "127.0.0.1:0", "--open"], &data));
    let serving = serve(&data);
    let vault = Vault::new();
    Client::hello(serving.addr).await.create(&vault, Credential::None).await.unwrap();
    let (base, _) = usage(&serving.child);
    let mut frame = vec![0x07; limits::FRAME_BYTES_MAX];
    frame[..4].copy_from_slice(&(limits::FRAME_BYTES_MAX as u32).to_be_bytes());
    let frame = bytes::Bytes::from(frame);
    let mut links = Vec::new();
    for _ in 0..LINKS {
        let mut client = Client::hello(serving.addr).await;
        client.auth(&vault, Role::Writer).await;
        // A whole one first, refused as a gap: what a window promised for it must not be kept for later.
        let gap = vault.data.seal(&vault.id, Kind::DATA, Seq(9), Chain::ZERO, 500_000);
        client.logs(&vault).await;
        client.send(&ClientFrame::Push { vault: vault.id, segments: vec![gap] }).await;
        assert!(matches!(client.recv().await, RelayFrame::Error(_)));
        links.push(client);
    }
    let (idle, _) = usage(&serving.child);
    let sending = links.into_iter().map(|mut client| {
        let frame = frame.clone();
        tokio::spawn(async move {
            client.send_bytes(frame).await;
            std::future::pending::<()>().await;
        })
    });
    let sending: Vec<_> = sending.collect();
    let mut most = 0;
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        most = most.max(usage(&serving.child).0);
    }
    println!(
        "{LINKS} unfinished frames: {base} KiB before the links, {idle} KiB with them, {most} KiB at most"
    );
    drop(sending);
}
