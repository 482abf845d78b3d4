//! Floods, each from a process of its own: it says when it is ready, begins when it is told to, says when it is under way, and goes
//! on until it is killed.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use subrosa_protocol::frame::{ClientFrame, Credential, RelayFrame, Role, StatementsPart};
use subrosa_protocol::ids::{Chain, LogId, RendezvousId, Rseq, Seq, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::relay_link::digest_of_nothing;
use subrosa_protocol::segment::{Kind, SealedSegment};
use tokio::time::sleep;

use crate::client::Client;
use crate::fixture::Vault;
use crate::harness::child::{say, wait_for_go};

/// Links of a flood.
const LINKS: usize = 400;
/// Of those that ask and answer all the time; each of them is a share of a core.
const BUSY: usize = 16;
/// Networks that they come from.
const NETWORKS: usize = 8;
/// How long until a flood is as it will be.
const SETTLE: Duration = Duration::from_secs(3);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing: what the second block of edits costs by itself.
    Nothing,
    /// Connect, and leave at once.
    Handshakes,
    /// Connect, and be silent; come again when shown out.
    Strangers,
    /// Of strangers: all of the largest frame that they may send but its last byte.
    UnfinishedOfStrangers,
    /// Of members of four vaults, after one whole large frame.
    Unfinished,
    /// Join meetings that there are not.
    Joins,
    /// Bring chains in parts, none of which is the last.
    Chains,
    /// Ask for the same large segments again and again.
    Wants,
    /// Push segments with signatures that do not hold.
    Garbage,
    /// Take nearly nothing of feeds.
    SlowFeeds,
}

impl Act {
    pub(crate) const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Handshakes,
        Self::Strangers,
        Self::UnfinishedOfStrangers,
        Self::Unfinished,
        Self::Joins,
        Self::Chains,
        Self::Wants,
        Self::Garbage,
        Self::SlowFeeds,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Handshakes => "handshakes",
            Self::Strangers => "silent-strangers",
            Self::UnfinishedOfStrangers => "unfinished-frames-of-strangers",
            Self::Unfinished => "unfinished-frames-of-members",
            Self::Joins => "joins",
            Self::Chains => "chains-in-parts",
            Self::Wants => "wants",
            Self::Garbage => "garbage",
            Self::SlowFeeds => "slow-feeds",
        }
    }
}

type Flooding = Pin<Box<dyn Future<Output = Option<()>> + Send>>;

/// Floods until it is killed.
pub(crate) fn run(act: Act, relay: SocketAddr) -> anyhow::Result<()> {
    // As if it were another machine: what it computes takes nothing from the relay.
    let _ = rustix::process::nice(19);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let vaults = Arc::new(vaults(act, relay).await);
        say("ready")?;
        wait_for_go()?;
        for n in 0..links_of(act) {
            let vaults = vaults.clone();
            tokio::spawn(async move {
                loop {
                    // Whoever was shown out comes again.
                    let _ = link(act, relay, n, vaults.clone()).await;
                    sleep(Duration::from_millis(20)).await;
                }
            });
        }
        sleep(SETTLE).await;
        say("flooding")?;
        std::future::pending().await
    })
}

const fn links_of(act: Act) -> usize {
    match act {
        Act::Nothing => 0,
        Act::Handshakes | Act::Joins | Act::Wants | Act::Garbage => BUSY,
        Act::Strangers | Act::UnfinishedOfStrangers | Act::Unfinished | Act::Chains | Act::SlowFeeds => LINKS,
    }
}

fn network(n: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1 + u8::try_from(n % NETWORKS).unwrap_or(0), 1))
}

/// Vaults of which a flood's links are members, with a few large segments each.
async fn vaults(act: Act, relay: SocketAddr) -> Vec<Vault> {
    drop(Vault::new()); // that of the honest client: keys are made in the same order here
    let count = match act {
        Act::Unfinished | Act::SlowFeeds => 4,
        Act::Wants | Act::Garbage => 1,
        _ => 0,
    };
    let mut made = Vec::new();
    for _ in 0..count {
        let mut vault = Vault::new();
        let id = vault.id;
        let mut client = Client::hello(relay).await;
        client.create(&vault, Credential::None).await.expect("an open relay takes it");
        client.logs(&vault).await;
        for _ in 0..8 {
            let segments = vec![vault.data.segment(&id, 1_000_000)];
            client.send(&ClientFrame::Push { vault: id, segments }).await;
            client.recv().await;
        }
        made.push(vault);
    }
    made
}

/// What one link does, until it is over.
fn link(act: Act, relay: SocketAddr, n: usize, vaults: Arc<Vec<Vault>>) -> Flooding {
    let from = network(n);
    Box::pin(async move {
        let vault = vaults.get(n % vaults.len().max(1));
        match act {
            Act::Nothing => std::future::pending().await,
            Act::Handshakes => drop(Client::try_connect_from(from, relay).await.ok()?),
            Act::Strangers => {
                let client = Client::try_connect_from(from, relay).await.ok()?;
                client.connection.closed().await;
            }
            Act::UnfinishedOfStrangers => {
                let mut client = hello(from, relay).await?;
                client.send_bytes(unfinished(limits::FRAME_BYTES_MAX_UNAUTHENTICATED)).await;
                client.connection.closed().await;
            }
            Act::Unfinished => {
                let vault = vault?;
                let mut client = hello(from, relay).await?;
                client.send_auth(vault, Role::Writer).await;
                client.try_recv().await?;
                // What a window promised for a whole one must not be kept for later.
                client.logs(vault).await;
                let gap = vault.data.seal(&vault.id, Kind::DATA, Seq(99), Chain::ZERO, 500_000);
                client.send(&ClientFrame::Push { vault: vault.id, segments: vec![gap] }).await;
                client.try_recv().await?;
                client.send_bytes(unfinished(limits::FRAME_BYTES_MAX)).await;
                client.connection.closed().await;
            }
            Act::Joins => {
                let mut client = hello(from, relay).await?;
                for k in 0..limits::JOINS_PER_LINK_MAX {
                    let id = RendezvousId::from_bytes([k as u8; 16]);
                    client.send(&ClientFrame::RendezvousJoin { id }).await;
                    client.try_recv().await?;
                }
            }
            Act::Chains => {
                let mut client = hello(from, relay).await?;
                let unknown = Vault::new();
                client.send_auth(&unknown, Role::Writer).await;
                client.try_recv().await?;
                for _ in 0..limits::STATEMENTS_MAX / 3 {
                    client.send(&part_of_a_chain(unknown.id)).await;
                }
                client.connection.closed().await;
            }
            Act::Wants => want_without_end(vault?, from, relay).await?,
            Act::Garbage => push_garbage(vault?, from, relay).await?,
            Act::SlowFeeds => {
                let vault = vault?;
                let mut client = Client::hello_taking_little(from, relay).await;
                client.send_auth(vault, Role::Reader).await;
                client.try_recv().await?;
                client.send_subscribe(vault.id, Rseq(0), digest_of_nothing()).await;
                client.connection.closed().await;
            }
        }
        Some(())
    })
}

async fn hello(from: IpAddr, relay: SocketAddr) -> Option<Client> {
    Client::try_connect_from(from, relay).await.ok()?.try_said_hello().await
}

/// A frame of that length, but for its last byte.
fn unfinished(length: usize) -> Bytes {
    let mut frame = vec![0x07; 4 + length - 1];
    frame[..4].copy_from_slice(&u32::try_from(length).expect("frames are far below 4 GiB").to_be_bytes());
    frame.into()
}

fn part_of_a_chain(vault: VaultId) -> ClientFrame {
    let statements = vec![vec![7; limits::STATEMENT_BYTES_MAX]; 3];
    ClientFrame::Statements(StatementsPart { vault, last: false, statements })
}

async fn want_without_end(vault: &Vault, from: IpAddr, relay: SocketAddr) -> Option<()> {
    let mut client = hello(from, relay).await?;
    client.send_auth(vault, Role::Reader).await;
    client.try_recv().await?;
    let mut feed = client.subscribe(vault.id).await;
    let log: LogId = vault.data.id;
    loop {
        let want = ClientFrame::Want { vault: vault.id, log, from: Seq(0), to: Seq(7) };
        client.send(&want).await;
        for _ in 0..8 {
            feed.next().await?;
        }
    }
}

async fn push_garbage(vault: &Vault, from: IpAddr, relay: SocketAddr) -> Option<()> {
    let mut client = hello(from, relay).await?;
    client.send_auth(vault, Role::Writer).await;
    client.try_recv().await?;
    let good = vault.data.seal(&vault.id, Kind::DATA, vault.data.next, vault.data.chain, 300);
    let mut bytes = good.bytes().to_vec();
    *bytes.last_mut()? ^= 1;
    let segment = SealedSegment::parse(bytes.into()).ok()?;
    loop {
        client.send(&ClientFrame::Push { vault: vault.id, segments: vec![segment.clone()] }).await;
        let RelayFrame::Error(_) = client.try_recv().await? else { return None };
    }
}
