//! Relays with the right key that do not behave, and are not ours: scripted, over a real connection.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime};
use subrosa::{RelayAddr, VaultId};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::error::{ErrorCode, Refusal};
use subrosa_protocol::frame::{
    ClientFrame, FeedFrame, RelayFrame, RelayLimits, ShortHead, StatementsPart, VERSION,
};
use subrosa_protocol::ids::{
    Base, Chain, Digest, Epoch, Generation, Head, Incarnation, LogId, PublicKeyBytes, Rseq, Seq, Signature,
};
use subrosa_protocol::segment::{GroupPlace, Header, Kind, SealedSegment, TAG_LEN};
use subrosa_tests::liar::{Door, next_bytes};
use tokio::runtime::Runtime;

/// What is wrong with the relay.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// It lets nobody say a word.
    Mute,
    /// It feeds what it was given over and over, and acknowledges nothing.
    FeedsForEver,
    /// It says that it holds something else than it shows, whatever is compared.
    Hides,
    /// It feeds one vault a segment whose signature does not hold, and serves all others.
    Forges(VaultId),
    /// It refuses what it is given for another future that it has, names longer heads, and shows nothing.
    Claims,
}

/// Runs until it is dropped.
pub(crate) struct Fake {
    pub(crate) addr: RelayAddr,
    pub(crate) connected: std::sync::mpsc::Receiver<()>,
    /// Segments fed, or refused.
    pub(crate) fed: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn start(manner: Manner) -> Self {
        let Door { config, pin, .. } = Door::of(if let Manner::Mute = manner { 0 } else { 1 });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = RelayAddr::new(vec![socket.local_addr().unwrap().to_string()], pin, None).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (tell, connected) = std::sync::mpsc::channel();
        let fed = Arc::new(AtomicU64::new(0));
        let count = fed.clone();
        runtime.spawn(async move {
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).unwrap();
            let mut held = Vec::new();
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    held.push(connection.clone());
                    let _ = tell.send(());
                    tokio::spawn(serve(connection, manner, count.clone()));
                }
            }
        });
        Self { addr, connected, fed, _runtime: runtime }
    }
}

/// Speaks as much of the protocol as a device asks for; ends with the connection.
async fn serve(connection: Connection, manner: Manner, fed: Arc<AtomicU64>) -> Option<()> {
    if let Manner::Mute = manner {
        return None;
    }
    let (mut send, mut receive) = connection.accept_bi().await.ok()?;
    let (mut feeds, mut claimed) = (BTreeMap::<VaultId, SendStream>::new(), BTreeMap::new());
    let mut chains: BTreeMap<VaultId, Vec<Vec<u8>>> = BTreeMap::new();
    let mut rseq = Rseq(0);
    loop {
        let answer = match next_frame(&mut receive).await? {
            ClientFrame::Hello { .. } => hello(),
            ClientFrame::Auth { vault, .. } if !chains.contains_key(&vault) => {
                RelayFrame::Error(Refusal::vault(ErrorCode::UnknownVault, vault))
            }
            ClientFrame::Statements(part) => {
                chains.insert(part.vault, part.statements);
                continue;
            }
            ClientFrame::Auth { vault, .. } | ClientFrame::Create { vault, .. } => {
                RelayFrame::Vault { vault, quota_bytes: 1 << 30, used_bytes: 0 }
            }
            ClientFrame::Subscribe { vault, .. } | ClientFrame::StatementsWant { vault, .. }
                if !chains.contains_key(&vault) =>
            {
                continue;
            }
            ClientFrame::StatementsWant { vault, from } => shown(vault, chains.get(&vault)?, from),
            ClientFrame::Subscribe { vault, .. } if !claimed.is_empty() => {
                RelayFrame::Heads { vault, last: true, heads: claimed.values().copied().collect() }
            }
            ClientFrame::Subscribe { vault, .. } | ClientFrame::Heads { vault, .. } => {
                let mut feed = connection.open_uni().await.ok()?;
                for frame in first_of_feed(vault, manner, rseq) {
                    feed.write_all(&frame.encode()).await.ok()?;
                }
                feeds.insert(vault, feed);
                continue;
            }
            ClientFrame::Ask { vault, number } => {
                if let Some(feed) = feeds.get_mut(&vault) {
                    feed.write_all(&FeedFrame::Answer { number }.encode()).await.ok()?;
                }
                continue;
            }
            ClientFrame::Push { vault, segments } if matches!(manner, Manner::Claims) => {
                for refusal in claim(vault, &segments, &mut claimed) {
                    send.write_all(&refusal.encode()).await.ok()?;
                }
                fed.fetch_add(segments.len() as u64, Ordering::SeqCst);
                continue;
            }
            ClientFrame::Push { vault, segments } => match manner {
                Manner::FeedsForEver => {
                    let feed = feeds.remove(&vault)?;
                    tokio::spawn(feed_for_ever(feed, segments, fed.clone()));
                    continue;
                }
                _ => {
                    rseq = Rseq(1);
                    // What it has acknowledged it has on its feed, too.
                    if let (Manner::Hides, Some(feed)) = (manner, feeds.get_mut(&vault)) {
                        feed.write_all(&hiding(rseq).encode()).await.ok()?;
                    }
                    // A chain that the device does not know is no matter to it.
                    RelayFrame::Ack { vault, rseq, entries: segments.iter().map(acknowledged).collect() }
                }
            },
            _ => continue,
        };
        send.write_all(&answer.encode()).await.ok()?;
    }
}

/// A chain from a generation on.
fn shown(vault: VaultId, chain: &[Vec<u8>], from: Generation) -> RelayFrame {
    let wanted = chain.iter().skip(from.0 as usize).cloned();
    RelayFrame::Statements(StatementsPart::cut(vault, wanted).remove(0))
}

fn hello() -> RelayFrame {
    RelayFrame::Hello {
        version: VERSION,
        incarnation: INCARNATION,
        limits: RelayLimits { segment_bytes_max: 2 << 20, vaults_max: 64 },
        now_ms: 0,
        caps: 0,
        extensions: Extensions::new(),
    }
}

/// Claims another, longer future of each log that something is pushed of; what it says to the first of each.
fn claim(
    vault: VaultId,
    segments: &[SealedSegment],
    claimed: &mut BTreeMap<LogId, ShortHead>,
) -> Vec<RelayFrame> {
    let mut refusals = Vec::new();
    for Header { log, seq, .. } in segments.iter().map(|segment| *segment.header()) {
        let head = Head { log, seq: Seq(seq.0 + 5), chain: Chain::from_bytes([6; 32]) };
        if claimed.insert(log, head.into()).is_none() {
            refusals.push(RelayFrame::Error(Refusal::segment(ErrorCode::Conflict, vault, log, seq)));
        }
    }
    refusals
}

/// It holds something else than it shows.
const fn hiding(rseq: Rseq) -> FeedFrame {
    FeedFrame::CaughtUp { rseq, digest: Digest::from_bytes([8; 32]) }
}

fn first_of_feed(vault: VaultId, manner: Manner, rseq: Rseq) -> Vec<FeedFrame> {
    let start = FeedFrame::Start { vault, incarnation: INCARNATION };
    let caught_up = FeedFrame::CaughtUp { rseq: Rseq(0), digest: Digest::ZERO };
    match manner {
        Manner::Forges(forged) if forged == vault => {
            let public = PublicKeyBytes::from_bytes([4; 65]);
            let segment =
                SealedSegment::assemble(header(LogId::of(&public)), &[0; TAG_LEN], &Signature::ZERO);
            vec![
                start,
                FeedFrame::Log { public, base: Base::WHOLE },
                FeedFrame::Segment { rseq: Rseq(1), segment },
            ]
        }
        Manner::Hides => vec![start, hiding(rseq)],
        _ => vec![start, caught_up],
    }
}

const INCARNATION: Incarnation = Incarnation::from_bytes([7; 16]);

fn header(log: LogId) -> Header {
    let body_len = u32::try_from(TAG_LEN).unwrap();
    Header {
        kind: Kind::DATA,
        place: GroupPlace::Whole,
        log,
        seq: Seq(0),
        epoch: Epoch(0),
        prev: Chain::ZERO,
        salt: [0; 16],
        commit: [0; 32],
        body_len,
    }
}

fn acknowledged(segment: &SealedSegment) -> Head {
    Head { log: segment.header().log, seq: segment.header().seq, chain: Chain::ZERO }
}

async fn feed_for_ever(
    mut feed: SendStream,
    segments: Vec<SealedSegment>,
    fed: Arc<AtomicU64>,
) -> Option<()> {
    for rseq in 1.. {
        let segment = segments.first()?.clone();
        feed.write_all(&FeedFrame::Segment { rseq: Rseq(rseq), segment }.encode()).await.ok()?;
        fed.store(rseq, Ordering::SeqCst);
    }
    None
}

async fn next_frame(receive: &mut RecvStream) -> Option<ClientFrame> {
    ClientFrame::decode(&next_bytes(receive).await?.into()).ok()
}
