//! The bare pipeline: seal, redb, quinn, redb, quinn, open, redb. Each of the three processes has a thread for its
//! database and one for the network, with a bounded channel between them, and commits durably what has come together.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use quinn::{RecvStream, SendStream};
use redb::{Database, TableDefinition};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Run;
use super::harness::child::{self, Child};
use super::harness::data::{self, KEY_BYTES, RECORD_BYTES};
use super::harness::{devices, machine, now, quic, scratch};

const SEGMENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("segments");
const ROWS: TableDefinition<&[u8; KEY_BYTES], &[u8]> = TableDefinition::new("rows");
const WRITER: &str = "bare writer";
const RELAY: &str = "bare relay";
const READER: &str = "bare reader";
const ROW_BYTES: usize = KEY_BYTES + RECORD_BYTES;
/// Rows sealed together, in 63 KiB as ours.
const SEGMENT_ROWS: usize = (63 << 10) / ROW_BYTES;
/// Segments that one commit takes at most: 8 MiB, as ours.
const COMMIT_SEGMENTS: usize = 128;
/// Segments that wait between the threads of a process.
const WAITING: usize = 2 * COMMIT_SEGMENTS;

/// From the first row sealed to the last one readable at the other end.
pub(crate) fn run(rows: usize) -> anyhow::Result<Run> {
    let dir = scratch()?;
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let mut relay = Child::start(RELAY, &[&path("relay")])?;
    let addr = relay.heard()?;
    let rows = rows.to_string();
    let mut reader = Child::start(READER, &[&path("reader"), &addr, &rows])?;
    reader.heard().context("connected")?;
    let mut writer = Child::start(WRITER, &[&path("writer"), &addr, &rows])?;
    writer.heard().context("connected")?;
    relay.heard().context("both are connected")?;
    reader.go()?;
    reader.heard().context("started")?;
    let started = now();
    writer.go()?;
    let reader = reader.heard_cpu()?;
    let wall = started.elapsed();
    let (writer, relay) = (writer.heard_cpu()?, relay.heard_cpu()?);
    Ok(Run { wall, writer, relay, reader, writer_bytes: 0, relay_bytes: 0, segments: 0 })
}

/// What a process that [`run`] started does; `None` for parts that are not of this pipeline.
pub(crate) fn play(part: &str, words: &[String]) -> Option<anyhow::Result<()>> {
    match (part, words) {
        (WRITER, [store, relay, rows]) => Some(writer(store.as_ref(), relay, rows)),
        (RELAY, [store]) => Some(relay(store.as_ref())),
        (READER, [store, relay, rows]) => Some(reader(store.as_ref(), relay, rows)),
        _ => None,
    }
}

fn writer(store: &Path, relay: &str, rows: &str) -> anyhow::Result<()> {
    let (store, key) = (create(store)?, key());
    let rows: Vec<_> = (0..rows.parse()?).map(|number| (data::key(number), data::row(number))).collect();
    let (sender, segments) = channel(WAITING);
    let relay: SocketAddr = relay.parse()?;
    let network = on_network(move |connected| async move {
        let connection = quic::client(None)?.connect(relay, quic::NAME)?.await?;
        let mut stream = connection.open_uni().await?;
        stream.write_chunk(Bytes::from_static(&[0])).await?; // or the relay would not know of it
        connected.send(()).await?;
        write_segments(&mut stream, segments).await
    })?;
    child::say("ready")?;
    child::wait_for_go()?;
    let cpu = machine::own_cpu();
    let mut seq = 0;
    for rows in rows.chunks(devices::WRITE_RECORDS) {
        let sealed: Vec<Bytes> = rows
            .chunks(SEGMENT_ROWS)
            .map(|rows| {
                seq += 1;
                seal(&key, seq, rows)
            })
            .collect::<anyhow::Result<_>>()?;
        store_segments(&store, seq - sealed.len() as u64, &sealed)?;
        sealed.into_iter().try_for_each(|segment| sender.blocking_send(segment))?;
    }
    drop(sender);
    network.join()?;
    child::say_cpu(cpu)
}

fn relay(store: &Path) -> anyhow::Result<()> {
    let store = create(store)?;
    let (arrived, mut arriving) = channel(WAITING);
    let (leave, leaving) = channel(WAITING);
    let network = on_network(move |connected| async move {
        let endpoint = quic::server()?;
        child::say(endpoint.local_addr()?)?;
        let reader = endpoint.accept().await.context("the endpoint is open")?.await?;
        let mut to_reader = reader.open_uni().await?;
        let writer = endpoint.accept().await.context("the endpoint is open")?.await?;
        let mut from_writer = writer.accept_uni().await?;
        ensure!(from_writer.read_chunk(1, true).await?.is_some(), "no first byte");
        connected.send(()).await?;
        let (read, written) =
            tokio::join!(read_segments(from_writer, arrived), write_segments(&mut to_reader, leaving));
        read.and(written)
    })?;
    let cpu = machine::own_cpu();
    child::say("ready")?;
    let mut seq = 0;
    while let Some(segments) = take(&mut arriving) {
        store_segments(&store, seq, &segments)?;
        seq += segments.len() as u64;
        segments.into_iter().try_for_each(|segment| leave.blocking_send(segment))?;
    }
    drop(leave);
    network.join()?;
    child::say_cpu(cpu)
}

fn reader(store: &Path, relay: &str, rows: &str) -> anyhow::Result<()> {
    let (store, key) = (create(store)?, key());
    let (arrived, mut arriving) = channel(WAITING);
    let relay: SocketAddr = relay.parse()?;
    let network = on_network(move |connected| async move {
        let connection = quic::client(None)?.connect(relay, quic::NAME)?.await?;
        connected.send(()).await?;
        read_segments(connection.accept_uni().await?, arrived).await
    })?;
    child::say("ready")?;
    child::wait_for_go()?;
    let cpu = machine::own_cpu();
    child::say("started")?;
    let mut stored = 0;
    while let Some(segments) = take(&mut arriving) {
        let mut txn = store.begin_write()?;
        txn.set_quick_repair(true);
        {
            let mut table = txn.open_table(ROWS)?;
            for segment in segments {
                let rows = open(&key, segment)?;
                for row in rows.chunks_exact(ROW_BYTES) {
                    let (row_key, value) = row.split_first_chunk::<KEY_BYTES>().context("a short row")?;
                    table.insert(row_key, value)?;
                    stored += 1;
                }
            }
        }
        txn.commit()?;
    }
    ensure!(stored == rows.parse::<u64>()?, "{stored} rows arrived");
    child::say_cpu(cpu)?;
    network.join()
}

fn create(path: &Path) -> anyhow::Result<Database> {
    let cache_bytes = devices::options().cache_bytes;
    Ok(Database::builder().set_cache_size(cache_bytes).create(path)?)
}

fn store_segments(store: &Database, from: u64, segments: &[Bytes]) -> anyhow::Result<()> {
    let mut txn = store.begin_write()?;
    txn.set_quick_repair(true);
    {
        let mut table = txn.open_table(SEGMENTS)?;
        for (seq, segment) in (from..).zip(segments) {
            table.insert(seq, &segment[..])?;
        }
    }
    Ok(txn.commit()?)
}

/// Everything that has arrived, up to what one commit takes; waits for the first. `None` at the end.
fn take(arriving: &mut Receiver<Bytes>) -> Option<Vec<Bytes>> {
    let mut segments = Vec::with_capacity(COMMIT_SEGMENTS);
    (arriving.blocking_recv_many(&mut segments, COMMIT_SEGMENTS) > 0).then_some(segments)
}

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[3; 32]).expect("32 bytes are a key"))
}

fn seal(
    key: &LessSafeKey,
    seq: u64,
    rows: &[([u8; KEY_BYTES], [u8; RECORD_BYTES])],
) -> anyhow::Result<Bytes> {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&seq.to_be_bytes());
    let mut segment = nonce.to_vec();
    segment.reserve(rows.len() * ROW_BYTES + AES_256_GCM.tag_len());
    for (row_key, value) in rows {
        segment.extend_from_slice(row_key);
        segment.extend_from_slice(value);
    }
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::empty(), &mut segment[NONCE_LEN..])
        .map_err(|_| anyhow::Error::msg("not sealed"))?;
    segment.extend_from_slice(tag.as_ref());
    Ok(segment.into())
}

fn open(key: &LessSafeKey, segment: Bytes) -> anyhow::Result<Vec<u8>> {
    let (nonce, body) = segment.split_first_chunk::<NONCE_LEN>().context("a short segment")?;
    let mut body = body.to_vec();
    let len = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut body)
        .map_err(|_| anyhow::Error::msg("not authentic"))?
        .len();
    body.truncate(len);
    Ok(body)
}

/// A thread that runs `work`.
struct Network(std::thread::JoinHandle<anyhow::Result<()>>);

impl Network {
    fn join(self) -> anyhow::Result<()> {
        self.0.join().map_err(|_| anyhow::Error::msg("the network thread panicked"))?
    }
}

/// Starts the network's thread; returns once `work` says that it is connected.
fn on_network<F: Future<Output = anyhow::Result<()>>>(
    work: impl FnOnce(Sender<()>) -> F + Send + 'static,
) -> anyhow::Result<Network> {
    let (connected, mut connecting) = channel(1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work(connected))
    });
    let network = Network(thread);
    if connecting.blocking_recv().is_none() {
        network.join()?;
        anyhow::bail!("not connected");
    }
    Ok(network)
}

async fn write_segments(stream: &mut SendStream, mut segments: Receiver<Bytes>) -> anyhow::Result<()> {
    while let Some(segment) = segments.recv().await {
        let len = u32::try_from(segment.len())?.to_be_bytes();
        stream.write_all_chunks(&mut [Bytes::copy_from_slice(&len), segment]).await?;
    }
    stream.finish()?;
    stream.stopped().await?; // everything is acknowledged
    Ok(())
}

async fn read_segments(mut stream: RecvStream, segments: Sender<Bytes>) -> anyhow::Result<()> {
    let mut buffer = BytesMut::new();
    while let Some(chunk) = stream.read_chunk(1 << 20, true).await? {
        buffer.extend_from_slice(&chunk.bytes);
        while let Some(len) = buffer.first_chunk::<4>().map(|len| u32::from_be_bytes(*len) as usize)
            && buffer.len() >= 4 + len
        {
            let mut segment = buffer.split_to(4 + len);
            segment.advance(4);
            segments.send(segment.freeze()).await?;
        }
    }
    ensure!(buffer.is_empty(), "a segment was cut short");
    Ok(())
}
