//! Carries the links of a relay that lies.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use quinn::{Connection, Endpoint, EndpointConfig, SendStream, TokioRuntime, VarInt};
use subrosa::{Clock as _, RelayAddr, SystemClock};
use subrosa_protocol::frame::{ClientFrame, RelayFrame};
use subrosa_protocol::ids::{LogId, Seq, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::segment::Class;
use subrosa_relay::testing::{Now, SimSent};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::door::{Door, next_bytes};
use super::forge::Forger;
use super::lie::Lie;
use super::memory::Memory;
use super::twist::{self, Endless, Ground, Put, View};
use super::world::{Hidden, World};

/// How long a device may take to let a stream be opened, after which it lets none.
const STREAM_WAIT: Duration = Duration::from_millis(100);

/// Runs until it is dropped.
pub struct LyingRelay {
    addr: RelayAddr,
    liar: Arc<Mutex<Liar>>,
    flooded: Arc<AtomicU64>,
    _runtime: Runtime,
}

/// The relay, in one world or several, and what is on its way to and from its links.
struct Liar {
    pkcs8: Vec<u8>,
    begun: Instant,
    lie: Lie,
    worlds: BTreeMap<u64, World>,
    /// A copy of the first world's disk.
    kept: Option<Memory>,
    links: BTreeMap<u64, Line>,
    last_link: u64,
    forger: Forger,
    /// The log of which data was pushed first, and its vault.
    first: Option<(VaultId, LogId)>,
    hidden: Option<Hidden>,
    counts: Counts,
}

/// What went on, for who wants to know.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Links so far.
    links: u64,
    /// Acknowledgements that were left out.
    unheard: u64,
    /// The first byte of each message that was said at a meeting: what kind it is.
    said: Vec<u8>,
}

/// A link's connection, and what it is in a world.
struct Line {
    world: u64,
    no: u64,
    lie: Lie,
    connection: Connection,
    up: VecDeque<Bytes>,
    down: UnboundedSender<Put>,
    view: View,
}

impl LyingRelay {
    /// A relay in this process that tells a lie, on a free port of loopback.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn start(lie: Lie) -> Result<Self> {
        Self::start_on(([127, 0, 0, 1], 0).into(), lie)
    }

    /// The same, elsewhere.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn start_on(listen: SocketAddr, lie: Lie) -> Result<Self> {
        let Door { config, pin, pkcs8 } = Door::of(1);
        let socket = UdpSocket::bind(listen)?;
        let addr = RelayAddr::new(vec![socket.local_addr()?.to_string()], pin, None)?;
        let liar = Arc::new(Mutex::new(Liar::new(pkcs8, lie)));
        let flooded = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = (liar.clone(), flooded.clone());
        let endpoint = {
            let _guard = runtime.enter();
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?
        };
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    tokio::spawn(serve(connection, shared.0.clone(), shared.1.clone()));
                }
            }
        });
        Ok(Self { addr, liar, flooded, _runtime: runtime })
    }

    /// Its address for clients.
    #[must_use]
    pub const fn url(&self) -> &RelayAddr {
        &self.addr
    }

    /// What it tells on links that begin from now on.
    pub fn tell(&self, lie: Lie) {
        self.liar().tell(lie);
    }

    /// What it tells from now on, on links that are there too.
    pub fn tell_all(&self, lie: Lie) {
        let mut liar = self.liar();
        liar.tell(lie);
        liar.links.values_mut().for_each(|line| line.lie = lie);
    }

    /// Keeps a copy of its database as it is.
    pub fn keep(&self) {
        let mut liar = self.liar();
        liar.kept = liar.worlds.get(&0).map(World::copied);
    }

    /// From now on there are two worlds, of which the other begins as this one is.
    pub fn split(&self) {
        self.liar().split();
    }

    /// Puts the copy that was kept in the place of its database. Whoever is connected has to come anew.
    pub fn roll_back(&self) {
        self.liar().roll_back();
    }

    /// Whoever is connected has to come anew.
    pub fn cut(&self) {
        self.liar().cut();
    }

    /// Links so far.
    #[must_use]
    pub fn links(&self) -> u64 {
        self.liar().counts.links
    }

    /// Acknowledgements that it left out.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.liar().counts.unheard
    }

    /// The kinds of messages that were said at meetings since this was asked.
    #[must_use]
    pub fn take_said(&self) -> Vec<u8> {
        std::mem::take(&mut self.liar().counts.said)
    }

    /// Bytes of what it sends without end that the line has taken.
    #[must_use]
    pub fn flooded(&self) -> u64 {
        self.flooded.load(Ordering::SeqCst)
    }

    fn liar(&self) -> MutexGuard<'_, Liar> {
        lock(&self.liar)
    }
}

fn lock(liar: &Mutex<Liar>) -> MutexGuard<'_, Liar> {
    liar.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Liar {
    #[expect(clippy::disallowed_methods, reason = "a driver of a relay, in real time")]
    fn new(pkcs8: Vec<u8>, lie: Lie) -> Self {
        let worlds = BTreeMap::from([(0, World::open(&pkcs8, Memory::default()))]);
        Self {
            pkcs8,
            begun: Instant::now(),
            lie,
            worlds,
            kept: None,
            links: BTreeMap::new(),
            last_link: 0,
            forger: Forger::new(),
            first: None,
            hidden: None,
            counts: Counts::default(),
        }
    }

    fn now(&self) -> Now {
        Now { mono: self.begun.elapsed(), wall_ms: SystemClock.now_ms() }
    }

    /// What is withheld is what comes from now on of the log of which data was pushed first.
    fn tell(&mut self, lie: Lie) {
        self.lie = lie;
        if let (Some((vault, log)), Some(world)) = (self.first, self.worlds.get(&0)) {
            let heads = world.relay.heads(&vault).expect("the disk is in memory");
            let from = heads.get(&log).map_or(Seq(0), |seq| seq.next());
            self.hidden = Some(Hidden { log, from });
        }
    }

    fn split(&mut self) {
        if let Some(copied) = self.worlds.get(&0).map(World::copied) {
            self.worlds.insert(OTHER, World::open(&self.pkcs8, copied));
        }
    }

    fn roll_back(&mut self) {
        if let Some(kept) = &self.kept {
            let world = World::open(&self.pkcs8, kept.copied());
            self.cut();
            self.links.clear();
            self.worlds.insert(0, world);
        }
    }

    fn cut(&self) {
        self.links.values().for_each(|line| line.connection.close(VarInt::from_u32(0), b""));
    }

    /// In which world a new link is.
    fn world_of(&mut self, link: u64) -> u64 {
        match (self.lie, &self.kept) {
            (Lie::OtherWorld, _) if self.worlds.contains_key(&OTHER) => OTHER,
            (Lie::Freeze, Some(kept)) => {
                let world = World::open(&self.pkcs8, kept.copied());
                self.worlds.insert(OTHER + link, world);
                OTHER + link
            }
            _ => 0,
        }
    }

    fn connect(&mut self, exporter: [u8; 32], connection: Connection, down: UnboundedSender<Put>) -> u64 {
        self.last_link += 1;
        self.counts.links += 1;
        let (link, now) = (self.last_link, self.now());
        let at = self.world_of(link);
        let no = self.worlds.get_mut(&at).map_or(0, |world| world.relay.connect(now, exporter));
        let (up, view) = (VecDeque::new(), View::default());
        self.links.insert(link, Line { world: at, no, lie: self.lie, connection, up, down, view });
        self.run();
        link
    }

    fn disconnect(&mut self, link: u64) {
        let now = self.now();
        let Some(line) = self.links.remove(&link) else { return };
        if let Some(world) = self.worlds.get_mut(&line.world) {
            world.relay.leave_meetings(now, line.no);
            world.relay.disconnect(line.no);
        }
        if line.world > OTHER {
            self.worlds.remove(&line.world);
        }
        self.run();
    }

    fn hear(&mut self, link: u64, frame: Bytes) {
        match ClientFrame::decode(&frame) {
            Ok(ClientFrame::RendezvousData { message, .. }) => self.counts.said.extend(message.first()),
            Ok(ClientFrame::Push { vault, segments }) => {
                let mut data = segments.iter().map(|segment| segment.header());
                let data = data.find(|header| header.kind.class() == Class::Data);
                self.first = self.first.or(data.map(|header| (vault, header.log)));
            }
            _ => {}
        }
        if let Some(line) = self.links.get_mut(&link) {
            let (heard, puts) = twist::up(line.lie, &mut line.view, frame);
            line.up.extend(heard);
            for put in puts {
                // Whoever has gone hears nothing any more.
                let _ = line.down.send(put);
            }
        }
        self.run();
    }

    fn stop_feed(&mut self, link: u64, stream: u64) {
        if let Some(line) = self.links.get(&link)
            && let Some(world) = self.worlds.get_mut(&line.world)
        {
            world.relay.stop_feed(line.no, stream);
        }
        self.run();
    }

    /// Lets the relay do all that it can do now.
    fn run(&mut self) {
        let now = self.now();
        loop {
            let mut moved = false;
            for line in self.links.values_mut() {
                let Some(world) = self.worlds.get_mut(&line.world) else { continue };
                while world.relay.accepts_frame(line.no)
                    && let Some(frame) = line.up.pop_front()
                {
                    world.relay.frame(now, line.no, frame);
                    moved = true;
                }
                moved |= world.relay.feed(now, line.no);
            }
            for world in self.worlds.values_mut() {
                moved |= world.append(now);
            }
            if !moved {
                break;
            }
        }
        self.say();
    }

    /// Puts on the links what the relay says, or what becomes of it.
    fn say(&mut self) {
        for (link, line) in &mut self.links {
            let Some(world) = self.worlds.get_mut(&line.world) else { continue };
            while let Some(sent) = world.relay.sent(line.no) {
                if line.lie == Lie::NeverAcknowledge && is_ack(&sent) {
                    self.counts.unheard += 1;
                }
                let ground = Ground { world, forger: &self.forger, hidden: self.hidden, link: *link };
                for put in twist::down(line.lie, &mut line.view, &ground, sent) {
                    let _ = line.down.send(put);
                }
            }
        }
    }
}

/// The number of the second world; those of links that are each in one of their own are behind it.
const OTHER: u64 = 1;

fn is_ack(sent: &SimSent) -> bool {
    matches!(sent, SimSent::Frame(frame) if matches!(RelayFrame::decode(frame), Ok(RelayFrame::Ack { .. })))
}

/// Carries one connection; ends with it.
async fn serve(connection: Connection, liar: Arc<Mutex<Liar>>, flooded: Arc<AtomicU64>) -> Option<()> {
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, labels::EXPORTER, b"").ok()?;
    let (send, mut receive) = connection.accept_bi().await.ok()?;
    let (down, puts) = unbounded_channel();
    let link = lock(&liar).connect(exporter, connection.clone(), down);
    let writer = Writer { connection, link, liar: liar.clone(), flooded };
    tokio::spawn(writer.write(send, puts));
    while let Some(frame) = next_bytes(&mut receive).await {
        lock(&liar).hear(link, frame.into());
    }
    lock(&liar).disconnect(link);
    None
}

/// Puts on the connection what is to be sent on one link.
struct Writer {
    connection: Connection,
    link: u64,
    liar: Arc<Mutex<Liar>>,
    flooded: Arc<AtomicU64>,
}

impl Writer {
    async fn write(self, mut control: SendStream, mut puts: UnboundedReceiver<Put>) -> Option<()> {
        let mut feeds: BTreeMap<u64, SendStream> = BTreeMap::new();
        // What else would be said on them is not.
        let mut without_end = BTreeSet::new();
        while let Some(put) = puts.recv().await {
            match put {
                Put::Control(frame) => control.write_all(&frame).await.ok()?,
                Put::Feed(stream, _) if without_end.contains(&stream) => {}
                Put::Feed(stream, frame) => {
                    let feed = match feeds.entry(stream) {
                        Entry::Occupied(open) => open.into_mut(),
                        Entry::Vacant(place) => place.insert(self.connection.open_uni().await.ok()?),
                    };
                    if feed.write_all(&frame).await.is_err() {
                        lock(&self.liar).stop_feed(self.link, stream);
                    }
                }
                Put::FeedEnd(stream) => drop(feeds.remove(&stream)),
                Put::Close => self.connection.close(VarInt::from_u32(0), b""),
                Put::ControlWithoutEnd(frame) => loop {
                    control.write_all(&frame).await.ok()?;
                    self.flooded.fetch_add(frame.len() as u64, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                },
                Put::FeedWithoutEnd(stream, endless) => {
                    if let Some(feed) = feeds.remove(&stream) {
                        without_end.insert(stream);
                        tokio::spawn(feed_without_end(feed, endless, self.flooded.clone()));
                    }
                }
                Put::Unfinished(frame) => {
                    tokio::spawn(unfinished(self.connection.clone(), frame, self.flooded.clone()));
                }
            }
        }
        None
    }
}

async fn feed_without_end(mut feed: SendStream, mut endless: Endless, flooded: Arc<AtomicU64>) -> Option<()> {
    for rseq in 1 << 20.. {
        for frame in endless(rseq) {
            feed.write_all(&frame).await.ok()?;
            flooded.fetch_add(frame.len() as u64, Ordering::SeqCst);
        }
        // Others are served meanwhile, however much the line takes.
        tokio::task::yield_now().await;
    }
    None
}

/// Holds as many streams open as the client permits.
async fn unfinished(connection: Connection, frame: Bytes, flooded: Arc<AtomicU64>) {
    let mut held = Vec::new();
    while let Ok(Ok(mut stream)) = tokio::time::timeout(STREAM_WAIT, connection.open_uni()).await {
        let (part, flooded) = (frame.slice(..frame.len() - 1), flooded.clone());
        held.push(tokio::spawn(async move {
            for chunk in part.chunks(16 << 10) {
                stream.write_all(chunk).await.ok()?;
                flooded.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            }
            std::future::pending::<Option<()>>().await
        }));
    }
    connection.closed().await;
    held.iter().for_each(|task| task.abort());
}
