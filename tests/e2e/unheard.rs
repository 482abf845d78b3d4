//! Our relay behind a way on which its acknowledgements get lost: its real store, committer and link machines, over real
//! connections.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use quinn::{Connection, Endpoint, EndpointConfig, SendStream, TokioRuntime, VarInt};
use redb::backends::InMemoryBackend;
use subrosa::RelayAddr;
use subrosa_protocol::frame::{ClientFrame, RelayFrame};
use subrosa_protocol::labels;
use subrosa_relay::testing::{Now, SimRelay, SimSent};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::fake::{Door, next_bytes};
use crate::support::clock;

/// Runs until it is dropped.
pub(crate) struct UnheardRelay {
    pub(crate) addr: RelayAddr,
    carried: Arc<Mutex<Carried>>,
    _runtime: Runtime,
}

/// The relay, and what is on its way to and from its links.
struct Carried {
    relay: SimRelay,
    begun: Instant,
    links: BTreeMap<u64, Way>,
    acks: Acks,
    /// Acknowledgements that got lost.
    lost: u64,
    /// The first byte of each message that was said at a meeting: what kind it is.
    said: Vec<u8>,
}

/// A link's connection.
struct Way {
    connection: Connection,
    up: VecDeque<Bytes>,
    down: UnboundedSender<SimSent>,
}

/// Whether acknowledgements arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acks {
    Heard,
    Unheard,
}

impl UnheardRelay {
    /// One whose acknowledgements arrive, so far.
    pub(crate) fn start() -> Self {
        let Door { config, pin, pkcs8 } = Door::of(1);
        let relay = SimRelay::open(&pkcs8, Box::new(InMemoryBackend::new), [7; 16], None).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = RelayAddr::new(vec![socket.local_addr().unwrap().to_string()], pin, None).unwrap();
        let (links, acks, said) = (BTreeMap::new(), Acks::Heard, Vec::new());
        let carried = Carried { relay, begun: clock(), links, acks, lost: 0, said };
        let carried = Arc::new(Mutex::new(carried));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = carried.clone();
        runtime.spawn(async move {
            let runtime = Arc::new(TokioRuntime);
            let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime).unwrap();
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    tokio::spawn(serve(connection, shared.clone()));
                }
            }
        });
        Self { addr, carried, _runtime: runtime }
    }

    /// From now on it takes everything, and no acknowledgement arrives.
    pub(crate) fn lose_acknowledgements(&self) {
        self.carried().acks = Acks::Unheard;
    }

    /// All is well again; whoever was connected has to come anew.
    pub(crate) fn heal(&self) {
        let mut carried = self.carried();
        carried.acks = Acks::Heard;
        carried.links.values().for_each(|way| way.connection.close(VarInt::from_u32(0), b""));
    }

    /// How many acknowledgements got lost.
    pub(crate) fn lost(&self) -> u64 {
        self.carried().lost
    }

    /// The kinds of messages that were said at meetings since this was asked.
    pub(crate) fn take_said(&self) -> Vec<u8> {
        std::mem::take(&mut self.carried().said)
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        lock(&self.carried)
    }
}

fn lock(carried: &Mutex<Carried>) -> MutexGuard<'_, Carried> {
    carried.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries one connection; ends with it.
async fn serve(connection: Connection, carried: Arc<Mutex<Carried>>) -> Option<()> {
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, labels::EXPORTER, b"").ok()?;
    let (send, mut receive) = connection.accept_bi().await.ok()?;
    let (down, sent) = unbounded_channel();
    let link =
        lock(&carried).connect(exporter, Way { connection: connection.clone(), up: VecDeque::new(), down });
    tokio::spawn(write(connection, link, send, sent, carried.clone()));
    while let Some(frame) = next_bytes(&mut receive).await {
        lock(&carried).hear(link, frame.into());
    }
    lock(&carried).disconnect(link);
    None
}

/// Puts on the connection what the relay sends to one link.
async fn write(
    connection: Connection,
    link: u64,
    mut control: SendStream,
    mut sent: UnboundedReceiver<SimSent>,
    carried: Arc<Mutex<Carried>>,
) -> Option<()> {
    let mut feeds: BTreeMap<u64, SendStream> = BTreeMap::new();
    while let Some(sent) = sent.recv().await {
        match sent {
            SimSent::Frame(frame) => control.write_all(&with_length(&frame)).await.ok()?,
            SimSent::Feed(stream, frame) => {
                let feed = match feeds.entry(stream) {
                    Entry::Occupied(open) => open.into_mut(),
                    Entry::Vacant(place) => place.insert(connection.open_uni().await.ok()?),
                };
                if feed.write_all(&with_length(&frame)).await.is_err() {
                    lock(&carried).stop_feed(link, stream);
                }
            }
            SimSent::FeedEnd(stream) => drop(feeds.remove(&stream)),
            SimSent::Closed => connection.close(VarInt::from_u32(0), b""),
        }
    }
    None
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap();
    [&length.to_be_bytes(), frame].concat()
}

impl Carried {
    fn now(&self) -> Now {
        Now { mono: self.begun.elapsed(), wall_ms: subrosa::Clock::now_ms(&subrosa::SystemClock) }
    }

    fn connect(&mut self, exporter: [u8; 32], way: Way) -> u64 {
        let link = self.relay.connect(self.now(), exporter);
        self.links.insert(link, way);
        self.run();
        link
    }

    fn disconnect(&mut self, link: u64) {
        self.relay.leave_meetings(self.now(), link);
        self.relay.disconnect(link);
        self.links.remove(&link);
        self.run();
    }

    fn hear(&mut self, link: u64, frame: Bytes) {
        if let Ok(ClientFrame::RendezvousData { message, .. }) = ClientFrame::decode(&frame) {
            self.said.extend(message.first());
        }
        if let Some(way) = self.links.get_mut(&link) {
            way.up.push_back(frame);
        }
        self.run();
    }

    fn stop_feed(&mut self, link: u64, stream: u64) {
        self.relay.stop_feed(link, stream);
        self.run();
    }

    /// Lets the relay do all that it can do now.
    fn run(&mut self) {
        let now = self.now();
        loop {
            let mut moved = false;
            for (link, way) in &mut self.links {
                while self.relay.accepts_frame(*link)
                    && let Some(frame) = way.up.pop_front()
                {
                    self.relay.frame(now, *link, frame);
                    moved = true;
                }
                moved |= self.relay.feed(now, *link);
            }
            let (to_verify, to_commit) = self.relay.waits();
            if to_verify {
                self.relay.verify(now);
            } else if to_commit {
                self.relay.commit(now);
            } else if !moved {
                break;
            }
        }
        for (link, way) in &self.links {
            while let Some(sent) = self.relay.sent(*link) {
                if self.acks == Acks::Unheard && is_ack(&sent) {
                    self.lost += 1;
                } else {
                    // Whoever has gone hears nothing any more.
                    let _ = way.down.send(sent);
                }
            }
        }
    }
}

fn is_ack(sent: &SimSent) -> bool {
    matches!(sent, SimSent::Frame(frame) if matches!(RelayFrame::decode(frame), Ok(RelayFrame::Ack { .. })))
}
